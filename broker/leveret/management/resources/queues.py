"""`/api/queues`: queues and what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leveret import errors
from leveret.engine.stats import depths
from leveret.engine.vhost import VirtualHost
from leveret.management import views
from leveret.management.call import Call, Reply, Routes, arguments, bad_request, boolean, missing
from leveret.management.pagination import listed, picked
from leveret.wire.properties import decode_properties
from leveret.wire.tables import Table


def queues(call: Call) -> Any:
    """GET: the queues of every virtual host the caller may see."""
    return _list(call, call.visible_vhosts())


def queues_in_vhost(call: Call) -> Any:
    """GET: the queues of one virtual host."""
    return _list(call, (call.vhost(),))


def _list(call: Call, vhosts: Iterable[VirtualHost]) -> Any:
    found = [queue for vhost in vhosts for _, queue in sorted(vhost.queues.items())]
    return listed([_listed(call, queue) for queue in found], call.query)


def _listed(call: Call, queue: Any) -> dict[str, Any]:
    shown = views.queue_basics(call, queue)
    if call.without_stats:
        totals = call.flag("enable_queue_totals")
        return shown | (_totals(queue) if totals else _plain_policies(call, queue))
    policies = {name: value for name, value in _policies(queue).items() if value is not None}
    return shown | policies | views.queue_figures(call.http.stats, queue)


def _totals(queue: Any) -> dict[str, Any]:
    """What is told instead of statistics with enable_queue_totals: depths, and policies by name."""
    policies = _policies(queue)
    names = {key: policies[key] for key in ("policy", "operator_policy") if policies[key] is not None}
    return depths((queue,)) | names


def _plain_policies(call: Call, queue: Any) -> dict[str, Any]:
    """The same without statistics, where older versions leave them out."""
    return _policies(queue) if call.since(4, 1) else {}


def _policies(queue: Any) -> dict[str, Any]:
    """Which policies hold for it, and what they come to."""
    found = queue.policy
    return {
        "policy": found.policy.name if found.policy is not None else None,
        "operator_policy": found.operator_policy.name if found.operator_policy is not None else None,
        "effective_policy_definition": dict(found.definition),
    }


def find(call: Call) -> Any:
    """The queue in the path."""
    queue = call.vhost().queues.get(call.path["name"])
    if queue is None:
        raise missing()
    return queue


def queue(call: Call) -> Any:
    """GET: one queue with its consumers."""
    found = find(call)
    if call.without_stats:
        totals = call.flag("enable_queue_totals") and call.since(3, 13)
        more = _totals(found) if totals else _plain_policies(call, found)
        return picked(views.queue_basics(call, found) | more, call.query)
    consumers = found.consumers
    exclusive = next((each.tag for each in consumers.members if each.exclusive), None)
    shown = views.queue_basics(call, found) | _policies(found) | views.queue_figures(call.http.stats, found)
    shown |= {
        "consumer_details": [views.consumer_details(call, each) for each in consumers.members],
        "deliveries": [],
        "incoming": [],
        "exclusive_consumer_tag": exclusive,
        "single_active_consumer_tag": consumers.active.tag if consumers.active is not None else None,
        "head_message_timestamp": _head_timestamp(found),
    }
    if found.owner is not None:
        shown["owner_pid_details"] = views.connection_name(found.owner)
    return picked(shown, call.query)


def _head_timestamp(found: Any) -> int | None:
    """The timestamp property of the message that is next, in seconds."""
    entry = found.backlog.first() if found.ready else None
    return None if entry is None else decode_properties(entry.message.header).timestamp


def declare(call: Call) -> Reply:
    """PUT {durable, auto_delete, arguments, node}: declare it; 201 if it is new, 204 if it was there."""
    vhost, name = call.target_vhost(), call.path["name"]
    fields = call.fields()
    durable, auto_delete = boolean(fields, "durable"), boolean(fields, "auto_delete")
    table = arguments(fields)
    if fields.get("node", call.http.node_name) != call.http.node_name:
        raise bad_request(f"Node {fields['node']} is not a cluster member")
    may(call, vhost, "configure", "queue", name)
    new = name not in vhost.queues
    if new:
        _check_new(call, vhost, name, table)
    elif vhost.queues[name].owner is not None:
        raise errors.queue_locked(name, vhost.name)
    vhost.declare_queue(
        name, durable=durable, auto_delete=auto_delete, owner=None, arguments=table, user=call.user.name
    )
    return Reply(201 if new else 204)


def _check_new(call: Call, vhost: VirtualHost, name: str, table: Table) -> None:
    """A reserved name; and dead-lettering needs read on the queue and write on the exchange."""
    if name.startswith("amq."):
        raise errors.queue_reserved(name)
    exchange = table.get("x-dead-letter-exchange")
    if exchange is not None and exchange.kind == "S":
        may(call, vhost, "read", "queue", name)
        may(call, vhost, "write", "exchange", exchange.value.decode("utf-8", "replace"))


def may(call: Call, vhost: VirtualHost, kind: Any, resource: str, name: str) -> None:
    """403 unless the caller may do that over AMQP."""
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
    vhost.delete_queue(found)


def purge(call: Call) -> None:
    """DELETE contents: drop everything that is ready."""
    found = find(call)
    may(call, call.broker.vhosts[found.vhost], "read", "queue", found.name)
    _check_owner(found)
    found.check_crashed()
    found.purge()
    found.check_crashed()


def _check_owner(found: Any) -> None:
    if found.owner is not None:
        raise errors.queue_locked(found.name, found.vhost)


ROUTES: Routes = {
    "queues": {"GET": queues},
    "queues/detailed": {"GET": queues},
    "queues/{vhost}": {"GET": queues_in_vhost},
    "queues/{vhost}/{name}": {"GET": queue, "PUT": declare, "DELETE": delete},
    "queues/{vhost}/{name}/contents": {"DELETE": purge},
}
