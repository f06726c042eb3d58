"""A socket of the toolkit's broker: faults are done to it, and it looks at frames only while there are some for it.

`FaultySocket` has a `Checkpoint` only while there are faults. Octets pass the toxics of their direction (`toxics.py`).
Those that come in are cut into methods with their contents and handed to the engine one by one, so that a fault can
come before or after the effect of each; those that go out are changed by `answers.py`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, cast

from leveret.server.listeners import Protocol as ListenerProtocol
from leveret.session import states
from leveret.session.states import End
from leveret.testing.answers import Answers, units
from leveret.testing.framing import PUBLISH, Splitter, Unit
from leveret.testing.toxics import Flow, Toxic

if TYPE_CHECKING:
    from leveret.server.sockets import Edge

#: Linger of a socket that is reset: on, 0 s.
_RESET = struct.pack("ii", 1, 0)

#: How long a client that was dropped may go on sending into the void, seconds.
DROPPED_LINGER_S = 5.0


class Board(Protocol):
    """What a socket knows of the faults: see `FaultBoard`."""

    @property
    def watches_frames(self) -> bool:
        """Whether there are faults that look at frames."""

    def toxics(self, socket: FaultySocket) -> list[Toxic]:
        """Return the toxics of a connection, in order."""

    def connecting(self, socket: FaultySocket) -> bool:
        """A client connects. Returns whether it may."""

    def connected(self, socket: FaultySocket) -> None:
        """A client has connected."""

    def gone(self, socket: FaultySocket) -> None:
        """A connection has ended."""

    def received(self, checkpoint: Checkpoint, unit: Unit) -> None:
        """Handle a method that came in: pass it on, or not."""

    def sent(self, checkpoint: Checkpoint, unit: Unit) -> bytes:
        """Return what is sent instead of a unit."""


class Tap(Protocol):
    """Gets a copy of what a connection carries: see `recording.py`."""

    def received(self, octets: bytes) -> None:
        """The client has sent octets."""

    def sent(self, octets: bytes) -> None:
        """The broker has sent octets."""


class FaultySocket(ListenerProtocol):
    """One accepted socket. `checkpoint`: where its octets are looked at, None while nobody does. `proxy`: the listener
    that it belongs to, as toxiproxy names it. `tap`: gets a copy of all octets, for a recording."""

    def __init__(self, edge: Edge, board: Board, proxy: str = "rabbitmq") -> None:
        super().__init__(edge)
        self.board = board
        self.proxy = proxy
        self.checkpoint: Checkpoint | None = None
        self.tap: Tap | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept a client, unless a fault forbids it."""
        self.transport = cast(asyncio.Transport, transport)
        if self.board.connecting(self):
            super().connection_made(transport)
            self.board.connected(self)

    def open_checkpoint(self) -> Checkpoint:
        """Return its checkpoint; from now on its octets are looked at."""
        if self.checkpoint is None:
            self.checkpoint = Checkpoint(self, self.board)
        return self.checkpoint

    def buffer_updated(self, count: int) -> None:
        """Handle octets that were read."""
        if self.checkpoint is None and self.tap is None:
            super().buffer_updated(count)
            return
        if self.frame is not None:
            data = bytes(self.frame[self.filled : self.filled + count])
        else:
            kept = len(self.rest)
            data = bytes(self.edge.buffer[kept : kept + count])
        if self.tap is not None:
            self.tap.received(data)
        if self.checkpoint is None:
            super().buffer_updated(count)
        else:
            self.checkpoint.up.feed(data)

    def hand_over(self, data: bytes) -> int:
        """Have the engine handle octets. Returns how many it has taken."""
        done = 0
        while done < len(data) and self.reading and self.accepted:
            view = self.get_buffer(-1)
            count = min(len(view), len(data) - done)
            view[:count] = data[done : done + count]
            done += count
            ListenerProtocol.buffer_updated(self, count)
        return done

    def write(self, data: bytes) -> None:
        """Write to the socket."""
        if self.checkpoint is None:
            self.write_through(data)
        elif data:
            self.checkpoint.send(data)

    def write_through(self, data: bytes) -> None:
        """Write to the socket, past all faults."""
        if self.tap is not None:
            self.tap.sent(data)
        super().write(data)

    def end(self, end: End) -> None:
        """Send what is left, and close the socket."""
        checkpoint = self.checkpoint
        if checkpoint is None or end is End.RESET:
            super().end(end)
            return
        self.write(self.connection.take_output())
        checkpoint.close()

    def resume(self) -> None:
        """Handle what has waited, then read from the socket again."""
        super().resume()
        if self.checkpoint is not None:
            self.checkpoint.pump()

    def connection_lost(self, error: Exception | None) -> None:
        """Remove the connection of a closed socket."""
        if self.checkpoint is not None:
            self.checkpoint.lost()
        self.board.gone(self)
        super().connection_lost(error)

    def cut(self, *, reset: bool) -> None:
        """End the connection at once: with a RST, or with a FIN whatever is unread."""
        raw = self.transport.get_extra_info("socket")
        if self.transport.is_closing() or raw is None:
            return
        if self.checkpoint is not None:
            self.checkpoint.muted = True
        if reset:
            if self.checkpoint is not None:
                self.checkpoint.dead = True
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        elif self.checkpoint is None:
            self.open_checkpoint().drop()
        else:
            self.checkpoint.drop()

    def shut(self) -> None:
        """Send a FIN, and have the engine take the connection as lost. What the client still sends is read and thrown
        away: closing the socket at once would send a RST instead."""
        raw = self.transport.get_extra_info("socket")
        try:
            raw.shutdown(socket.SHUT_WR)
        except OSError:  # the client was faster
            self.transport.abort()
            return
        if self.accepted:
            super().connection_lost(None)
            self.accepted = False
        self.transport.resume_reading()
        self.edge.loop.call_later(DROPPED_LINGER_S, self.transport.abort)


class Checkpoint:
    """Where the octets of one connection are looked at.

    `up`, `down`: the toxics that they pass. `answers`: what faults do to its output. `muted`: nothing is sent any more;
    `dead`: nothing is handled any more, and `dropped`: the client has got a FIN. `stalled`: input waits. `after`: is
    done once the unit that is handled has had its effect.
    """

    def __init__(self, socket: FaultySocket, board: Board) -> None:
        loop = socket.edge.loop
        self.socket = socket
        self.board = board
        self.loop = loop
        self.answers = Answers()
        self.muted = self.dead = self.dropped = False
        self.stalled = 0
        self.after: Callable[[], None] | None = None
        self.units: deque[Unit] = deque()
        self.pending = b""
        self.splitter: Splitter | None = None
        self.handling = False
        self.up = Flow("up", socket, loop, self._toxics, self._arrived)
        self.down = Flow("down", socket, loop, self._toxics, socket.write_through)

    def _toxics(self) -> list[Toxic]:
        return self.board.toxics(self.socket)

    # --- in

    def _arrived(self, data: bytes) -> None:
        if self.dead:
            return
        connection = self.socket.connection
        if self.splitter is None and (self.board.watches_frames or self.answers.active):
            self.splitter = self._splitter()
        if self.splitter is None:
            self.pending += data
        else:
            self.units.extend(self.splitter.feed(data, connection.limit + 8))
        self.pump()

    def _splitter(self) -> Splitter:
        """Begin to cut, behind what the engine has got of a frame."""
        held = self.socket
        passed = bytes(held.frame[: held.filled]) if held.frame is not None else held.rest
        return Splitter(passed, header_awaited=held.connection.state == states.AWAITING_HEADER)

    def pump(self) -> None:
        """Have the engine handle what has arrived, as far as it takes it."""
        if self.handling:
            return
        self.handling = True
        try:
            while not self._blocked():
                if self.pending:
                    done = self.socket.hand_over(self.pending)
                    self.pending = self.pending[done:]
                elif self.units:
                    self.board.received(self, self.units.popleft())
                else:
                    break
        finally:
            self.handling = False

    def _blocked(self) -> bool:
        return bool(self.dead or self.stalled or not self.socket.reading)

    def pass_on(self, octets: bytes) -> None:
        """Have the engine handle a unit; what it does not take now it gets later."""
        done = self.socket.hand_over(octets)
        self.pending = octets[done:] + self.pending
        self.finish()

    def finish(self) -> None:
        """Do what was to be done after the effect."""
        after, self.after = self.after, None
        if after is not None:
            after()

    def stall(self, seconds: float, then: Callable[[], None]) -> None:
        """Handle no input for so many real seconds."""
        self.stalled += 1

        def over() -> None:
            self.stalled -= 1
            if not self.dead:
                self.socket.edge.tick()
                then()
                self.pump()
                self.socket.edge.touch()

        self.loop.call_later(seconds, over)

    # --- out

    def send(self, data: bytes) -> None:
        """Send output, as faults change it."""
        if self.muted:
            return
        if not (self.board.watches_frames or self.answers.active):
            self.down.feed(data)
            return
        changed = b"".join(self.board.sent(self, unit) for unit in units(data))
        if changed and not self.muted:
            self.down.feed(changed)

    def send_frames(self, frames: Iterable[bytes]) -> None:
        """Send frames that have waited, past the faults that look at frames."""
        data = b"".join(frames)
        if data and not self.muted:
            self.down.feed(data)

    def flush(self) -> None:
        """Send what was to be sent before the unit that is handled."""
        self.socket.write(self.socket.connection.take_output())

    # --- the end

    def close(self) -> None:
        """Close the socket once everything was sent, and a slow close is over."""
        delay = max((one.close_delay_s for one in self._toxics()), default=0.0)
        transport = self.socket.transport

        def close() -> None:
            if delay:
                self.loop.call_later(delay, transport.close)
            else:
                transport.close()

        if self.down.held:
            self.down.drained = close
        else:
            close()

    def drop(self) -> None:
        """End the connection with a FIN."""
        if not self.dropped:
            self.muted = self.dead = self.dropped = True
            self.lost()
            self.socket.shut()

    def lost(self) -> None:
        """Forget everything, because the connection is gone."""
        self.dead = True
        self.up.close()
        self.down.close()
        self.units.clear()
        self.pending = b""


def is_publish(unit: Unit) -> bool:
    """Return whether a unit is a publish."""
    return unit.method == PUBLISH
