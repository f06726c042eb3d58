"""The HTTP API of the toolkit's broker: it listens when its address is first asked for, and costs nothing before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine.auth_attempts import AuthAttempts
from leveret.engine.parameters import CLUSTER_ID
from leveret.engine.samples import Sampler
from leveret.engine.stats import Stats
from leveret.management.site import Listener, Site
from leveret.server import descriptors
from leveret.server.alarms import ResourceMonitor
from leveret.server.http_listeners import HttpListeners
from leveret.settings import Server, Settings
from leveret.store.files import Operations

if TYPE_CHECKING:
    from leveret.server.sockets import Edge

#: Resources by path below /api and method.
MoreRoutes = dict[str, dict[str, Callable[..., object]]]


def site_of(edge: Edge, amqp: Listener, more_routes: Callable[[], MoreRoutes] = dict) -> Site:
    """Return the port through which the HTTP API sees a broker; only in its thread. Memory and disk are shown, and
    never raise an alarm."""
    engine = edge.broker
    settings = engine.settings
    stats = Stats(engine)
    engine.observers.add(stats)
    sampler = Sampler(stats, settings.server.rates_mode == "detailed")
    engine.observers.add(sampler)
    attempts = AuthAttempts(settings.access.track_auth_attempt_source)
    engine.observers.add(attempts)
    monitor = ResourceMonitor(edge)
    site = Site(
        engine,
        stats,
        sampler,
        node_name=settings.server.node_name,
        cluster_id=str(engine.global_parameters[CLUSTER_ID]),
        tick=edge.tick,
        touch=edge.touch,
        settled=edge.settled,
        ended=edge.ended,
        listeners=lambda: [amqp],
        memory=monitor.memory,
        disk=monitor.disk,
        descriptors=descriptors.descriptors,
        file_operations=Operations,
        attempts=attempts,
        plugins=lambda: ["rabbitmq_management"],
        started_at=engine.started_at,
        more_routes=more_routes,
    )
    sampler.watch(site.node_name, site.used)
    sampler.start()
    return site


def start(
    edge: Edge, amqp: Listener, port: int, more_routes: Callable[[], MoreRoutes] = dict
) -> tuple[HttpListeners, int]:
    """Listen where AMQP does, on a port; returns the listeners and the port. Only in the broker's thread. Raises
    `OSError`."""
    server = Server(host=(amqp.ip_address,), http_port=port, prometheus_port=-1)
    http = HttpListeners(site_of(edge, amqp, more_routes), Settings(server=server), freezes=False)
    http.start()
    return http, int(http.api[0].sock.getsockname()[1])
