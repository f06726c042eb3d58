"""Random JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

#: Arrays and objects inside each other.
DEEPEST = 4


def some_value(dice: Random, plain: Sequence[object], lengths: Sequence[int], depth: int = 0) -> object:
    """A value of any kind. `plain`: what is no array or object; `lengths`: of arrays and objects of each depth, the
    longest one; shorter ones occur too."""
    kind = dice.randrange(9 if depth < DEEPEST else 6)
    if kind < 6:
        return dice.choice(plain)
    count = dice.choice([0, 1, 3, lengths[depth]])
    if kind < 8:
        return [some_value(dice, plain, lengths, depth + 1) for _ in range(count)]
    return {f"k{number}": some_value(dice, plain, lengths, depth + 1) for number in range(count)}
