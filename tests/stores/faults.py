"""Files that fail, between the store and the operating system."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

from leveret.store.files import Files


class PartialWrites(Files):
    """Writes seven octets at a time, as a pipe or a full disk may."""

    def write(self, file: int, data: bytes, offset: int) -> None:
        for at in range(0, len(data), 7):
            super().write(file, data[at : at + 7], offset + at)


class FaultyFiles(Files):
    """Every other call fails at random: a write after half of its data, or a sync. `calm`: no call fails now."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = random.Random(1)
        self.calm = False

    def _refuses(self) -> bool:
        return not self.calm and self.dice.random() < 0.5

    def write(self, file: int, data: bytes, offset: int) -> None:
        if self._refuses():
            super().write(file, data[: len(data) // 2], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(file, data, offset)

    def sync(self, file: int) -> None:
        if self._refuses():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(file)


class LossyFiles(Files):
    """Reports a failed sync once, as Linux does, and drops what was not written. `broken`: the next sync fails."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.safe: dict[int, bytes] = {}

    def sync(self, file: int) -> None:
        inode = os.fstat(file).st_ino
        if self.broken:
            self.broken = False
            os.ftruncate(file, 0)
            os.pwrite(file, self.safe.get(inode, b""), 0)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(file)
        self.safe[inode] = os.pread(file, os.fstat(file).st_size, 0)


class FailingFiles(Files):
    """Works until `broken` is set to an errno; from then on nothing can be written or synced."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = 0

    def _check(self) -> None:
        if self.broken:
            raise OSError(self.broken, os.strerror(self.broken))

    def create(self, path: Path) -> int:
        self._check()
        return super().create(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        if self.broken:
            super().write(file, data[: len(data) // 2], offset)
        self._check()
        super().write(file, data, offset)

    def sync(self, file: int) -> None:
        self._check()
        super().sync(file)
