"""The keys of policies, their values, and RabbitMQ's error texts.

Sources: rabbit_policies and rabbit_quorum_queue (validate_policy0), rabbit_parameter_validation. Known keys are checked
in ascending order; the first invalid value is the error, otherwise all unknown keys are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from leveret.engine.arguments import age
from leveret.engine.patterns import PatternError, PatternTooLongError, check_pattern
from leveret.profiles import Features, Profile
from leveret.wire.erlang import Term, pretty, shown_json, terms_of

if TYPE_CHECKING:
    from leveret.engine.catalogue import Document

CLASSIC, QUORUM, STREAM = "classic", "quorum", "stream"

#: Returns whether a value of a JSON document is valid for a key.
Fits: TypeAlias = Callable[[object, Profile], bool]

#: `~tp` breaks lines at this column (io_lib:format; two more are reserved for what follows).
_LINE_COLUMNS = 79


class PolicyError(ValueError):
    """An invalid policy. The text follows `Validation failed` and an empty line."""


class PolicyCrash(PolicyError):  # noqa: N818  what RabbitMQ does
    """A policy that RabbitMQ crashes on instead of refusing it."""


def _always(profile: Profile) -> bool:
    return True


def _never(profile: Profile) -> bool:
    return False


class Key(Struct, frozen=True):
    """A key. `fits`: whether a value is valid; `words`: the error text for an invalid one; `lacking`: queue types to
    which a policy with this key does not apply; `known`, `for_operators`: whether policies and operator policies have
    it in a profile."""

    fits: Fits
    words: str
    lacking: tuple[str, ...] = ()
    known: Callable[[Profile], bool] = _always
    for_operators: Callable[[Profile], bool] = _never


def _integer(least: int | None = None, most: int | None = None) -> Fits:
    def fits(value: object, profile: Profile) -> bool:
        return type(value) is int and (least is None or value >= least) and (most is None or value <= most)

    return fits


def _one_of(*allowed: str | int) -> Fits:
    def fits(value: object, profile: Profile) -> bool:
        return type(value) in (str, int) and value in allowed

    return fits


def _string(value: object, profile: Profile) -> bool:
    return type(value) is str


def _anything(value: object, profile: Profile) -> bool:
    return True


def _delivery_limit(value: object, profile: Profile) -> bool:
    return type(value) is int and (value >= 0 or profile.negative_delivery_limit_is_none)


def _max_age(value: object, profile: Profile) -> bool:
    """Return whether a max-age is valid. RabbitMQ crashes if it is no string, and in some versions if it does not begin
    with a digit."""
    if type(value) is not str or (profile.malformed_max_age_crashes and not value[:1].isdigit()):
        raise PolicyCrash(f"{shown_json(value)} is not a valid max age\n")
    return age(value) is not None


_NUMBER = _integer(0)
_RETRY_TYPES = ("all", "failed", "returned", "disabled")
_RETRY_WORDS = f"is not a valid delayed retry type. Must be one of: {', '.join(_RETRY_TYPES)}"


def _delayed_retry(profile: Profile) -> bool:
    return profile.delayed_retry


def _operator_keys_extended(profile: Profile) -> bool:
    return profile.more_operator_keys


def _consumer_timeout(profile: Profile) -> bool:
    return bool(profile.consumer_timeout_types)


def _filters(profile: Profile) -> bool:
    return profile.stream_filters


def _group_size(profile: Profile) -> bool:
    return profile.target_group_size


def _mirroring(profile: Profile) -> bool:
    return profile.mirroring


_MEMORY = "is not a valid maximum memory in bytes"

KEYS: dict[str, Key] = {
    "alternate-exchange": Key(_string, "is not a valid alternate exchange name"),
    "consumer-disconnected-timeout": Key(
        _NUMBER, "is not a valid consumer disconnected timeout", known=_delayed_retry
    ),
    "consumer-timeout": Key(_NUMBER, "is not a valid consumer timeout", known=_consumer_timeout),
    "dead-letter-exchange": Key(_string, "is not a valid dead letter exchange name", (STREAM,)),
    "dead-letter-routing-key": Key(_string, "is not a valid dead letter routing key", (STREAM,)),
    "dead-letter-strategy": Key(
        _one_of("at-most-once", "at-least-once"), "is not a valid dead letter strategy", (CLASSIC, STREAM)
    ),
    "delivery-limit": Key(
        _delivery_limit, "is not a valid delivery limit", (CLASSIC, STREAM), for_operators=_always
    ),
    "expires": Key(_integer(1), "is not a valid queue expiry", (STREAM,), for_operators=_always),
    "initial-cluster-size": Key(_NUMBER, "is not a valid cluster size", (CLASSIC, QUORUM)),
    "max-age": Key(_max_age, "is not a valid max age", (CLASSIC, QUORUM)),
    "max-in-memory-bytes": Key(_NUMBER, _MEMORY, (CLASSIC, STREAM), for_operators=_always),
    "max-in-memory-length": Key(_NUMBER, _MEMORY, (CLASSIC, STREAM), for_operators=_always),
    "max-length": Key(_NUMBER, "is not a valid maximum length", (STREAM,), for_operators=_always),
    "max-length-bytes": Key(_NUMBER, "is not a valid maximum length in bytes", for_operators=_always),
    "message-ttl": Key(_NUMBER, "is not a valid message TTL", (STREAM,), for_operators=_always),
    "overflow": Key(
        _one_of("drop-head", "reject-publish", "reject-publish-dlx"),
        "is not a valid overflow value",
        (STREAM,),
        for_operators=_operator_keys_extended,
    ),
    "queue-leader-locator": Key(
        _one_of("client-local", "balanced", "random", "least-leaders"),
        "is not a valid queue leader locator value",
    ),
    "queue-mode": Key(_one_of("default", "lazy"), "is not a valid queue-mode value", (QUORUM, STREAM)),
    "queue-version": Key(
        _one_of(1, 2), "is not a valid queue-version value", for_operators=_operator_keys_extended
    ),
    "stream-filter-size-bytes": Key(
        _integer(16, 255), "is not a valid filter size. Valid range is 16-255", known=_filters
    ),
    "stream-max-segment-size-bytes": Key(
        _integer(0, 3_000_000_000), "is not a valid segment size", (CLASSIC, QUORUM)
    ),
    # These are checked by other modules than rabbit_policies, after its keys.
    "delayed-retry-max": Key(
        _integer(1),
        "is not a valid delayed retry maximum delay. Must be a positive integer",
        known=_delayed_retry,
        for_operators=_delayed_retry,
    ),
    "delayed-retry-min": Key(
        _integer(1),
        "is not a valid delayed retry minimum delay. Must be a positive integer",
        known=_delayed_retry,
        for_operators=_delayed_retry,
    ),
    "delayed-retry-type": Key(
        _one_of(*_RETRY_TYPES), _RETRY_WORDS, known=_delayed_retry, for_operators=_delayed_retry
    ),
    "target-group-size": Key(
        _integer(1),
        "is not a valid qq target count value",
        (CLASSIC, STREAM),
        known=_group_size,
        for_operators=_group_size,
    ),
    "queue-master-locator": Key(_anything, "", (QUORUM, STREAM)),
    **dict.fromkeys(
        ("ha-mode", "ha-params", "ha-promote-on-failure", "ha-promote-on-shutdown", "ha-sync-mode"),
        Key(_anything, "", (QUORUM, STREAM), known=_mirroring),
    ),
    "ha-sync-batch-size": Key(_anything, "", known=_mirroring),
}


def lacks(kind: str, key: str, profile: Profile) -> bool:
    """Return whether a policy with this key does not apply to queues of this type. All policies apply to exchanges."""
    if key == "queue-leader-locator":
        return kind == CLASSIC and not profile.classic_leader_locator
    if kind == CLASSIC and key.startswith("max-in-memory-") and not profile.classic_lacks_memory_limits:
        return False
    return key in KEYS and kind in KEYS[key].lacking


def refused(given: Document, operator: bool, profile: Profile, permitted: Features) -> list[str]:
    """Return RabbitMQ's error texts for a policy. Raises `PolicyCrash` for a policy that RabbitMQ crashes on.

    A parameter `operator_policy` may lack fields, and have others.
    """
    definition, target = given.get("definition", {}), given.get("apply-to")
    if type(definition) is not dict:
        raise PolicyCrash(f"definition should be an object, actually was {shown_json(definition)}\n")
    if type(target) not in (str, type(None)):
        raise PolicyCrash(f"apply-to should be a string, actually was {shown_json(target)}\n")
    checks: dict[str, Callable[..., str | None]] = {
        "definition": lambda definition: _definition(definition, operator, profile, permitted),
        "apply-to": lambda target: _target(target, profile),
        "pattern": lambda pattern: _pattern(pattern, profile),
        "priority": _priority,
    }
    found = [_unrecognised(given, checks)]
    for field, check in checks.items():
        if field in given:
            found.append(check(given[field]))
        elif field != "apply-to":
            found.append(f'Key "{field}" not found in {given["name"]}')
    return [text for text in found if text is not None]


def _unrecognised(given: Document, fields: Iterable[str]) -> str | None:
    others = terms_of({name: given[name] for name in given if name not in ("vhost", "name", *fields)})
    return f"Unrecognised terms {_listed(others)} in {given['name']}" if others else None


def _definition(definition: Document, operator: bool, profile: Profile, permitted: Features) -> str | None:
    if not definition:
        return "no policy provided"
    for key, row in KEYS.items():
        if key not in definition or not _known(row, operator, profile):
            continue
        if key == "queue-master-locator" and not profile.permits("queue_master_locator", permitted):
            return "use of deprecated queue-master-locator argument is not permitted"
        if not row.fits(definition[key], profile):
            return f"{shown_json(definition[key])} {row.words}"
    if profile.delayed_retry and (wrong := _delays(definition)) is not None:
        return wrong
    unknown = terms_of(
        {
            key: value
            for key, value in definition.items()
            if key not in KEYS or not _known(KEYS[key], operator, profile)
        }
    )
    return f"{_listed(unknown)} are not recognised policy settings" if unknown else None


def _known(row: Key, operator: bool, profile: Profile) -> bool:
    return row.known(profile) and (row.for_operators(profile) or not operator)


def _delays(definition: Document) -> str | None:
    kind = definition.get("delayed-retry-type", "disabled")
    least, most = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    if least is None and kind != "disabled":
        return f"delayed-retry-min is required when delayed-retry-type is {kind}"
    if least is not None and most is not None and most < least:
        return f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"
    return None


#: apply-to -> kinds that a policy is for.
TARGETS = {
    "all": ("queue", "exchange"),
    "queues": ("queue",),
    "exchanges": ("exchange",),
    "classic_queues": (CLASSIC,),
    "quorum_queues": (QUORUM,),
    "streams": (STREAM,),
}


def _target(target: str | None, profile: Profile) -> str | None:
    if target in (TARGETS if profile.apply_to_types else ("all", "queues", "exchanges")):
        return None
    name = "null" if target is None else target
    if not profile.apply_to_types:
        return f"apply-to '{name}' unrecognised; should be 'queues', 'exchanges' or 'all'"
    return (
        f"apply-to '{name}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', "
        "'streams', 'exchanges', or 'all'"
    )


def _pattern(pattern: object, profile: Profile) -> str | None:
    if type(pattern) is not str:
        return f"pattern should be a binary but was {shown_json(pattern)}"
    try:
        check_pattern(pattern, profile.pattern_bytes)
    except PatternTooLongError:
        return f"pattern must not exceed {profile.pattern_bytes} bytes"
    except PatternError as error:
        reason, position = error.text_of(profile.pcre2)
        text = "pattern should be regular expression but is invalid: "
        words = '"' + reason.replace("\\", "\\\\") + '"'
        term = f"{{{words},{position}}}"
        if len(text) + len(term) >= _LINE_COLUMNS:
            term = f"{{{words},\n{' ' * (len(text) + 1)}{position}}}"
        return text + term
    return None


def _priority(priority: object) -> str | None:
    if type(priority) in (int, float):
        return None
    return f"priority should be a number, actually was {shown_json(priority)}"


def _listed(pairs: list[Term]) -> str:
    """Format a list as `~tp` does: on one line if it is short enough, else one item on each line."""
    items = [pretty(pair) for pair in pairs]
    line = f"[{','.join(items)}]"
    return line if len(line) < _LINE_COLUMNS else "[" + ",\n ".join(items) + "]"
