"""RabbitMQ's plugins: which there are, which are there here, and which come with others."""

from __future__ import annotations

from collections.abc import Iterable

#: All plugins of RabbitMQ 4.3.6 -> its descriptions of them (its spelling, too).
KNOWN = {
    "rabbitmq_amqp1_0": "Deprecated no-op AMQP 1.0 plugin",
    "rabbitmq_auth_backend_cache": "RabbitMQ Authentication Backend cache",
    "rabbitmq_auth_backend_http": "RabbitMQ HTTP Authentication Backend",
    "rabbitmq_auth_backend_internal_loopback": "RabbitMQ Internal Loopback Authentication Backend",
    "rabbitmq_auth_backend_ldap": "RabbitMQ LDAP Authentication Backend",
    "rabbitmq_auth_backend_oauth2": "OAuth 2 and JWT-based AuthN and AuthZ backend",
    "rabbitmq_auth_mechanism_ssl": "RabbitMQ SSL authentication (SASL EXTERNAL)",
    "rabbitmq_consistent_hash_exchange": "Consistent Hash Exchange Type",
    "rabbitmq_event_exchange": "Event Exchange Type",
    "rabbitmq_exchange_federation": "RabbitMQ Exchange Federation",
    "rabbitmq_federation": "Deprecated no-op RabbitMQ Federation",
    "rabbitmq_federation_common": "RabbitMQ Federation Common",
    "rabbitmq_federation_management": "RabbitMQ Federation Management",
    "rabbitmq_federation_prometheus": "Exposes rabbitmq_federation metrics to Prometheus",
    "rabbitmq_jms_topic_exchange": "RabbitMQ JMS topic selector exchange plugin",
    "rabbitmq_management": "RabbitMQ Management Console",
    "rabbitmq_management_agent": "RabbitMQ Management Agent",
    "rabbitmq_mqtt": "RabbitMQ MQTT Adapter",
    "rabbitmq_peer_discovery_aws": "AWS-based RabbitMQ peer discovery backend",
    "rabbitmq_peer_discovery_common": "Modules shared by various peer discovery backends",
    "rabbitmq_peer_discovery_consul": "Consult-based RabbitMQ peer discovery backend",
    "rabbitmq_peer_discovery_etcd": "etcd-based RabbitMQ peer discovery backend",
    "rabbitmq_peer_discovery_k8s": "Kubernetes-based RabbitMQ peer discovery backend",
    "rabbitmq_prometheus": "Prometheus metrics for RabbitMQ",
    "rabbitmq_queue_federation": "RabbitMQ Queue Federation",
    "rabbitmq_random_exchange": "RabbitMQ Random Exchange",
    "rabbitmq_recent_history_exchange": "RabbitMQ Recent History Exchange",
    "rabbitmq_sharding": "RabbitMQ Sharding Plugin",
    "rabbitmq_shovel": "Data Shovel for RabbitMQ",
    "rabbitmq_shovel_management": "Management extension for the Shovel plugin",
    "rabbitmq_shovel_prometheus": "Exposes rabbitmq_shovel metrics to Prometheus",
    "rabbitmq_stomp": "RabbitMQ STOMP plugin",
    "rabbitmq_stream": "RabbitMQ Stream",
    "rabbitmq_stream_management": "RabbitMQ Stream Management",
    "rabbitmq_top": "RabbitMQ Top",
    "rabbitmq_tracing": "RabbitMQ message logging / tracing",
    "rabbitmq_trust_store": "Client X.509 certificates trust store",
    "rabbitmq_web_dispatch": "RabbitMQ Web Dispatcher",
    "rabbitmq_web_mqtt": "RabbitMQ MQTT-over-WebSockets adapter",
    "rabbitmq_web_mqtt_examples": "Rabbit WEB-MQTT - examples",
    "rabbitmq_web_stomp": "RabbitMQ STOMP-over-WebSockets support",
    "rabbitmq_web_stomp_examples": "Rabbit WEB-STOMP - examples",
}

#: Those that are always there and on.
BUILT_IN = (
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_sharding",
)

#: Those whose work is done when the settings or a client ask for it, whether or not they are enabled. The last one is a
#: plugin of the community.
ON_DEMAND = (
    *("rabbitmq_auth_backend_cache", "rabbitmq_auth_backend_http", "rabbitmq_auth_backend_oauth2"),
    *("rabbitmq_auth_mechanism_ssl", "rabbitmq_delayed_message_exchange"),
)

#: Those that can be switched -> the others that come with them.
SWITCHED: dict[str, tuple[str, ...]] = {
    "rabbitmq_event_exchange": (),
    "rabbitmq_management": ("rabbitmq_management_agent", "rabbitmq_web_dispatch"),
    "rabbitmq_prometheus": ("rabbitmq_management_agent", "rabbitmq_web_dispatch"),
}


def with_others(names: Iterable[str]) -> list[str]:
    """Return plugins and those that come with them, in order."""
    found = list(names)
    return sorted({*found, *(other for name in found for other in SWITCHED.get(name, ()))})


#: Plugin -> what RabbitMQ needs for it, its libraries, too.
DEPENDENCIES: dict[str, tuple[str, ...]] = {
    "rabbitmq_management": (
        *("amqp_client", "cowboy", "rabbitmq_web_dispatch", "rabbitmq_management_agent", "oauth2_client"),
    ),
    "rabbitmq_management_agent": ("rabbitmq_web_dispatch",),
    "rabbitmq_prometheus": ("cowboy", "rabbitmq_management_agent", "prometheus", "rabbitmq_web_dispatch"),
    "rabbitmq_web_dispatch": ("cowboy",),
    "prometheus": ("ddskerl",),
}


def with_libraries(names: Iterable[str]) -> list[str]:
    """Return plugins with all that RabbitMQ needs for them, in order."""
    found = {*names}
    waiting = list(found)
    while waiting:
        needed = {*DEPENDENCIES.get(waiting.pop(), ())} - found
        found |= needed
        waiting += needed
    return sorted(found)


#: All that can be enabled.
AVAILABLE = frozenset((*BUILT_IN, *ON_DEMAND, *with_others(SWITCHED)))

#: All names that mean something.
NAMES = frozenset((*KNOWN, *ON_DEMAND))


def absent(names: Iterable[str]) -> list[str]:
    """Return the plugins of RabbitMQ among some names that are not there."""
    return [name for name in names if name in NAMES and name not in AVAILABLE]


#: What a plugin that is not there begins with -> what to do instead.
_INSTEAD = {
    "rabbitmq_shovel": "move messages with a consumer that publishes them elsewhere",
    "rabbitmq_federation": "move messages with a consumer that publishes them elsewhere",
    "rabbitmq_exchange_federation": "move messages with a consumer that publishes them elsewhere",
    "rabbitmq_queue_federation": "move messages with a consumer that publishes them elsewhere",
    "rabbitmq_mqtt": "clients use AMQP 0-9-1",
    "rabbitmq_web_mqtt": "clients use AMQP 0-9-1",
    "rabbitmq_stomp": "clients use AMQP 0-9-1",
    "rabbitmq_web_stomp": "clients use AMQP 0-9-1",
    "rabbitmq_amqp1_0": "clients use AMQP 0-9-1",
    "rabbitmq_stream": "clients consume from streams over AMQP 0-9-1",
    "rabbitmq_auth_backend_ldap": "let a web service ask the LDAP server: auth_backends.1 = http",
    "rabbitmq_trust_store": "put the authorities into ssl_options.cacertfile",
    "rabbitmq_tracing": "bind a queue to amq.rabbitmq.trace after 'rabbitmqctl trace_on'",
    "rabbitmq_top": "use 'leveret top'",
    "rabbitmq_jms_topic_exchange": "bind with headers or topic exchanges",
}


#: What the components of parameters begin with -> what the plugins that have them begin with.
_COMPONENTS = {
    "shovel": ("rabbitmq_shovel",),
    "federation-upstream": (
        "rabbitmq_federation",
        "rabbitmq_exchange_federation",
        "rabbitmq_queue_federation",
    ),
}


def plugin_of(component: str, enabled: Iterable[str]) -> str | None:
    """Return which of some plugins has a component of parameters, for plugins that are not there; None without one."""
    starts = next((found for start, found in _COMPONENTS.items() if component.startswith(start)), None)
    return next((name for name in enabled if name.startswith(starts)), None) if starts is not None else None


def instead(name: str) -> str:
    """Return the sentence about a plugin that is not there: what follows, and what to do instead."""
    found = [text for start, text in _INSTEAD.items() if name == start or name.startswith(f"{start}_")]
    more = f"; {found[0]}" if found else ""
    return f"Leveret does not have {name}, and nothing is done for it{more}"


def description(name: str) -> str:
    """Return RabbitMQ's description of a plugin."""
    return KNOWN.get(name, "RabbitMQ Delayed Message Exchange" if name in ON_DEMAND else "")


def needed_by(name: str) -> tuple[str, ...]:
    """Return the plugins that RabbitMQ enables with another one because it needs them."""
    if name in ("rabbitmq_top", "rabbitmq_tracing") or name.endswith("_management"):
        return ("rabbitmq_management",)
    return ("rabbitmq_prometheus",) if name.endswith("_prometheus") else ()


def as_file(names: Iterable[str]) -> str:
    """Return the text of a file enabled_plugins."""
    return f"[{','.join(map(_atom, names))}].\n"


def _atom(name: str) -> str:
    """Return a name as an Erlang atom is written."""
    letters = name.replace("_", "").replace("@", "")
    if name[:1].islower() and letters.isascii() and letters.isalnum():
        return name
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
