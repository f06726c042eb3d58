"""Brokers on stores, without a loop, a socket or a clock that runs: what the contract and the model act on.

A `StoreHarness` is one broker on one store. It can be stopped, as SIGTERM does, or crash, as kill -9 does, and
opened again on what is left. `FakeLoop` stands for the event loop: it runs what is due when the test asks
for it, and can delay the disk.
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
    """A `Background` that runs calls when the test asks for it. `slow`: the disk answers only to `answer`."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.asked: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []
        self.slow = False

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None], small: bool) -> None:
        self.asked.append((wait, done))
        if not self.slow:
            self.soon(self.answer)

    def answer(self) -> None:
        """The disk has done what it was asked first."""
        if self.asked:
            wait, done = self.asked.pop(0)
            problem = None
            try:
                wait()
            except OSError as error:
                problem = error
            done(problem)

    def run(self, rounds: int = 500) -> None:
        """Everything that is due, and what follows from it; retries of a disk that refuses go on for ever."""
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
    """A broker on a store that can be left and entered again."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.loop = FakeLoop()
        self.broker: Broker
        self.store: Any
        self.open()

    def make_store(self) -> Any:
        """The store, on what there was before."""
        raise NotImplementedError

    def kill(self) -> None:
        """As a killed process: nothing more is written."""
        raise NotImplementedError

    def make_pager(self) -> Pager:
        """Where long backlogs go."""
        return Pager()

    def open(self) -> None:
        """A new broker on what is kept."""
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
        """A queue; arguments by their names without `x-`, `_` for `-`."""
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
        """Publish straight to a queue; the last ticket."""
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
        """basic.get, the answer sent."""
        entry = self.queue(name).get(False)
        if entry is not None:
            entry.tag = 1
        self.flush()
        return entry

    def take(self, name: str, count: int) -> list[Entry]:
        """So many basic.get, answered together."""
        entries = [self.queue(name).get(False) for _ in range(count)]
        taken = [entry for entry in entries if entry is not None]
        for entry in taken:
            entry.tag = 1
        self.flush()
        return taken

    def flush(self) -> None:
        """What the edge does before it sends."""
        if isinstance(self.store, DiskStore):
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
        """Have everything settled that was reported so far."""
        self.flush()
        self.loop.run()

    def crash(self) -> None:
        """kill -9, and start again."""
        self.kill()
        self.open()

    def restart(self) -> None:
        """Stop as on SIGTERM, and start again."""
        self.commit()
        if isinstance(self.store, DiskStore):
            self.store.close()
        self.open()

    def look(self, name: str) -> list[tuple[bytes, bool]]:
        """(body, redelivered) of everything ready, which is taken out and put back behind the queue's
        back."""
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
    """On the model."""

    def __init__(self) -> None:
        self.contents = MemoryContents()
        super().__init__()

    def make_store(self) -> MemoryStore:
        return MemoryStore(self.contents)

    def kill(self) -> None:
        """What is kept is kept."""


class DiskHarness(StoreHarness):
    """On a data directory. `segment`: octets of a segment, small enough that a test has several."""

    def __init__(self, directory: Path, files: Files | None = None, segment: int = 1 << 20) -> None:
        self.directory = directory
        self.files = files or Files()
        self.segment = segment
        super().__init__()

    def open(self) -> None:
        """A disk that refuses while the broker starts keeps it from starting; here it waits until then."""
        if isinstance(self.files, FaultyFiles):
            self.files.calm = True
        super().open()
        if isinstance(self.files, FaultyFiles):
            self.files.calm = False

    def make_store(self) -> DiskStore:
        return DiskStore(self.directory, self.loop, self.files, self.segment)

    def kill(self) -> None:
        """The descriptors are closed, as the system does it."""
        self.store.release()

    def logs(self) -> list[Path]:
        """The segments, oldest first."""
        return sorted((self.directory / "messages").glob("*.log"))
