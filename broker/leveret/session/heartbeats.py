"""Heartbeats (docs: heartbeats; rabbit_heartbeat), and early ones that wake clients of kombu.

kombu's event loop polls its sockets although frames that were read before wait to be handled
(docs/known-client-bugs.md). A worker that has got all its deliveries at once then does nothing until its socket is
readable again, up to ten seconds. A heartbeat frame is what a server may send at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.changes import HeartbeatMissed
from leveret.session import states
from leveret.wire.frames import HEARTBEAT_FRAME
from leveret.wire.tables import plain

if TYPE_CHECKING:
    from leveret.session.connection import Connection


#: The client library whose event loop has that bug.
_STALLING_PRODUCT = "py-amqp"

#: How long such a client may hold deliveries and be silent until it is sent a heartbeat. The time doubles with each
#: further one, because most silent workers are at work.
FIRST_WAKE_MS = 100

#: How often a client without deliveries is looked at, until it has some.
IDLE_CHECK_MS = 500


def start(connection: Connection) -> None:
    """Send a heartbeat for every half interval in which nothing else was sent, and for the first one in any case, as
    RabbitMQ does; expect something within every two intervals."""
    if connection.heartbeat:
        received, sent = connection.received, connection.sent
        connection.arm("send", connection.heartbeat * 500, lambda: _send(connection, connection.sent))
        connection.arm(
            "receive", connection.heartbeat * 1000, lambda: _check_received(connection, received, sent, 0)
        )
        if plain(connection.client_properties).get("product") == _STALLING_PRODUCT:
            connection.arm("wake", IDLE_CHECK_MS, lambda: _wake(connection, received, FIRST_WAKE_MS))


def _wake(connection: Connection, received: int, wait: int) -> None:
    """Send a heartbeat to a client that holds deliveries and has sent no more than `received` octets for `wait` ms."""
    if connection.state >= states.CLOSING:
        return
    holding = any(channel.unacked.count for channel in connection.channels.values())
    if not holding or connection.received != received:
        wait = FIRST_WAKE_MS
    else:
        connection.send(HEARTBEAT_FRAME)
        wait = min(wait * 2, connection.heartbeat * 500)
    received = connection.received
    delay = wait if holding else IDLE_CHECK_MS
    connection.arm("wake", delay, lambda: _wake(connection, received, wait))


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
