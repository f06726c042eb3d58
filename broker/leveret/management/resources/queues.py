"""`/api/queues`: list, declare, purge and delete queues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Collection, Iterable

from leveret import errors
from leveret.engine import operations
from leveret.engine.stats import channels_of, depths, fold_all_steps, open_channels
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
    strictly_boolean,
)
from leveret.management.json import Json
from leveret.management.json_pieces import document
from leveret.management.merging import listed_everywhere
from leveret.management.pagination import Columns, picked
from leveret.management.rates import Rates
from leveret.management.views import details
from leveret.management.views import queues as views
from leveret.management.views.channels import FLOW
from leveret.management.views.versions import fitted
from leveret.queues.queue import Queue

#: Fields that a list can be sorted by before its queues are shown with all their figures.
_COUNTED = frozenset({"messages", "messages_ready", "messages_unacknowledged", "consumers"})


def queues(call: Call) -> Awaitable[object]:
    """GET: the queues of every virtual host the caller may see."""
    return _list(call, _queues(call.listed_vhosts()))


def queues_in_detail(call: Call) -> Awaitable[object]:
    """GET detailed: the same with all their fields."""
    return _list(call, _queues(call.listed_vhosts()), detailed=True)


def queues_in_vhost(call: Call) -> Awaitable[object]:
    """GET: the queues of one virtual host."""
    return _list(call, _queues((call.vhost(),)))


def queues_of_user(call: Call) -> Awaitable[object]:
    """GET: the queues that a user has declared, in every virtual host the caller may see."""
    name = call.path["user"]
    found = [queue for queue in _queues(call.listed_vhosts()) if queue.user == name]
    return _list(call, found, totals_shown=False)


def _queues(vhosts: Iterable[VirtualHost]) -> list[Queue]:
    return [queue for vhost in vhosts for queue in vhost.queues.values()]


async def _list(
    call: Call, found: list[Queue], *, detailed: bool = False, totals_shown: bool = True
) -> object:
    """The list. With `columns`, RabbitMQ takes them from all fields of a queue, also from those that lists lack."""
    rates = call.rates("invalid_range_parameters")
    publishers, flowing = await _publishers(call, found), await _in_flow(call)
    detailed = detailed or "columns" in call.query or call.api.queues_listed_in_full

    def brief(queue: Queue) -> Json:
        return views.declared(queue, call.site.node_name, call.api) | views.matching_policies(queue)

    def counted(queue: Queue) -> Json:
        return brief(queue) | depths((queue,)) | {"consumers": len(queue.consumers.members)}

    def shown(queue: Queue) -> Json:
        if call.without_stats:
            return _without_stats(call, queue, totals_shown, listed=True)
        if detailed:
            return _full(call, queue, rates, publishers) | _flow(queue, flowing)
        figures = _figures(call, queue, rates, publishers) | views.known(views.head(queue))
        return brief(queue) | fitted(figures, call.api, _kind(queue)) | _flow(queue, flowing)

    return await listed_everywhere(
        call,
        found,
        shown,
        None if call.without_stats else counted if call.query.get("sort") in _COUNTED else brief,
        columns_first=False,
    )


async def _publishers(call: Call, found: Iterable[Queue]) -> Counter[object]:
    """How many channels have published to each queue, in the virtual hosts of those that are quorum queues."""
    counted: Counter[object] = Counter()
    if call.without_stats:
        return counted
    vhosts = [call.broker.vhosts[name] for name in {queue.vhost for queue in found if queue.kind == "quorum"}]
    channels = (channel for vhost in vhosts for channel in channels_of(vhost))
    async for channel in call.site.slices.walk(channels):
        counted.update(set().union(*(tally.destinations() for tally in channel.publish_tallies.values())))
    return counted


async def _in_flow(call: Call) -> set[object]:
    """The queues that connections in flow publish to: they wait for the disk, as those connections do."""
    found: set[object] = set()
    if call.without_stats:
        return found
    async for connection in call.site.slices.walk(list(call.broker.connections)):
        if connection.state_name == FLOW:
            for channel in open_channels(connection):
                for tally in channel.publish_tallies.values():
                    found.update(tally.destinations())
    return found


def _flow(queue: Queue, flowing: Collection[object]) -> Json:
    """The state of a queue that is kept on the disk, if it waits for that."""
    return {"state": FLOW} if queue.durable and not queue.crashed and queue in flowing else {}


def _full(call: Call, queue: Queue, rates: Rates, publishers: Counter[object]) -> Json:
    """A queue with all its fields, except those of its consumers."""
    shown = views.declared(queue, call.site.node_name, call.api) | views.policies(queue)
    shown |= _figures(call, queue, rates, publishers) | views.head(queue)
    return fitted(shown | views.idleness(rates, queue), call.api, _kind(queue))


def _kind(queue: Queue) -> str:
    return f"{queue.kind} queue"


def _figures(call: Call, queue: Queue, rates: Rates, publishers: Counter[object]) -> Json:
    shown = views.figures(rates, queue, call.site.node_name)
    return shown | {"publishers": publishers[queue]} if queue.kind == "quorum" else shown


def _without_stats(call: Call, queue: Queue, totals_shown: bool, *, listed: bool) -> Json:
    """Show a queue without statistics: its totals if they are asked for, else its policies."""
    node = call.site.node_name
    if totals_shown and call.flag("enable_queue_totals"):
        shown = views.totals(queue, node, call.api)
        hidden = ("internal", "internal_owner") if listed else ()
        found = {name: value for name, value in shown.items() if name not in hidden}
        return fitted(found, call.api, f"counted {_kind(queue)}")
    shown = views.declared(queue, node, call.api) | views.replicas(queue, node)
    if call.api.policies_without_stats:
        shown |= views.policies(queue)
    elif listed:
        shown |= views.named_policy(queue)
    return fitted(shown, call.api, f"described {_kind(queue)}")


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
        found, node, call.broker.settings.amqp.consumer_timeout, call.api
    )
    shown |= _flow(found, await _in_flow(call))
    if call.rates_detailed:
        await call.site.slices.run(fold_all_steps(call.vhost()))
        shown |= details.of_queue(rates, call.vhost(), found, node)
    return await document(call.site.slices, shown, Columns(call.query))


def declare(call: Call) -> Reply:
    """PUT {durable, auto_delete, arguments, node, exclusive, passive}: declare it; 201 if it is new, 204 if it existed.

    An exclusive queue is never durable. Over HTTP no connection owns it: nothing else is exclusive about it.
    """
    vhost, name = call.target_vhost(), call.path["name"]
    check_length("queue", name)
    fields = call.fields()
    durable, auto_delete, _ = (boolean(fields, option) for option in ("durable", "auto_delete", "internal"))
    exclusive, passive = strictly_boolean(fields, "exclusive"), strictly_boolean(fields, "passive")
    durable = durable and not exclusive
    table = arguments(fields)
    call.check_node(fields)
    new = name not in vhost.queues
    if new and passive:
        raise not_found(f"no {errors.queue_name(name, vhost.name)}")
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


async def purge(call: Call) -> None:
    """DELETE contents: drop all ready messages; answered when they are settled with the store."""
    found = find(call)
    queue, _, job = operations.purge_queue(call.broker.vhosts[found.vhost], call.caller, found.name)
    await call.site.ended(job)
    if queue.crashed:  # just now
        raise errors.internal_error()


def act(call: Call) -> None:
    """POST actions {action}: RabbitMQ had actions for mirrored queues; none is left."""
    if call.path["name"] not in call.vhost().queues:
        raise not_found("queue_not_found")
    (action,) = call.needed(call.fields(), ("action",))
    if action in call.api.queue_actions:  # of mirrored queues: there are no mirrors to synchronise
        return
    raise bad_request(["unknown", action])


async def rebalance(call: Call) -> None:
    """POST: spread the leaders of queues over the nodes: here, the virtual hosts with all that is in them."""
    if call.site.owners is not None:
        await call.site.owners.rebalance()


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
