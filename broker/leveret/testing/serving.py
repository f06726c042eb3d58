"""`leveret serve --testing`: a broker of the toolkit that serves tests of any language until a signal stops it.

Without a data directory it keeps everything in memory: what a test needs of a restart is there (`restart`), and nothing
is left behind. It has one AMQP listener, for whose sockets faults are; settings that ask for another one are refused.
"""

from __future__ import annotations

import logging
import signal
import socket
from contextlib import closing
from types import FrameType
from typing import TYPE_CHECKING

from leveret.server import load_definitions
from leveret.server.listeners import shown
from leveret.settings import ConfigError
from leveret.testing.broker import Broker

if TYPE_CHECKING:
    from leveret.settings import Settings

log = logging.getLogger("leveret")


def check(settings: Settings) -> None:
    """Raise `ConfigError` for a listener that a broker for tests does not have."""
    server = settings.server
    refused = {
        "tls.port": settings.tls.port >= 0,
        "management_tls.port": settings.management_tls.port >= 0,
        "prometheus_tls.port": settings.prometheus_tls.port >= 0,
        "server.listeners": bool(server.listeners),
        "server.host": len(server.host) > 1,
        "server.port": server.port < 0,
        "server.proxy_protocol": server.proxy_protocol,
    }
    for name, wanted in refused.items():
        if wanted:
            problem = "a broker for tests (testing.enabled, --testing) has one AMQP listener, without TLS"
            raise ConfigError("settings", name, problem, "leave it out, or serve without --testing")


def broker_of(settings: Settings) -> Broker:
    """Return the broker that these settings ask for. Raises `ConfigError`, and what `Broker` raises."""
    check(settings)
    server = settings.server
    http = server.http_port if server.http_port > 0 else server.http_port == 0
    toxiproxy = settings.testing.toxiproxy_port
    return Broker(
        host=server.host[0] if server.host else "::",
        port=max(0, server.port),
        http=http,
        toxiproxy=toxiproxy if toxiproxy > 0 else toxiproxy == 0,
        settings=settings,
        profile=settings.profile.version,
        vhost=settings.access.default_vhost,
    )


class StopSignal:
    """Waits for SIGTERM or SIGINT, unless they are ignored.

    A signal that comes just before a thread waits for a lock or an event does not wake it. The octet that the
    interpreter writes for each signal stays until it is read.
    """

    def __init__(self) -> None:
        self.came = False
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        signal.set_wakeup_fd(self._writing.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._come)

    def _come(self, number: int, frame: FrameType | None) -> None:
        self.came = True

    def wait(self) -> None:
        """Wait until one has come."""
        while not self.came:
            self._reading.recv(1)

    def close(self) -> None:
        """Let go of the sockets."""
        signal.set_wakeup_fd(-1)
        self._reading.close()
        self._writing.close()


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `ConfigError`, and `OSError` if an address is in use."""
    broker = broker_of(settings)
    path = settings.server.load_definitions
    if path:
        broker._node.seeds.append(lambda engine: load_definitions.load(engine, path))
    with closing(StopSignal()) as stop:
        broker.start()
        try:
            if path and broker._node.restored:  # RabbitMQ imports them at each start
                broker._node.call(lambda: load_definitions.load(broker._node.engine, path))
            log.info("started TCP listener on %s", shown((broker.host, broker.port)))
            if settings.testing.toxiproxy_port >= 0:
                log.info("started toxiproxy's API on %s", broker.toxiproxy_url)
            log.info("Server startup complete; 0 plugins started.")
            stop.wait()
        finally:
            broker.stop()
            log.info("Leveret has stopped")
