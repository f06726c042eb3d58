"""Write definitions (rabbit_definitions, rabbit_mgmt_wm_definitions).

Exclusive queues, internal exchanges and those of the broker itself but amq.rabbitmq.log are left out, as are names that
begin with `internal` among global parameters.

Long sections are iterators, because a node can have 100,000 queues: `whole` makes a document of the sections at once,
the HTTP API writes them in slices.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from leveret.engine.access import place as permission_place
from leveret.engine.names import LOG_EXCHANGE
from leveret.engine.parameters import parameters
from leveret.engine.parameters import place as parameter_place
from leveret.engine.policies import place as policy_place
from leveret.engine.vhost import VhostProperties
from leveret.wire.tables import plain
from leveret.work import in_order

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.profiles import ApiProfile
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange

Document = dict[str, object]

#: The entries of a long section; None where a portion of the work is done.
Entries = Iterator["Document | None"]

#: What is in a document, in its order.
Sections = dict[str, "object | Entries"]

#: Names that are sorted at once: about half a millisecond.
_SORTED_TOGETHER = 1000

#: Things that are looked at together: of many, nothing is written.
_LOOKED_AT_TOGETHER = 128

T = TypeVar("T")


def cluster_definitions(broker: Broker) -> Document:
    """All definitions, as the profile's version writes them."""
    return whole(cluster_sections(broker))


def vhost_definitions(broker: Broker, vhost: VirtualHost) -> Document:
    """The definitions of one virtual host; no object in them names it."""
    return whole(vhost_sections(broker, vhost))


def whole(sections: Sections) -> Document:
    """Make a document of its sections."""
    return {
        name: [entry for entry in section if entry is not None] if isinstance(section, Iterator) else section
        for name, section in sections.items()
    }


#: The sections that are about what is in virtual hosts: of those on this node.
TOPOLOGY = ("exchanges", "queues", "bindings")


def cluster_sections(broker: Broker) -> Sections:
    """The sections of `cluster_definitions`."""
    api, vhosts = broker.profile.api, list(broker.vhosts.values())
    everywhere = [(vhost.name, VhostProperties.of(vhost)) for vhost in vhosts] + [*broker.elsewhere.items()]
    document: Document = {**_versions(broker)}
    if api.definition_format_named:
        document |= {
            "rabbitmq_definition_format": "cluster",
            "original_cluster_name": broker.cluster_name,
            "explanation": f"Definitions of cluster '{broker.cluster_name}'",
        }
    return document | {
        "users": _ordered(broker.access.users.each(), lambda user: user.name),
        "vhosts": (_vhost(broker, name, properties) for name, properties in everywhere),
        "permissions": _ordered(broker.access.each_permission(), permission_place),
        "topic_permissions": _ordered(broker.access.each_topic_permission(), permission_place),
        "parameters": _ordered(parameters(broker.policies, broker.access), parameter_place),
        "global_parameters": _global_parameters(broker),
        "policies": _ordered(broker.policies.each(), policy_place),
        **_topology(vhosts, api, named=True),
    }


def vhost_sections(broker: Broker, vhost: VirtualHost) -> Sections:
    """The sections of `vhost_definitions`."""
    api, document = broker.profile.api, {**_versions(broker)}
    if not api.definition_format_named:
        document = {"rabbit_version": broker.profile.version}
    else:
        document |= {
            "rabbitmq_definition_format": "single_virtual_host",
            "original_vhost_name": vhost.name,
            "explanation": f"Definitions of virtual host '{vhost.name}'",
        }
        limits, properties = dict(broker.access.vhost_limits(vhost.name)), VhostProperties.of(vhost)
        document |= {
            "metadata": _metadata(broker, properties),
            "description": vhost.description,
            "limits": limits if limits or api.definitions_typed else [],  # RabbitMQ's empty list of pairs
        }
        if not api.definitions_typed:
            document["default_queue_type"] = _queue_type(broker, properties)
    found = parameters(broker.policies, broker.access, vhost=vhost.name)
    entry = _without_vhost if api.definition_format_named else dict
    return document | {
        "parameters": _each(_ordered(found, parameter_place), entry),
        "policies": _each(_ordered(broker.policies.each(vhost.name), policy_place), entry),
        **_topology([vhost], api, named=False),
    }


def with_others(sections: Sections, others: Iterable[Mapping[str, object]]) -> Sections:
    """Return sections with what is in the virtual hosts of other nodes. `others`: documents of these nodes."""
    parts = list(others)
    return sections | {
        name: chain(
            cast(Entries, sections[name]), *(cast("list[Document]", part.get(name, [])) for part in parts)
        )
        for name in TOPOLOGY
        if parts
    }


def _versions(broker: Broker) -> Document:
    version = broker.profile.version
    return {
        "rabbit_version": version,
        "rabbitmq_version": version,
        "product_name": "RabbitMQ",
        "product_version": version,
    }


def _vhost(broker: Broker, name: str, vhost: VhostProperties) -> Document:
    api = broker.profile.api
    shown: Document = {"name": name}
    if api.definitions_typed:
        return shown | {
            "limits": dict(broker.access.vhost_limits(name)),
            "metadata": _metadata(broker, vhost),
        }
    if not api.definition_format_named:
        return shown
    metadata = _metadata(broker, vhost)
    return shown | {**metadata, "metadata": metadata}


def _metadata(broker: Broker, vhost: VhostProperties) -> Document:
    shown: Document = {
        "description": vhost.description,
        "tags": list(vhost.tags),
        "default_queue_type": _queue_type(broker, vhost),
    }
    if vhost.protected is not None:
        shown["protected_from_deletion"] = vhost.protected
    return shown


def _queue_type(broker: Broker, vhost: VhostProperties) -> str:
    return vhost.default_queue_type or broker.settings.amqp.default_queue_type


class _Shown(Protocol):
    """What definitions show as it shows itself."""

    def to_json(self) -> Document:
        """As a JSON object."""


Showing = TypeVar("Showing", bound=_Shown)


def _ordered(found: Iterable[Showing], place: Callable[[Showing], Any]) -> Entries:
    """Yield what is found in the order of a place, and None after each portion of the work."""
    things: list[Showing] = []
    for thing in found:
        things.append(thing)
        if len(things) % _SORTED_TOGETHER == 0:
            yield None
    for thing in (yield from in_order(things, place)):
        yield thing.to_json()


def _each(entries: Entries, change: Callable[[Document], Document]) -> Entries:
    """Change each entry."""
    return (None if entry is None else change(entry) for entry in entries)


def _global_parameters(broker: Broker) -> Entries:
    typed = broker.profile.api.definitions_typed
    for name in (yield from in_order(list(broker.global_parameters), str)):
        if name in broker.global_parameters and not (typed and name.startswith("internal")):
            yield {"name": name, "value": broker.global_parameters[name]}


def _topology(vhosts: Iterable[VirtualHost], api: ApiProfile, *, named: bool) -> Sections:
    """Exchanges, queues and bindings. `named`: with the name of their virtual host."""
    places: list[tuple[VirtualHost, Document]] = [
        (vhost, {"vhost": vhost.name} if named else {}) for vhost in vhosts
    ]
    return {
        "exchanges": _exchanges(places, api),
        "queues": _queues(places, api),
        "bindings": _bindings(places),
    }


def _exchanges(places: list[tuple[VirtualHost, Document]], api: ApiProfile) -> Entries:
    for vhost, place in places:
        for one in _in_order(vhost.exchanges):
            if one is None:
                yield None
            elif _is_exported(one, api):
                yield place | _exchange(one, api)


def _is_exported(exchange: Exchange, api: ApiProfile) -> bool:
    if exchange.name == LOG_EXCHANGE and api.log_exchange_always:
        return True
    if not exchange.name or exchange.name.startswith("amq."):
        return False
    return not (exchange.internal and api.definitions_typed)


def _queues(places: list[tuple[VirtualHost, Document]], api: ApiProfile) -> Entries:
    for vhost, place in places:
        for one in _in_order(vhost.queues):
            if one is None:
                yield None
            elif one.owner is None:
                yield place | _queue(one, api)


def _bindings(places: list[tuple[VirtualHost, Document]]) -> Entries:
    for vhost, place in places:
        for exchange in _in_order(vhost.exchanges):
            if exchange is None:
                yield None
                continue
            for binding in list(exchange.bindings.values()):
                yield place | _binding(binding)


def _in_order(things: Mapping[str, T]) -> Iterator[T | None]:
    """Yield things by name, and None while names are being sorted, and now and then. What is removed meanwhile is left
    out."""
    names, runs = list(things), []
    for start in range(0, len(names), _SORTED_TOGETHER):
        runs.append(sorted(names[start : start + _SORTED_TOGETHER]))
        yield None
    for number, name in enumerate(heapq.merge(*runs), 1):
        thing = things.get(name)
        if thing is not None:
            yield thing
        if number % _LOOKED_AT_TOGETHER == 0:
            yield None


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
