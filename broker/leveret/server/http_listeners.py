"""The HTTP listeners: they listen from the start, and import what serves requests at the first connection.

aiohttp, the resources of the API and prometheus-client are a quarter of the memory of an idle broker. Whoever is never
asked over HTTP does without them. The first connection waits in the backlog of its listener until they are there.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leveret.management.site import Listener, Site
from leveret.server import descriptors, listeners
from leveret.settings import Server as Settings

if TYPE_CHECKING:
    from leveret.management.app import Http

log = logging.getLogger("leveret")

#: Pending connections of a listener (tcp_listen_options.backlog).
BACKLOG = 128

#: RabbitMQ's names of the plugins whose work is done here, for its start-up lines.
MANAGEMENT_PLUGINS = ("rabbitmq_management", "rabbitmq_management_agent", "rabbitmq_web_dispatch")
PROMETHEUS_PLUGINS = ("rabbitmq_prometheus",)


class HttpListeners:
    """The listeners of the HTTP API (`api`) and of the Prometheus endpoint (`metrics`)."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site = site
        self.settings = settings
        self.api: list[socket.socket] = []
        self.metrics: list[socket.socket] = []
        self.http: Http | None = None
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> list[str]:
        """Listen; returns RabbitMQ's names of the plugins that do the same. Raises `OSError`."""
        settings = self.settings
        self.api = _listening(settings.http_host or settings.host, settings.http_port)
        self.metrics = _listening(settings.prometheus_host or settings.host, settings.prometheus_port)
        loop = asyncio.get_running_loop()
        for sock in (*self.api, *self.metrics):
            loop.add_reader(sock, self._connected)
        for name, sockets in (("Management plugin", self.api), ("Prometheus metrics", self.metrics)):
            for sock in sockets:
                log.info("%s: HTTP (non-TLS) listener started on port %d", name, sock.getsockname()[1])
        found = (*(MANAGEMENT_PLUGINS if self.api else ()), *(PROMETHEUS_PLUGINS if self.metrics else ()))
        return sorted(found)

    def listeners(self) -> list[Listener]:
        """The listeners."""
        return [
            Listener(protocol, *sock.getsockname()[:2])
            for protocol, sockets in (("http", self.api), ("http/prometheus", self.metrics))
            for sock in sockets
        ]

    def _connected(self) -> None:
        """The first connection is waiting."""
        self._forget_readers()
        self._starting = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        """Import what serves, beside the loop, and accept connections."""
        try:
            module = await asyncio.to_thread(importlib.import_module, "leveret.management.app")
            self.http = module.Http(self.site, self.settings)
            await self.http.start(self.api, self.metrics, descriptors.http_connections)
            gc.freeze()  # modules and their tables are not garbage
        except Exception as error:
            self.site.broker.faults.report("http", error)

    def _forget_readers(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in (*self.api, *self.metrics):
            loop.remove_reader(sock)

    async def stop(self) -> None:
        """Stop listening; requests that are being served are finished first. Does nothing if it has stopped."""
        if self._starting is None:
            self._forget_readers()
        else:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self.http is not None:
            await self.http.stop()
        for sock in (*self.api, *self.metrics):
            sock.close()
        self.api, self.metrics = [], []


def _listening(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Listening sockets, none if the listener is switched off. Raises `OSError`."""
    found = [listeners.bind(host, port) for host in hosts] if port >= 0 else []
    for sock in found:
        sock.listen(BACKLOG)
    return found
