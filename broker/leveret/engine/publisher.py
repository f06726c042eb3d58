"""Publishing by the broker itself: dead letters, delayed messages, events, the firehose, replayed history.

Such a message has no channel that could answer an error. A queue that cannot take it does not get it, and that is
logged; the other queues get it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.errors import AmqpError
from leveret.queues.queue import Queue
from leveret.wire.properties import decode_properties

if TYPE_CHECKING:
    from collections.abc import Callable

    from leveret.faults import Faults
    from leveret.queues.context import VhostContext
    from leveret.queues.message import Destination, Message
    from leveret.routing.exchanges import Exchange
    from leveret.routing.router import Router
    from leveret.work import Steps


#: Queues that get a message at once; more get it in portions.
WIDE = 1024


class Publisher:
    """Routes and delivers what no channel publishes, in one virtual host."""

    def __init__(self, vhost: str, context: VhostContext, router: Router, faults: Faults) -> None:
        self.vhost = vhost
        self.context = context
        self.router = router
        self.faults = faults

    def route(self, exchange: Exchange, message: Message) -> list[Destination]:
        """Return the queues that a message goes to, by its routing key and its CC and BCC keys."""
        more = message.extra.more if message.extra is not None else None
        found: list[Destination] = self.router.route(
            exchange, message.routing_key, more or None, None, message
        )
        return found

    def push(self, message: Message, queues: list[Destination]) -> bool:
        """Push a message into queues and raise their errors. Returns False if one refuses it."""
        _set_shares(message, queues)
        accepted = True
        for queue in queues:
            accepted = queue.push(message) >= 0 and accepted
            _count(queue)
        return accepted

    def deliver(self, message: Message, queues: list[Destination], place: str) -> list[Destination]:
        """Push a message into queues. Returns the queues that refuse it now and may accept it later.

        A queue that raises an error does not get the message; `place` names the work in the log (`report_lost`).
        """
        _set_shares(message, queues)
        refused = []
        for queue in queues:
            try:
                if queue.push(message) < 0:
                    refused.append(queue)
                _count(queue)
            except Exception as error:
                self.report_lost(place, error, message, queue=queue.name)
        return refused

    def deliver_steps(
        self, message: Message, queues: list[Destination], place: str, done: Callable[[], None]
    ) -> Steps:
        """`deliver` to very many queues in portions, to those that are still there; then call `done`."""
        _set_shares(message, queues)
        try:
            for at in range(0, len(queues), WIDE):
                self.deliver(message, [one for one in queues[at : at + WIDE] if not one.gone], place)
                yield None
        finally:
            done()

    def publish(
        self, exchange: Exchange, message: Message, place: str, origin: Message | None = None
    ) -> None:
        """Route a message and deliver it. `origin`: the one that it was made of."""
        queues = self.route(exchange, message)
        if self.context.history is not None:
            self.context.history.relayed(self.vhost, message, queues, origin)
        self.deliver(message, queues, place)

    def report_lost(self, place: str, error: Exception, message: Message, **context: object) -> None:
        """Report that a message is lost: dropped because of its content (`AmqpError`), or because of a fault."""
        record = self.faults.drop if isinstance(error, AmqpError) else self.faults.report
        exchange = message.exchange.decode("utf-8", "surrogateescape")
        record(place, error, vhost=self.vhost, exchange=exchange, **context, **_identity(message))


def _count(queue: Destination) -> None:
    """Count what the broker itself publishes: RabbitMQ's counters of publishes are those of channels."""
    if isinstance(queue, Queue):
        queue.relayed += 1


def _set_shares(message: Message, queues: list[Destination]) -> None:
    """Set the number of queues that share the message, unless it is in a queue already: its weight must not change
    then."""
    message.shares = message.shares or len(queues)


def _identity(message: Message) -> dict[str, object]:
    """Return what identifies a message in the log: message_id, if it has one, and routing key."""
    known: dict[str, object] = {"routing_key": message.routing_key.decode("utf-8", "surrogateescape")}
    try:
        identity = decode_properties(message.header).message_id
    except AmqpError:
        return known
    return known if identity is None else {"message_id": identity, **known}
