"""Nodes: the one that serves the API."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Generator

from leveret.engine.broker import Broker
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.site import NodeFigures, Site
from leveret.management.views.figures import detailed
from leveret.management.views.listeners import contexts
from leveret.management.views.overview import exchange_types, software
from leveret.plugin_names import BUILT_IN, description
from leveret.queues.queue import Queue

#: Counters of files, of Mnesia and of the message store that RabbitMQ still shows, but has not counted since 4.0.
_RETIRED = (
    *("io_read_count", "io_read_bytes", "io_write_count", "io_write_bytes", "io_sync_count", "io_seek_count"),
    *("io_reopen_count", "mnesia_ram_tx_count", "mnesia_disk_tx_count", "msg_store_read_count"),
    *("msg_store_write_count", "queue_index_write_count", "queue_index_read_count"),
)
_RETIRED_TIMES = ("io_read_avg_time", "io_write_avg_time", "io_sync_avg_time", "io_seek_avg_time")

#: Queues of statistics that RabbitMQ has yet to clear: none are kept here.
_METRICS_QUEUES = (
    *("connection_closed", "channel_closed", "consumer_deleted", "exchange_deleted", "queue_deleted"),
    *("vhost_deleted", "node_node_deleted", "channel_consumer_deleted"),
)

#: SASL mechanism -> RabbitMQ's description of it.
_MECHANISMS = {
    "PLAIN": "SASL PLAIN authentication mechanism",
    "AMQPLAIN": "QPid AMQPLAIN mechanism",
    "ANONYMOUS": "SASL ANONYMOUS authentication mechanism",
    "RABBIT-CR-DEMO": "RabbitMQ Demo challenge-response authentication mechanism",
}

#: The mechanism of a plugin, which is shown if it is configured.
_EXTERNAL = (
    "EXTERNAL",
    "TLS peer verification-based authentication plugin. Used in combination with the EXTERNAL SASL mechanism.",
)

#: Queues whose contents are added up in one portion.
QUEUES_TOGETHER = 256

#: Parts of the memory breakdown that are not measured here, or that only an Erlang node has.
_UNUSED_MEMORY = (
    *("connection_readers", "connection_writers", "connection_channels", "connection_other"),
    *(
        "quorum_queue_dlx_procs",
        "stream_queue_replica_reader_procs",
        "stream_queue_coordinator_procs",
        "plugins",
    ),
    *("metadata_store", "other_proc", "metrics", "mgmt_db", "mnesia", "quorum_ets", "metadata_store_ets"),
    *("other_ets", "msg_index", "code", "atom", "allocated_unused", "reserved_unallocated"),
)


def named(node: str, *, running: bool = True, drained: bool = False) -> Json:
    """Show a node without its figures."""
    return {"name": node, "type": "disc", "running": running, "being_drained": drained}


def critical_queues(broker: Broker) -> list[Json]:
    """Show the queues that nobody could take over."""
    return [
        {
            "name": queue.name,
            "readable_name": f"queue '{queue.name}' in vhost '{vhost.name}'",
            "type": f"rabbit_{queue.kind}_queue",
            "virtual_host": vhost.name,
        }
        for vhost in broker.vhosts.values()
        for queue in vhost.queues.values()
        if queue.durable
    ]


def reported(figures: NodeFigures, site: Site) -> Json:
    """Show what another node has reported."""
    return {
        "partitions": [],
        "os_pid": str(figures.pid),
        "uptime": max(site.broker.clock.now - figures.started_at, 0),
        "processors": figures.processors,
        "mem_used": figures.mem_used,
        "mem_limit": figures.mem_limit,
        "mem_alarm": "memory" in figures.alarms,
        "disk_free": figures.disk_free,
        "disk_free_limit": figures.disk_free_limit,
        "disk_free_alarm": "disk" in figures.alarms,
        "fd_used": figures.fd_used,
        "fd_total": figures.fd_total,
        "sockets_used": figures.sockets_used,
        "sockets_total": figures.fd_total,
        "proc_used": figures.proc_used,
        "run_queue": 0,
        "rates_mode": site.broker.settings.server.rates_mode,
        "rabbitmq_version": figures.version,
        "erlang_version": figures.erlang,
    }


def described(site: Site) -> Json:
    """Show what a node is: versions, limits, alarms, files."""
    broker, memory, disk = site.broker, site.memory(), site.disk()
    shown: Json = {
        "partitions": [],
        "os_pid": str(os.getpid()),
        "fd_total": _limit(site.descriptors().limit),
        "sockets_total": _limit(site.descriptors().limit),
        "mem_limit": memory.limit,
        "mem_alarm": "memory" in broker.alarms,
        "disk_free_limit": disk.limit,
        "disk_free_alarm": "disk" in broker.alarms,
        "proc_total": _limit(resource.getrlimit(resource.RLIMIT_NPROC)[0]),
        "rates_mode": broker.settings.server.rates_mode,
        "uptime": broker.clock.now - site.started_at,
        "run_queue": 0,
        "processors": os.cpu_count() or 1,
        "exchange_types": exchange_types(broker.profile),
        "auth_mechanisms": auth_mechanisms(broker),
        "applications": applications(site),
        "contexts": [
            {name: value for name, value in one.items() if name not in ("node", "ssl_opts")}
            for one in contexts(site.listeners(), site.node_name)
        ],
        "log_files": list(site.log_files),
        "db_dir": site.data_dir,
        "config_files": list(site.config_files),
        "enabled_plugins": list(site.plugins()),
        "mem_calculation_strategy": "rss",
        "ra_open_file_metrics": {"ra_log_wal": 0, "ra_log_segment_writer": 0},
        **software(broker, site.erlang_version),
    }
    return shown


def figures(site: Site, rates: Rates) -> Json:
    """Show what a node uses, and what it has counted.

    `proc_used`: threads of this process, and `proc_total` how many there may be. Processes of Erlang, the queue of
    those that wait for a scheduler, and the octets that its collectors have freed have no counterpart.
    """
    used = site.used() | dict.fromkeys(_RETIRED, 0)
    times = dict.fromkeys(_RETIRED_TIMES, 0)
    return {
        **detailed(used, rates.node_rates(site.node_name, used)),
        **detailed(times, rates.node_rates(site.node_name, times)),
        **dict.fromkeys(times, 0.0),
        "cluster_links": [],
        "metrics_gc_queue_length": dict.fromkeys(_METRICS_QUEUES, 0),
    }


def auth_mechanisms(broker: Broker) -> list[Json]:
    """Show the SASL mechanisms that the version has, and whether clients are offered them."""
    offered = set(broker.settings.access.mechanisms)
    return [
        {"name": name, "description": text, "enabled": name in offered}
        for name, text in (*_MECHANISMS.items(), *([_EXTERNAL] if "EXTERNAL" in offered else []))
        if broker.profile.anonymous_login or name != "ANONYMOUS"
    ]


def applications(site: Site) -> list[Json]:
    """Show the server, and the plugins whose work is done here."""
    version = site.broker.profile.version
    plugins = [(name, description(name)) for name in {*site.plugins(), *BUILT_IN}]
    found = [("rabbit", "RabbitMQ"), *plugins]
    shown: list[Json] = [
        {"name": name, "description": text, "version": version} for name, text in sorted(found)
    ]
    return [*shown, {"name": "python", "description": "Python", "version": platform.python_version()}]


def memory(broker: Broker, total: int) -> Generator[None, None, Json]:
    """Show where the memory of this process, `total`, went, in octets. A generator that yields after each portion.

    Known are the contents of messages, by type of queue; the rest is `other_system`.
    """
    held = {"classic": 0, "quorum": 0, "stream": 0}
    for vhost in list(broker.vhosts.values()):
        for number, queue in enumerate(list(vhost.queues.values()), 1):
            held[queue.kind] += _octets(queue)
            if number % QUEUES_TOGETHER == 0:
                yield None
    queues = sum(held.values())
    return {
        **dict.fromkeys(_UNUSED_MEMORY, 0),
        "queue_procs": held["classic"],
        "quorum_queue_procs": held["quorum"],
        "stream_queue_procs": held["stream"],
        "binary": 0,
        "other_system": max(0, total - queues),
        "total": {"erlang": total, "rss": total, "allocated": total},
        "strategy": "rss",
    }


def relative_memory(absolute: Json) -> Json:
    """Show the same in percent of the total, at least 1 for what is used at all."""
    sizes = {name: value for name, value in absolute.items() if isinstance(value, int)}
    total = sum(sizes.values()) or 1
    shares = {name: max(round(100 * size / total), 1 if size else 0) for name, size in sizes.items()}
    return {"total": 100, **shares}


def _octets(queue: Queue) -> int:
    return queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes


def _limit(limit: int) -> int:
    """A limit of the system; `sys.maxsize` for none."""
    return limit if limit >= 0 else sys.maxsize
