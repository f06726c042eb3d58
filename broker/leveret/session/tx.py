"""confirm.select and tx.*: the modes of a channel (0-9-1 1.9; docs: confirms, semantics#tx).

A publish in a transaction is checked and routed at once, and delivered at the commit: first all publishes, in order,
then settlements. commit-ok waits for the journal, like a confirm. A commit is not atomic over several queues, as in
RabbitMQ.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pamqp import commands

from leveret import errors
from leveret.session import publishing
from leveret.session.confirms import Confirms
from leveret.session.late_publish import PORTION as WIDE
from leveret.session.late_publish import deliver_steps
from leveret.session.settling import held_portions
from leveret.session.transaction import HeldSettlement, Transaction
from leveret.wire.methods import method_frame
from leveret.work import Job, free, in_order

if TYPE_CHECKING:
    from collections.abc import Generator

    from leveret.queues.journal import Journal
    from leveret.queues.message import Destination
    from leveret.session.channel import Channel
    from leveret.work import Steps

#: Held publishes, or settlements, of a commit that are done before others can run.
_PORTION = 64


def confirm_select(channel: Channel, method: commands.Confirm.Select) -> None:
    """confirm.select; doing it again changes nothing."""
    if channel.transaction is not None:
        raise errors.cannot_switch("tx", "confirm")
    if channel.confirms is None:
        channel.confirms = Confirms(channel.number)
    if not method.nowait:
        channel.connection.send(method_frame(channel.number, commands.Confirm.SelectOk))


def tx_select(channel: Channel, method: commands.Tx.Select) -> None:
    """tx.select; doing it again changes nothing."""
    if channel.confirms is not None:
        raise errors.cannot_switch("confirm", "tx")
    if channel.transaction is None:
        broker = channel.connection.broker
        count = functools.partial(broker.count_uncommitted, channel.connection)
        channel.transaction = Transaction(broker.settings.limits.transaction_publishes, count)
    channel.connection.send(method_frame(channel.number, commands.Tx.SelectOk))


def tx_commit(channel: Channel, method: commands.Tx.Commit) -> None:
    """tx.commit: deliver and settle what is held. commit-ok follows when that is safe."""
    channel.connection.begin(_commit(channel, _transaction(channel)), "tx.commit")


def tx_rollback(channel: Channel, method: commands.Tx.Rollback) -> None:
    """tx.rollback: discard the publishes; settled deliveries are unacknowledged again, with the same tags."""
    channel.connection.begin(_roll_back(channel, _transaction(channel)), "tx.rollback")


def _roll_back(channel: Channel, transaction: Transaction) -> Steps:
    """Deliveries are restored nearly in order of their tags: putting many in order later would be one step."""
    publishes, settlements = transaction.take()
    settlements = yield from in_order(settlements, _first_tag)
    for settlement in settlements:
        for portion in held_portions(settlement.entries):
            for entry in portion:
                channel.unacked.restore(entry)
            yield None
    yield from free(settlements)
    yield from free(publishes)
    channel.connection.send(method_frame(channel.number, commands.Tx.RollbackOk))


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise errors.not_transactional()
    return channel.transaction


def _commit(channel: Channel, transaction: Transaction) -> Steps:
    """Do what was held, in portions. The store commits nothing before all of it is done."""
    journal = channel.context.journal
    if journal is not None:
        yield from _hold(channel, journal)
    try:
        complete = yield from _publish(channel, transaction)
        yield from _settle(channel, transaction)
    finally:
        if journal is not None:
            journal.let_go()
    if not complete:
        raise errors.partial_commit()
    transaction.committing = True
    channel.vhost.when_committed(channel.on_committed)


def _hold(channel: Channel, journal: Journal) -> Steps:
    """Hold the journal. A batch that is half encoded ends first: it would have the first part of the transaction."""
    work = channel.connection.broker.work
    while journal.partial:
        job = Job.elsewhere("tx.commit")
        journal.whole.append(functools.partial(work.complete, job))
        yield job
    journal.hold()


def _publish(channel: Channel, transaction: Transaction) -> Generator[Job | None, None, bool]:
    """Deliver the held publishes in order. Returns whether all queues have got theirs."""
    complete = True
    copies = 0
    publishes = transaction.take_publishes()
    publishes.reverse()
    while publishes:
        held = publishes.pop()
        found = [queue if not queue.gone else _instead_of(channel, queue) for queue in held.targets]
        targets = [queue for queue in found if queue is not None]
        if len(targets) < len(held.targets) and not channel.profile.commit_routes_again:
            complete = False
            if not targets:
                continue
        while (job := publishing.busy(targets)) is not None:
            yield job
        if len(targets) > WIDE:
            accepted = yield from deliver_steps(channel, held.message, targets, 0, held.tally)
        else:
            accepted = channel.deliver(held.message, targets, held.mandatory, 0, held.tally)
        complete = accepted and complete
        channel.publish_dead_letters()  # each publish has its effect before the next one
        copies += 1 + len(targets)
        if copies >= _PORTION:
            copies = 0
            yield None
    return complete


def _settle(channel: Channel, transaction: Transaction) -> Steps:
    """Settle the held deliveries in order; commit-ok waits for their dead letters, too."""
    settlements, transaction.settlements = transaction.settlements, []
    settlements.reverse()
    while settlements:
        held = settlements.pop()
        yield from channel.settlement(held.entries, held.method, held.requeue)
        if len(settlements) % _PORTION == 0:
            yield None


def _instead_of(channel: Channel, gone: Destination) -> Destination | None:
    """Return the queue that gets a publish whose queue was deleted since; raise 541 where RabbitMQ crashes."""
    namesake: Destination | None = channel.vhost.queues.get(gone.name)
    if channel.profile.commit_routes_again:
        return namesake
    if namesake is None and channel.profile.commit_fails_for_gone_queue:
        raise errors.queue_gone_at_commit(gone.name, gone.vhost)
    return None


def _first_tag(settlement: HeldSettlement) -> int:
    return settlement.entries[0].tag if settlement.entries else 0
