"""Notification of changes: the log, the event exchange, statistics and the catalogue are observers.

An observer is a class whose methods are marked with the kinds of change that they handle:

    class Log(Observer):
        @on(QueueDeleted)
        def _queue_deleted(self, change: QueueDeleted) -> None: ...

An exception in one observer does not keep the others from being notified. Those of `essential` observers are raised
again after that; all others are reported as faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from leveret.engine.changes import Change
from leveret.faults import Faults

C = TypeVar("C", bound=Change)
S = TypeVar("S")


def on(*kinds: type[C]) -> Callable[[Callable[[S, C], None]], Callable[[S, C], None]]:
    """Mark a method of an `Observer` as the handler of these kinds of change."""

    def mark(handler: Callable[[S, C], None]) -> Callable[[S, C], None]:
        handler.handled_changes = kinds  # type: ignore[attr-defined]  # a function
        return handler

    return mark


class Observer:
    """Handles the changes that it has methods for. `essential`: a change must not be answered if this observer
    fails."""

    essential = False

    #: Kind of change -> unbound method. `Any`: each takes its own class and kind.
    _handlers: ClassVar[dict[type[Change], Callable[[Any, Any], None]]] = {}

    def __init_subclass__(cls) -> None:
        cls._handlers = dict(cls._handlers)
        for handler in vars(cls).values():
            for kind in getattr(handler, "handled_changes", ()):
                cls._handlers[kind] = handler

    def notify(self, change: Change) -> None:
        """Call the handler of this kind of change, if there is one."""
        handler = self._handlers.get(type(change))
        if handler is not None:
            handler(self, change)


class Observers:
    """All observers of a broker, notified in the order in which they were added."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.all: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Notify `observer` of changes from now on."""
        self.all.append(observer)

    def remove(self, observer: Observer) -> None:
        """Notify `observer` no longer."""
        self.all.remove(observer)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Notify nobody meanwhile: what is restored is no change."""
        notified, self.all = self.all, []
        try:
            yield
        finally:
            self.all = notified + self.all

    def notify(self, change: Change) -> None:
        """Notify all observers. The exception of an essential one is raised after the others were notified."""
        failed: Exception | None = None
        for observer in self.all:
            try:
                observer.notify(change)
            except Exception as error:
                if observer.essential:
                    failed = error
                else:
                    names = {"observer": type(observer).__name__, "change": type(change).__name__}
                    self.faults.report("observer", error, **names)
        if failed is not None:
            raise failed
