"""What a test does inside the broker, without a client: declare, publish, look at messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leveret.engine import operations
from leveret.engine.actor import Actor
from leveret.engine.definitions import import_definitions
from leveret.engine.operations import INTERNAL_CALLER, DirectClient, Outcome
from leveret.errors import AmqpError
from leveret.queues.backlog.paged_contents import whole
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.queues.stream.records import StreamRecord, records_of
from leveret.testing import checks
from leveret.testing.errors import ToolkitError, Unroutable, hides_frames
from leveret.testing.messages import QueueMessage
from leveret.testing.near_miss import closest, nearest_miss
from leveret.testing.values import Header, body_of, moment, properties_of, shown, table_of
from leveret.wire.properties import Properties as WireProperties
from leveret.wire.properties import decode_properties
from leveret.wire.tables import Table, from_plain

if TYPE_CHECKING:
    from leveret.engine.broker import Broker as Engine
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.message import Entry
    from leveret.queues.queue import Queue
    from leveret.session.channel import Channel
    from leveret.testing.scope import Scope

__tracebackhide__ = hides_frames

#: A definitions document (docs: definitions), or parts of one. `Any`: JSON, of which each field is checked where it is
#: used.
Definitions = Mapping[str, Any]

#: The name of the connection that a test publishes from.
TEST = "the test"


def read_definitions(given: Definitions | str | Path) -> Definitions:
    """Return a definitions document that is given as such or by its path. Raises `ToolkitError`, `OSError`,
    `TypeError`."""
    if isinstance(given, Mapping):
        return given
    if not isinstance(given, str | Path):
        raise TypeError(
            f"definitions are a mapping, as {{'queues': [{{'name': 'jobs'}}]}}, or the path of a JSON file, not"
            f" {given!r}"
        )
    try:
        document = json.loads(Path(given).read_text())
    except ValueError as error:
        raise ToolkitError(f"definitions: {given} is not JSON: {error}") from None
    if not isinstance(document, Mapping):
        raise ToolkitError(f"definitions: {given} is not a JSON object")
    return document


def add_vhost(engine: Engine, name: str) -> None:
    """Make a virtual host that the default user may use, unless there is one."""
    access = engine.settings.access
    if name not in engine.vhosts:
        operations.put_vhost(engine, INTERNAL_CALLER, name)
    if engine.access.permission(access.default_user, name) is None:
        operations.set_permissions(
            engine, INTERNAL_CALLER, access.default_user, name, *access.default_permissions
        )


def delete_vhost(engine: Engine, name: str) -> None:
    """Delete a virtual host, if there is one, to the end; its clients are closed."""
    if name in engine.vhosts:
        engine.vhosts[name].protect(False)
        operations.delete_vhost(engine, INTERNAL_CALLER, name)
        if name in engine.vhosts:  # it takes longer than a slice, because it is large or the machine is busy
            engine.work.finish()


# --- declare


def declare(scope: Scope, definitions: Definitions) -> None:
    """Declare users, virtual hosts, policies, exchanges, queues and bindings. Unlike an import, an exchange or a queue
    that is there and unequal raises `AmqpError`, as a declaration by a client does."""
    unknown = set(definitions) - _SECTIONS
    if unknown:
        like = closest(min(unknown), sorted(_SECTIONS))
        hint = f"; there is '{like}'" if like else ""
        raise ToolkitError(f"definitions have no section '{min(unknown)}'{hint}")
    for section, items in definitions.items():
        if section in _LISTS:
            _check_items(section, items)
    engine = scope.engine
    whole = {name: definitions[name] for name in _GLOBAL if name in definitions}
    if whole:
        import_definitions(engine, whole)
    for name in ("policies", "parameters"):
        for item in definitions.get(name, ()):
            vhost = _vhost_of(scope, item)
            without = {key: value for key, value in item.items() if key != "vhost"}
            import_definitions(engine, {name: [without]}, vhost=vhost)
    for item in definitions.get("exchanges", ()):
        _declare_exchange(_vhost_of(scope, item), item)
    for item in definitions.get("queues", ()):
        _declare_queue(_vhost_of(scope, item), item)
    for item in definitions.get("bindings", ()):
        _bind(_vhost_of(scope, item), item)


_GLOBAL = ("users", "vhosts", "permissions", "topic_permissions", "global_parameters")
_SECTIONS = {
    *_GLOBAL,
    "policies",
    "parameters",
    "exchanges",
    "queues",
    "bindings",
    "rabbit_version",
    "rabbitmq_version",
    "product_name",
    "product_version",
    "rabbitmq_definition_format",
    "original_cluster_name",
    "original_vhost_name",
    "explanation",
    "metadata",
    "description",
    "limits",
    "default_queue_type",
}


#: Sections that are lists of objects.
_LISTS = {*_GLOBAL, "policies", "parameters", "exchanges", "queues", "bindings"}


def _check_items(section: str, items: object) -> None:
    """Raise `ToolkitError` unless a section is a list of objects."""
    if isinstance(items, list | tuple):
        wrong = next((item for item in items if not isinstance(item, Mapping)), None)
        if wrong is None:
            return
        raise ToolkitError(f"definitions: '{section}' is a list of objects, as {_EXAMPLE}, and has {wrong!r}")
    raise ToolkitError(f"definitions: '{section}' is a list of objects, as {_EXAMPLE}, not {items!r}")


_EXAMPLE = '[{"name": "jobs"}]'


def _vhost_of(scope: Scope, item: Definitions) -> VirtualHost:
    name = item.get("vhost")
    if name is None:
        return scope.vhost()
    found = scope.engine.vhosts.get(name)
    if found is None:
        raise ToolkitError(f"definitions: virtual host '{name}' does not exist: {dict(item)!r}")
    return found


def _arguments(item: Definitions) -> Table:
    return from_plain(item.get("arguments") or {})


def _field(item: Definitions, name: str, kind: str) -> str:
    if not isinstance(item.get(name), str):
        raise ToolkitError(f"definitions: {kind} needs '{name}', a string: {dict(item)!r}")
    return str(item[name])


def _declare_exchange(vhost: VirtualHost, item: Definitions) -> None:
    operations.declare_exchange(
        vhost,
        INTERNAL_CALLER,
        _field(item, "name", "an exchange"),
        item.get("type", "direct"),
        durable=item.get("durable", True),
        auto_delete=item.get("auto_delete", False),
        internal=item.get("internal", False),
        arguments=_arguments(item),
    )


def _declare_queue(vhost: VirtualHost, item: Definitions) -> None:
    arguments = _arguments(item)
    if "type" in item and "x-queue-type" not in arguments:
        arguments |= from_plain({"x-queue-type": item["type"]})
    operations.declare_queue(
        vhost,
        INTERNAL_CALLER,
        _field(item, "name", "a queue"),
        durable=item.get("durable", True),
        auto_delete=item.get("auto_delete", False),
        arguments=arguments,
    )


def _bind(vhost: VirtualHost, item: Definitions) -> None:
    source, name = _field(item, "source", "a binding"), _field(item, "destination", "a binding")
    bind = operations.bind_exchange if item.get("destination_type") == "exchange" else operations.bind_queue
    bind(vhost, INTERNAL_CALLER, source, name, item.get("routing_key", ""), _arguments(item))


# --- publish


def publish(
    scope: Scope,
    exchange: str,
    routing_key: str,
    body: object,
    mandatory: bool,
    properties: Mapping[str, Header],
) -> None:
    """Publish a message as the default user. Raises `Unroutable`, `AmqpError`, `TypeError`."""
    vhost, engine = scope.vhost(), scope.engine
    checks.text(exchange, "exchange")
    checks.text(routing_key, "routing_key")
    wire = _wire(body, properties)
    user = engine.access.users.get(engine.settings.access.default_user)
    if user is None:
        raise ToolkitError(f"publish: user '{engine.settings.access.default_user}' does not exist any more")
    client = DirectClient(engine, vhost, user, Actor(user.name, TEST))
    try:
        outcome = operations.publish(client, exchange, routing_key, wire, body_of(body))
    except AmqpError as error:
        if error.code == 404 and exchange not in vhost.exchanges:
            miss = nearest_miss(engine.vhosts, vhost, exchange, routing_key, wire.headers)
            raise Unroutable(f"nothing was published: {miss}") from None
        raise
    if outcome is Outcome.RETURNED and mandatory:
        miss = nearest_miss(engine.vhosts, vhost, exchange, routing_key, wire.headers)
        where = f"exchange '{exchange}'" if exchange else "the default exchange"
        raise Unroutable(
            f"a message to {where} with key '{routing_key}', body {shown(body_of(body))}, reached no queue: {miss}"
        )


def _wire(body: object, properties: Mapping[str, Header]) -> WireProperties:
    given = dict(properties)
    if given.get("headers") is not None:
        given["headers"] = table_of(given["headers"])
    if not isinstance(body, bytes | bytearray | memoryview | str):
        given.setdefault("content_type", "application/json")
    unknown = set(given) - set(WireProperties.__struct_fields__)
    if unknown:
        like = closest(min(unknown), list(WireProperties.__struct_fields__))
        raise TypeError(
            f"messages have no property '{min(unknown)}'" + (f"; there is '{like}'" if like else "")
        )
    for name, value in given.items():
        if value is not None and name != "headers":
            _check_property(name, value)
    return WireProperties(**given)


#: Properties that are numbers, and the largest one.
_NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": (1 << 64) - 1}


def _check_property(name: str, value: object) -> None:
    """Raise `TypeError`, `ValueError` for a value that the property cannot have."""
    largest = _NUMBERS.get(name)
    if largest is None:
        checks.text(value, name)
        return
    if isinstance(value, bool) or not isinstance(value, int):
        seconds = " (seconds since the epoch)" if name == "timestamp" else ""
        raise TypeError(f"{name} is a number from 0 to {largest}{seconds}, not {value!r}")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} is a number from 0 to {largest}, not {value!r}")


# --- messages


def messages(scope: Scope, name: str) -> list[QueueMessage]:
    """Return what is in a queue, by position; of a stream all records, as ready ones, whoever has read them. Raises
    `ToolkitError` if there is no such queue."""
    queue = scope.queue(name)
    if queue is None:
        raise ToolkitError(no_such_queue(scope, name))
    if isinstance(queue, StreamQueue):
        return [_recorded(name, record) for page in queue.log.pages for record in records_of(queue.log, page)]
    found = [_message(queue, entry, "ready") for entry in queue.backlog.every()]
    found += [_message(queue, entry, "unacked") for entry in unacked_of(scope.vhost(), queue)]
    if isinstance(queue, QuorumQueue):
        found += [_message(queue, entry, "delayed") for entry in queue.delays.delayed()]
    return sorted(found, key=lambda each: each.position)


def no_such_queue(scope: Scope, name: str) -> str:
    """Return the text for a queue that does not exist."""
    vhost = scope.engine.vhosts.get(scope.default)
    names = list(vhost.queues) if vhost is not None else []
    text = f"queue '{name}' does not exist in vhost '{scope.default}'"
    elsewhere = [other.name for other in scope.engine.vhosts.values() if name in other.queues]
    if elsewhere:
        return f"{text}, but in vhost '{elsewhere[0]}'"
    like = closest(name, names)
    if like is not None:
        return f"{text}; there is '{like}'"
    return f"{text}; there are {', '.join(repr(each) for each in sorted(names)[:10]) or 'no queues'}"


def unacked_of(vhost: VirtualHost, queue: Queue | None) -> Iterable[Entry]:
    """Yield the unacknowledged deliveries of a queue, or of all queues."""
    for connection in vhost.connections:
        for channel in connection.channels.values():
            held: Channel = channel  # type: ignore[assignment]  # of the session layer
            for entry in held.unacked.outstanding():
                if queue is None or entry.source is queue:
                    yield entry
            if held.transaction is not None:
                yield from (one for one in held.transaction.entries() if queue is None or one.source is queue)


def _recorded(name: str, record: StreamRecord) -> QueueMessage:
    return QueueMessage(
        name,
        record.offset,
        "ready",
        record.exchange.decode("utf-8", "surrogateescape"),
        record.routing_key.decode("utf-8", "surrogateescape"),
        record.body,
        properties_of(decode_properties(record.header)),
        redelivered=False,
    )


def _message(queue: Queue, entry: Entry, state: Literal["ready", "unacked", "delayed"]) -> QueueMessage:
    message = whole(entry.message)
    return QueueMessage(
        queue.name,
        entry.position,
        state,
        message.exchange.decode("utf-8", "surrogateescape"),
        message.routing_key.decode("utf-8", "surrogateescape"),
        message.body,
        properties_of(decode_properties(message.header)),
        entry.redelivered,
        moment(entry.expires_at) if entry.expires_at else None,
        entry.consumer.tag if state == "unacked" and entry.consumer is not None else None,
    )
