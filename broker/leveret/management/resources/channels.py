"""`/api/channels`: channels, of all connections or of some."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.engine.stats import open_channels
from leveret.management.call import Call, Refusal, Resource, Routes, bad_request, missing, not_authorised
from leveret.management.json import Json
from leveret.management.json_pieces import document
from leveret.management.merging import listed_everywhere
from leveret.management.pagination import Columns
from leveret.management.resources import connections
from leveret.management.views import channels as views
from leveret.management.views import details

#: The reason of lists that RabbitMQ cannot make without statistics.
STATS_DISABLED = "Stats in management UI are disabled on this node"


def channels(call: Call) -> Awaitable[object]:
    """GET: all channels, or those of the user's own connections."""
    if not call.api.channels_without_stats:
        need_stats(call)
    return _list(call, connections.everywhere(call))


def channels_in_vhost(call: Call) -> Awaitable[object]:
    """GET: those in one virtual host. RabbitMQ has no pages here."""
    found = connections.visible(call, call.vhost().connections)
    need_stats(call)
    return _list(call, found, paged=False, light=False)


def channels_of_connection(call: Call) -> Awaitable[object]:
    """GET: those of one connection. RabbitMQ has no pages here, and always statistics."""
    return _list(call, [connections.find(call, call.monitors)], paged=False, light=False)


async def _list(
    call: Call, found: Iterable[ClientConnection], *, paged: bool = True, light: bool = True
) -> object:
    """A list of the channels of those connections. Not `light`: with statistics even if they are disabled."""
    light = light and call.without_stats
    opened = (channel for connection in list(found) for channel in open_channels(connection))
    items = [channel async for channel in call.site.slices.walk(opened)]

    def brief(channel: ClientChannel) -> Json:
        return views.opened(channel, call.site.node_name)

    return await listed_everywhere(
        call, items, lambda channel: _shown(call, channel, light), brief, paged=paged
    )


def _shown(call: Call, channel: ClientChannel, light: bool) -> Json:
    shown = views.opened(channel, call.site.node_name)
    return shown if light else shown | views.figures(call.rates(), channel, call.api)


async def channel(call: Call) -> object:
    """GET: one channel with its consumers. RabbitMQ ignores `columns` here."""
    if not call.api.channels_without_stats:
        need_stats(call, early=True)
    found = _find(call)
    shown = _shown(call, found, call.without_stats)
    if not call.without_stats:
        timeout = call.broker.settings.amqp.consumer_timeout
        shown |= views.details(found, call.site.node_name, timeout, call.api)
        if call.rates_detailed:
            shown |= details.of_channel(call.rates(), found)
    return await document(call.site.slices, shown, Columns({}))


def _find(call: Call) -> ClientChannel:
    """The channel in the path. Raises `Refusal` unless the user may see it."""
    wanted = call.path["name"]
    for connection in connections.opened(call.broker.connections):
        if wanted.startswith(connection.name):
            for channel in connection.channels.values():
                if views.name(channel) == wanted and not channel.gone:
                    if not call.monitors and connection.actor.user != call.user.name:
                        raise not_authorised("User not authorised to access object")
                    return channel
    raise missing()


def need_stats(call: Call, *, early: bool = False) -> None:
    """Raises `Refusal` if statistics are disabled, for what RabbitMQ cannot show without them. `early`: see there."""
    if call.without_stats:
        raise Refusal(400, "bad_request", STATS_DISABLED, early=early)


def sessions(call: Call) -> object:
    """GET sessions: those of an AMQP 1.0 connection, which none is."""
    connections.find(call, call.monitors)
    raise bad_request("connection does not use AMQP 1.0")


ROUTES: Routes = {
    "channels": {"GET": channels},
    "channels/{name}": Resource({"GET": channel}, found_by_name=True),
    "connections/{name}/channels": Resource({"GET": channels_of_connection}, found_by_name=True),
    "connections/{name}/sessions": Resource({"GET": sessions}, found_by_name=True),
    "vhosts/{vhost}/channels": {"GET": channels_in_vhost},
}
