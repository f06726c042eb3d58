"""`leveret link-commands DIR`: RabbitMQ's names of its tools, as links to `leveret`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from leveret.cli.names import ADMIN, SERVER, TOOLS

NAMES = (*TOOLS.values(), SERVER, ADMIN)

USAGE = """usage: leveret link-commands [--force] DIR

Make links in DIR with the names of RabbitMQ's tools: rabbitmqctl, rabbitmq-diagnostics, ... Each is Leveret's command
of that name. Files that are there already stay, unless --force is given."""


def main(words: Sequence[str]) -> int:
    """Make the links; returns the exit code."""
    force = "--force" in words
    folders = [word for word in words if word != "--force"]
    if len(folders) != 1 or folders[0].startswith("-"):
        print(USAGE, file=sys.stdout if folders in (["--help"], ["-h"]) else sys.stderr)
        return 0 if folders in (["--help"], ["-h"]) else 64
    target = _program()
    if target is None:
        print("leveret: there is no program `leveret` beside this Python or in PATH", file=sys.stderr)
        return 69
    try:
        return _link(target, folders[0], force=force)
    except OSError as error:
        print(f"leveret: {error}", file=sys.stderr)
        return 73


def _program() -> str | None:
    """The path of `leveret`."""
    beside = os.path.join(os.path.dirname(sys.executable), "leveret")
    called = sys.argv[0]
    if os.path.basename(called) == "leveret" and os.access(called, os.X_OK):
        return os.path.abspath(called)
    return beside if os.access(beside, os.X_OK) else shutil.which("leveret")


def _link(target: str, folder: str, *, force: bool) -> int:
    os.makedirs(folder, exist_ok=True)
    taken = []
    for name in NAMES:
        path = os.path.join(folder, name)
        if os.path.islink(path) and os.readlink(path) == target:
            continue
        if os.path.lexists(path):
            if not force:
                taken.append(path)
                continue
            os.unlink(path)
        os.symlink(target, path)
    if taken:
        print(
            f"leveret: there is something else at {', '.join(taken)}; use --force to replace it",
            file=sys.stderr,
        )
    return 1 if taken else 0
