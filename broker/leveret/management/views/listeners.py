"""Listeners, and the web contexts of those that serve HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from leveret.management.json import Json
from leveret.management.site import Listener
from leveret.settings import Server
from leveret.tls_settings import Tls

#: RabbitMQ's names of web contexts: protocol -> (description, path).
CONTEXTS = {
    "http": ("RabbitMQ Management", "/"),
    "https": ("RabbitMQ Management", "/"),
    "http/prometheus": ("RabbitMQ Prometheus", "/"),
    "https/prometheus": ("RabbitMQ Prometheus", "/"),
}

#: Options of TLS that are shown if they are not the default. The password is not.
_TLS_OPTIONS = (
    "cacertfile",
    "certfile",
    "keyfile",
    "verify",
    "fail_if_no_peer_cert",
    "depth",
    "honor_cipher_order",
)

#: Versions that are accepted unless others are configured.
_VERSIONS = ("tlsv1.3", "tlsv1.2")


def listener(listener: Listener, node: str) -> Json:
    """Show a listener."""
    return {
        "node": node,
        "protocol": listener.protocol,
        "ip_address": listener.ip_address,
        "port": listener.port,
        "socket_opts": _options(listener),
        "tls": listener.tls is not None,
    }


def in_order(listeners: Iterable[Listener]) -> list[Listener]:
    """Sort listeners as RabbitMQ lists them."""
    return sorted(listeners, key=lambda one: (one.protocol, one.port, one.ip_address))


def _options(listener: Listener) -> Json:
    """Show the options of its sockets: of HTTP as Cowboy, RabbitMQ's HTTP server, has them."""
    if listener.protocol not in CONTEXTS:
        shown = _tcp_options(listener.server)
        if listener.tls is not None:
            versions = list(listener.tls.versions or _VERSIONS)
            shown |= {"versions": versions, "log_level": "warning", "hibernate_after": 6000}
            shown |= _tls_options(listener.tls)
        return shown
    shown = {"cowboy_opts": {"sendfile": False}, "port": listener.port}
    if listener.tls is not None:
        shown |= {"ssl": True, "ssl_opts": _tls_options(listener.tls)}
    if listener.protocol != "https":
        shown["ip"] = listener.ip_address
    return shown | ({"protocol": listener.protocol} if listener.protocol.endswith("prometheus") else {})


def _tcp_options(server: Server) -> Json:
    """Show `tcp_listen_options`: RabbitMQ's defaults, and over them what is set here."""
    linger = [True, max(server.linger, 0)]
    shown: Json = {"backlog": server.backlog, "nodelay": True, "linger": linger, "exit_on_close": False}
    if server.keepalive:
        shown["keepalive"] = True
    if server.sndbuf:
        shown["sndbuf"] = server.sndbuf
    if server.recbuf:
        shown["recbuf"] = server.recbuf
    return shown


def _tls_options(tls: Tls) -> Json:
    default = Tls()
    return {name: getattr(tls, name) for name in _TLS_OPTIONS if getattr(tls, name) != getattr(default, name)}


def contexts(listeners: Iterable[Listener], node: str) -> list[Json]:
    """Show the web contexts of those listeners."""
    found = [one for one in listeners if one.protocol in CONTEXTS]
    return [_context(one, node) for one in sorted(found, key=lambda one: (CONTEXTS[one.protocol], one.port))]


def _context(listener: Listener, node: str) -> Json:
    description, path = CONTEXTS[listener.protocol]
    options = _tls_options(listener.tls) if listener.tls is not None else []
    shown: Json = {
        "ssl_opts": options,
        "node": node,
        "description": description,
        "path": path,
        "cowboy_opts": "[{sendfile,false}]",
        "port": str(listener.port),
    }
    if listener.tls is not None:
        shown["ssl"] = "true"
    if listener.protocol != "https":
        shown["ip"] = listener.ip_address
    return shown | (
        {"protocol": f"'{listener.protocol}'"} if listener.protocol.endswith("prometheus") else {}
    )
