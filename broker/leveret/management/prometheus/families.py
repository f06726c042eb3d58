"""The metrics of queues, channels, connections and exchanges as tables: name, type, help text, and how it is read.

Names, texts and families are those of rabbitmq_prometheus 4.3.6 (prometheus_rabbitmq_core_metrics_collector). What only
an Erlang virtual machine has is left out, and so are counts that are not kept (docs/features/metrics.md).

A family is what `/metrics/detailed?family=` selects. Its metrics have the same labels: those of its subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.engine.stats import (
    Counts,
    channel_counts,
    channel_operations,
    connection_operations,
    publish_counts,
    unconfirmed_by_tally,
)
from leveret.engine.vhost import VirtualHost
from leveret.management.prometheus.text import Labels, labels, quoted
from leveret.management.views.queues import capacity
from leveret.queues.queue import Queue
from leveret.queues.stream.queue import StreamQueue
from leveret.queues.tallies import DeliveryTally
from leveret.routing.exchanges import Exchange

T = TypeVar("T")

#: How a metric is read from a subject; None: the subject has none.
Read = Callable[[T], float | None]


class Metric(NamedTuple, Generic[T]):
    """A metric. `kind`: gauge or counter."""

    name: str
    kind: str
    text: str
    read: Read[T]


class Family(NamedTuple, Generic[T]):
    """Metrics that are read from the same subjects."""

    name: str
    metrics: tuple[Metric[T], ...]


def gauge(name: str, text: str, read: Read[T]) -> Metric[T]:
    """Make a metric that can rise and fall."""
    return Metric(name, "gauge", text, read)


def counter(name: str, text: str, read: Read[T]) -> Metric[T]:
    """Make a metric that only rises."""
    return Metric(name, "counter", text, read)


# --- queues


def queue_labels(queue: Queue) -> Labels:
    """Return the labels of a queue."""
    return f'vhost="{quoted(queue.vhost)}",queue="{quoted(queue.name)}"'


def _depth(queue: Queue) -> float:
    return queue.ready + queue.unacked + queue.withheld


def _octets(queue: Queue) -> float | None:
    if queue.kind == "stream":
        return None
    return queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes


def _capacity(queue: Queue) -> float | None:
    return capacity(queue) if queue.kind != "stream" else None


def _classic(read: Callable[[Queue], float]) -> Read[Queue]:
    return lambda queue: read(queue) if queue.kind == "classic" else None


def _stored(read: Callable[[Queue], float]) -> Read[Queue]:
    return lambda queue: read(queue) if queue.kind != "stream" else None


def _segments(queue: Queue) -> float | None:
    return queue.log.segment_count() if isinstance(queue, StreamQueue) else None


_CONSUMERS: Metric[Queue] = gauge(
    "queue_consumers", "Consumers on a queue", lambda queue: len(queue.consumers.members)
)

QUEUE_COARSE: Family[Queue] = Family(
    "queue_coarse_metrics",
    (
        gauge(
            "queue_messages_ready", "Messages ready to be delivered to consumers", lambda queue: queue.ready
        ),
        gauge(
            "queue_messages_unacked",
            "Messages delivered to consumers but not yet acknowledged",
            lambda queue: queue.unacked,
        ),
        gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth", _depth),
        counter(
            "queue_process_reductions_total",
            "Total number of queue process reductions",
            lambda queue: queue.operations(),
        ),
    ),
)

QUEUE_CONSUMER_COUNT: Family[Queue] = Family("queue_consumer_count", (_CONSUMERS,))

QUEUE_METRICS: Family[Queue] = Family(
    "queue_metrics",
    (
        _CONSUMERS,
        gauge("queue_consumer_capacity", "Consumer capacity", _capacity),
        gauge("queue_consumer_utilisation", "Same as consumer capacity", _capacity),
        gauge("queue_messages_ram", "Ready and unacknowledged messages stored in memory", _stored(_depth)),
        gauge(
            "queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory", _octets
        ),
        gauge(
            "queue_messages_ready_ram", "Ready messages stored in memory", _classic(lambda queue: queue.ready)
        ),
        gauge(
            "queue_messages_unacked_ram",
            "Unacknowledged messages stored in memory",
            _classic(lambda queue: queue.unacked),
        ),
        gauge("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages", _octets),
        gauge(
            "queue_messages_ready_bytes",
            "Size in bytes of ready messages",
            _stored(lambda queue: queue.ready_bytes),
        ),
        gauge(
            "queue_messages_unacked_bytes",
            "Size in bytes of all unacknowledged messages",
            _stored(lambda queue: queue.unacked_bytes),
        ),
        counter("stream_segments", "Total number of stream segment files", _segments),
    ),
)

QUEUE_DELIVERY: Family[Queue] = Family(
    "queue_delivery_metrics",
    (
        counter(
            "queue_get_ack_total",
            "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
            lambda queue: queue.got,
        ),
        counter(
            "queue_get_total",
            "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
            lambda queue: queue.got_no_ack,
        ),
        counter(
            "queue_messages_delivered_ack_total",
            "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
            lambda queue: queue.delivered,
        ),
        counter(
            "queue_messages_delivered_total",
            "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
            lambda queue: queue.delivered_no_ack,
        ),
        counter(
            "queue_messages_redelivered_total",
            "Total number of messages redelivered from a queue to consumers",
            lambda queue: queue.redelivered,
        ),
        counter(
            "queue_messages_acked_total",
            "Total number of messages acknowledged by consumers on a queue",
            lambda queue: queue.acked,
        ),
        counter(
            "queue_get_empty_total",
            "Total number of times basic.get operations fetched no message on a queue",
            lambda queue: queue.got_empty,
        ),
    ),
)

#: Counters of `QUEUE_DELIVERY` -> their names in `engine.stats`.
QUEUE_DELIVERY_COUNTS = {
    "queue_get_ack_total": "get",
    "queue_get_total": "get_no_ack",
    "queue_messages_delivered_ack_total": "deliver",
    "queue_messages_delivered_total": "deliver_no_ack",
    "queue_messages_redelivered_total": "redeliver",
    "queue_messages_acked_total": "ack",
    "queue_get_empty_total": "get_empty",
}


def operations(deleted: Counts) -> int:
    """Return how many operations (`Queue.operations`) deleted queues with these counts had done."""
    return sum(count for name, count in deleted.items() if name != "redeliver")


QUEUE_INFO = "A metric with a constant '1' value and labels that provide some queue details"


def queue_info_labels(queue: Queue) -> Labels:
    """Return the labels of `queue_info`."""
    return f'{queue_labels(queue)},queue_type="rabbit_{queue.kind}_queue",membership="leader"'


# --- channels


def channel_name(channel: ClientChannel) -> str:
    """Return what identifies a channel in labels. RabbitMQ has its process there."""
    return f"{channel.connection.name} ({channel.number})"


def channel_labels(channel: ClientChannel) -> Labels:
    """Return the labels of a channel."""
    return f'channel="{quoted(channel_name(channel))}"'


def _unconfirmed(channel: ClientChannel) -> float:
    return channel.confirms.unconfirmed if channel.confirms is not None else 0


def _uncommitted(channel: ClientChannel) -> float:
    return len(channel.transaction.publishes) if channel.transaction is not None else 0


def _acks_uncommitted(channel: ClientChannel) -> float:
    return len(channel.transaction.entries()) if channel.transaction is not None else 0


CHANNEL_METRICS: Family[ClientChannel] = Family(
    "channel_metrics",
    (
        gauge("channel_consumers", "Consumers on a channel", lambda channel: len(channel.consumers)),
        gauge(
            "channel_messages_unacked",
            "Delivered but not yet acknowledged messages",
            lambda channel: channel.unacked.count,
        ),
        gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages", _unconfirmed),
        gauge(
            "channel_messages_uncommitted",
            "Messages received in a transaction but not yet committed",
            _uncommitted,
        ),
        gauge(
            "channel_acks_uncommitted",
            "Message acknowledgements in a transaction not yet committed",
            _acks_uncommitted,
        ),
        gauge(
            "consumer_prefetch",
            "Limit of unacknowledged messages for each consumer",
            lambda channel: channel.prefetch,
        ),
        gauge(
            "channel_prefetch",
            "Deprecated and will be removed in a future version",
            lambda channel: channel.global_prefetch,
        ),
    ),
)

CHANNEL_PROCESS: Family[ClientChannel] = Family(
    "channel_process_metrics",
    (
        counter(
            "channel_process_reductions_total",
            "Total number of channel process reductions",
            lambda channel: channel_operations(channel_counts(channel)),
        ),
    ),
)

_PUBLISHED = (
    "Total number of messages published into an exchange",
    "Total number of messages published into an exchange and confirmed",
    "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
    "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
)

_PUBLISH_NAMES = (
    ("messages_published_total", "publish"),
    ("messages_confirmed_total", "confirm"),
    ("messages_unroutable_returned_total", "return_unroutable"),
    ("messages_unroutable_dropped_total", "drop_unroutable"),
)


def _of_counts(key: str) -> Read[Counts]:
    return lambda counts: counts[key]


#: Read from the counts of a channel and an exchange.
CHANNEL_EXCHANGE: Family[Counts] = Family(
    "channel_exchange_metrics",
    tuple(
        counter(f"channel_{name}", text + ending, _of_counts(key))
        for (name, key), text, ending in zip(
            _PUBLISH_NAMES, _PUBLISHED, (" on a channel", " on the channel", "", ""), strict=True
        )
    ),
)

#: Read from the counts of an exchange.
EXCHANGE_METRICS: Family[Counts] = Family(
    "exchange_metrics",
    tuple(
        counter(f"exchange_{name}", text, _of_counts(key))
        for (name, key), text in zip(_PUBLISH_NAMES, _PUBLISHED, strict=True)
    ),
)

#: Read from the counts of a channel and a queue.
CHANNEL_QUEUE: Family[DeliveryTally] = Family(
    "channel_queue_metrics",
    (
        counter(
            "channel_get_ack_total",
            "Total number of messages fetched with basic.get in manual acknowledgement mode",
            lambda tally: tally.got,
        ),
        counter(
            "channel_get_total",
            "Total number of messages fetched with basic.get in automatic acknowledgement mode",
            lambda tally: tally.got_no_ack,
        ),
        counter(
            "channel_messages_delivered_ack_total",
            "Total number of messages delivered to consumers in manual acknowledgement mode",
            lambda tally: tally.delivered,
        ),
        counter(
            "channel_messages_delivered_total",
            "Total number of messages delivered to consumers in automatic acknowledgement mode",
            lambda tally: tally.delivered_no_ack,
        ),
        counter(
            "channel_messages_redelivered_total",
            "Total number of messages redelivered to consumers",
            lambda tally: tally.redelivered,
        ),
        counter(
            "channel_messages_acked_total",
            "Total number of messages acknowledged by consumers",
            lambda tally: tally.acked,
        ),
        counter(
            "channel_get_empty_total",
            "Total number of times basic.get operations fetched no message",
            lambda tally: tally.got_empty,
        ),
    ),
)

#: Counters of `CHANNEL_QUEUE` -> their names in `engine.stats`.
CHANNEL_QUEUE_COUNTS = {
    name.replace("queue_", "channel_", 1): key for name, key in QUEUE_DELIVERY_COUNTS.items()
}

#: Read from how many messages went to a queue through an exchange on a channel.
CHANNEL_QUEUE_EXCHANGE: Family[int] = Family(
    "channel_queue_exchange_metrics",
    (
        counter(
            "queue_messages_published_total",
            "Total number of messages published into a queue through an exchange on a channel",
            lambda count: count,
        ),
    ),
)

#: Read from how many messages went to a queue through an exchange.
QUEUE_EXCHANGE: Family[int] = Family(
    "queue_exchange_metrics",
    (
        counter(
            "queue_exchange_messages_published_total",
            "Total number of messages published into a queue through an exchange",
            lambda count: count,
        ),
    ),
)


# --- connections


def connection_labels(connection: ClientConnection) -> Labels:
    """Return the labels of a connection: `channel`, as RabbitMQ calls every process there."""
    return f'channel="{quoted(connection.name)}"'


CONNECTION_COARSE: Family[ClientConnection] = Family(
    "connection_coarse_metrics",
    (
        counter(
            "connection_incoming_bytes_total",
            "Total number of bytes received on a connection",
            lambda connection: connection.received,
        ),
        counter(
            "connection_outgoing_bytes_total",
            "Total number of bytes sent on a connection",
            lambda connection: connection.sent,
        ),
        counter(
            "connection_process_reductions_total",
            "Total number of connection process reductions",
            connection_operations,
        ),
    ),
)

CONNECTION_METRICS: Family[ClientConnection] = Family(
    "connection_metrics",
    (
        counter(
            "connection_incoming_packets_total",
            "Total number of packets received on a connection",
            lambda connection: connection.reads,
        ),
        counter(
            "connection_outgoing_packets_total",
            "Total number of packets sent on a connection",
            lambda connection: connection.writes,
        ),
        gauge(
            "connection_pending_packets",
            "Number of packets waiting to be sent on a connection",
            lambda connection: int(connection.unsent > 0),
        ),
        gauge("connection_channels", "Channels on a connection", lambda connection: len(connection.channels)),
    ),
)


#: Counters of connections -> their names in `Stats.closed_connections`.
CONNECTION_COUNTS = {
    "connection_incoming_bytes_total": "recv_oct",
    "connection_outgoing_bytes_total": "send_oct",
    "connection_process_reductions_total": "reductions",
    "connection_incoming_packets_total": "reads",
    "connection_outgoing_packets_total": "writes",
}


# --- subjects of families whose metrics are read from counts


def exchange_counts(vhost: VirtualHost, total: tuple[Exchange, Counts]) -> Iterable[tuple[Labels, Counts]]:
    """Yield the counts of an exchange of a virtual host."""
    exchange, counts = total
    yield labels(vhost=vhost.name, exchange=exchange.name), counts


def channel_exchange_counts(channel: ClientChannel) -> Iterable[tuple[Labels, Counts]]:
    """Yield the counts of a channel by exchange."""
    start = f"{channel_labels(channel)},{labels(vhost=channel.vhost.name)}"
    unconfirmed = unconfirmed_by_tally(channel)
    for exchange, tally in list(channel.publish_tallies.items()):
        counts = publish_counts(tally, unconfirmed.get(tally, 0))
        yield f"{start},{labels(exchange=exchange.name)}", counts


def channel_queue_counts(channel: ClientChannel) -> Iterable[tuple[Labels, DeliveryTally]]:
    """Yield the counts of a channel by queue."""
    start = channel_labels(channel)
    for source, tally in list(channel.delivery_tallies.items()):
        if isinstance(source, Queue) and not source.gone:
            yield f"{start},{queue_labels(source)}", tally


def channel_queue_exchange_counts(channel: ClientChannel) -> Iterable[tuple[Labels, int]]:
    """Yield how many messages a channel has sent to queues, by queue and exchange."""
    start, vhost = channel_labels(channel), quoted(channel.vhost.name)
    for exchange, tally in list(channel.publish_tallies.items()):
        tally.fold()
        end = f'exchange_vhost="{vhost}",exchange="{quoted(exchange.name)}"'
        for queue, count in list(tally.queues.items()):
            if isinstance(queue, Queue) and not queue.gone:
                yield f'{start},queue_vhost="{vhost}",queue="{quoted(queue.name)}",{end}', count


def queue_exchange_counts(vhost: VirtualHost) -> Iterable[tuple[Labels, int, Queue]]:
    """Yield how many messages went to queues, by queue and exchange."""
    for exchange in list(vhost.exchanges.values()):  # the page is made in slices
        if exchange.tally is None:
            continue
        exchange.tally.fold()
        start = labels(vhost=vhost.name, exchange=exchange.name)
        for queue, count in list(exchange.tally.queues.items()):
            if isinstance(queue, Queue) and not queue.gone:
                yield f'{start},queue="{quoted(queue.name)}"', count, queue


#: All families, in RabbitMQ's order.
FAMILIES = (
    "connection_churn_metrics",
    "node_coarse_metrics",
    "node_metrics",
    "node_persister_metrics",
    "auth_attempt_metrics",
    "auth_attempt_detailed_metrics",
    "queue_coarse_metrics",
    "queue_consumer_count",
    "queue_metrics",
    "channel_metrics",
    "channel_exchange_metrics",
    "channel_process_metrics",
    "channel_queue_metrics",
    "connection_coarse_metrics",
    "stream_consumer_metrics",
    "connection_metrics",
    "channel_queue_exchange_metrics",
    "exchange_metrics",
    "queue_delivery_metrics",
    "queue_exchange_metrics",
    "vhost_status",
    "exchange_bindings",
    "exchange_names",
)
