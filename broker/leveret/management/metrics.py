"""The metrics of RabbitMQ's Prometheus plugin as tables: name, help text, and how the number is read.

Names and texts are those of rabbitmq_prometheus 4.3.6 (prometheus_rabbitmq_core_metrics_collector,
prometheus_rabbitmq_global_metrics_collector). Metrics of the Erlang VM (reductions, raft, mnesia) are left out, and so
are counts that are not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from leveret.engine.clients import ClientChannel
from leveret.management.views.queues import capacity
from leveret.queues.queue import Queue

T = TypeVar("T")


class Gauge(NamedTuple, Generic[T]):
    """A number that can be read from a queue or a channel at any time."""

    name: str
    text: str
    read: Callable[[T], float]


class Count(NamedTuple):
    """A counter. `key`: its name in `engine.stats`."""

    name: str
    text: str
    key: str


def _bytes(queue: Queue) -> float:
    return float(queue.ready_bytes + queue.unacked_bytes)


#: Family of /metrics/detailed -> gauges of a queue.
QUEUE_FAMILIES: dict[str, tuple[Gauge[Queue], ...]] = {
    "queue_coarse_metrics": (
        Gauge("queue_messages_ready", "Messages ready to be delivered to consumers", lambda q: q.ready),
        Gauge(
            "queue_messages_unacked",
            "Messages delivered to consumers but not yet acknowledged",
            lambda q: q.unacked,
        ),
        Gauge(
            "queue_messages",
            "Sum of ready and unacknowledged messages - total queue depth",
            lambda q: q.ready + q.unacked,
        ),
    ),
    "queue_consumer_count": (
        Gauge("queue_consumers", "Consumers on a queue", lambda q: len(q.consumers.members)),
    ),
    "queue_metrics": (
        Gauge("queue_consumer_capacity", "Consumer capacity", capacity),
        Gauge("queue_consumer_utilisation", "Same as consumer capacity", capacity),
        Gauge(
            "queue_messages_ram",
            "Ready and unacknowledged messages stored in memory",
            lambda q: q.ready + q.unacked,
        ),
        Gauge(
            "queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", _bytes
        ),
        Gauge("queue_messages_ready_ram", "Ready messages stored in memory", lambda q: q.ready),
        Gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory", lambda q: q.unacked),
        Gauge("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages", _bytes),
        Gauge("queue_messages_ready_bytes", "Size in bytes of ready messages", lambda q: q.ready_bytes),
        Gauge(
            "queue_messages_unacked_bytes",
            "Size in bytes of all unacknowledged messages",
            lambda q: q.unacked_bytes,
        ),
    ),
}

#: Counters of a queue.
QUEUE_COUNTS = (
    Count(
        "queue_messages_published",
        "Total number of messages published into a queue through an exchange",
        "publish",
    ),
    Count(
        "queue_get_ack",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
        "get",
    ),
    Count(
        "queue_get",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
        "get_no_ack",
    ),
    Count(
        "queue_messages_delivered_ack",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
        "deliver",
    ),
    Count(
        "queue_messages_delivered",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
        "deliver_no_ack",
    ),
    Count(
        "queue_messages_redelivered",
        "Total number of messages redelivered from a queue to consumers",
        "redeliver",
    ),
    Count("queue_messages_acked", "Total number of messages acknowledged by consumers on a queue", "ack"),
    Count(
        "queue_get_empty",
        "Total number of times basic.get operations fetched no message on a queue",
        "get_empty",
    ),
)


def _unconfirmed(channel: ClientChannel) -> float:
    return float(channel.confirms.unconfirmed if channel.confirms is not None else 0)


def _uncommitted(channel: ClientChannel) -> float:
    return float(len(channel.transaction.publishes) if channel.transaction is not None else 0)


def _acks_uncommitted(channel: ClientChannel) -> float:
    return float(len(channel.transaction.entries()) if channel.transaction is not None else 0)


CHANNEL_GAUGES: tuple[Gauge[ClientChannel], ...] = (
    Gauge("channel_consumers", "Consumers on a channel", lambda c: len(c.consumers)),
    Gauge(
        "channel_messages_unacked", "Delivered but not yet acknowledged messages", lambda c: c.unacked.count
    ),
    Gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages", _unconfirmed),
    Gauge(
        "channel_messages_uncommitted",
        "Messages received in a transaction but not yet committed",
        _uncommitted,
    ),
    Gauge(
        "channel_acks_uncommitted",
        "Message acknowledgements in a transaction not yet committed",
        _acks_uncommitted,
    ),
    Gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer", lambda c: c.prefetch),
)

CHANNEL_COUNTS = (
    Count(
        "channel_messages_published",
        "Total number of messages published into an exchange on a channel",
        "publish",
    ),
    Count(
        "channel_messages_confirmed",
        "Total number of messages published into an exchange and confirmed on the channel",
        "confirm",
    ),
    Count(
        "channel_messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the publisher "
        "as unroutable",
        "return_unroutable",
    ),
    Count(
        "channel_messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        "drop_unroutable",
    ),
    Count(
        "channel_get_ack",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        "get",
    ),
    Count(
        "channel_get",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        "get_no_ack",
    ),
    Count(
        "channel_messages_delivered_ack",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        "deliver",
    ),
    Count(
        "channel_messages_delivered",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        "deliver_no_ack",
    ),
    Count("channel_messages_redelivered", "Total number of messages redelivered to consumers", "redeliver"),
    Count("channel_messages_acked", "Total number of messages acknowledged by consumers", "ack"),
    Count("channel_get_empty", "Total number of times basic.get operations fetched no message", "get_empty"),
)

CONNECTION_COUNTS = (
    Count("connection_incoming_bytes", "Total number of bytes received on a connection", "recv_oct"),
    Count("connection_outgoing_bytes", "Total number of bytes sent on a connection", "send_oct"),
)

CHURN = (
    Count("connections_opened", "Total number of connections opened", "connection_created"),
    Count("connections_closed", "Total number of connections closed or terminated", "connection_closed"),
    Count("channels_opened", "Total number of channels opened", "channel_created"),
    Count("channels_closed", "Total number of channels closed", "channel_closed"),
    Count("queues_declared", "Total number of queues declared", "queue_declared"),
    Count("queues_created", "Total number of queues created", "queue_created"),
    Count("queues_deleted", "Total number of queues deleted", "queue_deleted"),
)

#: Counters by protocol.
GLOBAL_PUBLISHES = (
    Count("global_messages_received", "Total number of messages received from publishers", "publish"),
    Count(
        "global_messages_received_confirm",
        "Total number of messages received from publishers expecting confirmations",
        "publish_confirm",
    ),
    Count("global_messages_routed", "Total number of messages routed to queues or streams", "routed"),
    Count("global_messages_confirmed", "Total number of messages confirmed to publishers", "confirm"),
    Count(
        "global_messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        "drop_unroutable",
    ),
    Count(
        "global_messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the publisher "
        "as unroutable",
        "return_unroutable",
    ),
)

#: Counters by protocol and queue type.
GLOBAL_DELIVERIES = (
    Count("global_messages_delivered", "Total number of messages delivered to consumers", "deliver_get"),
    Count(
        "global_messages_delivered_consume_manual_ack",
        "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        "deliver",
    ),
    Count(
        "global_messages_delivered_consume_auto_ack",
        "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        "deliver_no_ack",
    ),
    Count(
        "global_messages_delivered_get_manual_ack",
        "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        "get",
    ),
    Count(
        "global_messages_delivered_get_auto_ack",
        "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        "get_no_ack",
    ),
    Count(
        "global_messages_get_empty",
        "Total number of times basic.get operations fetched no message",
        "get_empty",
    ),
    Count("global_messages_redelivered", "Total number of messages redelivered to consumers", "redeliver"),
    Count("global_messages_acknowledged", "Total number of messages acknowledged by consumers", "ack"),
)

QUEUE_KINDS = ("classic", "quorum", "stream")

#: Reason of a dead letter -> (help text, queue kinds that have it).
DEAD_LETTERS = {
    "rejected": (
        "Total number of messages dead-lettered due to basic.reject or basic.nack",
        ("classic", "quorum"),
    ),
    "expired": ("Total number of messages dead-lettered due to message TTL exceeded", ("classic", "quorum")),
    "maxlen": (
        "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        ("classic", "quorum"),
    ),
    "delivery_limit": (
        "Total number of messages dead-lettered due to delivery-limit exceeded",
        ("quorum",),
    ),
}

#: Source of an alarm -> name and help text.
ALARMS = {
    "disk": ("alarms_free_disk_space_watermark", "is 1 if free disk space watermark alarm is in effect"),
    "memory": ("alarms_memory_used_watermark", "is 1 if VM memory watermark alarm is in effect"),
}
