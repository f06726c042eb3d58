"""Moves blocks of long backlogs out of memory, to temporary files without a name, which end with the process.

Files are filled one after another. A file is closed when all its blocks were read; queues are first in, first out, so
this is soon after its first block was read. Reading ahead is left to the kernel.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from typing import BinaryIO, NamedTuple

from leveret.queues.backlog.paging import Pager

log = logging.getLogger("leveret")

#: The minimum size of a file, and about the maximum number of files: longer backlogs get larger files.
MIN_FILE_BYTES = 16 * 1024 * 1024
MAX_FILES = 64


def crc32c(data: bytes) -> int:
    """Return the checksum of a block. Its library is loaded for the first long backlog, not by every broker."""
    from google_crc32c import value

    return int(value(data))


class BlockLocation(NamedTuple):
    """The place of a block, and its CRC-32C."""

    file: PagingFile
    offset: int
    size: int
    crc: int


class PagingFile:
    """One temporary file. `size`: octets written; `waiting`: octets not read yet."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = 0
        self.waiting = 0


class FilePager(Pager):
    """Pages to files in `directory` (None: the system temporary directory). `refused`: the last write failed."""

    def __init__(self, limit: int, directory: str | None = None) -> None:
        super().__init__(limit)
        self.directory = directory
        self.current: PagingFile | None = None
        self.refused = False

    def write(self, data: bytes) -> BlockLocation | None:
        """Write a block to the current file; None if that fails: the block stays in memory."""
        try:
            location = self._write(data)
        except OSError as error:
            if not self.refused:
                log.warning("cannot page long queues to disk, they stay in memory: %s", error)
            self.refused = True
            return None
        self.refused = False
        return location

    def _write(self, data: bytes) -> BlockLocation:
        into = self.current
        if into is None or into.size >= max(MIN_FILE_BYTES, self.paged // MAX_FILES):
            file = tempfile.TemporaryFile(dir=self.directory, buffering=0)  # noqa: SIM115  closed by `free`
            into = self.current = PagingFile(file)
        into.file.seek(into.size)
        left = memoryview(data)
        while left:
            left = left[into.file.write(left) or 0 :]
        location = BlockLocation(into, into.size, len(data), crc32c(data))
        into.size += len(data)
        into.waiting += len(data)
        self.paged += len(data)
        return location

    def read(self, where: BlockLocation) -> bytes:
        """Read a block and free its place. Raises OSError."""
        data = self.peek(where)
        self.free(where)
        return data

    def peek(self, where: BlockLocation) -> bytes:
        """Read a block. Raises OSError."""
        where.file.file.seek(where.offset)
        data = where.file.file.read(where.size)
        while len(data) < where.size:
            more = where.file.file.read(where.size - len(data))
            if not more:
                raise OSError("a temporary file has lost what was written to it")
            data += more
        if crc32c(data) != where.crc:
            raise OSError(
                f"a temporary file is damaged at octet {where.offset}: what is read is not what was written"
            )
        return data

    def ahead(self, where: BlockLocation) -> None:
        """Have the kernel read a block ahead."""
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(where.file.file.fileno(), where.offset, where.size, os.POSIX_FADV_WILLNEED)

    def free(self, where: BlockLocation) -> None:
        """Free the place of a block; the last one closes the file."""
        file = where.file
        file.waiting -= where.size
        self.paged -= where.size
        if file.waiting == 0:
            if file is self.current:
                self.current = None
            file.file.close()
