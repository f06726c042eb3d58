"""Unacknowledged deliveries by tag, compared with a plain dict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.queues.message import Entry, Message, Source
from leveret.session.unacked import Unacked

PLACE = Source()


def entry(tag: int) -> Entry:
    one = Entry(Message(), tag, 0, PLACE)
    one.tag = tag
    return one


def tags(entries: list[Entry] | None) -> list[int] | None:
    return None if entries is None else [one.tag for one in entries]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from([1, 1, 1, 1, 2, 3, 50, 5000, 9000])),
        st.tuples(st.sampled_from(["take", "through", "find", "restore"]), st.integers(0, 40)),
        st.tuples(st.just("all"), st.just(0)),
        st.tuples(st.just("burst"), st.integers(0, 6000)),
    ),
    max_size=40,
)


@given(STEPS)
def test_unacked_deliveries_are_found_and_taken_by_tag(steps: list[tuple[str, int]]) -> None:
    unacked, model, last, taken = Unacked(), dict[int, Entry](), 0, list[Entry]()
    for kind, number in steps:
        if kind == "add":
            last += number
            model[last] = entry(last)
            unacked.hold(model[last])
        elif kind == "burst":  # many deliveries of which all but the newest few are settled
            for _ in range(number):
                last += 1
                model[last] = entry(last)
                unacked.hold(model[last])
            for tag in sorted(model)[-number:-3]:
                assert unacked.take(tag) is model.pop(tag)
        elif kind == "all":
            assert tags(unacked.take_all()) == sorted(model)
            taken = list(model.values())
            model.clear()
        else:
            known = sorted(model)
            tag = known[number % len(known)] if known and number % 4 else number
            if kind == "find":
                assert unacked.find(tag) is model.get(tag)
            elif kind == "take":
                found = unacked.take(tag)
                assert found is model.pop(tag, None)
                taken = [found] if found is not None else []
            elif kind == "through":
                wanted = [one for one in known if one <= tag] if tag in model else None
                assert tags(unacked.take_through(tag)) == wanted
                taken = [model.pop(one) for one in wanted or ()]
            else:
                for one in taken:
                    unacked.restore(one)
                    model[one.tag] = one
                taken = []
        assert unacked.count == len(model)
    assert tags(unacked.take_all()) == sorted(model)


def test_one_old_delivery_stays_among_many_settled_ones() -> None:
    unacked = Unacked()
    for tag in range(1, 50_001):
        unacked.hold(entry(tag))
        if tag > 1:
            assert unacked.take(tag) is not None
    assert unacked.count == 1
    assert unacked.take(1) is not None and unacked.take(1) is None


@pytest.mark.parametrize("tag", [0, 1, 2**63, 2**64 - 1])
def test_there_are_no_deliveries_at_first(tag: int) -> None:
    unacked = Unacked()
    assert unacked.find(tag) is None and unacked.take(tag) is None
    assert unacked.take_through(tag) is None and unacked.take_all() == []
