"""The log exchange: publishes log records to amq.rabbitmq.log (docs: logging, log exchange).

The routing key is the level, the body is the formatted record. As in RabbitMQ (rabbit_logger_exchange_h), a record is
published after the operation that caused it, and what becomes of it is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from leveret.engine.changes import Change, VhostAdopted, VhostCreated
from leveret.engine.names import LOG_EXCHANGE
from leveret.engine.observers import Observer, on
from leveret.queues.message import Message, frame_content
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field

if TYPE_CHECKING:
    from leveret.engine.broker import Broker

#: Records that wait for their publication at most. More of them come only from a fault that logs without end.
_WAITING = 10_000


class Record(NamedTuple):
    """One log record. `level`: its name, `moment`: seconds since the epoch."""

    level: str
    body: bytes
    moment: int


def declare(broker: Broker) -> None:
    """Declare the exchange, if the default virtual host is there."""
    vhost = broker.vhosts.get(broker.settings.access.default_vhost)
    if vhost is not None and LOG_EXCHANGE not in vhost.exchanges:
        vhost.declare_internal_exchange(LOG_EXCHANGE)


class LogExchange(Observer):
    """Publishes records in the default virtual host, while there is one. `content_type`: that of the format."""

    def __init__(self, broker: Broker, content_type: str) -> None:
        self.broker = broker
        self.content_type = content_type
        self.vhost = broker.settings.access.default_vhost
        self._waiting: list[Record] = []
        self._publishing = False

    def declare(self) -> None:
        """Declare the exchange, if its virtual host is there."""
        declare(self.broker)

    @on(VhostCreated, VhostAdopted)
    def _vhost_created(self, change: Change) -> None:
        self.declare()

    def add(self, record: Record) -> None:
        """Publish a record after the current operation. What its publication logs is not published again."""
        if self._publishing or len(self._waiting) >= _WAITING:
            return
        if not self._waiting:
            context = self.broker.context
            context.message_time.call_at(context.clock.now, self.publish)
        self._waiting.append(record)

    def publish(self) -> None:
        """Publish all records that wait."""
        waiting, self._waiting = self._waiting, []
        vhost = self.broker.vhosts.get(self.vhost)
        exchange = vhost.exchanges.get(LOG_EXCHANGE) if vhost is not None else None
        if vhost is None or exchange is None or not exchange.bindings:
            return
        self._publishing = True
        try:
            for record in waiting:
                vhost.publisher.publish(exchange, self._message(record), "log exchange")
            vhost.publish_dead_letters()
        finally:
            self._publishing = False

    def _message(self, record: Record) -> Message:
        node = Field("S", self.broker.settings.server.node_name.encode())
        properties = Properties(
            content_type=self.content_type, headers={"node": node}, timestamp=record.moment
        )
        message = Message(LOG_EXCHANGE.encode(), record.level.encode())
        message.content, message.head = frame_content(
            encode_properties(properties, len(record.body)), record.body
        )
        message.size = len(record.body)
        return message
