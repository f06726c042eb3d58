"""Clients that other nodes pass on to this one: they are served as if they had come here.

A client that has logged in at another node, and opens a virtual host that is here, goes on from there. The log of that
node has its login; here it is accepted, granted access to the virtual host, and its end is logged, so that each of
RabbitMQ's lines is in the log of a node, and none but the first one twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from leveret.cluster.passed_events import EventReceiver
from leveret.cluster.peers import CONTROL, EVENTS, HTTP, SHUT, TOTALS, VHOST, Call, PeerRefused, Service
from leveret.cluster.user_totals import encoded
from leveret.server.listeners import Protocol
from leveret.server.node import SHUTDOWN
from leveret.server.proxy_protocol import Origin
from leveret.server.sockets import Edge
from leveret.session.peer import Peer
from leveret.session.tuned import Tuned, go_on

if TYPE_CHECKING:
    from leveret.server.http_listeners import HttpListeners
    from leveret.server.node import Node


class TunedProtocol(Protocol):
    """An AMQP client that has logged in at another node (`entry`), and opens a virtual host next."""

    __slots__ = ("entry", "tuned")

    def __init__(self, edge: Edge, tuned: Tuned, entry: str) -> None:
        super().__init__(edge)
        self.tuned = tuned
        self.entry = entry

    def peer(self, transport: asyncio.Transport) -> Peer:
        """Return who is at the other end, by the word of the other node."""
        return self.tuned.peer

    def accept(self, transport: asyncio.Transport) -> None:
        """Make the connection, and have it go on where the other node has stopped."""
        super().accept(transport)
        go_on(self.connection, self.tuned)


class _OriginTransport:
    """A transport that names the client as its peer, not the other node."""

    def __init__(self, transport: asyncio.BaseTransport, origin: Origin) -> None:
        self._transport = transport
        self._origin = origin

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what is known of the connection."""
        if name == "peername":
            return self._origin.peer_host, self._origin.peer_port
        return self._transport.get_extra_info(name, default)


class PassedOnHttp(asyncio.Protocol):
    """An HTTP client that another node passes on. `inner`: the protocol that serves it."""

    def __init__(self, inner: asyncio.Protocol, origin: Origin) -> None:
        self.inner = inner
        self.origin = origin
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve it."""
        self.inner.connection_made(cast(asyncio.BaseTransport, _OriginTransport(transport, self.origin)))


def service_of(node: Node, call: Call) -> Service:
    """Return what serves a call. Raises `PeerRefused` if this node does not, and `ConnectionRefusedError` if a virtual
    host is not here."""
    protocol = call.service
    if protocol == CONTROL:
        return lambda transport, origin: _serve_command(node, transport)
    if protocol == SHUT:
        return lambda transport, origin: _shut(node, transport, call.entry)
    if protocol == VHOST and call.tuned is not None:
        return _vhost_service(node, call.vhost, call.tuned, call.entry)
    if protocol == TOTALS:
        return lambda transport, origin: _say_totals(node, transport, call.user)
    if protocol == EVENTS:
        return lambda transport, origin: _serve(transport, EventReceiver(node.broker, node.edge.touch))
    if protocol == HTTP and node.running and node.http is not None:
        return lambda transport, origin: _serve_http(node.http, transport, origin)
    raise PeerRefused(f"this node does not serve {protocol} at the moment")


def _vhost_service(node: Node, vhost: str, tuned: Tuned, entry: str) -> Service:
    """Return what serves a client that opens a virtual host. Raises `ConnectionRefusedError` if it is not served here:
    it is about to move, or has just moved, and the other node asks again."""
    if vhost not in node.broker.vhosts or not node.running or node.host.maintenance:
        raise ConnectionRefusedError(f"virtual host '{vhost}' is not served by this node")
    return lambda transport, origin: _serve(transport, TunedProtocol(node.edge, tuned, entry))


async def _shut(node: Node, transport: asyncio.Transport, entry: str) -> None:
    """Close the clients that a node has passed on, which stops (320)."""
    transport.close()
    theirs = [
        socket.connection
        for socket in node.edge.sockets.values()
        if isinstance(socket, TunedProtocol) and socket.entry == entry
    ]
    node.edge.tick()
    node.broker.shut(theirs, SHUTDOWN)
    node.edge.touch()


async def _say_totals(node: Node, transport: asyncio.Transport, user: str) -> None:
    transport.write(encoded(node.broker.totals_of(user)))
    transport.close()


async def _serve_command(node: Node, transport: asyncio.Transport) -> None:
    node.control.serve_on(transport)


async def _serve_http(http: HttpListeners | None, transport: asyncio.Transport, origin: Origin) -> None:
    assert http is not None
    make = await http.api_protocol()
    await _serve(transport, PassedOnHttp(make(), origin))


async def _serve(transport: asyncio.Transport, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> None:
    """Let a protocol serve a client."""
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not transport.is_closing():
        transport.resume_reading()
