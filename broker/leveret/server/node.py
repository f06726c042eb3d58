"""The composition root: clock, engine, store, listeners, HTTP API and signals of one running node."""

from __future__ import annotations

import asyncio
import gc
import signal

from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.events import PLUGIN
from leveret.engine.parameters import CLUSTER_ID
from leveret.engine.samples import Sampler
from leveret.engine.stats import Stats
from leveret.management.site import Listener, Site
from leveret.server import descriptors, listeners, load_definitions
from leveret.server.alarms import ResourceMonitor
from leveret.server.durability import Durability
from leveret.server.http_listeners import HttpListeners
from leveret.server.log import LogObserver, log, write_fault
from leveret.server.sockets import Edge
from leveret.server.wall_clock import WallClock

#: Time that clients have to answer connection.close when the node stops.
SHUTDOWN_GRACE_S = 0.3

#: Time that unfinished jobs get when a node with a store stops, seconds. What they have not done then is done after the
#: next start, as after a crash.
FINISH_JOBS_S = 3.0

#: Allocations before a collection of the youngest generation. The objects of the hot path form no cycles, so a
#: collection finds hardly any garbage; but it holds the loop, 0.15 us for each object.
_GC_THRESHOLD = 25_000


class Node:
    """One node. `site`: what the HTTP API sees of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = WallClock()
        self.durability = Durability(settings)
        store = self.durability.store
        journal = store.journal if store is not None else None
        self.broker = Broker(settings, self.clock, journal, self.durability.pager)
        self.edge: Edge
        self.monitor: ResourceMonitor
        self.site: Site
        self.servers: list[asyncio.Server] = []
        self.http: HttpListeners | None = None
        self.plugins: list[str] = []
        self.started_at = self.clock.now
        self.stopping = asyncio.Event()

    async def start(self) -> None:
        """Start everything.

        Raises `DefinitionsError`, `StoreError`, `OSError`.
        """
        loop = asyncio.get_running_loop()
        self.broker.faults.write = write_fault
        loop.set_exception_handler(self._loop_failed)
        descriptors.raise_limit()
        self.edge = Edge(self.broker, self.clock, loop)
        restored = self.durability.start(self.broker, self.edge)
        self.broker.observers.add(LogObserver(self.settings.server.node_name))
        server = self.settings.server
        if server.load_definitions:
            log.info("Will not seed default virtual host and user: have definitions to load...")
            startup.plug_in(self.broker)
            load_definitions.load(self.broker, server.load_definitions)
        elif not restored:
            startup.seed(self.broker)
        else:
            startup.plug_in(self.broker)
        if server.port >= 0:
            for host in server.host:
                listener = await listeners.listen(self.edge, host, server.port)
                self.servers.append(listener)
                for sock in listener.sockets:
                    log.info("started TCP listener on %s", listeners.shown(sock.getsockname()))
        self.monitor = ResourceMonitor(self.edge, self.durability.store)
        self.monitor.start()
        await asyncio.sleep(0)
        plugins = self._start_http()
        if self.settings.plugins.event_exchange:
            plugins = sorted([*plugins, PLUGIN])
        self.plugins = plugins
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 5, 50)
        lines = [
            f"Server startup complete; {len(plugins)} plugins started.",
            *(f" * {plugin}" for plugin in plugins),
        ]
        log.info("\n".join(lines))

    def _start_http(self) -> list[str]:
        server = self.settings.server
        if server.http_port < 0 and server.prometheus_port < 0:
            return []
        self.site = self._site()
        self.http = HttpListeners(self.site, server)
        return self.http.start()

    def _site(self) -> Site:
        stats = Stats(self.broker)
        self.broker.observers.add(stats)
        sampler = Sampler(stats, self.settings.server.rates_mode == "detailed")
        self.broker.observers.add(sampler)
        attempts = AuthAttempts(self.settings.access.track_auth_attempt_source)
        self.broker.observers.add(attempts)
        site = Site(
            self.broker,
            stats,
            sampler,
            node_name=self.settings.server.node_name,
            cluster_id=str(self.broker.global_parameters[CLUSTER_ID]),
            tick=self.clock.tick,
            touch=self.edge.touch,
            settled=self.edge.settled,
            ended=self.edge.ended,
            listeners=self.listeners,
            memory=self.monitor.memory,
            disk=self.monitor.disk,
            descriptors=descriptors.descriptors,
            file_operations=self.durability.file_operations,
            attempts=attempts,
            plugins=lambda: list(self.plugins),
            started_at=self.started_at,
            data_dir=self.settings.store.data_dir if self.durability.store is not None else "",
            log_files=("<stderr>",),
        )
        sampler.watch(site.node_name, site.used)
        sampler.start()
        return site

    def listeners(self) -> list[Listener]:
        """Return all listeners of the node."""
        amqp = [sock.getsockname() for server in self.servers for sock in server.sockets]
        found = [Listener("amqp", *address[:2]) for address in amqp]
        return found + (self.http.listeners() if self.http is not None else [])

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Report an exception in a callback of the loop, or log another error of the loop."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.broker.faults.report("event loop", error, message=context["message"])
        else:
            loop.default_exception_handler(context)

    def stop_on_signals(self) -> None:
        """Stop the node on SIGTERM, and on SIGINT (Ctrl-C) unless the process was started with it ignored.

        A shell has processes in the background ignore SIGINT, so that Ctrl-C ends only the one in the foreground.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, self.stopping.set)

    async def run(self) -> None:
        """Serve until a signal arrives, then stop."""
        await self.stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Close listeners and clients (320), wait up to `SHUTDOWN_GRACE_S` for their answers, then close the store."""
        for listener in self.servers:
            listener.close()
        self.monitor.stop()
        self.clock.tick()
        self.broker.shut_connections("broker forced connection closure with reason 'shutdown'")
        self.edge.touch()
        if self.http is not None:
            await self.http.stop()
        deadline = asyncio.get_running_loop().time() + SHUTDOWN_GRACE_S
        while self.edge.sockets and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for each in list(self.edge.sockets.values()):
            each.transport.abort()
        await asyncio.sleep(0)
        if self.durability.store is not None:
            self.broker.work.finish(FINISH_JOBS_S)
        await self.durability.stop()
        log.info("Leveret has stopped")
