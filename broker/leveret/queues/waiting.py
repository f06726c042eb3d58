"""Consumers that wait to become the single active one.

There can be tens of thousands, and each that comes or goes must not look at all others. So they stand in order, the
next one last.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Generic, TypeVar

#: A consumer, by whose module this one is imported.
One = TypeVar("One")


class Waiting(Generic[One]):
    """Those that wait. `rank`: the consumer of the highest rank is next, of equals the oldest. It never changes."""

    def __init__(self, rank: Callable[[One], tuple[int, int]]) -> None:
        self._rank = rank
        self._joined = 0
        self._ages: dict[One, int] = {}
        self._in_order: list[tuple[tuple[int, int], int, One]] = []
        self._withdrawn: set[One] = set()

    def __contains__(self, consumer: One) -> bool:
        at = bisect_left(self._in_order, self._place(consumer)) if consumer in self._ages else -1
        return 0 <= at < len(self._in_order) and self._in_order[at][2] is consumer

    def __len__(self) -> int:
        return len(self._in_order)

    def join(self, consumer: One) -> None:
        """Have a new consumer of the queue wait."""
        self._joined += 1
        self._ages[consumer] = -self._joined
        self.offer(consumer)

    def offer(self, consumer: One) -> None:
        """Have a consumer wait, unless it does, has left, or is withdrawn."""
        if consumer in self._ages and consumer not in self._withdrawn and consumer not in self:
            insort(self._in_order, self._place(consumer))

    def take(self, consumer: One) -> None:
        """Have a consumer wait no longer: it becomes the active one, if it does not leave."""
        if consumer in self:
            del self._in_order[bisect_left(self._in_order, self._place(consumer))]

    def withdraw(self, consumer: One) -> None:
        """Have a consumer not wait until it is restored, unless it has left."""
        self.take(consumer)
        if consumer in self._ages:
            self._withdrawn.add(consumer)

    def restore(self, consumer: One) -> None:
        """Have a consumer wait again that was withdrawn."""
        self._withdrawn.discard(consumer)
        self.offer(consumer)

    def leave(self, consumer: One) -> None:
        """Forget a consumer."""
        self.take(consumer)
        self._ages.pop(consumer, None)
        self._withdrawn.discard(consumer)

    def clear_some(self, most: int) -> bool:
        """Forget so many at most; False if none are left."""
        del self._in_order[-most:]
        for _ in range(min(most, len(self._ages))):
            self._ages.popitem()
        for _ in range(min(most, len(self._withdrawn))):
            self._withdrawn.pop()
        return bool(self._in_order or self._ages or self._withdrawn)

    def next(self) -> One | None:
        """Return the one that is next; it goes on waiting."""
        return self._in_order[-1][2] if self._in_order else None

    def _place(self, consumer: One) -> tuple[tuple[int, int], int, One]:
        return self._rank(consumer), self._ages[consumer], consumer
