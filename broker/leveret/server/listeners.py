"""The listening sockets: TCP in, bytes to the engine, one write per connection per tick out.

All connections of a loop read into one buffer: a read is handled before the next one begins, and only what is left of
an incomplete frame is kept per connection. What connections have to say is collected in `broker.dirty` and sent at
the end of the tick, straight to the socket if nothing waits in the transport already. A peer that does not read fills
its transport, is `paused`, and is passed over by the queues until it has drained.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from leveret.clock import NEVER
from leveret.engine.broker import Broker
from leveret.faults import serve
from leveret.server.wall_clock import WallClock
from leveret.session import invariants
from leveret.session.connection import Connection
from leveret.session.lifetime import Peer

if TYPE_CHECKING:
    from leveret.server.send_barrier import SendBarrier

#: One read. Many small messages share the cost of a read, and frame_max fits in several times.
READ_BYTES = 256 * 1024

#: What may wait in a transport before its connection is passed over.
WRITE_LIMIT_BYTES = 256 * 1024

#: How much of a read is handled before large outboxes are sent: one publish may become many deliveries.
SLICE_BYTES = 64 * 1024

#: An outbox beyond this is sent before the end of the tick, so that the peer can begin to read.
EARLY_SEND_BYTES = 128 * 1024


class Edge:
    """Where sockets and engine meet: moves the clock, runs the agenda, sends what is dirty."""

    def __init__(self, broker: Broker, clock: WallClock, loop: asyncio.AbstractEventLoop) -> None:
        self.broker = broker
        self.clock = clock
        self.loop = loop
        self.buffer = bytearray(max(READ_BYTES, 2 * (broker.settings.amqp.frame_max + 8)))
        self.view = memoryview(self.buffer)
        self.protocols: dict[Connection, Protocol] = {}
        self._flush_due = False
        self.send_barrier: SendBarrier | None = None
        self.checker = invariants.checker(broker)
        self._timer: asyncio.TimerHandle | None = None
        broker.agenda.earlier = self._rearm

    # --- time

    def _rearm(self) -> None:
        """Have the loop call when the agenda's earliest call is due."""
        at = self.broker.agenda.next_at()
        delay = max(0.0, (at - self.clock.read()) / 1000)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(min(delay, 86400.0), self._run_agenda)

    def _run_agenda(self) -> None:
        self._timer = None
        self.clock.tick()
        try:
            self.broker.agenda.run()
            if self.checker is not None:
                self.checker.all()
        finally:  # whatever happens: everybody's timers are on it
            if self.broker.agenda.next_at() < NEVER:
                self._rearm()
            self.touch()

    # --- out

    def touch(self) -> None:
        """Something may have been said: send it at the end of the tick."""
        if self.broker.dirty and not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def send_soon(self) -> None:
        """Send at the end of the tick, whether or not anything was said."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def send_large(self) -> None:
        """Send outboxes that have grown large."""
        if self.send_barrier is not None and self.send_barrier.shut():
            return
        for connection in self.broker.dirty:
            if connection.outbox.size > EARLY_SEND_BYTES:
                protocol = self.protocols.get(connection)
                if protocol is not None:
                    serve(protocol, "flush", protocol.send_early)

    def _flush(self) -> None:
        self._flush_due = False
        # Sending lets consumers that were passed over take more, which makes outlets dirty again: those wait for the
        # next tick, so that one reader cannot keep the loop to itself.
        dirty, self.broker.dirty[:] = list(self.broker.dirty), []
        if self.send_barrier is not None:
            dirty = self.send_barrier.admit(dirty)
        for connection in dirty:
            protocol = self.protocols.get(connection)
            if protocol is not None:
                serve(protocol, "flush", protocol.send)
            else:
                connection.flush_scheduled = False
        self.touch()


def isolated(event: Callable[..., None]) -> Callable[..., None]:
    """An event of one socket: a fault ends its connection, and what others have to say is sent all the same."""

    @functools.wraps(event)
    def handle(protocol: Protocol, *arguments: Any) -> None:
        try:
            event(protocol, *arguments)
        except Exception as error:
            protocol.fail("socket event", error)
        finally:
            protocol.edge.touch()

    return handle


class Protocol(asyncio.BufferedProtocol):
    """One accepted socket. `accepted`: it has a connection. `failed`: a fault has ended that, and the next one drops
    the socket."""

    __slots__ = ("accepted", "connection", "edge", "failed", "fd", "reading", "rest", "transport")

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.rest = b""
        self.reading = True
        self.fd = -1
        self.failed = False
        self.transport: asyncio.Transport
        self.connection: Connection
        self.accepted = False

    def fail(self, place: str, error: Exception) -> None:
        """Serving it has raised an exception: that ends its connection (541 where that can be said), and no other."""
        faults = self.edge.broker.faults
        if self.accepted:
            self.connection.flush_scheduled = False  # whether or not it was visited, it is to be once more
            self.connection.fail(place, error)
        else:
            faults.report(place, error)
        if self.failed or not self.accepted:
            faults.guard(place, self.transport.abort)
        self.failed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has no common base
        self._accept(self.transport)

    @isolated
    def _accept(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES, low=WRITE_LIMIT_BYTES // 4)
        sock = transport.get_extra_info("socket")
        if transport.get_extra_info("sslcontext") is None:
            self.fd = sock.fileno()
        self.edge.clock.tick()
        broker = self.edge.broker
        self.connection = Connection(broker, _peer(transport, sock), broker.dirty)
        self.edge.protocols[self.connection] = self
        self.accepted = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to: the shared buffer, behind what is left of an incomplete frame."""
        kept = len(self.rest)
        if kept:
            self.edge.buffer[:kept] = self.rest
            return self.edge.view[kept:]
        return self.edge.view

    @isolated
    def buffer_updated(self, count: int) -> None:
        """`count` octets were read."""
        if not self.accepted:
            return
        edge = self.edge
        edge.clock.tick()
        self._take(edge.buffer, len(self.rest) + count)
        if edge.checker is not None:
            edge.checker.connection(self.connection)

    def _take(self, buffer: bytearray, size: int) -> None:
        receive = self.connection.receive
        done, stop = 0, min(SLICE_BYTES, size)
        while True:
            done += receive(buffer, stop, done)  # type: ignore[arg-type]  # any buffer will do
            self.edge.send_large()
            if stop == size:
                break
            stop = min(max(done, stop) + SLICE_BYTES, size)
        self.rest = bytes(buffer[done:size]) if done < size else b""
        if self.connection.blocked and self.reading:
            self.reading = False
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The client will say nothing more."""
        return False

    @isolated
    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        if not self.accepted:
            return
        self.edge.clock.tick()
        self.edge.protocols.pop(self.connection, None)
        self.connection.lost()

    @isolated
    def pause_writing(self) -> None:
        """The peer does not read: its consumers are passed over."""
        self.connection.paused = True

    @isolated
    def resume_writing(self) -> None:
        """It reads again."""
        self.connection.paused = False
        self.edge.clock.tick()
        self.connection.drained()

    def send_early(self) -> None:
        """Send a large outbox before the tick ends; the connection stays on the dirty list."""
        if not self.connection.paused and not self.transport.is_closing():
            self._write(self.connection.take_output())
            self.connection.flush_scheduled = True

    def send(self) -> None:
        """Send what the connection has to say, and act on what it has come to."""
        connection = self.connection
        data = connection.take_output()
        if data and not self.transport.is_closing():
            self._write(data)
        if connection.ended:
            self.transport.close() if connection.ended == "close" else self.transport.abort()
            return
        if connection.congested and not connection.paused:
            connection.drained()
        if not self.reading and not connection.blocked:
            self._resume()

    def _write(self, data: bytes) -> None:
        """To the socket at once if nothing is in the way, what it does not take to the transport."""
        if self.fd >= 0 and not self.transport.get_write_buffer_size():
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:  # the transport will find out and say so
                return
            if sent == len(data):
                return
            data = data[sent:]
        self.transport.write(data)

    def _resume(self) -> None:
        """An alarm is over: first what was read already, then the socket."""
        self.reading = True
        if self.rest:
            rest, self.rest = bytearray(self.rest), b""
            self._take(rest, len(rest))
        if self.reading:
            self.transport.resume_reading()
        self.edge.touch()


def _peer(transport: asyncio.Transport, sock: Any) -> Peer:
    """Both ends, as the management API and the log name them."""
    peer = transport.get_extra_info("peername") or ("", 0)
    own = transport.get_extra_info("sockname") or ("", 0)
    if not isinstance(peer, tuple):
        return Peer()
    host = _plain(peer[0])
    return Peer(
        host=_plain(own[0]),
        port=own[1],
        peer_host=host,
        peer_port=peer[1],
        loopback=host == "::1" or host.startswith("127."),
        tls=transport.get_extra_info("sslcontext") is not None,
    )


def _plain(address: str) -> str:
    """IPv4 addresses that arrive on an IPv6 socket, without the mapping."""
    return address.removeprefix("::ffff:")


async def listen(edge: Edge, host: str, port: int) -> asyncio.Server:
    """Accept AMQP on `host:port`; `::` takes IPv4 too, as RabbitMQ's default listener does."""
    sock = bind(host, port)
    return await edge.loop.create_server(lambda: Protocol(edge), sock=sock, backlog=1024)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, dual-stack where `host` is `::` and the machine has IPv6."""
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


def shown(address: tuple[Any, ...]) -> str:
    """An address as RabbitMQ's start-up lines write it: `127.0.0.1:5672`, `[::]:5672`."""
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
