"""The x-arguments of queues and exchanges: allowed values, the queue types that have them, and the versions.

To add a queue argument, add a row to `QUEUE_ARGUMENTS`. Field tables are parsed here into typed options; queues never
see them. Error texts are RabbitMQ's (rabbit_amqqueue:check_declare_arguments); the reason in them is an Erlang term.
Unknown arguments are stored and shown, and have no effect, as in RabbitMQ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from leveret import errors
from leveret.profiles import Profile
from leveret.queues.options import QueueOptions
from leveret.routing.types import EXCHANGE_TYPES
from leveret.wire.tables import Field, Table, type_name

#: The longest TTL and expiry: ten years (rabbit_misc), ms.
MAX_EXPIRY_MS = 315_360_000_000

_NEVER = 1 << 62

#: Integers with fewer digits are below that.
_DIGITS = 19

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


#: Checks a field and returns the value of the option, or raises `Refusal`. `Any`: each option has its own type.
Check = Callable[[Field, Profile], Any]


class Refusal(Exception):  # noqa: N818  a value on its way to a text
    """A value is refused. `reason`: in the error text. `whole`: it is the whole text, without `invalid arg` before
    it."""

    def __init__(self, reason: str, whole: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.whole = whole


def bounded(number: int) -> int:
    """Return a number from JSON, where it can have any size, or the nearest one that queues can compute with."""
    return max(-_NEVER, min(number, _NEVER))


# --- checks of values (rabbit_amqqueue, check_*_arg)


def _integer(least: int = 0, most: int | None = None, too_large: str = "value_too_large") -> Check:
    """Make a check for an integer of any width between two limits."""

    def check(field: Field, profile: Profile) -> int:
        value = _any_integer(field, profile)
        if value < 0 and least >= 0:
            raise Refusal(f"{{value_negative,{value}}}")
        if value < least:
            raise Refusal(f"{{value_zero,{value}}}")
        if most is not None and value > most:
            raise Refusal(f"{{{too_large},{value}}}")
        return bounded(value)

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


def _anything(field: Field, profile: Profile) -> int | None:
    """Accept any value; integers and booleans are used."""
    return bounded(field.value) if field.kind in INTEGERS or field.kind == "t" else None


def _text(field: Field, profile: Profile) -> str | None:
    """Accept any value; strings are used."""
    return _string(field, profile) if field.kind == "S" else None


def consumer_timeout(field: Field, profile: Profile) -> int:
    """Return the consumer timeout in ms. Versions that do not check it ignore a value that is no integer."""
    if profile.timeout_cancels_consumer:
        return int(_integer()(field, profile))
    return bounded(field.value) if field.kind in INTEGERS else _NEVER


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
            raise errors.internal_error()
        raise Refusal("invalid_max_age")
    return value


def age(text: str) -> int | None:
    """Parse an age such as `7D`, `1h` or `30s`. Returns ms, or None if it is invalid or zero."""
    found = re.fullmatch(r"0*([0-9]+)([YMDhms])", text)
    if found is None:
        return None
    number = int(found[1]) if len(found[1]) < _DIGITS else _NEVER
    return bounded(number * AGE_UNITS[found[2]]) or None


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


class Argument(Struct, frozen=True):
    """One row: name, queue types that have it (`kinds`), its check, and the field of `QueueOptions` that it sets ("":
    none). `known`: whether a profile knows it."""

    name: str
    kinds: tuple[str, ...]
    check: Check
    option: str = ""
    known: Callable[[Profile], bool] = lambda profile: True

    def kinds_in(self, profile: Profile) -> tuple[str, ...]:
        """Return the queue types that have it in a profile."""
        if self.name == "x-consumer-timeout":
            return profile.consumer_timeout_types
        if self.name == "x-queue-leader-locator" and not profile.classic_leader_locator:
            return (QUORUM, STREAM)
        if self.name == "x-stream-filter-size-bytes" and not profile.filter_size_type_checked:
            return ALL
        return self.kinds


def _delayed_retry(profile: Profile) -> bool:
    return profile.delayed_retry


_BAD_LOCATOR = "invalid_queue_locator_arg"
_LOCATOR = _one_of(_BAD_LOCATOR, "client-local", "balanced", "random", "least-leaders", "min-masters")


def _leader_locator(field: Field, profile: Profile) -> str:
    value: str = _LOCATOR(field, profile)
    if value == "min-masters" and not profile.classic_leader_locator:
        raise Refusal(_BAD_LOCATOR)
    return value


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
        Argument("x-queue-leader-locator", ALL, _leader_locator),
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
    check_type: Callable[[str], None] = lambda kind: None,
) -> tuple[QueueOptions, Table]:
    """Check the arguments of a new queue. Returns them as options, and as they are stored.

    `rendered`: the queue in error texts. `permitted`: whether a deprecated feature may be used. `check_type`: raises an
    error for a queue type that is disabled. Raises `AmqpError` with RabbitMQ's text for the first error.
    """
    kind = queue_type(rendered, arguments, profile)
    if kind is None:
        plain_queue = durable and not exclusive and not auto_delete
        kind = default_queue_type if plain_queue else CLASSIC
    values = _checked(rendered, arguments, kind, profile)
    check_type(kind)
    if "x-queue-master-locator" in arguments and not permitted("queue_master_locator"):
        raise errors.feature_denied(
            "queue_master_locator", profile.features.get("queue_master_locator", True)
        )
    if not durable and not exclusive and not permitted("transient_nonexcl_queues"):
        raise errors.feature_denied(
            "transient_nonexcl_queues", profile.features.get("transient_nonexcl_queues", True)
        )
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
    """Return the x-queue-type, or None for the default."""
    field = arguments.get("x-queue-type")
    if field is None:
        return None
    if field.kind != "S":
        raise errors.invalid_argument(
            "x-queue-type", rendered, f"{{unacceptable_type,{type_name(field.kind)}}}"
        )
    name: str = field.value.decode("utf-8", "replace")
    if name == "" and profile.empty_queue_type_is_default:
        return None
    if name not in ALL:
        raise errors.invalid_argument("x-queue-type", rendered, f"\"unsupported queue type '{name}'\"")
    return name


def _checked(rendered: str, arguments: Table, kind: str, profile: Profile) -> dict[str, Any]:
    """Return the values of known arguments. First the arguments of this queue type are checked, then that there are no
    others, then limits of the queue type itself (rabbit_amqqueue:check_declare_arguments)."""
    values: dict[str, Any] = {}  # field of `QueueOptions` -> value, as of its `Check`
    target = arguments.get("x-dead-letter-exchange")
    if target is not None and target.kind != "S":
        raise errors.argument_kind("x-dead-letter-exchange", rendered, type_name(target.kind))
    rows = [row for row in QUEUE_ARGUMENTS.values() if row.name in arguments and row.known(profile)]
    too_much: Refusal | None = None
    for row in rows:
        if kind not in row.kinds_in(profile):
            continue
        try:
            value = row.check(arguments[row.name], profile)
        except Refusal as refusal:
            if not refusal.whole:
                raise errors.invalid_argument(row.name, rendered, refusal.reason) from None
            too_much = too_much or refusal
            continue
        if row.name == "x-dead-letter-routing-key" and "x-dead-letter-exchange" not in arguments:
            raise errors.invalid_argument(row.name, rendered, "routing_key_but_no_dlx_defined")
        if row.option:
            values[row.option] = value
    foreign = next((name for name in arguments if _foreign(name, kind, profile)), None)
    if foreign is not None:
        raise errors.argument_of_other_type(foreign, rendered, kind)
    if too_much is not None:
        raise errors.argument_beyond_limit(too_much.reason)
    return values


def _foreign(name: str, kind: str, profile: Profile) -> bool:
    """Return whether only other queue types have an argument."""
    row = QUEUE_ARGUMENTS.get(name)
    return row is not None and row.known(profile) and kind not in row.kinds_in(profile)


def _check_properties(rendered: str, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    """Raise 406 for properties that quorum queues and streams cannot have."""
    for wrong, name in (
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (not durable, "non-durable"),
    ):
        if wrong:
            raise errors.invalid_property(name, rendered)


def check_server_named(arguments: Table) -> None:
    """Raise 406 for a queue type without server-named queues. RabbitMQ checks this before all other arguments
    (rabbit_channel)."""
    field = arguments.get("x-queue-type")
    kind = field.value.decode("utf-8", "replace") if field is not None and field.kind == "S" else CLASSIC
    if kind in (QUORUM, STREAM):
        raise errors.server_named_refused(kind)


# --- exchange.declare


def check_exchange_type(kind: str, profile: Profile) -> None:
    """Raise an error for an exchange type that does not exist in the profile."""
    missing = kind not in EXCHANGE_TYPES or (kind == "x-local-random" and not profile.local_random_exchange)
    if not missing:
        return
    known = kind in _KNOWN_WORDS or (kind == "x-jms-topic" and profile.jms_topic_known)
    raise errors.exchange_type_refused(kind, known, profile.unknown_exchange_type_closes_connection)


#: Words that RabbitMQ's VM has as atoms for other reasons; the text for these differs (rabbit_registry:
#: binary_to_existing_atom).
_KNOWN_WORDS = frozenset(
    ("", "foo", "queue", "exchange", "test", "default", "match", "random", "stream", "undefined")
)


def alternate_exchange(rendered: str, arguments: Table) -> str | None:
    """Return the argument alternate-exchange. Raises 406 if it is no string."""
    field = arguments.get("alternate-exchange")
    if field is None:
        return None
    if field.kind != "S":
        raise errors.argument_kind("alternate-exchange", rendered, type_name(field.kind))
    name: str = field.value.decode("utf-8", "surrogateescape")
    return name
