"""Moves message time from one due moment to the next, in the broker's thread, and waits for what clients do about it.

At each moment the clock shows exactly that moment and everything due runs in order. If something was sent to a client,
the move waits until its answer is here (`settle`); only then the clock goes on. What does not come back is noted and
not waited for again: a client that has not read for 0.1 s runs in the thread that moves the clock; a delivery of
basic.get is settled whenever its client likes to.

Clients that sleep in `select` put off their acknowledgements (Celery's worker by up to a second), so heartbeat frames
wake them: AMQP lets either side send these at any time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field

from leveret.clock import NEVER
from leveret.session import states
from leveret.testing.due import moment, what_is_due
from leveret.testing.errors import ClockError, NotIdle
from leveret.testing.idle import Delivery, Idleness, unacked
from leveret.testing.real_time import monotonic_s, runnable_per_processor
from leveret.testing.reasons import Reason
from leveret.testing.socket_queues import KNOWN, unread_by_clients
from leveret.wire.frames import HEARTBEAT_FRAME

if TYPE_CHECKING:
    from leveret.session.connection import Connection
    from leveret.testing.message_clock import MessageClock
    from leveret.testing.running import RunningNode

#: Time after which a delivery that its client has not read is not waited for, seconds; where that is not known, time
#: after which no delivery is. It is for a machine that has a processor for each thread that wants one.
UNREAD_PATIENCE_S = 0.1 if KNOWN else 1.0

#: How much longer that is for each second by which this thread itself has been woken too late: so may the client be.
LATE_FACTOR = 5.0

#: Silence after which clients that hold deliveries get the first heartbeat frame, seconds. It doubles with each.
FIRST_NUDGE_S = 0.005

#: Longest pause between two looks at what the kernel knows, seconds.
LOOK_S = 0.05

#: What is not waited for apart from deliveries: its kind, connection and channel.
Other = tuple[str, str | None, int | None]

#: What is due that a message may show.
SHOWN_DUE = 5


class Moves(Struct):
    """What a move has done. `steps`: due moments; `settled`: those after which clients were waited for; `kept`: what
    was not waited for any longer, and why; `now`: the time afterwards."""

    now: datetime
    steps: int = 0
    settled: int = 0
    kept: list[Reason] = field(default_factory=list)


class Waiting(Struct, frozen=True):
    """How to wait for clients. `patience_s`: real seconds for a delivery to be settled; `quiet_s`: real seconds without
    an octet after which everything has come back."""

    patience_s: float = 5.0
    quiet_s: float = 0.0


class TimeTravel:
    """Moves the time of one broker. All methods but `hold` belong to the broker's thread.

    `holds`: how many keep the clock from being moved. `kept`: deliveries that are not waited for, and `kept_others`:
    what else is not. `elsewhere`: connections whose clients have sent something while the clock was moved: they do not
    run in the thread that waits. `virtual_heartbeats`: whether link time moves, too. `with_copies`: the connections
    whose clients have deliveries that a fault has duplicated.
    """

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        self.idleness = Idleness(node)
        self.idleness.extra.append(self.held)
        self.virtual_heartbeats = False
        self.with_copies: Callable[[], Iterable[Connection]] = tuple
        self.kept: set[Delivery] = set()
        self.kept_others: set[Other] = set()
        self.elsewhere: set[Connection] = set()
        self.holds = 0
        self._holding = threading.Lock()
        self._moving = asyncio.Lock()
        self._skipping: asyncio.Task[None] | None = None
        self._nudged = 0

    @property
    def clock(self) -> MessageClock:
        """The clock of message time."""
        return self.node.message_clock

    # --- holding

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the clock from being moved meanwhile; in any thread."""
        with self._holding:
            self.holds += 1
        try:
            yield
        finally:
            self.release()

    def take_hold(self) -> None:
        """Keep the clock from being moved until `release`."""
        with self._holding:
            self.holds += 1

    def release(self) -> None:
        """End one hold. Raises `ClockError` if there is none."""
        with self._holding:
            if not self.holds:
                raise ClockError("the clock is not held: release() without hold()")
            self.holds -= 1
        self.node.wake()

    def held(self) -> Iterator[Reason]:
        """Yield the reason if the clock is held."""
        if self.holds:
            times = "once" if self.holds == 1 else f"{self.holds} times"
            yield Reason("held-clock", f"the clock is held {times}: a `with clock.hold()` has not ended")

    # --- what is next

    def next_at(self) -> int:
        """Return the next moment at which something is done, ms since the epoch, or `NEVER`."""
        at = self.node.engine.message_time.next_effect_at()
        if self.virtual_heartbeats:
            at = min(at, self.clock.now + self.node.engine.link_time.next_at() - self.node.link_clock.now)
        return at

    # --- moving

    async def move(self, by: int | None, to: int | None, waiting: Waiting) -> Moves:
        """Move the clock by so many ms, or to a moment. Raises `ClockError` if that is earlier, `NotIdle` if the clock
        is held."""
        async with self._alone(waiting):
            target = to if to is not None else self.clock.now + (by or 0)
            if target < self.clock.now:
                raise ClockError(
                    f"time never goes back: it is {moment(self.clock.now).isoformat()}, and"
                    f" {moment(target).isoformat()} was asked for"
                )
            moves = Moves(moment(self.clock.now))
            self.run_due()
            await self.settle(moves, waiting)
            while (at := self.next_at()) <= target:
                await self._step(at, moves, waiting)
            self._set(target)
            self.run_due()
            await self.settle(moves, waiting)
            moves.now = moment(self.clock.now)
            return moves

    async def run_until_idle(self, limit_ms: int, waiting: Waiting) -> Moves:
        """Move the clock until nothing is due. Raises `NotIdle` at `limit_ms` from now."""
        async with self._alone(waiting):
            end = self.clock.now + limit_ms
            moves = Moves(moment(self.clock.now))
            self.run_due()
            await self.settle(moves, waiting)
            while (at := self.next_at()) < NEVER:
                if at > end:
                    raise NotIdle(self._still_due(limit_ms))
                await self._step(at, moves, waiting)
            moves.now = moment(self.clock.now)
            return moves

    def _still_due(self, limit_ms: int) -> str:
        left = what_is_due(self.node.engine.message_time)
        shown = "".join(f"\n  {due}" for due in left[:SHOWN_DUE])
        more = f"\n  and {len(left) - SHOWN_DUE} more" if len(left) > SHOWN_DUE else ""
        return f"not idle after {limit_ms / 1000:g} s of the broker's time; still due:{shown}{more}"

    def jump(self, to: int) -> None:
        """Move a frozen clock to a moment without waiting for clients."""
        while (at := self.next_at()) <= to:
            self._set(at)
            self.run_due()
        self._set(to)
        self.run_due()
        self.rearm()

    def begin_skipping(self, waiting: Waiting, active: Callable[[], bool] = lambda: True) -> None:
        """From now on, move the clock to what is due next whenever everything is idle and `active` returns True."""
        if self._skipping is not None:
            raise ClockError("the clock is skipping already")
        self._skipping = self.node.loop.create_task(self._skip(waiting, active))

    def end_skipping(self) -> None:
        """End what `begin_skipping` began."""
        if self._skipping is not None:
            self._skipping.cancel()
            self._skipping = None

    async def _skip(self, waiting: Waiting, active: Callable[[], bool]) -> None:
        moves = Moves(moment(self.clock.now))
        while True:
            await self.node.until(lambda: active() and not self.holds and self.next_at() < NEVER)
            async with self._moving:
                self.run_due()
                await self.settle(moves, waiting)
                at = self.next_at()
                if at < NEVER and active() and self.idle():
                    self._set(at)
                    self.run_due()

    @asynccontextmanager
    async def _alone(self, waiting: Waiting) -> AsyncIterator[None]:
        """Stop the clock meanwhile, for one mover at a time, and nobody who holds it. Raises `NotIdle`."""
        if not await self.node.until(lambda: not self.holds, waiting.patience_s):
            held = list(self.held())
            why = f": {held[0]}" if held else ""
            raise NotIdle(f"the clock could not be moved within {waiting.patience_s:g} s{why}", held)
        async with self._moving:
            rate = self.clock.rate
            self.clock.freeze()
            try:
                yield
            finally:
                if rate:
                    self.clock.run(rate)
                self.rearm()

    def rearm(self) -> None:
        """Arm the loop's timers again, because a clock was moved, stopped or started."""
        for timer in self.node.edge.timers:
            timer.arm()

    def _set(self, at: int) -> None:
        engine = self.node.engine
        engine.message_time.pass_over(at)
        before = self.clock.now
        self.clock.move(at)
        if self.virtual_heartbeats:
            self.node.link_clock.shift(self.clock.now - before)
            self.node.link_clock.tick()

    async def _step(self, at: int, moves: Moves, waiting: Waiting) -> None:
        before = self._sent()
        self._set(at)
        self.run_due()
        moves.steps += 1
        if self._sent() != before or self.node.edge.work.jobs or self._outstanding():
            moves.settled += 1
            await self.settle(moves, waiting)

    def run_due(self) -> None:
        """Run what is due now, and send what it has caused."""
        engine, edge = self.node.engine, self.node.edge
        engine.message_time.run()
        if self.virtual_heartbeats:
            engine.link_time.run()
        edge.timers_ran()
        if edge.dirty or edge.late:
            edge.flush()
        while edge.late:  # what this makes ready is sent in the next turn of the loop: it may never end
            edge.flush()

    def _sent(self) -> tuple[int, int]:
        """Return a number that grows with everything that is sent to clients."""
        sent = sum(each.connection.sent for each in self.node.edge.sockets.values())
        return sent, self.node.engine.connections_closed

    def _outstanding(self) -> bool:
        return any(
            channel.unacked.count
            and any((channel, entry.tag) not in self.kept for entry in channel.unacked.outstanding())
            for channel in self.idleness.channels()
        )

    # --- settling

    async def settle(self, moves: Moves, waiting: Waiting) -> None:
        """Wait until the answers of clients to all that was sent to them are here, but for what is kept."""
        self._forget_settled()
        if waiting.quiet_s == 0 and self.idle():
            return
        await Settling(self, moves, waiting).run()

    def idle(self) -> bool:
        """Return whether nothing is left but what is kept."""
        reasons = self.idleness.reasons(self.kept)
        return all(other(reason) in self.kept_others for reason in reasons)

    def _forget_settled(self) -> None:
        if self.kept:
            self.kept = {one for one in self.kept if one[0].unacked.find(one[1]) is not None}
        if self.kept_others:
            self.kept_others &= {other(reason) for reason in self.idleness.reasons(self.kept)}

    def connections(self) -> list[Connection]:
        """Return the connections of clients."""
        return [each.connection for each in self.node.edge.sockets.values()]

    @property
    def skips(self) -> bool:
        """Whether the clock skips."""
        return self._skipping is not None

    def octets(self) -> int:
        """Return how many octets clients have sent, and got apart from nudges."""
        received = sum(one.received for one in self.connections())
        return received + self._sent()[0] - self._nudged

    def nudge(self) -> None:
        """Send a heartbeat frame to the clients that hold deliveries that are waited for."""
        holding = {channel.connection for channel in self.idleness.channels() if channel.unacked.count}
        for connection in holding.union(self.with_copies()):
            if connection.state == states.RUNNING:
                connection.send(HEARTBEAT_FRAME)
                self._nudged += len(HEARTBEAT_FRAME)
        self.node.edge.flush()


class Settling:
    """Waits once for the answers of clients. `began`: when, real seconds; `received`: the octets that clients had sent
    then; `heard`: when the last octet came or went; `pause_s`: silence before the next nudge; `late_s`: by how much
    this thread was woken too late."""

    def __init__(self, travel: TimeTravel, moves: Moves, waiting: Waiting) -> None:
        self.travel = travel
        self.moves = moves
        self.waiting = waiting
        self.began = self.heard = self.nudged = monotonic_s()
        self.octets = travel.octets()
        self.received = {one: one.received for one in travel.connections()}
        self.pause_s = FIRST_NUDGE_S
        self.late_s = 0.0

    async def run(self) -> None:
        """Wait. Deliveries that take too long are kept; other reasons end the wait with the patience."""
        travel, waiting = self.travel, self.waiting
        self._keep_fetched()
        while not await self._look():
            now = monotonic_s()
            if now - self.began >= UNREAD_PATIENCE_S and now - self.began >= self._unread_patience():
                self._keep_unread()
            if now - self.began >= waiting.patience_s:
                self._give_up()
                return
            if now - max(self.heard, self.nudged) >= self.pause_s:
                self.pause_s *= 2
                self.nudged = now
                travel.nudge()

    async def _look(self) -> bool:
        """Wait until the clients have answered, or until it is time to look at what the kernel knows. Returns whether
        they have."""
        pause, began = self._next_look(), monotonic_s()
        if await self.travel.node.until(self._settled, pause):
            return True
        self.late_s = max(self.late_s, monotonic_s() - began - pause)
        return False

    def _unread_patience(self) -> float:
        """Return for how long a client may not read, seconds: on a busy machine its thread waits for a processor."""
        return UNREAD_PATIENCE_S * max(1.0, runnable_per_processor()) + LATE_FACTOR * self.late_s

    def _next_look(self) -> float:
        return min(LOOK_S, self.pause_s, self.waiting.quiet_s or LOOK_S)

    def _settled(self) -> bool:
        octets = self.travel.octets()
        if octets != self.octets:
            self.octets = octets
            self.heard = monotonic_s()
            self.pause_s = FIRST_NUDGE_S
            self._keep_fetched()
        if self.waiting.quiet_s and monotonic_s() - self.heard < self.waiting.quiet_s:
            return False
        return self.travel.idle()

    def _keep_fetched(self) -> None:
        """Keep the deliveries of basic.get, and what a fault holds back until the test releases it."""
        travel = self.travel
        for reason in travel.idleness.reasons(travel.kept):
            if (
                reason.kind == "fault"
                and reason.connection is None
                and other(reason) not in travel.kept_others
            ):
                travel.kept_others.add(other(reason))
                self.moves.kept.append(reason)
        for channel in self.travel.idleness.channels():
            for entry in channel.unacked.outstanding() if channel.unacked.count else ():
                if entry.consumer is None:
                    self._keep((channel, entry.tag), unacked(channel, entry))

    def _keep_unread(self) -> None:
        """Keep the deliveries that their clients have not read, unless they run elsewhere."""
        travel = self.travel
        travel.elsewhere &= set(travel.connections())
        if not travel.skips:  # else the caller's own clients go on, too
            travel.elsewhere |= {
                one for one in travel.connections() if one.received > self.received.get(one, 0)
            }
        sockets = list(travel.node.edge.sockets.values())
        unread = {each.connection for each in unread_by_clients(sockets)} if KNOWN else None
        for channel in travel.idleness.channels():
            connection = channel.connection
            if (unread is None or connection in unread) and connection not in travel.elsewhere:
                why = ", whose client does not read: does it run in the thread that waits?"
                for entry in channel.unacked.outstanding():
                    self._keep((channel, entry.tag), unacked(channel, entry, why))

    def _give_up(self) -> None:
        """Keep every delivery, and note what else is left."""
        travel = self.travel
        why = f", for more than {self.waiting.patience_s:g} s"
        for channel in travel.idleness.channels():
            for entry in channel.unacked.outstanding():
                self._keep((channel, entry.tag), unacked(channel, entry, why))
        if travel.holds:
            raise NotIdle(f"the clock was held for {self.waiting.patience_s:g} s", list(travel.held()))
        for reason in travel.idleness.reasons(travel.kept):
            if other(reason) not in travel.kept_others:
                travel.kept_others.add(other(reason))
                self.moves.kept.append(reason)

    def _keep(self, delivery: Delivery, reason: Reason) -> None:
        if delivery not in self.travel.kept:
            self.travel.kept.add(delivery)
            self.moves.kept.append(reason)


def other(reason: Reason) -> Other:
    """Return what stays the same of a reason while it is left."""
    return reason.kind, reason.connection, reason.channel
