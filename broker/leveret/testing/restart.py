"""A node that stops and starts: clients are closed, the port refuses for a while, what is durable is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from leveret.testing import snapshots
from leveret.testing.errors import Unsupported
from leveret.testing.node import Wait

if TYPE_CHECKING:
    from leveret.testing.scope import Scope

#: Time between two looks at the sockets that are being closed, seconds.
LOOK_S = 0.005


def wait(scope: Scope, keep: bool, down: float) -> Wait[Literal[True]]:
    """Return a wait whose first check stops the node, and whose last one starts it, `down` seconds later. Raises
    `Unsupported` for a view."""
    check_whole(scope)
    node = scope.node
    stopped_at: list[float] = []

    def check() -> Literal[True] | None:
        if not stopped_at:
            stopped_at.append(node.loop.time())
            for acceptor in node.acceptors:
                acceptor.refuse()
            kept = snapshots.take(scope)
            node.edge.tick()
            snapshots.restart(scope, kept, keep)
            node.edge.touch()
            node.loop.call_later(max(down, 0), _nothing)
            return None
        _end_sockets(scope)
        if node.loop.time() < stopped_at[0] + down or node.edge.sockets:
            node.loop.call_later(LOOK_S, _nothing)  # a client that does not read makes no turn of the loop
            return None
        for acceptor in node.acceptors:
            acceptor.listen()
        return True

    return Wait(check, lambda: AssertionError("unreachable: this wait has no timeout"), None)


def check_whole(scope: Scope) -> None:
    """Raise `Unsupported` for a view."""
    if scope.only is not None:
        raise Unsupported("a virtual host does not restart: call restart() of the whole broker")


def _end_sockets(scope: Scope) -> None:
    """Close the sockets of clients that have got connection.close, as a node does that does not wait for the answer."""
    for each in list(scope.node.edge.sockets.values()):
        if not each.connection.outbox.size and not each.transport.is_closing():
            each.transport.close()


def _nothing() -> None:
    """Make the loop turn."""
