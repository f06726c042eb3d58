"""Bytes to numbers and back: the lowest layer of the hot path.

A frame is type (1 octet), channel (2), payload size (4), payload, end octet 0xCE (AMQP 0-9-1, 4.2.3). Frames are read
in place through a typed pointer; only what is kept is copied. Output is written into one growing buffer for each
connection, the `Outbox`, which the server empties once a tick.

Only these functions have two implementations, C when compiled and Python when not; everything above has one. The caller
checks bounds once for each frame, before reading.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.stdlib import free, realloc
    from cython.cimports.libc.string import memcmp, memcpy

METHOD = 1
HEADER = 2
BODY = 3
HEARTBEAT = 8
END = 0xCE

#: Octets of a frame that are not payload: type, channel, size, end.
OVERHEAD = 8

#: A heartbeat frame.
HEARTBEAT_FRAME = bytes((HEARTBEAT, 0, 0, 0, 0, 0, 0, END))

#: The buffer size of an outbox after a burst.
_SMALL_BYTES = 4096


def u16(p: cython.p_const_uchar, i: cython.Py_ssize_t) -> int:
    """Read two octets at `i` as an unsigned integer."""
    return p[i] << 8 | p[i + 1]


def u32(p: cython.p_const_uchar, i: cython.Py_ssize_t) -> int:
    """Read four octets at `i` as an unsigned integer."""
    value: cython.uint = cython.cast(cython.uint, p[i]) << 24 | p[i + 1] << 16 | p[i + 2] << 8 | p[i + 3]
    return value


def u64(p: cython.p_const_uchar, i: cython.Py_ssize_t) -> int:
    """Read eight octets at `i` as an unsigned integer."""
    value: cython.ulonglong = cython.cast(cython.ulonglong, u32(p, i)) << 32 | u32(p, i + 4)
    return value


def cut(p: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
    """Copy the octets from `start` to `end`."""
    if cython.compiled:
        return PyBytes_FromStringAndSize(cython.cast(cython.p_char, p + start), end - start)
    return bytes(p[start:end])


def same(p: cython.p_const_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t, other: bytes) -> bool:
    """Return whether the `size` octets at `start` equal `other`."""
    if cython.compiled:
        q: cython.p_const_uchar = other
        return len(other) == size and memcmp(p + start, q, size) == 0
    return bytes(p[start : start + size]) == other


def shortstr(text: bytes) -> bytes:
    """Encode a short string of at most 255 octets: its length octet, then its octets (AMQP 0-9-1 4.2.5.3)."""
    return bytes((len(text),)) + text


class Outbox:
    """A growing buffer with the output of a connection; emptied once a tick.

    `size`: octets in it. The buffer shrinks after a burst, so that an idle connection uses hardly any memory.
    """

    def __cinit__(self) -> None:
        if cython.compiled:
            self.block = cython.NULL
            self.room = 0

    def __init__(self) -> None:
        self.size: int = 0
        self.plain: bytearray = bytearray()

    def __dealloc__(self) -> None:
        if cython.compiled:
            free(self.block)

    def grow(self, more: cython.Py_ssize_t) -> None:
        """Make room for `more` octets (compiled only)."""
        if cython.compiled:
            room: cython.Py_ssize_t = self.room * 2 if self.room else _SMALL_BYTES
            while room < self.size + more:
                room *= 2
            block: cython.p_uchar = cython.cast(cython.p_uchar, realloc(self.block, room))
            if block is cython.NULL:
                raise MemoryError("no memory for a connection's output")
            self.block = block
            self.room = room

    def put(self, data: bytes) -> None:
        """Append `data`."""
        self.put_slice(data, 0, len(data))

    def put_slice(self, p: cython.p_const_uchar, start: cython.Py_ssize_t, size: cython.Py_ssize_t) -> None:
        """Append `size` octets of `p` from `start` on."""
        if cython.compiled:
            if self.size + size > self.room:
                self.grow(size)
            memcpy(self.block + self.size, p + start, size)
        else:
            self.plain += p[start : start + size]
        self.size += size

    def put_u8(self, value: cython.uint) -> None:
        """Append one octet."""
        if cython.compiled:
            if self.size + 1 > self.room:
                self.grow(1)
            self.block[self.size] = value
        else:
            self.plain.append(value)
        self.size += 1

    def put_u32(self, value: cython.uint) -> None:
        """Append four octets."""
        if cython.compiled:
            if self.size + 4 > self.room:
                self.grow(4)
            q: cython.p_uchar = self.block + self.size
            q[0] = value >> 24
            q[1] = value >> 16
            q[2] = value >> 8
            q[3] = value
        else:
            self.plain += value.to_bytes(4, "big")
        self.size += 4

    def put_u64(self, value: cython.ulonglong) -> None:
        """Append eight octets."""
        self.put_u32(value >> 32)
        self.put_u32(value & 0xFFFFFFFF)

    def cut_back(self, size: cython.Py_ssize_t) -> None:
        """Remove everything behind the first `size` octets."""
        if not cython.compiled:
            del self.plain[size:]
        self.size = size

    def poke_u32(self, at: cython.Py_ssize_t, value: cython.uint) -> None:
        """Overwrite four octets at `at`: a length that was not known before."""
        if cython.compiled:
            q: cython.p_uchar = self.block + at
            q[0] = value >> 24
            q[1] = value >> 16
            q[2] = value >> 8
            q[3] = value
        else:
            self.plain[at : at + 4] = value.to_bytes(4, "big")

    def put_head(self, kind: cython.uint, channel: cython.uint, size: cython.uint) -> None:
        """Append the seven octets that begin a frame."""
        if cython.compiled:
            if self.size + 7 > self.room:
                self.grow(7)
            q: cython.p_uchar = self.block + self.size
            q[0] = kind
            q[1] = channel >> 8
            q[2] = channel
            q[3] = size >> 24
            q[4] = size >> 16
            q[5] = size >> 8
            q[6] = size
        else:
            self.plain += kind.to_bytes(1, "big") + channel.to_bytes(2, "big") + size.to_bytes(4, "big")
        self.size += 7

    def put_content(
        self,
        channel: cython.uint,
        content: bytes,
        head: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        frame_max: cython.Py_ssize_t,
    ) -> None:
        """Append the frames of a message on `channel`.

        `content` is one header frame of `head` octets and, unless `body` is 0, one body frame with `body` octets, as in
        `Message.content`. Frames within the receiver's `frame_max` are copied and get the channel number; a larger body
        is split as in AMQP 0-9-1 2.3.5.2.
        """
        whole: cython.Py_ssize_t = len(content)
        if body + 8 > frame_max:
            self.put_head(2, channel, head - 8)
            self.put_slice(content, 7, head - 7)
            self.split(channel, content, head + 7, body, frame_max - 8)
            return
        if cython.compiled:
            p: cython.p_const_uchar = content
            if self.size + whole > self.room:
                self.grow(whole)
            q: cython.p_uchar = self.block + self.size
            memcpy(q, p, whole)
            q[1] = channel >> 8
            q[2] = channel
            if body:
                q[head + 1] = channel >> 8
                q[head + 2] = channel
        else:
            number = channel.to_bytes(2, "big")
            self.plain += content[:1] + number + content[3:head]
            if body:
                self.plain += content[head : head + 1] + number + content[head + 3 :]
        self.size += whole

    def put_stored(
        self,
        channel: cython.uint,
        p: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        properties: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        frame_max: cython.Py_ssize_t,
    ) -> None:
        """Append the frames of a stored message: at `at` are `properties` octets of property flags and list, then
        `body` octets."""
        self.put_head(2, channel, 12 + properties)
        self.put_u32(60 << 16)
        self.put_u64(body)
        self.put_slice(p, at, properties)
        self.put_u8(END)
        self.split(channel, p, at + properties, body, frame_max - 8)

    def split(
        self,
        channel: cython.uint,
        content: cython.p_const_uchar,
        start: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        most: cython.Py_ssize_t,
    ) -> None:
        """Append a body as several frames with at most `most` octets each."""
        done: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t
        while done < body:
            size = min(most, body - done)
            self.put_head(3, channel, size)
            self.put_slice(content, start + done, size)
            self.put_u8(END)
            done += size

    def deliver(
        self,
        channel: cython.uint,
        prefix: bytes,
        tag: cython.ulonglong,
        redelivered: cython.bint,
        suffix: bytes,
    ) -> None:
        """Append a method frame: `prefix` (class, method, consumer tag), delivery tag, redelivered, `suffix`.

        This is basic.deliver if the suffix is (exchange, routing key), and basic.get-ok with the message count after
        these.
        """
        before: cython.Py_ssize_t = len(prefix)
        after: cython.Py_ssize_t = len(suffix)
        if cython.compiled:
            size: cython.Py_ssize_t = before + 9 + after
            if self.size + size + 8 > self.room:
                self.grow(size + 8)
            q: cython.p_uchar = self.block + self.size
            q[0] = 1
            q[1] = channel >> 8
            q[2] = channel
            q[3] = size >> 24
            q[4] = size >> 16
            q[5] = size >> 8
            q[6] = size
            q += 7
            p: cython.p_const_uchar = prefix
            memcpy(q, p, before)
            q += before
            q[0] = tag >> 56
            q[1] = tag >> 48
            q[2] = tag >> 40
            q[3] = tag >> 32
            q[4] = tag >> 24
            q[5] = tag >> 16
            q[6] = tag >> 8
            q[7] = tag
            q[8] = redelivered
            q += 9
            s: cython.p_const_uchar = suffix
            memcpy(q, s, after)
            q[after] = 0xCE
            self.size += size + 8
        else:
            self.put_head(METHOD, channel, before + 9 + after)
            self.plain += prefix + tag.to_bytes(8, "big") + bytes((redelivered,)) + suffix + b"\xce"
            self.size += before + 9 + after + 1

    def confirm(
        self, channel: cython.uint, method: cython.uint, tag: cython.ulonglong, bits: cython.uint
    ) -> None:
        """Append basic.ack (`method` 80) or basic.nack (120) for a publisher; `bits`: 1 multiple, 2 requeue."""
        self.put_head(1, channel, 13)
        self.put_u32(60 << 16 | method)
        self.put_u64(tag)
        self.put_u8(bits)
        self.put_u8(0xCE)

    def take(self) -> bytes:
        """Return everything in the outbox and empty it."""
        if cython.compiled:
            data: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, self.block), self.size)
            if self.room > _SMALL_BYTES and self.size < self.room // 8:
                free(self.block)
                self.block = cython.NULL
                self.room = 0
        else:
            data = bytes(self.plain)
            self.plain = bytearray()
        self.size = 0
        return data
