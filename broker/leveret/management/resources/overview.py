"""The broker as a whole: `/api/overview`, `/api/cluster-name`, `/api/version`; and `/api/whoami`."""

from __future__ import annotations

import platform
import ssl
from typing import Any

from leveret.engine.stats import depths, summed
from leveret.management.call import Call, Routes
from leveret.management.pagination import picked
from leveret.management.views import detailed, message_figures
from leveret.routing.types import EXCHANGE_TYPES

#: Exchange type -> what RabbitMQ says it is.
EXCHANGE_TYPE_TEXTS = {
    "direct": "AMQP direct exchange, as per the AMQP specification",
    "fanout": "AMQP fanout exchange, as per the AMQP specification",
    "headers": "AMQP headers exchange, as per the AMQP specification",
    "topic": "AMQP topic exchange, as per the AMQP specification",
    "x-consistent-hash": "Consistent Hashing Exchange",
    "x-delayed-message": "Delayed Message Exchange.",
    "x-local-random": "Picks one random local binding (queue) to route via (to).",
    "x-modulus-hash": "Modulus Hashing Exchange",
    "x-random": "Randomly picks a binding (queue) to route via (to).",
    "x-recent-history": "Recent History Exchange.",
}

#: Seconds for which RabbitMQ keeps samples, by policy (management.sample_retention_policies).
RETENTION = {"global": [600, 3600, 28800, 86400], "basic": [600, 3600], "detailed": [600]}

#: What the web contexts are called: protocol -> (description, path).
CONTEXTS = {"http": ("RabbitMQ Management", "/"), "http/prometheus": ("RabbitMQ Prometheus", "/")}


def overview(call: Call) -> Any:
    """GET: versions, totals, rates; for who may monitor also listeners and contexts."""
    if call.without_stats:
        return picked(_versions(call) | _without_stats(call), call.query)
    shown = _versions(call) | {"statistics_db_event_queue": 0} | _figures(call)
    if call.monitors:
        shown |= _node(call)
    return picked(shown, call.query)


def exchange_types() -> list[dict[str, Any]]:
    """The exchange types there are."""
    return [
        {"name": name, "description": EXCHANGE_TYPE_TEXTS.get(name, ""), "enabled": True}
        for name in sorted(EXCHANGE_TYPES)
    ]


def _versions(call: Call) -> dict[str, Any]:
    broker = call.broker
    version = broker.profile.version
    shown: dict[str, Any] = {
        "management_version": version,
        "rates_mode": "basic",
        "sample_retention_policies": RETENTION,
        "exchange_types": exchange_types(),
        "product_version": version,
        "product_name": "RabbitMQ",
        "rabbitmq_version": version,
        "cluster_name": broker.cluster_name,
        "erlang_version": call.http.erlang_version,
        "erlang_full_version": f"Python {platform.python_version()} [{platform.machine()}]",
        "disable_stats": call.without_stats,
        "enable_queue_totals": call.flag("enable_queue_totals"),
    }
    if call.since(4, 0):
        shown |= {
            "cluster_tags": {},
            "node_tags": {},
            "default_queue_type": broker.settings.amqp.default_queue_type,
            "is_op_policy_updating_enabled": True,
        }
    if call.since(4, 1):
        shown["crypto_lib_version"] = ssl.OPENSSL_VERSION
    if call.since(4, 3):
        shown["require_definition_json_extension"] = False
    return shown


def _without_stats(call: Call) -> dict[str, Any]:
    """What can be counted without statistics; RabbitMQ knows no connections then."""
    vhosts = call.visible_vhosts()
    return {
        "node": call.http.node_name,
        "object_totals": {
            "queues": sum(len(vhost.queues) for vhost in vhosts),
            "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
            "connections": sum(len(vhost.connections) for vhost in vhosts),
        },
    }


def _figures(call: Call) -> dict[str, Any]:
    """Totals of what the caller may see, exact at this moment."""
    broker, stats = call.broker, call.http.stats
    vhosts = call.visible_vhosts()
    all_of_them = len(vhosts) == len(broker.vhosts)
    by_vhost = stats.channel_totals()
    counts = summed(by_vhost[vhost.name] for vhost in vhosts)
    now = depths(queue for vhost in vhosts for queue in vhost.queues.values())
    rates = stats.rates_of(broker, now) if all_of_them else {}
    churn = stats.churn()
    connections = [connection for vhost in vhosts for connection in vhost.connections]
    return {
        "message_stats": {},
        **message_figures(stats, broker if all_of_them else None, counts),
        "churn_rates": detailed(churn, stats.rates_of(broker, churn)),
        "queue_totals": detailed(now, rates) if vhosts else {},
        "object_totals": {
            "channels": sum(len(connection.channels) for connection in connections),
            "connections": len(connections),
            "consumers": sum(
                len(queue.consumers.members) for vhost in vhosts for queue in vhost.queues.values()
            ),
            "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
            "queues": sum(len(vhost.queues) for vhost in vhosts),
        },
    }


def _node(call: Call) -> dict[str, Any]:
    node = call.http.node_name
    found = call.http.listeners()
    return {
        "node": node,
        "listeners": [listener.to_json(node) for listener in found],
        "contexts": [
            {
                "ssl_opts": [],
                "node": node,
                "description": CONTEXTS[listener.protocol][0],
                "path": CONTEXTS[listener.protocol][1],
                "ip": listener.ip_address,
                "port": str(listener.port),
            }
            for listener in found
            if listener.protocol in CONTEXTS
        ],
    }


def whoami(call: Call) -> Any:
    """GET: the caller."""
    shown = {"name": call.user.name, "tags": list(call.user.tags)}
    return {**shown, "is_internal_user": True} if call.since(3, 13) else shown


def version(call: Call) -> Any:
    """GET: the version of RabbitMQ that is stood in for."""
    return call.broker.profile.version


def extensions(call: Call) -> Any:
    """GET: the parts of the web page."""
    return [{"javascript": "dispatcher.js"}]


def cluster_name(call: Call) -> Any:
    """GET: the cluster's name."""
    return {"name": call.broker.cluster_name}


def set_cluster_name(call: Call) -> None:
    """PUT {name}: another name."""
    call.need_administrator()
    (name,) = call.needed(call.fields(), ("name",))
    call.broker.cluster_name = str(name)


ROUTES: Routes = {
    "overview": {"GET": overview},
    "whoami": {"GET": whoami},
    "version": {"GET": version},
    "extensions": {"GET": extensions},
    "cluster-name": {"GET": cluster_name, "PUT": set_cluster_name},
}
