"""Long operations in slices: no operation holds the event loop for longer than a few milliseconds.

A `Job` is a generator that yields after each small portion of its work (about a thousand entries), or a job that it
must wait for. `Work.begin` runs the first slice at once: what ends within it was an ordinary call. The rest runs in
later turns of the event loop, a slice each turn, jobs in rotation. An operation on a queue that a job is busy with
raises `Suspended` before it has had any effect, and is repeated after the job; the connection that asked for it reads
nothing meanwhile. RabbitMQ does the same with processes: a queue that is busy lets those wait that call it, and nobody
else.

Time is an argument: `timer` is set by the edge. Without a timer every job runs to its end at once.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from leveret.faults import Faults

#: Time that the first slice of a job may take, seconds.
FIRST_SLICE_S = 0.002

#: Time that all jobs together may take in one turn of the event loop, seconds.
TURN_S = 0.003

Item = TypeVar("Item")

#: Items of a list that are freed together.
_FREED_TOGETHER = 1000

#: Calls that have waited for a job and run together.
WOKEN_TOGETHER = 64

#: Items of a list that are sorted together.
_SORTED_TOGETHER = 512


class Owner(Protocol):
    """The connection whose operation a job is."""

    def suspend(self, job: Job) -> None:
        """Handle no further frame until the job has ended."""


class Reading(Protocol):
    """Something that is being read."""

    def when_done(self, call: Callable[[], None]) -> None:
        """Run `call` when it has been read; at once if it has."""


class Job:
    """A long operation. `done`: it has ended, with or without a fault."""

    __slots__ = ("_waiting", "after", "context", "done", "place", "steps")

    def __init__(self, steps: Steps, place: str, after: Job | None, context: dict[str, object]) -> None:
        self.steps = steps
        self.place = place
        self.after = after
        self.context = context
        self.done = False
        self._waiting: list[Callable[[], None]] = []

    @classmethod
    def ended(cls) -> Job:
        """A job that has nothing to do and has ended."""
        job = cls(iter(()), "", None, {})
        job.done = True
        return job

    @classmethod
    def elsewhere(cls, place: str) -> Job:
        """A job whose work is done elsewhere, until `Work.complete`."""
        return cls(iter(()), place, None, {})

    @property
    def startable(self) -> bool:
        """Whether the job that it comes after has ended."""
        if self.after is not None and self.after.done:
            self.after = None  # jobs that ended long ago are not kept
        return self.after is None

    def waits_for(self, other: Job | None) -> bool:
        """Go on after another job, unless that has ended. Return whether this one waits now."""
        if other is None or other.done:
            return False
        self.after = other
        return True

    def when_done(self, call: Callable[[], None]) -> None:
        """Run `call` when the job has ended; at once if it has."""
        if self.done:
            call()
        else:
            self._waiting.append(call)

    def end(self) -> list[Callable[[], None]]:
        """Mark the job as done and return the calls that wait for it."""
        self.done = True
        waiting, self._waiting = self._waiting, []
        return waiting


class Suspended(Exception):  # noqa: N818  nothing is wrong
    """An operation must wait for a job, and has had no effect yet: repeat it when the job is done."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.place)
        self.job = job


#: A job: yields after each portion of work, so that others can run; or the job that must end before it goes on.
Steps: TypeAlias = Iterator["Job | None"]


def free(items: list[Any], together: int = _FREED_TOGETHER) -> Steps:
    """Empty a long list of anything, so many items at a time. Freeing a million objects at once would hold the loop.
    Nobody else may refer to them."""
    while items:
        del items[-together:]
        yield None


def free_values(items: dict[Any, Any], together: int = _FREED_TOGETHER) -> Steps:
    """Empty a long dict of anything, as `free`."""
    while items:
        for _ in range(min(together, len(items))):
            items.popitem()
        yield None


def portions(items: list[Item], together: int = _FREED_TOGETHER) -> Iterator[list[Item]]:
    """Empty a long list from its beginning, and yield so many items at a time: they are freed with their portion."""
    items.reverse()
    while items:
        portion = items[-together:]
        del items[-together:]
        portion.reverse()
        yield portion


def one_by_one(items: list[Item]) -> Iterator[Item]:
    """Empty a list from its beginning, and yield each item. Those that were deleted meanwhile are freed with their
    turn: at the end of the list all of them would be freed at once."""
    items.reverse()
    while items:
        yield items.pop()


def in_order(
    items: list[Item], key: Callable[[Item], Any], together: int = _SORTED_TOGETHER
) -> Generator[None, None, list[Item]]:
    """Return a list in order, as `sorted` does. A generator that yields after each portion: sorting tens of thousands
    of names at once would hold the loop."""
    if len(items) <= together:
        return sorted(items, key=key)
    runs = []
    for begin in range(0, len(items), together):
        runs.append(sorted(items[begin : begin + together], key=key))
        yield None
    found = []
    for item in heapq.merge(*runs, key=key):
        found.append(item)
        if len(found) % together == 0:
            yield None
    return found


class Work:
    """The jobs of one broker.

    `timer`: returns seconds, None while nobody runs jobs later. `wake`: called when a job can go on: `run` is to be
    called in each turn of the event loop while one is `runnable`. `jobs`: those that have not
    ended. `deadline`: when the connection that is being read has used its turn, in seconds of the timer.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults: Faults = faults
        self.timer: Callable[[], float] | None = None
        self.wake: Callable[[], None] = _nobody
        self.jobs: deque[Job] = deque()
        self.deadline: float = 0.0

    def begin(
        self,
        steps: Steps,
        place: str,
        owner: Owner | None = None,
        after: Job | None = None,
        **context: object,
    ) -> Job:
        """Run the first slice of a job; it goes on in later turns if it has not ended. Raises what the first slice
        raises.

        `owner` is suspended until the job ends. The job starts when `after` has ended. `place` and `context` name the
        job in the log if it fails later.
        """
        job = Job(steps, place, after, context)
        if job.startable and self._first_slice(job):
            return job
        if owner is not None:
            owner.suspend(job)
        self.jobs.append(job)
        self.wake()
        return job

    def _first_slice(self, job: Job) -> bool:
        timer = self.timer
        end = timer() + FIRST_SLICE_S if timer is not None else 0.0
        try:
            for other in job.steps:
                if job.waits_for(other) or (timer is not None and timer() >= end):
                    return False
        except BaseException:
            job.end()
            raise
        self._ended(job)
        return True

    def run(self) -> None:
        """Run one slice of each job, as far as the time of a turn goes; one job at least."""
        timer = self.timer
        end = timer() + TURN_S if timer is not None else 0.0
        for _ in range(len(self.jobs)):
            job = self.jobs.popleft()
            if not job.startable or not self._slice(job, end):
                self.jobs.append(job)
            if timer is not None and timer() >= end:
                break

    def _slice(self, job: Job, end: float) -> bool:
        """Run a job until the turn's time is used or it ends. True if it has ended."""
        timer = self.timer
        share = (end - timer()) / (len(self.jobs) + 1) if timer is not None else 0.0
        stop = timer() + share if timer is not None else 0.0
        try:
            for other in job.steps:
                if job.waits_for(other) or (timer is not None and timer() >= stop):
                    return False
        except Exception as error:
            self.faults.report(job.place, error, **job.context)
        self._ended(job)
        return True

    def _ended(self, job: Job) -> None:
        calls = job.end()
        if len(calls) > WOKEN_TOGETHER and self.timer is not None:
            self.jobs.append(Job(self._wake_steps(calls, job), job.place, None, job.context))
            return
        for call in calls:
            self.faults.guard(job.place, call, **job.context)

    def _wake_steps(self, calls: list[Callable[[], None]], job: Job) -> Steps:
        """Run the calls that have waited for a job. Ten thousand connections can wait for one queue."""
        for portion in portions(calls, WOKEN_TOGETHER):
            for call in portion:
                self.faults.guard(job.place, call, **job.context)
            yield None

    def complete(self, job: Job) -> None:
        """End a job whose work was done elsewhere: nobody ran it here."""
        self._ended(job)
        if self.jobs:
            self.wake()

    def reading(self, read: Reading, place: str) -> Job:
        """Return a job that ends with something that is being read."""
        job = Job.elsewhere(place)
        read.when_done(lambda: self.complete(job))
        return job

    def runnable(self) -> bool:
        """Return whether a job can go on: it does not wait for something that is done elsewhere."""
        return any(job.startable for job in self.jobs)

    def finish(self, limit: float | None = None) -> None:
        """Run all jobs to their end: at shutdown, and in tests. With a limit, for so many seconds at most.
        Those that wait for what is done elsewhere are left."""
        timer, wake = self.timer, self.wake
        end = timer() + limit if timer is not None and limit is not None else None
        if end is None:
            self.timer = None
        self.wake = _nobody
        try:
            while self.runnable() and (end is None or timer is None or timer() < end):
                self.run()
        finally:
            self.timer, self.wake = timer, wake

    def begin_turn(self, share: float) -> None:
        """A connection is read, and may take `share` seconds."""
        if self.timer is not None:
            self.deadline = self.timer() + share

    def spent(self) -> bool:
        """Return whether the connection that is being read has used its turn."""
        return self.timer is not None and self.timer() >= self.deadline


def _nobody() -> None:
    """Nobody runs jobs later."""
