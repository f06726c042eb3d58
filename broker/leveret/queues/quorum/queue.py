"""The quorum queue as a client sees it on a cluster of one node (docs: quorum-queues; rabbit_fifo).

A message that is returned too often is dropped or dead-lettered (`delivery_limit`); headers show how often. Returned
messages are delivered before all others, in the order in which they were returned (`backlog.py`). Every message is
stored, whatever its delivery mode. What counts as a return, and the number of priorities, depend on the `Profile`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.wire.tables import Field, Table

if cython.compiled:
    from cython.cimports.leveret.queues.backlog.paging import BacklogBlock
    from cython.cimports.leveret.queues.backlog.ready import Backlog
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.context import VhostContext
    from cython.cimports.leveret.queues.limits import Limits
    from cython.cimports.leveret.queues.message import Entry, Message, new_entry
    from cython.cimports.leveret.queues.queue import Queue
    from cython.cimports.leveret.queues.quorum.backlog import QuorumBacklog
else:
    from leveret.queues.backlog.paging import BacklogBlock
    from leveret.queues.backlog.ready import Backlog
    from leveret.queues.consumers import Consumer
    from leveret.queues.context import VhostContext
    from leveret.queues.limits import Limits
    from leveret.queues.message import Entry, Message, new_entry
    from leveret.queues.queue import Queue
    from leveret.queues.quorum.backlog import QuorumBacklog

from leveret.queues.backlog.paged_contents import bring_back
from leveret.queues.expiry import QuorumQueueExpiry
from leveret.queues.message import CHANNEL_CLOSED, REFUSED, REJECTED, TIMED_OUT, Extra
from leveret.queues.options import QueueOptions
from leveret.queues.queue import PORTION
from leveret.queues.quorum.ack_timeouts import (
    CHECK_INTERVAL_MS,
    AckTimeouts,
    Fetched,
    Overdue,
    TimedOutSource,
)
from leveret.queues.quorum.backlog import undelivered_backlog
from leveret.queues.quorum.count_headers import with_headers
from leveret.queues.quorum.delayed_retry import DelayedRetries
from leveret.queues.quorum.single_active import waiting
from leveret.work import free, free_values, one_by_one, portions

if TYPE_CHECKING:
    from leveret.queues.consumers import Holder
    from leveret.queues.deadletter.worker import Worker
    from leveret.work import Job, Steps

_PORTION = cython.declare(cython.Py_ssize_t, PORTION)

#: Octets of a header frame that are not properties (AMQP 0-9-1 4.2.6.1). Properties count towards max-length-bytes.
_FRAME_OVERHEAD_BYTES = cython.declare(cython.longlong, 20)

#: A queue that refused publishes accepts them again below this share of its limits (rabbit_fifo: LOW_LIMIT).
_LOW_LIMIT_RATIO = cython.declare(cython.double, 0.8)

#: Cancelled consumers among which those without deliveries are looked for whenever one is added.
_CANCELLED = cython.declare(cython.Py_ssize_t, 32)


class QuorumQueue(Queue):
    """A quorum queue. `delivery_limit`: how many counted returns a message may have, if it is `limited`.

    `collected`: dead letters to be retained that their worker does not have yet, by position.
    `cancelled_with_unacked`: cancelled consumers with unacknowledged deliveries; they count as consumers until those
    are settled, which is looked for when they are `cancelled_limit`.
    `fetched`: deliveries of basic.get by position; each counts as a consumer. `blocked`: with reject-publish, the limit
    was exceeded and the queue has not drained enough since. `quiescing`: the single active consumer gets
    nothing more; it is replaced when its deliveries are settled. `withheld`: messages that are neither
    ready nor unacknowledged, because their retry is delayed or their dead letter has not arrived; they count towards
    the limits. `properties_bytes`: octets of properties of what counts, unless that is `properties_unknown` (after a
    restart); `withheld_properties`: those of withheld messages.
    """

    def __init__(
        self, name: str, vhost: str, context: VhostContext, options: QueueOptions, profile: Profile
    ) -> None:
        super().__init__(name, vhost, context, -1, bool(options.single_active_consumer))
        self.kind = "quorum"
        self.heads_expire = True
        self.profile: Profile = profile
        if options.single_active_consumer:
            self.consumers.waiting = waiting(profile.active_consumer_displaced)
        self.delivery_limit: int = 0
        self.limited: bool = False
        self.cancelled_with_unacked: list[Consumer] = []
        self.cancelled_limit: int = _CANCELLED
        self.fetched: dict[int, Fetched] = {}
        self.properties_bytes: int = 0
        self.withheld_properties: int = 0
        self.properties_unknown: bool = not profile.properties_counted
        self.delays: DelayedRetries = DelayedRetries(context.agenda, self.release_delayed)
        self.collected: dict[int, Entry] = {}
        self.dead_letter_worker: Worker | None = None
        self.settings: QueueOptions | None = None
        self.blocked: bool = False
        self.quiescing: bool = False
        self.queue_expiry = QuorumQueueExpiry(self)
        self.timeouts: AckTimeouts = AckTimeouts(context.agenda, self.check_timeouts)
        self.quorum_backlog: QuorumBacklog = self.new_quorum_backlog()
        self.backlog = self.quorum_backlog
        self.limit_deliveries(options.delivery_limit)

    def new_quorum_backlog(self) -> QuorumBacklog:
        """Make an empty backlog."""
        return QuorumBacklog(undelivered_backlog(self.context.pager, self.profile.quorum_priorities))

    def take_backlog(self) -> Backlog:
        """Detach the backlog; the queue is empty then."""
        backlog: Backlog = Queue.take_backlog(self)
        self.quorum_backlog = self.new_quorum_backlog()
        self.backlog = self.quorum_backlog
        self.properties_bytes = self.withheld_properties
        if self.withheld == 0:
            self.properties_unknown = not self.profile.properties_counted
        return backlog

    def limit_deliveries(self, limit: object) -> None:
        """Set the delivery limit. A value that is no number sets none; since 4.0 a negative one neither."""
        if isinstance(limit, int):
            self.limited = limit >= 0 or not self.profile.negative_delivery_limit_is_none
            self.delivery_limit = limit
        else:
            self.limited = False
            self.delivery_limit = -1

    def drops_before_rejecting(self, before: Limits) -> bool:
        """Return False: with reject-publish nothing is dropped."""
        return False

    def configure(
        self, limits: Limits, dead_letter_exchange: str | None, dead_letter_routing_key: str | None
    ) -> None:
        """Set effective limits, delivery limit, delayed retry and dead letter strategy."""
        if self.crashed:
            return
        if limits.reject_dead_letters:  # not supported: RabbitMQ uses the default
            limits.drop_head()
        given: QueueOptions | None = self.effective
        if given is not None:
            self.limit_deliveries(given.delivery_limit)
            self.delays.configure(given.delayed_retry_type, given.delayed_retry_min, given.delayed_retry_max)
            self.retaining = (
                given.dead_letter_strategy == "at-least-once"
                and limits.reject
                and dead_letter_exchange is not None
            )
        super().configure(limits, dead_letter_exchange, dead_letter_routing_key)
        if self.dead_letter_worker is not None and given != self.settings:
            if self.retaining:
                self.dead_letter_worker.try_again()
            else:
                self.forget_dead_letters()
        self.settings = given

    # --- in

    def push(self, message: Message) -> int:
        """Deliver or add a routed message. reject-publish refuses it if the limit is exceeded already, not if it would
        be; so a quorum queue may hold one message more (docs: quorum-queues#limitations)."""
        consumer: Consumer | None
        entry: Entry
        ticket: int = 0
        self.published += 1
        if self.limits.bounded and self.limits.reject and self.full():
            if self.context.history is not None:
                self.context.history.refused(self, message)
            return REFUSED
        self.position += 1
        entry = new_entry(message, self.position, self.limits.expiry(message, self.context.clock.now), self)
        if message.extra is not None and message.extra.failed:  # dead-lettered before
            entry.redelivered = True
            if self.profile.dead_letter_redelivered:
                entry.failed = message.extra.failed
        if self.context.history is not None:
            self.context.history.queued(self, message, self.position)
        if self.queue_journal is not None:
            ticket = self.queue_journal.append(entry)
        consumer = self.consumers.next() if self.ready == 0 else None
        if consumer is not None:
            self.deliver(consumer, entry)
        else:
            self.add(entry)
        return ticket

    def full(self) -> bool:
        """Return whether publishes are refused: once the limit is exceeded, until the queue is below four fifths of
        it."""
        limits: Limits = self.limits
        if self.crashed:
            return True
        count: cython.Py_ssize_t = self.ready + self.withheld
        size: cython.longlong = self.octets()
        if limits.overflows(count, size):
            self.blocked = True
        elif self.blocked:
            self.blocked = (limits.max_length >= 0 and count > int(limits.max_length * _LOW_LIMIT_RATIO)) or (
                limits.max_bytes >= 0 and size > int(limits.max_bytes * _LOW_LIMIT_RATIO)
            )
        return self.blocked

    def octets(self) -> int:
        """Return the octets that count towards max-length-bytes."""
        return (
            self.ready_bytes + self.withheld_bytes + (0 if self.properties_unknown else self.properties_bytes)
        )

    def add(self, entry: Entry) -> None:
        """Add an entry behind all others of its priority."""
        self.properties_bytes += entry.message.head - _FRAME_OVERHEAD_BYTES
        Queue.add(self, entry)

    def expiry_added(self, entry: Entry, count: cython.Py_ssize_t) -> None:
        """Refresh the expiry timer."""
        self.refresh_expiry()

    def restore(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add entries from the store; the octets of their properties are not known."""
        Queue.restore(self, block, level)
        self.properties_unknown = True

    # --- out

    def pop(self) -> Entry | None:
        """Remove the next entry."""
        entry: Entry | None = Queue.pop(self)
        if entry is not None:
            self.subtract_properties(entry)
        return entry

    def subtract_properties(self, entry: Entry) -> None:
        """Stop counting the properties of an entry that is no longer ready or withheld."""
        self.properties_bytes -= entry.message.head - _FRAME_OVERHEAD_BYTES
        if self.ready == 0 and self.withheld == 0:
            self.properties_bytes = 0
            self.properties_unknown = not self.profile.properties_counted

    def message_to_deliver(self, entry: Entry) -> Message:
        """Return the message with the counts of its returns in its headers: in this queue, else in those before."""
        extra: Extra | None = entry.message.extra
        acquired: int = entry.acquired
        failed: int = entry.failed
        counts: Table = {}
        if extra is not None:
            acquired = acquired or extra.acquired
            failed = failed or extra.failed
        if self.profile.acquired_count and acquired:
            counts["x-acquired-count"] = Field("l", acquired)
        if failed:
            counts["x-delivery-count"] = Field("l", failed)
        if not counts:
            return entry.message
        self.rewritten += 1
        return with_headers(entry.message, counts)

    def message_to_get(self, entry: Entry) -> Message:
        """Return the message for basic.get: in some versions its x-delivery-count starts at 0."""
        if self.profile.got_count_from_zero and not entry.failed:
            return with_headers(entry.message, {"x-delivery-count": Field("l", 0)})
        return self.message_to_deliver(entry)

    def ready_after_get(self, no_ack: bool) -> int:
        """Count the ready messages after a `get`, with expired ones unless `no_ack` (rabbit_fifo: dequeue)."""
        count: int = self.ready
        after: int = Queue.ready_after_get(self, no_ack)
        return after if no_ack else count

    def track_get(self, entry: Entry, holder: Holder) -> None:
        """Note a delivery of basic.get: until it is settled it counts as a consumer."""
        timeout: int = self.acknowledgement_timeout()
        self.fetched[entry.position] = Fetched(entry, holder, timeout)
        if self.profile.timeout_cancels_consumer and timeout >= 0:
            self.timeouts.watch(timeout)

    def acknowledgement_timeout(self) -> int:
        """Return the acknowledgement timeout of consumers without one of their own, ms; -1 for none."""
        given: int | None = self.effective.consumer_timeout if self.effective is not None else None
        return int(given if given is not None else self.context.consumer_timeout)

    # --- back

    def settle(self, entry: Entry) -> None:
        """Acknowledge an entry."""
        Queue.settle(self, entry)
        self.after_settle(entry)

    def reject(self, entry: Entry, why: cython.int) -> None:
        """Dead-letter or drop an entry."""
        Queue.reject(self, entry, why)
        self.after_settle(entry)

    def after_settle(self, entry: Entry) -> None:
        """Note that a delivery is settled."""
        if entry.consumer is None:
            self.fetched.pop(entry.position, None)
        elif self.quiescing:
            self.finish_quiescing()
            self.run()

    def taken_back(self) -> None:
        """Enforce TTL and limits after entries were put back, and deliver; what is delivered at once does not count
        towards the limits."""
        if self.gone:
            return
        if self.has_ttl:
            self.drop_expired()
        if self.quiescing:
            self.finish_quiescing()
        self.run()
        if self.limits.drops:
            self.drop_overflow()

    def take_back(self, entries: list[Entry], why: cython.int) -> None:
        """Return unacknowledged entries to the queue; dead-letter those beyond the delivery limit."""
        entry: Entry
        kept: list[Entry] = []
        counts: bool = self.profile.nack_counts or why in (REJECTED, CHANNEL_CLOSED)
        if self.gone:
            return
        if self.crashed:
            self.lose(entries)
            return
        for entry in entries:
            self.unacked -= 1
            self.unacked_bytes -= entry.message.size
            if entry.consumer is None:
                self.fetched.pop(entry.position, None)
            elif why == CHANNEL_CLOSED:  # the credit is given back only here
                entry.consumer.held -= 1
            entry.redelivered = True
            entry.consumer = None
            entry.acquired += 1
            entry.failed += counts
            if self.limited and cython.cast(cython.longlong, entry.failed) > self.delivery_limit:
                self.dead_letter(entry, "delivery_limit", 0)
                continue
            if entry.expires_at:
                self.has_ttl = True
            if entry.stored and self.queue_journal is not None:
                self.queue_journal.returned(entry)
            kept.append(entry)
        if self.crashed:  # a dead letter could not be read back
            return
        if kept and self.context.history is not None:
            self.context.history.requeued(self, kept, why)
        if self.delays.applies(counts):
            for entry in kept:
                self.withhold(entry)
            self.delays.hold(kept)
        else:
            self.return_ready(kept, why)

    def return_ready(self, entries: list[Entry], why: cython.int) -> None:
        """Make entries ready: before all others, or in some versions, without a delivery limit, behind them."""
        entry: Entry
        for entry in entries:
            self.ready += 1
            self.ready_bytes += entry.message.size
            self.properties_bytes += entry.message.head - _FRAME_OVERHEAD_BYTES
        if self.profile.returned_first or self.limited or why == CHANNEL_CLOSED:
            self.quorum_backlog.requeue(entries)
            return
        for entry in entries:
            if not bring_back(entry):
                return
            self.quorum_backlog.push(entry)

    def release_delayed(self) -> None:
        """Make delayed entries ready that are due, and deliver."""
        if self.busy is None and self.release_due(_PORTION):
            self.delays.watch()
            self.taken_back()
            self.context.publish_dead_letters()
        else:
            self.context.occupy(self, self.release_steps(), "delayed retry")

    def release_due(self, most: int) -> bool:
        """Make delayed entries ready that are due, at most so many; False if there are more."""
        entry: Entry
        entries: list[Entry] = self.delays.release(self.context.clock.now, most)
        for entry in entries:
            self.release_withheld(entry)
            if entry.expires_at:
                self.has_ttl = True
        self.return_ready(entries, CHANNEL_CLOSED)
        return len(entries) < most

    def release_steps(self) -> Steps:
        """Make all delayed entries ready that are due."""
        try:
            while not self.gone and not self.release_due(PORTION):
                yield None
        finally:
            self.delays.watch()
        self.taken_back()
        self.context.publish_dead_letters()

    def withhold(self, entry: Entry) -> None:
        """Count an entry as withheld."""
        self.withheld += 1
        self.withheld_bytes += entry.message.size
        self.properties_bytes += entry.message.head - _FRAME_OVERHEAD_BYTES
        self.withheld_properties += entry.message.head - _FRAME_OVERHEAD_BYTES

    def release_withheld(self, entry: Entry) -> None:
        """Stop counting an entry as withheld."""
        self.withheld -= 1
        self.withheld_bytes -= entry.message.size
        self.withheld_properties -= entry.message.head - _FRAME_OVERHEAD_BYTES
        self.subtract_properties(entry)

    # --- dead letters

    def dead_letter(self, entry: Entry, reason: str, why: cython.int) -> None:
        """Dead-letter an entry; with at-least-once it is withheld until its copies have arrived."""
        if not self.retaining or self.gone or reason == "maxlen":
            Queue.dead_letter(self, entry, reason, why)
            return
        if not bring_back(entry):
            return
        if self.context.history is not None:
            self.context.history.died(self, entry, reason)
        self.withhold(entry)
        self.collected[entry.position] = entry
        self.context.dead_letters.append((self, entry.message, reason, entry, why))

    def hand_over(self, entry: Entry) -> bool:
        """Whether a collected dead letter goes to the worker, which retains it. If dead letters are not retained any
        more, it is no longer withheld."""
        if self.collected.pop(entry.position, None) is None:
            return False
        if not self.retaining:
            self.release_withheld(entry)
        return self.retaining

    def forget_dead_letters(self) -> None:
        """Forget the dead letters that have not arrived, because they are not retained any more."""
        if self.dead_letter_worker is not None:
            steps = self.purge_steps([self.dead_letter_worker.clear()], None)
            self.context.occupy(self, steps, "dead letters")

    def forget_withheld(self, entry: Entry) -> None:
        """Remove a withheld entry."""
        self.release_withheld(entry)
        self.forget(entry)

    def overflows(self) -> bool:
        """Return whether the backlog is beyond the length limits. Withheld entries count."""
        return self.limits.overflows(self.ready + self.withheld, self.octets())

    def drop_expired(self) -> None:
        """If the next entry has expired, drop what is due at the head of every priority."""
        now: cython.longlong = self.context.clock.now
        entry: Entry | None
        if not self.head_here():
            return
        entry = self.quorum_backlog.first()
        if entry is not None and 0 < entry.expires_at <= now:
            Queue.drop_expired(self)

    def drop_due(self, now: cython.longlong, most: cython.Py_ssize_t) -> bool:
        """Drop what is due at the head of every priority, at most so many messages; False if there may be more."""
        entry: Entry
        entries: list[Entry]
        if not self.head_here():
            return False
        entries = self.quorum_backlog.take_expired(now, most)
        for entry in entries:
            if not self.crashed:  # what is behind them could be read
                self.ready -= 1
                self.ready_bytes -= entry.message.size
                self.subtract_properties(entry)
            self.dead_letter(entry, "expired", 0)
        return len(entries) < most and self.head_here()

    def refresh_expiry(self) -> None:
        """Drop what is due at the heads, and schedule the earliest expiry of the new heads."""
        entry: Entry
        at: cython.longlong = 0
        Queue.drop_expired(self)
        if self.ready == 0:
            self.has_ttl = False
            return
        if self.busy is not None:
            return
        for entry in self.quorum_backlog.heads():
            if entry.expires_at and (at == 0 or entry.expires_at < at):
                at = entry.expires_at
        if at:
            self.expire_at(at)

    # --- checks of client operations

    def admit(self, exclusive: bool, no_ack: bool, prefetch: int, global_prefetch: int) -> None:
        """Raise 540 under a global prefetch; exclusive is ignored."""
        if global_prefetch:
            raise errors.global_qos_not_supported(self.name, self.vhost)

    def admit_get(self) -> None:
        """Raise 405 with single active consumer."""
        if self.consumers.single_active:
            raise errors.get_with_single_active_consumer(self.name, self.vhost, self.profile.quorum_word)

    def admit_delete(self, if_unused: bool, if_empty: bool) -> None:
        """Raise 540 for either condition."""
        if if_unused:
            raise errors.conditional_delete_not_supported(self.name, self.vhost, "if-unused")
        if if_empty:
            raise errors.conditional_delete_not_supported(self.name, self.vhost, "if-empty")

    def declared_counts(self) -> tuple[int, int]:
        """Return the counts of declare-ok: ready messages, and consumers. Single active consumer counts one; cancelled
        consumers with unacknowledged deliveries count, and each unacknowledged basic.get."""
        self.prune_cancelled()
        members = (
            (self.consumers.active is not None)
            if self.consumers.single_active
            else len(self.consumers.members)
        )
        return self.ready, members + len(self.cancelled_with_unacked) + len(self.fetched)

    @property
    def has_exclusive_consumers(self) -> bool:
        """Return False: exclusive is ignored."""
        return False

    def prune_cancelled(self) -> None:
        """Remove cancelled consumers whose deliveries are settled."""
        before: list[Consumer] = self.cancelled_with_unacked
        self.cancelled_with_unacked = [consumer for consumer in before if self.holds(consumer)]
        if len(before) > _PORTION:
            self.context.work.begin(free(before), "consumer end")

    def used(self) -> bool:
        """Return whether the queue has consumers or unacknowledged deliveries."""
        self.prune_cancelled()
        return bool(self.consumers.members or self.cancelled_with_unacked or self.fetched)

    def holds(self, consumer: Consumer) -> int:
        """Count the unacknowledged deliveries of a consumer that have not timed out."""
        overdue: int = self.timeouts.overdue.get(consumer, 0)
        held: int = consumer.held
        return held - overdue

    # --- purge, deletion, crash

    def purge(self) -> tuple[int, Job]:
        """Drop everything but unacknowledged entries: those that are withheld, too."""
        worker: Worker | None = self.dead_letter_worker if self.profile.dead_letters_purged else None
        count, job = super().purge()
        withheld: list[Any] = [self.delays.clear()]
        if worker is not None:
            withheld.append(worker.clear())
        more: int = sum([len(some) for some in withheld])
        if not more:
            return count, job
        return count + more, self.context.occupy(self, self.purge_steps(withheld, job), "purge")

    def purge_steps(self, withheld: list[Any], job: Job | None) -> Steps:
        """Remove withheld entries in portions, then wait for the job that purges the others. `withheld`: what the
        delayed retries and the worker have let go of; `Any`, because the entries of these differ."""
        for some in withheld:
            while some:
                for _ in range(min(PORTION, len(some))):
                    item = some.pop()
                    if not self.gone:
                        self.forget_withheld(item[2] if isinstance(item, tuple) else item.entry)
                yield None
        yield job

    def crash(self, reason: str) -> None:
        """Stop serving; delayed retries are dropped from memory as well."""
        if self.gone or self.crashed:
            return
        Queue.crash(self, reason)
        for _, _, entry in self.delays.clear():
            self.release_withheld(entry)

    def close(self, kept: bool = False) -> list[Consumer]:
        """End a queue, as `Queue.close`. What refers to it is forgotten, so that it is freed without the garbage
        collector: many at once would hold the loop."""
        consumers: list[Consumer] = super().close(kept)
        withheld: list[Any] = [self.delays.stop()]
        self.timeouts.stop()
        if self.dead_letter_worker is not None:
            withheld.append(self.dead_letter_worker.clear())
            self.dead_letter_worker = None
        for unsettled in (self.collected, self.fetched):
            self.context.work.begin(free_values(unsettled), "deletion")
        self.context.work.begin(free(self.cancelled_with_unacked), "deletion")
        self.collected = {}
        self.fetched = {}
        self.cancelled_with_unacked = []
        self.context.work.begin(self.purge_steps(withheld, None), "deletion")
        self.withheld = self.withheld_bytes = 0
        return consumers

    # --- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """Add a consumer; since 4.0 one of higher priority replaces the single active one."""
        given: int | None = consumer.options.consumer_timeout if consumer.options is not None else None
        super().subscribe(consumer)
        if self.profile.timeout_cancels_consumer and not consumer.no_ack:
            consumer.timeout = given if given is not None else self.acknowledgement_timeout()
            if consumer.timeout >= 0:
                self.timeouts.watch(consumer.timeout)
        if self.consumers.single_active and len(self.consumers.members) > 1:
            self.select_active()

    def detach(self, consumer: Consumer) -> None:
        """Remove a consumer; it still counts while it has unacknowledged deliveries."""
        was_active: bool = self.consumers.active is consumer
        super().detach(consumer)
        if self.gone:
            return
        if consumer.held:
            count: cython.Py_ssize_t = len(self.cancelled_with_unacked)
            if count <= _CANCELLED or count >= self.cancelled_limit:
                self.prune_cancelled()
                self.cancelled_limit = max(_CANCELLED, 2 * len(self.cancelled_with_unacked))
            self.cancelled_with_unacked.append(consumer)
        if self.consumers.single_active and was_active:
            self.replace_active()

    @property
    def serves_together(self) -> bool:
        """Return False: each consumer is served as soon as it has credit."""
        return False

    def unblock(self, consumer: Consumer) -> None:
        """Do nothing: `wake` follows."""

    def wake(self, consumer: Consumer) -> None:
        """Serve a consumer that may have credit again."""
        if self.quiescing or consumer in self.timeouts.overdue:
            return
        self.consumers.wake(consumer)
        self.run()

    def finish_quiescing(self) -> None:
        """Replace the quiescing consumer if its last delivery is settled."""
        active: Consumer | None = self.consumers.active
        if active is None or active.held:
            return
        self.replace_active()

    def select_active(self) -> None:
        """Activate the next consumer if there is no active one. Since 4.0 one of higher priority replaces the active
        one, after that one's last delivery is settled."""
        displaces: bool = self.profile.active_consumer_displaced
        active: Consumer | None = self.consumers.active
        best: Consumer | None = self.consumers.waiting.next()
        if best is None:
            return
        if active is None:
            self.consumers.activate(best)
        elif displaces and best.priority > active.priority:
            if active.held:
                self.quiescing = True
                self.consumers.clear_rotation()
            else:
                self.consumers.activate(best)

    def replace_active(self) -> None:
        """Deactivate the single active consumer and activate the next one."""
        self.quiescing = False
        self.consumers.deactivate()
        self.select_active()

    # --- acknowledgement timeout

    def check_timeouts(self) -> None:
        """Requeue deliveries that have timed out, and notify their clients."""
        self.context.work.begin(self.timeout_steps(), "timer", queue=self.name, vhost=self.vhost)

    def timeout_steps(self) -> Steps:
        """Look for deliveries that have timed out; the queue is busy while they are requeued. A check that fails is
        repeated soon."""
        consumers = [*self.consumers.members, *self.cancelled_with_unacked]
        try:
            overdue = yield from self.timeouts.due(
                self.context.clock.now, consumers, list(self.fetched.values())
            )
            if overdue and not self.gone:
                self.context.occupy(self, self.overdue_steps(overdue), "timer")
        except Exception:
            self.check_soon()
            raise

    def overdue_steps(self, overdue: list[Overdue]) -> Steps:
        """Requeue overdue deliveries, then notify their clients."""
        try:
            for one in overdue:
                for portion in portions(one.entries, PORTION):
                    if not self.gone:
                        self.expire_deliveries(one.holder, portion)
                    yield None
            yield from self.notify_steps(overdue)
        except Exception:
            self.check_soon()
            raise

    def check_soon(self) -> None:
        """Check for timed out deliveries again after a fault."""
        if not self.gone:
            self.timeouts.watch(CHECK_INTERVAL_MS)

    def expire_deliveries(self, holder: Consumer | Holder, overdue: list[Entry]) -> None:
        """Requeue overdue deliveries that are not settled yet. A consumer keeps stand-ins for them, which the client
        settles."""
        entry: Entry
        expired: list[Entry] = []
        if not isinstance(holder, Consumer):
            if holder.forget(overdue[0]):
                self.take_back(overdue, TIMED_OUT)
            return
        source: TimedOutSource = TimedOutSource(self.settle_overdue, holder, self.name)
        for entry in overdue:
            stand_in: Entry = Entry(entry.message, entry.position, 0, source)
            stand_in.tag = entry.tag
            stand_in.consumer = holder
            if holder.replace(entry, stand_in):
                expired.append(entry)
        if not expired:
            return
        self.timeouts.expire(holder, len(expired))
        self.consumers.waiting.withdraw(holder)
        self.consumers.block(holder)
        self.take_back(expired, TIMED_OUT)
        if self.consumers.active is holder:
            self.replace_active()

    def notify_steps(self, overdue: list[Overdue]) -> Steps:
        """Notify clients, then deliver what was requeued. To end a channel is work: each can be the last of a turn."""
        for one in one_by_one(overdue):
            try:
                one.holder.timed_out()
            except Exception as error:
                one.holder.failed(error)
            yield None
        self.taken_back()
        self.context.publish_dead_letters()

    def settle_overdue(self, consumer: Consumer) -> None:
        """Count an overdue delivery that the client has settled. After the last one, its consumer can be active
        again."""
        if not self.timeouts.settle(consumer) or not self.consumers.single_active or self.gone:
            return
        self.consumers.waiting.restore(consumer)
        if self.consumers.active is None:
            self.select_active()
            self.run()
