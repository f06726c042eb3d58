"""Names of Erlang processes for connections, channels and queues: `<rabbit@host.1795907723.7461.0>`.

The numbers identify the object as long as it exists.
"""

from __future__ import annotations

from collections.abc import Iterable

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.rendering.terms import Pid

_DIGITS = 10**6


def _pid(subject: object, node: str, serial: int) -> Pid:
    number = id(subject) // 16
    return Pid(f"<{node}.{1 + number // _DIGITS}.{number % _DIGITS}.{serial}>")


def connection_pid(connection: ClientConnection, node: str) -> Pid:
    """The process of a connection."""
    return _pid(connection, node, connection.connected_at % _DIGITS)


def channel_pid(channel: ClientChannel, node: str) -> Pid:
    """The process of a channel."""
    return _pid(channel, node, channel.number)


def queue_pid(queue: object, node: str) -> Pid:
    """The process of a queue."""
    return _pid(queue, node, 0)


def find_connection(connections: Iterable[ClientConnection], node: str, pid: str) -> ClientConnection | None:
    """The connection that has this process."""
    return next((each for each in connections if connection_pid(each, node) == pid), None)
