"""What an owner says while its lease is old: nothing."""

from __future__ import annotations

from collections.abc import Callable

from leveret.clock import VirtualClock
from leveret.cluster.lease import Lease
from leveret.cluster.place import LeasedMarks
from leveret.faults import Faults
from leveret.queues.journal import Journal
from leveret.server.send_barrier import SendBarrier
from leveret.session.output import Output


class Marks:
    """A store without deliveries to note."""

    always_asked = False
    has_unwritten_marks = False
    noted = 0

    def write_delivered_marks(self) -> bool:
        return True


def barrier(lease: Lease, now: list[float]) -> SendBarrier:
    def later(seconds: float, call: Callable[[], None]) -> None:
        """Nothing is tried again."""

    marks = LeasedMarks(Marks(), lease, lambda: now[0])
    return SendBarrier(marks, Journal(), later, lambda: None, Faults(VirtualClock()))


def test_all_output_is_held_while_the_lease_is_old_and_sent_after_a_renewal() -> None:
    now, lease = [100.0], Lease(10)
    lease.renewed(100.0)
    held = barrier(lease, now)
    first, second = Output([]), Output([])
    assert held.admit([first]) == [first]
    now[0] = 107.9
    assert held.admit([first]) == [first]
    now[0] = 108.0
    assert held.shut()
    assert held.admit([first]) == []
    assert held.admit([second]) == []
    lease.renewed(107.0)
    assert held.admit([]) == [first, second]
    assert not held.shut()
