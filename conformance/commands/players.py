"""Play command lines: with RabbitMQ's own tools, and with Leveret's."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple, Protocol

from conformance.rabbitmq import RefereeError, Server

#: RabbitMQ's tools, as the Debian package installs them.
_LIBRARY = "/usr/lib/rabbitmq/lib/rabbitmq_server-{release}"

#: The folder in RabbitMQ's root that the player, and command lines, write to.
_WORK = "/tmp/command-player"


class Played(NamedTuple):
    """What a command has written, and its exit code."""

    stdout: str
    stderr: str
    code: int | str


class Player(Protocol):
    """Plays command lines on one broker."""

    def play(self, argv: Sequence[str], stdin: str) -> Played:
        """Play one command line; the first word is the tool."""
        ...


class RabbitPlayer:
    """RabbitMQ's tools in one Erlang VM (`player.erl`): a start of each would cost two seconds of CPU."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def play(self, argv: Sequence[str], stdin: str) -> Played:
        """Raises `RefereeError` if the VM has ended."""
        line, answers = self.process.stdin, self.process.stdout
        assert line is not None and answers is not None
        line.write(json.dumps({"tool": argv[0], "argv": argv[1:], "stdin": stdin}) + "\n")
        line.flush()
        for answer in answers:
            if answer.startswith("@"):
                return Played(**json.loads(answer[1:]))
        raise RefereeError(f"RabbitMQ's tools have ended at: {' '.join(argv)}")


@contextmanager
def rabbit_player(node: Server) -> Iterator[RabbitPlayer]:
    """A player of the tools of a running node."""
    library = _LIBRARY.format(release=node.release)
    work = node.root / _WORK.lstrip("/")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o777, parents=True)
    work.chmod(0o777)
    shutil.copy(Path(__file__).parent / "player.erl", work)
    script = (
        f"cd {_WORK}; export RABBITMQ_HOME={library} ERL_LIBS={library}/plugins; erlc player.erl && "
        f"exec erl -boot start_clean -noshell -pa . -eval 'player:main(\"{library}/escript/rabbitmqctl\").'"
    )
    command = node.inside("su", "-s", "/bin/sh", "-c", script, "rabbitmq")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RabbitPlayer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


class LeveretPlayer:
    """Leveret's commands in this process; they speak to a node through its socket. `environment`: finds that node."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def play(self, argv: Sequence[str], stdin: str) -> Played:
        """Play one command line as its own process would."""
        from leveret.commands.main import run

        out, err = _Text(), _Text()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = run(argv[0], list(argv[1:]), self.environment)
        finally:
            sys.stdin = before
        return Played(out.text(), err.text(), code)


class _Text(io.TextIOWrapper):
    """Collects what is written to a standard stream."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)

    def text(self) -> str:
        """Everything so far."""
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8", "replace")
