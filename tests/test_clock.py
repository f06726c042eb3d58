"""Clock and agenda: calls run at their time, in order, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.clock import NEVER, Agenda, Clock, VirtualClock


def test_calls_run_when_they_are_due() -> None:
    clock = Clock(100)
    agenda, ran = Agenda(clock), []
    agenda.call_after(10, lambda: ran.append("ten"))
    agenda.call_at(105, lambda: ran.append("five"))
    assert (agenda.next_at(), agenda.run(), ran) == (105, 0, [])
    clock.now = 109
    assert (agenda.run(), ran) == (1, ["five"])
    clock.now = 110
    assert (agenda.run(), ran) == (1, ["five", "ten"])
    assert agenda.next_at() == NEVER


def test_equal_times_keep_their_order() -> None:
    agenda, ran = Agenda(Clock()), []
    for name in "abc":
        agenda.call_at(0, lambda name=name: ran.append(name))  # type: ignore[misc]
    agenda.run()
    assert ran == ["a", "b", "c"]


def test_a_call_that_is_due_at_once_runs_in_the_same_run() -> None:
    agenda, ran = Agenda(Clock()), []
    agenda.call_after(0, lambda: agenda.call_after(0, lambda: ran.append("inner")))
    assert agenda.run() == 2
    assert ran == ["inner"]


def test_cancelled_calls_do_not_run() -> None:
    agenda, ran = Agenda(Clock()), []
    first = agenda.call_after(0, lambda: ran.append("first"))
    agenda.call_after(5, lambda: ran.append("second"))
    agenda.cancel(first)
    agenda.cancel(first)
    assert agenda.next_at() == 5
    assert agenda.run() == 0 and ran == []


def test_cancelling_a_call_that_has_run_does_nothing() -> None:
    agenda = Agenda(Clock())
    due = agenda.call_after(0, lambda: None)
    agenda.run()
    agenda.cancel(due)
    assert agenda.next_at() == NEVER


def test_a_call_can_cancel_another() -> None:
    agenda, ran = Agenda(Clock()), []
    due = agenda.call_after(1, lambda: ran.append("never"))
    agenda.call_after(0, lambda: agenda.cancel(due))
    agenda.clock.now = 1
    assert agenda.run() == 1 and ran == []


def test_the_edge_is_notified_when_an_earlier_call_is_scheduled() -> None:
    received: list[int] = []
    agenda = Agenda(Clock())
    agenda.earlier = lambda: received.append(agenda.next_at())
    for at in (50, 60, 40, 40, 10):
        agenda.call_at(at, lambda: None)
    assert received == [50, 40, 10]


def test_after_an_exception_the_other_calls_run() -> None:
    agenda, ran = Agenda(Clock()), []

    def fail() -> None:
        raise ValueError("broken")

    agenda.call_after(0, fail)
    agenda.call_after(0, lambda: ran.append("rest"))
    with pytest.raises(ValueError, match="broken"):
        agenda.run()
    assert agenda.run() == 1 and ran == ["rest"]


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=300))
def test_random_calls_run_in_order_unless_cancelled(calls: list[tuple[int, bool]]) -> None:
    agenda, ran = Agenda(Clock()), []
    expected = []
    for number, (at, cancelled) in enumerate(calls):
        due = agenda.call_at(at, lambda number=number: ran.append(number))  # type: ignore[misc]
        if cancelled:
            agenda.cancel(due)
        else:
            expected.append((at, number))
    agenda.clock.now = 50
    assert agenda.run() == len(expected)
    assert ran == [number for _, number in sorted(expected)]
    assert agenda.next_at() == NEVER


def test_cancelled_calls_are_removed_from_memory() -> None:
    """Calls are set and cancelled a hundred thousand times beside one that stays."""
    agenda = Agenda(Clock())
    agenda.call_at(1 << 40, lambda: None)
    for _ in range(100_000):
        agenda.cancel(agenda.call_after(60_000, lambda: None))
    assert agenda.next_at() == 1 << 40
    agenda.clock.now = 1 << 41
    assert agenda.run() == 1


def test_a_virtual_clock_stops_at_every_scheduled_time() -> None:
    clock = VirtualClock(0)
    clock.agenda = agenda = Agenda(clock)
    seen: list[int] = []

    def again() -> None:
        seen.append(clock.now)
        if len(seen) < 3:
            agenda.call_after(7, again)

    agenda.call_after(10, again)
    clock.advance(100)
    assert seen == [10, 17, 24]
    assert clock.now == 100
    assert VirtualClock().now > 1_000_000_000_000


def test_a_virtual_clock_knows_the_time_until_the_next_call() -> None:
    clock = VirtualClock(100)
    assert clock.until_due() == NEVER
    clock.agenda = Agenda(clock)
    assert clock.until_due() == NEVER
    clock.agenda.call_at(130, lambda: None)
    assert clock.until_due() == 30
    clock.now = 200
    assert clock.until_due() == 0


class Watch:
    """A check every 5 ms that finds something at `due` or later."""

    interval_ms = 5

    def __init__(self, agenda: Agenda, due: int = NEVER) -> None:
        self.agenda, self.due = agenda, due
        self.checked: list[int] = []
        self.passed: list[int] = []
        agenda.poll_at(agenda.clock.now + 5, self.check, self)

    def check(self) -> None:
        self.checked.append(self.agenda.clock.now)
        self.agenda.poll_at(self.agenda.clock.now + 5, self.check, self)

    def effective_at(self) -> int:
        return self.due

    def passed_over(self, at: int) -> None:
        self.passed.append(at)


def test_checks_run_in_order_with_other_calls() -> None:
    agenda, ran = Agenda(Clock()), []
    watch = Watch(agenda)
    agenda.call_at(7, lambda: ran.append(watch.checked.copy()))
    assert agenda.next_at() == 5
    for now in (5, 7, 10):
        agenda.clock.now = now
        assert agenda.run() == 1
    assert ran == [[5]] and watch.checked == [5, 10]


def test_checks_that_find_nothing_are_passed_over() -> None:
    agenda = Agenda(Clock())
    idle, busy = Watch(agenda), Watch(agenda, 1001)
    agenda.call_at(3000, lambda: None)
    assert agenda.next_effect_at() == 1005
    agenda.pass_over(1005)
    agenda.clock.now = 1005
    assert agenda.run() == 2
    assert (idle.checked, idle.passed, busy.checked, busy.passed) == ([1005], [1000], [1005], [1000])
    busy.due = NEVER
    assert agenda.next_effect_at() == 3000
    assert [due.at for due in agenda.polling()] == [1010, 1010]
    assert [due.at for due in agenda.scheduled()] == [3000]


def test_cancelled_checks_are_removed() -> None:
    agenda = Agenda(Clock())
    watch = Watch(agenda, 5)
    agenda.cancel(agenda.polling()[0])
    assert agenda.next_at() == agenda.next_effect_at() == NEVER
    agenda.pass_over(100)
    assert agenda.polling() == [] and watch.passed == []
