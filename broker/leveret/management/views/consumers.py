"""Consumers."""

from __future__ import annotations

from leveret.management.json import Json
from leveret.queues.consumers import Consumer
from leveret.queues.queue import Queue
from leveret.session.subscription import Subscription
from leveret.wire.tables import plain


def consumer(consumer: Consumer, node: str, consumer_timeout: int) -> Json:
    """Show a consumer, in its queue or in a list. `consumer_timeout`: the node's, ms."""
    assert isinstance(consumer, Subscription) and isinstance(consumer.source, Queue)
    channel, queue = consumer.channel, consumer.source
    consumers = queue.consumers
    active = not consumers.single_active or consumers.active is consumer
    status = "up" if not consumers.single_active else ("single_active" if active else "waiting")
    return {
        "arguments": plain(consumer.arguments),
        "ack_required": not consumer.no_ack,
        "active": active,
        "activity_status": status,
        "channel_details": {
            "connection_name": channel.connection.name,
            "name": f"{channel.connection.name} ({channel.number})",
            "node": node,
            "number": channel.number,
            "peer_host": channel.connection.peer.peer_host,
            "peer_port": channel.connection.peer.peer_port,
            "user": channel.connection.actor.user,
        },
        "consumer_tag": consumer.tag,
        "consumer_timeout": consumer_timeout,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.limit,
        "queue": {"name": queue.name, "vhost": queue.vhost},
    }
