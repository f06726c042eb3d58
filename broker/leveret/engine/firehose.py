"""The firehose: copies publishes and deliveries of a traced virtual host to amq.rabbitmq.trace (docs: firehose).

A message is copied with key `publish.{exchange}` when it was routed, before it is in a queue, even in a transaction
that is rolled back later; with key `deliver.{queue}` when it is delivered or returned by basic.get. Bodies are
unchanged; the properties are in a header (rabbit_trace:msg_to_table). Messages that the broker publishes itself (dead
letters), returns and confirms are not copied.

Channels find the firehose in `context.firehose`, None while it is off. They check it only if a route is not cached, or
if the names of a delivery differ from the last ones; `VirtualHost.tracing` has them check again when it is switched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine.names import REPLY_TO
from leveret.queues.message import Destination, Message, frame_content
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table

if TYPE_CHECKING:
    from leveret.engine.clients import ClientChannel
    from leveret.engine.context import EngineContext
    from leveret.engine.publisher import Publisher
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange

TRACE = "amq.rabbitmq.trace"

_TRACE = TRACE.encode()
_PLACE = "firehose"
_NUMBERS = ("delivery_mode", "priority", "timestamp")


class Firehose:
    """Traces one virtual host. `exchange`: amq.rabbitmq.trace there."""

    def __init__(self, engine: EngineContext, vhost: str, exchange: Exchange, publisher: Publisher) -> None:
        self.vhost = vhost
        self.exchange = exchange
        self.publisher = publisher
        self.faults = engine.faults
        self.profile = engine.profile
        self.node = engine.settings.server.node_name

    def published(self, channel: ClientChannel, message: Message, targets: list[Destination]) -> None:
        """Copy a message that was accepted and routed to `targets`."""
        self._guard(self._published, channel, message, targets)

    def delivered(self, channel: ClientChannel, message: Message, queue: Queue, redelivered: bool) -> None:
        """Copy a message that is delivered from `queue` to a client."""
        self._guard(self._delivered, channel, message, queue, redelivered)

    def _guard(self, publish: Callable[..., None], channel: ClientChannel, *subjects: object) -> None:
        """Publish a copy. An exception is reported and does not affect the traced channel."""
        connection = channel.connection.name
        self.faults.guard(_PLACE, publish, channel, *subjects, connection=connection, vhost=self.vhost)

    def _published(self, channel: ClientChannel, message: Message, targets: list[Destination]) -> None:
        if _describes_trace(message):
            return
        names = [_octets(queue.name) for queue in targets]
        if message.exchange == b"":  # RabbitMQ does not check that such queues exist
            names = sorted(set(_keys(message)))
            if not self.profile.reply_addresses_traced:
                names = [name for name in names if not name.startswith(REPLY_TO.encode() + b".")]
        table = self._table(message) | self._place(channel)
        table["routed_queues"] = _strings(names)
        self._publish(b"publish." + message.exchange, table, message)

    def _delivered(self, channel: ClientChannel, message: Message, queue: Queue, redelivered: bool) -> None:
        if _describes_trace(message):
            return
        if queue.name.startswith(REPLY_TO + ".") and not self.profile.volatile_reply_queues:
            return
        table = self._table(message)
        table["redelivered"] = Field("I", int(redelivered))
        self._publish(b"deliver." + _octets(queue.name), table | self._place(channel), message)

    def _table(self, message: Message) -> Table:
        return {
            "exchange_name": Field("S", message.exchange),
            "routing_keys": _strings(_keys(message)),
            "properties": Field("F", _properties(message)),
            "node": Field("S", self.node.encode()),
        }

    def _place(self, channel: ClientChannel) -> Table:
        return {
            "vhost": Field("S", _octets(self.vhost)),
            "connection": Field("S", _octets(channel.connection.name)),
            "channel": Field("I", channel.number),
            "user": Field("S", _octets(channel.connection.actor.user)),
        }

    def _publish(self, key: bytes, table: Table, message: Message) -> None:
        if self.profile.headers_sorted:
            table = dict(sorted(table.items()))
        given = Message(_TRACE, key[:255])
        header = encode_properties(Properties(headers=table), message.size)
        given.content, given.head = frame_content(header, message.body)
        given.size = message.size
        self.publisher.publish(self.exchange, given, _PLACE)


def _describes_trace(message: Message) -> bool:
    """Return whether a message is a copy, or a dead letter of one: those are not copied again. RabbitMQ has an endless
    loop there."""
    if message.exchange == _TRACE:
        return True
    return message.extra is not None and any(death.exchange == _TRACE for death in message.extra.deaths)


def _keys(message: Message) -> list[bytes]:
    return [message.routing_key, *(message.extra.more if message.extra is not None else ())]


def _properties(message: Message) -> Table:
    """Return the message's properties, last one first; numbers have 32 bits (rabbit_trace:msg_to_table)."""
    properties = decode_properties(message.header)
    table: Table = {}
    for name in reversed(Properties.__struct_fields__):
        value = getattr(properties, name)
        if value is None:
            continue
        if name == "headers":
            table[name] = Field("F", value)
        elif name in _NUMBERS:
            table[name] = Field("I", (value + (1 << 31)) % (1 << 32) - (1 << 31))
        else:
            table[name] = Field("S", _octets(value))
    return table


def _strings(names: list[bytes]) -> Field:
    return Field("A", [Field("S", name) for name in names])


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
