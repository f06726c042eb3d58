"""Blocks of a backlog as bytes, and paging them out of memory.

A `BacklogBlock` holds consecutive entries of one queue, packed (`encoding.py`): a third of the objects' memory, and
nothing for the garbage collector. The `Pager` counts the memory of all backlogs together; beyond its limit new blocks
are paged out at once. They are the newest of their queue and needed last; the block behind the one that is unpacked is
read ahead.
"""

from __future__ import annotations

from typing import Any, TypeAlias

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
    size: cython.Py_ssize_t = message.head + message.size + _MESSAGE_BYTES
    return _ENTRY_BYTES + (size // message.shares if message.shares > 1 else size)


class Pager:
    """Counts the memory of backlogs and keeps blocks outside memory. This one cannot do the latter.

    `used`: octets of all backlogs together, as `weigh` and packed blocks count them. `limit`: beyond it, short backlogs
    are packed too; beyond half of it, packed blocks leave memory, so that one long queue does not use the memory of
    many short ones. `paged`: octets outside memory. `allowance`: entries that may be
    packed in this turn; without an edge, any number.
    """

    def __init__(self, limit: int = 1 << 62) -> None:
        self.used: int = 0
        self.limit: int = limit
        self.paged: int = 0
        self.allowance: int = 1 << 62

    def write(self, data: bytes) -> PagedAt:
        """Keep `data` outside memory. Returns where, or None if there is no space."""
        return None

    def read(self, where: PagedAt) -> bytes:
        """Read data and free its space. Raises OSError."""
        raise NotImplementedError

    def peek(self, where: PagedAt) -> bytes:
        """Read data without freeing its space. Raises OSError."""
        raise NotImplementedError

    def ahead(self, where: PagedAt) -> None:
        """Read ahead: the data is needed soon."""

    def free(self, where: PagedAt) -> None:
        """Free the space of data."""


class BacklogBlock:
    """`count` consecutive entries: packed, in memory or where the pager keeps them (`where`); or `loose`, as objects.

    `size`: octets when packed, `weight`: what the pager counts for it. `bodies`: octets of the bodies;
    `last`: highest position; `has_ttl`: some expire. These three are kept for blocks that come from the store
    only. `stored`: where the store has them all, at consecutive positions from `first` on; 0 if it has none of them,
    `PENDING` if only the entries tell.
    """

    def __init__(self, source: Source, packed: bytes | None, count: int) -> None:
        self.source: Source = source
        self.packed: bytes | None = packed
        self.loose: list[Entry] | None = None
        self.where: PagedAt = None
        self.count: int = count
        self.weight: int = 0 if packed is None else len(packed)
        self.bodies: int = 0
        self.last: int = 0
        self.has_ttl: bool = False
        self.stored: int = _PENDING
        self.first: int = 0

    def page_out(self, pager: Pager) -> None:
        """Page the block out if memory is short and there is space."""
        if self.packed is not None and (pager.used + self.weight) * 2 > pager.limit:
            self.where = pager.write(self.packed)
            if self.where is not None:
                self.packed = None
                self.weight = 0

    def unpack(self, pager: Pager) -> list[Entry]:
        """Return the entries as new objects; the block is used up. Raises OSError."""
        data: bytes
        entry: Entry
        entries: list[Entry]
        reader: EntryReader
        stored: cython.uint
        if self.loose is not None:
            return self.loose
        data = self.take(pager)
        entries = []
        reader = EntryReader(data, 0, len(data))
        while reader.at < reader.end:
            stored = reader.u32()
            entry = reader.entry(self.source)
            entry.stored = stored
            entries.append(entry)
        return entries

    def take(self, pager: Pager) -> bytes:
        """Return the packed bytes. Raises OSError."""
        data: bytes | None = self.packed
        if data is None:
            data = pager.read(self.where)
            self.where = None
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
