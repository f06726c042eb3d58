"""The command lines of rabbitmqadmin: every subcommand of version 1 and of version 2, as it works and as it is refused.

They are in `rabbitmqadmin-1.txt` (the Python script that RabbitMQ served at /cli/rabbitmqadmin until 4.2) and
`rabbitmqadmin-2.txt`: one a line, `#` begins a comment, ` <<TEXT` is what the command reads. `{name}` stands for what
is different on each broker (`conformance/api/client.py`), `{folder}` for a new folder. They follow each other on one
broker, with what `conformance/api/setting.py` has made there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Line:
    """One command line. `words`: after the program and its address; `stdin`: what it reads."""

    words: tuple[str, ...]
    stdin: str = ""

    @property
    def name(self) -> str:
        """The line as it is printed and listed in differences.toml."""
        return shlex.join(self.words)


def rabbitmqadmin(version: int) -> list[Line]:
    """The command lines of version 1 or 2."""
    return lines((HERE / f"rabbitmqadmin-{version}.txt").read_text())


def lines(text: str) -> list[Line]:
    """The command lines of a text. Words are separated by spaces; there are no quotes."""
    found = []
    for each in text.splitlines():
        if each and not each.startswith("#"):
            command, _, stdin = each.partition(" <<")
            found.append(Line(tuple(command.split()), stdin))
    return found
