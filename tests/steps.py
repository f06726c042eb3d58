"""Generators that do their work in steps."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def ended(steps: Generator[None, None, T]) -> tuple[T, int]:
    """What a generator returns, and the number of its steps."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, count
        count += 1
