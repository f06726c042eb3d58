"""`/api/queues`: list, declare, purge and delete queues."""

from __future__ import annotations

from collections.abc import Iterable

from leveret import errors
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, arguments, bad_request, boolean, missing
from leveret.management.json import Json
from leveret.management.pagination import listed_by, picked
from leveret.management.views import queues as views
from leveret.queues.queue import Queue
from leveret.wire.tables import Table


def queues(call: Call) -> object:
    """GET: the queues of every virtual host the caller may see."""
    return _list(call, call.visible_vhosts())


def queues_in_vhost(call: Call) -> object:
    """GET: the queues of one virtual host."""
    return _list(call, (call.vhost(),))


def _list(call: Call, vhosts: Iterable[VirtualHost]) -> object:
    def brief(queue: Queue) -> Json:
        return views.declared(queue, call.site.node_name, call.api) | views.matching_policies(queue)

    found = [queue for vhost in vhosts for _, queue in sorted(vhost.queues.items())]
    if call.without_stats:
        return listed_by(found, call.query, lambda queue: _without_stats(call, queue, totals_shown=True))
    return listed_by(
        found, call.query, lambda queue: brief(queue) | views.figures(call.site.stats, queue), brief
    )


def _without_stats(call: Call, queue: Queue, totals_shown: bool) -> Json:
    """Show a queue without statistics: its totals if they are asked for, else its policies."""
    shown = views.declared(queue, call.site.node_name, call.api)
    if totals_shown and call.flag("enable_queue_totals"):
        return shown | views.totals(queue)
    return shown | (views.policies(queue) if call.api.policies_without_stats else {})


def find(call: Call) -> Queue:
    """The queue in the path. Raises `Refusal`."""
    queue = call.vhost().queues.get(call.path["name"])
    if queue is None:
        raise missing()
    return queue


def queue(call: Call) -> object:
    """GET: one queue with its consumers."""
    found, node = find(call), call.site.node_name
    if call.without_stats:
        return picked(_without_stats(call, found, call.api.totals_of_one_queue), call.query)
    shown = views.declared(found, node, call.api) | views.policies(found)
    shown |= views.figures(call.site.stats, found)
    shown |= views.details(found, node, call.broker.settings.amqp.consumer_timeout)
    return picked(shown, call.query)


def declare(call: Call) -> Reply:
    """PUT {durable, auto_delete, arguments, node}: declare it; 201 if it is new, 204 if it existed."""
    vhost, name = call.target_vhost(), call.path["name"]
    fields = call.fields()
    durable, auto_delete = boolean(fields, "durable"), boolean(fields, "auto_delete")
    table = arguments(fields)
    if fields.get("node", call.site.node_name) != call.site.node_name:
        raise bad_request(f"Node {fields['node']} is not a cluster member")
    may(call, vhost, "configure", "queue", name)
    new = name not in vhost.queues
    if new:
        _check_new(call, vhost, name, table)
    elif vhost.queues[name].owner is not None:
        raise errors.queue_locked(name, vhost.name)
    vhost.declare_queue(
        name,
        durable=durable,
        auto_delete=auto_delete,
        owner=None,
        arguments=table,
        user=call.user.name,
        actor=call.actor,
    )
    return Reply(201 if new else 204)


def _check_new(call: Call, vhost: VirtualHost, name: str, table: Table) -> None:
    """Refuse reserved names; dead lettering needs read on the queue and write on the exchange. Raises `AmqpError`."""
    if name.startswith("amq."):
        raise errors.queue_reserved(name)
    exchange = table.get("x-dead-letter-exchange")
    if exchange is not None and exchange.kind == "S":
        may(call, vhost, "read", "queue", name)
        may(call, vhost, "write", "exchange", exchange.value.decode("utf-8", "replace"))


def may(call: Call, vhost: VirtualHost, kind: str, resource: str, name: str) -> None:
    """Raises `AmqpError` (403) unless the user may do that over AMQP."""
    render = errors.queue_name if resource == "queue" else errors.exchange_name
    prefixed = call.broker.profile.access_refused_prefix
    call.broker.access.check(call.user.name, vhost.name, kind, render(name, vhost.name), name, prefixed)


def delete(call: Call) -> None:
    """DELETE ?if-empty=true&if-unused=true: delete it."""
    found = find(call)
    vhost = call.broker.vhosts[found.vhost]
    may(call, vhost, "configure", "queue", found.name)
    _check_owner(found)
    found.admit_delete(call.flag("if-unused"), call.flag("if-empty"))
    vhost.delete_queue(found, call.actor)


def purge(call: Call) -> None:
    """DELETE contents: drop all ready messages."""
    found = find(call)
    may(call, call.broker.vhosts[found.vhost], "read", "queue", found.name)
    _check_owner(found)
    found.check_crashed()
    found.purge()
    found.check_crashed()


def _check_owner(found: Queue) -> None:
    """Raises `AmqpError` for exclusive queues: they belong to a connection."""
    if found.owner is not None:
        raise errors.queue_locked(found.name, found.vhost)


ROUTES: Routes = {
    "queues": {"GET": queues},
    "queues/detailed": {"GET": queues},
    "queues/{vhost}": {"GET": queues_in_vhost},
    "queues/{vhost}/{name}": {"GET": queue, "PUT": declare, "DELETE": delete},
    "queues/{vhost}/{name}/contents": {"DELETE": purge},
}
