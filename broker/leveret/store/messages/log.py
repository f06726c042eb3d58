"""The hot half of the disk store: what durable queues tell it, gathered into batches.

A queue's `DiskQueueJournal` notes an entry in the batch that is filling and hands out that batch's number as the
ticket. When the store is ready for the next commit, `MessageLog.pack` writes the batch into one block: only
then are entries turned into bytes, so that a message acknowledged meanwhile never becomes any.
Acknowledgements of what was written before become ranges of positions, deliveries likewise.

`Entry.stored` is the number of the segment that holds the message, `PENDING` while the batch is not packed.
When a segment is rewritten into another, `moved` says so; nobody goes looking for the entries. A ledger knows
which positions are alive and how many of them each segment holds: that is all that reclaiming needs.

Records (numbers big-endian; entry and message as in `queues.packed`): MESSAGE length(4) count(4) {queue(4)
entry}* message; SETTLED and DELIVERED queue(4) segment(4) first(8) last(8); RETURNED queue(4) segment(4)
position(8) acquired(4) failed(4); DROPPED segment(4); CONTINUED, the first of a block that counts only together with
the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

from leveret.queues.journal import PENDING

if cython.compiled:
    from cython.cimports.leveret.queues.encoding import put_entry, put_message
    from cython.cimports.leveret.queues.journal import Journal, QueueJournal, StreamJournal
    from cython.cimports.leveret.queues.message import Entry, Message
    from cython.cimports.leveret.store.messages.positions import Positions
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.queues.encoding import put_entry, put_message
    from leveret.queues.journal import Journal, QueueJournal, StreamJournal
    from leveret.queues.message import Entry, Message
    from leveret.store.messages.positions import Positions
    from leveret.wire.frames import Outbox

#: Kinds of records.
MESSAGE = 1
SETTLED = 2
DELIVERED = 3
RETURNED = 4
DROPPED = 5

#: Segments are numbered from 1, below it.
_PENDING = PENDING  # for the compiler

#: Octets after which a block ends, so that its length fits in its head and it can be read back at one go; one message
#: more may be in it.
BLOCK_LIMIT = 64 * 1024 * 1024


class PositionRun:
    """Consecutive positions of one queue in one segment."""

    def __init__(self, segment: int, first: int, last: int) -> None:
        self.segment: int = segment
        self.first: int = first
        self.last: int = last


class DiskQueueJournal(QueueJournal):
    """One durable queue in the log.

    `number`: its name there, never used again. `live`: positions written and not settled. `counts`: segment
    -> how many of them it holds. `settled`, `delivered_marks`: runs of positions not written to the log yet.
    """

    def __init__(self, log: MessageLog, number: int) -> None:
        self.log: MessageLog = log
        self.number: int = number
        self.live: Positions = Positions()
        self.counts: dict[int, int] = {}
        self.settled: list[PositionRun] = []
        self.delivered_marks: list[PositionRun] = []
        self.unwritten: int = 0
        self.gone: bool = False

    def append(self, entry: Entry) -> int:
        """Into the batch that is filling."""
        log: MessageLog = self.log
        entry.stored = _PENDING
        log.entries.append(entry)
        log.queue_journals.append(self)
        log.ticket = log.open
        if not log.urgent:
            log.call(True)
        return log.open

    def settle(self, entry: Entry) -> None:
        """Forgotten if it was not written yet, else one more position settled."""
        log: MessageLog = self.log
        segment: cython.uint = entry.stored
        entry.stored = 0
        if segment == _PENDING:
            return
        if not self.settled:
            log.changed.append(self)
        _extend(self.settled, log.now_in(segment), entry.position)
        log.ticket = log.open
        if not log.awake:
            log.call(False)

    def delivered(self, entry: Entry) -> None:
        """One more position handed out, unless it is marked already or will be when it is packed."""
        log: MessageLog = self.log
        if entry.redelivered or entry.stored == _PENDING:
            return
        if not self.delivered_marks:
            log.delivered_marks.append(self)
        _extend(self.delivered_marks, log.now_in(entry.stored), entry.position)

    def returned(self, entry: Entry) -> None:
        """Only counts are news: that it had been handed out was noted when it was."""
        log: MessageLog = self.log
        if entry.stored == _PENDING or not (entry.acquired or entry.failed):
            return
        log.returned.append((self, log.now_in(entry.stored), entry.position, entry.acquired, entry.failed))
        log.ticket = log.open
        if not log.awake:
            log.call(False)

    def purge(self) -> None:
        """The metadata says that the queue is gone; the log just counts."""
        segment: int
        self.gone = True
        for segment in list(self.counts):
            self.log.left(segment, self.counts[segment])
        self.counts = {}
        self.live = Positions()
        self.log.queues.pop(self.number, None)

    def remove_settled(self, run: PositionRun) -> None:
        """Take settled positions out of what is alive."""
        count: cython.longlong = self.live.remove_range(run.first, run.last)
        if count:
            self.counts[run.segment] = self.counts.get(run.segment, 0) - count
            if self.counts[run.segment] <= 0:
                del self.counts[run.segment]
            self.log.left(run.segment, count)

    def move(self, segment: int, into: int) -> int:
        """Everything alive in one segment counts in another; returns how much that is."""
        count = self.counts.pop(segment, 0)
        if count:
            self.counts[into] = self.counts.get(into, 0) + count
        return count


class DiskStreamJournal(StreamJournal):
    """One stream, whose records have files of their own (`streams.py`: `files`) and whose tickets are the log's."""

    def __init__(self, log: MessageLog, files: Any) -> None:
        super().__init__()
        self.log: MessageLog = log
        self.files: Any = files

    def grown(self) -> int:
        """To be written with the batch that is filling."""
        log: MessageLog = self.log
        if not self.unwritten:
            self.unwritten = True
            log.grown.append(self)
        log.ticket = log.open
        if not log.urgent:
            log.call(True)
        return log.open

    def mark_delivered(self) -> None:
        """To be written before anything is sent."""
        self.log.streams_delivered = True

    def begun(self, page: Any) -> None:
        """One more page to write."""
        self.files.begun(page)

    def finish(self, page: Any, at: int, count: int) -> None:
        """Write the proof of a chunk into it."""
        self.files.finish(page, at, count)

    def read(self, page: Any) -> bytes:
        """From its file."""
        data: bytes = self.files.read(page)
        return data

    def dropped(self, first: int) -> None:
        """Their files go."""
        self.files.dropped(first)

    def purge(self) -> None:
        """All files go, once the metadata says that the stream is gone."""
        self.unwritten = False
        self.files.purge()
        self.log.call(False)


def _extend(runs: list[PositionRun], segment: cython.uint, position: cython.ulonglong) -> None:
    """One more position: the last run grows, or a new one begins."""
    run: PositionRun
    if runs:
        run = runs[-1]
        if run.last + 1 == position and run.segment == segment:
            run.last = position
            return
    run = PositionRun.__new__(PositionRun)
    run.segment = segment
    run.first = position
    run.last = position
    runs.append(run)


class MessageLog(Journal):
    """What all ledgers share: the batch that is filling.

    `open`: its number. `segment`: the one that packed entries go to; `packed`: how many the last batch put
    there. `queues`: number -> ledger. `wake`: called when there is something to commit, with whether somebody
    waits for it. `left`: called with a segment and how many of its messages were settled. `moved`: segment ->
    the one it was rewritten into. `needs`: segments that the last block settles messages of; `marks`: queue
    -> between which positions it marks messages. `grown`: streams with records that are not written;
    `streams_delivered`: some of them have been delivered. `partial`: the last block holds the first part of a batch;
    `limit`: octets after which a block ends.
    """

    def __init__(self, wake: Callable[[bool], None], left: Callable[[int, int], None]) -> None:
        super().__init__()
        self.wake: Callable[[bool], None] = wake
        self.left: Callable[[int, int], None] = left
        self.open: int = 1
        self.segment: int = 0
        self.packed: int = 0
        self.queues: dict[int, DiskQueueJournal] = {}
        self.moved: dict[int, int] = {}
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.partial: bool = False
        self.limit: int = BLOCK_LIMIT
        self.waiting: list[tuple[int, Callable[[], None]]] = []
        self.entries: list[Entry] = []
        self.queue_journals: list[DiskQueueJournal] = []
        self.unwritten: list[DiskQueueJournal] = []
        self.changed: list[DiskQueueJournal] = []
        self.delivered_marks: list[DiskQueueJournal] = []
        self.returned: list[tuple[DiskQueueJournal, int, int, int, int]] = []
        self.grown: list[DiskStreamJournal] = []
        self.streams_delivered: bool = False
        self.awake: bool = False
        self.urgent: bool = False

    def queue_journal(self, number: int) -> DiskQueueJournal:
        """The ledger of queue `number`, made if there is none."""
        queue_journal = self.queues.get(number)
        if queue_journal is None:
            queue_journal = self.queues[number] = DiskQueueJournal(self, number)
        return queue_journal

    def call(self, urgent: cython.bint) -> None:
        """There is something to commit."""
        self.awake = True
        if urgent:
            self.urgent = True
        self.wake(urgent)

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` once everything up to `ticket` is safe."""
        if ticket <= self.settled:
            self.run(call)
            return
        self.waiting.append((ticket, call))
        if not self.urgent and ticket == self.open:
            self.call(True)

    def settle_up_to(self, ticket: int) -> None:
        """Everything up to `ticket` is safe: whoever waited for that is told."""
        self.settled = ticket
        due = [call for number, call in self.waiting if number <= ticket]
        self.waiting = [item for item in self.waiting if item[0] > ticket]
        for call in due:
            self.run(call)

    def now_in(self, segment: cython.uint) -> int:
        """The segment that holds what `segment` held."""
        if self.moved:
            return self.moved.get(segment, segment)
        return segment

    def move(self, segment: int, into: int) -> None:
        """What one segment holds, and what was moved there before, is in another from now on."""
        for other in self.moved:
            if self.moved[other] == segment:
                self.moved[other] = into
        self.moved[segment] = into

    # --- packing

    def pack(self, out: Outbox) -> int:
        """Write the batch that is filling as records, and begin the next; returns its number. 0 if that would become
        too long a block: what was written counts only together with the rest, which is to be packed next:
        `partial`."""
        entries: list[Entry] = self.entries
        queue_journals: list[DiskQueueJournal] = self.queue_journals
        i: cython.Py_ssize_t = 0
        self.entries = []
        self.queue_journals = []
        self.packed = 0
        while i < len(entries):
            i = self.put_message(out, entries, queue_journals, i)
            if out.size >= self.limit and i < len(entries):
                self.entries = entries[i:]
                self.queue_journals = queue_journals[i:]
                self.count_packed()
                self.partial = True
                return 0
        self.partial = False
        self.count_packed()
        self.put_settled(out)
        self.put_delivered_marks(out)
        self.put_returned(out)
        self.awake = False
        self.urgent = False
        self.open += 1
        return self.open - 1

    def put_message(
        self, out: Outbox, entries: list[Entry], queue_journals: list[DiskQueueJournal], i: cython.Py_ssize_t
    ) -> int:
        """Write the message of entry `i` with all the queues that took it in, which stand together; returns
        where the next message begins."""
        entry: Entry = entries[i]
        message: Message = entry.message
        queue_journal: DiskQueueJournal
        at: cython.Py_ssize_t = out.size
        count: cython.uint = 0
        while i < len(entries):
            entry = entries[i]
            if entry.message is not message:
                break
            queue_journal = queue_journals[i]
            i += 1
            if entry.stored != _PENDING:
                continue
            if queue_journal.gone:
                entry.stored = 0
                continue
            if count == 0:
                out.put_u8(1)
                out.put_u64(0)
            count += 1
            self.put_target(out, entry, queue_journal)
        if count:
            put_message(out, message)
            out.poke_u32(at + 1, out.size - at - 5)
            out.poke_u32(at + 5, count)
        return i

    def put_target(self, out: Outbox, entry: Entry, queue_journal: DiskQueueJournal) -> None:
        """Write one queue that holds the message."""
        entry.stored = self.segment
        queue_journal.live.add(entry.position)
        if queue_journal.unwritten == 0:
            self.unwritten.append(queue_journal)
        queue_journal.unwritten += 1
        self.packed += 1
        out.put_u32(queue_journal.number)
        put_entry(out, entry, entry.redelivered or entry.tag != 0)

    def count_packed(self) -> None:
        """Let the ledgers count what has just been written of them."""
        queue_journal: DiskQueueJournal
        for queue_journal in self.unwritten:
            queue_journal.counts[self.segment] = (
                queue_journal.counts.get(self.segment, 0) + queue_journal.unwritten
            )
            queue_journal.unwritten = 0
        self.unwritten.clear()

    def put_settled(self, out: Outbox) -> None:
        """Write what was settled, and take it out of what is alive."""
        queue_journal: DiskQueueJournal
        run: PositionRun
        for queue_journal in self.changed:
            runs, queue_journal.settled = queue_journal.settled, []
            if queue_journal.gone:
                continue
            for run in _merged(runs):
                run.segment = self.now_in(run.segment)
                queue_journal.remove_settled(run)
                self.put_run(out, 2, queue_journal, run)
        self.changed.clear()

    def put_delivered_marks(self, out: Outbox) -> None:
        """Write what was handed out."""
        queue_journal: DiskQueueJournal
        run: PositionRun
        for queue_journal in self.delivered_marks:
            runs, queue_journal.delivered_marks = queue_journal.delivered_marks, []
            if queue_journal.gone:
                continue
            for run in _merged(runs):
                if queue_journal.live.any(run.first, run.last):
                    run.segment = self.now_in(run.segment)
                    self.put_run(out, 3, queue_journal, run)
                    widen(self.marks, queue_journal.number, run.first, run.last)
        self.delivered_marks.clear()

    def put_run(
        self, out: Outbox, kind: cython.uint, queue_journal: DiskQueueJournal, run: PositionRun
    ) -> None:
        """Write a SETTLED or DELIVERED record."""
        out.put_u8(kind)
        out.put_u32(queue_journal.number)
        out.put_u32(run.segment)
        out.put_u64(run.first)
        out.put_u64(run.last)
        if kind == 2 and run.segment != self.segment:
            self.needs.add(run.segment)

    def put_returned(self, out: Outbox) -> None:
        """Write the counts of what came back."""
        queue_journal: DiskQueueJournal
        for queue_journal, segment, position, acquired, failed in self.returned:
            if queue_journal.gone or not queue_journal.live.has(position):
                continue
            out.put_u8(4)
            out.put_u32(queue_journal.number)
            out.put_u32(self.now_in(segment))
            out.put_u64(position)
            out.put_u32(acquired)
            out.put_u32(failed)
            widen(self.marks, queue_journal.number, position, position)
        self.returned.clear()


def widen(marks: dict[int, tuple[int, int]], queue: int, first: int, last: int) -> None:
    """Marks of a queue's messages reach at least from `first` to `last`."""
    before = marks.get(queue)
    if before is not None:
        first, last = min(first, before[0]), max(last, before[1])
    marks[queue] = (first, last)


def _merged(runs: list[PositionRun]) -> list[PositionRun]:
    """Runs in order, those that touch each other as one: consumers that take turns settle in several."""
    merged: list[PositionRun] = []
    run: PositionRun
    if len(runs) < 2:
        return runs
    runs.sort(key=_by_first)
    for run in runs:
        if merged and merged[-1].last + 1 == run.first and merged[-1].segment == run.segment:
            merged[-1].last = run.last
        else:
            merged.append(run)
    return merged


def _by_first(run: PositionRun) -> int:
    return run.first
