"""Waking or detaching very many consumers of a channel touches few of them in one step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.queues.queue import PORTION
from leveret.session.settling import end_steps, wake_steps
from leveret.work import in_order

COUNT = 6 * PORTION


class Queue:
    """A queue that notes what is done to it."""

    serves_together = True
    busy = None

    def __init__(self, name: str, done: list[Any]) -> None:
        self.name = name
        self.done = done

    def wake(self, consumer: Any) -> None:
        self.done.append(consumer.tag)

    def unblock(self, consumer: Any) -> None:
        self.done.append(consumer.tag)

    def run(self) -> None:
        self.done.append(self.name)

    def detach(self, consumer: Any) -> None:
        self.done.append(consumer.tag)

    def detached(self) -> None:
        self.done.append(self.name)


class Blocked:
    """A consumer without credit."""

    def __init__(self, source: Any, tag: str, order: int) -> None:
        self.source = source
        self.tag = tag
        self.blocked_order = order

    def ready(self) -> bool:
        return True


def most_at_once(steps: Iterable[object], done: list[Any]) -> int:
    most = before = 0
    for _ in steps:
        most = max(most, len(done) - before)
        before = len(done)
    return max(most, len(done) - before)


def blocked(done: list[Any], queues: int) -> list[Any]:
    several = [Queue(f"q{number:02}", done) for number in range(queues)]
    return [Blocked(several[at % queues], f"c{COUNT - at:05}", COUNT - at) for at in range(COUNT)]


def test_consumers_are_served_in_portions_in_the_order_of_queues_and_tags() -> None:
    done: list[Any] = []
    consumers = blocked(done, 3)
    wanted = [one.tag for one in sorted(consumers, key=lambda one: (one.source.name, one.tag))]
    assert most_at_once(wake_steps(list(consumers), together=False), done) <= 32
    assert done == wanted


def test_consumers_with_one_limit_are_all_unblocked_before_their_queues_serve() -> None:
    done: list[Any] = []
    assert most_at_once(wake_steps(blocked(done, 50), together=True), done) <= 32
    assert done[:COUNT] == sorted(done[:COUNT])
    assert sorted(done[COUNT:]) == [f"q{number:02}" for number in range(50)]


def test_consumers_are_detached_in_portions_the_newest_first() -> None:
    done: list[Any] = []
    consumers = blocked(done, 3)
    assert (
        most_at_once(end_steps(list(consumers), [[]], Faults(Clock(0)).guard, lambda: None), done) <= 32 + 3
    )
    assert done == [*(one.tag for one in reversed(consumers)), "q00", "q01", "q02"]


def test_a_long_list_is_sorted_in_portions() -> None:
    looked_at: list[int] = []

    def key(number: int) -> int:
        looked_at.append(number)
        return number % 1000

    items = [number * 7919 % 100_003 for number in range(COUNT)]
    steps = in_order(items, key)
    most = before = 0
    found: list[int] = []
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            found = stop.value
            break
        most = max(most, len(looked_at) - before)
        before = len(looked_at)
    assert found == sorted(items, key=lambda number: number % 1000)
    assert most <= PORTION + 16
