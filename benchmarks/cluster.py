"""A cluster of three nodes beside a RabbitMQ cluster of three nodes: `python -m benchmarks.cluster`.

Persistent messages of 16 octets go to a quorum queue with three replicas, in each cluster in turn:

- confirmed messages a second, with as many on their way as the broker takes, through the node that leads the queue (in
  Leveret: that owns the virtual host) and through another node;
- the time of a confirm, with one message on its way, and with a hundred;
- beside that, the time that NATS itself needs for one append of as many octets as a message takes: no confirm through
  it can be earlier;
- the time from SIGKILL of that node until a message that was sent to another node after it is confirmed, with few and
  with many messages in the queue. The client connects again if its connection is reset.

Medians over all rounds are printed, and their ratios. Needs `make build/nats/nats-server`; RabbitMQ is installed from
Debian's packages, which needs root (`conformance/rabbitmq_cluster.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Protocol

from pamqp import commands

from benchmarks.link import Link, LinkError, declare_queues, publish_bytes
from conformance.rabbitmq import RefereeError
from conformance.rabbitmq_cluster import RabbitCluster
from leveret.cluster.nats import NatsSettings, connect
from leveret.cluster.ports import Accepted
from tests.cluster.processes import LocalCluster, accepts, wait_until

QUEUE = "bench"

#: Octets of a basic.ack as a frame; its delivery tag begins at `TAG`.
ACK_BYTES = 21
TAG = 11

#: Messages that are sent with one system call, and single ones that are timed.
TOGETHER = 500
SINGLE = 300

#: Messages on their way, and confirms of them that are timed.
WINDOW = 100
TIMED = 20_000

#: Octets of the record of a message of 16 octets.
RECORD_BYTES = 160

#: Seconds of load before a rate is measured.
WARM_UP_S = 1.0

#: Seconds between two attempts to connect, and seconds that taking over may need.
RECONNECT_S = 0.01
TAKEOVER_S = 120.0

#: Confirms that arrive before a node is killed.
BEFORE_KILL = 50


class Side(Protocol):
    """A cluster that is measured."""

    @property
    def urls(self) -> list[str]:
        """The AMQP addresses of its nodes."""

    def leader(self) -> int:
        """The number of the node that leads the queue."""

    def kill(self, number: int) -> None:
        """Kill a node."""

    def restart(self, number: int) -> None:
        """Start a killed node again, and wait for it."""

    def floor(self) -> float | None:
        """Median time of one append to what replicates the log, milliseconds; None if that cannot be asked alone."""


class Leveret:
    """Three nodes and three NATS servers."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster

    @property
    def urls(self) -> list[str]:
        """The AMQP addresses."""
        return [f"amqp://guest:guest@127.0.0.1:{port}/" for port in self.cluster.ports]

    def leader(self) -> int:
        """The owner of the broker."""
        wait_until(lambda: self.cluster.owner() is not None, self.cluster.logs)
        owner = self.cluster.owner()
        assert owner is not None
        return owner

    def kill(self, number: int) -> None:
        """Kill a node."""
        self.cluster.nodes[number].kill()

    def restart(self, number: int) -> None:
        """Start a node, and wait until it accepts clients and has read the log."""
        node = self.cluster.nodes[number]
        before = len(node.log())
        node.start()
        wait_until(lambda: "has followed the log" in node.log()[before:], self.cluster.logs, TAKEOVER_S)
        wait_until(lambda: accepts(self.cluster.ports[number]), self.cluster.logs)

    def floor(self) -> float | None:
        """Of NATS, through its client, one at a time."""
        return asyncio.run(self._append())

    async def _append(self) -> float:
        servers = tuple(f"nats://127.0.0.1:{port}" for port in self.cluster.nats_ports)
        monitors = tuple(f"http://127.0.0.1:{port}" for port in self.cluster.monitor_ports)
        name = f"floor{secrets.token_hex(4)}"
        storage = await connect(NatsSettings(servers, cluster=name, monitor=monitors))
        log = await storage.create_log("/")
        times = []
        for number in range(SINGLE):
            started = time.perf_counter()
            outcome = await log.append("a", b"x" * RECORD_BYTES, number)
            times.append(time.perf_counter() - started)
            assert outcome == Accepted(number + 1), outcome
        await storage.delete_log("/")
        await storage.close()
        return statistics.median(times) * 1000


class Rabbit:
    """Three RabbitMQ nodes."""

    def __init__(self, cluster: RabbitCluster) -> None:
        self.cluster = cluster

    @property
    def urls(self) -> list[str]:
        """The AMQP addresses."""
        return self.cluster.urls

    def leader(self) -> int:
        """The node that leads the queue, when all members are online."""
        return self.cluster.leader(QUEUE)

    def kill(self, number: int) -> None:
        """Kill a node."""
        self.cluster.kill(number)

    def restart(self, number: int) -> None:
        """Start a node, and wait until it is in the cluster."""
        self.cluster.restart(number)

    def floor(self) -> float | None:
        """Nothing but RabbitMQ appends to the log of a quorum queue."""
        return None


def _acks(link: Link) -> int:
    """Read some confirms; returns the highest delivery tag."""
    data = b""
    while len(data) < ACK_BYTES or len(data) % ACK_BYTES:
        part = link.sock.recv(1 << 16)
        if not part:
            raise LinkError("the connection was closed")
        data += part
    return int.from_bytes(data[-ACK_BYTES + TAG : -ACK_BYTES + TAG + 8], "big")


def _publisher(url: str) -> tuple[Link, bytes]:
    link = Link(url)
    link.call(commands.Confirm.Select())
    return link, publish_bytes("", QUEUE, b"x" * 16, persistent=True)


def _purge(url: str) -> None:
    link = Link(url)
    link.call(commands.Queue.Purge(queue=QUEUE))
    link.close()


def rate(url: str, seconds: float) -> float:
    """Confirmed messages a second, with as many on their way as the broker takes."""
    link, one = _publisher(url)

    def send() -> None:
        with suppress(OSError):  # the socket is closed at the end
            while True:
                link.sock.sendall(one * TOGETHER)

    sender = threading.Thread(target=send)
    began = time.perf_counter()
    sender.start()
    confirmed, now = 0, began
    while now < began + WARM_UP_S:
        confirmed, now = _acks(link), time.perf_counter()
    first, started = confirmed, now
    while now < started + seconds:
        confirmed, now = _acks(link), time.perf_counter()
    link.sock.shutdown(2)
    sender.join()
    link.sock.close()
    return (confirmed - first) / (now - started)


def fill(url: str, count: int) -> None:
    """Publish messages and wait until all are confirmed."""
    link, one = _publisher(url)
    sender = threading.Thread(target=lambda: [link.sock.sendall(one) for _ in range(count)])
    sender.start()
    while count and _acks(link) < count:
        pass
    sender.join()
    link.close()


def latency(url: str) -> float:
    """Median time of a confirm, milliseconds."""
    link, one = _publisher(url)
    times = []
    for number in range(1, SINGLE + 1):
        started = time.perf_counter()
        link.sock.sendall(one)
        while _acks(link) < number:
            pass
        times.append(time.perf_counter() - started)
    link.sock.close()
    return statistics.median(times) * 1000


def latency_of_many(url: str) -> float:
    """Median time of a confirm with `WINDOW` messages on their way, milliseconds. One is sent for each confirm."""
    link, one = _publisher(url)
    sent = [time.perf_counter()] * WINDOW
    link.sock.sendall(one * WINDOW)
    times: list[float] = []
    confirmed = 0
    while confirmed < TIMED:
        up_to, now = _acks(link), time.perf_counter()
        times += [now - each for each in sent[confirmed:up_to]]
        sent += [now] * (up_to - confirmed)
        link.sock.sendall(one * (up_to - confirmed))
        confirmed = up_to
    link.sock.close()
    return statistics.median(times) * 1000


class OneByOne(threading.Thread):
    """A publisher with one message on its way, which connects again when its connection ends. `sent`: when the last
    message that was confirmed was sent; `confirms`: how many were."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.stopping = threading.Event()
        self.sent, self.confirms = 0.0, 0

    def run(self) -> None:
        """Publish until stopped."""
        while not self.stopping.is_set():
            try:
                self._publish()
            except (OSError, LinkError):
                self.stopping.wait(RECONNECT_S)

    def _publish(self) -> None:
        link, one = _publisher(self.url)
        try:
            number = 0
            while not self.stopping.is_set():
                started = time.perf_counter()
                link.sock.sendall(one)
                number += 1
                while _acks(link) < number:
                    pass
                self.sent, self.confirms = started, self.confirms + 1
        finally:
            link.sock.close()


def takeover(side: Side) -> float:
    """Seconds from killing the leader until confirms flow again at another node."""
    leader = side.leader()
    client = OneByOne(side.urls[(leader + 1) % len(side.urls)])
    client.start()
    try:
        wait_until(lambda: client.confirms >= BEFORE_KILL, "nothing is confirmed", TAKEOVER_S)
        started = time.perf_counter()
        side.kill(leader)
        killed = time.perf_counter()
        deadline = killed + TAKEOVER_S
        while client.sent < killed:
            if time.perf_counter() > deadline:
                raise TimeoutError("confirms do not flow again")
            time.sleep(0.001)
        seconds = time.perf_counter() - started
    finally:
        client.stopping.set()
        client.join()
    side.restart(leader)
    return seconds


ROWS = (
    "rate, leader",
    "rate, another node",
    "confirm, leader",
    "floor",
    "confirm, another node",
    "confirm of many",
    "takeover",
    "takeover, full",
)
#: What is printed of a row: its title, how a value is written, whether more is better, the goal of the ratio.
TABLE: dict[str, tuple[str, str, bool, float | None]] = {
    "rate, leader": ("confirmed a second, through the leader", "{:,.0f}", True, 3.0),
    "rate, another node": ("confirmed a second, through another node", "{:,.0f}", True, 2.5),
    "confirm, leader": ("one confirm at the leader, ms", "{:.2f}", False, 1.0),
    "floor": ("one append to NATS alone, ms", "{:.2f}", False, None),
    "confirm of many": (f"a confirm at the leader, {WINDOW} on their way, ms", "{:.2f}", False, 1.0),
    "confirm, another node": ("one confirm at another node, ms", "{:.2f}", False, None),
    "takeover": ("leader killed: confirms flow again after, s", "{:.2f}", False, 1.0),
    "takeover, full": ("the same, many messages in the queue, s", "{:.2f}", False, None),
}


def measure(side: Side, seconds: float) -> dict[str, float]:
    """Rates and times of one round."""
    leader = side.leader()
    at_leader, elsewhere = side.urls[leader], side.urls[(leader + 1) % len(side.urls)]
    found = {}
    for name, look in (
        ("rate, leader", lambda: rate(at_leader, seconds)),
        ("rate, another node", lambda: rate(elsewhere, seconds)),
        ("confirm, leader", lambda: latency(at_leader)),
        ("confirm, another node", lambda: latency(elsewhere)),
        ("confirm of many", lambda: latency_of_many(at_leader)),
    ):
        found[name] = look()
        _purge(at_leader)
    floor = side.floor()
    return found if floor is None else found | {"floor": floor}


def row(name: str, leveret: Sequence[float], rabbitmq: Sequence[float]) -> str:
    """A row of the table: medians, and Leveret's as a ratio to RabbitMQ's."""
    title, form, *_ = TABLE[name]
    cells = [form.format(statistics.median(leveret))]
    if rabbitmq:
        theirs = statistics.median(rabbitmq)
        cells += [form.format(theirs), f"{statistics.median(leveret) / theirs:.2f}", wanted(name)]
    return f"{title:<44}" + "".join(f"{cell:>12}" for cell in cells)


def wanted(name: str) -> str:
    """The goal of a row, as text."""
    *_, more, goal = TABLE[name]
    if goal is None:
        return ""
    return f"{'>=' if more else '<='} {goal:g}"


def _clusters(folder: Path, only: str, open_: ExitStack) -> dict[str, Side]:
    """Start what is measured, with the queue. RabbitMQ is left out, with a line that says why, if it cannot run."""
    sides: dict[str, Side] = {}
    if only in ("", "leveret"):
        cluster = open_.enter_context(LocalCluster(folder, lease=15))
        cluster.start()
        sides["leveret"] = Leveret(cluster)
    if only in ("", "rabbitmq"):
        try:
            sides["rabbitmq"] = Rabbit(open_.enter_context(RabbitCluster()))
        except RefereeError as error:
            print(f"without RabbitMQ: {error}", file=sys.stderr)
    for side in sides.values():
        link = Link(side.urls[side.leader() if isinstance(side, Leveret) else 0])
        declare_queues(link, [QUEUE], durable=True, kind="quorum")
        link.close()
    return sides


def main() -> None:
    """Print the table."""
    line = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    line.add_argument("--rounds", type=int, default=3, help="of rates and confirms (3)")
    line.add_argument("--seconds", type=float, default=4.0, help="of each measurement of a rate (4)")
    line.add_argument(
        "--kills", type=int, default=5, help="of the leader, with few messages and with many (5)"
    )
    line.add_argument(
        "--waiting", type=int, default=100_000, help="messages in the queue meanwhile (100,000)"
    )
    line.add_argument("--only", default="", choices=("leveret", "rabbitmq"))
    options = line.parse_args()
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="leveret-cluster-")))
        sides = _clusters(folder, options.only, open_)
        found: dict[str, dict[str, list[float]]] = {side: {name: [] for name in ROWS} for side in sides}
        for _ in range(options.rounds):
            for label, side in sides.items():
                for name, value in measure(side, options.seconds).items():
                    found[label][name].append(value)
        for name, count in (("takeover", 0), ("takeover, full", options.waiting)):
            for side in sides.values():
                fill(side.urls[side.leader()], count)
            for _ in range(options.kills):
                for label, side in sides.items():
                    found[label][name].append(takeover(side))
    _print(found)


def _print(found: dict[str, dict[str, list[float]]]) -> None:
    names = {"leveret": "Leveret", "rabbitmq": "RabbitMQ"}
    heads = [names[side] for side in found] + (["ratio", "goal"] if len(found) > 1 else [])
    print(f"{'':<44}" + "".join(f"{head:>12}" for head in heads))
    values = list(found.values())
    for name in ROWS:
        if values[0][name]:
            print(row(name, values[0][name], values[1][name] if len(values) > 1 else []))


if __name__ == "__main__":
    main()
