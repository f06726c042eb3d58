"""The format of a segment file: a mark, then blocks, each with a checksum.

A block is: CRC-32C of all that follows in it (4), octets of its payload (4), its sequence number (8), the
highest sequence number known to be on the disk when it was written (8), payload. Numbers are big-endian;
sequence numbers ascend by one through all segments. The first block of a segment (`SegmentHeader`) names the
segment, the version of the format, how often the catalogue had been written (`epoch.py`; not in version 1), and the
older segments of that time, with their lengths. The payload of all other blocks is records (`records.py`).

A block that begins with a CONTINUED record counts only together with the next one.

A block with a wrong CRC is the end of the log if no later block says that it had been synced: writing it was
interrupted, and nothing in it was ever confirmed. Otherwise the file is damaged.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from leveret.store import errors
from leveret.store.checksum import crc32c
from leveret.store.messages import records

MARK = b"LEVERET\x01"
VERSION = 2

_BODY = struct.Struct(">IQQ")
_HEAD = struct.Struct(">IIQQ")
_HEADER = struct.Struct(">BIII")
_EPOCH = struct.Struct(">Q")
_OLDER = struct.Struct(">IQ")

#: A CONTINUED record: the first octet of a block that counts only together with the next.
CONTINUED = bytes([records.CONTINUED])

#: The low bits in which sequence numbers of blocks of one file differ, but for a carry.
_LOW_BITS = 24

#: What follows the octets that these numbers have in common: the others, the number that was synced, the kind of the
#: first record. The numbers are not those of a run of zeros, which would be looked at one by one.
_AFTER_COMMON = rb"(?!\0{3}).{3}.{8}[\x01-\x07]"


class LogBlock(NamedTuple):
    """A block in its file: offsets of its head (`at`) and its payload (`start` to `end`); its sequence numbers."""

    at: int
    start: int
    end: int
    sequence: int
    synced: int


class BadBlock(Exception):  # noqa: N818  describes the data
    """A block that does not match its checksum any more."""


class SegmentHeader(NamedTuple):
    """The header of a segment. `older`: number -> length of the segments before it; `epoch`: how often the catalogue
    had been written."""

    number: int
    older: dict[int, int]
    epoch: int


def head(payload: bytes, sequence: int, synced: int) -> bytes:
    """Return the head of the block with this payload."""
    rest = _BODY.pack(len(payload), sequence, synced)
    return crc32c(payload, crc32c(rest)).to_bytes(4, "big") + rest


def block(payload: bytes, sequence: int, synced: int) -> bytes:
    """Return the block with this payload."""
    return head(payload, sequence, synced) + payload


def header(number: int, older: dict[int, int], epoch: int = 0) -> bytes:
    """Return the payload of a segment's first block."""
    listed = b"".join(_OLDER.pack(segment, length) for segment, length in sorted(older.items()))
    return _HEADER.pack(records.HEADER, VERSION, number, len(older)) + _EPOCH.pack(epoch) + listed


def read_header(path: Path, data: bytes) -> tuple[SegmentHeader, LogBlock]:
    """Read the mark and the first block of a segment. Raises `StoreError`."""
    if data[:7] != MARK[:7]:
        raise errors.foreign(path, "is not a segment of a Leveret message log")
    first = block_at(data, len(MARK))
    if data[:8] != MARK or first is None or first.end - first.start < _HEADER.size:
        raise errors.damaged(path, 0, "its header does not match its checksum")
    kind, version, number, count = _HEADER.unpack_from(data, first.start)
    if version > VERSION:
        raise errors.newer(path, version, VERSION)
    at = first.start + _HEADER.size + (_EPOCH.size if version > 1 else 0)
    if kind != records.HEADER or first.end - at != count * _OLDER.size:
        raise errors.damaged(path, first.at, "it does not begin with a header")
    epoch = int.from_bytes(data[first.start + _HEADER.size : at], "big")
    return SegmentHeader(number, dict(_OLDER.iter_unpack(data[at : first.end])), epoch), first


def block_at(data: bytes, at: int) -> LogBlock | None:
    """Return the block at an offset; None if there is none with a right checksum."""
    start = at + _HEAD.size
    if start > len(data):
        return None
    crc, size, sequence, synced = _HEAD.unpack_from(data, at)
    end = start + size
    if end > len(data) or crc32c(data[at + 4 : end]) != crc:
        return None
    return LogBlock(at, start, end, sequence, synced)


def head_at(data: bytes, at: int) -> tuple[int, int] | None:
    """Return start and end of the payload of the block at an offset, from its head; its checksum is not checked."""
    start = at + _HEAD.size
    if start > len(data):
        return None
    return start, start + int(_HEAD.unpack_from(data, at)[1])


def size_at(data: bytes, at: int) -> int:
    """Return the octets of the block at an offset, from its head."""
    if at + _HEAD.size > len(data):
        return _HEAD.size
    size: int = _HEAD.unpack_from(data, at)[1]
    return size + _HEAD.size


def walk(data: bytes, at: int) -> Iterator[LogBlock]:
    """Yield good blocks from an offset on, up to the end or the first bad one."""
    while (found := block_at(data, at)) is not None:
        yield found
        at = found.end


def walk_whole(data: bytes, at: int) -> Iterator[list[LogBlock]]:
    """Yield the blocks that count only together: those that are continued, and the one that ends them. What is not
    ended yet is left out."""
    together: list[LogBlock] = []
    for block in walk(data, at):
        together.append(block)
        if data[block.start : block.start + 1] != CONTINUED:
            yield together
            together = []


def vouched(data: bytes, at: int, sequence: int) -> bool:
    """Return whether a later block proves that the bad block at `at`, number `sequence`, had been synced.

    Any amount of damage may lie between the two: all that follows is searched for the first octets that numbers of
    later blocks have in common.
    """
    high = sequence >> _LOW_BITS
    return any(
        _vouched_by(data, at, sequence, number.to_bytes(8 - _LOW_BITS // 8, "big"))
        for number in dict.fromkeys((high, (sequence + len(data) // _HEAD.size) >> _LOW_BITS))
    )


def _vouched_by(data: bytes, at: int, sequence: int, common: bytes) -> bool:
    """The same, of the blocks whose numbers begin with `common`."""
    head = re.compile(re.escape(common) + _AFTER_COMMON, re.DOTALL)
    place = at + 8
    while (match := head.search(data, place)) is not None:
        place = match.start() + 1
        if _proves(data, match.start() - 8, sequence):
            return True
    return False


def _proves(data: bytes, at: int, sequence: int) -> bool:
    """Return whether there is a good block at an offset that says that block `sequence` had been synced. Most of what
    only looks like one is found by its numbers, without its checksum."""
    if at + _HEAD.size > len(data):
        return False
    _, _, number, synced = _HEAD.unpack_from(data, at)
    return sequence <= synced < number and block_at(data, at) is not None
