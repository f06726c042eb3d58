"""Messages that x-delayed-message exchanges hold up, and when they go on (docs: rabbitmq_delayed_message_exchange).

While a message waits it counts as unroutable: its publisher is answered at once. When it is due its `x-delay` header
turns negative and it is routed as the exchange's inner type says.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from leveret.queues.message import Extra, Message, frame_content
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost


#: The type of exchanges that hold messages up.
KIND = "x-delayed-message"


class Waiting(NamedTuple):
    """One message and the moment it is due, ms since the epoch."""

    exchange: str
    message: Message
    due_at: int


class DelayedMessages:
    """What waits in one virtual host, by number in order of arrival.

    It waits for the exchange of that name: one that is deleted and declared again gets what its predecessor held.
    """

    def __init__(self, vhost: VirtualHost) -> None:
        self.vhost = vhost
        self.waiting: dict[int, Waiting] = {}
        self._counts: Counter[str] = Counter()
        self._last = 0

    def count(self, exchange: str) -> int:
        """How many messages wait for an exchange."""
        return self._counts[exchange]

    def of(self, exchange: str) -> list[Waiting]:
        """The messages that wait for an exchange, the next to go first."""
        found = [one for one in self.waiting.values() if one.exchange == exchange]
        return sorted(found, key=lambda one: one.due_at)

    def hold(self, exchange: Any, message: Message, delay: int) -> None:
        """Keep a message for `delay` ms. Additional keys (CC, BCC) stay with it."""
        self._last += 1
        number = self._last
        due_at = self.vhost.broker.clock.now + delay
        self.waiting[number] = Waiting(exchange.name, message, due_at)
        self._counts[exchange.name] += 1
        self.vhost.broker.agenda.call_at(due_at, lambda: self._release(number))

    def _release(self, number: int) -> None:
        held = self.waiting.pop(number)
        self._counts[held.exchange] -= 1
        if not self._counts[held.exchange]:
            del self._counts[held.exchange]
        exchange = self.vhost.exchanges.get(held.exchange)
        if exchange is None or exchange.type != KIND or self.vhost.gone:
            return
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
