"""Observers are notified of changes; one that fails does not disturb the others."""

from __future__ import annotations

import pytest

from leveret.clock import Clock
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.broker import Broker
from leveret.engine.changes import AlarmCleared, AlarmSet, Change, ExchangeCreated, QueueCreated
from leveret.engine.observers import Observer, Observers, on
from leveret.faults import Faults


class RecordingObserver(Observer):
    def __init__(self) -> None:
        self.received: list[Change] = []

    def notify(self, change: Change) -> None:
        self.received.append(change)


class AlarmObserver(Observer):
    def __init__(self) -> None:
        self.alarms: list[str] = []

    @on(AlarmSet, AlarmCleared)
    def _alarm(self, change: AlarmSet | AlarmCleared) -> None:
        self.alarms.append(f"{type(change).__name__} {change.source}")


class ClearedObserver(AlarmObserver):
    @on(AlarmCleared)
    def _cleared(self, change: AlarmCleared) -> None:
        self.alarms.append("cleared")


class FailingObserver(Observer):
    @on(AlarmSet)
    def _alarm_set(self, change: AlarmSet) -> None:
        raise LookupError(change.source)


class EssentialObserver(FailingObserver):
    essential = True


def test_a_change_reaches_every_observer() -> None:
    observers, first, second = Observers(Faults(Clock())), RecordingObserver(), RecordingObserver()
    observers.add(first)
    observers.add(second)
    change = AlarmSet(INTERNAL, "disk")
    observers.notify(change)
    assert first.received == second.received == [change]


def test_handlers_are_chosen_by_kind_of_change() -> None:
    observer = AlarmObserver()
    observer.notify(AlarmSet(INTERNAL, "disk"))
    observer.notify(AlarmCleared(INTERNAL, "disk"))
    observer.notify(Change(INTERNAL))
    assert observer.alarms == ["AlarmSet disk", "AlarmCleared disk"]


def test_a_subclass_handles_what_its_parent_handles_unless_it_has_a_handler_of_its_own() -> None:
    observer = ClearedObserver()
    observer.notify(AlarmSet(INTERNAL, "disk"))
    observer.notify(AlarmCleared(INTERNAL, "disk"))
    assert observer.alarms == ["AlarmSet disk", "cleared"]


def test_a_failing_observer_is_reported_and_the_others_are_notified() -> None:
    faults = Faults(Clock())
    observers, last = Observers(faults), RecordingObserver()
    observers.add(FailingObserver())
    observers.add(last)
    observers.notify(AlarmSet(INTERNAL, "disk"))
    assert len(last.received) == 1
    assert faults.errors["observer"] == 1


def test_what_an_essential_observer_raises_is_raised_after_the_others_were_notified() -> None:
    observers, last = Observers(Faults(Clock())), RecordingObserver()
    observers.add(EssentialObserver())
    observers.add(last)
    with pytest.raises(LookupError):
        observers.notify(AlarmSet(INTERNAL, "disk"))
    assert len(last.received) == 1


def test_changes_of_vhosts_exchanges_queues_and_bindings_are_notified() -> None:
    broker, observer = Broker(), RecordingObserver()
    broker.observers.add(observer)
    vhost = broker.add_vhost("v")
    ann = Actor("ann", "a -> b")
    queue = vhost.declare_queue(
        "q", durable=True, auto_delete=False, owner=None, arguments={}, user="u", actor=ann
    )
    vhost.bind(vhost.exchanges["amq.fanout"], queue, "", {}, ann)
    vhost.delete_queue(queue, ann)
    broker.set_alarm("disk")
    broker.clear_alarm("disk")
    broker.delete_vhost("v", ann)
    kinds = [type(change).__name__ for change in observer.received if not isinstance(change, ExchangeCreated)]
    assert kinds == [
        "VhostCreated",
        "QueueCreated",
        "BindingCreated",
        "QueueUnregistered",
        "BindingDeleted",
        "QueueDeleted",
        "AlarmSet",
        "AlarmCleared",
        "VhostExchangesDeleted",
        "VhostDeleted",
    ]
    assert QueueCreated(ann, "v", queue) in observer.received
    actors = [change.actor for change in observer.received if change.actor != INTERNAL]
    assert actors == [ann] * 6  # bindings of a deleted queue are deleted by the broker itself
