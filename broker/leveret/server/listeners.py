"""AMQP sockets: octets are read and passed to the engine; output is written once a tick and connection.

All connections read into one buffer. A read is handled before the next one begins, and only an incomplete frame is kept
for each connection. Connections with output are in `broker.dirty`. They are sent at the end of the tick, directly to
the socket if the transport has nothing to send. If a peer does not read, its transport becomes full, the connection is
`paused`, and its consumers get no deliveries until it has sent its output.

Nobody holds the event loop for long. A connection is read once in a turn of the loop, and what was read is handled for
as long as its share of the turn lasts; the rest follows in the next turn, and the socket is not read meanwhile. Jobs
(`work.py`) and timers that are due get a share of each turn, too.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVarTuple, cast

from leveret.clock import NEVER, Agenda, EdgeClock
from leveret.engine.broker import Broker
from leveret.faults import serve
from leveret.session import invariants
from leveret.session.connection import Connection
from leveret.session.peer import Peer
from leveret.session.reader import Reader
from leveret.session.states import End

if TYPE_CHECKING:
    from leveret.server.send_barrier import SendBarrier
    from leveret.work import Job

#: Size of a read: many small messages share its cost, and several frames of frame_max fit into it.
READ_BYTES = 256 * 1024

#: Unsent output in a transport at which its connection is paused.
WRITE_LIMIT_BYTES = 256 * 1024

#: Part of a read that is handled before large outboxes are sent: one publish can become many deliveries.
SLICE_BYTES = 64 * 1024

#: An incomplete frame of more octets than this, which grows by few octets with each read, gets a buffer of its own.
SLOW_FRAME_BYTES = 8 * 1024

#: A timer is armed for at most this long, and then once more: event loops do not take any delay.
LONGEST_DELAY_S = 86400.0

#: Size of an outbox at which it is sent before the end of the tick, so that the peer can begin to read.
EARLY_SEND_BYTES = 128 * 1024


#: Time that all connections together may be read in one turn of the event loop, seconds.
TURN_S = 0.003

#: Time for which a connection is read in a turn in any case, seconds.
LEAST_SHARE_S = 0.0003

#: Time that the timers of one agenda may take in one turn, seconds.
TIMERS_S = 0.003


class AgendaTimer:
    """The event loop's timer for the earliest call on one agenda. `clock`: the agenda's; `ran`: called after a run."""

    def __init__(
        self,
        agenda: Agenda,
        clock: EdgeClock,
        loop: asyncio.AbstractEventLoop,
        ran: Callable[[], None],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.agenda = agenda
        self.clock = clock
        self.loop = loop
        self.ran = ran
        self.timer = timer
        self._handle: asyncio.TimerHandle | None = None
        agenda.earlier = self.arm

    def arm(self) -> None:
        """Arm the timer for the earliest call."""
        delay = max(0.0, (self.agenda.next_at() - self.clock.read()) / 1000)
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self.loop.call_later(min(delay, LONGEST_DELAY_S), self._run)

    def _run(self) -> None:
        self._handle = None
        self.clock.tick()
        end = self.timer() + TIMERS_S
        try:
            self.agenda.run(lambda: self.timer() >= end)
        finally:
            # Other calls need the timer: it is armed again after any exception.
            if self.agenda.next_at() < NEVER:
                self.arm()
            self.ran()


class Edge:
    """Connects sockets with the engine: moves the clocks, runs the agendas, sends the output of dirty connections.

    `clock`: that of link time, and of message time unless `message_clock` is given. `timer`: measures turns,
    seconds. `unfinished`: connections with more to be handled in the next turn of the loop; `share_s`: time that
    each may take, seconds.
    """

    def __init__(
        self,
        broker: Broker,
        clock: EdgeClock,
        loop: asyncio.AbstractEventLoop,
        message_clock: EdgeClock | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.broker = broker
        self.clock = clock
        self.message_clock = message_clock
        self.loop = loop
        self.buffer = bytearray(max(READ_BYTES, 2 * (broker.settings.amqp.frame_max + 8)))
        self.view = memoryview(self.buffer)
        self.protocols: dict[Connection, Protocol] = {}
        self._flush_due = False
        self.unfinished: list[Protocol] = []
        self.share_s = TURN_S
        self.send_barrier: SendBarrier | None = None
        self.checker = invariants.checker(broker)
        self.timers = (
            AgendaTimer(broker.message_time, message_clock or clock, loop, self._timers_ran, timer),
            AgendaTimer(broker.link_time, clock, loop, self._timers_ran, timer),
        )
        broker.work.timer = timer
        broker.work.wake = self._work_soon

    # --- time

    def tick(self) -> None:
        """Move the engine's time to the current one."""
        self.clock.tick()
        if self.message_clock is not None:
            self.message_clock.tick()

    def _work_soon(self) -> None:
        self.loop.call_soon(self._run_jobs)

    def _run_jobs(self) -> None:
        self.tick()
        try:
            self.broker.work.run()
        finally:
            if self.broker.work.jobs:
                self._work_soon()
            self._timers_ran()

    def next_turn(self, protocol: Protocol) -> None:
        """Go on with a connection in the next turn of the loop."""
        self.unfinished.append(protocol)
        if len(self.unfinished) == 1:
            self.loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        """Go on with the connections that have used their turn. The more there are, the shorter each share."""
        unfinished, self.unfinished = self.unfinished, []
        self.share_s = max(LEAST_SHARE_S, TURN_S / len(unfinished))
        self.tick()
        for protocol in unfinished:
            protocol.go_on()

    def _timers_ran(self) -> None:
        try:
            if self.checker is not None:
                self.checker.all()
        finally:
            self.touch()

    # --- out

    def touch(self) -> None:
        """Send the output of connections, if there is any, at the end of the tick."""
        if self.broker.dirty and not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def send_soon(self) -> None:
        """Send at the end of the tick, also output that the send barrier has held."""
        if not self._flush_due:
            self._flush_due = True
            self.loop.call_soon(self._flush)

    def settled(self) -> asyncio.Future[None]:
        """Done once everything that was changed so far is durable."""
        settled: asyncio.Future[None] = self.loop.create_future()
        self.broker.when_committed(lambda: _wake(settled))
        return settled

    def ended(self, job: Job) -> asyncio.Future[None]:
        """Done once a job has ended."""
        ended: asyncio.Future[None] = self.loop.create_future()
        job.when_done(lambda: _wake(ended))
        return ended

    def send_large(self) -> None:
        """Send large outboxes."""
        if self.send_barrier is not None and self.send_barrier.shut():
            return
        for connection in self.broker.dirty:
            if connection.outbox.size > EARLY_SEND_BYTES:
                protocol = self.protocols.get(connection)
                if protocol is not None:
                    serve(protocol, "flush", protocol.send_early)

    def _flush(self) -> None:
        self._flush_due = False
        # After sending, blocked consumers can take more, which makes their connections dirty again. Those wait for the
        # next tick, so that one of them cannot occupy the loop.
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


Arguments = TypeVarTuple("Arguments")


def isolated(
    event: Callable[[Protocol, *Arguments], None],
) -> Callable[[Protocol, *Arguments], None]:
    """Handle an event of one socket: an exception ends its connection, and output of others is still sent."""

    @functools.wraps(event)
    def handle(protocol: Protocol, /, *arguments: *Arguments) -> None:
        try:
            event(protocol, *arguments)
        except Exception as error:
            protocol.fail("socket event", error)
        finally:
            protocol.edge.touch()

    return handle


class Protocol(asyncio.BufferedProtocol):
    """One accepted socket. `accepted`: it has a connection. `failed`: an exception has ended that; the next one drops
    the socket. `rest`: octets of an incomplete frame. `frame`: a frame that comes a few octets at a time, of which
    `filled` are there."""

    __slots__ = (
        "accepted",
        "connection",
        "edge",
        "failed",
        "fd",
        "filled",
        "frame",
        "reader",
        "reading",
        "rest",
        "transport",
    )

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.rest = b""
        self.frame: bytearray | None = None
        self.filled = 0
        self.reading = True
        self.fd = -1
        self.failed = False
        self.transport: asyncio.Transport
        self.connection: Connection
        self.reader: Reader
        self.accepted = False

    def fail(self, place: str, error: Exception) -> None:
        """End this connection, and no other, because of an exception (541 if a close can be sent)."""
        faults = self.edge.broker.faults
        if self.accepted:
            self.connection.flush_scheduled = False  # its output is sent once more
            self.connection.fail(place, error)
        else:
            faults.report(place, error)
        if self.failed or not self.accepted:
            faults.guard(place, self.transport.abort)
        self.failed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has no common base
        self._accept(self.transport)

    @isolated
    def _accept(self, transport: asyncio.Transport) -> None:
        transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES, low=WRITE_LIMIT_BYTES // 4)
        sock = transport.get_extra_info("socket")
        if transport.get_extra_info("sslcontext") is None:
            self.fd = sock.fileno()
        self.edge.tick()
        broker = self.edge.broker
        self.connection = Connection(broker, _peer(transport), broker.dirty)
        self.reader = Reader(self.connection)
        self.connection.resumed = self._resumed
        self.edge.protocols[self.connection] = self
        self.accepted = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer, behind the incomplete frame of the last read; or the rest of a slow frame."""
        if self.frame is not None:
            return memoryview(self.frame)[self.filled :]
        kept = len(self.rest)
        if kept:
            self.edge.buffer[:kept] = self.rest
            return self.edge.view[kept:]
        return self.edge.view

    @isolated
    def buffer_updated(self, count: int) -> None:
        """Handle `count` octets that were read."""
        if not self.accepted:
            return
        edge = self.edge
        edge.tick()
        if self.frame is not None:
            self.filled += count
            self._take(self.frame, self.filled, False)
        else:
            size = len(self.rest) + count
            self._take(edge.buffer, size, size == len(edge.buffer))
            if (
                len(self.rest) > SLOW_FRAME_BYTES
                and count < len(self.rest) // 8
                and not self.connection.halted
            ):
                self._begin_frame()
        if edge.checker is not None:
            edge.checker.connection(self.connection)

    def _begin_frame(self) -> None:
        """Read the rest of an incomplete frame behind what is there: moving that for each read costs too much."""
        size = int.from_bytes(self.rest[3:7], "big") + 8
        self.frame = bytearray(size)
        self.filled = len(self.rest)
        self.frame[: self.filled] = self.rest
        self.rest = b""

    def _take(self, buffer: bytearray, size: int, more: bool) -> None:
        """Handle what `buffer` holds up to `size`, for one turn. `more`: the socket has more, which waits."""
        connection, work = self.connection, self.edge.broker.work
        receive = self.reader.receive
        done, stop = 0, min(SLICE_BYTES, size)
        work.begin_turn(self.edge.share_s)
        while True:
            done += receive(buffer, stop, done)  # type: ignore[arg-type]  # any buffer will do
            self.edge.send_large()
            if connection.halted or stop == size:
                break
            stop = min(max(done, stop) + SLICE_BYTES, size)
            if work.spent():
                connection.end_turn()
                break
        if buffer is not self.frame or done or connection.halted:
            self.frame = None
            self.rest = bytes(buffer[done:size]) if done < size else b""
        if more and not connection.halted:
            connection.end_turn()
        if connection.halted and self.reading:
            self.reading = False
            self.transport.pause_reading()
        if connection.turn_over:
            self.edge.next_turn(self)

    def eof_received(self) -> bool:
        """Close the socket, because the client has closed its side."""
        return False

    @isolated
    def connection_lost(self, error: Exception | None) -> None:
        """Remove the connection of a closed socket."""
        if not self.accepted:
            return
        self.edge.tick()
        self.edge.protocols.pop(self.connection, None)
        self.connection.lost()

    @isolated
    def pause_writing(self) -> None:
        """Pause the connection: its peer does not read."""
        self.connection.paused = True

    @isolated
    def resume_writing(self) -> None:
        """Resume the connection: its peer reads again."""
        self.connection.paused = False
        self.edge.tick()
        self.connection.drained()
        self.connection.schedule_flush()

    def send_early(self) -> None:
        """Send a large outbox before the tick ends; the connection stays on the dirty list."""
        if not self.connection.paused and not self.transport.is_closing():
            self._write(self.connection.take_output())
            self.connection.flush_scheduled = True

    def send(self) -> None:
        """Send output, then close the socket or resume the connection as its state demands."""
        connection = self.connection
        if connection.ended is not None:
            self._end(connection.ended)
            return
        if connection.paused:
            connection.hold_output()
        else:
            self._write(connection.take_output())
        if not connection.paused:
            connection.output_read()
            if connection.congested:
                connection.drained()
        if not self.reading and not connection.halted:
            self._resume()

    def _end(self, end: End) -> None:
        """Send what is left, and close the socket."""
        self._write(self.connection.take_output())
        if end is End.CLOSE:
            self.transport.close()
        else:
            self.transport.abort()

    def _write(self, data: bytes) -> None:
        """Write to the socket if the transport has nothing to send; the rest goes to the transport."""
        if not data or self.transport.is_closing():
            return
        if self.fd >= 0 and not self.transport.get_write_buffer_size():
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:  # the transport will report it
                return
            if sent == len(data):
                return
            data = data[sent:]
        self.transport.write(data)

    def _resumed(self) -> None:
        """The job that the connection has waited for has ended."""
        self.edge.next_turn(self)

    @isolated
    def go_on(self) -> None:
        """Handle more in a new turn, unless something else is in the way."""
        self.connection.begin_turn()
        if not self.reading and not self.connection.halted and not self.transport.is_closing():
            self._resume()
        if self.edge.checker is not None:
            self.edge.checker.connection(self.connection)

    def _resume(self) -> None:
        """Handle the octets that were read already, then read from the socket again."""
        self.reading = True
        if self.rest:
            rest, self.rest = bytearray(self.rest), b""
            self._take(rest, len(rest), False)
        if not self.connection.halted:
            self.transport.resume_reading()
        self.edge.touch()


def _wake(future: asyncio.Future[None]) -> None:
    """Wake who awaits, unless the waiting was given up."""
    if not future.done():
        future.set_result(None)


def _peer(transport: asyncio.Transport) -> Peer:
    """Both addresses, as the management API and the log show them."""
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
    """An address without the prefix that IPv4 addresses have on an IPv6 socket."""
    return address.removeprefix("::ffff:")


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
