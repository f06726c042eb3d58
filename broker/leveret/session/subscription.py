"""A consumer of a channel: whether it can take a delivery, and how a delivery is written.

Exchange and routing key of the last delivery are kept with their encoding. Queues pass the same objects while a
publisher repeats its names, so they are compared by identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cython

from leveret.engine.changes import ConsumerCancelled
from leveret.queues.message import frame_content
from leveret.session import delivery_timeouts, settling
from leveret.session.output import OUTBOX_LIMIT_BYTES

if cython.compiled:
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.message import Entry, Message, Source
    from cython.cimports.leveret.queues.tallies import DeliveryTally
    from cython.cimports.leveret.session.base import ConnectionBase
    from cython.cimports.leveret.session.channel import Channel
    from cython.cimports.leveret.wire.frames import Outbox, cut, shortstr
else:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Message, Source
    from leveret.queues.tallies import DeliveryTally
    from leveret.session.base import ConnectionBase
    from leveret.session.channel import Channel
    from leveret.wire.frames import Outbox, cut, shortstr

if TYPE_CHECKING:
    from leveret.engine.firehose import Firehose
    from leveret.session.unacked import Unacked

# A C variable where compiled: module constants are looked up by name otherwise.
_OUTBOX_LIMIT_BYTES = cython.declare(cython.Py_ssize_t, OUTBOX_LIMIT_BYTES)

_DELIVER = (60 << 16 | 60).to_bytes(4, "big")


def _stored(properties: bytes, body: bytes, suffix: bytes) -> Message:
    """Make a message from what a page of a stream has of it. `suffix`: exchange and routing key as short strings."""
    size = 1 + suffix[0]
    header = (60 << 16).to_bytes(4, "big") + len(body).to_bytes(8, "big") + properties
    content, head = frame_content(header, body)
    return Message(suffix[1:size], suffix[size + 1 :], content, head, len(body))


class Subscription(Consumer):
    """A consumer of a channel. `prefix`, `suffix`: the arguments of basic.deliver before and after the delivery tag."""

    def __init__(
        self,
        channel: Channel,
        tag: str,
        source: Source,
        no_ack: bool,
        exclusive: bool,
        priority: int,
        limit: int,
    ) -> None:
        super().__init__(tag, source, no_ack, exclusive, priority, limit)
        self.channel: Channel = channel
        self.tally = channel.delivery_tally(source)
        self.prefix: bytes = _DELIVER + shortstr(tag.encode("utf-8", "surrogateescape"))
        self.exchange: bytes | None = None
        self.routing_key: bytes | None = None
        self.suffix: bytes = b""

    def ready(self) -> bool:
        """Return whether consumer and channel have credit, and the client reads."""
        channel: Channel = self.channel
        connection: ConnectionBase = channel.connection
        if channel.gone or (self.limit and self.held >= self.limit):
            return False
        if channel.global_prefetch and channel.held >= channel.global_prefetch:
            return False
        if connection.paused or connection.outbox.size > _OUTBOX_LIMIT_BYTES:
            connection.congested = True
            return False
        return True

    def take(self, message: Message, entry: Entry | None, redelivered: cython.bint) -> None:
        """Write basic.deliver and the content."""
        channel: Channel = self.channel
        connection: ConnectionBase = channel.connection
        tally: DeliveryTally = self.tally
        outbox: Outbox = connection.outbox
        if message.routing_key is not self.routing_key or message.exchange is not self.exchange:
            self.exchange = message.exchange
            self.routing_key = message.routing_key
            self.suffix = shortstr(message.exchange) + shortstr(message.routing_key)
            if channel.context.firehose is not None or channel.context.interceptor is not None:
                self.take_watched(message, entry, redelivered)
                return
        channel.tag += 1
        if entry is not None:
            entry.tag = channel.tag
            entry.consumer = self
            self.held += 1
            channel.held += 1
            channel.unacked.add(entry)
            tally.delivered += 1
        else:
            tally.delivered_no_ack += 1
        if redelivered:
            tally.redelivered += 1
        outbox.deliver(channel.number, self.prefix, channel.tag, redelivered, self.suffix)
        outbox.put_content(channel.number, message.content, message.head, message.size, connection.frame_max)
        if not connection.flush_scheduled:
            connection.schedule_flush()

    def read(
        self,
        p: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        properties: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        suffix: bytes,
        entry: Entry,
    ) -> None:
        """Write basic.deliver and the content that lies at `at` in a page of a stream."""
        channel: Channel = self.channel
        connection: ConnectionBase = channel.connection
        channel.tag += 1
        entry.tag = channel.tag
        entry.consumer = self
        self.held += 1
        channel.held += 1
        channel.unacked.add(entry)
        self.tally.delivered += 1
        connection.outbox.deliver(channel.number, self.prefix, channel.tag, False, suffix)
        if channel.context.interceptor is None:
            connection.outbox.put_stored(channel.number, p, at, properties, body, connection.frame_max)
        else:
            self.put_changed(
                cut(p, at, at + properties), cut(p, at + properties, at + properties + body), suffix
            )
        if not connection.flush_scheduled:
            connection.schedule_flush()
        if channel.context.firehose is not None:
            self.trace_read(
                cut(p, at, at + properties), cut(p, at + properties, at + properties + body), suffix
            )

    def trace_read(self, properties: bytes, body: bytes, suffix: bytes) -> None:
        """Publish a delivery of a stream to the firehose."""
        channel: Channel = self.channel
        firehose: Firehose = channel.context.firehose
        firehose.delivered(channel, _stored(properties, body, suffix), settling.queue_of(self), False)

    def put_changed(self, properties: bytes, body: bytes, suffix: bytes) -> None:
        """Write the content of a delivery of a stream as the interceptor has changed it."""
        channel: Channel = self.channel
        connection: ConnectionBase = channel.connection
        message: Message = channel.context.interceptor.delivered(_stored(properties, body, suffix))
        connection.outbox.put_content(
            channel.number, message.content, message.head, message.size, connection.frame_max
        )

    def take_watched(self, message: Message, entry: Entry | None, redelivered: cython.bint) -> None:
        """`take` what the interceptor makes of a message, and publish it to the firehose. The names are discarded, so
        that the same is done with the next delivery."""
        channel: Channel = self.channel
        if channel.context.interceptor is not None:
            message = channel.context.interceptor.delivered(message)
        self.take(message, entry, redelivered)
        self.tracing_changed()
        if channel.context.firehose is not None:
            channel.context.firehose.delivered(channel, message, settling.queue_of(self), redelivered)

    def tracing_changed(self) -> None:
        """Discard the names, so that the next delivery checks whether it is traced."""
        self.exchange = None
        self.routing_key = None

    def deliveries(self) -> Unacked:
        """Return the unacknowledged deliveries of its channel."""
        return self.channel.unacked

    def replace(self, entry: Entry, late: Entry) -> bool:
        """Put `late` in the place of a delivery that timed out: its tag stays known to the channel. False if it is
        settled already."""
        channel: Channel = self.channel
        if channel.unacked.find(entry.tag) is not entry:
            return False
        channel.unacked.take(entry.tag)
        channel.unacked.restore(late)
        return True

    def timed_out(self) -> None:
        """Send basic.cancel because deliveries have timed out, or channel.close to clients that do not support it."""
        channel: Channel = self.channel
        if channel.gone:
            return
        if self.tag in channel.consumers and channel.connection.cancels_consumers:
            channel.send_cancel(self.tag)
        else:
            delivery_timeouts.close(channel, -1)

    def failed(self, error: Exception) -> None:
        """End the connection after an exception during a delivery."""
        self.channel.connection.fail("delivery", error)

    def cancelled(self) -> None:
        """Send basic.cancel because the queue was deleted, to clients that support it."""
        channel: Channel = self.channel
        channel.consumers.pop(self.tag, None)
        if not channel.gone:
            connection: ConnectionBase = channel.connection
            connection.broker.observers.notify(ConsumerCancelled(connection.actor, self))
            channel.send_cancel(self.tag)
