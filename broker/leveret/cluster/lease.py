"""Leases: how long a node may act, and when others may take it for dead. Time is an argument (seconds, monotonic).

Each node renews its key in the table of nodes. *Contact* is the time at which the last successful renewal was sent. Its
own limits count from there; the limit of the others counts from when they saw that renewal, which is later. So a node
is silent before another one takes its place, as long as their clocks run at the same rate within 10 %:

- 0.8 L after contact nothing is sent to clients any more;
- L after contact the node gives up what it owns;
- 1.1 L after they saw it change, others may take it for dead.
"""

from __future__ import annotations

#: Share of the lease after which nothing is sent to clients.
SILENCE_SHARE = 0.8

#: Share of the lease without a change after which others take a node for dead.
DEATH_SHARE = 1.1

#: Renewals in one lease.
RENEWALS = 5


class Lease:
    """The lease of this node, of `length_s` seconds. `contact`: when the last successful renewal was sent; None if
    there was none, or the lease is lost."""

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self.contact: float | None = None

    @property
    def renewal_interval_s(self) -> float:
        """Seconds between two renewals."""
        return self.length_s / RENEWALS

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` has succeeded."""
        if self.contact is None or sent_at > self.contact:
            self.contact = sent_at

    def lose(self) -> None:
        """Somebody else has decided that this node is dead."""
        self.contact = None

    def age(self, now: float) -> float:
        """Return the seconds since contact; infinity without one."""
        return float("inf") if self.contact is None else now - self.contact

    def is_silent(self, now: float) -> bool:
        """Return whether nothing may be sent to clients."""
        return self.age(now) >= SILENCE_SHARE * self.length_s

    def is_over(self, now: float) -> bool:
        """Return whether everything that is owned must be given up."""
        return self.age(now) >= self.length_s

    def silent_at(self) -> float:
        """Return the time from which on `is_silent`, if there is no renewal; the past without a contact."""
        return float("-inf") if self.contact is None else self.contact + SILENCE_SHARE * self.length_s

    def over_at(self) -> float:
        """Return the time from which on `is_over`, if there is no renewal; the past without a contact."""
        return float("-inf") if self.contact is None else self.contact + self.length_s


def dead_at(seen_at: float, length_s: float) -> float:
    """Return when a node may be taken for dead whose key was seen to change at `seen_at`, and not since."""
    return seen_at + DEATH_SHARE * length_s
