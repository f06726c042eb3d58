"""Publishes that take long: one whose routing is a long search, that goes to very many queues, or whose permission
must be asked for.

They are finished by a job (`work.py`), in portions. Their connection is suspended meanwhile, so that it publishes in
order. In RabbitMQ the process of the channel is busy meanwhile, and nobody else waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from leveret.engine import publishing
from leveret.errors import AmqpError
from leveret.routing.router import WALK_STEPS
from leveret.wire.properties import decode_properties
from leveret.work import Suspended

if TYPE_CHECKING:
    from collections.abc import Generator

    from leveret.engine.permissions import Permissions
    from leveret.engine.tallies import PublishTally
    from leveret.engine.vhost import VirtualHost
    from leveret.profiles import Profile
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
    number: int
    tag: int

    permissions: Permissions
    profile: Profile

    def publish_again(self, whole: bytes, head: int, size: int) -> None:
        """Check, route and deliver a message."""

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
            if channel.context.interceptor is not None:
                targets = channel.context.interceptor.routed(channel, message, targets)
        if transactional:
            if not channel.gone:
                channel.hold(message, targets, mandatory)
            return
        if any(queue.gone for queue in targets):  # else the list is one that was counted before
            targets = [queue for queue in targets if not queue.gone]
        if len(targets) <= PORTION:
            channel.deliver(message, targets, mandatory, number, channel.tally)
        else:
            yield from deliver_steps(channel, message, targets, number, channel.tally)
    except AmqpError as error:
        channel.connection.refuse(error)
    except Exception as error:
        channel.connection.fail("publish", error)
    channel.publish_dead_letters()


def deliver_steps(
    channel: Channel, message: Message, targets: list[Destination], number: int, tally: PublishTally
) -> Generator[Job | None, None, bool]:
    """`Channel.deliver` in portions. A queue that is busy gets the message when it is not."""
    if channel.context.history is not None:
        channel.context.history.published(channel, message, targets, False, number)
    while tally.full_for(targets):
        tally.spread(PORTION)
        yield None
    tally.sent(targets)
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
    if channel.gone:
        while tally.spread(PORTION):
            yield None
        tally.fold()
    elif number:
        channel.confirm(number, ticket, refused, tally)
    return not refused


def await_permission(
    channel: Channel, exchange: bytes, key: bytes, whole: bytes, head: int, size: int
) -> bool:
    """Return whether a publish has to wait because an authority has not decided about it yet; it is then repeated when
    it has. `whole`, `head`, `size`: see `Channel.publish`. Raises 403, and 541 for malformed properties."""
    try:
        _check_permission(channel, exchange.decode("utf-8", "surrogateescape"), key, whole[7 : head - 1])
    except Suspended as waiting:
        waiting.job.when_done(lambda: _publish_again(channel, whole, head, size))
        channel.connection.suspend(waiting.job)
        return True
    return False


def _check_permission(channel: Channel, name: str, key: bytes, header: bytes) -> None:
    """Check everything that an authority is asked about a publish. Raises 403, `Suspended`."""
    channel.permissions.check_exchange("write", name)
    exchange = channel.vhost.exchanges.get(name)
    if exchange is None or exchange.type != "topic":
        return
    keys = [key]
    if channel.profile.copies_topic_checked:
        keys += publishing.carbon_copies(decode_properties(header))[0] or []
    publishing.check_topic(channel.permissions, name, keys)


def _publish_again(channel: Channel, whole: bytes, head: int, size: int) -> None:
    if channel.gone:
        return
    try:
        channel.publish_again(whole, head, size)
    except AmqpError as error:
        channel.connection.refuse(error)
    except Exception as error:
        channel.connection.fail("publish", error)
    channel.publish_dead_letters()
