"""Reclaiming the disk: settled segments are dropped, and when the log is too long, the emptiest are rewritten.

A segment may be dropped when nothing in it is alive and its other records are about nothing that is still
there. To rewrite one, what is alive in it is copied, a slice at a time, into the batches that are being
committed anyway; from the beginning on, its messages count in the segment they go to (`MessageLog.moved`). No
new segment begins meanwhile, so that they all go to one. Its records about other segments are copied if those
are still there. A deletion is written to the log before it happens.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from leveret.store import blocks
from leveret.store.log import MessageLog
from leveret.store.segments import Segment, Segments
from leveret.store.sieve import Sieve
from leveret.wire.frames import Outbox

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

log = logging.getLogger("leveret")

#: The log may be so many times what is alive in it, and so many segments more, before anything is rewritten: what comes
#: and goes in order is soon dropped for nothing.
TIMES = 2
SPARE = 4

#: Octets of records looked at in one go.
SLICE = 128 * 1024

#: Octets read in one go.
CHUNK = 1024 * 1024


class Rewriter:
    """Drops and rewrites segments. `twins`: segment -> others with second copies of messages it holds or held, since an
    earlier rewrite was cut short: what settles the one settles the other. `wanted`: some segment may
    have become dispensable."""

    def __init__(self, segments: Segments, journal: MessageLog) -> None:
        self.segments = segments
        self.journal = journal
        self.twins: dict[int, set[int]] = {}
        self.wanted = True
        self.sieve = Sieve(journal, self._there)
        self._source: Segment | None = None
        self._data = b""
        self._base = 0  # where in the file `_data` begins
        self._at = 0  # the next block, in `_data`
        self._inside = 0  # the next record of that block, 0 for its first
        self._leaving: list[Segment] = []
        self._announced: list[Segment] = []

    @property
    def busy(self) -> bool:
        """Whether a segment is being rewritten, or its last part not packed yet."""
        return self._source is not None or self.sieve.out.size > 0

    @property
    def carried(self) -> bool:
        """Whether there is anything for the next batch."""
        return self.sieve.out.size > 0 or bool(self._leaving)

    def left(self, segment: Segment) -> None:
        """Messages of a segment were settled."""
        if segment.live <= 0:
            self.wanted = True

    def _there(self, number: int) -> bool:
        """Whether records of a segment's messages may still be in a file that stays."""
        table = self.segments.table
        if number in table and table[number] is not self._source:
            return True
        return any(twin in table for twin in self.twins.get(number, ()))

    def _needed(self, segment: Segment) -> bool:
        """Whether a segment settles messages of others that are there, or marks messages that are alive."""
        if any(self._there(need) for need in segment.needs):
            return True
        if any(twin in self.segments.table for twin in self.twins.get(segment.number, ())):
            return True
        queues = self.journal.queues
        return any(
            queue in queues and queues[queue].live.any(first, last)
            for queue, (first, last) in segment.marks.items()
        )

    def put(self, out: Outbox) -> None:
        """Add what is carried to the batch that is packed."""
        sieve, current = self.sieve, self.segments.current
        if sieve.out.size and current is not None:
            out.put(sieve.out.take())
            self.segments.owe(sieve.needs, sieve.marks)
            current.total += sieve.copied
            sieve.copied = 0
        for segment in self._leaving:
            out.put(b"\x05" + segment.number.to_bytes(4, "big"))
        self._announced += self._leaving
        self._leaving.clear()

    def advance(self, store: DiskStore) -> None:
        """A commit is safe: delete what it announced, go on with what was begun, or begin something."""
        for segment in self._announced:
            self.segments.drop(segment)
            self.wanted = True
        self._announced.clear()
        if self._source is None and self.wanted:
            self.wanted = False
            self._begin()
        if self._source is not None or self.carried:
            store.background.later(0, lambda: self._go_on(store))

    def _begin(self) -> None:
        """Announce what can go as it is; if too much is left, open the segment with the least alive in it."""
        length, alive = 0, 0.0
        least: Segment | None = None
        for segment in list(self.segments.table.values()):
            if segment is self.segments.current or segment.leaving or segment.pinned:
                continue
            if segment.live <= 0 and not self._needed(segment):
                self._announce(segment)
                continue
            length += segment.length
            alive += segment.length * segment.share
            if least is None or segment.share < least.share:
                least = segment
        if least is not None and length > TIMES * alive + SPARE * self.segments.size:
            self._open(least)

    def _announce(self, segment: Segment) -> None:
        segment.leaving = True
        self._leaving.append(segment)

    def _open(self, segment: Segment) -> None:
        """From here on, everything alive in the segment counts in the one that is written to."""
        target = self.segments.current
        if target is None:
            return
        self._source = segment
        self._data, self._base, self._at, self._inside = b"", len(blocks.MARK), 0, 0
        target.live += sum(
            ledger.move(segment.number, target.number) for ledger in self.journal.queues.values()
        )
        segment.live = 0
        self.journal.move(segment.number, target.number)
        self._move_twins(segment.number, target.number)

    def _move_twins(self, number: int, into: int) -> None:
        """What is known of second copies holds for the segment, too, that they or the first are moved to."""
        for copies in self.twins.values():
            if number in copies:
                copies.add(into)
        if number in self.twins:
            self.twins.setdefault(into, set()).update(self.twins[number] - {into})

    def _go_on(self, store: DiskStore) -> None:
        """Sift a slice, and have it committed; after the last, the segment can go."""
        if store.failing is not None:
            return  # the commit after it brings us back
        source = self._source
        if source is not None and not self.sieve.out.size:
            try:
                self._sift(store, source)
            except (OSError, blocks.BadBlock) as error:
                self._give_up(source, error)
        if self.carried:
            store.commit()
        elif self._source is not None:
            store.background.later(0, lambda: self._go_on(store))

    def _sift(self, store: DiskStore, source: Segment) -> None:
        looked = 0
        while looked < SLICE:
            block = self._block(store, source)
            if block is None:
                self._source = None
                self._data = b""
                self.wanted = True
                self._announce(source)
                return
            start = self._inside or block.start
            end = self.sieve.sift(self._data, start, block.end, start + SLICE - looked)
            looked += end - start + 1
            if end >= block.end:
                self._at, self._inside = block.end, 0
            else:
                self._inside = end

    def _block(self, store: DiskStore, source: Segment) -> blocks.Block | None:
        """The block to look at, read if it is not at hand; None after the last."""
        block = blocks.block_at(self._data, self._at)
        if block is not None:
            return block
        self._base += self._at
        self._at = 0
        if self._base >= source.length:
            return None
        self._data = store.files.read(source.path, self._base, CHUNK)
        size = blocks.size_at(self._data, 0)
        if size > len(self._data):
            self._data = store.files.read(source.path, self._base, size)
        block = blocks.block_at(self._data, 0)
        if block is None:
            raise blocks.BadBlock(f"a block at octet {self._base} does not match its checksum")
        return block

    def _give_up(self, source: Segment, error: Exception) -> None:
        """It cannot be read any more. What is alive in it is in memory; both files stay for whoever restores
        them."""
        log.error("%s cannot be rewritten: %s; the file is kept", source.path, error)
        source.pinned = True
        target = self.segments.table.get(self.journal.moved[source.number])
        if target is not None:
            target.pinned = True
        self._source = None
        self._data = b""
