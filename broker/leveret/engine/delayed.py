"""Messages that x-delayed-message exchanges hold up, and when they go on (docs: rabbitmq_delayed_message_exchange).

While a message waits it counts as unroutable: its publisher is answered at once. When it is due its `x-delay` header
turns negative and it is routed as the exchange's inner type says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from leveret.queues.message import Extra, Message, frame_content
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost


class Waiting(NamedTuple):
    """One message and the moment it is due, ms since the epoch."""

    exchange: str
    message: Message
    due_at: int


class DelayedMessages:
    """What waits in one virtual host, by number in order of arrival."""

    def __init__(self, vhost: VirtualHost) -> None:
        self.vhost = vhost
        self.waiting: dict[int, Waiting] = {}
        self._last = 0

    def hold(self, exchange: Any, message: Message, delay: int) -> None:
        """Keep a message for `delay` ms. Additional keys (CC, BCC) stay with it."""
        self._last += 1
        number = self._last
        due_at = self.vhost.broker.clock.now + delay
        self.waiting[number] = Waiting(exchange.name, message, due_at)
        exchange.messages_delayed += 1
        self.vhost.broker.agenda.call_at(due_at, lambda: self._release(number))

    def _release(self, number: int) -> None:
        held = self.waiting.pop(number)
        exchange = self.vhost.exchanges.get(held.exchange)
        if exchange is None or exchange.type != "x-delayed-message" or self.vhost.gone:
            return
        exchange.messages_delayed -= 1  # type: ignore[attr-defined]
        message = _spent(held.message)
        self.vhost.deliver(message, self.vhost.route(exchange, message))
        self.vhost.bury()


def _spent(message: Message) -> Message:
    """The message with its delay behind it: x-delay negated."""
    properties = decode_properties(message.header)
    headers = dict(properties.headers or {})
    field = headers["x-delay"]
    value = field.value if isinstance(field.value, int | float) else int(field.value)
    headers["x-delay"] = Field(field.kind if field.kind in "bsIlfd" else "l", -value)
    properties.headers = headers
    spent = Message(message.exchange, message.routing_key)
    spent.content, spent.head = frame_content(encode_properties(properties, message.size), message.body)
    spent.size, spent.persistent = message.size, message.persistent
    spent.priority, spent.expiration = message.priority, message.expiration
    if message.extra is not None:
        spent.extra = Extra()
        spent.extra.more = message.extra.more
    return spent
