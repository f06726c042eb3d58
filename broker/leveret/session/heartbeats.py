"""Heartbeats (docs: heartbeats; rabbit_heartbeat)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.changes import HeartbeatMissed
from leveret.session import states
from leveret.wire.frames import HEARTBEAT_FRAME

if TYPE_CHECKING:
    from leveret.session.connection import Connection


def start(connection: Connection) -> None:
    """Send a heartbeat for every half interval in which nothing else was sent, and for the first one in any case, as
    RabbitMQ does; expect something within every two intervals."""
    if connection.heartbeat:
        received, sent = connection.received, connection.sent
        connection.arm("send", connection.heartbeat * 500, lambda: _send(connection, connection.sent))
        connection.arm(
            "receive", connection.heartbeat * 1000, lambda: _check_received(connection, received, sent, 0)
        )


def _send(connection: Connection, sent: int) -> None:
    """Send a heartbeat unless more than `sent` octets were sent."""
    if connection.state >= states.CLOSING:
        return
    if connection.sent == sent:
        connection.send(HEARTBEAT_FRAME)
    now = connection.sent + connection.outbox.size
    connection.arm("send", connection.heartbeat * 500, lambda: _send(connection, now))


def _check_received(connection: Connection, received: int, sent: int, silent: int) -> None:
    """Reset the connection after two intervals in which no more than `received` octets came; `silent`: so far. `sent`:
    octets that had been sent."""
    if connection.state >= states.CLOSING:
        return
    if connection.stuffed:  # it is not read until it reads: whether it does is what counts
        silent = 0 if connection.sent != sent else silent + 1
    else:
        silent = 0 if connection.received != received or connection.halted else silent + 1
    if silent >= 2:
        connection.broker.observers.notify(HeartbeatMissed(connection.actor, connection))
        connection.reset()
        return
    received, sent = connection.received, connection.sent
    connection.arm(
        "receive", connection.heartbeat * 1000, lambda: _check_received(connection, received, sent, silent)
    )
