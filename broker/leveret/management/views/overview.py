"""The broker as a whole."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Generator, Sequence

from leveret.engine.broker import Broker
from leveret.engine.parameters import CLUSTER_TAGS
from leveret.engine.stats import DEPTHS_TOGETHER, Counts, add, depths, depths_steps
from leveret.engine.vhost import VirtualHost
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.figures import detailed, message_figures
from leveret.profiles import Profile
from leveret.routing.types import EXCHANGE_TYPES

#: Exchange type -> RabbitMQ's description of it.
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
RETENTION_S = {"global": [600, 3600, 28800, 86400], "basic": [600, 3600], "detailed": [600]}


def exchange_types(profile: Profile) -> list[Json]:
    """Show the exchange types of a version."""
    return [
        {"name": name, "description": EXCHANGE_TYPE_TEXTS[name], "enabled": True}
        for name in sorted(EXCHANGE_TYPES)
        if profile.local_random_exchange or name != "x-local-random"
    ]


def versions(broker: Broker, erlang_version: str) -> Json:
    """Show versions and names."""
    api, version = broker.profile.api, broker.profile.version
    shown: Json = {
        "management_version": version,
        "rates_mode": broker.settings.server.rates_mode,
        "sample_retention_policies": RETENTION_S,
        "exchange_types": exchange_types(broker.profile),
        "product_version": version,
        "product_name": "RabbitMQ",
        "cluster_name": broker.cluster_name,
        **software(broker, erlang_version),
    }
    if api.cluster_tags_shown:
        shown |= {
            "cluster_tags": broker.global_parameters.get(CLUSTER_TAGS) or {},
            "node_tags": dict(broker.settings.server.node_tags),
            "default_queue_type": broker.settings.amqp.default_queue_type,
            "is_op_policy_updating_enabled": True,
        }
    if api.definitions_extension_shown:
        shown["require_definition_json_extension"] = False
    return shown


def software(broker: Broker, erlang_version: str) -> Json:
    """Show the versions of the server and of what it runs on."""
    shown: Json = {
        "rabbitmq_version": broker.profile.version,
        "erlang_version": erlang_version,
        "erlang_full_version": f"Python {platform.python_version()} [{platform.machine()}]",
    }
    if broker.profile.api.crypto_library_shown:
        shown["crypto_lib_version"] = ssl.OPENSSL_VERSION
    return shown


def declared_totals(vhosts: Sequence[VirtualHost]) -> Json:
    """Show how many objects there are, as RabbitMQ counts them without statistics."""
    return {
        "queues": sum(len(vhost.queues) for vhost in vhosts),
        "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
        "connections": sum(len(vhost.connections) for vhost in vhosts),
    }


def figures(
    broker: Broker, rates: Rates, vhosts: Sequence[VirtualHost], user: str | None
) -> Generator[None, None, Json]:
    """Show totals and rates of these virtual hosts. `user`: whose connections and channels are counted, None for all;
    then there are consumers, too. A generator that yields after each portion."""
    all_of_them = len(vhosts) == len(broker.vhosts)
    counts: Counts = {}
    for vhost in vhosts:
        add(counts, (yield from rates.stats.vhost_totals_steps(vhost)))
        yield None
    now: Counts = depths(())
    consumers = 0
    for vhost in vhosts:
        queues = list(vhost.queues.values())
        add(now, (yield from depths_steps(queues)))
        for at in range(0, len(queues), DEPTHS_TOGETHER):
            consumers += sum(len(queue.consumers.members) for queue in queues[at : at + DEPTHS_TOGETHER])
            yield None
    churn = rates.stats.churn()
    connections = [
        each for vhost in vhosts for each in vhost.connections if user is None or each.actor.user == user
    ]
    return {
        "message_stats": {},
        **message_figures(rates, broker if all_of_them else None, counts),
        "churn_rates": detailed(churn, rates.rates_of(broker, churn)),
        "queue_totals": detailed(now, rates.rates_of(broker, now) if all_of_them else {}) if vhosts else {},
        "object_totals": {
            "channels": sum(len(connection.channels) for connection in connections),
            "connections": len(connections),
            **({"consumers": consumers} if user is None else {}),
            "exchanges": sum(len(vhost.exchanges) for vhost in vhosts),
            "queues": sum(len(vhost.queues) for vhost in vhosts),
        },
    }
