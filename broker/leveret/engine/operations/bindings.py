"""Operations on bindings (docs: e2e; rabbit_channel:binding_action, rabbit_binding).

A binding needs the permissions write on its destination and read on its source, and for a topic exchange the topic
permission read for its key. These are checked before the existence of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.names import REPLY_TO
from leveret.engine.operations.caller import Caller, stripped
from leveret.engine.operations.exchanges import check_not_default, find_exchange
from leveret.engine.operations.queues import find_queue

if TYPE_CHECKING:
    from leveret.engine.permissions import Permissions
    from leveret.engine.vhost import VirtualHost
    from leveret.wire.tables import Table


def bind_queue(
    vhost: VirtualHost, caller: Caller, source: str, name: str, key: str, arguments: Table
) -> None:
    """Bind a queue to the exchange `source`. An existing binding is no error. Raises AmqpError.

    The exchange checks a binding before the owner of the queue is checked (rabbit_binding:add).
    """
    source, name = _queue_ends(vhost, caller, source, name, key)
    exchange = find_exchange(vhost, source)
    queue = find_queue(vhost, name)
    try:
        caller.check_owner(queue)
    except errors.AmqpError:
        vhost.check_binding(exchange, queue, key, arguments)
        raise
    vhost.bind(exchange, queue, key, arguments, caller.actor, caller.owner)


def unbind_queue(
    vhost: VirtualHost, caller: Caller, source: str, name: str, key: str, arguments: Table
) -> None:
    """Unbind a queue. A missing binding, queue or exchange is no error. Raises AmqpError."""
    source, name = _queue_ends(vhost, caller, source, name, key)
    exchange, queue = vhost.exchanges.get(source), vhost.queues.get(name)
    if exchange is None or queue is None:
        return
    try:
        caller.check_owner(queue)
    except errors.AmqpError:
        if not vhost.has_binding(exchange, queue, key, arguments):
            return
        raise
    vhost.unbind(exchange, queue, key, arguments, caller.actor)


def _queue_ends(vhost: VirtualHost, caller: Caller, source: str, name: str, key: str) -> tuple[str, str]:
    """Check the permissions of a binding to a queue. Returns the names of source and queue."""
    if not caller.checked:
        return source, name
    source, name = stripped(source), stripped(name)
    if name.startswith(REPLY_TO + ".") and vhost.profile.volatile_reply_queues:
        raise errors.reply_queue_binding()
    may = caller.permissions(vhost)
    may.check_queue("write", name)
    _check_source(may, vhost, source, key)
    return source, name


def bind_exchange(
    vhost: VirtualHost,
    caller: Caller,
    source: str,
    destination: str,
    key: str,
    arguments: Table,
) -> None:
    """Bind the exchange `destination` to the exchange `source`. Raises AmqpError."""
    source, destination = _exchange_ends(vhost, caller, source, destination, key)
    exchange, end = find_exchange(vhost, source), find_exchange(vhost, destination)
    vhost.bind(exchange, end, key, arguments, caller.actor, caller.owner)


def unbind_exchange(
    vhost: VirtualHost,
    caller: Caller,
    source: str,
    destination: str,
    key: str,
    arguments: Table,
) -> None:
    """Unbind an exchange from an exchange. A missing binding or exchange is no error. Raises AmqpError."""
    source, destination = _exchange_ends(vhost, caller, source, destination, key)
    exchange, end = vhost.exchanges.get(source), vhost.exchanges.get(destination)
    if exchange is not None and end is not None:
        vhost.unbind(exchange, end, key, arguments, caller.actor)


def _exchange_ends(
    vhost: VirtualHost, caller: Caller, source: str, destination: str, key: str
) -> tuple[str, str]:
    """Check the permissions of a binding between exchanges. Returns the names of both."""
    if not caller.checked:
        return source, destination
    source, destination = stripped(source), stripped(destination)
    may = caller.permissions(vhost)
    may.check_exchange("write", destination)
    check_not_default(destination)
    _check_source(may, vhost, source, key)
    return source, destination


def _check_source(may: Permissions, vhost: VirtualHost, source: str, key: str) -> None:
    check_not_default(source)
    may.check_exchange("read", source)
    exchange = vhost.exchanges.get(source)
    if exchange is not None and exchange.type == "topic":
        may.check_topic("read", source, key)
