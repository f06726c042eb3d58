"""How connections and channels begin and end: opening, closing from either side, deadlines, heartbeats, blocking.

Every deadline is on the broker's agenda. Ends come in three kinds: a Close is said and its answer awaited; the client's
Close is answered and the client given time to hang up; or the socket is dropped after three seconds of silence, as
RabbitMQ does for what it will not even discuss (rabbit_reader).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pamqp import commands

from leveret import errors
from leveret.engine.changes import (
    ChannelOpened,
    ChannelRefused,
    ConnectionBlocked,
    ConnectionOpened,
    ConnectionRefused,
    ConnectionUnblocked,
    HeartbeatMissed,
)
from leveret.errors import AmqpError
from leveret.faults import serve
from leveret.session import delivery_timeouts, states
from leveret.session.channel import Channel
from leveret.wire.frames import HEARTBEAT_FRAME
from leveret.wire.methods import Access, method_frame

if TYPE_CHECKING:
    from leveret.session.connection import Connection

#: Silence before the socket is dropped (rabbit_reader: SILENT_CLOSE_DELAY), ms.
SILENT_CLOSE_DELAY_MS = 3000

#: How long the answer to connection.close is awaited at most (rabbit_reader: CLOSING_TIMEOUT), ms.
CLOSING_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Peer:
    """What the socket says of a connection. Addresses without ports; `name` is RabbitMQ's: `peer:port -> host:port`."""

    host: str = ""
    port: int = 0
    peer_host: str = ""
    peer_port: int = 0
    loopback: bool = True
    tls: bool = False

    @property
    def name(self) -> str:
        """`127.0.0.1:52622 -> 127.0.0.1:5672`."""
        return f"{self.peer_host}:{self.peer_port} -> {self.host}:{self.port}"


# --- connection


def begin(connection: Connection) -> None:
    """A socket was accepted: the handshake has until the timeout."""
    broker = connection.broker
    connection.timers = {}
    timeout = broker.settings.server.handshake_timeout
    if timeout:
        _arm(connection, "handshake", timeout, lambda: reset(connection))
    broker.connected(connection)


def opened(connection: Connection) -> None:
    """connection.open went through."""
    _disarm(connection, "handshake")
    connection.alarmed = bool(connection.broker.alarms)
    connection.vhost.connections.add(connection)
    connection.broker.observers.notify(ConnectionOpened(connection.actor, connection))
    connection.broker.lint.connection(connection)


def refuse(connection: Connection, error: AmqpError) -> None:
    """The one exit for broken rules."""
    if connection.state in (states.CLOSING, states.CLOSED):
        return
    if error.bursts and connection.broker.profile.long_texts_burst:
        error = errors.internal_error()
    class_id, method_id = (0, 0) if error.anonymous else (connection.method >> 16, connection.method & 0xFFFF)
    channel = connection.channel
    if error.scope == "channel" and channel is not None and connection.state == states.RUNNING:
        close_channel(connection, channel, error, class_id, method_id)
        return
    if connection.state < states.OPENING:
        connection.drop()
        return
    for channel in connection.unflushed:
        if channel.confirms is not None:
            channel.confirms.write(connection.outbox, channel.number)
    connection.unflushed.clear()
    close(connection, error, class_id, method_id)


def fail(connection: Connection, place: str, error: Exception) -> None:
    """An exception that nobody expected: 541 where a Close can still be said, else the socket is dropped."""
    faults = connection.broker.faults
    faults.report(place, error, connection=connection.name)
    if connection.state in (states.CLOSING, states.CLOSED) or not faults.guard(
        "close", refuse, connection, errors.internal_error(), connection=connection.name
    ):
        reset(connection)


def close_channel(
    connection: Connection, channel: Channel, error: AmqpError, class_id: int = 0, method_id: int = 0
) -> None:
    """Say channel.close; its consumers are gone and its deliveries back before it is written."""
    connection.write_confirms(channel)
    channel.closing = True
    channel.assembling = False
    channel.terminate()
    connection.broker.channels_closed += 1
    connection.broker.observers.notify(ChannelRefused(connection.actor, channel, error))
    connection.send(
        method_frame(
            channel.number,
            commands.Channel.Close,
            reply_code=error.code,
            reply_text=error.text,
            class_id=class_id,
            method_id=method_id,
        )
    )


def close(connection: Connection, error: AmqpError, class_id: int = 0, method_id: int = 0) -> None:
    """Say connection.close; channels and exclusive queues are gone before it is written."""
    if connection.state in (states.CLOSING, states.CLOSED):
        return
    if connection.state < states.OPENING:
        reset(connection)
        return
    connection.state = states.CLOSING
    connection.blocked = False  # the answer is to be read, alarm or not
    _end_channels(connection)
    connection.broker.observers.notify(ConnectionRefused(connection.actor, connection, error))
    connection.send(
        method_frame(
            0,
            commands.Connection.Close,
            reply_code=error.code,
            reply_text=error.text,
            class_id=class_id,
            method_id=method_id,
        )
    )
    _disarm(connection, "handshake")
    if error.name == "ACCESS_REFUSED":  # a refused login: RabbitMQ does not wait for the answer
        drop(connection)
    else:
        _arm(connection, "closing", _closing_time(connection), lambda: reset(connection))


def closed_ok(connection: Connection) -> None:
    """The client has answered connection.close: hang up."""
    connection.state = states.CLOSED
    connection.ended = "close"
    connection.schedule_flush()


def client_close(connection: Connection) -> None:
    """connection.close from the client: answer it, and leave hanging up to the client."""
    _end_channels(connection)
    connection.send(method_frame(0, commands.Connection.CloseOk))
    connection.state = states.CLOSED
    _disarm(connection, "handshake")
    _arm(connection, "closing", _closing_time(connection), lambda: reset(connection))


def _closing_time(connection: Connection) -> int:
    heartbeat = connection.heartbeat * 1000
    return min(heartbeat, CLOSING_TIMEOUT_MS) if heartbeat else CLOSING_TIMEOUT_MS


def drop(connection: Connection) -> None:
    """Nothing is read or said any more; the socket is dropped after a while, so that a misled client does not come
    back at once."""
    connection.state = states.CLOSED
    _arm(connection, "closing", SILENT_CLOSE_DELAY_MS, lambda: reset(connection))


def reset(connection: Connection) -> None:
    """Drop the socket now."""
    connection.state = states.CLOSED
    connection.ended = "reset"
    connection.schedule_flush()


def end(connection: Connection) -> None:
    """The socket is gone, by whoever's doing."""
    connection.state = states.CLOSED
    try:
        for name in list(connection.timers):
            _disarm(connection, name)
        _end_channels(connection)
    finally:
        if connection.vhost is not None:
            connection.vhost.connections.discard(connection)
        connection.broker.disconnected(connection)


def _end_channels(connection: Connection) -> None:
    """Terminate all channels, then delete the connection's exclusive queues."""
    channels = [channel for channel in connection.channels.values() if not channel.closing]
    connection.channels.clear()
    connection.channel = None
    for channel in channels:
        channel.gone = True
    guard, name = connection.broker.faults.guard, connection.name
    for channel in channels:
        guard("channel end", channel.terminate, connection=name, channel=channel.number)
    connection.broker.channels_closed += len(channels)
    if connection.exclusive_queues:
        for queue in list(connection.exclusive_queues.values()):
            guard("queue deletion", connection.vhost.delete_queue, queue, connection=name, queue=queue.name)
        connection.exclusive_queues.clear()
        connection.vhost.publish_dead_letters()


def _arm(connection: Connection, name: str, delay: int, call: Callable[[], None]) -> None:
    _disarm(connection, name)
    connection.timers[name] = connection.broker.agenda.call_after(
        delay, lambda: serve(connection, f"{name} timer", call)
    )


def _disarm(connection: Connection, name: str) -> None:
    due = connection.timers.pop(name, None)
    if due is not None:
        connection.broker.agenda.cancel(due)


# --- heartbeats (docs: heartbeats; rabbit_heartbeat)


def start_heartbeat(connection: Connection) -> None:
    """Send one every half interval in which nothing else was sent, and at the end of the first in any case, as RabbitMQ
    does; expect something in every two intervals."""
    if connection.heartbeat:
        received = connection.received
        _arm(connection, "beat", connection.heartbeat * 500, lambda: _beat(connection, connection.sent))
        _arm(connection, "listen", connection.heartbeat * 1000, lambda: _listen(connection, received, 0))


def _beat(connection: Connection, sent: int) -> None:
    if connection.state >= states.CLOSING:
        return
    if connection.sent == sent:
        connection.send(HEARTBEAT_FRAME)
    now = connection.sent + connection.outbox.size
    _arm(connection, "beat", connection.heartbeat * 500, lambda: _beat(connection, now))


def _listen(connection: Connection, received: int, silent: int) -> None:
    if connection.state >= states.CLOSING:
        return
    silent = 0 if connection.received != received or connection.blocked else silent + 1
    if silent >= 2:
        connection.broker.observers.notify(HeartbeatMissed(connection.actor, connection))
        reset(connection)
        return
    received = connection.received
    _arm(connection, "listen", connection.heartbeat * 1000, lambda: _listen(connection, received, silent))


# --- resource alarms (docs: alarms, connection-blocked)


def block(connection: Connection) -> None:
    """It publishes while an alarm is on: read no more from it, and tell it if it understands."""
    connection.alarmed = False
    connection.blocked = True
    if "connection.blocked" in connection.capabilities:
        connection.blocked_notified = True
        reason = connection.broker.alarm_text()
        connection.send(method_frame(0, commands.Connection.Blocked, reason=reason))
    connection.broker.observers.notify(ConnectionBlocked(connection.actor, connection))
    connection.schedule_flush()


def alarm_changed(connection: Connection, on: bool) -> None:
    """An alarm went on, or the last one off."""
    if connection.state != states.RUNNING:
        return
    if on:
        connection.alarmed = not connection.blocked
        return
    connection.alarmed = False
    if connection.blocked:
        connection.blocked = False
        if connection.blocked_notified:
            connection.blocked_notified = False
            connection.send(method_frame(0, commands.Connection.Unblocked))
        connection.broker.observers.notify(ConnectionUnblocked(connection.actor, connection))
        connection.schedule_flush()


# --- channel (0-9-1 1.5)


def admit_channel(connection: Connection) -> None:
    """Refuse one more channel than is allowed: `channel_max` limits how many are open, not how they are numbered.
    RabbitMQ asks this of every method on a number that is not open, before it looks at the method."""
    if len(connection.channels) >= connection.channel_max > 0:
        raise errors.too_many_channels(connection.channel_max)
    connection.broker.check_channel_limits(connection)


def channel_open(connection: Connection, number: int) -> None:
    """channel.open."""
    admit_channel(connection)
    channel = Channel(connection, number, connection.vhost)
    connection.channels[number] = channel
    connection.channel = channel
    connection.broker.channels_opened += 1
    connection.broker.observers.notify(ChannelOpened(connection.actor, channel))
    delivery_timeouts.watch(channel)
    connection.send(method_frame(number, commands.Channel.OpenOk, channel_id=b""))


def channel_close(connection: Connection, channel: Channel) -> None:
    """channel.close from the client."""
    connection.write_confirms(channel)
    channel.terminate()
    connection.broker.channels_closed += 1
    connection.channel_gone(channel.number)
    connection.send(method_frame(channel.number, commands.Channel.CloseOk))


def access_request(channel: Channel, method: Any) -> None:
    """access.request of AMQP 0-8: every realm is open."""
    channel.connection.send(method_frame(channel.number, Access.RequestOk, ticket=1))


def channel_flow(channel: Channel, method: Any) -> None:
    """channel.flow: RabbitMQ does not let a client stop its deliveries."""
    if not method.active:
        raise errors.flow_not_supported()
    channel.connection.send(method_frame(channel.number, commands.Channel.FlowOk, active=True))
