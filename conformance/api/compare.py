"""What differs between two answers: a list of places with both values."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from conformance.api.call import Answer
from conformance.api.masks import masked

#: Headers that say something about the transport or the server only.
_IGNORED = frozenset({"date", "server", "content-length", "connection", "keep-alive", "transfer-encoding"})

#: Lists that RabbitMQ does not keep in any order.
UNORDERED = frozenset(
    [
        *("applications", "auth_mechanisms", "consumer_details", "contexts", "exchange_types", "ports"),
        # sections of definitions
        *("bindings", "exchanges", "parameters", "permissions", "policies", "queues", "users", "vhosts"),
        *("global_parameters", "topic_permissions"),
    ]
)

#: Stands for a value that one of the two does not have.
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One place, such as `status`, `header allow` or `body[].name`, and what either broker has there."""

    at: str
    rabbitmq: str
    leveret: str

    def __str__(self) -> str:
        return f"{self.at}: {self.rabbitmq} | {self.leveret}"


def differences(rabbitmq: Answer, leveret: Answer) -> list[Difference]:
    """All places that differ, each once."""
    found = list(_values("status", rabbitmq.status, leveret.status))
    found += _values("phrase", rabbitmq.phrase, leveret.phrase)
    names = {*rabbitmq.headers, *leveret.headers} - _IGNORED
    for name in sorted(names):
        found += _field(f"header {name}", name, rabbitmq.headers, leveret.headers)
    found += _values("body", masked(rabbitmq.body), masked(leveret.body))
    return list(dict.fromkeys(found))


def _values(at: str, one: object, other: object) -> Iterator[Difference]:
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other}):
            yield from _field(f"{at}.{name}", name, one, other)
    elif isinstance(one, list) and isinstance(other, list):
        yield from _lists(at, one, other)
    elif type(one) is not type(other) or one != other:
        yield Difference(at, _text(one), _text(other))


def _field(
    at: str, name: str, one: Mapping[str, object], other: Mapping[str, object]
) -> Iterator[Difference]:
    if name in one and name in other:
        yield from _values(at, one[name], other[name])
    elif name in one:
        yield Difference(at, _text(one[name]), ABSENT)
    else:
        yield Difference(at, ABSENT, _text(other[name]))


def _lists(at: str, one: list[object], other: list[object]) -> Iterator[Difference]:
    """Compare items that have the same name; those that only one list has, or another order, differ themselves."""
    if at.rpartition(".")[2] in UNORDERED:
        one, other = sorted(one, key=_identity), sorted(other, key=_identity)
    ours, theirs = [_identity(item) for item in one], [_identity(item) for item in other]
    for name in ours:
        if name not in theirs:
            yield Difference(f"{at}[{name}]", "(there)", ABSENT)
    for name in theirs:
        if name not in ours:
            yield Difference(f"{at}[{name}]", ABSENT, "(there)")
    common = [(name, item) for name, item in zip(ours, one, strict=True) if name in theirs]
    counterparts = [(name, item) for name, item in zip(theirs, other, strict=True) if name in ours]
    if [name for name, _ in common] != [name for name, _ in counterparts]:
        yield Difference(f"{at} (order)", _text(ours), _text(theirs))
        return
    for (_, item), (_, counterpart) in zip(common, counterparts, strict=True):
        yield from _values(f"{at}[]", item, counterpart)


def _identity(item: object) -> str:
    """What tells the items of a list apart."""
    if not isinstance(item, dict):
        return "" if isinstance(item, list) else json.dumps(item, ensure_ascii=False)
    names = (
        "vhost",
        "name",
        "user",
        "exchange",
        "source",
        "destination",
        "properties_key",
        "routing_key",
        "consumer_tag",
        "protocol",
        "payload",
    )
    return "/".join(str(item[name]) for name in names if name in item)


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 300 else f"{text[:300]}..."
