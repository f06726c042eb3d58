"""basic.qos, consume, cancel, get, recover (0-9-1 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pamqp import commands

from leveret import errors
from leveret.engine.changes import ConsumerCreated, ConsumerDeleted
from leveret.engine.consumer_arguments import consumer_options
from leveret.engine.names import REPLY_TO, generated_name
from leveret.engine.operations import Caller, read_queue
from leveret.errors import AmqpError
from leveret.queues.message import RECOVERED, Entry
from leveret.queues.queue import PORTION
from leveret.session import reply_to, settling
from leveret.session.consumer_limit import check_consumer_limit
from leveret.session.delivery_timeouts import GetHolder
from leveret.session.subscription import Subscription
from leveret.wire.frames import shortstr
from leveret.wire.methods import Credit, method_frame, table_of

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Source
    from leveret.queues.queue import Queue
    from leveret.session.channel import Channel
    from leveret.work import Steps

#: Consumers whose permissions are checked again together.
_RECHECKED = 64

_GET_OK = (60 << 16 | 71).to_bytes(4, "big")


def caller_of(channel: Channel) -> Caller:
    """Return the connection and its user as the caller of an operation."""
    connection = channel.connection
    caller = connection.caller
    if caller is None:
        caller = connection.caller = Caller(connection.actor, connection, may=channel.permissions)
    return caller


def find_queue(channel: Channel, name: str) -> Queue:
    """Return a queue by name. Raises 403 without the permission read, 404 if there is none, 405 if another owns it."""
    return read_queue(channel.vhost, caller_of(channel), name)


def last_queue(channel: Channel) -> str:
    """Return the queue that an empty name stands for. Raises 404 if there is none."""
    if channel.last_queue is None:
        raise errors.no_previous_queue()
    return channel.last_queue


def is_reply_address_in_use(channel: Channel, name: str) -> bool:
    """Return whether a name is a direct reply-to address in use, where the profile treats such addresses as queues."""
    broker = channel.connection.broker
    return channel.profile.volatile_reply_queues and name in broker.reply_addresses


def qos(channel: Channel, method: commands.Basic.Qos) -> None:
    """basic.qos: for consumers started from now on, or with `global` for the channel (docs: consumer-prefetch). The
    former ends the latter (rabbit_channel: unlimit_prefetch)."""
    if method.prefetch_size:
        raise errors.prefetch_size_not_supported(method.prefetch_size)
    channel.connection.send(method_frame(channel.number, commands.Basic.QosOk))
    if method.global_:
        channel.connection.broker.lint.global_qos(channel.connection)
    if method.global_ and channel.connection.broker.global_qos_permitted:
        channel.connection.begin(channel.set_global_prefetch(method.prefetch_count), "basic.qos")
        return
    channel.prefetch = method.prefetch_count
    if channel.global_prefetch:
        channel.connection.begin(channel.set_global_prefetch(0), "basic.qos")


def consume(channel: Channel, method: commands.Basic.Consume) -> None:
    """basic.consume. consume-ok precedes the first delivery."""
    name = method.queue or last_queue(channel)
    if name == REPLY_TO:
        reply_to.consume(channel, method)
        return
    if is_reply_address_in_use(channel, name):
        own = channel.reply_consumer is not None and channel.reply_consumer.name == name
        raise errors.consume_reply_address(name, channel.vhost.name, own)
    tag = method.consumer_tag
    if tag in channel.consumers:
        raise errors.consumer_tag_in_use(tag)
    check_consumer_limit(channel)
    queue = find_queue(channel, name)
    tag = tag or generated_name("amq.ctag", channel.connection.broker.random_octets)
    rendered = errors.queue_name(queue.name, queue.vhost)
    options = consumer_options(rendered, queue.kind, table_of(method.arguments), channel.profile)
    queue.admit(method.exclusive, method.no_ack, channel.prefetch, channel.global_prefetch)
    consumer = Subscription(
        channel,
        tag,
        queue,
        bool(method.no_ack),
        bool(method.exclusive) and queue.has_exclusive_consumers,
        options.priority,
        channel.prefetch,
    )
    consumer.options = options
    consumer.arguments = table_of(method.arguments)
    queue.accept(consumer)
    channel.consumers[tag] = consumer
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Basic.ConsumeOk, consumer_tag=tag))
    queue.subscribe(consumer)
    channel.connection.broker.observers.notify(ConsumerCreated(channel.connection.actor, consumer))
    queue.run()


def cancel(channel: Channel, method: commands.Basic.Cancel) -> None:
    """basic.cancel: no error if there is no such consumer."""
    tag = method.consumer_tag or ""
    consumer = channel.consumers.get(tag)
    if consumer is not None:
        settling.queue_of(consumer).check_free()
        del channel.consumers[tag]
        _unsubscribe(channel, consumer)
    elif channel.reply_consumer is not None and channel.reply_consumer.tag == tag:
        channel.forget_reply_consumer()
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Basic.CancelOk, consumer_tag=tag))


def _unsubscribe(channel: Channel, consumer: Consumer) -> None:
    """Remove a consumer from its queue. It is removed from the channel already."""
    settling.queue_of(consumer).unsubscribe(consumer)
    connection = channel.connection
    connection.broker.observers.notify(ConsumerDeleted(connection.actor, cast("Subscription", consumer)))


def recheck_consumers(channel: Channel) -> Steps:
    """Cancel consumers that would be refused after the user's permissions have changed
    (rabbit_channel:recheck_consumers). Their deliveries can still be settled."""
    for number, consumer in enumerate(list(channel.consumers.values()), 1):
        if number % _RECHECKED == 0:
            yield None
        if consumer.tag not in channel.consumers:
            continue
        queue = settling.queue_of(consumer)
        try:
            channel.permissions.check_queue("read", queue.name)
        except AmqpError:
            del channel.consumers[consumer.tag]
            channel.send_cancel(consumer.tag)
            _unsubscribe(channel, consumer)


def cancel_ok(channel: Channel, method: commands.Basic.CancelOk) -> None:
    """Handle basic.cancel-ok, which the server never expects. Raises 541, as RabbitMQ crashes if there is no such
    consumer; an existing one is cancelled without an answer."""
    if not channel.profile.cancel_ok_handled:
        raise errors.unimplemented_method()
    consumer = channel.consumers.pop(method.consumer_tag or "", None)
    if consumer is None:
        raise errors.internal_error()
    _unsubscribe(channel, consumer)


def credit(channel: Channel, method: Credit.Credit) -> None:
    """basic.credit belonged to the AMQP 1.0 plugin before 4.0. Raises 503, in older versions 406 for unknown tags."""
    if channel.profile.basic_credit and method.consumer_tag not in channel.consumers:
        raise errors.unknown_consumer_tag(method.consumer_tag)
    raise errors.unimplemented_method()


def get(channel: Channel, method: commands.Basic.Get) -> None:
    """basic.get: one message, or get-empty."""
    name = method.queue or last_queue(channel)
    if is_reply_address_in_use(channel, name):
        raise errors.get_from_reply_address(name, channel.vhost.name)
    queue = find_queue(channel, name)
    queue.admit_get()
    entry = queue.get(bool(method.no_ack))
    tally = channel.delivery_tally(queue)
    if entry is None:
        if queue.crashed:  # during this operation
            raise errors.internal_error()
        tally.got_empty += 1
        channel.connection.send(method_frame(channel.number, commands.Basic.GetEmpty))
        return
    message = queue.message_to_get(entry)
    if channel.context.interceptor is not None:
        message = channel.context.interceptor.delivered(message)
    channel.tag += 1
    if method.no_ack:
        tally.got_no_ack += 1
    else:
        tally.got += 1
        entry.tag = channel.tag
        entry.consumer = None
        channel.unacked.hold(entry)
        queue.track_get(entry, GetHolder(channel))
    tally.redelivered += entry.redelivered
    left: int = queue.ready_after_get(bool(method.no_ack))
    suffix = shortstr(message.exchange) + shortstr(message.routing_key) + left.to_bytes(4, "big")
    connection = channel.connection
    connection.outbox.deliver(channel.number, _GET_OK, channel.tag, entry.redelivered, suffix)
    connection.outbox.put_content(
        channel.number, message.content, message.head, message.size, connection.frame_max
    )
    connection.answered()
    if channel.context.history is not None:
        channel.context.history.got(queue, entry, channel, bool(method.no_ack))
    if channel.context.firehose is not None:
        channel.context.firehose.delivered(channel, message, queue, entry.redelivered)


def recover(channel: Channel, method: commands.Basic.Recover | commands.Basic.RecoverAsync) -> None:
    """basic.recover: requeue all unsettled deliveries; they are delivered again with new tags."""
    if not method.requeue:
        raise errors.recover_not_supported()
    channel.connection.begin(_recover(channel, isinstance(method, commands.Basic.Recover)), "basic.recover")


def _recover(channel: Channel, answered: bool) -> Steps:
    entries: list[Entry] = channel.unacked.take_all()
    sources: set[Source] = set()
    for start in range(0, len(entries), PORTION):
        sources.update([entry.source for entry in entries[start : start + PORTION] if entry is not None])
        yield None
    for source in sources:
        source.admit_recover()
    if answered:
        channel.connection.send(method_frame(channel.number, commands.Basic.RecoverOk))
    yield from settling.requeue_steps(channel, entries, RECOVERED)
    channel.wake_all()
