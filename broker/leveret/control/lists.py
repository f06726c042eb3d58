"""Lists of many objects: queues, exchanges, bindings, connections, channels, consumers.

Rows are made in slices (`leveret.management.slices`), and are written while they are made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import chain
from typing import TypeVar, cast

from leveret.control.call import Call, Handler
from leveret.control.passing import values_elsewhere
from leveret.control.processes import channel_pid, connection_pid, queue_pid
from leveret.engine import encryption
from leveret.engine.clients import ClientChannel, ClientConnection, ClientConsumer, negotiated_frame_max
from leveret.engine.policies import policy_of
from leveret.engine.stats import channels_of, depths
from leveret.engine.vhost import VirtualHost
from leveret.management.views import consumers as consumer_views
from leveret.management.views import queues as queue_views
from leveret.profiles import profile
from leveret.queues.consumers import Consumer
from leveret.queues.queue import Queue
from leveret.rendering.answers import Rows
from leveret.rendering.terms import Atom
from leveret.routing.bindings import Binding
from leveret.routing.exchanges import Exchange
from leveret.wire.tables import Field, Table, type_name

T = TypeVar("T")

#: Column -> its value.
Columns = dict[str, Callable[[T, str], object]]


def table(fields: Table) -> list[object]:
    """A field table as a term: names, types and values."""
    return [(name, Atom(type_name(field.kind)), _value(field)) for name, field in fields.items()]


def _value(field: Field) -> object:
    kind, value = field
    if kind == "F":
        return table(value)
    if kind == "A":
        return [(Atom(type_name(item.kind)), _value(item)) for item in value]
    if kind == "D":
        return tuple(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return Atom("undefined") if value is None else value


def address(text: str) -> object:
    """An address as a term."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(found, ipaddress.IPv4Address):
        return tuple(found.packed)
    return tuple(int.from_bytes(found.packed[at : at + 2], "big") for at in range(0, 16, 2))


def _rows(
    call: Call,
    objects: Iterable[T] | Awaitable[Iterable[T]],
    columns: Columns[T],
    others: Iterable[object] = (),
) -> Rows:
    """The rows of objects, which may have to be found first. `others`: rows of other nodes, which follow."""
    names = [name for name in call.columns() if name in columns]
    chosen = [(Atom(name), columns[name]) for name in names]

    async def made() -> AsyncIterator[object]:
        found = await objects if isinstance(objects, Awaitable) else objects
        async for each in call.host.slices.walk(found):
            yield [(name, value(each, call.node)) for name, value in chosen]
        async for row in call.host.slices.walk(others):
            yield row

    return Rows(made())


# --- queues


def list_queues(call: Call) -> object:
    """List the queues of a virtual host."""
    vhost = call.broker.vhosts.get(call.vhost_name)
    options = call.options
    only_offline = options.get("offline") and not (options.get("online") or options.get("local"))
    found = [] if vhost is None or only_offline else list(vhost.queues.values())
    return _rows(call, found, _QUEUE)


def list_unresponsive_queues(call: Call) -> object:
    """List queues that do not answer: a queue here answers, or the node does not."""
    return _rows(call, [], _QUEUE)


def _classic(value: Callable[[Queue], object]) -> Callable[[Queue, str], object]:
    return lambda queue, node: value(queue) if queue.kind == "classic" else ""


def _head(name: str) -> Callable[[Queue, str], object]:
    def shown(queue: Queue, node: str) -> object:
        if queue.kind != "classic":
            return ""
        value = queue_views.head(queue).get(name)
        return "" if value is None else value

    return shown


def _depth(name: str) -> Callable[[Queue, str], object]:
    return lambda queue, node: depths((queue,))[name]


def _policy(queue: Queue, node: str) -> str:
    found = policy_of(queue).policy
    return found.name if found is not None else ""


def _operator_policy(queue: Queue, node: str) -> str:
    found = policy_of(queue).operator_policy
    return found.name if found is not None else ""


def _effective(queue: Queue, node: str) -> object:
    return [*sorted(policy_of(queue).definition.items())] or {}


def _owner(queue: Queue, node: str) -> object:
    return connection_pid(queue.owner, node) if queue.owner is not None else ""


def _exclusive_consumer(queue: Queue, node: str) -> object:
    found = next((each for each in queue.consumers.members if each.exclusive), None)
    return channel_pid(cast(ClientConsumer, found).channel, node) if found is not None else ""


def _busy(queue: Queue) -> object:
    return queue_views.capacity(queue) if queue.consumers.members else 0


def _total_bytes(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes


_QUEUE: Columns[Queue] = {
    "name": lambda queue, node: queue.name,
    "durable": lambda queue, node: queue.durable,
    "auto_delete": lambda queue, node: queue.auto_delete,
    "arguments": lambda queue, node: table(dict(sorted(queue.arguments.items()))),
    "policy": _policy,
    "operator_policy": _operator_policy,
    "effective_policy_definition": _effective,
    "pid": lambda queue, node: queue_pid(queue, node),
    "owner_pid": _owner,
    "exclusive": _classic(lambda queue: queue.owner is not None),
    "exclusive_consumer_pid": _exclusive_consumer,
    "exclusive_consumer_tag": _head("exclusive_consumer_tag"),
    "messages_ready": _depth("messages_ready"),
    "messages_unacknowledged": _depth("messages_unacknowledged"),
    "messages": _depth("messages"),
    "messages_ready_ram": _classic(lambda queue: queue.ready),
    "messages_unacknowledged_ram": _classic(lambda queue: queue.unacked),
    "messages_ram": lambda queue, node: {"classic": queue.ready + queue.unacked, "quorum": 0}.get(
        queue.kind, ""
    ),
    "messages_persistent": lambda queue, node: "",
    "message_bytes": _classic(_total_bytes),
    "message_bytes_ready": _classic(lambda queue: queue.ready_bytes),
    "message_bytes_unacknowledged": _classic(lambda queue: queue.unacked_bytes),
    "message_bytes_ram": _classic(lambda queue: queue.ready_bytes + queue.unacked_bytes),
    "message_bytes_persistent": lambda queue, node: "",
    "head_message_timestamp": _head("head_message_timestamp"),
    "disk_reads": _classic(lambda queue: 0),
    "disk_writes": _classic(lambda queue: 0),
    "consumers": lambda queue, node: len(queue.consumers.members),
    "consumer_utilisation": _classic(_busy),
    "consumer_capacity": _classic(_busy),
    "memory": lambda queue, node: _total_bytes(queue),
    "state": lambda queue, node: Atom("crashed" if queue.crashed else "running"),
    "type": lambda queue, node: Atom(queue.kind),
    "leader": lambda queue, node: Atom(node),
    "members": lambda queue, node: [Atom(node)],
    "online": lambda queue, node: [Atom(node)] if queue.kind != "classic" else "",
}


# --- exchanges and bindings


def list_exchanges(call: Call) -> object:
    """List the exchanges of a virtual host."""
    vhost = call.broker.vhosts.get(call.vhost_name)
    return _rows(call, [] if vhost is None else _in_order(call, vhost), _EXCHANGE)


async def _in_order(call: Call, vhost: VirtualHost) -> list[Exchange]:
    """The exchanges of a virtual host by their names."""
    names = await call.host.slices.ordered(list(vhost.exchanges))
    return [exchange for name in names if (exchange := vhost.exchanges.get(name)) is not None]


def _exchange_policy(exchange: Exchange, node: str) -> str:
    found = policy_of(exchange).policy
    return found.name if found is not None else ""


_EXCHANGE: Columns[Exchange] = {
    "name": lambda exchange, node: exchange.name,
    "type": lambda exchange, node: Atom(exchange.type),
    "durable": lambda exchange, node: exchange.durable,
    "auto_delete": lambda exchange, node: exchange.auto_delete,
    "internal": lambda exchange, node: exchange.internal,
    "arguments": lambda exchange, node: table(exchange.arguments),
    "policy": _exchange_policy,
}


def list_bindings(call: Call) -> object:
    """List the bindings of a virtual host, first those that each queue has to the default exchange."""
    vhost = call.broker.vhosts.get(call.vhost_name)
    return _rows(call, _bindings(call, vhost) if vhost is not None else [], _BINDING)


async def _bindings(call: Call, vhost: VirtualHost) -> Iterable[Binding | str]:
    queues = list(vhost.queues)
    exchanges = await _in_order(call, vhost)
    return chain(queues, (binding for exchange in exchanges for binding in list(exchange.bindings.values())))


def _of_binding(
    default: Callable[[str], object], value: Callable[[Binding], object]
) -> Callable[[Binding | str, str], object]:
    return lambda each, node: default(each) if isinstance(each, str) else value(each)


_BINDING: Columns[Binding | str] = {
    "source_name": _of_binding(lambda queue: "", lambda binding: binding.source),
    "source_kind": lambda each, node: Atom("exchange"),
    "destination_name": _of_binding(lambda queue: queue, lambda binding: binding.destination_name),
    "destination_kind": _of_binding(
        lambda queue: Atom("queue"), lambda binding: Atom(binding.destination_type)
    ),
    "routing_key": _of_binding(
        lambda queue: queue, lambda binding: binding.routing_key.decode("utf-8", "surrogateescape")
    ),
    "arguments": _of_binding(lambda queue: [], lambda binding: table(binding.arguments)),
}


# --- clients


async def list_connections(call: Call) -> object:
    """List the connections to all nodes."""
    found = sorted(call.broker.connections, key=lambda each: (each.connected_at, each.name))
    opened = [each for each in found if each.vhost is not None]
    return _rows(call, opened, _CONNECTION, await values_elsewhere(call))


def _empty(connection: ClientConnection, node: str) -> str:
    return ""


_ENCRYPTED = (
    *("ssl_protocol", "ssl_key_exchange", "ssl_cipher", "ssl_hash"),
    *("peer_cert_subject", "peer_cert_issuer", "peer_cert_serial_number", "peer_cert_validity"),
)


def _encrypted(name: str) -> Callable[[ClientConnection, str], object]:
    return lambda each, node: encryption.shown(each.peer.encryption, "", serial=True)[name]


_CONNECTION: Columns[ClientConnection] = {
    "pid": lambda each, node: connection_pid(each, node),
    "name": lambda each, node: each.name,
    "port": lambda each, node: each.peer.port,
    "host": lambda each, node: address(each.peer.host),
    "peer_port": lambda each, node: each.peer.peer_port,
    "peer_host": lambda each, node: address(each.peer.peer_host),
    "ssl": lambda each, node: each.peer.encryption is not None,
    **{name: _encrypted(name) for name in _ENCRYPTED},
    "state": lambda each, node: Atom(each.state_name),
    "channels": lambda each, node: len(each.channels),
    "protocol": lambda each, node: (0, 9, 1),
    "auth_mechanism": lambda each, node: each.mechanism,
    "user": lambda each, node: each.actor.user,
    "vhost": lambda each, node: each.vhost.name if each.vhost is not None else "",
    "container_id": _empty,
    "timeout": lambda each, node: each.heartbeat,
    "frame_max": lambda each, node: negotiated_frame_max(each),
    "channel_max": lambda each, node: each.channel_max,
    "client_properties": lambda each, node: table(each.client_properties),
    "recv_oct": lambda each, node: each.received,
    "recv_cnt": lambda each, node: each.reads,
    "send_oct": lambda each, node: each.sent,
    "send_cnt": lambda each, node: each.writes,
    "send_pend": lambda each, node: each.unsent,
    "connected_at": lambda each, node: each.connected_at,
}


async def list_channels(call: Call) -> object:
    """List the channels to all nodes."""
    connections = sorted(call.broker.connections, key=lambda each: (each.connected_at, each.name))
    found = (channel for each in connections for channel in list(each.channels.values()))
    return _rows(call, found, _CHANNEL, await values_elsewhere(call))


def _user(channel: ClientChannel, node: str) -> str:
    return channel.connection.actor.user


_CHANNEL: Columns[ClientChannel] = {
    "pid": lambda each, node: channel_pid(each, node),
    "connection": lambda each, node: connection_pid(cast(ClientConnection, each.connection), node),
    "name": lambda each, node: f"{each.connection.name} ({each.number})",
    "number": lambda each, node: each.number,
    "user": _user,
    "vhost": lambda each, node: each.vhost.name,
    "transactional": lambda each, node: each.transaction is not None,
    "confirm": lambda each, node: each.confirms is not None,
    "consumer_count": lambda each, node: len(each.consumers),
    "messages_unacknowledged": lambda each, node: each.unacked.count,
    "messages_uncommitted": lambda each, node: (
        len(each.transaction.publishes) if each.transaction is not None else 0
    ),
    "acks_uncommitted": lambda each, node: (
        len(each.transaction.entries()) if each.transaction is not None else 0
    ),
    "messages_unconfirmed": lambda each, node: each.confirms.unconfirmed if each.confirms is not None else 0,
    "prefetch_count": lambda each, node: each.prefetch,
}


def list_consumers(call: Call) -> object:
    """List the consumers of a virtual host."""
    vhost = call.broker.vhosts.get(call.vhost_name)
    channels = channels_of(vhost) if vhost is not None else ()
    found = (
        cast(Consumer, each)
        for channel in channels
        for each in list(channel.consumers.values())
        if isinstance(cast(Consumer, each).source, Queue)
    )
    rows = _rows(call, found, _CONSUMER)
    if call.options.get("formatter") != "erlang":
        return rows

    async def listed() -> AsyncIterator[object]:
        """RabbitMQ has a list for the consumers of each queue."""
        assert isinstance(rows.rows, AsyncIterator)
        async for each in rows.rows:
            yield [each]

    return Rows(listed())


#: The profile of what is not shown here.
_API = profile("4.3").api


def _view(name: str) -> Callable[[Consumer, str], object]:
    return lambda each, node: consumer_views.consumer(each, node, 0, _API)[name]


_CONSUMER: Columns[Consumer] = {
    "queue_name": lambda each, node: cast(Queue, each.source).name,
    "channel_pid": lambda each, node: channel_pid(cast(ClientConsumer, each).channel, node),
    "consumer_tag": lambda each, node: each.tag,
    "ack_required": lambda each, node: not each.no_ack,
    "prefetch_count": lambda each, node: each.prefetch,
    "active": _view("active"),
    "activity_status": lambda each, node: Atom(str(_view("activity_status")(each, node))),
    "arguments": lambda each, node: table(each.arguments),
}


COMMANDS: dict[str, Handler] = {
    "list_queues": list_queues,
    "list_unresponsive_queues": list_unresponsive_queues,
    "list_exchanges": list_exchanges,
    "list_bindings": list_bindings,
    "list_connections": list_connections,
    "list_channels": list_channels,
    "list_consumers": list_consumers,
}
