"""`/api/queues`: list, declare, purge and delete queues."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.engine import operations
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, arguments, bad_request, boolean, missing
from leveret.management.json import Json
from leveret.management.pagination import listed_by, picked
from leveret.management.views import queues as views
from leveret.queues.queue import Queue


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
    new = name not in vhost.queues
    operations.declare_queue(
        vhost, call.caller, name, durable=durable, auto_delete=auto_delete, arguments=table
    )
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE ?if-empty=true&if-unused=true: delete it."""
    found = find(call)
    operations.delete_queue(
        call.broker.vhosts[found.vhost],
        call.caller,
        found.name,
        if_unused=call.flag("if-unused"),
        if_empty=call.flag("if-empty"),
    )


def purge(call: Call) -> None:
    """DELETE contents: drop all ready messages."""
    found = find(call)
    operations.purge_queue(call.broker.vhosts[found.vhost], call.caller, found.name)


ROUTES: Routes = {
    "queues": {"GET": queues},
    "queues/detailed": {"GET": queues},
    "queues/{vhost}": {"GET": queues_in_vhost},
    "queues/{vhost}/{name}": {"GET": queue, "PUT": declare, "DELETE": delete},
    "queues/{vhost}/{name}/contents": {"DELETE": purge},
}
