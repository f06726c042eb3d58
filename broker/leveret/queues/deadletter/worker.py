"""The part of dead lettering at least once that a quorum queue knows (`engine/at_least_once.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sized

    from leveret.queues.message import Entry


class Worker(Protocol):
    """Publishes the dead letters of one queue until all target queues have accepted them."""

    def add(self, entry: Entry, reason: str, why: int) -> None:
        """Add a dead letter."""

    def kept(self) -> list[Entry]:
        """Return the entries whose dead letters have not reached all targets; for checks."""

    def try_again(self) -> None:
        """Publish pending dead letters again."""

    def clear(self) -> Sized:
        """Drop all dead letters and return them as a deque; the queue is to forget the `entry` of each."""
