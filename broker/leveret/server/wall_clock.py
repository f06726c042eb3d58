"""The clock that follows real time."""

from __future__ import annotations

import time

import cython

if cython.compiled:
    from cython.cimports.cpython.time import monotonic
    from cython.cimports.leveret.clock import Clock
else:
    from time import monotonic

    from leveret.clock import Clock


class WallClock(Clock):
    """Milliseconds since the epoch that never go back: the system time at start, moved by the monotonic clock."""

    def __init__(self) -> None:
        super().__init__(int(time.time() * 1000))
        self.offset: float = time.time() - time.monotonic()

    def read(self) -> int:
        """Return the current time, without moving the clock."""
        return int((self.offset + time.monotonic()) * 1000)

    def tick(self) -> None:
        """Move the clock to the current time."""
        self.now = cython.cast(cython.longlong, (self.offset + monotonic()) * 1000)
        self.tick_count += 1

    def delay_s(self, at: int) -> float:
        """Return the seconds until `at` (ms since the epoch), 0 if it has passed."""
        return max(0.0, (at - self.read()) / 1000)
