"""Delayed retry of quorum queues since 4.3 (docs: quorum-queues#delayed-retry).

A returned message is not ready at once. The delay grows with the number of failures: `least` times that number, at most
`most`. A delayed message counts towards the queue's limits. Delayed are all returns, or those that count as failures
(basic.reject, a lost channel), or the others (basic.nack, basic.recover, the acknowledgement timeout).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from leveret.clock import Agenda, ScheduledCall
from leveret.queues.message import Entry

#: x-delayed-retry-type -> whether failures, whether other returns are delayed.
_TYPES = {"all": (True, True), "failed": (True, False), "returned": (False, True)}


class DelayedRetries:
    """The delayed messages of one queue. `least`, `most`: ms. `check` is called when messages are due, for the queue to
    `release` them. `last_at`: when the last one is due; `octets`: of their bodies."""

    def __init__(self, agenda: Agenda, check: Callable[[], None]) -> None:
        self.failed = self.returned = False
        self.least = self.most = 0
        self.heap: list[tuple[int, int, Entry]] = []
        self.last_at = 0
        self.octets = 0
        self._agenda = agenda
        self._check = check
        self._call: ScheduledCall | None = None

    def configure(self, kind: object, least: object, most: object) -> None:
        """Set the type and the delays as arguments and policies give them. Values that are no positive numbers disable
        it. What is delayed already stays so."""
        if isinstance(kind, str) and type(least) is int and least > 0:
            self.failed, self.returned = _TYPES.get(kind, (False, False))
            self.least = least
        else:
            self.failed = self.returned = False
            self.least = 0
        self.most = most if type(most) is int and most > 0 else self.least

    @property
    def text(self) -> str:
        """Return the settings as the HTTP API shows them."""
        kind = next((name for name, given in _TYPES.items() if given == (self.failed, self.returned)), "")
        return f"{kind} (min: {self.least}ms, max: {self.most}ms)" if kind else "disabled"

    def applies(self, failed: bool) -> bool:
        """Return whether returns are delayed: those that count as failures, or the others."""
        return self.failed if failed else self.returned

    def hold(self, entries: list[Entry]) -> None:
        """Keep entries until their delay has passed."""
        now = self._agenda.clock.now
        for entry in entries:
            at = now + min(self.least * max(1, entry.failed), self.most)
            self.add(at, entry)
        self.watch()

    def add(self, at: int, entry: Entry) -> None:
        """Keep an entry until a time; `watch` is to follow."""
        self.last_at = max(self.last_at, at) if self.heap else at
        self.octets += entry.message.size
        heapq.heappush(self.heap, (at, entry.position, entry))

    def release(self, now: int, most: int) -> list[Entry]:
        """Return the entries that are due at `now`, at most so many; `watch` is to follow when there are no more."""
        entries: list[Entry] = []
        while self.heap and self.heap[0][0] <= now and len(entries) < most:
            entry = heapq.heappop(self.heap)[2]
            self.octets -= entry.message.size
            entries.append(entry)
        return entries

    def delayed(self) -> list[Entry]:
        """Return the delayed entries; for checks."""
        return [entry for _, _, entry in self.heap]

    def clear(self) -> list[tuple[int, int, Entry]]:
        """Remove all delayed entries and return them with their places: there may be a million."""
        heap, self.heap = self.heap, []
        self.octets = 0
        if self._call is not None:
            self._agenda.cancel(self._call)
            self._call = None
        return heap

    def stop(self) -> list[tuple[int, int, Entry]]:
        """`clear`, and check nothing any more, because the queue is deleted: then it is not referred to."""
        self._check = _nothing
        return self.clear()

    def _due(self) -> None:
        self._call = None
        self._check()

    def watch(self) -> None:
        """Schedule the next check."""
        if not self.heap:
            return
        at = self.heap[0][0]
        if self._call is not None:
            if self._call.at <= at:
                return
            self._agenda.cancel(self._call)
        self._call = self._agenda.call_at(at, self._due)


def _nothing() -> None:
    """Check nothing."""
