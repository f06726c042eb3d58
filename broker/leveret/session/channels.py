"""channel.*: open, close and flow (0-9-1 1.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from leveret import errors
from leveret.engine.changes import ChannelOpened
from leveret.engine.permissions import permissions_of
from leveret.session import delivery_timeouts
from leveret.session.channel import Channel
from leveret.wire.methods import method_frame

if TYPE_CHECKING:
    from leveret.session.connection import Connection


def check_limits(connection: Connection) -> None:
    """Raise 530 if no more channels are allowed. `channel_max` limits how many are open, not their numbers.

    RabbitMQ checks this for every method on a number that is not open, before it examines the method.
    """
    if len(connection.channels) >= connection.channel_max > 0:
        raise errors.too_many_channels(connection.channel_max)
    connection.broker.check_channel_limits(connection)


def open_channel(connection: Connection, number: int) -> None:
    """channel.open."""
    check_limits(connection)
    user, vhost = connection.user, connection.vhost
    if user is None or vhost is None:
        raise errors.channel_not_open()
    broker = connection.broker
    permissions = permissions_of(broker.access, broker.profile, user, vhost.name, broker.clock)
    channel = Channel(connection, number, vhost, permissions)
    connection.channels[number] = channel
    connection.channel = channel
    connection.broker.channels_opened += 1
    connection.broker.observers.notify(ChannelOpened(connection.actor, channel))
    delivery_timeouts.watch(channel)
    connection.send(method_frame(number, commands.Channel.OpenOk, channel_id=b""))


def close_channel(connection: Connection, channel: Channel) -> None:
    """channel.close from the client."""
    channel.write_confirms()
    ended = channel.terminate()
    connection.remove_channel(channel.number)
    if not ended.done:
        connection.suspend(ended)
    ended.when_done(lambda: connection.send(method_frame(channel.number, commands.Channel.CloseOk)))


def flow(channel: Channel, method: commands.Channel.Flow) -> None:
    """channel.flow: RabbitMQ does not let clients stop deliveries with it (540)."""
    if not method.active:
        raise errors.flow_not_supported()
    channel.connection.send(method_frame(channel.number, commands.Channel.FlowOk, active=True))
