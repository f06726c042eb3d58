"""What the store asks of the operating system; tests put faults in between.

Every call raises OSError as the system does. `write` writes all or raises: a short write is tried again for
the rest, which finds the disk full.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_BINARY = getattr(os, "O_BINARY", 0)  # Windows
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)

#: Data and size, not times; systems without it have the stronger call.
_sync = getattr(os, "fdatasync", os.fsync)


class Files:
    """The real ones."""

    def create(self, path: Path) -> int:
        """A new or emptied file, to write to."""
        return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | _BINARY | _CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        """A file that exists, to write to."""
        return os.open(path, os.O_RDWR | _BINARY | _CLOEXEC)

    def close(self, file: int) -> None:
        """Let go of it."""
        os.close(file)

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
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read() if size < 0 else file.read(size)

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
            directory = os.open(path, os.O_RDONLY)
        except PermissionError:
            return
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def remove(self, path: Path) -> None:
        """Delete a file that may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
