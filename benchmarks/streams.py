"""Reading a stream from its beginning, compared with RabbitMQ 4.3.6: a million messages of 16 bytes, one consumer.

The stream is filled with confirms, at most 2,000 unconfirmed. Then, in interleaved rounds, a new consumer reads all of
it and acknowledges (multiple); deliveries are counted by bytes, and the tag and the offset of the last one must agree
with the count. `--readers` lets several connections read at once. Command: `python -m benchmarks.streams`; --check
compares with the goal.
"""

import argparse
import functools
import selectors
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from pamqp import commands

from benchmarks.link import Link, LinkError, delete_queues, publish_bytes
from benchmarks.load import LoadError, cpu_seconds, delivery_shape
from benchmarks.paging import Gauge, fill
from benchmarks.peers import PEERS, Peer, PeerError, exit_on_sigterm
from conformance.rabbitmq import RefereeError

QUEUE = "bench.stream"
COUNT = 1_000_000
BODY = 16
PREFETCH = 2000
GOAL = 2.0
TIMEOUT = 120.0
_BUFFER = bytearray(1 << 20)


@dataclass
class Reader:
    """A consumer at the beginning of the stream. `head`: what was read before the size of a delivery was known."""

    link: Link
    count: int
    prefetch: int
    head: bytes = b""
    size: int = 0
    received: int = 0
    got: int = 0
    acked: int = 0
    last: bytes = field(default=b"", repr=False)

    def start(self) -> None:
        """Subscribe; octets behind consume-ok count."""
        self.link.call(commands.Basic.Qos(prefetch_count=self.prefetch))
        offset = {"x-stream-offset": "first"}
        self.link.call(commands.Basic.Consume(queue=QUEUE, consumer_tag="c", arguments=offset))
        self.take(bytes(self.link._pending))

    def read(self) -> None:
        """Read what is there."""
        count = self.link.sock.recv_into(_BUFFER)
        if not count:
            raise LoadError("the broker closed the connection")
        self.take(memoryview(_BUFFER)[:count])

    def take(self, data: bytes | memoryview) -> None:
        """Count deliveries, and acknowledge when a quarter of the credit is used up."""
        self.received += len(data)
        if self.size == 0:
            self.head += data
            self.size = delivery_shape(self.head)[0]
        self.got = self.received // self.size if self.size else 0
        if self.got == self.count:
            self.last = (self.last + bytes(data))[-self.size :]
        elif self.got >= self.count - 1:
            self.last += bytes(data)
        if self.got - self.acked >= self.prefetch // 4:
            self.acked = self.got
            self.link.sock.sendall(struct.pack(">BHIHHQBB", 1, 1, 13, 60, 80, self.got, 1, 0xCE))

    def check(self) -> None:
        """Check that everything came, once."""
        offset = b"x-stream-offsetl" + (self.count - 1).to_bytes(8, "big")
        if self.received != self.count * self.size or (
            len(self.last) >= self.size and offset not in self.last
        ):
            raise LoadError(f"{self.received} octets are not {self.count} deliveries of {self.size}")


def replay(url: str, count: int, prefetch: int, readers: int) -> float:
    """Read the whole stream by so many connections at once; returns deliveries a second."""
    everyone = [Reader(Link(url), count, prefetch) for _ in range(readers)]
    with selectors.DefaultSelector() as selector:
        began = time.monotonic()
        for reader in everyone:
            reader.start()
            selector.register(reader.link.sock, selectors.EVENT_READ, reader)
        left = len(everyone)
        while left:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise LoadError("nothing came for too long")
            for key, _ in ready:
                key.data.read()
                if key.data.got >= count:
                    selector.unregister(key.fileobj)
                    left -= 1
        took = time.monotonic() - began
    for reader in everyone:
        reader.check()
        reader.link.close()
    return count * readers / took


def filled(peer: Peer, count: int, body: int) -> float:
    """Fill a stream with so many messages; returns messages a second."""
    assert peer.pid is not None
    link = Link(peer.url)
    delete_queues(link, [QUEUE])
    link.call(
        commands.Queue.Declare(queue=QUEUE, durable=True, arguments={"x-queue-type": "stream"}),
    )
    link.call(commands.Confirm.Select())
    rate = fill(link, publish_bytes("", QUEUE, b"x" * body), count, Gauge(peer.pid))
    link.close()
    return rate


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--body", type=int, default=BODY, help="body size in octets")
    parser.add_argument("--prefetch", type=int, default=PREFETCH)
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the goal is missed")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    rates: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    fills: dict[str, float] = {}
    try:
        with ExitStack() as stack:
            peers = [stack.enter_context(PEERS[name]()) for name in chosen.only.split(",")]
            for peer in peers:
                fills[peer.name] = filled(peer, chosen.count, chosen.body)
                say(f"{peer.name}: filled at {fills[peer.name]:,.0f}/s")
            for number in range(chosen.rounds):
                for peer in peers:
                    assert peer.pid is not None
                    before = cpu_seconds(peer.pid)
                    rate = replay(peer.url, chosen.count, chosen.prefetch, chosen.readers)
                    cpu = (cpu_seconds(peer.pid) - before) * 1e6 / (chosen.count * chosen.readers)
                    rates.setdefault(peer.name, []).append(rate)
                    cpus.setdefault(peer.name, []).append(cpu)
                    say(f"round {number + 1}: {peer.name}: {rate:,.0f}/s, {cpu:.2f} us CPU")
            for peer in peers:
                link = Link(peer.url)
                delete_queues(link, [QUEUE])
                link.close()
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.streams: {error}")
        return 2
    return report(chosen, fills, rates, cpus)


def report(
    chosen: argparse.Namespace,
    fills: dict[str, float],
    rates: dict[str, list[float]],
    cpus: dict[str, list[float]],
) -> int:
    """Print the medians and the ratio; the exit status."""
    what = f"{chosen.count:,} messages of {chosen.body} bytes, {chosen.readers} reader(s)"
    print(f"| {what} | fill, messages/s | replay, messages/s | broker CPU, us a message |")
    print("|---|---:|---:|---:|")
    for name, each in rates.items():
        print(f"| {name} | {fills[name]:,.0f} | {median(each):,.0f} | {median(cpus[name]):.2f} |")
    ours, theirs = rates.get("Leveret"), rates.get("RabbitMQ")
    if not ours or not theirs:
        return 0
    ratio = median(ours) / median(theirs)
    print(f"\nreplay: {ratio:.1f} times RabbitMQ's rate, goal {GOAL:g}")
    return 1 if chosen.check and ratio < GOAL else 0


if __name__ == "__main__":
    sys.exit(main())
