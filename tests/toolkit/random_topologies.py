"""Random topologies and conversations for the property tests of the toolkit.

A `Topology` is declared by a pika client, so that it can be recorded. A `Conversation` is what that client does then:
publish, get, settle. The clock is moved by whoever plays it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pika
from hypothesis import strategies as st
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import Broker
from leveret.testing.messages import PublishedMessage

QUEUES = 4
EXCHANGES = 3
KEYS = ("a", "a.b", "b.a", "q0", "q1")
PATTERNS = ("#", "a.*", "*.a", "a", "q1", "b.#")

#: Moments of the broker's clock end here, ms after its start.
TOTAL_MS = 10_000

milliseconds = st.one_of(st.none(), st.integers(1, TOTAL_MS))


@dataclass(frozen=True)
class Queue:
    """A queue and its arguments; `dead`: exchange and key of its dead letters, None for none."""

    quorum: bool
    ttl: int | None
    limit: int | None
    refuses: bool
    expires: int | None
    dead: tuple[str, str | None] | None
    surely: bool

    def arguments(self) -> dict[str, Any]:
        """Return what it is declared with."""
        given: dict[str, Any] = {
            "x-queue-type": "quorum" if self.quorum else None,
            "x-message-ttl": self.ttl,
            "x-max-length": self.limit,
            "x-overflow": "reject-publish" if self.refuses or self._at_least_once else None,
            "x-expires": self.expires,
            "x-max-priority": None if self.quorum else 3,
        }
        if self.dead is not None:
            given["x-dead-letter-exchange"], given["x-dead-letter-routing-key"] = self.dead
        if self._at_least_once:
            given["x-dead-letter-strategy"] = "at-least-once"
        return {name: value for name, value in given.items() if value is not None}

    @property
    def _at_least_once(self) -> bool:
        return self.quorum and self.surely and self.dead is not None


@dataclass(frozen=True)
class Exchange:
    """An exchange: its type, and whether what it cannot route goes to the next one."""

    kind: str
    alternate: bool


@dataclass(frozen=True)
class Binding:
    """A binding from an exchange to a queue, or to a later exchange."""

    source: int
    destination: int
    to_exchange: bool
    pattern: str


@dataclass(frozen=True)
class Topology:
    """Exchanges, queues, bindings, and one delayed exchange."""

    queues: list[Queue]
    exchanges: list[Exchange]
    bindings: list[Binding]

    def declare(self, channel: BlockingChannel) -> None:
        """Declare it."""
        for number, exchange in enumerate(self.exchanges):
            following = {"alternate-exchange": f"x{number + 1}"} if exchange.alternate else {}
            channel.exchange_declare(f"x{number}", exchange.kind, durable=True, arguments=following)
        delayed = {"x-delayed-type": "direct"}
        channel.exchange_declare("later", "x-delayed-message", durable=True, arguments=delayed)
        for number, queue in enumerate(self.queues):
            channel.queue_declare(f"q{number}", durable=True, arguments=queue.arguments())
            channel.queue_bind(f"q{number}", "later", f"q{number}")
        for binding in self.bindings:
            source = f"x{binding.source}"
            if not binding.to_exchange:
                channel.queue_bind(f"q{binding.destination}", source, binding.pattern)
            elif binding.destination > binding.source:  # no circles
                channel.exchange_bind(f"x{binding.destination}", source, binding.pattern)


@dataclass(frozen=True)
class Publish:
    """A message that is published; `delay`: to the delayed exchange, by so many ms."""

    exchange: str
    key: str
    expiration: int | None = None
    delay: int | None = None
    priority: int = 0
    persistent: bool = False
    mandatory: bool = False


@dataclass(frozen=True)
class Get:
    """basic.get of a queue."""

    queue: int


@dataclass(frozen=True)
class Settle:
    """One of the messages that the client holds is acknowledged, rejected or returned."""

    which: int
    how: str


Operation = Publish | Get | Settle


@dataclass
class Client:
    """Carries out operations, on one channel. `held`: delivery tags that it has not settled; `published`: how many
    messages it has published."""

    channel: BlockingChannel
    held: list[int] = field(default_factory=list)
    published: int = 0

    def do(self, operation: Operation) -> None:
        """Carry out one of them."""
        match operation:
            case Publish():
                self._publish(operation)
            case Get(queue):
                self._get(f"q{queue}")
            case Settle(which, how) if self.held:
                tag = self.held.pop(which % len(self.held))
                if how == "ack":
                    self.channel.basic_ack(tag)
                else:
                    self.channel.basic_nack(tag, requeue=how == "requeue")

    def _publish(self, one: Publish) -> None:
        properties = pika.BasicProperties(
            expiration=None if one.expiration is None else str(one.expiration),
            headers=None if one.delay is None else {"x-delay": one.delay},
            priority=one.priority,
            delivery_mode=2 if one.persistent else 1,
        )
        exchange = one.exchange if one.delay is None else "later"
        body = str(self.published).encode()
        self.channel.basic_publish(exchange, one.key, body, properties, mandatory=one.mandatory)
        self.published += 1

    def _get(self, queue: str) -> None:
        method, _, _ = self.channel.basic_get(queue)
        if method is not None:
            self.held.append(method.delivery_tag)


exchange_names = st.sampled_from(["", *(f"x{number}" for number in range(EXCHANGES))])

topologies = st.builds(
    Topology,
    st.lists(
        st.builds(
            Queue,
            st.booleans(),
            milliseconds,
            st.one_of(st.none(), st.integers(1, 3)),
            st.booleans(),
            st.one_of(st.none(), st.integers(TOTAL_MS // 2, 2 * TOTAL_MS)),
            st.one_of(st.none(), st.tuples(exchange_names, st.one_of(st.none(), st.sampled_from(KEYS)))),
            st.booleans(),
        ),
        min_size=QUEUES,
        max_size=QUEUES,
    ),
    st.lists(
        st.builds(Exchange, st.sampled_from(["topic", "direct", "fanout"]), st.booleans()),
        min_size=EXCHANGES,
        max_size=EXCHANGES,
    ),
    st.lists(
        st.builds(
            Binding,
            st.integers(0, EXCHANGES - 1),
            st.integers(0, EXCHANGES - 1),
            st.booleans(),
            st.sampled_from(PATTERNS),
        ),
        max_size=8,
    ),
)

publishes = st.builds(
    Publish,
    exchange_names,
    st.sampled_from(KEYS),
    milliseconds,
    milliseconds,
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)

operations = st.one_of(
    publishes,
    st.builds(Get, st.integers(0, QUEUES - 1)),
    st.builds(Settle, st.integers(0, 3), st.sampled_from(["ack", "nack", "requeue"])),
)


def alive(broker: Broker) -> list[int]:
    """Return the numbers of the queues that have not expired."""
    return [number for number in range(QUEUES) if f"q{number}" in broker.queues]


def history(broker: Broker) -> list[tuple[Any, ...]]:
    """Return all that has happened since the beginning, without the names of connections."""
    return [
        (event.kind, event.at, event.queue, event.channel, event.tag, event.reason, event.message)
        for event in broker.history.events()
    ]


def family(messages: list[PublishedMessage]) -> list[PublishedMessage]:
    """Return messages with all copies that dead lettering has made of them."""
    found = []
    for message in messages:
        found += [message, *family(message.copies)]
    return found


def contents(broker: Broker, began: datetime) -> dict[str, list[tuple[Any, ...]]]:
    """Return the messages of all queues, with times from a beginning."""
    return {
        name: [
            (
                one.body,
                one.state,
                one.exchange,
                one.routing_key,
                [
                    (death["queue"], death["reason"], death["count"])
                    for death in one.headers.get("x-death", [])
                ],
                one.expires_at - began if one.expires_at is not None else None,
            )
            for one in broker.messages(name)
        ]
        for name in sorted(broker.queues)
    }
