"""A port behind the routing of publishes and before deliveries: whoever is plugged in may change them.

`Broker.intercept` sets it. Channels look for it only when they route, and remember no routes while there is one, so it
costs nothing while it is None. Two things use it: RabbitMQ's message interceptors (`message_headers.py`), and tests,
which refuse a publish or let it wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from leveret.engine.clients import ClientChannel
    from leveret.queues.message import Destination, Message


class PublishInterceptor(Protocol):
    """Changes where publishes of clients go."""

    def routed(
        self, channel: ClientChannel, message: Message, targets: list[Destination]
    ) -> list[Destination]:
        """Return where a message goes that was accepted and routed to `targets`; the same list if nothing changes.

        The message may be changed: no queue has it yet.
        """


class Interceptor(PublishInterceptor, Protocol):
    """Changes publishes of clients, and what they get."""

    def published(self, message: Message) -> None:
        """Change a message that was published over HTTP; no queue has it yet."""

    def delivered(self, message: Message) -> Message:
        """Return what a client gets in place of a message: a copy with the same exchange and routing key, or itself."""
