"""Channels."""

from __future__ import annotations

from typing import cast

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.engine.stats import channel_counts, channel_operations
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.connections import reference
from leveret.management.views.consumers import consumer
from leveret.management.views.figures import detailed, message_figures
from leveret.management.views.process import garbage_collection
from leveret.management.views.versions import fitted
from leveret.profiles import ApiProfile
from leveret.queues.consumers import Consumer
from leveret.queues.queue import Queue

#: The state of what waits for the disk (docs: flow-control).
FLOW = "flow"


def name(channel: ClientChannel) -> str:
    """The name of a channel: that of its connection, and its number."""
    return f"{channel.connection.name} ({channel.number})"


def opened(channel: ClientChannel, node: str) -> Json:
    """Show a channel as it was opened."""
    connection = cast(ClientConnection, channel.connection)
    user = connection.actor.user
    return {
        "connection_details": reference(connection),
        "name": name(channel),
        "node": node,
        "number": channel.number,
        "user": user,
        "user_who_performed_action": user,
        "vhost": channel.vhost.name,
    }


def figures(rates: Rates, channel: ClientChannel, api: ApiProfile) -> Json:
    """Show the state of a channel, its counts and rates.

    `pending_raft_commands`, `cached_segments`: RabbitMQ's queue of commands to quorum queues, and its buffer of stream
    segments; commands are carried out at once here, and nothing is buffered for a channel.
    """
    counts = channel_counts(channel)
    confirms, transaction = channel.confirms, channel.transaction
    operations = {"reductions": channel_operations(counts)}
    shown: Json = {
        **detailed(operations, rates.rates_of(channel, operations)),
        "acks_uncommitted": len(transaction.entries()) if transaction is not None else 0,
        "cached_segments": 0,
        "confirm": confirms is not None,
        "consumer_count": len(channel.consumers),
        "garbage_collection": garbage_collection(),
        "messages_unacknowledged": channel.unacked.count,
        "messages_uncommitted": len(transaction.publishes) if transaction is not None else 0,
        "messages_unconfirmed": confirms.unconfirmed if confirms is not None else 0,
        "pending_raft_commands": 0,
        "prefetch_count": channel.prefetch,
        "state": _state(channel),
        "transactional": transaction is not None,
    }
    shown |= rates.idleness(channel, counts)
    if channel.global_prefetch or api.unlimited_prefetch_shown:
        shown["global_prefetch_count"] = channel.global_prefetch
    return fitted(shown, api, "channel") | message_figures(rates, channel, counts)


def _state(channel: ClientChannel) -> str:
    """RabbitMQ's state of a channel: one that publishes is in flow with its connection."""
    held_back = channel.received and cast(ClientConnection, channel.connection).state_name == FLOW
    return FLOW if held_back else "running"


def details(channel: ClientChannel, node: str, consumer_timeout: int, api: ApiProfile) -> Json:
    """Show what only a single channel shows: its consumers, which may be very many, as an iterator.

    RabbitMQ lists deliveries and publishes by queue and exchange only with `rates_mode` detailed.
    `consumer_timeout`: the node's, ms.
    """
    consumers = [cast(Consumer, each) for each in channel.consumers.values()]
    shown = [each for each in consumers if isinstance(each.source, Queue)]
    return {
        "consumer_details": iter(consumer(each, node, consumer_timeout, api) for each in shown),
        "deliveries": [],
        "publishes": [],
    }
