"""What of a segment must be kept when it is rewritten: messages that are alive, and what is still said about
others."""

from __future__ import annotations

from collections.abc import Callable

import cython

from leveret.store.messages.log import widen

if cython.compiled:
    from cython.cimports.leveret.store.messages.log import DiskQueueJournal, MessageLog
    from cython.cimports.leveret.wire.frames import Outbox, u32, u64
else:
    from leveret.store.messages.log import DiskQueueJournal, MessageLog
    from leveret.wire.frames import Outbox, u32, u64


class LiveRecords:
    """Copies records into `out`. `alive`: whether a segment is still there. `needs`, `marks`: what was copied
    is about, as in `MessageLog`; `copied`: messages, counted by queue."""

    def __init__(self, log: MessageLog, alive: Callable[[int], bool]) -> None:
        self.log: MessageLog = log
        self.alive: Callable[[int], bool] = alive
        self.out: Outbox = Outbox()
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.copied: int = 0

    def copy_live(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, enough: cython.Py_ssize_t
    ) -> int:
        """Look at the records from `at` on until `end`, or until past `enough`; returns where it stopped."""
        p: cython.p_const_uchar = data
        kind: cython.uint
        size: cython.Py_ssize_t
        while at < end and at < enough:
            kind = p[at]
            if kind == 1:
                size = 5 + cython.cast(cython.Py_ssize_t, u32(p, at + 1))
                self.message(data, at, at + size)
            elif kind == 2 or kind == 3 or kind == 4:
                size = 25
                self.copy_mark(data, at, kind)
            elif kind == 5:
                size = 5
            elif kind == 7:
                size = 1
            else:  # the header
                size = end - at
            at += size
        return at

    def message(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> None:
        """Copy a message with those of its queues in which it is alive."""
        p: cython.p_const_uchar = data
        out: Outbox = self.out
        start: cython.Py_ssize_t = out.size
        left: cython.uint = u32(p, at + 5)
        kept: cython.uint = 0
        size: cython.Py_ssize_t
        queue_journal: DiskQueueJournal | None
        at += 9
        while left:
            size = 13 + (8 if p[at + 12] & 2 else 0) + (8 if p[at + 12] & 4 else 0)
            queue_journal = self.log.queues.get(u32(p, at))
            if queue_journal is not None and queue_journal.live.has(u64(p, at + 4)):
                if kept == 0:
                    out.put_u8(1)
                    out.put_u64(0)
                kept += 1
                out.put_slice(data, at, size)
            at += size
            left -= 1
        if kept:
            self.copied += kept
            out.put_slice(data, at, end - at)
            out.poke_u32(start + 1, out.size - start - 5)
            out.poke_u32(start + 5, kept)

    def copy_mark(self, data: bytes, at: cython.Py_ssize_t, kind: cython.uint) -> None:
        """Copy a record about positions if it still matters: a settlement while the message may be there,
        other marks while it is alive."""
        p: cython.p_const_uchar = data
        queue_journal: DiskQueueJournal | None = self.log.queues.get(u32(p, at + 1))
        target: cython.uint = u32(p, at + 5)
        first: cython.ulonglong = u64(p, at + 9)
        last: cython.ulonglong = u64(p, at + 17) if kind == 3 else first
        if queue_journal is None:
            return
        if kind == 2:
            if not self.alive(target):
                return
            self.needs.add(target)
        else:
            if not queue_journal.live.any(first, last):
                return
            widen(self.marks, queue_journal.number, first, last)
        self.out.put_slice(data, at, 25)
