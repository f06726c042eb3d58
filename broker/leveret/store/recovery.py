"""Reading the log back, in two walks over its records.

The first (`Survey.look`) learns what the records are about: positions settled, positions handed out, counts
of what came back, the highest position of every queue. The second (`Survey.fetch`) copies the messages that
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

from leveret.store.log import widen

if cython.compiled:
    from cython.cimports.leveret.queues.blocks import Block, Pager, pack
    from cython.cimports.leveret.queues.message import Entry
    from cython.cimports.leveret.queues.queue import Queue
    from cython.cimports.leveret.store.log import DiskLedger
    from cython.cimports.leveret.store.positions import Positions
    from cython.cimports.leveret.wire.frames import Outbox, u32, u64
else:
    from leveret.queues.blocks import Block, Pager, pack
    from leveret.queues.message import Entry
    from leveret.queues.queue import Queue
    from leveret.store.log import DiskLedger
    from leveret.store.positions import Positions
    from leveret.wire.frames import Outbox, u32, u64

#: A block given to a backlog: as `queues.blocks.BLOCK` and `BLOCK_BYTES`.
_BLOCK = 1024
_BLOCK_BYTES = 512 * 1024


class UnknownRecord(Exception):  # noqa: N818  what was found, not what went wrong
    """A record of a kind this version does not know, or one that does not end where its block does."""


class Run:
    """Messages of one queue and level in ascending order, gathered into blocks. `last`: the highest position
    so far."""

    def __init__(self, queue: Queue) -> None:
        self.queue: Queue = queue
        self.pager: Pager = queue.around.pager
        self.blocks: list[Block] = []
        self.out: Outbox = Outbox()
        self.count: int = 0
        self.bodies: int = 0
        self.last: int = 0
        self.mortal: bool = False

    def close(self) -> None:
        """What was gathered becomes a block, out of memory if that is short."""
        block: Block
        if self.count == 0:
            return
        block = Block(self.queue, self.out.take(), self.count)
        block.bodies = self.bodies
        block.last = self.last
        block.mortal = self.mortal
        block.leave(self.pager)
        self.pager.used += block.weight
        self.blocks.append(block)
        self.count = 0
        self.bodies = 0
        self.mortal = False


class Found:
    """What the log holds of one queue.

    `ledger`, `queue`: None until the queue is known to exist. `settled`, `handed`: positions; `settled_in`: segment ->
    those of them that were settled there; `counts`: position -> (acquired, failed). `last`: the highest position
    any record names. `levels`: level -> its runs.
    """

    def __init__(self) -> None:
        self.ledger: DiskLedger | None = None
        self.queue: Queue | None = None
        self.settled: Positions = Positions()
        self.settled_in: dict[int, Positions] = {}
        self.handed: Positions = Positions()
        self.counts: dict[int, tuple[int, int]] = {}
        self.last: int = 0
        self.levels: dict[int, list[Run]] = {}

    def run(self, level: cython.Py_ssize_t, position: cython.ulonglong) -> Run:
        """The run that a position continues: the first, unless a rewrite has put it out of order."""
        run: Run
        runs: list[Run] | None = self.levels.get(level)
        queue: Queue | None = self.queue
        assert queue is not None
        if runs is None:
            runs = self.levels[level] = []
        for run in runs:
            if run.last < position:
                return run
        run = Run(queue)
        runs.append(run)
        return run


class Survey:
    """The whole log. `queues`: number -> what was found of it. `dropped`: segments that were to be deleted.

    `twins`: segment -> others that hold a second copy of a message it holds or held. `needs`, `marks`: what the
    records looked at since they were last taken are about, as in `MessageLog`.
    """

    def __init__(self) -> None:
        self.queues: dict[int, Found] = {}
        self.dropped: set[int] = set()
        self.twins: dict[int, set[int]] = {}
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.live: int = 0
        self.total: int = 0

    def found(self, number: cython.uint) -> Found:
        """What was found of a queue."""
        found: Found | None = self.queues.get(number)
        if found is None:
            found = self.queues[number] = Found()
        return found

    # --- the first walk

    def look(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, segment: cython.uint) -> None:
        """Learn from the records between `at` and `end`. Raises `UnknownRecord`."""
        p: cython.p_const_uchar = data
        kind: cython.uint
        while at < end:
            kind = p[at]
            at += 1
            if kind == 1:
                at = self.look_at_message(data, at)
            elif kind == 2 or kind == 3:
                self.look_at_run(data, at, kind, segment)
                at += 24
            elif kind == 4:
                self.look_at_counts(data, at)
                at += 24
            elif kind == 5:
                self.dropped.add(u32(p, at))
                at += 4
            elif kind == 6:  # the header, read already
                at = end
            else:
                raise UnknownRecord(f"a record of kind {kind}")
        if at != end:
            raise UnknownRecord("a record that does not end with its block")

    def look_at_message(self, data: bytes, at: cython.Py_ssize_t) -> int:
        """MESSAGE: note its positions; returns where the record ends."""
        p: cython.p_const_uchar = data
        end: cython.Py_ssize_t = at + 4 + u32(p, at)
        count: cython.uint = u32(p, at + 4)
        flags: cython.uint
        position: cython.ulonglong
        found: Found
        at += 8
        while count:
            found = self.found(u32(p, at))
            position = u64(p, at + 4)
            flags = p[at + 12]
            if position > found.last:
                found.last = position
            at += 13 + (8 if flags & 2 else 0) + (8 if flags & 4 else 0)
            count -= 1
        return end

    def look_at_run(
        self, data: bytes, at: cython.Py_ssize_t, kind: cython.uint, segment: cython.uint
    ) -> None:
        """SETTLED and DELIVERED."""
        p: cython.p_const_uchar = data
        found: Found = self.found(u32(p, at))
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
            found.handed.add_range(first, last)
            widen(self.marks, u32(p, at), first, last)
        if last > found.last:
            found.last = last

    def look_at_counts(self, data: bytes, at: cython.Py_ssize_t) -> None:
        """RETURNED. Counts only grow, so that the order of records does not matter."""
        p: cython.p_const_uchar = data
        found: Found = self.found(u32(p, at))
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
            else:
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
        found: Found | None = self.queues.get(number)
        if found is None or found.ledger is None:
            return False
        if found.settled.has(position):
            self.ghost(found, position, segment)
            return False
        if not found.ledger.live.add(position):
            self.twin(found.ledger, segment)
            return False
        found.ledger.counts[segment] = found.ledger.counts.get(segment, 0) + 1
        return True

    def ghost(self, found: Found, position: cython.ulonglong, segment: cython.uint) -> None:
        """A settled message. If a second copy of it was, what says so must stay as long as this one."""
        own: Positions | None = found.settled_in.get(segment)
        if own is None or not own.has(position):
            for other, settled in found.settled_in.items():
                if settled.has(position):
                    self.twins.setdefault(other, set()).add(segment)

    def twin(self, ledger: DiskLedger, segment: int) -> None:
        """A second copy. Which segment holds the first is not known any more: it may be any with messages of
        the queue."""
        for other in ledger.counts:
            if other != segment:
                self.twins.setdefault(other, set()).add(segment)

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
        found: Found = self.queues[u32(p, at)]
        position: cython.ulonglong = u64(p, at + 4)
        flags: cython.uint = p[at + 12]
        acquired: cython.uint = 0
        failed: cython.uint = 0
        out: Outbox
        run: Run
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
        if found.handed.has(position):
            flags |= 1
        out = run.out
        out.put_u32(segment)
        out.put_u64(position)
        out.put_u8(flags)
        if flags & 2:
            out.put_slice(data, at + 13, 8)
            run.mortal = True
        if flags & 4:
            out.put_u32(acquired)
            out.put_u32(failed)
        out.put_slice(data, message, end - message)
        run.count += 1
        run.last = position
        run.bodies += body_of(data, message)
        if run.count >= _BLOCK or out.size >= _BLOCK_BYTES:
            run.close()

    # --- the end

    def hand_over(self, found: Found) -> None:
        """Give a queue what was found of it."""
        queue: Queue | None = found.queue
        run: Run
        block: Block
        if queue is None:
            return
        for level in sorted(found.levels):
            runs: list[Run] = found.levels[level]
            for run in runs:
                run.close()
            for block in runs[0].blocks if len(runs) == 1 else merged(runs):
                queue.around.pager.used -= block.weight
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


def merged(runs: list[Run]) -> Iterator[Block]:
    """The blocks of several runs as those of one."""
    gathered: list[Any] = []
    run: Run = runs[0]
    queue: Queue = run.queue
    for entry in heapq.merge(*[entries_of(one) for one in runs], key=position_of):
        gathered.append(entry)
        if len(gathered) == _BLOCK:
            yield packed(gathered, queue)
            gathered = []
    if gathered:
        yield packed(gathered, queue)


def entries_of(run: Run) -> Iterator[Any]:
    """The entries of a run, one block at a time."""
    block: Block
    for block in run.blocks:
        weight = block.weight
        entries = block.unpack(run.pager)
        run.pager.used -= weight
        yield from entries


def packed(entries: list[Any], queue: Queue) -> Block:
    """A block of merged entries, as `Run.close` makes them."""
    entry: Entry
    pager: Pager = queue.around.pager
    block: Block = pack(entries, queue, pager)
    for entry in entries:
        block.bodies += entry.message.size
        if entry.expires_at:
            block.mortal = True
    block.last = entries[-1].position
    block.leave(pager)
    pager.used += block.weight
    return block


def position_of(entry: Any) -> int:
    """Sort key of merging."""
    position: int = entry.position
    return position
