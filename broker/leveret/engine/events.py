"""The event exchange: what happens in the broker as messages to amq.rabbitmq.event (docs: event-exchange).

RabbitMQ's plugin rabbitmq_event_exchange: the routing key is the event's name, the body is empty, what happened stands
in headers. Terms that are no AMQP values are shown as Erlang prints them (rabbit_exchange_type_event:fmt/2).

An event is described when it happens and published when that operation is over, in order, by the agenda: what it tells
of may be half done, and its own queue may be what is being deleted. Nothing is described while nothing is bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leveret.engine.names import INTERNAL_USER
from leveret.engine.observers import Observer
from leveret.queues.message import Message, frame_content
from leveret.routing.bindings import sorted_table
from leveret.wire.erlang import pretty
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table, term

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost

EVENTS = "amq.rabbitmq.event"
PLUGIN = "rabbitmq_event_exchange"

#: Events that RabbitMQ tells under the name of another.
_NAMES = {"consumer.cancelled": "consumer.deleted", "binding.repeated": "binding.created"}

_WHO = "user_who_performed_action"

#: What one event says, in the order of RabbitMQ before it sorted headers.
Fields = dict[str, Any]


class EventExchange(Observer):
    """Publishes events in the virtual host called `vhost`, as soon as there is one."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self.broker = broker
        self.vhost = vhost
        self.node = broker.settings.server.node_name
        self._waiting: list[tuple[str, Table, int]] = []
        self._pids: dict[int, str] = {}
        self._last_pid = 0
        self._describe: dict[str, Callable[..., Fields]] = {
            "connection.created": self._connection_created,
            "connection.closed": self._connection_closed,
            "user.authentication.success": self._authenticated,
            "user.authentication.failure": self._not_authenticated,
            "channel.created": self._channel_created,
            "channel.closed": self._channel_closed,
            "queue.created": self._queue_created,
            "queue.deleted": self._queue_deleted,
            "exchange.created": self._exchange_created,
            "exchange.deleted": self._exchange_deleted,
            "binding.created": self._binding,
            "binding.deleted": self._binding,
            **({"binding.repeated": self._binding} if broker.profile.queue_kinds_shown else {}),
            "consumer.created": self._consumer_created,
            "consumer.deleted": self._consumer_deleted,
            "consumer.cancelled": self._consumer_cancelled,
            "alarm.set": self._alarm,
            "alarm.cleared": self._alarm,
            "vhost.created": self._vhost,
            "vhost.updated": self._vhost_updated,
        }

    def declare(self, vhost: VirtualHost) -> None:
        """Add the exchange to its virtual host."""
        vhost.declare_exchange(
            EVENTS,
            "topic",
            durable=True,
            auto_delete=False,
            internal=True,
            arguments={},
            user=INTERNAL_USER,
        )

    # --- an event

    def notify(self, event: str, *subjects: Any) -> None:
        """Describe what happened, to be published when it is over."""
        place = self.broker.vhosts.get(self.vhost)
        if event == "vhost.created" and place is subjects[0]:
            self.declare(place)
        exchange = place.exchanges.get(EVENTS) if place is not None else None
        if exchange is not None and exchange.bindings:
            if event == "vhost.deleted":
                self._vhost_deleted(subjects[0])
            elif (describe := self._describe.get(event)) is not None:
                self._note(_NAMES.get(event, event), describe(*subjects))
            elif subjects and isinstance(subjects[0], dict):
                self._note(event, self._acted(subjects[0]))
        if event in ("connection.closed", "channel.closed"):
            self._pids.pop(id(subjects[0]), None)

    def _note(self, event: str, given: Fields) -> None:
        now = self.broker.clock.now
        table = {name: _field(value) for name, value in (given | {"timestamp_in_ms": now}).items()}
        if self.broker.profile.headers_sorted:
            table = dict(sorted(table.items()))
        if not self._waiting:
            self.broker.agenda.call_at(now, self.publish)
        self._waiting.append((event, table, now))

    def publish(self) -> None:
        """Everything that has happened, as messages."""
        waiting, self._waiting = self._waiting, []
        vhost = self.broker.vhosts.get(self.vhost)
        if vhost is None or EVENTS not in vhost.exchanges:
            return
        exchange = vhost.exchanges[EVENTS]
        for event, table, now in waiting:
            message = Message(EVENTS.encode(), event.encode())
            properties = Properties(headers=table, delivery_mode=2, timestamp=now // 1000)
            message.content, message.head = frame_content(encode_properties(properties, 0), b"")
            message.persistent = True
            vhost.hand_on(message, vhost.route(exchange, message), "event exchange")
        vhost.publish_dead_letters()

    def _acted(self, given: Fields) -> Fields:
        """With who did it, first, where that is not said."""
        return {_WHO: self.broker.observers.actor} | given if _WHO not in given else given

    def _pid(self, subject: Any) -> str:
        """A connection or channel as Erlang would name its process."""
        pid = self._pids.get(id(subject))
        if pid is None:
            self._last_pid += 1
            pid = f"<{self.node}.{self.broker.started_at // 1000}.{self._last_pid}.0>"
            self._pids[id(subject)] = pid
        return pid

    # --- connections and channels

    def _connection_created(self, connection: Any) -> Fields:
        peer = connection.peer
        tls = dict.fromkeys(("ssl_hash", "ssl_cipher", "ssl_key_exchange", "ssl_protocol"), "")
        names = ["peer_cert_validity", "peer_cert_issuer", "peer_cert_subject"]
        if self.broker.profile.certificate_serial_shown:
            names.append("peer_cert_serial_number")
        return {
            _WHO: connection.user.name,
            "node": self.node,
            "connected_at": connection.connected_at,
            "client_properties": _terms(connection.client_properties),
            "channel_max": connection.channel_max,
            "frame_max": connection.frame_max,
            "timeout": connection.heartbeat,
            "vhost": connection.vhost.name,
            "user": connection.user.name,
            "protocol": "{0,9,1}",
            **tls,
            "auth_mechanism": connection.mechanism,
            **dict.fromkeys(names, ""),
            "ssl": peer.tls,
            "peer_host": _address(peer.peer_host),
            "host": _address(peer.host),
            "peer_port": peer.peer_port,
            "port": peer.port,
            "name": connection.name,
            "pid": self._pid(connection),
            "type": "network",
        }

    def _connection_closed(self, connection: Any) -> Fields:
        return {
            "client_properties": _terms(connection.client_properties),
            "node": self.node,
            "pid": self._pid(connection),
            "name": connection.name,
        }

    def _authenticated(self, connection: Any) -> Fields:
        peer = connection.peer
        return {
            "ssl": peer.tls,
            "auth_mechanism": connection.mechanism,
            "protocol": "{0,9,1}",
            "peer_port": peer.peer_port,
            "peer_host": _address(peer.peer_host),
            "connection_name": connection.name,
            "host": _address(peer.host),
            "name": connection.login or "",
            "connection_type": "network",
        }

    def _not_authenticated(self, connection: Any, reason: str) -> Fields:
        return {"error": [ord(char) for char in reason]} | self._authenticated(connection)

    def _channel_created(self, channel: Any) -> Fields:
        connection = channel.connection
        return {
            _WHO: connection.user.name,
            "vhost": channel.vhost.name,
            "user": connection.user.name,
            "number": channel.number,
            "connection": self._pid(connection),
            "name": f"{connection.name} ({channel.number})",
            "pid": self._pid(channel),
        }

    def _channel_closed(self, channel: Any, consumers: int) -> Fields:
        given = {_WHO: channel.connection.user.name, "pid": self._pid(channel)}
        return given | ({"consumer_count": consumers} if self.broker.profile.queue_kinds_shown else {})

    # --- topology

    def _queue_created(self, vhost: VirtualHost, queue: Any) -> Fields:
        profile, exclusive = self.broker.profile, queue.owner is not None
        table = sorted_table(queue.arguments) if profile.queue_type_injected else queue.arguments
        given: Fields = {"arguments": _terms(table)}
        if queue.kind == "classic":
            owner = self._pid(queue.owner) if exclusive else ""
            given = {"exclusive": exclusive, "owner_pid": owner} | given
            if profile.queue_kinds_shown:
                given |= {"leader": self.node, "members": [self.node]}
        if queue.kind != "classic" or profile.queue_kinds_shown:
            given |= {"type": f"rabbit_{queue.kind}_queue", "exclusive": exclusive}
        given |= {"auto_delete": queue.auto_delete, "durable": queue.durable}
        return self._acted(given | {"name": queue.name, "vhost": vhost.name})

    def _queue_deleted(self, vhost: VirtualHost, queue: Any) -> Fields:
        given = self._acted({"name": queue.name, "vhost": vhost.name})
        if self.broker.profile.queue_kinds_shown:
            given["type"] = f"rabbit_{queue.kind}_queue"
        return given

    def _exchange_created(self, vhost: VirtualHost, exchange: Any) -> Fields:
        policy = exchange.policy.policy if exchange.policy is not None else None
        return self._acted(
            {
                "policy": policy.name if policy is not None else "",
                "arguments": _terms(exchange.arguments),
                "internal": exchange.internal,
                "auto_delete": exchange.auto_delete,
                "durable": exchange.durable,
                "type": exchange.type,
                "name": exchange.name,
                "vhost": vhost.name,
            }
        )

    def _exchange_deleted(self, vhost: VirtualHost, exchange: Any) -> Fields:
        return self._acted({"name": exchange.name, "vhost": vhost.name})

    def _binding(self, vhost: VirtualHost, binding: Any) -> Fields:
        return self._acted(
            {
                "vhost": vhost.name,
                "arguments": _terms(sorted_table(binding.arguments)),
                "routing_key": binding.routing_key,
                "destination_kind": binding.destination_type,
                "destination_name": binding.destination.name,
                "source_kind": "exchange",
                "source_name": binding.source,
            }
        )

    def _consumer_created(self, channel: Any, consumer: Any) -> Fields:
        return {
            _WHO: channel.connection.user.name,
            "arguments": _terms(consumer.arguments),
            "prefetch_count": channel.prefetch,
            "queue": consumer.source.name,
            "vhost": channel.vhost.name,
            "channel": self._pid(channel),
            "ack_required": not consumer.no_ack,
            "exclusive": consumer.exclusive,
            "consumer_tag": consumer.tag,
        }

    def _consumer_deleted(self, channel: Any, consumer: Any) -> Fields:
        return self._acted(self._consumer_cancelled(channel, consumer))

    def _consumer_cancelled(self, channel: Any, consumer: Any) -> Fields:
        """The channel's own word of a consumer whose queue is gone; it does not know by whose doing."""
        return {
            "queue": consumer.source.name,
            "vhost": channel.vhost.name,
            "channel": self._pid(channel),
            "consumer_tag": consumer.tag,
        }

    # --- the broker

    def _alarm(self, source: str) -> Fields:
        return {"node": self.node, "source": source}

    def _vhost(self, vhost: VirtualHost) -> Fields:
        kind = vhost.default_queue_type or self.broker.settings.amqp.default_queue_type
        tags = ",".join(vhost.tags)
        metadata = f"#{{description => {pretty(vhost.description.encode())},tags => [{tags}]"
        if self.broker.profile.queue_kinds_shown:
            metadata += f",default_queue_type => {pretty(kind.encode())}"
        protection = {"protected_from_deletion": False} if self.broker.profile.vhosts_protected else {}
        return self._acted(
            protection
            | {
                "cluster_state": {self.node: "running"},
                "tracing": vhost.tracing,
                "metadata": metadata + "}",
                "default_queue_type": kind if self.broker.profile.queue_kinds_shown else "undefined",
                "tags": list(vhost.tags),
                "description": vhost.description,
                "name": vhost.name,
            }
        )

    def _vhost_updated(self, vhost: VirtualHost) -> Fields:
        protection = {"deletion_protection": False} if self.broker.profile.vhosts_protected else {}
        return protection | self._vhost(vhost)

    def _vhost_deleted(self, vhost: VirtualHost) -> None:
        for name in sorted(vhost.exchanges):
            self._note("exchange.deleted", self._acted({"name": name, "vhost": vhost.name}))
        self._note("vhost.deleted", self._acted({"name": vhost.name}))
        down = {_WHO: INTERNAL_USER, "name": vhost.name, "node": self.node}
        self._note("vhost.down", down)


def _terms(table: Table) -> list[str]:
    """A field table as the plugin shows it: each field as Erlang's term."""
    return [pretty((name.encode("utf-8", "surrogateescape"), *term(field))) for name, field in table.items()]


def _address(host: str) -> str:
    """An address as Erlang prints it: `{127,0,0,1}`."""
    if ":" not in host:
        return "{" + host.replace(".", ",") + "}"
    head, gap, tail = host.partition("::")
    left, right = ([int(word, 16) for word in part.split(":") if word] for part in (head, tail))
    middle = [0] * (8 - len(left) - len(right)) if gap else []
    return "{" + ",".join(str(word) for word in (*left, *middle, *right)) + "}"


def _field(value: Any) -> Field:
    """A value as the plugin types it: whole numbers have 64 bits, texts are long strings."""
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        return Field("l", value)
    if isinstance(value, float):
        return Field("f", value)
    if isinstance(value, bytes):
        return Field("S", value)
    if isinstance(value, list | tuple):
        return Field("A", [_field(one) for one in value])
    if isinstance(value, dict):
        return Field("F", {name: _field(one) for name, one in value.items()})
    return Field("S", str(value).encode("utf-8", "surrogateescape"))
