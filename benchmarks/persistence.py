"""Durable queues compared with RabbitMQ 4.3.6: persistent messages, confirms, manual acks; and the time of recovery.

Leveret syncs before every confirm, and so do RabbitMQ's quorum queues; its classic queues do not. `sync` waits for each
confirm before the next publish, so that its rate is the latency of a commit. Rounds are interleaved and medians
printed. Recovery: a Leveret with a million messages of 100 bytes is killed; the time from starting it again to a
completed AMQP handshake. Command: `python -m benchmarks.persistence`; --check compares with the goals.
"""

import argparse
import functools
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import cast

from pamqp import commands

from benchmarks.link import Link, LinkError, declare_queues, delete_queues, publish_bytes
from benchmarks.load import CONFIRM, LoadError, Result, cpu_seconds, measure
from benchmarks.memory import fill, handshakes
from benchmarks.peers import PEERS, Peer, PeerError, environment, exit_on_sigterm, free_port, leveret_command
from benchmarks.works import Goal, Work
from conformance.rabbitmq import RefereeError

QUEUE = "bench.persistence"
COMMON = {"confirms": True, "acks": True, "prefetch": 1000, "window": 2000, "persistent": True}
WORKS = {
    "classic": Work("classic", kind="classic", **COMMON),  # type: ignore[arg-type]
    "classic-1k": Work("classic-1k", body=1024, kind="classic", **COMMON),  # type: ignore[arg-type]
    "quorum": Work("quorum", kind="quorum", **COMMON),  # type: ignore[arg-type]
}
TITLES = {
    "classic": "classic queue, 16 B",
    "classic-1k": "classic queue, 1 KiB",
    "quorum": "quorum queue, 16 B",
    "sync": "one synchronous publisher, quorum queue, 16 B",
}
GOALS = {
    "classic": Goal(20, 8),
    "classic-1k": Goal(15, 6),
    "quorum": Goal(30, 10),
    "sync": Goal(0, 1),
}
RECOVERED = 1_000_000
RECOVERY_GOAL = 2.0

Rounds = dict[tuple[str, str], list[Result]]


def synchronous(url: str, seconds: float, pid: int | None) -> Result:
    """Publish and wait for the confirm, again and again; the messages are deleted with the queue."""
    link = Link(url)
    delete_queues(link, [QUEUE])
    declare_queues(link, [QUEUE], durable=True, kind="quorum")
    link.call(commands.Confirm.Select())
    publish = publish_bytes("", QUEUE, b"x" * 16, persistent=True)
    count = 0
    before = cpu_seconds(pid) if pid else 0.0
    started = now = time.perf_counter()
    while now - started < seconds:
        link.sock.sendall(publish)
        confirm = link.sock.recv(CONFIRM.size)
        if len(confirm) != CONFIRM.size or confirm[8:11] != b"\x3c\0\x50":
            raise LoadError(f"expected basic.ack, got {confirm!r}")
        count += 1
        now = time.perf_counter()
    used = cpu_seconds(pid) - before if pid else None
    delete_queues(link, [QUEUE])
    link.close()
    return Result("sync", count, now - started, used)


def run_rounds(peers: Sequence[Peer], rounds: int, seconds: float, say: Callable[[str], None]) -> Rounds:
    """Run every work on every broker in turn, `rounds` times."""
    results: Rounds = {}
    for number in range(1, rounds + 1):
        for name in TITLES:
            for peer in peers:
                if name == "sync":
                    result = synchronous(peer.url, seconds, peer.pid)
                else:
                    result = measure(
                        peer.url, WORKS[name], seconds=seconds, warm_up=seconds / 3, pid=peer.pid
                    )
                results.setdefault((name, peer.name), []).append(result)
                cpu = "" if result.cpu_us is None else f", {result.cpu_us:.3f} us CPU"
                say(f"round {number}/{rounds}  {name:10} {peer.name:10} {result.rate:,.0f}/s{cpu}")
    return results


@dataclass(frozen=True)
class Medians:
    """Medians of the rounds of one work on one broker: messages a second, CPU in us a message or None."""

    rate: float
    cpu: float | None


def medians(results: Sequence[Result]) -> Medians:
    """The medians of some rounds."""
    cpus = [result.cpu_us for result in results if result.cpu_us is not None]
    return Medians(median(result.rate for result in results), median(cpus) if cpus else None)


def table(rounds: Rounds) -> tuple[list[str], bool]:
    """Markdown: medians and, with both brokers, ratios beside goals; whether every goal is met."""
    out = [
        "| work | Leveret, messages/s (us CPU) | RabbitMQ | CPU, theirs / ours | goal | rate, ours / theirs | goal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    met = True
    for name, title in TITLES.items():
        found = {peer: medians(results) for (work, peer), results in rounds.items() if work == name}
        ours, theirs, goal = found.get("Leveret"), found.get("RabbitMQ"), GOALS[name]
        cells = [cell(ours), cell(theirs), "", "", "", ""]
        if ours and theirs and ours.cpu and theirs.cpu:
            cpu, rate = theirs.cpu / ours.cpu, ours.rate / theirs.rate
            cells[2:] = [f"{cpu:.1f}", f"{goal.cpu:g}" if goal.cpu else "-", f"{rate:.1f}", f"{goal.rate:g}"]
            met = met and cpu >= goal.cpu and rate >= goal.rate
        out.append(f"| {title} | {' | '.join(cells)} |")
    return out, met


def cell(found: Medians | None) -> str:
    """Rate and CPU of one broker."""
    if found is None:
        return ""
    return f"{found.rate:,.0f}" + ("" if found.cpu is None else f" ({found.cpu:.2f})")


def recovery(count: int) -> float:
    """Seconds from starting a killed Leveret with `count` messages to a completed handshake."""
    with tempfile.TemporaryDirectory(prefix="leveret-bench-") as place:
        process, url = _start(place)
        try:
            link = Link(url)
            declare_queues(link, [QUEUE], durable=True)
            link.call(commands.Confirm.Select())
            fill(link, publish_bytes("", QUEUE, b"x" * 100, persistent=True), count)
            process.send_signal(signal.SIGKILL)
            process.wait()
            link.sock.close()
            began = time.monotonic()
            process, url = _start(place)
            took = time.monotonic() - began
            link = Link(url)
            answer = cast(
                commands.Queue.DeclareOk, link.call(commands.Queue.Declare(queue=QUEUE, passive=True))
            )
            if answer.message_count != count:
                raise LoadError(f"{answer.message_count} messages came back, not {count}")
            link.close()
        finally:
            process.kill()
            process.wait()
    return took


def _start(place: str) -> tuple["subprocess.Popen[bytes]", str]:
    """Leveret on a data directory in `place`, once it completes a handshake."""
    port = free_port()
    with (Path(place) / "log").open("ab") as log:
        process = subprocess.Popen(
            leveret_command(port, free_port(), free_port(), place), env=environment(), stdout=log, stderr=log
        )
    url = f"amqp://guest:guest@127.0.0.1:{port}/"
    if not handshakes(url, time.monotonic() + 60):
        process.kill()
        raise PeerError("Leveret did not start")
    return process, url


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.persistence", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each run")
    parser.add_argument("--only", default="leveret,rabbitmq", help="comma-separated brokers")
    parser.add_argument(
        "--recovered", type=int, default=RECOVERED, help="messages for the recovery measurement; 0: skip it"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    say = functools.partial(print, file=sys.stderr, flush=True)
    met = True
    try:
        with ExitStack() as stack:
            peers = [stack.enter_context(PEERS[name]()) for name in chosen.only.split(",")]
            lines, met = table(run_rounds(peers, chosen.rounds, chosen.seconds, say))
        print("\n".join(lines))
        if chosen.recovered:
            took = recovery(chosen.recovered)
            print(
                f"\n{chosen.recovered:,} messages of 100 bytes after kill -9: {took:.2f} s (goal: {RECOVERY_GOAL:g} s)"
            )
            met = met and took <= RECOVERY_GOAL
    except (PeerError, LinkError, LoadError, RefereeError, OSError) as error:
        say(f"benchmarks.persistence: {error}")
        return 2
    return 1 if chosen.check and not met else 0


if __name__ == "__main__":
    sys.exit(main())
