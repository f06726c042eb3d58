"""`/api/vhosts`: virtual hosts and their permissions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Generator
from typing import NamedTuple

from leveret.engine import operations
from leveret.engine.node_limits import VhostLimitError
from leveret.engine.tags import TagError, check_number, checked_tags, words
from leveret.engine.vhost import VhostProperties, VirtualHost
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
from leveret.management.merging import listed_everywhere
from leveret.management.owners import Damage, damage_of, vhosts_down
from leveret.management.pagination import Steps, picked
from leveret.management.passing import check_damage, unavailable
from leveret.management.resources.permissions import listed_permissions
from leveret.management.views import vhosts as views
from leveret.wire.erlang import Atom, from_json, pretty, shown_json, wrapped

log = logging.getLogger("leveret")

QUEUE_TYPES = ("classic", "quorum", "stream")

EMPTY_QUEUE_TYPE = "default_queue_type must not be an empty string"


def vhosts(call: Call) -> Awaitable[object]:
    """GET: those that the user has permissions in; all of them for monitors.

    RabbitMQ ignores `columns` here, except that there are no statistics if they name nothing but the name.
    """
    found = [
        _Listed(name, call.broker.vhosts.get(name))
        for name in [*call.broker.vhosts, *vhosts_down(call.broker, None if call.hop else call.site.owners)]
        if call.monitors or call.may_open(name)
    ]
    call.rates("invalid_range_parameters")
    named = call.query.get("columns") in ("", "name")
    figures: dict[str, Json] = {}

    def prepare(place: _Listed) -> Steps:
        """Count for a virtual host what is shown of it."""
        figures[place.name] = yield from _figures(call, place)

    chosen = call.api.vhosts_by_column
    query = {name: text for name, text in call.query.items() if chosen or name != "columns"}
    return listed_everywhere(
        call,
        found,
        lambda place: _described(call, place) | figures.pop(place.name, {}),
        lambda place: _described(call, place),
        columns_first=False,
        query=query,
        part={"disable_stats": "true"} if named else {},
        prepare=None if named else prepare,
    )


class _Listed(NamedTuple):
    """A virtual host by its name; `here`: None if no node of the cluster serves it at the moment."""

    name: str
    here: VirtualHost | None


def _find(call: Call) -> VirtualHost:
    """The virtual host in the path, for administrators. Raises `Refusal`."""
    call.need_administrator()
    found = call.broker.vhosts.get(call.path["vhost"])
    if found is None:
        raise missing()
    return found


def _damage(call: Call, name: str) -> Damage | None:
    return damage_of(call.broker, call.site.owners, name)


async def vhost(call: Call) -> object:
    """GET: one."""
    name = call.path["vhost"]
    if _damage(call, name) is not None:
        call.need_administrator()
        return picked(_described(call, _Listed(name, None)), call.query)
    found = _find(call)
    place = _Listed(found.name, found)
    figures = await call.site.slices.run(_figures(call, place))
    return picked(_described(call, place) | figures, call.query)


def _described(call: Call, place: _Listed) -> Json:
    broker, (name, here) = call.broker, place
    properties = VhostProperties.of(here) if here is not None else broker.elsewhere[name]
    states = {call.site.node_name: "running" if here is not None else "stopped"}
    damage = _damage(call, name)
    if damage is not None:
        shown = _view(call, name, properties, {damage.node: "stopped"})
        return {**shown, "damaged": {"node": damage.node, "reason": damage.reason, "advice": damage.advice}}
    return _view(call, name, properties, states)


def _view(call: Call, name: str, properties: VhostProperties, states: dict[str, str]) -> Json:
    broker = call.broker
    return views.described(name, properties, states, broker.profile, broker.settings.amqp.default_queue_type)


def _figures(call: Call, place: _Listed) -> Generator[None, None, Json]:
    """Messages, octets and rates of a virtual host, if there are any. A generator that yields after each portion."""
    if call.without_stats or place.here is None:
        return {}
    return (yield from views.figures(call.rates(), place.here))


async def put(call: Call) -> Reply:
    """PUT {description, tags, default_queue_type, tracing}: create or change it. Fields that are missing are reset,
    except tracing and, in some versions, the type. The user who creates it gets all permissions in it.
    """
    call.need_administrator()
    name, fields, broker = call.path["vhost"], call.fields(), call.broker
    kind = _queue_type(fields, call.api.vhost_queue_type_checked) if call.api.vhost_queue_types else None
    tracing = boolean(fields, "tracing") if "tracing" in fields else None
    try:
        new = operations.put_vhost(
            broker,
            call.caller,
            name,
            description=_description(fields.get("description", "")),
            tags=_tags(fields.get("tags", ())),
            default_queue_type=operations.UNDEFINED if kind is None and call.api.queue_type_reset else kind,
            tracing=tracing,
        )
    except VhostLimitError as error:
        raise bad_request(str(error)) from None
    if new:
        operations.set_permissions(broker, call.caller, call.user.name, name, ".*", ".*", ".*")
        await _until_served(call, name)
    return Reply(201 if new else 204)


async def _until_served(call: Call, name: str) -> None:
    """Wait until a node of the cluster serves a new virtual host. Raises `Refusal`."""
    if call.site.owners is None:
        return
    await call.site.settled(None)
    try:
        await call.site.owners.served(name)
    except TimeoutError:
        check_damage(call.site.owners, name)
        raise unavailable(f"virtual host '{name}' was created, and no node serves it yet") from None


def _queue_type(fields: Json, checked: bool) -> str | None:
    """The default queue type in a body, also under its name of 3.11. Raises `Refusal` if it is `checked`."""
    kind = fields.get("default_queue_type", fields.get("defaultqueuetype"))
    if not checked and kind not in (*QUEUE_TYPES, None):
        return operations.UNDEFINED
    if kind is None or kind in (*QUEUE_TYPES, operations.UNDEFINED):
        return None if kind is None else str(kind)
    if not isinstance(kind, str):
        raise bad_request(f"{pretty(from_json(kind))} is not a valid default_queue_type value")
    raise bad_request(f"{kind} is not a valid queue type" if kind else EMPTY_QUEUE_TYPE)


def _tags(given: object) -> tuple[str, ...]:
    """Tags from a list, or from one string with commas. RabbitMQ fails over others. Raises `Refusal`."""
    try:
        if isinstance(given, str):
            return checked_tags(words(given)) if given else ()
        if given is None:
            return ()
        if isinstance(given, list):
            check_number(len(given))
        if not isinstance(given, list | tuple) or not all(isinstance(word, str) for word in given):
            raise bad_request(["not_a_list_of_strings", given])
        return checked_tags([word.strip() for word in given])
    except TagError as error:
        raise bad_request(str(error)) from None


def _description(given: object) -> str:
    return given if isinstance(given, str) else shown_json(given)


def delete(call: Call) -> None:
    """DELETE: delete it with everything in it, also one that is damaged."""
    name = call.path["vhost"]
    try:
        if _damage(call, name) is not None:
            call.need_administrator()
            operations.delete_closed_vhost(call.broker, call.caller, name)
        else:
            operations.delete_vhost(call.broker, call.caller, _find(call).name)
    except operations.ProtectedVhostError as error:
        log.error("%s", error)
        raise Refusal(412, "precondition_failed", str(error)) from None


def protection(call: Call) -> object:
    """GET: whether it is protected from deletion. RabbitMQ fails over that."""
    if _damage(call, call.path["vhost"]) is not None:
        return {"protected_from_deletion": bool(call.broker.elsewhere[call.path["vhost"]].protected)}
    return {"protected_from_deletion": bool(_find(call).protected)}


def protect(call: Call) -> None:
    """POST: protect it from deletion."""
    if _damage(call, call.path["vhost"]) is not None:
        operations.protect_closed_vhost(call.broker, call.caller, call.path["vhost"], True)
        return
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        text = "Cannot enable deletion protection of virtual host '{}' because it does not exist"
        raise not_found(text.format(call.path["vhost"]))
    operations.protect_vhost(vhost, call.caller, True)


def unprotect(call: Call) -> None:
    """DELETE: protect it no longer."""
    if _damage(call, call.path["vhost"]) is not None:
        operations.protect_closed_vhost(call.broker, call.caller, call.path["vhost"], False)
        return
    operations.protect_vhost(_find(call), call.caller, False)


def start(call: Call) -> None:
    """POST: start it on a node; here all virtual hosts of a node run."""
    node, name = call.path["node"], call.path["vhost"]
    if node != call.site.node_name and node not in (one.name for one in call.site.other_nodes()):
        raise bad_request(f"Unknown node: {node}")
    if name not in call.broker.vhosts:
        text = f"Request to node {node} failed with "
        raise bad_request(text + wrapped((Atom("no_such_vhost"), name.encode()), len(text)))


def permissions(call: Call) -> Awaitable[object]:
    """GET permissions: those of all users in it."""
    return listed_permissions(call, call.broker.access.each_permission(_find(call).name))


def topic_permissions(call: Call) -> Awaitable[object]:
    """GET topic-permissions: those of all users in it."""
    return listed_permissions(call, call.broker.access.each_topic_permission(_find(call).name))


ROUTES: Routes = {
    "vhosts": {"GET": vhosts},
    "vhosts/{vhost}": Resource({"GET": vhost, "PUT": put, "DELETE": delete}, while_closed=("GET", "DELETE")),
    "vhosts/{vhost}/deletion/protection": Resource(
        {"GET": protection, "POST": protect, "DELETE": unprotect},
        head=False,
        shows=Shows.NOTHING,
        may=Call.need_administrator,
        while_closed=("GET", "POST", "DELETE"),
    ),
    "vhosts/{vhost}/start/{node}": Resource(
        {"POST": start}, shows=Shows.NOTHING, may=Call.need_administrator
    ),
    "vhosts/{vhost}/permissions": {"GET": permissions},
    "vhosts/{vhost}/topic-permissions": Resource({"GET": topic_permissions}, shows=Shows.ONLY_JSON),
}
