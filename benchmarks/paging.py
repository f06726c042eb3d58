"""A long queue in little memory, compared with RabbitMQ 4.3.6: fill a queue, measure resident memory, drain it.

Publishes have confirms, at most 2,000 unconfirmed; then one consumer with acks drains everything. Resident memory is
measured all the time, and its peak printed. The rate of draining is compared with that of a short queue of the same
broker, which is filled and drained again and again. Command: `python -m benchmarks.paging`.
"""

import argparse
import functools
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pamqp import commands

from benchmarks.link import Link, LinkError, delete_queues, publish_bytes
from benchmarks.load import LoadError, Publisher, delivery_shape
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, fresh_rabbitmq, leveret, resident
from conformance.rabbitmq import RefereeError

QUEUE = "bench.paging"
COUNT = 10_000_000
SHORT = 20_000
MEMORY_GOAL = 300e6
PREFETCH = 2000
LOOK = 0.1  # seconds between two looks at memory

BROKERS: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
    "leveret": leveret,
    "rabbitmq": fresh_rabbitmq,
}


class Gauge:
    """The largest memory of a process that was measured."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.most = 0
        self._next = 0.0

    def look(self) -> None:
        """Measure, unless that was just done."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LOOK
            self.most = max(self.most, resident(self.pid))


@dataclass(frozen=True)
class Figures:
    """Results of one queue on one broker. Rates: messages a second; memory: bytes."""

    filled: float
    drained: float
    memory: int
    short: float


def fill(link: Link, publish: bytes, count: int, gauge: Gauge) -> float:
    """Publish `count` times and wait until all are confirmed; returns messages a second."""
    publisher = Publisher(link.sock, memoryview(publish * 500), len(publish))
    link.sock.settimeout(120)
    began = time.monotonic()
    while publisher.confirmed < count:
        sent = publisher.sent // publisher.size
        publisher.send_up_to(min(count, max(sent, publisher.confirmed + 2000)))
        publisher.read()
        gauge.look()
    return count / (time.monotonic() - began)


def drain(url: str, count: int, gauge: Gauge) -> float:
    """Consume and acknowledge `count` messages; returns messages a second."""
    link = Link(url)
    link.sock.settimeout(120)
    link.call(commands.Basic.Qos(prefetch_count=PREFETCH))
    began = time.monotonic()
    link.call(commands.Basic.Consume(queue=QUEUE, consumer_tag="c"))
    head = bytes(link._pending)
    buffer = bytearray(1 << 20)
    size = total = got = acked = 0
    while got < count:
        read = link.sock.recv_into(buffer) if not (size == 0 and delivery_shape(head)[0]) else 0
        if size == 0:
            head += bytes(buffer[:read])
            size = delivery_shape(head)[0]
            total = len(head)
        else:
            total += read
        got = total // size if size else 0
        if got - acked >= PREFETCH // 4 or got == count:
            acked = got
            link.sock.sendall(struct.pack(">BHIHHQBB", 1, 1, 13, 60, 80, got, 1, 0xCE))
        gauge.look()
    rate = count / (time.monotonic() - began)
    link.close()
    return rate


def figures(peer: Peer, count: int, durable: bool, kind: str) -> Figures:
    """Fill and drain a long queue, then short ones until as many messages were consumed as make a second."""
    assert peer.pid is not None
    publish = publish_bytes("", QUEUE, b"x" * 100, persistent=durable)
    arguments = {"x-queue-type": kind} if kind else {}
    link = Link(peer.url)
    gauge = Gauge(peer.pid)
    link.call(commands.Queue.Declare(queue=QUEUE, durable=True, arguments=arguments))
    link.call(commands.Confirm.Select())
    filled = fill(link, publish, count, gauge)
    drained = drain(peer.url, count, gauge)
    short = []
    for _ in range(10):
        link.close()
        link = Link(peer.url)
        link.call(commands.Confirm.Select())
        fill(link, publish, SHORT, Gauge(peer.pid))
        short.append(drain(peer.url, SHORT, Gauge(peer.pid)))
    delete_queues(link, [QUEUE])
    link.close()
    return Figures(filled, drained, gauge.most, sorted(short)[len(short) // 2])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paging", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    parser.add_argument("--transient", action="store_true", help="publish transient messages")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    found: dict[str, Figures] = {}
    try:
        for name in chosen.only.split(","):
            with BROKERS[name]() as peer:
                found[name] = figures(peer, chosen.count, not chosen.transient, "classic")
                say(f"{name}: {found[name]}")
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.paging: {error}")
        return 2
    head = ("fill, messages/s", "drain", "short queue's drain", "peak resident MB")
    print(f"| {chosen.count:,} messages of 100 bytes in one queue | {' | '.join(head)} |")
    print("|---|---:|---:|---:|---:|")
    for name, each in found.items():
        print(
            f"| {name} | {each.filled:,.0f} | {each.drained:,.0f} | {each.short:,.0f} | {each.memory / 1e6:,.0f} |"
        )
    ours, theirs = found.get("leveret"), found.get("rabbitmq")
    met = ours is None or (ours.memory <= MEMORY_GOAL and ours.drained * 2 >= ours.short)
    met = met and (ours is None or theirs is None or ours.memory <= theirs.memory)
    return 1 if chosen.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
