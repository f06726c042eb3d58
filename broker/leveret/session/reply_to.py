"""Direct reply-to (docs: direct-reply-to): replies that reach no queue.

Consuming from `amq.rabbitmq.reply-to` gives the channel an address. It is registered with the broker under a name that
cannot be guessed, is never listed, and delivers what is published to it directly to the consumer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pamqp import commands

from leveret import errors
from leveret.engine.changes import RepliesDropped
from leveret.engine.names import REPLY_TO, generated_name, is_reply_address, reply_address
from leveret.queues.message import Destination, Message
from leveret.session.consumer_limit import check_consumer_limit
from leveret.session.subscription import Subscription
from leveret.wire.methods import method_frame

if TYPE_CHECKING:
    from leveret.engine.clients import ClientConnection
    from leveret.session.channel import Channel


class ReplyAddress(Destination):
    """A direct reply-to address: delivers to one consumer without acknowledgements, and keeps nothing. `dropped`:
    replies that its consumer left no room for. `consumer`: None after the end."""

    kind = "volatile"

    def __init__(self, channel: Channel, tag: str) -> None:
        super().__init__(reply_address(channel.connection.broker.random_octets), channel.vhost.name)
        self.tag = tag
        self.consumer: Subscription | None = Subscription(channel, tag, self, True, False, 0, 0)
        self.counted: bool = channel.profile.replies_counted
        self.dropped = 0

    def push(self, message: Message) -> int:
        """Deliver a reply, or drop it if the client has left too much unread: nobody keeps replies, and whoever sends
        them must not wait for one requester."""
        consumer = self.consumer
        if consumer is None:
            return 0
        connection = consumer.channel.connection
        if connection.outbox.size > connection.unread_limit:
            if not self.dropped:
                change = RepliesDropped(connection.actor, cast("ClientConnection", connection))
                connection.broker.observers.notify(change)
            self.dropped += 1
            return 0
        consumer.take(message, None, False)
        if not self.counted:
            consumer.channel.tag -= 1
        return 0

    def end(self) -> None:
        """Deliver nothing any more, because the consumer or its channel has ended."""
        self.gone = True
        self.consumer = None

    def tracing_changed(self) -> None:
        """Check again whether deliveries are traced."""
        if self.consumer is not None:
            self.consumer.tracing_changed()


def consume(channel: Channel, method: commands.Basic.Consume) -> None:
    """basic.consume of the pseudo-queue."""
    if method.consumer_tag in channel.consumers:
        raise errors.consumer_tag_in_use(method.consumer_tag)
    check_consumer_limit(channel)
    if not method.no_ack:
        raise errors.reply_consumer_acknowledges()
    if channel.reply_consumer is not None:
        raise errors.reply_consumer_set()
    tag = method.consumer_tag or generated_name("amq.ctag", channel.connection.broker.random_octets)
    address = ReplyAddress(channel, tag)
    channel.reply_consumer = address
    channel.connection.broker.reply_addresses[address.name] = address
    channel.router.revision += 1
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Basic.ConsumeOk, consumer_tag=tag))


def declared(channel: Channel, name: str) -> bool:
    """Return whether queue.declare of `name` refers to the pseudo-queue or to an address in use.

    Raises 404 for an address that is not in use, and up to 4.1 541 for the channel's own, because RabbitMQ's channel
    would call itself.
    """
    if name == REPLY_TO:
        return True
    if not name.startswith(REPLY_TO + "."):
        return False
    profile = channel.profile
    if channel.reply_consumer is not None and channel.reply_consumer.name == name:
        if not profile.volatile_reply_queues:
            raise errors.internal_error()
    elif channel.vhost.reply_address(name) is not None:
        return True
    if profile.malformed_reply_address_crashes and not is_reply_address(name):
        raise errors.internal_error()
    raise errors.queue_not_found(name, channel.vhost.name)
