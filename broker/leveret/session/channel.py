"""One channel: the hot path from a publisher's frames to a consumer's, and back from its acknowledgements.

publish: `on_publish` notes exchange, key and flags; `on_content` takes header and body, in one slice when they lie
together; `accept` checks, routes and pushes; queues call `Subscription.take`, which writes the delivery into the
consumer's outbox. What repeats is kept: an exchange or key equal to the last one is the same object, so that its
permission, its route and the consumer's encoded names are found by identity.

What is rare (properties that routing acts on, returns, tx, consume, get, declarations) is in `publishing.py`,
`basic.py`, `transaction.py` and `topology.py`.
"""

from __future__ import annotations

from typing import Any

import cython

from leveret import errors
from leveret.engine.changes import ChannelClosed
from leveret.engine.lint import LARGE_MESSAGE
from leveret.queues.message import NACKED, REJECTED
from leveret.session import publishing, settle_order
from leveret.wire.erlang import chars

if cython.compiled:
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.context import VhostContext
    from cython.cimports.leveret.queues.message import Destination, Entry, Message, new_message
    from cython.cimports.leveret.routing.exchanges import Exchange
    from cython.cimports.leveret.routing.router import Router
    from cython.cimports.leveret.session.confirms import Confirms
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.session.unacked import Unacked
    from cython.cimports.leveret.wire.content import Header
    from cython.cimports.leveret.wire.frames import cut, same, u64
else:
    from leveret.queues.consumers import Consumer
    from leveret.queues.context import VhostContext
    from leveret.queues.message import Destination, Entry, Message, new_message
    from leveret.routing.exchanges import Exchange
    from leveret.routing.router import Router
    from leveret.session.confirms import Confirms
    from leveret.session.output import Output
    from leveret.session.unacked import Unacked
    from leveret.wire.content import Header
    from leveret.wire.frames import cut, same, u64

# C variables where compiled: module constants are looked up by name otherwise.
_ACK = cython.declare(cython.uint, 80)
_REJECT = cython.declare(cython.uint, 90)
_NACKED_WHY = cython.declare(cython.int, NACKED)
_REJECTED_WHY = cython.declare(cython.int, REJECTED)

#: What no body will ever complete.
_ENDLESS = cython.declare(cython.ulonglong, 1 << 63)
_LARGE = cython.declare(cython.ulonglong, LARGE_MESSAGE)
#: Property flags that `publishing.examine` must look at: headers, reply-to, expiration, user-id, and the two that AMQP
#: does not have.
_EXAMINED_FLAGS = cython.declare(cython.uint, 0x2000 | 0x0200 | 0x0100 | 0x0010 | 0x0003)


class Channel:
    """The state of one open channel.

    `closing`: channel.close was sent, frames are ignored until channel.close-ok. `tag`: last delivery tag. `prefetch`:
    limit of consumers started from now on; `global_prefetch`: limit of the channel as a whole. `held`: deliveries of
    consumers not yet settled, and `fetched` more that count as such (`settle_order.limit_channel`). Counters only
    ever grow.
    """

    def __init__(self, connection: Any, number: int, vhost: Any) -> None:
        self.number: int = number
        self.connection: Any = connection
        self.output: Output = connection
        self.vhost: Any = vhost
        self.router: Router = vhost.router
        self.context: VhostContext = vhost.context
        self.unacked: Unacked = Unacked()
        self.consumers: dict[str, Consumer] = {}
        self.confirms: Confirms | None = None
        self.transaction: Any = None
        self.closing: bool = False
        self.gone: bool = False
        self.tag: int = 0
        self.prefetch: int = 0
        self.global_prefetch: int = 0
        self.held: int = 0
        self.fetched: int = 0
        self.last_queue: str | None = None
        self.reply_consumer: Any = None
        self.used_at: Any = vhost.context.clock.now
        self.assembling: bool = False
        self.headed: bool = False
        self.exchange_name: bytes = b""
        self.routing_key: bytes = b""
        self.mandatory: bool = False
        self.immediate: bool = False
        self.head: bytes = b""
        self.parts: list[bytes] = []
        self.missing: int = 0
        self.size: int = 0
        self.exchange: Exchange | None = None
        self.access_revision: int = -1
        self.route_revision: int = -1
        self.targets: list[Destination] | None = None
        self.header: Header = connection.header
        self.max_message_size: int = connection.broker.max_message_size
        self.check_overrun: bool = connection.broker.profile.body_overrun_checked
        self.returns_replies: bool = connection.broker.profile.mandatory_reply_returned == "always"
        self.published: int = 0
        self.returned: int = 0
        self.dropped: int = 0
        self.routed: int = 0
        self.delivered: int = 0
        self.delivered_no_ack: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self.acked: int = 0
        self.redelivered: int = 0

    # --- publish

    def on_publish(self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bool:
        """basic.publish: the arguments lie from `i` (the ticket) to `end`. False where they cannot be decoded."""
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
            self.exchange = None
            self.targets = None
        at += size
        size = p[at]
        at += 1
        if at + size + 1 > end:
            return False
        if not same(p, at, size, self.routing_key):
            self.routing_key = cut(p, at, at + size)
            self.targets = None
        bits = p[at + size]
        self.mandatory = (bits & 1) != 0
        self.immediate = (bits & 2) != 0
        self.assembling = True
        self.headed = False
        return True

    def on_content(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        limit: cython.Py_ssize_t,
    ) -> int:
        """A content header frame whose payload lies from `i` to `end`, in a buffer filled up to `limit`.

        If the whole body follows in one frame, the message can be taken with `take_content`: returns where that frame
        ends. Otherwise the body frames are awaited, and 0 is returned; -1 where the header is too short to be one.
        """
        size: cython.ulonglong
        at: cython.Py_ssize_t = end + 1
        stop: cython.Py_ssize_t
        if end - i < 14:
            return -1
        size = u64(p, i + 4)
        if size == 0:
            return at
        if self.check_overrun and size > 536870912:
            raise errors.body_size_exceeds(size)
        # Together in the buffer: method, header and body of a small message nearly always are.
        if size < 1048576:
            stop = at + 8 + cython.cast(cython.Py_ssize_t, size)
            if (
                stop <= limit
                and p[at] == 3
                and p[at + 1] == p[i - 6]
                and p[at + 2] == p[i - 5]
                and cython.cast(cython.uint, p[at + 3]) << 24 | p[at + 4] << 16 | p[at + 5] << 8 | p[at + 6]
                == size
                and p[stop - 1] == 0xCE
                and stop - at <= self.output.frame_max + 8
            ):
                return stop
        self.head = cut(p, i - 7, at)
        self.size = size
        self.missing = size
        self.headed = True
        self.parts = []
        return 0

    def take_content(
        self,
        p: cython.p_const_uchar,
        i: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
    ) -> None:
        """A whole content: header payload from `i` to `end`, then the body's frame, if any, to `stop`."""
        at: cython.Py_ssize_t = end + 1
        self.assembling = False
        self.accept(cut(p, i - 7, stop), at - i + 7, stop - at - 8 if stop > at else 0)

    def on_body(self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> None:
        """A content body frame whose payload lies from `i` to `end`."""
        size: cython.ulonglong = end - i
        if size > self.missing:
            if self.check_overrun:
                raise errors.body_exceeds_size()
            # RabbitMQ counts on below 0: only another frame ends this content.
            self.size = _ENDLESS
            self.missing = _ENDLESS
            self.parts = []
        self.missing -= size
        # What can only be refused once complete is not kept meanwhile.
        if self.size <= cython.cast(cython.ulonglong, self.max_message_size):
            self.parts.append(cut(p, i, end))
        if self.missing:
            return
        self.assembling = False
        self.headed = False
        if self.closing:
            self.parts = []
            return
        if self.size > cython.cast(cython.ulonglong, self.max_message_size):
            raise errors.message_too_large(self.size, self.max_message_size)
        if self.size > _LARGE:
            self.connection.broker.lint.message_size(self.connection, chars(self.exchange_name), self.size)
        body: bytes = b"".join(self.parts)
        self.parts = []
        head: bytes = self.head
        self.accept(
            head + b"\x03\x00\x00" + len(body).to_bytes(4, "big") + body + b"\xce", len(head), len(body)
        )

    def accept(self, content: bytes, head: cython.Py_ssize_t, size: cython.Py_ssize_t) -> None:
        """A complete message: check it, route it, push it."""
        header: Header = self.header
        message: Message
        more: list[bytes] | None = None
        targets: list[Destination] | None
        number: cython.ulonglong = 0
        if self.closing:
            return
        if self.immediate:
            raise errors.immediate_not_supported()
        if size > self.max_message_size:
            raise errors.message_too_large(size, self.max_message_size)
        if not header.scan(content, 7, head - 1):
            raise errors.malformed_properties()
        if (
            self.exchange is None
            or self.access_revision != self.output.access_revision
            or self.route_revision != self.router.revision
        ):
            self.exchange = publishing.writable_exchange(self, self.exchange_name)
            self.access_revision = self.output.access_revision
            self.route_revision = self.router.revision
            self.targets = None
        message = new_message(self.exchange_name, self.routing_key, content, head, size)
        message.persistent = header.delivery_mode == 2
        message.priority = header.priority
        if header.flags & _EXAMINED_FLAGS or (header.delivery_mode != -1 and (header.delivery_mode - 1) >> 1):
            more = publishing.examine(self, message, header)
        self.published += 1
        if self.confirms is not None:
            number = self.confirms.publish()
        if more is None and self.targets is not None:
            targets = self.targets
        else:
            targets = publishing.route(self, self.exchange, message, more)
            if more is None and self.exchange.memoable and self.context.firehose is None:
                self.targets = targets
            else:
                self.targets = None
        if self.transaction is not None:
            self.transaction.publish(message, targets, self.mandatory)
            return
        self.deliver(message, targets, self.mandatory, number)

    def deliver(
        self, message: Message, targets: list[Destination], mandatory: cython.bint, number: cython.ulonglong
    ) -> bool:
        """Push a routed message into its queues and note how it is to be confirmed as `number` (0: it is not).

        False when a queue refused it.
        """
        queue: Destination
        outcome: cython.longlong
        ticket: cython.longlong = 0
        refused: cython.bint = False
        i: cython.Py_ssize_t
        count: cython.Py_ssize_t = len(targets)
        if count == 0:
            if mandatory:
                publishing.return_message(self, message)
            else:
                self.dropped += 1
            if self.context.journal is not None:
                ticket = self.vhost.delayed.ticket_of(message)
        else:
            self.routed += 1
            if mandatory and self.returns_replies:
                publishing.return_reply(self, message)
            message.shares = count
            for i in range(count):
                queue = targets[i]
                outcome = queue.push(message)
                if outcome < 0:
                    refused = True
                elif outcome > ticket:
                    ticket = outcome
            if self.context.dead_letters:
                self.vhost.publish_dead_letters()
        if number:
            self.confirm(number, ticket, refused)
        return not refused

    def confirm(self, number: cython.ulonglong, ticket: cython.longlong, refused: cython.bint) -> None:
        """Note that a publish is settled, or will be with a ticket of the journal."""
        confirms: Confirms | None = self.confirms
        if confirms is None:
            return
        if ticket and self.context.journal is not None and ticket > self.context.journal.settled:
            if confirms.wait(number, ticket, refused):
                self.vhost.broker.await_commit(self)
            return
        confirms.settle(number, refused)
        if not confirms.queued:
            self.schedule_confirms()

    def schedule_confirms(self) -> None:
        """Have the connection write this channel's confirms at the end of the tick."""
        if self.confirms is not None and not self.confirms.queued and not self.gone:
            self.confirms.queued = True
            self.connection.unflushed.append(self)
            self.output.schedule_flush()

    def committed(self) -> None:
        """The journal has settled more tickets."""
        if self.confirms is not None and self.context.journal is not None and not self.gone:
            self.confirms.commit(self.context.journal.settled)
            self.schedule_confirms()

    # --- settle

    def on_settle(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, method: cython.uint
    ) -> bool:
        """basic.ack, basic.nack, basic.reject with arguments from `i` to `end`. False where they cannot be decoded."""
        tag: cython.ulonglong
        bits: cython.uint
        multiple: cython.bint
        requeue: cython.bint
        entry: Entry | None
        consumer: Consumer
        if end - i < 9:
            return False
        tag = u64(p, i)
        bits = p[i + 8]
        if method == _REJECT:
            multiple = False
            requeue = (bits & 1) != 0
        else:
            multiple = (bits & 1) != 0
            requeue = (bits & 2) != 0
        if self.transaction is None and method == _ACK and not multiple:
            entry = self.unacked.take(tag)
            if entry is None:
                raise errors.unknown_delivery_tag(tag)
            self.acked += 1
            self.release(entry)
            entry.source.settle(entry)
            if entry.consumer is not None:
                consumer = entry.consumer
                self.wake(consumer)
            if self.context.dead_letters:  # what the next delivery uncovered had expired
                self.vhost.publish_dead_letters()
            return True
        if self.transaction is not None:
            self.transaction.settle(tag, multiple, method, requeue)
            return True
        self.settle(self.claim(tag, multiple), method, requeue)
        return True

    def claim(self, tag: cython.ulonglong, multiple: bool) -> list[Entry]:
        """Take the deliveries that a tag means out of the outstanding ones; an unknown tag is an error."""
        entry: Entry | None
        entries: list[Entry] | None
        if multiple:
            entries = self.unacked.take_all() if tag == 0 else self.unacked.take_through(tag)
            if entries is None:
                raise errors.unknown_delivery_tag(tag)
            return entries
        entry = self.unacked.take(tag)
        if entry is None:
            raise errors.unknown_delivery_tag(tag)
        return [entry]

    def settle(self, entries: list[Entry], method: cython.uint, requeue: cython.bint) -> None:
        """Settle claimed deliveries; `method` is that of basic.ack (80), basic.nack (120) or basic.reject (90)."""
        entry: Entry
        consumer: Consumer | None = None
        if len(entries) == 1:
            entry = entries[0]
            consumer = entry.consumer
        if method == _ACK or not requeue:
            for entry in entries:
                self.release(entry)
        if method == _ACK:
            self.acked += len(entries)
            for entry in entries:
                entry.source.settle(entry)
        elif requeue:
            settle_order.requeue(self, entries, _REJECTED_WHY if method == _REJECT else _NACKED_WHY)
        else:
            for entry in settle_order.by_consumer(entries):
                entry.source.reject(entry, _REJECTED_WHY if method == _REJECT else _NACKED_WHY)
        if self.context.dead_letters:
            self.vhost.publish_dead_letters()
        if consumer is not None:
            self.wake(consumer)
        else:
            self.wake_all()
        if self.context.dead_letters:
            self.vhost.publish_dead_letters()

    def release(self, entry: Entry) -> None:
        """Give back the credit that a delivery took."""
        consumer: Consumer
        if entry.consumer is not None:
            consumer = entry.consumer
            consumer.held -= 1
            self.held -= 1

    def wake(self, consumer: Consumer) -> None:
        """A consumer has credit again; with a limit for the whole channel, so have its other consumers."""
        if self.global_prefetch:
            self.wake_all()
        elif consumer.blocked_order:
            consumer.source.wake(consumer)

    def wake_all(self) -> None:
        """Let every consumer that was passed over be asked again."""
        consumer: Consumer
        passed: list[Consumer] = [one for one in self.consumers.values() if one.blocked_order]
        if len(passed) > 1:
            settle_order.wake(passed, self.global_prefetch > 0)
            return
        for consumer in passed:
            if consumer.ready():
                consumer.source.wake(consumer)

    def tracing_changed(self) -> None:
        """Tracing was switched on or off: what deliveries have in common is to be found out anew."""
        subscription: Any
        for subscription in self.consumers.values():
            subscription.tracing_changed()
        if self.reply_consumer is not None:
            self.reply_consumer.consumer.tracing_changed()

    # --- life

    def terminate(self) -> None:
        """The channel ends: its consumers leave, what it holds goes back to the queues, open work is forgotten."""
        self.gone = True
        consumers: list[Consumer] = list(self.consumers.values())
        self.consumers.clear()
        transaction: Any = self.transaction
        self.transaction = None
        self.parts = []
        if self.reply_consumer is not None:
            self.vhost.broker.forget_reply_consumer(self)
        entries: list[Entry] = self.unacked.take_all()
        if transaction is not None:
            entries.extend(transaction.entries())
        publishing.detach_all(consumers, entries, self.connection.broker.faults.guard)
        self.connection.broker.observers.notify(ChannelClosed(self.connection.actor, self, len(consumers)))
        if self.context.dead_letters:
            self.vhost.publish_dead_letters()
