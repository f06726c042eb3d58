"""Holds output until the changes it reports are durable.

The edge passes every connection that wants to send through `admit`. Deliveries are marked in the store first; while it
writes other files, everything is held, for a few milliseconds at most. If the catalogue changed in this tick, the
output of the tick may report that: it carries the ticket of the change (`Output.after`) and is held until the journal
has settled it. Other connections go on. The journal wakes the edge.
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
    """The part of the store that notes deliveries."""

    @property
    def has_unwritten_marks(self) -> bool:
        """Whether there are deliveries to note."""

    def write_delivered_marks(self) -> bool:
        """Note them. False if that has to wait; the edge is woken then."""


class SendBarrier:
    """`later`: runs a call in the loop after a number of seconds; `wake`: has the edge send again. `held`: connections
    whose output waits. `seen`: the catalogue changes that output waits for or has waited for."""

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
        self.held: dict[Output, None] = {}
        self.seen: int = 0

    def shut(self) -> bool:
        """Return whether output must not be sent before the end of the tick."""
        return self.journal.changes != self.seen or bool(self.held) or self.marks.has_unwritten_marks

    def admit(self, dirty: list[Output]) -> list[Output]:
        """Return the connections that may send now: of `dirty` and of the held ones. After a fault all are held."""
        try:
            return self._admit(dirty)
        except Exception as error:
            self.faults.report("send barrier", error)
            self.held.update(dict.fromkeys(dirty))
            self.later(FAULT_RETRY_INTERVAL_S, self.wake)
            return []

    def _admit(self, dirty: list[Output]) -> list[Output]:
        journal = self.journal
        writable = not self.marks.has_unwritten_marks or self.marks.write_delivered_marks()
        if journal.changes != self.seen:
            self.seen = journal.changes
            if journal.changed > journal.settled:
                for connection in dirty:
                    connection.after = journal.changed
                journal.when_settled(journal.changed, self.wake)
        elif writable and not self.held:
            return dirty
        ready: list[Output] = []
        held: dict[Output, None] = {}
        for connection in {**self.held, **dict.fromkeys(dirty)}:
            if writable and connection.after <= journal.settled:
                ready.append(connection)
            else:
                held[connection] = None
        self.held = held
        return ready
