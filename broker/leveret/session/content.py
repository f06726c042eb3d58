"""Assembles a content: basic.publish, its header frame and its body frames (0-9-1 2.3.5.2).

The whole message is one slice of the read buffer if its header and its body lie there together, as those of small
messages nearly always do. Otherwise the body frames are collected. What all channels of a connection have collected is
counted (`Output.unfinished`).
"""

from __future__ import annotations

import cython

from leveret import errors

if cython.compiled:
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.wire.frames import Outbox, cut, same, u64
else:
    from leveret.session.output import Output
    from leveret.wire.frames import Outbox, cut, same, u64

#: The size of a body that body frames cannot complete.
_ENDLESS = cython.declare(cython.ulonglong, 1 << 63)

#: A larger body is refused where the profile checks it (rabbit_command_assembler).
_MAX_BODY_BYTES = cython.declare(cython.ulonglong, 536870912)

#: Bodies of at least this size are not searched for in the read buffer, which is smaller.
_SLICE_BYTES = cython.declare(cython.ulonglong, 1048576)

# Octets of a header frame without properties.
_HEADER_BYTES = cython.declare(cython.Py_ssize_t, 22)


class Content:
    """The content that is being received on a channel.

    `assembling`: basic.publish was read; `headed`: so was the header. `exchange_name`, `routing_key`, `mandatory`,
    `immediate`: as published; a name that equals the last one is the same object. `head`: the header frame; `size`:
    octets of the body, of which `missing` are still to come; `body`: what is collected; `collected`: its octets, as
    `output` counts them.
    """

    def __init__(self, output: Output, max_message_size: int, check_overrun: bool) -> None:
        self.output: Output = output
        self.max_message_size: int = max_message_size
        self.check_overrun: bool = check_overrun
        self.assembling: bool = False
        self.headed: bool = False
        self.exchange_name: bytes = b""
        self.routing_key: bytes = b""
        self.mandatory: bool = False
        self.immediate: bool = False
        self.head: bytes = b""
        self.body: Outbox | None = None
        self.collected: int = 0
        self.missing: int = 0
        self.size: int = 0

    def on_publish(self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bool:
        """Read basic.publish, whose arguments are at `i` (the ticket) to `end`. Returns False if they cannot be
        decoded."""
        size: cython.Py_ssize_t
        at: cython.Py_ssize_t
        bits: cython.uint
        at = i + 3
        if at > end:
            return False
        size = p[i + 2]
        if at + size + 1 > end:
            return False
        if not same(p, at, size, self.exchange_name):
            self.exchange_name = cut(p, at, at + size)
        at += size
        size = p[at]
        at += 1
        if at + size + 1 > end:
            return False
        if not same(p, at, size, self.routing_key):
            self.routing_key = cut(p, at, at + size)
        bits = p[at + size]
        self.mandatory = (bits & 1) != 0
        self.immediate = (bits & 2) != 0
        self.assembling = True
        self.headed = False
        return True

    def on_header(
        self,
        p: cython.p_const_uchar,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        limit: cython.Py_ssize_t,
        frame_max: cython.Py_ssize_t,
    ) -> int:
        """Read a header frame, which lies from `start` to `stop` in a buffer filled up to `limit`.

        Returns where the body ends if it follows as a whole in one frame of the same channel, `stop` if it is empty, 0
        if body frames are awaited, and -1 if the frame is too short to be a header.
        """
        size: cython.ulonglong
        end: cython.Py_ssize_t
        if stop - start < _HEADER_BYTES:
            return -1
        size = u64(p, start + 11)
        if size == 0:
            self.assembling = False
            return stop
        if self.check_overrun and size > _MAX_BODY_BYTES:
            raise errors.body_size_exceeds(size)
        if size < _SLICE_BYTES:
            end = stop + 8 + cython.cast(cython.Py_ssize_t, size)
            if (
                end <= limit
                and p[stop] == 3
                and p[stop + 1] == p[start + 1]
                and p[stop + 2] == p[start + 2]
                and cython.cast(cython.uint, p[stop + 3]) << 24
                | p[stop + 4] << 16
                | p[stop + 5] << 8
                | p[stop + 6]
                == size
                and p[end - 1] == 0xCE
                and end - stop <= frame_max + 8
            ):
                self.assembling = False
                return end
        self.head = cut(p, start, stop)
        self.collect(stop - start - _HEADER_BYTES)
        self.size = size
        self.missing = size
        self.headed = True
        return 0

    def on_body(self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bool:
        """Read a body frame, whose payload is at `i` to `end`. Returns True if it completes the content."""
        size: cython.ulonglong = end - i
        if size > self.missing:
            if self.check_overrun:
                raise errors.body_exceeds_size()
            # RabbitMQ's count becomes negative: only another type of frame ends this content.
            self.drop_body()
            self.size = _ENDLESS
            self.missing = _ENDLESS
        self.missing -= size
        # A body that will be refused for its size is not kept; RabbitMQ refuses it when it is complete.
        if self.size <= cython.cast(cython.ulonglong, self.max_message_size):
            if self.body is None:
                self.body = Outbox()
                self.body.put(self.head)
                self.body.put_head(3, 0, self.size)
            self.body.put_slice(p, i, end - i)
            self.collect(end - i)
        if self.missing:
            return False
        self.assembling = False
        self.headed = False
        return True

    def joined(self) -> bytes:
        """Return the header frame and the collected body in one body frame, and discard them."""
        whole: bytes = b""
        body: Outbox | None = self.body
        if body is not None:
            body.put_u8(0xCE)
            whole = body.take()
        self.drop_body()
        return whole

    def collect(self, octets: cython.Py_ssize_t) -> None:
        """Count octets that are collected of a content: its properties, or a part of its body."""
        self.collected += octets
        self.output.unfinished += octets

    def crowds(self, limit: cython.Py_ssize_t) -> bool:
        """Return whether the contents of the connection are larger than that together, and this is not the only one."""
        return self.output.unfinished > limit and self.output.unfinished > self.collected

    def drop_body(self) -> None:
        """Discard what was collected of the content."""
        self.output.unfinished -= self.collected
        self.collected = 0
        self.head = b""
        self.body = None

    def forget(self) -> None:
        """Discard what was collected."""
        self.assembling = False
        self.drop_body()
