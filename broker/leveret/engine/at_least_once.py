"""Dead lettering at least once (docs: quorum-queues#dead-lettering; rabbit_fifo_dlx_worker).

A quorum queue with `dead-letter-strategy: at-least-once` and `overflow: reject-publish` keeps a dead letter until all
target queues have accepted it. Dead letters without a route, or refused by a full queue, are published again every
three minutes, and at once when the queue's policy changes. Meanwhile they count towards the queue's limits. A purge
removes them too.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from leveret.engine.deadlettering import PLACE, PORTION
from leveret.queues.deadletter.copies import readdress

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.engine.deadlettering import DeadLettering
    from leveret.queues.message import Entry, Message
    from leveret.queues.quorum.queue import QuorumQueue
    from leveret.work import Steps

#: Time until a dead letter is published again, ms (rabbit: dead_letter_worker_publisher_confirm_timeout).
RETRY_INTERVAL_MS = 180_000

#: Dead letters of a queue that are pending at a time (rabbit: dead_letter_worker_consumer_prefetch).
PREFETCH = 32


class PendingDeadLetter:
    """One dead letter. `copy`: the message to publish, once it was made. `taken`: names of the queues that have it.
    `tried_at`: when it was last published; None while it has no route."""

    __slots__ = ("copy", "entry", "reason", "taken", "tried_at", "why")

    def __init__(self, entry: Entry, reason: str, why: int) -> None:
        self.entry = entry
        self.reason = reason
        self.why = why
        self.copy: Message | None = None
        self.taken: set[str] = set()
        self.tried_at: int | None = None


class DeadLetterWorker:
    """The dead of one queue. `pending`: those that were tried; `waiting`: those behind them; `publishing`: a job
    tries them."""

    def __init__(self, dead_lettering: DeadLettering, queue: QuorumQueue) -> None:
        self.dead_lettering = dead_lettering
        self.context = queue.context
        self.queue = queue
        self.waiting: deque[PendingDeadLetter] = deque()
        self.pending: list[PendingDeadLetter] = []
        self.due: ScheduledCall | None = None
        self.publishing = False

    def add(self, entry: Entry, reason: str, why: int) -> None:
        """Add a dead letter and publish it if fewer than `PREFETCH` are pending."""
        self.waiting.append(PendingDeadLetter(entry, reason, why))
        self._publish_waiting()

    def kept(self) -> list[Entry]:
        """Return the entries whose dead letters have not reached all targets; for checks."""
        return [one.entry for one in (*self.pending, *self.waiting)]

    def try_again(self) -> None:
        """Publish pending dead letters again: those without a route, and those whose retry interval has passed."""
        now = self.context.clock.now
        tried, self.pending = self.pending, []
        for one in tried:
            resting = one.tried_at is not None and now < one.tried_at + RETRY_INTERVAL_MS
            if resting or not self._forwarded(one):
                self.pending.append(one)
        self._publish_waiting()

    def clear(self) -> deque[PendingDeadLetter]:
        """Let go of all of them, and return them; the queue is to forget them. They may be a million."""
        dead, self.waiting = self.waiting, deque()
        dead.extend(self.pending)
        self.pending.clear()
        if self.due is not None:
            self.context.agenda.cancel(self.due)
            self.due = None
        return dead

    def _publish_waiting(self) -> None:
        """Publish those that wait, until too many are pending; many of them in slices."""
        if not self.publishing:
            self.publishing = True
            work = self.dead_lettering.engine.work
            work.begin(self._steps(), PLACE, queue=self.queue.name, vhost=self.queue.vhost)

    def _steps(self) -> Steps:
        tried = 0
        try:
            while self.waiting and len(self.pending) < PREFETCH:
                one = self.waiting.popleft()
                if not self._forwarded(one):
                    self.pending.append(one)
                tried += 1
                if tried % PORTION == 0:
                    self.dead_lettering.publish_all()
                    yield None
        finally:
            self.publishing = False
        if self.pending and self.due is None:
            self.due = self.context.agenda.call_after(RETRY_INTERVAL_MS, self._check)

    def _check(self) -> None:
        self.due = None
        self.try_again()
        self.dead_lettering.publish_all()

    def _forwarded(self, one: PendingDeadLetter) -> bool:
        """Publish a dead letter. Returns whether it is finished: accepted by all targets, or impossible to publish."""
        try:
            return self._publish(one)
        except Exception as error:
            self.dead_lettering.publisher.report_lost(PLACE, error, one.entry.message, queue=self.queue.name)
            self.queue.forget_withheld(one.entry)
            return True

    def _publish(self, one: PendingDeadLetter) -> bool:
        """Push a dead letter into its target queues. Returns whether all have accepted it."""
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
            if self.context.history is not None:
                self.context.history.dead_lettered(
                    queue, one.entry.message, one.entry, one.reason, one.copy, targets
                )
            one.tried_at = self.context.clock.now
        refused = self.dead_lettering.publisher.deliver(one.copy, targets, PLACE)
        one.taken.update(each.name for each in targets if each not in refused)
        arrived = not refused and bool(one.taken)
        if arrived:
            self.dead_lettering.count(queue, "confirmed", "at_least_once")
            queue.forget_withheld(one.entry)
        return arrived
