"""A consumer of a channel: whether it can be delivered to, and how a delivery is written.

The exchange and key of the last delivery are kept with their encoding; queues hand on the same objects while a
publisher repeats them, so that identity tells.
"""

from __future__ import annotations

from typing import Any

import cython

from leveret.engine.changes import ConsumerCancelled
from leveret.queues.message import frame_content
from leveret.session import delivery_timeouts
from leveret.session.output import OUTBOX_LIMIT_BYTES

if cython.compiled:
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.message import Entry, Message, Source
    from cython.cimports.leveret.session.channel import Channel
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.wire.frames import Outbox, cut, shortstr
else:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Message, Source
    from leveret.session.channel import Channel
    from leveret.session.output import Output
    from leveret.wire.frames import Outbox, cut, shortstr

# A C variable where compiled: module constants are looked up by name otherwise.
_OUTBOX_LIMIT_BYTES = cython.declare(cython.Py_ssize_t, OUTBOX_LIMIT_BYTES)

_DELIVER = (60 << 16 | 60).to_bytes(4, "big")


class Subscription(Consumer):
    """A consumer of a channel: how it is delivered to."""

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
        self.prefix: bytes = _DELIVER + shortstr(tag.encode("utf-8", "surrogateescape"))
        self.exchange: bytes | None = None
        self.routing_key: bytes | None = None
        self.suffix: bytes = b""

    def ready(self) -> bool:
        """Credit of its own, credit of the channel, and a client that reads."""
        channel: Channel = self.channel
        if channel.gone or (self.limit and self.held >= self.limit):
            return False
        if channel.global_prefetch and channel.held >= channel.global_prefetch:
            return False
        if channel.output.paused or channel.output.outbox.size > _OUTBOX_LIMIT_BYTES:
            channel.output.congested = True
            return False
        return True

    def take(self, message: Message, entry: Entry | None, redelivered: cython.bint) -> None:
        """Write basic.deliver and the content."""
        channel: Channel = self.channel
        output: Output = channel.output
        outbox: Outbox = output.outbox
        if message.routing_key is not self.routing_key or message.exchange is not self.exchange:
            self.exchange = message.exchange
            self.routing_key = message.routing_key
            self.suffix = shortstr(message.exchange) + shortstr(message.routing_key)
            if channel.context.firehose is not None:
                self.take_traced(message, entry, redelivered)
                return
        channel.tag += 1
        if entry is not None:
            entry.tag = channel.tag
            entry.consumer = self
            self.held += 1
            channel.held += 1
            channel.unacked.add(entry)
            channel.delivered += 1
        else:
            channel.delivered_no_ack += 1
        if redelivered:
            channel.redelivered += 1
        outbox.deliver(channel.number, self.prefix, channel.tag, redelivered, self.suffix)
        outbox.put_content(channel.number, message.content, message.head, message.size, output.frame_max)
        if not output.flush_scheduled:
            output.schedule_flush()

    def read(
        self,
        p: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        properties: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        suffix: bytes,
        entry: Entry,
    ) -> None:
        """Write basic.deliver and the content that a stream has at `at`."""
        channel: Channel = self.channel
        output: Output = channel.output
        channel.tag += 1
        entry.tag = channel.tag
        entry.consumer = self
        self.held += 1
        channel.held += 1
        channel.unacked.add(entry)
        channel.delivered += 1
        output.outbox.deliver(channel.number, self.prefix, channel.tag, False, suffix)
        output.outbox.put_stored(channel.number, p, at, properties, body, output.frame_max)
        if not output.flush_scheduled:
            output.schedule_flush()
        if channel.context.firehose is not None:
            self.trace_read(
                cut(p, at, at + properties), cut(p, at + properties, at + properties + body), suffix
            )

    def trace_read(self, properties: bytes, body: bytes, suffix: bytes) -> None:
        """Tell the firehose what was read of a stream."""
        channel: Channel = self.channel
        size = 1 + suffix[0]
        header = (60 << 16).to_bytes(4, "big") + len(body).to_bytes(8, "big") + properties
        content, head = frame_content(header, body)
        message = Message(suffix[1:size], suffix[size + 1 :], content, head, len(body))
        firehose: Any = channel.context.firehose
        firehose.delivered(channel, message, self.source, False)

    def take_traced(self, message: Message, entry: Entry | None, redelivered: cython.bint) -> None:
        """`take`, then tell the firehose; the names are forgotten, so that the next delivery comes here, too."""
        firehose: Any = self.channel.context.firehose
        self.take(message, entry, redelivered)
        self.tracing_changed()
        firehose.delivered(self.channel, message, self.source, redelivered)

    def tracing_changed(self) -> None:
        """Whether deliveries are traced has changed."""
        self.exchange = None
        self.routing_key = None

    def outstanding(self) -> list[Entry]:
        """What it holds of its queue, oldest first."""
        entries: list[Entry] = self.channel.unacked.outstanding()
        return [entry for entry in entries if entry.consumer is self and entry.source is self.source]

    def replace(self, entry: Entry, late: Entry) -> None:
        """The tag of a delivery that timed out stays known to the channel."""
        channel: Channel = self.channel
        channel.unacked.take(entry.tag)
        channel.unacked.restore(late)

    def timed_out(self) -> None:
        """Deliveries timed out: basic.cancel, or for clients that do not understand it the end of the channel."""
        channel: Channel = self.channel
        if channel.gone:
            return
        if self.tag in channel.consumers and channel.connection.cancels_consumers:
            channel.connection.send_cancel(channel, self.tag)
        else:
            delivery_timeouts.close(channel, -1)

    def failed(self, error: Exception) -> None:
        """Delivering has raised an exception: that ends its connection, and no other."""
        self.channel.connection.fail("delivery", error)

    def cancelled(self) -> None:
        """The queue went away under it: basic.cancel, for clients that understand it."""
        channel: Channel = self.channel
        channel.consumers.pop(self.tag, None)
        if not channel.gone:
            connection = channel.connection
            connection.broker.observers.notify(ConsumerCancelled(connection.actor, self))
            connection.send_cancel(channel, self.tag)
