"""Holds output until the changes it reports are durable.

The edge passes every connection that wants to send through `admit`. Deliveries are marked in the store first; while it
writes other files, the output of ticks with deliveries is held. If the catalogue changed in this tick, the
answers of the tick may report that: connections that have some are held until the journal has settled the ticket of
the change. Other connections go on: deliveries and confirms promise nothing of it. The journal wakes the edge.

Each journal has a barrier of its own. Where virtual hosts have their own journals, the edge asks `vhost_barriers.py`: a
connection passes the barrier of the directory and that of its virtual host, and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cython

from leveret.faults import Faults

if cython.compiled:
    from cython.cimports.leveret.queues.journal import Journal
    from cython.cimports.leveret.session.output import Output
else:
    from leveret.queues.journal import Journal
    from leveret.session.output import Output

#: Time after which output that was held because of a fault is tried again, seconds.
FAULT_RETRY_INTERVAL_S = 0.1


class DeliveredMarks(Protocol):
    """The part of the store that notes deliveries. `always_asked`: output may have to wait for something else, too, so
    that it is asked whenever output is sent, and not only while `Journal.delivering`."""

    always_asked: bool

    @property
    def has_unwritten_marks(self) -> bool:
        """Whether there are deliveries to note."""

    @property
    def noted(self) -> int:
        """How many deliveries were reported that have to be noted."""

    def write_delivered_marks(self) -> bool:
        """Note them. False if that has to wait; the edge is woken then."""


class SendBarrier:
    """`later`: runs a call in the loop after a number of seconds; `wake`: has the edge send again. `held`: connections
    whose output waits, and for which ticket; `unmarked`: those of them that may have deliveries which are not noted.
    `seen`: the catalogue changes that output waits for or has waited for, and `noted`: the deliveries."""

    def __init__(
        self,
        marks: DeliveredMarks,
        journal: Journal,
        later: Callable[[float, Callable[[], None]], object],
        wake: Callable[[], None],
        faults: Faults,
    ) -> None:
        self.marks: DeliveredMarks = marks
        self.journal: Journal = journal
        self.later: Callable[[float, Callable[[], None]], object] = later
        self.wake: Callable[[], None] = wake
        self.faults: Faults = faults
        self.held: dict[Output, int] = {}
        self.unmarked: dict[Output, None] = {}
        self.always_asked: bool = marks.always_asked
        self.seen: int = 0
        self.noted: int = 0

    def open(self) -> bool:
        """Return whether nothing can hold output. Most output is sent then, and nobody is asked."""
        journal: Journal = self.journal
        return not (
            journal.delivering
            or journal.changes != self.seen
            or self.always_asked
            or len(self.held)
            or len(self.unmarked)
        )

    def shut(self) -> bool:
        """Return whether output must not be sent before the end of the tick."""
        if self.open():
            return False
        return self.journal.changes != self.seen or bool(self.held) or self.marks.has_unwritten_marks

    def admit(self, dirty: list[Output]) -> list[Output]:
        """Return the connections that may send now: of `dirty` and of the held ones. After a fault all are held."""
        if self.open():
            return dirty
        try:
            return self._admit(dirty)
        except Exception as error:
            self.faults.report("send barrier", error)
            self.held = {**dict.fromkeys(dirty, 0), **self.held}
            self.later(FAULT_RETRY_INTERVAL_S, self.wake)
            return []

    def _admit(self, dirty: list[Output]) -> list[Output]:
        journal = self.journal
        ticket: cython.longlong = 0
        if not self.marks.has_unwritten_marks:
            journal.delivering = False
            self.unmarked = {}
        elif self.marks.write_delivered_marks():
            self.unmarked = {}
        elif self.noted != self.marks.noted:
            self.unmarked.update(dict.fromkeys([*self.held, *dirty]))
        self.noted = self.marks.noted
        if journal.changes != self.seen:
            self.seen = journal.changes
            if journal.changed > journal.settled:
                ticket = journal.changed
                journal.when_settled(ticket, self.wake)
        elif not self.unmarked and not self.held:
            return dirty
        ready: list[Output] = []
        held: dict[Output, int] = {}
        waiting = dict(self.held)
        for connection in dirty:
            waiting[connection] = (ticket if connection.answers else 0) or waiting.get(connection, 0)
        for connection in waiting:
            if connection not in self.unmarked and waiting[connection] <= journal.settled:
                ready.append(connection)
            else:
                held[connection] = waiting[connection]
        self.held = held
        return ready
