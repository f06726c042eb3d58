"""Brokers on stores, without an event loop, sockets or a running clock, for tests of stores.

A `StoreHarness` is a broker on a store. It can be stopped as by SIGTERM, or crash as by kill -9, and be opened again on
what is left. `FakeLoop` runs callbacks when the test asks for it, and can delay syncs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from leveret.clock import VirtualClock
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.engine.vhost import VirtualHost
from leveret.queues.backlog.paging import Pager
from leveret.queues.message import NACKED, Entry, Message, frame_content
from leveret.queues.queue import Queue
from leveret.store.disk import DiskStore
from leveret.store.files import Files
from leveret.testing.memory_store import MemoryContents, MemoryStore
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field
from tests.stores.faults import FaultyFiles


class FakeLoop:
    """A `Background` that runs callbacks when the test asks for it. `slow`: syncs end only by `answer`; `inside`: a
    step of the store's thread is running."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.asked: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []
        self.slow = False
        self.inside = False

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        self.asked.append((wait, done))
        if not self.slow:
            self.soon(self.answer)

    def answer(self) -> None:
        """End the first sync."""
        if self.asked:
            wait, done = self.asked.pop(0)
            problem = None
            self.inside = True
            try:
                wait()
            except OSError as error:
                problem = error
            finally:
                self.inside = False
            done(problem)

    def run(self, rounds: int = 500) -> None:
        """Run what is due, and what follows from it, for so many rounds; retries of a failing disk never end."""
        while self.calls and rounds:
            rounds -= 1
            calls, self.calls = self.calls, []
            for call in calls:
                call()


def message(
    body: bytes, *, persistent: bool = True, priority: int = -1, ttl: int = -1, key: str = "", **headers: int
) -> Message:
    """A message as a channel makes it."""
    properties = Properties(delivery_mode=2 if persistent else 1)
    if priority >= 0:
        properties.priority = priority
    if headers:
        properties.headers = {name: Field("l", value) for name, value in headers.items()}
    content, head = frame_content(encode_properties(properties, len(body)), body)
    made = Message(b"", key.encode(), content, head, len(body))
    made.persistent = persistent
    made.priority = priority
    made.expiration = ttl
    made.shares = 1
    return made


class StoreHarness:
    """A broker on a store that can end and be opened again."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.loop = FakeLoop()
        self.broker: Broker
        self.store: Any
        self.open()

    def make_store(self) -> Any:
        """Open the store on what was kept."""
        raise NotImplementedError

    def kill(self) -> None:
        """End as a killed process: nothing more is written."""
        raise NotImplementedError

    def make_pager(self) -> Pager:
        """The pager of backlogs."""
        return Pager()

    def open(self) -> None:
        """Start a new broker on what was kept."""
        self.loop = FakeLoop()
        self.store = self.make_store()
        self.broker = Broker(clock=self.clock, journal=self.store.journal, pager=self.make_pager())
        self.clock.agenda = self.broker.message_time
        self.store.restore(self.broker)
        if not self.broker.vhosts:
            startup.seed(self.broker)
            self.commit()

    @property
    def vhost(self) -> VirtualHost:
        return self.broker.vhosts["/"]

    def queue(self, name: str) -> Queue:
        return self.vhost.queues[name]

    def declare(self, name: str, *, durable: bool = True, **arguments: int | str) -> Queue:
        """Declare a queue; arguments have their names without `x-`, with `_` for `-`."""
        table = {
            "x-" + argument.replace("_", "-"): Field("S", value.encode())
            if isinstance(value, str)
            else Field("l", value)
            for argument, value in arguments.items()
        }
        return self.vhost.declare_queue(
            name, durable=durable, auto_delete=False, owner=None, arguments=table, user="guest"
        )

    def push(self, name: str, *messages: Message) -> int:
        """Publish directly to a queue; returns the last ticket."""
        ticket = 0
        for one in messages:
            ticket = self.queue(name).push(one)
        self.vhost.publish_dead_letters()
        return ticket

    def fanout(self, names: list[str], one: Message) -> None:
        """Publish one message to several queues."""
        one.shares = len(names)
        for name in names:
            self.queue(name).push(one)

    def get(self, name: str) -> Entry | None:
        """basic.get, with its answer sent."""
        entry = self.queue(name).get(False)
        if entry is not None:
            entry.tag = 1
        self.flush()
        return entry

    def take(self, name: str, count: int) -> list[Entry]:
        """So many basic.get, with their answers sent together."""
        entries = [self.queue(name).get(False) for _ in range(count)]
        taken = [entry for entry in entries if entry is not None]
        for entry in taken:
            entry.tag = 1
        self.flush()
        return taken

    def flush(self) -> None:
        """Write delivered marks, as before output is sent."""
        if isinstance(self.store, DiskStore) and not self.store.write_delivered_marks():
            self.loop.run()
            self.store.write_delivered_marks()

    def ack(self, *entries: Entry) -> None:
        for entry in entries:
            entry.source.settle(entry)

    def requeue(self, *entries: Entry) -> None:
        entries[0].source.requeue(list(entries), NACKED)

    def reject(self, *entries: Entry) -> None:
        for entry in entries:
            entry.source.reject(entry, NACKED)
        self.vhost.publish_dead_letters()

    def commit(self) -> None:
        """Settle everything that was reported so far."""
        self.flush()
        self.loop.run()

    def crash(self) -> None:
        """Kill the broker and start it again."""
        self.kill()
        self.open()

    def restart(self) -> None:
        """Stop the broker as by SIGTERM and start it again."""
        self.commit()
        if isinstance(self.store, DiskStore):
            self.store.close()
        self.open()

    def look(self, name: str) -> list[tuple[bytes, bool]]:
        """Return (body, redelivered) of all ready messages, which stay in the queue."""
        backlog = self.queue(name).backlog
        entries: list[Entry] = []
        while (entry := backlog.pop()) is not None:
            entries.append(entry)
        if entries:
            backlog.requeue(entries)
        return [(entry.message.body, entry.redelivered) for entry in entries]

    def bodies(self, name: str) -> list[bytes]:
        return [body for body, _ in self.look(name)]


class MemoryHarness(StoreHarness):
    """A broker on the memory store."""

    def __init__(self) -> None:
        self.contents = MemoryContents()
        super().__init__()

    def make_store(self) -> MemoryStore:
        return MemoryStore(self.contents)

    def kill(self) -> None:
        """Nothing has to be closed."""


class DiskHarness(StoreHarness):
    """A broker on a data directory. `segment`: octets of a log segment."""

    def __init__(self, directory: Path, files: Files | None = None, segment: int = 1 << 20) -> None:
        self.directory = directory
        self.files = files or Files()
        self.segment = segment
        super().__init__()

    def open(self) -> None:
        """Start a broker; faulty files do not fail meanwhile, because that would stop the start."""
        self.running = False
        if isinstance(self.files, FaultyFiles):
            self.files.calm = True
        super().open()
        self.running = True
        if isinstance(self.files, FaultyFiles):
            self.files.calm = False

    def make_store(self) -> DiskStore:
        return DiskStore(self.directory, self.loop, self.files, self.segment)

    def kill(self) -> None:
        """End without writing anything more; only the descriptors are closed. Does nothing if it has ended."""
        if self.running:
            self.running = False
            self.store.release()

    def logs(self) -> list[Path]:
        """The log segments, oldest first."""
        return sorted((self.directory / "messages").glob("*.log"))
