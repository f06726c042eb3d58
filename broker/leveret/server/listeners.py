"""Listens for AMQP clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from leveret.server.sockets import Edge, Socket


class Protocol(Socket, asyncio.BufferedProtocol):
    """A `Socket` as event loops want it."""

    __slots__ = ()


async def listen(edge: Edge, host: str, port: int) -> asyncio.Server:
    """Accept AMQP on `host:port`; `::` accepts IPv4 too, like RabbitMQ's default listener. Raises `OSError`."""
    sock = bind(host, port)
    return await edge.loop.create_server(lambda: Protocol(edge), sock=sock, backlog=1024)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket; `::` is dual-stack, or 0.0.0.0 on a machine without IPv6. Raises `OSError`."""
    if host == "::" and not socket.has_ipv6:
        host = "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if family == socket.AF_INET and host and not host[0].isdigit():
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        if host != "::":
            raise
        host, family = "0.0.0.0", socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def shown(address: Sequence[str | int]) -> str:
    """Format an address as in RabbitMQ's start-up lines: `127.0.0.1:5672`, `[::]:5672`."""
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
