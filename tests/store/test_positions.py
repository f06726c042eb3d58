"""Sets of positions, compared with Python's sets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from leveret.store.messages.positions import CHUNK_POSITIONS, Positions

NUMBERS = st.one_of(
    st.integers(1, 40),
    st.integers(CHUNK_POSITIONS - 5, CHUNK_POSITIONS + 5),
    st.integers(1, 5 * CHUNK_POSITIONS),
)
RANGES = st.tuples(NUMBERS, st.integers(0, 2 * CHUNK_POSITIONS)).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), NUMBERS),
        st.tuples(st.just("add_range"), RANGES),
        st.tuples(st.just("remove_range"), RANGES),
    ),
    max_size=12,
)


@given(STEPS, RANGES)
def test_positions_behave_like_a_set(steps: list[tuple[str, object]], window: tuple[int, int]) -> None:
    positions, model = Positions(), set[int]()
    for name, what in steps:
        if isinstance(what, int):
            assert positions.add(what) == (what not in model)
            model.add(what)
            continue
        first, last = what  # type: ignore[misc]
        inside = set(range(first, last + 1))
        if name == "add_range":
            positions.add_range(first, last)
            model |= inside
        else:
            assert positions.remove_range(first, last) == len(model & inside)
            model -= inside
    assert positions.count == len(model)
    inside = {number for number in model if window[0] <= number <= window[1]}
    assert positions.any(*window) == bool(inside)
    assert all(positions.has(number) for number in list(inside)[:50])
    assert positions.has(window[0]) == (window[0] in model)


def test_positions_far_apart_are_found_quickly() -> None:
    positions = Positions()
    positions.add(1)
    positions.add(10**9)
    assert positions.any(2, 10**9)
    assert not positions.any(2, 10**8)
    assert positions.remove_range(1, 10**8) == 1
    assert positions.count == 1
