"""The directory of a cluster: users, permissions, limits, policies, global parameters, and the list of virtual hosts.

It is a table of the replicated storage. Every node has all of it in its broker, and follows the changes of the others
(`directory_changes.py`). What this node changes is written in the order of the changes; it is safe when the table has
it, and reported as done when the other nodes that live have it, too, as far as they say so in time: a client that hears
that a user is there may log in anywhere.

Whoever writes a record last has set it, as in one broker. Each virtual host has a random identifier: one that is
deleted and created again gets another log.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from leveret.cluster.ports import Gone, StorageError, Table, TableEntry, Time, Unavailable
from leveret.engine.catalogue import Document, Key, Kind, Record
from leveret.json_portions import plain
from leveret.queues.journal import Journal

log = logging.getLogger("leveret")

#: Octets that a record may have.
MAX_RECORD_BYTES = 512 * 1024

#: Octets of an identifier of a virtual host.
IDENTIFIER_BYTES = 8

#: Seconds between two attempts while the storage does not answer.
RETRY_INTERVAL_S = 0.2

#: Seconds until records are deleted that belong to nothing: the node that has deleted their owner is given that time.
ORPHAN_DELAY_S = 0.5

#: What a directory is marked with once it has its first contents.
SEEDED = "seeded"

#: Called with a record of another node; None: it is deleted.
OnChange: TypeAlias = Callable[[Kind, Key, Document | None], None]

#: Returns when the other nodes have a revision, or after some time.
Everywhere: TypeAlias = Callable[[int], Awaitable[None]]


class DirectoryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record in the table. `kind`: one of `Kind`, or "mark"; `id`: of a virtual host, "" for others."""

    kind: str
    key: list[str]
    document: Document = {}
    id: str = ""


#: The kind of records that say what was done once and for all.
MARK = "mark"

#: First part of the key of a mark that says that the log of a virtual host, whose identifier follows, is to be deleted.
DELETED = "deleted"


class DirectoryJournal(Journal):
    """Gives changes their tickets. `wake`: called after each of them."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self.wake = wake
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def record_changed(self) -> int:
        """A record changed; returns the ticket."""
        self.ticket += 1
        self.changes += 1
        self.changed = self.ticket
        self.wake()
        return self.ticket

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` once everything up to `ticket` is safe; at once if it is."""
        if ticket <= self.settled:
            self.run(call)
        else:
            self._waiting.append((ticket, call))

    def settle_up_to(self, ticket: int) -> None:
        """Everything up to `ticket` is safe."""
        self.settled = ticket
        for _ in range(len(self._waiting)):
            wanted, call = self._waiting.popleft()
            if wanted <= ticket:
                self.due.append(call)
            else:
                self._waiting.append((wanted, call))
        self.run_due()


class Directory:
    """The directory as this node has it (`Catalogue`), read by `read`, then followed by `run`.

    `everywhere`: see `Everywhere`. `on_change`: gets the changes of other nodes; `on_vhosts`: called when `vhosts` has
    changed; `on_settled`: called after calls that waited for a ticket ran. `journal`: the port for the broker.
    `revision`: up to which all changes were seen. `ids`: of virtual hosts, by name.
    """

    def __init__(self, table: Table, time: Time, everywhere: Everywhere) -> None:
        self.table = table
        self.time = time
        self.everywhere = everywhere
        self.on_change: OnChange = _nobody
        self.on_settled: Callable[[], None] = _nothing
        self.on_vhosts: Callable[[], None] = _nothing
        self.journal = DirectoryJournal(lambda: self._changed.set())
        self.revision = 0
        self.ids: dict[str, str] = {}
        self._entries: dict[str, TableEntry] = {}
        self._vhosts: dict[str, str] = {}
        self._deleted_logs: dict[str, str] = {}
        self._listed = True
        self._pending: dict[str, bytes | None] = {}
        self._writing: dict[str, bytes | None] = {}
        self._changed = asyncio.Event()
        self._seen = asyncio.Event()
        self._applying = False
        self._deleted: set[str] = set()
        self._orphans: dict[str, int] = {}
        self._orphaned = asyncio.Event()
        self._watch = table.watch()

    # --- read and follow

    async def read(self) -> None:
        """Read all of it. Raises `StorageError`."""
        async for entry in self._watch:
            if entry is None:
                return
            self.revision = max(self.revision, entry.revision)
            self._take(entry)

    async def run(self) -> None:
        """Follow the changes of other nodes, and write those of this one, until cancelled. Raises `StorageError`."""
        parts = (self._follow(), self._write(), self._delete_orphans())
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()

    async def _follow(self) -> None:
        try:
            await self._follow_all()
        except Gone as error:
            raise StorageError(
                f"{error}: it has the users, policies and virtual hosts of the cluster. Restore it from a backup (nats "
                "stream restore), and start the nodes again."
            ) from error

    async def _follow_all(self) -> None:
        async for entry in self._watch:
            if entry is not None:
                before = self._entries.get(entry.key)
                self._follow_one(entry)
                self._look_for_orphans(entry, before)
                self.revision = max(self.revision, entry.revision)
                self._list()
                seen, self._seen = self._seen, asyncio.Event()
                seen.set()

    def _follow_one(self, entry: TableEntry) -> None:
        before = self._entries.get(entry.key)
        if not self._take(entry) or (before is not None and before.value == entry.value):
            return
        if entry.key in self._pending or entry.key in self._writing:
            return  # what this node writes comes after it, or see `_write`
        self._apply(entry, before)

    def _apply(self, entry: TableEntry, before: TableEntry | None) -> None:
        """Tell of the change of another node. `before`: what there was."""
        record = _decoded(entry) or (_decoded(before) if before is not None else None)
        if record is None or record.kind == MARK:
            return
        self._applying = True
        try:
            document = None if entry.value is None else record.document
            self.on_change(Kind(record.kind), tuple(record.key), document)
        finally:
            self._applying = False
        if entry.value is None:
            self._forget(before)

    def _take(self, entry: TableEntry) -> bool:
        """Note an entry. Returns False for one that is not newer than what is known of the key."""
        known = self._entries.get(entry.key)
        if known is not None and entry.revision <= known.revision:
            return False
        record = _decoded(entry)
        before = _decoded(known) if known is not None else None
        self._entries[entry.key] = entry
        self._deleted_logs.pop(entry.key, None)
        if record is not None and record.kind == MARK and record.key[0] == DELETED:
            self._deleted_logs[entry.key] = record.key[1]
        elif record is not None and record.kind == Kind.VHOST:
            self._vhosts[record.key[0]] = record.id
            if record.id not in self._deleted:
                self.ids[record.key[0]] = record.id
            self._listed = False
        elif record is None and before is not None and before.kind == Kind.VHOST:
            self._vhosts.pop(before.key[0], None)
            self._listed = False
        return True

    def _list(self) -> None:
        """Tell that virtual hosts have come or gone."""
        if not self._listed:
            self._listed = True
            self.on_vhosts()

    async def seen(self, revision: int) -> None:
        """Return when this node has a revision."""
        while self.revision < revision:
            await self._seen.wait()

    async def changed(self) -> None:
        """Return when another node has changed something."""
        await self._seen.wait()

    # --- what the broker has changed

    def put(self, kind: Kind, key: Key, document: Document) -> int:
        """Add or replace a record; returns the ticket. Raises `ValueError` for one that is too large."""
        if self._applying:
            return self.journal.ticket
        identifier = self._identifier(key[0]) if kind is Kind.VHOST else ""
        record = DirectoryRecord(kind=kind, key=list(key), document=document, id=identifier)
        value = _encoded(record)
        if len(value) > MAX_RECORD_BYTES:
            raise ValueError(
                f"{kind} {key[-1]!r} has {len(value)} octets; the nodes of a cluster share records of up to "
                f"{MAX_RECORD_BYTES}"
            )
        self._pending[table_key(kind, key)] = value
        return self.journal.record_changed()

    def delete(self, kind: Kind, key: Key) -> int:
        """Delete a record, if there is one; returns the ticket."""
        if self._applying:
            return self.journal.ticket
        if kind is Kind.VHOST and (identifier := self.ids.pop(key[0], "")):
            self._deleted.add(identifier)
        self._pending[table_key(kind, key)] = None
        return self.journal.record_changed()

    def load(self) -> Iterator[Record]:
        """Yield all records that can be restored: none of a user or virtual host that is not there any more."""
        found = [record for entry in self._entries.values() if (record := _decoded(entry)) is not None]
        names = {kind: {one.key[0] for one in found if one.kind == kind} for kind in (Kind.USER, Kind.VHOST)}
        for record in found:
            if record.kind != MARK and all(
                record.key[at] in names[kind] for kind, at in _OWNERS.get(record.kind, ())
            ):
                yield Record(Kind(record.kind), tuple(record.key), record.document)

    def vhosts(self) -> Mapping[str, str]:
        """Return the identifiers of all virtual hosts that the table has, by name."""
        return self._vhosts

    def _identifier(self, vhost: str) -> str:
        return self.ids.setdefault(vhost, secrets.token_hex(IDENTIFIER_BYTES))

    # --- marks

    def is_marked(self, name: str) -> bool:
        """Return whether something was done once and for all."""
        entry = self._entries.get(table_key(MARK, (name,)))
        return entry is not None and entry.value is not None

    async def look_for_mark(self, name: str) -> bool:
        """Return the same as of now. Raises `Unavailable`."""
        entry = await self.table.get(table_key(MARK, (name,)))
        return entry is not None and entry.value is not None

    def mark(self, name: str) -> None:
        """Note that something is done, behind all changes so far."""
        self._pending[table_key(MARK, (name,))] = _encoded(DirectoryRecord(kind=MARK, key=[name]))
        self.journal.record_changed()

    # --- logs of deleted virtual hosts

    def deleted(self) -> list[str]:
        """Return the identifiers of virtual hosts that are deleted, and whose logs may be left."""
        there = set(self._vhosts.values())
        return [identifier for identifier in self._deleted_logs.values() if identifier not in there]

    async def is_deleted(self, identifier: str) -> bool:
        """Return whether the table, as it is after this call has begun, has no virtual host with an identifier that is
        noted as deleted. False if another node has looked meanwhile. Raises `Unavailable`."""
        name = _deleted_key(identifier)
        known = self._entries.get(name)
        if known is None or known.value is None:
            return False
        look = {"look": secrets.token_hex(IDENTIFIER_BYTES)}
        record = DirectoryRecord(kind=MARK, key=[DELETED, identifier], document=look)
        written = await self.table.update(name, _encoded(record), known.revision)
        if written is None:
            return False
        await self.seen(written)
        return identifier not in self._vhosts.values()

    def forget_deleted(self, identifier: str) -> None:
        """The log of a deleted virtual host is deleted."""
        self._pending[_deleted_key(identifier)] = None
        self.journal.record_changed()

    async def _note_deleted(self, identifier: str) -> None:
        """Note that a log is to be deleted, before the virtual host is. Raises `Unavailable`."""
        record = DirectoryRecord(kind=MARK, key=[DELETED, identifier])
        await self.table.create(_deleted_key(identifier), _encoded(record))

    # --- records without an owner

    def _look_for_orphans(self, entry: TableEntry, before: TableEntry | None) -> None:
        """Note the records that mean nothing from this change on. A permission of a user that another node has deleted
        at the same moment would come back with the next user of that name, and only on nodes that start later. All
        nodes see the changes in the same order. `before`: what was known of the key."""
        record = _decoded(entry)
        if record is not None and record.kind in _OWNERS:
            known = self._entries[entry.key]
            if known.revision == entry.revision and not self._has_owners(record):
                self._orphans[entry.key] = entry.revision
        gone = _decoded(before) if before is not None else None
        if (
            gone is not None
            and gone.kind in (Kind.USER, Kind.VHOST)
            and (record is None or record.id != gone.id)
        ):
            for name, other in self._entries.items():
                if other.revision < entry.revision and self._belongs(name, other, gone):
                    self._orphans[name] = other.revision
        if self._orphans:
            self._orphaned.set()

    def _has_owners(self, record: DirectoryRecord) -> bool:
        owners = (self._entries.get(table_key(kind, (record.key[at],))) for kind, at in _OWNERS[record.kind])
        return all(owner is not None and owner.value is not None for owner in owners)

    @staticmethod
    def _belongs(name: str, entry: TableEntry, owner: DirectoryRecord) -> bool:
        """Whether a record means nothing without another one."""
        if entry.value is None or name.partition(" ")[0] not in _OWNERS:
            return False
        record = _decoded(entry)
        assert record is not None
        return any(kind == owner.kind and record.key[at] == owner.key[0] for kind, at in _OWNERS[record.kind])

    async def _delete_orphans(self) -> None:
        """Delete them, unless they have changed since; the node that has deleted their owner does so, too."""
        while True:
            await self._orphaned.wait()
            self._orphaned.clear()
            await self.time.sleep(ORPHAN_DELAY_S)
            orphans, self._orphans = self._orphans, {}
            for name, revision in orphans.items():
                known = self._entries[name]
                if known.revision != revision or known.value is None:
                    continue
                try:
                    await self.table.delete(name, revision)
                except Unavailable:
                    self._orphans.setdefault(name, revision)
                    self._orphaned.set()

    # --- write

    async def _write(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            ticket = self.journal.ticket
            self._writing, self._pending = self._pending, {}
            revision = 0
            for name, value in list(self._writing.items()):
                revision = max(revision, await self._write_one(name, value))
                self._writing.pop(name)
                self._apply_later(name, value)
            self._list()
            if revision:
                await self.everywhere(revision)
            self.journal.settle_up_to(ticket)
            self.on_settled()

    def _apply_later(self, name: str, value: bytes | None) -> None:
        """Tell of a change of another node that came after this node's, but was seen before its answer."""
        entry = self._entries.get(name)
        if (
            entry is not None
            and entry.value != self._with_known_id(name, value)
            and name not in self._pending
        ):
            self._apply(entry, TableEntry(name, value, 0))

    async def _write_one(self, name: str, value: bytes | None) -> int:
        """Write a record until there is an answer; returns its revision, 0 if there was nothing to change."""
        reason = ""
        while True:
            try:
                value = self._with_known_id(name, value)
                written = await self._tried(name, value)
            except Unavailable as error:
                if str(error) != reason:
                    reason = str(error)
                    log.info("cluster: the directory cannot be changed yet: %s", reason)
                await self.time.sleep(RETRY_INTERVAL_S)
                continue
            if written is not None:
                return written

    def _with_known_id(self, name: str, value: bytes | None) -> bytes | None:
        """Return what is written of a record. A virtual host that another node has created at the same moment is one
        virtual host: it has the identifier that is in the table, unless this node deletes that one."""
        known = self._entries.get(name)
        there = _decoded(known) if known is not None else None
        if value is None or there is None or there.kind != Kind.VHOST or there.id in self._deleted:
            return value
        record = _decoded(TableEntry(name, value, 0))
        assert record is not None
        return _encoded(msgspec.structs.replace(record, id=there.id))

    async def _tried(self, name: str, value: bytes | None) -> int | None:
        """Write a record once. Returns None if another node has changed it meanwhile; that is known now."""
        known = self._entries.get(name)
        there = known.value if known is not None else None
        if there == value:
            return 0
        if value is None:
            assert known is not None
            record = _decoded(known)
            if record is not None and record.kind == Kind.VHOST:
                await self._note_deleted(record.id)
            written = await self.table.delete(name, known.revision)
        elif known is None or there is None:
            written = await self.table.create(name, value)
        else:
            written = await self.table.update(name, value, known.revision)
        if written is None:
            if (entry := await self.table.get(name)) is not None:
                self._take(entry)
            return None
        self._take(TableEntry(name, value, written))
        self._forget(known, value)
        return written

    def _forget(self, entry: TableEntry | None, value: bytes | None = None) -> None:
        """Forget the identifier of a virtual host that is deleted. `value`: what is written in its place."""
        record = _decoded(entry) if entry is not None else None
        if record is None or record.kind != Kind.VHOST:
            return
        self._deleted.discard(record.id)
        if value is None and self.ids.get(record.key[0]) == record.id:
            del self.ids[record.key[0]]


#: Kind of a record -> kinds of records without which it means nothing, with the place of their name in its key.
_OWNERS: dict[str, tuple[tuple[Kind, int], ...]] = {
    Kind.PERMISSION: ((Kind.USER, 0), (Kind.VHOST, 1)),
    Kind.TOPIC_PERMISSION: ((Kind.USER, 0), (Kind.VHOST, 1)),
    Kind.VHOST_LIMITS: ((Kind.VHOST, 0),),
    Kind.POLICY: ((Kind.VHOST, 0),),
    Kind.OPERATOR_POLICY: ((Kind.VHOST, 0),),
}


def table_key(kind: str, key: Key) -> str:
    """Return the key of a record in the table. Names may be longer than that can be: a digest stands for them."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return f"{kind} {digest[:40]}"


def _deleted_key(identifier: str) -> str:
    return table_key(MARK, (DELETED, identifier))


def _encoded(record: DirectoryRecord) -> bytes:
    """Return a record as JSON. Names may have surrogates, which msgspec does not encode."""
    return json.dumps(msgspec.structs.asdict(record), default=plain).encode()


def _decoded(entry: TableEntry) -> DirectoryRecord | None:
    """Return the record of an entry, None if it is deleted. Raises `StorageError`."""
    if entry.value is None:
        return None
    try:
        return msgspec.convert(json.loads(entry.value), DirectoryRecord)
    except (ValueError, msgspec.MsgspecError) as error:
        raise StorageError(
            f"key '{entry.key}' of the directory holds nothing of Leveret: {error}. Give the cluster another name, or "
            "delete its buckets."
        ) from error


def _nobody(kind: Kind, key: Key, document: Document | None) -> None:
    """Nobody is interested."""


def _nothing() -> None:
    """Nobody is interested."""
