"""How long a message takes from publish to delivery while many come each second.

One connection publishes transient messages of 16 octets at a steady rate, another one consumes them with automatic
acks. Every `TICK_S` seconds, those that are due are written together, and each carries the time of that write. Printed:
medians of interleaved rounds, beside RabbitMQ at the rates that it keeps up with. "-": the messages did not arrive at
the rate at which they were published, and waited longer and longer. Command: `python -m benchmarks.latency`; exit
status 1 if a goal is missed and --check is given, 2 if a broker failed.
"""

import argparse
import contextlib
import functools
import multiprocessing
import socket
import statistics
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Event

from pamqp import commands, frame

from benchmarks.link import Link, LinkError, publish_bytes
from benchmarks.lonely import BROKERS
from benchmarks.peers import Peer, PeerError, exit_on_sigterm
from conformance.rabbitmq import RefereeError

QUEUE = "bench.latency"
TICK_S = 0.0005
WARM_UP_S = 1.0
#: Each so many-th message is timed.
SAMPLE = 20
#: At a lower share of the rate, a broker does not keep up.
KEPT_UP = 0.97
#: Broker -> messages a second.
RATES = {"leveret": (50_000, 500_000), "rabbitmq": (10_000, 50_000)}
#: The most that Leveret's p99 may be at its highest rate, milliseconds.
GOAL_MS = 0.6
STAMP = struct.Struct(">Q8x")


@dataclass(frozen=True)
class Result:
    """`rate`: messages a second that arrived; `p50_ms`, `p99_ms`: from publish to delivery."""

    rate: float
    p50_ms: float
    p99_ms: float


def publish(url: str, rate: int, ready: Event, stop: Event) -> None:
    """Publish at a rate until `stop` is set; in a process of its own."""
    link = Link(url)
    one = publish_bytes("", QUEUE, bytes(STAMP.size))
    stamp_at = len(one) - 1 - STAMP.size  # a frame ends with one octet
    ready.set()
    began, sent = time.perf_counter(), 0
    with contextlib.suppress(OSError):
        while not stop.is_set():
            due = int((time.perf_counter() - began) * rate) - sent
            batch = bytearray(one * due)
            now = STAMP.pack(time.perf_counter_ns())
            for offset in range(8):
                batch[stamp_at + offset :: len(one)] = now[offset : offset + 1] * due
            link.sock.sendall(batch)
            sent += due
            time.sleep(TICK_S)
    link.sock.close()


class Deliveries:
    """What a consumer reads: deliveries of the same size. `took`: seconds of those that are timed."""

    def __init__(self, sock: socket.socket) -> None:
        deliver = commands.Basic.Deliver("c", 1, False, "", QUEUE)
        content = publish_bytes("", QUEUE, bytes(STAMP.size))
        content = content[len(frame.marshal(commands.Basic.Publish(routing_key=QUEUE), 1)) :]
        self.size = len(frame.marshal(deliver, 1)) + len(content)
        self.sock = sock
        self.count = 0
        self.took: list[float] = []
        self._rest = b""

    def read(self, seconds: float) -> None:
        """Read for so long."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.take(self.sock.recv(1 << 20))

    def take(self, data: bytes) -> None:
        """Count and time what has arrived; the part of a delivery waits for its rest. Raises LinkError at the end of
        the connection."""
        now = time.perf_counter()
        if not data:
            raise LinkError("the broker has closed the connection")
        data = self._rest + data
        whole = len(data) // self.size
        stamp_at = self.size - 1 - STAMP.size
        for number in range(-self.count % SAMPLE, whole, SAMPLE):
            (sent,) = STAMP.unpack_from(data, number * self.size + stamp_at)
            self.took.append(now - sent / 1e9)
        self.count += whole
        self._rest = data[whole * self.size :]


def measure(peer: Peer, rate: int, seconds: float) -> Result:
    """One run on one broker."""
    link = Link(peer.url)
    link.call(commands.Queue.Declare(queue=QUEUE, exclusive=False, auto_delete=True))
    link.call(commands.Basic.Consume(queue=QUEUE, consumer_tag="c", no_ack=True))
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    publisher = context.Process(target=publish, args=(peer.url, rate, ready, stop))
    publisher.start()
    try:
        ready.wait()
        found = Deliveries(link.sock)
        found.read(WARM_UP_S)
        found.took.clear()
        before, began = found.count, time.perf_counter()
        found.read(seconds)
        arrived = (found.count - before) / (time.perf_counter() - began)
    finally:
        stop.set()
        link.sock.close()
        publisher.join()
    took = sorted(found.took)
    return Result(arrived, took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (5)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    results: dict[tuple[str, int], list[Result]] = {}
    try:
        with contextlib.ExitStack() as stack:
            peers = {name: stack.enter_context(BROKERS[name]()) for name in chosen.only.split(",")}
            for _ in range(chosen.rounds):
                for name, peer in peers.items():
                    for rate in RATES[name]:
                        found = measure(peer, rate, chosen.seconds)
                        results.setdefault((peer.name, rate), []).append(found)
                        say(f"{peer.name}, {rate:,}/s: p50 {found.p50_ms:.2f}, p99 {found.p99_ms:.2f} ms")
    except (PeerError, LinkError, RefereeError, OSError) as error:
        say(f"benchmarks.latency: {error}")
        return 2
    print("| broker | messages a second | p50, ms | p99, ms |")
    print("|---|---:|---:|---:|")
    for (name, rate), rounds in results.items():
        print(f"| {name} | {rate:,} | {' | '.join(cells(rate, rounds))} |")
    ours = results.get(("Leveret", max(RATES["leveret"])), ())
    missed = bool(ours) and statistics.median(each.p99_ms for each in ours) > GOAL_MS
    if missed:
        print(f"\nOur p99 at {max(RATES['leveret']):,} messages a second is to be at most {GOAL_MS} ms.")
    return 1 if chosen.check and missed else 0


def cells(rate: int, rounds: Sequence[Result]) -> tuple[str, str]:
    """The medians of rounds, as text."""
    if statistics.median(each.rate for each in rounds) < KEPT_UP * rate:
        return "-", "-"
    return (
        f"{statistics.median(each.p50_ms for each in rounds):.2f}",
        f"{statistics.median(each.p99_ms for each in rounds):.2f}",
    )


if __name__ == "__main__":
    sys.exit(main())
