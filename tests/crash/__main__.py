"""`make crash`: the long crash run. Prints what it did; exit status 1 if a message was lost or delivered wrongly."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.crash.crash_run import CrashRun


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--stops", type=int, default=20, help="the same with SIGTERM, mixed in")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="leveret-crash-") as place:
        crash_run = CrashRun(Path(place), chosen.seed)
        ends = [signal.SIGKILL] * chosen.kills + [signal.SIGTERM] * chosen.stops
        crash_run.dice.shuffle(ends)
        try:
            crash_run.run(ends)
        finally:
            crash_run.close()
        problems = crash_run.problems()
        print(crash_run.summary())
    for problem in problems[:50]:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
