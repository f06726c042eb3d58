"""What clients have sent before a call is handled before the call."""

from __future__ import annotations

import array
import selectors
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from leveret.server.sockets import Edge, Socket
    from leveret.testing.acceptor import Acceptor

if sys.platform != "win32":
    import fcntl
    import termios

#: Names the jobs that nobody waits for: what was let go of is taken apart.
BACKGROUND = "reset"

#: Octets that a kernel may hold for a sender besides those in our receive buffer.
SENDER_BUFFER_BYTES = 8 << 20


class Drain:
    """Waits until everything is handled that was in the kernel when it was made: connections to be accepted, octets
    and ends of connections to be read, and the jobs that they began.

    A client that never stops to send is waited for as long as its octets may have been in the kernel before. Sockets
    that the broker does not read, because of an alarm or a fault, are not waited for.
    """

    def __init__(self, edge: Edge, acceptors: list[Acceptor]) -> None:
        self.edge = edge
        self.arriving: set[asyncio.Task[object]] = set()
        for acceptor in acceptors:
            if not acceptor.refusing:
                acceptor.accept()
            self.arriving |= acceptor.arriving
        self.limits: dict[Socket, int] | None = None

    def done(self) -> bool:
        """Return whether everything is handled."""
        if any(not task.done() for task in self.arriving):
            return False
        if self.limits is None:
            acknowledge(self.edge.sockets.values())
            self.limits = {
                each: each.connection.received + _unread(each.fd) + SENDER_BUFFER_BYTES
                for each in self.edge.sockets.values()
            }
        for each in readable(list(self.limits)):
            if self._unhandled(each):
                return False
            del self.limits[each]
        for each in list(self.limits):
            if each.connection.turn_over or each.connection.suspended is not None or self._closing(each):
                return False
            del self.limits[each]
        return all(job.place == BACKGROUND for job in self.edge.work.jobs)

    def _closing(self, each: Socket) -> bool:
        """Return whether a socket is closed in the next turn of the loop."""
        transport = each.transport
        open_still = each.connection in self.edge.sockets
        return open_still and transport.is_closing() and not transport.get_write_buffer_size()

    def _unhandled(self, each: Socket) -> bool:
        """Return whether a socket that has input must be read first."""
        assert self.limits is not None
        connection = each.connection
        if connection.turn_over or connection.suspended is not None:
            return True
        return each.reading and not connection.halted and connection.received <= self.limits[each]


def acknowledge(sockets: Iterable[Socket]) -> None:
    """Have the kernel acknowledge at once what has come. A client that has not set TCP_NODELAY may have sent more,
    which its kernel holds back until then (Nagle's algorithm)."""
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is None:
        return
    for each in sockets:
        raw = each.transport.get_extra_info("socket")
        if raw is not None and raw.family != socket.AF_UNIX:
            with suppress(OSError):  # it was closed in this moment
                raw.setsockopt(socket.IPPROTO_TCP, option, 1)


def readable(sockets: list[Socket]) -> list[Socket]:
    """Return those of the open sockets that have octets to be read, or whose client has closed its side."""
    found = {}
    for each in sockets:
        if each.fd >= 0 and not each.transport.is_closing():
            found[each.fd] = each
    if not found:
        return []
    with (
        selectors.PollSelector() if hasattr(selectors, "PollSelector") else selectors.SelectSelector() as poll
    ):
        for descriptor in found:
            poll.register(descriptor, selectors.EVENT_READ)
        return [found[key.fd] for key, _ in poll.select(0)]


def _unread(descriptor: int) -> int:
    """Return the octets that wait in the receive buffer of a socket; 0 where this cannot be asked."""
    if sys.platform == "win32" or descriptor < 0:
        return 0
    count = array.array("i", [0])
    try:
        fcntl.ioctl(descriptor, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
