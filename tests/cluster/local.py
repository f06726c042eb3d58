"""Nodes of a cluster in this process, with real sockets, on storage in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from msgspec.structs import replace

from leveret.cluster.contact import TABLES, Contact
from leveret.cluster.node import ClusterNode
from leveret.cluster.ports import Unavailable
from leveret.config import Settings
from leveret.settings import Cluster, Memory, Server, Store
from leveret.testing.replica import MemoryConnection, MemoryStorage, Process
from tests.hang import settled

SETTINGS = Settings(
    server=Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=-1),
    cluster=Cluster(
        nats=("nats://nowhere",),
        secret="only for tests",
        peer_host="127.0.0.1",
        peer_port=0,
        advertise="127.0.0.1",
        sync="interval",
        lease=15,
    ),
)


class LocalNode(ClusterNode):
    """One node. `process`: its connection to the storage, which can be cut off; `given_up`: why it has given up."""

    def __init__(self, settings: Settings, storage: MemoryStorage) -> None:
        self.process = Process()
        self.memory = MemoryConnection(storage, self.process)
        self.given_up = ""
        super().__init__(settings, self._contact)
        self.task = asyncio.ensure_future(self.run())

    async def _contact(self) -> Contact:
        nodes, owners, directory = [await self.memory.open_table(name) for name in TABLES]
        return Contact(self.memory, nodes, owners, directory, self._nothing_more)

    async def _nothing_more(self) -> Any:
        raise Unavailable("one connection is enough")

    def give_up(self, reason: str) -> None:
        """Note that it has given up."""
        self.given_up = reason

    @property
    def port(self) -> int:
        """Where AMQP clients connect."""
        assert self.node is not None
        return int(self.node.servers[0].sockets[0].getsockname()[1])

    @property
    def http_port(self) -> int:
        """Where the HTTP API is."""
        assert self.node is not None
        return next(one.port for one in self.node.listeners() if one.protocol == "http")

    @property
    def vhosts(self) -> list[str]:
        """The virtual hosts that it serves."""
        return sorted(unit.name for unit in self.units.here)

    async def running(self) -> LocalNode:
        """Wait until it serves."""
        await settled(lambda: self.task.done() or (self.node is not None and self.node.running))
        if self.task.done():
            self.task.result()
        return self

    async def stop(self) -> None:
        """Have it stop in peace."""
        self.stopping.set()
        await self.task

    async def api(self, method: str, path: str, content: object = None, user: str = "guest") -> Any:
        """Call the HTTP API; returns status and document."""
        url = f"http://127.0.0.1:{self.http_port}/api/{path}"
        headers = {"Authorization": aiohttp.encode_basic_auth(user, user)}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=content) as answer,
        ):
            text = await answer.text()
            return answer.status, await answer.json(content_type=None) if text else None


class LocalNodes:
    """A cluster. `nodes`: those that were started, in order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.storage = MemoryStorage()
        self.nodes: list[LocalNode] = []

    async def start(self, count: int = 1, change: Callable[[Settings], Settings] = lambda same: same) -> None:
        """Start more nodes, one after another."""
        for _ in range(count):
            await self._start(f"node{len(self.nodes) + 1}@localhost", change)

    async def start_with(self, count: int, vhost: str) -> None:
        """Start nodes, and create a virtual host; returns when it and the default one are served."""
        await self.start(count)
        await self.nodes[0].api("PUT", f"vhosts/{vhost}")
        await self.served("/", vhost)

    async def start_at_once(
        self, count: int, change: Callable[[Settings], Settings] = lambda same: same
    ) -> None:
        """Start more nodes at the same time."""
        first = len(self.nodes) + 1
        names = [f"node{number}@localhost" for number in range(first, first + count)]
        await asyncio.gather(*(self._start(name, change) for name in names))

    async def start_again(self, node: LocalNode) -> LocalNode:
        """Start a node that has stopped."""
        self.nodes.remove(node)
        return await self._start(node.name, lambda same: same)

    async def _start(self, name: str, change: Callable[[Settings], Settings]) -> LocalNode:
        path = self.directory / name
        settings = replace(
            SETTINGS,
            server=replace(SETTINGS.server, node=name, control_socket=str(self.directory / f"{name}.sock")),
            store=Store(data_dir=str(path)),
            memory=Memory(),
        )
        node = LocalNode(change(settings), self.storage)
        self.nodes.append(node)
        return await node.running()

    def owner(self, vhost: str) -> LocalNode:
        """The node that serves a virtual host."""
        return next(node for node in self.nodes if vhost in node.vhosts)

    def others(self, vhost: str) -> list[LocalNode]:
        """The nodes that do not."""
        return [node for node in self.nodes if vhost not in node.vhosts]

    async def served(self, *vhosts: str) -> None:
        """Wait until virtual hosts are served."""
        await settled(lambda: set(vhosts) <= {name for node in self.nodes for name in _vhosts(node)})

    async def stop(self) -> None:
        """Stop all nodes."""
        for node in self.nodes:
            if not node.task.done():
                await node.stop()


def _vhosts(node: LocalNode) -> list[str]:
    return node.vhosts if node.node is not None and node.node.running else []
