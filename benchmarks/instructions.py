"""Instructions that the broker executes for each delivery, counted by valgrind.

CPU time differs by ten percent from run to run on a shared machine; the number of instructions does not. So this shows
what a change costs, also on a busy machine, but nothing about caches, system calls or other brokers.
Command: `python -m benchmarks.instructions [--against CHECKOUT]`; the other checkout needs its own `.venv`, compiled.
"""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load import LoadError, measure
from benchmarks.peers import READY_LINE, ROOT, PeerError, exit_on_sigterm, free_port, start
from benchmarks.works import WORKS

#: Valgrind is slow: the turns of connections get more time, so that reads are not cut up, and garbage is not collected
#: by time, fifty times as often as otherwise.
LAUNCH = """
import contextlib, runpy, sys
with contextlib.suppress(ImportError):  # older ones know no turns
    from leveret.server import sockets
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print Markdown; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout to compare with")
    parser.add_argument("--work", action="append", choices=WORKS, help="one work (repeat for more)")
    chosen = parser.parse_args(arguments)
    exit_on_sigterm()
    if shutil.which("valgrind") is None:
        print("benchmarks.instructions: valgrind is not installed", file=sys.stderr)
        return 1
    works = chosen.work or CHOSEN
    counts: list[dict[str, float]] = []
    try:
        for checkout in filter(None, (chosen.against, ROOT)):
            with counted(checkout.resolve()) as (url, pid, found):
                counts.append({name: instructions(url, pid, found, name) for name in works})
    except (PeerError, LoadError, OSError, subprocess.SubprocessError) as error:
        print(f"benchmarks.instructions: {error}", file=sys.stderr)
        return 1
    print("| work | other | this | change |\n|---|---:|---:|---:|")
    for name in works:
        new = counts[-1][name]
        old, change = (
            (f"{counts[0][name]:,.0f}", f"{new / counts[0][name] - 1:+.1%}") if len(counts) > 1 else ("", "")
        )
        print(f"| {name} | {old} | {new:,.0f} | {change} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
