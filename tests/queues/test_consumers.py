"""The rotation of a queue's consumers, against RabbitMQ's documentation."""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.queues.consumers import FREED, Consumer, QueueConsumers
from leveret.queues.message import Source

SOURCE = Source()


class FakeConsumer(Consumer):
    """A consumer that has credit until the test removes it."""

    has_credit = True

    def ready(self) -> bool:
        return self.has_credit


def consumer(tag: str, priority: int = 0) -> FakeConsumer:
    return FakeConsumer(tag, SOURCE, False, False, priority, 0)


def served(queue_consumers: QueueConsumers, count: int) -> str:
    tags = []
    for _ in range(count):
        one = queue_consumers.next()
        tags.append("-" if one is None else one.tag)
    return "".join(tags)


def consumers_of(*consumers: Consumer, single_active: bool = False) -> QueueConsumers:
    queue_consumers = QueueConsumers(single_active)
    for one in consumers:
        queue_consumers.add(one)
    return queue_consumers


def test_consumers_are_served_round_robin() -> None:
    queue_consumers = consumers_of(consumer("a"), consumer("b"), consumer("c"))
    assert served(queue_consumers, 7) == "abcabca"


def test_without_consumers_there_is_no_next_one() -> None:
    assert served(consumers_of(), 2) == "--"


def test_the_highest_priority_is_served_first() -> None:
    low, high, high2 = consumer("l", -1), consumer("h", 5), consumer("H", 5)
    queue_consumers = consumers_of(low, high, high2, consumer("m", 0))
    assert served(queue_consumers, 4) == "hHhH"
    high.has_credit = high2.has_credit = False
    assert served(queue_consumers, 3) == "mmm"
    high.has_credit = True
    assert served(queue_consumers, 1) == "m", "who was passed over is not asked until woken"
    queue_consumers.wake(high)
    assert served(queue_consumers, 2) == "hh"


def test_a_consumer_without_credit_is_blocked_until_it_is_woken() -> None:
    a, b = consumer("a"), consumer("b")
    queue_consumers = consumers_of(a, b)
    a.has_credit = False
    assert served(queue_consumers, 3) == "bbb"
    assert a.blocked_order and not b.blocked_order
    a.has_credit = True
    queue_consumers.wake(a)
    queue_consumers.wake(a)
    assert served(queue_consumers, 4) == "baba"
    assert len(queue_consumers.in_rotation()) == 2


def test_a_removed_consumer_is_not_served() -> None:
    a, b, c = consumer("a"), consumer("b"), consumer("c")
    queue_consumers = consumers_of(a, b, c)
    queue_consumers.next()
    assert not queue_consumers.remove(b) and b.gone
    assert not queue_consumers.remove(b)
    assert served(queue_consumers, 4) == "caca"
    queue_consumers.wake(b)
    assert served(queue_consumers, 2) == "ca"


def test_a_blocked_consumer_can_be_removed() -> None:
    a, b = consumer("a"), consumer("b")
    queue_consumers = consumers_of(a, b)
    a.has_credit = False
    served(queue_consumers, 2)
    queue_consumers.remove(a)
    a.has_credit = True
    queue_consumers.wake(a)
    assert served(queue_consumers, 2) == "bb"


def test_only_the_single_active_consumer_is_served() -> None:
    a, b, c = consumer("a"), consumer("b"), consumer("c", 10)
    queue_consumers = consumers_of(a, b, c, single_active=True)
    assert queue_consumers.active is a and served(queue_consumers, 3) == "aaa"
    a.has_credit = False
    assert served(queue_consumers, 2) == "--", "only the active one is served"
    queue_consumers.wake(b)
    assert served(queue_consumers, 1) == "-"
    assert queue_consumers.remove(a)
    assert queue_consumers.active is c and served(queue_consumers, 2) == "cc"
    assert not queue_consumers.remove(b)
    assert not queue_consumers.remove(c)
    assert queue_consumers.active is None and served(queue_consumers, 1) == "-"
    queue_consumers.add(b2 := consumer("d"))
    assert queue_consumers.active is b2 and served(queue_consumers, 1) == "d"


def test_a_consumer_is_ready_up_to_its_prefetch_count() -> None:
    one = Consumer("c", SOURCE, False, False, 0, 2)
    assert one.ready()
    one.held = 2
    assert not one.ready()
    assert Consumer("c", SOURCE, True, False, 0, 2).limit == 0


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "next", "has_credit", "full"]), st.integers(0, 9)),
    max_size=60,
)


@given(ACTIONS, st.booleans())
def test_the_next_consumer_is_ready_and_has_the_highest_priority(
    actions: list[tuple[str, int]], single_active: bool
) -> None:
    """Among the ready consumers, or the single active one only."""
    queue_consumers = QueueConsumers(single_active)
    known: dict[int, Any] = {}
    for action, number in actions:
        if action == "join" and number not in known:
            known[number] = consumer(str(number), number % 3)
            queue_consumers.add(known[number])
        elif action == "leave" and number in known:
            queue_consumers.remove(known.pop(number))
        elif action in ("has_credit", "full") and number in known:
            known[number].has_credit = action == "has_credit"
            if action == "has_credit":
                queue_consumers.wake(known[number])
        elif action == "next":
            served = queue_consumers.next()
            able = [one for one in known.values() if one.has_credit]
            if single_active:
                able = [one for one in able if one is queue_consumers.active]
            if served is None:
                assert not able
            else:
                assert served in able
                assert served.priority == max(one.priority for one in able) or single_active
        assert len(queue_consumers.in_rotation()) == len({id(one) for one in queue_consumers.in_rotation()})
        assert list(queue_consumers.members) == [one for one in queue_consumers.members if not one.gone]
        assert len(queue_consumers.members) == len(known)
        for one in known.values():
            standing = any(one is other for other in queue_consumers.in_rotation())
            assert standing != one.blocked_order or (single_active and one is not queue_consumers.active)


def test_leaving_a_long_rotation_does_not_pass_over_all_others() -> None:
    queue_consumers = QueueConsumers()
    many = [consumer(f"c{number}") for number in range(1000)]
    for one in many:
        queue_consumers.add(one)
    lengths = []
    for one in many[::2]:
        queue_consumers.remove(one)
        lengths.append(len(queue_consumers.in_rotation()))
    assert lengths[:400] == [1000] * 400, "they stay until their turn"
    assert list(queue_consumers.members) == many[1::2]
    assert [queue_consumers.next() for _ in range(500)] == many[1::2], "and are passed over"
    assert queue_consumers.next() is many[1]
    for one in many[1::2]:
        queue_consumers.remove(one)
    assert (
        not queue_consumers.members and queue_consumers.next() is None and not queue_consumers.in_rotation()
    )


def test_priorities_in_a_long_rotation() -> None:
    queue_consumers = QueueConsumers()
    many = [consumer(f"c{number}", number % 5) for number in range(50)]
    for one in many:
        queue_consumers.add(one)
    highest = [one for one in many if one.priority == 4]
    assert [queue_consumers.next() for _ in range(20)] == highest * 2
    assert [one.priority for one in queue_consumers.in_rotation()] == sorted(
        (one.priority for one in many), reverse=True
    )


def test_the_first_consumer_with_another_priority_moves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[object] = []
    push = heapq.heappush
    monkeypatch.setattr(heapq, "heappush", lambda heap, one: (pushed.append(one), push(heap, one)))
    many = [consumer(f"c{number}", 3) for number in range(100)]
    queue_consumers = consumers_of(*many)
    assert [queue_consumers.next() for _ in range(10)] == many[:10]
    lower, higher = consumer("lower", -(2**63)), consumer("higher", 4)
    queue_consumers.add(lower)
    queue_consumers.add(higher)
    assert len(pushed) == 2
    assert queue_consumers.in_rotation() == [higher, *many[10:], *many[:10], lower]
    assert [queue_consumers.next() for _ in range(2)] == [higher] * 2
    higher.has_credit = False
    assert [queue_consumers.next() for _ in range(100)] == many[10:] + many[:10]
    for one in many[:80]:
        queue_consumers.remove(one)
    for one in many[80:]:
        one.has_credit = False
    assert queue_consumers.next() is lower and queue_consumers.in_rotation() == [lower]
    many[80].has_credit = True
    queue_consumers.wake(many[80])
    assert [queue_consumers.next() for _ in range(2)] == [many[80]] * 2


def test_passing_over_thousands_without_credit_moves_no_other() -> None:
    for priorities in (1, 7):
        queue_consumers = QueueConsumers()
        many = [consumer(f"c{number}", number % priorities) for number in range(5000)]
        for one in many:
            one.has_credit = False
            queue_consumers.add(one)
        assert queue_consumers.next() is None and not queue_consumers.in_rotation()
        for one in many:
            one.has_credit = True
            queue_consumers.wake(one)
        in_order = sorted(many, key=lambda one: -one.priority)
        assert queue_consumers.in_rotation() == in_order
        highest = [one for one in many if one.priority == priorities - 1]
        assert [queue_consumers.next() for _ in range(2 * len(highest))] == highest * 2


def test_all_consumers_can_be_removed_together() -> None:
    many = [consumer(f"c{number}", number % 3) for number in range(100)]
    for single_active in (False, True):
        queue_consumers = QueueConsumers(single_active)
        for one in many:
            one.gone = False
            queue_consumers.add(one)
        assert queue_consumers.remove_all() == many and all(one.gone for one in many)
        assert queue_consumers.next() is None and queue_consumers.active is None
        assert not queue_consumers.members and not queue_consumers.in_rotation()


def test_the_places_of_a_deleted_queue_are_freed_in_portions() -> None:
    many = [consumer(f"c{number}", number % 3) for number in range(3 * FREED)]
    queue_consumers = QueueConsumers(single_active=True)
    for one in many:
        queue_consumers.add(one)
    assert queue_consumers.remove_all() == many
    waiting = [len(queue_consumers.waiting) for _ in queue_consumers.free_steps()]
    assert max(before - after for before, after in pairwise(waiting)) <= FREED
    assert not len(queue_consumers.waiting)


@pytest.mark.parametrize("priorities", [1, 1000])
def test_consumers_that_pass_out_of_a_long_rotation_are_left_to_the_queue(
    priorities: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which frees them in portions. With different priorities, few places are looked at for each that leaves."""
    pushed: list[object] = []
    push = heapq.heappush
    many = [consumer(f"c{number}", number % priorities) for number in range(1000)]
    queue_consumers = consumers_of(*many)
    monkeypatch.setattr(heapq, "heappush", lambda heap, one: (pushed.append(one), push(heap, one)))
    monkeypatch.setattr(heapq, "heapify", lambda heap: pytest.fail("all places at once"))
    for number, one in enumerate(many[:900]):
        before = len(pushed)
        queue_consumers.remove(one)
        assert len(pushed) - before <= 4
        live = [each for each in queue_consumers.in_rotation() if not each.gone]
        assert live == sorted(many[number + 1 :], key=lambda each: -each.priority)
    assert len(queue_consumers.in_rotation()) < 300, "those that are gone do not stay"
    if priorities == 1:
        assert len(queue_consumers.dropped) + len(queue_consumers.in_rotation()) == 1000
    assert queue_consumers.next() is (many[900] if priorities == 1 else many[-1])


@pytest.mark.parametrize("priorities", [1, 7])
def test_blocking_thousands_moves_no_other(priorities: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heapq, "heapify", lambda heap: pytest.fail("all places at once"))
    many = [consumer(f"c{number}", number % priorities) for number in range(100)]
    queue_consumers = consumers_of(*many)
    for one in many[:30]:
        queue_consumers.block(one)
        queue_consumers.block(one)
        assert one.blocked_order and one not in queue_consumers.in_rotation()
    for one in many[:20]:
        queue_consumers.wake(one)
    in_order = sorted(many[30:] + many[:20], key=lambda one: -one.priority)
    assert queue_consumers.in_rotation() == in_order, "behind their equals"
    queue_consumers.block(many[0])
    in_order.remove(many[0])
    for one in in_order:
        assert queue_consumers.next() is one
        one.has_credit = False
    assert queue_consumers.next() is None
    assert not any(one.stale for one in many), "their old places have passed out"
    queue_consumers.wake(many[0])
    assert queue_consumers.next() is many[0]


@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "leave", "block", "wake", "next"]), st.integers(0, 60)),
        min_size=100,
    )
)
def test_places_that_are_stale_change_nothing(actions: list[tuple[str, int]]) -> None:
    """Compared with a list from which everybody is taken at once."""
    known = {number: consumer(str(number), number % 3) for number in range(50)}
    queue_consumers = consumers_of(*known.values())
    standing = list(known.values())
    for action, number in actions:
        if action == "join" and number not in known:
            known[number] = consumer(str(number), number % 3)
            queue_consumers.add(known[number])
            standing.append(known[number])
        elif action == "leave" and number in known:
            one = known.pop(number)
            queue_consumers.remove(one)
            standing = [each for each in standing if each is not one]
        elif action == "block" and number in known:
            queue_consumers.block(known[number])
            standing = [each for each in standing if each is not known[number]]
        elif action == "wake" and number in known and known[number] not in standing:
            queue_consumers.wake(known[number])
            standing.append(known[number])
        elif action == "next" and standing:
            first = max(standing, key=lambda one: one.priority)
            assert queue_consumers.next() is first
            standing.remove(first)
            standing.append(first)
        live = [one for one in queue_consumers.in_rotation() if not one.gone]
        assert live == sorted(standing, key=lambda one: -one.priority)
