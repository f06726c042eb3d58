"""The composition root: clock, engine, listeners, HTTP and signals become one running node."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
from typing import TYPE_CHECKING, Any

from leveret.config import Settings
from leveret.engine.broker import Broker
from leveret.engine.events import PLUGIN
from leveret.server import descriptors, listeners, load_definitions
from leveret.server.alarms import ResourceMonitor
from leveret.server.durability import Durability
from leveret.server.listeners import Edge
from leveret.server.log import LogObserver, log, write_fault
from leveret.server.wall_clock import WallClock

if TYPE_CHECKING:
    from leveret.management.app import Http

#: How long clients are given to answer connection.close when the node stops, seconds.
SHUTDOWN_GRACE_S = 0.3

#: Objects allocated before the youngest generation is collected. The hot path's objects form no cycles, so that most
#: of what a collection would look at is alive.
_GC_THRESHOLD = 200_000


class Node:
    """One node: start it, wait for it, stop it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = WallClock()
        self.durability = Durability(settings)
        store = self.durability.store
        journal = store.journal if store is not None else None
        self.broker = Broker(settings, self.clock, journal, self.durability.pager)
        self.edge: Edge
        self.monitor: ResourceMonitor
        self.servers: list[asyncio.Server] = []
        self.http: Http | None = None
        self.stopping = asyncio.Event()

    async def start(self) -> None:
        """Everything up: AMQP first, then what is slower to import.

        Raises `DefinitionsError`, `StoreError`, `OSError`.
        """
        loop = asyncio.get_running_loop()
        self.broker.faults.write = write_fault
        loop.set_exception_handler(self._loop_failed)
        self.edge = Edge(self.broker, self.clock, loop)
        restored = self.durability.start(self.broker, self.edge)
        descriptors.raise_limit()
        self.broker.observers.add(LogObserver(self.settings.server.node_name))
        server = self.settings.server
        if server.load_definitions:
            log.info("Will not seed default virtual host and user: have definitions to load...")
            self.broker.plug_in()
            load_definitions.load(self.broker, server.load_definitions)
        elif not restored:
            self.broker.seed()
        else:
            self.broker.plug_in()
        self.broker.save()
        if server.port >= 0:
            for host in server.host:
                listener = await listeners.listen(self.edge, host, server.port)
                self.servers.append(listener)
                for sock in listener.sockets:
                    log.info("started TCP listener on %s", listeners.shown(sock.getsockname()))
        self.monitor = ResourceMonitor(self.edge, self.durability.store)
        self.monitor.start()
        await asyncio.sleep(0)
        plugins = await self._start_http()
        if self.settings.plugins.event_exchange:
            plugins = sorted([*plugins, PLUGIN])
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 20, 50)
        lines = [
            f"Server startup complete; {len(plugins)} plugins started.",
            *(f" * {plugin}" for plugin in plugins),
        ]
        log.info("\n".join(lines))

    async def _start_http(self) -> list[str]:
        server = self.settings.server
        if server.http_port < 0 and server.prometheus_port < 0:
            return []
        # aiohttp takes longer to import than all the rest: AMQP clients are served meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "leveret.management.app")
        self.http = module.Http(self)
        plugins: list[str] = await self.http.start()
        return plugins

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The last resort: what a callback of the loop has raised, or what the loop has to complain about."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.broker.faults.report("event loop", error, message=context["message"])
        else:
            loop.default_exception_handler(context)

    def stop_on_signals(self) -> None:
        """SIGTERM ends the node, and so does SIGINT (Ctrl-C) unless we were started with it ignored.

        A shell ignores SIGINT in what it starts in the background, so that Ctrl-C ends what is in the foreground alone.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, self.stopping.set)

    async def run(self) -> None:
        """Serve until told to stop."""
        await self.stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Listeners close, clients get 320 and a moment to answer."""
        for listener in self.servers:
            listener.close()
        self.monitor.stop()
        self.clock.tick()
        self.broker.shut_connections("broker forced connection closure with reason 'shutdown'")
        self.edge.touch()
        if self.http is not None:
            await self.http.stop()
        deadline = asyncio.get_running_loop().time() + SHUTDOWN_GRACE_S
        while self.edge.protocols and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for protocol in list(self.edge.protocols.values()):
            protocol.transport.abort()
        await asyncio.sleep(0)
        await self.durability.stop()
        log.info("Leveret has stopped")
