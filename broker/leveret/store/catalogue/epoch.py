"""How often the metadata has been written, kept a second time beside it.

The number is in `metadata.sqlite` and here. Where this file knows a higher one, the metadata is an older copy, or its
write-ahead log was taken away. The file is written after the metadata is on the disk and is not synced: it may lag
behind, never run ahead. Segments of the message log have the number in their headers, too.
"""

from __future__ import annotations

import contextlib
import logging
import zlib
from pathlib import Path

from leveret.store.files import Files

log = logging.getLogger("leveret")


class EpochFile:
    """The file `epoch` of a data directory: a number and its CRC, as text."""

    def __init__(self, path: Path, files: Files) -> None:
        self.path = path
        self.files = files
        self._file = -1

    def read(self) -> int:
        """The number; 0 where there is no file or it is damaged. Raises OSError."""
        try:
            data = self.files.read(self.path)
        except FileNotFoundError:
            return 0
        number = data[:20]
        if not number.isdigit() or data != _line(int(number)):
            log.warning("%s is damaged: whether the metadata is the newest is not checked", self.path)
            return 0
        return int(number)

    def write(self, number: int) -> None:
        """Note the number; a disk that refuses is asked again the next time."""
        with contextlib.suppress(OSError):
            if self._file < 0:
                self._file = self.files.create(self.path)
            self.files.write(self._file, _line(number), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            file, self._file = self._file, -1
            self.files.close(file)


def _line(number: int) -> bytes:
    text = b"%020d" % number
    return text + b" %08x\n" % zlib.crc32(text)
