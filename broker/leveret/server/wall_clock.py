"""The real time, told to the engine."""

from __future__ import annotations

import time

from leveret.clock import Clock


class WallClock(Clock):
    """Milliseconds since the epoch that never go back: the system's time at start, moved by its monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        super().__init__(self.read())

    def read(self) -> int:
        """What time it is, without moving the engine."""
        return int((self._offset + time.monotonic()) * 1000)

    def tick(self) -> None:
        """Let the engine know what time it is."""
        self.now = int((self._offset + time.monotonic()) * 1000)
        self.tick_count += 1
