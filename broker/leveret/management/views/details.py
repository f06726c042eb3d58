"""What channels, queues and exchanges have counted of each other. RabbitMQ shows it with `rates_mode` detailed only."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.engine.clients import ClientChannel
from leveret.engine.stats import (
    DELIVER_GET,
    channels_of,
    delivery_counts,
    publish_counts,
    unconfirmed_of,
)
from leveret.engine.tallies import PublishTally
from leveret.engine.vhost import VirtualHost
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.figures import detailed
from leveret.queues.queue import Queue
from leveret.queues.tallies import DeliveryTally
from leveret.routing.exchanges import Exchange


def channel_details(channel: ClientChannel, node: str) -> Json:
    """Show what other objects say of a channel."""
    connection = channel.connection
    return {
        "connection_name": connection.name,
        "name": f"{connection.name} ({channel.number})",
        "node": node,
        "number": channel.number,
        "peer_host": connection.peer.peer_host,
        "peer_port": connection.peer.peer_port,
        "user": connection.actor.user,
    }


def of_queue(rates: Rates, vhost: VirtualHost, queue: Queue, node: str) -> Json:
    """Show what came into a queue by exchange, and what went out by channel: iterators, with None for those that have
    counted nothing of it."""
    incoming = (
        {"exchange": {"name": exchange.name, "vhost": vhost.name}, "stats": _route(rates, exchange, queue)}
        if exchange.tally is not None and queue in exchange.tally.queues
        else None
        for exchange in list(vhost.exchanges.values())
    )
    deliveries = (
        {
            "channel_details": channel_details(channel, node),
            "stats": _delivered(rates, channel, channel.delivery_tallies[queue]),
        }
        if queue in channel.delivery_tallies
        else None
        for channel in channels_of(vhost)
    )
    return {"incoming": incoming, "deliveries": deliveries}


def of_exchange(rates: Rates, vhost: VirtualHost, exchange: Exchange, node: str) -> Json:
    """Show what came into an exchange by channel, and what went out by queue: iterators, with None for those that have
    counted nothing of it."""
    incoming = (
        {
            "channel_details": channel_details(channel, node),
            "stats": _published(rates, channel, channel.publish_tallies[exchange]),
        }
        if exchange in channel.publish_tallies
        else None
        for channel in channels_of(vhost)
    )
    queues = exchange.tally.queues if exchange.tally is not None else ()
    outgoing = (
        {"queue": {"name": queue.name, "vhost": vhost.name}, "stats": _route(rates, exchange, queue)}
        if exchange.tally is not None and queue in exchange.tally.queues
        else None
        for queue in _existing(queues)
    )
    return {"incoming": incoming, "outgoing": outgoing}


def of_channel(rates: Rates, channel: ClientChannel) -> Json:
    """Show what a channel has published by exchange, and what it got by queue: iterators, with None for those that it
    has forgotten meanwhile."""
    vhost = channel.vhost.name
    publishes = (
        {"exchange": {"name": exchange.name, "vhost": vhost}, "stats": _published(rates, channel, tally)}
        for exchange, tally in list(channel.publish_tallies.items())
    )
    deliveries = (
        {
            "queue": {"name": queue.name, "vhost": vhost},
            "stats": _delivered(rates, channel, channel.delivery_tallies[queue]),
        }
        if queue in channel.delivery_tallies
        else None
        for queue in _existing(channel.delivery_tallies)
    )
    return {"publishes": publishes, "deliveries": deliveries}


def _existing(found: Iterable[object]) -> list[Queue]:
    """The queues that were not deleted; direct reply-to addresses are none."""
    return [queue for queue in found if isinstance(queue, Queue) and not queue.gone]


def _route(rates: Rates, exchange: Exchange, queue: Queue) -> Json:
    counts = {"publish": exchange.tally.queues[queue]}
    return detailed(counts, rates.route_rates(exchange, queue, counts))


def _published(rates: Rates, channel: ClientChannel, tally: PublishTally) -> Json:
    counts = publish_counts(tally, unconfirmed_of(channel.confirms, tally))
    return detailed(counts, rates.part_rates(channel, tally, counts))


def _delivered(rates: Rates, channel: ClientChannel, tally: DeliveryTally) -> Json:
    counts = delivery_counts(tally)
    counts["deliver_get"] = sum(counts[name] for name in DELIVER_GET)
    return detailed(counts, rates.part_rates(channel, tally, counts))
