"""`/metrics` of RabbitMQ's Prometheus plugin: sums by default, single objects on `/metrics/per-object`, chosen families
of queue metrics on `/metrics/detailed?family=F&vhost=V`.

Nothing is kept between two scrapes: a scrape reads the counters of the engine and makes metric families of them, so
that the hot path never uses a metric object. No login is needed, as in RabbitMQ.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import parse_qs

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

from leveret.engine.stats import DELIVER_GET, channel_counts, connection_octets, queue_counts, summed
from leveret.management import metrics
from leveret.management.http_server import path_of
from leveret.management.site import Site
from leveret.queues.queue import Queue

CONTENT_TYPE = "text/plain; version=0.0.4"

_NOT_FOUND = b'{"error":"Object Not Found","reason":"Not Found"}'


class Metrics:
    """The pages of the Prometheus port."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client_version = importlib.metadata.version("prometheus-client")

    async def serve(self, request: BaseRequest) -> Response:
        """Answer a scrape."""
        path, query = path_of(request)
        collector = self._collector(path.strip("/"), query)
        if collector is None:
            return Response(status=404, body=_NOT_FOUND, content_type="application/json")
        if request.method == "HEAD":
            return Response(status=204)
        if request.method != "GET":
            return Response(status=405, headers={"Allow": "HEAD, GET, OPTIONS"})
        self.site.tick()
        registry = CollectorRegistry()
        registry.register(collector)
        return Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    def _collector(self, path: str, query: str) -> MetricsPage | None:
        if path == "metrics":
            return MetricsPage(self, "aggregated")
        if path == "metrics/per-object":
            return PerObject(self, "per-object")
        if path == "metrics/detailed":
            wanted = parse_qs(query)
            return Detailed(self, "detailed", wanted.get("family", []), wanted.get("vhost"))
        return None


class MetricsPage(Collector):
    """The aggregated page; the other pages override parts of it. `name`: the label `rabbitmq_endpoint`."""

    def __init__(self, served: Metrics, name: str) -> None:
        self.served = served
        self.site = served.site
        self.stats = served.site.stats
        self.broker = served.site.broker
        self.name = name

    def collect(self) -> Iterator[Metric]:
        """All families of the page."""
        yield from self.info()
        yield from self.node()
        yield from self.objects()
        yield from self.totals()
        yield from self.global_counters()

    def info(self) -> Iterator[Metric]:
        """Versions and names, which dashboards join with every series."""
        profile, site = self.broker.profile, self.site
        build = UnknownMetricFamily(
            "rabbitmq_build_info",
            "RabbitMQ & Erlang/OTP version info",
            labels=(
                "rabbitmq_version",
                "prometheus_plugin_version",
                "prometheus_client_version",
                "erlang_version",
            ),
        )
        build.add_metric(
            (profile.version, profile.version, self.served.client_version, site.erlang_version), 1
        )
        yield build
        labels = ["rabbitmq_node", "rabbitmq_cluster", "rabbitmq_cluster_permanent_id"]
        values = [site.node_name, self.broker.cluster_name, site.cluster_id]
        if profile.api.endpoint_label:
            labels.append("rabbitmq_endpoint")
            values.append(self.name)
        identity = UnknownMetricFamily(
            "rabbitmq_identity_info", "RabbitMQ node & cluster identity info", labels=labels
        )
        identity.add_metric(values, 1)
        yield identity

    def node(self) -> Iterator[Metric]:
        """Churn, resources, alarms, logins and faults of the node."""
        churn = self.stats.churn()
        for name, text, key in metrics.CHURN:
            yield CounterMetricFamily(f"rabbitmq_{name}", text, value=churn[key])
        files, memory, disk = self.site.descriptors(), self.site.memory(), self.site.disk()
        uptime = (self.broker.clock.now - self.broker.started_at) / 1000
        yield _gauge("process_open_fds", "Open file descriptors", files.value)
        yield _gauge("process_max_fds", "Open file descriptors limit", files.limit)
        yield _gauge("process_resident_memory_bytes", "Memory used in bytes", memory.value)
        yield _gauge("resident_memory_limit_bytes", "Memory high watermark in bytes", memory.limit)
        yield _gauge("disk_space_available_bytes", "Disk space available in bytes", disk.value)
        yield _gauge("disk_space_available_limit_bytes", "Free disk space low watermark in bytes", disk.limit)
        yield _gauge("erlang_uptime_seconds", "Node uptime", uptime)
        for source, (name, text) in metrics.ALARMS.items():
            yield UnknownMetricFamily(f"rabbitmq_{name}", text, value=int(source in self.broker.alarms))
        yield from self._logins()
        yield from self._faults()

    def _faults(self) -> Iterator[Metric]:
        """Internal errors and undeliverable messages by place. RabbitMQ has no such metrics."""
        for name, text, counts in (
            (
                "leveret_internal_errors",
                "Exceptions in the broker that nobody expected",
                self.broker.faults.errors,
            ),
            (
                "leveret_messages_undeliverable",
                "Messages dropped because the queue they were routed to cannot take them",
                self.broker.faults.drops,
            ),
        ):
            family = CounterMetricFamily(name, text, labels=("where",))
            for place, count in sorted(counts.items()):
                family.add_metric((place,), count)
            yield family

    def _logins(self) -> Iterator[Metric]:
        succeeded, failed = self.site.logins.succeeded, self.site.logins.failed
        for name, text, value in (
            ("auth_attempts", "Total number of authentication attempts", succeeded + failed),
            ("auth_attempts_succeeded", "Total number of successful authentication attempts", succeeded),
            ("auth_attempts_failed", "Total number of failed authentication attempts", failed),
        ):
            yield _labelled(CounterMetricFamily, name, text, {"protocol": "http"}, value)

    def objects(self) -> Iterator[Metric]:
        """Sums over all queues, channels and connections. Counters include those that are gone: they never fall."""
        queues, channels = list(self.stats.queues()), list(self.stats.channels())
        for gauges in metrics.QUEUE_FAMILIES.values():
            for name, text, read in gauges:
                yield _gauge(name, text, sum(read(queue) for queue in queues))
        for name, text, measure in metrics.CHANNEL_GAUGES:
            yield _gauge(name, text, sum(measure(channel) for channel in channels))
        octets = summed(self.stats.octets(vhost) for vhost in self.broker.vhosts)
        for counts, table in (
            (summed(self.stats.queue_totals(kind) for kind in metrics.QUEUE_KINDS), metrics.QUEUE_COUNTS),
            (summed(self.stats.channel_totals().values()), metrics.CHANNEL_COUNTS),
            (octets, metrics.CONNECTION_COUNTS),
        ):
            for name, text, key in table:
                yield CounterMetricFamily(f"rabbitmq_{name}", text, value=counts.get(key, 0))
        yield _gauge("connection_channels", "Channels on a connection", len(channels))

    def totals(self) -> Iterator[Metric]:
        """Numbers of connections, channels, consumers and queues."""
        connections = [each for each in self.broker.connections if each.vhost is not None]
        queues = list(self.stats.queues())
        yield _gauge("connections", "Connections currently open", len(connections))
        yield _gauge("channels", "Channels currently open", sum(1 for _ in self.stats.channels()))
        yield _gauge(
            "consumers", "Consumers currently connected", sum(len(q.consumers.members) for q in queues)
        )
        yield _gauge("queues", "Queues available", len(queues))

    def global_counters(self) -> Iterator[Metric]:
        """The counters of the official dashboards, by protocol and queue type; all exist from the start."""
        amqp = {"protocol": "amqp091"}
        channels = list(self.stats.channels())
        publishers = sum(1 for channel in channels if channel.published)
        consumers = sum(len(channel.consumers) for channel in channels)
        yield _labelled(
            GaugeMetricFamily, "global_publishers", "Current number of publishers", amqp, publishers
        )
        yield _labelled(GaugeMetricFamily, "global_consumers", "Current number of consumers", amqp, consumers)
        counts = summed(self.stats.channel_totals().values())
        for name, text, key in metrics.GLOBAL_PUBLISHES:
            yield _labelled(CounterMetricFamily, name, text, amqp, counts.get(key, 0))
        by_kind = {kind: self.stats.queue_totals(kind) for kind in metrics.QUEUE_KINDS}
        for name, text, key in metrics.GLOBAL_DELIVERIES:
            family = CounterMetricFamily(f"rabbitmq_{name}", text, labels=("protocol", "queue_type"))
            for kind, total in by_kind.items():
                keys = DELIVER_GET if key == "deliver_get" else (key,)
                family.add_metric(
                    ("amqp091", f"rabbit_{kind}_queue"), sum(total.get(each, 0) for each in keys)
                )
            yield family
        yield from self._dead_letters()

    def _dead_letters(self) -> Iterator[Metric]:
        for reason, (text, kinds) in metrics.DEAD_LETTERS.items():
            name = f"rabbitmq_global_messages_dead_lettered_{reason}"
            family = CounterMetricFamily(name, text, labels=("queue_type", "dead_letter_strategy"))
            for kind in kinds:
                count = self.broker.counters.dead_letters[kind, reason]
                family.add_metric((f"rabbit_{kind}_queue", "at_most_once"), count)
            yield family


class PerObject(MetricsPage):
    """The page with a line for each queue, channel and connection."""

    def objects(self) -> Iterator[Metric]:
        """Each queue, channel and connection by its labels."""
        yield from queue_lines("rabbitmq_", metrics.QUEUE_FAMILIES.values(), list(self.stats.queues()))
        counted = [({"vhost": q.vhost, "queue": q.name}, queue_counts(q)) for q in self.stats.queues()]
        yield from _counters(metrics.QUEUE_COUNTS, counted, ("vhost", "queue"))
        channels = [(f"{c.connection.name} ({c.number})", c) for c in self.stats.channels()]
        for name, text, read in metrics.CHANNEL_GAUGES:
            family = GaugeMetricFamily(f"rabbitmq_{name}", text, labels=("channel",))
            for label, channel in channels:
                family.add_metric((label,), read(channel))
            yield family
        counted = [({"channel": label}, channel_counts(channel)) for label, channel in channels]
        yield from _counters(metrics.CHANNEL_COUNTS, counted, ("channel",))
        counted = [({"channel": c.name}, connection_octets(c)) for c in self.broker.connections]
        yield from _counters(metrics.CONNECTION_COUNTS, counted, ("channel",))


class Detailed(MetricsPage):
    """Families of queue metrics, of all or some virtual hosts; names begin with `rabbitmq_detailed_`."""

    def __init__(self, served: Metrics, name: str, families: list[str], vhosts: list[str] | None) -> None:
        super().__init__(served, name)
        self.families = families
        self.vhosts = vhosts

    def collect(self) -> Iterator[Metric]:
        """The families that are asked for; queue_metrics includes the two before it, as in RabbitMQ."""
        yield from self.info()
        wanted = set(self.families)
        if "queue_metrics" in wanted:
            wanted.update(metrics.QUEUE_FAMILIES)
        tables = [table for name, table in metrics.QUEUE_FAMILIES.items() if name in wanted]
        queues = [queue for queue in self.stats.queues() if self.vhosts is None or queue.vhost in self.vhosts]
        yield from queue_lines("rabbitmq_detailed_", tables, queues)


def queue_lines(
    prefix: str, tables: Iterable[tuple[metrics.Gauge[Queue], ...]], queues: Sequence[Queue]
) -> Iterator[Metric]:
    """Make a line for each queue and each of these gauges."""
    for table in tables:
        for name, text, read in table:
            family = GaugeMetricFamily(f"{prefix}{name}", text, labels=("vhost", "queue"))
            for queue in queues:
                family.add_metric((queue.vhost, queue.name), read(queue))
            yield family


def _counters(
    table: Iterable[metrics.Count],
    counted: list[tuple[dict[str, str], dict[str, int]]],
    labels: tuple[str, ...],
) -> Iterator[Metric]:
    for name, text, key in table:
        family = CounterMetricFamily(f"rabbitmq_{name}", text, labels=labels)
        for values, counts in counted:
            family.add_metric(tuple(values.values()), counts[key])
        yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"rabbitmq_{name}", text, value=value)


def _labelled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    text: str,
    labels: dict[str, str],
    value: float,
) -> Metric:
    family = kind(f"rabbitmq_{name}", text, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family
