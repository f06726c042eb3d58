"""A node as its commands see it (`leveret.control.host`): what they change while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from leveret.engine import operations, parameters, startup
from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.broker import Broker
from leveret.engine.names import EVENT_EXCHANGE_PLUGIN
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.vhost import VirtualHost
from leveret.errors import AmqpError
from leveret.management.owners import Owners
from leveret.management.site import Expiring, Listener, OtherNode
from leveret.management.slices import Slices
from leveret.plugin_names import ON_DEMAND, absent, as_file
from leveret.server.alarms import ResourceMonitor
from leveret.server.durability import Durable
from leveret.server.http_listeners import HttpListeners
from leveret.server.log import log, set_level
from leveret.server.recent_log import RecentLog
from leveret.server.sockets import Edge
from leveret.server.wall_clock import WallClock
from leveret.settings import ConfigError, Settings
from leveret.work import Job, Suspended

#: The plugins that are HTTP listeners.
_LISTENERS = ("rabbitmq_management", "rabbitmq_prometheus")

#: The ports of RabbitMQ's plugins, for one that is switched on in a node without their listeners.
_PORTS = {"http": 15672, "http/prometheus": 15692}

_SHUTDOWN = "broker forced connection closure with reason 'shutdown'"


class Served(Protocol):
    """What is used of a node (`server/node.py`)."""

    settings: Settings
    clock: WallClock
    broker: Broker
    edge: Edge
    monitor: ResourceMonitor
    http: HttpListeners | None
    plugins: list[str]
    on_demand: set[str]
    lacking: set[str]
    attempts: AuthAttempts
    recent_log: RecentLog
    started_at: int
    stopping: asyncio.Event
    running: bool
    booting: bool
    suspended: list[Listener]
    owners: Owners | None

    @property
    def durability(self) -> Durable: ...
    def other_nodes(self) -> list[OtherNode]: ...
    async def forget_node(self, name: str) -> None: ...
    def amqp_listeners(self) -> list[Listener]: ...
    def close_listeners(self) -> None: ...
    def listen_tls(self, host: str, port: int) -> None: ...
    def listeners(self) -> list[Listener]: ...
    def note_plugins(self) -> None: ...
    def expiring_certificates(self, within_s: float) -> list[Expiring]: ...
    def start_http(self, settings: Settings) -> None: ...
    def fill(self, restored: bool) -> None: ...
    def log_startup(self) -> None: ...
    async def listen(self, host: str, port: int) -> None: ...
    async def disconnect(self) -> None: ...


class Application:
    """What commands see of a node."""

    def __init__(self, node: Served) -> None:
        self.node = node
        self.maintenance = False
        self.slices = Slices(send=lambda: node.edge.flush())
        self._ports: dict[str, int] = {}
        self._plugins: set[str] = set()

    @property
    def broker(self) -> Broker:
        """The engine."""
        return self.node.broker

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.settings.server.node_name

    @property
    def attempts(self) -> AuthAttempts:
        """Counts logins."""
        return self.node.attempts

    @property
    def log(self) -> RecentLog:
        """The last records of the log."""
        return self.node.recent_log

    def set_log_level(self, level: str) -> None:
        """Log from this level on, in all categories."""
        set_level(level)

    @property
    def resources(self) -> ResourceMonitor:
        """The limits of memory and disk."""
        return self.node.monitor

    @property
    def running(self) -> bool:
        """Whether clients are served."""
        return self.node.running

    @property
    def booting(self) -> bool:
        """Whether the node is being started."""
        return self.node.booting

    @property
    def started_at(self) -> int:
        """When it was started, ms since the epoch."""
        return self.node.started_at

    @property
    def data_dir(self) -> str:
        """Where data is stored."""
        return self.node.settings.store.data_dir if self.node.durability.kept is not None else ""

    def other_nodes(self) -> list[OtherNode]:
        """The nodes of the cluster besides this one."""
        return self.node.other_nodes()

    @property
    def owners(self) -> Owners | None:
        """Reaches the nodes that serve virtual hosts which are not on this one; None for a node alone."""
        return self.node.owners

    async def forget_node(self, name: str) -> None:
        """Remove a node that does not live from the cluster."""
        await self.node.forget_node(name)

    def tick(self) -> None:
        """Move the clock."""
        self.node.clock.tick()

    def touch(self) -> None:
        """Send the output of connections."""
        self.node.edge.touch()

    def settled(self) -> Awaitable[None]:
        """Wait until all that was changed is durable."""
        return self.node.edge.settled()

    def ended(self, job: Job) -> Awaitable[None]:
        """Wait until a job has ended."""
        return self.node.edge.ended(job)

    def listeners(self) -> list[Listener]:
        """All listeners, also those that are suspended."""
        return self.node.listeners()

    def expiring(self, within_s: float) -> list[Expiring]:
        """The listeners whose certificates expire within that time."""
        return self.node.expiring_certificates(within_s)

    def stop(self) -> None:
        """End the process."""
        self.node.stopping.set()

    # --- listeners

    def suspend_listeners(self) -> None:
        """Accept no AMQP connections; those that there are stay."""
        node = self.node
        node.suspended += node.amqp_listeners()
        node.close_listeners()

    async def resume_listeners(self) -> None:
        """Accept them again. Raises `OSError`."""
        node = self.node
        suspended, node.suspended = node.suspended, []
        for each in suspended:
            if each.tls is None:
                await node.listen(each.ip_address, each.port)
            else:
                node.listen_tls(each.ip_address, each.port)

    # --- plugins

    def plugins(self) -> list[str]:
        """RabbitMQ's names of the plugins whose work is done here."""
        return list(self.node.plugins)

    def lacking_plugins(self) -> list[str]:
        """The plugins that are enabled and not there."""
        return sorted(self.node.lacking)

    async def enable_plugin(self, name: str) -> None:
        """Do the work of a plugin from now on. Raises `OSError`."""
        if name == EVENT_EXCHANGE_PLUGIN:
            startup.enable_events(self.broker)
        elif name in ON_DEMAND:
            self.node.on_demand.add(name)
        elif absent((name,)):
            self.node.lacking.add(name)
        else:
            await self._restart_http(self._on() | {name})
        self.node.note_plugins()

    async def disable_plugin(self, name: str) -> None:
        """Do it no longer."""
        if name == EVENT_EXCHANGE_PLUGIN:
            startup.disable_events(self.broker)
        elif name in ON_DEMAND:
            self.node.on_demand.discard(name)
        elif absent((name,)):
            self.node.lacking.discard(name)
        else:
            await self._restart_http(self._on() - {name})
        self.node.note_plugins()

    def keep_plugins(self, choose: Callable[[Iterable[str]], set[str]]) -> list[str]:
        """Write the enabled plugins into their file, if there is one; returns what was in it."""
        path = self.node.settings.plugins.enabled_file
        if not path:
            return []
        from leveret.environment import enabled_plugins  # seldom

        before: list[str] = []
        try:
            before = enabled_plugins(Path(path))
            Path(path).write_text(as_file(sorted(choose(before))), "utf-8")
        except (OSError, ConfigError) as error:
            log.warning("The enabled plugins were not written to %s: %s", path, error)
        return before

    def kept_plugins(self) -> list[str]:
        """What is in the file of enabled plugins; nothing if there is none, or one that cannot be read."""
        path = self.node.settings.plugins.enabled_file
        if not path:
            return []
        from leveret.environment import enabled_plugins  # seldom

        try:
            return enabled_plugins(Path(path))
        except (OSError, ConfigError):
            return []

    def _on(self) -> set[str]:
        """The plugins with HTTP listeners that are on."""
        return {name for name in self.node.plugins if name in _LISTENERS}

    def _note_ports(self) -> None:
        """Keep the ports, so that the same ones are used again."""
        found = self.node.http.listeners() if self.node.http is not None else []
        self._ports |= {listener.protocol: listener.port for listener in found}

    async def _restart_http(self, on: set[str]) -> None:
        """Have the HTTP listeners of these plugins only."""
        self._note_ports()
        if self.node.http is not None:
            await self.node.http.stop()
        self.node.start_http(self._settings(on))

    def _settings(self, on: set[str]) -> Settings:
        """The settings with the ports of these plugins."""
        settings = self.node.settings
        http, https, metrics, secure_metrics = (
            self._port(protocol, name in on, port)
            for name, protocol, port in (
                ("rabbitmq_management", "http", settings.server.http_port),
                ("rabbitmq_management", "https", settings.management_tls.port),
                ("rabbitmq_prometheus", "http/prometheus", settings.server.prometheus_port),
                ("rabbitmq_prometheus", "https/prometheus", settings.prometheus_tls.port),
            )
        )
        replace = msgspec.structs.replace
        return replace(
            settings,
            server=replace(settings.server, http_port=http, prometheus_port=metrics),
            management_tls=replace(settings.management_tls, port=https),
            prometheus_tls=replace(settings.prometheus_tls, port=secure_metrics),
        )

    def _port(self, protocol: str, on: bool, configured: int) -> int:
        if not on:
            return -1
        if protocol in self._ports or configured >= 0:
            return self._ports.get(protocol, configured)
        return _PORTS.get(protocol, -1)

    # --- the application

    async def stop_application(self) -> None:
        """Close all listeners and connections; what is durable stays."""
        node = self.node
        if not node.running:
            return
        node.running = False
        log.info("RabbitMQ is asked to stop...")
        self.suspend_listeners()
        self._note_ports()
        self._plugins = self._on()
        if node.http is not None:
            await node.http.stop()
            node.http = None
        node.monitor.stop()
        node.clock.tick()
        self.broker.shut_connections(_SHUTDOWN)
        node.edge.touch()
        await node.disconnect()
        for vhost in list(self.broker.vhosts.values()):
            await self._forget_transient(vhost)
        log.info("Successfully stopped RabbitMQ and its dependencies")

    async def _forget_transient(self, vhost: VirtualHost) -> None:
        """Delete what does not survive a restart."""
        for queue in [each for each in vhost.queues.values() if not each.durable]:
            await self._repeated(
                lambda name=queue.name: operations.delete_queue(vhost, INTERNAL_CALLER, name)
            )
        for exchange in [each for each in vhost.exchanges.values() if not each.durable]:
            await self._repeated(
                lambda name=exchange.name: operations.delete_exchange(vhost, INTERNAL_CALLER, name)
            )

    async def _repeated(self, operation: object) -> None:
        """Call an operation; again when the job that it must wait for has ended."""
        assert callable(operation)
        while True:
            self.tick()
            try:
                found = operation()
            except Suspended as waiting:
                await self.ended(waiting.job)
                continue
            except AmqpError as error:
                log.warning("%s", error.explanation)
                return
            if isinstance(found, Job) and not found.done:
                await self.ended(found)
            return

    async def start_application(self) -> None:
        """Serve clients again. Raises `OSError`, `DefinitionsError`."""
        node = self.node
        if node.running:
            return
        node.booting = True
        try:
            self.tick()
            if not self.broker.vhosts:
                node.fill(restored=False)
            node.monitor.start()
            await self.resume_listeners()
            node.start_http(self._settings(self._plugins))
            node.note_plugins()
            node.running = True
        finally:
            node.booting = False
        node.log_startup()

    async def reset(self) -> None:
        """Delete everything, as before the first start."""
        broker = self.broker
        for vhost in list(broker.vhosts.values()):
            if vhost.protected:
                operations.protect_vhost(vhost, INTERNAL_CALLER, False)
            await self._repeated(
                lambda name=vhost.name: operations.delete_vhost(broker, INTERNAL_CALLER, name)
            )
            if vhost.deletion is not None and not vhost.deletion.done:
                await self.ended(vhost.deletion)
        for user in list(broker.access.users):
            operations.delete_user(broker, INTERNAL_CALLER, user.name)
        for name in list(broker.global_parameters):
            broker.clear_global_parameter(name)
        fresh = parameters.initial(
            broker.settings.server.cluster_name,
            broker.random_octets,
            tags=broker.settings.server.cluster_tags if broker.profile.api.cluster_tags_shown else None,
        )
        for name, value in fresh.items():
            broker.set_global_parameter(name, value)
        log.info("The node was reset: all data is deleted")
