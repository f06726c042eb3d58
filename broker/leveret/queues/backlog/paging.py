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
    from cython.cimports.leveret.queues.message import Entry, Message, Source
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.queues.encoding import EntryReader, put_entry, put_message
    from leveret.queues.message import Entry, Message, Source
    from leveret.wire.frames import Outbox

#: Where a pager keeps a block outside memory; only the pager looks at it. None: in memory.
PagedAt: TypeAlias = Any

#: Entries in a block: enough to be worth packing, few enough to unpack at once.
BLOCK_ENTRIES = 1024

#: Octets in memory after which a block is full, however few its entries are.
BLOCK_BYTES = 512 * 1024

# The same for the compiler, which gets their types from the `.pxd`.
_BLOCK_ENTRIES = BLOCK_ENTRIES
_BLOCK_BYTES = BLOCK_BYTES

#: Octets of memory that an entry and its message take beside the frames: two objects, their slots in lists, the head of
#: a bytes object.
_OBJECT_BYTES = 240


def weigh(entry: Entry) -> int:
    """Octets of memory that an entry takes as objects; a message in several queues is divided among them."""
    message: Message = entry.message
    size: cython.Py_ssize_t = message.head + message.size + _OBJECT_BYTES
    return size // message.shares if message.shares > 1 else size


class Pager:
    """Counts the memory of backlogs and keeps blocks outside it. This one cannot: everything stays in memory.

    `used`: octets of all backlogs together, as `weigh` and packed blocks count them. `limit`: beyond it
    backlogs are packed even if they are short; beyond half of it packed blocks leave memory, so that one long
    queue cannot take the room of many short ones. `paged`: octets outside memory.
    """

    def __init__(self, limit: int = 1 << 62) -> None:
        self.used: int = 0
        self.limit: int = limit
        self.paged: int = 0

    def write(self, data: bytes) -> PagedAt:
        """Keep `data` outside memory; returns where, or None if there is no place for it."""
        return None

    def read(self, where: PagedAt) -> bytes:
        """Read the data and free its place. Raises OSError."""
        raise NotImplementedError

    def peek(self, where: PagedAt) -> bytes:
        """Read the data, which stays where it is. Raises OSError."""
        raise NotImplementedError

    def ahead(self, where: PagedAt) -> None:
        """Read ahead: the data will be needed soon."""

    def free(self, where: PagedAt) -> None:
        """Free a place."""


class BacklogBlock:
    """`count` consecutive entries: packed, in memory or at `where` the pager keeps them; or `loose`, as
    objects.

    `size`: octets when packed, `weight`: what the pager counts for it. `bodies`: octets of the bodies;
    `last`: highest position; `has_ttl`: some expire. These three are kept for blocks that come from the store
    only.
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

    def page_out(self, pager: Pager) -> None:
        """Page out if memory is short and there is a place."""
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
            entry = reader.entry()
            entry.stored = stored
            entry.message = reader.message()
            entry.source = self.source
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

    def drop(self, pager: Pager) -> None:
        """Forget the entries."""
        if self.where is not None:
            pager.free(self.where)
            self.where = None


def pack(entries: list[Entry], source: Source, pager: Pager) -> BacklogBlock:
    """Make a block of `entries`. While there is room for them they stay objects if other queues hold their
    messages too, whose bytes would be doubled."""
    entry: Entry
    block: BacklogBlock
    out: Outbox = Outbox()
    for entry in entries:
        if entry.message.shares > 1 and pager.used * 2 <= pager.limit:
            block = BacklogBlock(source, None, len(entries))
            block.loose = entries
            return block
    for entry in entries:
        out.put_u32(entry.stored)
        put_entry(out, entry, entry.redelivered)
        put_message(out, entry.message)
    return BacklogBlock(source, out.take(), len(entries))
