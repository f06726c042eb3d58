"""`wait`: until a node has started, as long as its process runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from leveret.commands import checks
from leveret.commands.line import Exit, Line
from leveret.commands.node import NodeDownError, find
from leveret.commands.system import is_alive

#: How often the file of the process id, and the node, are looked at, seconds.
POLL_S = 0.1


def wait(line: Line) -> None:
    """Wait for the file of a process id, for the node, and for its application. Raises Exit."""
    pid = line.options.get("pid")
    if line.arguments:
        _say(line, f"Waiting for pid file '{line.arguments[0]}' to appear")
        pid = _until(line, lambda: _pid(line.arguments[0]))
        _say(line, f"pid is {pid}")
    assert isinstance(pid, int)
    node = line.options["node"]
    _say(line, f"Waiting for erlang distribution on node '{node}' while OS process '{pid}' is running")
    _until(line, lambda: _found(line, pid))
    _say(line, f"Waiting for applications 'rabbit_and_plugins' to start on node '{node}'")
    _until(line, lambda: _found(line, pid, running=True))
    _say(line, f"Applications 'rabbit_and_plugins' are running on node '{node}'")


def _say(line: Line, text: str) -> None:
    if not line.options.get("quiet"):
        print(text, flush=True)


def _until(line: Line, found: Callable[[], int]) -> int:
    """Repeat until something is found. Raises Exit at the timeout."""
    timeout = line.options["timeout"]
    assert isinstance(timeout, int)
    deadline = time.monotonic() + timeout / 1000
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() >= deadline:
            text = f"Error: operation wait on node {line.options['node']} timed out. Timeout value used: {timeout}"
            raise Exit(checks.TEMPORARY, text)
        time.sleep(POLL_S)


def _pid(path: str) -> int:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return 0
    except OSError as error:
        detail = (error.strerror or "").lower()
        raise Exit(checks.UNAVAILABLE, f"Error:\nError: could not read pid. Detail: {detail}") from None
    number = text.strip().partition("\n")[0]
    if text and not number.isdigit():
        raise Exit(checks.UNAVAILABLE, "Error:\nError: garbage in pid file.")
    return int(number) if text and is_alive(int(number)) else 0


def _found(line: Line, pid: int, *, running: bool = False) -> int:
    """The process id of a node that answers."""
    if not is_alive(pid):
        raise Exit(checks.UNAVAILABLE, "Error:\nError: process is not running.")
    try:
        node = find(str(line.options["node"]), line.options, line.environment)
    except NodeDownError:
        return 0
    found = node.pid if node.running or not running else 0
    node.close()
    return found
