"""The table of states is whole."""

from __future__ import annotations

from leveret.session import states
from leveret.wire.methods import METHOD_NAMES


def test_every_state_has_a_name_and_a_way_on() -> None:
    numbers = [value for name, value in vars(states).items() if name.isupper() and isinstance(value, int)]
    assert sorted(numbers) == sorted(states.NAMES) == list(range(8))
    moving = set(numbers) - {states.AWAITING_HEADER, states.CLOSED}
    assert set(states.TRANSITIONS) == moving


def test_it_speaks_of_methods_that_exist() -> None:
    known = set(METHOD_NAMES.values())
    for methods in states.TRANSITIONS.values():
        assert set(methods) <= known
        assert set(methods.values()) <= set(states.NAMES)
