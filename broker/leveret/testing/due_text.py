"""What the clock has not reached yet, for texts about something that is missing."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from leveret.testing.due import may_bring_messages, seconds_until, what_is_due

if TYPE_CHECKING:
    from leveret.testing.scope import Scope


def due_hint(scope: Scope) -> str:
    """Return a line about what the clock has not reached yet, for a text about messages that are missing; empty if
    nothing is due that may bring some."""
    due = [one for one in what_is_due(scope.engine.message_time) if may_bring_messages(one)]
    if not due:
        return ""
    clock = scope.node.message_clock
    left = seconds_until(due[0], clock)
    stands = "the clock is frozen, and due next" if clock.frozen else "due next"
    by = f"{left:g}" if clock.frozen else f"{max(1, ceil(left))}"
    return f"\n{stands}, in {left:g} s, is: {due[0].what}; clock.advance({by}) gets there"
