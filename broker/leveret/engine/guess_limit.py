"""A limit of failed logins by address: who guesses passwords has to guess slowly. RabbitMQ has none."""

from __future__ import annotations

from leveret.clock import Clock

#: Time in which failed logins of an address are counted together, ms.
WINDOW_MS = 60_000

#: Addresses that are remembered; the oldest one is forgotten for a new one.
MAX_ADDRESSES = 10_000


class GuessLimit:
    """Counts failed logins. `limit`: so many of one address are allowed in a minute."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.clock = clock
        self.limit = limit
        #: Address -> when its minute began, and the failed logins since.
        self._counts: dict[str, tuple[int, int]] = {}

    def too_many(self, address: str) -> bool:
        """Return whether no more logins of this address are to be tried for now."""
        begun, count = self._counts.get(address, (0, 0))
        return count >= self.limit and self.clock.now - begun < WINDOW_MS

    def failed(self, address: str) -> None:
        """Note a failed login."""
        now = self.clock.now
        begun, count = self._counts.pop(address, (now, 0))
        if now - begun >= WINDOW_MS:
            begun, count = now, 0
        if len(self._counts) >= MAX_ADDRESSES:
            del self._counts[next(iter(self._counts))]
        self._counts[address] = begun, count + 1
