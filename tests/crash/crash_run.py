"""Load, kill, restart, over and over; then every message is accounted for.

What must hold: a confirmed message is delivered in the end; it comes again only marked as redelivered, and
not at all when it was acknowledged so long before the kill that the acknowledgement was on the disk, or before one
that was; within one life of the broker, one publisher's messages arrive in order.
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
from pathlib import Path

from pamqp import commands

from benchmarks.link import Link
from benchmarks.peers import environment
from tests.crash.client import Consumer, Delivery, Publisher, Record

ROOT = Path(__file__).resolve().parents[2]
READY = "Server startup complete"
LISTENING = re.compile(r"started TCP listener on 127\.0\.0\.1:(\d+)")

#: Seconds after which an ack that was sent must be on the disk, on a busy machine.
SAFE = 1.0

#: Seconds without a delivery after which everything has been delivered.
QUIET = 0.5

Client = Publisher | Consumer


class CrashRun:
    """One data directory and what the clients know of it."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place = place
        self.dice = random.Random(seed)
        self.record = Record()
        self.log = place / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start the broker; returns when it serves."""
        command = [sys.executable, "-m", "tests.crash.serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--http-port", "-1", "--prometheus-port", "-1", "--data-dir", str(self.place / "data")]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out, stderr=out)
        deadline = time.monotonic() + 30
        while READY not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-3000:]
            os.sched_yield()
        listening = LISTENING.search(self.log.read_text())
        assert listening is not None
        self.url = f"amqp://guest:guest@127.0.0.1:{listening[1]}/"

    def end(self, number: signal.Signals) -> None:
        """Kill it, or ask it to stop."""
        assert self.process is not None
        self.record.ends.append(time.monotonic())
        self.process.send_signal(number)
        self.process.wait(30)
        self.record.life += 1

    def declare(self) -> None:
        """Two queues published to directly, two behind a fanout exchange."""
        link = Link(self.url)
        for queue in ("fast", "slow", "fan.1", "fan.2"):
            link.call(commands.Queue.Declare(queue=queue, durable=True))
        link.call(commands.Exchange.Declare(exchange="fan", exchange_type="fanout", durable=True))
        for queue in ("fan.1", "fan.2"):
            link.call(commands.Queue.Bind(queue=queue, exchange="fan"))
        link.close()

    def clients(self, publishing: bool) -> list[Client]:
        """A consumer for every queue; while `publishing`, publishers with wide and narrow windows."""
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
            ]
        return clients

    def load(self, seconds: float) -> None:
        """Publish and consume for a while."""
        deadline = time.monotonic() + seconds
        self._serve(self.clients(publishing=True), lambda: time.monotonic() > deadline)

    def drain(self) -> None:
        """Consume and acknowledge until nothing comes any more."""
        seen, since = -1, time.monotonic()

        def done() -> bool:
            nonlocal seen, since
            count = sum(len(each) for each in self.record.deliveries.values())
            if count != seen:
                seen, since = count, time.monotonic()
            return time.monotonic() - since > QUIET

        self._serve(self.clients(publishing=False), done)

    def _serve(self, clients: list[Client], done: object) -> None:
        with selectors.DefaultSelector() as selector:
            for client in clients:
                selector.register(client, selectors.EVENT_READ, client)
            while not done():  # type: ignore[operator]
                for key, _ in selector.select(0.002):
                    key.data.read()
                for client in clients:
                    client.push()
        self.left = clients  # their sockets stay open until the broker is gone

    def run(self, ends: list[signal.Signals]) -> None:
        """One life for each end, and a last one to drain."""
        self.start()
        self.declare()
        for count, number in enumerate(ends, 1):
            self.load(self.dice.uniform(0.05, 0.5))
            self.end(number)
            self.start()
            if count % 20 == 0:
                print(self.summary(), flush=True)
        self.drain()
        self.end(signal.SIGTERM)

    # --- the accounting

    def problems(self) -> list[str]:
        """What must not be, in words."""
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
                end = self.record.ends[last.life] if last.life < len(self.record.ends) else float("inf")
                if not delivery.redelivered:
                    how = f"{'acked' if last.acked_at else 'not acked'} in life {last.life}"
                    found.append(
                        f"{queue}: {delivery.name}, {how}, came again unmarked in life {delivery.life}"
                    )
                if last.life == delivery.life:
                    found.append(f"{queue}: {delivery.name} came twice in life {delivery.life}")
                if last.acked_at and end - last.acked_at > SAFE:
                    found.append(
                        f"{queue}: {delivery.name} came again {end - last.acked_at:.2f} s after its ack"
                    )
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
        """Acks reach the disk in the order they were sent: what came again was acked after all that stayed away.

        Only what was confirmed counts as staying away: a message that is acknowledged before its batch is written
        never reaches the disk, whatever becomes of the acknowledgements in that batch.
        """
        last = {delivery.name: delivery for delivery in deliveries}
        stayed: dict[int, float] = {}
        for delivery in last.values():
            publisher, number = delivery.name
            if number not in self.record.confirmed[publisher]:
                continue
            stayed[delivery.life] = max(stayed.get(delivery.life, 0.0), delivery.acked_at)
        return [
            f"{queue}: {delivery.name} came again, acked in life {delivery.life} before others that stayed away"
            for delivery in deliveries
            if delivery is not last[delivery.name] and 0 < delivery.acked_at < stayed.get(delivery.life, 0.0)
        ]

    def summary(self) -> str:
        """What was done, in one line."""
        record = self.record
        confirmed = sum(len(numbers) for numbers in record.confirmed.values())
        again = Counter(delivery.redelivered for each in record.deliveries.values() for delivery in each)
        return (
            f"{record.life} ends, {sum(record.sent.values())} published, {confirmed} confirmed, "
            f"{again[False] + again[True]} delivered, {again[True]} of them marked as redelivered"
        )

    def close(self) -> None:
        """Nothing stays behind."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
