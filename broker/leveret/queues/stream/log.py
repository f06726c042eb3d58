"""The log of a stream: records in pages, pages in segments.

A record is one message as consumers are sent it. Records stand one behind the other in a `Page`, bytes that grow
at the end until they are as long as a page may be; pages are linked, so that a reader goes from one to the next
without looking anything up. Publishes of one turn of the loop are a chunk: they share a time, and a filter lets
through whole chunks, as in RabbitMQ (osiris). Chunks never reach over the end of a page. A segment is as many
pages as reach its size; what is too much or too old leaves by whole segments, and is looked for only when a new
one begins (docs: streams#retention).

A record is: octets that follow (4), flags (1: chunk 1, filter 2, names 4, proof 8), then, where the flags say so,
the time of its chunk (8), proof of the chunk for the store (24), the filter value (length 4), exchange and routing
key (short strings, as basic.deliver ends); then octets of the properties (4), property flags and list, and the body.
Names are left out where they are those of the record before it in the same page. Numbers are big-endian.
"""

from __future__ import annotations

import bisect
from typing import Any

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.journal import StreamJournal
    from cython.cimports.leveret.wire.frames import cut, u32
else:
    from leveret.queues.backlog.paging import Pager
    from leveret.queues.consumers import Consumer
    from leveret.queues.journal import StreamJournal
    from leveret.wire.frames import cut, u32

from leveret.queues.backlog.paging import PagedAt

CHUNK = 1
FILTER = 2
NAMES = 4
PROOF = 8

#: Octets of the proof.
PROOF_SIZE = 24

#: Octets after which a page is full. Big enough that its object counts for nothing, small enough to be read from
#: the disk in passing.
PAGE_BYTES = 128 * 1024
_PAGE_BYTES = cython.declare(cython.Py_ssize_t, PAGE_BYTES)

#: RabbitMQ's segment size unless the stream says otherwise (osiris_log: DEFAULT_MAX_SEGMENT_SIZE_B).
SEGMENT_BYTES = 500_000_000


class Page:
    """Consecutive records. `first`: offset of the first; `count`: how many; `began`, `latest`: times of the first and
    the last chunk, ms. `data`: None where it is not in memory; `size`: octets. `segment`: first offset of the segment
    it is in, `at`: octets before it there. `where`: its place with the pager. `proof`: CRC-32C
    of what the store has written, -1 where it is not known. `gone`: retention took it."""

    def __init__(self, first: int, began: int, segment: int, at: int) -> None:
        self.first: int = first
        self.count: int = 0
        self.began: int = began
        self.latest: int = began
        self.data: Any = bytearray()
        self.size: int = 0
        self.segment: int = segment
        self.at: int = at
        self.where: PagedAt = None
        self.proof: int = -1
        self.next: Page | None = None
        self.gone: bool = False


class StreamSegment:
    """Pages from offset `first` on. `size`: octets of their records; `latest`: time of the last chunk, ms."""

    def __init__(self, first: int) -> None:
        self.first: int = first
        self.size: int = 0
        self.latest: int = 0


class StreamLog:
    """What is stored of a stream. `end`: the offset that comes next.

    `most`: octets that are kept, -1 for any number; `age`: ms that are kept, -1 for ever; `segment_size`: octets after
    which a segment ends. `last`: offset of the newest chunk. `stream_journal`: None where nothing is kept on disk;
    then `pager` takes complete pages when memory is short.
    """

    def __init__(self, pager: Pager) -> None:
        self.pager: Pager = pager
        self.pages: list[Page] = []
        self.segments: list[StreamSegment] = []
        self.end: int = 0
        self.last: int = 0
        self.size: int = 0
        self.most: int = -1
        self.age: int = -1
        self.segment_size: int = SEGMENT_BYTES
        self.page: Page | None = None
        self.segment: StreamSegment | None = None
        self.chunk_tick: int = -1
        self.chunk_at: int = -1
        self.stream_journal: StreamJournal | None = None

    def first(self) -> int:
        """The oldest offset that is kept, or the next one."""
        page: Page
        if not self.pages:
            return self.end
        page = self.pages[0]
        return page.first

    # --- in

    def open(self, now: cython.longlong, tick: cython.longlong) -> int:
        """Make ready for a record: flags that it must have."""
        page: Page | None = self.page
        segment: StreamSegment | None = self.segment
        if page is not None and tick == self.chunk_tick and page.size < _PAGE_BYTES:
            return 0
        if self.stream_journal is not None:
            self.end_chunk()
        self.chunk_tick = tick
        self.last = self.end
        if segment is None or segment.size >= self.segment_size:
            segment = self.segment = StreamSegment(self.end)
            self.segments.append(segment)
            self.seal()
            page = None
            self.retain(now)
        segment.latest = now
        if page is not None and page.size < _PAGE_BYTES:
            page.latest = now
            self.chunk_at = page.size
            return CHUNK if self.stream_journal is None else CHUNK | PROOF
        self.seal()
        self.begin(Page(self.end, now, segment.first, segment.size))
        return CHUNK | NAMES if self.stream_journal is None else CHUNK | NAMES | PROOF

    def begin(self, page: Page) -> None:
        """A new page."""
        before: Page
        if self.pages:
            before = self.pages[-1]
            before.next = page
        self.pages.append(page)
        self.page = page
        self.chunk_at = 0
        if self.stream_journal is not None:
            self.stream_journal.begun(page)

    def end_chunk(self) -> None:
        """What comes next begins a new chunk."""
        if self.chunk_at >= 0 and self.page is not None and self.stream_journal is not None:
            self.stream_journal.finish(self.page, self.chunk_at, self.end - self.last)
        self.chunk_at = -1
        self.chunk_tick = -1

    def append(self, lead: bytes, rest: bytes) -> None:
        """The record that `open` was asked for, in two pieces."""
        page: Page | None = self.page
        segment: StreamSegment | None = self.segment
        size: cython.Py_ssize_t = len(lead) + len(rest)
        if page is None or segment is None:
            return
        page.data += lead
        page.data += rest
        page.size += size
        page.count += 1
        segment.size += size
        self.size += size
        self.end += 1

    def seal(self) -> None:
        """The newest page is complete."""
        if self.page is not None:
            self.page.data = bytes(self.page.data)
            if self.stream_journal is None:
                self.page_out(self.page)
            self.page = None

    def page_out(self, page: Page) -> None:
        """A complete page counts, and leaves memory if that is short."""
        pager: Pager = self.pager
        if (pager.used + page.size) * 2 > pager.limit:
            page.where = pager.write(page.data)
        if page.where is not None:
            page.data = None
        else:
            pager.used += page.size

    def forget(self, page: Page) -> None:
        """Nobody will read it any more, but for those who are reading it."""
        page.gone = True
        page.next = None
        if page.where is not None:
            self.pager.free(page.where)
            page.where = None
        elif page is not self.page and self.stream_journal is None:
            self.pager.used -= page.size

    # --- out

    def following(self, page: Page) -> Page | None:
        """The page after this one; the oldest that is left if it is gone."""
        if page.gone:
            return self.pages[0] if self.pages else None
        return page.next

    def page_of(self, offset: int) -> Page | None:
        """The page that holds an offset; the oldest if it is gone already, the newest if it is yet to come."""
        if not self.pages:
            return None
        return self.pages[max(0, bisect.bisect_right(self.pages, offset, key=_first) - 1)]

    def offset_at(self, time: int) -> int:
        """Offset of the first chunk that is not older than `time` (ms); the next one where there is none."""
        at = bisect.bisect_left(self.pages, time, key=_latest)
        if at == len(self.pages):
            return self.end
        page = self.pages[at]
        data = self.read(page)
        position = 0
        offset = page.first
        while position < page.size:
            if (
                data[position + 4] & CHUNK
                and int.from_bytes(data[position + 5 : position + 13], "big") >= time
            ):
                return offset
            position += 4 + int.from_bytes(data[position : position + 4], "big")
            offset += 1
        return offset

    def read(self, page: Page) -> Any:
        """The octets of a page. Raises OSError."""
        if page.data is not None:
            return page.data
        return self.pager.peek(page.where) if self.stream_journal is None else self.stream_journal.read(page)

    # --- retention

    def retain(self, now: cython.longlong) -> None:
        """Drop whole segments, oldest first, while there is too much or it is too old; the newest stays
        (osiris_log:evaluate_retention)."""
        drop = 0
        if self.most >= 0:
            kept = 0
            for number in range(len(self.segments) - 1, -1, -1):
                kept += self.segments[number].size
                if kept > self.most and number < len(self.segments) - 1:
                    drop = number + 1
                    break
        if self.age >= 0:
            while drop < len(self.segments) - 1 and now - self.segments[drop].latest > self.age:
                drop += 1
        if drop:
            self.drop(drop)

    def drop(self, count: int) -> None:
        """Drop the oldest segments."""
        left = self.segments[count]
        for segment in self.segments[:count]:
            self.size -= segment.size
        del self.segments[:count]
        number = 0
        while number < len(self.pages) and self.pages[number].first < left.first:
            self.forget(self.pages[number])
            number += 1
        del self.pages[:number]
        if self.stream_journal is not None:
            self.stream_journal.dropped(left.first)

    def release(self) -> None:
        """Forget everything."""
        for page in self.pages:
            self.forget(page)
        self.pages = []
        self.segments = []
        self.segment = None
        self.page = None
        self.size = 0
        if self.stream_journal is not None:
            self.stream_journal.purge()
            self.stream_journal = None


class Cursor:
    """Where one consumer reads.

    `page`, `data`, `at`: the record it reads next, `offset` its offset; `page` is None before anything is stored.
    `suffix`: its exchange and routing key as basic.deliver ends, unless the record has its own. `filters`: values of
    chunks it reads, None for all; `unfiltered`: it reads records without a value too. `wanted`: it reads the chunk it
    is in. `broken`: why what comes next could not be read, else empty; there is no page then.
    """

    def __init__(self, consumer: Consumer, offset: int) -> None:
        self.consumer: Consumer = consumer
        self.offset: int = offset
        self.page: Page | None = None
        self.data: Any = None
        self.at: int = 0
        self.suffix: bytes = b""
        self.filters: frozenset[bytes] | None = None
        self.unfiltered: bool = False
        self.wanted: bool = True
        self.broken: str = ""

    def here(self, log: StreamLog) -> Page | None:
        """The page it reads; the first time, it goes to the record at `offset`, or the oldest one. None where that is
        not there yet."""
        page: Page | None = self.page
        p: cython.p_const_uchar
        offset: cython.ulonglong
        if page is not None:
            return page
        if self.offset < log.first():
            self.offset = log.first()
        page = log.page_of(self.offset) if self.offset < log.end else None
        if page is None:
            return None
        if not self.fetch(log, page):
            return None
        p = self.data
        self.wanted = self.filters is None
        offset = page.first
        while True:
            self.inspect(p, page.size)
            if offset == self.offset:
                return page
            self.at += 4 + u32(p, self.at)
            offset += 1

    def next_page(self, log: StreamLog, page: Page) -> Page | None:
        """Go on to the page behind this one."""
        following: Page | None = log.following(page)
        if following is not None:
            if not self.fetch(log, following):
                return None
            if self.offset < following.first:
                self.offset = following.first
        return following

    def fetch(self, log: StreamLog, page: Page) -> bool:
        """Read a page from its first record on; False, and `broken` says why, if it cannot be read."""
        try:
            self.data = log.read(page)
        except OSError as error:
            self.broken = f"offsets {page.first} to {page.first + page.count - 1}: {error}"
            self.page = None
            return False
        self.page = page
        self.at = 0
        return True

    def inspect(self, p: cython.p_const_uchar, end: cython.Py_ssize_t) -> None:
        """Take notice of what the record at `at` says of those behind it."""
        at: cython.Py_ssize_t = self.at + 5
        flags: cython.uint = p[self.at + 4]
        start: cython.Py_ssize_t
        if self.filters is not None:
            if flags & 1:
                self.wanted = self.matches(p, end)
            elif not self.wanted:  # the chunk had grown no further when it was looked at
                self.wanted = self.fits(p, self.at)
        if flags & 1:
            at += 8
        if flags & 8:
            at += 24
        if flags & 2:
            at += 4 + u32(p, at)
        if flags & 4:
            start = at
            at += 1 + p[at]
            at += 1 + p[at]
            self.suffix = cut(p, start, at)

    def fits(self, p: cython.p_const_uchar, at: cython.Py_ssize_t) -> bool:
        """Whether the record at `at` has a value that this reader wants."""
        flags: cython.uint = p[at + 4]
        at += 13 if flags & 1 else 5
        if flags & 8:
            at += 24
        if flags & 2:
            return self.filters is not None and cut(p, at + 4, at + 4 + u32(p, at)) in self.filters
        return self.unfiltered

    def matches(self, p: cython.p_const_uchar, end: cython.Py_ssize_t) -> bool:
        """Whether the chunk that begins at `at`, in a page that ends at `end`, has anything for this reader."""
        at: cython.Py_ssize_t = self.at
        while True:
            if self.fits(p, at):
                return True
            at += 4 + u32(p, at)
            if at >= end or p[at + 4] & 1:
                return False


def _first(page: Page) -> int:
    return page.first


def _latest(page: Page) -> int:
    return page.latest
