"""The delivery acknowledgement timeout of quorum queues since 4.3 (docs: consumers#acknowledgement-timeout).

A delivery that is not settled in time goes back to its queue. Its consumer is told and given nothing more until it has
settled all that was late; what it says of those then has no effect (rabbit_fifo). Nothing is done for each delivery:
the agenda calls when the oldest one may be due, and only then the consumers' deliveries are looked through. Versions
before 4.3 close the channel instead, for every kind of queue: `session/delivery_timeouts.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.queues.message import CHANNEL_CLOSED, TIMED_OUT, Entry, Source
from leveret.queues.quorum import single_active

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.queues.consumers import Consumer, Holder
    from leveret.queues.quorum.queue import QuorumQueue

#: Looks follow each other no faster than this, ms, or a hundredth of the timeout if that is less.
_CHECK_INTERVAL_MS = 1000

#: While nothing is out: how soon to look again at least, ms.
_IDLE_CHECK_MS = 100


class TimedOutSource(Source):
    """Where a delivery belongs that timed out: its message is in the queue again, the channel still knows its tag."""

    def __init__(self, timeouts: AckTimeouts, consumer: Consumer) -> None:
        self.timeouts = timeouts
        self.consumer = consumer

    def settle(self, entry: Entry) -> None:
        """basic.ack, too late."""
        self.timeouts.settled(self.consumer)

    def reject(self, entry: Entry, why: int) -> None:
        """basic.nack or basic.reject, too late."""
        self.timeouts.settled(self.consumer)

    def requeue(self, entries: list[Entry], why: int) -> None:
        """A requeue, too late, or the end of the channel."""
        for _ in entries:
            if why == CHANNEL_CLOSED:
                self.consumer.held -= 1
            self.timeouts.settled(self.consumer)


class AckTimeouts:
    """One queue's deliveries under time. `overdue`: how many of a consumer's timed out and are not settled yet."""

    def __init__(self, queue: QuorumQueue) -> None:
        self.queue = queue
        self.overdue: dict[Consumer, int] = {}
        self.due: ScheduledCall | None = None

    def watch(self, timeout: int) -> None:
        """There will be deliveries that may take this long, ms."""
        at = self.queue.context.clock.now + max(timeout, 1)
        if self.due is not None:
            if self.due.at <= at:
                return
            self.queue.context.agenda.cancel(self.due)
        self.due = self.queue.context.agenda.call_at(at, self._check)

    def stop(self) -> None:
        """The queue is gone."""
        if self.due is not None:
            self.queue.context.agenda.cancel(self.due)

    def settled(self, consumer: Consumer) -> None:
        """A late delivery is settled; with its last one the consumer is as good as any other."""
        left = self.overdue[consumer] - 1
        if left:
            self.overdue[consumer] = left
            return
        del self.overdue[consumer]
        consumers = self.queue.consumers
        if consumers.single_active and consumers.active is None:
            single_active.select(self.queue)
            self.queue.run()

    def _check(self) -> None:
        """The agenda's call: give back what is due, come again when the next may be."""
        self.due = None
        try:
            self._give_back()
        except Exception:
            if self.due is None and not self.queue.gone:
                self.watch(_CHECK_INTERVAL_MS)
            raise

    def _give_back(self) -> None:
        queue = self.queue
        now = queue.context.clock.now
        shortest, soonest = -1, -1
        given: list[tuple[Consumer | None, Holder | None]] = []
        for consumer in [*queue.consumers.members, *queue.cancelled_with_unacked]:
            if consumer.timeout < 0:
                continue
            shortest = consumer.timeout if shortest < 0 else min(shortest, consumer.timeout)
            late = []
            for entry in consumer.outstanding():
                at = entry.delivered_at + consumer.timeout
                if at <= now:
                    late.append(entry)
                else:
                    soonest = at if soonest < 0 else min(soonest, at)
            if late:
                given.append((consumer, None))
                self._release(consumer, late)
        for entry, holder, timeout in list(queue.fetched.values()):
            at = entry.delivered_at + timeout
            if timeout >= 0 and at <= now:
                given.append((None, holder))
                holder.forget(entry)
                queue.return_entries([entry], TIMED_OUT)
            elif timeout >= 0:
                shortest = timeout if shortest < 0 else min(shortest, timeout)
                soonest = at if soonest < 0 else min(soonest, at)
        if shortest >= 0:
            pause = max(1, min(_CHECK_INTERVAL_MS, shortest // 100))
            self.watch(max(soonest - now, pause) if soonest >= 0 else max(shortest, _IDLE_CHECK_MS))
        self._notify(given)

    def _release(self, consumer: Consumer, entries: list[Entry]) -> None:
        """A consumer's late deliveries go back to the queue; stand-ins take their tags."""
        queue = self.queue
        source = TimedOutSource(self, consumer)
        for entry in entries:
            late = Entry(entry.message, entry.position, 0, source)
            late.tag, late.consumer = entry.tag, consumer
            consumer.replace(entry, late)
        self.overdue[consumer] = self.overdue.get(consumer, 0) + len(entries)
        queue.consumers.block(consumer)
        queue.return_entries(entries, TIMED_OUT)
        if queue.consumers.active is consumer:
            single_active.deactivate(queue)

    def _notify(self, given: list[tuple[Consumer | None, Holder | None]]) -> None:
        """Let clients know, then hand out what came back."""
        queue = self.queue
        for consumer, holder in given:
            late = consumer or holder
            assert late is not None
            try:
                late.timed_out()
            except Exception as error:
                late.failed(error)
        if given and not queue.gone:
            queue.run()
            if queue.limits.bounded:
                queue.drop_overflow()
            if queue.context.dead_letters:
                queue.context.publish_dead_letters()
