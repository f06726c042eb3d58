"""A broker for the examples of the documentation, compiled or not as the checkout is."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hang import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]

_PORTS = {
    5672: re.compile(r"started TCP listener on \S+:(\d+)"),
    15672: re.compile(r"Management plugin: .* started on port (\d+)"),
    15692: re.compile(r"Prometheus metrics: .* started on port (\d+)"),
}


def _lines(process: subprocess.Popen[str]) -> queue.Queue[str]:
    """The lines that a process prints, read by a thread; an empty line at the end."""
    lines: queue.Queue[str] = queue.Queue()

    def drain() -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                lines.put(line)
        lines.put("")

    threading.Thread(target=drain, daemon=True).start()
    return lines


@pytest.fixture(scope="session")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, int]]:
    """RabbitMQ's default ports -> the ports of the broker that runs for the examples."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "broker"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "leveret", "serve", "--host", "127.0.0.1", "--port", "0", "--http-port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=tmp_path_factory.mktemp("examples"),
    )
    try:
        found: dict[int, int] = {}
        lines, printed = _lines(process), ""
        while "Server startup complete" not in printed:
            line = lines.get(timeout=HANG_SECONDS)
            assert line, printed
            printed += line
            found.update(
                (port, int(match[1])) for port, seen in _PORTS.items() if (match := seen.search(line))
            )
        yield found
    finally:
        process.terminate()
        code = process.wait(HANG_SECONDS)
    assert code == 0
