"""Listeners, and the web contexts of those that serve HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.management.json import Json
from leveret.management.site import Listener

#: RabbitMQ's names of web contexts: protocol -> (description, path).
CONTEXTS = {"http": ("RabbitMQ Management", "/"), "http/prometheus": ("RabbitMQ Prometheus", "/")}

#: RabbitMQ's default backlog (tcp_listen_options.backlog).
BACKLOG = 128


def listener(listener: Listener, node: str) -> Json:
    """Show a listener."""
    return {
        "node": node,
        "protocol": listener.protocol,
        "ip_address": listener.ip_address,
        "port": listener.port,
        "socket_opts": {"backlog": BACKLOG, "nodelay": True},
        "tls": False,
    }


def contexts(listeners: Iterable[Listener], node: str) -> list[Json]:
    """Show the web contexts of those listeners."""
    return [
        {
            "ssl_opts": [],
            "node": node,
            "description": CONTEXTS[one.protocol][0],
            "path": CONTEXTS[one.protocol][1],
            "ip": one.ip_address,
            "port": str(one.port),
        }
        for one in listeners
        if one.protocol in CONTEXTS
    ]
