"""Publishes that take long: one whose routing is a long search, or that goes to very many queues.

They are finished by a job (`work.py`), in portions. Their connection is suspended meanwhile, so that it publishes in
order. In RabbitMQ the process of the channel is busy meanwhile, and nobody else waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from leveret.errors import AmqpError
from leveret.routing.router import WALK_STEPS

if TYPE_CHECKING:
    from leveret.engine.tallies import PublishTally
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.context import VhostContext
    from leveret.queues.message import Destination, Message
    from leveret.routing.router import Router, Walk
    from leveret.session.base import ConnectionBase
    from leveret.session.transaction import Transaction
    from leveret.work import Job, Steps

#: Queues that get a message before the job asks whether its slice is over.
PORTION = 1024


class Channel(Protocol):
    """The channel that publishes."""

    connection: ConnectionBase
    vhost: VirtualHost
    context: VhostContext
    router: Router
    transaction: Transaction | None
    gone: bool
    tally: PublishTally

    def hold(self, message: Message, targets: list[Destination], mandatory: bool) -> None:
        """Hold a publish until tx.commit."""

    def deliver(
        self,
        message: Message,
        targets: list[Destination],
        mandatory: bool,
        number: int,
        tally: PublishTally,
    ) -> bool:
        """Push a routed message into its queues, and confirm publish `number`. False if a queue has refused it."""

    def confirm(self, number: int, ticket: int, refused: bool, tally: PublishTally) -> None:
        """Note that a publish is settled, or will be with a ticket of the journal."""

    def publish_dead_letters(self) -> Job | None:
        """Publish what an operation on this channel has dead-lettered."""


def begin(
    channel: Channel, message: Message, targets: list[Destination] | None, mandatory: bool, number: int
) -> None:
    """Finish a publish as a job. `targets`: the queues it goes to; None: the router has a walk that finds them.

    `mandatory`, `number`: see `Channel.deliver`.
    """
    walk = channel.router.unfinished if targets is None else None
    channel.router.unfinished = None
    steps = _publish(channel, message, targets or [], walk, mandatory, number)
    channel.connection.broker.work.begin(steps, "publish", channel.connection, vhost=channel.vhost.name)


def _publish(
    channel: Channel,
    message: Message,
    targets: list[Destination],
    walk: Walk | None,
    mandatory: bool,
    number: int,
) -> Steps:
    transactional = channel.transaction is not None
    try:
        if walk is not None:
            while walk.advance(WALK_STEPS) == 0:
                yield None
            targets = walk.result()
            if channel.context.firehose is not None:
                channel.context.firehose.published(channel, message, targets)
        if transactional:
            if not channel.gone:
                channel.hold(message, targets, mandatory)
            return
        targets = [queue for queue in targets if not queue.gone]
        if len(targets) <= PORTION:
            channel.deliver(message, targets, mandatory, number, channel.tally)
        else:
            yield from _deliver(channel, message, targets, number)
    except AmqpError as error:
        channel.connection.refuse(error)
    except Exception as error:
        channel.connection.fail("publish", error)
    channel.publish_dead_letters()


def _deliver(channel: Channel, message: Message, targets: list[Destination], number: int) -> Steps:
    """`Channel.deliver` in portions. A queue that is busy gets the message when it is not."""
    channel.tally.sent(targets)
    message.shares = len(targets)
    ticket, refused = 0, False
    while targets:
        busy: list[Destination] = []
        for at in range(0, len(targets), PORTION):
            for queue in targets[at : at + PORTION]:
                if queue.busy is not None:
                    busy.append(queue)
                elif not queue.gone:
                    outcome = queue.push(message)
                    refused = refused or outcome < 0
                    ticket = max(ticket, outcome)
            channel.publish_dead_letters()
            yield None
        targets = busy
    if number:
        channel.confirm(number, ticket, refused, channel.tally)
