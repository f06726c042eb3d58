"""This node as a member of the cluster: it joins, renews its lease, and follows the two tables.

A node is one *incarnation* of its name. When its key says something else (another node has found it dead, or a new
process of the same name has joined), the incarnation is over: it gives up everything, and may join again as a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from leveret.cluster.lease import RENEWALS, Lease
from leveret.cluster.ports import Gone, StorageError, Table, TableEntry, Time, Unavailable
from leveret.cluster.tasks import end
from leveret.cluster.view import NodeRecord, View, decode_node, encode
from leveret.management.site import NodeFigures

log = logging.getLogger("leveret")

#: Seconds between two attempts while the storage does not answer.
RETRY_INTERVAL_S = 0.5

#: How often a node tries to join while its key changes.
JOIN_ATTEMPTS = 5

#: Renewals whose time of sending is kept, to find out which one has succeeded.
KEPT_RENEWALS = 4 * RENEWALS

#: Version of what this node writes into logs and tables.
FORMAT = 1


class Lost(Exception):  # noqa: N818  a state, not a mistake
    """This incarnation of the node is over: another node has found it dead, or its name is used by another process."""


def _nothing() -> None:
    """There is nothing to tell."""


async def nobody_knows(record: NodeRecord) -> bool:
    """Whether the process of a node has ended: unknown."""
    return False


class Member:
    """A node of the cluster. `view`: what it knows; `lease`: how long it may act; `incarnation`: of this run of it.
    While it is `drained`, `stopped` or `full` it takes nothing over. `figures`: returns what it tells of itself."""

    def __init__(
        self, name: str, address: str, nodes: Table, owners: Table, time: Time, lease_s: float
    ) -> None:
        self.name = name
        self.address = address
        self.nodes = nodes
        self.owners = owners
        self.time = time
        self.lease = Lease(lease_s)
        self.view = View(lease_s)
        self.incarnation = secrets.token_hex(8)
        self._states = dict.fromkeys(("drained", "stopped", "full"), False)
        self._state_changed = asyncio.Event()
        self.figures: Callable[[], NodeFigures | None] = _nothing
        self.revision = 0
        self._beat = 0
        self._sent_at: dict[int, float] = {}
        self._changed = asyncio.Event()
        self._watched: set[str] = set()

    @property
    def drained(self) -> bool:
        """Whether this node is under maintenance."""
        return self._states["drained"]

    @drained.setter
    def drained(self, value: bool) -> None:
        self._set("drained", value)

    @property
    def stopped(self) -> bool:
        """Whether its application is stopped."""
        return self._states["stopped"]

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self._set("stopped", value)

    @property
    def full(self) -> bool:
        """Whether its disk is full."""
        return self._states["full"]

    @full.setter
    def full(self, value: bool) -> None:
        self._set("full", value)

    def _set(self, state: str, value: bool) -> None:
        """Change a state, and tell the others now, not with the next renewal."""
        if self._states[state] != value:
            self._states[state] = value
            self._state_changed.set()

    @property
    def takes_nothing(self) -> bool:
        """Whether this node takes no virtual host over at the moment."""
        return any(self._states.values())

    # --- join and leave

    async def join(self, is_gone: Callable[[NodeRecord], Awaitable[bool]] = nobody_knows) -> None:
        """Create or take over the key of this node. A process of the same name that ended without leaving is waited
        for, for some renewals, unless `is_gone` says that its address refuses connections. Raises `StorageError` if
        another process of this name is running."""
        for _ in range(JOIN_ATTEMPTS):
            if await self._join(is_gone):
                return
        raise StorageError(
            f"another node named '{self.name}' joins at the same time. Give each node a name of its own."
        )

    async def _join(self, is_gone: Callable[[NodeRecord], Awaitable[bool]]) -> bool:
        """Join once. Returns False if the key has changed meanwhile: a late request of an earlier incarnation has come,
        or another process joins. Raises `StorageError`."""
        entry = await self._retried(lambda: self.nodes.get(self.name))
        record = None if entry is None else decode_node(entry)
        if record is not None and not record.dead and not await is_gone(record):
            await self._check_unused(entry, record)
        return await self._write(entry.revision if entry is not None and entry.value is not None else 0)

    async def _check_unused(self, entry: TableEntry | None, record: NodeRecord) -> None:
        """Check that nobody renews a key. Raises `StorageError`."""
        assert entry is not None
        await self.time.sleep(self.lease.renewal_interval_s * 2.5)
        now = await self._retried(lambda: self.nodes.get(self.name))
        if now is None or now.revision != entry.revision:
            raise StorageError(
                f"a node named '{self.name}' is running already, at {record.address}. Give each node a name of its "
                "own, or stop that one."
            )

    async def leave(self) -> None:
        """Say that this node has ended: others need not wait for its lease. Does nothing if that cannot be said."""
        with contextlib.suppress(Unavailable):
            await self.nodes.update(self.name, encode(self._record(dead=True)), self.revision)
        self.lease.lose()

    async def forget(self, name: str) -> None:
        """Remove a node that does not live: nobody knows it any more. Raises `Unavailable`."""
        seen = self.view.nodes.get(name)
        if seen is not None and not self.view.is_alive(name, self.time.now()):
            await self.nodes.delete(name, seen.revision)

    # --- run

    async def run(self) -> None:
        """Renew the lease and follow the tables, until cancelled. Raises `Lost`, `StorageError`."""
        try:
            await _all_of(self._renew(), self._follow_nodes(), self._follow_owners())
        except Gone as error:  # both tables only say what is so at the moment: they are made again
            raise Lost(str(error)) from error

    async def _renew(self) -> None:
        while True:
            await _first_of(self.time.sleep(self.lease.renewal_interval_s), self._state_changed.wait())
            self._state_changed.clear()
            if not await self._write(self.revision):
                raise Lost(
                    f"node '{self.name}' has lost its lease: another node or process has changed its key"
                )

    async def _write(self, revision: int) -> bool:
        """Write the key of this node until there is an answer; returns False if somebody else has changed it."""
        while True:
            self._beat += 1
            sent_at = self._sent_at[self._beat] = self.time.now()
            self._sent_at.pop(self._beat - KEPT_RENEWALS, None)
            value = encode(self._record())
            try:
                written = await self._put(value, revision)
                if written is not None:
                    self.revision = written
                    self.lease.renewed(sent_at)
                    return True
                return await self._was_ours()
            except Unavailable:
                await self.time.sleep(min(RETRY_INTERVAL_S, self.lease.renewal_interval_s))

    async def _put(self, value: bytes, revision: int) -> int | None:
        if revision:
            return await self.nodes.update(self.name, value, revision)
        return await self.nodes.create(self.name, value)

    async def _was_ours(self) -> bool:
        """An update was refused: whether that is because an earlier one succeeded, and its answer was lost."""
        entry = await self.nodes.get(self.name)
        record = None if entry is None else decode_node(entry)
        if entry is None or record is None or record.incarnation != self.incarnation or record.dead:
            self.lease.lose()
            return False
        self.revision = entry.revision
        if (sent_at := self._sent_at.get(record.beat)) is not None:
            self.lease.renewed(sent_at)
        return True

    def _record(self, dead: bool = False) -> NodeRecord:
        return NodeRecord(
            incarnation=self.incarnation,
            address=self.address,
            format=FORMAT,
            beat=self._beat,
            dead=dead,
            drained=self.drained or self.stopped,
            full=self.full,
            figures=None if dead else self.figures(),
        )

    async def _retried(
        self, ask: Callable[[], Coroutine[object, object, TableEntry | None]]
    ) -> TableEntry | None:
        while True:
            try:
                return await ask()
            except Unavailable:
                await self.time.sleep(RETRY_INTERVAL_S)

    # --- view

    async def _follow_nodes(self) -> None:
        async for entry in self.nodes.watch():
            if entry is not None:
                self.view.see_node(entry, self.time.now())
            self._note("" if entry is not None else "nodes")

    async def _follow_owners(self) -> None:
        async for entry in self.owners.watch():
            if entry is not None:
                self.view.see_owner(entry, self.time.now())
            self._note("" if entry is not None else "owners")

    def _note(self, read: str) -> None:
        """Note that something has changed, or that a table has been read."""
        if read:
            self._watched.add(read)
            if len(self._watched) == 2 and self.view.read_at is None:
                self.view.read_at = self.time.now()
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seconds: float | None = None) -> None:
        """Return when the view has changed, or after so many seconds."""
        event = self._changed
        if seconds is None:
            await event.wait()
        else:
            await _first_of(event.wait(), self.time.sleep(seconds))

    def wake(self) -> None:
        """Have everybody look again who waits for a change."""
        self._note("")

    def see_gone(self, name: str, incarnation: str) -> None:
        """Note that the process of a node has ended: its address refuses connections."""
        self.view.see_gone(name, incarnation, self.time.now())
        self._note("")

    async def mark_dead(self, name: str, incarnation: str) -> bool:
        """Write that an incarnation of a node is dead. Returns False if it lives: its key has changed since it was
        seen. Raises `Unavailable`."""
        seen = self.view.nodes.get(name)
        if seen is not None and not seen.record.dead and seen.record.incarnation == incarnation:
            dead = msgspec.structs.replace(seen.record, dead=True)
            if await self.nodes.update(name, encode(dead), seen.revision) is not None:
                return True
        # The view may be behind the table of owners: only the table of nodes itself says that a node is dead.
        entry = await self.nodes.get(name)
        record = None if entry is None else decode_node(entry)
        return record is None or record.dead or record.incarnation != incarnation


async def _all_of(*parts: Coroutine[object, object, None]) -> None:
    """Run all of these until one ends; the others are cancelled. Raises what it has raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


async def _first_of(*parts: Coroutine[object, object, object]) -> None:
    """Return when one of these has ended."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
