"""Publisher confirms of one channel: which publishes are settled, and which methods confirm them.

Publishes are numbered from 1 after confirm.select (docs: confirms#publisher-confirms). Most are settled when they are
routed; those that wait for the journal are settled by its ticket. Publishes that are settled without a gap are
confirmed by one basic.ack with multiple set, at most once a tick. A refused publish gets its own basic.nack, and no
basic.ack with multiple ever includes it.
"""

from __future__ import annotations

from collections import deque

import cython

if cython.compiled:
    from cython.cimports.leveret.engine.tallies import PublishTally
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.engine.tallies import PublishTally
    from leveret.wire.frames import Outbox

_ACK = 80
_NACK = 120
_MULTIPLE = 1
_ALL = 3  # the flags multiple and requeue: RabbitMQ sets both in every basic.nack to a publisher


class PendingConfirms:
    """Publishes from `first` to `last` to one exchange (`tally`), all `refused` or none, that wait for `ticket` of the
    journal."""

    def __init__(self, first: int, last: int, ticket: int, refused: bool, tally: PublishTally) -> None:
        self.first: int = first
        self.last: int = last
        self.ticket: int = ticket
        self.refused: bool = refused
        self.tally: PublishTally = tally

    def extend(self, number: cython.ulonglong, refused: cython.bint, tally: PublishTally) -> bool:
        """Add the next publish, if it is of the same kind."""
        if self.last + 1 != number or self.refused != refused or self.tally is not tally:
            return False
        self.last = number
        return True


class Confirms:
    """The confirms of channel number `channel`.

    `last`: number of the newest publish; `done`: all up to it are settled; `sent`: all up to it are confirmed.
    `out_of_order`: settled beyond a gap, number -> refused; `nacked`: how many were refused. `waiting`: in order of
    tickets. `queued`: the connection will call `write` at the end of the tick. `ended`: the channel has ended, nothing
    is written any more.
    """

    def __init__(self, channel: int) -> None:
        self.channel: int = channel
        self.last: int = 0
        self.done: int = 0
        self.sent: int = 0
        self.out_of_order: dict[int, bool] = {}
        self.nacked: int = 0
        self.waiting: deque[PendingConfirms] = deque()
        self.newest: PendingConfirms | None = None
        self.queued: bool = False
        self.ended: bool = False

    @property
    def unconfirmed(self) -> int:
        """Return the number of publishes that are not settled yet."""
        return self.last - self.done - len(self.out_of_order)

    def unsettled(self) -> list[tuple[int, int, int]]:
        """Return first and last number and ticket of the publishes that wait for the journal; for checks."""
        run: PendingConfirms
        found: list[tuple[int, int, int]] = []
        for run in self.waiting:
            found.append((run.first, run.last, run.ticket))
        return found

    def unconfirmed_of(self, tally: PublishTally) -> int:
        """Return how many publishes to one exchange wait for the journal and will be confirmed."""
        run: PendingConfirms
        count: cython.longlong = 0
        for run in self.waiting:
            if run.tally is tally and not run.refused:
                count += run.last - run.first + 1
        return count

    def unconfirmed_by_tally(self) -> dict[PublishTally, int]:
        """Return the same for each exchange, without those that wait for nothing."""
        run: PendingConfirms
        found: dict[PublishTally, int] = {}
        for run in self.waiting:
            if not run.refused:
                found[run.tally] = found.get(run.tally, 0) + cython.cast(
                    cython.longlong, run.last - run.first + 1
                )
        return found

    def settled_late(self) -> list[int]:
        """Return the numbers of publishes that were settled beyond a gap; for checks."""
        return sorted(self.out_of_order)

    def publish(self) -> int:
        """Count a publish and return its number."""
        self.last += 1
        return self.last

    def settle(self, number: cython.ulonglong, refused: cython.bint) -> None:
        """Note that a publish is safe, or was `refused` by a queue."""
        if number == self.done + 1 and not refused and not self.out_of_order:
            self.done = number
            return
        self.out_of_order[number] = refused
        if refused:
            self.nacked += 1

    def wait(
        self, number: cython.ulonglong, ticket: cython.longlong, refused: cython.bint, tally: PublishTally
    ) -> bool:
        """Note that a publish is settled with `ticket` of the journal. Returns True if no other one waits for that
        ticket yet."""
        newest: PendingConfirms | None = self.newest
        first: cython.bint = newest is None or newest.ticket != ticket
        if newest is not None and not first and newest.extend(number, refused, tally):
            return False
        self.newest = PendingConfirms(number, number, ticket, refused, tally)
        self.waiting.append(self.newest)
        return first

    def commit(self, settled: cython.longlong) -> None:
        """Settle the publishes that waited for tickets up to `settled`."""
        run: PendingConfirms
        number: cython.ulonglong
        while self.waiting:
            run = self.waiting[0]
            if run.ticket > settled:
                return
            self.waiting.popleft()
            if run.first == self.done + 1 and not run.refused and not self.out_of_order:
                self.done = run.last
                continue
            for number in range(run.first, run.last + 1):
                self.settle(number, run.refused)
        self.newest = None

    def write(self, outbox: Outbox) -> None:
        """Write basic.ack and basic.nack for what is settled and not confirmed yet, unless the channel has ended."""
        refused: bool | None
        self.queued = False
        if self.ended:
            return
        while True:
            refused = self.out_of_order.pop(self.done + 1, None) if self.out_of_order else None
            if refused is None:
                break
            if refused:
                self.acknowledge(outbox)
                outbox.confirm(self.channel, _NACK, self.done + 1, _ALL)
                self.sent = self.done + 1
            self.done += 1
        self.acknowledge(outbox)

    def acknowledge(self, outbox: Outbox) -> None:
        """Write one basic.ack for everything between `sent` and `done`."""
        if self.done > self.sent:
            outbox.confirm(self.channel, _ACK, self.done, _MULTIPLE if self.done - self.sent > 1 else 0)
            self.sent = self.done
