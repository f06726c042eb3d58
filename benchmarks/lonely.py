"""What one message at a time costs: 1,000 messages a second over 50 pairs of connections, beside RabbitMQ and Redis.

With one message at a time there is nothing to batch. Each message is published on one connection and delivered on
another one; with Redis it is LPUSH and BRPOP. Printed: the broker's CPU for each message, medians of interleaved
rounds, and the time from publish to delivery. The floor is a uvloop process that reads and writes the same octets and
does nothing else. Command: `python -m benchmarks.lonely`; exit status 1 if a goal is missed and --check is given, 2 if
a broker failed.
"""

import argparse
import asyncio
import contextlib
import functools
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import uvloop
from pamqp import commands, frame

from benchmarks.link import Link, LinkError, publish_bytes
from benchmarks.load import LoadError
from benchmarks.peers import ROOT, Peer, PeerError, exit_on_sigterm, free_port, leveret, rabbitmq_node, start
from conformance.packages import PackageError, need
from conformance.rabbitmq import RefereeError

RATE = 1000
PAIRS = 50
SECONDS = 8.0
WARM_UP_S = 1.0
#: A message that takes longer is lost.
LOST_S = 10.0
#: RabbitMQ's CPU a message over ours; our p99 over RabbitMQ's.
CPU_GOAL, LATENCY_GOAL = 8.0, 0.5
BODY = b"x" * 16
#: What the floor delivers: as many octets as basic.deliver with this body.
DELIVERY = b"x" * 92


@dataclass(frozen=True)
class Pair:
    """A publisher and a consumer. `publish`: octets of one message; `arrives`: of its delivery; `answers`: of what the
    publisher gets (a confirm); `again`: what the consumer sends for the next one."""

    publisher: socket.socket
    consumer: socket.socket
    publish: bytes
    arrives: int
    answers: int = 0
    again: bytes = b""


@dataclass(frozen=True)
class Result:
    """`cpu_us`: the broker's CPU a message; `p50_ms`, `p99_ms`: from publish to delivery."""

    cpu_us: float
    p50_ms: float
    p99_ms: float


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, to the nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


# --- pairs of each broker


def amqp_pair(peer: Peer, number: int, confirms: bool) -> Pair:
    """A queue with a consumer on a connection of its own."""
    publisher, consumer = Link(peer.url), Link(peer.url)
    name = f"bench.lonely.{number}"
    consumer.call(commands.Queue.Declare(queue=name, exclusive=True))
    consumer.call(commands.Basic.Consume(queue=name, consumer_tag="c", no_ack=True))
    if confirms:
        publisher.call(commands.Confirm.Select())
    message = publish_bytes("", name, BODY)
    deliver = commands.Basic.Deliver("c", 1, False, "", name)
    arrives = (
        len(frame.marshal(deliver, 1))
        + len(message)
        - len(frame.marshal(commands.Basic.Publish(exchange="", routing_key=name), 1))
    )
    return Pair(publisher.sock, consumer.sock, message, arrives, 21 if confirms else 0)


def redis_pair(peer: Peer, number: int, confirms: bool) -> Pair:
    """A list. The answer of LPUSH is there in any case."""
    port = int(peer.url.rpartition(":")[2])
    publisher, consumer = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    for each in (publisher, consumer):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = f"bench.lonely.{number}".encode()
    push, pop = resp(b"LPUSH", name, BODY), resp(b"BRPOP", name, b"0")
    consumer.sendall(pop)
    return Pair(publisher, consumer, push, len(resp(name, BODY)), len(b":1\r\n"), pop)


def resp(*words: bytes) -> bytes:
    """A command or an answer of Redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@contextlib.contextmanager
def redis() -> Iterator[Peer]:
    """A Redis of our own, without persistence."""
    program, port = need("redis-server"), free_port()
    with tempfile.TemporaryDirectory() as place:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", place]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                if time.monotonic() > deadline:
                    raise PeerError("redis-server did not start")
                time.sleep(0.05)
            yield Peer("Redis", f"redis://127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()
            process.wait()


# --- the floor


class Echo(asyncio.BufferedProtocol):
    """A socket that first says which pair it belongs to, and the size of a message: `P7 78` publishes, `C7 78`
    consumes. Each message of a publisher makes the consumer get `DELIVERY`, and the publisher nothing."""

    consumers: ClassVar[dict[bytes, int]] = {}
    buffer = bytearray(65536)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client."""
        self.fd: int = transport.get_extra_info("socket").fileno()
        self.to = b""
        self.size = 0

    def get_buffer(self, sizehint: int) -> bytearray:
        """One buffer for all."""
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        """The first octets name the pair; each further read is a message, or several after a stall."""
        if self.to:
            os.write(
                self.consumers[self.to], DELIVERY if count == self.size else DELIVERY * (count // self.size)
            )
            return
        said = bytes(self.buffer[:count])
        self.to, size = said[1:].split()
        self.size = int(size)
        if said[:1] == b"C":
            self.consumers[self.to] = self.fd
        os.write(self.fd, b"ok")


async def serve_floor() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def floor() -> Iterator[Peer]:
    """The floor in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.lonely", "--floor"]
    with start(command, str(ROOT), subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Peer("floor", f"floor://127.0.0.1:{process.stdout.readline().decode().strip()}", process.pid)


def floor_pair(peer: Peer, number: int, confirms: bool) -> Pair:
    """The octets of an AMQP pair, without a broker."""
    port = int(peer.url.rpartition(":")[2])
    message = publish_bytes("", f"bench.lonely.{number}", BODY)
    socks = []
    for kind in "CP":
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(f"{kind}{number} {len(message)}".encode())
        sock.recv(2)
        socks.append(sock)
    return Pair(socks[1], socks[0], message, len(DELIVERY))


PAIR_MAKERS: dict[str, Callable[[Peer, int, bool], Pair]] = {"Redis": redis_pair, "floor": floor_pair}

BROKERS: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
    "leveret": leveret,
    "rabbitmq": rabbitmq_node,
    "redis": redis,
    "floor": floor,
}


# --- one measurement


class Load:
    """Publishes at a steady rate, round the pairs, and notes when each message arrives."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs
        self.sent = [0.0] * len(pairs)
        self.took: list[float] = []
        self.poll = select.epoll()
        self.by_fd: dict[int, tuple[int, bool]] = {}
        for number, pair in enumerate(pairs):
            for sock, consuming in ((pair.publisher, False), (pair.consumer, True)):
                sock.setblocking(False)
                self.poll.register(sock.fileno(), select.EPOLLIN)
                self.by_fd[sock.fileno()] = (number, consuming)
        self.missing = [0] * len(pairs)

    def run(self, seconds: float) -> int:
        """Publish for so long; returns the number of messages."""
        self.took.clear()
        began = due = time.perf_counter()
        count = 0
        while (now := time.perf_counter()) < began + seconds or any(self.missing):
            if now >= due and now < began + seconds:
                self._publish(count % len(self.pairs))
                count += 1
                due += 1 / RATE
            if now > began + seconds + LOST_S:
                raise LoadError("messages are lost")
            self._read(max(0.0, due - time.perf_counter()))
        return count

    def _publish(self, number: int) -> None:
        pair = self.pairs[number]
        self.missing[number] += pair.arrives
        self.sent[number] = time.perf_counter()
        pair.publisher.send(pair.publish)

    def _read(self, timeout: float) -> None:
        for fd, _ in self.poll.poll(timeout if timeout > 0.0002 else 0):
            number, consuming = self.by_fd[fd]
            pair = self.pairs[number]
            data = (pair.consumer if consuming else pair.publisher).recv(65536)
            if not data:
                raise LoadError("the broker has closed a connection")
            if consuming:
                before = self.missing[number] // -pair.arrives
                self.missing[number] -= len(data)
                after = self.missing[number] // -pair.arrives
                if pair.again and after > before:
                    pair.consumer.send(pair.again * (after - before))  # more than one after a stall
                if self.missing[number] == 0:
                    self.took.append(time.perf_counter() - self.sent[number])


def measure(peer: Peer, confirms: bool, seconds: float) -> Result:
    """One run on one broker."""
    assert peer.pid is not None
    make = PAIR_MAKERS.get(peer.name, amqp_pair)
    pairs = [make(peer, number, confirms) for number in range(PAIRS)]
    try:
        load = Load(pairs)
        load.run(WARM_UP_S)
        before = cpu_seconds(peer.pid)
        count = load.run(seconds)
        cpu = cpu_seconds(peer.pid) - before
        took = sorted(load.took)
        return Result(cpu * 1e6 / count, took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3)
    finally:
        for pair in pairs:
            pair.publisher.close()
            pair.consumer.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lonely", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="leveret,rabbitmq,redis,floor", help="comma-separated brokers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    if chosen.floor:
        uvloop.run(serve_floor())
        return 0
    say = functools.partial(print, file=sys.stderr, flush=True)
    results: dict[tuple[bool, str], list[Result]] = {}
    try:
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(BROKERS[name]()) for name in chosen.only.split(",")]
            for _ in range(chosen.rounds):
                for confirms in (False, True):
                    for peer in peers:
                        if not (confirms and peer.name in PAIR_MAKERS):
                            found = measure(peer, confirms, chosen.seconds)
                            results.setdefault((confirms, peer.name), []).append(found)
                            say(f"{peer.name}{' with confirms' if confirms else ''}: {found.cpu_us:.1f} us")
    except (PeerError, LinkError, LoadError, RefereeError, PackageError, OSError) as error:
        say(f"benchmarks.lonely: {error}")
        return 2
    medians = {key: middle(found) for key, found in results.items()}
    print("| broker | CPU a message, us | p50, ms | p99, ms |")
    print("|---|---:|---:|---:|")
    for (confirms, name), row in medians.items():
        title = f"{name}, with confirms" if confirms else name
        print(f"| {title} | {row.cpu_us:.1f} | {row.p50_ms:.2f} | {row.p99_ms:.2f} |")
    missed = list(goals(medians))
    print("".join(f"\n{text}" for text in missed))
    return 1 if chosen.check and missed else 0


def middle(found: Sequence[Result]) -> Result:
    """The medians of rounds."""
    return Result(
        statistics.median(each.cpu_us for each in found),
        statistics.median(each.p50_ms for each in found),
        statistics.median(each.p99_ms for each in found),
    )


def goals(medians: dict[tuple[bool, str], Result]) -> Iterator[str]:
    """What is not as good as it should be."""
    ours, rabbit, other = (medians.get((False, name)) for name in ("Leveret", "RabbitMQ", "Redis"))
    if ours and rabbit and rabbit.cpu_us < CPU_GOAL * ours.cpu_us:
        yield f"RabbitMQ's CPU is {rabbit.cpu_us / ours.cpu_us:.1f} times ours; the goal is {CPU_GOAL:g}."
    if ours and rabbit and ours.p99_ms > LATENCY_GOAL * rabbit.p99_ms:
        yield f"Our p99 is {ours.p99_ms / rabbit.p99_ms:.2f} of RabbitMQ's; the goal is {LATENCY_GOAL:g}."
    if ours and other and ours.cpu_us >= other.cpu_us:
        yield f"Our CPU is {ours.cpu_us / other.cpu_us:.2f} of Redis'; the goal is less."


if __name__ == "__main__":
    sys.exit(main())
