"""confirm.select, and tx: publishes and acknowledgements held until commit (0-9-1 1.9; docs: semantics#tx).

What is wrong with a publish is said when it is made; what it does happens at the commit: publishes first, in order,
then settlements. commit-ok waits for the journal like a confirm. Nothing is atomic over several queues, as in RabbitMQ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp import commands

from leveret import errors
from leveret.session.confirms import Confirms
from leveret.session.reply_to import ReplyAddress
from leveret.wire.methods import method_frame

if TYPE_CHECKING:
    from leveret.queues.message import Destination, Entry, Message
    from leveret.session.channel import Channel


class Transaction:
    """What a transactional channel holds until commit. `committing`: commit-ok waits for the journal."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.publishes: list[tuple[Message, list[Destination], bool]] = []
        self.settlements: list[tuple[list[Entry], int, bool]] = []
        self.committing = False

    def publish(self, message: Message, targets: list[Destination], mandatory: bool) -> None:
        """A checked and routed publish. Where reply addresses are no queues, a reply leaves as soon as it is routed."""
        if not self.channel.connection.broker.profile.volatile_reply_queues:
            replies = [queue for queue in targets if isinstance(queue, ReplyAddress)]
            for address in replies:
                address.push(message)
            if replies:
                targets = [queue for queue in targets if queue not in replies]
        self.publishes.append((message, targets, mandatory))

    def settle(self, tag: int, multiple: bool, method: int, requeue: bool) -> None:
        """An ack, nack or reject; its tags are taken at once and come back on rollback."""
        self.settlements.append((self.channel.claim(tag, multiple), method, requeue))

    def commit(self) -> None:
        """Do all that was held."""
        channel = self.channel
        publishes, self.publishes = self.publishes, []
        settlements, self.settlements = self.settlements, []
        complete = True
        for message, targets, mandatory in publishes:
            living = [queue if not queue.gone else self._instead_of(queue) for queue in targets]
            there = [queue for queue in living if queue is not None]
            if len(there) < len(targets) and not channel.connection.broker.profile.commit_routes_again:
                complete = False
                if not there:
                    continue
            complete = channel.deliver(message, there, mandatory, 0) and complete
        for entries, method, requeue in settlements:
            channel.settle(entries, method, requeue)
        if not complete:
            raise errors.partial_commit()

    def _instead_of(self, gone: Destination) -> Destination | None:
        """What a publish goes to whose queue was deleted since; an error where RabbitMQ fails over it."""
        channel = self.channel
        profile = channel.connection.broker.profile
        namesake: Destination | None = channel.vhost.queues.get(gone.name)
        if profile.commit_routes_again:
            return namesake
        if namesake is None and profile.commit_fails_for_gone_queue:
            raise errors.queue_gone_at_commit(gone.name, gone.vhost)
        return None

    def committed(self) -> None:
        """What the commit has done is safe."""
        self.committing = False
        if not self.channel.gone:
            self.channel.connection.send(method_frame(self.channel.number, commands.Tx.CommitOk))

    def rollback(self) -> None:
        """Forget the publishes; what was settled is outstanding again, under the same tags."""
        self.publishes.clear()
        for entries, _, _ in self.settlements:
            for entry in entries:
                self.channel.unacked.restore(entry)
        self.settlements.clear()

    def entries(self) -> list[Entry]:
        """Deliveries whose settlement is held back."""
        return [entry for entries, _, _ in self.settlements for entry in entries]


def confirm_select(channel: Channel, method: Any) -> None:
    """confirm.select; again is fine (docs: confirms)."""
    if channel.transaction is not None:
        raise errors.cannot_switch("tx", "confirm")
    if channel.confirms is None:
        channel.confirms = Confirms()
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Confirm.SelectOk))


def tx_select(channel: Channel, method: Any) -> None:
    """tx.select; again is fine."""
    if channel.confirms is not None:
        raise errors.cannot_switch("confirm", "tx")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    channel.connection.send(method_frame(channel.number, commands.Tx.SelectOk))


def tx_commit(channel: Channel, method: Any) -> None:
    """tx.commit."""
    transaction = channel.transaction
    if transaction is None:
        raise errors.not_transactional()
    transaction.commit()
    channel.vhost.publish_dead_letters()
    transaction.committing = True
    channel.vhost.broker.when_committed(transaction.committed)


def tx_rollback(channel: Channel, method: Any) -> None:
    """tx.rollback."""
    if channel.transaction is None:
        raise errors.not_transactional()
    channel.transaction.rollback()
    channel.connection.send(method_frame(channel.number, commands.Tx.RollbackOk))
