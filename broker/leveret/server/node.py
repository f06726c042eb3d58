"""The composition root: clock, engine, store, listeners, HTTP API and signals of one running node."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from leveret.config import Settings
from leveret.engine import startup
from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.log_exchange import declare as declare_log_exchange
from leveret.engine.names import EVENT_EXCHANGE_PLUGIN
from leveret.engine.parameters import CLUSTER_ID
from leveret.engine.samples import Sampler
from leveret.engine.stats import Stats
from leveret.management.owners import Owners
from leveret.management.site import Expiring, Listener, Metric, OtherNode, Site
from leveret.management.slices import Slices
from leveret.plugin_names import ON_DEMAND, absent
from leveret.progress import Report, unwatched
from leveret.server import descriptors, listeners
from leveret.server.alarms import ResourceMonitor
from leveret.server.application import Application
from leveret.server.collecting import THRESHOLDS, collector
from leveret.server.control import ControlSocket
from leveret.server.durability import Durability, Durable
from leveret.server.http_listeners import HttpListeners
from leveret.server.listeners import Listening
from leveret.server.log import announce, log, publish, write_fault
from leveret.server.log_observer import LogObserver
from leveret.server.recent_log import RecentLog
from leveret.server.sockets import Edge
from leveret.server.wall_clock import WallClock
from leveret.settings import VhostDefaults as Defaults

if TYPE_CHECKING:
    from leveret.server.backends.chain import Chain
    from leveret.server.tls import TlsContext

#: Reason in connection.close when the node stops, as RabbitMQ's.
SHUTDOWN = "broker forced connection closure with reason 'shutdown'"

#: Time that clients have to answer connection.close when the node stops.
SHUTDOWN_GRACE_S = 0.3

#: Time that unfinished jobs get when a node with a store stops, seconds. What they have not done then is done after the
#: next start, as after a crash.
FINISH_JOBS_S = 3.0

#: Seconds after which a thread that computes gives the interpreter back to the event loop, which may wait for it after
#: each system call. Python's default is ten times that.
_SWITCH_INTERVAL_S = 0.0005


class Node:
    """One node. `site`: what the HTTP API sees of it, and `host` what commands see. `running`: clients are served;
    `booting`: the node is being started. `suspended`: AMQP listeners that are closed for a while. `on_demand`: plugins
    that are enabled, and whose work is done when it is asked for; `lacking`: those that are enabled and not there.
    `owners`: reaches the nodes that serve virtual hosts which are not on this one, None for a node alone; to be set
    before the start."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = WallClock()
        self.durability = self._make_durability()
        self.broker = Broker(settings, self.clock, self.durability.journal, self.durability.pager)
        self.edge: Edge
        self.monitor: ResourceMonitor
        self.site: Site | None = None
        self.owners: Owners | None = None
        self.host = self._make_host()
        self.control = self._make_control()
        self.attempts = AuthAttempts(settings.access.track_auth_attempt_source)
        self.running = False
        self.booting = True
        self.suspended: list[Listener] = []
        self.servers: list[Listening] = []
        self.tls_servers: list[Listening] = []
        self.tls: TlsContext | None = None
        self.backends: Chain | None = None
        self.http: HttpListeners | None = None
        self.plugins: list[str] = []
        self.on_demand = {name for name in settings.plugins.enabled if name in ON_DEMAND}
        self.lacking = set(absent(settings.plugins.enabled))
        self.recent_log = RecentLog()
        self.started_at = self.clock.now
        self.stopping = asyncio.Event()

    def _make_durability(self) -> Durable:
        return Durability(self.settings)

    def _make_host(self) -> Application:
        return Application(self)

    def _make_control(self) -> ControlSocket:
        return ControlSocket(self.host, self.settings.server.control_socket)

    async def start(self, report: Report = unwatched) -> None:
        """Start everything. `report`: gets the progress.

        Raises `ConfigError`, `DefinitionsError`, `StoreError`, `TlsError`, `OSError`.
        """
        try:
            await self._start(report)
        except BaseException:
            await self.control.stop()
            raise

    async def _start(self, report: Report) -> None:
        loop = asyncio.get_running_loop()
        self.broker.faults.write = write_fault
        log.addHandler(self.recent_log)
        loop.set_exception_handler(self._loop_failed)
        descriptors.raise_limit()
        self.edge = Edge(self.broker, self.clock, loop)
        await self.control.start()
        restored = self.durability.start(self.broker, self.edge, report)
        self.control.point(self.host.data_dir)
        self.broker.observers.add(LogObserver(self.settings.server.node_name, self.clock.read))
        self.broker.observers.add(self.attempts)
        if self.settings.vhost_defaults != Defaults():
            from leveret.engine.vhost_defaults import VhostDefaults  # seldom

            self.broker.observers.add(VhostDefaults(self.broker))
        self.fill(restored, report)
        if self.settings.access.backends != ("internal",):
            from leveret.server.backends.chain import Chain

            self.backends = Chain(self.broker, self.edge)
            self.backends.make()
            self.broker.access.backends = self.backends.backends
        if self.settings.log.exchange:
            publish(self.broker, self.settings.log, self.edge.touch)
        log.info("Ready to start client connection listeners")
        await self._listen()
        self.monitor = ResourceMonitor(self.edge, self.durability.kept, self.durability.background.offload)
        self.monitor.start()
        await asyncio.sleep(0)
        self.start_http(_with_plugins(self.settings))
        self.note_plugins()
        gc.collect()
        collector.freeze()
        gc.set_threshold(*THRESHOLDS)
        self.edge.collect = collector.collect_young
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        self.running, self.booting = True, False
        self.log_startup()

    def fill(self, restored: bool, report: Report = unwatched) -> None:
        """Import definitions, or add the default virtual host and user to an empty broker. `report`: gets the progress.

        Raises `DefinitionsError`.
        """
        definitions = self.settings.server.load_definitions
        if definitions:
            log.info("Will not seed default virtual host and user: have definitions to load...")
            startup.plug_in(self.broker)
            self._declare_log_exchange()
            from leveret.server import load_definitions  # seldom

            load_definitions.load(self.broker, definitions, report)
            user = self.settings.access.default_user
            if user not in self.broker.access.users:
                log.warning(
                    "The default user '%s' is not created, because definitions are loaded, as in RabbitMQ: the "
                    "definitions must have the users that log in",
                    user,
                )
        else:
            (startup.plug_in if restored else startup.seed)(self.broker)
            self._declare_log_exchange()

    def _declare_log_exchange(self) -> None:
        """Declare it, as RabbitMQ before it loads definitions: a new node that loads some has no virtual host yet."""
        if self.broker.profile.api.log_exchange_always:
            declare_log_exchange(self.broker)

    async def _listen(self) -> None:
        """Listen for AMQP clients. Raises `OSError`, `TlsError`."""
        server, tls = self.settings.server, self.settings.tls
        for host, port in server.addresses():
            await self.listen(host, port)
        if tls.port < 0:
            return
        from leveret.server.tls import TlsContext

        self.tls = TlsContext(tls, "tls")
        for host in tls.host or server.host:
            self.listen_tls(host, tls.port)

    async def listen(self, host: str, port: int) -> None:
        """Accept AMQP clients at an address. Raises `OSError`."""
        if self.settings.server.proxy_protocol:
            from leveret.server.receiving import listen_proxied

            listener: Listening = listen_proxied(self.edge, host, port)
        else:
            listener = await listeners.listen(self.edge, host, port)
        self.servers.append(listener)
        for sock in listener.sockets:
            log.info("started TCP listener on %s", listeners.shown(sock.getsockname()))

    def listen_tls(self, host: str, port: int) -> None:
        """Accept AMQP clients with TLS at an address. Raises `OSError`."""
        from leveret.server.receiving import listen_tls

        assert self.tls is not None
        proxied = self.settings.server.proxy_protocol
        listener = listen_tls(self.edge, host, port, self.tls, proxied=proxied)
        self.tls_servers.append(listener)
        for sock in listener.sockets:
            log.info("started TLS (SSL) listener on %s", listeners.shown(sock.getsockname()))

    def log_startup(self) -> None:
        """Log that the node has started; tools wait for this line."""
        lines = [
            f"Server startup complete; {len(self.plugins)} plugins started.",
            *(f" * {plugin}" for plugin in self.plugins),
        ]
        log.info("\n".join(lines))
        announce(f"  Starting broker... completed with {len(self.plugins)} plugins.")

    def start_http(self, settings: Settings) -> None:
        """Listen for HTTP. `settings`: with the ports. Raises `OSError`, `TlsError`."""
        self.http = None
        ports = (settings.server.http_port, settings.server.prometheus_port)
        if max(*ports, settings.management_tls.port, settings.prometheus_tls.port) < 0:
            return
        if self.site is None:
            self.site = self._site()
        self.http = HttpListeners(self.site, settings)
        self.http.start()

    def note_plugins(self) -> None:
        """List RabbitMQ's names of the plugins whose work is done here."""
        found = set(self.http.plugins()) if self.http is not None else set()
        if self.broker.context.events is not None:
            found.add(EVENT_EXCHANGE_PLUGIN)
        self.plugins = sorted(found | self.on_demand)

    def reload_certificates(self) -> bool:
        """Read the files of all TLS listeners again; return whether all could be used. Connections stay open."""
        contexts = [self.tls] if self.tls is not None else []
        contexts += self.http.contexts if self.http is not None else []
        done = [context.reload() for context in contexts]
        return all(done)

    def expiring_certificates(self, within_s: float) -> list[Expiring]:
        """Return the listeners whose certificates expire within that time."""
        from leveret.server.certificate_dates import expiring

        return expiring(self.listeners(), datetime.now(UTC), within_s)

    def _site(self) -> Site:
        stats = Stats(self.broker)
        self.broker.observers.add(stats)
        sampler = Sampler(stats, self.settings.server.rates_mode == "detailed")
        self.broker.observers.add(sampler)
        site = Site(
            self.broker,
            stats,
            sampler,
            node_name=self.settings.server.node_name,
            cluster_id=str(self.broker.global_parameters[CLUSTER_ID]),
            tick=self.clock.tick,
            touch=self.edge.touch,
            slices=Slices(send=self.edge.flush),
            settled=self.edge.settled,
            ended=self.edge.ended,
            listeners=self.listeners,
            memory=self.monitor.memory,
            disk=self.monitor.disk,
            descriptors=descriptors.descriptors,
            file_operations=self.durability.file_operations,
            attempts=self.attempts,
            plugins=lambda: list(self.plugins),
            started_at=self.started_at,
            expiring=self.expiring_certificates,
            data_dir=self.settings.store.data_dir if self.durability.kept is not None else "",
            recent_log=self.recent_log.lines,
            log_files=("<stderr>",),
            other_nodes=self.other_nodes,
            owners=self.owners,
            more_metrics=self.more_metrics,
        )
        sampler.watch(site.node_name, site.used)
        sampler.start()
        return site

    def other_nodes(self) -> list[OtherNode]:
        """Return the nodes of the cluster besides this one."""
        return []

    def more_metrics(self) -> list[Metric]:
        """Return metrics that only some nodes have."""
        return []

    async def forget_node(self, name: str) -> None:
        """Remove a node from the cluster: there is none."""

    def listeners(self) -> list[Listener]:
        """Return all listeners of the node."""
        found = [*self.amqp_listeners(), *self.suspended]
        return found + (self.http.listeners() if self.http is not None else [])

    def amqp_listeners(self) -> list[Listener]:
        """Return the listeners that accept AMQP clients."""
        server, tls = self.settings.server, self.settings.tls
        found = [Listener.on("amqp", sock, None, server) for one in self.servers for sock in one.sockets]
        found += [
            Listener.on("amqp/ssl", sock, tls, server) for one in self.tls_servers for sock in one.sockets
        ]
        return found

    def close_listeners(self) -> None:
        """Accept no more AMQP clients."""
        for listener in (*self.servers, *self.tls_servers):
            listener.close()
        self.servers, self.tls_servers = [], []

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Report an exception in a callback of the loop, or log another error of the loop."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.broker.faults.report("event loop", error, message=context["message"])
        else:
            loop.default_exception_handler(context)

    def stop_on_signals(self) -> None:
        """Stop the node on SIGTERM, and on SIGINT (Ctrl-C) unless the process was started to ignore it: a shell has
        processes in the background ignore it, so that Ctrl-C ends only the one in the foreground.

        SIGHUP comes when a terminal is closed, and stops a node that runs there. Elsewhere it reloads the certificates,
        as services do; RabbitMQ ignores it.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGINT, self.stopping.set)
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # by nohup
        in_terminal = sys.stdin is not None and sys.stdin.isatty() and not ignored
        loop.add_signal_handler(signal.SIGHUP, self.stopping.set if in_terminal else self._hang_up)

    def _hang_up(self) -> None:
        log.info("SIGHUP: the certificates are read again; other settings need a restart")
        self.reload_certificates()

    async def run(self) -> None:
        """Serve until a signal arrives, then stop."""
        await self.stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Close listeners and clients (320), wait up to `SHUTDOWN_GRACE_S` for their answers, then close the store."""
        self.running = False
        self.close_listeners()
        self.monitor.stop()
        self.clock.tick()
        self.broker.shut_connections(SHUTDOWN)
        self.edge.touch()
        await self.control.stop()
        if self.http is not None:
            await self.http.stop()
        await self.disconnect()
        if self.backends is not None:
            await self.backends.stop()
        if self.durability.kept is not None:
            self.broker.work.finish(FINISH_JOBS_S)
        await self.durability.stop()
        log.info("Leveret has stopped")
        log.removeHandler(self.recent_log)

    async def disconnect(self) -> None:
        """Wait up to `SHUTDOWN_GRACE_S` for clients that are being closed, then cut the others off."""
        deadline = asyncio.get_running_loop().time() + SHUTDOWN_GRACE_S
        while self.edge.sockets and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for each in list(self.edge.sockets.values()):
            each.transport.abort()
        await asyncio.sleep(0)


def _with_plugins(settings: Settings) -> Settings:
    """Return the settings without the listeners of plugins that are not enabled."""
    server, management_tls, prometheus_tls = settings.server, settings.management_tls, settings.prometheus_tls
    if not settings.plugins.management:
        server, management_tls = replace(server, http_port=-1), replace(management_tls, port=-1)
    if not settings.plugins.prometheus:
        server, prometheus_tls = replace(server, prometheus_port=-1), replace(prometheus_tls, port=-1)
    return replace(settings, server=server, management_tls=management_tls, prometheus_tls=prometheus_tls)
