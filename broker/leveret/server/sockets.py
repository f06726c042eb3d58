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
from collections import deque
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
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.cpython.time import perf_counter
    from cython.cimports.leveret.queues.backlog.paging import Pager
    from cython.cimports.leveret.server.send_barrier import SendBarrier
    from cython.cimports.leveret.server.system_calls import leveret_write
    from cython.cimports.leveret.server.wall_clock import WallClock
    from cython.cimports.leveret.session.connection import Connection
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.session.reader import Reader
    from cython.cimports.leveret.work import Work
else:
    from leveret.queues.backlog.paging import Pager
    from leveret.server.send_barrier import SendBarrier
    from leveret.server.wall_clock import WallClock
    from leveret.session.connection import Connection
    from leveret.session.output import Output
    from leveret.session.reader import Reader
    from leveret.work import Work

if TYPE_CHECKING:
    from leveret.server.vhost_barriers import VhostBarriers
    from leveret.work import Job, Steps

#: Size of a read: many small messages share its cost, and several frames of the default frame_max fit into it.
READ_BYTES = 256 * 1024

#: Largest size of a read. Frames that do not fit are read into a buffer of their own.
MOST_READ_BYTES = 1024 * 1024

#: Unsent output in a transport at which its connection is paused.
WRITE_LIMIT_BYTES = 256 * 1024

#: Part of a read that is handled before large outboxes are sent: one publish can become many deliveries.
_SLICE_BYTES = cython.declare(cython.Py_ssize_t, 64 * 1024)

#: An incomplete frame of more octets than this, which grows by few octets with each read, gets a buffer of its own.
SLOW_FRAME_BYTES = 8 * 1024

#: Size of an outbox at which it is sent before the end of the tick, so that the peer can begin to read.
_EARLY_SEND_BYTES = cython.declare(cython.Py_ssize_t, 128 * 1024)

#: Octets that are read from all sockets between two looks at the memory.
LOOK_BYTES = 64 * 1024 * 1024
_LOOK_BYTES = cython.declare(cython.longlong, LOOK_BYTES)

#: Time that all connections together may be read in one turn of the event loop, seconds.
TURN_S = 0.003

#: Entries of long queues that may be packed in a turn, apart from those that new ones make room for.
PACKED_PER_TURN = 4096

#: Time for which a connection is read in a turn in any case, seconds.
LEAST_SHARE_S = 0.0003

#: Time that removing the connections of closed sockets may take in one turn of the event loop, seconds. The rest are
#: removed as a job: thousands of clients may go at the same moment.
LOSING_S = 0.002

#: Sockets whose clients have closed their side that are closed in one turn of the event loop: 15 us each, most of it
#: in the system and in the loop.
CLOSED_TOGETHER = 64

#: Time that sending may take in one turn of the event loop, seconds: for connections that have output since the last
#: time, and as much for those that were left then. Each takes a system call.
SEND_S = 0.003

#: Connections that are sent to between two looks at the time.
SENT_TOGETHER = 4

#: Octets of a read that are handled although the connections that were read before it have used the turn. Not if they
#: have used twice its time: few octets can begin much, and what was put off waits its turn with all others.
SMALL_READ_BYTES = 512

#: Octets that are read from a socket at once when the turn is used.
LATE_READ_BYTES = 4096

#: Requests and commands that have waited for a commit and go on in the same turn.
REQUESTS_TOGETHER = 16

#: Time between two collections of garbage that are not begun by Python, seconds.
COLLECT_S = 0.02

#: Octets that are read before garbage is collected for that reason alone.
_COLLECT_BYTES = cython.declare(cython.longlong, 65536)

#: Time without output after which output is sent at once, seconds.
_LULL_S = cython.declare(cython.double, 0.0002)


def write_some(descriptor: cython.int, data: bytes) -> int:
    """Write to a socket that does not block; returns how many octets it took, -1 if it has failed."""
    if cython.compiled:
        return leveret_write(descriptor, PyBytes_AS_STRING(data), len(data))
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


class Edge:
    """Connects sockets with the engine: moves the clocks, runs the agendas, sends the output of dirty connections.

    `clock`: that of link time, and of message time unless `message_clock` is given. `timer`: measures turns, seconds.
    `sockets`: by connection; `newcomers`: in the order of their arrival, at least those that are not logged in;
    `reserve_begins`: the number of the descriptor from which on they are short. `unfinished`: sockets with more to be
    handled in later turns of the loop; `share_s`: time that each may take, seconds. `reading`: the socket that was read
    first in this turn, as far as that is known; `turn_until`: when the time for reads of this turn is over, and
    `turn_used`: it is, `turn_late`: for as long again; `read_at`: when the last read was handled. `deferred`: sockets
    whose reads came after that, and are handled in the next turns; `deferred_go`: the last turn was theirs. `late`:
    connections whose output the last turn had no time for. `woken`: requests that have waited for a commit and go on
    soon. `closing`: sockets whose clients have closed their side, which are closed soon; `closed`: how many were closed
    in this turn. `lost`: closed sockets whose connections are removed in later turns; `losing_until`: when this turn's
    time for that is over, 0 if no socket was closed in this turn. `sent_at`: when output was last sent. Both in seconds
    of the timer. `octets_read`: since the last call of `look`, which compares memory with its limit. `collect`: runs
    the garbage collector over what is young; `collected_at`: when it last did, and `collected_octets`: those read
    since.
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
        # The usual clock and timer are read without a call through the interpreter.
        self.wall_clock: WallClock | None = (
            clock if isinstance(clock, WallClock) and message_clock is None else None
        )
        self.timed: bool = timer is time.perf_counter
        self.loop: asyncio.AbstractEventLoop = loop
        self.timer: Callable[[], float] = timer
        self.buffer: bytearray = bytearray(
            min(max(READ_BYTES, 2 * (broker.settings.amqp.frame_max + 8)), MOST_READ_BYTES)
        )
        self.view: memoryview = memoryview(self.buffer)
        self.sockets: dict[Output, Socket] = {}
        self.newcomers: dict[Socket, None] = {}
        self.reserve_begins: int = descriptors.reserve_begins()
        self.flush_due: bool = False
        self.work_due: bool = False
        self.unfinished: deque[Socket] = deque()
        self.going_on: bool = False
        self.share_s: float = TURN_S
        self.reading: Socket | None = None
        self.turn_until: float = 0.0
        self.turn_used: bool = False
        self.turn_late: bool = False
        self.read_at: float = 0.0
        self.deferred: deque[Socket] = deque()
        self.deferred_go: bool = False
        self.late: list[Output] = []
        self.woken: deque[asyncio.Future[None]] = deque()
        self.closing: deque[Socket] = deque()
        self.closed: int = 0
        self.lost: deque[Socket] = deque()
        self.losing_until: float = 0.0
        self.sent_at: float = 0.0
        self.octets_read: int = 0
        self.look: Callable[[], None] = _nothing
        self.collect: Callable[[], None] = _nothing
        self.collected_at: float = 0.0
        self.collected_octets: int = 0
        self.send_barrier: SendBarrier | VhostBarriers | None = None
        self.checker: invariants.Checker | None = invariants.checker(broker)
        # One context for all calls, instead of a copy of the current one for each.
        self.context: contextvars.Context = contextvars.Context()
        self.timers: tuple[AgendaTimer, AgendaTimer] = (
            AgendaTimer(broker.message_time, message_clock or clock, loop, self.timers_ran, timer),
            AgendaTimer(broker.link_time, clock, loop, self.timers_ran, timer),
        )
        self.work.timer = timer
        self.work.wake = self.work_soon

    def admit(self, socket: Socket, descriptor: int) -> None:
        """Admit a socket with this descriptor.

        If descriptors are short, the oldest one that is not logged in is closed for it: clients log in within
        milliseconds, and silent sockets must not keep them out for the time of a handshake.
        """
        oldest: Socket
        self.sockets[socket.connection] = socket
        scarce = descriptor >= self.reserve_begins
        while scarce and self.newcomers:
            oldest = next(iter(self.newcomers))
            del self.newcomers[oldest]
            if oldest.connection.vhost is None:
                self.broker.observers.notify(ConnectionCrowdedOut(oldest.connection.actor, oldest.connection))
                oldest.transport.abort()
                break
        self.newcomers[socket] = None

    def forget(self, socket: Socket) -> None:
        """Forget a closed socket. What its client has not read is freed with it."""
        if self.reading is socket:
            self.reading = None
        self.sockets.pop(socket.connection, None)
        self.newcomers.pop(socket, None)

    # --- time

    def tick(self) -> None:
        """Move the engine's time to the current one."""
        if self.wall_clock is not None:
            self.wall_clock.tick()
            return
        self.clock.tick()
        if self.message_clock is not None:
            self.message_clock.tick()

    def seconds(self) -> float:
        """Read the timer."""
        if cython.compiled and self.timed:
            return perf_counter()
        return self.timer()

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
            if self.work.runnable():
                self.work_soon()
            self.timers_ran()
            self.collect_if_due(self.seconds())

    def next_turn(self, socket: Socket) -> None:
        """Go on with a connection in a later turn of the loop."""
        self.unfinished.append(socket)
        self.go_on_soon()

    def defer(self, socket: Socket) -> None:
        """Handle what was read from a socket in the next turn, because this one is used."""
        self.deferred.append(socket)
        self.go_on_soon()

    def go_on_soon(self) -> None:
        """Go on with connections in the next turn of the loop."""
        if not self.going_on:
            self.going_on = True
            self.call_soon(self.go_on)

    def begin_read(self, socket: Socket) -> None:
        """A socket has been read. Note whether those before it have used the turn of the loop.

        A turn reads each socket once: it is a new turn if the first one of the last turn is read again, or if nothing
        was read for a while.
        """
        now: cython.double = self.seconds()
        if self.reading is None or socket is self.reading or now - self.read_at > _LULL_S:
            self.reading = socket
            self.turn_until = now + TURN_S
            self.turn_used = self.turn_late = False
        elif now >= self.turn_until:
            self.turn_used = True
            self.turn_late = now >= self.turn_until + TURN_S

    def begin_share(self) -> None:
        """A connection is read, and has its share of the turn."""
        if self.timed and self.work.timer is self.timer:
            self.work.deadline = self.seconds() + (LEAST_SHARE_S if self.turn_used else self.share_s)
        else:
            self.work.begin_turn(self.share_s)

    def go_on(self) -> None:
        """Go on with one of the connections that have used their share, in rotation: between two of them the loop
        looks at its sockets, and nobody waits for more than one share. The more there are, the shorter each share.
        Every other turn is for those that have had no share yet, as many as its time allows."""
        unfinished, deferred = self.unfinished, self.deferred
        self.share_s = max(LEAST_SHARE_S, TURN_S / max(len(unfinished) + len(deferred), 1))
        self.reading, self.turn_used, self.turn_late = None, False, False
        try:
            self.tick()
            self.deferred_go = bool(deferred) and not (unfinished and self.deferred_go)
            if self.deferred_go:
                self.go_on_deferred()
            elif unfinished:
                socket: Socket = unfinished.popleft()
                socket.go_on()
        finally:
            self.going_on = False
            if unfinished or deferred:
                self.go_on_soon()
            self.collect_if_due(self.seconds())

    def go_on_deferred(self) -> None:
        """Handle what was read when a turn was used: one at least."""
        socket: Socket
        until = self.seconds() + TURN_S
        while self.deferred:
            socket = self.deferred.popleft()
            socket.go_on()
            if self.seconds() >= until:
                break

    def closes_now(self) -> bool:
        """Return whether a socket whose client has closed its side may be closed in this turn. Thousands may do that at
        the same moment."""
        if self.closed == 0:
            self.call_soon(self.close_some)
        if self.closing or self.closed >= CLOSED_TOGETHER:
            return False
        self.closed += 1
        return True

    def close_some(self) -> None:
        """Close some of the sockets that the turns before had no time for; the others have later turns."""
        socket: Socket
        self.closed = min(len(self.closing), CLOSED_TOGETHER)
        for _ in range(self.closed):
            socket = self.closing.popleft()
            serve(socket, "socket event", socket.close)
        if self.closed:
            self.call_soon(self.close_some)

    def lose(self, socket: Socket) -> None:
        """Remove the connection of a closed socket, in a later turn if many were closed at once."""
        if self.lost:
            self.lost.append(socket)
            return
        if not self.losing_until:
            self.losing_until = self.seconds() + LOSING_S
            self.call_soon(self.lost_some)
        elif self.seconds() >= self.losing_until:
            self.lost.append(socket)
            return
        socket.lose()

    def lost_some(self) -> None:
        """A turn in which sockets were closed has ended."""
        self.losing_until = 0.0
        if self.lost:
            self.work.begin(self.losing(), "socket event")

    def losing(self) -> Steps:
        """Remove the connections of closed sockets, in the order in which they were closed."""
        socket: Socket
        while self.lost:
            socket = self.lost.popleft()
            socket.lose()
            yield None

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
        if (self.dirty or self.late) and not self.flush_due:
            self.send_soon()

    def send_soon(self) -> None:
        """Send at the end of the tick, also output that the send barrier has held."""
        if not self.flush_due:
            self.flush_due = True
            self.call_soon(self.flush)

    def look_at_memory(self) -> None:
        """Very much was read: memory may be full before the next check of the alarms."""
        self.octets_read = 0
        self.broker.faults.guard("resource watch", self.look)

    def end_of_read(self) -> None:
        """Send what a read has caused: at once after a pause, else at the end of the tick."""
        now: cython.double = self.seconds()
        self.read_at = now
        if self.collected_octets > _COLLECT_BYTES:
            self.collect_if_due(now)
        if self.dirty and not self.flush_due:
            if now - self.sent_at > _LULL_S:
                self.sent_at = now
                self.send_all()
            else:
                self.send_soon()

    def settled(self, vhost: str | None = None) -> asyncio.Future[None]:
        """Done once everything that was changed so far is durable, except in other virtual hosts if one is given."""
        settled: asyncio.Future[None] = self.loop.create_future()
        waits = False

        def wake() -> None:
            if waits:
                self.wake_later(settled)
            else:
                settled.set_result(None)

        self.broker.when_committed(wake, vhost)
        waits = True
        return settled

    def wake_later(self, future: asyncio.Future[None]) -> None:
        """Wake who awaits, soon. A thousand requests can wait for one commit; all would go on in the same turn."""
        self.woken.append(future)
        if len(self.woken) == 1:
            self.call_soon(self.wake_some)

    def wake_some(self) -> None:
        """Wake some of those who await; the others have later turns."""
        for _ in range(min(len(self.woken), REQUESTS_TOGETHER)):
            future = self.woken.popleft()
            if not future.done():
                future.set_result(None)
        if self.woken:
            self.call_soon(self.wake_some)

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
        """Send the output of connections at the end of the tick."""
        self.flush_due = False
        self.send_all()
        self.sent_at = self.seconds()

    def collect_if_due(self, now: cython.double) -> None:
        """Run the garbage collector over what is young, if there may be much: some time has gone by with work that is
        more than one turn of the loop, or much was read in small pieces."""
        if now - self.collected_at > COLLECT_S:
            self.collected_at = now
            self.collected_octets = 0
            self.collect()

    def admitted(self, dirty: list[Output]) -> list[Output]:
        """Return the connections that the send barrier lets send now."""
        barrier: SendBarrier
        if isinstance(self.send_barrier, SendBarrier):
            barrier = self.send_barrier
            return barrier.admit(dirty)
        return self.send_barrier.admit(dirty) if self.send_barrier is not None else dirty

    def send_all(self) -> None:
        """Send the output of connections."""
        late: list[Output] = self.late
        # After sending, blocked consumers can take more, which makes their connections dirty again. Those wait for the
        # next tick, so that one of them cannot occupy the loop.
        dirty: list[Output] = list(self.dirty)
        self.dirty.clear()
        if late:
            self.late = []
        if self.send_barrier is not None:
            # All in one call: the barrier looks once at what has changed, for those that it is asked for then. Late
            # output is admitted again: more may have been added to it.
            dirty = self.admitted(dirty + late if late else dirty)
            if late:
                waited = dict.fromkeys(late)
                late = [output for output in dirty if output in waited]
                dirty = [output for output in dirty if output not in waited]
        self.send_each(dirty)
        if late:
            # They come after the others, whose number a turn bounds, and have as much time.
            dirty, self.late = self.late, []
            self.send_each(late)
            self.late += dirty
        self.touch()

    def send_each(self, dirty: list[Output]) -> None:
        """Send the output of these connections, as far as the time allows; the rest is `late`."""
        output: Output
        socket: Socket | None
        i: cython.Py_ssize_t = 0
        until: cython.double = 0.0
        if len(dirty) > SENT_TOGETHER:
            until = self.seconds() + SEND_S
        for output in dirty:
            if i and i % SENT_TOGETHER == 0 and self.seconds() >= until:
                self.late = dirty[i:]
                return
            i += 1
            socket = self.sockets.get(output)
            if socket is None:
                output.flush_scheduled = False
                continue
            try:
                socket.send()
            except Exception as error:
                socket.fail("flush", error)


class Socket:
    """One accepted socket. `accepted`: it has a connection. `failed`: an exception has ended that; the next one drops
    the socket. `rest`: octets of an incomplete frame. `frame`: a frame that comes a few octets at a time, of which
    `filled` are there. `fd`: its descriptor, -1 if the transport encrypts what is sent. `unsent`: the transport
    may have octets that are not sent."""

    def __init__(self, edge: Edge) -> None:
        self.edge: Edge = edge
        self.rest: bytes = b""
        self.frame: bytearray | None = None
        self.filled: int = 0
        self.reading: bool = True
        self.fd: int = -1
        self.failed: bool = False
        self.unsent: bool = False
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
        self.connection = Connection(broker, self.peer(transport), broker.dirty)
        self.reader = Reader(self.connection)
        self.connection.resumed = self.resumed
        self.edge.admit(self, sock.fileno())
        self.accepted = True

    def peer(self, transport: asyncio.Transport) -> Peer:
        """Return who is at the other end."""
        return peer_of(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer, behind the incomplete frame of the last read; or the rest of a slow frame."""
        kept: cython.Py_ssize_t = len(self.rest)
        if self.frame is not None:
            return memoryview(self.frame)[self.filled :]
        if self.edge.turn_used:
            self.edge.buffer[:kept] = self.rest
            return self.edge.view[kept : kept + LATE_READ_BYTES]
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
            edge.octets_read += count
            edge.collected_octets += count
            if edge.octets_read > _LOOK_BYTES:
                edge.look_at_memory()
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
            if self.frame is not None and self.filled == len(self.frame):
                self.grow_frame(self.frame)
            return
        size = len(self.rest) + count
        self.edge.begin_read(self)
        if self.edge.turn_used and (size > SMALL_READ_BYTES or self.edge.turn_late):
            self.rest = bytes(self.edge.buffer[:size])
            self.connection.end_turn()
            self.reading = False
            self.transport.pause_reading()
            self.edge.defer(self)
            return
        self.take(self.edge.buffer, size, size == len(self.edge.buffer))
        self.begin_frame_if(count < len(self.rest) // 8)

    def begin_frame_if(self, slow: cython.bint) -> None:
        """Begin a buffer for an incomplete frame that is `slow`, or too large for the shared buffer."""
        kept: cython.Py_ssize_t = len(self.rest)
        if kept <= SLOW_FRAME_BYTES or self.connection.halted:
            return
        if slow or 2 * kept > len(self.edge.buffer):
            self.begin_frame()

    def begin_frame(self) -> None:
        """Read the rest of an incomplete frame behind what is there: moving that for each read costs too much, and a
        large frame does not fit into the shared buffer."""
        self.filled = len(self.rest)
        self.grow_frame(self.rest)
        self.rest = b""

    def grow_frame(self, begun: bytes | bytearray) -> None:
        """Give an incomplete frame a larger buffer: for all of it, of a large one for twice of what there is."""
        size = int.from_bytes(begun[3:7], "big") + 8
        self.frame = bytearray(min(size, max(2 * self.filled, READ_BYTES)))
        self.frame[: self.filled] = begun

    def take(self, buffer: bytearray, size: cython.Py_ssize_t, more: cython.bint) -> None:
        """Handle what `buffer` holds up to `size`, for one turn. `more`: the socket has more, which waits."""
        edge: Edge = self.edge
        connection: Connection = self.connection
        reader: Reader = self.reader
        done: cython.Py_ssize_t = 0
        stop: cython.Py_ssize_t = size if buffer is self.frame else min(_SLICE_BYTES, size)
        edge.begin_share()
        edge.pager.allowance = PACKED_PER_TURN
        while True:
            done += reader.receive(buffer, stop, done)  # type: ignore[arg-type]  # any buffer will do
            edge.send_large()
            if connection.halted or stop == size:
                break
            stop = min(max(done, stop) + _SLICE_BYTES, size)
            if (
                done and edge.work.spent()
            ):  # a frame is handled in any case: one of 128 KiB is not there before
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
        """Close the socket, because the client has closed its side: now, or soon if many have; TLS does at once."""
        if self.fd < 0 or self.edge.closes_now():
            return False
        self.edge.closing.append(self)
        return True

    def close(self) -> None:
        """Close the socket, when what is written is sent."""
        if not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Remove the connection of a closed socket."""
        self.fd = -1  # the system may give the number to the next connection
        if self.accepted:
            self.edge.lose(self)

    def lose(self) -> None:
        """Remove the connection."""
        try:
            self.edge.tick()
            self.edge.forget(self)
            self.connection.lost()
        except Exception as fault:
            self.event_failed(fault)
        finally:
            self.edge.touch()

    def leave(self, vhost: str, protocol: asyncio.Protocol) -> bytes:
        """Have another protocol go on with the transport: another node serves the client, who notices nothing. Returns
        the octets that were read and not handled. The transport is not read until the protocol wants that."""
        left = self.rest
        self.write(self.connection.take_output())  # heartbeats
        self.accepted, self.fd, self.rest = False, -1, b""
        if self.reading:
            self.reading = False
            self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        self.edge.forget(self)
        self.connection.leave(vhost)
        return left

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
            if self.rest:  # thousands may go on at once, after an alarm or when the store has caught up
                connection.end_turn()
                self.edge.next_turn(self)
            else:
                self.resume()

    def end(self, end: End) -> None:
        """Send what is left, and close the socket."""
        self.write(self.connection.take_output())
        if end is End.CLOSE:
            self.transport.close()
        else:
            self.transport.abort()

    def write(self, data: bytes) -> None:
        """Write to the socket if the transport has nothing to send; the rest goes to the transport.

        The descriptor is the socket's until `connection_lost`.
        """
        sent: cython.Py_ssize_t
        if not data:
            return
        if self.fd >= 0 and not (self.unsent and self.transport.get_write_buffer_size()):
            self.unsent = False
            sent = write_some(self.fd, data)
            if sent == len(data) or sent < 0:  # the transport will report an error
                return
            data = data[sent:]
        if not self.transport.is_closing():
            self.unsent = True
            self.transport.write(data)

    def resumed(self) -> None:
        """Go on, because the job that the connection has waited for has ended."""
        self.edge.next_turn(self)

    def go_on(self) -> None:
        """Handle more in a new turn, unless something else is in the way."""
        if not self.accepted:
            return
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
            self.begin_frame_if(False)
        if not self.connection.halted:
            self.transport.resume_reading()
        self.edge.touch()


def _nothing() -> None:
    """Nobody watches the memory, or collects garbage."""


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
    )


def _plain(address: str) -> str:
    """Return an address without the prefix that IPv4 addresses have on an IPv6 socket."""
    return address.removeprefix("::ffff:")
