"""Delayed retry of quorum queues since 4.3: what comes back is not ready at once (docs: quorum-queues#delayed-retry).

The delay grows with the number of failures: `least` times that number, at most `most`. A delayed message is neither
ready nor handed out; it counts towards the queue's limits. Which returns are delayed: all, those that count as failures
(basic.reject, a lost channel), or the others (basic.nack, basic.recover, the consumer timeout).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.queues.message import Entry
    from leveret.queues.quorum.queue import QuorumQueue

#: x-delayed-retry-type -> whether it is for failures, for other returns.
_TYPES = {"all": (True, True), "failed": (True, False), "returned": (False, True)}


class DelayedRetries:
    """The delayed messages of one queue. `least`, `most`: ms."""

    def __init__(self, queue: QuorumQueue) -> None:
        self.queue = queue
        self.failed = self.returned = False
        self.least = self.most = 0
        self.heap: list[tuple[int, int, Entry]] = []
        self.due: ScheduledCall | None = None

    def configure(self, kind: Any, least: Any, most: Any) -> None:
        """New settings, as arguments and policies give them; what makes no sense disables it. What is delayed already
        stays so."""
        sensible = type(least) is int and least > 0
        self.failed, self.returned = _TYPES.get(kind, (False, False)) if sensible else (False, False)
        self.least = least if sensible else 0
        self.most = most if type(most) is int and most > 0 else self.least

    @property
    def text(self) -> str:
        """The settings as the API shows them."""
        kind = next((name for name, given in _TYPES.items() if given == (self.failed, self.returned)), "")
        return f"{kind} (min: {self.least}ms, max: {self.most}ms)" if kind else "disabled"

    def hold(self, entries: list[Entry], failed: bool) -> list[Entry]:
        """Keep what is to be delayed; returns what is not."""
        if not (self.failed if failed else self.returned):
            return entries
        queue = self.queue
        now = queue.context.clock.now
        for entry in entries:
            at = now + min(self.least * max(1, entry.failed), self.most)
            heapq.heappush(self.heap, (at, entry.position, entry))
            queue.withhold(entry)
        self._arm()
        return []

    def delayed(self) -> list[Entry]:
        """The delayed messages; for checks."""
        return [entry for _, _, entry in self.heap]

    def clear(self) -> list[Entry]:
        """Let go of all of them."""
        entries = [entry for _, _, entry in self.heap]
        self.heap.clear()
        if self.due is not None:
            self.queue.context.agenda.cancel(self.due)
            self.due = None
        return entries

    def _arm(self) -> None:
        if not self.heap:
            return
        at = self.heap[0][0]
        if self.due is not None:
            if self.due.at <= at:
                return
            self.queue.context.agenda.cancel(self.due)
        self.due = self.queue.context.agenda.call_at(at, self._check)

    def _check(self) -> None:
        """The agenda's call: what is due is ready again."""
        self.due = None
        now = self.queue.context.clock.now
        entries = []
        while self.heap and self.heap[0][0] <= now:
            entries.append(heapq.heappop(self.heap)[2])
        self._arm()
        self.queue.return_delayed(entries)
