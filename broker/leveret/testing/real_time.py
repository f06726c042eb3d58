"""Real time, as the broker of the toolkit reads it, and how long threads wait for a processor.

Libraries that move the time of a test replace `time.time`, `time.monotonic` and `time.perf_counter`. They must not move
the broker: its clocks and its event loop read `clock_gettime(CLOCK_MONOTONIC)`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from leveret.clock import Clock

monotonic_s: Callable[[], float]
epoch_s: Callable[[], float]

if hasattr(time, "clock_gettime"):
    monotonic_s = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    epoch_s = partial(time.clock_gettime, time.CLOCK_REALTIME)
else:  # Windows
    monotonic_s = time.perf_counter
    epoch_s = time.time


_LOAD = Path("/proc/loadavg")


def runnable_per_processor() -> float:
    """Return how many threads of this machine want each processor now; 1 where that is not known."""
    try:
        runnable = int(_LOAD.read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return 1.0
    return runnable / (os.cpu_count() or 1)


class RealClock(Clock):
    """Milliseconds since the epoch that never go back: the system time at start, moved by the monotonic clock."""

    def __init__(self) -> None:
        self.offset_s = epoch_s() - monotonic_s()
        super().__init__(self.read())

    def read(self) -> int:
        """Return the current time, without moving the clock."""
        return int((self.offset_s + monotonic_s()) * 1000)

    def shift(self, milliseconds: int) -> None:
        """Move the clock forward, as if so much real time had passed."""
        self.offset_s += milliseconds / 1000

    def delay_s(self, at: int) -> float:
        """Return the seconds until `at`, ms since the epoch; 0 if it has passed."""
        return max(0.0, (at - self.read()) / 1000)

    def tick(self) -> None:
        """Move the clock to the current time, and begin a new tick."""
        self.now = self.read()
        self.tick_count += 1
