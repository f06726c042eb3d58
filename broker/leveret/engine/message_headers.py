"""Headers that the broker adds to messages of clients (message_interceptors.* of rabbitmq.conf).

RabbitMQ sets them before it routes, as annotations, and a headers exchange sees those that begin with `x-`. Here they
are set behind the routing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.queues.message import Message, frame_content
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table

if TYPE_CHECKING:
    from leveret.clock import Clock
    from leveret.engine.clients import ClientChannel
    from leveret.queues.message import Destination
    from leveret.settings import Amqp

ROUTED_BY = "x-routed-by"
RECEIVED = "timestamp_in_ms"
SENT = "x-opt-rabbitmq-sent-time"


def interceptor(settings: Amqp, node: str, clock: Clock) -> MessageHeaders | None:
    """Make the interceptor that the settings ask for; None if they ask for nothing."""
    if settings.routing_node_header == settings.timestamp_header == "" and not settings.sent_time_header:
        return None
    return MessageHeaders(settings, node, clock)


class MessageHeaders:
    """Adds headers: the node and the time of a publish, and the time of a delivery. `clock`: message time."""

    def __init__(self, settings: Amqp, node: str, clock: Clock) -> None:
        self.settings = settings
        self.node = Field("S", node.encode())
        self.clock = clock

    def routed(
        self, channel: ClientChannel, message: Message, targets: list[Destination]
    ) -> list[Destination]:
        """Add the headers of a publish."""
        self.published(message)
        return targets

    def published(self, message: Message) -> None:
        """Add the headers of a publish (rabbit_msg_interceptor_routing_node, rabbit_msg_interceptor_timestamp)."""
        if not self.settings.routing_node_header and not self.settings.timestamp_header:
            return
        properties = decode_properties(message.header)
        headers = dict(properties.headers or {})
        setting = self.settings.routing_node_header
        if setting == "overwrite" or (setting and ROUTED_BY not in headers):
            headers[ROUTED_BY] = self.node
        if self.settings.timestamp_header:
            now = self.clock.now
            overwrite = self.settings.timestamp_header == "overwrite"
            if overwrite or RECEIVED not in headers:
                headers[RECEIVED] = Field("l", now)
            if overwrite or properties.timestamp is None:
                properties.timestamp = now // 1000
        message.content, message.head = _content(properties, headers, message)

    def delivered(self, message: Message) -> Message:
        """Return a copy with the time of the delivery."""
        if not self.settings.sent_time_header:
            return message
        properties = decode_properties(message.header)
        headers = {**(properties.headers or {}), SENT: Field("l", self.clock.now)}
        copy = Message(message.exchange, message.routing_key)
        copy.content, copy.head = _content(properties, headers, message)
        copy.size = message.size
        return copy


def _content(properties: Properties, headers: Table, message: Message) -> tuple[bytes, int]:
    properties.headers = dict(
        sorted(headers.items(), key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    )
    return frame_content(encode_properties(properties, message.size), message.body)
