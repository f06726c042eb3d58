"""The delivery acknowledgement timeout of quorum queues since 4.3 (docs: consumers#acknowledgement-timeout).

A delivery that is not settled in time is requeued. Its consumer is notified and gets nothing more until it has settled
all its overdue deliveries; settling these has no other effect (rabbit_fifo). `AckTimeouts` decides what is overdue and
when to check again, the queue acts on it. There is no timer for each delivery: deliveries are examined only when the
oldest may be due. Versions before 4.3 close the channel instead, for every queue type (`session/delivery_timeouts.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

from leveret.clock import Agenda, ScheduledCall
from leveret.queues.consumers import Consumer, Deliveries, Holder
from leveret.queues.message import CHANNEL_CLOSED, Entry, Source

#: Time between two checks, ms: not less than this, or a hundredth of the timeout if that is less.
CHECK_INTERVAL_MS = 1000

#: Deliveries that are examined or requeued before others can run.
PORTION = 512

#: Time to the next check while nothing is unacknowledged, ms, at least.
_IDLE_CHECK_MS = 100


class Fetched(NamedTuple):
    """A delivery of basic.get. `timeout`: ms, -1 for none."""

    entry: Entry
    holder: Holder
    timeout: int


class Overdue(NamedTuple):
    """Deliveries that timed out, of a consumer or of one basic.get: `holder` is the one to notify."""

    holder: Consumer | Holder
    entries: list[Entry]


class TimedOutSource(Source):
    """Source of an overdue delivery: its message is in the queue again, the channel still knows its tag. `settled` is
    called with the consumer for each that the client settles. `name`: of the queue; channels settle in its order.
    """

    def __init__(self, settled: Callable[[Consumer], None], consumer: Consumer, name: str) -> None:
        self.settled = settled
        self.consumer = consumer
        self.name = name

    def settle(self, entry: Entry) -> None:
        """Count a late basic.ack."""
        self.settled(self.consumer)

    def reject(self, entry: Entry, why: int) -> None:
        """Count a late basic.nack or basic.reject."""
        self.settled(self.consumer)

    def requeue(self, entries: list[Entry], why: int) -> None:
        """Count a late requeue, or the end of the channel."""
        for _ in entries:
            if why == CHANNEL_CLOSED:
                self.consumer.held -= 1
            self.settled(self.consumer)


class AckTimeouts:
    """When deliveries of one queue time out. `overdue`: unsettled overdue deliveries by consumer. `check` is called
    when deliveries may be due."""

    def __init__(self, agenda: Agenda, check: Callable[[], None]) -> None:
        self.overdue: dict[Consumer, int] = {}
        self._agenda = agenda
        self._check = check
        self._call: ScheduledCall | None = None

    def watch(self, timeout: int) -> None:
        """Check in `timeout` ms, or earlier if that is planned."""
        at = self._agenda.clock.now + max(timeout, 1)
        if self._call is not None:
            if self._call.at <= at:
                return
            self._agenda.cancel(self._call)
        self._call = self._agenda.call_at(at, self._due)

    def _due(self) -> None:
        self._call = None
        self._check()

    def stop(self) -> None:
        """Check nothing any more, because the queue is deleted: then it is not referred to."""
        if self._call is not None:
            self._agenda.cancel(self._call)
            self._call = None
        self._check = _nothing

    def due(
        self, now: int, consumers: Iterable[Consumer], fetched: Iterable[Fetched]
    ) -> Generator[None, None, list[Overdue]]:
        """Return what has timed out at `now`, and schedule the next check. A generator that yields after each portion.

        The deliveries of a channel are examined once for all its consumers, up to the first one of each that has not
        timed out.
        """
        shortest, soonest = -1, -1
        late: dict[Consumer, list[Entry]] = {}
        channels: dict[Deliveries, set[Consumer]] = {}
        for examined, consumer in enumerate(consumers, 1):
            if examined % PORTION == 0:
                yield
            if consumer.timeout < 0:
                continue
            shortest = _least(shortest, consumer.timeout)
            if consumer.held > self.overdue.get(consumer, 0):
                late[consumer] = []
                channels.setdefault(consumer.deliveries(), set()).add(consumer)
        for deliveries, holders in channels.items():
            soonest = _least(soonest, (yield from _examine(deliveries, holders, now, late)))
        overdue = [Overdue(consumer, entries) for consumer, entries in late.items() if entries]
        for examined, (entry, holder, timeout) in enumerate(fetched, 1):
            if examined % PORTION == 0:
                yield
            at = entry.delivered_at + timeout
            if timeout >= 0 and at <= now:
                overdue.append(Overdue(holder, [entry]))
            elif timeout >= 0:
                shortest, soonest = _least(shortest, timeout), _least(soonest, at)
        if shortest >= 0:
            pause = max(1, min(CHECK_INTERVAL_MS, shortest // 100))
            self.watch(max(soonest - now, pause) if soonest >= 0 else max(shortest, _IDLE_CHECK_MS))
        return overdue

    def expire(self, consumer: Consumer, count: int) -> None:
        """Note that `count` deliveries of a consumer are overdue."""
        self.overdue[consumer] = self.overdue.get(consumer, 0) + count

    def settle(self, consumer: Consumer) -> bool:
        """Note that an overdue delivery is settled; True if it was the consumer's last one."""
        left = self.overdue[consumer] - 1
        if left:
            self.overdue[consumer] = left
            return False
        del self.overdue[consumer]
        return True


def _nothing() -> None:
    """Check nothing."""


def _least(first: int, second: int) -> int:
    """Return the smaller one; a negative one is none."""
    return max(first, second) if first < 0 or second < 0 else min(first, second)


def _examine(
    deliveries: Deliveries, holders: set[Consumer], now: int, late: dict[Consumer, list[Entry]]
) -> Generator[None, None, int]:
    """Add the deliveries of a channel that have timed out to those of their consumers, and return when the next one
    does, -1 if none. A generator that yields after each portion. `holders`: the consumers of one queue; used up."""
    soonest = -1
    for examined, entry in enumerate(deliveries.in_order(), 1):
        if examined % PORTION == 0:
            yield
        consumer = entry.consumer
        if consumer is None or consumer not in holders or entry.source is not consumer.source:
            continue
        at = entry.delivered_at + consumer.timeout
        if at <= now:
            late[consumer].append(entry)
            continue
        soonest = _least(soonest, at)
        holders.remove(consumer)
        if not holders:
            break
    return soonest
