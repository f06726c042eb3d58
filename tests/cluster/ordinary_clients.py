"""Clients as applications write them, with the ordinary reconnect settings of their libraries: pika's blocking
connection with several hosts, aio-pika's robust connection, Celery with several broker URLs.

Each publishes numbers to a queue of its own and consumes them. A number is used once: what was not confirmed because a
connection ended is not published again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import aio_pika
import celery
import pika
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.exceptions import AMQPError as AiormqError
from kombu.exceptions import KombuError, OperationalError
from pika.exceptions import AMQPError

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"

#: Seconds between two messages of a publisher, and between two attempts to connect.
PACE_S = 0.02
RETRY_S = 0.2


class Account:
    """What one client has published and received. `next`: the number that is published next."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.next = 0
        self.confirmed: set[int] = set()
        self.arrived: dict[int, list[bool]] = {}
        self.stopping = threading.Event()
        self.trouble: list[str] = []
        self._lock = threading.Lock()

    def take(self) -> int:
        """Return a number to publish."""
        with self._lock:
            self.next += 1
            return self.next - 1

    def confirm(self, number: int) -> None:
        """Note that the broker has confirmed a number."""
        with self._lock:
            self.confirmed.add(number)

    def arrive(self, number: int, redelivered: bool) -> None:
        """Note that a number was delivered."""
        with self._lock:
            self.arrived.setdefault(number, []).append(redelivered)

    def works_since(self, number: int) -> bool:
        """Whether something that was published from a number on was confirmed and delivered."""
        with self._lock:
            return any(one >= number and one in self.arrived for one in self.confirmed)

    def missing(self) -> set[int]:
        """What was confirmed and has not been delivered."""
        with self._lock:
            return self.confirmed - self.arrived.keys()

    def unmarked(self) -> list[int]:
        """What was delivered again without a mark."""
        with self._lock:
            return sorted(number for number, marks in self.arrived.items() if not all(marks[1:]))

    def note(self, trouble: BaseException) -> None:
        """Keep what a library has raised, for the output of a test that fails."""
        self.trouble.append(f"{type(trouble).__name__}: {trouble}")


class PikaClients:
    """A publisher and a consumer with blocking connections, which connect again in a loop."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.account = Account("pika")
        self.hosts = [pika.ConnectionParameters("127.0.0.1", port) for port in ports]
        self.threads = [
            threading.Thread(target=self._keep, args=[each], daemon=True)
            for each in (self._publish, self._consume)
        ]
        for thread in self.threads:
            thread.start()

    def _keep(self, work: object) -> None:
        assert callable(work)
        while not self.account.stopping.is_set():
            try:
                with contextlib.closing(pika.BlockingConnection(self.hosts)) as connection:
                    channel = connection.channel()
                    channel.queue_declare("pika", durable=True)
                    work(channel)
            except (AMQPError, OSError) as error:
                self.account.note(error)
                self.account.stopping.wait(RETRY_S)

    def _publish(self, channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
        channel.confirm_delivery()
        while not self.account.stopping.wait(PACE_S):
            number = self.account.take()
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("", "pika", b"%d" % number, properties, mandatory=True)
            self.account.confirm(number)

    def _consume(self, channel: pika.adapters.blocking_connection.BlockingChannel) -> None:
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume("pika", inactivity_timeout=0.1):
            if method is not None:
                self.account.arrive(int(body), method.redelivered)
                channel.basic_ack(method.delivery_tag)
            if self.account.stopping.is_set():
                return

    def stop(self) -> None:
        """End both."""
        self.account.stopping.set()
        for thread in self.threads:
            thread.join()


class AioPikaClients:
    """A publisher and a consumer on a robust connection to one node, which the library connects again."""

    def __init__(self, number: int, port: int) -> None:
        self.account = Account(f"aio-pika at node {number + 1}")
        self.queue = f"aio-pika-{number}"
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/"
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()

    async def _run(self) -> None:
        connection = await aio_pika.connect_robust(self.url)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(20)
            queue = await channel.declare_queue(self.queue, durable=True)
            await queue.consume(self._received)
            publisher = await connection.channel()
            while not self.account.stopping.is_set():
                await asyncio.sleep(PACE_S)
                await self._publish(publisher)

    async def _publish(self, channel: aio_pika.abc.AbstractChannel) -> None:
        number = self.account.take()
        message = aio_pika.Message(b"%d" % number, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            await channel.default_exchange.publish(message, self.queue)
        except (AiormqError, *CONNECTION_EXCEPTIONS) as error:
            self.account.note(error)
            await asyncio.sleep(RETRY_S)
        else:
            self.account.confirm(number)

    async def _received(self, message: AbstractIncomingMessage) -> None:
        self.account.arrive(int(message.body), bool(message.redelivered))
        try:
            await message.ack()
        except (AiormqError, *CONNECTION_EXCEPTIONS) as error:
            self.account.note(error)

    def stop(self) -> None:
        """End both."""
        self.account.stopping.set()
        self.thread.join()


class CeleryClients:
    """A worker process, and a producer that waits for confirms. The worker writes its tasks' numbers to a file."""

    def __init__(self, directory: Path, ports: Sequence[int]) -> None:
        self.account = Account("Celery")
        self.file = directory / "tasks"
        self.file.touch()
        self.read = 0
        self.output = directory / "celery.out"
        url = ";".join(f"amqp://guest:guest@127.0.0.1:{port}//" for port in ports)
        self.app = celery.Celery("producer", broker=url, set_as_current=False)
        self.app.conf.update(broker_transport_options={"confirm_publish": True}, task_ignore_result=True)
        environment = {**os.environ, "CELERY_BROKER_URL": url, "TASKS_FILE": str(self.file)}
        command = "celery", "-A", "cluster_app", "worker", "--concurrency", "2", "--loglevel", "INFO"
        with self.output.open("wb") as output:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=APPS, env=environment, stdout=output, stderr=output
            )
        self.thread = threading.Thread(target=self._publish, daemon=True)
        self.thread.start()

    def _publish(self) -> None:
        while not self.account.stopping.wait(PACE_S):
            number = self.account.take()
            try:
                self.app.send_task("done", [number])
            except (OperationalError, KombuError, OSError) as error:
                self.account.note(error)
                self.account.stopping.wait(RETRY_S)
            else:
                self.account.confirm(number)

    def look(self) -> None:
        """Read what the worker has done since the last time."""
        lines = self.file.read_text().splitlines()
        for line in lines[self.read :]:
            self.account.arrive(int(line), True)  # tasks do not know whether they are redelivered
        self.read = len(lines)

    def stop(self) -> None:
        """End both."""
        self.account.stopping.set()
        self.thread.join()
        self.worker.terminate()
        self.worker.wait()
        self.app.close()
