"""The brokers that are measured: Leveret and the floor as separate processes, and RabbitMQ 4.3.6.

Each is a context manager that gives a Peer; at its end only what it started is stopped.
"""

import contextlib
import importlib.util
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from conformance import rabbitmq

ROOT = Path(__file__).resolve().parent.parent
LEVERET = (
    f"{shlex.quote(sys.executable)} -m leveret serve "
    "--host 127.0.0.1 --port {port} --http-port {http} --prometheus-port {prometheus} --data-dir {data}"
)
LEVERET_VARIABLE = "LEVERET_BENCH_COMMAND"
READY_LINE = "Server startup complete"
START_SECONDS = 60.0
RABBITMQ = "4.3"

#: What is added to the ports of a second RabbitMQ node of the same installation, for benchmarks of their own node.
SHIFT = 1000


@dataclass(frozen=True)
class Peer:
    """A running broker. `pid` is None if its process is unknown: CPU and memory are not measured then. `http`: the
    address of its HTTP API with user and password, `metrics`: of its Prometheus page; empty if unknown."""

    name: str
    url: str
    pid: int | None
    http: str = ""
    metrics: str = ""


class PeerError(Exception):
    """A broker did not start."""


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def leveret_command(port: int, http: int, prometheus: int, place: str) -> list[str]:
    """LEVERET, or $LEVERET_BENCH_COMMAND, with ports and a data directory in `place` filled in."""
    template = os.environ.get(LEVERET_VARIABLE, LEVERET)
    data = shlex.quote(str(Path(place) / "data"))
    return shlex.split(template.format(port=port, http=http, prometheus=prometheus, data=data))


def environment() -> dict[str, str]:
    """The environment of this process, with the source folder on the path unless leveret is installed elsewhere, and
    bytecode of modules kept in `build`: an installed broker has it."""
    own = dict(os.environ)
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    own.setdefault("PYTHONPYCACHEPREFIX", str(ROOT / "build" / "bytecode"))
    source = ROOT / "broker"
    spec = importlib.util.find_spec("leveret")
    if spec is None or spec.origin is None or source in Path(spec.origin).resolve().parents:
        path = [str(source), own.get("PYTHONPATH", "")]
        own["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return own


@contextlib.contextmanager
def leveret() -> Iterator[Peer]:
    """Leveret on an empty directory, ready for clients."""
    with _leveret() as (found, process, log):
        deadline = time.monotonic() + START_SECONDS
        while READY_LINE not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise PeerError(f"Leveret did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield found


@contextlib.contextmanager
def launched_leveret() -> Iterator[str]:
    """Start Leveret; returns its address at once."""
    with _leveret() as (found, _, _):
        yield found.url


@contextlib.contextmanager
def _leveret() -> Iterator[tuple[Peer, "subprocess.Popen[bytes]", Path]]:
    port, http, prometheus = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="leveret-bench-") as place:
        log = Path(place) / "log"
        command = leveret_command(port, http, prometheus, place)
        with log.open("wb") as out, start(command, place, out) as process:
            found = Peer(
                "Leveret",
                f"amqp://guest:guest@127.0.0.1:{port}/",
                process.pid,
                f"http://guest:guest@127.0.0.1:{http}/",
                f"http://127.0.0.1:{prometheus}/metrics",
            )
            yield found, process, log


@contextlib.contextmanager
def floor() -> Iterator[Peer]:
    """The floor on a free port."""
    command = [sys.executable, "-m", "benchmarks.floor", "--port", "0"]
    with start(command, str(ROOT), subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        if not line:
            raise PeerError("the floor did not start")
        yield Peer("floor", f"amqp://127.0.0.1:{line}/", process.pid)


@contextlib.contextmanager
def rabbitmq_node(shift: int = 0) -> Iterator[Peer]:
    """RabbitMQ 4.3.6: a running node is used and not stopped; another is started and stopped."""
    node = rabbitmq.server(RABBITMQ, shift)
    running_before = rabbitmq.accepts(node.amqp_port)
    running = node.start()
    try:
        metrics = f"http://127.0.0.1:{node.prometheus_port}/metrics"
        yield Peer("RabbitMQ", running.amqp_url, running.pid, running.http_url, metrics)
    finally:
        if not running_before:
            node.stop()


@contextlib.contextmanager
def fresh_rabbitmq() -> Iterator[Peer]:
    """A RabbitMQ node without data, beside any other that runs."""
    node = rabbitmq.server(RABBITMQ, SHIFT)
    node.reset()
    try:
        with rabbitmq_node(SHIFT) as peer:
            yield peer
    finally:
        node.reset()


@contextlib.contextmanager
def start(command: list[str], place: str, out: BinaryIO | int) -> Iterator["subprocess.Popen[bytes]"]:
    """A child process in directory `place`, which is terminated at the end."""
    process = subprocess.Popen(
        command,
        cwd=place,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def exit_on_sigterm() -> None:
    """Let SIGTERM end this process as SIGINT does, so that what it started is stopped."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


PEERS = {"leveret": leveret, "rabbitmq": rabbitmq_node, "floor": floor}


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise PeerError(f"process {pid} has no resident memory")
