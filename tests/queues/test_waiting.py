"""Who becomes the single active consumer next: the same as a search of all, without the search."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leveret.queues.consumers import Consumer
from leveret.queues.waiting import Waiting
from tests.queues.test_consumers import consumer

ACTIONS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "take", "offer", "withdraw", "restore"]), st.integers(0, 9)),
    max_size=60,
)


@given(ACTIONS)
def test_the_highest_rank_is_next_and_of_equals_the_oldest(actions: list[tuple[str, int]]) -> None:
    waiting = Waiting(lambda one: (one.priority, 0))
    known: dict[int, Any] = {}
    there: set[int] = set()
    withdrawn: set[int] = set()
    for action, number in actions:
        if action == "join":
            if number in known:
                continue
            known[number] = consumer(str(number), number % 3)
            there.add(number)
        elif number not in known:
            continue
        elif action == "leave":
            there.discard(number)
            withdrawn.discard(number)
        elif action == "take":
            there.discard(number)
        elif action == "withdraw":
            there.discard(number)
            withdrawn.add(number)
        elif action == "restore":
            withdrawn.discard(number)
            there.add(number)
        elif number not in withdrawn:
            there.add(number)
        getattr(waiting, action)(known[number])
        if action == "leave":
            del known[number]
        best = max(
            (known[each] for each in known if each in there), key=lambda one: one.priority, default=None
        )
        assert waiting.next() is best
        assert len(waiting) == len(there)
        assert all((known[each] in waiting) == (each in there) for each in known)


def test_consumers_that_come_and_go_do_not_look_at_all_others() -> None:
    ranked = 0

    def rank(one: Consumer) -> tuple[int, int]:
        nonlocal ranked
        ranked += 1
        return one.priority, 0

    waiting = Waiting(rank)
    many = [consumer(str(number), number % 7) for number in range(2000)]
    for one in many:
        waiting.join(one)
    for one in many:
        waiting.leave(one)
    assert waiting.next() is None
    assert ranked <= 8 * len(many)
