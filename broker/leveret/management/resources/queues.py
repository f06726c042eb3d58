"""`/api/queues`: list, declare, purge and delete queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterable

from leveret import errors
from leveret.engine import operations
from leveret.engine.stats import channels_of, fold
from leveret.engine.vhost import VirtualHost
from leveret.management.call import (
    Call,
    Reply,
    Resource,
    Routes,
    Shows,
    arguments,
    bad_request,
    boolean,
    check_length,
    missing,
    not_found,
)
from leveret.management.json import Json
from leveret.management.pagination import listed_in_slices, picked
from leveret.management.rates import Rates
from leveret.management.views import details
from leveret.management.views import queues as views
from leveret.queues.queue import Queue


def queues(call: Call) -> Awaitable[object]:
    """GET: the queues of every virtual host the caller may see."""
    return _list(call, _queues(call.visible_vhosts()))


def queues_in_detail(call: Call) -> Awaitable[object]:
    """GET detailed: the same with all their fields."""
    return _list(call, _queues(call.visible_vhosts()), detailed=True)


def queues_in_vhost(call: Call) -> Awaitable[object]:
    """GET: the queues of one virtual host."""
    return _list(call, _queues((call.vhost(),)))


def queues_of_user(call: Call) -> Awaitable[object]:
    """GET: the queues that a user has declared, in every virtual host the caller may see."""
    name = call.path["user"]
    found = [queue for queue in _queues(call.visible_vhosts()) if queue.user == name]
    return _list(call, found, totals_shown=False)


def _queues(vhosts: Iterable[VirtualHost]) -> list[Queue]:
    return [queue for vhost in vhosts for queue in vhost.queues.values()]


async def _list(
    call: Call, found: list[Queue], *, detailed: bool = False, totals_shown: bool = True
) -> object:
    rates = call.rates("invalid_range_parameters")
    publishers = await _publishers(call, found)

    def brief(queue: Queue) -> Json:
        return views.declared(queue, call.site.node_name, call.api) | views.matching_policies(queue)

    def shown(queue: Queue) -> Json:
        if call.without_stats:
            return _without_stats(call, queue, totals_shown, listed=True)
        if detailed:
            return _full(call, queue, rates, publishers)
        return brief(queue) | _figures(call, queue, rates, publishers) | views.known(views.head(queue))

    return await listed_in_slices(
        call.site.slices,
        found,
        call.query,
        shown,
        None if call.without_stats else brief,
        columns_first=False,
    )


async def _publishers(call: Call, found: Iterable[Queue]) -> Counter[object]:
    """How many channels have published to each queue, in the virtual hosts of those that are quorum queues."""
    counted: Counter[object] = Counter()
    if call.without_stats:
        return counted
    names = {queue.vhost for queue in found if queue.kind == "quorum"}
    channels = [channel for name in names for channel in channels_of(call.broker.vhosts[name])]
    async for channel in call.site.slices.walk(channels):
        fold(channel)
        counted.update({queue for tally in channel.publish_tallies.values() for queue in tally.queues})
    return counted


def _full(call: Call, queue: Queue, rates: Rates, publishers: Counter[object]) -> Json:
    """A queue with all its fields, except those of its consumers."""
    shown = views.declared(queue, call.site.node_name, call.api) | views.policies(queue)
    shown |= _figures(call, queue, rates, publishers) | views.head(queue)
    return shown | views.idleness(rates, queue)


def _figures(call: Call, queue: Queue, rates: Rates, publishers: Counter[object]) -> Json:
    shown = views.figures(rates, queue, call.site.node_name)
    return shown | {"publishers": publishers[queue]} if queue.kind == "quorum" else shown


def _without_stats(call: Call, queue: Queue, totals_shown: bool, *, listed: bool) -> Json:
    """Show a queue without statistics: its totals if they are asked for, else its policies."""
    node = call.site.node_name
    if totals_shown and call.flag("enable_queue_totals"):
        shown = views.totals(queue, node, call.api)
        hidden = ("internal", "internal_owner") if listed else ()
        return {name: value for name, value in shown.items() if name not in hidden}
    shown = views.declared(queue, node, call.api)
    if call.api.policies_without_stats:
        shown |= views.policies(queue) | views.replicas(queue, node)
    return shown


def find(call: Call) -> Queue:
    """The queue in the path. Raises `Refusal`."""
    queue = call.vhost().queues.get(call.path["name"])
    if queue is None:
        raise missing()
    return queue


async def queue(call: Call) -> object:
    """GET: one queue with its consumers."""
    found, node = find(call), call.site.node_name
    if call.without_stats:
        return picked(_without_stats(call, found, call.api.totals_of_one_queue, listed=False), call.query)
    rates, publishers = call.rates(), await _publishers(call, (found,))
    shown = _full(call, found, rates, publishers) | views.details(
        found, node, call.broker.settings.amqp.consumer_timeout
    )
    if call.rates_detailed:
        shown |= details.of_queue(rates, call.vhost(), found, node)
    return picked(shown, call.query)


def declare(call: Call) -> Reply:
    """PUT {durable, auto_delete, arguments, node}: declare it; 201 if it is new, 204 if it existed."""
    vhost, name = call.target_vhost(), call.path["name"]
    check_length("queue", name)
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
    queue, _, _ = operations.purge_queue(call.broker.vhosts[found.vhost], call.caller, found.name)
    if queue.crashed:  # just now
        raise errors.internal_error()


def act(call: Call) -> None:
    """POST actions {action}: RabbitMQ had actions for mirrored queues; none is left."""
    if call.path["name"] not in call.vhost().queues:
        raise not_found("queue_not_found")
    (action,) = call.needed(call.fields(), ("action",))
    raise bad_request(["unknown", action])


def rebalance(call: Call) -> None:
    """POST: move leaders of queues to other nodes; there are none."""


ROUTES: Routes = {
    "queues": {"GET": queues},
    "queues/detailed": {"GET": queues_in_detail},
    "queues/{vhost}": {"GET": queues_in_vhost},
    "users/{user}/queues": {"GET": queues_of_user},
    "queues/{vhost}/{name}": {"GET": queue, "PUT": declare, "DELETE": delete},
    "queues/{vhost}/{name}/contents": Resource({"DELETE": purge}, shows=Shows.NOTHING),
    "queues/{vhost}/{name}/actions": Resource(
        {"POST": act}, shows=Shows.NOTHING, may=Call.need_administrator
    ),
    "rebalance/queues": Resource({"POST": rebalance}, shows=Shows.TEXT, may=Call.need_administrator),
}
