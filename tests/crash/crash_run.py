"""Publish, consume, kill, restart, many times; then check every message.

A confirmed message is delivered in the end. It is delivered again only as redelivered, and not at all if its
acknowledgement, or a later one, was on the disk before the kill. While one broker process runs, the messages of a
publisher arrive in order.
"""

from __future__ import annotations

import os
import random
import re
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import cast

from pamqp import commands

from benchmarks.link import Link
from benchmarks.peers import environment
from tests.crash.client import Consumer, Delivery, Publisher, Record
from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
READY = "Server startup complete"
LISTENING = re.compile(r"started TCP listener on 127\.0\.0\.1:(\d+)")

QUEUES = ("fast", "slow", "fan.1", "fan.2")

#: How many publishes are confirmed in one life of the broker, at least and at most, and how often the clients look at
#: their sockets after that.
CONFIRMS, ROUNDS = (200, 10_000), 30

Client = Publisher | Consumer


class CrashRun:
    """A data directory, and what the clients know about it."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.dice = random.Random(seed)
        self.record = Record()
        self.log = place / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start the broker; returns when it accepts connections."""
        command = [sys.executable, "-m", "tests.crash.serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--http-port", "-1", "--prometheus-port", "-1", "--data-dir", str(self.place / "data")]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out, stderr=out)
        deadline = time.monotonic() + HANG_SECONDS
        while READY not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            os.sched_yield()
        listening = LISTENING.search(self.log.read_text())
        assert listening is not None
        self.url = f"amqp://guest:guest@127.0.0.1:{listening[1]}/"

    def end(self, number: signal.Signals) -> None:
        """Kill it, or stop it with SIGTERM."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(HANG_SECONDS)
        self.record.life += 1

    def declare(self) -> None:
        """Declare two queues that get messages directly, two behind a fanout exchange, and one without consumers."""
        link = Link(self.url)
        for queue in QUEUES:
            link.call(commands.Queue.Declare(queue=queue, durable=True))
        only_one = {"x-max-length": 1}
        link.call(commands.Queue.Declare(queue="fence", durable=True, arguments=only_one))
        link.call(commands.Exchange.Declare(exchange="fan", exchange_type="fanout", durable=True))
        for queue in ("fan.1", "fan.2"):
            link.call(commands.Queue.Bind(queue=queue, exchange="fan"))
        link.close()

    def clients(self, publishing: bool) -> list[Client]:
        """Make a consumer for every queue and, while `publishing`, publishers with large and small windows."""
        record, seed = self.record, self.dice.randrange(1 << 30)
        clients: list[Client] = [
            Consumer(self.url, record, "fast", 200, 1.0, seed),
            Consumer(self.url, record, "slow", 50, 1.0 if not publishing else 0.1, seed),
            Consumer(self.url, record, "fan.1", 100, 1.0 if not publishing else 0.7, seed),
            Consumer(self.url, record, "fan.2", 10, 1.0 if not publishing else 0.4, seed),
        ]
        if publishing:
            clients += [
                Publisher(self.url, record, "a", "", "fast", 500),
                Publisher(self.url, record, "b", "", "fast", 1),
                Publisher(self.url, record, "c", "", "slow", 100),
                Publisher(self.url, record, "d", "fan", "", 100),
                Publisher(self.url, record, "fence", "", "fence", 1, fence=True),
            ]
        return clients

    def load(self) -> None:
        """Publish and consume until so many publishes were confirmed."""
        wanted = self.record.confirms() + self.dice.randint(*CONFIRMS)
        rounds = self.dice.randrange(ROUNDS)

        def done() -> bool:
            nonlocal rounds
            rounds -= self.record.confirms() >= wanted
            return rounds < 0

        self._serve(self.clients(publishing=True), done)

    def drain(self) -> None:
        """Consume and acknowledge until all messages of the queues were delivered."""
        clients = self.clients(publishing=False)
        consumers = [client for client in clients if isinstance(client, Consumer)]
        asking = Link(self.url)
        self._serve(clients, lambda: not self.ready(asking))
        # What was delivered comes before the answer to what is said now.
        for consumer in consumers:
            consumer.say(b"", [])
        self._serve(
            clients, lambda: not any(consumer.unhandled or consumer.outstanding for consumer in consumers)
        )
        asking.close()

    def ready(self, link: Link) -> int:
        """Return how many messages are ready in the queues."""
        answers = [link.call(commands.Queue.Declare(queue=queue, passive=True)) for queue in QUEUES]
        return sum(cast(commands.Queue.DeclareOk, answer).message_count for answer in answers)

    def _serve(self, clients: list[Client], done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + HANG_SECONDS
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client, selectors.EVENT_READ, client)
            while not done():
                assert time.monotonic() < deadline, self.summary()
                for key, _ in selector.select(0.002):
                    key.data.read()
                for client in clients:
                    client.push()
        self.left = clients  # their sockets stay open until the broker is gone

    def run(self, ends: list[signal.Signals]) -> None:
        """Start a broker for each of the ends, and a last one to drain the queues."""
        self.start()
        self.declare()
        for count, number in enumerate(ends, 1):
            self.load()
            self.end(number)
            self.start()
            if count % 20 == 0:
                print(self.summary(), flush=True)
        self.drain()
        self.end(signal.SIGTERM)

    # --- the accounting

    def problems(self) -> list[str]:
        """Return descriptions of everything that is wrong."""
        found: list[str] = []
        for queue, publishers in {"fast": "ab", "slow": "c", "fan.1": "d", "fan.2": "d"}.items():
            deliveries = self.record.deliveries[queue]
            found += self._lost(queue, publishers, deliveries)
            found += self._repeated(queue, deliveries)
            found += self._disordered(queue, deliveries)
            found += self._revived(queue, deliveries)
        return found

    def _lost(self, queue: str, publishers: str, deliveries: list[Delivery]) -> list[str]:
        arrived = {delivery.name for delivery in deliveries}
        return [
            f"{queue}: {publisher} {number} was confirmed and is lost"
            for publisher in publishers
            for number in sorted(self.record.confirmed[publisher])
            if (publisher, number) not in arrived
        ]

    def _repeated(self, queue: str, deliveries: list[Delivery]) -> list[str]:
        found = []
        before: dict[tuple[str, int], Delivery] = {}
        for delivery in deliveries:
            last = before.get(delivery.name)
            if last is not None:
                if not delivery.redelivered:
                    how = f"{'acked' if last.acked_at else 'not acked'} in life {last.life}"
                    found.append(
                        f"{queue}: {delivery.name}, {how}, came again unmarked in life {delivery.life}"
                    )
                if last.life == delivery.life:
                    found.append(f"{queue}: {delivery.name} came twice in life {delivery.life}")
                if 0 < last.handled_at < self.record.safe_to[last.life]:
                    found.append(f"{queue}: {delivery.name} came again, though its ack was on the disk")
            before[delivery.name] = delivery
        return found

    def _disordered(self, queue: str, deliveries: list[Delivery]) -> list[str]:
        found = []
        last: dict[tuple[int, str], int] = {}
        for delivery in deliveries:
            publisher, number = delivery.name
            if number <= last.get((delivery.life, publisher), 0):
                found.append(f"{queue}: {delivery.name} came after {last[delivery.life, publisher]}")
            last[delivery.life, publisher] = number
        return found

    def _revived(self, queue: str, deliveries: list[Delivery]) -> list[str]:
        """Acks reach the disk in the order in which they were sent: a message that comes again was acknowledged after
        all that did not.

        Only confirmed messages count: one that is acknowledged before its batch is written never reaches the disk.
        """
        last = {delivery.name: delivery for delivery in deliveries}
        stayed: dict[int, int] = {}
        for delivery in last.values():
            publisher, number = delivery.name
            if number not in self.record.confirmed[publisher]:
                continue
            stayed[delivery.life] = max(stayed.get(delivery.life, 0), delivery.acked_at)
        return [
            f"{queue}: {delivery.name} came again, acked in life {delivery.life} before others that stayed away"
            for delivery in deliveries
            if delivery is not last[delivery.name] and 0 < delivery.acked_at < stayed.get(delivery.life, 0)
        ]

    def summary(self) -> str:
        """Describe the run in one line."""
        record = self.record
        again = Counter(delivery.redelivered for each in record.deliveries.values() for delivery in each)
        return (
            f"{record.life} ends, {sum(record.sent.values())} published, {record.confirms()} confirmed, "
            f"{again[False] + again[True]} delivered, {again[True]} of them marked as redelivered"
        )

    def close(self) -> None:
        """End the broker and delete its files."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
