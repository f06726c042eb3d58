"""The works: what is published, through which exchange, to how many queues, and how it is consumed.

The four of GOALS belong to `run`; `persistent` (the disk) and `fanout-10` (ten consumers on ten connections instead of
one channel) can be asked for; `curves` makes its own. Queues are exclusive and transient with one consumer each, except
in persistent works. Their names have one length, so that all publishes and all deliveries of a work have the same size.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pamqp import base, commands

from benchmarks.link import Link, declare_queues, delete_queues, publish_bytes

BLOCK_BYTES = 1 << 18
MOST_KEYS = 10_000


@dataclass(frozen=True)
class Work:
    """One kind of traffic. body: bytes; window: messages in flight; bindings: only for a topic exchange."""

    name: str
    body: int = 16
    exchange: str = ""  # its type; empty: the default exchange, by queue name
    queues: int = 1
    connections: int = 1  # over which the consumers are spread
    bindings: int = 0
    confirms: bool = False
    acks: bool = False
    prefetch: int = 0
    persistent: bool = False
    kind: str = ""  # x-queue-type of durable queues; empty: the broker's default
    window: int = 16_384

    def with_window(self, window: int | None) -> "Work":
        """The same work with another number of messages in flight."""
        return self if window is None else replace(self, window=window)


@dataclass(frozen=True)
class Goal:
    """How much better than RabbitMQ 4.3.6 to be: its CPU a message over ours, and our rate over its."""

    cpu: float
    rate: float


WORKS = {
    work.name: work
    for work in (
        Work("auto-ack"),
        Work("confirm", confirms=True, acks=True, prefetch=1000, window=2000),
        Work("fanout", exchange="fanout", queues=10, window=4096),
        Work("auto-ack-1k", body=1024, window=4096),
        Work("persistent", body=100, confirms=True, acks=True, prefetch=1000, window=2000, persistent=True),
        Work("fanout-10", exchange="fanout", queues=10, connections=10, window=4096),
    )
}
TITLES = {
    "auto-ack": "transient, auto-ack, 16 B",
    "confirm": "confirms and acks, 16 B",
    "fanout": "fanout x10, a delivery",
    "auto-ack-1k": "auto-ack, 1 KiB",
    "fanout-10": "fanout x10, ten connections",
    "persistent": "persistent, confirms and acks, 100 B",
}
GOALS = {
    "auto-ack": Goal(30, 16),
    "confirm": Goal(30, 15),
    "fanout": Goal(40, 20),
    "auto-ack-1k": Goal(15, 10),
}


@dataclass
class Setup:
    """A work declared on a broker: open connections and the block of bytes to publish."""

    work: Work
    publisher: Link
    consumers: list[Link]
    block: bytes
    publish_size: int
    copies: int  # deliveries of one message
    queues: list[str]
    url: str

    def close(self) -> None:
        """Close the connections (which removes exclusive queues and the exchange); delete durable queues."""
        for link in [self.publisher, *self.consumers]:
            link.close()
        if self.work.persistent:
            last = Link(self.url)
            delete_queues(last, self.queues)
            last.close()


def set_up(url: str, work: Work) -> Setup:
    """Declare a work's exchange, queues, bindings and consumers, and prepare what will be published."""
    token = secrets.token_hex(4)
    queues = [f"bench.{token}.{number:05d}" for number in range(work.queues)]
    exchange = f"bench.{token}" if work.exchange else ""
    consumers = [Link(url) for _ in range(work.connections)]
    if work.exchange:
        consumers[0].call(
            commands.Exchange.Declare(exchange=exchange, exchange_type=work.exchange, auto_delete=True)
        )
    for number, link in enumerate(consumers):
        own = queues[number :: work.connections]
        declare_queues(link, own, durable=work.persistent, kind=work.kind)
        link.pipeline(_bindings(work, exchange, queues, number))
        if work.prefetch:
            link.call(commands.Basic.Qos(prefetch_count=work.prefetch))
        link.pipeline(
            commands.Basic.Consume(queue=name, consumer_tag=name[-5:], no_ack=not work.acks) for name in own
        )
    publisher = Link(url)
    if work.confirms:
        publisher.call(commands.Confirm.Select())
    publishes = [
        publish_bytes(exchange, key, b"x" * work.body, persistent=work.persistent)
        for key in _keys(work, queues)
    ]
    assert len({len(publish) for publish in publishes}) == 1
    block = b"".join(publishes)
    block *= max(1, BLOCK_BYTES // len(block))
    copies = work.queues if work.exchange == "fanout" else 1
    return Setup(work, publisher, consumers, block, len(publishes[0]), copies, queues, url)


def _bindings(work: Work, exchange: str, queues: list[str], connection: int) -> Iterator[base.Frame]:
    """The bindings of the queues of one connection."""
    if work.exchange == "fanout":
        for name in queues[connection :: work.connections]:
            yield commands.Queue.Bind(queue=name, exchange=exchange)
    elif work.exchange == "topic":
        for number in range(work.bindings):
            place = number % work.queues
            if place % work.connections == connection:
                yield commands.Queue.Bind(
                    queue=queues[place], exchange=exchange, routing_key=f"n{number:06d}.*.end"
                )


def _keys(work: Work, queues: list[str]) -> list[str]:
    """The routing keys, used in turn; each matches one queue (fanout: all of them)."""
    if work.exchange == "fanout":
        return [""]
    if work.exchange == "topic":
        step = max(1, work.bindings // MOST_KEYS)
        return [f"n{number:06d}.any.end" for number in range(0, work.bindings, step)]
    return queues
