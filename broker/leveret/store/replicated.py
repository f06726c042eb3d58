"""A data directory whose changes are appended to a log on other machines (`ReplicationLog`).

The directory itself is a cache: nothing in it is synced. Another node makes the same one from the log
(`directory_builder.py`).

`ReplicatedFiles` changes files as `Files` does, and notes each change. A sync appends what was noted, and returns when
the log has it: `DiskStore` therefore works as on a disk, and what it has synced survives this machine.

Each file is one subject of the log: its changes, applied in order, make the file. A file that is deleted is dropped
from the log with its subject. The catalogue, an SQLite file, is not copied: its transactions are changes, too, and a
snapshot of it begins a new subject now and then, so that the older one can be dropped (`ReplicatedCatalogue`).

Changes are noted in the order in which they are made, and appended in that order. After a crash, the log therefore ends
as a directory does whose last writes are missing: `DiskStore` recovers from that.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from leveret.store.catalogue.sqlite import RecordKey, Setting, SqliteCatalogue
from leveret.store.files import Files

#: Kinds of changes: a new file of this path; octets at an offset; a new size; a new path; a transaction of the
#: catalogue.
CREATE, WRITE, TRUNCATE, RENAME, TRANSACTION = 1, 2, 3, 4, 5

#: Kind, offset or size, octets that follow.
HEAD = struct.Struct(">BQI")

#: Octets of one record of the log. Longer writes are divided.
RECORD_BYTES = 256 * 1024

#: A snapshot of the catalogue is made when its subject has so many octets, and several times those of the last one.
SNAPSHOT_BYTES = 1 << 20
SNAPSHOT_RATIO = 4


class Change(NamedTuple):
    """A record of the log: changes of the file that is this subject."""

    subject: str
    data: bytes


class ReplicationLog(Protocol):
    """Where changes are kept."""

    def can_wait(self) -> bool:
        """Return whether the calling thread may wait for the log."""

    def append(self, changes: Sequence[Change]) -> None:
        """Append changes in order; returns when they are safe. Raises OSError."""

    def drop(self, subjects: Sequence[str]) -> None:
        """Delete subjects, later and in this order. What cannot be deleted now is deleted another time."""


class ReplicatedFiles(Files):
    """The files of `directory`. `subjects`: path -> subject, of the files that are there. `epoch` makes the names of
    subjects unique: it is higher than that of whoever wrote to the log before.

    `retained`: where files that are deleted or get another name stay, named as their subjects, for as long as somebody
    may need them as they were; None if nobody does.

    Where the calling thread cannot wait for the log, a sync appends nothing: what was noted is appended with the next
    one. `DiskStore` settles nothing before a sync in its thread, and every sync here is one of all files.
    """

    def __init__(
        self,
        directory: Path,
        log: ReplicationLog,
        epoch: int,
        subjects: Mapping[Path, str],
        reserved: int = 0,
    ) -> None:
        super().__init__(reserved)
        self.directory = directory
        self.log = log
        self.epoch = epoch
        self.subjects = dict(subjects)
        self.retained: Path | None = None
        self._count = 0
        self._handles: dict[int, str] = {}
        self._lock = threading.Lock()  # marks of deliveries are written while the store's thread flushes
        self._flushing = threading.Lock()  # what was noted first is appended first
        self._noted: list[Change] = []
        self._dropped: list[str] = []

    def new_subject(self) -> str:
        """Return the subject of a new file."""
        self._count += 1
        return f"{self.epoch}-{self._count}"

    # --- changes

    def create(self, path: Path) -> int:
        """Open a new or emptied file for writing."""
        if self.retained is not None and path in self.subjects:
            self._keep(path)
            path.unlink(missing_ok=True)  # to empty it would empty what is kept
        file = super().create(path)
        subject = self.new_subject()
        with self._lock:
            self._handles[file] = subject
            self._take_name(path, subject)
            self._note(subject, CREATE, 0, self._relative(path))
        return file

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        file = super().open(path)
        with self._lock:
            self._handles[file] = self.subjects[path]
        return file

    def close(self, file: int) -> None:
        """Close a file."""
        with self._lock:
            self._handles.pop(file, None)
        super().close(file)

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        super().write(file, data, offset)
        with self._lock:
            for at in range(0, len(data), RECORD_BYTES):
                self._note(self._handles[file], WRITE, offset + at, data[at : at + RECORD_BYTES])

    def truncate(self, file: int, size: int) -> None:
        """Cut a file after `size` octets."""
        super().truncate(file, size)
        with self._lock:
            self._note(self._handles[file], TRUNCATE, size)

    def replace(self, new: Path, old: Path) -> None:
        """Rename a complete file; returns when the log has that."""
        self._keep(old)
        self._keep(new)
        new.replace(old)
        with self._lock:
            subject = self.subjects.pop(new)
            self._take_name(old, subject)
            self._note(subject, RENAME, 0, self._relative(old))
        self.flush()

    def remove(self, path: Path) -> None:
        """Delete a file, if it exists."""
        self._keep(path)
        super().remove(path)
        with self._lock:
            if path in self.subjects:
                self._drop(self.subjects.pop(path))

    def remove_tree(self, path: Path) -> None:
        """Delete a directory with all that is in it, as far as possible."""
        for file in [one for one in self.subjects if one.is_relative_to(path)] if self.retained else ():
            self._keep(file)
        super().remove_tree(path)
        with self._lock:
            for file in sorted(one for one in self.subjects if one.is_relative_to(path)):
                self._drop(self.subjects.pop(file))

    def note_transaction(self, subject: str, document: bytes) -> None:
        """Note a transaction of the catalogue."""
        with self._lock:
            self._note(subject, TRANSACTION, 0, document)

    def drop(self, subjects: Iterable[str]) -> None:
        """Delete subjects from the log."""
        with self._lock:
            for subject in subjects:
                self._drop(subject)

    def _keep(self, path: Path) -> None:
        """Keep a file that is about to lose its name, as far as possible."""
        if self.retained is not None and (subject := self.subjects.get(path)) is not None:
            with contextlib.suppress(OSError):
                os.link(path, self.retained / subject)

    def _relative(self, path: Path) -> bytes:
        return os.fsencode(path.relative_to(self.directory).as_posix())

    def _take_name(self, path: Path, subject: str) -> None:
        """Give a path to a file; another one that had it is gone."""
        before = self.subjects.get(path)
        if before is not None:
            self._drop(before)
        self.subjects[path] = subject

    def _note(self, subject: str, kind: int, number: int, data: bytes = b"") -> None:
        self._noted.append(Change(subject, HEAD.pack(kind, number, len(data)) + data))

    def _drop(self, subject: str) -> None:
        """Drop a subject after the next flush. What was noted of it is not appended: it would come after that."""
        self._noted = [change for change in self._noted if change.subject != subject]
        self._dropped.append(subject)

    # --- syncs

    def sync(self, file: int) -> None:
        """Return when the log has all changes so far, of all files."""
        started = time.perf_counter()
        self.flush()
        self.done.syncs += 1
        self.done.sync_s += time.perf_counter() - started

    def sync_directory(self, path: Path) -> None:
        """Do nothing: names are in the log, before what is written to their files."""

    def flush(self) -> bool:
        """Append what was noted, then delete what was dropped. Returns whether that could be waited for. Raises
        OSError; what was noted stays noted."""
        if not self.log.can_wait():
            return False
        with self._flushing:
            self._flush()
        return True

    def _flush(self) -> None:
        with self._lock:
            noted, self._noted = self._noted, []
            dropped, self._dropped = self._dropped, []
        try:
            if noted:
                self.log.append(_joined(noted))
        except OSError:
            with self._lock:
                self._noted[:0] = noted
                self._dropped[:0] = dropped
            raise
        if dropped:
            self.log.drop(dropped)

    def drop_missing(self) -> None:
        """Drop the files from the log that were deleted without it, as leftovers at a start are."""
        for path in sorted(self.subjects):
            if not path.exists():
                self.remove(path)


def _joined(changes: list[Change]) -> list[Change]:
    """Join consecutive changes of one subject, up to the size of a record."""
    joined: list[Change] = []
    parts: list[bytes] = []
    subject, size = "", 0
    for change in changes:
        if parts and (change.subject != subject or size + len(change.data) > RECORD_BYTES):
            joined.append(Change(subject, b"".join(parts)))
            parts, size = [], 0
        subject = change.subject
        parts.append(change.data)
        size += len(change.data)
    if parts:
        joined.append(Change(subject, b"".join(parts)))
    return joined


class ReplicatedCatalogue(SqliteCatalogue):
    """The catalogue of such a directory. `older`: subjects that it was made from; the first snapshot replaces them."""

    def __init__(
        self, path: Path, ticket: Callable[[], int], files: ReplicatedFiles, older: Iterable[str] = ()
    ) -> None:
        super().__init__(path, ticket)
        self.files = files
        self._older = list(older)
        self._unsafe = False
        self._subject = ""
        self._size = 0
        self._snapshot_size = 0

    def write(self) -> None:
        """Write what was taken in one transaction; returns when the log has it. Raises OSError."""
        records, settings = dict(self._taken_records), dict(self._taken_settings)
        if records or settings:
            super().write()
            self._unsafe = True
            settings["epoch"] = self.epoch
            self._note(records, settings)
        if not self._unsafe:
            return
        if not self._subject or self._size > max(SNAPSHOT_BYTES, SNAPSHOT_RATIO * self._snapshot_size):
            self.snapshot()
        self._unsafe = not self.files.flush()

    def snapshot(self) -> None:
        """Begin a new subject with all that the catalogue has, and drop the one before it."""
        if self._subject:
            self._older.append(self._subject)
        self._subject = self.files.new_subject()
        self._size = 0
        self._note(*self.contents())
        self._snapshot_size = self._size
        self.files.flush()  # before the older ones are dropped
        self.files.drop(self._older)
        self._older.clear()

    def _note(self, records: Mapping[RecordKey, str | None], settings: Mapping[str, Setting | None]) -> None:
        if not self._subject:
            return  # a snapshot follows
        for document in _documents(records, settings):
            self._size += len(document)
            self.files.note_transaction(self._subject, document)


def _documents(
    records: Mapping[RecordKey, str | None], settings: Mapping[str, Setting | None]
) -> list[bytes]:
    """Return changes of the catalogue as documents that fit into records. Each change is valid alone."""
    documents: list[bytes] = []
    part: list[tuple[str, str, str | None]] = []
    size = 0
    for (kind, key), document in records.items():
        part.append((kind, key, document))
        size += len(key) + len(document or "")
        if size >= RECORD_BYTES // 2:
            documents.append(json.dumps({"records": part, "settings": {}}).encode())
            part, size = [], 0
    documents.append(json.dumps({"records": part, "settings": settings}).encode())
    return documents
