"""Replicated storage in memory, with faults: the ports of `cluster/ports.py` for tests in virtual time.

`MemoryStorage` is the servers. Each node of a test is a `Process`: its clock, and its connection to them. Every request
gets a `Fate`: delays, a lost request, a lost answer, a duplicate that arrives late. A process can be frozen (SIGSTOP, a
paused machine: its clock goes on, it does not) and cut off (what is on its way is delivered when that ends). The
servers can be without a leader. All of that runs in a `VirtualLoop`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, TypeVar

from leveret.cluster.ports import (
    Accepted,
    Full,
    Gone,
    Outcome,
    Refused,
    Stored,
    TableEntry,
    Unavailable,
    Unknown,
    Usage,
)

T = TypeVar("T")

#: Seconds without an answer after which a request has an unknown outcome.
REQUEST_TIMEOUT_S = 2.0

#: Octets that the storage holds, unless a test says otherwise.
LIMIT_BYTES = 1 << 30


#: Records that one reading of what is newer returns.
NEWER_RECORDS = 16

_identities = count(1)


class Fate(NamedTuple):
    """What happens to a request: seconds until it arrives, until its answer does (None: lost), and until it arrives
    once more (None: it does not)."""

    request_s: float | None = 0.001
    reply_s: float | None = 0.001
    again_s: float | None = None


def no_faults() -> Fate:
    """Every request arrives, and so does its answer."""
    return Fate()


# --- servers


@dataclass
class MemoryLog:
    """A log. `identity`: no other log has it; `ever`: all records that were ever stored, for tests."""

    identity: str = field(default_factory=lambda: str(next(_identities)))
    records: list[Stored] = field(default_factory=list)
    last: int = 0
    ever: list[Stored] = field(default_factory=list)

    def store(self, subject: str, record: bytes) -> int:
        """Store a record; returns its sequence."""
        self.last += 1
        stored = Stored(self.last, subject, record)
        self.records.append(stored)
        self.ever.append(stored)
        return self.last


@dataclass
class MemoryKeys:
    """A table. `wakers`: called after a change."""

    entries: dict[str, TableEntry] = field(default_factory=dict)
    revision: int = 0
    wakers: list[Callable[[], None]] = field(default_factory=list)

    def set(self, key: str, value: bytes | None) -> int:
        """Change a key; returns the new revision."""
        self.revision += 1
        self.entries.pop(key, None)  # the order of the dict is that of the revisions
        self.entries[key] = TableEntry(key, value, self.revision)
        for waker in self.wakers:
            waker()
        return self.revision


class _NoLeader(Exception):  # noqa: N818  a state
    """The servers elect a leader."""


class MemoryStorage:
    """The servers. `has_leader`: if not, requests are not answered. `limit`: octets that all logs may have together."""

    def __init__(self) -> None:
        self.logs: dict[str, MemoryLog] = {}
        self.tables: dict[str, MemoryKeys] = {}
        self.has_leader = True
        self.limit = LIMIT_BYTES

    @property
    def used(self) -> int:
        """Octets of all logs."""
        return sum(len(stored.record) for one in self.logs.values() for stored in one.records)

    def log(self, name: str) -> MemoryLog:
        """Return a log. Raises `StorageError`."""
        if name not in self.logs:
            raise Gone(f"there is no log '{name}'")
        return self.logs[name]


class Process:
    """A node of a test: its clock (`Time`) and its connection. `rate`: how fast its clock runs. `fates`: what happens
    to its requests."""

    def __init__(self, *, rate: float = 1.0, fates: Callable[[], Fate] = no_faults) -> None:
        self.rate = rate
        self.fates = fates
        self.frozen = False
        self.cut = False
        self.killed = False
        self._loop = asyncio.get_running_loop()
        self._begin = self._loop.time()
        self._arrival = 0.0
        self._held: list[Callable[[], None]] = []  # while it is cut off
        self._late: list[Callable[[], None]] = []  # while it is frozen

    # --- time

    def now(self) -> float:
        """Return the time of its clock, seconds."""
        return (self._loop.time() - self._begin) * self.rate + self._begin

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds of its clock, and not while it is frozen."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_later(max(seconds, 0.0) / self.rate, self._when_running, lambda: _finish(done, None))
        await done

    async def connected(self) -> None:
        """Return as soon as something that the servers send now arrives, and it is running."""
        done: asyncio.Future[None] = self._loop.create_future()
        arrive = lambda: self._when_running(lambda: _finish(done, None))  # noqa: E731
        self._loop.call_later(0.001, self._when_connected, arrive)
        await done

    # --- faults

    def freeze(self) -> None:
        """Let it do nothing, while its clock goes on."""
        self.frozen = True

    def wake(self) -> None:
        """Let it go on."""
        self.frozen = False
        late, self._late = self._late, []
        for call in late:
            call()

    def cut_off(self) -> None:
        """Hold everything that is sent in both directions."""
        self.cut = True

    def heal(self) -> None:
        """Deliver what was held."""
        self.cut = False
        held, self._held = self._held, []
        for call in held:
            call()

    def kill(self) -> None:
        """Let it do nothing for ever. What it has sent still arrives."""
        self.killed = True

    def _when_running(self, call: Callable[[], None]) -> None:
        if self.frozen:
            self._late.append(call)
        elif not self.killed:
            call()

    def _when_connected(self, call: Callable[[], None]) -> None:
        if self.cut:
            self._held.append(call)
        else:
            call()

    # --- requests

    def send(self, execute: Callable[[], T]) -> asyncio.Future[T]:
        """Have the servers execute something. The future fails with `Unavailable` if there is no answer in time."""
        answer: asyncio.Future[T] = self._loop.create_future()
        fate = self.fates()
        if fate.request_s is not None:
            # One connection: what is sent later does not arrive earlier.
            self._arrival = max(self._arrival, self._loop.time() + fate.request_s)
            self._deliver(self._arrival, execute, answer, fate.reply_s)
        if fate.again_s is not None:
            self._deliver(self._loop.time() + fate.again_s, execute, answer, None)
        expire = lambda: _fail(answer, Unavailable("no answer from the storage"))  # noqa: E731
        self._loop.call_later(REQUEST_TIMEOUT_S / self.rate, self._when_running, expire)
        return answer

    def _deliver(
        self, at: float, execute: Callable[[], T], answer: asyncio.Future[T], reply_s: float | None
    ) -> None:
        self._loop.call_at(at, self._when_connected, lambda: self._arrive(execute, answer, reply_s))

    def _arrive(self, execute: Callable[[], T], answer: asyncio.Future[T], reply_s: float | None) -> None:
        try:
            result = execute()
        except _NoLeader:
            return
        except Exception as error:
            failure = error
            reply = lambda: _fail(answer, failure)  # noqa: E731
        else:
            reply = lambda: _finish(answer, result)  # noqa: E731
        if reply_s is not None:
            self._loop.call_later(reply_s, self._when_connected, lambda: self._when_running(reply))


def _finish(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # nobody has to wait for it


# --- ports


class MemoryReplica:
    """The log of one virtual host, as one process uses it (`Replica`)."""

    def __init__(self, storage: MemoryStorage, process: Process, name: str) -> None:
        self.storage = storage
        self.process = process
        self.name = name

    def append(self, subject: str, record: bytes, expected: int) -> Awaitable[Outcome]:
        """See `Replica.append`."""
        return self._outcome(self.process.send(lambda: self._append(subject, record, expected)))

    def fence(self, subject: str, record: bytes) -> Awaitable[Outcome]:
        """See `Replica.fence`."""
        return self._outcome(self.process.send(lambda: self._append(subject, record, None)))

    def _append(self, subject: str, record: bytes, expected: int | None) -> Outcome:
        log = self._log()
        if expected is not None and log.last != expected:
            return Refused()
        if self.storage.used + len(record) > self.storage.limit:
            return Full("the storage is full")
        return Accepted(log.store(subject, record))

    async def _outcome(self, answer: asyncio.Future[Outcome]) -> Outcome:
        try:
            return await answer
        except Unavailable as error:
            return Unknown(str(error))

    async def read(self, first: int, last: int) -> AsyncIterator[Stored]:
        """See `Replica.read`."""
        at = first
        while at <= last:
            found = await self.at_or_after(at)
            if found is None or found.sequence > last:
                raise Unavailable(f"record {last} is not there")
            yield found
            at = found.sequence + 1

    async def newer(self, first: int) -> list[Stored]:
        """See `Replica.newer`."""
        return await self.process.send(lambda: self._newer(first))

    def _newer(self, first: int) -> list[Stored]:
        found = self._log().records
        at = bisect_left(found, first, key=lambda stored: stored.sequence)
        return found[at : at + NEWER_RECORDS]

    async def identity(self) -> str:
        """See `Replica.identity`."""
        return await self.process.send(lambda: self._log().identity)

    async def at_or_after(self, sequence: int) -> Stored | None:
        """See `Replica.at_or_after`."""
        return await self.process.send(lambda: self._find(sequence))

    def _find(self, sequence: int) -> Stored | None:
        found = self._log().records
        at = bisect_left(found, sequence, key=lambda stored: stored.sequence)
        return found[at] if at < len(found) else None

    async def drop(self, subject: str) -> None:
        """See `Replica.drop`."""
        await self.process.send(lambda: self._drop(subject))

    def _drop(self, subject: str) -> None:
        log = self._log()
        log.records[:] = [stored for stored in log.records if stored.subject != subject]

    def _log(self) -> MemoryLog:
        if not self.storage.has_leader:
            raise _NoLeader
        return self.storage.log(self.name)


class MemoryTable:
    """Keys with compare-and-set, as one process uses them (`Table`)."""

    def __init__(self, storage: MemoryStorage, process: Process, name: str) -> None:
        self.storage = storage
        self.process = process
        self.name = name

    async def create(self, key: str, value: bytes) -> int | None:
        """See `Table.create`."""
        return await self.process.send(lambda: self._create(key, value))

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """See `Table.update`."""
        return await self.process.send(lambda: self._update(key, value, revision))

    async def delete(self, key: str, revision: int) -> int | None:
        """See `Table.delete`."""
        return await self.process.send(lambda: self._update(key, None, revision))

    async def get(self, key: str) -> TableEntry | None:
        """See `Table.get`."""
        return await self.process.send(lambda: self._keys().entries.get(key))

    def _create(self, key: str, value: bytes) -> int | None:
        keys = self._keys()
        entry = keys.entries.get(key)
        return None if entry is not None and entry.value is not None else keys.set(key, value)

    def _update(self, key: str, value: bytes | None, revision: int) -> int | None:
        keys = self._keys()
        entry = keys.entries.get(key)
        return keys.set(key, value) if entry is not None and entry.revision == revision else None

    async def watch(self) -> AsyncIterator[TableEntry | None]:
        """See `Table.watch`."""
        changed = asyncio.Event()
        keys = self.storage.tables[self.name]
        keys.wakers.append(changed.set)
        seen = 0
        try:
            seen, entries = await self._newer(keys, seen)
            for entry in entries:
                yield entry
            yield None
            while True:
                await changed.wait()
                changed.clear()
                seen, entries = await self._newer(keys, seen)
                for entry in entries:
                    yield entry
        finally:
            keys.wakers.remove(changed.set)

    async def _newer(self, keys: MemoryKeys, seen: int) -> tuple[int, list[TableEntry]]:
        """Wait until the process can receive, and return what has changed since a revision."""
        await self.process.connected()
        entries = [entry for entry in keys.entries.values() if entry.revision > seen]
        return keys.revision, entries

    def _keys(self) -> MemoryKeys:
        if not self.storage.has_leader:
            raise _NoLeader
        return self.storage.tables[self.name]


class MemoryConnection:
    """What one process has of the storage (`ReplicatedStorage`)."""

    def __init__(self, storage: MemoryStorage, process: Process) -> None:
        self.storage = storage
        self.process = process

    async def create_log(self, name: str) -> MemoryReplica:
        """See `ReplicatedStorage.create_log`."""
        await self.process.send(lambda: self.storage.logs.setdefault(name, MemoryLog()))
        return MemoryReplica(self.storage, self.process, name)

    async def open_log(self, name: str) -> MemoryReplica:
        """See `ReplicatedStorage.open_log`."""
        await self.process.send(lambda: self.storage.log(name))
        return MemoryReplica(self.storage, self.process, name)

    async def delete_log(self, name: str) -> None:
        """See `ReplicatedStorage.delete_log`."""
        await self.process.send(lambda: self.storage.logs.pop(name, None))

    async def logs(self) -> list[str]:
        """See `ReplicatedStorage.logs`."""
        return await self.process.send(lambda: [*self.storage.logs])

    async def open_table(self, name: str) -> MemoryTable:
        """See `ReplicatedStorage.open_table`."""
        await self.process.send(lambda: self.storage.tables.setdefault(name, MemoryKeys()))
        return MemoryTable(self.storage, self.process, name)

    async def usage(self) -> Usage:
        """See `ReplicatedStorage.usage`."""
        return await self.process.send(lambda: Usage(self.storage.used, self.storage.limit))

    async def close(self) -> None:
        """See `ReplicatedStorage.close`."""
