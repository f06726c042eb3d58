"""The port to the other nodes of a cluster, which serve the virtual hosts that are not on this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from leveret.wire.tables import Table

if TYPE_CHECKING:
    from leveret.engine.clients import ClientConnection
    from leveret.work import Job


class Event(NamedTuple):
    """One event of the event exchange: its name, its headers, and when it happened, ms since the epoch."""

    name: str
    headers: Table
    at: int


class UserTotals(NamedTuple):
    """What nodes have of a user."""

    connections: int
    channels: int


class OtherNodes(Protocol):
    """Passes clients on to the nodes that serve what they open."""

    @property
    def passed_on(self) -> int:
        """How many clients of this node others serve."""

    def publish_events(self, vhost: str, events: Sequence[Event]) -> None:
        """Have the node that serves a virtual host publish events of this one in its event exchange, soon and in
        order."""

    def reach(self, connection: ClientConnection, vhost: str) -> Job:
        """Begin to pass a client on that opens a virtual host. Returns the job that the client waits for.

        Nobody may serve it yet. The job ends when it is worth looking here again: then connection.open is repeated. If
        the client is passed on, nobody who waits for it is called: the octets that were not handled go to the other
        node, from connection.open on. Raises `AmqpError` (541) for one that stays closed.
        """

    def totals(self, connection: ClientConnection, user: str) -> UserTotals:
        """Return what all other nodes have of a user, as they have said since this was called first for an operation of
        a connection. Raises `Suspended` until they have."""
