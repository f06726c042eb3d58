"""AMQP sockets: octets are read and passed to the engine; output is written once a tick and connection.

All connections read into one buffer. A read is handled before the next one begins, and only an incomplete frame is kept
for each connection. Connections with output are in `broker.dirty`. They are sent at the end of the tick, directly to
the socket if the transport has nothing to send. If a peer does not read, its transport becomes full, the connection is
`paused`, and its consumers get no deliveries until it has sent its output.

Nobody holds the event loop for long. A connection is read once in a turn of the loop, and what was read is handled for
as long as its share of the turn lasts; the rest follows in the next turn, and the socket is not read meanwhile. Jobs
(`work.py`) and timers that are due get a share of each turn, too.

The end of a tick is the next turn of the loop, so that reads from several sockets are answered together. After a pause
(`LULL_S`) it comes at once: a single message is not made to wait for others.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import cython

from leveret.clock import EdgeClock
from leveret.engine.broker import Broker
from leveret.engine.changes import ConnectionCrowdedOut
from leveret.faults import serve
from leveret.server import descriptors
from leveret.server.agenda_timer import AgendaTimer
from leveret.session import invariants
from leveret.session.peer import Peer
from leveret.session.states import End

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.session.connection import Connection
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.session.reader import Reader
else:
    from leveret.queues.backlog.paging import Pager
    from leveret.session.connection import Connection
    from leveret.session.output import Output
    from leveret.session.reader import Reader

if TYPE_CHECKING:
    from leveret.server.send_barrier import SendBarrier
    from leveret.work import Job, Work

#: Size of a read: many small messages share its cost, and several frames of frame_max fit into it.
READ_BYTES = 256 * 1024

#: Unsent output in a transport at which its connection is paused.
WRITE_LIMIT_BYTES = 256 * 1024

#: Part of a read that is handled before large outboxes are sent: one publish can become many deliveries.
_SLICE_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)

#: An incomplete frame of more octets than this, which grows by few octets with each read, gets a buffer of its own.
SLOW_FRAME_BYTES = 8 * 1024

#: Size of an outbox at which it is sent before the end of the tick, so that the peer can begin to read.
_EARLY_SEND_BYTES = cython.declare(cython.Py_ssize_t, 128 * 1024)

#: Time that all connections together may be read in one turn of the event loop, seconds.
TURN_S = 0.003

#: Entries of long queues that may be packed in a turn, apart from those that new ones make room for.
PACKED_PER_TURN = 4096

#: Time for which a connection is read in a turn in any case, seconds.
LEAST_SHARE_S = 0.0003

#: Time without output after which output is sent at once, seconds.
_LULL_S = cython.declare(cython.double, 0.0002)


class Edge:
    """Connects sockets with the engine: moves the clocks, runs the agendas, sends the output of dirty connections.

    `clock`: that of link time, and of message time unless `message_clock` is given. `timer`: measures turns, seconds.
    `sockets`: by connection; `newcomers`: in the order of their arrival, at least those that are not logged in;
    `reserve_begins`: the number of the descriptor from which on they are short. `unfinished`: sockets with more to be
    handled in the next turn of the loop; `share_s`: time that each may take, seconds. `sent_at`: when output was last
    sent, seconds of the timer.
    """

    def __init__(
        self,
        broker: Broker,
        clock: EdgeClock,
        loop: asyncio.AbstractEventLoop,
        message_clock: EdgeClock | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.broker: Broker = broker
        self.work: Work = broker.work
        self.pager: Pager = broker.pager
        self.dirty: list[Output] = broker.dirty
        self.clock: EdgeClock = clock
        self.message_clock: EdgeClock | None = message_clock
        self.loop: asyncio.AbstractEventLoop = loop
        self.timer: Callable[[], float] = timer
        self.buffer: bytearray = bytearray(max(READ_BYTES, 2 * (broker.settings.amqp.frame_max + 8)))
        self.view: memoryview = memoryview(self.buffer)
        self.sockets: dict[Output, Socket] = {}
        self.newcomers: dict[Socket, None] = {}
        self.reserve_begins: int = descriptors.reserve_begins()
        self.flush_due: bool = False
        self.work_due: bool = False
        self.unfinished: list[Socket] = []
        self.share_s: float = TURN_S
        self.sent_at: float = 0.0
        self.send_barrier: SendBarrier | None = None
        self.checker: invariants.Checker | None = invariants.checker(broker)
        # One context for all calls, instead of a copy of the current one for each.
        self.context: contextvars.Context = contextvars.Context()
        self.timers: tuple[AgendaTimer, AgendaTimer] = (
            AgendaTimer(broker.message_time, message_clock or clock, loop, self.timers_ran, timer),
            AgendaTimer(broker.link_time, clock, loop, self.timers_ran, timer),
        )
        self.work.timer = timer
        self.work.wake = self.work_soon

    def admit(self, socket: Socket) -> None:
        """Admit a socket. If descriptors are short, the oldest one that is not logged in is closed for it: clients log
        in within milliseconds, and silent sockets must not keep them out for the time of a handshake."""
        oldest: Socket
        self.sockets[socket.connection] = socket
        scarce = socket.fd >= self.reserve_begins
        while scarce and self.newcomers:
            oldest = next(iter(self.newcomers))
            del self.newcomers[oldest]
            if oldest.connection.vhost is None:
                self.broker.observers.notify(ConnectionCrowdedOut(oldest.connection.actor, oldest.connection))
                oldest.transport.abort()
                break
        self.newcomers[socket] = None

    def forget(self, socket: Socket) -> None:
        """Forget a closed socket."""
        self.sockets.pop(socket.connection, None)
        self.newcomers.pop(socket, None)

    # --- time

    def tick(self) -> None:
        """Move the engine's time to the current one."""
        self.clock.tick()
        if self.message_clock is not None:
            self.message_clock.tick()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the next turn of the loop."""
        self.loop.call_soon(call, context=self.context)

    def work_soon(self) -> None:
        """Run jobs in the next turn of the loop, once: a job that begins another one asks for it again."""
        if not self.work_due:
            self.work_due = True
            self.call_soon(self.run_jobs)

    def run_jobs(self) -> None:
        """Run a slice of each job."""
        self.work_due = False
        self.tick()
        try:
            self.work.run()
        finally:
            if self.work.jobs:
                self.work_soon()
            self.timers_ran()

    def next_turn(self, socket: Socket) -> None:
        """Go on with a connection in the next turn of the loop."""
        self.unfinished.append(socket)
        if len(self.unfinished) == 1:
            self.call_soon(self.go_on)

    def go_on(self) -> None:
        """Go on with the connections that have used their turn. The more there are, the shorter each share."""
        socket: Socket
        unfinished = self.unfinished
        self.unfinished = []
        self.share_s = max(LEAST_SHARE_S, TURN_S / len(unfinished))
        self.tick()
        for socket in unfinished:
            socket.go_on()

    def timers_ran(self) -> None:
        """Check the counters if that is wanted, and send what timers or jobs have caused."""
        try:
            if self.checker is not None:
                self.checker.all()
        finally:
            self.touch()

    # --- out

    def touch(self) -> None:
        """Send the output of connections, if there is any, at the end of the tick."""
        if self.dirty and not self.flush_due:
            self.send_soon()

    def send_soon(self) -> None:
        """Send at the end of the tick, also output that the send barrier has held."""
        if not self.flush_due:
            self.flush_due = True
            self.call_soon(self.flush)

    def end_of_read(self) -> None:
        """Send what a read has caused: at once after a pause, else at the end of the tick."""
        if self.dirty and not self.flush_due:
            if self.timer() - self.sent_at > _LULL_S:
                self.flush()
            else:
                self.send_soon()

    def settled(self) -> asyncio.Future[None]:
        """Done once everything that was changed so far is durable."""
        settled: asyncio.Future[None] = self.loop.create_future()
        self.broker.when_committed(_waker(settled))
        return settled

    def ended(self, job: Job) -> asyncio.Future[None]:
        """Done once a job has ended."""
        ended: asyncio.Future[None] = self.loop.create_future()
        job.when_done(_waker(ended))
        return ended

    def send_large(self) -> None:
        """Send large outboxes."""
        output: Output
        for output in self.dirty:
            if output.outbox.size > _EARLY_SEND_BYTES:
                if self.send_barrier is not None and self.send_barrier.shut():
                    return
                socket = self.sockets.get(output)
                if socket is not None:
                    serve(socket, "flush", socket.send_early)

    def flush(self) -> None:
        """Send the output of connections."""
        output: Output
        socket: Socket | None
        self.flush_due = False
        # After sending, blocked consumers can take more, which makes their connections dirty again. Those wait for the
        # next tick, so that one of them cannot occupy the loop.
        dirty: list[Output] = list(self.dirty)
        self.dirty.clear()
        if self.send_barrier is not None:
            dirty = self.send_barrier.admit(dirty)
        for output in dirty:
            socket = self.sockets.get(output)
            if socket is None:
                output.flush_scheduled = False
                continue
            try:
                socket.send()
            except Exception as error:
                socket.fail("flush", error)
        self.sent_at = self.timer()
        self.touch()


class Socket:
    """One accepted socket. `accepted`: it has a connection. `failed`: an exception has ended that; the next one drops
    the socket. `rest`: octets of an incomplete frame. `frame`: a frame that comes a few octets at a time, of which
    `filled` are there. `fd`: its descriptor, -1 if the transport encrypts what is sent."""

    def __init__(self, edge: Edge) -> None:
        self.edge: Edge = edge
        self.rest: bytes = b""
        self.frame: bytearray | None = None
        self.filled: int = 0
        self.reading: bool = True
        self.fd: int = -1
        self.failed: bool = False
        self.transport: asyncio.Transport
        self.connection: Connection
        self.reader: Reader
        self.accepted: bool = False

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

    def event_failed(self, error: Exception) -> None:
        """An event of this socket has raised an exception: it ends this connection, and no other."""
        self.fail("socket event", error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has no common base
        try:
            self.accept(self.transport)
        except Exception as error:
            self.event_failed(error)
        finally:
            self.edge.touch()

    def accept(self, transport: asyncio.Transport) -> None:
        """Make the connection."""
        transport.set_write_buffer_limits(high=WRITE_LIMIT_BYTES, low=WRITE_LIMIT_BYTES // 4)
        sock = transport.get_extra_info("socket")
        if transport.get_extra_info("sslcontext") is None:
            self.fd = sock.fileno()
        self.edge.tick()
        broker = self.edge.broker
        self.connection = Connection(broker, peer_of(transport), broker.dirty)
        self.reader = Reader(self.connection)
        self.connection.resumed = self.resumed
        self.edge.admit(self)
        self.accepted = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer, behind the incomplete frame of the last read; or the rest of a slow frame."""
        kept: cython.Py_ssize_t = len(self.rest)
        if self.frame is not None:
            return memoryview(self.frame)[self.filled :]
        if kept:
            self.edge.buffer[:kept] = self.rest
            return self.edge.view[kept:]
        return self.edge.view

    def buffer_updated(self, count: int) -> None:
        """Handle `count` octets that were read."""
        edge: Edge = self.edge
        if not self.accepted:
            return
        try:
            edge.tick()
            self.read(count)
            if edge.checker is not None:
                edge.checker.connection(self.connection)
        except Exception as error:
            self.event_failed(error)
        finally:
            edge.end_of_read()

    def read(self, count: cython.Py_ssize_t) -> None:
        """Handle octets that are in the shared buffer, or in that of a slow frame."""
        size: cython.Py_ssize_t
        if self.frame is not None:
            self.filled += count
            self.take(self.frame, self.filled, False)
            return
        size = len(self.rest) + count
        self.take(self.edge.buffer, size, size == len(self.edge.buffer))
        if len(self.rest) > SLOW_FRAME_BYTES and count < len(self.rest) // 8 and not self.connection.halted:
            self.begin_frame()

    def begin_frame(self) -> None:
        """Read the rest of an incomplete frame behind what is there: moving that for each read costs too much."""
        size = int.from_bytes(self.rest[3:7], "big") + 8
        self.frame = bytearray(size)
        self.filled = len(self.rest)
        self.frame[: self.filled] = self.rest
        self.rest = b""

    def take(self, buffer: bytearray, size: cython.Py_ssize_t, more: cython.bint) -> None:
        """Handle what `buffer` holds up to `size`, for one turn. `more`: the socket has more, which waits."""
        edge: Edge = self.edge
        connection: Connection = self.connection
        reader: Reader = self.reader
        done: cython.Py_ssize_t = 0
        stop: cython.Py_ssize_t = min(_SLICE_BYTES, size)
        edge.work.begin_turn(edge.share_s)
        edge.pager.allowance = PACKED_PER_TURN
        while True:
            done += reader.receive(buffer, stop, done)  # type: ignore[arg-type]  # any buffer will do
            edge.send_large()
            if connection.halted or stop == size:
                break
            stop = min(max(done, stop) + _SLICE_BYTES, size)
            if edge.work.spent():
                connection.end_turn()
                break
        if self.frame is None or buffer is not self.frame or done or connection.halted:
            self.frame = None
            self.rest = bytes(buffer[done:size]) if done < size else b""
        if more and not connection.halted:
            connection.end_turn()
        if connection.halted and self.reading:
            self.reading = False
            self.transport.pause_reading()
        if connection.turn_over:
            edge.next_turn(self)

    def eof_received(self) -> bool:
        """Close the socket, because the client has closed its side."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Remove the connection of a closed socket."""
        if not self.accepted:
            return
        try:
            self.edge.tick()
            self.edge.forget(self)
            self.connection.lost()
        except Exception as fault:
            self.event_failed(fault)
        finally:
            self.edge.touch()

    def pause_writing(self) -> None:
        """Pause the connection: its peer does not read."""
        if self.accepted:
            self.connection.paused = True

    def resume_writing(self) -> None:
        """Resume the connection: its peer reads again."""
        try:
            self.connection.paused = False
            self.edge.tick()
            self.connection.drained()
            self.connection.schedule_flush()
        except Exception as error:
            self.event_failed(error)
        finally:
            self.edge.touch()

    def send_early(self) -> None:
        """Send a large outbox before the tick ends; the connection stays on the dirty list."""
        if not self.connection.paused and not self.transport.is_closing():
            self.write(self.connection.take_output())
            self.connection.flush_scheduled = True

    def send(self) -> None:
        """Send output, then close the socket or resume the connection as its state demands."""
        connection: Connection = self.connection
        if connection.ended is not None:
            self.end(connection.ended)
            return
        if connection.paused:
            connection.hold_output()
        else:
            self.write(connection.take_output())
        if not connection.paused:
            connection.output_read()
            if connection.congested:
                connection.drained()
        if not self.reading and not connection.halted:
            self.resume()

    def end(self, end: End) -> None:
        """Send what is left, and close the socket."""
        self.write(self.connection.take_output())
        if end is End.CLOSE:
            self.transport.close()
        else:
            self.transport.abort()

    def write(self, data: bytes) -> None:
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

    def resumed(self) -> None:
        """Go on, because the job that the connection has waited for has ended."""
        self.edge.next_turn(self)

    def go_on(self) -> None:
        """Handle more in a new turn, unless something else is in the way."""
        try:
            self.connection.begin_turn()
            if not self.reading and not self.connection.halted and not self.transport.is_closing():
                self.resume()
            if self.edge.checker is not None:
                self.edge.checker.connection(self.connection)
        except Exception as error:
            self.event_failed(error)
        finally:
            self.edge.touch()

    def resume(self) -> None:
        """Handle the octets that were read already, then read from the socket again."""
        self.reading = True
        if self.rest:
            rest = bytearray(self.rest)
            self.rest = b""
            self.take(rest, len(rest), False)
        if not self.connection.halted:
            self.transport.resume_reading()
        self.edge.touch()


def _waker(future: asyncio.Future[None]) -> Callable[[], None]:
    """Return a call that wakes who awaits, unless the waiting was given up."""

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    return wake


def peer_of(transport: asyncio.Transport) -> Peer:
    """Return both addresses, as the management API and the log show them."""
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
    """Return an address without the prefix that IPv4 addresses have on an IPv6 socket."""
    return address.removeprefix("::ffff:")
