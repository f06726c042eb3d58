"""A Leveret to play command lines on: a node in a thread of this process."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance import rabbitmq
from conformance.commands.command import Stage
from conformance.commands.players import LeveretPlayer

#: How long a node may take to start and to stop, seconds.
PATIENCE_S = 30.0

#: As long as that of the RabbitMQ whose answers are recorded, because tables are as wide as names.
NAME = "rabbit43s2700@localhost"


@contextmanager
def leveret() -> Iterator[Stage]:
    """A node with a store, and without any data."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = os.path.join(folder, "run")
        before = os.environ.get("LEVERET_RUN_DIR")
        os.environ["LEVERET_RUN_DIR"] = run_dir
        running = _Running(folder)
        try:
            names = running.start()
            plugins = {"RABBITMQ_ENABLED_PLUGINS_FILE": running.plugins_file}
            environment = {**os.environ, **plugins, "RABBITMQ_NODENAME": NAME}
            yield Stage(
                LeveretPlayer(environment), int(names["{amqp}"]), {**names, "{tmp}": folder, "{node}": NAME}
            )
        finally:
            running.stop()
            if before is None:
                del os.environ["LEVERET_RUN_DIR"]
            else:
                os.environ["LEVERET_RUN_DIR"] = before


def _free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, and that the system gives to no client: the node stops and listens again."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_768)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


class _Running:
    """A node in a thread."""

    def __init__(self, folder: str) -> None:
        self.data_dir = os.path.join(folder, "data")
        self.plugins_file = os.path.join(folder, "enabled_plugins")
        self.ready = threading.Event()
        self.names: dict[str, str] = {}
        self.error: Exception | None = None
        self.stop_soon = lambda: None
        self.log = logging.getLogger("leveret")
        self.logged: tuple[list[logging.Handler], bool, int] = ([], True, logging.NOTSET)
        self.thread = threading.Thread(target=self._run, name="leveret", daemon=True)

    def start(self) -> dict[str, str]:
        """Start it; returns what is different on each broker."""
        self.logged = self.log.handlers[:], self.log.propagate, self.log.level
        self.log.handlers[:], self.log.propagate = [logging.NullHandler()], False
        self.log.setLevel(logging.INFO)
        self._enable_plugins()
        self.thread.start()
        if not self.ready.wait(PATIENCE_S) or self.error is not None:
            raise RuntimeError("the node has not started") from self.error
        return self.names

    def _enable_plugins(self) -> None:
        from leveret.plugin_names import as_file

        Path(self.plugins_file).write_text(as_file(rabbitmq.PLUGINS))

    def stop(self) -> None:
        """Stop it."""
        self.stop_soon()
        self.thread.join(PATIENCE_S)
        self.log.handlers[:], self.log.propagate, level = self.logged
        self.log.setLevel(level)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self.error = error
            self.ready.set()

    async def _serve(self) -> None:
        from leveret.config import Settings
        from leveret.server.node import Node
        from leveret.settings import Plugins, Server, Store

        amqp, http, prometheus = _free_ports(3)
        server = Server(host=("127.0.0.1",), port=amqp, http_port=http, prometheus_port=prometheus, node=NAME)
        settings = Settings(
            server=server,
            store=Store(engine="disk", data_dir=self.data_dir),
            plugins=Plugins(
                event_exchange=True, enabled=tuple(rabbitmq.PLUGINS), enabled_file=self.plugins_file
            ),
        )
        node = Node(settings)
        await node.start()
        loop = asyncio.get_running_loop()
        self.stop_soon = lambda: loop.call_soon_threadsafe(node.stopping.set)
        ports = {listener.protocol: str(listener.port) for listener in node.listeners()}
        self.names = {
            "{amqp}": ports["amqp"], "{http}": ports["http"], "{prometheus}": ports["http/prometheus"],
            "{dist}": "25672", "{os_pid}": str(os.getpid()),
        }  # fmt: skip
        self.ready.set()
        await node.run()
