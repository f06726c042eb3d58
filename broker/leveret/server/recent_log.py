"""The last records of the log in memory, for the management page and for the commands that show and follow the log."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import NamedTuple

import msgspec

from leveret.management.site import LogLine
from leveret.server.log_formats import PLAINTEXT, TextFormatter

#: Records that are kept, and that wait for one who follows the log.
MAX_RECORDS = 1000

#: Characters of a record that are kept: a traceback fits.
MAX_TEXT = 10_000

#: Formats what stands before each line of a record.
_PREFIX = TextFormatter({"plaintext": PLAINTEXT.removesuffix("$msg")})


class _Kept(NamedTuple):
    """One record. `prefix`: stands before each of its lines in a text log."""

    line: LogLine
    prefix: str

    def printed(self) -> list[str]:
        """The lines of the record as in a text log, each with its line end."""
        return [f"{self.prefix}{text}\n" for text in self.line.text.splitlines() or [""]]


#: What stands before the octets of a record: how many they are.
_SIZE = struct.Struct(">I")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class RecentLog(logging.Handler):
    """Keeps the last records. `number`: of the last one. `followers`: get the lines of each record.

    The records are one large object, and not thousands of small ones: each small one that outlives a load keeps a
    megabyte of free memory from being given back to the operating system.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.followers: set[asyncio.Queue[str]] = set()
        self._octets = bytearray()
        self._count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, with its traceback if it has one, and pass it to those who follow."""
        text = _PREFIX.message(record).encode("utf-8", "replace").decode()
        self.number += 1
        category = record.name.partition(".")[2]
        time = int(record.created * 1000)
        line = LogLine(self.number, time, record.levelname.lower(), category, text[:MAX_TEXT])
        kept = _Kept(line, _PREFIX.prefixed(record, ""))
        self._keep(_encode(kept))
        for follower in self.followers:
            if not follower.full():
                follower.put_nowait("".join(kept.printed()))

    def _keep(self, octets: bytes) -> None:
        self._octets += _SIZE.pack(len(octets)) + octets
        self._count += 1
        if self._count > MAX_RECORDS:
            self._count -= 1
            del self._octets[: _SIZE.size + _SIZE.unpack_from(self._octets)[0]]

    def _records(self) -> Iterator[_Kept]:
        octets = memoryview(bytes(self._octets))
        at = 0
        while at < len(octets):
            end = at + _SIZE.size + _SIZE.unpack_from(octets, at)[0]
            yield _decode(octets[at + _SIZE.size : end])
            at = end

    def lines(self) -> list[LogLine]:
        """Return the records, oldest first."""
        return [kept.line for kept in self._records()]

    def last(self, count: int) -> list[str]:
        """Return the last lines of a text log, each with its line end."""
        printed = chain.from_iterable(kept.printed() for kept in self._records())
        return list(deque(printed, maxlen=max(0, count)))

    async def follow(self) -> AsyncIterator[str]:
        """Yield the lines of each record as it is written; those that are not taken in time are lost."""
        records: asyncio.Queue[str] = asyncio.Queue(MAX_RECORDS)
        self.followers.add(records)
        try:
            while True:
                yield await records.get()
        finally:
            self.followers.discard(records)
