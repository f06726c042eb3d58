"""The line that consumers stand in, against what RabbitMQ's documentation promises."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leveret.queues.consumers import Consumer, Lineup
from leveret.queues.message import Place

PLACE = Place()


class Eater(Consumer):
    """A consumer that is always hungry unless told otherwise."""

    hungry = True

    def ready(self) -> bool:
        return self.hungry


def eater(tag: str, priority: int = 0) -> Eater:
    return Eater(tag, PLACE, False, False, priority, 0)


def turns(lineup: Lineup, count: int) -> str:
    tags = []
    for _ in range(count):
        one = lineup.next()
        tags.append("-" if one is None else one.tag)
    return "".join(tags)


def lineup_of(*consumers: Consumer, single: bool = False) -> Lineup:
    lineup = Lineup(single)
    for one in consumers:
        lineup.join(one)
    return lineup


def test_they_take_turns() -> None:
    lineup = lineup_of(eater("a"), eater("b"), eater("c"))
    assert turns(lineup, 7) == "abcabca"


def test_nobody() -> None:
    assert turns(lineup_of(), 2) == "--"


def test_priority_comes_first() -> None:
    low, high, high2 = eater("l", -1), eater("h", 5), eater("H", 5)
    lineup = lineup_of(low, high, high2, eater("m", 0))
    assert turns(lineup, 4) == "hHhH"
    high.hungry = high2.hungry = False
    assert turns(lineup, 3) == "mmm"
    high.hungry = True
    assert turns(lineup, 1) == "m", "who was passed over is not asked until woken"
    lineup.wake(high)
    assert turns(lineup, 2) == "hh"


def test_who_has_no_credit_is_parked_until_woken() -> None:
    a, b = eater("a"), eater("b")
    lineup = lineup_of(a, b)
    a.hungry = False
    assert turns(lineup, 3) == "bbb"
    assert a.parked and not b.parked
    a.hungry = True
    lineup.wake(a)
    lineup.wake(a)
    assert turns(lineup, 4) == "baba"
    assert len(lineup.line) == 2


def test_leaving() -> None:
    a, b, c = eater("a"), eater("b"), eater("c")
    lineup = lineup_of(a, b, c)
    lineup.next()
    assert not lineup.leave(b) and b.gone
    assert not lineup.leave(b)
    assert turns(lineup, 4) == "caca"
    lineup.wake(b)
    assert turns(lineup, 2) == "ca"


def test_the_parked_may_leave() -> None:
    a, b = eater("a"), eater("b")
    lineup = lineup_of(a, b)
    a.hungry = False
    turns(lineup, 2)
    lineup.leave(a)
    a.hungry = True
    lineup.wake(a)
    assert turns(lineup, 2) == "bb"


def test_a_single_active_consumer() -> None:
    a, b, c = eater("a"), eater("b"), eater("c", 10)
    lineup = lineup_of(a, b, c, single=True)
    assert lineup.active is a and turns(lineup, 3) == "aaa"
    a.hungry = False
    assert turns(lineup, 2) == "--", "nobody stands in for the active one"
    lineup.wake(b)
    assert turns(lineup, 1) == "-"
    assert lineup.leave(a)
    assert lineup.active is c and turns(lineup, 2) == "cc"
    assert not lineup.leave(b)
    assert not lineup.leave(c)
    assert lineup.active is None and turns(lineup, 1) == "-"
    lineup.join(b2 := eater("d"))
    assert lineup.active is b2 and turns(lineup, 1) == "d"


def test_prefetch() -> None:
    one = Consumer("c", PLACE, False, False, 0, 2)
    assert one.ready()
    one.held = 2
    assert not one.ready()
    assert Consumer("c", PLACE, True, False, 0, 2).limit == 0


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "next", "hungry", "full"]), st.integers(0, 9)), max_size=60
)


@given(ACTIONS, st.booleans())
def test_the_line_is_always_right(actions: list[tuple[str, int]], single: bool) -> None:
    """Served: someone ready, of the highest priority among those who are ready (or the active one alone)."""
    lineup = Lineup(single)
    known: dict[int, Any] = {}
    for action, number in actions:
        if action == "join" and number not in known:
            known[number] = eater(str(number), number % 3)
            lineup.join(known[number])
        elif action == "leave" and number in known:
            lineup.leave(known.pop(number))
        elif action in ("hungry", "full") and number in known:
            known[number].hungry = action == "hungry"
            if action == "hungry":
                lineup.wake(known[number])
        elif action == "next":
            served = lineup.next()
            able = [one for one in known.values() if one.hungry]
            if single:
                able = [one for one in able if one is lineup.active]
            if served is None:
                assert not able
            else:
                assert served in able
                assert served.priority == max(one.priority for one in able) or single
        assert len(lineup.line) == len({id(one) for one in lineup.line})
        assert list(lineup.members) == [one for one in lineup.members if not one.gone]
        assert len(lineup.members) == len(known)
        for one in known.values():
            standing = any(one is other for other in lineup.line)
            assert standing != one.parked or (single and one is not lineup.active)
