"""The clock that follows real time."""

from __future__ import annotations

import time

from leveret.clock import Clock


class WallClock(Clock):
    """Milliseconds since the epoch that never go back: the system time at start, moved by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        super().__init__(self.read())

    def read(self) -> int:
        """The current time, without moving the clock."""
        return int((self._offset + time.monotonic()) * 1000)

    def tick(self) -> None:
        """Move the clock to the current time."""
        self.now = int((self._offset + time.monotonic()) * 1000)
        self.tick_count += 1
