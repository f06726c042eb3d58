"""`make soak`: a mixed load for an hour; exit status 1 if memory or descriptors have grown."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.measure import TOLERANCE, table, trends
from tests.soak.soak_run import SoakRun


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--tolerance", type=float, default=TOLERANCE, help="growth that is allowed, as a share"
    )
    parser.add_argument("--module", default="leveret", help="what serves")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leveret-soak-") as place:
        run = SoakRun(Path(place), chosen.module)
        end = time.monotonic() + chosen.minutes * 60
        try:
            samples = run.run(lambda count: time.monotonic() < end)
        finally:
            status = run.close()
        faults = run.faults()
    found = trends(samples)
    print(f"{run.load.rounds} rounds, {run.load.messages} messages consumed\n{table(found)}")
    problems = [f"{one.name}: {one.growth:+.2%}" for one in found if one.growth > chosen.tolerance]
    problems += faults + ([f"the broker has ended with status {status}"] if status else [])
    print(*problems, f"{len(problems)} problems", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
