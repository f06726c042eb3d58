"""The entry point `leveret`, also under RabbitMQ's names of its tools.

Commands start a process each, perhaps hundreds of them in a script: nothing is imported here before it is known which
command it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from leveret.cli.names import ADMIN, SERVER, TOOLS

_DEFINITIONS_USAGE = """usage: leveret definitions export [FILE] | import FILE

Write the users, virtual hosts, queues, exchanges, bindings and policies of a running node to FILE as JSON, or add those
in FILE to it. FILE - is standard output or input."""

_DEFINITIONS = {"export": "export_definitions", "import": "import_definitions"}


#: The exit code of a process that SIGPIPE has ended, as shells show it.
_PIPE_BROKEN = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. `arguments`: those of the process by default, whose name counts, too."""
    if arguments is not None:
        return _leveret(list(arguments))
    try:
        return _process()
    except BrokenPipeError:  # the reader has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at exit fails, too
        return _PIPE_BROKEN


def _process() -> int:
    """Run the command of this process; returns its exit code."""
    name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
    if name in TOOLS.values():
        return _tool(name, words)
    if name == SERVER:
        return _server(words)
    if name == ADMIN:
        return _admin(words)
    return _leveret(words)


def _leveret(words: list[str]) -> int:
    command = words[0] if words else ""
    if command in TOOLS:
        return _tool(TOOLS[command], words[1:])
    own = _OWN.get(command)
    if own is not None:
        return own(words[1:])
    from leveret.cli.serve import main as serve

    return serve(words)


def _tool(name: str, words: list[str]) -> int:
    from leveret.commands.main import run

    return run(name, words, os.environ)


def _status(words: list[str]) -> int:
    return _tool("rabbitmqctl", ["status", *words])


def _definitions(words: list[str]) -> int:
    action = words[0] if words else ""
    if action not in _DEFINITIONS:
        wanted = action in ("-h", "--help")
        print(_DEFINITIONS_USAGE, file=sys.stdout if wanted else sys.stderr)
        return 0 if wanted else 64
    rest = words[1:]
    if action == "export" and not [word for word in rest if not word.startswith("-") or word == "-"]:
        rest = [*rest, "-"]
    if action == "import":
        rest = [word for word in rest if word != "-"]
    return _tool("rabbitmqctl", [_DEFINITIONS[action], *rest])


def _cluster(words: list[str]) -> int:
    from leveret.cli.cluster import main as cluster

    return cluster(words)


def _completion(words: list[str]) -> int:
    from leveret.cli.completion import main as completion

    return completion(words)


def _link(words: list[str]) -> int:
    from leveret.cli.links import main as link

    return link(words)


def _admin(words: list[str]) -> int:
    from leveret.admin.main import main as admin

    return admin(words)


def _server(words: list[str]) -> int:
    """`rabbitmq-server`: serve; with `-detached` in another process."""
    rest = [word for word in words if word != "-detached"]
    if rest != words:
        import subprocess

        subprocess.Popen(
            [sys.executable, "-m", "leveret", "serve", *rest],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return 0
    from leveret.cli.serve import main as serve

    return serve(["serve", *rest])


_OWN: dict[str, Callable[[list[str]], int]] = {
    "status": _status,
    "definitions": _definitions,
    "cluster": _cluster,
    "completion": _completion,
    "link-commands": _link,
    "admin": _admin,
}

if __name__ == "__main__":
    raise SystemExit(main())
