"""Every x-argument of queues, exchanges and consumers: what it may be, for which kind of queue, and in which profile.

One table (`QUEUE_ARGUMENTS`) is all there is to add an argument to. Field tables are parsed here, at the door, into
typed options; queues never see them. Texts are RabbitMQ's (rabbit_amqqueue:check_declare_arguments): a reason in them
is an Erlang term. Arguments nobody knows are stored and shown and mean nothing, as in RabbitMQ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from leveret.errors import AmqpError, internal_error
from leveret.profiles import Profile
from leveret.queues.options import QueueOptions
from leveret.routing.types import EXCHANGE_TYPES
from leveret.wire.tables import Field, Table, type_name

#: rabbit_misc: ten years of milliseconds, the longest expiry there is.
MAX_EXPIRY_MS = 315_360_000_000

_NEVER = 1 << 62

#: Integer field types of AMQP tables.
INTEGERS = frozenset("bBsuIilL")

#: Units of x-max-age and of stream offset intervals -> ms.
AGE_UNITS = {
    "Y": 365 * 86_400_000,
    "M": 30 * 86_400_000,
    "D": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
}

CLASSIC, QUORUM, STREAM = "classic", "quorum", "stream"
ALL = (CLASSIC, QUORUM, STREAM)


#: A check returns the value, or raises `Refusal` with the reason.
Check = Callable[[Field, Profile], Any]


class Refusal(Exception):  # noqa: N818  a value on its way to a text
    """Why a value will not do. `whole`: the text stands for itself, not behind `invalid arg`."""

    def __init__(self, reason: str, whole: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.whole = whole


# --- checks of values (rabbit_amqqueue, check_*_arg)


def _integer(least: int = 0, most: int | None = None, too_large: str = "value_too_large") -> Check:
    """An integer of any width between bounds."""

    def check(field: Field, profile: Profile) -> int:
        value = _any_integer(field, profile)
        if value < 0 and least >= 0:
            raise Refusal(f"{{value_negative,{value}}}")
        if value < least:
            raise Refusal(f"{{value_zero,{value}}}")
        if most is not None and value > most:
            raise Refusal(f"{{{too_large},{value}}}")
        return value

    return check


def _any_integer(field: Field, profile: Profile) -> int:
    if field.kind not in INTEGERS:
        raise Refusal(f'"expected integer, got {type_name(field.kind)}"')
    number: int = field.value
    return number


def _string(field: Field, profile: Profile) -> str:
    if field.kind != "S":
        raise Refusal(f"{{unacceptable_type,{type_name(field.kind)}}}")
    raw: bytes = field.value
    return raw.decode("utf-8", "surrogateescape")


def _boolean(field: Field, profile: Profile) -> bool:
    if field.kind != "t":
        raise Refusal(f"{{unacceptable_type,{type_name(field.kind)}}}")
    return bool(field.value)


def _one_of(reason: str, *allowed: str) -> Check:
    def check(field: Field, profile: Profile) -> str:
        value = _string(field, profile)
        if value not in allowed:
            raise Refusal(reason)
        return value

    return check


def _anything(field: Field, profile: Profile) -> Any:
    """Checked by nobody when declared."""
    return field.value if field.kind in INTEGERS or field.kind == "t" else None


def _text(field: Field, profile: Profile) -> str | None:
    """A string if it is one; nobody checks."""
    return _string(field, profile) if field.kind == "S" else None


def consumer_timeout(field: Field, profile: Profile) -> int:
    """ms; where nobody checks it, what is no integer is no timeout."""
    if profile.timeout_cancels_consumer:
        return int(_integer()(field, profile))
    return int(field.value) if field.kind in INTEGERS else _NEVER


def _queue_mode(field: Field, profile: Profile) -> str:
    if not profile.queue_mode_checked:
        return "default"
    value = _string(field, profile)
    if value not in ("default", "lazy"):
        raise Refusal(f"\"unsupported queue mode '{value}'\"")
    return value


def _queue_version(field: Field, profile: Profile) -> int:
    value: int = _integer()(field, profile)
    if value not in profile.queue_versions:
        raise Refusal(f"\"unsupported queue version '{value}'\"")
    return value


def _max_age(field: Field, profile: Profile) -> int:
    text = _string(field, profile)
    value = age(text)
    if value is None:
        if profile.malformed_max_age_crashes and not text[:1].isdigit():
            raise internal_error()
        raise Refusal("invalid_max_age")
    return value


def age(text: str) -> int | None:
    """`7D`, `1h`, `30s` in ms; None where it is no such thing, or nothing."""
    found = re.fullmatch(r"([0-9]+)([YMDhms])", text)
    return (int(found[1]) * AGE_UNITS[found[2]] or None) if found else None


def _segment_size(field: Field, profile: Profile) -> int:
    value = _integer(0)(field, profile)
    if value > 3_000_000_000:
        raise Refusal("Exceeded max value for x-stream-max-segment-size-bytes", whole=True)
    return int(value)


def _filter_size(field: Field, profile: Profile) -> int:
    if not profile.filter_size_type_checked and (field.kind not in INTEGERS or not 16 <= field.value <= 255):
        raise Refusal("Invalid value for  x-stream-filter-size-bytes", whole=True)
    value = _integer(0)(field, profile)
    if not 16 <= value <= 255:
        raise Refusal("Invalid value for x-stream-filter-size-bytes", whole=True)
    return int(value)


# --- the table


@dataclass(frozen=True, slots=True)
class Argument:
    """One row: name, kinds of queue that have it, its check, and the field of `QueueOptions` it fills ("": none)."""

    name: str
    kinds: tuple[str, ...]
    check: Check
    option: str = ""
    known: Callable[[Profile], bool] = lambda profile: True

    def kinds_in(self, profile: Profile) -> tuple[str, ...]:
        """The kinds that have it in a profile."""
        if self.name == "x-consumer-timeout":
            return profile.consumer_timeout_types
        if self.name == "x-queue-leader-locator" and not profile.classic_leader_locator:
            return (QUORUM, STREAM)
        if self.name == "x-stream-filter-size-bytes" and not profile.filter_size_type_checked:
            return ALL
        return self.kinds


def _delayed_retry(profile: Profile) -> bool:
    return profile.delayed_retry


_LOCATOR = _one_of("invalid_queue_locator_arg", "client-local", "balanced", "random", "least-leaders")
_OVERFLOW = _one_of("invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx")
_STRATEGY = _one_of("invalid_dlx_strategy", "at-most-once", "at-least-once")

QUEUE_ARGUMENTS: dict[str, Argument] = {
    row.name: row
    for row in (
        Argument("x-expires", ALL[:2], _integer(1, MAX_EXPIRY_MS), "expires"),
        Argument("x-message-ttl", ALL[:2], _integer(0, MAX_EXPIRY_MS), "message_ttl"),
        Argument("x-dead-letter-exchange", ALL[:2], _string, "dead_letter_exchange"),
        Argument("x-dead-letter-routing-key", ALL[:2], _string, "dead_letter_routing_key"),
        Argument("x-dead-letter-strategy", (QUORUM,), _STRATEGY, "dead_letter_strategy"),
        Argument("x-max-length", ALL[:2], _integer(), "max_length"),
        Argument("x-max-length-bytes", ALL, _integer(), "max_length_bytes"),
        Argument("x-max-in-memory-length", (QUORUM,), _integer()),
        Argument("x-max-in-memory-bytes", (QUORUM,), _integer()),
        Argument("x-max-priority", (CLASSIC,), _integer(0, 255, "max_value_exceeded"), "max_priority"),
        Argument("x-overflow", ALL[:2], _OVERFLOW, "overflow"),
        Argument("x-queue-mode", (CLASSIC,), _queue_mode),
        Argument("x-queue-version", (CLASSIC,), _queue_version),
        Argument("x-single-active-consumer", ALL[:2], _boolean, "single_active_consumer"),
        Argument("x-queue-master-locator", (CLASSIC,), _anything),
        Argument("x-quorum-initial-group-size", (QUORUM,), _integer(1)),
        Argument("x-delivery-limit", (QUORUM,), _anything, "delivery_limit"),
        Argument("x-max-age", (STREAM,), _max_age, "max_age"),
        Argument("x-stream-max-segment-size-bytes", (STREAM,), _segment_size, "max_segment_size_bytes"),
        Argument(
            "x-stream-filter-size-bytes",
            (STREAM,),
            _filter_size,
            "filter_size_bytes",
            lambda profile: profile.stream_filters,
        ),
        Argument("x-initial-cluster-size", (STREAM,), _integer(1)),
        Argument("x-queue-leader-locator", ALL, _LOCATOR),
        Argument(
            "x-consumer-timeout",
            ALL,
            consumer_timeout,
            "consumer_timeout",
            lambda profile: bool(profile.consumer_timeout_types),
        ),
        Argument("x-consumer-disconnected-timeout", (QUORUM,), _integer(), "", _delayed_retry),
        Argument("x-delayed-retry-type", (QUORUM,), _text, "delayed_retry_type", _delayed_retry),
        Argument("x-delayed-retry-min", (QUORUM,), _anything, "delayed_retry_min", _delayed_retry),
        Argument("x-delayed-retry-max", (QUORUM,), _anything, "delayed_retry_max", _delayed_retry),
    )
}


# --- queue.declare


def queue_options(
    rendered: str,
    arguments: Table,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    profile: Profile,
    permitted: Callable[[str], bool],
    default_queue_type: str = CLASSIC,
) -> tuple[QueueOptions, Table]:
    """Check the arguments of a new queue; returns them typed, and as they are stored.

    `rendered`: the queue as texts show it. `permitted`: whether a deprecated feature may be used. Raises `AmqpError`
    with RabbitMQ's text for the first thing that will not do.
    """
    kind = queue_type(rendered, arguments, profile)
    if kind is None:
        plain_queue = durable and not exclusive and not auto_delete
        kind = default_queue_type if plain_queue else CLASSIC
    values = _checked(rendered, arguments, kind, profile)
    if "x-queue-master-locator" in arguments and not permitted("queue_master_locator"):
        raise _feature_denied("queue_master_locator", profile)
    if not durable and not exclusive and not permitted("transient_nonexcl_queues"):
        raise _feature_denied("transient_nonexcl_queues", profile)
    if kind != CLASSIC:
        _check_properties(rendered, durable, exclusive, auto_delete)
    options = QueueOptions(queue_type=kind, **values)
    if kind == QUORUM and options.delivery_limit is None:
        options = replace(options, delivery_limit=profile.delivery_limit)
    stored = dict(arguments)
    if profile.queue_type_injected:
        stored["x-queue-type"] = Field("S", kind.encode())
    return options, stored


def queue_type(rendered: str, arguments: Table, profile: Profile) -> str | None:
    """The x-queue-type, None where it is left to the default."""
    field = arguments.get("x-queue-type")
    if field is None:
        return None
    if field.kind != "S":
        raise invalid("x-queue-type", rendered, f"{{unacceptable_type,{type_name(field.kind)}}}")
    name: str = field.value.decode("utf-8", "replace")
    if name == "" and profile.empty_queue_type_is_default:
        return None
    if name not in ALL:
        raise invalid("x-queue-type", rendered, f"\"unsupported queue type '{name}'\"")
    return name


def _checked(rendered: str, arguments: Table, kind: str, profile: Profile) -> dict[str, Any]:
    """Values of known arguments: those of its kind are looked at first, then whether there are others, last limits that
    the kind sets on its own (rabbit_amqqueue:check_declare_arguments)."""
    values: dict[str, Any] = {}
    target = arguments.get("x-dead-letter-exchange")
    if target is not None and target.kind != "S":
        kind_name = type_name(target.kind)
        raise AmqpError(406, f"invalid type '{kind_name}' for arg 'x-dead-letter-exchange' in {rendered}")
    rows = [row for row in QUEUE_ARGUMENTS.values() if row.name in arguments and row.known(profile)]
    too_much: Refusal | None = None
    for row in rows:
        if kind not in row.kinds_in(profile):
            continue
        try:
            value = row.check(arguments[row.name], profile)
        except Refusal as refusal:
            if not refusal.whole:
                raise invalid(row.name, rendered, refusal.reason) from None
            too_much = too_much or refusal
            continue
        if row.name == "x-dead-letter-routing-key" and "x-dead-letter-exchange" not in arguments:
            raise invalid(row.name, rendered, "routing_key_but_no_dlx_defined")
        if row.option:
            values[row.option] = value
    foreign = next((name for name in arguments if _foreign(name, kind, profile)), None)
    if foreign is not None:
        raise other_type(foreign, rendered, kind)
    if too_much is not None:
        raise AmqpError(406, too_much.reason)
    return values


def _foreign(name: str, kind: str, profile: Profile) -> bool:
    """Whether an argument belongs to other kinds of queue only."""
    row = QUEUE_ARGUMENTS.get(name)
    return row is not None and row.known(profile) and kind not in row.kinds_in(profile)


def _check_properties(rendered: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    """What quorum queues and streams cannot be."""
    for wrong, name in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            raise AmqpError(406, f"invalid property '{name}' for {rendered}")


def invalid(name: str, rendered: str, reason: str) -> AmqpError:
    """A value that will not do."""
    return AmqpError(406, f"invalid arg '{name}' for {rendered}: {reason}")


def other_type(name: str, rendered: str, kind: str) -> AmqpError:
    """An argument that this kind of queue does not have."""
    return AmqpError(406, f"invalid arg '{name}' for {rendered} of queue type rabbit_{kind}_queue")


def check_server_named(arguments: Table) -> None:
    """406 for a type that has no server-named queues: looked at before all other arguments (rabbit_channel)."""
    field = arguments.get("x-queue-type")
    kind = field.value.decode("utf-8", "replace") if field is not None and field.kind == "S" else CLASSIC
    if kind in (QUORUM, STREAM):
        raise server_named_refused(kind)


def server_named_refused(kind: str) -> AmqpError:
    """A queue declared without a name that is not classic."""
    return AmqpError(406, f"Cannot declare a server-named queue for type rabbit_{kind}_queue")


def _feature_denied(feature: str, profile: Profile) -> AmqpError:
    """A deprecated feature that is not permitted (rabbit_deprecated_features:get_warning)."""
    if profile.features.get(feature, True):
        text = (
            f"Feature `{feature}` is deprecated.\n"
            "Its use is not permitted per the configuration (overriding the default, which is permitted):\n"
            f'    "deprecated_features.permit.{feature} = false"\n'
            "Its use will not be permitted by default in a future minor RabbitMQ version and the feature will be "
            "removed from a future major RabbitMQ version; actual versions to be determined."
        )
    else:
        text = (
            f"Feature `{feature}` is deprecated.\n"
            "By default, this feature is not permitted anymore.\n"
            "The feature will be removed from a future major RabbitMQ version, regardless of the configuration; "
            "actual version to be determined.\nTo continue using this feature when it is not permitted by default, "
            f'set the following parameter in your configuration:\n    "deprecated_features.permit.{feature} = true"'
        )
    return AmqpError(541, text)


# --- exchange.declare


def check_exchange_type(kind: str, profile: Profile) -> None:
    """Refuse a type that does not exist in the profile."""
    missing = kind not in EXCHANGE_TYPES or (kind == "x-local-random" and not profile.local_random_exchange)
    if not missing:
        return
    known = kind in _KNOWN_WORDS or (kind == "x-jms-topic" and profile.jms_topic_known)
    word = "invalid" if known else "unknown"
    code = 503 if profile.unknown_exchange_type_closes_connection else 406
    raise AmqpError(code, f"{word} exchange type '{kind}'")


#: Words that RabbitMQ's VM knows from elsewhere get another adjective (rabbit_registry: binary_to_existing_atom).
_KNOWN_WORDS = frozenset(("", "foo", "queue", "exchange", "test", "default", "match", "random", "stream"))


def alternate_exchange(rendered: str, arguments: Table) -> str | None:
    """The alternate-exchange argument."""
    field = arguments.get("alternate-exchange")
    if field is None:
        return None
    if field.kind != "S":
        raise AmqpError(
            406, f"invalid type '{type_name(field.kind)}' for arg 'alternate-exchange' in {rendered}"
        )
    name: str = field.value.decode("utf-8", "surrogateescape")
    return name
