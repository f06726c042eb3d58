"""Makes a data directory from the records of a log (`replicated.py`), at once or as they come.

Until the directory is made, each subject of the log is a file of `staged`, named as the subject. So whatever was
written before a crash can be written again: names, sizes and checksums are known from what `contents` has returned, and
what stands in the files beyond that is cut off (`load`). The catalogue is not made before the end: its subjects are
staged as the records that they have.

The directory that was made can go on as a copy of the log: then what is applied is what its owner has written there
already. Only the catalogue's subjects are still staged, and `load` finds the others where they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from leveret.store.catalogue.sqlite import RecordKey, Setting, SqliteCatalogue
from leveret.store.checksum import crc32c
from leveret.store.errors import StoreError
from leveret.store.replicated import CREATE, HEAD, RENAME, TRANSACTION, TRUNCATE, WRITE, Change

#: Open files while a directory is made.
MAX_OPEN_FILES = 64

#: Name of the catalogue in the data directory.
CATALOGUE = "metadata.sqlite"

#: Octets that are read at once for a checksum.
READ_BYTES = 4 * 1024 * 1024

_SUBJECT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class StagedFile(Struct):
    """A subject of the log. `path`: of its file in the data directory, "" for the catalogue; `checksum`: CRC-32C of its
    `size` octets."""

    subject: str
    path: str
    size: int
    checksum: int


class Mismatch(Exception):  # noqa: N818  a state, not a mistake
    """What is staged is not what was noted of it: it cannot be used."""


class _Subject:
    """A subject. `path`: of its file, None for the catalogue; `checksum`: None if it has to be computed."""

    __slots__ = ("checksum", "path", "size")

    def __init__(self, path: Path | None, size: int = 0, checksum: int | None = 0) -> None:
        self.path = path
        self.size = size
        self.checksum = checksum


class DirectoryBuilder:
    """Makes `directory`, which must be empty, from the records of a log. `staged`: where the subjects are until then;
    `made`: it is made, and changed by its owner.

    `subjects`: path -> subject, of the files; `catalogues`: subjects of the catalogue. `rewritten`: subjects that have
    changed otherwise than by what was added at their end.
    """

    def __init__(self, directory: Path, staged: Path | None = None) -> None:
        self.directory = directory
        self.staged = staged or directory / "staged"
        self.subjects: dict[Path, str] = {}
        self.catalogues: dict[str, None] = {}
        self.rewritten: set[str] = set()
        self.made = False
        self._subjects: dict[str, _Subject] = {}
        self._handles: dict[str, int] = {}
        self._records: dict[RecordKey, str | None] = {}
        self._settings: dict[str, Setting | None] = {}

    # --- records

    def apply(self, change: Change) -> None:
        """Apply a record. Raises `StoreError`, OSError."""
        data, at = change.data, 0
        while at < len(data):
            if at + HEAD.size > len(data):
                raise _unreadable(change.subject)
            kind, number, size = HEAD.unpack_from(data, at)
            start = at + HEAD.size
            at = start + size
            if at > len(data):
                raise _unreadable(change.subject)
            self._apply(change.subject, kind, number, data[start:at])

    def drop(self, subject: str) -> None:
        """Forget a subject: its file is deleted. Of a catalogue, what it says stays: a snapshot says it again."""
        self._close(subject)
        self.rewritten.discard(subject)
        self.catalogues.pop(subject, None)
        found = self._subjects.pop(subject, None)
        if found is None:
            return
        if found.path is not None and self.subjects.get(found.path) == subject:
            del self.subjects[found.path]
        if not self.made:
            self._file(subject).unlink(missing_ok=True)

    def _apply(self, subject: str, kind: int, number: int, data: bytes) -> None:
        if kind == TRANSACTION:
            self._take(data, subject)
            if subject not in self._subjects:
                self._create(subject, None)
            self._write(subject, self._subjects[subject].size, HEAD.pack(kind, number, len(data)) + data)
        elif kind == CREATE:
            self._create(subject, self._path(subject, data))
        elif kind == WRITE:
            self._write(subject, number, data)
        elif kind == TRUNCATE:
            self._truncate(subject, number)
        elif kind == RENAME:
            self._name(subject, self._path(subject, data))
        else:
            raise StoreError(
                f"The log of the cluster has a change of kind {kind} (subject {subject}), which this version of "
                "Leveret does not know. Nothing was changed. Run the version that wrote it, or a later one."
            )

    def _take(self, document: bytes, subject: str) -> None:
        """Take a transaction of the catalogue."""
        self.catalogues[subject] = None
        if self.made:
            return
        changes = json.loads(document)
        self._records.update(((kind, key), text) for kind, key, text in changes["records"])
        self._settings.update(changes["settings"])

    def _path(self, subject: str, data: bytes) -> Path:
        relative = Path(os.fsdecode(data))
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise _unreadable(subject)
        return self.directory / relative

    def _create(self, subject: str, path: Path | None) -> None:
        self._close(subject)
        if path is None or not self.made:
            file = self._file(subject)
            if self.made or not self._subjects:
                file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
        before = self._subjects.get(subject)
        self._subjects[subject] = _Subject(before.path if before is not None else None)
        if path is not None:
            self._name(subject, path)

    def _name(self, subject: str, path: Path) -> None:
        """Give a path to a subject; another one that had it is gone."""
        found = self._known(subject)
        if found.path is not None:
            self.subjects.pop(found.path, None)
        replaced = self.subjects.get(path)
        if replaced is not None and replaced != subject:
            self.drop(replaced)
        self.subjects[path] = subject
        found.path = path

    def _write(self, subject: str, offset: int, data: bytes) -> None:
        found = self._known(subject)
        if self._is_staged(found):
            file = self._open(subject)
            os.lseek(file, offset, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(file, left) :]
        if offset != found.size:
            found.checksum = None
            self.rewritten.add(subject)
        elif found.checksum is not None:
            found.checksum = crc32c(data, found.checksum)
        found.size = max(found.size, offset + len(data))

    def _truncate(self, subject: str, size: int) -> None:
        found = self._known(subject)
        if self._is_staged(found):
            os.ftruncate(self._open(subject), size)
        if size != found.size:
            found.size, found.checksum = size, None
            self.rewritten.add(subject)

    def _known(self, subject: str) -> _Subject:
        found = self._subjects.get(subject)
        if found is None:
            raise _unreadable(subject)
        return found

    def _is_staged(self, found: _Subject) -> bool:
        """Whether a subject is a file of `staged`."""
        return found.path is None or not self.made

    # --- files

    def staged_file(self, subject: str) -> tuple[Path, int]:
        """Return the file of a subject, and its size."""
        return self._file(subject), self._subjects[subject].size

    def _file(self, subject: str) -> Path:
        if not _SUBJECT.fullmatch(subject):
            raise _unreadable(subject)
        return self.staged / subject

    def _open(self, subject: str) -> int:
        handle = self._handles.pop(subject, -1)
        if handle < 0:
            while len(self._handles) >= MAX_OPEN_FILES:
                self._close(next(iter(self._handles)))
            handle = os.open(self._file(subject), os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        self._handles[subject] = handle
        return handle

    def _close(self, subject: str) -> None:
        handle = self._handles.pop(subject, -1)
        if handle >= 0:
            os.close(handle)

    def close(self) -> None:
        """Close all files."""
        for subject in list(self._handles):
            self._close(subject)

    # --- what is kept

    def contents(self) -> list[StagedFile]:
        """Return what there is of each subject, those of the catalogue in their order. Raises OSError."""
        ordered = [*self.catalogues, *self.subjects.values()]
        return [self._described(subject, self._subjects[subject]) for subject in ordered]

    def _described(self, subject: str, found: _Subject) -> StagedFile:
        if found.checksum is None:
            where = self._file(subject) if found.path is None or not self.made else found.path
            found.checksum = _checksum(where, found.size)
        path = "" if found.path is None else found.path.relative_to(self.directory).as_posix()
        return StagedFile(subject, path, found.size, found.checksum)

    def load(self, contents: Iterable[StagedFile]) -> None:
        """Begin with what there is, as `contents` has described it, also after the directory was made; delete what else
        is staged. Raises `Mismatch`, `StoreError`, OSError."""
        for one in contents:
            file = self._file(one.subject)
            path = self._path(one.subject, os.fsencode(one.path)) if one.path else None
            if path is not None and path.is_file() and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                path.replace(file)
            if not file.is_file() or file.stat().st_size < one.size:
                raise Mismatch(f"{file} is too short")
            if _checksum(file, one.size) != one.checksum:
                raise Mismatch(f"{file} does not match its checksum")
            os.truncate(file, one.size)
            self._subjects[one.subject] = _Subject(path, one.size, one.checksum)
            if path is not None:
                self.subjects[path] = one.subject
            else:
                self._load_catalogue(one.subject, file.read_bytes())
        for file in self.staged.iterdir() if self.staged.is_dir() else ():
            if file.name not in self._subjects:
                file.unlink()

    def _load_catalogue(self, subject: str, data: bytes) -> None:
        self.catalogues[subject] = None
        at = 0
        while at < len(data):
            size = HEAD.unpack_from(data, at)[2]
            at += HEAD.size
            self._take(data[at : at + size], subject)
            at += size

    def finish(self, *, keep: bool = False) -> None:
        """Make the directory, after the last record. `keep`: it goes on as a copy of the log. Raises OSError,
        `StoreError`."""
        self.close()
        for path, subject in self.subjects.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file(subject).replace(path)
        self.made = True
        if not keep:
            shutil.rmtree(self.staged, ignore_errors=True)
        if not self._records and not self._settings:
            return
        catalogue = SqliteCatalogue(self.directory / CATALOGUE, _no_ticket)
        try:
            catalogue.fill(self._records, self._settings)
        finally:
            catalogue.close()


def _checksum(file: Path, size: int) -> int:
    """Return the CRC-32C of the first octets of a file. Raises OSError."""
    checksum = 0
    with file.open("rb") as opened:
        while size > 0 and (data := opened.read(min(size, READ_BYTES))):
            checksum = crc32c(data, checksum)
            size -= len(data)
    return checksum


def _unreadable(subject: str) -> StoreError:
    return StoreError(
        f"The log of the cluster is damaged: records of subject {subject} are missing or cannot be read. Nothing was "
        "changed. Restore the storage of the NATS servers, or give the cluster another name to start with an empty one."
    )


def _no_ticket() -> int:
    """Nobody waits."""
    return 0
