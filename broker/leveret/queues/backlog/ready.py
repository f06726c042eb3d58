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
        _BLOCK_BYTES,
        _BLOCK_ENTRIES,
        BacklogBlock,
        Pager,
        pack,
        weigh,
    )
    from cython.cimports.leveret.queues.journal import _PENDING
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.backlog.paging import (
        _BLOCK_BYTES,
        _BLOCK_ENTRIES,
        BacklogBlock,
        Pager,
        pack,
        weigh,
    )
    from leveret.queues.journal import _PENDING
    from leveret.queues.message import Entry

#: Entries worth packing when memory is short.
_MIN_BLOCK_ENTRIES = cython.declare(cython.Py_ssize_t, 32)


class Backlog:
    """Ready entries of one queue, in the order they will be served. `length`: how many."""

    def __init__(self) -> None:
        self.length: int = 0

    def push(self, entry: Entry) -> None:
        """A new entry, behind all others of its kind."""
        raise NotImplementedError

    def requeue(self, entries: list[Entry]) -> None:
        """Entries that were popped before, each back to its place."""
        raise NotImplementedError

    def first(self) -> Entry | None:
        """The entry that `pop` would give, left where it is."""
        raise NotImplementedError

    def pop(self) -> Entry | None:
        """The next entry, or None."""
        raise NotImplementedError

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """A block of entries that the store has read back, in order; `level`: see `level_of`."""
        for entry in block.unpack(Pager()):
            self.push(entry)

    def level_of(self, priority: cython.int) -> int:
        """Which of several lines a message of this priority (-1: it names none) stands in; 0 where there is
        only one."""
        return 0

    def entries(self) -> tuple[list[Entry], int]:
        """The entries that are here as objects, in no order, and how many more are packed; for checks."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget everything that is here."""
        while self.pop() is not None:
            pass


class Fifo(Backlog):
    """First in, first out; what comes back returns to its place.

    `weight`: what `pager` counts for it. `back_weight`: the same of the back alone, never too low.
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
        """So many octets more (or less) are in memory."""
        self.weight += weight
        self.pager.used += weight

    def push(self, entry: Entry) -> None:
        """Append at the back; a long back is packed away, and under pressure a short one."""
        weight: cython.longlong = weigh(entry)
        self.back.append(entry)
        self.length += 1
        self.back_weight += weight
        self.count(weight)
        if (
            len(self.back) >= 2 * _BLOCK_ENTRIES
            or self.back_weight >= 2 * _BLOCK_BYTES
            or (self.pager.used > self.pager.limit and len(self.back) >= _MIN_BLOCK_ENTRIES)
        ):
            self.pack_back()

    def pack_back(self) -> None:
        """Pack the older half of the back, or make it the front if that is used up.

        What the store has not written yet stays an object: its `stored` is still to change.
        """
        entry: Entry
        entries: list[Entry]
        block: BacklogBlock
        empty: cython.bint = self.middle is None and self.front_at >= len(self.front)
        weight: cython.longlong = 0
        number: cython.Py_ssize_t = 0
        last: cython.Py_ssize_t = len(self.back) if self.pager.used > self.pager.limit else _BLOCK_ENTRIES
        while number < last and number < len(self.back) and weight < _BLOCK_BYTES:
            entry = self.back[number]
            if entry.stored == _PENDING and not empty:
                break
            weight += weigh(entry)
            number += 1
        if number < last and number < _MIN_BLOCK_ENTRIES and weight < _BLOCK_BYTES:
            return
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
        """A block from the store, behind everything that is here."""
        block.page_out(self.pager)
        if self.middle is None:
            self.middle = deque()
        self.middle.append(block)
        self.length += block.count
        self.count(block.weight)

    def refill(self) -> None:
        """Give the used-up front new entries: the oldest block, or the whole back."""
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
        """The entries of the oldest block. If it cannot be read back, its queue crashes, which empties this backlog."""
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
        """The oldest entry by position."""
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
        """Take the oldest entry by position."""
        entry: Entry
        back: Entry
        if self.length == 0:
            return None
        if self.front_at >= len(self.front):
            self.refill()
            if self.length == 0:  # the queue has crashed: it could not be read back
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
        """The oldest of those that came back."""
        entry: Entry = self.returned.pop()
        self.count(-weigh(entry))
        return entry

    def requeue(self, entries: list[Entry]) -> None:
        """Back to their places by position."""
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
        """Front, loose blocks, back, and what came back."""
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
        """Forget everything."""
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
    """One Fifo for each priority from 0 to `top`; the highest that has anything is served first.

    `default`: the level of messages that name none.
    """

    def __init__(self, pager: Pager, top: int, default: int = 0) -> None:
        super().__init__()
        self.top: int = top
        self.default: int = default
        self.levels: list[Fifo] = [Fifo(pager) for _ in range(top + 1)]

    def level_of(self, priority: cython.int) -> int:
        """The level of a priority."""
        if priority < 0:
            return self.default
        return priority if priority < self.top else self.top

    def push(self, entry: Entry) -> None:
        """Behind all entries of its level."""
        level: Fifo = self.levels[self.level_of(entry.message.priority)]
        level.push(entry)
        self.length += 1

    def requeue(self, entries: list[Entry]) -> None:
        """Each to its place in its level."""
        entry: Entry
        level: Fifo
        for entry in entries:
            level = self.levels[self.level_of(entry.message.priority)]
            level.requeue([entry])
        self.length += len(entries)

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """A block of entries of one level."""
        fifo: Fifo = self.levels[level]
        fifo.accept(block, 0)
        self.length += block.count

    def heads(self) -> list[Entry]:
        """The first of each level, highest first."""
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
        """Remove and return what is due at the head of each level."""
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
        """Those of every level."""
        level: Fifo
        found: list[Entry] = []
        packed: cython.Py_ssize_t = 0
        for level in self.levels:
            objects, more = level.entries()
            found.extend(objects)
            packed += more
        return found, packed

    def release(self) -> None:
        """Forget everything in every level."""
        fifo: Fifo
        for fifo in self.levels:
            fifo.release()
        self.length = 0

    def first(self) -> Entry | None:
        """The oldest of the highest level."""
        i: cython.Py_ssize_t
        level: Fifo
        for i in range(self.top, -1, -1):
            level = self.levels[i]
            if level.length:
                return level.first()
        return None

    def pop(self) -> Entry | None:
        """Take the oldest of the highest level."""
        i: cython.Py_ssize_t
        level: Fifo
        if self.length == 0:
            return None
        entry: Entry | None
        for i in range(self.top, -1, -1):
            level = self.levels[i]
            if level.length:
                entry = level.pop()
                if entry is not None:
                    self.length -= 1
                return entry
        return None


def _from_the_end(entry: Entry) -> int:
    """Sort key of `returned`: the next one to serve stands last, where popping is cheap."""
    return -entry.position
