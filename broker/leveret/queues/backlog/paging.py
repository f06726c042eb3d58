"""Blocks of a backlog as bytes, and paging them out of memory.

A `BacklogBlock` holds consecutive entries of one queue, packed (`encoding.py`): a third of the objects' memory, and
nothing for the garbage collector. The `Pager` counts the memory of all backlogs together; beyond its limit new blocks
are paged out at once. They are the newest of their queue and needed last; the block behind the one that is unpacked is
read ahead.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol, TypeAlias

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.encoding import EntryReader, put_entry, put_message
    from cython.cimports.leveret.queues.journal import _PENDING, QueueJournal
    from cython.cimports.leveret.queues.message import Entry, Message, Source
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.queues.encoding import EntryReader, put_entry, put_message
    from leveret.queues.journal import _PENDING, QueueJournal
    from leveret.queues.message import Entry, Message, Source
    from leveret.wire.frames import Outbox

from leveret.queues.disk_read import DiskRead

#: Where a pager keeps a block outside memory, or None if it is in memory. `Any`: each pager has its own type, and only
#: it reads the value.
PagedAt: TypeAlias = Any

if not cython.compiled:  # the .pxd has them for the compiler
    #: Entries in a block: enough to be worth packing, few enough to unpack at once.
    BLOCK_ENTRIES = 1024

    #: Octets in memory after which a block is full, however few its entries are.
    BLOCK_BYTES = 512 * 1024

#: Octets of memory of an entry: an object and its slot in a list.
_ENTRY_BYTES = 112

#: Octets of memory of a message beside its frames: an object, and the head of a bytes object.
_MESSAGE_BYTES = 128


def weigh(entry: Entry) -> int:
    """Return the octets of memory that an entry takes as objects. The weight of a message is divided among its
    queues."""
    message: Message = entry.message
    size: cython.Py_ssize_t = _MESSAGE_BYTES
    if message.content:  # it is empty if it is paged out
        size += message.head + message.size
    return _ENTRY_BYTES + (size // message.shares if message.shares > 1 else size)


class PagingBacklog(Protocol):
    """The part of a backlog that pages blocks out."""

    def page_out(self, block: BacklogBlock) -> bool:
        """Page out a block of it if memory is short. False if it cannot be written now."""


class Pager:
    """Counts the memory of backlogs and keeps blocks outside memory. This one cannot do the latter.

    `used`: octets of all backlogs together, as `weigh` and packed blocks count them. `limit`: beyond it, short backlogs
    are packed too; beyond half of it, packed blocks leave memory, so that one long queue does not use the memory of
    many short ones. `paged`: octets outside memory. `allowance`: entries that may be
    packed in this turn; without an edge, any number. `bodies`: octets of bodies of paged contents
    (`paged_contents.py`); `wasted`: octets outside memory that are not needed any more, in blocks that are.
    `held`: octets of pages that consumers of streams have read or are reading (`stream/log.py`).
    `postponed`: blocks that could not be paged out, with their backlogs, until `page_postponed`.
    """

    def __init__(self, limit: int = 1 << 62) -> None:
        self.used: int = 0
        self.limit: int = limit
        self.paged: int = 0
        self.allowance: int = 1 << 62
        self.bodies: int = 0
        self.wasted: int = 0
        self.held: int = 0
        self.postponed: deque[tuple[PagingBacklog, BacklogBlock]] = deque()

    def write(self, data: bytes) -> PagedAt:
        """Keep `data` outside memory. Returns where, or None if there is no space."""
        return None

    def read(self, where: PagedAt) -> bytes:
        """Read data and free its space. Raises OSError."""
        raise NotImplementedError

    def peek(self, where: PagedAt) -> bytes:
        """Read data without freeing its space. Raises OSError."""
        raise NotImplementedError

    def begin_read(self, where: PagedAt) -> DiskRead:
        """Begin to read data, without freeing its space."""
        return DiskRead.now(lambda: self.peek(where))

    def part(self, where: PagedAt, offset: int, size: int) -> bytes:
        """Read a part of data, unchecked, without freeing its space. Raises OSError."""
        raise NotImplementedError

    def has_part(self, where: PagedAt, offset: int, size: int) -> bool:
        """Return whether `part` does not wait for the disk."""
        return True

    def begin_part(self, where: PagedAt, offset: int, size: int) -> DiskRead:
        """Begin to read a part of data. When that is done, `has_part` is true."""
        return DiskRead.now(lambda: b"")

    def free(self, where: PagedAt) -> None:
        """Free the space of data."""

    def postpone(self, backlog: PagingBacklog, block: BacklogBlock) -> None:
        """Page a block out later. Those that were used meanwhile are forgotten."""
        while self.postponed and self.postponed[0][1].packed is None:
            self.postponed.popleft()
        self.postponed.append((backlog, block))

    def page_postponed(self) -> None:
        """Page out the blocks that were postponed, as far as they can be."""
        while self.postponed:
            backlog, block = self.postponed[0]
            if block.packed is not None and not backlog.page_out(block):
                return
            self.postponed.popleft()


class BacklogBlock:
    """`count` consecutive entries: packed, in memory or where the pager keeps them (`where`); or `loose`, as objects.
    `coming`: it is being read, or was.

    `size`: octets when packed, `weight`: what the pager counts for it. `bodies`: octets of the bodies;
    `last`: highest position; `has_ttl`: some expire. These three are kept for blocks that come from the store
    only. `redelivered`: all of them are, whatever the packed bytes say. `stored`: where the store has them all, at
    consecutive positions from `first` on; 0 if it has none of them, `PENDING` if only the entries tell.
    """

    def __init__(self, source: Source, packed: bytes | None, count: int) -> None:
        self.source: Source = source
        self.packed: bytes | None = packed
        self.loose: list[Entry] | None = None
        self.where: PagedAt = None
        self.coming: DiskRead | None = None
        self.count: int = count
        self.weight: int = 0 if packed is None else len(packed)
        self.bodies: int = 0
        self.last: int = 0
        self.has_ttl: bool = False
        self.redelivered: bool = False
        self.stored: int = _PENDING
        self.first: int = 0

    def page_out(self, pager: Pager) -> bool:
        """Page the block out if memory is short. False if it cannot be written now."""
        if self.packed is None or (pager.used + self.weight) * 2 <= pager.limit:
            return True
        self.where = pager.write(self.packed)
        if self.where is None:
            return False
        self.packed = None
        self.weight = 0
        return True

    def here(self) -> bool:
        """Return whether `unpack` does not wait for the disk."""
        return self.where is None or (self.coming is not None and self.coming.done)

    def bring(self, pager: Pager) -> DiskRead:
        """Begin to read the block, unless that was done."""
        if self.coming is None:
            self.coming = pager.begin_read(self.where)
        return self.coming

    def unpack(self, pager: Pager) -> list[Entry]:
        """Return the entries as new objects; the block is used up. Raises OSError."""
        if self.loose is not None:
            return self.loose
        return self.decode(self.take(pager))

    def peek(self, pager: Pager) -> list[Entry]:
        """Return the entries, those of a packed block as new objects, and keep the block. Raises OSError."""
        if self.loose is not None:
            return self.loose
        return self.decode(pager.peek(self.where) if self.packed is None else self.packed)

    def decode(self, data: bytes) -> list[Entry]:
        """Return the entries in packed bytes."""
        entry: Entry
        entries: list[Entry] = []
        reader: EntryReader = EntryReader(data, 0, len(data))
        stored: cython.uint
        while reader.at < reader.end:
            stored = reader.u32()
            entry = reader.entry(self.source)
            entry.stored = stored
            if self.redelivered:
                entry.redelivered = True
            entries.append(entry)
        return entries

    def take(self, pager: Pager) -> bytes:
        """Return the packed bytes. Raises OSError."""
        data: bytes | None = self.packed
        if data is None:
            if self.coming is not None and self.coming.done:
                data = self.coming.result()
                pager.free(self.where)
            else:
                data = pager.read(self.where)
            self.where = None
            self.coming = None
        self.packed = None
        return data

    def settle(self, journal: QueueJournal, pager: Pager) -> None:
        """Settle the entries of a packed block. Raises OSError."""
        entry: Entry
        if self.stored == 0:
            return
        if self.stored != _PENDING:
            journal.settle_run(self.stored, self.first, self.first + self.count - 1)
            return
        for entry in self.unpack(pager):
            if entry.stored:
                journal.settle(entry)

    def drop(self, pager: Pager) -> None:
        """Drop the entries."""
        self.packed = None
        self.coming = None
        if self.where is not None:
            pager.free(self.where)
            self.where = None


def pack(entries: list[Entry], source: Source, pager: Pager) -> BacklogBlock:
    """Make a block of `entries`. If memory is not short, they stay objects if other queues share their messages,
    because packing would copy these."""
    entry: Entry
    block: BacklogBlock
    out: Outbox = Outbox()
    for entry in entries:
        if entry.message.shares > 1 and pager.used * 2 <= pager.limit:
            block = BacklogBlock(source, None, len(entries))
            block.loose = entries
            return block
    entry = entries[0]
    stored: cython.uint = entry.stored
    first: cython.ulonglong = entry.position
    position: cython.ulonglong = first
    for entry in entries:
        if entry.stored != stored or (stored and entry.position != position):
            stored = _PENDING
        position += 1
        out.put_u32(entry.stored)
        put_entry(out, entry, entry.redelivered)
        put_message(out, entry.message)
    block = BacklogBlock(source, out.take(), len(entries))
    block.stored = stored
    block.first = first
    return block
