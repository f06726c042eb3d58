"""What the store asks of the operating system; tests put faults in between.

Every call raises OSError as the system does. `write` writes all or raises: a short write is tried again for
the rest, which finds the disk full.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

#: Data and size, not times; systems without it have the stronger call.
_sync = getattr(os, "fdatasync", os.fsync)


#: What the system says when there are too many open files, in this process or in all.
TOO_MANY = (errno.EMFILE, errno.ENFILE)

#: Octets of one read: systems refuse to read 2 GB and more at once.
_READ = 1 << 30


class Files:
    """The real ones. Descriptors are kept in reserve for the store: clients may take all others. `reserved`: how
    many. `make_room`: closes a file that can be opened again, when all of those are used up; False if there is none."""

    def __init__(self, reserved: int = 0) -> None:
        self.reserved = reserved
        self.make_room: Callable[[], bool] = _no_room
        self._reserve: list[int] = []
        self._refill()

    def create(self, path: Path) -> int:
        """A new or emptied file, to write to."""
        return self._open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | _BINARY | _CLOEXEC)

    def open(self, path: Path) -> int:
        """A file that exists, to write to."""
        return self._open(path, os.O_RDWR | _BINARY | _CLOEXEC)

    def _open(self, path: Path, flags: int) -> int:
        while True:
            try:
                return os.open(path, flags, 0o600)
            except OSError as error:
                if error.errno not in TOO_MANY:
                    raise
                if self._reserve:
                    os.close(self._reserve.pop())
                elif not self.make_room():
                    raise

    def close(self, file: int) -> None:
        """Let go of it."""
        os.close(file)
        self._refill()

    def _refill(self) -> None:
        while len(self._reserve) < self.reserved:
            try:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | _CLOEXEC))
            except OSError:
                return

    def release(self) -> None:
        """Let go of what is in reserve."""
        self.reserved = 0
        while self._reserve:
            os.close(self._reserve.pop())

    def write(self, file: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`."""
        os.lseek(file, offset, os.SEEK_SET)
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]

    def truncate(self, file: int, size: int) -> None:
        """Cut off what lies beyond `size` octets."""
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Wait until what was written is on the disk."""
        _sync(file)

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        """`size` octets from `offset` on, or everything; less at the end of the file."""
        file = self._open(path, os.O_RDONLY | _BINARY | _CLOEXEC)
        try:
            os.lseek(file, offset, os.SEEK_SET)
            left = os.fstat(file).st_size - offset if size < 0 else size
            pieces = []
            while left > 0 and (piece := os.read(file, min(left, _READ))):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces)
        finally:
            self.close(file)

    def size(self, path: Path) -> int:
        """Octets in a file."""
        return path.stat().st_size

    def replace(self, new: Path, old: Path) -> None:
        """Give a finished file its name, and make the name durable."""
        new.replace(old)
        self.sync_directory(old.parent)

    def sync_directory(self, path: Path) -> None:
        """Make names durable; where directories cannot be opened (Windows) they need not."""
        try:
            directory = self._open(path, os.O_RDONLY | _CLOEXEC)
        except PermissionError:
            return
        try:
            os.fsync(directory)
        finally:
            self.close(directory)

    def remove(self, path: Path) -> None:
        """Delete a file that may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _no_room() -> bool:
    """Nothing can be closed."""
    return False
