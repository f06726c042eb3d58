"""Policies and operator policies: settings for whatever matches a name (docs: parameters#policies).

For each object one policy counts, the matching one of highest priority, and one operator policy. A policy with any key
that its target's kind does not support is passed over for it. What both say is combined: the smaller number, else the
operator's word. Validation texts are rabbit_policy's, as the HTTP API and the command line give them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leveret.engine.arguments import age
from leveret.engine.patterns import PatternError, compile_pattern
from leveret.profiles import Features, Profile

_NUMBERS = {
    "expires": "queue expiry",
    "message-ttl": "message TTL",
    "max-length": "maximum length",
    "max-length-bytes": "maximum length in bytes",
    "max-in-memory-length": "maximum memory length",
    "max-in-memory-bytes": "maximum memory in bytes",
}

CLASSIC, QUORUM, STREAM = "classic", "quorum", "stream"
_BOTH = (CLASSIC, QUORUM)

#: Keys of quorum queues that are known where delayed retry is. Only quorum queues heed them.
_SINCE_4_3 = (
    "delayed-retry-type",
    "delayed-retry-min",
    "delayed-retry-max",
    "consumer-disconnected-timeout",
)

#: Key -> kinds of queue it can be applied to.
QUEUE_KEYS: dict[str, tuple[str, ...]] = {
    "expires": _BOTH,
    "message-ttl": _BOTH,
    "max-length": _BOTH,
    "max-length-bytes": (CLASSIC, QUORUM, STREAM),
    "max-in-memory-length": (QUORUM,),
    "max-in-memory-bytes": (QUORUM,),
    "overflow": _BOTH,
    "dead-letter-exchange": _BOTH,
    "dead-letter-routing-key": _BOTH,
    "dead-letter-strategy": (QUORUM,),
    "delivery-limit": (QUORUM,),
    "queue-leader-locator": (CLASSIC, QUORUM, STREAM),
    "queue-master-locator": (CLASSIC,),
    "queue-mode": (CLASSIC,),
    "queue-version": (CLASSIC,),
    "max-age": (STREAM,),
    "stream-max-segment-size-bytes": (STREAM,),
    "stream-filter-size-bytes": (STREAM,),
    "initial-cluster-size": (STREAM,),
    "target-group-size": (QUORUM,),
    "consumer-timeout": (CLASSIC, QUORUM, STREAM),
    **dict.fromkeys(_SINCE_4_3, (CLASSIC, QUORUM, STREAM)),
}

_EXCHANGE_KEYS = ("alternate-exchange",)
_NAMES = {
    "dead-letter-exchange": "dead letter exchange name",
    "dead-letter-routing-key": "dead letter routing key",
    "alternate-exchange": "alternate exchange name",
}
_DELAYS = {"delayed-retry-min": "minimum", "delayed-retry-max": "maximum"}
_MIRROR_KEYS = (
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-sync-batch-size",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
)
_OPERATOR_KEYS = frozenset(
    (
        "expires",
        "message-ttl",
        "max-length",
        "max-length-bytes",
        "max-in-memory-length",
        "max-in-memory-bytes",
        "delivery-limit",
        "overflow",
        "queue-version",
        "target-group-size",
    )
)
_TARGETS = {
    "all": ("queue", "exchange"),
    "queues": ("queue",),
    "exchanges": ("exchange",),
    "classic_queues": (CLASSIC,),
    "quorum_queues": (QUORUM,),
    "streams": (STREAM,),
}


class PolicyError(ValueError):
    """A policy that will not do; its text is what follows `Validation failed` and a blank line."""


class PolicyCrash(PolicyError):  # noqa: N818  what RabbitMQ does
    """A policy that RabbitMQ up to 4.0 fails over instead of refusing it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a virtual host; operator policies have the same shape."""

    vhost: str
    name: str
    pattern: str
    definition: dict[str, Any]
    priority: int = 0
    apply_to: str = "all"

    def to_json(self) -> dict[str, Any]:
        """As definitions and the HTTP API show it."""
        return {
            "vhost": self.vhost,
            "name": self.name,
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": self.definition,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Effective:
    """What counts for one object: the policy, the operator policy, and both definitions combined."""

    policy: Policy | None
    operator_policy: Policy | None
    definition: dict[str, Any]


NOTHING = Effective(None, None, {})


class Policies:
    """All policies of a broker. Whoever changes them applies them: `VirtualHost.apply_policies`. `revision` grows with
    every change. `permitted`: deprecated features as they are configured. `noticed`: told of each that is set."""

    def __init__(self, profile: Profile, permitted: Features | None = None) -> None:
        self.profile = profile
        self.permitted: Features = permitted or {}
        self.policies: dict[tuple[str, str], Policy] = {}
        self.operator_policies: dict[tuple[str, str], Policy] = {}
        self.noticed: Callable[[Policy], None] | None = None
        self.revision = 0

    # --- changing

    def set(self, policy: Policy, operator: bool = False) -> bool:
        """Add or replace; True if it is new. Raises `PolicyError`."""
        self.validate(policy, operator)
        registry = self.operator_policies if operator else self.policies
        new = (policy.vhost, policy.name) not in registry
        registry[policy.vhost, policy.name] = policy
        self.revision += 1
        if self.noticed is not None:
            self.noticed(policy)
        return new

    def clear(self, vhost: str, name: str, operator: bool = False) -> bool:
        """Remove; False if there is none."""
        registry = self.operator_policies if operator else self.policies
        self.revision += 1
        return registry.pop((vhost, name), None) is not None

    def forget_vhost(self, vhost: str) -> None:
        """A virtual host is gone."""
        self.revision += 1
        for registry in (self.policies, self.operator_policies):
            for key in [key for key in registry if key[0] == vhost]:
                del registry[key]

    def list(self, vhost: str | None = None, operator: bool = False) -> list[Policy]:
        """By virtual host and name."""
        registry = self.operator_policies if operator else self.policies
        return [policy for key, policy in sorted(registry.items()) if vhost in (None, key[0])]

    # --- matching

    def for_queue(self, vhost: str, name: str, kind: str) -> Effective:
        """What counts for a queue of this kind."""
        return self._effective(vhost, name, kind, "queue")

    def for_exchange(self, vhost: str, name: str) -> Effective:
        """What counts for an exchange."""
        return self._effective(vhost, name, "exchange", "exchange")

    def _effective(self, vhost: str, name: str, kind: str, target: str) -> Effective:
        if not self.policies and not self.operator_policies:
            return NOTHING
        policy = self._best(self.policies, vhost, name, kind, target)
        operator = self._best(self.operator_policies, vhost, name, kind, target)
        definition = dict(policy.definition) if policy is not None else {}
        for key, value in (operator.definition if operator is not None else {}).items():
            definition[key] = _stricter(key, definition[key], value) if key in definition else value
        return Effective(policy, operator, definition)

    def _best(
        self, registry: dict[tuple[str, str], Policy], vhost: str, name: str, kind: str, target: str
    ) -> Policy | None:
        raw = name.encode("utf-8", "surrogateescape")
        fitting = [
            policy
            for (where, _), policy in registry.items()
            if where == vhost
            and (target in _TARGETS[policy.apply_to] or kind in _TARGETS[policy.apply_to])
            and compile_pattern(policy.pattern).search(raw)
            and all(_applies(key, kind) for key in policy.definition)
        ]
        return max(fitting, key=lambda policy: policy.priority, default=None)

    # --- validating

    def validate(self, policy: Policy, operator: bool = False) -> None:
        """Raise `PolicyError` with RabbitMQ's text."""
        try:
            compile_pattern(policy.pattern)
        except PatternError as error:
            raise PolicyError(_pattern_refused(*error.said(self.profile.pcre2))) from None
        if policy.apply_to not in self._targets():
            raise PolicyError(self._unknown_target(policy.apply_to))
        if not isinstance(policy.priority, int) or isinstance(policy.priority, bool):
            raise PolicyError(f"priority should be a number, actually was {_term(policy.priority)}\n")
        if not policy.definition:
            raise PolicyError("no policy provided\n")
        known = self._known(operator)
        unknown = [(key, value) for key, value in sorted(policy.definition.items()) if key not in known]
        if unknown:
            terms = ",".join(f'{{<<"{key}">>,{_term(value)}}}' for key, value in unknown)
            raise PolicyError(f"[{terms}] are not recognised policy settings\n")
        for key, value in policy.definition.items():
            self._check(key, value)
        _check_delays(policy.definition)

    def _targets(self) -> tuple[str, ...]:
        return tuple(_TARGETS) if self.profile.apply_to_types else ("all", "queues", "exchanges")

    def _unknown_target(self, target: str) -> str:
        if not self.profile.apply_to_types:
            return f"apply-to '{target}' unrecognised; should be 'queues', 'exchanges' or 'all'\n"
        return (
            f"apply-to '{target}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', "
            "'streams', 'exchanges', or 'all'\n"
        )

    def _known(self, operator: bool) -> frozenset[str]:
        if operator:
            return _OPERATOR_KEYS | (set(_SINCE_4_3[:3]) if self.profile.delayed_retry else set())
        keys = set(QUEUE_KEYS) | set(_EXCHANGE_KEYS)
        if not self.profile.delayed_retry:
            keys -= set(_SINCE_4_3)
        if self.profile.mirroring:
            keys |= set(_MIRROR_KEYS)
        return frozenset(keys)

    def _check(self, key: str, value: Any) -> None:
        number = isinstance(value, int) and not isinstance(value, bool)
        if key in _NUMBERS:
            least = 1 if key == "expires" else 0
            if not number or value < least:
                raise PolicyError(f"{_term(value)} is not a valid {_NUMBERS[key]}\n")
        elif key == "consumer-timeout":
            if not number or value < 0:
                raise PolicyError(f"{_term(value)} is not a valid consumer timeout\n")
        elif key == "consumer-disconnected-timeout":
            if not number or value < 0:
                raise PolicyError(f"{_term(value)} is not a valid consumer disconnected timeout\n")
        elif key in _DELAYS:
            if not number or value <= 0:
                what = f"{_term(value)} is not a valid delayed retry {_DELAYS[key]} delay"
                raise PolicyError(f"{what}. Must be a positive integer\n")
        elif key == "delayed-retry-type":
            if value not in ("all", "failed", "returned", "disabled"):
                what = f"{_term(value)} is not a valid delayed retry type"
                raise PolicyError(f"{what}. Must be one of: all, failed, returned, disabled\n")
        elif key == "delivery-limit":
            if not number or (value < 0 and self.profile.mirroring):
                raise PolicyError(f"{_term(value)} is not a valid delivery limit\n")
        elif key == "overflow":
            if value not in ("drop-head", "reject-publish", "reject-publish-dlx"):
                raise PolicyError(f"{_term(value)} is not a valid overflow value\n")
        elif key == "dead-letter-strategy":
            if value not in ("at-most-once", "at-least-once"):
                raise PolicyError(f"{_term(value)} is not a valid dead letter strategy\n")
        elif key in _NAMES and not isinstance(value, str):
            raise PolicyError(f"{_term(value)} is not a valid {_NAMES[key]}\n")
        elif key == "max-age" and (not isinstance(value, str) or age(value) is None):
            crashes = self.profile.malformed_max_age_crashes and not str(value)[:1].isdigit()
            raise (PolicyCrash if crashes else PolicyError)(f"{_term(value)} is not a valid max age\n")
        elif key == "queue-mode" and value not in ("default", "lazy"):
            raise PolicyError(f"{_term(value)} is not a valid queue-mode value\n")
        elif key == "queue-master-locator":
            if not self.profile.permits("queue_master_locator", self.permitted):
                raise PolicyError("use of deprecated queue-master-locator argument is not permitted\n")
        elif key == "queue-version" and value not in (1, 2):
            raise PolicyError(f"{_term(value)} is not a valid queue-version value\n")


def _check_delays(definition: dict[str, Any]) -> None:
    kind = definition.get("delayed-retry-type", "disabled")
    least, most = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    if least is None and kind != "disabled":
        raise PolicyError(f"delayed-retry-min is required when delayed-retry-type is {kind}\n")
    if least is not None and most is not None and most < least:
        raise PolicyError(
            f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})\n"
        )


def _pattern_refused(reason: str, position: int) -> str:
    """The text for a broken pattern; its second part is `~tp` and breaks after 80 columns."""
    text = "pattern should be regular expression but is invalid: "
    words = '"' + reason.replace("\\", "\\\\") + '"'
    term = f"{{{words},{position}}}"
    if len(text) + len(term) >= 79:
        term = f"{{{words},\n{' ' * (len(text) + 1)}{position}}}"
    return f"{text}{term}\n"


def _applies(key: str, kind: str) -> bool:
    if kind == "exchange":
        return key in _EXCHANGE_KEYS
    return kind in QUEUE_KEYS.get(key, ()) or key in _MIRROR_KEYS


def _stricter(key: str, policy: Any, operator: Any) -> Any:
    """Numbers: the smaller, of the least delay of a retry the greater; else what the operator says."""
    if key == "delayed-retry-min":
        return max(policy, operator)
    if isinstance(policy, int) and isinstance(operator, int) and not isinstance(policy, bool):
        if key == "delivery-limit" and min(policy, operator) < 0:
            return max(policy, operator)
        return min(policy, operator)
    return operator


def _term(value: Any) -> str:
    """A JSON value as Erlang prints it in these texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'<<"{value}">>'
    if value is None:
        return "null"
    return str(value)
