"""The time of a running node (`ports.Time`)."""

from __future__ import annotations

import asyncio
import time


class SystemTime:
    """Seconds since the machine was started, with the time that it was suspended, where the system counts that: a node
    that was suspended must find its lease old. CLOCK_MONOTONIC of Linux stands still meanwhile."""

    def __init__(self) -> None:
        self._clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> float:
        """Return the time, seconds."""
        return time.clock_gettime(self._clock)

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)
