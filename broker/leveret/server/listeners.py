"""Listens for AMQP clients."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Sequence
from typing import Protocol as Port

from leveret.server.sockets import Edge, Socket
from leveret.settings import Server


class Listening(Port):
    """A listener that can be closed."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Its listening sockets."""

    def close(self) -> None:
        """Stop listening."""


#: Error number -> what to do about it.
_ADVICE = {
    errno.EADDRINUSE: "Another program uses this port: stop it, or set another port",
    errno.EACCES: "Ports below 1024 need a privilege: set another port, or give it CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "No network interface has this address: set another one, or :: for all addresses",
}
_OTHER_ADVICE = "Set another address or port"
_WHERE = "(--host, --port, --http-port, --prometheus-port, or the listeners in rabbitmq.conf)"


class ListenError(OSError):
    """A listener cannot be started. The text names address and port, and what to do."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        self.host = host
        self.port = port

    def __str__(self) -> str:
        advice = _ADVICE.get(self.errno or 0, _OTHER_ADVICE)
        return f"cannot listen on {shown((self.host, self.port))}: {self.strerror}. {advice} {_WHERE}."


class Protocol(Socket, asyncio.BufferedProtocol):
    """A `Socket` as event loops want it."""

    __slots__ = ()


async def listen(edge: Edge, host: str, port: int) -> Listening:
    """Accept AMQP on `host:port`; `::` accepts IPv4 too, like RabbitMQ's default listener. Raises `OSError`."""
    server = edge.broker.settings.server
    sock = bind(host, port)
    set_options(sock, server)
    return await edge.loop.create_server(lambda: Protocol(edge), sock=sock, backlog=server.backlog)


def set_options(sock: socket.socket, server: Server) -> None:
    """Set `tcp_listen_options.*` of RabbitMQ: the sockets that are accepted have them, too."""
    if server.keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if server.sndbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, server.sndbuf)
    if server.recbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, server.recbuf)
    if server.linger >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, server.linger))


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; `::` is dual-stack, or 0.0.0.0 on a machine without IPv6. Raises `OSError`.

    It names its protocol: asyncio sets TCP_NODELAY, which is RabbitMQ's default, only on sockets that do.
    """
    if host == "::" and not socket.has_ipv6:
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET and host and not host[0].isdigit():
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        except OSError as error:
            raise ListenError(host, port, error) from None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError:
        if host != "::":
            raise
        host, family = "0.0.0.0", socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ListenError(host, port, error) from None
    sock.setblocking(False)
    return sock


def shown(address: Sequence[str | int]) -> str:
    """Format an address as in RabbitMQ's start-up lines: `127.0.0.1:5672`, `[::]:5672`."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
