"""CPU that one command costs: RabbitMQ's tools beside Leveret's. `python -m benchmarks.commands [--only leveret]`

User and system time of the command's process and all of its children; the broker's own is not counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from benchmarks.peers import free_port
from conformance import rabbitmq

#: The budget of a command of Leveret's, milliseconds, interpreter included.
GOAL_MS = 60.0

LINES = (
    ("rabbitmqctl", "list_users"),
    ("rabbitmqctl", "list_queues", "name", "messages", "--formatter", "json"),
    ("rabbitmqctl", "add_vhost", "benchmark"),
    ("rabbitmqctl", "status"),
    ("rabbitmqctl", "help"),
    ("rabbitmq-diagnostics", "check_running"),
    ("rabbitmq-plugins", "list", "-e"),
)


def cost(command: Sequence[str], rounds: int, environment: dict[str, str] | None = None) -> float:
    """Milliseconds of CPU that a command takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(rounds):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / rounds * 1000


def leveret(rounds: int) -> list[float]:
    """What each line costs with Leveret."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LEVERET_RUN_DIR": folder}
        program = [sys.executable, "-m", "leveret"]
        ports = ["--port", str(free_port()), "--http-port", "-1", "--prometheus-port", "-1"]
        serve = [*program, "serve", *ports]
        with subprocess.Popen(serve, env=environment, stdout=subprocess.DEVNULL) as broker:
            try:
                wait = [*program, "ctl", "-q", "wait", "--pid", str(broker.pid), "--timeout", "30"]
                subprocess.run(wait, env=environment, check=True)
                return [cost([*program, *_short(line)], rounds, environment) for line in LINES]
            finally:
                broker.terminate()


def _short(line: Sequence[str]) -> list[str]:
    tool = line[0].removeprefix("rabbitmq").removeprefix("-")
    return [tool, *line[1:]]


def rabbit(rounds: int) -> list[float]:
    """What each line costs with RabbitMQ."""
    node = rabbitmq.server("4.3")
    node.install()
    was_running = node.pid()
    node.start()
    try:
        found = []
        for tool, *words in LINES:
            script = " ".join([tool, "-n", node.node, *words])
            command = node.inside("su", "-s", "/bin/sh", "-c", script, "rabbitmq")
            found.append(cost(command, rounds))
        return found
    finally:
        if was_running is None:
            node.stop()


def main() -> int:
    """Measure and print; the exit code is 1 if a command of Leveret's costs more than the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("leveret", "rabbitmq"), help="measure only one of them")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    ours = leveret(options.rounds) if options.only != "rabbitmq" else []
    theirs = rabbit(max(1, options.rounds // 5)) if options.only != "leveret" else []
    print(f"{'milliseconds of CPU':<62}{'Leveret':>9}{'RabbitMQ':>10}{'':>8}")
    for number, line in enumerate(LINES):
        mine = f"{ours[number]:>9.1f}" if ours else f"{'-':>9}"
        other = f"{theirs[number]:>10.0f}" if theirs else f"{'-':>10}"
        ratio = f"{theirs[number] / ours[number]:>6.0f} x" if ours and theirs else ""
        print(f"{' '.join(line):<62}{mine}{other}{ratio}")
    return 1 if ours and max(ours) > GOAL_MS else 0


if __name__ == "__main__":
    raise SystemExit(main())
