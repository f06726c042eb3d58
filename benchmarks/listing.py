"""How much lists of the HTTP API delay AMQP clients: the p99 of a ping-pong, alone and beside the listing of objects.

A process of its own publishes a message to itself every millisecond and notes how long each takes: for some seconds
alone, then for as long while one client asks for the same list again and again. Printed for each list and each broker:
both p99, their difference, and the time of one list. Leveret's difference must be less than 3 ms. Command: `python -m
benchmarks.listing`; exit status 1 if the limit is not met, 2 if a broker failed.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.sharedctypes import SynchronizedArray
from typing import TypeAlias

from pamqp import commands

from benchmarks.link import Link, LinkError, publish_bytes
from benchmarks.load import LoadError
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, leveret, rabbitmq_node
from benchmarks.stalls import PATIENCE_S, PING_S, call_api, many_queues
from conformance.rabbitmq import RefereeError

#: How much the p99 may move, ms.
LIMIT_MS = 3.0
#: Width of a class of the histogram, ms, and how many there are.
CLASS_MS = 0.05
CLASSES = 20_000
#: Time of each measurement, seconds.
MEASURE_S = 5.0

Histogram: TypeAlias = "SynchronizedArray[int]"


class PingPong:
    """A process that plays ping-pong with one broker."""

    def __init__(self, url: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would keep open sockets
        self._counts: Histogram = context.Array("Q", CLASSES)
        self._process = context.Process(target=play, args=(url, self._counts), daemon=True)
        self._process.start()
        deadline = time.monotonic() + PATIENCE_S
        while sum(self._counts.get_obj()) < 200:
            if not self._process.is_alive() or time.monotonic() > deadline:
                raise LoadError("the ping-pong does not begin")
            time.sleep(0.01)

    def p99_during(self, act: Callable[[], object], seconds: float) -> float:
        """The p99 while something is done again and again, ms."""
        before = list(self._counts.get_obj())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            act()
        counts = [now - then for now, then in zip(self._counts.get_obj(), before, strict=True)]
        return p99(counts)

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def p99(counts: Sequence[int]) -> float:
    """The time in a histogram below which 99 % are, ms."""
    left = sum(counts) / 100
    for number in range(len(counts) - 1, -1, -1):
        left -= counts[number]
        if left < 0:
            return (number + 1) * CLASS_MS
    return 0.0


def play(url: str, counts: Histogram) -> None:
    """Publish a message to a consumer of one's own every millisecond, and count how long each took."""
    with contextlib.suppress(OSError):  # the broker is measured, not the scheduler
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    link = Link(url)
    name = f"bench.ping.{os.getpid()}"
    link.call(commands.Queue.Declare(queue=name, exclusive=True))
    link.call(commands.Basic.Consume(queue=name, no_ack=True))
    ping, frames, classes = publish_bytes("", name, b"ping"), link._frames(), counts.get_obj()
    while True:
        began = time.perf_counter()
        link.sock.sendall(ping)
        for _, raw in frames:
            if raw[0] == 3:
                break
        took = time.perf_counter() - began
        classes[min(CLASSES - 1, int(took * 1000 / CLASS_MS))] += 1
        time.sleep(max(0.0, PING_S - took))


# --- the lists


@contextlib.contextmanager
def queues(peer: Peer, count: int) -> Iterator[str]:
    """Many queues."""
    with many_queues(peer, count):
        yield "queues"


@contextlib.contextmanager
def connections(peer: Peer, count: int) -> Iterator[str]:
    """Many connections, of this process."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    links = [Link(peer.url) for _ in range(count)]
    try:
        yield "connections"
    finally:
        for link in links:
            link.sock.close()


LISTS = {"queues": (queues, 10_000), "connections": (connections, 5_000)}


@dataclass(frozen=True)
class Found:
    """What was measured on one broker, ms: the p99 alone and beside the list, and the median time of a list."""

    alone: float
    beside: float
    list_ms: float

    @property
    def moved(self) -> float:
        """How much the p99 moved."""
        return self.beside - self.alone


def measured(peer: Peer, name: str, scale: float, seconds: float) -> Found:
    """Measure one list on one broker."""
    make, count = LISTS[name]
    with make(peer, int(count * scale)) as path:
        client, times = PingPong(peer.url), []

        def ask() -> None:
            began = time.perf_counter()
            call_api(peer, "GET", path)
            times.append((time.perf_counter() - began) * 1000)

        try:
            ask()  # imports, caches
            alone = client.p99_during(lambda: time.sleep(0.05), seconds)
            return Found(alone, client.p99_during(ask, seconds), statistics.median(times[1:]))
        finally:
            client.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listing", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--list", action="append", choices=LISTS, help="one list (repeat for more); all of them"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="multiply the number of objects")
    parser.add_argument("--seconds", type=float, default=MEASURE_S, help="time of each measurement")
    parser.add_argument("--alone", action="store_true", help="without RabbitMQ")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    print(
        "| list | broker | p99 alone, ms | p99 beside, ms | moved by, ms | a list, ms |\n|---|---|---:|---:|---:|---:|"
    )
    met = True
    try:
        with contextlib.ExitStack() as stack:
            peers = {"Leveret": stack.enter_context(leveret())}
            if not chosen.alone:
                peers["RabbitMQ"] = stack.enter_context(rabbitmq_node())
            for name in chosen.list or LISTS:
                for title, peer in peers.items():
                    found = measured(peer, name, chosen.scale, chosen.seconds)
                    met = met and (title != "Leveret" or found.moved < LIMIT_MS)
                    cells = (found.alone, found.beside, found.moved, found.list_ms)
                    count = int(LISTS[name][1] * chosen.scale)
                    shown = " | ".join(f"{cell:,.2f}" for cell in cells)
                    print(f"| {name} ({count:,}) | {title} | {shown} |", flush=True)
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.listing: {error}")
        return 2
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
