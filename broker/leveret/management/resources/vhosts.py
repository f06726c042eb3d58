"""`/api/vhosts`: virtual hosts and their permissions."""

from __future__ import annotations

from collections.abc import Awaitable

from leveret.engine import operations
from leveret.engine.vhost import VirtualHost
from leveret.management.call import (
    Call,
    Refusal,
    Reply,
    Resource,
    Routes,
    Shows,
    bad_request,
    boolean,
    missing,
    not_found,
)
from leveret.management.json import Json
from leveret.management.pagination import listed, listed_in_slices, picked
from leveret.management.views import vhosts as views
from leveret.wire.erlang import Atom, from_json, pretty, wrapped

QUEUE_TYPES = ("classic", "quorum", "stream")

EMPTY_QUEUE_TYPE = "default_queue_type must not be an empty string"


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
    kind = _queue_type(fields)
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


def _queue_type(fields: Json) -> str | None:
    """The default queue type in a body, also under its name of 3.11. Raises `Refusal`."""
    kind = fields.get("default_queue_type", fields.get("defaultqueuetype"))
    if kind is None or kind in (*QUEUE_TYPES, operations.UNDEFINED):
        return None if kind is None else str(kind)
    if not isinstance(kind, str):
        raise bad_request(f"{pretty(from_json(kind))} is not a valid default_queue_type value")
    raise bad_request(f"{kind} is not a valid queue type" if kind else EMPTY_QUEUE_TYPE)


def _tags(given: object) -> tuple[str, ...]:
    """Tags from a list, or from one string with commas. RabbitMQ fails over others. Raises `Refusal`."""
    if isinstance(given, str):
        return tuple(word.strip() for word in given.split(",")) if given else ()
    if given is None:
        return ()
    if not isinstance(given, list | tuple) or not all(isinstance(word, str) for word in given):
        raise bad_request(["not_a_list_of_strings", given])
    return tuple(word.strip() for word in given)


def delete(call: Call) -> None:
    """DELETE: delete it with everything in it."""
    try:
        operations.delete_vhost(call.broker, call.caller, _find(call).name)
    except operations.ProtectedVhostError as error:
        raise Refusal(412, "precondition_failed", str(error)) from None


def protection(call: Call) -> object:
    """GET: whether it is protected from deletion. RabbitMQ fails over that."""
    return {"protected_from_deletion": bool(_find(call).protected)}


def protect(call: Call) -> None:
    """POST: protect it from deletion."""
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        text = "Cannot enable deletion protection of virtual host '{}' because it does not exist"
        raise not_found(text.format(call.path["vhost"]))
    operations.protect_vhost(vhost, call.caller, True)


def unprotect(call: Call) -> None:
    """DELETE: protect it no longer."""
    operations.protect_vhost(_find(call), call.caller, False)


def start(call: Call) -> None:
    """POST: start it on a node; here all virtual hosts of a node run."""
    node, name = call.path["node"], call.path["vhost"]
    if node != call.site.node_name:
        raise bad_request(f"Unknown node: {node}")
    if name not in call.broker.vhosts:
        text = f"Request to node {node} failed with "
        raise bad_request(text + wrapped((Atom("no_such_vhost"), name.encode()), len(text)))


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
    "vhosts/{vhost}/deletion/protection": Resource(
        {"GET": protection, "POST": protect, "DELETE": unprotect},
        head=False,
        shows=Shows.NOTHING,
        may=Call.need_administrator,
    ),
    "vhosts/{vhost}/start/{node}": Resource(
        {"POST": start}, shows=Shows.NOTHING, may=Call.need_administrator
    ),
    "vhosts/{vhost}/permissions": {"GET": permissions},
    "vhosts/{vhost}/topic-permissions": Resource({"GET": topic_permissions}, shows=Shows.ONLY_JSON),
}
