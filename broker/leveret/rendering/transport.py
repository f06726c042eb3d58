"""What a command shows, as it goes from one node to another that merges it with its own: a line of JSON for each row.

Terms have more types than JSON: an object with one letter stands for those that it lacks.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from leveret.rendering.terms import Atom, Pid, Quoted

#: The letter of each type of text.
_TEXTS: dict[str, Callable[[str], object]] = {"a": Atom, "p": Pid, "q": Quoted}


def line(value: object) -> str:
    """Return the line of a row."""
    return json.dumps(_plain(value)) + "\n"


def values(text: str) -> list[object]:
    """Return the rows of some lines. Raises ValueError."""
    return [_term(json.loads(one)) for one in text.splitlines()]


def _plain(value: object) -> object:
    for letter, kind in _TEXTS.items():
        if type(value) is kind:
            return {letter: str(value)}
    if isinstance(value, tuple):
        return {"t": [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {"d": [[_plain(key), _plain(item)] for key, item in value.items()]}
    return value


def _term(value: object) -> object:
    if isinstance(value, list):
        return [_term(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((letter, inner),) = value.items()
    if letter == "t":
        return tuple(_term(item) for item in inner)
    if letter == "d":
        return {_term(key): _term(item) for key, item in inner}
    return _TEXTS[letter](inner)
