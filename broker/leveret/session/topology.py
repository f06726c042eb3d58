"""exchange.*, queue.* and access.* (0-9-1 1.6, 1.7): names, permissions and answers; the virtual host does the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands
from pamqp.base import Frame

from leveret import errors
from leveret.engine.changes import ExchangeDeletionEnded, ExchangeDeletionStarted
from leveret.engine.names import REPLY_TO
from leveret.session import reply_to
from leveret.session.basic import check_owner, find_queue, is_reply_address_in_use, last_queue
from leveret.wire.methods import Access, method_frame, table_of
from leveret.wire.tables import Table

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.session.channel import Channel

_LINE_ENDS = str.maketrans("", "", "\r\n")


def clean(name: str) -> str:
    """Return a name without line ends, as RabbitMQ strips them (rabbit_channel:strip_cr_lf)."""
    return name.translate(_LINE_ENDS) if "\r" in name or "\n" in name else name


def _answer(channel: Channel, nowait: bool, answer: type[Frame], **arguments: Any) -> None:
    if not nowait:
        channel.connection.send(method_frame(channel.number, answer, **arguments))


def _not_default(name: str) -> None:
    if name == "":
        raise errors.default_exchange_refused()


def find_exchange(channel: Channel, name: str) -> Exchange:
    """Return an exchange by name. Raises 404 if there is none."""
    exchange: Exchange | None = channel.vhost.exchanges.get(name)
    if exchange is None:
        raise errors.exchange_not_found(name, channel.vhost.name)
    return exchange


# --- exchange


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """exchange.declare: create it, or check that the existing one is equivalent; passive: check that it exists."""
    name = clean(method.exchange)
    vhost = channel.vhost
    if method.passive:
        _not_default(name)
        if name not in vhost.exchanges:
            channel.permissions.check_passive("exchange", name)
        find_exchange(channel, name)
        channel.permissions.check_passive("exchange", name)
        _answer(channel, method.nowait, commands.Exchange.DeclareOk)
        return
    _not_default(name)
    arguments = table_of(method.arguments)
    vhost.check_exchange_type(method.exchange_type)
    channel.permissions.check_exchange("configure", name)
    existing = vhost.exchanges.get(name)
    if existing is None:
        if name.startswith("amq."):
            raise errors.exchange_reserved(name)
        alternate = vhost.alternate_of(name, arguments)
        if alternate is not None:
            channel.permissions.check_exchange("read", name)
            channel.permissions.check_exchange("write", alternate)
    vhost.declare_exchange(
        name,
        method.exchange_type,
        durable=bool(method.durable),
        auto_delete=bool(method.auto_delete),
        internal=bool(method.internal),
        arguments=arguments,
        user=channel.permissions.user.name,
        actor=channel.connection.actor,
    )
    _answer(channel, method.nowait, commands.Exchange.DeclareOk)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """exchange.delete: no error if it does not exist."""
    name = clean(method.exchange)
    _not_default(name)
    if name.startswith("amq."):
        raise errors.exchange_not_deletable(name, channel.vhost.name)
    channel.permissions.check_exchange("configure", name)
    observers = channel.connection.broker.observers
    actor = channel.connection.actor
    # RabbitMQ publishes an event for its lock, whatever comes of the deletion.
    observers.notify(ExchangeDeletionStarted(actor, channel.vhost.name, name))
    try:
        exchange = channel.vhost.exchanges.get(name)
        if exchange is not None:
            if method.if_unused and exchange.bindings:
                raise errors.exchange_in_use(name, channel.vhost.name)
            channel.vhost.delete_exchange(exchange, actor)
    finally:
        observers.notify(ExchangeDeletionEnded(actor, channel.vhost.name, name))
    _answer(channel, method.nowait, commands.Exchange.DeleteOk)


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """exchange.bind (docs: e2e)."""
    source, destination = _exchange_ends(channel, method)
    channel.vhost.bind(
        find_exchange(channel, source),
        find_exchange(channel, destination),
        method.routing_key,
        table_of(method.arguments),
        channel.connection.actor,
    )
    _answer(channel, method.nowait, commands.Exchange.BindOk)


def exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> None:
    """exchange.unbind: no error if exchange or binding does not exist."""
    source, destination = _exchange_ends(channel, method)
    exchanges = channel.vhost.exchanges
    if source in exchanges and destination in exchanges:
        channel.vhost.unbind(
            exchanges[source],
            exchanges[destination],
            method.routing_key,
            table_of(method.arguments),
            channel.connection.actor,
        )
    _answer(channel, method.nowait, commands.Exchange.UnbindOk)


def _exchange_ends(
    channel: Channel, method: commands.Exchange.Bind | commands.Exchange.Unbind
) -> tuple[str, str]:
    source, destination = clean(method.source), clean(method.destination)
    channel.permissions.check_exchange("write", destination)
    _not_default(destination)
    _not_default(source)
    channel.permissions.check_exchange("read", source)
    _may_read_topic(channel, source, method.routing_key)
    return source, destination


def _may_read_topic(channel: Channel, source: str, key: str) -> None:
    exchange = channel.vhost.exchanges.get(source)
    if exchange is not None and exchange.type == "topic":
        channel.permissions.check_topic("read", source, [key.encode("utf-8", "surrogateescape")])


# --- queue


def queue_declare(channel: Channel, method: commands.Queue.Declare) -> None:
    """queue.declare: create it, or check that the existing one is equivalent; passive: check that it exists."""
    name = clean(method.queue)
    if method.passive:
        _passive_queue(channel, method, name)
        return
    if reply_to.declared(channel, name):
        channel.last_queue = name
        _answer(
            channel, method.nowait, commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1
        )
        return
    vhost = channel.vhost
    server_named = name == ""
    if name.startswith("amq."):
        raise errors.queue_reserved(name)
    name = name or vhost.new_queue_name(table_of(method.arguments))
    channel.permissions.check_queue("configure", name)
    queue = vhost.queues.get(name)
    exclusive = bool(method.exclusive)
    if queue is None:
        _may_dead_letter(channel, name, table_of(method.arguments))
    else:
        check_owner(channel, queue)
        if exclusive != (queue.owner is not None):
            raise errors.queue_locked(name, vhost.name)
    queue = vhost.declare_queue(
        name,
        durable=bool(method.durable),
        auto_delete=bool(method.auto_delete),
        owner=channel.connection if exclusive else None,
        arguments=table_of(method.arguments),
        user=channel.permissions.user.name,
        server_named=server_named,
        actor=channel.connection.actor,
    )
    _declared(channel, method, queue)


def _passive_queue(channel: Channel, method: commands.Queue.Declare, name: str) -> None:
    vhost = channel.vhost
    if name and reply_to.declared(channel, name):
        channel.last_queue = name
        _answer(
            channel, method.nowait, commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1
        )
        return
    channel.permissions.check_passive("queue", name)
    queue = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    check_owner(channel, queue)
    queue.check_crashed()
    queue.queue_expiry.declared()
    _declared(channel, method, queue)


def _declared(channel: Channel, method: commands.Queue.Declare, queue: Queue) -> None:
    channel.last_queue = queue.name
    ready, consumers = queue.declared_counts()
    _answer(
        channel,
        method.nowait,
        commands.Queue.DeclareOk,
        queue=queue.name,
        message_count=ready,
        consumer_count=consumers,
    )


def _may_dead_letter(channel: Channel, name: str, arguments: Table) -> None:
    """Check permission to dead-letter: read on the queue, write on the exchange (docs: dlx#permissions)."""
    field = arguments.get("x-dead-letter-exchange")
    if field is not None and field.kind == "S":
        channel.permissions.check_queue("read", name)
        channel.permissions.check_exchange("write", field.value.decode("utf-8", "replace"))


def queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    """queue.bind. Raises 404: for the exchange first, then for the queue."""
    source, name, key = _queue_ends(channel, method)
    vhost = channel.vhost
    exchange = find_exchange(channel, source)
    queue = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    vhost.check_binding(exchange, queue, key, table_of(method.arguments))
    check_owner(channel, queue)  # inside rabbit_binding:add, thus after the exchange has checked the binding
    vhost.bind(exchange, queue, key, table_of(method.arguments), channel.connection.actor)
    _answer(channel, method.nowait, commands.Queue.BindOk)


def queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    """queue.unbind: no error if queue, exchange or binding does not exist."""
    source, name, key = _queue_ends(channel, method)
    vhost = channel.vhost
    exchange, queue = vhost.exchanges.get(source), vhost.queues.get(name)
    if queue is not None and exchange is not None:
        arguments = table_of(method.arguments)
        if vhost.has_binding(exchange, queue, key, arguments):
            check_owner(channel, queue)
            vhost.unbind(exchange, queue, key, arguments, channel.connection.actor)
    channel.connection.send(method_frame(channel.number, commands.Queue.UnbindOk))


def _queue_ends(
    channel: Channel, method: commands.Queue.Bind | commands.Queue.Unbind
) -> tuple[str, str, str]:
    """Return exchange, queue and key of a binding, with what an empty name and key mean. Raises 403."""
    source, name, key = clean(method.exchange), method.queue, method.routing_key
    if name == "":
        name = last_queue(channel)
        key = key or name
    name = clean(name)
    if name.startswith(REPLY_TO + ".") and channel.profile.volatile_reply_queues:
        raise errors.reply_queue_binding()
    channel.permissions.check_queue("write", name)
    _not_default(source)
    channel.permissions.check_exchange("read", source)
    _may_read_topic(channel, source, key)
    return source, name, key


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """queue.purge: drop what is ready. Line ends in the name are not stripped (rabbit_channel)."""
    name = method.queue or last_queue(channel)
    count = 0
    if not is_reply_address_in_use(channel, name):
        queue = find_queue(channel, name)
        count = queue.purge()
        if queue.crashed:  # just now
            raise errors.internal_error()
    _answer(channel, method.nowait, commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """queue.delete: no error if it does not exist."""
    name = clean(method.queue or last_queue(channel))
    vhost = channel.vhost
    if name == REPLY_TO or name.startswith(REPLY_TO + "."):
        _answer(channel, method.nowait, commands.Queue.DeleteOk, message_count=0)
        return
    channel.permissions.check_queue("configure", name)
    queue = vhost.queues.get(name)
    count = 0
    if queue is not None:
        check_owner(channel, queue)
        queue.admit_delete(bool(method.if_unused), bool(method.if_empty))
        count = queue.declared_counts()[0] if queue.kind != "stream" else 0
        consumers = vhost.take_queue(queue, channel.connection.actor)
        _answer(channel, method.nowait, commands.Queue.DeleteOk, message_count=count)
        vhost.cancel_consumers(consumers)
        return
    _answer(channel, method.nowait, commands.Queue.DeleteOk, message_count=count)


# --- access


def access_request(channel: Channel, method: Access.Request) -> None:
    """access.request of AMQP 0-8: every realm is open."""
    channel.connection.send(method_frame(channel.number, Access.RequestOk, ticket=1))
