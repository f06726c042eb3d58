"""Long operations in slices: what runs when, who waits, and what a fault ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, pairwise

import pytest

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.work import WOKEN_TOGETHER, Job, Steps, Work


class Turns:
    """Work whose every portion uses up a slice. `wakes`: how often the next turn was asked for."""

    def __init__(self) -> None:
        self.faults = Faults(Clock())
        self.work = Work(self.faults)
        self.work.timer = count(1).__next__
        self.wakes = 0
        self.work.wake = self._wake
        self.done: list[str] = []

    def _wake(self) -> None:
        self.wakes += 1

    def steps(self, name: str, portions: int) -> Steps:
        for number in range(portions):
            self.done.append(f"{name}{number}")
            yield


class Owner:
    """A connection that is suspended by jobs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def suspend(self, job: Job) -> None:
        self.jobs.append(job)


def test_without_a_timer_a_job_is_an_ordinary_call() -> None:
    turns = Turns()
    turns.work.timer = None
    owner = Owner()
    job = turns.work.begin(turns.steps("a", 1000), "test", owner)
    assert job.done and len(turns.done) == 1000
    assert not owner.jobs and not turns.wakes


def test_a_job_that_ends_in_its_first_slice_suspends_no_connection() -> None:
    turns = Turns()
    owner = Owner()
    assert turns.work.begin(turns.steps("a", 0), "test", owner).done
    assert not owner.jobs and not turns.work.jobs


def test_a_long_job_does_a_slice_each_tick_and_its_owner_waits() -> None:
    turns = Turns()
    owner = Owner()
    job = turns.work.begin(turns.steps("a", 3), "test", owner)
    assert turns.done == ["a0"] and owner.jobs == [job] and turns.wakes == 1
    turns.work.run()
    assert turns.done == ["a0", "a1"]
    turns.work.run()
    turns.work.run()
    assert job.done and not turns.work.jobs and turns.wakes == 1


def test_jobs_are_served_in_turn() -> None:
    turns = Turns()
    for name in "ab":
        turns.work.begin(turns.steps(name, 3), "test")
    for _ in range(6):
        turns.work.run()
    assert turns.done == ["a0", "b0", "a1", "b1", "a2", "b2"]


def test_a_job_waits_for_the_one_before_it() -> None:
    turns = Turns()
    first = turns.work.begin(turns.steps("a", 3), "test")
    second = turns.work.begin(turns.steps("b", 1), "test", after=first)
    turns.work.finish()
    assert turns.done == ["a0", "a1", "a2", "b0"]
    assert second.done and second.after is None


def test_calls_wait_for_a_job() -> None:
    turns = Turns()
    job = turns.work.begin(turns.steps("a", 2), "test")
    heard: list[str] = []
    job.when_done(lambda: heard.append("first"))
    job.when_done(lambda: turns.steps("x", 1).throw(ValueError()))
    job.when_done(lambda: heard.append("last"))
    assert not heard
    turns.work.finish()
    assert heard == ["first", "last"] and turns.faults.errors == {"test": 1}
    job.when_done(lambda: heard.append("late"))
    assert heard[-1] == "late"


def failing() -> Iterator[None]:
    yield
    yield
    raise ValueError


def test_a_fault_ends_its_job_and_no_other() -> None:
    turns = Turns()
    bad = turns.work.begin(failing(), "test", queue="q")
    good = turns.work.begin(turns.steps("a", 5), "test")
    turns.work.finish()
    assert bad.done and good.done and turns.faults.errors == {"test": 1}


def test_a_fault_in_the_first_slice_is_raised_to_the_caller() -> None:
    turns = Turns()
    with pytest.raises(ValueError):
        turns.work.begin(turns.steps("a", 1).throw(ValueError()) or failing(), "test")
    turns.work.timer = None
    with pytest.raises(ValueError):
        turns.work.begin(failing(), "test")
    assert not turns.work.jobs and not turns.faults.errors


def test_the_turn_of_a_connection_ends_after_its_share() -> None:
    turns = Turns()
    turns.work.timer = iter([10.0, 10.5, 11.0]).__next__
    turns.work.begin_turn(1.0)
    assert not turns.work.spent()
    assert turns.work.spent()
    turns.work.timer = None
    assert not turns.work.spent()


def test_many_calls_that_waited_for_one_job_run_in_portions() -> None:
    turns = Turns()
    job = turns.work.begin(turns.steps("a", 3), "test")
    called: list[int] = []
    for number in range(3 * WOKEN_TOGETHER):
        job.when_done(lambda number=number: called.append(number))  # type: ignore[misc]
    seen: list[int] = []
    while turns.work.runnable():
        turns.work.run()
        seen.append(len(called))
    assert job.done and called == list(range(3 * WOKEN_TOGETHER))
    assert all(after - before <= WOKEN_TOGETHER for before, after in pairwise([0, *seen]))


def test_without_a_timer_all_calls_that_waited_run_at_once() -> None:
    work = Work(Faults(Clock()))
    job = Job.elsewhere("test")
    called: list[int] = []
    for _ in range(3 * WOKEN_TOGETHER):
        job.when_done(lambda: called.append(1))
    work.complete(job)
    assert len(called) == 3 * WOKEN_TOGETHER
