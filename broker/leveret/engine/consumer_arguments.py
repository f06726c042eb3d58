"""The x-arguments of basic.consume: allowed values, the queue types that have them, and the versions."""

from __future__ import annotations

from msgspec.structs import replace

from leveret import errors
from leveret.engine.arguments import (
    ALL,
    INTEGERS,
    QUORUM,
    STREAM,
    Refusal,
    age,
    consumer_timeout,
)
from leveret.profiles import Profile
from leveret.queues.options import ConsumerOptions, Moment
from leveret.wire import erlang as terms
from leveret.wire.tables import Field, Table, term, type_name

#: Consumer argument -> queue types that have it.
CONSUMER_ARGUMENTS = {
    "x-priority": ALL[:2],
    "x-stream-offset": (STREAM,),
    "x-stream-filter": (STREAM,),
    "x-stream-match-unfiltered": (STREAM,),
    "x-consumer-timeout": (QUORUM,),
}

#: Those of them that 3.10 does not have.
FILTERS = ("x-stream-filter", "x-stream-match-unfiltered")


def consumer_options(rendered: str, kind: str, arguments: Table, profile: Profile) -> ConsumerOptions:
    """Check the arguments of basic.consume: first those of this queue type (`kind`), then that there are no others
    (rabbit_amqqueue:check_consume_arguments). Raises AmqpError."""
    options = ConsumerOptions()
    field = arguments.get("x-priority")
    if field is not None and kind != STREAM:
        if field.kind not in INTEGERS:
            reason = f'"expected integer, got {type_name(field.kind)}"'
            raise errors.invalid_argument("x-priority", rendered, reason)
        options = replace(options, priority=field.value)
    timeout = arguments.get("x-consumer-timeout")
    if timeout is not None and profile.timeout_cancels_consumer and kind == QUORUM:
        try:
            options = replace(options, consumer_timeout=consumer_timeout(timeout, profile))
        except Refusal as refusal:
            raise errors.invalid_argument("x-consumer-timeout", rendered, refusal.reason) from None
    where = arguments.get("x-stream-offset")
    if where is not None and kind == STREAM:
        options = replace(options, stream_offset=_stream_offset(rendered, where, profile))
    foreign = next((name for name in arguments if _foreign(name, kind, profile)), None)
    if foreign is not None:
        raise errors.argument_of_other_type(foreign, rendered, kind)
    return _with_filters(options, arguments, profile) if kind == STREAM else options


def _foreign(name: str, kind: str, profile: Profile) -> bool:
    """Return whether only consumers of other queue types have an argument."""
    unknown = (name == "x-consumer-timeout" and not profile.timeout_cancels_consumer) or (
        name in FILTERS and not profile.stream_filters
    )
    return not unknown and kind not in CONSUMER_ARGUMENTS.get(name, ALL)


def _with_filters(options: ConsumerOptions, arguments: Table, profile: Profile) -> ConsumerOptions:
    field = arguments.get("x-stream-filter")
    filters: tuple[bytes, ...] = ()
    if field is not None and field.kind in "SA" and profile.stream_filters:
        many = field.value if field.kind == "A" else [field]
        filters = tuple(one.value for one in many if one.kind == "S")
        if not filters:
            raise errors.internal_error()
    unfiltered = arguments.get("x-stream-match-unfiltered")
    return replace(
        options,
        stream_filter=filters,
        match_unfiltered=unfiltered is not None and unfiltered.value is True,
    )


def _stream_offset(rendered: str, field: Field, profile: Profile) -> object:
    """Return where to begin: `first`, `last` or `next`, an offset, a `Moment`; or the `Field` itself, which fails
    later."""
    if field.kind in INTEGERS:
        return field.value
    if field.kind == "T":
        return Moment(field.value * 1000, False)
    if field.kind not in "Sx":
        return field
    text = field.value.decode("utf-8", "replace")
    interval = age(text)
    if text in ("first", "last", "next"):
        return text
    if field.kind == "x":
        return field
    if interval is not None:
        return Moment(interval, True)
    if not profile.stream_offset_checked and not text[:1].isdigit():
        raise errors.internal_error()
    reason = f"{{invalid_stream_offset_arg,{terms.pretty(term(field))}}}"
    raise errors.invalid_argument("x-stream-offset", rendered, reason)
