"""The file operations of the store; tests replace them with faulty ones.

Every call raises OSError as the operating system does, with the file and the octet where that is known: the system does
not name the file of a descriptor. `write` writes everything or raises: after a short write, the
rest is written again, which raises if the disk is full.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

#: fdatasync does not sync times; systems without it have fsync.
_sync = getattr(os, "fdatasync", os.fsync)


def _seek_and_write(file: int, data: memoryview, offset: int) -> int:
    os.lseek(file, offset, os.SEEK_SET)
    return os.write(file, data)


#: One system call where there is one for it: a thread that comes back from a call waits for the interpreter.
_write_at = getattr(os, "pwrite", _seek_and_write)

#: Errors for too many open files, in this process or in the system.
TOO_MANY = (errno.EMFILE, errno.ENFILE)

#: The most files of streams that stay open, so that a busy stream does not open its file for every commit.
MAX_STREAM_FILES = 128

#: Octets of one read: systems do not read 2 GB at once.
MAX_READ_BYTES = 1 << 30


class Operations(Struct):
    """What was done with files since the start: how often, octets, seconds."""

    reads: int = 0
    read_bytes: int = 0
    read_s: float = 0.0
    writes: int = 0
    written_bytes: int = 0
    write_s: float = 0.0
    syncs: int = 0
    sync_s: float = 0.0

    @classmethod
    def total(cls, parts: Iterable[Operations]) -> Operations:
        """Return the sum of several."""
        found = cls()
        for one in parts:
            for name in cls.__struct_fields__:
                setattr(found, name, getattr(found, name) + getattr(one, name))
        return found


class Files:
    """The real operations. `done`: counts them. `reserved`: descriptors that are kept for the store, since clients may
    take all others. `stream_files`: how many files of streams stay open. `make_room`: called when all descriptors are
    used up; closes a file that can be opened again, False if there is none."""

    def __init__(self, reserved: int = 0) -> None:
        self.reserved = reserved
        self.stream_files = MAX_STREAM_FILES
        self.done = Operations()
        self.make_room: Callable[[], bool] = _no_room
        self._reserve: list[int] = []
        self._paths: dict[int, Path] = {}
        self._refill()

    def create(self, path: Path) -> int:
        """Open a new or emptied file for writing."""
        return self._open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | _BINARY | _CLOEXEC)

    def open(self, path: Path) -> int:
        """Open an existing file for writing."""
        return self._open(path, os.O_RDWR | _BINARY | _CLOEXEC)

    def _open(self, path: Path, flags: int) -> int:
        while True:
            try:
                file = os.open(path, flags, 0o600)
                self._paths[file] = path
                return file
            except OSError as error:
                if error.errno not in TOO_MANY:
                    raise
                if not self._use_reserve() and not self.make_room():
                    raise

    def _use_reserve(self) -> bool:
        """Close a reserved descriptor; False if there is none. In any thread."""
        try:
            os.close(self._reserve.pop())
        except IndexError:
            return False
        return True

    def close(self, file: int) -> None:
        """Close a file."""
        self._paths.pop(file, None)  # before another thread may get the number
        os.close(file)
        self._refill()

    def _refill(self) -> None:
        while len(self._reserve) < self.reserved:
            try:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | _CLOEXEC))
            except OSError:
                return

    def release(self) -> None:
        """Close the reserved descriptors."""
        self.reserved = 0
        while self._reserve:
            os.close(self._reserve.pop())

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        started = time.perf_counter()
        left = memoryview(data)
        try:
            while left:
                written = _write_at(file, left, offset)
                left = left[written:]
                offset += written
        except OSError as error:
            raise self._located(error, file, offset) from error
        self.done.writes += 1
        self.done.written_bytes += len(data)
        self.done.write_s += time.perf_counter() - started

    def truncate(self, file: int, size: int) -> None:
        """Cut a file after `size` octets."""
        try:
            os.ftruncate(file, size)
        except OSError as error:
            raise self._located(error, file, size) from error

    def sync(self, file: int) -> None:
        """Wait until what was written to a file is on the disk."""
        started = time.perf_counter()
        try:
            _sync(file)
        except OSError as error:
            raise self._located(error, file) from error
        self.done.syncs += 1
        self.done.sync_s += time.perf_counter() - started

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """Read `size` octets from `offset` on, or all; fewer at the end of the file."""
        started = time.perf_counter()
        file = self._open(path, os.O_RDONLY | _BINARY | _CLOEXEC)
        try:
            os.lseek(file, offset, os.SEEK_SET)
            left = os.fstat(file).st_size - offset if size < 0 else size
            pieces = []
            while left > 0 and (piece := os.read(file, min(left, MAX_READ_BYTES))):
                pieces.append(piece)
                left -= len(piece)
                offset += len(piece)
            data = b"".join(pieces)
            self.done.reads += 1
            self.done.read_bytes += len(data)
            self.done.read_s += time.perf_counter() - started
            return data
        except OSError as error:
            raise self._located(error, file, offset) from error
        finally:
            self.close(file)

    def _located(self, error: OSError, file: int, offset: int = -1) -> OSError:
        """Return an error of a descriptor with the name of its file, and the octet."""
        where = f" at octet {offset}" if offset >= 0 else ""
        return OSError(error.errno, f"{error.strerror}{where}", str(self._paths.get(file, "a file")))

    def size(self, path: Path) -> int:
        """Octets of a file."""
        return path.stat().st_size

    def replace(self, new: Path, old: Path) -> None:
        """Rename a complete file and make the name durable."""
        new.replace(old)
        self.sync_directory(old.parent)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable. Windows cannot open directories, and does not need to."""
        if os.name == "nt":
            return
        directory = self._open(path, os.O_RDONLY | _CLOEXEC)
        try:
            os.fsync(directory)
        except OSError as error:
            raise self._located(error, directory) from error
        finally:
            self.close(directory)

    def remove(self, path: Path) -> None:
        """Delete a file, if it exists."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def remove_tree(self, path: Path) -> None:
        """Delete a directory with all that is in it, as far as possible."""
        import shutil  # seldom

        shutil.rmtree(path, ignore_errors=True)


def _no_room() -> bool:
    """No file can be closed."""
    return False
