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
        "socket_opts": _options(listener),
        "tls": False,
    }


def _options(listener: Listener) -> Json:
    """Show the options of its sockets: of HTTP as Cowboy, RabbitMQ's HTTP server, has them."""
    if listener.protocol not in CONTEXTS:
        return {"backlog": BACKLOG, "nodelay": True, "linger": [True, 0], "exit_on_close": False}
    shown: Json = {"cowboy_opts": {"sendfile": False}, "ip": listener.ip_address, "port": listener.port}
    return shown if listener.protocol == "http" else shown | {"protocol": listener.protocol}


def contexts(listeners: Iterable[Listener], node: str) -> list[Json]:
    """Show the web contexts of those listeners."""
    return [_context(one, node) for one in listeners if one.protocol in CONTEXTS]


def _context(listener: Listener, node: str) -> Json:
    description, path = CONTEXTS[listener.protocol]
    shown: Json = {
        "ssl_opts": [],
        "node": node,
        "description": description,
        "path": path,
        "cowboy_opts": "[{sendfile,false}]",
        "ip": listener.ip_address,
        "port": str(listener.port),
    }
    return shown if listener.protocol == "http" else shown | {"protocol": f"'{listener.protocol}'"}
