"""Lines of a rabbitmq.conf, and what their values are converted to, with cuttlefish's texts for wrong ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from leveret.cuttlefish.schema import words_of
from leveret.cuttlefish.syntax import Line
from leveret.settings import ConfigError

__all__ = ["Line", "boolean", "converted", "integer", "one_of", "positive", "taken"]

Value = TypeVar("Value")


def taken(rest: dict[str, Line], prefix: str) -> list[tuple[str, Line]]:
    """Remove and return the keys one word longer than `prefix`, with that word, in the order of the file."""
    found = {key: words_of(key.removeprefix(f"{prefix}.")) for key in rest if key.startswith(f"{prefix}.")}
    return [(words[0], rest.pop(key)) for key, words in found.items() if len(words) == 1]


def converted(convert: Callable[[str], Value], line: Line) -> Value:
    """Return the value of a line. Raises `ConfigError`."""
    try:
        return convert(line.text)
    except ValueError as error:
        raise ConfigError(line.place, line.key, str(error)) from None


def integer(text: str) -> int:
    """Convert an integer. Raises `ValueError` with cuttlefish's text."""
    if re.fullmatch(r"[+-]?\d+", text) is None:
        raise ValueError(f'"{text}" cannot be converted to a(n) integer')
    return int(text)


def positive(text: str) -> int:
    """Convert an integer from 1 on. Raises `ValueError`."""
    number = integer(text)
    if number < 1:
        raise ValueError(f"{number} is below the minimum allowed value of 1")
    return number


def boolean(text: str) -> bool:
    """Convert true or false. Raises `ValueError`."""
    if text not in ("true", "false"):
        raise ValueError(f'"{text}" cannot be converted to a(n) boolean')
    return text == "true"


def one_of(*words: str) -> Callable[[str], str]:
    """Return a converter that accepts some words."""

    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f'"{text}" is not a valid enum value, acceptable values are: {", ".join(words)}')
        return text

    return convert
