"""basic.qos, consume, cancel, get, recover (0-9-1 1.8): what happens once in a while on a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pamqp import commands

from leveret import errors
from leveret.engine.changes import ConsumerCreated, ConsumerDeleted
from leveret.engine.consumer_arguments import consumer_options
from leveret.engine.names import REPLY_TO, generated_name
from leveret.errors import AmqpError
from leveret.queues.message import RECOVERED, Entry
from leveret.session import reply_to, settle_order
from leveret.session.delivery_timeouts import GetHolder
from leveret.session.subscription import Subscription
from leveret.wire.frames import shortstr
from leveret.wire.methods import method_frame

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.session.channel import Channel
    from leveret.session.connection import Connection

_GET_OK = (60 << 16 | 71).to_bytes(4, "big")


def find_queue(channel: Channel, name: str, kind: str = "read") -> Queue:
    """A queue by name (empty: the last one declared), which the user may use and no other connection holds."""
    name = name or last_queue(channel)
    vhost = channel.vhost
    channel.connection.check(kind, errors.queue_name(name, vhost.name), name)
    queue: Queue | None = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    check_owner(channel, queue)
    queue.check_crashed()
    return queue


def check_owner(channel: Channel, queue: Queue) -> None:
    """405 unless the queue is this connection's, or nobody's in particular."""
    if queue.owner is not None and queue.owner is not channel.connection:
        raise errors.queue_locked(queue.name, queue.vhost)


def last_queue(channel: Channel) -> str:
    """The queue an empty name means."""
    if channel.last_queue is None:
        raise errors.no_previous_queue()
    return channel.last_queue


def living_reply_address(channel: Channel, name: str) -> bool:
    """Whether a name is a direct reply-to address in use, where the profile makes such addresses queues."""
    broker = channel.connection.broker
    return broker.profile.volatile_reply_queues and name in broker.reply_addresses


def qos(channel: Channel, method: Any) -> None:
    """basic.qos: for consumers started from now on, or with `global` for the channel (docs: consumer-prefetch). The
    former lifts the latter (rabbit_channel: unlimit_prefetch)."""
    if method.prefetch_size:
        raise errors.prefetch_size_not_supported(method.prefetch_size)
    channel.connection.send(method_frame(channel.number, commands.Basic.QosOk))
    if method.global_:
        channel.connection.broker.lint.global_qos(channel.connection)
    if method.global_ and channel.connection.broker.global_qos_permitted:
        settle_order.limit_channel(channel, method.prefetch_count)
        return
    channel.prefetch = method.prefetch_count
    if channel.global_prefetch:
        settle_order.limit_channel(channel, 0)


def consume(channel: Channel, method: Any) -> None:
    """basic.consume. consume-ok precedes the first delivery."""
    name = method.queue or last_queue(channel)
    if name == REPLY_TO:
        reply_to.consume(channel, method)
        return
    if living_reply_address(channel, name):
        own = channel.reply_consumer is not None and channel.reply_consumer.name == name
        raise errors.consume_reply_address(name, channel.vhost.name, own)
    tag = method.consumer_tag
    if tag in channel.consumers:
        raise errors.consumer_tag_in_use(tag)
    queue = find_queue(channel, name)
    tag = tag or generated_name("amq.ctag")
    rendered = errors.queue_name(queue.name, queue.vhost)
    options = consumer_options(
        rendered, queue.kind, method.arguments or {}, channel.connection.broker.profile
    )
    queue.admit(method.exclusive, method.no_ack, channel.prefetch, channel.global_prefetch)
    consumer = Subscription(
        channel,
        tag,
        queue,
        bool(method.no_ack),
        bool(method.exclusive) and queue.kind == "classic",
        options.priority,
        channel.prefetch,
    )
    consumer.options = options
    consumer.arguments = method.arguments or {}
    queue.accept(consumer)
    channel.consumers[tag] = consumer
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Basic.ConsumeOk, consumer_tag=tag))
    queue.subscribe(consumer)
    channel.connection.broker.observers.notify(ConsumerCreated(channel.connection.actor, consumer))
    queue.run()


def cancel(channel: Channel, method: Any) -> None:
    """basic.cancel: an unknown tag is answered like a known one."""
    tag = method.consumer_tag
    consumer = channel.consumers.pop(tag, None)
    if consumer is not None:
        consumer.source.unsubscribe(consumer)
        channel.connection.broker.observers.notify(
            ConsumerDeleted(channel.connection.actor, cast("Subscription", consumer))
        )
    elif channel.reply_consumer is not None and channel.reply_consumer.tag == tag:
        channel.connection.broker.forget_reply_consumer(channel)
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Basic.CancelOk, consumer_tag=tag))


def recheck_consumers(connection: Connection) -> None:
    """The user's credentials are new: consumers that would be refused now are cancelled
    (rabbit_channel:recheck_consumers). What they hold stays theirs to settle."""
    for channel in list(connection.channels.values()):
        for consumer in list(channel.consumers.values()):
            queue: Any = consumer.source
            try:
                connection.check("read", errors.queue_name(queue.name, queue.vhost), queue.name)
            except AmqpError:
                del channel.consumers[consumer.tag]
                connection.send_cancel(channel, consumer.tag)
                queue.unsubscribe(consumer)
                connection.broker.observers.notify(
                    ConsumerDeleted(connection.actor, cast("Subscription", consumer))
                )


def cancel_ok(channel: Channel, method: Any) -> None:
    """The client's answer to a basic.cancel of ours, which asks for none: RabbitMQ fails over it, for the consumer is
    gone. One that is there it cancels, without a word."""
    if not channel.connection.broker.profile.cancel_ok_handled:
        raise errors.unimplemented_method()
    consumer = channel.consumers.pop(method.consumer_tag, None)
    if consumer is None:
        raise errors.internal_error()
    consumer.source.unsubscribe(consumer)
    channel.connection.broker.observers.notify(
        ConsumerDeleted(channel.connection.actor, cast("Subscription", consumer))
    )


def credit(channel: Channel, method: Any) -> None:
    """basic.credit was meant for the AMQP 1.0 plugin and went in 4.0; for consumers that are there it is refused."""
    if channel.connection.broker.profile.basic_credit and method.consumer_tag not in channel.consumers:
        raise errors.unknown_consumer_tag(method.consumer_tag)
    raise errors.unimplemented_method()


def get(channel: Channel, method: Any) -> None:
    """basic.get: one message, or get-empty."""
    name = method.queue or last_queue(channel)
    if living_reply_address(channel, name):
        raise errors.get_from_reply_address(name, channel.vhost.name)
    queue = find_queue(channel, name)
    queue.admit_get()
    entry = queue.get(bool(method.no_ack))
    if entry is None:
        if queue.crashed:  # just now
            raise errors.internal_error()
        channel.got_empty += 1
        channel.connection.send(method_frame(channel.number, commands.Basic.GetEmpty))
        return
    message = queue.message_to_get(entry)
    channel.tag += 1
    if method.no_ack:
        channel.got_no_ack += 1
    else:
        channel.got += 1
        entry.tag = channel.tag
        entry.consumer = None
        channel.unacked.hold(entry)
        queue.track_get(entry, GetHolder(channel))
    channel.redelivered += entry.redelivered
    left: int = queue.ready_after_get(bool(method.no_ack))
    suffix = shortstr(message.exchange) + shortstr(message.routing_key) + left.to_bytes(4, "big")
    output = channel.output
    output.outbox.deliver(channel.number, _GET_OK, channel.tag, entry.redelivered, suffix)
    output.outbox.put_content(channel.number, message.content, message.head, message.size, output.frame_max)
    output.schedule_flush()
    if channel.context.firehose is not None:
        channel.context.firehose.delivered(channel, message, queue, entry.redelivered)


def recover(channel: Channel, method: Any) -> None:
    """basic.recover: everything outstanding goes back to its queues and out again under new tags."""
    if not method.requeue:
        raise errors.recover_not_supported()
    entries: list[Entry] = channel.unacked.take_all()
    for entry in entries:
        entry.source.admit_recover()
    if isinstance(method, commands.Basic.Recover):
        channel.connection.send(method_frame(channel.number, commands.Basic.RecoverOk))
    settle_order.requeue(channel, entries, RECOVERED)
    channel.wake_all()
