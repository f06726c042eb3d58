"""The backlog: ready entries in order.

A `Fifo` keeps objects only near its two ends. Entries are appended at the back; when the back is long and the front is
not used up, the back is packed into a `BacklogBlock` in the middle (`paging.py`), in memory or outside. Blocks are
unpacked when the front is empty. A short queue never packs: its back becomes its front.

Requeued entries go to `returned`, ordered by position, and are taken before anything behind them: requeueing restores
the original position (docs: confirms#consumer-nacks-requeue). `Levels` is one Fifo for each priority, highest first
(docs: priority).
"""

from __future__ import annotations

import bisect
from collections import deque

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import (
        BLOCK_BYTES,
        BLOCK_ENTRIES,
        BacklogBlock,
        Pager,
        pack,
        weigh,
    )
    from cython.cimports.leveret.queues.journal import _PENDING
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.backlog.paging import (
        BLOCK_BYTES,
        BLOCK_ENTRIES,
        BacklogBlock,
        Pager,
        pack,
        weigh,
    )
    from leveret.queues.journal import _PENDING
    from leveret.queues.message import Entry

#: Entries that each push may pack when there is much to pack: memory must not grow faster than it is packed.
PACKED_PER_PUSH = cython.declare(cython.Py_ssize_t, 8)

#: Entries worth packing when memory is short.
_MIN_BLOCK_ENTRIES = cython.declare(cython.Py_ssize_t, 32)


class Backlog:
    """Ready entries of one queue, in the order in which they are delivered. `length`: how many."""

    def __init__(self) -> None:
        self.length: int = 0

    def push(self, entry: Entry) -> None:
        """Add a new entry behind all others of its level."""
        raise NotImplementedError

    def requeue(self, entries: list[Entry]) -> None:
        """Put entries that were popped back at their positions."""
        raise NotImplementedError

    def first(self) -> Entry | None:
        """Return the next entry without removing it, or None."""
        raise NotImplementedError

    def pop(self) -> Entry | None:
        """Remove and return the next entry, or None."""
        raise NotImplementedError

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block of entries that the store has read back, in order; `level`: see `level_of`."""
        for entry in block.unpack(Pager()):
            self.push(entry)

    def level_of(self, priority: cython.int) -> int:
        """Return the level of messages with this priority (-1: without one); 0 in a backlog without levels."""
        return 0

    def entries(self) -> tuple[list[Entry], int]:
        """Return the entries that are in memory as objects, in no order, and how many more are packed; for checks."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop all entries."""
        while self.pop() is not None:
            pass


class Fifo(Backlog):
    """First in, first out; requeued entries return to their positions.

    `weight`: octets that `pager` counts for it. `back_weight`: octets of the back, or more.
    """

    def __init__(self, pager: Pager) -> None:
        super().__init__()
        self.pager: Pager = pager
        self.front: list[Entry] = []
        self.front_at: int = 0
        self.middle: deque[BacklogBlock] | None = None
        self.back: list[Entry] = []
        self.back_weight: int = 0
        self.returned: list[Entry] = []
        self.weight: int = 0

    def count(self, weight: cython.longlong) -> None:
        """Change the octets in memory by `weight`, which may be negative."""
        self.weight += weight
        self.pager.used += weight

    def push(self, entry: Entry) -> None:
        """Append an entry at the back. A long back is packed, and a shorter one if memory is short."""
        weight: cython.longlong = weigh(entry)
        self.back.append(entry)
        self.length += 1
        self.back_weight += weight
        self.count(weight)
        if (
            len(self.back) >= 2 * BLOCK_ENTRIES
            or self.back_weight >= 2 * BLOCK_BYTES
            or (self.pager.used > self.pager.limit and len(self.back) >= _MIN_BLOCK_ENTRIES)
        ):
            # When the store has written a long batch, much can be packed at once: not all of it in one turn.
            self.pager.allowance += PACKED_PER_PUSH
            if self.pager.allowance > 0:
                self.pack_back()

    def pack_back(self) -> None:
        """Pack the older half of the back, or make it the front if the front and the middle are empty.

        Entries that the store has not written yet stay objects, because their `stored` will still change.
        """
        entry: Entry
        entries: list[Entry]
        block: BacklogBlock
        empty: cython.bint = self.middle is None and self.front_at >= len(self.front)
        weight: cython.longlong = 0
        number: cython.Py_ssize_t = 0
        last: cython.Py_ssize_t = len(self.back) if self.pager.used > self.pager.limit else BLOCK_ENTRIES
        while number < last and number < len(self.back) and weight < BLOCK_BYTES:
            entry = self.back[number]
            if entry.stored == _PENDING and not empty:
                break
            weight += weigh(entry)
            number += 1
        if number < last and number < _MIN_BLOCK_ENTRIES and weight < BLOCK_BYTES:
            return
        self.pager.allowance -= number
        entries = self.back[:number]
        del self.back[:number]
        self.back_weight -= weight
        if empty:
            self.front = entries
            self.front_at = 0
            return
        if self.middle is None:
            self.middle = deque()
        block = pack(entries, entries[0].source, self.pager)
        if block.loose is not None:
            block.weight = weight
        else:
            self.count(-weight)
            block.page_out(self.pager)
            self.count(block.weight)
        self.middle.append(block)

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block from the store behind all entries."""
        block.page_out(self.pager)
        if self.middle is None:
            self.middle = deque()
        self.middle.append(block)
        self.length += block.count
        self.count(block.weight)

    def refill(self) -> None:
        """Refill the empty front with the oldest block, or with the whole back."""
        self.front_at = 0
        if self.middle is not None:
            self.front = self.unpack_next(self.middle)
            if not self.middle:
                self.middle = None
        else:
            self.front.clear()
            self.front, self.back = self.back, self.front
            self.back_weight = 0

    def unpack_next(self, middle: deque[BacklogBlock]) -> list[Entry]:
        """Return the entries of the oldest block. If it cannot be read, the queue crashes, which empties this
        backlog."""
        entry: Entry
        entries: list[Entry]
        weight: cython.longlong = 0
        block: BacklogBlock = middle.popleft()
        following: BacklogBlock
        if middle:
            following = middle[0]
            if following.where is not None:
                self.pager.ahead(following.where)
        if block.loose is not None:
            return block.loose
        try:
            entries = block.unpack(self.pager)
        except OSError as error:
            block.drop(self.pager)
            block.source.crash(str(error))
            return []
        for entry in entries:
            weight += weigh(entry)
        self.count(weight - block.weight)
        return entries

    def first(self) -> Entry | None:
        """Return the entry with the lowest position without removing it."""
        entry: Entry
        back: Entry
        if self.front_at >= len(self.front):
            self.refill()
        if self.returned:
            back = self.returned[-1]
            if self.front_at >= len(self.front):
                return back
            entry = self.front[self.front_at]
            return back if back.position < entry.position else entry
        if self.front_at >= len(self.front):
            return None
        return self.front[self.front_at]

    def pop(self) -> Entry | None:
        """Remove and return the entry with the lowest position."""
        entry: Entry
        back: Entry
        if self.length == 0:
            return None
        if self.front_at >= len(self.front):
            self.refill()
            if self.length == 0:  # the block could not be read, and the queue has crashed
                return None
        self.length -= 1
        if self.returned:
            back = self.returned[-1]
            if self.front_at >= len(self.front):
                return self.take_returned()
            entry = self.front[self.front_at]
            if back.position < entry.position:
                return self.take_returned()
        entry = self.front[self.front_at]
        self.front[self.front_at] = None  # type: ignore[call-overload]  # freed now, not when the front is
        self.front_at += 1
        self.count(-weigh(entry))
        return entry

    def take_returned(self) -> Entry:
        """Remove and return the requeued entry with the lowest position."""
        entry: Entry = self.returned.pop()
        self.count(-weigh(entry))
        return entry

    def requeue(self, entries: list[Entry]) -> None:
        """Put entries back at their positions."""
        entry: Entry
        self.length += len(entries)
        for entry in entries:
            self.count(weigh(entry))
        if len(entries) == 1:
            bisect.insort(self.returned, entries[0], key=_from_the_end)
        else:
            self.returned.extend(entries)
            self.returned.sort(key=_from_the_end)

    def entries(self) -> tuple[list[Entry], int]:
        """Return the entries of front, loose blocks, back and `returned`."""
        block: BacklogBlock
        found: list[Entry] = self.front[self.front_at :] + self.back + self.returned
        packed: cython.Py_ssize_t = 0
        if self.middle is not None:
            for block in self.middle:
                if block.loose is not None:
                    found.extend(block.loose)
                else:
                    packed += block.count
        return found, packed

    def release(self) -> None:
        """Drop all entries."""
        block: BacklogBlock
        if self.middle is not None:
            for block in self.middle:
                block.drop(self.pager)
        self.count(-self.weight)
        self.length = 0
        self.middle = None
        self.front_at = 0
        self.front = []
        self.back = []
        self.back_weight = 0
        self.returned = []


class Levels(Backlog):
    """One Fifo for each priority from 0 to `top`; the highest one with entries is served first.

    `default`: the level of messages without a priority.
    """

    def __init__(self, pager: Pager, top: int, default: int = 0) -> None:
        super().__init__()
        self.top: int = top
        self.default: int = default
        self.levels: list[Fifo] = [Fifo(pager) for _ in range(top + 1)]

    def level_of(self, priority: cython.int) -> int:
        """Return the level of a priority."""
        if priority < 0:
            return self.default
        return priority if priority < self.top else self.top

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others of its level."""
        level: Fifo = self.levels[self.level_of(entry.message.priority)]
        level.push(entry)
        self.length += 1

    def requeue(self, entries: list[Entry]) -> None:
        """Put entries back at their positions in their levels."""
        entry: Entry
        level: Fifo
        for entry in entries:
            level = self.levels[self.level_of(entry.message.priority)]
            level.requeue([entry])
        self.length += len(entries)

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block of entries of one level."""
        fifo: Fifo = self.levels[level]
        fifo.accept(block, 0)
        self.length += block.count

    def counts(self) -> dict[int, int]:
        """Return the number of entries of each level that is not empty."""
        i: cython.Py_ssize_t
        level: Fifo
        found: dict[int, int] = {}
        for i in range(self.top + 1):
            level = self.levels[i]
            if level.length:
                found[i] = level.length
        return found

    def heads(self) -> list[Entry]:
        """Return the first entry of each level, highest level first."""
        i: cython.Py_ssize_t
        level: Fifo
        entry: Entry | None
        entries: list[Entry] = []
        for i in range(self.top, -1, -1):
            level = self.levels[i]
            if level.length:
                entry = level.first()
                if entry is not None:
                    entries.append(entry)
        return entries

    def take_expired(self, now: cython.longlong) -> list[Entry]:
        """Remove and return the expired entries at the head of each level."""
        i: cython.Py_ssize_t
        level: Fifo
        entry: Entry | None
        taken: list[Entry] = []
        for i in range(self.top, -1, -1):
            level = self.levels[i]
            while level.length:
                entry = level.first()
                if entry is None or entry.expires_at == 0 or entry.expires_at > now:
                    break
                taken.append(entry)
                level.pop()
                self.length -= 1
        return taken

    def entries(self) -> tuple[list[Entry], int]:
        """Return the entries of all levels."""
        level: Fifo
        found: list[Entry] = []
        packed: cython.Py_ssize_t = 0
        for level in self.levels:
            objects, more = level.entries()
            found.extend(objects)
            packed += more
        return found, packed

    def release(self) -> None:
        """Drop all entries of all levels."""
        fifo: Fifo
        for fifo in self.levels:
            fifo.release()
        self.length = 0

    def highest(self) -> Fifo | None:
        """Return the highest level that has entries."""
        i: cython.Py_ssize_t
        level: Fifo
        if self.length == 0:
            return None
        for i in range(self.top, -1, -1):
            level = self.levels[i]
            if level.length:
                return level
        return None

    def first(self) -> Entry | None:
        """Return the oldest entry of the highest level without removing it."""
        level: Fifo | None = self.highest()
        return level.first() if level is not None else None

    def pop(self) -> Entry | None:
        """Remove and return the oldest entry of the highest level."""
        level: Fifo | None = self.highest()
        entry: Entry | None = None
        if level is not None:
            entry = level.pop()
            if entry is not None:
                self.length -= 1
        return entry


def _from_the_end(entry: Entry) -> int:
    """Return the sort key of `returned`: the next entry is the last one, because popping from the end is cheap."""
    return -entry.position
