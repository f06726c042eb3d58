"""One channel: the hot path from a complete content to the queues, and from acknowledgements back to them.

`Content` has put exchange, key, header and body together; `publish` checks and routes the message and `deliver` pushes
it into its queues. Those call `Subscription.take`, which writes the delivery into the consumer's outbox. What repeats
is kept: an exchange or key that equals the last one is the same object, so that permission and route are remembered by
identity.

What is less frequent (properties that routing acts on, tx, consume, get, declarations) is in `publishing.py`,
`basic.py`, `tx.py` and `topology.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cython
from pamqp import commands

from leveret import errors
from leveret.engine.changes import ChannelClosed, ChannelRefused
from leveret.engine.lint import LARGE_MESSAGE
from leveret.engine.tallies import UNCOUNTED
from leveret.queues.message import NACKED, REJECTED
from leveret.queues.queue import PORTION
from leveret.session import late_publish, publishing, settling
from leveret.session.transaction import HeldPublish, HeldSettlement
from leveret.wire.erlang import chars
from leveret.wire.methods import method_frame
from leveret.work import free, portions

if cython.compiled:
    from cython.cimports.leveret.engine.tallies import PublishTally, RouteTally
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.context import VhostContext
    from cython.cimports.leveret.queues.message import Destination, Entry, Message, Source, new_message
    from cython.cimports.leveret.queues.tallies import DeliveryTally, DeliveryTotal, MessageSizes
    from cython.cimports.leveret.routing.exchanges import Exchange
    from cython.cimports.leveret.routing.router import Router
    from cython.cimports.leveret.session.base import ConnectionBase
    from cython.cimports.leveret.session.confirms import Confirms
    from cython.cimports.leveret.session.content import Content
    from cython.cimports.leveret.session.unacked import Unacked
    from cython.cimports.leveret.wire.content import Header
    from cython.cimports.leveret.wire.frames import u64
else:
    from leveret.engine.tallies import PublishTally, RouteTally
    from leveret.queues.consumers import Consumer
    from leveret.queues.context import VhostContext
    from leveret.queues.message import Destination, Entry, Message, Source, new_message
    from leveret.queues.tallies import DeliveryTally, DeliveryTotal, MessageSizes
    from leveret.routing.exchanges import Exchange
    from leveret.routing.router import Router
    from leveret.session.base import ConnectionBase
    from leveret.session.confirms import Confirms
    from leveret.session.content import Content
    from leveret.session.unacked import Unacked
    from leveret.wire.content import Header
    from leveret.wire.frames import u64

if TYPE_CHECKING:
    from leveret.engine.firehose import Firehose
    from leveret.engine.interceptor import Interceptor
    from leveret.engine.permissions import Permissions
    from leveret.engine.vhost import VirtualHost
    from leveret.errors import AmqpError
    from leveret.profiles import Profile
    from leveret.session.transaction import Transaction
    from leveret.work import Job, Steps

# C variables where compiled: module constants are looked up by name otherwise.
#: Deliveries that are acknowledged at once; more are in portions.
_SETTLED_TOGETHER = cython.declare(cython.Py_ssize_t, PORTION)
_ACK = cython.declare(cython.uint, 80)
_REJECT = cython.declare(cython.uint, 90)
_NACKED = cython.declare(cython.int, NACKED)
_REJECTED = cython.declare(cython.int, REJECTED)
_LARGE = cython.declare(cython.ulonglong, LARGE_MESSAGE)
#: Copies in queues, or consumers, after which a channel looks whether it has used up the turn of its connection.
_WIDE = cython.declare(cython.Py_ssize_t, 64)
#: What a job for one delivery counts as: it takes as long as so many copies.
_JOB_WORK = cython.declare(cython.Py_ssize_t, 16)

#: Consumers that are served at once; more are in portions.
_SERVED_TOGETHER = cython.declare(cython.Py_ssize_t, PORTION)

#: So many queues get a message at once; more get it in portions.
_PORTION = cython.declare(cython.Py_ssize_t, late_publish.PORTION)

#: Copies in queues, about a microsecond each, that cost as much as to begin a route that is not remembered, to decode
#: properties, and to return or drop a message. Each step of a route and each header that is decoded counts as one, too.
_ROUTE_COPIES = cython.declare(cython.Py_ssize_t, 8)
_DECODED_COPIES = cython.declare(cython.Py_ssize_t, 8)
_UNROUTABLE_COPIES = cython.declare(cython.Py_ssize_t, 2)
#: Property flags that `publishing.examine` must look at: headers, reply-to, expiration, user-id, and the two that AMQP
#: does not have.
_EXAMINED_FLAGS = cython.declare(cython.uint, 0x2000 | 0x0200 | 0x0100 | 0x0010 | 0x0003)


#: Exchanges and queues that are counted before those that are gone are looked for.
_TALLIES = cython.declare(cython.Py_ssize_t, 16)

#: Queues whose counts a channel that has ended adds to the totals before others have their turn.
_QUEUES = cython.declare(cython.Py_ssize_t, 256)


class ReplyConsumer(Protocol):
    """The direct reply-to address of a channel, which is its consumer, too (`reply_to.py`)."""

    name: str
    tag: str

    def end(self) -> None:
        """Deliver nothing any more."""

    def tracing_changed(self) -> None:
        """Check again whether deliveries are traced."""


class Channel:
    """The state of one open channel.

    `content`: what is being received. `closing`: channel.close was sent, frames are ignored until channel.close-ok;
    `gone`: it has ended. `tag`: last delivery tag. `prefetch`: limit of consumers started from now on;
    `global_prefetch`: limit of the channel as a whole. `held`: deliveries of consumers not yet settled, and `fetched`
    more that count as such (see `set_global_prefetch`). `exchange`, `targets`: what the last publish found for
    `exchange_name` and `routing_key`. `received`: publishes, `held_publishes`: those in transactions, `copies`: what
    queues got since the channel last looked whether its turn is over;
    `publish_tallies`, `delivery_tallies`: counts by exchange and by queue (`tally`: those of `exchange`),
    `ended_publishes`, `ended_tally`: of exchanges and queues that are gone. They only grow.
    """

    def __init__(
        self, connection: ConnectionBase, number: int, vhost: VirtualHost, permissions: Permissions
    ) -> None:
        broker = connection.broker
        self.number: int = number
        self.connection: ConnectionBase = connection
        self.vhost: VirtualHost = vhost
        self.permissions: Permissions = permissions
        self.asks: bool = permissions.asks
        self.profile: Profile = broker.profile
        self.router: Router = vhost.router
        self.context: VhostContext = vhost.context
        self.content: Content = Content(
            connection, broker.max_message_size, broker.profile.body_overrun_checked
        )
        self.unacked: Unacked = Unacked()
        self.consumers: dict[str, Consumer] = {}
        self.confirms: Confirms | None = None
        self.transaction: Transaction | None = None
        self.closing: bool = False
        self.gone: bool = False
        self.tag: int = 0
        self.prefetch: int = 0
        self.global_prefetch: int = 0
        self.held: int = 0
        self.fetched: int = 0
        self.last_queue: str | None = None
        self.reply_consumer: ReplyConsumer | None = None
        self.exchange_name: bytes | None = None
        self.routing_key: bytes | None = None
        self.exchange: Exchange | None = None
        self.access_revision: int = -1
        self.route_revision: int = -1
        self.targets: list[Destination] | None = None
        self.header: Header = connection.header
        self.max_message_size: int = broker.max_message_size
        self.returns_replies: bool = broker.profile.mandatory_reply_returned == "always"
        self.received: int = 0
        self.held_publishes: int = 0
        self.copies: int = 0
        self.sizes: MessageSizes = broker.counters.message_sizes
        self.size: int = 0
        self.sized: int = 0
        self.tally: PublishTally = UNCOUNTED
        self.publish_tallies: dict[Exchange, PublishTally] = {}
        self.delivery_tallies: dict[Source, DeliveryTally] = {}
        self.ended_tally: DeliveryTally | None = None
        self.tally_limit: int = _TALLIES
        self.ended_publishes: PublishTally | None = None
        self.publish_limit: int = _TALLIES

    # --- publish

    def publish_joined(self) -> None:
        """Publish the content whose last body frame was read. Raises 406 if it is larger than allowed."""
        content: Content = self.content
        whole: bytes
        head: cython.Py_ssize_t = len(content.head)
        if self.closing:
            content.forget()
            return
        if content.size > cython.cast(cython.ulonglong, self.max_message_size):
            self.received += 1
            raise errors.message_too_large(content.size, self.max_message_size)
        if content.size > _LARGE:
            self.connection.broker.lint.message_size(
                self.connection, chars(content.exchange_name), content.size
            )
        whole = content.joined()
        self.publish(whole, head, content.size)

    def publish(self, whole: bytes, head: cython.Py_ssize_t, size: cython.Py_ssize_t) -> None:
        """Check, route and deliver a message: `whole` is its header frame of `head` octets, then a body frame with
        `size` octets of payload unless the body is empty."""
        content: Content = self.content
        header: Header = self.header
        message: Message
        more: list[bytes] | None = None
        targets: list[Destination] | None
        number: cython.ulonglong = 0
        if self.closing:
            return
        if content.immediate:
            raise errors.immediate_not_supported()
        if self.asks and late_publish.await_permission(
            self, content.exchange_name, content.routing_key, whole, head, size
        ):
            return
        self.received += 1
        if size > self.max_message_size:
            raise errors.message_too_large(size, self.max_message_size)
        if size != self.size:
            self.count_sizes()
            self.size = size
        self.sized += 1
        if not header.scan(whole, 7, head - 1):
            raise header.refusal()
        if (
            content.exchange_name is not self.exchange_name
            or self.access_revision != self.connection.access_revision
            or self.route_revision != self.router.revision
        ):
            # Without permission nothing is remembered.
            self.exchange_name = None
            self.exchange = publishing.writable_exchange(self.vhost, self.permissions, content.exchange_name)
            self.exchange_name = content.exchange_name
            self.access_revision = self.connection.access_revision
            self.route_revision = self.router.revision
            self.targets = None
            self.tally = self.publish_tally(self.exchange)
        message = new_message(content.exchange_name, content.routing_key, whole, head, size)
        message.persistent = header.delivery_mode == 2
        message.priority = header.priority
        if header.flags & _EXAMINED_FLAGS or (header.delivery_mode != -1 and (header.delivery_mode - 1) >> 1):
            more = publishing.examine(
                self.connection,
                self.reply_consumer.name if self.reply_consumer is not None else None,
                message,
                header,
            )
            if header.special or message.content is not whole:  # it was decoded
                self.count_work(_DECODED_COPIES + header.fields)
        if self.confirms is not None:
            number = self.confirms.publish()
        if more is None and self.targets is not None and content.routing_key is self.routing_key:
            targets = self.targets
        else:
            targets = self.route(message, more)
        if targets is None or len(targets) > _PORTION:
            late_publish.begin(self, message, targets, content.mandatory, number)
        elif self.transaction is not None:
            self.hold(message, targets, content.mandatory)
        else:
            self.deliver(message, targets, content.mandatory, number, self.tally)

    def publish_again(self, whole: bytes, head: int, size: int) -> None:
        """`publish` for a message that had to wait for its permission."""
        self.publish(whole, head, size)

    def route(self, message: Message, more: list[bytes] | None) -> list[Destination] | None:
        """Return the queues a message goes to, and remember them if they depend on exchange and key alone. None if that
        takes long: then the router has a walk to be finished.

        `more`: additional routing keys. Raises 403 without permission for a topic.
        """
        exchange: Exchange | None = self.exchange
        firehose: Firehose | None = self.context.firehose
        interceptor: Interceptor | None = self.context.interceptor
        self.targets = None
        if exchange is None:
            return []
        if exchange.type == "topic":
            copies = more if more and self.profile.copies_topic_checked else ()
            publishing.check_topic(self.permissions, exchange.name, [message.routing_key, *copies])
        targets: list[Destination] | None = self.router.begin(
            exchange, message.routing_key, more, None, message
        )
        if self.router.steps:
            self.count_work(_ROUTE_COPIES + self.router.steps)
        if targets is None:
            return None
        if not targets and not exchange.name and self.profile.malformed_reply_target_crashes:
            publishing.check_reply_target(message.routing_key)
        if firehose is not None:
            firehose.published(self, message, targets)
        if interceptor is not None:
            targets = interceptor.routed(self, message, targets)
        elif firehose is None and more is None and self.router.memoable:
            self.targets = targets
            self.routing_key = message.routing_key
        return targets

    def hold(self, message: Message, targets: list[Destination], mandatory: bool) -> None:
        """Hold a publish until tx.commit. Where reply addresses are no queues, replies are delivered at once."""
        if not self.profile.volatile_reply_queues:
            addresses = self.connection.broker.reply_addresses
            replies: list[Destination] = [queue for queue in targets if addresses.get(queue.name) is queue]
            for address in replies:
                address.push(message)
            if replies:
                targets = [queue for queue in targets if queue not in replies]
        if self.transaction is not None:
            self.transaction.check_room()
            self.held_publishes += 1
            self.transaction.hold(HeldPublish(message, targets, mandatory, self.tally))

    def deliver(
        self,
        message: Message,
        targets: list[Destination],
        mandatory: cython.bint,
        number: cython.ulonglong,
        tally: PublishTally,
    ) -> bool:
        """Push a routed message into its queues, and note how publish `number` is to be confirmed (0: not at all).
        `tally`: the counts of its exchange.

        Returns False if a queue has refused it. The caller publishes dead letters. If a queue is busy with a long
        operation, the message waits, and its connection with it.
        """
        queue: Destination
        outcome: cython.longlong
        ticket: cython.longlong = 0
        refused: cython.bint = False
        i: cython.Py_ssize_t
        count: cython.Py_ssize_t = len(targets)
        route: RouteTally | None = tally.last
        if count == 0:
            if self.context.history is not None:
                self.context.history.published(self, message, targets, mandatory, number)
            mandatory = mandatory and publishing.is_returned(self.profile, message)
            if mandatory:
                self.return_message(message)
            tally.unroutable(mandatory)
            self.count_work(_UNROUTABLE_COPIES)
            if self.context.journal is not None:
                ticket = self.vhost.delayed.ticket_of(message)
        elif self.context.busy and self.put_off(message, targets, mandatory, number, tally):
            return True
        else:
            if self.context.history is not None:
                self.context.history.published(self, message, targets, mandatory, number)
            if route is not None and route.targets is targets:
                route.count += 1
            else:
                tally.sent(targets)
            # Replies to an address in use are delivered, and returned: they reach no queue.
            if mandatory and self.returns_replies and publishing.is_reply(message):
                self.return_message(message)
                tally.give_back()
            message.shares = count
            queues = cython.cast(list, targets)  # without its items' type, which would be checked each time
            for i in range(count):
                queue = cython.cast(Destination, queues[i])
                outcome = queue.push(message)
                if outcome < 0:
                    refused = True
                elif outcome > ticket:
                    ticket = outcome
            self.copies += count
            if self.copies > _WIDE:
                self.count_work(0)
            if ticket and self.context.journal is not None and self.context.journal.full:
                self.connection.hold_back()
        if number:
            self.confirm(number, ticket, refused, tally)
        return not refused

    def count_work(self, copies: cython.Py_ssize_t) -> None:
        """Count copies in queues, or what costs as much; end the turn of the connection if it is used up."""
        self.copies += copies
        if self.copies > _WIDE:
            self.copies = 0
            if self.connection.broker.work.spent():
                self.connection.end_turn()

    def put_off(
        self,
        message: Message,
        targets: list[Destination],
        mandatory: bool,
        number: int,
        tally: PublishTally,
    ) -> bool:
        """Deliver a message later if one of its queues is busy, and read nothing until then. False if none is."""
        job = publishing.busy(targets)
        if job is None:
            return False
        job.when_done(lambda: self.deliver_late(message, targets, mandatory, number, tally))
        self.connection.suspend(job)
        return True

    def deliver_late(
        self,
        message: Message,
        targets: list[Destination],
        mandatory: bool,
        number: int,
        tally: PublishTally,
    ) -> None:
        """Deliver a publish that has waited for a busy queue, to those of its queues that are still there."""
        try:
            number = 0 if self.gone else number
            self.deliver(message, [queue for queue in targets if not queue.gone], mandatory, number, tally)
            if self.gone:
                tally.fold()
            self.publish_dead_letters()
        except Exception as error:
            self.connection.fail("publish", error)

    def return_message(self, message: Message) -> None:
        """basic.return: it was mandatory, and no queue took it."""
        connection: ConnectionBase = self.connection
        connection.outbox.put(publishing.return_frame(self.number, message))
        connection.outbox.put_content(
            self.number, message.content, message.head, message.size, connection.frame_max
        )
        connection.answered()

    def publish_dead_letters(self) -> Job | None:
        """Publish what operations have dead-lettered. Returns the job that does so if they are many."""
        if not self.context.dead_letters:
            return None
        return self.vhost.publish_dead_letters()

    # --- confirm

    def confirm(
        self, number: cython.ulonglong, ticket: cython.longlong, refused: cython.bint, tally: PublishTally
    ) -> None:
        """Note that a publish is settled, or will be with a ticket of the journal."""
        confirms: Confirms | None = self.confirms
        if confirms is None:
            return
        tally.promise()
        if refused:
            tally.refuse()
        if self.context.history is not None:
            self.context.history.confirmed(self, number, refused)
        if ticket and self.context.journal is not None and ticket > self.context.journal.settled:
            if confirms.wait(number, ticket, refused, tally):
                self.context.journal.when_settled(self.context.journal.ticket, self.committed)
            return
        confirms.settle(number, refused)
        if not confirms.queued:
            self.schedule_confirms()

    def schedule_confirms(self) -> None:
        """Have the connection write this channel's confirms at the end of the tick."""
        if self.confirms is not None and not self.confirms.queued and not self.gone:
            self.confirms.queued = True
            self.connection.unflushed.append(self.confirms)
            self.connection.schedule_flush()

    def write_confirms(self) -> None:
        """Write confirms that are due before what follows."""
        if self.confirms is not None and self.confirms.queued:
            self.connection.unflushed.remove(self.confirms)
            self.confirms.write(self.connection.outbox)

    def committed(self) -> None:
        """Confirm publishes after the journal has settled more tickets."""
        if self.confirms is not None and self.context.journal is not None and not self.gone:
            self.confirms.commit(self.context.journal.settled)
            self.schedule_confirms()

    def on_committed(self) -> None:
        """Answer tx.commit after its ticket is settled."""
        if self.transaction is not None and not self.gone:
            self.transaction.committing = False
            self.connection.send(method_frame(self.number, commands.Tx.CommitOk))

    # --- counts

    def publish_tally(self, exchange: Exchange) -> PublishTally:
        """Return the counts of publishes to an exchange."""
        found: PublishTally | None = self.publish_tallies.get(exchange)
        if found is None:
            if len(self.publish_tallies) >= self.publish_limit:
                self.forget_gone()
            if exchange.tally is None:
                exchange.tally = PublishTally(exchange)
            found = exchange.tally.begin()
            self.publish_tallies[exchange] = found
        return found

    def forget_gone(self) -> None:
        """Add up the counts of exchanges and queues that are gone, as a job: the others can be a hundred thousand."""
        self.publish_limit = max(_TALLIES, 2 * len(self.publish_tallies))
        self.tally_limit = max(_TALLIES, 2 * len(self.delivery_tallies))
        self.connection.broker.work.begin(self.forget_steps(), "counts")

    def forget_steps(self) -> Steps:
        """Add up the counts of exchanges and queues that are gone, and forget these, in portions."""
        for exchanges in portions(list(self.publish_tallies), _TALLIES):
            self.join_ended_publishes(exchanges)
            yield None
        for sources in portions(list(self.delivery_tallies)):
            for source in sources:
                if getattr(source, "gone", False):
                    self.join_ended_tally(source)
            yield None
        for tallies in portions(list(self.publish_tallies.values()), _TALLIES):
            for tally in tallies:
                yield from tally.forget_steps()
            yield None
        self.publish_limit = max(_TALLIES, 2 * len(self.publish_tallies))
        self.tally_limit = max(_TALLIES, 2 * len(self.delivery_tallies))

    def join_ended_publishes(self, exchanges: list[Exchange]) -> None:
        """Add the counts of those of some exchanges that are gone to `ended_publishes`, and forget these. Those where
        publishes are still to be confirmed stay."""
        ended = [one for one in exchanges if one.tally is None and one in self.publish_tallies]
        waiting: dict[PublishTally, int] = {}
        if ended and self.confirms is not None and self.confirms.unconfirmed:
            waiting = self.confirms.unconfirmed_by_tally()
        for exchange in ended:
            tally = self.publish_tallies[exchange]
            if tally not in waiting:
                del self.publish_tallies[exchange]
                if self.ended_publishes is None:
                    self.ended_publishes = PublishTally(None)
                self.ended_publishes.join(tally)

    def delivery_total(self, source: Source) -> DeliveryTotal:
        """Return the counts of the virtual host for queues of this type."""
        return self.context.delivery_total(getattr(source, "kind", "volatile"))

    def delivery_tally(self, source: Source) -> DeliveryTally:
        """Return the counts of deliveries from a queue. Those of queues that are gone are put together in time."""
        found: DeliveryTally | None = self.delivery_tallies.get(source)
        if found is None:
            if len(self.delivery_tallies) >= self.tally_limit:
                self.forget_gone()
            found = self.delivery_total(source).begin(source)
            self.delivery_tallies[source] = found
        return found

    def join_ended_tally(self, source: Source) -> None:
        """Add the counts of a queue that is gone to `ended_tally`, and forget the queue."""
        tally: DeliveryTally | None = self.delivery_tallies.pop(source, None)
        if tally is None:
            return
        if self.ended_tally is None:
            self.ended_tally = DeliveryTally(None)
        self.ended_tally.add(tally)
        self.delivery_total(source).end(tally)

    def count_ack(self, entry: Entry) -> None:
        """Count an acknowledgement."""
        consumer: Consumer
        tally: DeliveryTally
        if entry.consumer is not None:
            consumer = entry.consumer
            tally = consumer.tally
        else:
            tally = self.delivery_tally(entry.source)
        tally.acked += 1
        if tally.total is None:
            self.count_late_ack(tally)

    def count_late_ack(self, tally: DeliveryTally) -> None:
        """Count an acknowledgement after the counts of its queue were added to `ended_tally`."""
        if self.ended_tally is not None and tally.source is not None:
            self.ended_tally.acked += 1
            total: DeliveryTotal = self.delivery_total(tally.source)
            total.ended.acked += 1

    def count_sizes(self) -> None:
        """Add messages of one size that were published in a row to the histogram."""
        self.sizes.observe(self.size, self.sized)
        self.sized = 0

    def end_counts(self) -> None:
        """Add all counts to the totals: the channel has ended."""
        self.count_sizes()
        if self.publish_tallies or self.delivery_tallies:
            self.connection.broker.work.begin(self._end_counts_steps(), "channel end")

    def _end_counts_steps(self) -> Steps:
        """Add counts to the totals, and forget them, in portions: a channel may have used a hundred thousand queues.
        Until then the totals count them as those of an open channel."""
        while self.publish_tallies or self.delivery_tallies:
            for _ in range(min(len(self.publish_tallies), _TALLIES)):
                tally: PublishTally = self.publish_tallies.popitem()[1]
                while tally.spread(_QUEUES):
                    yield None
                tally.leave()
            for _ in range(min(len(self.delivery_tallies), _TALLIES)):
                source, deliveries = self.delivery_tallies.popitem()
                self.delivery_total(source).end(deliveries)
            yield None

    # --- settle

    def on_settle(
        self, p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t, method: cython.uint
    ) -> bool:
        """basic.ack, basic.nack, basic.reject with arguments from `i` to `end`. False if they cannot be decoded."""
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
            self.count_ack(entry)
            self.release(entry)
            entry.source.settle(entry)
            if entry.consumer is not None:
                consumer = entry.consumer
                self.wake(consumer)
            return True
        if self.transaction is not None:
            # The deliveries are claimed at once; tx.rollback restores them.
            self.transaction.settlements.append(HeldSettlement(self.claim(tag, multiple), method, requeue))
            return True
        self.settle(self.claim(tag, multiple), method, requeue)
        return True

    def claim(self, tag: cython.ulonglong, multiple: bool) -> list[Entry]:
        """Remove the deliveries that a tag means from the outstanding ones and return them. Raises 406 for an unknown
        tag."""
        entry: Entry | None
        entries: list[Entry] | None
        if multiple:
            entries = self.unacked.take_all() if tag == 0 else self.unacked.take_through(tag)
            if entries is None:
                raise errors.unknown_delivery_tag(tag)
            self.count_work(len(entries))
            return entries
        entry = self.unacked.take(tag)
        if entry is None:
            raise errors.unknown_delivery_tag(tag)
        return [entry]

    def settle(self, entries: list[Entry], method: cython.uint, requeue: cython.bint) -> None:
        """Settle claimed deliveries; `method` is that of basic.ack (80), basic.nack (120) or basic.reject (90). The
        connection waits while that is a job of its own."""
        consumer: Consumer | None = None
        entry: Entry
        if len(entries) > (_SETTLED_TOGETHER if method == _ACK else 1) or (
            method != _ACK and len(entries) == 1 and len(entries[0].message.content) == 0
        ):  # many, or one whose content may have to be read
            self.count_work(_JOB_WORK)
            self.connection.begin(self.settlement(entries, method, requeue), "settlement")
            return
        if len(entries) == 1:
            entry = entries[0]
            consumer = entry.consumer
        if method == _ACK:
            self.acknowledge(entries)
        elif requeue:
            reason = _REJECTED if method == _REJECT else _NACKED
            self.count_work(_JOB_WORK)
            self.connection.begin(settling.requeue_steps(self, entries, reason), "settlement")
        else:
            self.reject(entries, _REJECTED if method == _REJECT else _NACKED)
            self.count_work(_JOB_WORK if self.context.dead_letters else len(entries))
        self.publish_dead_letters()  # before consumers get more: dead letters may go to the same queues
        if consumer is not None:
            self.wake(consumer)
        else:
            self.wake_all()

    def settlement(self, entries: list[Entry], method: int, requeue: bool) -> Steps:
        """The steps of settling claimed deliveries, within a job of the connection."""
        if len(entries) == 1 and not requeue and (method == _ACK or len(entries[0].message.content)):
            self.settle(entries, method, False)
            return iter(())
        reason = 0 if method == _ACK else _REJECTED if method == _REJECT else _NACKED
        return settling.settle_steps(self, entries, reason, requeue)

    def acknowledge(self, entries: list[Entry]) -> None:
        """Give back the credit of deliveries and acknowledge them."""
        entry: Entry
        for entry in entries:
            self.release(entry)
        for entry in entries:
            self.count_ack(entry)
            entry.source.settle(entry)

    def reject(self, entries: list[Entry], reason: cython.int) -> None:
        """Give back the credit of deliveries and dead-letter or drop them. `reason`: see `queues/message.py`."""
        entry: Entry
        for entry in entries:
            self.release(entry)
        for entry in entries:
            entry.source.reject(entry, reason)

    def release(self, entry: Entry) -> None:
        """Give back the credit that a delivery took."""
        consumer: Consumer
        if entry.consumer is not None:
            consumer = entry.consumer
            consumer.held -= 1
            self.held -= 1

    def wake(self, consumer: Consumer) -> None:
        """Serve a consumer that has credit again, and under a limit for the whole channel its other consumers."""
        if self.global_prefetch:
            self.wake_all()
        elif consumer.blocked_order:
            consumer.source.wake(consumer)

    def wake_all(self) -> None:
        """Serve every blocked consumer again."""
        consumer: Consumer
        if len(self.consumers) > _WIDE and self.connection.broker.work.spent():
            self.connection.end_turn()
        if len(self.consumers) > _SERVED_TOGETHER:
            self.connection.serve_later(self)
            return
        blocked: list[Consumer] = self.blocked()
        if len(blocked) > 1:
            settling.wake(blocked, self.global_prefetch > 0)
            return
        for consumer in blocked:
            if consumer.ready():
                consumer.source.wake(consumer)

    def blocked(self) -> list[Consumer]:
        """Return the consumers that wait for credit."""
        consumer: Consumer
        found: list[Consumer] = []
        for consumer in self.consumers.values():
            if consumer.blocked_order:
                found.append(consumer)
        return found

    def set_global_prefetch(self, count: int) -> Steps:
        """Set a limit for the whole channel, 0 for none, in portions.

        Deliveries of basic.get that are unsettled when a limit is set count for as long as there is a limit, even after
        they are settled: RabbitMQ starts with all unsettled deliveries, but reports only those of consumers to the
        limiter.
        """
        if count == 0:
            self.held -= self.fetched
            self.fetched = 0
        elif self.global_prefetch == 0:
            fetched = tag = 0
            while portion := self.unacked.following(tag, PORTION):
                fetched += len([entry for entry in portion if entry.consumer is None])
                tag = portion[-1].tag
                yield None
            self.fetched = fetched
            self.held += fetched
        self.global_prefetch = count
        self.wake_all()

    def tracing_changed(self) -> None:
        """Have all consumers check again whether deliveries are traced."""
        consumer: Consumer
        for consumer in self.consumers.values():
            consumer.tracing_changed()
        if self.reply_consumer is not None:
            self.reply_consumer.tracing_changed()

    # --- end

    def forget_reply_consumer(self) -> None:
        """Remove the direct reply-to address."""
        if self.reply_consumer is not None:
            self.connection.broker.reply_addresses.pop(self.reply_consumer.name, None)
            self.reply_consumer.end()
            self.reply_consumer = None
            self.router.revision += 1

    def send_cancel(self, tag: str) -> None:
        """basic.cancel, to clients that understand it; no answer is awaited (docs: consumer-cancel)."""
        if self.connection.cancels_consumers:
            self.write_confirms()
            self.connection.send(
                method_frame(self.number, commands.Basic.Cancel, consumer_tag=tag, nowait=True)
            )

    def close(self, error: AmqpError, class_id: int = 0, method_id: int = 0) -> None:
        """Send channel.close after detaching consumers and requeueing deliveries. `class_id`, `method_id`: the method
        that caused the error, if one did."""
        connection: ConnectionBase = self.connection
        self.write_confirms()
        self.closing = True
        self.content.forget()
        ended: Job = self.terminate()
        connection.broker.observers.notify(
            ChannelRefused(connection.actor, self, error, class_id << 16 | method_id)
        )
        frame = method_frame(
            self.number,
            commands.Channel.Close,
            reply_code=error.code,
            reply_text=error.text,
            class_id=class_id,
            method_id=method_id,
        )
        ended.when_done(lambda: connection.send(frame))

    def terminate(self) -> Job:
        """End the channel: detach its consumers, discard an open transaction, requeue its deliveries. Returns the
        job that requeues them."""
        self.gone = True
        consumers: list[Consumer] = list(self.consumers.values())  # the job uses it up
        count: cython.Py_ssize_t = len(consumers)
        self.consumers.clear()
        transaction: Transaction | None = self.transaction
        self.transaction = None
        self.content.forget()
        if self.confirms is not None:
            self.confirms.ended = True
        self.forget_reply_consumer()
        held: list[list[Entry]] = [self.unacked.take_all()]
        broker = self.connection.broker
        if transaction is not None:
            held.extend([settlement.entries for settlement in transaction.settlements])
            broker.work.begin(free(transaction.take_publishes()), "channel end")
        ended: Job = broker.work.begin(
            settling.end_steps(consumers, held, broker.faults.guard, self.publish_dead_letters),
            "channel end",
            connection=self.connection.name,
            channel=self.number,
        )
        broker.channels_closed += 1
        broker.observers.notify(ChannelClosed(self.connection.actor, self, count))
        self.end_counts()
        self.publish_dead_letters()
        return ended
