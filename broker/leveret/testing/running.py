"""The broker's thread, as the parts see it that run there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from leveret.engine.broker import Broker as Engine
    from leveret.server.sockets import Edge
    from leveret.testing.acceptor import Acceptor
    from leveret.testing.event_loop import BrokerLoop
    from leveret.testing.message_clock import MessageClock
    from leveret.testing.real_time import RealClock


class RunningNode(Protocol):
    """A node that runs: see `EmbeddedNode`."""

    loop: BrokerLoop
    engine: Engine
    edge: Edge
    message_clock: MessageClock
    link_clock: RealClock
    acceptors: list[Acceptor]

    def wake(self) -> None:
        """Have the loop make a turn, so that everything that waits looks again; from any thread."""

    async def until(self, check: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `check` returns True, asked now and after each turn of the loop. Returns False after `timeout_s`
        seconds."""
