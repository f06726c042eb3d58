"""The firehose: while a virtual host is traced, amq.rabbitmq.trace tells of publishes and deliveries (docs: firehose).

`publish.{exchange}` is told when a message was routed, before a queue has it and whether or not the transaction around
it will be committed; `deliver.{queue}` when it goes to a consumer or answers basic.get. Bodies are as they were;
properties lie in a header (rabbit_trace:msg_to_table). What the broker moves by itself (dead letters, returns,
confirms) is not told.

Channels know the firehose as `context.firehose`, None while it is off, and look there only where a route or the names
of a delivery are not the last ones; `VirtualHost.tracing` makes everybody look again when it is switched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
        """A message was accepted and routed to `targets`."""
        self._guard(self._published, channel, message, targets)

    def delivered(self, channel: ClientChannel, message: Message, queue: Queue, redelivered: bool) -> None:
        """A message goes from `queue` to a client."""
        self._guard(self._delivered, channel, message, queue, redelivered)

    def _guard(self, publish: Callable[..., None], channel: ClientChannel, *subjects: Any) -> None:
        """Whoever is traced does not suffer from it."""
        connection = channel.connection.name
        self.faults.guard(_PLACE, publish, channel, *subjects, connection=connection, vhost=self.vhost)

    def _published(self, channel: ClientChannel, message: Message, targets: list[Destination]) -> None:
        if _describes_trace(message):
            return
        names = [_octets(queue.name) for queue in targets]
        if message.exchange == b"":  # RabbitMQ does not look whether such queues exist
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
    """The firehose does not tell of itself, nor of what it becomes by dead lettering: RabbitMQ circles there."""
    if message.exchange == _TRACE:
        return True
    return message.extra is not None and any(death.exchange == _TRACE for death in message.extra.deaths)


def _keys(message: Message) -> list[bytes]:
    return [message.routing_key, *(message.extra.more if message.extra is not None else ())]


def _properties(message: Message) -> Table:
    """The properties that are there, last one first; numbers have 32 bits (rabbit_trace:msg_to_table)."""
    properties = decode_properties(message.header)
    table: Table = {}
    for name in reversed(Properties.__slots__):
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
