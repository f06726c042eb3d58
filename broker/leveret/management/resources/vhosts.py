"""`/api/vhosts`: virtual hosts and their permissions."""

from __future__ import annotations

from collections.abc import Awaitable

from leveret.engine import operations
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Reply, Routes, bad_request, boolean, missing
from leveret.management.json import Json
from leveret.management.pagination import listed, listed_in_slices, picked
from leveret.management.views import vhosts as views

QUEUE_TYPES = ("classic", "quorum", "stream")


def vhosts(call: Call) -> Awaitable[object]:
    """GET: those that the user has permissions in; all of them for monitors.

    RabbitMQ ignores `columns` here, except that there are no statistics if they name nothing but the name.
    """
    access, name = call.broker.access, call.user.name
    found = [
        vhost for key, vhost in call.broker.vhosts.items() if call.monitors or access.vhost_access(name, key)
    ]
    call.rates("invalid_range_parameters")
    named = call.query.get("columns") in ("", "name")
    query = {name: text for name, text in call.query.items() if name != "columns"}
    return listed_in_slices(
        call.site.slices,
        found,
        query,
        lambda vhost: _described(call, vhost) if named else _shown(call, vhost),
        lambda vhost: _described(call, vhost),
        columns_first=False,
    )


def _find(call: Call) -> VirtualHost:
    """The virtual host in the path, for administrators. Raises `Refusal`."""
    call.need_administrator()
    found = call.broker.vhosts.get(call.path["vhost"])
    if found is None:
        raise missing()
    return found


def vhost(call: Call) -> object:
    """GET: one."""
    return picked(_shown(call, _find(call)), call.query)


def _described(call: Call, vhost: VirtualHost) -> Json:
    configured = call.broker.settings.amqp.default_queue_type
    return views.described(vhost, call.site.node_name, call.broker.profile, configured)


def _shown(call: Call, vhost: VirtualHost) -> Json:
    shown = _described(call, vhost)
    return shown if call.without_stats else shown | views.figures(call.rates(), vhost)


def put(call: Call) -> Reply:
    """PUT {description, tags, default_queue_type, tracing}: create or change it. Fields that are missing are reset,
    except tracing and, in some versions, the type. The user who creates it gets all permissions in it.
    """
    call.need_administrator()
    name, fields, broker = call.path["vhost"], call.fields(), call.broker
    kind = fields.get("default_queue_type")
    if kind is not None and kind not in (*QUEUE_TYPES, operations.UNDEFINED):
        raise bad_request(f"{kind} is not a valid queue type")
    tracing = boolean(fields, "tracing") if "tracing" in fields else None
    new = operations.put_vhost(
        broker,
        call.caller,
        name,
        description=str(fields.get("description", "")),
        tags=_tags(fields.get("tags", ())),
        default_queue_type=operations.UNDEFINED if kind is None and call.api.queue_type_reset else kind,
        tracing=tracing,
    )
    if new:
        operations.set_permissions(broker, call.caller, call.user.name, name, ".*", ".*", ".*")
    return Reply(201 if new else 204)


def _tags(given: object) -> tuple[str, ...]:
    """Tags from a list, or from one string with commas."""
    words = given.split(",") if isinstance(given, str) else given
    return tuple(str(word).strip() for word in words if word) if isinstance(words, list) else ()


def delete(call: Call) -> None:
    """DELETE: delete it with everything in it."""
    operations.delete_vhost(call.broker, call.caller, _find(call).name)


def permissions(call: Call) -> object:
    """GET permissions: those of all users in it."""
    found = call.broker.access.export_permissions(vhost=_find(call).name)
    return listed(found, call.query, paged=False)


def topic_permissions(call: Call) -> object:
    """GET topic-permissions: those of all users in it."""
    found = call.broker.access.export_topic_permissions(vhost=_find(call).name)
    return listed(found, call.query, paged=False)


ROUTES: Routes = {
    "vhosts": {"GET": vhosts},
    "vhosts/{vhost}": {"GET": vhost, "PUT": put, "DELETE": delete},
    "vhosts/{vhost}/permissions": {"GET": permissions},
    "vhosts/{vhost}/topic-permissions": {"GET": topic_permissions},
}
