"""Nodes of a cluster in this process, each with virtual hosts of its own, and without what a cluster does for that.

What a directory would tell all nodes is set on each by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from leveret.engine.vhost import VhostProperties
from leveret.management.owners import HTTP, Damage, Placement
from leveret.server.node import Node


class Nodes:
    """All nodes by name. `down`: those that refuse to be called."""

    def __init__(self) -> None:
        self.running: dict[str, Node] = {}
        self.down: set[str] = set()

    def add(self, node: Node) -> None:
        """Add a node, before it starts."""
        name = node.settings.server.node_name
        self.running[name] = node
        node.owners = Others(self, name)

    def move(self, vhost: str, properties: VhostProperties | None, *, to: Node) -> None:
        """Have all nodes but one know a virtual host that is there. `properties`: None for those that it has."""
        if properties is None:
            properties = VhostProperties.of(to.broker.vhosts[vhost])
        for node in self.running.values():
            if node is not to:
                node.broker.elsewhere[vhost] = properties

    def share_access(self, user: str, vhost: str) -> None:
        """Give a user all permissions in a virtual host, on all nodes."""
        for node in self.running.values():
            node.broker.access.set_permissions(user, vhost, ".*", ".*", ".*")


class Others:
    """The other nodes as one of them sees them. `claimant`: the one that takes a virtual host that no node has."""

    def __init__(self, nodes: Nodes, name: str) -> None:
        self.nodes = nodes
        self.name = name
        self.calls: list[tuple[str, str]] = []
        self.claimant: Node | None = None

    def _others(self) -> Mapping[str, Node]:
        return {name: node for name, node in self.nodes.running.items() if name != self.name}

    def of(self, vhost: str) -> str | None:
        """Return who has a virtual host."""
        return next((name for name, node in self._others().items() if vhost in node.broker.vhosts), None)

    def names(self) -> list[str]:
        """Return the names of the other nodes."""
        return sorted(self._others())

    def damage(self, vhost: str) -> Damage | None:
        """No virtual host is damaged."""
        return None

    async def reopen(self, vhost: str) -> None:
        """No virtual host is damaged."""

    def placement(self) -> Placement:
        """Tests of where virtual hosts are have real nodes."""
        raise NotImplementedError

    async def move(self, vhost: str, target: str) -> str:
        """Tests of moves have real nodes."""
        raise NotImplementedError

    async def served(self, vhost: str) -> None:
        """Have a node take a virtual host that none has."""
        node = self.claimant
        if node is not None and self.of(vhost) is None:
            node.broker.elsewhere[vhost] = self.nodes.running[self.name].broker.elsewhere[vhost]
            node.broker.adopt(vhost, None, lambda adopted: None)
        if not any(vhost in node.broker.vhosts for node in self.nodes.running.values()):
            raise TimeoutError

    async def call(self, node: str, service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a listener of a node."""
        self.calls.append((node, service))
        if node in self.nodes.down:
            raise ConnectionRefusedError
        called = self.nodes.running[node]
        if service == HTTP:
            port = next(one.port for one in called.listeners() if one.protocol == "http")
            return await asyncio.open_connection("127.0.0.1", port)
        return await asyncio.open_unix_connection(called.control.path)
