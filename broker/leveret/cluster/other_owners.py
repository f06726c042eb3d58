"""How the HTTP API and commands reach the nodes that serve other virtual hosts (`management/owners.py: Owners`)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from weakref import WeakSet

from leveret.cluster.peers import MOVE, NOBODY, Call, PeerRefused, dial
from leveret.cluster.unit import what_to_do
from leveret.management.owners import Damage, MoveRefused, NodeState, Placement, VhostState
from leveret.server.proxy_protocol import Origin

if TYPE_CHECKING:
    from leveret.cluster.peer_tls import PeerTls
    from leveret.cluster.units import Units

log = logging.getLogger("leveret")

#: Seconds for which somebody waits until a virtual host is served.
SERVED_TIMEOUT_S = 10.0

#: States of nodes that live and take nothing over.
MAINTENANCE = "under maintenance"
DISK_FULL = "disk full"

#: Seconds within which virtual hosts are moved.
MOVE_TIMEOUT_S = 60.0

#: The origin of requests that this node passes on: it has checked where the client is.
_LOCAL = Origin("127.0.0.1", 0, "127.0.0.1", 0)


class OtherOwners:
    """`units`: the virtual hosts. `secret`, `tls`: of calls between nodes."""

    def __init__(self, units: Units, secret: bytes, tls: PeerTls | None) -> None:
        self.units = units
        self.member = units.member
        self.secret = secret
        self.tls = tls
        self._calls: dict[str, WeakSet[asyncio.Transport]] = {}

    def of(self, vhost: str) -> str | None:
        """Return the node that serves a virtual host elsewhere now, or None."""
        owner = self.units.owner(vhost)
        return owner if owner not in ("", self.member.name) else None

    def names(self) -> list[str]:
        """Return all other living nodes, sorted."""
        living = self.member.view.living(self.member.time.now())
        return [name for name in living if name != self.member.name]

    def damage(self, vhost: str) -> Damage | None:
        """Return what is known of a virtual host that stays closed because it is damaged."""
        node, reason = self.units.damage(vhost)
        return Damage(vhost, node, reason, what_to_do(vhost)) if node else None

    async def reopen(self, vhost: str) -> None:
        """Have the node that keeps a damaged virtual host closed try again. Raises `TimeoutError`, OSError."""
        node, _ = self.units.damage(vhost)
        if node:
            async with asyncio.timeout(MOVE_TIMEOUT_S):
                await self._reopen(vhost, node, node)

    async def _reopen(self, vhost: str, node: str, target: str) -> None:
        """Have a node try again that another one, or the same, keeps closed. Raises OSError."""
        before = self.units.revision(vhost)
        await self.ask_to_move(vhost, node, target)
        while self.units.revision(vhost) == before:
            await self.member.changed()
        while vhost in self.units.units and not self.units.owner(vhost) and not self.units.damage(vhost)[0]:
            await self.member.changed()

    async def served(self, vhost: str) -> None:
        """Return when some node serves a virtual host, or it is deleted. Raises `TimeoutError`, also for one that is
        damaged."""
        known = False  # one that is created in this moment is not there yet
        async with asyncio.timeout(SERVED_TIMEOUT_S):
            while not self.units.owner(vhost):
                there = vhost in self.units.units
                if known and not there:
                    return
                known = there
                if self.units.damage(vhost)[0]:
                    raise TimeoutError
                await self.member.changed()

    def reset_dead(self) -> None:
        """End the calls of nodes that have died: one that hangs would keep those who wait for its answer."""
        now = self.member.time.now()
        for node in [name for name in self._calls if not self.member.view.is_alive(name, now)]:
            for transport in self._calls.pop(node):
                transport.abort()

    async def rebalance(self) -> None:
        """Spread the virtual hosts evenly over the nodes, as far as that can be done in some time."""
        moves = self.units.moves()
        try:
            async with asyncio.timeout(MOVE_TIMEOUT_S):
                await asyncio.gather(*(self._move(*one) for one in moves))
        except TimeoutError:
            log.warning("cluster: not all virtual hosts could be moved within %d s", MOVE_TIMEOUT_S)

    def placement(self) -> Placement:
        """Return which node has which virtual host."""
        vhosts = [self._vhost_state(name) for name in sorted(self.units.units)]
        names = sorted({*self.member.view.nodes, self.member.name})
        nodes = [
            NodeState(
                name,
                self._node_state(name),
                [one.name for one in vhosts if one.node == name and not one.reason],
            )
            for name in names
        ]
        return Placement(nodes, vhosts)

    def _node_state(self, name: str) -> str:
        member, view = self.member, self.member.view
        if name == member.name:
            drained, full = member.drained or member.stopped, member.full
        elif not view.is_alive(name, member.time.now()):
            return "not running"
        else:
            drained, full = view.nodes[name].record.drained, view.nodes[name].record.full
        return MAINTENANCE if drained else DISK_FULL if full else "running"

    def _vhost_state(self, vhost: str) -> VhostState:
        node, reason = self.units.damage(vhost)
        if node:
            return VhostState(vhost, node, "damaged", reason)
        owner = self.units.owner(vhost)
        return VhostState(vhost, owner, "running" if owner else "on no node at the moment", "")

    def _check_target(self, target: str) -> None:
        """Raises `MoveRefused` if a node takes no virtual hosts over."""
        names = sorted({*self.member.view.nodes, self.member.name})
        if target not in names:
            raise MoveRefused(
                f"there is no node {target} in the cluster; its nodes: {', '.join(names)}", unknown=True
            )
        state = self._node_state(target)
        if state == MAINTENANCE:
            raise MoveRefused(
                f"node {target} is under maintenance, or its application is stopped, and takes no virtual hosts over: "
                f"rabbitmq-upgrade revive, or rabbitmqctl start_app, ends that"
            )
        if state == DISK_FULL:
            raise MoveRefused(
                f"the disk of node {target} is full: it takes no virtual hosts over until there is room"
            )
        if state != "running":
            raise MoveRefused(f"node {target} is not running")

    async def move(self, vhost: str, target: str) -> str:
        """Move a virtual host to a node; one that is damaged is tried there. Returns the one that had it, once the new
        one serves it. Raises `MoveRefused`, OSError, `TimeoutError`."""
        self._check_target(target)
        async with asyncio.timeout(MOVE_TIMEOUT_S):
            before = await self.units.served(vhost)
            if before and before != target:
                await self._move_from(vhost, before, target)
            elif not before:
                before, _ = self.units.damage(vhost)
                if before:
                    await self._reopen(vhost, before, target)
            if vhost not in self.units.units:
                raise MoveRefused(f"virtual host '{vhost}' was deleted meanwhile", unknown=True)
            damage = self.damage(vhost)
            if damage is not None:
                raise MoveRefused(damage.text)
            owner = self.units.owner(vhost)
            if owner != target:
                raise MoveRefused(
                    f"virtual host '{vhost}' has gone to node {owner}: node {target} could not serve it"
                )
        return before

    async def _move(self, vhost: str, owner: str, target: str) -> None:
        """Move a virtual host; returns when its new owner serves it."""
        try:
            await self._move_from(vhost, owner, target)
        except OSError as error:
            log.warning("cluster: node '%s' does not hand virtual host '%s' over: %s", owner, vhost, error)

    async def _move_from(self, vhost: str, owner: str, target: str) -> None:
        """Move a virtual host; returns when a node serves it after that, or keeps it closed. Raises OSError."""
        before = self.units.revision(vhost)
        await self.ask_to_move(vhost, owner, target)
        while vhost in self.units.units and not self.units.damage(vhost)[0]:
            found = self.units.owner(vhost)
            if found and (found != owner or self.units.revision(vhost) != before):
                return
            await self.member.changed()

    async def ask_to_move(self, vhost: str, owner: str, target: str) -> None:
        """Have the owner of a virtual host hand it over to a node; returns when it has. Raises OSError."""
        if owner == self.member.name:
            await self.units.move(vhost, target)
            return
        address = self.member.view.nodes[owner].record.address
        try:
            served = await dial(address, self.secret, Call(MOVE, NOBODY, vhost, target=target), self.tls)
        except PeerRefused as error:
            raise ConnectionRefusedError(str(error)) from error
        served.transport.abort()

    async def call(self, node: str, service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to a service of another node. Raises OSError, `TimeoutError`."""
        seen = self.member.view.nodes.get(node)
        if seen is None:
            raise ConnectionRefusedError(f"there is no node {node}")
        try:
            served = await dial(seen.record.address, self.secret, Call(service, _LOCAL), self.tls)
        except PeerRefused as error:
            raise ConnectionRefusedError(str(error)) from error
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._calls.setdefault(node, WeakSet()).add(served.transport)
        served.begin(protocol)
        return reader, asyncio.StreamWriter(served.transport, protocol, reader, loop)
