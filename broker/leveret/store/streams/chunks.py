"""The proof of a stream's chunk, and the walk over chunks in a file.

Where the first record of a chunk has room for it (`queues/stream/log.py`), there stand a mark (4), the octets of the
file known to be on the disk when the chunk was complete (8), its octets (4), its records (4), and the CRC-32C of the
whole chunk with zeros for the CRC (4).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from google_crc32c import value as crc32c

from leveret.queues.stream.log import NAMES, PROOF_SIZE
from leveret.store.files import Files

#: What every chunk has at `PROOF_AT`.
CHUNK_MARK = b"\xa7Lev"
PROOF = struct.Struct(">4sQIII")
PROOF_AT = 13

#: Octets that say how long a chunk is.
HEAD_SIZE = PROOF_AT + PROOF.size

#: Octets of a chunk before what its first record says.
_LEAST = PROOF_AT + PROOF_SIZE

#: Octets read at a time.
WINDOW = 1024 * 1024


class Chunk(NamedTuple):
    """What the head of a chunk says: octets, records, time in ms, octets that were safe when it was complete, its CRC,
    and whether it begins with names."""

    size: int
    records: int
    time: int
    since: int
    crc: int
    names: bool


def chunk_head(data: bytes) -> Chunk | None:
    """The chunk whose first octets these are; None where they are not those of a chunk."""
    if len(data) < HEAD_SIZE:
        return None
    mark, since, size, count, crc = PROOF.unpack_from(data, PROOF_AT)
    if mark != CHUNK_MARK or size < _LEAST or count == 0:
        return None
    return Chunk(size, count, int.from_bytes(data[5:13], "big"), since, crc, bool(data[4] & NAMES))


def proven(chunk: Chunk, data: bytes) -> bool:
    """Whether a whole chunk matches its checksum."""
    end = HEAD_SIZE
    return len(data) == chunk.size and crc32c(data[: end - 4] + bytes(4) + data[end:]) == chunk.crc


def first_damage(data: bytes) -> int:
    """Where the first chunk of a page lies that does not match its checksum; -1 where all do."""
    at = 0
    while at < len(data):
        chunk = chunk_head(data[at : at + HEAD_SIZE])
        if chunk is None or not proven(chunk, data[at : at + chunk.size]):
            return at
        at += chunk.size
    return -1


class FileReader:
    """A file of a stream, read a window at a time. Raises OSError."""

    def __init__(self, disk: Files, path: Path) -> None:
        self.disk = disk
        self.path = path
        self.size = disk.size(path)
        self._data = b""
        self._base = 0

    def read(self, at: int, size: int) -> bytes:
        """`size` octets from `at` on; less at the end of the file."""
        start = at - self._base
        if start < 0 or start + size > len(self._data):
            self._data = self.disk.read(self.path, at, max(size, WINDOW))
            self._base, start = at, 0
        return self._data[start : start + size]

    def head(self, at: int) -> Chunk | None:
        """The head of the chunk at an offset, if the file has room for a chunk of that size."""
        chunk = chunk_head(self.read(at, HEAD_SIZE))
        return chunk if chunk is not None and at + chunk.size <= self.size else None

    def whole(self, at: int) -> Chunk | None:
        """The chunk at an offset, if there is one that matches its checksum."""
        chunk = self.head(at)
        return chunk if chunk is not None and proven(chunk, self.read(at, chunk.size)) else None

    def vouched(self, at: int) -> bool:
        """Whether a later chunk says that the bad one at `at` had been safe."""
        base = at
        while base < self.size:
            data = self.disk.read(self.path, base, WINDOW + HEAD_SIZE)
            if not data:
                return False
            for found in re.finditer(re.escape(CHUNK_MARK), data):
                start = base + found.start() - PROOF_AT
                if start > at:
                    chunk = self.whole(start)
                    if chunk is not None and chunk.since > at:
                        return True
            base += WINDOW
        return False
