"""The backlog of a quorum queue: returned messages first, then those that were never delivered, by priority.

The number of priorities depends on the version: one before 4.0 (`Fifo`), two with a ratio of 2:1 up to 4.2
(`WeightedBacklog`; rabbit_fifo_q), 32 in strict order since 4.3 (`Levels`; rabbit_fifo_pq). Returned messages have no
priority any more.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import BacklogBlock, Pager
    from cython.cimports.leveret.queues.backlog.ready import Backlog, Fifo, Levels
    from cython.cimports.leveret.queues.journal import QueueJournal
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.backlog.paging import BacklogBlock, Pager
    from leveret.queues.backlog.ready import Backlog, Fifo, Levels
    from leveret.queues.journal import QueueJournal
    from leveret.queues.message import Entry

from leveret.queues.backlog.paged_contents import absent_content, bring_back
from leveret.queues.disk_read import DiskRead

#: The level of messages without a priority, if there are 32.
DEFAULT_PRIORITY = 4

#: Entries that are freed in one portion.
_PORTION = cython.declare(cython.Py_ssize_t, 512)

#: Messages of high priority served for each normal one (rabbit_fifo_q: WEIGHT).
_WEIGHT = 2


def undelivered_backlog(pager: Pager, priorities: int) -> Backlog:
    """Make a backlog with this number of priorities."""
    if priorities > 2:
        return Levels(pager, priorities - 1, DEFAULT_PRIORITY)
    return WeightedBacklog(pager) if priorities == 2 else Fifo(pager)


class WeightedBacklog(Backlog):
    """Two priorities, high (5 and more) and normal. While both have messages, every third one is normal, unless the
    oldest high one is older. `share`: messages taken since the last normal one was due."""

    def __init__(self, pager: Pager) -> None:
        super().__init__()
        self.high: Fifo = Fifo(pager)
        self.normal: Fifo = Fifo(pager)
        self.share: int = 0

    def level_of(self, priority: cython.int) -> int:
        """Return 1 for high, 0 for normal."""
        return 1 if priority > 4 else 0

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others of its priority."""
        level: Fifo = self.high if self.level_of(entry.message.priority) else self.normal
        level.push(entry)
        self.length += 1

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block of entries of one priority."""
        fifo: Fifo = self.high if level else self.normal
        fifo.accept(block, 0)
        self.length += block.count

    def chosen(self) -> Fifo:
        """Return the priority that is served next."""
        high: Entry | None
        normal: Entry | None
        if self.high.length == 0:
            return self.normal
        if self.normal.length and self.share == _WEIGHT:
            high = self.high.first()
            normal = self.normal.first()
            if high is not None and normal is not None and normal.position < high.position:
                return self.normal
        return self.high

    def here(self, every: cython.bint) -> bool:
        """Return whether the next entry of each priority is there."""
        return self.high.here(False) and self.normal.here(False)

    def bring(self, every: cython.bint) -> DiskRead | None:
        """Begin to read the one that is missing."""
        return self.normal.bring(False) if self.high.here(False) else self.high.bring(False)

    def bring_to_settle(self) -> DiskRead | None:
        """Begin to read what is freed next, if it must be settled."""
        level: Fifo = self.high if self.high.length else self.normal
        return level.bring_to_settle()

    def first(self) -> Entry | None:
        """Return the next entry without removing it."""
        level: Fifo = self.chosen()
        return level.first()

    def pop(self) -> Entry | None:
        """Remove and return the next entry."""
        level: Fifo
        entry: Entry | None
        if self.length == 0:
            return None
        level = self.chosen()
        self.share = 0 if self.share == _WEIGHT else self.share + 1
        entry = level.pop()
        if entry is not None:
            self.length -= 1
        return entry

    def entries(self) -> tuple[list[Entry], int]:
        """Return the entries of both priorities."""
        high, high_packed = self.high.entries()
        normal, normal_packed = self.normal.entries()
        return high + normal, high_packed + normal_packed

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return the next entries of both priorities, as `pop` would take them."""
        high: list[Entry] = self.high.peek(count)
        normal: list[Entry] = self.normal.peek(count)
        found: list[Entry] = []
        share: cython.int = self.share
        i: cython.Py_ssize_t = 0
        k: cython.Py_ssize_t = 0
        while len(found) < count and (i < len(high) or k < len(normal)):
            if i == len(high) or (
                k < len(normal) and share == _WEIGHT and normal[k].position < high[i].position
            ):
                found.append(normal[k])
                k += 1
            else:
                found.append(high[i])
                i += 1
            share = 0 if share == _WEIGHT else share + 1
        return found

    def release_some(self, journal: QueueJournal | None) -> bool:
        """Free a portion of one priority."""
        level: Fifo = self.high if self.high.length else self.normal
        try:
            level.release_some(journal)
        finally:
            self.length = self.high.length + self.normal.length
        return self.length > 0


class QuorumBacklog(Backlog):
    """`undelivered`: entries that were never delivered, or were returned behind all others. `returned`: other returned
    entries, which are served first, in the order of their return."""

    def __init__(self, undelivered: Backlog) -> None:
        super().__init__()
        self.undelivered: Backlog = undelivered
        self.returned: deque[Entry] = deque()

    def push(self, entry: Entry) -> None:
        """Add an entry behind all others of its priority."""
        self.undelivered.push(entry)
        self.length += 1

    def requeue(self, entries: list[Entry]) -> None:
        """Return entries to the queue."""
        self.length += len(entries)
        self.returned.extend(entries)

    def here(self, every: cython.bint) -> bool:
        """Return whether the next entry is there: a returned one, or an undelivered one. With 32 priorities, each of
        them can expire before a returned one."""
        if self.returned:
            if absent_content(self.returned[0]) is not None:
                return False
            if not every or not isinstance(self.undelivered, Levels):
                return True
        return self.undelivered.here(every)

    def bring(self, every: cython.bint) -> DiskRead | None:
        """Begin to read what is missing."""
        paged = absent_content(self.returned[0]) if self.returned else None
        return self.undelivered.bring(every) if paged is None else paged.begin_read()

    def bring_to_settle(self) -> DiskRead | None:
        """Begin to read what is freed next, if it must be settled."""
        return None if self.returned else self.undelivered.bring_to_settle()

    def first(self) -> Entry | None:
        """Return the next entry without removing it."""
        return self.returned[0] if self.returned else self.undelivered.first()

    def pop(self) -> Entry | None:
        """Remove and return the next entry."""
        entry: Entry | None
        if self.length == 0:
            return None
        if self.returned:
            entry = self.returned.popleft()
            self.length -= 1
            if len(entry.message.content) == 0 and not bring_back(entry):
                return None
            return entry
        entry = self.undelivered.pop()
        if entry is not None:
            self.length -= 1
        return entry

    def returned_count(self) -> int:
        """Return the number of returned entries."""
        return len(self.returned)

    def by_priority(self) -> dict[int, int]:
        """Return the number of undelivered entries of each priority, if there are 32."""
        if not isinstance(self.undelivered, Levels):
            return {}
        levels: Levels = self.undelivered
        return levels.counts()

    def heads(self) -> list[Entry]:
        """Return the entries that may expire now: the next one, and with 32 priorities the first of each."""
        entry: Entry | None
        entries: list[Entry] = [self.returned[0]] if self.returned else []
        if isinstance(self.undelivered, Levels):
            levels: Levels = self.undelivered
            entries.extend(levels.heads())
        elif not entries:
            entry = self.undelivered.first()
            if entry is not None:
                entries.append(entry)
        return entries

    def take_expired(self, now: cython.longlong, most: cython.Py_ssize_t) -> list[Entry]:
        """Remove and return what is due at those heads, and what is then there; at most so many entries."""
        entry: Entry | None
        taken: list[Entry] = []
        if isinstance(self.undelivered, Levels):
            while self.returned and len(taken) < most and 0 < self.returned[0].expires_at <= now:
                taken.append(self.returned.popleft())
            levels: Levels = self.undelivered
            taken.extend(levels.take_expired(now, most - len(taken)))
            self.length = len(self.returned) + levels.length
            return taken
        while len(taken) < most and self.here(False):
            entry = self.first()
            if entry is None or not 0 < entry.expires_at <= now:
                break
            taken.append(entry)
            self.pop()
        return taken

    def accept(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add a block that the store has read back."""
        self.length += block.count
        self.undelivered.accept(block, level)

    def level_of(self, priority: cython.int) -> int:
        """Return the level of undelivered entries with that priority."""
        return self.undelivered.level_of(priority)

    def entries(self) -> tuple[list[Entry], int]:
        """Return returned and undelivered entries."""
        found, packed = self.undelivered.entries()
        return [*self.returned, *found], packed

    def peek(self, count: cython.Py_ssize_t) -> list[Entry]:
        """Return the next entries, returned ones first."""
        found: list[Entry] = list(islice(self.returned, count))
        if len(found) < count:
            found.extend(self.undelivered.peek(count - len(found)))
        return found

    def release_some(self, journal: QueueJournal | None) -> bool:
        """Free a portion of what came back, then of what never was handed out."""
        entry: Entry
        if not self.returned:
            try:
                self.undelivered.release_some(journal)
            finally:
                self.length = self.undelivered.length
            return self.length > 0
        for _ in range(min(_PORTION, len(self.returned))):
            entry = self.returned.popleft()
            if journal is not None and entry.stored:
                journal.settle(entry)
        self.length = len(self.returned) + self.undelivered.length
        return self.length > 0
