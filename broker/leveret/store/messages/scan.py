"""Reads the files of the message log at start (`recovery.py` reads the records).

The header of the newest segment lists the older ones with their lengths; DROPPED records name those that may be deleted
since. Every block of an older segment must be good. The newest segment ends at its first bad block, unless a later
block says that this one had been synced: then the file is damaged.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from leveret.progress import Report, unwatched
from leveret.store import errors
from leveret.store.errors import StoreError
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.ahead import merge
from leveret.store.messages.leftovers import describe
from leveret.store.messages.recovery import LogScan, UnknownRecord
from leveret.store.messages.segments import LogSegment

if TYPE_CHECKING:
    from leveret.engine.delayed import RestoreTarget
    from leveret.store.catalogue.sqlite import SqliteCatalogue
    from leveret.store.files import Files
    from leveret.store.messages.ahead import SegmentAhead
    from leveret.store.messages.log import MessageLog
    from leveret.store.messages.segments import LogSegments

log = logging.getLogger("leveret")

#: Names of segments, without `.log`.
_SEGMENT = re.compile(r"[0-9]{8,10}")

Extents = list[int]

#: How often each segment is read.
_WALKS = 2


class LogStore(Protocol):
    """What recovery uses of the disk store."""

    @property
    def journal(self) -> MessageLog:
        """The message log."""

    @property
    def catalogue(self) -> SqliteCatalogue:
        """What is declared, and the number of the newest segment."""

    @property
    def segments(self) -> LogSegments:
        """The files of the log."""

    @property
    def files(self) -> Files:
        """The operating system's files."""

    @property
    def ahead(self) -> Mapping[Path, SegmentAhead]:
        """What was read of segments before, by their paths."""

    @property
    def interrupted(self) -> bool:
        """Whether marks of deliveries may be missing."""


def read_log(
    store: LogStore, queues: Mapping[int, RestoreTarget], next_number: int, report: Report = unwatched
) -> dict[int, set[int]]:
    """Fill `queues`, by number, from the log. Returns the segments that hold second copies of messages: segment ->
    others. `next_number`: the catalogue has given no number from it on. `report`: gets the progress. Raises
    `StoreError`."""
    reader = LogReader(store, queues, next_number, report)
    reader.scan_all()
    for number, target in queues.items():
        found = reader.log_scan.queues.get(number)
        if found is not None:
            found.attach(target, store.journal.queue_journal(number))
    reader.fetch_all()
    for found in reader.log_scan.queues.values():
        reader.log_scan.restore_queue(found)
    return reader.log_scan.duplicates


class LogReader:
    """Reads one log. `extents`: segment -> offsets of its blocks. `known`: segment -> what was read of it before.
    `next_number`: see `read_log`. `report`: gets the octets read, of all."""

    def __init__(
        self,
        store: LogStore,
        queues: Mapping[int, RestoreTarget],
        next_number: int,
        report: Report = unwatched,
    ) -> None:
        self.report = report
        self.next_number = next_number
        self.octets = self.read_octets = 0
        self.queues = queues
        self.catalogue = store.catalogue
        self.segments = store.segments
        self.files = store.files
        self.newest_known = store.catalogue.number("segment", 0)
        self.log_scan = LogScan()
        self.log_scan.interrupted = store.interrupted
        self.extents: dict[int, Extents] = {}
        self.ahead = store.ahead
        self.known: dict[int, SegmentAhead] = {}

    def scan_all(self) -> None:
        """Walk over the records of all segments for the first time. Segments that are not needed are deleted once all
        others are known to be good. Raises `StoreError`."""
        there = {int(path.stem): path for path in self._logs()}
        newest = max(there, default=0)
        if newest < self.newest_known:
            raise errors.missing(self.segments.path(self.newest_known))
        self.segments.skip_to(self.newest_known)
        self.octets = _WALKS * sum(self._size(path) for path in there.values())
        if not there:
            self._make_folder()
            return
        older = self._scan_newest(newest, there[newest])
        for number, length in sorted(older.items()):
            if number in there:
                self._scan_older(number, there[number], length)
            elif number not in self.log_scan.dropped:
                raise errors.missing(self.segments.path(number))
        errors.check_number(self.catalogue.path, self.log_scan.newest_queue, self.next_number)
        try:
            self.segments.sync_newest()  # a killed broker may have written without syncing
        except OSError as error:
            raise errors.unreadable(there[newest], error) from error
        self._remove_leftovers(path for number, path in there.items() if number not in self.segments.table)

    def _logs(self) -> list[Path]:
        found = []
        for path in errors.listing(self.segments.directory):
            if path.suffix == ".new":
                continue
            if path.suffix != ".log" or not _SEGMENT.fullmatch(path.stem):
                raise errors.foreign(path, "does not belong to a Leveret message log")
            found.append(path)
        return found

    def _scan_newest(self, number: int, path: Path) -> dict[int, int]:
        data = self._read(path)
        header, first = self._header(number, path, data)
        if header.epoch > self.catalogue.epoch:
            raise errors.older(self.catalogue.path, self.catalogue.epoch, header.epoch)
        begin = self._take_known(number, path, range(len(data) + 1))
        end = self._scan(number, path, data, begin or first.at, begin > 0)
        if end < len(data):
            if log_blocks.vouched(data, end, self.segments.sequence + 1):
                held = describe(data, end, self.queues)
                raise errors.damaged(path, end, f"a block does not match its checksum; {held}")
            held = describe(data, end, self.queues, alone=False)
            log.warning(
                "%s ends with an incomplete or damaged block: %d octets from octet %d on are dropped; %s. "
                "This is what is left of a write that was cut short and had not been confirmed, unless the file was "
                "damaged.",
                path,
                len(data) - end,
                end,
                held,
            )
        self._add_segment(number, path, end)
        return {
            older: length
            for older, length in header.older.items()
            if older not in self.log_scan.dropped or self.segments.path(older).exists()
        }

    def _scan_older(self, number: int, path: Path, length: int) -> None:
        if self._take_known(number, path, range(length, length + 1)):
            self._add_segment(number, path, length)
            return
        data = self._read(path)[:length]
        _, first = self._header(number, path, data)
        end = self._scan(number, path, data, first.at)
        if end != length:
            raise errors.damaged(
                path,
                end,
                "a block does not match its checksum, or the file is cut short; "
                + describe(data, end, self.queues),
            )
        self._add_segment(number, path, end)

    def _header(
        self, number: int, path: Path, data: bytes
    ) -> tuple[log_blocks.SegmentHeader, log_blocks.LogBlock]:
        header, first = log_blocks.read_header(path, data)
        if header.number != number:
            raise errors.damaged(path, first.at, f"it is segment {header.number} under another name")
        return header, first

    def _take_known(self, number: int, path: Path, ends: range) -> int:
        """Take what was read of a segment before, if it ends at one of `ends`; returns where, 0 if there is nothing."""
        known = self.ahead.get(path)
        if known is None or known.number != number or known.end not in ends:
            return 0
        merge(known.log_scan, self.log_scan)
        self.known[number] = known
        self.extents[number] = list(known.extents)
        self.segments.sequence = max(self.segments.sequence, known.sequence)
        self.segments.synced = self.segments.sequence
        return known.end

    def _scan(self, number: int, path: Path, data: bytes, begin: int, known: bool = False) -> int:
        """Scan the good blocks from an offset on; returns where they end. `known`: those before are."""
        end = begin
        extents = self.extents[number] if known else []
        self.extents[number] = extents
        expected = self.segments.sequence + 1 if known else 0
        for together in log_blocks.walk_whole(data, begin):
            for block in together:
                if expected and block.sequence != expected:
                    raise errors.damaged(
                        path, block.at, f"block {block.sequence} follows where block {expected} belongs"
                    )
                expected = block.sequence + 1
                self._scan_block(number, path, data, block)
                extents.append(block.at)
            end = together[-1].end
        self.segments.synced = self.segments.sequence
        return end

    def _scan_block(self, number: int, path: Path, data: bytes, block: log_blocks.LogBlock) -> None:
        try:
            self.log_scan.scan_records(data, block.start, block.end, number)
        except UnknownRecord as error:
            raise errors.damaged(path, block.at, f"a good block holds {error}") from error
        self.segments.sequence = max(self.segments.sequence, block.sequence)

    def _make_folder(self) -> None:
        try:
            self.segments.directory.mkdir(exist_ok=True)
        except OSError as error:
            raise errors.unreadable(self.segments.directory, error) from error

    def _add_segment(self, number: int, path: Path, length: int) -> None:
        segment = LogSegment(number, path, length)
        segment.needs, self.log_scan.needs = self.log_scan.needs, set()
        segment.marks, self.log_scan.marks = self.log_scan.marks, {}
        self.segments.add(segment)

    def _size(self, path: Path) -> int:
        """Return the size of a file, 0 if it cannot be known yet: reading it says why."""
        try:
            return self.files.size(path)
        except OSError:
            return 0

    def _read(self, path: Path) -> bytes:
        self.report("Reading messages", self.read_octets, self.octets)
        try:
            data = self.files.read(path)
            size = self.files.size(path)
        except OSError as error:
            raise errors.unreadable(path, error) from error
        self.read_octets += size
        if len(data) != size:
            raise errors.damaged(path, len(data), f"it can be read only so far, of {size} octets")
        return data

    def _remove_leftovers(self, leftovers: Iterable[Path]) -> None:
        for path in [*leftovers, *self.segments.directory.glob("*.new")]:
            with contextlib.suppress(OSError):
                self.files.remove(path)

    def fetch_all(self) -> None:
        """Walk over the records of all segments in order, for the second time. Raises `StoreError`."""
        for number in sorted(self.extents):
            segment = self.segments.table[number]
            self.log_scan.live = self.log_scan.total = 0
            known, extents = self.known.get(number), self.extents[number]
            if known is not None and known.restore(self.log_scan):
                extents = extents[len(known.extents) :]
            data = self._read(segment.path) if extents else b""
            for at in extents:
                block = log_blocks.block_at(data, at)
                if block is None:
                    raise errors.damaged(segment.path, at, "a block has changed since it was scanned")
                self.log_scan.fetch(data, block.start, block.end, number)
            segment.live, segment.total = self.log_scan.live, self.log_scan.total
        self.report("Reading messages", self.octets, self.octets)


__all__ = ["StoreError", "read_log"]
