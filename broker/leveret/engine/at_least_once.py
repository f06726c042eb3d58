"""Dead lettering at least once (docs: quorum-queues#dead-lettering; rabbit_fifo_dlx_worker).

A quorum queue with `dead-letter-strategy: at-least-once` and `overflow: reject-publish` keeps its dead until all queues
they are routed to have taken them. Those that have no route, or that a full queue refuses, are tried again every three
minutes, and at once when the queue's policy changes. Meanwhile they count towards its limits; a purge takes them, too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from leveret.engine.deadlettering import PLACE
from leveret.queues.deadletter.copies import readdress

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.engine.deadlettering import DeadLettering
    from leveret.queues.message import Entry, Message
    from leveret.queues.quorum.queue import QuorumQueue

#: How long until a dead letter is tried again, ms (rabbit: dead_letter_worker_publisher_confirm_timeout).
RETRY_INTERVAL_MS = 180_000

#: How many of a queue are tried at a time (rabbit: dead_letter_worker_consumer_prefetch).
PREFETCH = 32


class PendingDeadLetter:
    """One dead message. `copy`: what is published, once it was. `taken`: names of queues that have it already.
    `tried_at`: when it last was given to a queue; None while it has no route."""

    __slots__ = ("copy", "entry", "reason", "taken", "tried_at", "why")

    def __init__(self, entry: Entry, reason: str, why: int) -> None:
        self.entry = entry
        self.reason = reason
        self.why = why
        self.copy: Message | None = None
        self.taken: set[str] = set()
        self.tried_at: int | None = None


class DeadLetterWorker:
    """The dead of one queue. `pending`: those that were tried; `waiting`: those behind them."""

    def __init__(self, dead_lettering: DeadLettering, queue: QuorumQueue) -> None:
        self.dead_lettering = dead_lettering
        self.context = queue.context
        self.queue = queue
        self.waiting: deque[PendingDeadLetter] = deque()
        self.pending: list[PendingDeadLetter] = []
        self.due: ScheduledCall | None = None

    def add(self, entry: Entry, reason: str, why: int) -> None:
        """A message died."""
        self.waiting.append(PendingDeadLetter(entry, reason, why))
        self._publish_waiting()

    def kept(self) -> list[Entry]:
        """The dead messages that have not arrived everywhere; for checks."""
        return [one.entry for one in (*self.pending, *self.waiting)]

    def try_again(self) -> None:
        """Whatever has no route may have one now."""
        now = self.context.clock.now
        tried, self.pending = self.pending, []
        for one in tried:
            resting = one.tried_at is not None and now < one.tried_at + RETRY_INTERVAL_MS
            if resting or not self._forwarded(one):
                self.pending.append(one)
        self._publish_waiting()

    def clear(self) -> int:
        """Let go of all of them; returns how many."""
        dead = [*self.pending, *self.waiting]
        self.pending.clear()
        self.waiting.clear()
        if self.due is not None:
            self.context.agenda.cancel(self.due)
            self.due = None
        for one in dead:
            self.queue.forget_withheld(one.entry)
        return len(dead)

    def _publish_waiting(self) -> None:
        while self.waiting and len(self.pending) < PREFETCH:
            one = self.waiting.popleft()
            if not self._forwarded(one):
                self.pending.append(one)
        if self.pending and self.due is None:
            self.due = self.context.agenda.call_after(RETRY_INTERVAL_MS, self._check)

    def _check(self) -> None:
        self.due = None
        self.try_again()
        self.dead_lettering.publish_all()

    def _forwarded(self, one: PendingDeadLetter) -> bool:
        """Whether it is done with: it has arrived, or it cannot be published at all."""
        try:
            return self._publish(one)
        except Exception as error:
            self.dead_lettering.publisher.report_lost(PLACE, error, one.entry.message, queue=self.queue.name)
            self.queue.forget_withheld(one.entry)
            return True

    def _publish(self, one: PendingDeadLetter) -> bool:
        """Give it to the queues it is routed to; whether it has arrived in all of them."""
        queue = self.queue
        exchange = self.dead_lettering.exchange_of(queue)
        if exchange is None:
            return False
        if one.copy is None:
            one.copy = self.dead_lettering.copy(queue, one.entry.message, one.reason, one.entry, one.why)
        else:
            readdress(one.copy, queue, one.entry.message)
        targets = self.dead_lettering.targets(exchange, one.copy, one.reason, one.taken)
        if targets:
            one.tried_at = self.context.clock.now
        refused = self.dead_lettering.publisher.deliver(one.copy, targets, PLACE)
        one.taken.update(each.name for each in targets if each not in refused)
        arrived = not refused and bool(one.taken)
        if arrived:
            queue.forget_withheld(one.entry)
        return arrived
