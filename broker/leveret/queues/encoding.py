"""Messages and entries as bytes: the format of packed backlogs and of the store.

A message is: flags (1 octet: persistent 1, own expiration 2, priority 4, `Extra` 8), exchange and routing key (short
strings), octets of the header frame (4) and of the body (4), then, if its flag is set, expiration in ms (8), priority
(1), the extra (length 4, `extra_encoding.py`), then the frames as received. It does not depend on where it is stored,
so the log's bytes are copied into a backlog without being decoded. An entry is: position (8), flags (1: redelivered 1,
expires 2, counts 4), then, if its flag is set, the time when it expires (8), how often it was acquired (4) and failed
(4). Numbers are big-endian.
"""

from __future__ import annotations

import cython

from leveret.queues import extra_encoding

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, Message, Source, new_entry, new_message
    from cython.cimports.leveret.wire.frames import Outbox, cut, same, u32, u64
else:
    from leveret.queues.message import Entry, Message, Source, new_entry, new_message
    from leveret.wire.frames import Outbox, cut, same, u32, u64

#: Flags of a message. Declared in the `.pxd`, so that the compiler knows their type.
PERSISTENT = 1
EXPIRATION = 2
PRIORITY = 4
EXTRA = 8

#: Flags of an entry.
REDELIVERED = 1
EXPIRES = 2
COUNTS = 4


def put_message(out: Outbox, message: Message) -> None:
    """Append a message."""
    bits: cython.uint = PERSISTENT if message.persistent else 0
    extra: bytes = b""
    if message.expiration >= 0:
        bits |= EXPIRATION
    if message.priority >= 0:
        bits |= PRIORITY
    if message.extra is not None:
        bits |= EXTRA
        extra = extra_encoding.encode(message.extra)
    out.put_u8(bits)
    out.put_u8(len(message.exchange))
    out.put(message.exchange)
    out.put_u8(len(message.routing_key))
    out.put(message.routing_key)
    out.put_u32(message.head)
    out.put_u32(message.size)
    if bits & EXPIRATION:
        out.put_u64(message.expiration)
    if bits & PRIORITY:
        out.put_u8(message.priority)
    if bits & EXTRA:
        out.put_u32(len(extra))
        out.put(extra)
    out.put(message.content)


def put_entry(out: Outbox, entry: Entry, redelivered: cython.bint) -> None:
    """Append an entry without its message."""
    flags: cython.uint = REDELIVERED if redelivered else 0
    if entry.expires_at:
        flags |= EXPIRES
    if entry.acquired or entry.failed:
        flags |= COUNTS
    out.put_u64(entry.position)
    out.put_u8(flags)
    if flags & EXPIRES:
        out.put_u64(entry.expires_at)
    if flags & COUNTS:
        out.put_u32(entry.acquired)
        out.put_u32(entry.failed)


def encoded_entry(entry: Entry, redelivered: bool) -> bytes:
    """Return an entry with its message as bytes."""
    out: Outbox = Outbox()
    put_entry(out, entry, redelivered)
    put_message(out, entry.message)
    return out.take()


class EntryReader:
    """Reads packed bytes from `at` on, which moves. The bytes are trusted: written here, or checked by a CRC."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data: bytes = data
        self.at: int = at
        self.end: int = end
        self.exchange: bytes = b""
        self.routing_key: bytes = b""

    def u8(self) -> int:
        """Read one octet."""
        p: cython.p_const_uchar = self.data
        self.at += 1
        return p[self.at - 1]

    def u32(self) -> int:
        """Read four octets."""
        p: cython.p_const_uchar = self.data
        self.at += 4
        return u32(p, self.at - 4)

    def u64(self) -> int:
        """Read eight octets."""
        p: cython.p_const_uchar = self.data
        self.at += 8
        return u64(p, self.at - 8)

    def text(self, last: bytes) -> bytes:
        """Read a short string. Returns `last` itself if it is equal, so that readers can compare by identity."""
        p: cython.p_const_uchar = self.data
        size: cython.Py_ssize_t = p[self.at]
        start: cython.Py_ssize_t = self.at + 1
        self.at = start + size
        return last if same(p, start, size, last) else cut(p, start, start + size)

    def message(self) -> Message:
        """Read a message as a new object."""
        p: cython.p_const_uchar = self.data
        bits: cython.uint = self.u8()
        head: cython.Py_ssize_t
        body: cython.Py_ssize_t
        size: cython.Py_ssize_t
        message: Message
        self.exchange = self.text(self.exchange)
        self.routing_key = self.text(self.routing_key)
        head = self.u32()
        body = self.u32()
        message = new_message(self.exchange, self.routing_key, b"", head, body)
        message.persistent = bits & PERSISTENT != 0
        if bits & EXPIRATION:
            message.expiration = self.u64()
        if bits & PRIORITY:
            message.priority = self.u8()
        if bits & EXTRA:
            size = self.u32()
            message.extra = extra_encoding.decode(cut(p, self.at, self.at + size))
            self.at += size
        size = head + body + 8 if body else head
        message.content = cut(p, self.at, self.at + size)
        self.at += size
        return message

    def entry(self, source: Source) -> Entry:
        """Read an entry with its message, as one of `source`. The caller sets `stored`."""
        position: cython.ulonglong = self.u64()
        flags: cython.uint = self.u8()
        expires_at: cython.longlong = self.u64() if flags & EXPIRES else 0
        acquired: cython.uint = self.u32() if flags & COUNTS else 0
        failed: cython.uint = self.u32() if flags & COUNTS else 0
        entry: Entry = new_entry(self.message(), position, expires_at, source)
        entry.redelivered = flags & REDELIVERED != 0
        entry.acquired = acquired
        entry.failed = failed
        return entry
