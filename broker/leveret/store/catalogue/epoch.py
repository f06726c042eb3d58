"""How often the catalogue was written, in a file beside it.

The number is in `metadata.sqlite` and here. If it is higher here, the catalogue is an older copy, or its write-ahead
log was removed. The file is written after the catalogue was synced, and is not synced itself: its number may be lower,
never higher. The headers of log segments have the number, too.
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
        """Read the number; 0 if there is no file or it is damaged. Raises OSError."""
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
        """Write the number. An error is ignored: the next call writes a higher one."""
        with contextlib.suppress(OSError):
            if self._file < 0:
                self._file = self.files.create(self.path)
            self.files.write(self._file, _line(number), 0)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            file, self._file = self._file, -1
            self.files.close(file)


def _line(number: int) -> bytes:
    text = b"%020d" % number
    return text + b" %08x\n" % zlib.crc32(text)
