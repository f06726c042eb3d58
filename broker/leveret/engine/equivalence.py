"""Compares a declaration with the existing queue or exchange (assert_equivalence of rabbit_amqqueue and
rabbit_exchange).

Values are compared with their types: integers of different width can be equal, a string never equals a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.arguments import CLASSIC, QUEUE_ARGUMENTS, QUORUM, STREAM, Argument, age, queue_type
from leveret.profiles import Profile
from leveret.wire.tables import Field, Table, difference

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange

#: Queue type -> arguments that are compared, in RabbitMQ's order (`capabilities` of each queue type).
COMPARED = {
    CLASSIC: (
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-master-locator",
        "x-queue-leader-locator",
    ),
    QUORUM: (
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-queue-type",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
        "x-consumer-disconnected-timeout",
        "x-consumer-timeout",
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
    ),
    STREAM: (
        "x-max-length-bytes",
        "x-queue-type",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-stream-filter-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}

#: What is compared of a quorum queue that is declared as a classic one, if that is permitted.
RELAXED = (
    *(
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
    ),
    *("x-single-active-consumer", "x-message-ttl"),
)

#: Arguments that older versions do not compare.
NEWER = ("x-consumer-timeout", "x-stream-filter-size-bytes")


def queue_equivalence(
    rendered: str,
    queue: Queue,
    *,
    durable: bool,
    auto_delete: bool,
    arguments: Table,
    profile: Profile,
    default_queue_type: str = CLASSIC,
    relaxed: bool = False,
) -> None:
    """Raise 406 unless a declaration is equivalent to the existing queue (rabbit_amqqueue:assert_equivalence).

    Only arguments that the queue type has are compared, by value and type. `relaxed`: of a quorum queue that is
    declared as a classic one only arguments that both types have.
    """
    asked = queue_type(rendered, arguments, profile) or default_queue_type
    if relaxed and (queue.kind, asked) == (QUORUM, CLASSIC):
        for name in RELAXED:
            found = difference(arguments.get(name), queue.arguments.get(name))
            if found is not None:
                raise errors.inequivalent_argument(name, rendered, found)
        return
    for key, received, current in (
        ("durable", durable, queue.durable),
        ("auto_delete", auto_delete, queue.auto_delete),
    ):
        if received != current:
            raise errors.inequivalent_argument(
                key, rendered, f"received '{str(received).lower()}' but current is '{str(current).lower()}'"
            )
    for name in COMPARED[queue.kind]:
        row = QUEUE_ARGUMENTS.get(name)
        if row is None:
            _same_type(rendered, queue, arguments, profile, default_queue_type)
        elif name in NEWER and not profile.newer_arguments_compared:
            continue
        elif queue.kind in row.kinds_in(profile) and row.known(profile):
            found = difference(_as_kept(row, arguments.get(name)), _as_kept(row, queue.arguments.get(name)))
            if found is not None:
                raise errors.inequivalent_argument(name, rendered, found)


def _as_kept(row: Argument, field: Field | None) -> Field | None:
    """Return a value as RabbitMQ compares it: x-max-age in ms."""
    if row.option != "max_age" or field is None or field.kind != "S":
        return field
    return Field("S", str(age(field.value.decode("utf-8", "replace"))).encode())


def _same_type(
    rendered: str, queue: Queue, arguments: Table, profile: Profile, default_queue_type: str
) -> None:
    field = arguments.get("x-queue-type")
    if profile.queue_type_injected:
        asked = field.value.decode("utf-8", "replace") if field is not None else default_queue_type
        asked = asked or default_queue_type
        if field is None and (not queue.durable or queue.auto_delete or queue.owner is not None):
            asked = CLASSIC
        if asked != queue.kind:
            raise errors.inequivalent_argument(
                "x-queue-type", rendered, f"received '{asked}' but current is '{queue.kind}'"
            )
        return
    stored = queue.arguments.get("x-queue-type")
    if {_type_of(field), _type_of(stored)} == {CLASSIC}:
        return
    found = difference(field, stored)
    if found is not None:
        raise errors.inequivalent_argument("x-queue-type", rendered, found)


def _type_of(field: Field | None) -> str:
    return CLASSIC if field is None else field.value.decode("utf-8", "replace")


def exchange_equivalence(
    rendered: str,
    exchange: Exchange,
    *,
    kind: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
) -> None:
    """Raise 406 unless a declaration is equivalent to the existing exchange (rabbit_exchange:assert_equivalence)."""
    if kind != exchange.type:
        raise errors.inequivalent_argument(
            "type", rendered, f"received '{_atom(kind)}' but current is '{_atom(exchange.type)}'"
        )
    for key, received, current in (
        ("durable", durable, exchange.durable),
        ("auto_delete", auto_delete, exchange.auto_delete),
        ("internal", internal, exchange.internal),
    ):
        if received != current:
            raise errors.inequivalent_argument(
                key, rendered, f"received '{str(received).lower()}' but current is '{str(current).lower()}'"
            )
    found = difference(arguments.get("alternate-exchange"), exchange.arguments.get("alternate-exchange"))
    if found is not None:
        raise errors.inequivalent_argument("alternate-exchange", rendered, found)


def _atom(word: str) -> str:
    """Format an exchange type as an Erlang atom: quoted unless it is alphanumeric."""
    return word if word.isalnum() else f"'{word}'"
