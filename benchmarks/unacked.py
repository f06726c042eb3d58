"""The memory for many unacknowledged messages, compared with RabbitMQ 4.3.6.

A durable queue is filled with persistent messages. A consumer without a prefetch count gets all of them and
acknowledges none. Then its connection is closed, and they are ready again. Resident memory is measured at each point,
and its peak while they are unacknowledged. Command: `python -m benchmarks.unacked`.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pamqp import commands

from benchmarks.link import Link, LinkError, delete_queues, publish_bytes
from benchmarks.load import LoadError, delivery_shape
from benchmarks.paging import BROKERS, Gauge, fill
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, resident
from conformance.rabbitmq import RefereeError

QUEUE = "bench.unacked"
COUNT = 500_000
SIZE = 100


@dataclass(frozen=True)
class Figures:
    """Resident memory in bytes: before, all ready, the peak while all are unacknowledged, all ready again."""

    idle: int
    ready: int
    held: int
    back: int


def receive(url: str, queue: str, count: int, gauge: Gauge, no_ack: bool = False) -> tuple[Link, bytes]:
    """Get `count` messages and settle none; returns the link, and what else was read."""
    link = Link(url)
    link.sock.settimeout(120)
    link.call(commands.Basic.Consume(queue=queue, consumer_tag="c", no_ack=no_ack))
    head, total = bytes(link._pending), len(link._pending)
    buffer = bytearray(1 << 20)
    read = 0
    while not (size := delivery_shape(head)[0]):
        read = link.sock.recv_into(buffer)
        head += buffer[:read]
        total += read
    while total < size * count:
        read = link.sock.recv_into(buffer)
        total += read
        gauge.look()
    return link, bytes(buffer[read - (total - size * count) : read])


def hold(url: str, count: int, gauge: Gauge) -> None:
    """Get `count` messages, acknowledge none, and close the socket."""
    link, _ = receive(url, QUEUE, count, gauge)
    link.sock.close()


def figures(peer: Peer, count: int, size: int) -> Figures:
    """Fill, hold, and close."""
    assert peer.pid is not None
    idle = resident(peer.pid)
    link = Link(peer.url)
    link.call(commands.Queue.Declare(queue=QUEUE, durable=True))
    link.call(commands.Confirm.Select())
    fill(link, publish_bytes("", QUEUE, b"x" * size, persistent=True), count, Gauge(peer.pid))
    link.close()
    ready, gauge = resident(peer.pid), Gauge(peer.pid)
    hold(peer.url, count, gauge)
    link = Link(peer.url)
    returned = commands.Queue.Declare(queue=QUEUE, passive=True)
    while getattr(link.call(returned), "message_count", 0) < count:
        gauge.look()
    back = resident(peer.pid)
    delete_queues(link, [QUEUE])
    link.close()
    return Figures(idle, ready, gauge.most, back)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unacked", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--size", type=int, default=SIZE, help="body size in octets")
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    print(
        f"| {chosen.count:,} messages of {chosen.size:,} bytes, resident MB | idle | ready | all held | ready again |"
    )
    print("|---|---:|---:|---:|---:|", flush=True)
    try:
        for name in chosen.only.split(","):
            with BROKERS[name]() as peer:
                found = figures(peer, chosen.count, chosen.size)
            cells = (found.idle, found.ready, found.held, found.back)
            print(f"| {name} | {' | '.join(f'{cell / 1e6:,.0f}' for cell in cells)} |", flush=True)
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.unacked: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
