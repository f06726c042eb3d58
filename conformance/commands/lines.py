"""The command lines of `lines/*.txt`: one on each line, as in a shell.

    rabbitmqctl add_user bob <<< secret     with this standard input
    rabbitmqctl add_user bob <<<            with an empty one
    !topology                               an action of `setting.py`
    # a comment

`{node}`, `{amqp}` and other names in braces stand for what is different on each broker.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent

#: The files in the order in which they are played: the last one resets the broker.
FILES = (
    "help",
    "usage",
    "arguments",
    "access",
    "parameters",
    "lists",
    "node",
    "plugins",
    "unusual",
    "lifecycle",
)

_INPUT = re.compile(r"\s<<<\s*(.*)$")
_NAME = re.compile(r"\{[a-z_]+(:[a-z]+)?\}")


@dataclass(frozen=True)
class Line:
    """One line. `action`: the word after `!`, else empty. `text`: as it is written."""

    text: str
    argv: tuple[str, ...] = ()
    stdin: str = ""
    action: str = ""

    def arguments(self, names: Mapping[str, str]) -> list[str]:
        """The tool and its arguments, with the names of a broker filled in."""
        return [_NAME.sub(lambda found: names.get(found[0], found[0]), word) for word in self.argv]


@cache
def lines(name: str) -> tuple[Line, ...]:
    """The lines of a file."""
    texts = (HERE / "lines" / f"{name}.txt").read_text().splitlines()
    return tuple(_parsed(text) for text in texts if text and not text.startswith("#"))


def _parsed(text: str) -> Line:
    if text.startswith("!"):
        return Line(text, action=text[1:])
    given = _INPUT.search(text)
    words = shlex.split(text[: given.start()] if given else text)
    stdin = " ".join(shlex.split(given[1])) if given else ""
    return Line(text, tuple(words), stdin + "\n" if stdin else "")
