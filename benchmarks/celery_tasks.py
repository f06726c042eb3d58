"""Celery tasks a second, and what they cost the broker: RabbitMQ, Leveret and Redis side by side in one run.

A worker process with one thread (`--pool solo`) runs tasks that do nothing but tell this process that they ran. First
all tasks are published while no worker runs, then they are executed. Celery is the limit of both rates, so look at the
broker's CPU. Rounds are interleaved; the table has medians, and the longest pause between two tasks: with many short
rounds (--tasks 400 --rounds 20) it shows the stops of docs/known-client-bugs.md.

Usage: python -m benchmarks.celery_tasks [--tasks 3000] [--rounds 3] [--only leveret,rabbitmq,redis]
Redis is measured if `redis-server` and the package `redis` are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import peers
from benchmarks.celery_app import SOCKET_VARIABLE, URL_VARIABLE
from benchmarks.load import cpu_seconds
from benchmarks.peers import Peer

#: Seconds until the next task must have run.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Measured:
    """One round on one broker: tasks a second, microseconds of the broker's CPU a task, its memory in bytes, and the
    longest time without a task that ran, seconds."""

    published: float
    executed: float
    cpu_us: float
    resident: int
    pause: float


@contextlib.contextmanager
def redis() -> Iterator[Peer]:
    """Redis with its default settings, in an empty directory, on a free port."""
    port = peers.free_port()
    with tempfile.TemporaryDirectory(prefix="leveret-bench-") as place:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", place]
        with peers.start(command, place, subprocess.DEVNULL) as process:
            _until_accepts(port)
            yield Peer("Redis", f"redis://127.0.0.1:{port}/0", process.pid)


def _until_accepts(port: int) -> None:
    deadline = time.monotonic() + peers.START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise peers.PeerError("Redis did not start") from None
            time.sleep(0.02)


BROKERS = {"rabbitmq": peers.fresh_rabbitmq, "leveret": peers.leveret, "redis": redis}


def available() -> list[str]:
    """Return the names of the brokers that can be measured here."""
    with_redis = shutil.which("redis-server") and importlib.util.find_spec("redis")
    return [name for name in BROKERS if name != "redis" or with_redis]


def measure(peer: Peer, tasks: int) -> Measured:
    """Publish and execute so many tasks. Raises `PeerError`."""
    assert peer.pid is not None
    with tempfile.TemporaryDirectory() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ran:
        path = str(Path(place) / "ran")
        ran.bind(path)
        ran.settimeout(PATIENCE_S)
        environment = {**peers.environment(), URL_VARIABLE: peer.url, SOCKET_VARIABLE: path}
        before = cpu_seconds(peer.pid)
        published = _publish(environment, tasks)
        worker = [sys.executable, "-m", "celery", "-A", "benchmarks.celery_app", "worker"]
        worker += ["--pool", "solo", "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
        with _running(worker, environment):
            ran.recv(1)
            began = last = time.perf_counter()
            pause = 0.0
            for _ in range(tasks - 1):
                ran.recv(1)
                now = time.perf_counter()
                pause, last = max(pause, now - last), now
            executed = (tasks - 1) / (last - began)
            cpu = (cpu_seconds(peer.pid) - before) / tasks
            return Measured(published, executed, cpu * 1e6, peers.resident(peer.pid), pause)


def _publish(environment: dict[str, str], tasks: int) -> float:
    """Publish in a process of its own; returns tasks a second."""
    command = [sys.executable, "-m", "benchmarks.celery_app", str(tasks)]
    done = subprocess.run(command, env=environment, cwd=peers.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise peers.PeerError(done.stderr[-2000:])
    return float(done.stdout)


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, env=environment, cwd=peers.ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def medians(rounds: list[Measured]) -> Measured:
    """Return the medians of several rounds, and the longest pause of all."""
    return Measured(
        median(one.published for one in rounds),
        median(one.executed for one in rounds),
        median(one.cpu_us for one in rounds),
        int(median(one.resident for one in rounds)),
        max(one.pause for one in rounds),
    )


def table(found: dict[str, Measured]) -> str:
    """Return the medians as Markdown, with the ratio to the first broker."""
    lines = [
        "| broker | published/s | executed/s | broker CPU, us a task | CPU: broker / Leveret | memory, MB"
        " | longest pause, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    own = found.get("Leveret")
    for name, one in found.items():
        ratio = f"{one.cpu_us / own.cpu_us:.1f}" if own is not None else "-"
        lines.append(
            f"| {name} | {one.published:,.0f} | {one.executed:,.0f} | {one.cpu_us:,.0f} | {ratio} "
            f"| {one.resident / 1e6:,.0f} | {one.pause:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_tasks", description=__doc__)
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help=f"names, separated by commas: {', '.join(BROKERS)}")
    options = parser.parse_args()
    peers.exit_on_sigterm()
    names = options.only.split(",") if options.only else available()
    found: dict[str, list[Measured]] = {}
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(BROKERS[name]()) for name in names]
        for number in range(options.rounds):
            for peer in running:
                one = measure(peer, options.tasks)
                found.setdefault(peer.name, []).append(one)
                print(f"round {number + 1}: {peer.name}: {one}", file=sys.stderr, flush=True)
    print(f"{options.tasks} tasks, {options.rounds} rounds, nice {os.nice(0)}\n")
    print(table({name: medians(rounds) for name, rounds in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
