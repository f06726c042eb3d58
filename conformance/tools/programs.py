"""The programs: rabbitmqadmin 1 and 2, as RabbitMQ's own packages bring them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from conformance import rabbitmq
from conformance.api.call import Answer
from conformance.stage import Target
from conformance.tools import lines, output
from conformance.tools.lines import Line

#: How long a command may take.
TIMEOUT_S = 60.0

#: The script in the package of RabbitMQ 4.0, which serves it at /cli/rabbitmqadmin; 4.3 does not have it.
_V1 = (
    "usr/lib/rabbitmq/lib/rabbitmq_server-4.0.5/plugins/rabbitmq_management-4.0.5/priv/www/cli/rabbitmqadmin"
)
_V2 = "usr/bin/rabbitmqadmin"


@dataclass(frozen=True)
class Program:
    """A program: the words before those of a line, without the address of the broker, and its lines."""

    name: str
    command: tuple[str, ...]
    lines: tuple[Line, ...]

    def run(self, line: Line, target: Target, names: Mapping[str, str], folder: Path) -> Answer:
        """Run one line on a broker. `names`: what stands in braces; `folder`: for its files."""
        host, port = target.http_address
        words = [_filled(word, {**names, "{folder}": str(folder)}) for word in line.words]
        done = subprocess.run(
            [*self.command, "-H", host, "-P", str(port), *words],
            input=line.stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={**os.environ, "HOME": str(folder), "COLUMNS": "200"},
        )
        printed, complaints = (text.replace(str(folder), "{folder}") for text in (done.stdout, done.stderr))
        return output.answer(done.returncode, printed, complaints)


def programs(folder: Path) -> list[Program]:
    """Both versions; the roots of RabbitMQ 4.0 and 4.3 are installed if they are missing. `folder`: for a copy.

    Raises RefereeError.
    """
    for version in ("4.0", "4.3"):
        rabbitmq.server(version).install()
    script = folder / "rabbitmqadmin"
    shutil.copy(rabbitmq.server("4.0").root / _V1, script)
    root = rabbitmq.server("4.3").root
    first, second = lines.rabbitmqadmin(1), lines.rabbitmqadmin(2)
    return [
        Program("rabbitmqadmin 1", (sys.executable, str(script)), tuple(first)),
        # its libraries are those of its Debian release
        Program(
            "rabbitmqadmin 2", ("chroot", str(root), f"/{_V2}", "--table-style", "markdown"), tuple(second)
        ),
    ]


def own(original: Program) -> Program:
    """Leveret's own program, with the lines of one of RabbitMQ's."""
    style = original.command[-2:] if "--table-style" in original.command else ()
    command = (sys.executable, "-m", "leveret", "admin", *style)
    return Program(f"Leveret's {original.name}", command, original.lines)


def _filled(word: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(name, value)
    return word
