"""Listens for AMQP clients that begin with a PROXY header or a TLS handshake; imported only for such a listener."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import cast

from msgspec.structs import replace

from leveret.server.acceptor import Acceptor
from leveret.server.listeners import Protocol, bind, set_options
from leveret.server.proxy_protocol import Origin
from leveret.server.sockets import Edge, peer_of
from leveret.server.tls import TlsContext, chain_too_long, encryption
from leveret.session.peer import Peer

log = logging.getLogger("leveret.connection")


class ReceivedProtocol(Protocol):
    """A `Socket` that an `Acceptor` has received. `origin`: who is behind the proxy; `tls`: None without TLS."""

    __slots__ = ("origin", "tls")

    def __init__(self, edge: Edge, origin: Origin | None, tls: TlsContext | None) -> None:
        super().__init__(edge)
        self.origin = origin
        self.tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client, unless too many authorities stand between its certificate and one that is trusted."""
        if self.tls is not None:
            depth = self.tls.settings.depth
            if chain_too_long(transport.get_extra_info("ssl_object"), depth):
                log.error("the chain of a client's certificate is longer than depth = %d", depth)
                cast(asyncio.Transport, transport).abort()
                return
        super().connection_made(transport)

    def peer(self, transport: asyncio.Transport) -> Peer:
        """Return who is at the other end: by the proxy's word, and by the client's certificate.

        Whether a client is on this machine depends on the real socket (rabbit_reader:auth_phase).
        """
        peer = peer_of(transport)
        if self.origin is not None:
            peer = replace(peer, **self.origin._asdict())
        if self.tls is not None:
            found = encryption(transport.get_extra_info("ssl_object"), self.tls.settings)
            peer = replace(peer, encryption=found)
        return peer


def listen_proxied(edge: Edge, host: str, port: int) -> Acceptor:
    """Accept AMQP on `host:port` from a proxy. Raises `OSError`."""
    return _receive(edge, bind(host, port), "amqp", None, proxied=True)


def listen_tls(edge: Edge, host: str, port: int, tls: TlsContext, *, proxied: bool = False) -> Acceptor:
    """Accept AMQP over TLS on `host:port`. Raises `OSError`."""
    return _receive(edge, bind(host, port), "amqp/ssl", tls, proxied=proxied)


def _receive(
    edge: Edge, sock: socket.socket, protocol: str, tls: TlsContext | None, *, proxied: bool
) -> Acceptor:
    server = edge.broker.settings.server
    set_options(sock, server)
    sock.listen(server.backlog)
    return Acceptor(
        sock,
        lambda origin: ReceivedProtocol(edge, origin, tls),
        protocol,
        edge.broker.faults,
        tls=tls,
        proxied=proxied,
    )
