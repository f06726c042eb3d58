"""Write definitions (rabbit_definitions, rabbit_mgmt_wm_definitions).

Exclusive queues, internal exchanges and those of the broker itself are left out, as are names that begin with
`internal` among global parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from leveret.engine.parameters import parameters
from leveret.wire.tables import plain

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.profiles import ApiProfile
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange

Document = dict[str, object]


def cluster_definitions(broker: Broker) -> Document:
    """All definitions, as the profile's version writes them."""
    api, vhosts = broker.profile.api, list(broker.vhosts.values())
    document: Document = {**_versions(broker)}
    if api.definition_format_named:
        document |= {
            "rabbitmq_definition_format": "cluster",
            "original_cluster_name": broker.cluster_name,
            "explanation": f"Definitions of cluster '{broker.cluster_name}'",
        }
    return document | {
        "users": broker.access.export_users(),
        "vhosts": [_vhost(broker, vhost) for vhost in vhosts],
        "permissions": broker.access.export_permissions(),
        "topic_permissions": broker.access.export_topic_permissions(),
        "parameters": [one.to_json() for one in parameters(broker.policies, broker.access)],
        "global_parameters": [
            {"name": name, "value": value}
            for name, value in sorted(broker.global_parameters.items())
            if not (api.definitions_typed and name.startswith("internal"))
        ],
        "policies": [policy.to_json() for policy in broker.policies.list()],
        **_topology(vhosts, api, named=True),
    }


def vhost_definitions(broker: Broker, vhost: VirtualHost) -> Document:
    """The definitions of one virtual host; no object in them names it."""
    api, document = broker.profile.api, {**_versions(broker)}
    if not api.definition_format_named:
        document = {"rabbit_version": broker.profile.version}
    else:
        document |= {
            "rabbitmq_definition_format": "single_virtual_host",
            "original_vhost_name": vhost.name,
            "explanation": f"Definitions of virtual host '{vhost.name}'",
        }
        document |= {
            "metadata": _metadata(broker, vhost),
            "description": vhost.description,
            "limits": dict(broker.access.vhost_limits(vhost.name)),
        }
        if not api.definitions_typed:
            document["default_queue_type"] = _queue_type(broker, vhost)
    found = parameters(broker.policies, broker.access, vhost=vhost.name)
    entry = _without_vhost if api.definition_format_named else dict
    return document | {
        "parameters": [entry(one.to_json()) for one in found],
        "policies": [entry(policy.to_json()) for policy in broker.policies.list(vhost.name)],
        **_topology([vhost], api, named=False),
    }


def _versions(broker: Broker) -> Document:
    version = broker.profile.version
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def _vhost(broker: Broker, vhost: VirtualHost) -> Document:
    api = broker.profile.api
    shown: Document = {"name": vhost.name}
    if api.definitions_typed:
        return shown | {
            "limits": dict(broker.access.vhost_limits(vhost.name)),
            "metadata": _metadata(broker, vhost),
        }
    if not api.definition_format_named:
        return shown
    metadata = _metadata(broker, vhost)
    return shown | {**metadata, "metadata": metadata}


def _metadata(broker: Broker, vhost: VirtualHost) -> Document:
    shown: Document = {
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": _queue_type(broker, vhost),
    }
    if vhost.protected is not None:
        shown["protected_from_deletion"] = vhost.protected
    return shown


def _queue_type(broker: Broker, vhost: VirtualHost) -> str:
    return vhost.default_queue_type or broker.settings.amqp.default_queue_type


def _topology(vhosts: Iterable[VirtualHost], api: ApiProfile, *, named: bool) -> Document:
    """Exchanges, queues and bindings. `named`: with the name of their virtual host."""
    document: dict[str, list[Document]] = {"exchanges": [], "queues": [], "bindings": []}
    for vhost in vhosts:
        place: Document = {"vhost": vhost.name} if named else {}
        document["exchanges"] += [
            place | _exchange(one, api)
            for name, one in sorted(vhost.exchanges.items())
            if name and not name.startswith("amq.") and not (api.definitions_typed and one.internal)
        ]
        document["queues"] += [
            place | _queue(one, api) for _, one in sorted(vhost.queues.items()) if one.owner is None
        ]
        document["bindings"] += [place | _binding(one) for one in _bindings(vhost)]
    return {**document}


def _exchange(exchange: Exchange, api: ApiProfile) -> Document:
    shown: Document = {
        "name": exchange.name,
        "type": exchange.type,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "arguments": plain(exchange.arguments),
    }
    return shown if api.definitions_typed else shown | {"internal": exchange.internal}


def _queue(queue: Queue, api: ApiProfile) -> Document:
    shown: Document = {
        "name": queue.name,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": plain(queue.arguments),
    }
    return shown | {"type": queue.kind} if api.definitions_typed else shown


def _bindings(vhost: VirtualHost) -> Iterator[Binding]:
    for _, exchange in sorted(vhost.exchanges.items()):
        yield from exchange.bindings.values()


def _binding(binding: Binding) -> Document:
    return {
        "source": binding.source,
        "destination": binding.destination_name,
        "destination_type": binding.destination_type,
        "routing_key": binding.routing_key.decode("utf-8", "replace"),
        "arguments": plain(binding.arguments),
    }


def _without_vhost(entry: Document) -> Document:
    return {name: value for name, value in entry.items() if name != "vhost"}
