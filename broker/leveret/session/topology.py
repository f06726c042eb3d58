"""exchange.*, queue.* and access.* (0-9-1 1.6, 1.7): decode, call the operation (`engine/operations`), answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands
from pamqp.base import Frame

from leveret import errors
from leveret.engine import operations
from leveret.engine.names import REPLY_TO
from leveret.engine.operations import Caller, stripped
from leveret.session import reply_to
from leveret.session.basic import caller_of, is_reply_address_in_use, last_queue
from leveret.wire.methods import Access, Argument, method_frame, table_of

if TYPE_CHECKING:
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.consumers import Consumer
    from leveret.queues.queue import Queue
    from leveret.session.channel import Channel
    from leveret.work import Job, Steps


def _answer(channel: Channel, nowait: bool, answer: type[Frame], **arguments: Argument) -> None:
    if not nowait and not channel.gone:
        channel.connection.send(method_frame(channel.number, answer, **arguments))


def _asked(channel: Channel) -> tuple[VirtualHost, Caller]:
    """Return the first two arguments of an operation."""
    return channel.vhost, caller_of(channel)


# --- exchange


def exchange_declare(channel: Channel, method: commands.Exchange.Declare) -> None:
    """exchange.declare: create it, or find it equal; passive: find it."""
    if method.passive:
        operations.declare_exchange_passively(*_asked(channel), method.exchange)
    else:
        operations.declare_exchange(
            *_asked(channel),
            method.exchange,
            method.exchange_type,
            durable=bool(method.durable),
            auto_delete=bool(method.auto_delete),
            internal=bool(method.internal),
            arguments=table_of(method.arguments),
        )
    _answer(channel, method.nowait, commands.Exchange.DeclareOk)


def exchange_delete(channel: Channel, method: commands.Exchange.Delete) -> None:
    """exchange.delete."""
    job = operations.delete_exchange(*_asked(channel), method.exchange, if_unused=bool(method.if_unused))
    job.when_done(lambda: _answer(channel, method.nowait, commands.Exchange.DeleteOk))


def exchange_bind(channel: Channel, method: commands.Exchange.Bind) -> None:
    """exchange.bind (docs: e2e)."""
    operations.bind_exchange(
        *_asked(channel), method.source, method.destination, method.routing_key, table_of(method.arguments)
    )
    _answer(channel, method.nowait, commands.Exchange.BindOk)


def exchange_unbind(channel: Channel, method: commands.Exchange.Unbind) -> None:
    """exchange.unbind."""
    operations.unbind_exchange(
        *_asked(channel), method.source, method.destination, method.routing_key, table_of(method.arguments)
    )
    _answer(channel, method.nowait, commands.Exchange.UnbindOk)


# --- queue


def queue_declare(channel: Channel, method: commands.Queue.Declare) -> None:
    """queue.declare: create it, or find it equal; passive: find it. Direct reply-to addresses exist already."""
    name = stripped(method.queue)
    if reply_to.declared(channel, name):
        channel.last_queue = name
        _answer(
            channel, method.nowait, commands.Queue.DeclareOk, queue=name, message_count=0, consumer_count=1
        )
    elif method.passive:
        _declared(channel, method, operations.declare_queue_passively(*_asked(channel), name))
    else:
        queue = operations.declare_queue(
            *_asked(channel),
            name,
            durable=bool(method.durable),
            auto_delete=bool(method.auto_delete),
            exclusive=bool(method.exclusive),
            arguments=table_of(method.arguments),
        )
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


def queue_bind(channel: Channel, method: commands.Queue.Bind) -> None:
    """queue.bind."""
    name, key = _bound(channel, method)
    operations.bind_queue(*_asked(channel), method.exchange, name, key, table_of(method.arguments))
    _answer(channel, method.nowait, commands.Queue.BindOk)


def queue_unbind(channel: Channel, method: commands.Queue.Unbind) -> None:
    """queue.unbind."""
    name, key = _bound(channel, method)
    operations.unbind_queue(*_asked(channel), method.exchange, name, key, table_of(method.arguments))
    channel.connection.send(method_frame(channel.number, commands.Queue.UnbindOk))


def _bound(channel: Channel, method: commands.Queue.Bind | commands.Queue.Unbind) -> tuple[str, str]:
    """Return queue and routing key. An empty name stands for the last queue; an empty key then stands for its name."""
    if method.queue:
        return method.queue, method.routing_key
    name = last_queue(channel)
    return name, method.routing_key or name


def queue_purge(channel: Channel, method: commands.Queue.Purge) -> None:
    """queue.purge: drop what is ready."""
    name = method.queue or last_queue(channel)
    if is_reply_address_in_use(channel, name):
        _answer(channel, method.nowait, commands.Queue.PurgeOk, message_count=0)
        return
    queue, count, job = operations.purge_queue(*_asked(channel), name)
    channel.connection.begin(_purged(channel, queue, count, job, method.nowait), "queue.purge")


def _purged(channel: Channel, queue: Queue, count: int, job: Job, nowait: bool) -> Steps:
    """Answer when all messages are settled with the store. Raises 541 if they cannot be."""
    yield job
    if queue.crashed:
        raise errors.internal_error()
    _answer(channel, nowait, commands.Queue.PurgeOk, message_count=count)


def queue_delete(channel: Channel, method: commands.Queue.Delete) -> None:
    """queue.delete. The answer is sent before basic.cancel to the client's own consumers."""
    name = stripped(method.queue or last_queue(channel))
    if name == REPLY_TO or name.startswith(REPLY_TO + "."):
        _answer(channel, method.nowait, commands.Queue.DeleteOk, message_count=0)
        return
    count, taken = operations.remove_queue(
        *_asked(channel), name, if_unused=bool(method.if_unused), if_empty=bool(method.if_empty)
    )
    taken.job.when_done(lambda: _deleted(channel, method.nowait, count, taken.consumers))


def _deleted(channel: Channel, nowait: bool, count: int, consumers: list[Consumer]) -> None:
    _answer(channel, nowait, commands.Queue.DeleteOk, message_count=count)
    channel.vhost.cancel_consumers(consumers)


# --- access


def access_request(channel: Channel, method: Access.Request) -> None:
    """access.request of AMQP 0-8: always granted."""
    channel.connection.send(method_frame(channel.number, Access.RequestOk, ticket=1))
