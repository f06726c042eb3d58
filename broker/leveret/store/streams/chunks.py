"""The proof in each chunk of a stream, and reading the chunks of a file.

The first record of a chunk has room for the proof (`queues/stream/log.py`): a mark (4), the octets of the file that
were synced when the chunk was complete (8), octets of the chunk (4), its records (4), and the CRC-32C of the whole
chunk, computed with zeros in place of the CRC (4).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from leveret.queues.stream.log import NAMES, PROOF_SIZE
from leveret.store.checksum import crc32c
from leveret.store.files import Files

#: The mark at `PROOF_AT` of every chunk.
CHUNK_MARK = b"\xa7Lev"
PROOF = struct.Struct(">4sQIII")
PROOF_AT = 13

#: Octets that are needed to know the size of a chunk.
HEAD_SIZE = PROOF_AT + PROOF.size

#: Least octets of a chunk.
MIN_CHUNK_BYTES = PROOF_AT + PROOF_SIZE

#: Octets of one read.
WINDOW_BYTES = 1024 * 1024


class Chunk(NamedTuple):
    """The head of a chunk: octets, records, time in ms, octets of the file that were synced when it was complete
    (`since`), its CRC, and whether it begins with names."""

    size: int
    records: int
    time: int
    since: int
    crc: int
    names: bool


def chunk_head(data: bytes) -> Chunk | None:
    """Return the head of the chunk with these first octets; None if they are not those of a chunk."""
    if len(data) < HEAD_SIZE:
        return None
    mark, since, size, count, crc = PROOF.unpack_from(data, PROOF_AT)
    if mark != CHUNK_MARK or size < MIN_CHUNK_BYTES or count == 0:
        return None
    return Chunk(size, count, int.from_bytes(data[5:13], "big"), since, crc, bool(data[4] & NAMES))


def proven(chunk: Chunk, data: bytes) -> bool:
    """Return whether `data` is a whole chunk that matches its checksum."""
    end = HEAD_SIZE
    return len(data) == chunk.size and crc32c(data[: end - 4] + bytes(4) + data[end:]) == chunk.crc


def first_damage(data: bytes) -> int:
    """Offset of the first chunk of a page that does not match its checksum; -1 if all do."""
    at = 0
    while at < len(data):
        chunk = chunk_head(data[at : at + HEAD_SIZE])
        if chunk is None or not proven(chunk, data[at : at + chunk.size]):
            return at
        at += chunk.size
    return -1


class FileReader:
    """Reads a file of a stream, a window at a time. Raises OSError."""

    def __init__(self, disk: Files, path: Path) -> None:
        self.disk = disk
        self.path = path
        self.size = disk.size(path)
        self._data = b""
        self._base = 0

    def read(self, at: int, size: int) -> bytes:
        """Read `size` octets from `at` on; fewer at the end of the file."""
        start = at - self._base
        if start < 0 or start + size > len(self._data):
            self._data = self.disk.read(self.path, at, max(size, WINDOW_BYTES))
            self._base, start = at, 0
        return self._data[start : start + size]

    def head(self, at: int) -> Chunk | None:
        """Return the head of the chunk at an offset; None if there is none, or the file is too short for it."""
        chunk = chunk_head(self.read(at, HEAD_SIZE))
        return chunk if chunk is not None and at + chunk.size <= self.size else None

    def whole(self, at: int) -> Chunk | None:
        """Return the head of the chunk at an offset; None if the chunk does not match its checksum."""
        chunk = self.head(at)
        return chunk if chunk is not None and proven(chunk, self.read(at, chunk.size)) else None

    def vouched(self, at: int) -> bool:
        """Return whether a later chunk proves that the bad one at `at` had been synced."""
        base = at
        while base < self.size:
            data = self.disk.read(self.path, base, WINDOW_BYTES + HEAD_SIZE)
            if not data:
                return False
            for found in re.finditer(re.escape(CHUNK_MARK), data):
                start = base + found.start() - PROOF_AT
                if start > at:
                    chunk = self.whole(start)
                    if chunk is not None and chunk.since > at:
                        return True
            base += WINDOW_BYTES
        return False
