"""Fixtures of the client tests: a served broker, and processes that run beside it.

The tests use the broker by its AMQP URL only, so that they can run against RabbitMQ as well as Leveret. With
``LEVERET_TEST_URL`` they run against that broker (``LEVERET_TEST_HTTP_URL`` is its HTTP API). Without it, a Leveret is
served as a subprocess on free ports for the whole session; it must stop on SIGTERM without an error. Nothing here
sleeps: a process is awaited by the lines that it prints.
"""

import importlib.util
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hang import HANG_SECONDS
from tests.patience import connect_patiently

connect_patiently()

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).resolve().parent / "apps"

_LISTENER = re.compile(r"started TCP listener on (?:\[::\]|(\S+)):(\d+)")
_HTTP_LISTENER = re.compile(r"(?:HTTP \(non-TLS\) listener started on|started HTTP listener on).*?(\d+)\s*$")
_COMPLETE = re.compile(r"Server startup complete; \d+ plugins started\.")
_CRASH = re.compile(r"Traceback|was never awaited|was never retrieved|Unhandled exception")


@dataclass(frozen=True)
class Broker:
    """A broker that accepts AMQP connections; ``http_url`` is None when its HTTP API is not known."""

    host: str
    port: int
    url: str
    http_url: str | None
    vhost: str = "/"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Processes that are started inside can be interrupted, even if SIGINT is ignored here, as in the background of a
    shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Process:
    """A subprocess. A thread reads its output (stdout and stderr together) into ``lines``."""

    def __init__(self, *command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> None:
        self.lines: list[str] = []
        self._unread: queue.Queue[str | None] = queue.Queue()
        with _interruptible():
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd,
            )
        self._drain = threading.Thread(target=self._read, daemon=True)
        self._drain.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                self._unread.put(line.rstrip("\n"))
        self._unread.put(None)

    def next_line(self, deadline: float) -> str:
        """Return the next line; the test fails at ``deadline`` (monotonic) or at the end of the output."""
        try:
            line = self._unread.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            pytest.fail("no further line from the process:\n" + self.output)
        return line

    def await_line(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """Read until a line matches ``pattern``, and return the match."""
        deadline = time.monotonic() + HANG_SECONDS
        while True:
            if found := re.search(pattern, self.next_line(deadline)):
                return found

    def wait(self) -> int:
        """Wait until the process has ended by itself; returns its exit code. All its output is in ``lines`` then."""
        code = self._popen.wait(HANG_SECONDS)
        self._drain.join(HANG_SECONDS)
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code; a process that hangs is killed (-9)."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self.wait()

    @property
    def output(self) -> str:
        """Everything that was printed until now."""
        return "\n".join(self.lines)


def _external(url: str) -> Broker:
    parts = urllib.parse.urlsplit(url)
    vhost = urllib.parse.unquote(parts.path[1:]) or "/"
    return Broker(
        parts.hostname or "127.0.0.1", parts.port or 5672, url, os.environ.get("LEVERET_TEST_HTTP_URL"), vhost
    )


def _serve(directory: Path) -> tuple[Process, Broker]:
    env = {}
    if importlib.util.find_spec("leveret") is None:  # not installed: serve the source tree
        env["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(ROOT / "broker"), os.environ.get("PYTHONPATH")])
        )
    process = Process(
        *(sys.executable, "-m", "leveret", "serve"),
        *("--host", "127.0.0.1", "--port", "0", "--http-port", "0"),
        env=env,
        cwd=directory,
    )
    listeners: list[int] = []
    http: list[int] = []
    deadline = time.monotonic() + HANG_SECONDS
    while not _COMPLETE.search(line := process.next_line(deadline)):
        if found := _HTTP_LISTENER.search(line):
            http.append(int(found[1]))
        elif found := _LISTENER.search(line):
            listeners.append(int(found[2]))
    assert listeners, "no listener announced:\n" + process.output
    port, http_port = listeners[0], (http + listeners[1:] + [0])[0]
    http_url = f"http://guest:guest@127.0.0.1:{http_port}/" if http_port else None
    return process, Broker("127.0.0.1", port, f"amqp://guest:guest@127.0.0.1:{port}/", http_url)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker under test, for the whole session."""
    if url := os.environ.get("LEVERET_TEST_URL"):
        yield _external(url)
        return
    process, served = _serve(tmp_path_factory.mktemp("leveret"))
    try:
        yield served
    finally:
        code = process.stop()
    assert code == 0, process.output
    assert not _CRASH.search(process.output), process.output


@pytest.fixture(scope="session")
def broker_url(broker: Broker) -> str:
    """The AMQP URL of the broker under test."""
    return broker.url


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for queues and exchanges that no other test uses."""
    return f"{request.node.originalname}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def spawn() -> Iterator[Callable[..., Process]]:
    """Start a subprocess (arguments of ``Process``); what still runs after the module is stopped."""
    running: list[Process] = []

    def start(*command: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> Process:
        running.append(Process(*command, env=env, cwd=cwd))
        return running[-1]

    yield start
    for process in running:
        process.stop()


@pytest.fixture
def deadline() -> Callable[[], Callable[[], float]]:
    """Return a function that returns the seconds left until the test counts as hanging, and fails it when none are
    left."""

    def begin() -> Callable[[], float]:
        end = time.monotonic() + HANG_SECONDS

        def left() -> float:
            remaining = end - time.monotonic()
            if remaining <= 0:
                pytest.fail(f"not within {HANG_SECONDS} s")
            return remaining

        return left

    return begin
