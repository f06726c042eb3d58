"""Whether busy publishers leave others their turn: what a new client and an idle one see during a flood.

Raw publishers without confirms flood a fanout exchange with empty persistent messages, as fast as the socket takes
them. Meanwhile new clients connect, one after another, and an idle one counts on its heartbeats. Printed for each row:
the longest time from the TCP connection to connection.start, the longest silence of the broker towards the idle
client, and the most memory, beside Leveret and beside RabbitMQ 4.3.6 on the same flood in the same run. Limits: 50 ms,
one heartbeat timeout, RabbitMQ's memory.

The floor is a uvloop process that handles no messages: it takes the same flood, uses as much CPU for it, a millisecond
in each turn of its loop, and answers a new client at once. If it takes longer than 50 ms, too, the system has not run
it for so long, and the limit is the floor's time. Command: `python -m benchmarks.fairness`; exit status 1 if a limit is
not met, 2 if a broker failed.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Semaphore
from typing import ClassVar, cast
from urllib.parse import urlsplit

import uvloop
from pamqp import commands

from benchmarks.link import Link, LinkError, declare_queues, delete_queues, publish_bytes
from benchmarks.load import LoadError
from benchmarks.paging import Gauge
from benchmarks.peers import ROOT, Peer, PeerError, exit_on_sigterm, fresh_rabbitmq, leveret, start
from conformance.rabbitmq import RefereeError

#: Queues and publishers of each row.
ROWS = ((1, 1), (1, 3), (10, 3), (50, 3), (300, 5))

EXCHANGE = "bench.fairness"
PUBLISH = publish_bytes(EXCHANGE, "", b"", persistent=True)

#: Longest time from the TCP connection to connection.start, ms.
START_LIMIT_MS = 50.0

#: Heartbeat timeout of the idle client, s. Brokers send one after half of it.
HEARTBEAT_S = 2

FLOOD_S = 8.0
CONNECT_INTERVAL_S = 0.1

#: What Leveret uses for a publish, and for each of its copies, seconds of CPU: about that. The floor uses it, too, so
#: much of it in one turn.
PUBLISH_S, COPY_S, SHARE_S = 0.4e-6, 0.15e-6, 0.001

#: How long a new client waits.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Figures:
    """Of one row on one broker. `start_ms`: the longest time to connection.start; `silence_s`: the longest between two
    heartbeats; `memory`: the most, bytes."""

    start_ms: float
    silence_s: float
    memory: int


def flood(url: str, block: bytes, begun: Semaphore) -> None:
    """Publish for ever: a process of its own. `begun`: released after the first block."""
    sock = Link(url).sock if url.startswith("amqp") else connected(url)
    sock.settimeout(None)
    sock.sendall(block)
    begun.release()
    while True:
        sock.sendall(block)


def connected(url: str) -> socket.socket:
    """A socket, connected to what the address names."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), PATIENCE_S)


@contextlib.contextmanager
def flooding(url: str, publishers: int) -> Iterator[None]:
    """A flood by so many publishers, all of which have begun: starting them is no part of it."""
    context = multiprocessing.get_context("spawn")
    begun = context.Semaphore(0)
    processes: list[SpawnProcess] = [
        context.Process(target=flood, args=(url, PUBLISH * 1000, begun), daemon=True)
        for _ in range(publishers)
    ]
    try:
        for process in processes:
            process.start()
        for _ in processes:
            if not begun.acquire(timeout=PATIENCE_S):
                raise LoadError("a publisher did not begin")
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def start_ms(url: str) -> float:
    """Milliseconds from the TCP connection to connection.start."""
    began = time.perf_counter()
    with connected(url) as sock:
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
            longest = longest_ms(peer.url, seconds, gauge.look)
    finally:
        idle.stop()
    link.sock.settimeout(120)
    delete_queues(link, names)
    link.call(commands.Exchange.Delete(exchange=EXCHANGE))
    link.close()
    return Figures(longest, float("inf") if idle.lost else idle.silence, gauge.most)


# --- the floor


class Burner(asyncio.Protocol):
    """A client of the floor. What a flood sends owes CPU time, `owed` seconds, which is used in shares, a turn of the
    loop for each; its socket is not read meanwhile. `publish_s`: of one publish; `busy`: those that owe."""

    publish_s: ClassVar[float] = 0.0
    busy: ClassVar[deque["Burner"]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client."""
        self.transport = cast(asyncio.Transport, transport)
        self.owed = 0.0

    def data_received(self, data: bytes) -> None:
        """Answer a protocol header, owe for anything else."""
        if data.startswith(b"AMQP"):
            self.transport.write(b"\x01")
            return
        self.owed += len(data) / len(PUBLISH) * self.publish_s
        self.transport.pause_reading()
        self.busy.append(self)
        if len(self.busy) == 1:
            asyncio.get_running_loop().call_soon(self.burn)

    @classmethod
    def burn(cls) -> None:
        """Use the share of one client."""
        one = cls.busy.popleft()
        share = min(SHARE_S, one.owed)
        end = time.thread_time() + share
        while time.thread_time() < end:
            pass
        one.owed -= share
        if one.owed > 0:
            cls.busy.append(one)
        elif not one.transport.is_closing():
            one.transport.resume_reading()
        if cls.busy:
            asyncio.get_running_loop().call_soon(cls.burn)


async def serve_floor(queues: int) -> None:
    """Serve until the process is ended."""
    Burner.publish_s = PUBLISH_S + queues * COPY_S
    server = await asyncio.get_running_loop().create_server(Burner, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def floor_ms(queues: int, publishers: int, seconds: float) -> float:
    """The longest time of the floor in one row."""
    command = [sys.executable, "-m", "benchmarks.fairness", "--floor", str(queues)]
    with start(command, str(ROOT), subprocess.PIPE) as process:
        assert process.stdout is not None
        url = f"floor://127.0.0.1:{process.stdout.readline().decode().strip()}"
        with flooding(url, publishers):
            return longest_ms(url, seconds)


def longest_ms(url: str, seconds: float, look: Callable[[], object] = bool) -> float:
    """The longest time to connection.start of clients that connect one after another. `look`: called after each."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        longest = max(longest, start_ms(url))
        look()
        time.sleep(CONNECT_INTERVAL_S)
    return longest


def line(title: str, ours: Figures, floor: float, theirs: Figures | None) -> tuple[str, bool]:
    """One line of the table, and whether the limits are met."""
    met = ours.start_ms <= max(START_LIMIT_MS, floor) and ours.silence_s <= HEARTBEAT_S
    met = met and (theirs is None or ours.memory <= theirs.memory)
    cells = [title, f"{floor:,.0f}"]
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
    parser.add_argument("--floor", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    if chosen.floor is not None:
        uvloop.run(serve_floor(chosen.floor))
        return 0
    with contextlib.suppress(OSError):  # the broker is measured, not the scheduler
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    rows = [tuple(map(int, row.split("x"))) for row in chosen.row] if chosen.row else ROWS
    print("| | floor | Leveret | | | RabbitMQ | | | |")
    print(
        "| queues x publishers | start, ms | start, ms | silence, s | memory, MB "
        "| start, ms | silence, s | memory, MB | met |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|", flush=True)
    all_met = True
    try:
        with contextlib.ExitStack() as stack:
            rabbitmq = None if chosen.alone else stack.enter_context(fresh_rabbitmq())
            for queues, publishers in rows:
                with leveret() as peer:
                    ours = figures(peer, queues, publishers, chosen.seconds)
                floor = floor_ms(queues, publishers, chosen.seconds)
                theirs = None if rabbitmq is None else figures(rabbitmq, queues, publishers, chosen.seconds)
                text, met = line(f"{queues} x {publishers}", ours, floor, theirs)
                print(text, flush=True)
                all_met = all_met and met
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        print(f"benchmarks.fairness: {error}", file=sys.stderr)
        return 2
    return 0 if all_met else 1


if __name__ == "__main__":
    sys.exit(main())
