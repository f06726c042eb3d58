"""Reading the log back, in two walks over its records.

The first (`LogScan.scan_records`) learns what the records are about: positions settled, positions handed out, counts
of what came back, the highest position of every queue. The second (`LogScan.fetch`) copies the messages that
are alive, frames and all, into packed blocks as long backlogs consist of; no object is made of them. Records
of one queue stand in order of position except where a segment was rewritten: then they form several ascending
runs, which are merged at the end. A position found twice is one message: a rewrite was cut short between the
copy and the deletion of the original.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

import cython

from leveret.store.messages.log import widen

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import BacklogBlock, Pager, pack
    from cython.cimports.leveret.queues.message import Entry
    from cython.cimports.leveret.queues.queue import Queue
    from cython.cimports.leveret.store.messages.log import DiskQueueJournal
    from cython.cimports.leveret.store.messages.positions import Positions
    from cython.cimports.leveret.wire.frames import Outbox, u32, u64
else:
    from leveret.queues.backlog.paging import BacklogBlock, Pager, pack
    from leveret.queues.message import Entry
    from leveret.queues.queue import Queue
    from leveret.store.messages.log import DiskQueueJournal
    from leveret.store.messages.positions import Positions
    from leveret.wire.frames import Outbox, u32, u64

#: A block given to a backlog: as `queues.blocks.BLOCK` and `BLOCK_BYTES`.
_BLOCK_ENTRIES = 1024
_BLOCK_BYTES = 512 * 1024


class UnknownRecord(Exception):  # noqa: N818  what was found, not what went wrong
    """A record of a kind this version does not know, or one that does not end where its block does."""


class BlockRun:
    """Messages of one queue and level in ascending order, gathered into blocks. `last`: the highest position
    so far."""

    def __init__(self, queue: Queue) -> None:
        self.queue: Queue = queue
        self.pager: Pager = queue.context.pager
        self.blocks: list[BacklogBlock] = []
        self.out: Outbox = Outbox()
        self.count: int = 0
        self.bodies: int = 0
        self.last: int = 0
        self.has_ttl: bool = False

    def close(self) -> None:
        """What was gathered becomes a block, out of memory if that is short."""
        block: BacklogBlock
        if self.count == 0:
            return
        block = BacklogBlock(self.queue, self.out.take(), self.count)
        block.bodies = self.bodies
        block.last = self.last
        block.has_ttl = self.has_ttl
        block.page_out(self.pager)
        self.pager.used += block.weight
        self.blocks.append(block)
        self.count = 0
        self.bodies = 0
        self.has_ttl = False


class QueueScan:
    """What the log holds of one queue.

    `queue_journal`, `queue`: None until the queue is known to exist. `settled`, `delivered_marks`: positions;
    `settled_in`: segment -> those of them that were settled there; `counts`: position -> (acquired, failed). `last`:
    the highest position any record names. `levels`: level -> its runs.
    """

    def __init__(self) -> None:
        self.queue_journal: DiskQueueJournal | None = None
        self.queue: Queue | None = None
        self.settled: Positions = Positions()
        self.settled_in: dict[int, Positions] = {}
        self.delivered_marks: Positions = Positions()
        self.counts: dict[int, tuple[int, int]] = {}
        self.last: int = 0
        self.levels: dict[int, list[BlockRun]] = {}

    def run(self, level: cython.Py_ssize_t, position: cython.ulonglong) -> BlockRun:
        """The run that a position continues: the first, unless a rewrite has put it out of order."""
        run: BlockRun
        runs: list[BlockRun] | None = self.levels.get(level)
        queue: Queue | None = self.queue
        assert queue is not None
        if runs is None:
            runs = self.levels[level] = []
        for run in runs:
            if run.last < position:
                return run
        run = BlockRun(queue)
        runs.append(run)
        return run


class LogScan:
    """The whole log. `queues`: number -> what was found of it. `dropped`: segments that were to be deleted.

    `duplicates`: segment -> others that hold a second copy of a message it holds or held. `needs`, `marks`: what the
    records looked at since they were last taken are about, as in `MessageLog`.
    """

    def __init__(self) -> None:
        self.queues: dict[int, QueueScan] = {}
        self.dropped: set[int] = set()
        self.duplicates: dict[int, set[int]] = {}
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.live: int = 0
        self.total: int = 0

    def queue_scan(self, number: cython.uint) -> QueueScan:
        """What was found of a queue."""
        found: QueueScan | None = self.queues.get(number)
        if found is None:
            found = self.queues[number] = QueueScan()
        return found

    # --- the first walk

    def scan_records(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, segment: cython.uint
    ) -> None:
        """Learn from the records between `at` and `end`. Raises `UnknownRecord`."""
        p: cython.p_const_uchar = data
        kind: cython.uint
        while at < end:
            kind = p[at]
            at += 1
            if kind == 1:
                at = self.scan_message(data, at)
            elif kind == 2 or kind == 3:
                self.scan_run(data, at, kind, segment)
                at += 24
            elif kind == 4:
                self.scan_counts(data, at)
                at += 24
            elif kind == 5:
                self.dropped.add(u32(p, at))
                at += 4
            elif kind == 6:  # the header, read already
                at = end
            elif kind != 7:  # the block is continued
                raise UnknownRecord(f"a record of kind {kind}")
        if at != end:
            raise UnknownRecord("a record that does not end with its block")

    def scan_message(self, data: bytes, at: cython.Py_ssize_t) -> int:
        """MESSAGE: note its positions; returns where the record ends."""
        p: cython.p_const_uchar = data
        end: cython.Py_ssize_t = at + 4 + u32(p, at)
        count: cython.uint = u32(p, at + 4)
        flags: cython.uint
        position: cython.ulonglong
        found: QueueScan
        at += 8
        while count:
            found = self.queue_scan(u32(p, at))
            position = u64(p, at + 4)
            flags = p[at + 12]
            if position > found.last:
                found.last = position
            at += 13 + (8 if flags & 2 else 0) + (8 if flags & 4 else 0)
            count -= 1
        return end

    def scan_run(self, data: bytes, at: cython.Py_ssize_t, kind: cython.uint, segment: cython.uint) -> None:
        """SETTLED and DELIVERED."""
        p: cython.p_const_uchar = data
        found: QueueScan = self.queue_scan(u32(p, at))
        target: cython.uint = u32(p, at + 4)
        first: cython.ulonglong = u64(p, at + 8)
        last: cython.ulonglong = u64(p, at + 16)
        if kind == 2:
            found.settled.add_range(first, last)
            if target not in found.settled_in:
                found.settled_in[target] = Positions()
            found.settled_in[target].add_range(first, last)
            if target != segment:
                self.needs.add(target)
        else:
            found.delivered_marks.add_range(first, last)
            widen(self.marks, u32(p, at), first, last)
        if last > found.last:
            found.last = last

    def scan_counts(self, data: bytes, at: cython.Py_ssize_t) -> None:
        """RETURNED. Counts only grow, so that the order of records does not matter."""
        p: cython.p_const_uchar = data
        found: QueueScan = self.queue_scan(u32(p, at))
        position = u64(p, at + 8)
        before = found.counts.get(position, (0, 0))
        found.counts[position] = (max(before[0], u32(p, at + 16)), max(before[1], u32(p, at + 20)))
        widen(self.marks, u32(p, at), position, position)

    # --- the second walk

    def fetch(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, segment: cython.uint) -> None:
        """Copy what is alive among the records between `at` and `end`; `live` and `total` count on."""
        p: cython.p_const_uchar = data
        kind: cython.uint
        while at < end:
            kind = p[at]
            at += 1
            if kind == 1:
                self.fetch_message(data, at, segment)
                at += 4 + u32(p, at)
            elif kind <= 4:
                at += 24
            elif kind == 5:
                at += 4
            elif kind != 7:
                at = end

    def fetch_message(self, data: bytes, at: cython.Py_ssize_t, segment: cython.uint) -> None:
        """Put a message into every queue it is alive in."""
        p: cython.p_const_uchar = data
        end: cython.Py_ssize_t = at + 4 + u32(p, at)
        count: cython.uint = u32(p, at + 4)
        flags: cython.uint
        start: cython.Py_ssize_t = at + 8
        message: cython.Py_ssize_t = start
        left: cython.uint = count
        while left:
            flags = p[message + 12]
            message += 13 + (8 if flags & 2 else 0) + (8 if flags & 4 else 0)
            left -= 1
        at = start
        while count:
            count -= 1
            flags = p[at + 12]
            self.total += 1
            if self.alive(u32(p, at), u64(p, at + 4), segment):
                self.live += 1
                self.fetch_entry(data, at, message, end, segment)
            at += 13 + (8 if flags & 2 else 0) + (8 if flags & 4 else 0)

    def alive(self, number: cython.uint, position: cython.ulonglong, segment: cython.uint) -> bool:
        """Whether a position is alive; if so, its ledger knows it from now on."""
        found: QueueScan | None = self.queues.get(number)
        if found is None or found.queue_journal is None:
            return False
        if found.settled.has(position):
            self.settled_copy(found, position, segment)
            return False
        if not found.queue_journal.live.add(position):
            self.duplicate(found.queue_journal, segment)
            return False
        found.queue_journal.counts[segment] = found.queue_journal.counts.get(segment, 0) + 1
        return True

    def settled_copy(self, found: QueueScan, position: cython.ulonglong, segment: cython.uint) -> None:
        """A settled message. If a second copy of it was, what says so must stay as long as this one."""
        own: Positions | None = found.settled_in.get(segment)
        if own is None or not own.has(position):
            for other, settled in found.settled_in.items():
                if settled.has(position):
                    self.duplicates.setdefault(other, set()).add(segment)

    def duplicate(self, queue_journal: DiskQueueJournal, segment: int) -> None:
        """A second copy. Which segment holds the first is not known any more: it may be any with messages of
        the queue."""
        for other in queue_journal.counts:
            if other != segment:
                self.duplicates.setdefault(other, set()).add(segment)

    def fetch_entry(
        self,
        data: bytes,
        at: cython.Py_ssize_t,
        message: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        segment: cython.uint,
    ) -> None:
        """Copy the entry at `at` with its message, which lies from `message` to `end`."""
        p: cython.p_const_uchar = data
        found: QueueScan = self.queues[u32(p, at)]
        position: cython.ulonglong = u64(p, at + 4)
        flags: cython.uint = p[at + 12]
        acquired: cython.uint = 0
        failed: cython.uint = 0
        out: Outbox
        run: BlockRun
        queue: Queue | None = found.queue
        assert queue is not None
        run = found.run(queue.backlog.level_of(priority_of(data, message)), position)
        if flags & 4:
            acquired = u32(p, at + 13 + (8 if flags & 2 else 0))
            failed = u32(p, at + 17 + (8 if flags & 2 else 0))
        if found.counts and position in found.counts:
            acquired, failed = found.counts[position]
            flags |= 1
        if acquired or failed:
            flags |= 4
        if found.delivered_marks.has(position):
            flags |= 1
        out = run.out
        out.put_u32(segment)
        out.put_u64(position)
        out.put_u8(flags)
        if flags & 2:
            out.put_slice(data, at + 13, 8)
            run.has_ttl = True
        if flags & 4:
            out.put_u32(acquired)
            out.put_u32(failed)
        out.put_slice(data, message, end - message)
        run.count += 1
        run.last = position
        run.bodies += body_of(data, message)
        if run.count >= _BLOCK_ENTRIES or out.size >= _BLOCK_BYTES:
            run.close()

    # --- the end

    def restore_queue(self, found: QueueScan) -> None:
        """Give a queue what was found of it."""
        queue: Queue | None = found.queue
        run: BlockRun
        block: BacklogBlock
        if queue is None:
            return
        for level in sorted(found.levels):
            runs: list[BlockRun] = found.levels[level]
            for run in runs:
                run.close()
            for block in runs[0].blocks if len(runs) == 1 else merged(runs):
                queue.context.pager.used -= block.weight
                queue.restore(block, level)
        queue.position = max(queue.position, found.last)
        queue.restored()


def body_of(data: bytes, at: cython.Py_ssize_t) -> int:
    """Octets of the body of the packed message at `at`."""
    p: cython.p_const_uchar = data
    at += 1
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    return u32(p, at + 4)


def priority_of(data: bytes, at: cython.Py_ssize_t) -> int:
    """Priority of the packed message at `at`; -1 where it names none."""
    p: cython.p_const_uchar = data
    bits: cython.uint = p[at]
    if bits & 4 == 0:
        return -1
    at += 1
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    return p[at + 8 + (8 if bits & 2 else 0)]


def merged(runs: list[BlockRun]) -> Iterator[BacklogBlock]:
    """The blocks of several runs as those of one."""
    gathered: list[Any] = []
    run: BlockRun = runs[0]
    queue: Queue = run.queue
    for entry in heapq.merge(*[entries_of(one) for one in runs], key=position_of):
        gathered.append(entry)
        if len(gathered) == _BLOCK_ENTRIES:
            yield packed(gathered, queue)
            gathered = []
    if gathered:
        yield packed(gathered, queue)


def entries_of(run: BlockRun) -> Iterator[Any]:
    """The entries of a run, one block at a time."""
    block: BacklogBlock
    for block in run.blocks:
        weight = block.weight
        entries = block.unpack(run.pager)
        run.pager.used -= weight
        yield from entries


def packed(entries: list[Any], queue: Queue) -> BacklogBlock:
    """A block of merged entries, as `BlockRun.close` makes them."""
    entry: Entry
    pager: Pager = queue.context.pager
    block: BacklogBlock = pack(entries, queue, pager)
    for entry in entries:
        block.bodies += entry.message.size
        if entry.expires_at:
            block.has_ttl = True
    block.last = entries[-1].position
    block.page_out(pager)
    pager.used += block.weight
    return block


def position_of(entry: Any) -> int:
    """Sort key of merging."""
    position: int = entry.position
    return position
