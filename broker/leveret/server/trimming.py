"""Give memory that a load has left free back to the operating system.

After a load, the C library keeps what was freed below something that is still in use: a broker that had a gigabyte of
messages for a minute would have that size for ever. `malloc_trim` gives back whole free pages. It takes time while
nobody else can allocate, so it is called only if much of the resident memory is not explained by what queues hold, and
the more rarely the longer it takes.
"""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable

#: Unexplained octets, beyond those of the last time, that are worth a call.
LEAST_BYTES = 16 * 1024 * 1024

#: The least time between two calls, seconds; and as a multiple of what the last call took.
INTERVAL_S = 2.0
INTERVAL_RATIO = 200


@functools.cache
def malloc_trim() -> Callable[[int], int] | None:
    """Return the function of the C library (glibc); None if it has none."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found


class Trimmer:
    """Decides when to trim. `unexplained`: resident octets after the last call that queues do not account for."""

    def __init__(
        self, trim: Callable[[int], int] | None, timer: Callable[[], float] = time.perf_counter
    ) -> None:
        self.trim = trim
        self.timer = timer
        self.unexplained = 0
        self._last = 0
        self._not_before = 0.0

    def check(self, resident: int, explained: int) -> bool:
        """Trim if that is worth it; True if it was done. `resident`: octets in memory; `explained`: what queues hold.

        Memory that has grown since the last check is left alone: the load goes on.
        """
        growing, self._last = resident > self._last, resident
        now = self.timer()
        if self.trim is None or growing or now < self._not_before:
            return False
        if resident - explained < self.unexplained + LEAST_BYTES:
            return False
        self.trim(0)
        end = self.timer()
        self._not_before = end + max(INTERVAL_S, INTERVAL_RATIO * (end - now))
        return True

    def trimmed(self, resident: int, explained: int) -> None:
        """Note what is left after a call."""
        self.unexplained = max(0, resident - explained)
        self._last = resident
