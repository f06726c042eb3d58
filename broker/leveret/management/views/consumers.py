"""Consumers."""

from __future__ import annotations

from typing import cast

from leveret.engine.clients import ClientConsumer
from leveret.management.json import Json
from leveret.management.views.details import channel_details
from leveret.management.views.versions import fitted
from leveret.profiles import ApiProfile
from leveret.queues.consumers import Consumer, QueueConsumers
from leveret.queues.queue import Queue
from leveret.wire.tables import plain


def consumer(consumer: Consumer, node: str, consumer_timeout: int, api: ApiProfile) -> Json:
    """Show a consumer, in its queue or in a list. `consumer_timeout`: the node's, ms."""
    assert isinstance(consumer.source, Queue)
    queue = consumer.source
    channel = cast(ClientConsumer, consumer).channel  # consumers of queues are those of sessions
    consumers = queue.consumers
    active = not consumers.single_active or consumers.active is consumer
    shown: Json = {
        "arguments": plain(consumer.arguments),
        "ack_required": not consumer.no_ack,
        "active": active,
        "activity_status": _activity(consumer, consumers, active, api),
        "channel_details": channel_details(channel, node),
        "consumer_tag": consumer.tag,
        "consumer_timeout": consumer_timeout,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "queue": {"name": queue.name, "vhost": queue.vhost},
    }
    return fitted(shown, api, "consumer")


def _activity(consumer: Consumer, consumers: QueueConsumers, active: bool, api: ApiProfile) -> str:
    """RabbitMQ's name for what the consumer does: it gets messages, waits for credit, or stands by."""
    if consumers.single_active:
        return "single_active" if active else "waiting"
    return "blocked" if api.blocked_consumers_shown and not consumer.ready() else "up"


def order(shown: Json) -> tuple[bool, ...]:
    """The place of a consumer in RabbitMQ's lists, which have no name to sort by: by its fields."""
    return bool(shown["arguments"]), bool(shown["ack_required"]), bool(shown["active"])
