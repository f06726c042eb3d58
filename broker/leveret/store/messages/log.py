"""The message log's side of the journal port: what durable queues report, collected into batches.

A `DiskQueueJournal` adds an entry to the open batch; the batch's number is the ticket. For a commit,
`MessageLog.pack` encodes the batch as records (`records.py`). Nothing is encoded earlier, so a message that is
acknowledged before its batch is packed is never written. Acknowledged and delivered messages become runs of
positions.

`Entry.stored` is the segment that holds a message, and `PENDING` until its batch is packed. Compaction copies the
messages of one segment into another: `moved` has the new segment, and no entry is changed. A queue journal knows which
positions are live, and how many of them are in each segment; compaction needs nothing else.

Catalogue records get tickets of the same batches (`record_changed`): a batch is settled when both are on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import weigh
    from cython.cimports.leveret.queues.encoding import put_entry, put_message
    from cython.cimports.leveret.queues.journal import _PENDING, Journal, QueueJournal, StreamJournal
    from cython.cimports.leveret.queues.message import Entry, Message
    from cython.cimports.leveret.store.messages.positions import Positions
    from cython.cimports.leveret.store.messages.records import (
        DELIVERED,
        SETTLED,
        begin_message,
        end_message,
        put_positions,
        put_returned,
    )
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.queues.backlog.paging import weigh
    from leveret.queues.encoding import put_entry, put_message
    from leveret.queues.journal import _PENDING, Journal, QueueJournal, StreamJournal
    from leveret.queues.message import Entry, Message
    from leveret.store.messages.positions import Positions
    from leveret.store.messages.records import (
        DELIVERED,
        SETTLED,
        begin_message,
        end_message,
        put_positions,
        put_returned,
    )
    from leveret.wire.frames import Outbox

if TYPE_CHECKING:
    from leveret.queues.disk_read import DiskRead
    from leveret.queues.stream.log import Page
    from leveret.store.messages.stream_port import StreamPages

#: How soon a batch is to be committed: with acknowledgements only; with messages whose publishers wait for nothing; at
#: once, because something waits for it.
LATER, SOON, NOW = 0, 1, 2

#: Octets of the open batch with which it is committed at once.
PROMPT_BYTES = cython.declare(cython.longlong, 256 * 1024)

#: Octets after which a block ends: it is encoded and read at once. The last message of a block may exceed it.
BLOCK_LIMIT_BYTES = 256 * 1024

#: Entries of messages after which a block ends, too: three milliseconds if they have left the processor's caches.
_ENTRIES_TOGETHER = cython.declare(cython.Py_ssize_t, 2048)


#: Runs of settled positions that are sorted and encoded at once: acknowledgements in no order make one run each.
_RUNS_TOGETHER = cython.declare(cython.Py_ssize_t, 4096)


class PositionRun:
    """Consecutive positions of one queue in one segment."""

    def __init__(self, segment: int, first: int, last: int) -> None:
        self.segment: int = segment
        self.first: int = first
        self.last: int = last


class DiskQueueJournal(QueueJournal):
    """One durable queue in the message log.

    `number`: the queue's number in the log, never used again. `live`: positions that are written and not settled.
    `counts`: segment -> live positions in it. `settled`, `delivered_marks`: runs that are not written yet.
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
        """Add an entry to the open batch; returns the ticket."""
        log: MessageLog = self.log
        entry.stored = _PENDING
        log.entries.append(entry)
        log.queue_journals.append(self)
        log.ticket = log.open
        log.unwritten_bytes += weigh(entry)
        if log.unwritten_bytes > log.unwritten_limit:
            log.full = True
        if not log.urgent:
            log.added()
        return log.open

    def settle(self, entry: Entry) -> None:
        """Drop an entry that is not written yet, or note its position as settled."""
        log: MessageLog = self.log
        segment: cython.uint = entry.stored
        entry.stored = 0
        if segment == _PENDING:
            return
        if not self.settled:
            log.changed_queues.append(self)
        _extend(self.settled, log.now_in(segment), entry.position, entry.position)
        log.ticket = log.open
        if not log.awake:
            log.call(LATER)

    def settle_run(self, stored: cython.uint, first: cython.ulonglong, last: cython.ulonglong) -> None:
        """Note consecutive positions of one segment as settled."""
        log: MessageLog = self.log
        if not self.settled:
            log.changed_queues.append(self)
        _extend(self.settled, log.now_in(stored), first, last)
        log.ticket = log.open
        if not log.awake:
            log.call(LATER)

    def delivered(self, entry: Entry) -> None:
        """Note a position as delivered, unless the log has that mark, or will have it when the entry is written."""
        log: MessageLog = self.log
        if entry.redelivered or entry.stored == _PENDING:
            return
        if not self.delivered_marks:
            log.delivered_marks.append(self)
        log.noted += 1
        log.delivering = True
        _extend(self.delivered_marks, log.now_in(entry.stored), entry.position, entry.position)

    def mark_all(self, last: cython.ulonglong) -> None:
        """Note everything up to a position as delivered."""
        log: MessageLog = self.log
        if not self.live.count:
            return
        if not self.delivered_marks:
            log.delivered_marks.append(self)
        _extend(self.delivered_marks, 0, 1, last)  # such a record need not name a segment
        if not log.awake:
            log.call(LATER)

    def returned(self, entry: Entry) -> None:
        """Note the counts of a returned entry. It is marked as delivered already."""
        log: MessageLog = self.log
        if entry.stored == _PENDING or not (entry.acquired or entry.failed):
            return
        log.returned.append((self, log.now_in(entry.stored), entry.position, entry.acquired, entry.failed))
        log.ticket = log.open
        if not log.awake:
            log.call(LATER)

    def purge(self) -> None:
        """Count all messages as settled. No record is needed, because the catalogue does not have the queue any
        more."""
        segment: int
        self.gone = True
        for segment in list(self.counts):
            self.log.left(segment, self.counts[segment])
        self.counts = {}
        self.live = Positions()
        self.log.queues.pop(self.number, None)

    def remove_settled(self, run: PositionRun) -> None:
        """Remove settled positions from the live ones."""
        count: cython.longlong = self.live.remove_range(run.first, run.last)
        if count:
            self.counts[run.segment] = self.counts.get(run.segment, 0) - count
            if self.counts[run.segment] <= 0:
                del self.counts[run.segment]
            self.log.left(run.segment, count)

    def move(self, segment: int, into: int) -> int:
        """Count the live positions of one segment in another; returns how many."""
        count = self.counts.pop(segment, 0)
        if count:
            self.counts[into] = self.counts.get(into, 0) + count
        return count


class DiskStreamJournal(StreamJournal):
    """One stream. Its records are in other files (`files`, `streams.py`); its tickets are those of the log."""

    def __init__(self, log: MessageLog, files: StreamPages) -> None:
        super().__init__()
        self.log: MessageLog = log
        self.files: StreamPages = files

    def grown(self, size: cython.Py_ssize_t) -> int:
        """Write the stream's new records, of `size` octets, with the open batch; returns the ticket."""
        log: MessageLog = self.log
        if not self.unwritten:
            self.unwritten = True
            log.grown.append(self)
        log.ticket = log.open
        log.unwritten_bytes += size
        if log.unwritten_bytes > log.unwritten_limit:
            log.full = True
        if not log.urgent:
            log.added()
        return log.open

    def mark_delivered(self) -> None:
        """Write the stream's new records before anything is sent."""
        self.log.noted += 1
        self.log.delivering = True
        self.log.streams_delivered = True

    def begun(self, page: Page) -> None:
        """Add a page to those that are to be written."""
        self.files.begun(page)

    def finish(self, page: Page, at: int, count: int) -> None:
        """Write the proof of a complete chunk into it."""
        self.files.finish(page, at, count)

    def read(self, page: Page) -> bytes:
        """Read a page from its file. Raises OSError."""
        data: bytes = self.files.read(page)
        return data

    def begin_read(self, page: Page) -> DiskRead:
        """Begin to read a page from its file."""
        return self.files.begin_read(page)

    def dropped(self, first: int) -> None:
        """Delete the files of segments before offset `first`."""
        self.files.dropped(first)

    def purge(self) -> None:
        """Delete all files once the catalogue does not have the stream any more."""
        self.unwritten = False
        self.files.purge()
        self.log.call(LATER)


def _extend(
    runs: list[PositionRun], segment: cython.uint, first: cython.ulonglong, last: cython.ulonglong
) -> None:
    """Add positions to the last run if they continue it, otherwise as a new run."""
    run: PositionRun
    if runs:
        run = runs[-1]
        if run.last + 1 == first and run.segment == segment:
            run.last = last
            return
    run = PositionRun.__new__(PositionRun)
    run.segment = segment
    run.first = first
    run.last = last
    runs.append(run)


class MessageLog(Journal):
    """The journal of a data directory.

    `open`: number of the open batch. `segment`: where packed entries go; `packed`: how many of them the last block put
    there, and `runs`: runs of settled or delivered positions in it. `queues`: number -> queue journal. `wake`: called
    when there is something to commit, with how soon. `awake`: that is so; `prompt`, `urgent`: it was called with
    `SOON`, with `NOW`. `left`: called with a segment and how many of its messages were settled. `moved`: segment -> the
    one its messages were copied to. `needs`: segments of which the last block settles messages; `marks`: queue -> range
    of positions that it marks. `grown`: streams with unwritten records; `streams_delivered`: some of these were
    delivered. `unwritten_bytes`: memory of messages that are not on the disk, those of the open batch and
    (`packed_bytes`) those of the last one; if they are more than `unwritten_limit`, it is `full`. `holds`: operations
    under way, before whose end no commit begins. While the journal is `partial`, the first part of the batch has
    `encoded` entries and `returned_encoded` counts of returned messages. `limit`: octets after which a block ends.
    `waiting`: calls by the ticket that they wait for.
    """

    def __init__(self, wake: Callable[[int], None], left: Callable[[int, int], None]) -> None:
        super().__init__()
        self.wake: Callable[[int], None] = wake
        self.left: Callable[[int, int], None] = left
        self.open: int = 1
        self.segment: int = 0
        self.packed: int = 0
        self.runs: int = 0
        self.queues: dict[int, DiskQueueJournal] = {}
        self.moved: dict[int, int] = {}
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.limit: int = BLOCK_LIMIT_BYTES
        self.waiting: dict[int, list[Callable[[], None]]] = {}
        self.entries: list[Entry] = []
        self.queue_journals: list[DiskQueueJournal] = []
        self.unwritten: list[DiskQueueJournal] = []
        self.changed_queues: list[DiskQueueJournal] = []
        self.delivered_marks: list[DiskQueueJournal] = []
        self.returned: list[tuple[DiskQueueJournal, int, int, int, int]] = []
        self.returned_encoded: int = 0
        self.grown: list[DiskStreamJournal] = []
        self.streams_delivered: bool = False
        self.noted: int = 0
        self.holds: int = 0
        self.awake: bool = False
        self.prompt: bool = False
        self.urgent: bool = False
        self.encoded: int = 0
        self.unwritten_bytes: int = 0
        self.packed_bytes: int = 0
        self.unwritten_limit: int = 1 << 62

    def queue_journal(self, number: int) -> DiskQueueJournal:
        """Return the journal of queue `number`, created if there is none."""
        queue_journal = self.queues.get(number)
        if queue_journal is None:
            queue_journal = self.queues[number] = DiskQueueJournal(self, number)
        return queue_journal

    def call(self, when: cython.int) -> None:
        """Request a commit: `LATER`, `SOON` or `NOW`."""
        self.awake = True
        if when == NOW:
            self.urgent = True
        elif when == SOON:
            self.prompt = True
        self.wake(when)

    def added(self) -> None:
        """A message was added to the open batch, for which nothing waits yet."""
        if self.unwritten_bytes - self.packed_bytes > PROMPT_BYTES:
            self.call(NOW)
        elif not self.prompt:
            self.call(SOON)

    def record_changed(self) -> int:
        """Settle a change of the catalogue with the open batch; returns the ticket."""
        self.changes += 1
        self.changed = self.ticket = self.open
        if not self.urgent:
            self.call(NOW)
        return self.open

    def hold(self) -> None:
        """Begin no commit until `let_go` was called as often."""
        self.holds += 1

    def let_go(self) -> None:
        """Commit again; at once if somebody waits for it."""
        self.holds -= 1
        if self.awake and not self.holds:
            self.wake(NOW if self.urgent else SOON if self.prompt else LATER)

    @property
    def empty(self) -> bool:
        """Whether the open batch has nothing for the log."""
        return not (
            self.entries or self.changed_queues or self.delivered_marks or self.returned or self.grown
        )

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` once everything up to `ticket` is on the disk."""
        if ticket <= self.settled:
            self.run(call)
            return
        self.waiting.setdefault(ticket, []).append(call)
        if not self.urgent and ticket == self.open:
            self.call(NOW)

    def settle_up_to(self, ticket: int) -> None:
        """Raise `settled` and run the calls that wait for it, or have a job run them."""
        self.settled = ticket
        self.unwritten_bytes -= self.packed_bytes
        self.packed_bytes = 0
        if self.full and self.unwritten_bytes <= self.unwritten_limit // 2:
            self.full = False
            self.caught_up()
        for waited in sorted(self.waiting):
            if waited <= ticket:
                self.due.extend(self.waiting.pop(waited))
        self.run_due()

    def now_in(self, segment: cython.uint) -> int:
        """Return the segment that holds what `segment` held before compaction."""
        if self.moved:
            return self.moved.get(segment, segment)
        return segment

    def move(self, segment: int, into: int) -> None:
        """Note that the messages of a segment, and those that were moved there before, are in another one from now
        on."""
        for other in self.moved:
            if self.moved[other] == segment:
                self.moved[other] = into
        self.moved[segment] = into

    # --- packing

    def pack(self, out: Outbox) -> int:
        """Encode the open batch as records and open the next one; returns its number.

        0 if the block would become too long: what was encoded counts only together with the rest, which the next call
        encodes (`partial`). A message that cannot be encoded is reported and left out; the others are written.
        """
        i: cython.Py_ssize_t = self.encoded
        first: cython.Py_ssize_t
        self.packed = 0
        self.runs = 0
        while i < len(self.entries):
            first = i
            i = self.put_messages(out, self.entries, self.queue_journals, i)
            if (out.size >= self.limit or i - first >= _ENTRIES_TOGETHER) and i < len(self.entries):
                self.encoded = i
                self.count_packed()
                self.partial = True
                return 0
        self.entries.clear()  # the same lists for ever: the garbage collector visits what is in new ones
        self.queue_journals.clear()
        self.encoded = 0
        self.count_packed()
        if not self.put_settled(out):
            self.partial = True
            return 0
        if not self.put_delivered_marks(out):
            self.partial = True
            return 0
        if not self.put_returned(out):
            self.partial = True
            return 0
        self.partial = False
        self.awake = False
        self.prompt = False
        self.urgent = False
        self.open += 1
        self.packed_bytes = self.unwritten_bytes
        return self.open - 1

    def put_messages(
        self, out: Outbox, entries: list[Entry], queue_journals: list[DiskQueueJournal], i: cython.Py_ssize_t
    ) -> int:
        """Encode messages from entry `i` on until the block is long enough or has taken enough time; returns the next
        entry. Those that are encoded are not kept: freeing all of a long batch at once would take time, too."""
        start: cython.Py_ssize_t = out.size
        at: cython.Py_ssize_t = i
        done: cython.Py_ssize_t = i
        stop: cython.Py_ssize_t = min(i + _ENTRIES_TOGETHER, len(entries))
        try:
            while at < stop and (out.size < self.limit or at == i):
                start = out.size
                at = self.put_message(out, entries, queue_journals, at)
                while done < at:
                    entries[done] = None  # type: ignore[call-overload]
                    done += 1
        except Exception as error:
            out.cut_back(start)
            at = self.drop_message(error, entries, queue_journals, at)
        return at

    def put_message(
        self, out: Outbox, entries: list[Entry], queue_journals: list[DiskQueueJournal], i: cython.Py_ssize_t
    ) -> int:
        """Write the message of entry `i` with all queues that hold it, which are adjacent; returns the entry of the
        next message."""
        entry: Entry = entries[i]
        message: Message = entry.message
        queue_journal: DiskQueueJournal
        start: cython.Py_ssize_t = out.size
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
                begin_message(out)
            count += 1
            self.put_target(out, entry, queue_journal)
        if count:
            put_message(out, message)
            end_message(out, start, count)
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

    def drop_message(
        self,
        error: Exception,
        entries: list[Entry],
        queue_journals: list[DiskQueueJournal],
        i: cython.Py_ssize_t,
    ) -> int:
        """Leave the message of entry `i` out of the log and report it: its queues hold it in memory only. Returns the
        entry of the next message. Raises the error if no `unencodable` is set."""
        entry: Entry = entries[i]
        message: Message = entry.message
        queue_journal: DiskQueueJournal
        if self.unencodable is None:
            raise error
        while i < len(entries):
            entry = entries[i]
            if entry.message is not message:
                break
            queue_journal = queue_journals[i]
            i += 1
            if queue_journal.live.remove_range(entry.position, entry.position):
                queue_journal.unwritten -= 1
                self.packed -= 1
            if entry.stored:
                entry.stored = 0
                self.unencodable(error, entry)
        return i

    def count_packed(self) -> None:
        """Count what was written of each queue as live."""
        queue_journal: DiskQueueJournal
        for queue_journal in self.unwritten:
            if queue_journal.unwritten:
                queue_journal.counts[self.segment] = (
                    queue_journal.counts.get(self.segment, 0) + queue_journal.unwritten
                )
                queue_journal.unwritten = 0
        self.unwritten.clear()

    def put_settled(self, out: Outbox) -> bool:
        """Write settled positions and remove them from the live ones, at most `_RUNS_TOGETHER`; False if there are
        more. Their order does not matter."""
        queue_journal: DiskQueueJournal
        run: PositionRun
        while self.changed_queues and self.runs < _RUNS_TOGETHER:
            queue_journal = self.changed_queues[-1]
            runs: list[PositionRun] = queue_journal.settled[self.runs - _RUNS_TOGETHER :]
            for run in self.to_write(queue_journal, runs):
                queue_journal.remove_settled(run)
                put_positions(out, SETTLED, queue_journal.number, run.segment, run.first, run.last)
                if run.segment != self.segment:
                    self.needs.add(run.segment)
            del queue_journal.settled[self.runs - _RUNS_TOGETHER :]  # after a fault they are written again
            if not queue_journal.settled:
                self.changed_queues.pop()
            self.runs += len(runs)
        return not self.changed_queues

    def put_marks_alone(self, out: Outbox) -> bool:
        """Write delivered positions as a block without messages; False if there are more."""
        self.runs = 0
        return self.put_delivered_marks(out)

    def put_delivered_marks(self, out: Outbox) -> bool:
        """Write the delivered positions that are still live, at most `_RUNS_TOGETHER`; False if there are more."""
        queue_journal: DiskQueueJournal
        run: PositionRun
        while self.delivered_marks and self.runs < _RUNS_TOGETHER:
            queue_journal = self.delivered_marks[-1]
            runs: list[PositionRun] = queue_journal.delivered_marks[self.runs - _RUNS_TOGETHER :]
            for run in self.to_write(queue_journal, runs):
                if queue_journal.live.any(run.first, run.last):
                    put_positions(out, DELIVERED, queue_journal.number, run.segment, run.first, run.last)
                    widen(self.marks, queue_journal.number, run.first, run.last)
            del queue_journal.delivered_marks[self.runs - _RUNS_TOGETHER :]
            if not queue_journal.delivered_marks:
                self.delivered_marks.pop()
            self.runs += len(runs)
        return not self.delivered_marks

    def to_write(self, queue_journal: DiskQueueJournal, runs: list[PositionRun]) -> list[PositionRun]:
        """Return the runs of a queue as they are written: merged, in the segments that have the messages now. None of a
        deleted queue is written."""
        run: PositionRun
        if queue_journal.gone:
            return []
        merged: list[PositionRun] = _merged(runs)
        for run in merged:
            run.segment = self.now_in(run.segment)
        return merged

    def put_returned(self, out: Outbox) -> bool:
        """Write the counts of returned messages that are still live, at most `_RUNS_TOGETHER`; False if there are
        more."""
        queue_journal: DiskQueueJournal
        i: cython.Py_ssize_t = self.returned_encoded
        stop: cython.Py_ssize_t = min(i + _RUNS_TOGETHER, len(self.returned))
        while i < stop:
            queue_journal, segment, position, acquired, failed = self.returned[i]
            if not queue_journal.gone and queue_journal.live.has(position):
                self.runs += 1
                put_returned(out, queue_journal.number, self.now_in(segment), position, acquired, failed)
                widen(self.marks, queue_journal.number, position, position)
            self.returned[i] = None  # type: ignore[call-overload]  # freed now
            i += 1
            self.returned_encoded = i  # a fault in the next one does not have this one encoded again
        if i < len(self.returned):
            return False
        self.returned.clear()
        self.returned_encoded = 0
        return True


def widen(marks: dict[int, tuple[int, int]], queue: int, first: int, last: int) -> None:
    """Extend the range of marked positions of a queue to include `first` to `last`."""
    before = marks.get(queue)
    if before is not None:
        first, last = min(first, before[0]), max(last, before[1])
    marks[queue] = (first, last)


def _merged(runs: list[PositionRun]) -> list[PositionRun]:
    """Sort runs and join adjacent ones: consumers that alternate settle in several runs."""
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
