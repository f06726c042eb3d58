"""Reads segments of the message log before they are needed: a standby of a cluster does so while they grow.

Both walks of a recovery are done for each segment by itself (`recovery.py`): what its records say of positions, and
its messages as backlog blocks, as if all of them were live and none had been delivered. A recovery then merges the
former, and takes the latter over unless something is unusual: then it reads that segment as it does without this.
Messages that are settled meanwhile are left out, and those that were delivered are marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from leveret.engine.delayed import RestoreTarget
from leveret.queues.backlog.paging import BacklogBlock, Pager
from leveret.queues.backlog.ready import Levels
from leveret.queues.message import Source
from leveret.store.errors import StoreError
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.log import MessageLog
from leveret.store.messages.positions import Positions
from leveret.store.messages.recovery import BlockRun, LogScan, QueueScan, UnknownRecord, block_of

#: Levels of the blocks: the priorities, and one for messages without one.
_HIGHEST = 255
_WITHOUT = 256

#: Blocks of a segment of which some messages are settled, and positions with counts, up to which a segment is not read
#: again.
MAX_PARTIAL_BLOCKS = 256
MAX_COUNTS = 10_000

#: Octets of a segment that are read at once; more for a block that is larger.
CHUNK_BYTES = 4 * 1024 * 1024

#: Octets of a block before the position of its first entry.
_FIRST_AT = 4


class _Context(NamedTuple):
    pager: Pager


class _Target(Source):
    """Stands for a queue that is not there yet."""

    def __init__(self) -> None:
        self.context = _Context(Pager())
        self.backlog = Levels(self.context.pager, _HIGHEST, _WITHOUT)


class _Part(NamedTuple):
    """What a queue takes over of a segment: its messages that are not settled, `dead` others, and runs by level.
    `delivered`: those that are marked."""

    found: QueueScan
    positions: Positions
    dead: Positions
    delivered: Positions
    runs: list[tuple[int, BlockRun]]


class SegmentAhead:
    """What was read of one segment, up to `end`. `extents`: offsets of its blocks; `sequence`: number of the last one;
    `log_scan`: what its records say. `size`: octets of messages in memory, if it `keeps` them; `chunk`:
    octets that are read at once."""

    def __init__(self) -> None:
        self.number = 0
        self.end = 0
        self.sequence = 0
        self.extents: list[int] = []
        self.log_scan = LogScan()
        self.size = 0
        self.keeps = True
        self.chunk = CHUNK_BYTES
        self._has_levels = False
        self._fetched = LogScan()
        self._journals = MessageLog(_ignore, _ignore_left)

    def read(self, data: bytes) -> None:
        """Read on, from `end`: `data` is what follows there in the file. Raises `UnknownRecord`, `StoreError`."""
        base, begin = self.end, 0
        if not base:
            if len(data) < len(log_blocks.MARK) or log_blocks.block_at(data, len(log_blocks.MARK)) is None:
                return  # its header is not complete yet
            header, first = log_blocks.read_header(Path("segment"), data)
            self.number, begin = header.number, first.at
        for together in log_blocks.walk_whole(data, begin):
            for block in together:
                self._read_block(data, block)
                self.extents.append(base + block.at)
            self.end = base + together[-1].end

    def _read_block(self, data: bytes, block: log_blocks.LogBlock) -> None:
        self.log_scan.scan_records(data, block.start, block.end, self.number)
        self.sequence = max(self.sequence, block.sequence)
        if not self.keeps:
            return
        for number in self.log_scan.queues.keys() - self._fetched.queues.keys():
            found = self._fetched.queues[number] = QueueScan()
            found.attach(cast(RestoreTarget, _Target()), self._journals.queue_journal(number))
        self._fetched.fetch(data, block.start, block.end, self.number)
        self.size += block.end - block.start

    def forget_messages(self) -> None:
        """Keep the messages no longer: they are read again when they are needed."""
        self.keeps, self.size = False, 0
        self._fetched = LogScan()

    def forget_settled(self, settled: dict[int, Positions]) -> None:
        """Forget the blocks of messages that are all settled. `settled`: by queue."""
        self.size = 0
        for number, found in self._fetched.queues.items():
            assert found.queue_journal is not None
            runs = [run for several in found.levels.values() for run in several]
            for run in runs:
                run.close()
                if number in settled and len(runs) == 1:
                    dead = found.queue_journal.live.common(settled[number])
                    run.blocks[:] = [block for block in run.blocks if _among(block, dead) < block.count]
                self.size += sum(block.weight for block in run.blocks)

    # --- recovery

    def restore(self, log_scan: LogScan) -> bool:
        """Give the messages to the queues of `log_scan`, whose first walk is over. Returns False, and does nothing, if
        the segment must be read."""
        if not self.keeps or self._fetched.live != self._fetched.total:
            return False
        parts = []
        for number, mine in self._fetched.queues.items():
            found = log_scan.queues.get(number)
            if found is None or found.target is None or found.queue_journal is None:
                continue
            part = self._part(mine, found, log_scan.interrupted)
            if part is None:
                return False
            parts.append(part)
        for part in parts:
            self._give(part)
            log_scan.live += part.positions.count
        log_scan.total += self._fetched.total
        return True

    def _part(self, mine: QueueScan, found: QueueScan, interrupted: bool) -> _Part | None:
        """Return what a queue takes over; None if something is unusual. `interrupted`: see `LogScan`."""
        assert (
            mine.queue_journal is not None and found.queue_journal is not None and found.backlog is not None
        )
        positions = mine.queue_journal.live
        dead = positions.common(found.settled)
        if dead.count:
            own = found.settled_in.get(self.number)
            if own is None or own.common(dead).count != dead.count:
                return None  # of a copy of a message (`LogScan.settled_copy`)
        if found.queue_journal.live.common(positions).count:
            return None
        if len(found.counts) > MAX_COUNTS or any(map(positions.has, found.counts)):
            return None
        runs: dict[int, BlockRun] = {}
        for priority, several in mine.levels.items():
            level = found.backlog.level_of(-1 if priority == _WITHOUT else priority)
            if len(several) > 1 or level in runs:
                return None  # they would have to be merged
            several[0].close()
            runs[level] = several[0]
        positions.remove_all(dead)
        delivered = positions if interrupted else positions.common(found.delivered_marks)
        partial = 0
        if dead.count or (delivered.count and not interrupted):
            for block in (block for run in runs.values() for block in run.blocks):
                partial += 0 < _among(block, dead) < block.count or _is_mixed(block, positions, delivered)
        if partial > MAX_PARTIAL_BLOCKS:
            return None
        return _Part(found, positions, dead, delivered, list(runs.items()))

    def _give(self, part: _Part) -> None:
        found, journal = part.found, part.found.queue_journal
        self._has_levels = len(part.runs) > 1  # positions between two of one run may be in another
        assert journal is not None and found.target is not None
        journal.live.add_all(part.positions)
        if part.positions.count:
            journal.counts[self.number] = journal.counts.get(self.number, 0) + part.positions.count
        for level, run in part.runs:
            if run.blocks:
                into = _run(found, level, _first(run.blocks[0]))
                for block in run.blocks:
                    into.last = block.last
                    self._append(into, block, part)

    def _append(self, run: BlockRun, block: BacklogBlock, part: _Part) -> None:
        """Append the messages of a block that are not settled."""
        dead, delivered = part.dead, part.delivered
        block.source = run.target
        mixed = _is_mixed(block, part.positions, delivered)
        block.redelivered = not mixed and _among(block, delivered) > 0
        settled = _among(block, dead)
        if settled == block.count and not self._has_levels:
            return
        if settled or mixed:
            assert block.packed is not None
            entries = [entry for entry in block.decode(block.packed) if not dead.has(entry.position)]
            for entry in entries if mixed else ():
                entry.redelivered = entry.redelivered or delivered.has(entry.position)
            if entries:
                run.blocks.append(block_of(entries, run))
            return
        block.page_out(run.pager)
        run.pager.used += block.weight
        run.blocks.append(block)


def _run(found: QueueScan, level: int, position: int) -> BlockRun:
    """Return the run that a position continues, as `QueueScan.run` does."""
    runs = found.levels.setdefault(level, [])
    for run in runs:
        if run.last < position:
            run.close()
            return run
    assert found.target is not None
    runs.append(BlockRun(found.target))
    return runs[-1]


def _first(block: BacklogBlock) -> int:
    """Return the position of the first entry of a packed block."""
    assert block.packed is not None
    return int.from_bytes(block.packed[_FIRST_AT : _FIRST_AT + 8], "big")


def _is_mixed(block: BacklogBlock, positions: Positions, delivered: Positions) -> bool:
    """Return whether some of the messages of a block are `delivered`, and some perhaps not."""
    return positions is not delivered and 0 < _among(block, delivered) < _among(block, positions)


def _among(block: BacklogBlock, positions: Positions) -> int:
    """Return how many of some positions there are between the first and the last one of a block."""
    return positions.among(_first(block), block.last) if positions.count else 0


def merge(part: LogScan, into: LogScan) -> None:
    """Add what the records of a segment say to what is known of the whole log."""
    into.dropped |= part.dropped
    into.newest_queue = max(into.newest_queue, part.newest_queue)
    into.needs = set(part.needs)
    into.marks = dict(part.marks)
    for number, one in part.queues.items():
        found = into.queues.get(number)
        if found is None:
            found = into.queues[number] = QueueScan()
        found.settled.add_all(one.settled)
        for segment, settled in one.settled_in.items():
            found.settled_in.setdefault(segment, Positions()).add_all(settled)
        found.delivered_marks.add_all(one.delivered_marks)
        for position, (acquired, failed) in one.counts.items():
            before = found.counts.get(position, (0, 0))
            found.counts[position] = (max(before[0], acquired), max(before[1], failed))
        found.last = max(found.last, one.last)


class LogAhead:
    """The segments of a log that grows, by their subjects in the log of a cluster. `limit`: octets of messages that are
    kept in memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.segments: dict[str, SegmentAhead] = {}
        self._crowded = False

    @property
    def size(self) -> int:
        """Octets of messages that are kept."""
        return sum(one.size for one in self.segments.values())

    @property
    def read_bytes(self) -> int:
        """Octets of the segments that were read."""
        return sum(max(one.end, 0) for one in self.segments.values())

    def read(self, subject: str, file: Path, size: int) -> bool:
        """Read some of what was added to a segment, a file of `size` octets. Returns whether there may be more. One
        that cannot be read is left to the recovery, which says what is wrong with it. Raises OSError."""
        one = self.segments.get(subject)
        if one is None:
            one = self.segments[subject] = SegmentAhead()
            if self._crowded:
                one.forget_messages()
        if size <= one.end or one.end < 0:
            return False
        before, left = one.end, size - one.end
        with file.open("rb") as opened:
            opened.seek(before)
            data = opened.read(min(left, one.chunk))
        try:
            one.read(data)
        except (UnknownRecord, StoreError):
            self.spoil(subject)
            return False
        self._limit()
        if one.end == before and len(data) < left:
            one.chunk *= 2
            return True
        one.chunk = CHUNK_BYTES
        return one.end > before and one.end < size and len(data) < left

    def spoil(self, subject: str) -> None:
        """Use nothing of a segment: it has changed where it was read."""
        if subject in self.segments:
            spoilt = self.segments[subject] = SegmentAhead()
            spoilt.forget_messages()
            spoilt.end = -1

    def drop(self, subject: str) -> None:
        """Forget a segment that is deleted."""
        self.segments.pop(subject, None)

    def _limit(self) -> None:
        """Forget what is settled, then the messages of the newest segments, if there are too many."""
        if self.size <= self.limit:
            return
        settled: dict[int, Positions] = {}
        for one in self.segments.values():
            for number, found in one.log_scan.queues.items():
                settled.setdefault(number, Positions()).add_all(found.settled)
        for one in self.segments.values():
            one.forget_settled(settled)
        for one in reversed(self.segments.values()):
            if self.size <= self.limit * 3 // 4:
                break
            one.forget_messages()
        self._crowded = self.size > self.limit // 2

    def by_path(self, subjects: dict[Path, str]) -> Iterator[tuple[Path, SegmentAhead]]:
        """Yield what can be used, by the paths of the segments."""
        for path, subject in subjects.items():
            one = self.segments.get(subject)
            if one is not None and one.end > 0:
                yield path, one


def _ignore(when: int) -> None:
    """Nobody waits."""


def _ignore_left(segment: int, count: int) -> None:
    """Nobody counts."""
