"""Faults as JSON, as the HTTP API and `Faults.plan` take them.

{"on": "basic.publish", "nth": 3, "queue": "jobs", "do": "reset", "when": "before"}
{"on": "confirms", "queue": "jobs", "do": "nack", "effect": false}
{"on": "deliveries", "do": "delay", "seconds": 60}
{"do": "latency", "seconds": 0.1, "jitter": 0.02, "stream": "down", "connection": "worker"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from leveret.testing.errors import hides_frames
from leveret.testing.near_miss import closest

__tracebackhide__ = hides_frames


class Arming(Protocol):
    """Faults to be armed: `BaseFaults`."""

    @property
    def on(self) -> Callable[..., object]:
        """Returns a step for a method."""

    @property
    def confirms(self) -> Callable[..., object]:
        """Returns a step for confirms."""

    @property
    def deliveries(self) -> Callable[..., object]:
        """Returns a step for deliveries."""


#: What a rule says, and its types.
RULE: dict[str, tuple[type, ...]] = {
    "connection": (str,),
    "user": (str,),
    "vhost": (str,),
    "queue": (str,),
    "exchange": (str,),
    "routing_key": (str,),
    "nth": (int,),
    "times": (int, type(None)),
    "chance": (int, float),
}

_NUMBER: tuple[type, ...] = (int, float)

#: What each verb takes: name in JSON -> (name of the argument, types).
Arguments = dict[str, tuple[str, tuple[type, ...]]]

_WHEN: Arguments = {"when": ("when", (str,))}
_CLOSE: Arguments = {**_WHEN, "code": ("code", (int,)), "text": ("text", (str,))}

METHOD_VERBS: dict[str, Arguments] = {
    "drop": _WHEN,
    "reset": _WHEN,
    "blackhole": _WHEN,
    "ignore": _WHEN,
    "close_channel": _CLOSE,
    "close_connection": _CLOSE,
    "delay": {**_WHEN, "seconds": ("s", _NUMBER)},
}
CONFIRM_VERBS: dict[str, Arguments] = {
    "nack": {"effect": ("effect", (bool,))},
    "hold": {},
    "lose": {},
    "delay": {"seconds": ("d", _NUMBER)},
}
DELIVERY_VERBS: dict[str, Arguments] = {
    "duplicate": {},
    "reorder": {},
    "corrupt": {},
    "lose_ack": {},
    "delay": {"seconds": ("d", _NUMBER)},
}

_NAMES: Arguments = {"connection": ("connection", (str,)), "user": ("user", (str,))}
_TOXIC: Arguments = {**_NAMES, "chance": ("chance", _NUMBER)}
_STREAM: Arguments = {**_TOXIC, "stream": ("stream", (str,))}

NETWORK_VERBS: dict[str, Arguments] = {
    "drop": _NAMES,
    "reset": _NAMES,
    "refuse": {},
    "blackhole": {**_NAMES, "stream": ("stream", (str,))},
    "latency": {**_STREAM, "seconds": ("s", _NUMBER), "jitter": ("jitter", _NUMBER)},
    "bandwidth": {**_STREAM, "octets_per_s": ("octets_per_s", _NUMBER)},
    "slicer": {
        **_STREAM,
        "size": ("size", (int,)),
        "variation": ("variation", (int,)),
        "pause": ("pause", _NUMBER),
    },
    "limit_data": {**_STREAM, "octets": ("octets", (int,))},
    "slow_close": {**_TOXIC, "seconds": ("s", _NUMBER)},
    "reset_peer": {**_TOXIC, "seconds": ("s", _NUMBER)},
}

#: Arguments without which a verb makes no sense.
_NEEDED = frozenset({"s", "d", "octets_per_s", "size", "octets"})


def arm(faults: Arming, spec: Mapping[str, object]) -> object:
    """Arm a fault. Raises `ValueError` with what is wrong about it."""
    if not isinstance(spec, Mapping):
        raise ValueError(f"a fault is an object, not {spec!r}")
    given = dict(spec)
    on, do = given.pop("on", None), given.pop("do", None)
    verbs = _verbs(on)
    if not isinstance(do, str) or do not in verbs:
        known = ", ".join(sorted(verbs))
        if do is None:
            near = closest("do", list(given), least=0.5)
            hint = f"; there is {near!r}" if near else ""
            raise ValueError(f"'do' is missing{hint}; at {on or 'the network'} it is one of: {known}")
        raise ValueError(f"'do' is {do!r}; at {on or 'the network'} it is one of: {known}")
    arguments = _taken(given, verbs[do], do, needed=on is not None or do != "reset_peer")
    rule = _rule(given) if on is not None else {}
    if given:
        name = next(iter(given))
        near = closest(name, [*RULE, *verbs[do]])
        raise ValueError(f"{name!r} is unknown for {do!r}{f': {near!r}?' if near else ''}")
    armed: object = getattr(_target(faults, on, rule), do)(**arguments)
    return armed


def _target(faults: Arming, on: object, rule: dict[str, object]) -> object:
    """Return what has the verb: all faults of the network, or a step."""
    if on is None:
        return faults
    steps = {"confirms": faults.confirms, "deliveries": faults.deliveries}
    return steps[str(on)](**rule) if on in steps else faults.on(str(on), **rule)


def _verbs(on: object) -> dict[str, Arguments]:
    if on is None:
        return NETWORK_VERBS
    return {"confirms": CONFIRM_VERBS, "deliveries": DELIVERY_VERBS}.get(str(on), METHOD_VERBS)


def _taken(given: dict[str, object], known: Arguments, do: str, *, needed: bool) -> dict[str, object]:
    found = {}
    for name, (argument, types) in known.items():
        if name in given:
            found[argument] = _checked(name, given.pop(name), types)
        elif needed and argument in _NEEDED:
            raise ValueError(f"{name!r} is missing for {do!r}")
    return found


def _rule(given: dict[str, object]) -> dict[str, object]:
    return {name: _checked(name, given.pop(name), types) for name, types in RULE.items() if name in given}


def _checked(name: str, value: object, types: tuple[type, ...]) -> object:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        names = " or ".join("null" if one is type(None) else one.__name__ for one in types)
        raise ValueError(f"{name!r} is {value!r}, and must be {names}")
    return value
