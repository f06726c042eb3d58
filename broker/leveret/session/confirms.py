"""The confirm ledger of one channel: which publishes are safe, and how to say so in few words.

Publishes are numbered from 1 after confirm.select (docs: confirms#publisher-confirms). Most are settled the moment they
are routed; those that wait for the journal are settled by its ticket. What is settled without a gap is confirmed by one
basic.ack with multiple set, at most once a tick; a refused publish gets a basic.nack of its own, and no basic.ack with
multiple ever covers it.
"""

from __future__ import annotations

from collections import deque

import cython

if cython.compiled:
    from cython.cimports.leveret.wire.frames import Outbox
else:
    from leveret.wire.frames import Outbox

_ACK = 80
_NACK = 120
_MULTIPLE = 1
_ALL = 3  # multiple and requeue: RabbitMQ sets both in every basic.nack to a publisher


class PendingConfirms:
    """Publishes from `first` to `last`, all `refused` or none, that are settled once the journal says that `ticket`
    is."""

    def __init__(self, first: int, last: int, ticket: int, refused: bool) -> None:
        self.first: int = first
        self.last: int = last
        self.ticket: int = ticket
        self.refused: bool = refused


class Confirms:
    """`last`: number of the newest publish; `done`: all up to it are settled; `sent`: all up to it are confirmed.

    `out_of_order`: settled beyond a gap, number -> refused; `nacked`: how many were refused. `waiting`: in order of
    tickets. `queued`: the connection will call `write` at the end of the tick.
    """

    def __init__(self) -> None:
        self.last: int = 0
        self.done: int = 0
        self.sent: int = 0
        self.out_of_order: dict[int, bool] = {}
        self.nacked: int = 0
        self.waiting: deque[PendingConfirms] = deque()
        self.newest: PendingConfirms | None = None
        self.queued: bool = False

    @property
    def unconfirmed(self) -> int:
        """Publishes that are not settled yet."""
        return self.last - self.done - len(self.out_of_order)

    def unsettled(self) -> list[tuple[int, int, int]]:
        """First and last number and ticket of the publishes that wait for the journal; for checks."""
        run: PendingConfirms
        found: list[tuple[int, int, int]] = []
        for run in self.waiting:
            found.append((run.first, run.last, run.ticket))
        return found

    def settled_late(self) -> list[int]:
        """The numbers of publishes that were settled beyond a gap; for checks."""
        return sorted(self.out_of_order)

    def publish(self) -> int:
        """The number of a new publish."""
        self.last += 1
        return self.last

    def settle(self, number: cython.ulonglong, refused: cython.bint) -> None:
        """A publish is safe, or was `refused` by a queue."""
        if number == self.done + 1 and not refused and not self.out_of_order:
            self.done = number
            return
        self.out_of_order[number] = refused
        if refused:
            self.nacked += 1

    def wait(self, number: cython.ulonglong, ticket: cython.longlong, refused: cython.bint) -> bool:
        """A publish is settled once the journal says that `ticket` is; True if none has waited for that one yet."""
        newest: PendingConfirms | None = self.newest
        first: cython.bint = newest is None or newest.ticket != ticket
        if newest is not None and not first and newest.last + 1 == number and newest.refused == refused:
            newest.last = number
            return False
        self.newest = PendingConfirms(number, number, ticket, refused)
        self.waiting.append(self.newest)
        return first

    def commit(self, settled: cython.longlong) -> None:
        """Everything up to ticket `settled` is safe."""
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

    def write(self, outbox: Outbox, channel: cython.uint) -> None:
        """Say what is settled and not yet said."""
        self.queued = False
        refused: bool | None
        while True:
            refused = self.out_of_order.pop(self.done + 1, None) if self.out_of_order else None
            if refused is None:
                break
            if refused:
                self.acknowledge(outbox, channel)
                outbox.confirm(channel, _NACK, self.done + 1, _ALL)
                self.sent = self.done + 1
            self.done += 1
        self.acknowledge(outbox, channel)

    def acknowledge(self, outbox: Outbox, channel: cython.uint) -> None:
        """One basic.ack for everything between `sent` and `done`."""
        if self.done > self.sent:
            outbox.confirm(channel, _ACK, self.done, _MULTIPLE if self.done - self.sent > 1 else 0)
            self.sent = self.done
