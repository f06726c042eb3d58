"""The metrics that have no object: of the node, of its logins and files, and of all messages by protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from leveret.engine.auth_attempts import AMQP, HTTP
from leveret.engine.stats import DELIVER_GET, Counts
from leveret.management.prometheus.text import Labels, header, labels, line, metric
from leveret.management.site import Site
from leveret.queues.tallies import MessageSizes

CHURN = (
    ("connections_opened_total", "Total number of connections opened", "connection_created"),
    ("connections_closed_total", "Total number of connections closed or terminated", "connection_closed"),
    ("channels_opened_total", "Total number of channels opened", "channel_created"),
    ("channels_closed_total", "Total number of channels closed", "channel_closed"),
    ("queues_declared_total", "Total number of queues declared", "queue_declared"),
    ("queues_created_total", "Total number of queues created", "queue_created"),
    ("queues_deleted_total", "Total number of queues deleted", "queue_deleted"),
)

#: Protocols of RabbitMQ's global counters. Leveret has no AMQP 1.0 clients; their counters are 0.
PROTOCOLS = ("amqp091", "amqp10")

QUEUE_KINDS = ("classic", "quorum", "stream", "volatile")

#: Counters by protocol: name, help text, key of `Stats.publishes`.
GLOBAL_PUBLISHES = (
    ("messages_received_total", "Total number of messages received from publishers", "received"),
    (
        "messages_received_confirm_total",
        "Total number of messages received from publishers expecting confirmations",
        "received_confirm",
    ),
    ("messages_routed_total", "Total number of messages routed to queues or streams", "routed"),
    (
        "messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        "drop_unroutable",
    ),
    (
        "messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher "
        "as unroutable",
        "return_unroutable",
    ),
    ("messages_confirmed_total", "Total number of messages confirmed to publishers", "confirm"),
)

#: Counters by protocol and queue type: name, help text, keys of `Stats.deliveries`.
GLOBAL_DELIVERIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("messages_delivered_total", "Total number of messages delivered to consumers", DELIVER_GET),
    (
        "messages_delivered_consume_manual_ack_total",
        "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        ("deliver",),
    ),
    (
        "messages_delivered_consume_auto_ack_total",
        "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        ("deliver_no_ack",),
    ),
    (
        "messages_delivered_get_manual_ack_total",
        "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        ("get",),
    ),
    (
        "messages_delivered_get_auto_ack_total",
        "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        ("get_no_ack",),
    ),
    (
        "messages_get_empty_total",
        "Total number of times basic.get operations fetched no message",
        ("get_empty",),
    ),
    ("messages_redelivered_total", "Total number of messages redelivered to consumers", ("redeliver",)),
    ("messages_acknowledged_total", "Total number of messages acknowledged by consumers", ("ack",)),
)

#: Reason of a dead letter -> help text.
DEAD_LETTERS = {
    "rejected": "Total number of messages dead-lettered due to basic.reject or basic.nack",
    "expired": "Total number of messages dead-lettered due to message TTL exceeded",
    "maxlen": "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
    "delivery_limit": "Total number of messages dead-lettered due to delivery-limit exceeded",
    "confirmed": "Total number of messages dead-lettered and confirmed by target queues",
}

#: Queue type and strategy of dead letters -> their reasons.
STRATEGIES = {
    ("classic", "at_most_once"): ("rejected", "expired", "maxlen"),
    ("quorum", "at_most_once"): ("rejected", "expired", "maxlen", "delivery_limit"),
    ("quorum", "at_least_once"): ("rejected", "expired", "delivery_limit", "confirmed"),
}

#: Source of an alarm -> name and help text.
ALARMS = {
    "disk": ("free_disk_space_watermark", "is 1 if free disk space watermark alarm is in effect"),
    "memory": ("memory_used_watermark", "is 1 if VM memory watermark alarm is in effect"),
}

Plain = tuple[str, str, float]  # name, help text, value


def churn(site: Site, prefix: str) -> str:
    """Write how many connections, channels and queues came and went."""
    counts = site.stats.churn()
    return _plain(prefix, "counter", ((name, text, counts[key]) for name, text, key in CHURN))


def coarse(site: Site, prefix: str) -> str:
    """Write what the node uses."""
    files, memory, disk = site.descriptors(), site.memory(), site.disk()
    used: tuple[Plain, ...] = (
        ("process_open_fds", "Open file descriptors", files.value),
        ("process_resident_memory_bytes", "Memory used in bytes", memory.value),
        ("disk_space_available_bytes", "Disk space available in bytes", disk.value),
    )
    return _plain(prefix, "gauge", used)


def limits(site: Site, prefix: str) -> str:
    """Write the limits of the node, and how long it has run."""
    broker = site.broker
    most: tuple[Plain, ...] = (
        ("process_max_fds", "Open file descriptors limit", site.descriptors().limit),
        ("resident_memory_limit_bytes", "Memory high watermark in bytes", site.memory().limit),
        ("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", site.disk().limit),
        ("erlang_uptime_seconds", "Node uptime", (broker.clock.now - broker.started_at) / 1000),
    )
    return _plain(prefix, "gauge", most)


def persister(site: Site, prefix: str) -> str:
    """Write what the store has done with its files. RabbitMQ 4.x counts none of that: all are 0 there."""
    done = site.file_operations()
    counts: tuple[Plain, ...] = (
        ("io_read_ops_total", "Total number of I/O read operations", done.reads),
        ("io_read_bytes_total", "Total number of I/O bytes read", done.read_bytes),
        ("io_write_ops_total", "Total number of I/O write operations", done.writes),
        ("io_write_bytes_total", "Total number of I/O bytes written", done.written_bytes),
        ("io_sync_ops_total", "Total number of I/O sync operations", done.syncs),
        ("io_read_time_seconds_total", "Total I/O read time", done.read_s),
        ("io_write_time_seconds_total", "Total I/O write time", done.write_s),
        ("io_sync_time_seconds_total", "Total I/O sync time", done.sync_s),
    )
    return _plain(prefix, "counter", counts)


def logins(site: Site, prefix: str) -> str:
    """Write how many logins there were over HTTP and AMQP."""
    by_protocol = [(protocol, *site.attempts.of(protocol)) for protocol in (HTTP, AMQP)]
    counts = (
        ("", "", [yes + no for _, yes, no in by_protocol]),
        ("succeeded_", " successful", [yes for _, yes, _ in by_protocol]),
        ("failed_", " failed", [no for _, _, no in by_protocol]),
    )
    where = [labels(protocol=protocol) for protocol, _, _ in by_protocol]
    return _attempts(f"{prefix}auth_attempts_", "", where, counts)


def logins_by_source(site: Site, prefix: str) -> str:
    """Write the same by address and user, where that is counted (`track_auth_attempt_source`)."""
    attempts = site.attempts
    keys = attempts.keys(sources=True)
    where = [
        labels(
            **{
                name: value
                for name, value in (
                    ("remote_address", key.address),
                    ("username", key.user),
                    ("protocol", key.protocol),
                )
                if value
            }
        )
        for key in keys
    ]
    yes = [attempts.succeeded.get(key, 0) for key in keys]
    no = [attempts.failed.get(key, 0) for key in keys]
    counts = (
        ("", "", [a + b for a, b in zip(yes, no, strict=True)]),
        ("succeeded_", " successful", yes),
        ("failed_", " failed", no),
    )
    return _attempts(f"{prefix}auth_attempts_detailed_", " with source info", where, counts)


def _attempts(
    start: str, ending: str, where: Sequence[Labels], counts: Iterable[tuple[str, str, Sequence[int]]]
) -> str:
    return "".join(
        metric(
            f"{start}{name}total",
            "counter",
            f"Total number of{text} authentication attempts{ending}",
            zip(where, values, strict=True),
        )
        for name, text, values in counts
    )


def info(site: Site, endpoint: str, client_version: str) -> str:
    """Write versions and names, which dashboards join with every series. `endpoint`: the kind of page."""
    profile = site.broker.profile
    build = labels(
        rabbitmq_version=profile.version,
        prometheus_plugin_version=profile.version,
        prometheus_client_version=client_version,
        erlang_version=site.erlang_version,
    )
    names = {
        "rabbitmq_node": site.node_name,
        "rabbitmq_cluster": site.broker.cluster_name,
        "rabbitmq_cluster_permanent_id": site.cluster_id,
    }
    if profile.api.endpoint_label:
        names["rabbitmq_endpoint"] = endpoint
    return metric(
        "rabbitmq_build_info", "untyped", "RabbitMQ & Erlang/OTP version info", [(build, 1)]
    ) + metric(
        "rabbitmq_identity_info", "untyped", "RabbitMQ node & cluster identity info", [(labels(**names), 1)]
    )


def publishes(counts: Counts, publishers: int, consumers: int) -> Iterator[str]:
    """Yield the counters of publishes by protocol."""
    for name, text, key in GLOBAL_PUBLISHES:
        yield _by_protocol(name, "counter", text, counts[key])
    yield _by_protocol("publishers", "gauge", "Current number of publishers", publishers)
    yield _by_protocol("consumers", "gauge", "Current number of consumers", consumers)


def deliveries(site: Site) -> Iterator[str]:
    """Yield the counters of deliveries by protocol and queue type."""
    found = {kind: site.stats.deliveries(kind) for kind in QUEUE_KINDS}
    for name, text, keys in GLOBAL_DELIVERIES:
        values = {kind: sum(counts[key] for key in keys) for kind, counts in found.items()}
        yield metric(f"rabbitmq_global_{name}", "counter", text, _by_queue_type(values))


def dead_letters(site: Site) -> Iterator[str]:
    """Yield the counters of dead letters by reason, queue type and strategy."""
    counted = site.broker.counters.dead_letters
    for reason, text in DEAD_LETTERS.items():
        values = [
            (
                labels(queue_type=f"rabbit_{kind}_queue", dead_letter_strategy=strategy),
                counted[kind, reason, strategy],
            )
            for (kind, strategy), reasons in STRATEGIES.items()
            if reason in reasons
        ]
        yield metric(f"rabbitmq_global_messages_dead_lettered_{reason}_total", "counter", text, values)


def message_sizes(sizes: MessageSizes) -> str:
    """Write the histogram of message sizes."""
    name = "rabbitmq_message_size_bytes"
    lines = [header(name, "histogram", "Size of messages received from publishers")]
    for protocol in PROTOCOLS:
        count = 0
        for limit, messages in (sizes if protocol == "amqp091" else MessageSizes()).buckets():
            count += messages
            bucket = labels(protocol=protocol, le="+Inf" if limit is None else str(limit))
            lines.append(line(f"{name}_bucket", bucket, count))
        lines.append(line(f"{name}_count", labels(protocol=protocol), count))
        octets = sizes.octets if protocol == "amqp091" else 0
        lines.append(line(f"{name}_sum", labels(protocol=protocol), octets))
    return "".join(lines)


def alarms(site: Site) -> str:
    """Write which alarms are on, and how many nodes of the cluster cannot be reached: it has only one."""
    found = [
        metric(f"rabbitmq_alarms_{name}", "untyped", text, [("", int(source in site.broker.alarms))])
        for source, (name, text) in ALARMS.items()
    ]
    peers = "Number of peers in the cluster the current node cannot reach."
    return "".join(found) + metric("rabbitmq_unreachable_cluster_peers_count", "gauge", peers, [("", 0)])


def faults(site: Site) -> str:
    """Write internal errors and undeliverable messages by place. RabbitMQ has no such metrics."""
    broker = site.broker
    return _by_place(
        "leveret_internal_errors_total",
        "Exceptions in the broker that nobody expected",
        broker.faults.errors,
    ) + _by_place(
        "leveret_messages_undeliverable_total",
        "Messages dropped because the queue they were routed to cannot take them",
        broker.faults.drops,
    )


def _by_place(name: str, text: str, counts: Mapping[str, int]) -> str:
    return metric(
        name, "counter", text, [(labels(where=place), count) for place, count in sorted(counts.items())]
    )


def _by_protocol(name: str, kind: str, text: str, value: float) -> str:
    values = [(labels(protocol=each), value if each == "amqp091" else 0) for each in PROTOCOLS]
    return metric(f"rabbitmq_global_{name}", kind, text, values)


def _by_queue_type(values: Mapping[str, int]) -> Iterator[tuple[Labels, float]]:
    for protocol in PROTOCOLS:
        for kind, value in values.items():
            found = labels(protocol=protocol, queue_type=f"rabbit_{kind}_queue")
            yield found, value if protocol == "amqp091" else 0


def more(site: Site) -> str:
    """Write the metrics that others have added."""
    return "".join(
        metric(one.name, one.kind, one.text, [(_of_vhost(name), value) for name, value in one.values.items()])
        for one in site.more_metrics()
    )


def _of_vhost(name: str) -> Labels:
    return labels(vhost=name) if name else ""


def _plain(prefix: str, kind: str, metrics: Iterable[Plain]) -> str:
    return "".join(metric(f"{prefix}{name}", kind, text, [("", value)]) for name, text, value in metrics)
