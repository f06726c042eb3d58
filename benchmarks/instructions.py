"""Instructions that the broker executes for each delivery, counted by valgrind.

CPU time differs by ten percent from run to run on a shared machine; the number of instructions does not. So this shows
what a change costs, also on a busy machine, but nothing about caches, system calls or other brokers.
How many messages a turn handles depends on the machine, and with it some percent: compare medians of several rounds, in
each of which both checkouts run, one after the other.
Command: `python -m benchmarks.instructions [--against CHECKOUT] [--rounds 9]`; the other checkout needs its own
`.venv`, compiled.
"""

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load import LoadError, measure
from benchmarks.peers import READY_LINE, ROOT, PeerError, exit_on_sigterm, free_port, start
from benchmarks.works import WORKS

#: Valgrind is slow: the turns of connections get more time, so that reads are not cut up. What is done by time would be
#: done fifty times as often for a message as otherwise: garbage is not collected by time, and memory is looked at once.
LAUNCH = """
import contextlib, runpy, sys
with contextlib.suppress(ImportError):  # older ones know no turns
    from leveret.server import alarms, sockets
    alarms.CHECK_INTERVAL_S = 3600.0
    sockets.TURN_S = sockets.LEAST_SHARE_S = sockets.COLLECT_S = 60.0
sys.argv[0] = "leveret"
runpy.run_module("leveret", run_name="__main__")
"""
CHOSEN = ("auto-ack", "confirm", "fanout", "auto-ack-1k")
START_S = 180.0
SECONDS = 5.0


@contextlib.contextmanager
def counted(checkout: Path) -> Iterator[tuple[str, int, Path]]:
    """A broker of a checkout under callgrind: its address, its process, the prefix of the files with counts."""
    ports = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="leveret-instructions-") as folder:
        place = Path(folder)
        found = place / "counts"
        log = place / "log"
        python = checkout / ".venv" / "bin" / "python"
        command = ["env", f"PYTHONPATH={checkout / 'broker'}", "valgrind", "--tool=callgrind"]
        command += [f"--callgrind-out-file={found}", str(python), "-c", LAUNCH]
        command += ["serve", "--host", "127.0.0.1", "--port", str(ports[0]), "--http-port", str(ports[1])]
        command += ["--prometheus-port", str(ports[2]), "--data-dir", str(place / "data")]
        with log.open("wb") as out, start(command, folder, out) as process:
            deadline = time.monotonic() + START_S
            while READY_LINE not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise PeerError(f"Leveret did not start:\n{log.read_text()[-2000:]}")
                time.sleep(0.1)
            yield f"amqp://guest:guest@127.0.0.1:{ports[0]}/", process.pid, found


def control(pid: int, order: str) -> None:
    """Give callgrind an order."""
    subprocess.run(
        ["callgrind_control", order, str(pid)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def instructions(url: str, pid: int, found: Path, name: str) -> float:
    """Instructions for each delivery of one work."""
    measure(url, WORKS[name], seconds=SECONDS / 4, warm_up=0.0, pid=pid)
    control(pid, "--zero")
    result = measure(url, WORKS[name], seconds=SECONDS, warm_up=0.0, pid=pid)
    control(pid, "--dump")
    newest = max(found.parent.glob(f"{found.name}*"), key=lambda path: path.stat().st_mtime_ns)
    total = re.search(r"^(?:summary|totals): (\d+)", newest.read_text(), re.MULTILINE)
    if total is None:
        raise PeerError(f"{newest.name} has no total")
    return int(total.group(1)) / result.messages


def counts(checkouts: Sequence[Path], works: Sequence[str], number: int) -> list[dict[str, float]]:
    """One round: instructions for each delivery by work, of each checkout. Every other round begins with the last
    one."""
    found: dict[Path, dict[str, float]] = {}
    for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
        with counted(checkout) as (url, pid, files):
            found[checkout] = {name: instructions(url, pid, files, name) for name in works}
    print(f"round {number + 1}:", *(str(found[each]) for each in checkouts), file=sys.stderr, flush=True)
    return [found[each] for each in checkouts]


def row(name: str, rounds: Sequence[Sequence[float]]) -> str:
    """One line of the table. `rounds`: the counts of the other checkout, if there is one, and of this one."""
    new = statistics.median(each[-1] for each in rounds)
    if len(rounds[0]) == 1:
        return f"| {name} | | {new:,.0f} | | |"
    old = statistics.median(each[0] for each in rounds)
    changes = sorted(each[1] / each[0] - 1 for each in rounds)
    spread = f"{changes[0]:+.1%} to {changes[-1]:+.1%}"
    return f"| {name} | {old:,.0f} | {new:,.0f} | {statistics.median(changes):+.1%} | {spread} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout to compare with")
    parser.add_argument("--work", action="append", choices=WORKS, help="one work (repeat for more)")
    parser.add_argument("--rounds", type=int, default=1, help="how often all is counted; medians are printed")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    if shutil.which("valgrind") is None:
        print("benchmarks.instructions: valgrind is not installed", file=sys.stderr)
        return 1
    checkouts = [each.resolve() for each in (chosen.against, ROOT) if each is not None]
    works = chosen.work or CHOSEN
    try:
        rounds = [counts(checkouts, works, number) for number in range(max(1, chosen.rounds))]
    except (PeerError, LoadError, OSError, subprocess.SubprocessError) as error:
        print(f"benchmarks.instructions: {error}", file=sys.stderr)
        return 1
    print("| work | other | this | change | changes of the rounds |\n|---|---:|---:|---:|---|")
    for name in works:
        print(row(name, [[found[name] for found in each] for each in rounds]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
