"""Reads records of a stream by offset, for those who look at a stream without consuming it; and appends such records
again, to another stream.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from leveret.queues.stream.log import CHUNK, FILTER, NAMES, PROOF, PROOF_SIZE, Page, StreamLog

#: The class of basic, and weight 0, as a content header begins.
_BASIC = b"\x00\x3c\x00\x00"

#: Where the properties begin in a content header: behind `_BASIC` and the octets of the body (8).
_PROPERTIES_AT = 12


class StreamRecord(NamedTuple):
    """A record. `time`: of its chunk, ms since the epoch; `begins`: it is the first one of its chunk. `header`: the
    payload of a content header frame. `filter_value`: None without one."""

    offset: int
    time: int
    begins: bool
    exchange: bytes
    routing_key: bytes
    filter_value: bytes | None
    header: bytes
    body: bytes

    @property
    def properties(self) -> bytes:
        """Property flags and list."""
        return self.header[_PROPERTIES_AT:]


def records(log: StreamLog, offset: int, count: int, octets: int) -> list[StreamRecord]:
    """Return up to `count` records from an offset on, or from the oldest one if that is gone; of large ones as many
    octets, or one. Raises OSError."""
    found: list[StreamRecord] = []
    page = log.page_of(offset) if offset < log.end else None
    while page is not None and len(found) < count:
        for record in records_of(log, page):
            if record.offset >= offset and len(found) < count:
                octets -= len(record.header) + len(record.body)
                if octets < 0 and found:
                    return found
                found.append(record)
        page = log.following(page)
    return found


def records_of(log: StreamLog, page: Page) -> Iterator[StreamRecord]:
    """Yield the records of a page. Times and names are those of the last record that has them. Raises OSError."""
    data = bytes(log.read(page)[: page.size])
    at, time, offset = 0, page.began, page.first
    exchange = routing_key = b""
    while at < len(data):
        end = at + 4 + _u32(data, at)
        flags = data[at + 4]
        at += 5
        filter_value = None
        if flags & CHUNK:
            time = int.from_bytes(data[at : at + 8], "big")
            at += 8
        if flags & PROOF:
            at += PROOF_SIZE
        if flags & FILTER:
            filter_value = data[at + 4 : at + 4 + _u32(data, at)]
            at += 4 + len(filter_value)
        if flags & NAMES:
            exchange, at = _short(data, at)
            routing_key, at = _short(data, at)
        properties = at + 4 + _u32(data, at)
        body = data[properties:end]
        header = _BASIC + len(body).to_bytes(8, "big") + data[at + 4 : properties]
        begins = bool(flags & CHUNK)
        yield StreamRecord(offset, time, begins, exchange, routing_key, filter_value, header, body)
        at = end
        offset += 1


class Appender:
    """Appends records to an empty log, with their offsets, in their chunks and segments. A chunk that is too large for
    the rest of its page, because the store's proofs take space, is divided. Nothing is dropped meanwhile.

    `starts`: first offsets of the segments.
    """

    def __init__(self, log: StreamLog, starts: Iterable[int]) -> None:
        self.log = log
        self.starts = frozenset(starts)
        self.names = b""
        self.tick = 0
        self.limits = log.most, log.age, log.segment_size
        log.most, log.age, log.segment_size = -1, -1, sys.maxsize

    def append(self, record: StreamRecord) -> None:
        """Append a record; its offset must be the next one."""
        log = self.log
        if record.begins:
            self.tick += 1
        if record.offset in self.starts:
            log.segment = None
        flags = log.open(record.time, self.tick)
        lead = b""
        if flags & CHUNK:
            lead += record.time.to_bytes(8, "big")
        if flags & PROOF:
            lead += bytes(PROOF_SIZE)
        if record.filter_value is not None:
            flags |= FILTER
            lead += _sized(record.filter_value)
        names = _shorts(record.exchange, record.routing_key)
        if flags & NAMES or names != self.names:
            flags |= NAMES
            self.names = names
            lead += names
        rest = _sized(record.properties) + record.body
        size = 1 + len(lead) + len(rest)
        log.append(size.to_bytes(4, "big") + bytes([flags]) + lead, rest)

    def end(self) -> None:
        """End the last chunk; the log has its limits again."""
        log = self.log
        log.end_chunk()
        log.most, log.age, log.segment_size = self.limits
        if log.stream_journal is not None:
            log.stream_journal.grown(log.size)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _shorts(*strings: bytes) -> bytes:
    """Short strings, one after the other."""
    return b"".join(bytes([len(one)]) + one for one in strings)


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _short(data: bytes, at: int) -> tuple[bytes, int]:
    """A short string, and where it ends."""
    end = at + 1 + data[at]
    return data[at + 1 : end], end
