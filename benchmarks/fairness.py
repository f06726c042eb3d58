"""Whether busy publishers leave others their turn: what a new client and an idle one see during a flood.

Raw publishers without confirms flood a fanout exchange with empty persistent messages, as fast as the socket takes
them. Meanwhile new clients connect, one after another, and an idle one counts on its heartbeats. Printed for each row:
the longest time from the TCP connection to connection.start, the longest silence of the broker towards the idle
client, and the most memory, beside Leveret and beside RabbitMQ 4.3.6 on the same flood in the same run. Limits: 50 ms,
one heartbeat timeout, RabbitMQ's memory. Command: `python -m benchmarks.fairness`; exit status 1 if a limit is not
met, 2 if a broker failed.
"""

import argparse
import contextlib
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from urllib.parse import urlsplit

from pamqp import commands

from benchmarks.link import Link, LinkError, declare_queues, delete_queues, publish_bytes
from benchmarks.load import LoadError
from benchmarks.memory import fresh_rabbitmq
from benchmarks.paging import Gauge
from benchmarks.peers import Peer, PeerError, exit_on_sigterm, leveret
from conformance.rabbitmq import RefereeError

#: Queues and publishers of each row.
ROWS = ((1, 1), (1, 3), (10, 3), (50, 3), (300, 5))

EXCHANGE = "bench.fairness"

#: Longest time from the TCP connection to connection.start, ms.
START_LIMIT_MS = 50.0

#: Heartbeat timeout of the idle client, s. Brokers send one after half of it.
HEARTBEAT_S = 2

FLOOD_S = 8.0
CONNECT_INTERVAL_S = 0.1

#: How long a new client waits.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Figures:
    """Of one row on one broker. `start_ms`: the longest time to connection.start; `silence_s`: the longest between two
    heartbeats; `memory`: the most, bytes."""

    start_ms: float
    silence_s: float
    memory: int


def flood(url: str, block: bytes) -> None:
    """Publish for ever: a process of its own."""
    link = Link(url)
    link.sock.settimeout(None)
    while True:
        link.sock.sendall(block)


@contextlib.contextmanager
def flooding(url: str, publishers: int) -> Iterator[None]:
    """A flood by so many publishers."""
    block = publish_bytes(EXCHANGE, "", b"", persistent=True) * 1000
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = [
        context.Process(target=flood, args=(url, block), daemon=True) for _ in range(publishers)
    ]
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def start_ms(url: str) -> float:
    """Milliseconds from the TCP connection to connection.start."""
    parts = urlsplit(url)
    began = time.perf_counter()
    with socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE_S) as sock:
        sock.sendall(b"AMQP\0\0\x09\x01")
        if not sock.recv(1):
            raise LoadError("a new connection was closed")
        return (time.perf_counter() - began) * 1000


class IdleClient:
    """A client that does nothing but send heartbeats. `silence`: the longest time in which it received none, s."""

    def __init__(self, url: str) -> None:
        self._link = Link(url, heartbeat=HEARTBEAT_S)
        self.silence = 0.0
        self.lost = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        sock = self._link.sock
        sock.settimeout(HEARTBEAT_S / 8)
        heard = time.monotonic()
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                self.lost = self.lost or not sock.recv(4096)
                heard = time.monotonic()
            self.silence = max(self.silence, time.monotonic() - heard)
            if self.lost:
                return
            sock.sendall(b"\x08\0\0\0\0\0\0\xce")

    def stop(self) -> None:
        """Hang up."""
        self._over.set()
        self._thread.join()
        self._link.sock.close()


def figures(peer: Peer, queues: int, publishers: int, seconds: float) -> Figures:
    """One row."""
    assert peer.pid is not None
    link = Link(peer.url)
    names = [f"{EXCHANGE}.{number}" for number in range(queues)]
    link.call(commands.Exchange.Declare(exchange=EXCHANGE, exchange_type="fanout", durable=True))
    declare_queues(link, names, durable=True)
    link.pipeline(commands.Queue.Bind(queue=name, exchange=EXCHANGE) for name in names)
    idle, gauge, longest = IdleClient(peer.url), Gauge(peer.pid), 0.0
    try:
        with flooding(peer.url, publishers):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                longest = max(longest, start_ms(peer.url))
                gauge.look()
                time.sleep(CONNECT_INTERVAL_S)
    finally:
        idle.stop()
    link.sock.settimeout(120)
    delete_queues(link, names)
    link.call(commands.Exchange.Delete(exchange=EXCHANGE))
    link.close()
    return Figures(longest, float("inf") if idle.lost else idle.silence, gauge.most)


def line(title: str, ours: Figures, theirs: Figures | None) -> tuple[str, bool]:
    """One line of the table, and whether the limits are met."""
    met = ours.start_ms <= START_LIMIT_MS and ours.silence_s <= HEARTBEAT_S
    met = met and (theirs is None or ours.memory <= theirs.memory)
    cells = [title]
    for found in (ours, theirs):
        cells += (
            ["", "", ""]
            if found is None
            else [f"{found.start_ms:,.0f}", f"{found.silence_s:,.1f}", f"{found.memory / 1e6:,.0f}"]
        )
    return f"| {' | '.join([*cells, 'yes' if met else 'no'])} |", met


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--row", action="append", help="one row, QUEUESxPUBLISHERS (repeat for more); all of them"
    )
    parser.add_argument("--seconds", type=float, default=FLOOD_S, help="length of each flood")
    parser.add_argument("--alone", action="store_true", help="without RabbitMQ")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    with contextlib.suppress(OSError):  # the broker is measured, not the scheduler
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    rows = [tuple(map(int, row.split("x"))) for row in chosen.row] if chosen.row else ROWS
    print("| | Leveret | | | RabbitMQ | | | |")
    print(
        "| queues x publishers | start, ms | silence, s | memory, MB | start, ms | silence, s | memory, MB | met |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---|", flush=True)
    all_met = True
    try:
        with contextlib.ExitStack() as stack:
            rabbitmq = None if chosen.alone else stack.enter_context(fresh_rabbitmq())
            for queues, publishers in rows:
                with leveret() as peer:
                    ours = figures(peer, queues, publishers, chosen.seconds)
                theirs = None if rabbitmq is None else figures(rabbitmq, queues, publishers, chosen.seconds)
                text, met = line(f"{queues} x {publishers}", ours, theirs)
                print(text, flush=True)
                all_met = all_met and met
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        print(f"benchmarks.fairness: {error}", file=sys.stderr)
        return 2
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
