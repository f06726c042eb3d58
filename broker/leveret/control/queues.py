"""Single queues, and the ends of connections."""

from __future__ import annotations

import asyncio

from leveret import errors
from leveret.control.call import Call, Handler
from leveret.control.passing import others, values_elsewhere, values_of
from leveret.control.processes import find_connection
from leveret.engine import operations
from leveret.engine.clients import ClientConnection
from leveret.errors import AmqpError
from leveret.rendering.answers import SOFTWARE, UNAVAILABLE, USAGE, Done, failed, failed_with
from leveret.rendering.terms import Atom, Pid, Quoted, inspect


def delete_queue(call: Call) -> object:
    """Delete a queue, on request only if it is empty or unused."""
    (name,) = call.arguments
    queue = call.find_queue(name)
    if queue is None:
        raise failed(USAGE, "No such queue was found")
    try:
        count = operations.delete_queue(
            call.broker.vhosts[queue.vhost],
            call.caller,
            name,
            if_unused=bool(call.options.get("if_unused")),
            if_empty=bool(call.options.get("if_empty")),
        )
    except AmqpError as error:
        raise failed_with(_term(error)) from None
    return Done(f"Queue was successfully deleted with {count} ready messages")


def _term(error: AmqpError) -> object:
    """The error as RabbitMQ's functions raise it."""
    return (Atom("amqp_error"), Atom(error.name.lower()), Quoted(error.explanation), Atom("none"))


def purge_queue(call: Call) -> object:
    """Drop the ready messages of a queue."""
    (name,) = call.arguments
    queue = call.find_queue(name)
    if queue is None:
        raise failed_with(Atom("not_found"))
    try:
        _, _, job = operations.purge_queue(call.broker.vhosts[queue.vhost], call.caller, name)
    except AmqpError as error:
        raise failed_with(_term(error)) from None
    if not job.done:
        call.suspend(job)
    return Done()


def close_connection(call: Call) -> object:
    """Close a connection that is named by its process; it is no error if there is none."""
    pid, reason = call.arguments
    if not (pid.startswith("<") and pid.endswith(">")):
        raise failed(UNAVAILABLE, f"Error:\n{inspect((Atom('invalid_pid_syntax'), pid))}")
    found = find_connection(call.broker.connections, call.node, Pid(pid))
    if found is not None:
        found.shut(errors.connection_forced(reason))
    return Done()


async def close_all_connections(call: Call) -> object:
    """Close the connections of a virtual host, or all, some of them on request, and perhaps slowly."""
    (reason,) = call.arguments
    everywhere = bool(call.options.get("global"))
    found = [
        each
        for each in _open(call)
        if everywhere or (each.vhost is not None and each.vhost.name == call.vhost_name)
    ]
    limit, delay = call.options.get("limit", 0), call.options.get("per_connection_delay", 0)
    assert isinstance(limit, int) and isinstance(delay, int)
    if limit < 0:
        raise failed(SOFTWARE, f"the limit should be at least 0, not {limit}")
    if limit > 0:
        found = found[:limit]
    for each in found:
        each.shut(errors.connection_forced(reason))
        if delay > 0:
            call.host.touch()
            await asyncio.sleep(delay / 1000)
            call.host.tick()
    closed = len(found)
    for node in others(call) if everywhere else ():
        if limit <= 0 or closed < limit:
            closed += await _closed_on(call, node, limit - closed if limit > 0 else 0)
    return Done(f"Closed {closed} connections")


async def _closed_on(call: Call, node: str, limit: int) -> int:
    """Close connections to another node; returns how many. `limit`: at most, 0 for all."""
    (text,) = await values_of(call, node, limit=limit)
    return int(str(text).split()[1])


def _open(call: Call) -> list[ClientConnection]:
    return [each for each in call.broker.connections if each.is_open]


async def close_all_user_connections(call: Call) -> object:
    """Close the connections of a user."""
    user, reason = call.arguments
    for each in _open(call):
        if each.actor.user == user:
            each.shut(errors.connection_forced(reason))
    await values_elsewhere(call)
    return Done()


COMMANDS: dict[str, Handler] = {
    "delete_queue": delete_queue,
    "purge_queue": purge_queue,
    "close_connection": close_connection,
    "close_all_connections": close_all_connections,
    "close_all_user_connections": close_all_user_connections,
}
