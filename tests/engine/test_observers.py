"""What happens is told, by name, to everyone who listens."""

from __future__ import annotations

import inspect
from typing import Any

from leveret.clock import Clock
from leveret.engine.broker import Broker
from leveret.engine.observers import Observer, Observers
from leveret.faults import Faults


class RecordingObserver(Observer):
    def __init__(self) -> None:
        self.received: list[tuple[str, tuple[Any, ...]]] = []

    def notify(self, event: str, *subjects: Any) -> None:
        self.received.append((event, subjects))


def given() -> list[str]:
    return [
        name
        for name, one in vars(Observers).items()
        if inspect.isfunction(one) and not name.startswith("_") and name not in ("add", "acting", "changed")
    ]


def test_every_event_reaches_every_observer() -> None:
    observers, first, second = Observers(Faults(Clock())), RecordingObserver(), RecordingObserver()
    observers.add(first)
    observers.add(second)
    for name in given():
        method = getattr(observers, name)
        subjects = tuple(range(len(inspect.signature(method).parameters)))
        method(*subjects)
        assert first.received[-1][1] == second.received[-1][1] == subjects
    names = [event for event, _ in first.received]
    assert len(names) == len(set(names)) == len(given())


def test_an_observer_need_not_care() -> None:
    Observer().notify("anything", 1)


def test_the_life_of_things() -> None:
    broker, observer = Broker(), RecordingObserver()
    broker.observers.add(observer)
    vhost = broker.add_vhost("v")
    made = vhost.declare_queue("q", durable=True, auto_delete=False, owner=None, arguments={}, user="u")
    source = vhost.exchanges["amq.fanout"]
    vhost.bind(source, made, "", {})
    vhost.delete_queue(made)
    broker.set_alarm("disk")
    broker.clear_alarm("disk")
    broker.delete_vhost("v")
    assert [event for event, _ in observer.received if event != "exchange.created"] == [
        "vhost.created",
        "queue.created",
        "binding.created",
        "binding.deleted",
        "queue.deleted",
        "alarm.set",
        "alarm.cleared",
        "vhost.deleted",
    ]
