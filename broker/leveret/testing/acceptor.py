"""Listening sockets of the toolkit's broker.

Unlike `asyncio.Server`, an acceptor knows which clients are in the middle of being accepted, so that a call can wait
for them, and it can refuse connections while its port stays reserved: a test restarts the broker where clients
reconnect to.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from leveret.server import listeners
from leveret.server.listeners import Protocol

#: Connections that wait to be accepted.
BACKLOG = 1024

#: Ports that are tried if another process has taken the one that was free.
PORT_ATTEMPTS = 20


class Acceptor:
    """One listening socket. `protocol`: makes the protocol of a client. `sockets`: those of accepted clients;
    `arriving`: tasks that connect accepted sockets with the event loop; `refusing`: whether connections are refused."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: Callable[[], Protocol]
    ) -> None:
        self.loop = loop
        self.socket = sock
        self.protocol = protocol
        self.sockets: set[socket.socket] = set()
        self.arriving: set[asyncio.Task[object]] = set()
        self.refusing = True

    def listen(self) -> None:
        """Accept clients, for the first time or again."""
        if self.refusing:
            self.refusing = False
            self.socket.listen(BACKLOG)
            self.loop.add_reader(self.socket, self.accept)

    def refuse(self) -> None:
        """Refuse new connections; the port stays reserved. Those that the kernel has accepted already are reset."""
        if not self.refusing:
            self.refusing = True
            self.loop.remove_reader(self.socket)
            self.socket.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        """Accept all clients that wait."""
        self.sockets = {sock for sock in self.sockets if sock.fileno() >= 0}
        while not self.refusing:
            try:
                sock, _ = self.socket.accept()
            except OSError:  # nobody waits, or the client has given up
                return
            sock.setblocking(False)
            self.sockets.add(sock)
            task: asyncio.Task[object] = self.loop.create_task(self._connect(sock))
            self.arriving.add(task)
            task.add_done_callback(self.arriving.discard)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(self.protocol, sock)
        except OSError:  # the client has closed it meanwhile
            sock.close()

    def close(self) -> None:
        """Free the port."""
        if self.socket.fileno() >= 0:
            self.loop.remove_reader(self.socket)
            self.forget()

    def forget(self) -> None:
        """Close the listening socket and those of clients, without the event loop."""
        self.socket.close()
        for sock in self.sockets:
            sock.close()


def bind_tcp(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address; port 0 is any free port. Raises `OSError`.

    The port is bound by its number: Linux releases one that it has chosen itself as soon as the socket refuses clients.
    """
    if port:
        return listeners.bind(host, port)
    for _ in range(PORT_ATTEMPTS):
        with suppress(OSError):
            return _bind_any(host)
    return _bind_any(host)


def _bind_any(host: str) -> socket.socket:
    with listeners.bind(host, 0) as chosen:
        number = int(chosen.getsockname()[1])
    sock = listeners.bind(host, number)
    try:
        sock.listen(BACKLOG)  # only now nobody else can take it
    except OSError:
        sock.close()
        raise
    return sock


def bind_unix(path: str | os.PathLike[str]) -> socket.socket:
    """Return a Unix socket bound to a path; a socket that another broker has left there is removed. Raises
    `OSError`."""
    place = Path(path)
    if place.is_socket():
        place.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(place))
    sock.setblocking(False)
    return sock
