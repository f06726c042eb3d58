"""Reads the message log at start, in two walks over its records.

The first walk (`LogScan.scan_records`) collects positions: settled, delivered, counts, and the highest position of each
queue. The second walk (`LogScan.fetch`) copies the encoded live messages into backlog blocks, without creating objects
for them. The records of a queue are ordered by position, except where a segment was compacted: then there are several
ascending runs (`BlockRun`), which `merged` joins at the end. A position that is found twice is one message: a
compaction was interrupted before it deleted the original.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import cython

from leveret.engine.delayed import RestoreTarget
from leveret.store.messages.log import widen
from leveret.store.messages.records import UnknownRecord

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import (
        BLOCK_BYTES,
        BLOCK_ENTRIES,
        BacklogBlock,
        Pager,
        pack,
    )
    from cython.cimports.leveret.queues.backlog.ready import Backlog
    from cython.cimports.leveret.queues.encoding import COUNTS, EXPIRES, REDELIVERED
    from cython.cimports.leveret.queues.message import Entry
    from cython.cimports.leveret.store.messages.log import DiskQueueJournal
    from cython.cimports.leveret.store.messages.positions import Positions
    from cython.cimports.leveret.store.messages.records import (
        DELIVERED,
        DROPPED,
        MESSAGE,
        RETURNED,
        SETTLED,
        RecordReader,
        body_size,
        priority_of,
    )
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.queues.backlog.paging import BLOCK_BYTES, BLOCK_ENTRIES, BacklogBlock, Pager, pack
    from leveret.queues.backlog.ready import Backlog
    from leveret.queues.encoding import COUNTS, EXPIRES, REDELIVERED
    from leveret.queues.message import Entry
    from leveret.store.messages.log import DiskQueueJournal
    from leveret.store.messages.positions import Positions
    from leveret.store.messages.records import (
        DELIVERED,
        DROPPED,
        MESSAGE,
        RETURNED,
        SETTLED,
        RecordReader,
        body_size,
        priority_of,
    )
    from leveret.wire.frames import Outbox

__all__ = ["BlockRun", "LogScan", "QueueScan", "UnknownRecord"]


class BlockRun:
    """Messages of one queue and level in ascending order, collected into backlog blocks. `last`: the highest position
    so far."""

    def __init__(self, target: RestoreTarget) -> None:
        self.target: RestoreTarget = target
        self.pager: Pager = target.context.pager
        self.blocks: list[BacklogBlock] = []
        self.out: Outbox = Outbox()
        self.count: int = 0
        self.bodies: int = 0
        self.last: int = 0
        self.has_ttl: bool = False

    def close(self) -> None:
        """Make a block of the collected messages, and page it out if memory is short."""
        block: BacklogBlock
        if self.count == 0:
            return
        block = BacklogBlock(self.target, self.out.take(), self.count)
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
    """The records of one queue.

    `target`, `backlog`, `queue_journal`: None unless the catalogue has the queue. `settled`, `delivered_marks`:
    positions; `settled_in`: segment -> the settled positions that it held; `counts`: position -> (acquired, failed).
    `last`: the highest position of any record. `levels`: priority level -> its runs.
    """

    def __init__(self) -> None:
        self.queue_journal: DiskQueueJournal | None = None
        self.target: RestoreTarget | None = None
        self.backlog: Backlog | None = None
        self.settled: Positions = Positions()
        self.settled_in: dict[int, Positions] = {}
        self.delivered_marks: Positions = Positions()
        self.counts: dict[int, tuple[int, int]] = {}
        self.last: int = 0
        self.levels: dict[int, list[BlockRun]] = {}

    def attach(self, target: RestoreTarget, queue_journal: DiskQueueJournal) -> None:
        """Set the queue that gets the messages, and its journal."""
        self.target = target
        self.backlog = target.backlog
        self.queue_journal = queue_journal

    def run(self, level: cython.Py_ssize_t, position: cython.ulonglong) -> BlockRun:
        """Return the run that a position continues: the first one, unless compaction has changed the order."""
        run: BlockRun
        runs: list[BlockRun] | None = self.levels.get(level)
        assert self.target is not None
        if runs is None:
            runs = self.levels[level] = []
        for run in runs:
            if run.last < position:
                return run
        run = BlockRun(self.target)
        runs.append(run)
        return run


class LogScan:
    """The contents of the log. `queues`: number -> `QueueScan`; `dropped`: segments that were about to be deleted.

    `duplicates`: segment -> others with a second copy of a message that it holds or held. `needs`, `marks`: what the
    records of the current segment refer to, as in `MessageLog`. `live`, `total`: messages of the current segment.
    `interrupted`: any message may have been delivered, marked or not. `newest_queue`: the highest number of a queue
    with a message.
    """

    def __init__(self) -> None:
        self.queues: dict[int, QueueScan] = {}
        self.dropped: set[int] = set()
        self.duplicates: dict[int, set[int]] = {}
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.live: int = 0
        self.total: int = 0
        self.interrupted: bool = False
        self.newest_queue: int = 0

    def queue_scan(self, number: cython.uint) -> QueueScan:
        """Return the `QueueScan` of a queue number, created if there is none."""
        found: QueueScan | None = self.queues.get(number)
        if found is None:
            found = self.queues[number] = QueueScan()
        return found

    # --- the first walk

    def scan_records(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, segment: cython.uint
    ) -> None:
        """Collect positions from the records between `at` and `end`. Raises `UnknownRecord`."""
        record: RecordReader = RecordReader(data, at, end)
        while record.next():
            if not record.whole():
                raise UnknownRecord("a record that does not end with its block")
            if record.kind == MESSAGE:
                self.scan_message(record)
            elif record.kind == SETTLED:
                self.scan_settled(record, segment)
            elif record.kind == DELIVERED:
                self.scan_delivered(record)
            elif record.kind == RETURNED:
                self.scan_counts(record)
            elif record.kind == DROPPED:
                self.dropped.add(record.segment)

    def scan_message(self, record: RecordReader) -> None:
        """Note the positions of a MESSAGE record."""
        found: QueueScan
        while record.next_target():
            found = self.queue_scan(record.queue)
            if record.position > found.last:
                found.last = record.position
            if record.queue > self.newest_queue:
                self.newest_queue = record.queue

    def scan_settled(self, record: RecordReader, segment: cython.uint) -> None:
        """Note the positions of a SETTLED record, and that the segment of their messages is needed."""
        found: QueueScan = self.queue_scan(record.queue)
        found.settled.add_range(record.first, record.last)
        if record.segment not in found.settled_in:
            found.settled_in[record.segment] = Positions()
        found.settled_in[record.segment].add_range(record.first, record.last)
        if record.segment != segment:
            self.needs.add(record.segment)
        if record.last > found.last:
            found.last = record.last

    def scan_delivered(self, record: RecordReader) -> None:
        """Note the positions of a DELIVERED record."""
        found: QueueScan = self.queue_scan(record.queue)
        found.delivered_marks.add_range(record.first, record.last)
        widen(self.marks, record.queue, record.first, record.last)
        if record.last > found.last:
            found.last = record.last

    def scan_counts(self, record: RecordReader) -> None:
        """Note the counts of a RETURNED record. They only increase, so the order of the records does not matter."""
        found: QueueScan = self.queue_scan(record.queue)
        before = found.counts.get(record.first, (0, 0))
        found.counts[record.first] = (max(before[0], record.acquired), max(before[1], record.failed))
        widen(self.marks, record.queue, record.first, record.first)

    # --- the second walk

    def fetch(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, segment: cython.uint) -> None:
        """Copy the live messages among the records between `at` and `end`; add to `live` and `total`."""
        record: RecordReader = RecordReader(data, at, end)
        while record.next():
            if record.kind == MESSAGE:
                self.fetch_message(record, segment)

    def fetch_message(self, record: RecordReader, segment: cython.uint) -> None:
        """Add a message to every queue in which it is live."""
        message: cython.Py_ssize_t = record.message_at()
        while record.next_target():
            self.total += 1
            if self.is_live(record.queue, record.position, segment):
                self.live += 1
                self.fetch_entry(record, message, segment)

    def is_live(self, number: cython.uint, position: cython.ulonglong, segment: cython.uint) -> bool:
        """Return whether a position is live; if it is, add it to its queue journal."""
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
        """Note a settled message. If another copy of it was settled, that record must stay as long as this copy."""
        own: Positions | None = found.settled_in.get(segment)
        if own is None or not own.has(position):
            for other, settled in found.settled_in.items():
                if settled.has(position):
                    self.duplicates.setdefault(other, set()).add(segment)

    def duplicate(self, queue_journal: DiskQueueJournal, segment: int) -> None:
        """Note a second copy. The first one may be in any segment that has messages of the queue."""
        for other in queue_journal.counts:
            if other != segment:
                self.duplicates.setdefault(other, set()).add(segment)

    def fetch_entry(self, record: RecordReader, message: cython.Py_ssize_t, segment: cython.uint) -> None:
        """Copy the entry of the current target with its message, which begins at `message`."""
        found: QueueScan = self.queues[record.queue]
        end: cython.Py_ssize_t = record.at + record.size
        flags: cython.uint = record.flags
        acquired: cython.uint = record.acquired
        failed: cython.uint = record.failed
        out: Outbox
        run: BlockRun
        backlog: Backlog | None = found.backlog
        assert backlog is not None
        run = found.run(backlog.level_of(priority_of(record.data, message)), record.position)
        if found.counts and record.position in found.counts:
            acquired, failed = found.counts[record.position]
            flags |= REDELIVERED
        if acquired or failed:
            flags |= COUNTS
        if self.interrupted or found.delivered_marks.has(record.position):
            flags |= REDELIVERED
        out = run.out
        out.put_u32(segment)
        out.put_u64(record.position)
        out.put_u8(flags)
        if flags & EXPIRES:
            out.put_u64(record.expires_at)
            run.has_ttl = True
        if flags & COUNTS:
            out.put_u32(acquired)
            out.put_u32(failed)
        out.put_slice(record.data, message, end - message)
        run.count += 1
        run.last = record.position
        run.bodies += body_size(record.data, message)
        if run.count >= BLOCK_ENTRIES or out.size >= BLOCK_BYTES:
            run.close()

    # --- the end

    def restore_queue(self, found: QueueScan) -> None:
        """Fill a queue with its blocks."""
        target: RestoreTarget | None = found.target
        run: BlockRun
        block: BacklogBlock
        if target is None:
            return
        for level in sorted(found.levels):
            runs: list[BlockRun] = found.levels[level]
            for run in runs:
                run.close()
            for block in runs[0].blocks if len(runs) == 1 else merged(runs):
                target.context.pager.used -= block.weight
                target.restore(block, level)
        target.position = max(target.position, found.last)
        target.restored()


def merged(runs: list[BlockRun]) -> Iterator[BacklogBlock]:
    """Yield the blocks of several runs, merged by position."""
    gathered: list[Entry] = []
    run: BlockRun = runs[0]
    for entry in heapq.merge(*[entries_of(one) for one in runs], key=position_of):
        gathered.append(entry)
        if len(gathered) == BLOCK_ENTRIES:
            yield block_of(gathered, run)
            gathered = []
    if gathered:
        yield block_of(gathered, run)


def entries_of(run: BlockRun) -> Iterator[Entry]:
    """Yield the entries of a run, one block at a time."""
    block: BacklogBlock
    for block in run.blocks:
        weight = block.weight
        entries = block.unpack(run.pager)
        run.pager.used -= weight
        yield from entries


def block_of(entries: list[Entry], run: BlockRun) -> BacklogBlock:
    """Return a block of merged entries for the target of `run`, as `BlockRun.close` makes them."""
    entry: Entry
    pager: Pager = run.pager
    block: BacklogBlock = pack(entries, run.target, pager)
    for entry in entries:
        block.bodies += entry.message.size
        if entry.expires_at:
            block.has_ttl = True
    block.last = entries[-1].position
    block.page_out(pager)
    pager.used += block.weight
    return block


def position_of(entry: Entry) -> int:
    """Return the sort key for merging."""
    position: int = entry.position
    return position
