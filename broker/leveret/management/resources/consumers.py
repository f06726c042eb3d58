"""`/api/consumers`: the consumers of queues."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator
from typing import cast

from leveret.engine.clients import ClientConsumer
from leveret.engine.vhost import VirtualHost
from leveret.management.call import Call, Routes
from leveret.management.json import Json
from leveret.management.merging import listed_everywhere
from leveret.management.resources.channels import need_stats
from leveret.management.views import consumers as views
from leveret.queues.consumers import Consumer
from leveret.queues.queue import Queue

#: RabbitMQ's consumers have no field to sort by, so that it compares all of them.
_SORTS = (
    "arguments",
    "ack_required",
    "active",
    "activity_status",
    "channel_details.connection_name",
    "channel_details.name",
    "consumer_tag",
)


def consumers(call: Call) -> Awaitable[object]:
    """GET: all consumers, or those of the user's own connections."""
    need_stats(call)
    chosen = call.chosen_vhost(monitored=True)
    return _list(call, (chosen,) if chosen is not None else call.broker.vhosts.values())


def consumers_in_vhost(call: Call) -> Awaitable[object]:
    """GET: those of the queues in one virtual host."""
    hidden = not call.api.consumers_guarded and not call.monitors and not call.may_see(call.path["vhost"])
    if hidden and call.path["vhost"] in call.broker.vhosts:
        return _list(call, ())
    vhost = call.vhost(monitored=True)
    need_stats(call)
    return _list(call, (vhost,))


async def _list(call: Call, vhosts: Iterable[VirtualHost]) -> object:
    node, timeout = call.site.node_name, call.broker.settings.amqp.consumer_timeout
    queues = [queue for vhost in vhosts for queue in vhost.queues.values()]
    found = [each async for each in call.site.slices.walk(_each(queues)) if _visible(call, each)]

    def shown(consumer: Consumer) -> Json:
        return views.consumer(consumer, node, timeout, call.api)

    return await listed_everywhere(call, found, shown, paged=False, sorts=_SORTS)


def _each(queues: Iterable[Queue]) -> Iterator[Consumer]:
    """The consumers of queues; one may have a hundred thousand."""
    for queue in queues:
        yield from list(queue.consumers.members)


def _visible(call: Call, consumer: Consumer) -> bool:
    """Whether the user may see a consumer: all for monitors, else those of the user's own connections."""
    channel = cast(ClientConsumer, consumer).channel
    return call.monitors or channel.connection.actor.user == call.user.name


ROUTES: Routes = {
    "consumers": {"GET": consumers},
    "consumers/{vhost}": {"GET": consumers_in_vhost},
}
