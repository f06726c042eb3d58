"""Bindings."""

from __future__ import annotations

from leveret.management.json import Json
from leveret.routing import bindings
from leveret.routing.bindings import Binding
from leveret.wire.tables import Table, plain


def binding(binding: Binding, vhost: str) -> Json:
    """Show a binding of a virtual host."""
    return {
        "source": binding.source,
        "vhost": vhost,
        "destination": binding.destination_name,
        "destination_type": binding.destination_type,
        "routing_key": text(binding.routing_key),
        "arguments": plain(binding.arguments),
        "properties_key": binding.properties_key,
    }


def implicit(queue: str, vhost: str) -> Json:
    """Show the binding that each queue has to the default exchange."""
    return {
        "source": "",
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": queue,
        "arguments": {},
        "properties_key": properties_key(queue, {}),
    }


def properties_key(key: str, arguments: Table) -> str:
    """The properties key of a binding with this routing key and these arguments."""
    return bindings.properties_key(key.encode("utf-8", "surrogateescape"), arguments)


def text(octets: bytes) -> str:
    """A routing key as it is shown."""
    return octets.decode("utf-8", "replace")
