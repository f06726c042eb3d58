"""The addresses of both ends of a socket, as the HTTP API and the log show them."""

from __future__ import annotations

from msgspec import Struct

from leveret.engine.encryption import Encryption


class Peer(Struct, frozen=True):
    """The addresses of a connection. `loopback`: the client is on this machine; `encryption`: None without TLS."""

    host: str = ""
    port: int = 0
    peer_host: str = ""
    peer_port: int = 0
    loopback: bool = True
    encryption: Encryption | None = None

    @property
    def name(self) -> str:
        """RabbitMQ's name of a connection, such as `127.0.0.1:52622 -> 127.0.0.1:5672`."""
        return f"{self.peer_host}:{self.peer_port} -> {self.host}:{self.port}"
