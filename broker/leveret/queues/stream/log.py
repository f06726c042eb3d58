"""The log of a stream: records in pages, pages in segments.

A record is one message in the form in which consumers get it. Records are appended to a `Page`, a byte array with a
maximum size. Pages are linked, so that a reader gets from one to the next without a lookup. Publishes of one tick are a
chunk: they have the same timestamp, and filters select whole chunks, as in RabbitMQ (osiris). A chunk never continues
on the next page. A segment ends when its pages have reached its size. Retention drops whole segments that are too much
or too old, and is checked only when a new segment begins (docs: streams#retention).

A record is: octets that follow (4), flags (1: chunk 1, filter 2, names 4, proof 8), then, if its flag is set, the time
of its chunk (8), the proof of the chunk for the store (24), the filter value (length 4), exchange and routing key
(short strings, as they end basic.deliver); then octets of the properties (4), property flags and list, and the body.
Names are omitted if they equal those of the previous record in the same page. Numbers are big-endian.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
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
from leveret.queues.disk_read import DiskRead

CHUNK = 1
FILTER = 2
NAMES = 4
PROOF = 8

#: Octets of the proof.
PROOF_SIZE = 24

#: Octets at which a page is full: large compared with the overhead of its object, and small enough to be read from disk
#: at once.
PAGE_BYTES = 128 * 1024
_PAGE_BYTES = cython.declare(cython.Py_ssize_t, PAGE_BYTES)

#: RabbitMQ's default segment size (osiris_log: DEFAULT_MAX_SEGMENT_SIZE_B).
SEGMENT_BYTES = 500_000_000


#: Octets of pages that consumers may hold beside those that are in memory anyway. Beyond it, a consumer without credit
#: gives its page back, and reads it again when it has credit; beyond half of it, pages are not read ahead.
HELD_BYTES = 256 * 1024 * 1024
_HELD_BYTES = cython.declare(cython.longlong, HELD_BYTES)

#: Segments that retention drops at once: each is a file, too.
DROPPED_TOGETHER = 256


class Page:
    """Consecutive records. `first`: offset of the first; `count`: how many; `began`, `latest`: times of the first and
    the last chunk, ms. `data`: their bytes, None if they are not in memory; `size`: octets. `segment`: first offset of
    its segment; `at`: octets before it there. `where`: where the pager keeps it. `proof`: CRC-32C of what the store has
    written, -1 if it is not known. `gone`: dropped by retention."""

    def __init__(self, first: int, began: int, segment: int, at: int) -> None:
        self.first: int = first
        self.count: int = 0
        self.began: int = began
        self.latest: int = began
        self.data: Any = bytearray()  # or bytes; read through a C pointer
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
    """The records of a stream. `end`: the next offset.

    `most`: octets to keep, -1 for any number; `age`: ms to keep them, -1 for ever; `segment_size`: octets at which a
    segment ends. `last`: offset of the newest chunk. `stream_journal`: the store's account of it, or None; without one,
    `pager` takes complete pages when memory is short. `discard`: called with pages that are not needed any more.
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
        self.discard: Callable[[list[Page]], None] = list.clear

    def first(self) -> int:
        """Return the offset of the oldest record, or the next one if there is none."""
        page: Page
        if not self.pages:
            return self.end
        page = self.pages[0]
        return page.first

    def segment_count(self) -> int:
        """Return the number of segments; an empty log has one, too."""
        return max(1, len(self.segments))

    def first_time(self) -> int:
        """Return the time of the oldest chunk, ms; -1 if there is none."""
        page: Page
        if not self.pages:
            return -1
        page = self.pages[0]
        return page.began

    # --- in

    def open(self, now: cython.longlong, tick: cython.longlong) -> int:
        """Prepare for appending a record; a full page or segment is followed by a new one. Returns the flags that the
        record must have."""
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
        """Begin a new page."""
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
        """End the chunk: the next record begins a new one."""
        if self.chunk_at >= 0 and self.page is not None and self.stream_journal is not None:
            self.stream_journal.finish(self.page, self.chunk_at, self.end - self.last)
        self.chunk_at = -1
        self.chunk_tick = -1

    def append(self, lead: bytes, rest: bytes) -> None:
        """Append the record that `open` has prepared for, in two pieces."""
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
        """Complete the newest page."""
        if self.page is not None:
            self.page.data = bytes(self.page.data)
            if self.stream_journal is None:
                self.page_out(self.page)
            self.page = None

    def page_out(self, page: Page) -> None:
        """Count a complete page, and page it out if memory is short."""
        pager: Pager = self.pager
        if (pager.used + page.size) * 2 > pager.limit:
            page.where = pager.write(page.data)
        if page.where is not None:
            page.data = None
        else:
            pager.used += page.size

    def forget(self, page: Page) -> None:
        """Free a dropped page, except for consumers that are reading it."""
        page.gone = True
        page.next = None
        if page.where is not None:
            self.pager.free(page.where)
            page.where = None
        elif page is not self.page and self.stream_journal is None:
            self.pager.used -= page.size

    # --- out

    def following(self, page: Page) -> Page | None:
        """Return the page after this one, or the oldest one if it was dropped."""
        if page.gone:
            return self.pages[0] if self.pages else None
        return page.next

    def page_of(self, offset: int) -> Page | None:
        """Return the page that contains an offset; the oldest if that was dropped, the newest if it does not exist
        yet."""
        if not self.pages:
            return None
        return self.pages[max(0, bisect.bisect_right(self.pages, offset, key=_first) - 1)]

    def page_at(self, time: int) -> Page | None:
        """Return the page with the first chunk that is not older than `time` (ms), or None if there is none."""
        at = bisect.bisect_left(self.pages, time, key=_latest)
        return self.pages[at] if at < len(self.pages) else None

    def offset_at(self, time: int, page: Page, data: Any) -> int:
        """Return the offset of the first chunk that is not older than `time` (ms), in a page and its octets."""
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

    def read(self, page: Page) -> Any:  # as `Page.data`
        """Return the octets of a page. Raises OSError."""
        if page.data is not None:
            return page.data
        return self.pager.peek(page.where) if self.stream_journal is None else self.stream_journal.read(page)

    def begin_read(self, page: Page) -> DiskRead:
        """Begin to read a page that is not in memory."""
        if self.stream_journal is None:
            return self.pager.begin_read(page.where)
        return self.stream_journal.begin_read(page)

    # --- retention

    def retain(self, now: cython.longlong) -> bool:
        """Drop whole segments, oldest first, while the log is too large or they are too old; the newest one stays
        (osiris_log:evaluate_retention). Returns whether it has dropped as many as it may at once."""
        drop = 0
        left: int = self.size
        if self.most >= 0:  # from the oldest on: a client decides how many segments there are
            while left > self.most and drop < len(self.segments) - 1 and drop < DROPPED_TOGETHER:
                left -= self.segments[drop].size
                drop += 1
        if self.age >= 0:
            while drop < len(self.segments) - 1 and now - self.segments[drop].latest > self.age:
                if drop == DROPPED_TOGETHER:
                    break
                drop += 1
        if drop:
            self.drop(drop)
        return drop == DROPPED_TOGETHER

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
        dropped = self.pages[:number]
        del self.pages[:number]
        self.discard(dropped)
        if self.stream_journal is not None:
            self.stream_journal.dropped(left.first)

    def release(self, kept: bool = False) -> None:
        """Drop all records. `kept`: the store keeps them."""
        for page in self.pages:
            self.forget(page)
        pages, self.pages = self.pages, []
        self.discard(pages)
        self.segments = []
        self.segment = None
        self.page = None
        self.size = 0
        if self.stream_journal is not None:
            if not kept:
                self.stream_journal.purge()
            self.stream_journal = None


class Cursor:
    """Where one consumer reads.

    `page`, `data`, `at`: the page, its bytes and the position of the next record; `offset`: its offset; `page` is None
    while nothing is stored. `suffix`: exchange and routing key as they end basic.deliver, unless the record has its
    own. `filters`: values of the chunks to read, None for all; `unfiltered`: records without a value are read too.
    `wanted`: the current chunk is read. `broken`: why the next page could not be read, else empty; there is no page
    then. `coming`, `coming_page`: the page that is needed next is being read; `awaited`: it is needed now. `held`:
    octets of these pages that are in no other memory, as the pager counts them.
    """

    def __init__(self, consumer: Consumer, offset: int) -> None:
        self.consumer: Consumer = consumer
        self.offset: int = offset
        self.page: Page | None = None
        self.data: Any = None  # that of the page
        self.at: int = 0
        self.suffix: bytes = b""
        self.filters: frozenset[bytes] | None = None
        self.unfiltered: bool = False
        self.wanted: bool = True
        self.broken: str = ""
        self.coming: DiskRead | None = None
        self.coming_page: Page | None = None
        self.awaited: bool = False
        self.held: int = 0

    def hold(self, log: StreamLog) -> None:
        """Count what is held now."""
        held: cython.longlong = 0
        if self.page is not None and self.data is not self.page.data:
            held = self.page.size
        if self.coming_page is not None:
            held += self.coming_page.size
        log.pager.held += held - self.held
        self.held = held

    def let_go(self, log: StreamLog) -> None:
        """Hold no page: `here` finds the record again."""
        self.page = self.coming_page = None
        self.data = self.coming = None
        self.hold(log)

    def here(self, log: StreamLog) -> Page | None:
        """Return the current page; at first, go to the record at `offset`, or to the oldest one. None if it does not
        exist yet."""
        page: Page | None = self.page
        p: cython.p_const_uchar
        offset: cython.ulonglong
        if page is not None:
            return page
        self.awaited = False
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
        """Go on to the page after this one."""
        following: Page | None = log.following(page)
        self.awaited = False
        if following is not None:
            if not self.fetch(log, following):
                return None
            if self.offset < following.first:
                self.offset = following.first
        return following

    def fetch(self, log: StreamLog, page: Page) -> bool:
        """Read a page from its first record on. Returns False if it is not there: it is `awaited`, or `broken` if it
        cannot be read. The page behind it is read ahead."""
        data: Any = page.data
        if data is None:
            read = self.begin(log, page)
            if not read.done:
                self.awaited = True
                return False
            self.coming = self.coming_page = None
            if read.error is not None:
                self.broken = f"offsets {page.first} to {page.first + page.count - 1}: {read.error}"
                self.page = None
                self.hold(log)
                return False
            data = read.data
        self.data = data
        self.page = page
        self.at = 0
        if page.next is not None and page.next.data is None and 2 * log.pager.held < _HELD_BYTES:
            self.begin(log, page.next)
        self.hold(log)
        return True

    def begin(self, log: StreamLog, page: Page) -> DiskRead:
        """Begin to read a page that is not in memory, unless it is being read."""
        read = self.coming
        if read is None or self.coming_page is not page:
            read = self.coming = log.begin_read(page)
            self.coming_page = page
            self.hold(log)
        return read

    def inspect(self, p: cython.p_const_uchar, end: cython.Py_ssize_t) -> None:
        """Read the flags of the record at `at`: a new chunk, new names."""
        at: cython.Py_ssize_t = self.at + 5
        flags: cython.uint = p[self.at + 4]
        start: cython.Py_ssize_t
        if self.filters is not None:
            if flags & 1:
                self.wanted = self.matches(p, end)
            elif not self.wanted:  # the chunk may have grown since it was examined
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
        """Return whether the record at `at` has a wanted filter value."""
        flags: cython.uint = p[at + 4]
        at += 13 if flags & 1 else 5
        if flags & 8:
            at += 24
        if flags & 2:
            return self.filters is not None and cut(p, at + 4, at + 4 + u32(p, at)) in self.filters
        return self.unfiltered

    def matches(self, p: cython.p_const_uchar, end: cython.Py_ssize_t) -> bool:
        """Return whether the chunk that begins at `at`, in a page that ends at `end`, has a record with a wanted filter
        value."""
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
