"""The clock of messages and queues in the broker of the toolkit: it runs at any rate, stands still, or is moved."""

from __future__ import annotations

import math

from leveret.clock import Clock
from leveret.testing.real_time import epoch_s, monotonic_s

#: Difference from real time from which on the clock counts as moved, ms.
MOVED_MS = 10_000


class MessageClock(Clock):
    """Message time, in ms since the epoch. It never goes back, except by `follow_real_time` and `stand_at`.

    `rate`: how much faster than real time it runs; 0 while it is frozen.
    """

    def __init__(self) -> None:
        self.rate = 1.0
        self._start_ms = epoch_s() * 1000
        self._started_s = monotonic_s()
        super().__init__(self.read())

    @property
    def moved(self) -> bool:
        """Whether it does not show real time."""
        return self.rate != 1 or abs(self.read() - epoch_s() * 1000) > MOVED_MS

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self.rate == 0

    def read(self) -> int:
        """Return the current time, without moving the engine's."""
        if not self.rate:
            return int(self._start_ms)
        return int(self._start_ms + (monotonic_s() - self._started_s) * 1000 * self.rate)

    def tick(self) -> None:
        """Move the engine's time to the current one, and begin a new tick."""
        self.now = max(self.now, self.read())
        self.tick_count += 1

    def delay_s(self, at: int) -> float:
        """Return the real seconds until the clock reaches `at`, ms: 0 if it has, infinity if it stands still before."""
        if not self.rate:
            return math.inf if at > self._start_ms else 0.0
        left = at - self.read()
        return left / 1000 / self.rate if left > 0 else 0.0

    def freeze(self) -> None:
        """Stop, at the time that the engine would see now."""
        self.tick()
        self._set(self.now, 0.0)

    def move(self, to: int) -> None:
        """Set a frozen clock to a later time, ms, and begin a new tick."""
        self.now = max(self.now, to)
        self._start_ms, self.rate = self.now, 0.0
        self.tick_count += 1

    def run(self, rate: float) -> None:
        """Run on from here, `rate` times as fast as real time."""
        self.tick()
        self._set(self.now, rate)

    def follow_real_time(self) -> None:
        """Show real time again, even if that is earlier."""
        self._set(epoch_s() * 1000, 1.0)
        self.now = self.read()
        self.tick_count += 1

    def stand_at(self, at: int) -> None:
        """Stand still at a time, ms, even if that is earlier: a snapshot of that time is restored."""
        self._set(at, 0.0)
        self.now = at
        self.tick_count += 1

    def _set(self, to_ms: float, rate: float) -> None:
        self._start_ms = to_ms
        self._started_s = monotonic_s()
        self.rate = rate
