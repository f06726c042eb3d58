"""Events as `rabbitmq-diagnostics consume_event_stream` shows them: those of the event exchange, as JSON."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from leveret.engine.broker import Broker
from leveret.engine.changes import Change
from leveret.engine.events import EventExchange
from leveret.engine.observers import Observer
from leveret.rendering.formatters import encoded
from leveret.wire.tables import plain

#: Events that wait for a command that does not read; later ones are left out.
MOST_WAITING = 10_000


class EventStream(EventExchange):
    """Describes events and gives those whose names match to one command, as long as it listens."""

    def __init__(self, broker: Broker, pattern: re.Pattern[str]) -> None:
        super().__init__(broker, "")
        self.observers = broker.observers
        self.pattern = pattern
        self.described: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)

    def notify(self, change: Change) -> None:
        """Describe a change."""
        Observer.notify(self, change)

    def publish(self) -> None:
        """Give away what was described."""
        waiting, self._waiting = self._waiting, []
        for event, table, _ in waiting:
            if self.pattern.search(event) and not self.described.full():
                fields = {"event": event} | plain(table)
                self.described.put_nowait(encoded(fields) + "\n")

    async def follow(self) -> AsyncIterator[str]:
        """Yield events as they happen."""
        self.observers.add(self)
        try:
            while True:
                yield await self.described.get()
        finally:
            self.observers.remove(self)
