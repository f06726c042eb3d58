"""What the toolkit does to publishes behind their routing: one interceptor for all parts of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.engine.broker import Broker as Engine
    from leveret.engine.clients import ClientChannel
    from leveret.engine.interceptor import PublishInterceptor
    from leveret.queues.message import Destination, Message


class Interception:
    """Interceptors of one engine, in order. It is plugged in only while there are some.

    `first`: what the settings of the engine have plugged in, or None.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.first = engine.context.interceptor
        self.parts: list[PublishInterceptor] = []

    def plug(self, part: PublishInterceptor, on: bool) -> None:
        """Add an interceptor, or remove it."""
        if on and part not in self.parts:
            self.parts.append(part)
        elif not on and part in self.parts:
            self.parts.remove(part)
        wanted = self if self.parts else self.first
        if self.engine.context.interceptor is not wanted:
            self.engine.intercept(wanted)

    def routed(
        self, channel: ClientChannel, message: Message, targets: list[Destination]
    ) -> list[Destination]:
        """Return where a message goes."""
        for part in [self.first, *self.parts] if self.first is not None else list(self.parts):
            targets = part.routed(channel, message, targets)
        return targets

    def published(self, message: Message) -> None:
        """Change a message that was published over HTTP."""
        if self.first is not None:
            self.first.published(message)

    def delivered(self, message: Message) -> Message:
        """Return what a client gets in place of a message."""
        return self.first.delivered(message) if self.first is not None else message
