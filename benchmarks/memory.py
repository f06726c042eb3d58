"""Memory and start-up time of Leveret and RabbitMQ 4.3.6.

Resident memory is read from /proc after it has stopped changing, on a new broker: idle; for each of many connections
with one channel; for each of many empty queues; for each message of a long backlog (body included). Start-up is the
time from starting the process until an AMQP handshake is answered, the median of several. RabbitMQ runs as a second
node with its own ports and data, so that a running node is not touched.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from statistics import median
from typing import cast

from pamqp import commands

from benchmarks.link import Link, LinkError, declare_queues, delete_queues, publish_bytes
from benchmarks.load import STALLED_SECONDS, Publisher
from benchmarks.peers import (
    RABBITMQ,
    SHIFT,
    START_SECONDS,
    Peer,
    exit_on_sigterm,
    fresh_rabbitmq,
    launched_leveret,
    leveret,
    resident,
)
from conformance import rabbitmq

SETTLE_SECONDS = 0.5  # memory counts as still when it moved less than STILL in this time
STILL = 0.002
SETTLE_TRIES = 20
QUEUE = "bench.memory"


def settled(pid: int) -> int:
    """Return resident bytes once they have stopped changing (after at most ten seconds)."""
    before = resident(pid)
    for _ in range(SETTLE_TRIES):
        time.sleep(SETTLE_SECONDS)
        now = resident(pid)
        if abs(now - before) < before * STILL:
            return now
        before = now
    return before


def idle(peer: Peer, pid: int, count: int) -> float:
    """Return resident bytes of a broker without clients."""
    return settled(pid)


def per_connection(peer: Peer, pid: int, count: int) -> float:
    """Bytes for each of `count` open connections with one channel."""
    Link(peer.url).close()
    before = settled(pid)
    links = [Link(peer.url) for _ in range(count)]
    each = (settled(pid) - before) / count
    for link in links:
        link.sock.close()
    return each


def per_queue(peer: Peer, pid: int, count: int) -> float:
    """Bytes for each of `count` empty transient queues."""
    link = Link(peer.url)
    before = settled(pid)
    declare_queues(link, [f"{QUEUE}.{number:06d}" for number in range(count)])
    each = (settled(pid) - before) / count
    link.close()
    return each


def backlog_transient(peer: Peer, pid: int, count: int) -> float:
    """Bytes for each of `count` ready transient messages of 100 bytes, body included."""
    return _backlog(peer, pid, count, durable=False)


def backlog_persistent(peer: Peer, pid: int, count: int) -> float:
    """Bytes for each of `count` ready, confirmed persistent messages of 100 bytes in a durable queue."""
    return _backlog(peer, pid, count, durable=True)


def _backlog(peer: Peer, pid: int, count: int, *, durable: bool) -> float:
    link = Link(peer.url)
    declare_queues(link, [QUEUE], durable=durable)
    link.call(commands.Confirm.Select())
    before = settled(pid)
    publish = publish_bytes("", QUEUE, b"x" * 100, persistent=durable)
    fill(link, publish, count)
    each = (settled(pid) - before) / count
    link.sock.settimeout(60)
    answer = cast(commands.Queue.DeclareOk, link.call(commands.Queue.Declare(queue=QUEUE, passive=True)))
    if answer.message_count != count:
        raise LinkError(f"{answer.message_count} messages are waiting, not {count}")
    delete_queues(link, [QUEUE])
    link.close()
    return each


def fill(link: Link, publish: bytes, count: int) -> None:
    """Publish `count` times and wait until all are confirmed."""
    publisher = Publisher(link.sock, memoryview(publish * 500), len(publish))
    link.sock.settimeout(STALLED_SECONDS)
    while publisher.confirmed < count:
        sent = publisher.sent // publisher.size
        publisher.send_up_to(min(count, max(sent, publisher.confirmed + 2000)))
        publisher.read()


MEASURES: dict[str, tuple[str, Callable[[Peer, int, int], float], int]] = {
    "idle": ("idle, resident MB", idle, 0),
    "connection": ("a connection with one channel, KB", per_connection, 1000),
    "queue": ("an empty queue, KB", per_queue, 10_000),
    "backlog": ("a waiting 100-byte message, transient, bytes", backlog_transient, 500_000),
    "backlog-persistent": ("a waiting 100-byte message, persistent, bytes", backlog_persistent, 500_000),
}
UNITS = {"idle": 1e6, "connection": 1e3, "queue": 1e3, "backlog": 1.0, "backlog-persistent": 1.0}


FRESH: dict[str, Callable[[], AbstractContextManager[Peer]]] = {
    "leveret": leveret,
    "rabbitmq": fresh_rabbitmq,
}


def handshakes(url: str, deadline: float) -> bool:
    """Whether a broker completes a handshake before `deadline` (monotonic seconds)."""
    while time.monotonic() < deadline:
        try:
            Link(url).sock.close()
        except (OSError, LinkError):
            time.sleep(0.002)
        else:
            return True
    return False


def start_up(name: str, runs: int) -> float:
    """Median seconds from starting the process to a completed AMQP handshake."""
    return median(start_once(name) for _ in range(runs))


def start_once(name: str) -> float:
    """Start and stop once; returns the seconds until a handshake was completed."""
    began = time.monotonic()
    with LAUNCHED[name]() as url:
        if not handshakes(url, began + START_SECONDS):
            raise LinkError(f"{name} does not answer")
        return time.monotonic() - began


@contextmanager
def launched_rabbitmq() -> Iterator[str]:
    """Start the second RabbitMQ node and return its address at once; it is stopped at the end."""
    node = rabbitmq.server(RABBITMQ, SHIFT)
    node.launch()
    try:
        yield node.amqp_url
    finally:
        node.settle()
        node.stop()


LAUNCHED: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "leveret": launched_leveret,
    "rabbitmq": launched_rabbitmq,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a Markdown table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    parser.add_argument("--measure", action="append", choices=[*MEASURES, "start"], help="default: all")
    parser.add_argument("--scale", type=float, default=1.0, help="factor for all counts, for a faster run")
    parser.add_argument("--starts", type=int, default=5, help="number of start-up measurements")
    chosen = parser.parse_args(arguments)
    allow_files()
    exit_on_sigterm()
    brokers = chosen.only.split(",")
    names = chosen.measure or [*MEASURES, "start"]
    print(f"| what | {' | '.join(brokers)} |\n|---|{'---:|' * len(brokers)}")
    for name in names:
        if name == "start":
            cells = [f"{start_up(broker, chosen.starts):.2f}" for broker in brokers]
            title = "start to first handshake, s"
        else:
            title, measure, count = MEASURES[name]
            cells = []
            for broker in brokers:
                with FRESH[broker]() as peer:
                    assert peer.pid is not None
                    amount = measure(peer, peer.pid, max(1, int(count * chosen.scale)))
                cells.append(f"{amount / UNITS[name]:,.1f}")
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
    return 0


def allow_files(wanted: int = 4096) -> None:
    """Raise the process's limit of open files, for a thousand connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
