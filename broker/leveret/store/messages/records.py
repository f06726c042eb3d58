"""The records of the message log: only this module knows their layout.

A record is its kind (1 octet) and:

MESSAGE: octets of the rest (4), number of targets (4), targets, message. A target is a queue number (4) and an entry.
SETTLED, DELIVERED: queue (4), segment of the messages (4), first position (8), last position (8).
RETURNED: queue (4), segment (4), position (8), times acquired (4), times failed (4).
DROPPED: segment that is about to be deleted (4).
HEADER: the header of a segment (`blocks.py`), up to the end of its block.
CONTINUED: nothing. Its block counts only together with the next one.

Numbers are big-endian. Entries and messages are encoded as in backlogs (`queues/encoding.py`).
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.encoding import COUNTS, EXPIRATION, EXPIRES, PRIORITY
    from cython.cimports.leveret.wire.frames import Outbox, u32, u64
else:
    from leveret.queues.encoding import COUNTS, EXPIRATION, EXPIRES, PRIORITY
    from leveret.wire.frames import Outbox, u32, u64

if not cython.compiled:  # the .pxd has them for the compiler
    MESSAGE = 1
    SETTLED = 2
    DELIVERED = 3
    RETURNED = 4
    DROPPED = 5
    HEADER = 6
    CONTINUED = 7


#: No record has more positions than this: reading one of any number would take hours, and all memory.
MAX_RANGE = cython.declare(cython.ulonglong, 1 << 30)


class UnknownRecord(Exception):  # noqa: N818  describes the data, not an error of this program
    """A record of an unknown kind, one that does not end where its block ends, or one with impossible positions."""


# --- parts of a record


def entry_size(p: cython.p_const_uchar, at: cython.Py_ssize_t) -> int:
    """Octets of the target at `at`: queue number and entry."""
    flags: cython.uint = p[at + 12]
    return 13 + (8 if flags & EXPIRES else 0) + (8 if flags & COUNTS else 0)


def body_size(p: cython.p_const_uchar, at: cython.Py_ssize_t) -> int:
    """Octets of the body of the encoded message at `at`."""
    at += 1
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    return u32(p, at + 4)


def priority_of(p: cython.p_const_uchar, at: cython.Py_ssize_t) -> int:
    """Priority of the encoded message at `at`; -1 if it has none."""
    bits: cython.uint = p[at]
    if bits & PRIORITY == 0:
        return -1
    at += 1
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    at += 1 + cython.cast(cython.Py_ssize_t, p[at])
    return p[at + 8 + (8 if bits & EXPIRATION else 0)]


# --- writing


def begin_message(out: Outbox) -> None:
    """Begin a MESSAGE record; targets and the message follow, then `end_message`."""
    out.put_u8(MESSAGE)
    out.put_u64(0)


def end_message(out: Outbox, start: cython.Py_ssize_t, targets: cython.uint) -> None:
    """Fill in the length and the number of targets of the MESSAGE record that began at `start`."""
    out.poke_u32(start + 1, out.size - start - 5)
    out.poke_u32(start + 5, targets)


def put_positions(
    out: Outbox,
    kind: cython.uint,
    queue: cython.uint,
    segment: cython.uint,
    first: cython.ulonglong,
    last: cython.ulonglong,
) -> None:
    """Append a SETTLED or DELIVERED record."""
    out.put_u8(kind)
    out.put_u32(queue)
    out.put_u32(segment)
    out.put_u64(first)
    out.put_u64(last)


def put_returned(
    out: Outbox,
    queue: cython.uint,
    segment: cython.uint,
    position: cython.ulonglong,
    acquired: cython.uint,
    failed: cython.uint,
) -> None:
    """Append a RETURNED record."""
    out.put_u8(RETURNED)
    out.put_u32(queue)
    out.put_u32(segment)
    out.put_u64(position)
    out.put_u32(acquired)
    out.put_u32(failed)


def put_dropped(out: Outbox, segment: cython.uint) -> None:
    """Append a DROPPED record."""
    out.put_u8(DROPPED)
    out.put_u32(segment)


# --- reading


class RecordReader:
    """Reads the records of `data` between two offsets. No octet beyond `end` is read.

    `kind`: of the current record, which has `size` octets at `at`. Its fields: `queue`, `segment`, `first` and `last`
    position, `acquired`, `failed`. For a MESSAGE: `targets` that were not read yet; after `next_target`, the target's
    `queue`, `position`, `flags`, `expires_at` and counts; `entry` is its offset.
    """

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data: bytes = data
        self.at: int = at
        self.end: int = min(end, len(data))
        self.size: int = 0
        self.kind: int = 0
        self.queue: int = 0
        self.segment: int = 0
        self.first: int = 0
        self.last: int = 0
        self.acquired: int = 0
        self.failed: int = 0
        self.targets: int = 0
        self.target: int = 0
        self.entry: int = 0
        self.position: int = 0
        self.flags: int = 0
        self.expires_at: int = 0

    def next(self) -> bool:
        """Go to the next record; False at the end. Raises `UnknownRecord`."""
        p: cython.p_const_uchar = self.data
        at: cython.Py_ssize_t = self.at + self.size
        size: cython.Py_ssize_t
        kind: cython.uint
        if at >= self.end:
            return False
        kind = p[at]
        if kind == MESSAGE:
            size = 9
        elif kind in (SETTLED, DELIVERED, RETURNED):
            size = 25
        elif kind == DROPPED:
            size = 5
        elif kind == HEADER:
            size = self.end - at
        elif kind == CONTINUED:
            size = 1
        else:
            raise UnknownRecord(f"a record of kind {kind}")
        if at + size > self.end:
            raise UnknownRecord("a record that does not end with its block")
        self.at = at
        self.size = size
        self.kind = kind
        if kind == MESSAGE:
            self.size = 5 + cython.cast(cython.Py_ssize_t, u32(p, at + 1))
            self.targets = u32(p, at + 5)
            self.target = at + 9
        elif size == 25:
            self.read_positions(at)
            if self.first > self.last or self.last - self.first >= MAX_RANGE:
                raise UnknownRecord(f"positions from {self.first} to {self.last}")
        elif kind == DROPPED:
            self.segment = u32(p, at + 1)
        return True

    def read_positions(self, at: cython.Py_ssize_t) -> None:
        """Read the fields of a SETTLED, DELIVERED or RETURNED record."""
        p: cython.p_const_uchar = self.data
        self.queue = u32(p, at + 1)
        self.segment = u32(p, at + 5)
        self.first = u64(p, at + 9)
        if self.kind == RETURNED:
            self.last = self.first
            self.acquired = u32(p, at + 17)
            self.failed = u32(p, at + 21)
        else:
            self.last = u64(p, at + 17)

    def next_target(self) -> bool:
        """Go to the next target of a MESSAGE; False after the last: `target` is then where the message begins. Raises
        `UnknownRecord`."""
        p: cython.p_const_uchar = self.data
        at: cython.Py_ssize_t = self.target
        size: cython.Py_ssize_t
        counts: cython.Py_ssize_t
        if self.targets == 0:
            return False
        if at + 13 > self.end or at + 13 > self.at + self.size:
            raise UnknownRecord("a message that does not end with its record")
        size = entry_size(p, at)
        if at + size > self.end:
            raise UnknownRecord("a message that does not end with its record")
        self.targets -= 1
        self.entry = at
        self.target = at + size
        self.queue = u32(p, at)
        self.position = u64(p, at + 4)
        self.flags = p[at + 12]
        self.expires_at = u64(p, at + 13) if self.flags & EXPIRES else 0
        counts = at + (21 if self.flags & EXPIRES else 13)
        self.acquired = u32(p, counts) if self.flags & COUNTS else 0
        self.failed = u32(p, counts + 4) if self.flags & COUNTS else 0
        return True

    def message_at(self) -> int:
        """Offset of the encoded message of a MESSAGE record. Raises `UnknownRecord`."""
        p: cython.p_const_uchar = self.data
        at: cython.Py_ssize_t = self.target
        end: cython.Py_ssize_t = min(self.at + self.size, self.end)
        left: cython.uint = self.targets
        while left:
            if at + 13 > end:
                raise UnknownRecord("a message that does not end with its record")
            at += entry_size(p, at)
            left -= 1
        return at

    def whole(self) -> bool:
        """Return whether the current record ends at `end` or before: a MESSAGE may be longer than what is left of
        it."""
        return self.at + self.size <= self.end
