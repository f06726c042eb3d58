"""Time is an argument: one clock that others move, one agenda of what is due.

`Clock.now` is the current time in milliseconds since the epoch. Nothing below the server floor asks the operating
system for it: the edge sets it once for every chunk it reads and every timer it serves, a test sets it to whatever it
likes (`VirtualClock`). The `Agenda` is a heap of calls by due time; equal times run in the order they were asked for.
The edge arms one timer for `next_at()` and is told through `earlier` when that moment has moved forward. A call that
raises does not keep the others from running.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

import cython

#: What `next_at` says when nothing is due: later than any deadline RabbitMQ accepts (10 years of milliseconds).
NEVER = 1 << 62


class Clock:
    """The time as the engine sees it; whoever owns the loop moves it forward.

    `tick_count`: grows whenever something new is read; what is published in one turn is stored together in a stream.
    """

    def __init__(self, now: int = 0) -> None:
        self.now: int = now
        self.tick_count: int = 0


class ScheduledCall:
    """One call on the agenda. Keep it to cancel it."""

    def __init__(self, at: int, order: int, call: Callable[[], None]) -> None:
        self.at: int = at
        self.order: int = order
        self.call: Callable[[], None] = call
        self.cancelled: bool = False

    def __lt__(self, other: ScheduledCall) -> bool:
        return self.at < other.at or (self.at == other.at and self.order < other.order)


class Agenda:
    """Calls by due time under one clock.

    `earlier`: called with no arguments when a new call is due before all others, so that the edge can re-arm its timer.
    `failed`: called with what a call has raised, and the call; None to have `run` raise it.
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
        """Take a call off the agenda; one that already ran or was cancelled is left alone."""
        if due.cancelled:
            return
        due.cancelled = True
        due.call = _nothing
        self.cancelled += 1
        # Timers are set and cancelled far more often than they fire (heartbeats, x-expires), so the dead are swept
        # once they are the majority: the heap stays within twice what is really due.
        if self.cancelled > 64 and self.cancelled * 2 > len(self.heap):
            self.heap = [entry for entry in self.heap if not entry.cancelled]
            heapq.heapify(self.heap)
            self.cancelled = 0

    def next_at(self) -> int:
        """When the earliest call is due (ms since the epoch), or `NEVER`."""
        while self.heap and self.heap[0].cancelled:
            heapq.heappop(self.heap)
            self.cancelled -= 1
        return self.heap[0].at if self.heap else NEVER

    def run(self) -> int:
        """Run everything that is due now, in order, including what those calls put on the agenda; returns how many."""
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
        return ran


class VirtualClock(Clock):
    """A clock that moves when it is told to, running every deadline on the way at its own time."""

    def __init__(self, now: int = 1_600_000_000_000) -> None:
        super().__init__(now)
        self.agenda: Agenda | None = None

    def advance(self, milliseconds: int) -> None:
        """Move on by `milliseconds`, stopping at each due call so that it sees the very moment it asked for."""
        target = self.now + milliseconds
        if self.agenda is not None:
            while (at := self.agenda.next_at()) <= target:
                self.now = max(self.now, at)
                self.agenda.run()
        self.now = target


def _nothing() -> None:
    """What a cancelled call does."""
