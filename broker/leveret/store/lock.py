"""One broker per data directory: a file lock, which the operating system releases when the process ends."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from leveret.store import errors

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class Lock:
    """Held from construction to `release`. Raises `StoreError` if another process holds it, OSError for any other
    reason."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "lock"
        self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if not _take(self._file):
                owner = os.read(self._file, 32).decode("ascii", "replace").strip()
                raise errors.locked(self.path, f" (process {owner})" if owner.isdigit() else "")
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        except BaseException:
            os.close(self._file)
            raise

    def release(self) -> None:
        """Release the lock."""
        os.close(self._file)


def _take(file: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            raise
        return False
    return True
