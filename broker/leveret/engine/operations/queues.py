"""Operations on queues (0-9-1 1.7; rabbit_channel, rabbit_amqqueue)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.operations.caller import Caller, stripped
from leveret.engine.removal import NO_JOB
from leveret.engine.vhost import TakenQueue
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.engine.permissions import Permissions
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.wire.tables import Table
    from leveret.work import Job


def find_queue(vhost: VirtualHost, name: str) -> Queue:
    """Return a queue. Raises 404, and `Suspended` while a long operation is at work on it."""
    queue = vhost.queues.get(name)
    if queue is None:
        raise errors.queue_not_found(name, vhost.name)
    queue.check_free()
    return queue


def read_queue(vhost: VirtualHost, caller: Caller, name: str) -> Queue:
    """Return a queue that the caller may consume from or purge.

    Raises 403 without the permission read, 404 if there is none or it has crashed, 405 if it is exclusive to another
    connection.
    """
    caller.permissions(vhost).check_queue("read", name)
    queue = find_queue(vhost, name)
    caller.check_owner(queue)
    queue.check_crashed()
    return queue


def declare_queue(
    vhost: VirtualHost,
    caller: Caller,
    name: str,
    *,
    durable: bool,
    auto_delete: bool,
    exclusive: bool = False,
    arguments: Table,
) -> Queue:
    """Declare a queue; without a name it gets one. An existing one must be equivalent. Raises AmqpError.

    Names in `amq.` are refused before permissions and existence are checked, because `check_name` comes first in
    rabbit_channel. Only the connection that has declared an exclusive queue can declare it again, and only as
    exclusive. Raises `Suspended` while policies for it are looked for; it has the same new name afterwards.
    """
    may = caller.permissions(vhost)
    try:
        queue = _declare_queue(vhost, caller, may, name, durable, auto_delete, exclusive, arguments)
    except Suspended:
        raise
    except BaseException:
        may.name_used()
        raise
    may.name_used()
    return queue


def _declare_queue(
    vhost: VirtualHost,
    caller: Caller,
    may: Permissions,
    name: str,
    durable: bool,
    auto_delete: bool,
    exclusive: bool,
    arguments: Table,
) -> Queue:
    server_named = False
    if caller.checked:
        name = stripped(name)
        if name.startswith("amq."):
            raise errors.queue_reserved(name)
        server_named = name == ""
    if server_named:
        name = may.new_name(lambda: vhost.new_queue_name(arguments))
    may.check_queue("configure", name)
    owner = caller.connection if exclusive else None
    queue = vhost.queues.get(name)
    if queue is None:
        vhost.removals.check_name("queue", name)
        _check_dead_letter(may, name, arguments)
    else:
        if queue.owner is not owner:
            raise errors.queue_locked(name, vhost.name)
        queue.check_free()
    return vhost.declare_queue(
        name,
        durable=durable,
        auto_delete=auto_delete,
        owner=owner,
        arguments=arguments,
        user=caller.actor.user,
        server_named=server_named,
        actor=caller.actor,
        may_wait=not server_named or caller.may is not None,
    )


def _check_dead_letter(may: Permissions, name: str, arguments: Table) -> None:
    """Raise 403 unless the caller may read the queue and write to its dead letter exchange (docs: dlx#permissions)."""
    field = arguments.get("x-dead-letter-exchange")
    if field is not None and field.kind == "S":
        may.check_queue("read", name)
        may.check_exchange("write", field.value.decode("utf-8", "replace"))


def declare_queue_passively(vhost: VirtualHost, caller: Caller, name: str) -> Queue:
    """Return an existing queue. Raises 403, 404, 405. This counts as use of the queue (x-expires)."""
    name = stripped(name)
    caller.permissions(vhost).check_passive_queue(name)
    queue = find_queue(vhost, name)
    caller.check_owner(queue)
    queue.check_crashed()
    queue.queue_expiry.declared()
    return queue


def purge_queue(vhost: VirtualHost, caller: Caller, name: str) -> tuple[Queue, int, Job]:
    """Drop the ready messages of a queue. Returns it, their number, and the job that settles them with the store. If it
    cannot read them back, the queue has crashed when the job has ended. Raises AmqpError.

    Unlike other operations, queue.purge does not remove line ends from the name (rabbit_channel).
    """
    queue = read_queue(vhost, caller, name)
    return queue, *queue.purge()


def remove_queue(
    vhost: VirtualHost,
    caller: Caller,
    name: str,
    *,
    if_unused: bool = False,
    if_empty: bool = False,
) -> tuple[int, TakenQueue]:
    """Delete a queue and its bindings. A missing one is no error. Raises AmqpError.

    Returns the number of messages that it had, its consumers and the job that removes its bindings. After that the
    consumers must be passed to `VirtualHost.cancel_consumers`: an AMQP client gets its delete-ok before the
    basic.cancel of its own consumers.
    """
    if caller.checked:
        name = stripped(name)
    caller.permissions(vhost).check_queue("configure", name)
    queue = vhost.queues.get(name)
    if queue is None:
        vhost.removals.check_name("queue", name)
        return 0, TakenQueue([], NO_JOB)
    caller.check_owner(queue)
    queue.check_free()
    queue.admit_delete(if_unused, if_empty)
    count = queue.deleted_count()
    return count, vhost.take_queue(queue, caller.actor, caller.owner)


def delete_queue(
    vhost: VirtualHost,
    caller: Caller,
    name: str,
    *,
    if_unused: bool = False,
    if_empty: bool = False,
) -> int:
    """Delete a queue and its bindings, cancel its consumers, and return the number of messages. Raises AmqpError."""
    count, taken = remove_queue(vhost, caller, name, if_unused=if_unused, if_empty=if_empty)
    taken.job.when_done(lambda: vhost.cancel_consumers(taken.consumers))
    return count
