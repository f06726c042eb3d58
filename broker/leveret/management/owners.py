"""The port to the other nodes of a cluster, each of which serves virtual hosts.

Whatever names a virtual host that is elsewhere is passed on to its owner (`passing.py`, `control/passing.py`); lists
and totals ask all nodes for their part (`merging.py`). A node alone has none of this.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from leveret.engine.broker import Broker

#: The header of a request that another node has passed on: it is answered with what is on this node, and not passed on
#: again. It decides nothing else: anybody can send it.
HOP = "X-Leveret-Hop"

#: Services of a node: its HTTP API, and what its control socket speaks.
HTTP, CONTROL = "http", "control"


class NodeDownError(Exception):
    """A node that cannot be reached: nothing was asked of it."""

    def __init__(self, node: str) -> None:
        super().__init__(f"node {node} cannot be reached at the moment")


class NodeLostError(Exception):
    """A node that has ended before it has answered: what was asked of it may be done, or not."""

    def __init__(self, node: str) -> None:
        super().__init__(f"node {node} has gone before it has answered")


class Damage(NamedTuple):
    """A virtual host that cannot be restored. `node`: keeps it closed; `reason`: why; `advice`: what can be done."""

    vhost: str
    node: str
    reason: str
    advice: str

    @property
    def text(self) -> str:
        """All of that."""
        return (
            f"virtual host '{self.vhost}' is damaged, and node {self.node} keeps it closed: {self.reason}\n"
            f"{self.advice}"
        )


class NodeState(NamedTuple):
    """A node of the cluster. `state`: in words; `vhosts`: those that it serves."""

    name: str
    state: str
    vhosts: list[str]


class VhostState(NamedTuple):
    """A virtual host. `node`: has it, empty for none; `state`: in words; `reason`: why it is not served, or empty."""

    name: str
    node: str
    state: str
    reason: str


class Placement(NamedTuple):
    """All nodes and virtual hosts, sorted."""

    nodes: list[NodeState]
    vhosts: list[VhostState]


class MoveRefused(Exception):  # noqa: N818  named by what happened
    """A virtual host cannot be moved to a node. `unknown`: there is no such node, or no such virtual host any more."""

    def __init__(self, text: str, unknown: bool = False) -> None:
        super().__init__(text)
        self.unknown = unknown


class Owners(Protocol):
    """The nodes that serve the virtual hosts which are not on this one."""

    def of(self, vhost: str) -> str | None:
        """Return the name of the node that serves a virtual host elsewhere now; None if no node does at the moment."""

    def names(self) -> list[str]:
        """Return all other living nodes, sorted; each may serve virtual hosts."""

    def damage(self, vhost: str) -> Damage | None:
        """Return what is known of a virtual host that stays closed because it is damaged; None for any other one."""

    async def reopen(self, vhost: str) -> None:
        """Have the node that keeps a damaged virtual host closed try again; returns when it serves it, or has found it
        damaged again. Raises OSError, `TimeoutError`."""

    async def served(self, vhost: str) -> None:
        """Return when some node, perhaps this one, serves a virtual host, or when it is deleted. Raises `TimeoutError`
        after some seconds."""

    def placement(self) -> Placement:
        """Return which node has which virtual host."""

    async def move(self, vhost: str, target: str) -> str:
        """Move a virtual host to a node; returns the one that had it, once the new one serves it.

        Raises `MoveRefused`, OSError, `TimeoutError`.
        """

    async def rebalance(self) -> None:
        """Spread the virtual hosts evenly over the nodes; returns when they are served there, or after some time."""

    async def call(self, node: str, service: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection to a service of another node, which takes it for one from its own machine.

        Raises OSError, `TimeoutError`.
        """


def vhosts_down(broker: Broker, owners: Owners | None) -> list[str]:
    """Return the names of the virtual hosts that no node serves at the moment, sorted."""
    if owners is None:
        return []
    return [name for name in sorted(broker.elsewhere) if owners.of(name) is None]


def damage_of(broker: Broker, owners: Owners | None, vhost: str) -> Damage | None:
    """Return what is known of a virtual host that stays closed because it is damaged; None for any other one."""
    return owners.damage(vhost) if owners is not None and vhost in broker.elsewhere else None


def damages(broker: Broker, owners: Owners | None) -> list[Damage]:
    """Return the virtual hosts that stay closed because they are damaged, sorted by name."""
    names = sorted(broker.elsewhere)
    return [found for name in names if (found := damage_of(broker, owners, name)) is not None]
