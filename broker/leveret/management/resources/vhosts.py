"""`/api/vhosts`: virtual hosts, and who may do what in them."""

from __future__ import annotations

from typing import Any

from leveret.engine.stats import depths
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, bad_request, boolean, missing
from leveret.management.pagination import listed, picked
from leveret.management.views import detailed, message_figures

QUEUE_TYPES = ("classic", "quorum", "stream")


def vhosts(call: Call) -> Any:
    """GET: those the caller has a permission in; all for who may monitor."""
    access, name = call.broker.access, call.user.name
    found = [
        vhost
        for key, vhost in sorted(call.broker.vhosts.items())
        if call.monitors or access.vhost_access(name, key)
    ]
    return listed([_shown(call, vhost) for vhost in found], call.query)


def _find(call: Call) -> VirtualHost:
    """The virtual host in the path; for administrators only."""
    call.need_administrator()
    found = call.broker.vhosts.get(call.path["vhost"])
    if found is None:
        raise missing()
    return found


def vhost(call: Call) -> Any:
    """GET: one."""
    return picked(_shown(call, _find(call)), call.query)


def _shown(call: Call, vhost: VirtualHost) -> dict[str, Any]:
    kind = vhost.default_queue_type
    if kind is None:
        kind = call.broker.settings.amqp.default_queue_type if call.since(3, 13) else "undefined"
    metadata: dict[str, Any] = {"description": vhost.description, "tags": list(vhost.tags)}
    if kind != "undefined":
        metadata["default_queue_type"] = kind
    shown: dict[str, Any] = {
        "name": vhost.name,
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": kind,
        "metadata": metadata,
        "tracing": vhost.tracing,
        "cluster_state": {call.http.node_name: "running"},
    }
    if call.since(4, 1):
        shown["protected_from_deletion"] = False
    return shown if call.without_stats else shown | _figures(call, vhost)


def _figures(call: Call, vhost: VirtualHost) -> dict[str, Any]:
    """Messages, octets and rates; nothing where nothing has happened yet."""
    stats = call.http.stats
    now, octets = depths(vhost.queues.values()), stats.octets(vhost.name)
    shown: dict[str, Any] = {}
    if octets["recv_oct"]:
        shown |= detailed(octets, stats.rates_of(vhost, octets))
    if vhost.queues:
        shown |= detailed(now, stats.rates_of(vhost, now))
    return shown | message_figures(stats, vhost, stats.channel_totals()[vhost.name])


def put(call: Call) -> Reply:
    """PUT {description, tags, default_queue_type, tracing}: create it, or change it; what is not named is reset, but
    for tracing and, in 4.0, the type.

    Whoever creates one may do everything in it.
    """
    call.need_administrator()
    name, fields, broker = call.path["vhost"], call.fields(), call.broker
    kind = fields.get("default_queue_type")
    if kind is not None and kind not in (*QUEUE_TYPES, "undefined"):
        raise bad_request(f"{kind} is not a valid queue type")
    tracing = boolean(fields, "tracing") if "tracing" in fields else None
    new = name not in broker.vhosts
    vhost = broker.add_vhost(name, str(fields.get("description", "")), _tags(fields.get("tags", ())))
    if new:
        broker.access.set_permissions(call.user.name, name, ".*", ".*", ".*")
        broker.access_changed()
        everything = dict.fromkeys(("read", "write", "configure"), ".*")
        call.notify("permission.created", **everything, vhost=name, user=call.user.name)
    vhost.description, vhost.tags = str(fields.get("description", "")), _tags(fields.get("tags", ()))
    if kind is not None or call.since(4, 1) or not call.since(3, 13):
        vhost.default_queue_type = None if kind == "undefined" else kind
    if not new:
        broker.observers.vhost_updated(vhost)
    if tracing is not None:
        vhost.tracing = tracing
    return Reply(201 if new else 204)


def _tags(given: object) -> tuple[str, ...]:
    """A list, or one string with commas."""
    words = given.split(",") if isinstance(given, str) else given
    return tuple(str(word).strip() for word in words if word) if isinstance(words, list) else ()


def delete(call: Call) -> None:
    """DELETE: with everything in it."""
    name = _find(call).name
    if call.broker.access.export_vhost_limits(name):
        call.notify("parameter.cleared", name="limits", component="vhost-limits", vhost=name)
        call.notify("vhost.limits.cleared", vhost=name, name="limits")
    for permission in call.broker.access.export_permissions(vhost=name):
        call.notify("permission.deleted", vhost=name, user=permission["user"])
    call.broker.delete_vhost(name)


def permissions(call: Call) -> Any:
    """GET permissions: of everybody in it."""
    found = call.broker.access.export_permissions(vhost=_find(call).name)
    return listed(found, call.query, paged=False)


def topic_permissions(call: Call) -> Any:
    """GET topic-permissions: of everybody in it."""
    found = call.broker.access.export_topic_permissions(vhost=_find(call).name)
    return listed(found, call.query, paged=False)


ROUTES: Routes = {
    "vhosts": {"GET": vhosts},
    "vhosts/{vhost}": {"GET": vhost, "PUT": put, "DELETE": delete},
    "vhosts/{vhost}/permissions": {"GET": permissions},
    "vhosts/{vhost}/topic-permissions": {"GET": topic_permissions},
}
