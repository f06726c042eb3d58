"""`/api/connections`: list and close connections (rabbit_mgmt_wm_connections)."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from leveret import errors
from leveret.engine.clients import ClientConnection
from leveret.management.call import Call, Resource, Routes, missing, not_authorised
from leveret.management.json import Json
from leveret.management.merging import listed_everywhere, repeated_elsewhere
from leveret.management.views import connections as views

#: The reason in connection.close unless the request has the header X-Reason.
REASON = "Closed via management plugin"


def opened(connections: Iterable[ClientConnection]) -> list[ClientConnection]:
    """The connections that have opened a virtual host."""
    return [each for each in connections if each.is_open]


def visible(call: Call, connections: Iterable[ClientConnection]) -> list[ClientConnection]:
    """The open connections that the user may see: all for monitors, else the user's own."""
    found = opened(connections)
    return found if call.monitors else [each for each in found if each.actor.user == call.user.name]


def _list(
    call: Call, found: list[ClientConnection], *, paged: bool = True, light: bool = True
) -> Awaitable[object]:
    """A list of those connections. Not `light`: with statistics even if they are disabled."""
    light = light and call.without_stats
    if light and not call.api.connections_without_stats:
        node = call.site.node_name
        return listed_everywhere(call, found, lambda each: views.tracked(each, node), paged=paged)

    def brief(connection: ClientConnection) -> Json:
        return views.opened(connection, call.site.node_name, call.broker.profile)

    return listed_everywhere(call, found, lambda each: _shown(call, each, light), brief, paged=paged)


def connections(call: Call) -> Awaitable[object]:
    """GET: all of them, or the user's own."""
    return _list(call, everywhere(call))


def everywhere(call: Call) -> list[ClientConnection]:
    """The open connections that the user may see, to the virtual host in the header X-VHost if there is one."""
    name, found = call.chosen_name(), visible(call, call.broker.connections)
    return [each for each in found if each.vhost is not None and each.vhost.name == name] if name else found


def connections_in_vhost(call: Call) -> Awaitable[object]:
    """GET: those to one virtual host. RabbitMQ has no pages here, and always statistics."""
    return _list(call, visible(call, call.vhost().connections), paged=False, light=False)


def _of_user(call: Call, allowed: bool) -> list[ClientConnection]:
    """The connections of the user in the path. Raises `Refusal` unless `allowed`, or it is the same user."""
    name = call.path["user"]
    if not allowed and name != call.user.name:
        raise not_authorised("User not authorised to access object")
    return [each for each in opened(call.broker.connections) if each.actor.user == name]


def connections_of_user(call: Call) -> Awaitable[object]:
    """GET: those of one user, of which RabbitMQ shows little."""
    node = call.site.node_name
    found = _of_user(call, call.monitors)
    return listed_everywhere(call, found, lambda each: views.tracked(each, node))


async def close_of_user(call: Call) -> None:
    """DELETE: close those of one user."""
    found = _of_user(call, call.tagged())
    async for each in call.site.slices.walk_changes(found):
        _close(call, each)
    await repeated_elsewhere(call)


def find(call: Call, allowed: bool) -> ClientConnection:
    """The connection in the path. Raises `Refusal` unless `allowed`, or it is the user's own."""
    name = call.path["name"]
    for each in opened(call.broker.connections):
        if each.name == name:
            if not allowed and each.actor.user != call.user.name:
                raise not_authorised("User not authorised to access object")
            return each
    raise missing()


def connection(call: Call) -> object:
    """GET: one connection. RabbitMQ ignores `columns` here."""
    found = find(call, call.monitors)
    if call.without_stats and not call.api.connections_without_stats:
        return {"name": found.name}
    return views.alone(_shown(call, found, call.without_stats))


def close(call: Call) -> None:
    """DELETE: close it with the reason in X-Reason."""
    _close(call, find(call, call.tagged()))


def _close(call: Call, connection: ClientConnection) -> None:
    given = call.headers.get("X-Reason", REASON)
    # RabbitMQ takes each octet for a character.
    reason = given.encode("utf-8", "surrogateescape").decode("latin-1")
    connection.shut(errors.connection_forced(reason))


def _shown(call: Call, connection: ClientConnection, light: bool) -> Json:
    shown = views.opened(connection, call.site.node_name, call.broker.profile)
    return shown if light else shown | views.figures(call.rates(), connection)


ROUTES: Routes = {
    "connections": {"GET": connections},
    "connections/{name}": Resource({"GET": connection, "DELETE": close}, found_by_name=True),
    "connections/username/{user}": {"GET": connections_of_user, "DELETE": close_of_user},
    "vhosts/{vhost}/connections": {"GET": connections_in_vhost},
}
