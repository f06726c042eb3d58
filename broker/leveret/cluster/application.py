"""A node of a cluster as its commands see it: other nodes know of its maintenance, and take over what it had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from leveret.server.application import Application
from leveret.server.log import log

if TYPE_CHECKING:
    from leveret.cluster.member import Member
    from leveret.server.application import Served

#: Why clients are closed when their virtual host goes to another node.
STOPPED = "broker forced connection closure with reason 'shutdown'"


class Clustered(Protocol):
    """What is used of the node. `listening`: it has accepted AMQP clients since it was started."""

    member: Member
    listening: bool

    async def listen(self) -> None:
        """Accept AMQP clients. Raises `OSError`."""

    def drain(self) -> None:
        """Hand over what is here, soon, if another node can take it."""

    async def hand_over(self, reason: str) -> None:
        """Hand over what is here."""


class ClusterApplication(Application):
    """`cluster`: the node as a member of the cluster."""

    def __init__(self, node: Served, cluster: Clustered) -> None:
        self.cluster = cluster
        drained = cluster.member.drained
        super().__init__(node)
        cluster.member.drained = drained

    @property
    def maintenance(self) -> bool:
        """Whether the node is under maintenance."""
        return self.cluster.member.drained

    @maintenance.setter
    def maintenance(self, drained: bool) -> None:
        if drained != self.cluster.member.drained:
            self.cluster.member.drained = drained
            if drained:
                self.cluster.drain()

    async def resume_listeners(self) -> None:
        """Accept AMQP connections again; for the first time, if the node was under maintenance when it started. Raises
        `OSError`."""
        if self.cluster.listening:
            await super().resume_listeners()
        else:
            await self.cluster.listen()

    async def stop_application(self) -> None:
        """Hand over what is here, close all listeners and connections."""
        self.cluster.member.stopped = True
        await self.cluster.hand_over(STOPPED)
        await super().stop_application()

    async def reset(self) -> None:
        """Keep nothing here. What is in the cluster stays there, as when a node of RabbitMQ leaves it."""
        await self.cluster.hand_over(STOPPED)
        log.info("The node was reset: what it had is on the other nodes")

    async def start_application(self) -> None:
        """Serve clients again. Raises `OSError`."""
        self.cluster.member.stopped = False
        await super().start_application()
