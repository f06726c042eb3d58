"""The part of a connection that its channels and consumers use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cython

from leveret.engine.actor import Actor
from leveret.engine.names import INTERNAL_USER
from leveret.session import states

if cython.compiled:
    from cython.cimports.leveret.session.output import Output
    from cython.cimports.leveret.wire.content import Header
else:
    from leveret.session.output import Output
    from leveret.wire.content import Header

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations import Caller
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.errors import AmqpError
    from leveret.queues.queue import Queue
    from leveret.session.confirms import Confirms
    from leveret.session.peer import Peer
    from leveret.work import Job, Steps


class ConnectionBase(Output):
    """What channels know of their connection: whose it is, and how to send something.

    `peer`: addresses of the socket. `actor`: user and name of the connection. `header`: scans content headers, one
    after another. `state`: see `states`. `user`, `vhost`: None before login and before connection.open.
    `capabilities`: those that the client has announced. `exclusive_queues`: by name, None if there was none yet.
    `caller`: the connection as the caller of operations, None before the first one.
    `unflushed`: confirms to be written at the end of the tick. `halted`: no further frame is handled for now, because
    the connection is blocked or in flow, waits for a job (`suspended`), has used its turn (`turn_over`), or its client
    does not read (`stuffed`).
    """

    def __init__(self, broker: Broker, peer: Peer, dirty: list[Output]) -> None:
        super().__init__(dirty)
        self.broker: Broker = broker
        self.peer: Peer = peer
        self.name: str = peer.name
        self.actor: Actor = Actor(INTERNAL_USER, peer.name)
        self.header: Header = Header()
        self.state: int = states.AWAITING_HEADER
        self.user: User | None = None
        self.vhost: VirtualHost | None = None
        self.capabilities: frozenset[str] = frozenset()
        self.exclusive_queues: dict[str, Queue] | None = None
        self.caller: Caller | None = None
        self.unflushed: list[Confirms] = []
        self.suspended: Job | None = None
        self.turn_over: bool = False
        self.halted: bool = False
        self.stuffed: bool = False

    def send(self, frame: bytes) -> None:
        """Put a whole frame into the outbox."""
        self.outbox.put(frame)
        self.answered()

    def answered(self) -> None:
        """Something was put into the outbox. If the client has not read too much already, handle no further frame until
        it has. Deliveries need no such check: they stop earlier (`Subscription.ready`)."""
        self.answers = True
        if not self.flush_scheduled:
            self.schedule_flush()
        if self.outbox.size > self.unread_limit:
            self.stuffed = True
            self.halted = True

    def suspend(self, job: Job) -> None:
        """Handle no further frame until a job has ended."""
        raise NotImplementedError

    def hold_back(self) -> None:
        """Handle no further frame until the store has caught up."""
        raise NotImplementedError

    def begin(self, steps: Steps, place: str) -> Job:
        """Begin a job that the connection waits for. What it raises is answered as what a frame raises."""
        raise NotImplementedError

    def serve_later(self, channel: Any) -> None:  # a `Channel`, whose module imports this one
        """Serve the blocked consumers of a channel in portions."""
        raise NotImplementedError

    def end_turn(self) -> None:
        """Handle no further frame in this turn."""
        self.turn_over = True
        self.halted = True

    @property
    def cancels_consumers(self) -> bool:
        """Whether the client understands basic.cancel (docs: consumer-cancel)."""
        return "consumer_cancel_notify" in self.capabilities

    def refuse(self, error: AmqpError) -> None:
        """Answer a violation of the protocol with channel.close or connection.close. Raises nothing."""
        raise NotImplementedError

    def fail(self, place: str, error: Exception) -> None:
        """Report an exception and end the connection. Raises nothing."""
        raise NotImplementedError

    def shut(self, error: AmqpError) -> None:
        """Close the connection with connection.close."""
        raise NotImplementedError
