"""The backlog: ready entries in order.

A `Fifo` keeps objects only near its two ends. Entries are appended at the back; when the back is long and the front is
not used up, the back is packed into a `BacklogBlock` in the middle (`paging.py`), in memory or outside. Blocks are
unpacked when the front is empty. A short queue never packs: its back becomes its front.

Requeued entries go to `returned`, ordered by position, and are taken before anything behind them: requeueing restores
the original position (docs: confirms#consumer-nacks-requeue). `Levels` is one Fifo for each priority, highest first
(docs: priority).

A backlog that is not needed any more is freed in portions (`release_some`): a million objects at once would take a
tenth of a second.
"""

from __future__ import annotations

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
    from cython.cimports.leveret.queues.backlog.returned import ReturnedEntries
    from cython.cimports.leveret.queues.journal import _PENDING, QueueJournal
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
    from leveret.queues.backlog.returned import ReturnedEntries
    from leveret.queues.journal import _PENDING, QueueJournal
    from leveret.queues.message import Entry

from leveret.queues.backlog.paged_contents import PagedContent, absent_content, bring_back
from leveret.queues.disk_read import DiskRead

#: Entries that each push may pack when there is much to pack: memory must not grow faster than it is packed.
PACKED_PER_PUSH = cython.declare(cython.Py_ssize_t, 8)

#: Entries worth packing when memory is short.
_MIN_BLOCK_ENTRIES = cython.declare(cython.Py_ssize_t, 32)

#: Messages with an `Extra`, such as dead letters, that are packed together: each takes as long as thirty others.
_EXTRAS_TOGETHER = cython.declare(cython.Py_ssize_t, 32)

#: Entries that are freed in one portion: well under a millisecond.
_PORTION = cython.declare(cython.Py_ssize_t, 512)


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

    def whole(self) -> bool:
        """Return whether all entries are here, so that none of them must be read as long as none is added."""
        return False

    def here(self, every: cython.bint) -> bool:
        """Return whether the next entry can be taken without waiting for the disk; with `every`, that of each level."""
        return True

    def bring(self, every: cython.bint) -> DiskRead | None:
        """Begin to read what is missing for that; None if nothing is."""
        return None

    def bring_to_settle(self) -> DiskRead | None:
        """Begin to read what `release_some` needs to settle the next entries; None if that is there."""
        return None

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

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return up to `count` next entries, in the order of delivery, without removing them. Raises OSError."""
        raise NotImplementedError

    def every(self) -> list[Entry]:
        """Return all entries as they are delivered, the packed ones as new objects. Nothing is changed. Raises OSError
        if packed ones cannot be read."""
        return self.peek(self.length)

    def release(self) -> None:
        """Forget everything that is here."""
        while self.release_some(None):
            pass

    def release_some(self, journal: QueueJournal | None) -> bool:
        """Free a portion of the entries, and settle them if `journal` is given; False if nothing is left.

        Raises OSError if entries that are to be settled cannot be read back; they are freed.
        """
        raise NotImplementedError


class Fifo(Backlog):
    """First in, first out; requeued entries return to their positions.

    `weight`: what `pager` counts for it. `back_weight`: the same of the back alone, never too low. `priority`: its
    level, if it is one of `Levels`.
    """

    def __init__(self, pager: Pager, priority: int = 0) -> None:
        super().__init__()
        self.pager: Pager = pager
        self.priority: int = priority
        self.front: list[Entry] = []
        self.front_at: int = 0
        self.middle: deque[BacklogBlock] | None = None
        self.back: list[Entry] = []
        self.back_weight: int = 0
        self.returned: ReturnedEntries | None = None
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
        extras: cython.Py_ssize_t = 0
        last: cython.Py_ssize_t = len(self.back) if self.pager.used > self.pager.limit else BLOCK_ENTRIES
        while number < last and number < len(self.back) and weight < BLOCK_BYTES:
            entry = self.back[number]
            if entry.stored == _PENDING and not empty:
                break
            weight += weigh(entry)
            number += 1
            if entry.message.extra is not None:
                extras += 1
                if extras == _EXTRAS_TOGETHER and not empty:
                    last = number
        if number < last and number < _MIN_BLOCK_ENTRIES and weight < BLOCK_BYTES:
            return
        self.pager.allowance -= number
        self.back_weight -= weight
        if empty:
            # The lists change places: the garbage collector visits new ones with all their entries, old ones seldom.
            self.front.clear()
            self.front.extend(self.back[number:])
            del self.back[number:]
            self.front, self.back = self.back, self.front
            self.front_at = 0
            return
        entries = self.back[:number]
        del self.back[:number]
        if self.middle is None:
            self.middle = deque()
        block = pack(entries, entries[0].source, self.pager)
        if block.loose is not None:
            block.weight = weight
        else:
            self.count(block.weight - weight)
            if not self.page_out(block):
                self.pager.postpone(self, block)
        self.middle.append(block)

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block from the store behind all entries."""
        self.count(block.weight)
        if not self.page_out(block):
            self.pager.postpone(self, block)
        if self.middle is None:
            self.middle = deque()
        self.middle.append(block)
        self.length += block.count

    def page_out(self, block: BacklogBlock) -> bool:
        """Page out a block, which counts already, if memory is short. False if it cannot be written now."""
        weight: cython.longlong = block.weight
        self.count(-weight)
        written: cython.bint = block.page_out(self.pager)
        self.count(block.weight)
        return written

    def refill(self) -> None:
        """Refill the empty front with the oldest block, or with the whole back."""
        self.front_at = 0
        if self.middle is not None:
            self.front = []  # a crash of the queue releases what is here
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
                following.bring(self.pager)
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

    def whole(self) -> bool:
        """Return whether there is no block, and nothing that was requeued."""
        return self.middle is None and (self.returned is None or self.returned.length == 0)

    def here(self, every: cython.bint) -> bool:
        """Return whether the oldest block is there if it is next, and the content of a returned entry if that is."""
        block: BacklogBlock
        if self.front_at >= len(self.front) and self.middle is not None:
            block = self.middle[0]
            if not block.here():
                return False
        return self.returned is None or self.returned.length == 0 or self.absent(self.returned) is None

    def absent(self, returned: ReturnedEntries) -> PagedContent | None:
        """Return the content of the oldest returned entry if that is next, and must be read first."""
        entry: Entry
        back: Entry = returned.first()
        if len(back.message.content):
            return None
        if self.front_at < len(self.front):
            entry = self.front[self.front_at]
            if entry.position < back.position:
                return None
        return absent_content(back)

    def bring(self, every: cython.bint) -> DiskRead | None:
        """Begin to read the oldest block, or the content of a returned entry."""
        block: BacklogBlock
        if self.front_at >= len(self.front) and self.middle is not None:
            block = self.middle[0]
            if not block.here():
                return block.bring(self.pager)
        if self.returned is not None and self.returned.length:
            paged = self.absent(self.returned)
            if paged is not None:
                return paged.begin_read()
        return None

    def bring_to_settle(self) -> DiskRead | None:
        """Begin to read the oldest block, if only its entries tell where the store has them."""
        block: BacklogBlock
        if self.front_at < len(self.front) or self.middle is None:
            return None
        block = self.middle[0]
        return block.bring(self.pager) if block.stored == _PENDING and not block.here() else None

    def first(self) -> Entry | None:
        """Return the entry with the lowest position without removing it."""
        entry: Entry
        back: Entry
        if self.front_at >= len(self.front):
            self.refill()
        if self.returned is not None and self.returned.length:
            back = self.returned.first()
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
        if self.returned is not None and self.returned.length:
            back = self.returned.first()
            if self.front_at >= len(self.front):
                return self.deliverable(self.take_returned(self.returned))
            entry = self.front[self.front_at]
            if back.position < entry.position:
                return self.deliverable(self.take_returned(self.returned))
        front = cython.cast(list, self.front)  # without its items' type, which would be checked
        entry = cython.cast(Entry, front[self.front_at])
        front[self.front_at] = None  # freed now, not when the front is
        self.front_at += 1
        self.count(-weigh(entry))
        return entry

    def deliverable(self, entry: Entry) -> Entry | None:
        """Return a returned entry with its content. If that cannot be read, the queue crashes, which empties this
        backlog: None."""
        if len(entry.message.content) or bring_back(entry):
            return entry
        return None

    def take_returned(self, returned: ReturnedEntries) -> Entry:
        """The oldest of those that came back."""
        entry: Entry = returned.pop()
        self.count(-weigh(entry))
        return entry

    def requeue(self, entries: list[Entry]) -> None:
        """Put entries back at their positions."""
        entry: Entry
        returned: ReturnedEntries | None = self.returned
        if returned is None:
            returned = self.returned = ReturnedEntries()
        self.length += len(entries)
        for entry in entries:
            self.count(weigh(entry))
            returned.add(entry)

    def entries(self) -> tuple[list[Entry], int]:
        """Return the entries of front, loose blocks, back and `returned`."""
        block: BacklogBlock
        found: list[Entry] = self.front[self.front_at :] + self.back
        packed: cython.Py_ssize_t = 0
        if self.returned is not None:
            found.extend(self.returned.entries())
        if self.middle is not None:
            for block in self.middle:
                if block.loose is not None:
                    found.extend(block.loose)
                else:
                    packed += block.count
        return found, packed

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return the next entries of front, blocks and back, and those that were requeued, by position."""
        block: BacklogBlock
        found: list[Entry] = self.front[self.front_at : self.front_at + count]
        if self.middle is not None:
            for block in self.middle:
                if len(found) >= count:
                    break
                found.extend(block.peek(self.pager))
        if len(found) < count:
            found.extend(self.back[: count - len(found)])
        if self.returned is not None and self.returned.length:
            found.extend(self.returned.peek(count))
            found.sort(key=_position)
        return found[:count]

    def release_some(self, journal: QueueJournal | None) -> bool:
        """Free entries of the front, then a block, then the back and what came back."""
        entry: Entry
        number: cython.Py_ssize_t = 0
        if self.front_at >= len(self.front) and self.middle is None:
            self.front, self.back = self.back, []
            self.front_at = 0
            self.back_weight = 0
        if self.front_at >= len(self.front) and self.middle is not None:
            self.release_block(journal)
            return True
        while number < _PORTION:
            if self.front_at < len(self.front):
                entry = self.front[self.front_at]
                self.front[self.front_at] = None  # type: ignore[call-overload]  # freed now
                self.front_at += 1
                self.count(-weigh(entry))
            elif self.returned is not None and self.returned.length:
                entry = self.take_returned(self.returned)
            else:
                break
            number += 1
            if journal is not None and entry.stored:
                journal.settle(entry)
        if number == 0:  # nothing is left; a block that could not be read counts until now
            self.count(-self.weight)
            self.length = 0
            return False
        self.length -= number
        return self.length > 0

    def release_block(self, journal: QueueJournal | None) -> None:
        """Free the oldest block; one of objects becomes the front."""
        middle: deque[BacklogBlock] = self.middle  # type: ignore[assignment]  # there is one
        block: BacklogBlock = middle.popleft()
        if not middle:
            self.middle = None
        if block.loose is not None:
            self.front = block.loose
            self.front_at = 0
            return
        self.length -= block.count
        self.count(-block.weight)
        try:
            if journal is not None:
                block.settle(journal, self.pager)
        finally:
            block.drop(self.pager)


class Levels(Backlog):
    """One Fifo for each priority from 0 to `top` that was used; the highest that has anything is served first.

    `default`: the level of messages that name none. `levels`: by priority, None where nothing ever was; `waiting`:
    those that have anything, the highest at the end.
    """

    def __init__(self, pager: Pager, top: int, default: int = 0) -> None:
        super().__init__()
        self.pager: Pager = pager
        self.top: int = top
        self.default: int = default
        self.levels: list[Fifo | None] = []
        self.waiting: list[Fifo] = []

    def level_of(self, priority: cython.int) -> int:
        """Return the level of a priority."""
        if priority < 0:
            return self.default
        return priority if priority < self.top else self.top

    def fifo(self, priority: cython.Py_ssize_t) -> Fifo:
        """The level of this number, which is about to get an entry."""
        fifo: Fifo | None = None
        if priority < len(self.levels):
            fifo = self.levels[priority]
        else:
            self.levels.extend([None] * (priority + 1 - len(self.levels)))
        if fifo is None:
            fifo = Fifo(self.pager, priority)
            self.levels[priority] = fifo
        if fifo.length == 0:
            self.begin(fifo)
        return fifo

    def begin(self, fifo: Fifo) -> None:
        """Put a level that was empty among the waiting ones."""
        other: Fifo
        i: cython.Py_ssize_t = len(self.waiting)
        while i > 0:
            other = self.waiting[i - 1]
            if other.priority < fifo.priority:
                break
            i -= 1
        self.waiting.insert(i, fifo)

    def push(self, entry: Entry) -> None:
        """Behind all entries of its level."""
        fifo: Fifo = self.fifo(self.level_of(entry.message.priority))
        fifo.push(entry)
        self.length += 1

    def requeue(self, entries: list[Entry]) -> None:
        """Put entries back at their positions in their levels."""
        entry: Entry
        fifo: Fifo
        for entry in entries:
            fifo = self.fifo(self.level_of(entry.message.priority))
            fifo.requeue([entry])
        self.length += len(entries)

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """A block of entries of one level."""
        fifo: Fifo = self.fifo(level)
        fifo.accept(block, 0)
        self.length += block.count

    def counts(self) -> dict[int, int]:
        """Return the number of entries of each level that is not empty."""
        fifo: Fifo
        found: dict[int, int] = {}
        for fifo in self.waiting:
            found[fifo.priority] = fifo.length
        return found

    def heads(self) -> list[Entry]:
        """The first of each level, highest first."""
        fifo: Fifo
        entry: Entry | None
        entries: list[Entry] = []
        for fifo in self.waiting[::-1]:
            entry = fifo.first()
            if entry is not None:
                entries.append(entry)
        return entries

    def take_expired(self, now: cython.longlong, most: cython.Py_ssize_t) -> list[Entry]:
        """Remove and return what is due at the head of each level, at most so many entries."""
        fifo: Fifo
        entry: Entry | None
        taken: list[Entry] = []
        for fifo in self.waiting[::-1]:
            while fifo.length and len(taken) < most and fifo.here(False):
                entry = fifo.first()
                if entry is None or entry.expires_at == 0 or entry.expires_at > now:
                    break
                taken.append(entry)
                fifo.pop()
                self.length -= 1
        self.waiting = [fifo for fifo in self.waiting if fifo.length]
        return taken

    def entries(self) -> tuple[list[Entry], int]:
        """Those of every level."""
        fifo: Fifo
        found: list[Entry] = []
        packed: cython.Py_ssize_t = 0
        for fifo in self.waiting:
            objects, more = fifo.entries()
            found.extend(objects)
            packed += more
        return found, packed

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return the next entries, those of the highest level first."""
        fifo: Fifo
        found: list[Entry] = []
        for fifo in self.waiting[::-1]:
            if len(found) >= count:
                break
            found.extend(fifo.peek(count - len(found)))
        return found

    def release_some(self, journal: QueueJournal | None) -> bool:
        """Free a portion of the highest level."""
        fifo: Fifo
        before: cython.Py_ssize_t
        if not self.waiting:
            self.length = 0
            return False
        fifo = self.waiting[-1]
        before = fifo.length
        try:
            fifo.release_some(journal)
        finally:
            self.length -= before - fifo.length
            if fifo.length == 0:
                self.waiting.pop()
        return self.length > 0

    def here(self, every: cython.bint) -> bool:
        """Whether the oldest of the highest level is there, or of every level."""
        fifo: Fifo
        if not self.waiting:
            return True
        if not every:
            fifo = self.waiting[-1]
            return fifo.here(False)
        for fifo in self.waiting:  # noqa: SIM110  no generator expressions here
            if not fifo.here(False):
                return False
        return True

    def bring(self, every: cython.bint) -> DiskRead | None:
        """Begin to read the oldest of the highest level, or of the first level where it is missing."""
        fifo: Fifo
        for fifo in self.waiting[::-1]:
            if not fifo.here(False):
                return fifo.bring(False)
            if not every:
                break
        return None

    def bring_to_settle(self) -> DiskRead | None:
        """Begin to read the oldest of the highest level, if it must be settled."""
        fifo: Fifo
        if not self.waiting:
            return None
        fifo = self.waiting[-1]
        return fifo.bring_to_settle()

    def first(self) -> Entry | None:
        """The oldest of the highest level."""
        fifo: Fifo
        if not self.waiting:
            return None
        fifo = self.waiting[-1]
        return fifo.first()

    def pop(self) -> Entry | None:
        """Take the oldest of the highest level."""
        fifo: Fifo
        entry: Entry | None
        if not self.waiting:
            return None
        fifo = self.waiting[-1]
        entry = fifo.pop()
        if entry is not None:
            self.length -= 1
            if fifo.length == 0:
                self.waiting.pop()
        return entry


def _position(entry: Entry) -> int:
    return entry.position
