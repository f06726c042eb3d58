"""One connection: bytes in, bytes out, and the one exit where a broken rule becomes a Close.

The server calls `receive` with what it read and keeps what was not consumed; at the end of the tick it sends what
`take_output` gives. `ended` tells it to close ("close": after sending) or to drop ("reset") the socket, `blocked` not
to read from it. No time, no socket: deadlines are on the broker's agenda (`handshake.py`, `lifetime.py`).

`scan` walks the frames where they lie. basic.publish with its content and the acknowledgements are handled there and
in `channel.py`; every other method is decoded through pamqp and dispatched to a function of `handshake.py`, `basic.py`,
`topology.py` or `transaction.py`.
"""

from __future__ import annotations

from typing import Any

import cython

from leveret import errors
from leveret.engine.actor import Actor
from leveret.engine.names import INTERNAL_USER
from leveret.errors import AmqpError
from leveret.session import dispatch, lifetime, states
from leveret.wire.erlang import excerpt

if cython.compiled:
    from cython.cimports.leveret.session.channel import Channel
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.wire.content import Header
    from cython.cimports.leveret.wire.frames import cut, u16, u32
else:
    from leveret.session.channel import Channel
    from leveret.session.output import Output
    from leveret.wire.content import Header
    from leveret.wire.frames import cut, u16, u32

# C variables where compiled: module constants are looked up by name otherwise.
_RUNNING = cython.declare(cython.int, states.RUNNING)
_CLOSING = cython.declare(cython.int, states.CLOSING)
_CLOSED = cython.declare(cython.int, states.CLOSED)
_HEADER = cython.declare(cython.int, states.AWAITING_HEADER)
_PUBLISH = cython.declare(cython.uint, 60 << 16 | 40)
_ACK = cython.declare(cython.uint, 60 << 16 | 80)
_REJECT = cython.declare(cython.uint, 60 << 16 | 90)
_NACK = cython.declare(cython.uint, 60 << 16 | 120)


class Connection(Output):
    """The server's side of one AMQP connection.

    `peer`: what the socket says of itself (`lifetime.Peer`). `state`: see `states`. `limit`: largest payload accepted.
    `channels`: number -> open channel. `alarmed`: a resource alarm is on and this connection will be blocked when it
    publishes. `timers`: its deadlines.
    `actor`: user and name of the connection. `received`, `sent`: octets; of the received ones, `unread` are to be
    given again.
    """

    def __init__(self, broker: Any, peer: Any, dirty: list[Output]) -> None:
        super().__init__(dirty)
        self.broker: Any = broker
        self.peer: Any = peer
        self.name: str = peer.name
        self.actor: Actor = Actor(INTERNAL_USER, peer.name)
        self.header: Header = Header()
        self.state: int = _HEADER
        self.limit: int = broker.profile.frame_min - 8
        self.frame_max: int = broker.profile.frame_min
        self.at: int = 0
        self.unread: int = 0
        self.method: int = 0
        self.channels: dict[int, Channel] = {}
        self.channel: Channel | None = None
        self.unflushed: list[Channel] = []
        self.alarmed: bool = False
        self.blocked: bool = False
        self.blocked_notified: bool = False
        self.ended: str = ""
        self.login: Any = None
        self.user: Any = None
        self.vhost: Any = None
        self.client_properties: dict[str, Any] = {}
        self.capabilities: Any = frozenset()
        self.mechanism: str = ""
        self.sasl: Any = None
        self.channel_max: int = 0
        self.heartbeat: int = 0
        self.timers: Any = None
        self.connected_at: int = broker.clock.now
        self.received: int = 0
        self.sent: int = 0
        self.frames_received: int = 0
        self.exclusive_queues: Any = None
        self.on_end: Any = None
        lifetime.begin(self)

    # --- in

    def receive(self, p: cython.p_const_uchar, n: cython.Py_ssize_t, start: cython.Py_ssize_t = 0) -> int:
        """Take the octets from `start` to `n` that were read; returns how many were consumed. The rest is to be given
        again, in front of what is read next."""
        before: cython.Py_ssize_t = start
        self.at = start
        self.received += n - start - self.unread
        self.unread = n - start
        if self.state == _HEADER and n - start < 8:
            return 0
        while self.state != _CLOSED and not self.blocked:
            before = self.at
            try:
                if self.state == _HEADER:
                    self.at = start + 8
                    dispatch.on_protocol_header(self, cut(p, start, start + 8))
                self.scan(p, n)
                break
            except AmqpError as error:
                self.refuse(error)
            except Exception as error:
                self.fail("frame", error)
            if self.at == before:  # a frame that cannot be passed over: nothing behind it makes sense
                if self.state != _CLOSED:
                    self.drop()
                break
        if self.state == _CLOSED:
            self.at = n
        self.unread = n - self.at
        return self.at - start

    def scan(self, p: cython.p_const_uchar, n: cython.Py_ssize_t) -> None:
        """Handle the whole frames between `at` and `n`; `at` moves past each before it is handled."""
        kind: cython.uint
        number: cython.uint
        size: cython.Py_ssize_t
        at: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        while True:
            at = self.at
            if n - at < 7 or self.blocked or self.state == _CLOSED:
                return
            kind = p[at]
            number = p[at + 1] << 8 | p[at + 2]
            size = cython.cast(cython.uint, p[at + 3]) << 24 | p[at + 4] << 16 | p[at + 5] << 8 | p[at + 6]
            if size > self.limit + 8:
                raise errors.frame_too_large(kind, size, self.limit)
            stop = at + 8 + size
            if stop > n:
                return
            if p[stop - 1] != 0xCE:
                raise errors.invalid_frame_end(kind, excerpt(cut(p, at + 7, stop - 1)), p[stop - 1])
            self.at = stop
            self.frames_received += 1
            if self.state != _RUNNING:
                dispatch.before_running(self, kind, number, cut(p, at + 7, stop - 1))
            elif kind == 1:
                self.on_hot_method(p, at + 7, stop - 1, number)
            elif kind == 2:
                self.on_header_frame(p, at + 7, stop - 1, number, n)
            elif kind == 3:
                self.on_body_frame(p, at + 7, stop - 1, number)
            elif kind != 8 or size:
                raise errors.unknown_frame(kind, excerpt(cut(p, at + 7, stop - 1)))
            elif number != 0:
                raise errors.unexpected_frame(kind, excerpt(b""))

    def find(self, number: cython.uint) -> Channel | None:
        """The open channel with this number; the last one used is at hand."""
        if self.channel is not None and self.channel.number == number:
            return self.channel
        self.channel = self.channels.get(number)
        return self.channel

    def on_hot_method(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, number: cython.uint
    ) -> None:
        """A method frame whose payload lies from `i` to `end`: the hot ones here, the rest dispatched."""
        method: cython.uint
        good: cython.bint = False
        channel: Channel | None = self.find(number)
        if end - i < 4:
            dispatch.on_method(self, number, channel, cut(p, i, end))
            return
        method = u32(p, i)
        self.method = method
        if channel is None:
            dispatch.on_method(self, number, channel, cut(p, i, end))
            return
        if channel.assembling:
            self.method = _PUBLISH
            raise errors.expected_body() if channel.headed else errors.expected_header()
        if method == _PUBLISH:
            good = channel.on_publish(p, i + 4, end)
        elif method in (_ACK, _NACK, _REJECT) and not channel.closing:
            good = channel.on_settle(p, i + 4, end, method & 0xFFFF)
        if not good:
            dispatch.on_method(self, number, channel, cut(p, i, end))

    def publisher(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        number: cython.uint,
        kind: cython.uint,
    ) -> Channel:
        """The channel that a content frame belongs to."""
        channel: Channel | None = self.find(number)
        if channel is not None and channel.assembling:
            self.method = _PUBLISH
            return channel
        if number == 0:
            raise errors.unexpected_frame(kind, excerpt(cut(p, i, end)))
        raise errors.expected_method()

    def on_header_frame(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        number: cython.uint,
        n: cython.Py_ssize_t,
    ) -> None:
        """A content header frame whose payload lies from `i` to `end`, in a buffer filled up to `n`."""
        stop: cython.Py_ssize_t
        channel: Channel
        if end - i < 12:
            raise errors.unknown_frame(2, excerpt(cut(p, i, end)))
        channel = self.publisher(p, i, end, number, 2)
        if channel.headed:
            raise errors.expected_body()
        if u16(p, i + 2) != 0:
            raise errors.expected_header()
        if u16(p, i) != 60:
            raise errors.wrong_header_class(u16(p, i))
        if self.alarmed:
            n = end + 1  # the body stays unread until the alarm is over
            lifetime.block(self)
        stop = channel.on_content(p, i, end, n)
        if stop > 0:
            self.at = stop  # before anything is refused: the body is read in any case
            channel.take_content(p, i, end, stop)
        elif stop < 0:
            raise errors.malformed_properties()

    def on_body_frame(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, number: cython.uint
    ) -> None:
        """A content body frame whose payload lies from `i` to `end`."""
        channel: Channel = self.publisher(p, i, end, number, 3)
        if not channel.headed:
            raise errors.expected_header()
        channel.on_body(p, i, end)

    # --- out

    def send(self, frame: bytes) -> None:
        """Put a whole frame into the outbox."""
        self.outbox.put(frame)
        if not self.flush_scheduled:
            self.schedule_flush()

    def take_output(self) -> bytes:
        """What is to be sent now: confirms that are due, and everything in the outbox."""
        channel: Channel
        self.flush_scheduled = False
        if self.unflushed:
            for channel in self.unflushed:
                if not channel.gone and not channel.closing and channel.confirms is not None:
                    channel.confirms.write(self.outbox, channel.number)
            self.unflushed.clear()
        if self.outbox.size == 0:
            return b""
        data: bytes = self.outbox.take()
        self.sent += len(data)
        return data

    def drained(self) -> None:
        """The socket takes more: consumers that were passed over are asked again."""
        channel: Channel
        self.congested = False
        for channel in list(self.channels.values()):
            channel.wake_all()
            if channel.context.dead_letters:
                channel.vhost.publish_dead_letters()

    @property
    def cancels_consumers(self) -> bool:
        """Whether the client understands basic.cancel (docs: consumer-cancel)."""
        return "consumer_cancel_notify" in self.capabilities

    def send_cancel(self, channel: Channel, tag: str) -> None:
        """basic.cancel, to clients that understand it."""
        if self.cancels_consumers:
            self.write_confirms(channel)
            self.send(dispatch.cancel_frame(channel.number, tag))

    def write_confirms(self, channel: Channel) -> None:
        """Confirms that are due go out before what follows."""
        if channel.confirms is not None and channel.confirms.queued:
            self.unflushed.remove(channel)
            channel.confirms.write(self.outbox, channel.number)

    # --- what the user may do

    def check(self, kind: str, rendered: str, name: str) -> None:
        """403 unless the user may `kind` (configure, write, read) what is called `name` (docs: access-control)."""
        self.broker.access.check(
            self.user.name, self.vhost.name, kind, rendered, name, self.broker.profile.access_refused_prefix
        )

    def check_topic(self, kind: str, exchange: str, keys: list[bytes]) -> None:
        """403 unless the user may use these routing keys with a topic exchange (docs: access-control#topic)."""
        access = self.broker.access
        if access.has_topic_permissions(self.user.name, self.vhost.name):
            for key in keys:
                access.check_topic(
                    self.user.name,
                    self.vhost.name,
                    kind,
                    exchange,
                    key.decode("utf-8", "surrogateescape"),
                    self.broker.profile.access_refused_prefix,
                )

    # --- the end

    def refuse(self, error: AmqpError) -> None:
        """Turn a broken rule into channel.close or connection.close."""
        try:
            lifetime.refuse(self, error)
        except Exception as fault:
            self.fail("close", fault)

    def fail(self, place: str, error: Exception) -> None:
        """Serving it has raised an exception: that ends this connection, and no other. Raises nothing."""
        lifetime.fail(self, place, error)

    def close_channel(self, channel: Channel, error: AmqpError) -> None:
        """The broker ends a channel for reasons of its own."""
        lifetime.close_channel(self, channel, error)

    def drop(self) -> None:
        """Nothing more to say: the socket is dropped after RabbitMQ's 3 seconds of silence."""
        lifetime.drop(self)

    def shut(self, error: AmqpError) -> None:
        """The broker ends the connection for reasons of its own (320)."""
        lifetime.close(self, error)

    def alarm_changed(self, on: bool) -> None:
        """A resource alarm went on, or the last one off."""
        lifetime.alarm_changed(self, on)

    def lost(self) -> None:
        """The socket is gone."""
        lifetime.end(self)

    def channel_gone(self, number: int) -> None:
        """A channel number is free again."""
        self.channels.pop(number, None)
        self.channel = None
