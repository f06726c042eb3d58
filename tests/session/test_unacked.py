"""Unacknowledged deliveries by tag, compared with a plain dict."""

from __future__ import annotations

from random import Random

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
    return None if entries is None else [one.tag for one in present(entries)]


def present(entries: list[Entry]) -> list[Entry]:
    """The entries of a list that may have gaps."""
    return [one for one in entries if one is not None]


def walked(unacked: Unacked) -> list[int]:
    """The tags of all deliveries, a few at a time."""
    found: list[int] = []
    while portion := unacked.following(found[-1] if found else 0, 2):
        found.extend(one.tag for one in portion)
    return found


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
        assert walked(unacked) == sorted(model)
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


@pytest.mark.parametrize("gap", [1, 5, 1000])
def test_deliveries_that_were_restored_in_any_order_are_taken_in_order(gap: int) -> None:
    unacked = Unacked()
    for tag in range(1, 3000 * gap, gap):
        unacked.hold(entry(tag))
    taken = present(unacked.take_all())
    unacked.hold(entry(3000 * gap))
    Random(1).shuffle(taken)
    for one in taken:
        unacked.restore(one)
    middle = 1500 * gap + 1
    assert tags(unacked.take_through(middle)) == list(range(1, middle + 1, gap))
    assert tags(unacked.take_all()) == [*range(middle + gap, 3000 * gap, gap), 3000 * gap]


def test_a_long_list_is_taken_without_a_look_at_each_delivery() -> None:
    for end in (30_000, 90_000):
        unacked = Unacked()
        for tag in range(1, 100_001):
            unacked.hold(entry(tag))
        for tag in range(100, 100_001, 100):
            unacked.take(tag)
        wanted = [tag for tag in range(1, 100_001) if tag % 100]
        taken = unacked.take_through(end - 1)
        assert taken is not None and None in taken, "it has gaps"
        assert tags(taken) == [tag for tag in wanted if tag < end]
        assert unacked.count == len(wanted) - len(present(taken))
        unacked.hold(entry(100_001))
        assert tags(unacked.take_all()) == [*(tag for tag in wanted if tag > end), 100_001]
        assert unacked.count == 0


def test_deliveries_between_many_without_acknowledgement_need_little_memory() -> None:
    unacked = Unacked()
    for tag in range(1, 3_000_000, 3000):
        unacked.hold(entry(tag))
    assert unacked.longest() <= 16_384
    assert tags(unacked.outstanding()) == list(range(1, 3_000_000, 3000))


def test_the_deliveries_of_a_prefetch_count_stay_in_the_list() -> None:
    """Only what stays outstanding while thousands of others pass is moved out of it."""
    unacked = Unacked()
    for tag in range(1, 100_001):
        unacked.hold(entry(tag))
        if tag > 1000:
            assert unacked.take(tag - 1000) is not None
        assert min(tag, 1000) <= unacked.longest() <= 3 * 4096
    assert tags(unacked.take_through(99_500)) == list(range(99_001, 99_501))
    assert tags(unacked.outstanding()) == list(range(99_501, 100_001))


def with_stragglers(count: int) -> Unacked:
    """Every fifth of many deliveries is old and outstanding: tags 5, 10 and so on."""
    unacked = Unacked()
    for tag in range(1, 5 * count + 1):
        unacked.hold(entry(tag))
    for tag in range(1, 5 * count + 1):
        if tag % 5:
            unacked.take(tag)
    unacked.hold(entry(5 * count + 1))
    assert unacked.longest() == 1
    return unacked


def test_many_old_deliveries_are_taken_without_a_look_at_the_others() -> None:
    """Otherwise it would not end."""
    count = 100_000
    unacked = with_stragglers(count)
    for tag in range(5, 5 * count // 2 + 5, 5):
        assert tags(unacked.following(tag - 1, 1)) == [tag]
        oldest = unacked.oldest()
        assert oldest is not None and oldest.tag == tag
        assert tags(unacked.take_through(tag)) == [tag]
    for tag in range(5 * count, 5 * count // 2, -5):
        assert unacked.take(tag) is not None
    assert tags(unacked.outstanding()) == [5 * count + 1]


def test_many_old_deliveries_that_are_restored_backwards_are_in_order() -> None:
    """Putting each in its place would not end."""
    count = 100_000
    unacked = with_stragglers(count)
    taken = unacked.take_through(5 * count - 50)
    assert taken is not None
    for one in reversed(taken):
        unacked.restore(one)
    assert [one.tag for one in unacked.in_order()] == [*range(5, 5 * count + 1, 5), 5 * count + 1]
    assert unacked.count == count + 1


def test_an_old_delivery_that_is_restored_again_and_again_is_there_once() -> None:
    unacked = with_stragglers(5000)
    for number in range(20_000):
        one = unacked.take(5 * (1 + number % 3))
        assert one is not None
        unacked.restore(one)
    assert walked(unacked) == [*range(5, 25_001, 5), 25_001]
    assert tags(unacked.take_through(10)) == [5, 10]
