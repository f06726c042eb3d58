"""The sockets of the HTTP listeners, and what the API says of all listeners."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a protocol is spoken, by RabbitMQ's names: amqp, http, http/prometheus."""

    protocol: str
    ip_address: str
    port: int

    def to_json(self, node: str) -> dict[str, Any]:
        """As in the overview."""
        return {
            "node": node,
            "protocol": self.protocol,
            "ip_address": self.ip_address,
            "port": self.port,
            "socket_opts": {"backlog": BACKLOG, "nodelay": True},
            "tls": False,
        }


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; `::` takes IPv4 too, and stands for 0.0.0.0 on a machine without IPv6."""
    if host == "::":
        if socket.has_dualstack_ipv6():
            return _listening("::", port, socket.AF_INET6, dualstack=True)
        host = "0.0.0.0"
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return _listening(host, port, family, dualstack=False)


def _listening(host: str, port: int, family: int, dualstack: bool) -> socket.socket:
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)


def listeners(protocol: str, sockets: Iterable[Any]) -> list[Listener]:
    """What those sockets are."""
    return [Listener(protocol, *sock.getsockname()[:2]) for sock in sockets]
