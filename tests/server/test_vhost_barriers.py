"""What virtual hosts with journals of their own keep each other's clients waiting for: nothing."""

from __future__ import annotations

from typing import Any

from leveret.clock import Clock
from leveret.faults import Faults
from leveret.queues.journal import Journal
from leveret.server.send_barrier import SendBarrier
from leveret.server.vhost_barriers import VhostBarriers
from leveret.session.output import Output
from leveret.store.messages.log import MessageLog
from tests.server.test_send_barrier import Marks


class Journaled:
    """A virtual host with a journal, as the barriers see it."""

    def __init__(self) -> None:
        self.journal = MessageLog(lambda urgent: None, lambda segment, count: None)
        self.marks = Marks()

    def change(self) -> None:
        """Change the catalogue."""
        self.journal.record_changed()

    def settle(self) -> None:
        """Settle everything that was reported."""
        self.journal.open += 1
        self.journal.settle_up_to(self.journal.open - 1)


class Client(Output):
    """The part of a connection that the barriers read."""

    def __init__(self, name: str, vhost: Journaled | None) -> None:
        super().__init__([])
        self.answers = True
        self.name = name
        self.vhost = vhost
        self.outbox.put(name.encode())


class Setup:
    """Virtual hosts `a` and `b` with a client each, and one that has opened none."""

    def __init__(self) -> None:
        self.directory, self.a, self.b = Journaled(), Journaled(), Journaled()
        self.barriers = VhostBarriers(self.barrier(self.directory))
        for place in (self.a, self.b):
            self.barriers.add(self.barrier(place))
        self.in_a, self.in_b, self.new = Client("a", self.a), Client("b", self.b), Client("new", None)

    def barrier(self, place: Journaled) -> SendBarrier:
        journal: Journal = place.journal
        return SendBarrier(place.marks, journal, lambda *retry: None, lambda: None, Faults(Clock()))

    def admit(self, *clients: Any) -> set[str]:
        return {client.name for client in self.barriers.admit(list(clients))}

    def admit_all(self) -> set[str]:
        return self.admit(self.in_a, self.in_b, self.new)


def test_a_declaration_holds_the_clients_of_its_own_virtual_host_alone() -> None:
    setup = Setup()
    setup.a.change()
    assert setup.barriers.shut()
    assert setup.admit_all() == {"b", "new"}
    setup.b.settle()
    assert setup.admit() == set()
    setup.a.settle()
    assert setup.admit() == {"a"}
    assert not setup.barriers.shut()


def test_a_change_of_the_directory_holds_everybody() -> None:
    setup = Setup()
    setup.directory.change()
    assert setup.admit_all() == set()
    setup.a.settle()
    assert setup.admit() == set()
    setup.directory.settle()
    assert setup.admit() == {"a", "b", "new"}


def test_output_that_waits_for_both_is_sent_when_both_are_safe() -> None:
    for first, second in (("directory", "a"), ("a", "directory")):
        setup = Setup()
        setup.a.change()
        assert setup.admit(setup.in_a) == set()
        setup.directory.change()
        assert setup.admit(setup.in_a) == set()
        getattr(setup, first).settle()
        assert setup.admit() == set()
        getattr(setup, second).settle()
        assert setup.admit() == {"a"}


def test_deliveries_wait_for_the_marks_of_their_own_virtual_host() -> None:
    setup = Setup()
    setup.a.marks.has_unwritten_marks, setup.a.marks.writable, setup.a.marks.noted = True, False, 1
    setup.a.journal.delivering = True
    assert setup.admit_all() == {"b", "new"}
    setup.a.marks.writable = True
    assert setup.admit() == {"a"}
    assert (setup.a.marks.written, setup.b.marks.written) == (1, 0)


def test_what_a_virtual_host_holds_is_never_sent_once_it_has_left() -> None:
    setup = Setup()
    setup.a.change()
    assert setup.admit_all() == {"b", "new"}
    setup.barriers.remove(setup.a.journal)
    assert setup.in_a.outbox.size == 0 and setup.in_b.outbox.size > 0
    setup.in_a.outbox.put(b"connection.close")
    assert setup.admit(setup.in_a) == {"a"}
    assert setup.in_a.outbox.take() == b"connection.close"
