"""The event exchange: publishes changes in the broker as messages to amq.rabbitmq.event (docs: event-exchange).

This is RabbitMQ's plugin rabbitmq_event_exchange: the routing key is the name of the event, the body is empty, the
details are in headers. Terms that are no AMQP values are shown as Erlang prints them
(rabbit_exchange_type_event:fmt/2).

An event is described when it happens, and published after the operation, in order, by the agenda: at the time of the
event the change may be incomplete, and the queue to publish to may be the one that is deleted. Without bindings nothing
is described.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from leveret.engine import encryption
from leveret.engine.changes import (
    AlarmCleared,
    AlarmSet,
    BindingChange,
    BindingCreated,
    BindingDeleted,
    BindingRepeated,
    Change,
    ChannelClosed,
    ChannelOpened,
    ConnectionClosed,
    ConnectionOpened,
    ConnectionPassedOn,
    ConsumerCancelled,
    ConsumerCreated,
    ConsumerDeleted,
    ExchangeCreated,
    ExchangeDeleted,
    ExchangeDeletionEnded,
    ExchangeDeletionStarted,
    GlobalParameterCleared,
    GlobalParameterSet,
    LoginFailed,
    LoginSucceeded,
    PermissionsCleared,
    PermissionsSet,
    PolicyCleared,
    PolicySet,
    QueueCreated,
    QueueDeleted,
    TopicPermissionsCleared,
    TopicPermissionsSet,
    UserCreated,
    UserDeleted,
    UserLimitsCleared,
    UserLimitsSet,
    UserPasswordChanged,
    UserPasswordCleared,
    UserTagsSet,
    VhostAdopted,
    VhostChange,
    VhostCreated,
    VhostDeleted,
    VhostExchangesDeleted,
    VhostLimitsCleared,
    VhostLimitsSet,
    VhostUpdated,
)
from leveret.engine.clients import negotiated_frame_max
from leveret.engine.names import EVENT_EXCHANGE, INTERNAL_USER
from leveret.engine.observers import Observer, on
from leveret.engine.other_nodes import Event
from leveret.engine.policies import policy_of
from leveret.queues.message import Message, frame_content
from leveret.queues.queue import Queue
from leveret.routing.bindings import sorted_table
from leveret.wire.erlang import pretty
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table, term

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientConnection, ClientConsumer
    from leveret.engine.vhost import VirtualHost


#: Names this work in the log if an event is lost.
_PLACE = "event exchange"

#: The component of the runtime parameter with which RabbitMQ locks an exchange during its deletion.
_DELETION = "exchange-delete-in-progress"

_WHO = "user_who_performed_action"

#: The fields of one event, in RabbitMQ's order before it sorted headers. `Any`: `_field` converts a value by its class.
Fields = dict[str, Any]

#: Fields of connection.created that tell how it is encrypted, and of the client's certificate, in RabbitMQ's order.
_TLS_FIELDS = ("ssl_hash", "ssl_cipher", "ssl_key_exchange", "ssl_protocol")
_CERTIFICATE_FIELDS = (
    "peer_cert_validity",
    "peer_cert_issuer",
    "peer_cert_subject",
    "peer_cert_serial_number",
)


class EventExchange(Observer):
    """Publishes events in the virtual host `vhost`, while there is one. If another node serves it, that one does."""

    def __init__(self, broker: Broker, vhost: str) -> None:
        self.broker = broker
        self.engine = engine = broker.context
        self.profile = engine.profile
        self.vhosts = broker.vhosts
        self.vhost = vhost
        self.node = engine.settings.server.node_name
        self._waiting: list[Event] = []
        self._pids: dict[int, str] = {}
        self._last_pid = 0

    def declare(self, vhost: VirtualHost) -> None:
        """Declare the exchange in its virtual host."""
        vhost.declare_internal_exchange(EVENT_EXCHANGE)

    # --- an event

    def notify(self, change: Change) -> None:
        """Describe a change if the exchange has bindings. It is published after the operation."""
        vhost = self.vhosts.get(self.vhost)
        if (
            vhost is not None
            and isinstance(change, VhostCreated | VhostAdopted)
            and change.name == self.vhost
        ):
            self.declare(vhost)
        exchange = vhost.exchanges.get(EVENT_EXCHANGE) if vhost is not None else None
        if self._is_elsewhere or (exchange is not None and exchange.bindings):
            super().notify(change)
        if isinstance(change, ConnectionClosed | ConnectionPassedOn):
            self._pids.pop(id(change.connection), None)
        elif isinstance(change, ChannelClosed):
            self._pids.pop(id(change.channel), None)

    @property
    def _is_elsewhere(self) -> bool:
        return self.broker.other_nodes is not None and self.vhost in self.broker.elsewhere

    def _add(self, event: str, fields: Fields) -> None:
        now = self.engine.clock.now
        table = {name: _field(value) for name, value in (fields | {"timestamp_in_ms": now}).items()}
        if self.profile.headers_sorted:
            table = dict(sorted(table.items()))
        if not self._waiting:
            self.engine.message_time.call_at(now, self.publish)
        self._waiting.append(Event(event, table, now))

    def _add_acted(self, event: str, change: Change, fields: Fields) -> None:
        """Add an event whose first field is the acting user."""
        self._add(event, {_WHO: change.actor.user} | fields)

    def publish(self) -> None:
        """Publish all events that were described."""
        waiting, self._waiting = self._waiting, []
        if self._is_elsewhere and self.broker.other_nodes is not None:
            self.broker.other_nodes.publish_events(self.vhost, waiting)
        else:
            self.publish_here(waiting)

    def publish_here(self, waiting: Sequence[Event]) -> None:
        """Publish events, if the virtual host is here: perhaps those of another node."""
        vhost = self.vhosts.get(self.vhost)
        if vhost is None or EVENT_EXCHANGE not in vhost.exchanges:
            return
        exchange = vhost.exchanges[EVENT_EXCHANGE]

        def publish(event: str, table: Table, now: int) -> None:
            message = Message(EVENT_EXCHANGE.encode(), event.encode())
            properties = Properties(headers=table, delivery_mode=2, timestamp=now // 1000)
            message.content, message.head = frame_content(encode_properties(properties, 0), b"")
            message.persistent = True
            vhost.publisher.publish(exchange, message, _PLACE)

        for one in waiting:  # one that cannot be published does not take the others with it
            self.engine.faults.guard(_PLACE, publish, *one, event=one.name)
        vhost.publish_dead_letters()

    def _pid(self, subject: object) -> str:
        """Return the name of an Erlang process for a connection or channel."""
        pid = self._pids.get(id(subject))
        if pid is None:
            self._last_pid += 1
            pid = f"<{self.node}.{self.engine.started_at // 1000}.{self._last_pid}.0>"
            self._pids[id(subject)] = pid
        return pid

    # --- connections and channels

    @on(ConnectionOpened)
    def _connection_created(self, change: ConnectionOpened) -> None:
        connection = change.connection
        peer = connection.peer
        shown = encryption.shown(peer.encryption, "", serial=self.profile.certificate_serial_shown)
        tls = {name: shown[name] for name in _TLS_FIELDS + _CERTIFICATE_FIELDS if name in shown}
        fields: Fields = {
            "node": self.node,
            "connected_at": connection.connected_at,
            "client_properties": _terms(connection.client_properties),
            "channel_max": connection.channel_max,
            "frame_max": negotiated_frame_max(connection),
            "timeout": connection.heartbeat,
            "vhost": _vhost_name(connection),
            "user": change.actor.user,
            "protocol": "{0,9,1}",
            **{name: tls.pop(name) for name in _TLS_FIELDS},
            "auth_mechanism": connection.mechanism,
            **tls,
            "ssl": peer.encryption is not None,
            "peer_host": _address(peer.peer_host),
            "host": _address(peer.host),
            "peer_port": peer.peer_port,
            "port": peer.port,
            "name": connection.name,
            "pid": self._pid(connection),
            "type": "network",
        }
        self._add_acted("connection.created", change, fields)

    @on(ConnectionClosed)
    def _connection_closed(self, change: ConnectionClosed) -> None:
        connection = change.connection
        fields = {
            "client_properties": _terms(connection.client_properties),
            "node": self.node,
            "pid": self._pid(connection),
            "name": connection.name,
        }
        self._add("connection.closed", fields)

    @on(LoginSucceeded)
    def _login_succeeded(self, change: LoginSucceeded) -> None:
        self._add("user.authentication.success", _login(change.connection))

    @on(LoginFailed)
    def _login_failed(self, change: LoginFailed) -> None:
        fields: Fields = {"error": [ord(char) for char in change.reason]}
        self._add("user.authentication.failure", fields | _login(change.connection))

    @on(ChannelOpened)
    def _channel_created(self, change: ChannelOpened) -> None:
        channel = change.channel
        connection = channel.connection
        fields = {
            "vhost": channel.vhost.name,
            "user": change.actor.user,
            "number": channel.number,
            "connection": self._pid(connection),
            "name": f"{connection.name} ({channel.number})",
            "pid": self._pid(channel),
        }
        self._add_acted("channel.created", change, fields)

    @on(ChannelClosed)
    def _channel_closed(self, change: ChannelClosed) -> None:
        fields: Fields = {"pid": self._pid(change.channel)}
        if self.profile.queue_kinds_shown:
            fields["consumer_count"] = change.consumers
        self._add_acted("channel.closed", change, fields)

    @on(ConsumerCreated)
    def _consumer_created(self, change: ConsumerCreated) -> None:
        consumer = change.consumer
        channel = consumer.channel
        fields = {
            "arguments": _terms(consumer.arguments),
            "prefetch_count": channel.prefetch,
            "queue": _queue_name(consumer),
            "vhost": channel.vhost.name,
            "channel": self._pid(channel),
            "ack_required": not consumer.no_ack,
            "exclusive": consumer.exclusive,
            "consumer_tag": consumer.tag,
        }
        self._add_acted("consumer.created", change, fields)

    @on(ConsumerDeleted)
    def _consumer_deleted(self, change: ConsumerDeleted) -> None:
        self._add_acted("consumer.deleted", change, self._consumer(change.consumer))

    @on(ConsumerCancelled)
    def _consumer_cancelled(self, change: ConsumerCancelled) -> None:
        """Describe a consumer whose queue was deleted: RabbitMQ's channel has a separate event for it, without a
        user."""
        self._add("consumer.deleted", self._consumer(change.consumer))

    def _consumer(self, consumer: ClientConsumer) -> Fields:
        channel = consumer.channel
        return {
            "queue": _queue_name(consumer),
            "vhost": channel.vhost.name,
            "channel": self._pid(channel),
            "consumer_tag": consumer.tag,
        }

    # --- topology

    @on(QueueCreated)
    def _queue_created(self, change: QueueCreated) -> None:
        queue, profile = change.queue, self.profile
        exclusive = queue.owner is not None
        table = sorted_table(queue.arguments) if profile.queue_type_injected else queue.arguments
        fields: Fields = {"arguments": _terms(table)}
        if queue.kind == "classic":
            owner = self._pid(queue.owner) if exclusive else ""
            fields = {"exclusive": exclusive, "owner_pid": owner} | fields
            if profile.queue_kinds_shown:
                fields |= {"leader": self.node, "members": [self.node]}
        if queue.kind != "classic" or profile.queue_kinds_shown:
            fields |= {"type": f"rabbit_{queue.kind}_queue", "exclusive": exclusive}
        fields |= {"auto_delete": queue.auto_delete, "durable": queue.durable}
        self._add_acted("queue.created", change, fields | {"name": queue.name, "vhost": change.vhost})

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        fields = {"name": change.queue.name, "vhost": change.vhost}
        if self.profile.queue_kinds_shown:
            fields["type"] = f"rabbit_{change.queue.kind}_queue"
        self._add_acted("queue.deleted", change, fields)

    @on(ExchangeCreated)
    def _exchange_created(self, change: ExchangeCreated) -> None:
        exchange = change.exchange
        policy = policy_of(exchange).policy
        fields = {
            "policy": policy.name if policy is not None else "",
            "arguments": _terms(exchange.arguments),
            "internal": exchange.internal,
            "auto_delete": exchange.auto_delete,
            "durable": exchange.durable,
            "type": exchange.type,
            "name": exchange.name,
            "vhost": change.vhost,
        }
        self._add_acted("exchange.created", change, fields)

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        self._add_acted("exchange.deleted", change, {"name": change.exchange.name, "vhost": change.vhost})

    @on(ExchangeDeletionStarted)
    def _exchange_deletion_started(self, change: ExchangeDeletionStarted) -> None:
        lock = {"name": change.name, "component": _DELETION, "vhost": change.vhost}
        self._add_acted("parameter.set", change, {"value": True} | lock)

    @on(ExchangeDeletionEnded)
    def _exchange_deletion_ended(self, change: ExchangeDeletionEnded) -> None:
        lock = {"name": change.name, "component": _DELETION, "vhost": change.vhost}
        self._add_acted("parameter.cleared", change, lock)

    @on(BindingCreated)
    def _binding_created(self, change: BindingCreated) -> None:
        self._add_acted("binding.created", change, _binding(change))

    @on(BindingRepeated)
    def _binding_repeated(self, change: BindingRepeated) -> None:
        if self.profile.queue_kinds_shown:
            self._add_acted("binding.created", change, _binding(change))

    @on(BindingDeleted)
    def _binding_deleted(self, change: BindingDeleted) -> None:
        self._add_acted("binding.deleted", change, _binding(change))

    # --- virtual hosts, users and their permissions

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        protection = {"protected_from_deletion": change.protected}
        self._add("vhost.created", self._vhost(change, protection if self.profile.vhosts_protected else {}))

    @on(VhostUpdated)
    def _vhost_updated(self, change: VhostUpdated) -> None:
        if self.profile.vhosts_protected:
            protection = {"protected_from_deletion": change.protected}
            fields = {"deletion_protection": change.protected} | self._vhost(change, protection)
        else:
            fields = self._vhost(change, {})
        self._add("vhost.updated", fields)

    def _vhost(self, change: VhostChange, protection: Fields) -> Fields:
        kind = change.default_queue_type or self.engine.settings.amqp.default_queue_type
        tags = ",".join(change.tags)
        metadata = f"#{{description => {pretty(change.description.encode())},tags => [{tags}]"
        if self.profile.queue_kinds_shown:
            metadata += f",default_queue_type => {pretty(kind.encode())}"
        return (
            {_WHO: change.actor.user}
            | protection
            | {
                "cluster_state": {self.node: "running"},
                "tracing": change.tracing,
                "metadata": metadata + "}",
                "default_queue_type": kind if self.profile.queue_kinds_shown else "undefined",
                "tags": list(change.tags),
                "description": change.description,
                "name": change.name,
            }
        )

    @on(VhostExchangesDeleted)
    def _vhost_exchanges_deleted(self, change: VhostExchangesDeleted) -> None:
        for name in change.exchanges:
            self._add_acted("exchange.deleted", change, {"name": name, "vhost": change.name})

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self._add_acted("vhost.deleted", change, {"name": change.name})
        self._add("vhost.down", {_WHO: INTERNAL_USER, "name": change.name, "node": self.node})

    @on(VhostLimitsSet)
    def _vhost_limits_set(self, change: VhostLimitsSet) -> None:
        """Describe limits of a virtual host: they are runtime parameters in RabbitMQ, therefore two events."""
        parameter = {"name": "limits", "component": "vhost-limits", "vhost": change.vhost}
        self._add_acted("parameter.set", change, {"value": change.limits or []} | parameter)
        self._add_acted(
            "vhost.limits.set", change, {**change.limits, "vhost": change.vhost, "name": "limits"}
        )

    @on(VhostLimitsCleared)
    def _vhost_limits_cleared(self, change: VhostLimitsCleared) -> None:
        parameter = {"name": "limits", "component": "vhost-limits", "vhost": change.vhost}
        self._add_acted("parameter.cleared", change, parameter)
        self._add_acted("vhost.limits.cleared", change, {"vhost": change.vhost, "name": "limits"})

    @on(UserCreated)
    def _user_created(self, change: UserCreated) -> None:
        self._add_acted("user.created", change, {"name": change.name})

    @on(UserPasswordChanged)
    def _user_password_changed(self, change: UserPasswordChanged) -> None:
        self._add_acted("user.password.changed", change, {"name": change.name})

    @on(UserPasswordCleared)
    def _user_password_cleared(self, change: UserPasswordCleared) -> None:
        self._add_acted("user.password.cleared", change, {"name": change.name})

    @on(UserTagsSet)
    def _user_tags_set(self, change: UserTagsSet) -> None:
        self._add_acted("user.tags.set", change, {"tags": list(change.tags), "name": change.name})

    @on(UserDeleted)
    def _user_deleted(self, change: UserDeleted) -> None:
        self._add_acted("user.deleted", change, {"name": change.name})

    @on(UserLimitsSet)
    def _user_limits_set(self, change: UserLimitsSet) -> None:
        fields = {"username": change.name, _WHO: change.actor.user, "name": "limits"}
        self._add("user.limits.set", {**change.limits, **fields})

    @on(UserLimitsCleared)
    def _user_limits_cleared(self, change: UserLimitsCleared) -> None:
        fields = {"username": change.name, _WHO: change.actor.user, "name": "limits"}
        self._add("user.limits.cleared", fields)

    @on(PermissionsSet)
    def _permissions_set(self, change: PermissionsSet) -> None:
        patterns = {"read": change.read, "write": change.write, "configure": change.configure}
        self._add_acted("permission.created", change, patterns | {"vhost": change.vhost, "user": change.user})

    @on(PermissionsCleared)
    def _permissions_cleared(self, change: PermissionsCleared) -> None:
        self._add_acted("permission.deleted", change, {"vhost": change.vhost, "user": change.user})

    @on(TopicPermissionsSet)
    def _topic_permissions_set(self, change: TopicPermissionsSet) -> None:
        patterns = {"read": change.read, "write": change.write, "exchange": change.exchange}
        fields = patterns | {"vhost": change.vhost, "user": change.user}
        self._add_acted("topic.permission.created", change, fields)

    @on(TopicPermissionsCleared)
    def _topic_permissions_cleared(self, change: TopicPermissionsCleared) -> None:
        fields = {"vhost": change.vhost, "user": change.user}
        self._add_acted("topic.permission.deleted", change, fields)

    # --- policies and alarms

    @on(PolicySet)
    def _policy_set(self, change: PolicySet) -> None:
        """Describe a policy: operator policies are runtime parameters in RabbitMQ, therefore two events."""
        policy = change.policy
        fields: Fields = {
            "apply-to": policy.apply_to,
            "priority": policy.priority,
            "definition": policy.definition,
            "pattern": policy.pattern,
        }
        if change.operator:
            parameter = {"name": policy.name, "component": "operator_policy", "vhost": policy.vhost}
            self._add_acted("parameter.set", change, {"value": fields} | parameter)
        place = {_WHO: change.actor.user, "vhost": policy.vhost, "name": policy.name}
        self._add("policy.set", fields | place)

    @on(PolicyCleared)
    def _policy_cleared(self, change: PolicyCleared) -> None:
        event = "policy.cleared"
        if change.operator:
            event = "operator.policy.cleared"
            parameter = {"name": change.name, "component": "operator_policy", "vhost": change.vhost}
            self._add_acted("parameter.cleared", change, parameter)
        self._add_acted(event, change, {"vhost": change.vhost, "name": change.name})

    @on(GlobalParameterSet)
    def _global_parameter_set(self, change: GlobalParameterSet) -> None:
        value = "..." if isinstance(change.value, Raw) else change.value  # no header takes a large one
        fields = {"value": value, "name": change.name, "component": "global"}
        self._add_acted("parameter.set", change, fields)

    @on(GlobalParameterCleared)
    def _global_parameter_cleared(self, change: GlobalParameterCleared) -> None:
        self._add_acted("parameter.cleared", change, {"name": change.name, "component": "global"})

    @on(AlarmSet)
    def _alarm_set(self, change: AlarmSet) -> None:
        self._add("alarm.set", {"node": self.node, "source": change.source})

    @on(AlarmCleared)
    def _alarm_cleared(self, change: AlarmCleared) -> None:
        self._add("alarm.cleared", {"node": self.node, "source": change.source})


def _login(connection: ClientConnection) -> Fields:
    peer = connection.peer
    return {
        "ssl": peer.encryption is not None,
        "auth_mechanism": connection.mechanism,
        "protocol": "{0,9,1}",
        "peer_port": peer.peer_port,
        "peer_host": _address(peer.peer_host),
        "connection_name": connection.name,
        "host": _address(peer.host),
        "name": connection.login or "",
        "connection_type": "network",
    }


def _binding(change: BindingChange) -> Fields:
    binding = change.binding
    return {
        "vhost": change.vhost,
        "arguments": _terms(sorted_table(binding.arguments)),
        "routing_key": binding.routing_key,
        "destination_kind": binding.destination_type,
        "destination_name": binding.destination.name,
        "source_kind": "exchange",
        "source_name": binding.source,
    }


def _queue_name(consumer: ClientConsumer) -> str:
    assert isinstance(consumer.source, Queue)
    return consumer.source.name


def _vhost_name(connection: ClientConnection) -> str:
    return connection.vhost.name if connection.vhost is not None else ""


def _terms(table: Table) -> list[str]:
    """Format a field table as the plugin does: each field as an Erlang term."""
    return [pretty((name.encode("utf-8", "surrogateescape"), *term(field))) for name, field in table.items()]


def _address(host: str) -> str:
    """Format an address as Erlang does: `{127,0,0,1}`."""
    if ":" not in host:
        return "{" + host.replace(".", ",") + "}"
    head, gap, tail = host.partition("::")
    left, right = ([int(word, 16) for word in part.split(":") if word] for part in (head, tail))
    middle = [0] * (8 - len(left) - len(right)) if gap else []
    return "{" + ",".join(str(word) for word in (*left, *middle, *right)) + "}"


def _field(value: object) -> Field:
    """Convert a value as the plugin does: integers have 64 bits, texts are long strings."""
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
