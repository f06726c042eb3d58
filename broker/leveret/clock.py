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

Some calls only look whether something has to be done, and are scheduled again (`Poll`): those have a heap of their own,
and say in advance when they will find something. A test that moves the time passes over the others (`pass_over`), so
that an idle week is not 120,960 checks of a queue.
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

    def delay_s(self, at: int) -> float:
        """Return the real seconds until the clock reaches `at`: 0 if it has, infinity if it stands still."""


class Poll(Protocol):
    """A check that is scheduled every `interval_ms`, and finds something to do only now and then."""

    interval_ms: int

    def effective_at(self) -> int:
        """Return the earliest time at which a check finds something to do, if nothing changes before; or `NEVER`."""

    def passed_over(self, at: int) -> None:
        """Note that checks up to `at` were left out, while everything was as it is now."""


class ScheduledCall:
    """One call on an agenda. Keep it to cancel it. `poll`: the check it belongs to, or None."""

    def __init__(self, at: int, order: int, call: Callable[[], None], poll: Poll | None = None) -> None:
        self.at: int = at
        self.order: int = order
        self.call: Callable[[], None] = call
        self.cancelled: bool = False
        self.poll: Poll | None = poll

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
        self.polls: list[ScheduledCall] = []
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

    def poll_at(self, at: cython.longlong, call: Callable[[], None], poll: Poll) -> ScheduledCall:
        """Run a check when the clock reaches `at` (ms since the epoch), or not if the time passes over it."""
        self.order += 1
        due: ScheduledCall = ScheduledCall(at, self.order, call, poll)
        heapq.heappush(self.polls, due)
        if self.earlier is not None and self.polls[0] is due:
            self.earlier()
        return due

    def cancel(self, due: ScheduledCall) -> None:
        """Remove a call from the agenda, unless it has run or was cancelled."""
        if due.cancelled:
            return
        due.cancelled = True
        due.call = _nothing
        self.cancelled += 1
        # Most timers are cancelled before they are due (heartbeats, x-expires). Cancelled ones are removed when they
        # are the majority, so the heaps have at most twice as many calls as are due.
        if self.cancelled > 64 and self.cancelled * 2 > len(self.heap) + len(self.polls):
            self.heap = [entry for entry in self.heap if not entry.cancelled]
            self.polls = [entry for entry in self.polls if not entry.cancelled]
            heapq.heapify(self.heap)
            heapq.heapify(self.polls)
            self.cancelled = 0

    def next_at(self) -> int:
        """Return when the earliest call is due (ms since the epoch), or `NEVER`."""
        heap = self._first_heap()
        return heap[0].at if heap else NEVER

    def _first_heap(self) -> list[ScheduledCall]:
        """Return the heap with the earliest call; an empty one if there is none."""
        self._drop_cancelled(self.heap)
        if not self.polls:
            return self.heap
        self._drop_cancelled(self.polls)
        if self.polls and (not self.heap or self.polls[0] < self.heap[0]):
            return self.polls
        return self.heap

    def _drop_cancelled(self, heap: list[ScheduledCall]) -> None:
        while heap and heap[0].cancelled:
            heapq.heappop(heap)
            self.cancelled -= 1

    def scheduled(self) -> list[ScheduledCall]:
        """Return the calls that are due at a time of their own, in order; for a test that asks what comes next."""
        return sorted(due for due in self.heap if not due.cancelled)

    def polling(self) -> list[ScheduledCall]:
        """Return the checks, in order."""
        return sorted(due for due in self.polls if not due.cancelled)

    def next_effect_at(self) -> int:
        """Return when something is done next, ms since the epoch, or `NEVER`: checks that find nothing do not count."""
        self._drop_cancelled(self.heap)
        at = self.heap[0].at if self.heap else NEVER
        for due in self.polls:
            if not due.cancelled and due.at < at:
                at = min(at, effective_at(due))
        return at

    def pass_over(self, until: int) -> None:
        """Leave out the checks before `until` (ms since the epoch), which find nothing: `next_effect_at` is not before.

        Each is done at its first time from then on, as if the others had been.
        """
        late = [due for due in self.polls if due.at < until and not due.cancelled]
        for due in late:
            poll = due.poll
            assert poll is not None
            due.at = _first_from(due.at, poll.interval_ms, until)
            poll.passed_over(due.at - poll.interval_ms)
        if late:
            heapq.heapify(self.polls)

    def run(self, spent: Callable[[], bool] | None = None) -> int:
        """Run all calls that are due now, in order, including those that they schedule. Returns how many ran.

        `spent` is called after each call: once it returns True, the other calls are left for the next run.
        """
        ran = 0
        while True:
            heap = self._first_heap()
            if not heap or heap[0].at > self.clock.now:
                break
            due: ScheduledCall = heapq.heappop(heap)
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


def _first_from(at: int, interval: int, until: int) -> int:
    """Return the first of the times `at`, `at + interval`, ... that is not before `until`."""
    return at if until <= at else at + (until - at + interval - 1) // interval * interval


def effective_at(due: ScheduledCall) -> int:
    """Return the time of the first of a poll's checks that finds something to do, or `NEVER`."""
    poll = due.poll
    assert poll is not None
    at = poll.effective_at()
    return at if at >= NEVER else _first_from(due.at, poll.interval_ms, at)


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
