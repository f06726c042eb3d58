"""Sets of queue positions as bits: 1.3 MB for ten million messages.

Positions ascend from 1 and are mostly consecutive, so they are kept in chunks of 4096 bits; empty chunks are removed.
"""

from __future__ import annotations

import cython

#: Positions in a chunk: 512 octets of bits.
CHUNK_POSITIONS = 4096


def ones(bits: cython.uint) -> cython.int:
    """Return how many bits are set."""
    found: cython.int = 0
    while bits:
        bits &= bits - 1
        found += 1
    return found


class PositionChunk:
    """Bits of `CHUNK_POSITIONS` consecutive positions; `count`: how many are set."""

    def __init__(self) -> None:
        if not cython.compiled:
            self.bits = bytearray(512)
        self.count: int = 0


class Positions:
    """A set of positions; `count`: how many."""

    def __init__(self) -> None:
        self.chunks: dict[int, PositionChunk] = {}
        self.count: int = 0
        self.near: PositionChunk | None = None
        self.near_at: int = -1

    def chunk(self, index: cython.longlong) -> PositionChunk | None:
        """Return the chunk with this index, which is remembered; None if it is empty."""
        if index != self.near_at:
            self.near = self.chunks.get(index)
            self.near_at = index
        return self.near

    def add(self, position: cython.ulonglong) -> bool:
        """Add a position; False if it was there."""
        index: cython.longlong = position >> 12
        i: cython.Py_ssize_t = (position & 4095) >> 3
        bit: cython.uint = 1 << (position & 7)
        chunk: PositionChunk | None = self.chunk(index)
        if chunk is None:
            chunk = PositionChunk()
            self.chunks[index] = chunk
            self.near = chunk
        if chunk.bits[i] & bit:
            return False
        chunk.bits[i] |= bit
        chunk.count += 1
        self.count += 1
        return True

    def add_range(self, first: cython.ulonglong, last: cython.ulonglong) -> None:
        """Add all positions from `first` to `last`."""
        position: cython.ulonglong
        for position in range(first, last + 1):
            self.add(position)

    def has(self, position: cython.ulonglong) -> bool:
        """Return whether a position is in the set."""
        chunk: PositionChunk | None = self.chunk(position >> 12)
        if chunk is None:
            return False
        return (chunk.bits[(position & 4095) >> 3] >> (position & 7)) & 1 != 0

    def remove_range(self, first: cython.ulonglong, last: cython.ulonglong) -> int:
        """Remove all positions from `first` to `last`; returns how many there were."""
        position: cython.ulonglong = first
        i: cython.Py_ssize_t
        bit: cython.uint
        removed: cython.longlong = 0
        chunk: PositionChunk | None
        while position <= last:
            chunk = self.chunk(position >> 12)
            if chunk is None:
                position = (position | 4095) + 1
                continue
            i = (position & 4095) >> 3
            bit = 1 << (position & 7)
            if chunk.bits[i] & bit:
                chunk.bits[i] ^= bit
                chunk.count -= 1
                removed += 1
                if chunk.count == 0:
                    self.forget(position >> 12)
            position += 1
        self.count -= removed
        return removed

    def forget(self, index: cython.longlong) -> None:
        """Remove an empty chunk."""
        del self.chunks[index]
        self.near = None
        self.near_at = -1

    def any(self, first: cython.ulonglong, last: cython.ulonglong) -> bool:
        """Return whether any position from `first` to `last` is in the set."""
        position: cython.ulonglong = first
        chunk: PositionChunk | None
        while position <= last:
            chunk = self.chunk(position >> 12)
            if chunk is None:
                position = (position | 4095) + 1
                continue
            if (chunk.bits[(position & 4095) >> 3] >> (position & 7)) & 1:
                return True
            position += 1
        return False

    def among(self, first: cython.ulonglong, last: cython.ulonglong) -> int:
        """Return how many positions from `first` to `last` are in the set."""
        position: cython.ulonglong = first
        chunk: PositionChunk | None
        found: cython.Py_ssize_t = 0
        while position <= last:
            chunk = self.chunk(position >> 12)
            if chunk is None:
                position = (position | 4095) + 1
                continue
            if (chunk.bits[(position & 4095) >> 3] >> (position & 7)) & 1:
                found += 1
            position += 1
        return found

    def add_all(self, other: Positions) -> None:
        """Add all positions of another set."""
        i: cython.Py_ssize_t
        more: cython.int
        bits: cython.uint
        chunk: PositionChunk | None
        found: PositionChunk
        for index, found in other.chunks.items():
            chunk = self.chunks.get(index)
            if chunk is None:
                chunk = self.chunks[index] = PositionChunk()
            for i in range(512):
                bits = found.bits[i] & ~chunk.bits[i]
                if bits:
                    chunk.bits[i] |= bits
                    more = ones(bits)
                    chunk.count += more
                    self.count += more
        self.near = None
        self.near_at = -1

    def remove_all(self, other: Positions) -> None:
        """Remove all positions of another set."""
        i: cython.Py_ssize_t
        less: cython.int
        bits: cython.uint
        chunk: PositionChunk | None
        found: PositionChunk
        for index, found in other.chunks.items():
            chunk = self.chunks.get(index)
            if chunk is None:
                continue
            for i in range(512):
                bits = found.bits[i] & chunk.bits[i]
                if bits:
                    chunk.bits[i] ^= bits
                    less = ones(bits)
                    chunk.count -= less
                    self.count -= less
            if chunk.count == 0:
                del self.chunks[index]
        self.near = None
        self.near_at = -1

    def common(self, other: Positions) -> Positions:
        """Return the positions that are in both sets."""
        i: cython.Py_ssize_t
        bits: cython.uint
        chunk: PositionChunk | None
        mine: PositionChunk
        both: PositionChunk
        shared: Positions = Positions()
        for index, mine in self.chunks.items():
            chunk = other.chunks.get(index)
            if chunk is None:
                continue
            both = PositionChunk()
            for i in range(512):
                bits = mine.bits[i] & chunk.bits[i]
                both.bits[i] = bits
                both.count += ones(bits)
            if both.count:
                shared.chunks[index] = both
                shared.count += both.count
        return shared
