"""Selects the records of a segment that compaction keeps: live messages, and records that other segments need."""

from __future__ import annotations

from collections.abc import Callable

import cython

from leveret.store.messages.log import widen

if cython.compiled:
    from cython.cimports.leveret.store.messages.log import DiskQueueJournal, MessageLog
    from cython.cimports.leveret.store.messages.records import (
        DELIVERED,
        MESSAGE,
        RETURNED,
        SETTLED,
        RecordReader,
        begin_message,
        end_message,
    )
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.store.messages.log import DiskQueueJournal, MessageLog
    from leveret.store.messages.records import (
        DELIVERED,
        MESSAGE,
        RETURNED,
        SETTLED,
        RecordReader,
        begin_message,
        end_message,
    )
    from leveret.wire.frames import Outbox


class LiveRecords:
    """Copies records into `out`. `alive`: whether a segment still exists. `needs`, `marks`: what the copied records are
    about, as in `MessageLog`; `copied`: messages, counted once for each queue."""

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
        """Copy the live records from `at` on until `end`, or until past `enough`; returns where it stopped."""
        record: RecordReader = RecordReader(data, at, end)
        while record.at + record.size < enough and record.next():
            if record.kind == MESSAGE:
                self.copy_message(record)
            elif record.kind in (SETTLED, DELIVERED, RETURNED):
                self.copy_mark(record)
        return record.at + record.size

    def copy_message(self, record: RecordReader) -> None:
        """Copy a message with those of its queues in which it is live."""
        out: Outbox = self.out
        start: cython.Py_ssize_t = out.size
        kept: cython.uint = 0
        queue_journal: DiskQueueJournal | None
        while record.next_target():
            queue_journal = self.log.queues.get(record.queue)
            if queue_journal is not None and queue_journal.live.has(record.position):
                if kept == 0:
                    begin_message(out)
                kept += 1
                out.put_slice(record.data, record.entry, record.target - record.entry)
        if kept:
            self.copied += kept
            out.put_slice(record.data, record.target, record.at + record.size - record.target)
            end_message(out, start, kept)

    def copy_mark(self, record: RecordReader) -> None:
        """Copy a record about positions if it is still needed: SETTLED while the segment of the messages exists, others
        while one of the messages is live."""
        queue_journal: DiskQueueJournal | None = self.log.queues.get(record.queue)
        if queue_journal is None:
            return
        if record.kind == SETTLED:
            if not self.alive(record.segment):
                return
            self.needs.add(record.segment)
        else:
            if not queue_journal.live.any(record.first, record.last):
                return
            widen(self.marks, queue_journal.number, record.first, record.last)
        self.out.put_slice(record.data, record.at, record.size)
