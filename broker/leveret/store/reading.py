"""Finding the log's files and reading them back at start (`recovery.py` reads the records).

The newest segment says which older ones there are and how long they were; records of its own may say that
some were to be deleted since. Every block of an older segment must be good. The newest ends at its first bad
block, unless a later one vouches for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.queues.queue import Queue
from leveret.store import blocks, errors
from leveret.store.errors import StoreError
from leveret.store.recovery import Survey, UnknownRecord
from leveret.store.segments import Segment

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

Extents = list[tuple[int, int]]


def read_log(store: DiskStore, queues: Mapping[int, Queue]) -> None:
    """Fill `queues` with what the log holds of them. Raises `StoreError`."""
    reading = Reading(store)
    reading.survey_all()
    for number, queue in queues.items():
        found = reading.survey.queues.get(number)
        if found is not None:
            found.queue = queue
            found.ledger = store.journal.ledger(number)
    reading.fetch_all()
    store.rewriter.twins = reading.survey.twins
    for found in reading.survey.queues.values():
        reading.survey.hand_over(found)


class Reading:
    """One reading of one log. `extents`: segment -> where the payloads of its blocks lie."""

    def __init__(self, store: DiskStore) -> None:
        self.segments = store.segments
        self.files = store.files
        self.newest_known: int = store.metadata.setting("segment", 0)
        self.survey = Survey()
        self.extents: dict[int, Extents] = {}

    def survey_all(self) -> None:
        """The first walk, over all segments. Leftovers of an interrupted stop are deleted when all else is
        good."""
        self.segments.directory.mkdir(exist_ok=True)
        there = {int(path.stem): path for path in self._logs()}
        newest = max(there, default=0)
        if newest < self.newest_known:
            raise errors.missing(self.segments.path(self.newest_known))
        self.segments.skip_to(self.newest_known)
        if not there:
            return
        older = self._survey_newest(newest, there[newest])
        for number, length in sorted(older.items()):
            if number in there:
                self._survey_older(number, there[number], length)
            elif number not in self.survey.dropped:
                raise errors.missing(self.segments.path(number))
        try:
            self.segments.sync_newest()  # a killed broker may have left it to the system's memory
        except OSError as error:
            raise errors.unreadable(there[newest], error) from error
        self._tidy(path for number, path in there.items() if number not in self.segments.table)

    def _logs(self) -> list[Path]:
        found = []
        for path in sorted(self.segments.directory.iterdir()):
            if path.suffix == ".new":
                continue
            if path.suffix != ".log" or not path.stem.isdigit():
                raise errors.foreign(path, "does not belong to a Leveret message log")
            found.append(path)
        return found

    def _survey_newest(self, number: int, path: Path) -> dict[int, int]:
        data = self._read(path)
        header, first = blocks.read_header(path, data)
        end = self._survey(number, path, data, first)
        if end < len(data) and blocks.vouched(data, end, self.segments.sequence + 1):
            raise errors.damaged(path, end, "a block does not match its checksum")
        self._found(number, path, end)
        return {
            older: length
            for older, length in header.older.items()
            if older not in self.survey.dropped or self.segments.path(older).exists()
        }

    def _survey_older(self, number: int, path: Path, length: int) -> None:
        data = self._read(path)[:length]
        _, first = blocks.read_header(path, data)
        end = self._survey(number, path, data, first)
        if end != length:
            raise errors.damaged(path, end, "a block does not match its checksum, or the file is cut short")
        self._found(number, path, end)

    def _survey(self, number: int, path: Path, data: bytes, first: blocks.Block) -> int:
        """Look at every good block from the first; returns where they end."""
        end = first.at
        extents = self.extents[number] = []
        for block in blocks.walk(data, first.at):
            try:
                self.survey.look(data, block.start, block.end, number)
            except UnknownRecord as error:
                raise errors.damaged(path, block.at, f"a good block holds {error}") from error
            self.segments.sequence = max(self.segments.sequence, block.sequence)
            extents.append((block.start, block.end))
            end = block.end
        self.segments.synced = self.segments.sequence
        return end

    def _found(self, number: int, path: Path, length: int) -> None:
        segment = Segment(number, path, length)
        segment.needs, self.survey.needs = self.survey.needs, set()
        segment.marks, self.survey.marks = self.survey.marks, {}
        self.segments.add(segment)

    def _read(self, path: Path) -> bytes:
        try:
            return self.files.read(path)
        except OSError as error:
            raise errors.unreadable(path, error) from error

    def _tidy(self, leftovers: object) -> None:
        for path in [*leftovers, *self.segments.directory.glob("*.new")]:  # type: ignore[misc]
            with contextlib.suppress(OSError):
                self.files.remove(path)

    def fetch_all(self) -> None:
        """The second walk, in the order of the segments."""
        for number in sorted(self.extents):
            segment = self.segments.table[number]
            data = self._read(segment.path)
            self.survey.live = self.survey.total = 0
            for start, end in self.extents[number]:
                self.survey.fetch(data, start, end, number)
            segment.live, segment.total = self.survey.live, self.survey.total


__all__ = ["StoreError", "read_log"]
