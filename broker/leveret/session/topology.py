"""exchange.* and queue.* (0-9-1 1.6, 1.7): names, permissions and answers; the virtual host does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands

from leveret import errors
from leveret.engine.changes import ExchangeDeletionEnded, ExchangeDeletionStarted
from leveret.engine.names import REPLY_TO
from leveret.session import reply_to
from leveret.session.basic import check_owner, find_queue, last_queue, living_reply_address
from leveret.wire.methods import method_frame
from leveret.wire.tables import Table

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.session.channel import Channel

_LINE_ENDS = str.maketrans("", "", "\r\n")


def clean(name: str) -> str:
    """A name without line ends, as RabbitMQ strips them (rabbit_channel:strip_cr_lf)."""
    return name.translate(_LINE_ENDS) if "\r" in name or "\n" in name else name


def _answer(channel: Channel, method: Any, answer: type[Any], **arguments: Any) -> None:
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, answer, **arguments))


def _may(channel: Channel, kind: str, resource: str, name: str) -> None:
    render = errors.queue_name if resource == "queue" else errors.exchange_name
    channel.connection.check(kind, render(name, channel.vhost.name), name)


def _not_default(name: str) -> None:
    if name == "":
        raise errors.default_exchange_refused()


def find_exchange(channel: Channel, name: str) -> Exchange:
    """An exchange that must be there."""
    exchange: Exchange | None = channel.vhost.exchanges.get(name)
    if exchange is None:
        raise errors.exchange_not_found(name, channel.vhost.name)
    return exchange


# --- exchange


def exchange_declare(channel: Channel, method: Any) -> None:
    """exchange.declare: create it, or find it equal."""
    name = clean(method.exchange)
    vhost = channel.vhost
    if method.passive:
        _not_default(name)
        if name not in vhost.exchanges:
            _may_see(channel, "exchange", name)
        find_exchange(channel, name)
        _may_see(channel, "exchange", name)
        _answer(channel, method, commands.Exchange.DeclareOk)
        return
    _not_default(name)
    arguments: Table = method.arguments or {}
    vhost.check_exchange_type(method.exchange_type)
    _may(channel, "configure", "exchange", name)
    existing = vhost.exchanges.get(name)
    if existing is None:
        if name.startswith("amq."):
            raise errors.exchange_reserved(name)
        alternate = vhost.alternate_of(name, arguments)
        if alternate is not None:
            _may(channel, "read", "exchange", name)
            _may(channel, "write", "exchange", alternate)
    vhost.declare_exchange(
        name,
        method.exchange_type,
        durable=bool(method.durable),
        auto_delete=bool(method.auto_delete),
        internal=bool(method.internal),
        arguments=arguments,
        user=channel.connection.user.name,
        actor=channel.connection.actor,
    )
    _answer(channel, method, commands.Exchange.DeclareOk)


def _may_see(channel: Channel, resource: str, name: str) -> None:
    """Passive declare: some profiles ask for any one of the three permissions."""
    if not channel.connection.broker.profile.passive_declare_checked:
        return
    user, vhost = channel.connection.user.name, channel.vhost.name
    grants = channel.connection.broker.access.grants(user, vhost)
    if not any(grants.allows(kind, name) for kind in ("configure", "write", "read")):
        _may(channel, "configure", resource, name)


def exchange_delete(channel: Channel, method: Any) -> None:
    """exchange.delete: one that is not there is deleted already."""
    name = clean(method.exchange)
    _not_default(name)
    if name.startswith("amq."):
        raise errors.exchange_not_deletable(name, channel.vhost.name)
    _may(channel, "configure", "exchange", name)
    observers = channel.connection.broker.observers
    actor = channel.connection.actor
    observers.notify(ExchangeDeletionStarted(actor, channel.vhost.name, name))
    try:
        exchange = channel.vhost.exchanges.get(name)
        if exchange is not None:
            if method.if_unused and exchange.bindings:
                raise errors.exchange_in_use(name, channel.vhost.name)
            channel.vhost.delete_exchange(exchange, actor)
    finally:
        observers.notify(ExchangeDeletionEnded(actor, channel.vhost.name, name))
    _answer(channel, method, commands.Exchange.DeleteOk)


def exchange_bind(channel: Channel, method: Any) -> None:
    """exchange.bind (docs: e2e)."""
    source, destination = _exchange_ends(channel, method)
    channel.vhost.bind(
        find_exchange(channel, source),
        find_exchange(channel, destination),
        method.routing_key,
        method.arguments or {},
        channel.connection.actor,
    )
    _answer(channel, method, commands.Exchange.BindOk)


def exchange_unbind(channel: Channel, method: Any) -> None:
    """exchange.unbind: whatever is missing is unbound already."""
    source, destination = _exchange_ends(channel, method)
    exchanges = channel.vhost.exchanges
    if source in exchanges and destination in exchanges:
        channel.vhost.unbind(
            exchanges[source],
            exchanges[destination],
            method.routing_key,
            method.arguments or {},
            channel.connection.actor,
        )
    _answer(channel, method, commands.Exchange.UnbindOk)


def _exchange_ends(channel: Channel, method: Any) -> tuple[str, str]:
    source, destination = clean(method.source), clean(method.destination)
    _may(channel, "write", "exchange", destination)
    _not_default(destination)
    _not_default(source)
    _may(channel, "read", "exchange", source)
    _may_read_topic(channel, source, method.routing_key)
    return source, destination


def _may_read_topic(channel: Channel, source: str, key: str) -> None:
    exchange = channel.vhost.exchanges.get(source)
    if exchange is not None and exchange.type == "topic":
        channel.connection.check_topic("read", source, [key.encode("utf-8", "surrogateescape")])


# --- queue


def queue_declare(channel: Channel, method: Any) -> None:
    """queue.declare: create it, or find it equal; passive: find it."""
    name = clean(method.queue)
    if method.passive:
        _passive_queue(channel, method, name)
        return
    if reply_to.declared(channel, name):
        channel.last_queue = name
        _answer(channel, method, commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1)
        return
    vhost = channel.vhost
    server_named = name == ""
    if name.startswith("amq."):
        raise errors.queue_reserved(name)
    name = name or vhost.new_queue_name(method.arguments or {})
    _may(channel, "configure", "queue", name)
    queue = vhost.queues.get(name)
    exclusive = bool(method.exclusive)
    if queue is None:
        _may_dead_letter(channel, name, method.arguments or {})
    else:
        check_owner(channel, queue)
        if exclusive != (queue.owner is not None):
            raise errors.queue_locked(name, vhost.name)
    queue = vhost.declare_queue(
        name,
        durable=bool(method.durable),
        auto_delete=bool(method.auto_delete),
        owner=channel.connection if exclusive else None,
        arguments=method.arguments or {},
        user=channel.connection.user.name,
        server_named=server_named,
        actor=channel.connection.actor,
    )
    _declared(channel, method, queue)


def _passive_queue(channel: Channel, method: Any, name: str) -> None:
    vhost = channel.vhost
    if name and reply_to.declared(channel, name):
        channel.last_queue = name
        _answer(channel, method, commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1)
        return
    _may_see(channel, "queue", name)
    queue = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    check_owner(channel, queue)
    queue.check_crashed()
    queue.queue_expiry.declared()
    _declared(channel, method, queue)


def _declared(channel: Channel, method: Any, queue: Queue) -> None:
    channel.last_queue = queue.name
    ready, consumers = queue.declared_counts()
    _answer(
        channel,
        method,
        commands.Queue.DeclareOk,
        queue=queue.name,
        message_count=ready,
        consumer_count=consumers,
    )


def _may_dead_letter(channel: Channel, name: str, arguments: Table) -> None:
    """Declaring a queue that dead-letters needs read on it and write on the exchange (docs: dlx#permissions)."""
    field = arguments.get("x-dead-letter-exchange")
    if field is not None and field.kind == "S":
        _may(channel, "read", "queue", name)
        _may(channel, "write", "exchange", field.value.decode("utf-8", "replace"))


def queue_bind(channel: Channel, method: Any) -> None:
    """queue.bind: the exchange is looked for before the queue."""
    source, name, key = _queue_ends(channel, method)
    vhost = channel.vhost
    exchange = find_exchange(channel, source)
    queue = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    vhost.check_binding(exchange, queue, key, method.arguments or {})
    check_owner(channel, queue)  # inside rabbit_binding:add, thus after the exchange has had its say
    vhost.bind(exchange, queue, key, method.arguments or {}, channel.connection.actor)
    _answer(channel, method, commands.Queue.BindOk)


def queue_unbind(channel: Channel, method: Any) -> None:
    """queue.unbind: whatever is missing is unbound already."""
    source, name, key = _queue_ends(channel, method)
    vhost = channel.vhost
    exchange, queue = vhost.exchanges.get(source), vhost.queues.get(name)
    if queue is not None and exchange is not None:
        arguments: Table = method.arguments or {}
        if vhost.has_binding(exchange, queue, key, arguments):
            check_owner(channel, queue)
            vhost.unbind(exchange, queue, key, arguments, channel.connection.actor)
    channel.connection.send(method_frame(channel.number, commands.Queue.UnbindOk))


def _queue_ends(channel: Channel, method: Any) -> tuple[str, str, str]:
    """Source, queue and key, with what an empty name and key mean, and permission for both ends."""
    source, name, key = clean(method.exchange), method.queue, method.routing_key
    if name == "":
        name = last_queue(channel)
        key = key or name
    name = clean(name)
    if name.startswith(REPLY_TO + ".") and channel.connection.broker.profile.volatile_reply_queues:
        raise errors.reply_queue_binding()
    _may(channel, "write", "queue", name)
    _not_default(source)
    _may(channel, "read", "exchange", source)
    _may_read_topic(channel, source, key)
    return source, name, key


def queue_purge(channel: Channel, method: Any) -> None:
    """queue.purge: what is ready goes; what is handed out stays. Line ends in the name stay (rabbit_channel)."""
    name = method.queue or last_queue(channel)
    count = 0
    if not living_reply_address(channel, name):
        queue = find_queue(channel, name)
        count = queue.purge()
        if queue.crashed:  # just now
            raise errors.internal_error()
    _answer(channel, method, commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: Any) -> None:
    """queue.delete: one that is not there is deleted already."""
    name = clean(method.queue or last_queue(channel))
    vhost = channel.vhost
    if name == REPLY_TO or name.startswith(REPLY_TO + "."):
        _answer(channel, method, commands.Queue.DeleteOk, message_count=0)
        return
    _may(channel, "configure", "queue", name)
    queue = vhost.queues.get(name)
    count = 0
    if queue is not None:
        check_owner(channel, queue)
        queue.admit_delete(bool(method.if_unused), bool(method.if_empty))
        count = queue.declared_counts()[0] if queue.kind != "stream" else 0
        consumers = vhost.take_queue(queue, channel.connection.actor)
        _answer(channel, method, commands.Queue.DeleteOk, message_count=count)
        vhost.cancel_consumers(consumers)
        return
    _answer(channel, method, commands.Queue.DeleteOk, message_count=count)
