"""RabbitMQ's own load generator, PerfTest (Java), on RabbitMQ and on Leveret side by side in one run.

PerfTest and its dependencies are downloaded by Maven into a directory of their own; this needs `java` and `mvn`. Rounds
are interleaved; the table has medians. PerfTest needs more CPU than either broker for small messages and is the limit
then.

Usage: python -m benchmarks.perftest [--seconds 15] [--rounds 3] [--only leveret,rabbitmq]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import peers
from benchmarks.load import cpu_seconds
from benchmarks.peers import Peer

VERSION = "2.22.1"

#: What is run: its title -> options of PerfTest.
WORKS = {
    "automatic ack": ["--autoack"],
    "confirms of 100, 1 KB persistent, acks of 100": [
        *("--confirm", "100", "--size", "1000", "--flag", "persistent", "--auto-delete", "false"),
        *("--qos", "200", "--multi-ack-every", "100"),
    ],
}

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>leveret</groupId><artifactId>benchmark</artifactId><version>1</version><dependencies><dependency>
<groupId>com.rabbitmq</groupId><artifactId>perf-test</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>"""

_RATE = re.compile(r"(sending|receiving) rate avg: ([\d.,]+) msg/s")
_LATENCY = re.compile(r"consumer latency (\S+) ([\d/]+) (\S+)")
_TO_MS = {"µs": 0.001, "us": 0.001, "ms": 1.0, "ns": 0.000001}


@dataclass(frozen=True)
class Measured:
    """One run: messages a second received, 99th percentile of the latency in ms, microseconds of CPU a message."""

    rate: float
    latency_ms: float
    cpu_us: float


BROKERS = {"rabbitmq": peers.fresh_rabbitmq, "leveret": peers.leveret}


class PerfTestError(Exception):
    """PerfTest could not be installed, or has failed."""


def installed() -> str:
    """Install PerfTest unless it is there; returns the class path. Raises `PerfTestError`."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise PerfTestError(f"{tool} is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = cache / f"leveret-perftest-{VERSION}"
    if not any(folder.glob(f"perf-test-{VERSION}.jar")):
        with tempfile.TemporaryDirectory() as place:
            pom = Path(place) / "pom.xml"
            pom.write_text(_POM)
            command = [
                "mvn",
                "-q",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={folder}",
            ]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise PerfTestError(f"PerfTest cannot be downloaded:\n{done.stdout[-2000:]}")
    return f"{folder}/*"


def measure(peer: Peer, class_path: str, options: list[str], seconds: int) -> Measured:
    """Run PerfTest with one producer and one consumer. Raises `PerfTestError`."""
    assert peer.pid is not None
    queue = f"perftest.{os.getpid()}"
    command = [
        "java",
        "-cp",
        class_path,
        "com.rabbitmq.perf.PerfTest",
        "--uri",
        peer.url.rstrip("/"),
        "--queue",
        queue,
    ]
    command += ["--time", str(seconds), "--producers", "1", "--consumers", "1", *options]
    before = cpu_seconds(peer.pid)
    done = subprocess.run(command, capture_output=True, text=True)
    cpu = cpu_seconds(peer.pid) - before
    if done.returncode:
        raise PerfTestError(f"{done.stdout[-1000:]}{done.stderr[-1000:]}")
    _delete(peer, queue)
    return parsed(done.stdout, cpu, seconds)


def parsed(output: str, cpu_s: float, seconds: int) -> Measured:
    """Read the summary that PerfTest prints at its end. Raises `PerfTestError`."""
    rates = {name: float(text.replace(",", "")) for name, text in _RATE.findall(output)}
    latencies = _LATENCY.findall(output)
    if "receiving" not in rates:
        raise PerfTestError(f"PerfTest has printed no rate:\n{output[-2000:]}")
    latency = 0.0
    if latencies:
        names, values, unit = latencies[-1]
        at = names.split("/").index("99th")
        latency = float(values.split("/")[at]) * _TO_MS[unit]
    return Measured(rates["receiving"], latency, cpu_s / (rates["receiving"] * seconds) * 1e6)


def _delete(peer: Peer, queue: str) -> None:
    """Delete the queue of a run, which is durable for persistent messages."""
    from benchmarks.link import Link, delete_queues

    link = Link(peer.url)
    delete_queues(link, [queue])
    link.close()


def medians(runs: list[Measured]) -> Measured:
    """Return the medians of several runs."""
    return Measured(
        median(one.rate for one in runs),
        median(one.latency_ms for one in runs),
        median(one.cpu_us for one in runs),
    )


def table(found: dict[str, dict[str, Measured]]) -> str:
    """Return the medians as Markdown: a row for each work and broker, with the ratios."""
    lines = [
        "| work | broker | messages/s | p99 latency, ms | broker CPU, us a message | rate: Leveret / RabbitMQ |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for work, brokers in found.items():
        for name, one in brokers.items():
            other = brokers.get("RabbitMQ")
            ratio = f"{one.rate / other.rate:.1f}" if name == "Leveret" and other is not None else ""
            lines.append(
                f"| {work} | {name} | {one.rate:,.0f} | {one.latency_ms:,.1f} | {one.cpu_us:,.2f} | {ratio} |"
            )
    return "\n".join(lines)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.perftest", description=__doc__)
    parser.add_argument("--seconds", type=int, default=15, help="length of each run (default: 15)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="rabbitmq,leveret")
    options = parser.parse_args()
    peers.exit_on_sigterm()
    try:
        class_path = installed()
        found: dict[str, dict[str, list[Measured]]] = {work: {} for work in WORKS}
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(BROKERS[name]()) for name in options.only.split(",")]
            for number in range(options.rounds):
                for work, more in WORKS.items():
                    for peer in running:
                        one = measure(peer, class_path, more, options.seconds)
                        found[work].setdefault(peer.name, []).append(one)
                        print(f"round {number + 1}: {work}: {peer.name}: {one}", file=sys.stderr, flush=True)
    except PerfTestError as error:
        print(f"perftest: {error}", file=sys.stderr)
        return 1
    print(f"PerfTest {VERSION}, {options.seconds} s a run, {options.rounds} rounds, nice {os.nice(0)}\n")
    print(table({work: {name: medians(runs) for name, runs in one.items()} for work, one in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
