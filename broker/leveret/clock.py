"""Time as an argument: clocks that are moved, and agendas of scheduled calls.

`Clock.now` is the current time in milliseconds since the epoch. No code below the server asks the operating system for
it: the edge sets it before each chunk that is read and each timer, and a test sets it as needed (`VirtualClock`). An
`Agenda` is a heap of calls by due time under one clock; calls with the same due time run in the order in which they
were scheduled. The edge arms a timer for `next_at()`, and `earlier` is called when this moves forward. A call that
raises an exception does not prevent the others from running.

A broker has two agendas. Message time is the time of messages and queues: TTL, x-expires, delayed messages, delayed
retries, acknowledgement timeouts, events. Link time is the time of sockets: handshake timeout, heartbeats, waiting for
the answer to a close. They can have different clocks, so that a test can move message time by days without missed
heartbeats.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

import cython

#: The value of `next_at` if nothing is due, ms: later than any deadline that RabbitMQ accepts (10 years).
NEVER = 1 << 62


class Clock:
    """The time of the engine; the owner of the event loop moves it forward.

    `tick_count`: increases with every tick; messages published in one tick are stored together in a stream.
    """

    def __init__(self, now: int = 0) -> None:
        self.now: int = now
        self.tick_count: int = 0


class EdgeClock(Protocol):
    """A clock of the edge: the real one, or one that a test moves. Times are in ms since the epoch."""

    now: int

    def read(self) -> int:
        """Return the time, without moving the engine's."""

    def tick(self) -> None:
        """Move the engine's time to the current one, and begin a new tick."""


class ScheduledCall:
    """One call on an agenda. Keep it to cancel it."""

    def __init__(self, at: int, order: int, call: Callable[[], None]) -> None:
        self.at: int = at
        self.order: int = order
        self.call: Callable[[], None] = call
        self.cancelled: bool = False

    def __lt__(self, other: ScheduledCall) -> bool:
        return self.at < other.at or (self.at == other.at and self.order < other.order)


class Agenda:
    """Calls by due time under one clock.

    `earlier`: called when a new call is due before all others, so that the edge can arm its timer again.
    `failed`: called with the exception that a call has raised, and the call; if it is None, `run` raises the exception.
    """

    def __init__(self, clock: Clock, earlier: Callable[[], None] | None = None) -> None:
        self.clock: Clock = clock
        self.earlier: Callable[[], None] | None = earlier
        self.failed: Callable[[Exception, Callable[[], None]], None] | None = None
        self.heap: list[ScheduledCall] = []
        self.order: int = 0
        self.cancelled: int = 0

    def call_at(self, at: cython.longlong, call: Callable[[], None]) -> ScheduledCall:
        """Run `call` when the clock reaches `at` (ms since the epoch)."""
        self.order += 1
        due: ScheduledCall = ScheduledCall(at, self.order, call)
        heapq.heappush(self.heap, due)
        if self.earlier is not None and self.heap[0] is due:
            self.earlier()
        return due

    def call_after(self, delay: cython.longlong, call: Callable[[], None]) -> ScheduledCall:
        """Run `call` in `delay` ms."""
        return self.call_at(self.clock.now + delay, call)

    def cancel(self, due: ScheduledCall) -> None:
        """Remove a call from the agenda, unless it has run or was cancelled."""
        if due.cancelled:
            return
        due.cancelled = True
        due.call = _nothing
        self.cancelled += 1
        # Most timers are cancelled before they are due (heartbeats, x-expires). Cancelled ones are removed when they
        # are the majority, so the heap has at most twice as many calls as are due.
        if self.cancelled > 64 and self.cancelled * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if not entry.cancelled]
            heapq.heapify(self.heap)
            self.cancelled = 0

    def next_at(self) -> int:
        """Return when the earliest call is due (ms since the epoch), or `NEVER`."""
        while self.heap and self.heap[0].cancelled:
            heapq.heappop(self.heap)
            self.cancelled -= 1
        return self.heap[0].at if self.heap else NEVER

    def run(self, spent: Callable[[], bool] | None = None) -> int:
        """Run all calls that are due now, in order, including those that they schedule. Returns how many ran.

        `spent` is called after each call: once it returns True, the other calls are left for the next run.
        """
        ran = 0
        while self.next_at() <= self.clock.now:
            due: ScheduledCall = heapq.heappop(self.heap)
            due.cancelled = True  # so that cancelling it later does not count it twice
            ran += 1
            try:
                due.call()
            except Exception as error:
                if self.failed is None:
                    raise
                self.failed(error, due.call)
            if spent is not None and spent():
                break
        return ran


class VirtualClock(Clock):
    """A clock that a test moves. `agenda`: its calls run during `advance`, each at its due time."""

    def __init__(self, now: int = 1_600_000_000_000) -> None:
        super().__init__(now)
        self.agenda: Agenda | None = None

    def advance(self, milliseconds: int) -> None:
        """Move the clock by `milliseconds`, stopping at the due time of each call."""
        target = self.now + milliseconds
        if self.agenda is not None:
            while (at := self.agenda.next_at()) <= target:
                self.now = max(self.now, at)
                self.agenda.run()
        self.now = target

    def until_due(self) -> int:
        """Return the time until the earliest call is due, ms: 0 if it is, `NEVER` if there is none."""
        at = self.agenda.next_at() if self.agenda is not None else NEVER
        return max(0, at - self.now) if at < NEVER else NEVER


def _nothing() -> None:
    """Replaces a cancelled call."""
