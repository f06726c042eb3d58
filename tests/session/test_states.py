"""The table of states is complete, and connections follow it."""

from __future__ import annotations

import pytest
from pamqp import commands

from leveret.session import states
from leveret.session.handshake import TRANSITIONS

NUMBERS = [value for name, value in vars(states).items() if name.isupper() and isinstance(value, int)]


def test_every_state_has_a_name() -> None:
    assert sorted(NUMBERS) == sorted(states.NAMES) == list(range(8))


def test_every_state_can_be_reached_and_left() -> None:
    left = {state for state, _ in TRANSITIONS}
    assert left == set(NUMBERS) - {states.AWAITING_HEADER, states.CLOSED}
    reached = {transition.next for transition in TRANSITIONS.values()}
    # The protocol header leads to STARTING, a mechanism with two rounds to SECURING, and an error to CLOSING.
    assert reached | {states.STARTING, states.SECURING, states.CLOSING} == set(NUMBERS) - {
        states.AWAITING_HEADER
    }


@pytest.mark.parametrize(
    "state", [states.STARTING, states.SECURING, states.TUNING, states.OPENING, states.CLOSING]
)
def test_each_state_leads_to_the_next(state: int) -> None:
    """In each state one method leads to a later one, until the connection is closed."""
    seen = []
    while state != states.CLOSED:
        seen.append(state)
        state = next(
            transition.next
            for (before, command), transition in TRANSITIONS.items()
            if before == state and (before, transition.next) != (state, state)
        )
    assert seen == sorted(seen)


def test_the_table_has_only_connection_methods() -> None:
    assert all(command.name.startswith("Connection.") for _, command in TRANSITIONS)
    assert (states.RUNNING, commands.Connection.UpdateSecret) in TRANSITIONS
