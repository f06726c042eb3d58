"""The delivery acknowledgement timeout of quorum queues since 4.3 (docs: consumers#acknowledgement-timeout).

A delivery that is not settled in time goes back to its queue. Its consumer is told and given nothing more until it has
settled all that was late; what it says of those then has no effect (rabbit_fifo). Nothing is done for each delivery:
the agenda calls when the oldest one may be due, and only then the consumers' deliveries are looked through. Versions
before 4.3 close the channel instead, for every kind of queue: `session/timeouts.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.queues import single
from leveret.queues.message import ABANDONED, TIMED_OUT, Entry, Place

if TYPE_CHECKING:
    from leveret.clock import Due
    from leveret.queues.consumers import Consumer, Holder
    from leveret.queues.quorum import QuorumQueue

#: Looks follow each other no faster than this, ms, or a hundredth of the timeout if that is less.
_SOON = 1000

#: While nothing is out: how soon to look again at least, ms.
_IDLE = 100


class Late(Place):
    """Where a delivery belongs that timed out: its message is in the queue again, the channel still knows its tag."""

    def __init__(self, timeouts: Timeouts, consumer: Consumer) -> None:
        self.timeouts = timeouts
        self.consumer = consumer

    def settle(self, entry: Entry) -> None:
        """basic.ack, too late."""
        self.timeouts.settled(self.consumer)

    def reject(self, entry: Entry, why: int) -> None:
        """basic.nack or basic.reject, too late."""
        self.timeouts.settled(self.consumer)

    def put_back(self, entries: list[Entry], why: int) -> None:
        """A requeue, too late, or the end of the channel."""
        for _ in entries:
            if why == ABANDONED:
                self.consumer.held -= 1
            self.timeouts.settled(self.consumer)


class Timeouts:
    """One queue's deliveries under time. `late`: how many of a consumer's timed out and are not settled yet."""

    def __init__(self, queue: QuorumQueue) -> None:
        self.queue = queue
        self.late: dict[Consumer, int] = {}
        self.due: Due | None = None

    def watch(self, timeout: int) -> None:
        """There will be deliveries that may take this long, ms."""
        at = self.queue.around.clock.now + max(timeout, 1)
        if self.due is not None:
            if self.due.at <= at:
                return
            self.queue.around.agenda.cancel(self.due)
        self.due = self.queue.around.agenda.call_at(at, self._look)

    def stop(self) -> None:
        """The queue is gone."""
        if self.due is not None:
            self.queue.around.agenda.cancel(self.due)

    def settled(self, consumer: Consumer) -> None:
        """A late delivery is settled; with its last one the consumer is as good as any other."""
        left = self.late[consumer] - 1
        if left:
            self.late[consumer] = left
            return
        del self.late[consumer]
        lineup = self.queue.lineup
        if lineup.single and lineup.active is None:
            single.choose(self.queue)
            self.queue.run()

    def _look(self) -> None:
        """The agenda's call: give back what is due, come again when the next may be."""
        queue = self.queue
        now = queue.around.clock.now
        shortest, soonest = -1, -1
        told: list[tuple[Consumer | None, Holder | None]] = []
        self.due = None
        for consumer in [*queue.lineup.members, *queue.leaving]:
            if consumer.timeout < 0:
                continue
            shortest = consumer.timeout if shortest < 0 else min(shortest, consumer.timeout)
            late = []
            for entry in consumer.outstanding():
                at = entry.handed_at + consumer.timeout
                if at <= now:
                    late.append(entry)
                else:
                    soonest = at if soonest < 0 else min(soonest, at)
            if late:
                told.append((consumer, None))
                self._release(consumer, late)
        for entry, holder, timeout in list(queue.fetched.values()):
            at = entry.handed_at + timeout
            if timeout >= 0 and at <= now:
                told.append((None, holder))
                holder.forget(entry)
                queue.requeue([entry], TIMED_OUT)
            elif timeout >= 0:
                shortest = timeout if shortest < 0 else min(shortest, timeout)
                soonest = at if soonest < 0 else min(soonest, at)
        if shortest >= 0:
            pause = max(1, min(_SOON, shortest // 100))
            self.watch(max(soonest - now, pause) if soonest >= 0 else max(shortest, _IDLE))
        self._tell(told)

    def _release(self, consumer: Consumer, entries: list[Entry]) -> None:
        """A consumer's late deliveries go back to the queue; stand-ins take their tags."""
        queue = self.queue
        place = Late(self, consumer)
        for entry in entries:
            late = Entry(entry.message, entry.position, 0, place)
            late.tag, late.taker = entry.tag, consumer
            consumer.replace(entry, late)
        self.late[consumer] = self.late.get(consumer, 0) + len(entries)
        queue.lineup.park(consumer)
        queue.requeue(entries, TIMED_OUT)
        if queue.lineup.active is consumer:
            single.step_down(queue)

    def _tell(self, told: list[tuple[Consumer | None, Holder | None]]) -> None:
        """Let clients know, then hand out what came back."""
        queue = self.queue
        for consumer, holder in told:
            if consumer is not None:
                consumer.timed_out()
            elif holder is not None:
                holder.timed_out()
        if told and not queue.gone:
            queue.run()
            if queue.limits.bounded:
                queue.drop_overflow()
            if queue.around.deaths:
                queue.around.bury()
