"""Deletes settled segments; when the log is too long, compacts the one with the smallest live part.

A segment may be deleted when no message in it is live and its other records are not needed any more. To compact one,
its live records are copied, a slice at a time, into the batches that are committed anyway. From the beginning, its
messages count in the segment they are copied to (`MessageLog.moved`); no new segment begins meanwhile, so this is one
segment. A DROPPED record is written before a segment is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.live_records import LiveRecords
from leveret.store.messages.log import MessageLog
from leveret.store.messages.records import put_dropped
from leveret.store.messages.segments import LogSegment, LogSegments
from leveret.wire.frames import Outbox

if TYPE_CHECKING:
    from leveret.store.files import Files

log = logging.getLogger("leveret")

#: A segment is compacted if the log is longer than this many times its live part, plus this many segments: segments of
#: queues that are consumed in order are soon deleted without being copied.
COMPACTION_RATIO = 2
COMPACTION_SPARE_SEGMENTS = 4

#: Octets of records that one step examines.
SLICE_BYTES = 128 * 1024

#: Octets of one read.
READ_BYTES = 1024 * 1024


class Later(Protocol):
    """Runs calls in the event loop, and steps in a thread."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` after `seconds`."""

    def offload(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `step` in a thread, then `done` in the loop with the error it raised."""


class Committing(Protocol):
    """What compaction uses of the disk store."""

    @property
    def background(self) -> Later:
        """The event loop and the thread that nobody waits for."""

    @property
    def files(self) -> Files:
        """The operating system's files."""

    @property
    def failing(self) -> OSError | None:
        """Why the disk refuses writes, or None."""

    def commit(self) -> None:
        """Write and sync the batch that is being filled."""


class Compactor:
    """Deletes and compacts segments. `duplicates`: segment -> others with second copies of messages that it holds or
    held, since an earlier compaction was interrupted: what settles one copy settles the other. `wanted`: some segment
    may have become deletable."""

    def __init__(self, segments: LogSegments, journal: MessageLog) -> None:
        self.segments = segments
        self.journal = journal
        self.duplicates: dict[int, set[int]] = {}
        self.wanted = True
        self.live_records = LiveRecords(journal, self._exists)
        self._source: LogSegment | None = None
        self._data = b""
        self._base = 0  # offset of `_data` in the file
        self._at = 0  # offset of the next block in `_data`
        self._inside = 0  # offset of its next record, 0 for the first
        self._reading = False  # the thread reads the next blocks
        self._dropping: list[LogSegment] = []
        self._announced: list[LogSegment] = []

    @property
    def busy(self) -> bool:
        """Whether a segment is being compacted, or its last part is not packed yet."""
        return self._source is not None or self.live_records.out.size > 0

    @property
    def carried(self) -> bool:
        """Whether it has records for the next batch."""
        return self.live_records.out.size > 0 or bool(self._dropping)

    def left(self, segment: LogSegment) -> None:
        """Note that messages of a segment were settled."""
        if segment.live <= 0:
            self.wanted = True

    def _exists(self, number: int) -> bool:
        """Return whether messages of a segment may still be in a file that stays."""
        table = self.segments.table
        if number in table and table[number] is not self._source:
            return True
        return any(duplicate in table for duplicate in self.duplicates.get(number, ()))

    def _needed(self, segment: LogSegment) -> bool:
        """Return whether a segment settles messages of existing segments, or marks live messages."""
        if any(self._exists(need) for need in segment.needs):
            return True
        if any(duplicate in self.segments.table for duplicate in self.duplicates.get(segment.number, ())):
            return True
        queues = self.journal.queues
        return any(
            queue in queues and queues[queue].live.any(first, last)
            for queue, (first, last) in segment.marks.items()
        )

    def put(self, out: Outbox) -> None:
        """Add the copied records and the DROPPED records to the batch that is packed."""
        live_records, current = self.live_records, self.segments.current
        if live_records.out.size and current is not None:
            out.put(live_records.out.take())
            self.segments.owe(live_records.needs, live_records.marks)
            current.total += live_records.copied
            live_records.copied = 0
        for segment in self._dropping:
            put_dropped(out, segment.number)
        self._announced += self._dropping
        self._dropping.clear()

    def advance(self, store: Committing) -> None:
        """Continue after a commit was synced: delete the segments it announced, copy on, or begin with a segment."""
        for segment in self._announced:
            self._delete(store, segment)
            self.wanted = True
        self._announced.clear()
        if self._source is None and self.wanted:
            self.wanted = False
            self._begin()
        if self._source is not None or self.carried:
            store.background.later(0, lambda: self._go_on(store))

    def _delete(self, store: Committing, segment: LogSegment) -> None:
        """Delete the file of a segment, in the thread. What cannot be deleted is deleted at the next start."""
        self.segments.forget(segment)

        def done(error: OSError | None) -> None:
            if error is not None:
                log.warning("cannot delete %s: %s", segment.path, error)

        store.background.offload(lambda: store.files.remove(segment.path), done)

    def _begin(self) -> None:
        """Announce segments that can be deleted; if the rest is too long, open the one with the smallest live part."""
        length, alive = 0, 0.0
        least: LogSegment | None = None
        for segment in list(self.segments.table.values()):
            if segment is self.segments.current or segment.dropping or segment.pinned:
                continue
            if segment.live <= 0 and not self._needed(segment):
                self._announce(segment)
                continue
            length += segment.length
            alive += segment.length * segment.share
            if least is None or segment.share < least.share:
                least = segment
        if (
            least is not None
            and length > COMPACTION_RATIO * alive + COMPACTION_SPARE_SEGMENTS * self.segments.size
        ):
            self._open(least)

    def _announce(self, segment: LogSegment) -> None:
        segment.dropping = True
        self._dropping.append(segment)

    def _open(self, segment: LogSegment) -> None:
        """Begin to compact a segment: its live messages count in the current segment from now on."""
        target = self.segments.current
        if target is None:
            return
        self._source = segment
        self._data, self._base, self._at, self._inside = b"", len(log_blocks.MARK), 0, 0
        target.live += sum(
            queue_journal.move(segment.number, target.number)
            for queue_journal in self.journal.queues.values()
        )
        segment.live = 0
        self.journal.move(segment.number, target.number)
        self._move_duplicates(segment.number, target.number)

    def _move_duplicates(self, number: int, into: int) -> None:
        """Note second copies for the segment, too, to which one of the copies is moved."""
        for copies in self.duplicates.values():
            if number in copies:
                copies.add(into)
        if number in self.duplicates:
            self.duplicates.setdefault(into, set()).update(self.duplicates[number] - {into})

    def _go_on(self, store: Committing) -> None:
        """Copy a slice and commit it; after the last one, the segment is deleted."""
        if store.failing is not None or self._reading:
            return  # the commit after the failure, or the end of the reading, goes on
        source = self._source
        if source is not None and not self.live_records.out.size:
            self._copy_slice(store, source)
        if self.carried:
            store.commit()
        elif self._source is not None and not self._reading:
            store.background.later(0, lambda: self._go_on(store))

    def _copy_slice(self, store: Committing, source: LogSegment) -> None:
        looked = 0
        while looked < SLICE_BYTES:
            block = log_blocks.block_at(self._data, self._at)
            if block is None and self._base + self._at < source.length:
                self._read(store, source)
                return
            if block is None:
                self._source = None
                self._data = b""
                self.wanted = True
                self._announce(source)
                return
            start = self._inside or block.start
            end = self.live_records.copy_live(self._data, start, block.end, start + SLICE_BYTES - looked)
            looked += end - start + 1
            if end >= block.end:
                self._at, self._inside = block.end, 0
            else:
                self._inside = end

    def _read(self, store: Committing, source: LogSegment) -> None:
        """Read the next blocks, in the thread, and go on with them."""
        self._base += self._at
        self._at = 0
        self._reading = True
        base, path = self._base, source.path
        found: list[bytes] = []

        def read() -> None:
            data = store.files.read(path, base, READ_BYTES)
            size = log_blocks.size_at(data, 0)
            found.append(data if size <= len(data) else store.files.read(path, base, size))

        def done(error: OSError | None) -> None:
            self._reading = False
            if error is None:
                self._data = found[-1]
            if error is not None:
                self._give_up(source, error)
            elif log_blocks.block_at(self._data, 0) is None:
                self._give_up(
                    source, log_blocks.BadBlock(f"a block at octet {base} does not match its checksum")
                )
            self._go_on(store)

        store.background.offload(read, done)

    def _give_up(self, source: LogSegment, error: Exception) -> None:
        """Stop compacting a segment that cannot be read. Its live messages are in memory; both files are kept, so that
        they can be restored."""
        log.error("cannot compact %s: %s; the file is kept", source.path, error)
        source.pinned = True
        target = self.segments.table.get(self.journal.moved[source.number])
        if target is not None:
            target.pinned = True
        self._source = None
        self._data = b""
