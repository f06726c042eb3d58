"""The pages of the Prometheus endpoint, written a slice at a time.

A page is written in pieces. While a piece is sent and between two slices the loop serves everybody else, so that a
scrape of 50,000 queues does not hold AMQP clients up. Objects can end meanwhile, and new ones are not seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.engine.stats import Counts, add, channel_operations, fold_all_steps, received_counts
from leveret.engine.vhost import VirtualHost
from leveret.management.prometheus import families, node
from leveret.management.prometheus.families import Family, Metric
from leveret.management.prometheus.text import Labels, header, labels, line, metric
from leveret.management.site import Site
from leveret.queues.queue import Queue

#: Numbers that are read, or lines that are written, in one slice: about half a millisecond.
SLICE_LENGTH = 500

PREFIX = "rabbitmq_"
DETAILED_PREFIX = "rabbitmq_detailed_"
CLUSTER_PREFIX = "rabbitmq_cluster_"

T = TypeVar("T")
Value = TypeVar("Value")

Labelled = list[tuple[Labels, T]]


class Page:
    """What all pages share: the objects of the node, in slices."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.stats = site.stats
        self.broker = site.broker
        self._published: tuple[Counts, int, int] | None = None

    # --- slices

    async def slices(self, items: Iterable[T], numbers: int = 1) -> AsyncIterator[list[T]]:
        """Yield items a slice at a time, and let the loop run after each. `numbers`: read from each item."""
        rest, length = iter(items), max(1, SLICE_LENGTH // numbers)
        while found := list(islice(rest, length)):
            yield found
            if len(found) == length:
                await self.site.slices.pause()

    async def labelled(
        self, subjects: Iterable[T], read: Callable[[T], Iterable[tuple[Labels, Value]]]
    ) -> Labelled[Value]:
        """Return what is read from each subject: values with their labels."""

        def every() -> Iterator[tuple[Labels, Value] | None]:
            for subject in subjects:
                yield None  # of a hundred thousand, none may have any
                yield from read(subject)

        return [pair async for pair in self.site.slices.walk(every()) if pair is not None]

    async def lines(self, prefix: str, family: Family[T], subjects: Labelled[T]) -> AsyncIterator[str]:
        """Yield the metrics of a family with a line for each subject."""
        for each in family.metrics:
            yield header(f"{prefix}{each.name}", each.kind, each.text)
            async for some in self.slices(subjects):
                yield _lines(f"{prefix}{each.name}", each, some)

    # --- objects

    def queues(self) -> list[Queue]:
        """All queues."""
        return list(self.stats.queues())

    def channels(self) -> Iterator[ClientChannel]:
        """All open channels: a list of a hundred thousand would take too long."""
        return self.stats.channels()

    def connections(self) -> list[ClientConnection]:
        """All connections."""
        return list(self.broker.connections)

    # --- what all big pages end with

    async def totals(self) -> AsyncIterator[str]:
        """Yield the numbers of objects, and the counters by protocol."""
        open_connections = sum(connection.vhost is not None for connection in self.broker.connections)
        channels = consumers = queues = 0
        async for found in self.slices(self.channels()):
            channels += len(found)
        async for some in self.slices(self.queues()):
            consumers += sum(len(queue.consumers.members) for queue in some)
            queues += len(some)
        yield metric("rabbitmq_connections", "gauge", "Connections currently open", [("", open_connections)])
        yield metric("rabbitmq_channels", "gauge", "Channels currently open", [("", channels)])
        yield metric("rabbitmq_consumers", "gauge", "Consumers currently connected", [("", consumers)])
        yield metric("rabbitmq_queues", "gauge", "Queues available", [("", queues)])

    async def published(self) -> tuple[Counts, int, int]:
        """Count everything that was ever published, and publishers and consumers now, once a page."""
        if self._published is None:
            self._published = await self._count_published()
        return self._published

    async def _count_published(self) -> tuple[Counts, int, int]:
        received: Counts = {}
        publishers = consumers = 0
        async for some in self.slices(self.channels()):
            for channel in some:
                add(received, received_counts(channel))
                publishers += channel.received > 0
                consumers += len(channel.consumers)
                channel.count_sizes()
        published = await self.site.slices.run(self.stats.publishes_steps(received))
        return published, publishers, consumers

    async def global_counters(self) -> AsyncIterator[str]:
        """Yield the counters by protocol, queue type and reason, and what follows them."""
        for text in node.publishes(*await self.published()):
            yield text
        for text in node.deliveries(self.site):
            yield text
        for text in node.dead_letters(self.site):
            yield text
        yield node.message_sizes(self.broker.counters.message_sizes)
        yield node.alarms(self.site)
        yield node.faults(self.site)
        yield node.more(self.site)

    def node_families(self, prefix: str) -> dict[str, Callable[[Site, str], str]]:
        """The families without objects, by name."""
        return {
            "connection_churn_metrics": node.churn,
            "node_coarse_metrics": node.coarse,
            "node_metrics": node.limits,
            "node_persister_metrics": node.persister,
            "auth_attempt_metrics": node.logins,
            "auth_attempt_detailed_metrics": node.logins_by_source,
        }


class Aggregated(Page):
    """`/metrics`: sums over all objects. Counters include those that are gone: they never fall."""

    endpoint = "aggregated"

    async def write(self) -> AsyncIterator[str]:
        """Yield the page in pieces."""
        for name, write in self.node_families(PREFIX).items():
            if name != "auth_attempt_detailed_metrics":  # RabbitMQ: the same numbers
                yield write(self.site, PREFIX)
        async for text in self._queues():
            yield text
        async for text in self._channels():
            yield text
        async for text in self.totals():
            yield text
        async for text in self.global_counters():
            yield text

    async def _sums(self, metrics: Sequence[Metric[T]], subjects: Iterable[T]) -> list[float]:
        """The sums of metrics over their subjects."""
        sums: list[float] = [0] * len(metrics)
        async for some in self.slices(subjects, len(metrics)):
            for place, each in enumerate(metrics):
                sums[place] += sum(value for value in map(each.read, some) if value is not None)
        return sums

    async def _queues(self) -> AsyncIterator[str]:
        metrics = (
            *families.QUEUE_COARSE.metrics,
            *families.QUEUE_METRICS.metrics,
            *families.QUEUE_DELIVERY.metrics,
        )
        deleted = self.stats.deleted_queues()
        for each, total in zip(metrics, await self._sums(metrics, self.queues()), strict=True):
            key = families.QUEUE_DELIVERY_COUNTS.get(each.name)
            if each.name == "queue_process_reductions_total":
                total += families.operations(deleted)
            yield _single(each, total + (deleted[key] if key is not None else 0))

    async def _channels(self) -> AsyncIterator[str]:
        published, _, _ = await self.published()
        delivered: Counts = {}
        for kind in ("classic", "quorum", "stream"):
            add(delivered, self.stats.deliveries(kind))
        channels = families.CHANNEL_METRICS.metrics
        for each, total in zip(channels, await self._sums(channels, self.channels()), strict=True):
            yield _single(each, total)
        for family in (families.CHANNEL_EXCHANGE, families.EXCHANGE_METRICS):
            for of_exchange in family.metrics:
                yield _single(of_exchange, of_exchange.read(published) or 0)
        for of_queue in families.CHANNEL_QUEUE.metrics:
            yield _single(of_queue, delivered[families.CHANNEL_QUEUE_COUNTS[of_queue.name]])
        yield _single(families.CHANNEL_PROCESS.metrics[0], channel_operations(published | delivered))
        for routed in (families.CHANNEL_QUEUE_EXCHANGE, families.QUEUE_EXCHANGE):
            yield _single(routed.metrics[0], published["routed"])
        async for text in self._connections():
            yield text

    async def _connections(self) -> AsyncIterator[str]:
        metrics = (*families.CONNECTION_COARSE.metrics, *families.CONNECTION_METRICS.metrics)
        closed = self.stats.closed_connections()
        for each, total in zip(metrics, await self._sums(metrics, self.connections()), strict=True):
            yield _single(each, total + closed.get(families.CONNECTION_COUNTS.get(each.name, ""), 0))


class PerObject(Page):
    """`/metrics/per-object`: a line for each queue, channel, connection and exchange."""

    endpoint = "per-object"

    async def write(self) -> AsyncIterator[str]:
        """Yield the page in pieces."""
        for write in self.node_families(PREFIX).values():
            yield write(self.site, PREFIX)
        async for text in Objects(self.site, PREFIX).write(families.FAMILIES):
            yield text
        async for text in self.totals():
            yield text
        async for text in self.global_counters():
            yield text


class Detailed(Page):
    """`/metrics/detailed`: the families that are asked for, of all or some virtual hosts and queues."""

    endpoint = "detailed"

    def __init__(
        self,
        site: Site,
        wanted: Sequence[str],
        vhosts: Sequence[str] | None,
        matches: Callable[[str], bool] | None,
    ) -> None:
        super().__init__(site)
        self.wanted = wanted
        self.objects = Objects(site, DETAILED_PREFIX, vhosts, matches)

    async def write(self) -> AsyncIterator[str]:
        """Yield the page in pieces."""
        for name, write in self.node_families(DETAILED_PREFIX).items():
            if name in self.wanted:
                yield write(self.site, DETAILED_PREFIX)
        async for text in self.objects.write(self.wanted):
            yield text
        async for text in self._cluster():
            yield text

    async def _cluster(self) -> AsyncIterator[str]:
        """Yield the families of which RabbitMQ says the same on each node."""
        vhosts = list(self.broker.vhosts.values())
        if "vhost_status" in self.wanted:
            values = [(labels(vhost=vhost.name), 1.0) for vhost in vhosts]
            text = "Whether a given vhost is running"
            yield metric(f"{CLUSTER_PREFIX}vhost_status", "gauge", text, values)
        if "exchange_bindings" in self.wanted:
            text = "Number of bindings for an exchange. This value is cluster-wide."
            yield header(f"{CLUSTER_PREFIX}exchange_bindings", "gauge", text)
            async for some in self.slices(_exchanges(vhosts)):
                found = [line(f"{CLUSTER_PREFIX}exchange_bindings", where, count) for where, count in some]
                yield "".join(found)
        if "exchange_names" in self.wanted:
            text = (
                "Enumerates exchanges without any additional info. This value is cluster-wide. "
                "A cheaper alternative to `exchange_bindings`"
            )
            yield header(f"{CLUSTER_PREFIX}exchange_name", "gauge", text)
            async for some in self.slices(_exchanges(vhosts)):
                yield "".join(line(f"{CLUSTER_PREFIX}exchange_name", where, 1) for where, _ in some)


class Objects(Page):
    """Families with a line for each object. `vhosts`: only queues and exchanges of these; `matches`: only queues with
    such names. Neither changes what channels and connections show, as in RabbitMQ."""

    def __init__(
        self,
        site: Site,
        prefix: str,
        vhosts: Sequence[str] | None = None,
        matches: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(site)
        self.prefix = prefix
        self.vhosts = vhosts
        self.matches = matches

    async def write(self, wanted: Sequence[str]) -> AsyncIterator[str]:
        """Yield these families."""
        async for text in self._queue_families(wanted):
            yield text
        async for text in self._channel_families(wanted):
            yield text
        async for text in self._connection_families(wanted):
            yield text
        async for text in self._exchange_families(wanted):
            yield text

    def _shown(self, queue: Queue) -> bool:
        return (self.vhosts is None or queue.vhost in self.vhosts) and (
            self.matches is None or self.matches(queue.name)
        )

    async def _queue_families(self, wanted: Sequence[str]) -> AsyncIterator[str]:
        found = [
            family
            for family in (
                families.QUEUE_COARSE,
                families.QUEUE_CONSUMER_COUNT,
                families.QUEUE_METRICS,
                families.QUEUE_DELIVERY,
            )
            if family.name in wanted
        ]
        if families.QUEUE_METRICS in found and families.QUEUE_CONSUMER_COUNT in found:
            found.remove(families.QUEUE_CONSUMER_COUNT)  # the former includes it
        if not found:
            return
        queues = await self.labelled(
            self.queues(),
            lambda queue: ((families.queue_labels(queue), queue),) if self._shown(queue) else (),
        )
        for family in found:
            async for text in self.lines(self.prefix, family, queues):
                yield text
        if any(family is not families.QUEUE_DELIVERY for family in found):
            name = f"{self.prefix}queue_info"
            yield header(name, "gauge", families.QUEUE_INFO)
            async for some in self.slices(queues):
                yield "".join(line(name, families.queue_info_labels(queue), 1) for _, queue in some)
        await self.site.slices.free(queues)

    async def _channel_families(self, wanted: Sequence[str]) -> AsyncIterator[str]:
        of_channels = [
            family for family in (families.CHANNEL_METRICS, families.CHANNEL_PROCESS) if family.name in wanted
        ]
        if of_channels:
            channels = await self.labelled(
                self.channels(), lambda channel: ((families.channel_labels(channel), channel),)
            )
            for family in of_channels:
                async for text in self.lines(self.prefix, family, channels):
                    yield text
            await self.site.slices.free(channels)
        async for text in self._parts(wanted, families.CHANNEL_EXCHANGE, families.channel_exchange_counts):
            yield text
        async for text in self._parts(wanted, families.CHANNEL_QUEUE, families.channel_queue_counts):
            yield text
        async for text in self._parts(
            wanted, families.CHANNEL_QUEUE_EXCHANGE, families.channel_queue_exchange_counts
        ):
            yield text

    async def _parts(
        self,
        wanted: Sequence[str],
        family: Family[T],
        read: Callable[[ClientChannel], Iterable[tuple[Labels, T]]],
    ) -> AsyncIterator[str]:
        """Yield what channels count by exchange or queue."""
        if family.name in wanted:
            values = await self.labelled(self.channels(), read)
            async for text in self.lines(self.prefix, family, values):
                yield text
            await self.site.slices.free(values)

    async def _connection_families(self, wanted: Sequence[str]) -> AsyncIterator[str]:
        found = [
            family
            for family in (families.CONNECTION_COARSE, families.CONNECTION_METRICS)
            if family.name in wanted
        ]
        if found:
            connections = await self.labelled(
                self.connections(), lambda connection: ((families.connection_labels(connection), connection),)
            )
            for family in found:
                async for text in self.lines(self.prefix, family, connections):
                    yield text

    async def _exchange_families(self, wanted: Sequence[str]) -> AsyncIterator[str]:
        vhosts = [
            vhost for name, vhost in self.broker.vhosts.items() if self.vhosts is None or name in self.vhosts
        ]
        if families.EXCHANGE_METRICS.name in wanted:
            exchanges: Labelled[Counts] = []
            async for vhost in self.site.slices.walk(vhosts):
                totals = await self.site.slices.run(self.stats.exchange_totals_steps(vhost))
                exchanges += await self.labelled(totals, partial(families.exchange_counts, vhost))
            async for text in self.lines(self.prefix, families.EXCHANGE_METRICS, exchanges):
                yield text
        if families.QUEUE_EXCHANGE.name in wanted:
            routes = [
                pair async for vhost in self.site.slices.walk(vhosts) async for pair in self._routes(vhost)
            ]
            async for text in self.lines(self.prefix, families.QUEUE_EXCHANGE, routes):
                yield text

    async def _routes(self, vhost: VirtualHost) -> AsyncIterator[tuple[Labels, int]]:
        await self.site.slices.run(fold_all_steps(vhost))
        async for some in self.slices(families.queue_exchange_counts(vhost)):
            for where, count, queue in some:
                if self._shown(queue):
                    yield where, count


def _lines(name: str, read: Metric[T], subjects: list[tuple[Labels, T]]) -> str:
    value_of = read.read
    return "".join(
        [
            f"{name}{{{where}}} {value}\n"
            for where, subject in subjects
            if (value := value_of(subject)) is not None
        ]
    )


def _single(each: Metric[T], value: float) -> str:
    return metric(f"{PREFIX}{each.name}", each.kind, each.text, [("", value)])


def _exchanges(vhosts: Iterable[VirtualHost]) -> Iterator[tuple[Labels, int]]:
    """The exchanges but the default one and internal ones, with their numbers of bindings."""
    for vhost in vhosts:
        for exchange in list(vhost.exchanges.values()):
            if exchange.name and not exchange.internal:
                where = labels(vhost=vhost.name, exchange=exchange.name, type=exchange.type)
                yield where, len(exchange.bindings)
