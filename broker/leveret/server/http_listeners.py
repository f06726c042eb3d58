"""The HTTP listeners: they listen from the start, and import what serves requests at the first connection.

aiohttp, the resources of the API and prometheus-client are a quarter of the memory of an idle broker. Whoever is never
asked over HTTP does without them. The first connection waits in the backlog of its listener until they are there.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leveret.engine import patterns
from leveret.faults import Faults
from leveret.management.lazy import beside, imported
from leveret.management.site import Listener, Site
from leveret.server import descriptors, listeners
from leveret.server.collecting import collector
from leveret.settings import Settings

if TYPE_CHECKING:
    from leveret.management.app import Http
    from leveret.server.acceptor import Acceptor
    from leveret.server.tls import TlsContext

log = logging.getLogger("leveret")

#: Pending connections of a listener (tcp_listen_options.backlog).
BACKLOG = 128

#: RabbitMQ's names of the plugins whose work is done here, for its start-up lines.
MANAGEMENT_PLUGINS = ("rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_web_dispatch")
PROMETHEUS_PLUGINS = ("rabbitmq_prometheus",)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A listening socket on which nobody accepts yet. `protocol`: RabbitMQ's name of it; `tls`: None without TLS."""

    sock: socket.socket
    protocol: str
    tls: TlsContext | None
    faults: Faults

    async def accept(self, make: Callable[[], asyncio.BaseProtocol]) -> asyncio.Server | Acceptor:
        """Accept connections."""
        if self.tls is None:
            return await asyncio.get_running_loop().create_server(make, sock=self.sock)
        from leveret.server.acceptor import Acceptor

        return Acceptor(self.sock, lambda _: make(), self.protocol, self.faults, tls=self.tls)


class HttpListeners:
    """The listeners of the HTTP API (`api`) and of the Prometheus endpoint (`metrics`). `freezes`: what was imported is
    kept from the garbage collector, for the whole process."""

    def __init__(self, site: Site, settings: Settings, *, freezes: bool = True) -> None:
        self.site = site
        self.settings = settings
        self.freezes = freezes
        self.api: list[Entrance] = []
        self.metrics: list[Entrance] = []
        self.contexts: list[TlsContext] = []
        self.http: Http | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen. Raises `OSError`, `TlsError`."""
        server = self.settings.server
        self._open(self.api, "http", server.http_host, server.http_port)
        self._open_tls(self.api, "https", server.http_host, "management_tls")
        self._open(self.metrics, "http/prometheus", server.prometheus_host, server.prometheus_port)
        self._open_tls(self.metrics, "https/prometheus", server.prometheus_host, "prometheus_tls")
        loop = asyncio.get_running_loop()
        for entrance in (*self.api, *self.metrics):
            loop.add_reader(entrance.sock, self._connected)
        for name, entrances in (("Management plugin", self.api), ("Prometheus metrics", self.metrics)):
            for one in entrances:
                kind = "HTTP (non-TLS)" if one.tls is None else "HTTPS"
                log.info("%s: %s listener started on port %d", name, kind, one.sock.getsockname()[1])

    def plugins(self) -> list[str]:
        """RabbitMQ's names of the plugins that do the same."""
        return [*(MANAGEMENT_PLUGINS if self.api else ()), *(PROMETHEUS_PLUGINS if self.metrics else ())]

    def _open(self, found: list[Entrance], protocol: str, hosts: Sequence[str], port: int) -> None:
        for sock in _listening(hosts or self.settings.server.host, port):
            found.append(Entrance(sock, protocol, None, self.site.broker.faults))

    def _open_tls(self, found: list[Entrance], protocol: str, hosts: Sequence[str], section: str) -> None:
        settings = getattr(self.settings, section)
        if settings.port < 0:
            return
        from leveret.server.tls import TlsContext

        context = TlsContext(settings, section)
        self.contexts.append(context)
        for sock in _listening(settings.host or hosts or self.settings.server.host, settings.port):
            found.append(Entrance(sock, protocol, context, self.site.broker.faults))

    def listeners(self) -> list[Listener]:
        """The listeners."""
        return [
            Listener.on(one.protocol, one.sock, one.tls.settings if one.tls is not None else None)
            for one in (*self.api, *self.metrics)
        ]

    async def api_protocol(self) -> Callable[[], asyncio.Protocol]:
        """Return what makes the protocol of a connection to the HTTP API that was accepted elsewhere. Raises
        `ConnectionError` if the API could not be started."""
        if self._starting is None:
            self._connected()
        if self._starting is not None:
            await asyncio.shield(self._starting)
        if self.http is None:
            raise ConnectionError("the HTTP API has not started")
        return self.http.api_protocol

    def _connected(self) -> None:
        """The first connection is waiting."""
        self._forget_readers()
        self._starting = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        """Import what serves, beside the loop, and accept connections."""
        try:
            module = await imported("leveret.management.app")
            await beside(patterns.load)  # for the policies and permissions that come over HTTP
            self.http = http = await beside(lambda: module.Http(self.site, self.settings.server))
            await http.start(self.api, self.metrics, descriptors.http_connections)
            if self.freezes:
                collector.freeze()
        except Exception as error:
            self.site.broker.faults.report("http", error)

    def _forget_readers(self) -> None:
        loop = asyncio.get_running_loop()
        for entrance in (*self.api, *self.metrics):
            loop.remove_reader(entrance.sock)

    async def stop(self) -> None:
        """Stop listening; requests that are being served are finished first. Does nothing if it has stopped."""
        if self._starting is None:
            self._forget_readers()
        else:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self.http is not None:
            await self.http.stop()
        for entrance in (*self.api, *self.metrics):
            entrance.sock.close()
        self.api, self.metrics = [], []


def _listening(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets, none if the listener is switched off. Raises `OSError`."""
    found = [listeners.bind(host, port) for host in hosts] if port >= 0 else []
    for sock in found:
        sock.listen(BACKLOG)
    return found
