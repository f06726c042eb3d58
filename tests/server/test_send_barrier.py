"""Which connections may send while a change of the catalogue is not settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.server.send_barrier import SendBarrier
from leveret.session.output import Output
from leveret.store.messages.log import MessageLog


class Marks:
    """A store that counts how often delivered marks were written."""

    always_asked = False

    def __init__(self) -> None:
        self.has_unwritten_marks = False
        self.noted = 0
        self.written = 0
        self.error: Exception | None = None
        self.writable = True

    def write_delivered_marks(self) -> bool:
        if self.error is not None:
            raise self.error
        if self.writable:
            self.written += 1
            self.has_unwritten_marks = False
        return self.writable


class BarrierSetup:
    """A barrier with its journal; `woken`: how often it woke the edge."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.journal = MessageLog(lambda urgent: None, lambda segment, count: None)
        self.woken = 0
        self.later: list[Callable[[], None]] = []
        self.faults = Faults(Clock())
        self.barrier = SendBarrier(
            self.marks, self.journal, lambda seconds, call: self.later.append(call), self.wake, self.faults
        )

    def wake(self) -> None:
        self.woken += 1

    def settle(self) -> None:
        """Settle everything that was reported."""
        self.journal.open += 1
        self.journal.settle_up_to(self.journal.open - 1)

    def admit(self, *connections: Any) -> list[str]:
        return [connection.name for connection in self.barrier.admit(list(connections))]


class Client(Output):
    """The part of a connection that the barrier reads."""

    def __init__(self, name: str, answers: bool) -> None:
        super().__init__([])
        self.name = name
        self.answers = answers


def connection(name: str, answers: bool = True) -> Any:
    return Client(name, answers)


def test_without_changes_nothing_is_held() -> None:
    setup = BarrierSetup()
    assert setup.admit(connection("a"), connection("b")) == ["a", "b"]
    assert (setup.marks.written, setup.barrier.shut()) == (0, False)


def test_deliveries_are_marked_before_they_are_sent() -> None:
    setup = BarrierSetup()
    setup.marks.has_unwritten_marks = setup.journal.delivering = True
    assert setup.barrier.shut()
    assert setup.admit(connection("a")) == ["a"]
    assert (setup.marks.written, setup.barrier.shut()) == (1, False)


def test_deliveries_wait_until_they_can_be_marked() -> None:
    """What was sent in other ticks goes on."""
    setup = BarrierSetup()
    consumer, another = connection("consumer"), connection("another")
    setup.marks.has_unwritten_marks = setup.journal.delivering = True
    setup.marks.writable = False
    setup.marks.noted += 1
    assert setup.admit(consumer) == []
    assert setup.admit(another, consumer) == ["another"]
    setup.marks.noted += 1
    assert setup.admit(another) == []
    setup.marks.writable = True
    assert setup.admit() == ["consumer", "another"]
    assert (setup.marks.written, setup.barrier.shut()) == (1, False)


def test_only_the_output_of_the_tick_of_a_change_is_held() -> None:
    setup = BarrierSetup()
    declarer, reader, another = connection("declarer"), connection("reader"), connection("another")
    setup.journal.record_changed()
    assert setup.barrier.shut()
    assert setup.admit(declarer) == []
    assert setup.barrier.held[declarer] == setup.journal.open
    assert setup.admit(reader, declarer) == ["reader"]
    setup.settle()
    assert setup.woken == 1
    setup.journal.record_changed()
    assert setup.admit(another) == ["declarer"]
    assert setup.admit(declarer, another) == ["declarer"]
    setup.settle()
    assert setup.woken == 2
    assert setup.admit() == ["another"]
    assert not setup.barrier.shut()


def test_deliveries_in_the_tick_of_a_change_are_sent() -> None:
    """A client that declares and declares must not keep others waiting for the disk."""
    setup = BarrierSetup()
    declarer, consumer = connection("declarer"), connection("consumer", answers=False)
    for _ in range(3):
        setup.journal.record_changed()
        assert setup.admit(declarer, consumer) == ["consumer"]
    consumer.answers = True
    setup.journal.record_changed()
    assert setup.admit(consumer) == []
    consumer.answers = False
    assert setup.admit(consumer) == [], "deliveries do not overtake the answer"
    setup.settle()
    assert setup.admit() == ["declarer", "consumer"]


def test_a_later_change_holds_output_again() -> None:
    setup = BarrierSetup()
    declarer = connection("declarer")
    setup.journal.record_changed()
    assert setup.admit(declarer) == []
    setup.journal.open += 1
    setup.journal.record_changed()
    assert setup.admit(declarer) == []
    setup.journal.settle_up_to(1)
    assert setup.admit() == []
    setup.journal.settle_up_to(2)
    assert setup.admit() == ["declarer"]


def test_the_store_is_asked_only_after_deliveries_unless_it_wants_more() -> None:
    setup = BarrierSetup()
    setup.marks.has_unwritten_marks = True
    assert setup.admit(connection("a")) == ["a"] and not setup.barrier.shut()
    setup.journal.delivering = True
    assert setup.barrier.shut()
    assert setup.admit(connection("a")) == ["a"] and setup.marks.written == 1
    assert setup.admit(connection("a")) == ["a"] and not setup.journal.delivering
    setup.marks.has_unwritten_marks = True
    assert setup.admit(connection("a")) == ["a"] and setup.marks.written == 1
    setup.barrier.always_asked = True
    assert setup.admit(connection("a")) == ["a"] and setup.marks.written == 2


def test_a_settled_change_holds_nothing() -> None:
    setup = BarrierSetup()
    setup.journal.record_changed()
    setup.settle()
    assert setup.admit(connection("a")) == ["a"]
    assert setup.woken == 0


def test_a_fault_holds_everything_until_the_next_attempt() -> None:
    setup = BarrierSetup()
    setup.marks.has_unwritten_marks, setup.marks.error = True, ValueError()
    setup.marks.noted += 1
    setup.journal.delivering = True
    assert setup.admit(connection("a")) == []
    assert setup.faults.errors == {"send barrier": 1}
    (retry,) = setup.later
    retry()
    setup.marks.error = None
    setup.marks.writable = False
    assert (setup.woken, setup.admit()) == (1, [])
    setup.marks.writable = True
    assert (setup.woken, setup.admit()) == (1, ["a"])
