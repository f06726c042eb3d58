"""Reads frames in place in the read buffer and handles each.

The server calls `Reader.receive` with the octets that it has read, and keeps those that were not consumed.
basic.publish with its content and acknowledgements are handled here and in `channel.py`; all other methods are decoded
by `dispatch.py`. Each `AmqpError` is caught in one place, `receive`.
"""

from __future__ import annotations

import cython

from leveret import errors
from leveret.errors import AmqpError
from leveret.session import dispatch, states
from leveret.wire.erlang import excerpt
from leveret.work import Suspended

if cython.compiled:
    from cython.cimports.leveret.session.channel import Channel
    from cython.cimports.leveret.session.connection import Connection
    from cython.cimports.leveret.wire.frames import cut, u16, u32
else:
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection
    from leveret.wire.frames import cut, u16, u32

# C variables where compiled: module constants are looked up by name otherwise.
_RUNNING = cython.declare(cython.int, states.RUNNING)
_CLOSED = cython.declare(cython.int, states.CLOSED)
_HEADER = cython.declare(cython.int, states.AWAITING_HEADER)
_PUBLISH = cython.declare(cython.uint, 60 << 16 | 40)
_ACK = cython.declare(cython.uint, 60 << 16 | 80)
_REJECT = cython.declare(cython.uint, 60 << 16 | 90)
_NACK = cython.declare(cython.uint, 60 << 16 | 120)

#: Changes from one channel to another before the connection looks whether its turn is over.
_SWITCHES = cython.declare(cython.Py_ssize_t, 16)


class Reader:
    """The reading side of a connection. `at`: where the next frame begins; `frame`: where the one that is
    handled begins; `unread`: octets that were not consumed; `switches`: changes from one channel to another."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection = connection
        self.at: int = 0
        self.unread: int = 0
        self.frame: int = 0
        self.switches: int = 0

    def receive(self, p: cython.p_const_uchar, n: cython.Py_ssize_t, start: cython.Py_ssize_t = 0) -> int:
        """Handle the octets from `start` to `n`. Returns how many were consumed.

        The others must be passed again, before what is read next. Raises nothing: see `Connection.ended`.
        """
        connection: Connection = self.connection
        before: cython.Py_ssize_t = start
        self.at = start
        connection.received += n - start - self.unread
        connection.reads += 1
        self.unread = n - start
        if connection.state == _HEADER and n - start < 8:
            return 0
        while connection.state != _CLOSED and not connection.halted:
            before = self.at
            try:
                if connection.state == _HEADER:
                    self.at = start + 8
                    dispatch.on_protocol_header(connection, cut(p, start, start + 8))
                self.scan(p, n)
                break
            except Suspended as waiting:
                self.at = self.frame  # the frame is handled again after the job
                connection.frames_received -= 1
                connection.suspend(waiting.job)
                break
            except AmqpError as error:
                connection.refuse(error)
                connection.publish_dead_letters()
                if connection.state == _RUNNING:
                    self.end_turn_if_spent()  # a refusal is written to the log
            except Exception as error:
                connection.fail("frame", error)
            # The end of this frame is unknown, so what follows it cannot be read.
            if self.at == before:
                if connection.state != _CLOSED:
                    connection.drop()
                break
        if connection.state == _CLOSED:
            self.at = n
        self.unread = n - self.at
        return self.at - start

    def scan(self, p: cython.p_const_uchar, n: cython.Py_ssize_t) -> None:
        """Handle the whole frames between `at` and `n`; `at` moves past each before it is handled."""
        connection: Connection = self.connection
        kind: cython.uint
        number: cython.uint
        size: cython.Py_ssize_t
        at: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        while True:
            at = self.at
            if n - at < 7 or connection.halted or connection.state == _CLOSED:
                return
            kind = p[at]
            number = p[at + 1] << 8 | p[at + 2]
            size = cython.cast(cython.uint, p[at + 3]) << 24 | p[at + 4] << 16 | p[at + 5] << 8 | p[at + 6]
            if size > connection.limit + 8 and (kind != 3 or size > connection.body_limit + 8):
                raise errors.frame_too_large(
                    kind, size, connection.body_limit if kind == 3 else connection.limit
                )
            stop = at + 8 + size
            if stop > n:
                return
            if p[stop - 1] != 0xCE:
                raise errors.invalid_frame_end(kind, excerpt(cut(p, at + 7, stop - 1)), p[stop - 1])
            self.frame = at
            self.at = stop
            connection.frames_received += 1
            if connection.state != _RUNNING:
                dispatch.before_running(connection, kind, number, cut(p, at + 7, stop - 1))
            elif kind == 1:
                self.on_method_frame(p, at + 7, stop - 1, number)
            elif kind == 2:
                self.on_header_frame(p, at, stop, number, n)
            elif kind == 3:
                self.on_body_frame(p, at + 7, stop - 1, number)
            elif kind != 8 or size:
                raise errors.unknown_frame(kind, excerpt(cut(p, at + 7, stop - 1)))
            elif number != 0:
                raise errors.unexpected_frame(kind, excerpt(b""))

    def find(self, number: cython.uint) -> Channel | None:
        """Return the open channel with this number, or None; make it the last one used."""
        connection: Connection = self.connection
        if connection.channel is None or connection.channel.number != number:
            connection.channel = connection.channels.get(number)
            self.switches += 1
            if self.switches > _SWITCHES:  # each channel counts its work by itself
                self.switches = 0
                self.end_turn_if_spent()
        return connection.channel

    def on_method_frame(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, number: cython.uint
    ) -> None:
        """Handle a method frame whose payload lies from `i` to `end`."""
        method: cython.uint
        channel: Channel | None = self.find(number)
        if end - i < 4 or channel is None:
            dispatch.on_method(self.connection, number, channel, cut(p, i, end))
            self.end_turn_if_spent()
            return
        method = u32(p, i)
        self.connection.method = method
        if channel.content.assembling:
            self.connection.method = _PUBLISH
            raise errors.expected_body() if channel.content.headed else errors.expected_header()
        if method == _PUBLISH:
            if channel.content.on_publish(p, i + 4, end):
                return
        elif (
            method in (_ACK, _NACK, _REJECT)
            and not channel.closing
            and channel.on_settle(p, i + 4, end, method & 0xFFFF)
        ):
            if channel.context.dead_letters:
                channel.publish_dead_letters()
                self.end_turn_if_spent()
            return
        dispatch.on_method(self.connection, number, channel, cut(p, i, end))
        channel.publish_dead_letters()
        self.end_turn_if_spent()

    def end_turn_if_spent(self) -> None:
        """End the turn of the connection after a method that may have cost much."""
        if self.connection.broker.work.spent():
            self.connection.end_turn()

    def publisher(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        number: cython.uint,
        kind: cython.uint,
    ) -> Channel:
        """Return the channel that a content frame belongs to. Raises 505 where no content is awaited."""
        channel: Channel | None = self.find(number)
        if channel is not None and channel.content.assembling:
            self.connection.method = _PUBLISH
            return channel
        if number == 0:
            raise errors.unexpected_frame(kind, excerpt(cut(p, i, end)))
        raise errors.expected_method()

    def on_header_frame(
        self,
        p: cython.p_const_uchar,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        number: cython.uint,
        n: cython.Py_ssize_t,
    ) -> None:
        """Handle a content header frame that lies from `start` to `stop`, in a buffer filled up to `n`."""
        end: cython.Py_ssize_t
        channel: Channel
        if stop - start < 20:
            raise errors.unknown_frame(2, excerpt(cut(p, start + 7, stop - 1)))
        channel = self.publisher(p, start + 7, stop - 1, number, 2)
        if channel.content.headed:
            raise errors.expected_body()
        if u16(p, start + 9) != 0:
            raise errors.expected_header()
        if u16(p, start + 7) != 60:
            raise errors.wrong_header_class(u16(p, start + 7))
        if self.connection.alarmed:
            n = stop  # the body stays unread until the alarm is over
            self.connection.block()
        end = channel.content.on_header(p, start, stop, n, self.connection.frame_max)
        if end > 0:
            # The body is read even if the header is refused.
            self.at = end
            channel.publish(cut(p, start, end), stop - start, end - stop - 8 if end > stop else 0)
            if channel.context.dead_letters:
                channel.publish_dead_letters()
                self.end_turn_if_spent()
        elif end < 0:
            raise errors.malformed_properties()
        elif channel.content.crowds(self.connection.unfinished_limit):
            raise errors.unfinished_bodies(self.connection.unfinished_limit)

    def on_body_frame(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, number: cython.uint
    ) -> None:
        """Handle a content body frame whose payload lies from `i` to `end`."""
        channel: Channel = self.publisher(p, i, end, number, 3)
        if not channel.content.headed:
            raise errors.expected_header()
        if channel.content.on_body(p, i, end):
            channel.publish_joined()
            if channel.context.dead_letters:
                channel.publish_dead_letters()
                self.end_turn_if_spent()
        elif channel.content.crowds(self.connection.unfinished_limit):
            raise errors.unfinished_bodies(self.connection.unfinished_limit)
        if self.connection.alarmed:
            self.connection.block()
