"""Brokers on stores, without an event loop, sockets or a running clock, for tests of stores.

A `StoreHarness` is a broker on a store. It can be stopped as by SIGTERM, or crash as by kill -9, and be opened again on
what is left. `FakeLoop` runs callbacks when the test asks for it, and can delay syncs.
"""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from leveret.clock import VirtualClock
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.engine.vhost import VirtualHost
from leveret.queues.backlog.paging import Pager
from leveret.queues.message import NACKED, Entry, Message, frame_content
from leveret.queues.queue import Queue
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import DirectoryRestore
from leveret.store.directory_builder import DirectoryBuilder
from leveret.store.disk import DiskStore
from leveret.store.files import Files
from leveret.store.replicated import Change, ReplicatedCatalogue, ReplicatedFiles
from leveret.store.writing import Done
from leveret.testing.memory_store import MemoryCatalogue, MemoryContents, MemoryStore
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field
from tests.stores.faults import FaultyFiles


class Asked:
    """A step of the thread of commits: `write`, then `wait`."""

    def __init__(self, write: Callable[[], None], wait: Callable[[], None], done: Done) -> None:
        self.write = write
        self.wait = wait
        self.done = done
        self.written = False


class FakeLoop:
    """A `Background` that runs callbacks when the test asks for it. `slow`: syncs end only by `answer`; `hangs`: writes
    do not begin before, either; `inside`: a step of a thread is running. A second passes each time it is asked for the
    time, so that slices are as short as they can be."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []
        self.asked: list[Asked] = []
        self.short: list[tuple[Callable[[], None], Done]] = []
        self.slow = False
        self.hangs = False
        self.inside = False
        self.delays: dict[Callable[[], None], float] = {}
        self.now = itertools.count(1.0).__next__

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)
        self.delays[call] = seconds

    def take_later(self, seconds: float) -> list[Callable[[], None]]:
        """Remove and return the calls that are to run after so many seconds."""
        taken = [call for call in self.calls if self.delays.get(call) == seconds]
        self.calls = [call for call in self.calls if call not in taken]
        return taken

    def sync(self, write: Callable[[], None], wait: Callable[[], None], done: Done) -> None:
        asked = Asked(write, wait, done)
        self.asked.append(asked)
        if not self.hangs:
            self.soon(lambda: self._begin(asked))

    def _begin(self, asked: Asked) -> None:
        """Write; end the step, too, unless syncs are slow."""
        if not self.slow:
            self.answer()
        elif not asked.written and asked in self.asked:
            asked.written = True
            error = self._run(asked.write)
            if error is not None:
                self.asked.remove(asked)
                asked.done(error)

    def answer(self) -> None:
        """End the first step."""
        if self.asked:
            asked = self.asked.pop(0)
            error = None if asked.written else self._run(asked.write)
            asked.done(error or self._run(asked.wait))

    def offload(self, step: Callable[[], None], done: Done) -> None:
        self.soon(lambda: done(self._run(step)))

    def read(self, step: Callable[[], None], done: Done) -> None:
        self.offload(step, done)

    def briefly(self, step: Callable[[], None], done: Done) -> None:
        if self.hangs:
            self.short.append((step, done))
        else:
            done(self._run(step))

    def end_short(self) -> None:
        """End the first short step that the loop has stopped waiting for."""
        step, done = self.short.pop(0)
        done(self._run(step))

    def wait(self, lock: threading.Lock) -> bool:
        return lock.acquire(blocking=False)

    def _run(self, step: Callable[[], None]) -> OSError | None:
        self.inside = True
        try:
            step()
        except OSError as error:
            return error
        finally:
            self.inside = False
        return None

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
        store = DiskStore(self.directory, self.loop, self.files, self.segment)
        store.writing.slow_write_s = float("inf")  # the machine may be busy
        return store

    def kill(self) -> None:
        """End without writing anything more; only the descriptors are closed. Does nothing if it has ended."""
        if self.running:
            self.running = False
            self.store.release()

    def logs(self) -> list[Path]:
        """The log segments, oldest first."""
        return sorted((self.directory / "messages").glob("*.log"))


class MemoryLog:
    """A `ReplicationLog` in memory. `offline`: appends fail."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.offline = False

    def can_wait(self) -> bool:
        """Whether it can be appended to."""
        return True

    def append(self, changes: Sequence[Change]) -> None:
        """Append changes."""
        if self.offline:
            raise OSError(errno.EIO, "no majority")
        self.changes += changes

    def drop(self, subjects: Sequence[str]) -> None:
        """Delete subjects."""
        self.changes = [change for change in self.changes if change.subject not in subjects]


class ReplicatedHarness(DiskHarness):
    """A broker whose data directory is made from a log each time. `interrupted`: it did not end in peace. A killed one
    has appended what it wrote, as one that is killed after its next sync."""

    def __init__(self, directory: Path, segment: int = 1 << 20) -> None:
        self.base = directory
        self.log = MemoryLog()
        self.epoch = 0
        self.interrupted = False
        super().__init__(directory, segment=segment)

    def make_store(self) -> DiskStore:
        self.epoch += 1
        self.directory = self.base / str(self.epoch)
        self.directory.mkdir()
        builder = DirectoryBuilder(self.directory)
        for change in self.log.changes:
            builder.apply(change)
        builder.finish()
        files = ReplicatedFiles(self.directory, self.log, self.epoch, builder.subjects)
        store = DiskStore(
            self.directory,
            self.loop,
            files,
            self.segment,
            lambda path, ticket: ReplicatedCatalogue(path, ticket, files, builder.catalogues),
        )
        store.interrupted = self.interrupted
        store.writing.slow_write_s = float("inf")
        return store

    def kill(self) -> None:
        """End; what was written is in the log."""
        if self.running:
            self.store.files.flush()
        super().kill()


def restore_directory(broker: Broker, catalogue: MemoryCatalogue) -> Recorder:
    """Restore users and the like of a broker whose virtual hosts have stores of their own, and keep them."""
    recorder = Recorder(broker, catalogue, None)
    DirectoryRestore(recorder, catalogue).run()
    recorder.begin()
    return recorder
