"""The classic queue, and what all queue types share: push, deliver, settle, requeue, get, purge.

`push` delivers the message to the next consumer, or adds it to the backlog; `run` delivers ready messages while a
consumer has credit. Outcomes are return values. Dead letters are collected in `VhostContext.dead_letters`; the engine
publishes them after the operation, so that a dead-letter cycle is not a recursion. `quorum/queue.py` and
`stream/queue.py` override what differs.

An operation is complete when it returns, unless it concerns more than `PORTION` messages. Then the queue is busy with a
job (`work.py`) that does the rest: it delivers nothing and drops nothing meanwhile, and does what is due when it is
`freed`. What is not needed any more is detached at once and freed later.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import cython

from leveret import errors

if cython.compiled:
    from cython.cimports.leveret.clock import ScheduledCall
    from cython.cimports.leveret.queues.backlog.paging import BacklogBlock
    from cython.cimports.leveret.queues.backlog.ready import Backlog, Fifo, Levels
    from cython.cimports.leveret.queues.consumers import Consumer, QueueConsumers
    from cython.cimports.leveret.queues.context import VhostContext
    from cython.cimports.leveret.queues.journal import QueueJournal
    from cython.cimports.leveret.queues.limits import Limits
    from cython.cimports.leveret.queues.message import Destination, Entry, Message, new_entry
else:
    from leveret.clock import ScheduledCall
    from leveret.queues.backlog.paging import BacklogBlock
    from leveret.queues.backlog.ready import Backlog, Fifo, Levels
    from leveret.queues.consumers import Consumer, QueueConsumers
    from leveret.queues.context import VhostContext
    from leveret.queues.journal import QueueJournal
    from leveret.queues.limits import Limits
    from leveret.queues.message import Destination, Entry, Message, new_entry

from leveret.queues.backlog.paged_contents import PagedContent, absent_content, bring_back
from leveret.queues.expiry import NO_EXPIRY, NoExpiry, QueueExpiry
from leveret.queues.message import CHANNEL_CLOSED, REFUSED, REJECTED
from leveret.queues.options import QueueOptions
from leveret.wire.tables import Table
from leveret.work import Job, Suspended, free, portions

if TYPE_CHECKING:
    from leveret.queues.consumers import Holder
    from leveret.queues.disk_read import DiskRead
    from leveret.work import Steps

#: Messages of one operation beyond which it becomes a job, and how many the job handles between two looks at the time.
PORTION = 512
_PORTION = cython.declare(cython.Py_ssize_t, PORTION)

#: Messages and octets of bodies that are delivered at once; a single consumer has no room for as many.
_DELIVERED_TOGETHER = cython.declare(cython.Py_ssize_t, 4096)
_OCTETS_TOGETHER = cython.declare(cython.longlong, 8 * 1024 * 1024)

#: A large header frame, in octets, and how many octets of a body cost as much as one of it.
_LARGE_HEADER = cython.declare(cython.uint, 4096)
_HEADER_COST = cython.declare(cython.longlong, 64)

#: How many octets of a body cost as much as to deliver one message with other headers than it came with.
_REWRITTEN_OCTETS = cython.declare(cython.longlong, 64 * 1024)

#: Time until dropping expired messages is tried again after a fault, ms.
_RETRY_INTERVAL_MS = cython.declare(cython.longlong, 1000)


class Queue(Destination):
    """A queue and its consumers.

    `kind`: classic, quorum or stream. `owner`: the connection of an exclusive queue, else None. `user`: who declared
    it. `arguments`, `options`: as declared and parsed; `effective`: options merged with policies. `queue_journal`: the
    store's account of it, or None. Counters only grow, except `ready`, `unacked`, `withheld` (neither) and their
    `_bytes` (octets of bodies). `relayed`: how many of `published` the broker itself has published (dead letters,
    delayed messages).
    `retaining`: dead letters are kept until they have arrived. `crashed`: why the backlog could not be read back, else
    empty; the queue takes and delivers nothing then. `overtaken`: an entry that expires came before the head by
    priority; RabbitMQ checks it only with the next operation (rabbit_amqqueue_process:deliver_or_enqueue).
    `delivering`: a job delivers what is ready. `reading`: ends when the head of the backlog has been read.
    `heads_expire`: the first message of each priority may expire next. `rewritten`: deliveries whose headers were
    changed, since `deliver_ready` has looked last.
    """

    def __init__(
        self,
        name: str,
        vhost: str,
        context: VhostContext,
        max_priority: int = -1,
        single_active: bool = False,
    ) -> None:
        super().__init__(name, vhost)
        self.kind: str = "classic"
        self.durable: bool = False
        self.auto_delete: bool = False
        self.owner: Any = None  # a connection of the session layer
        self.user: str = ""
        self.arguments: Table = {}
        self.options: QueueOptions = QueueOptions()
        self.policy: object = None
        self.effective: QueueOptions | None = None
        self.context: VhostContext = context
        self.limits: Limits = Limits()
        self.consumers: QueueConsumers = QueueConsumers(single_active)
        self.max_priority: int = max_priority
        self.backlog: Backlog = self.new_backlog(max_priority)
        self.queue_journal: QueueJournal | None = None
        self.dead_letter_exchange: str | None = None
        self.dead_letter_routing_key: str | None = None
        self.crashed: str = ""
        self.had_consumer: bool = False
        self.position: int = 0
        self.ready: int = 0
        self.ready_bytes: int = 0
        self.unacked: int = 0
        self.unacked_bytes: int = 0
        self.rewritten: int = 0
        self.withheld: int = 0
        self.withheld_bytes: int = 0
        self.published: int = 0
        self.relayed: int = 0
        self.delivered: int = 0
        self.delivered_no_ack: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self.acked: int = 0
        self.redelivered: int = 0
        self.retaining: bool = False
        self.has_ttl: bool = False
        self.expiry: ScheduledCall | None = None
        self.overtaken: bool = False
        self.delivering: bool = False
        self.reading: Job | None = None
        self.heads_expire: bool = False
        self.queue_expiry: QueueExpiry | NoExpiry = QueueExpiry(self)

    def new_backlog(self, max_priority: int) -> Backlog:
        """Make an empty backlog; `max_priority` is -1 for a queue without priorities."""
        return Fifo(self.context.pager) if max_priority < 0 else Levels(self.context.pager, max_priority)

    def take_backlog(self) -> Backlog:
        """Detach the backlog; the queue is empty then."""
        backlog: Backlog = self.backlog
        self.backlog = self.new_backlog(self.max_priority)
        self.ready = 0
        self.ready_bytes = 0
        return backlog

    def operations(self) -> int:
        """How many operations the queue has done: messages that came, were delivered, fetched or acknowledged."""
        done: cython.longlong = self.published + self.delivered + self.delivered_no_ack + self.acked
        return done + self.got + self.got_no_ack + self.got_empty

    # --- in

    def push(self, message: Message) -> int:
        """Deliver a routed message to the next consumer if the backlog is empty, else add it to the backlog. Returns
        REFUSED, or the journal ticket to wait for before confirming (0: none)."""
        consumer: Consumer | None = None
        entry: Entry
        expires_at: cython.longlong = 0
        ticket: cython.longlong
        self.published += 1
        if (
            self.limits.bounded
            and self.limits.reject
            and self.limits.would_overflow(self.ready, self.ready_bytes, message)
        ):
            if self.context.history is not None:
                self.context.history.refused(self, message)
            if self.limits.reject_dead_letters:
                self.dead_letter_refused(message, "maxlen")
            return REFUSED
        if self.ready == 0:
            consumer = self.consumers.next()
            if consumer is not None and consumer.no_ack:
                self.position += 1
                self.delivered_no_ack += 1
                if self.context.history is not None:
                    self.take_noted(consumer, message)
                    return 0
                consumer.take(message, None, False)
                return 0
        if message.expiration >= 0 or self.limits.message_ttl >= 0:
            expires_at = self.limits.expiry(message, self.context.clock.now)
        self.position += 1
        entry = new_entry(message, self.position, expires_at, self)
        if message.extra is not None:
            # A dead-lettered copy that is delivered at once is not marked as redelivered; one from the backlog is.
            entry.redelivered = message.extra.redelivered and consumer is None
            entry.acquired = message.extra.acquired
            entry.failed = message.extra.failed
        if self.context.history is not None:
            self.context.history.queued(self, message, self.position)
        ticket = 0
        if self.queue_journal is not None and message.persistent:
            ticket = self.queue_journal.append(entry)
        if consumer is not None:
            self.deliver(consumer, entry)
            return ticket
        self.add(entry)
        return ticket

    def take_noted(self, consumer: Consumer, message: Message) -> None:
        """Deliver a message at once without acknowledgement, and report that to the history."""
        history = self.context.history
        if history is not None:
            history.queued(self, message, self.position)
            consumer.take(message, None, False)
            history.delivered(self, self.position, consumer, True)

    def add(self, entry: Entry) -> None:
        """Add an entry to the backlog, then enforce the length limits and the TTL."""
        self.backlog.push(entry)
        self.ready += 1
        self.ready_bytes += entry.message.size
        count: cython.Py_ssize_t = self.ready
        if self.limits.drops:
            self.drop_overflow()
        if entry.expires_at:
            self.has_ttl = True
            self.expiry_added(entry, count)
        elif self.has_ttl and self.ready < count:  # another entry is the head now
            self.refresh_expiry()

    def expiry_added(self, entry: Entry, count: cython.Py_ssize_t) -> None:
        """Refresh the expiry timer after an entry that expires was added, which made it `count` entries. One that comes
        before the head by priority waits for the next operation (rabbit_amqqueue_process:deliver_or_enqueue)."""
        if 1 < count == self.ready:
            self.overtaken = self.overtaken or (self.backlog.here(False) and self.backlog.first() is entry)
        else:
            self.refresh_expiry()

    def restore(self, block: BacklogBlock, level: cython.Py_ssize_t) -> None:
        """Add entries that the store has read back behind the others; `restored` is called after the last block."""
        self.backlog.accept(block, level)
        self.ready += block.count
        self.ready_bytes += block.bodies
        self.position = max(self.position, block.last)
        if block.has_ttl:
            self.has_ttl = True

    def restored(self) -> None:
        """Enforce limits and TTL after the last `restore`."""
        if self.limits.drops:
            self.drop_overflow()
        if self.has_ttl:
            self.refresh_expiry()

    # --- out

    def run(self) -> None:
        """Deliver ready messages while a consumer has credit. If thousands of consumers take very many, a job delivers
        the rest."""
        if self.delivering:
            return
        if self.deliver_ready(_DELIVERED_TOGETHER):
            if self.has_ttl:
                self.refresh_expiry()
            return
        self.delivering = True
        self.context.work.begin(self.delivery_steps(), "delivery", queue=self.name, vhost=self.vhost)

    def deliver_ready(self, most: cython.Py_ssize_t) -> bool:
        """Deliver ready messages while a consumer has credit, at most so many, and about `_OCTETS_TOGETHER`. False if
        there may be more."""
        consumer: Consumer | None
        entry: Entry | None
        until: cython.longlong = self.ready_bytes - _OCTETS_TOGETHER
        whole: cython.bint = self.backlog.whole()
        while self.ready:
            if most == 0 or self.ready_bytes < until:
                return False
            if self.has_ttl and not self.overtaken:
                self.drop_expired()
                if self.ready == 0:
                    return True
            if not (whole or self.backlog.here(False)) and self.consumers.has_next() and not self.head_here():
                return True
            consumer = self.consumers.next()
            if consumer is None:
                break
            self.overtaken = False
            entry = self.pop()
            if entry is None:
                break
            most -= 1
            if entry.message.head > _LARGE_HEADER:  # it is decoded if counts are added
                until += entry.message.head * _HEADER_COST
            self.deliver(consumer, entry)
            if self.rewritten:
                until += self.rewritten * _REWRITTEN_OCTETS
                self.rewritten = 0
        return True

    def delivery_steps(self) -> Steps:
        """Deliver in portions."""
        try:
            while not self.gone and not self.deliver_ready(_PORTION):
                yield self.context.publish_dead_letters()
        finally:
            self.delivering = False
        if self.has_ttl and not self.gone:
            self.refresh_expiry()
        self.context.publish_dead_letters()

    def pop(self) -> Entry | None:
        """Remove the head of the backlog; it counts neither as ready nor as unacknowledged."""
        entry: Entry | None = self.backlog.pop()
        if entry is not None:
            self.ready -= 1
            self.ready_bytes -= entry.message.size
        return entry

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Deliver an entry to a consumer."""
        self.redelivered += entry.redelivered
        if consumer.no_ack:
            self.delivered_no_ack += 1
            self.forget(entry)
            consumer.take(self.message_to_deliver(entry), None, entry.redelivered)
        else:
            self.delivered += 1
            self.mark_unacked(entry)
            consumer.take(self.message_to_deliver(entry), entry, entry.redelivered)
        if self.context.history is not None:
            self.context.history.delivered(self, entry.position, consumer, consumer.no_ack)

    def mark_unacked(self, entry: Entry) -> None:
        """Count an entry as unacknowledged."""
        self.unacked += 1
        self.unacked_bytes += entry.message.size
        entry.delivered_at = self.context.clock.now
        if entry.stored and self.queue_journal is not None:
            self.queue_journal.delivered(entry)

    def message_to_deliver(self, entry: Entry) -> Message:
        """Return the message as the consumer gets it; other queue types add headers."""
        return entry.message

    def get(self, no_ack: bool) -> Entry | None:
        """Take the head for basic.get, unacknowledged unless `no_ack`; None if nothing is ready. Raises `Suspended`
        before it takes anything, while many messages expire or the head is being read."""
        entry: Entry | None
        self.queue_expiry.touch()
        if self.has_ttl and not self.overtaken:
            self.drop_expired()
            self.check_free()
        if self.ready and not self.head_here() and self.reading is not None:
            raise Suspended(self.reading)
        self.overtaken = False
        entry = self.pop()
        if entry is None:
            self.got_empty += 1
            return None
        self.redelivered += entry.redelivered
        if no_ack:
            self.got_no_ack += 1
            self.forget(entry)
        else:
            self.got += 1
            self.mark_unacked(entry)
        return entry

    def head_here(self) -> bool:
        """Return whether the head of the backlog is there, and if messages expire, all that can be the head. If not, it
        is being read, and the queue goes on when it has come."""
        read: DiskRead | None
        every: cython.bint
        if not self.has_ttl and self.backlog.here(False):
            return True
        every = self.has_ttl and self.heads_expire
        if self.backlog.here(every):
            return True
        if self.reading is None:
            read = self.backlog.bring(every)
            if read is None or read.done:
                return True
            self.reading = Job.elsewhere("paged messages")
            read.when_done(partial(self.head_read, self.reading))
        return False

    def needs_content(self, entry: Entry) -> PagedContent | None:
        """Return the content of an unacknowledged entry if it would be dead-lettered and must be read first."""
        return absent_content(entry) if self.dead_letter_exchange is not None and not self.gone else None

    def head_read(self, job: Job) -> None:
        """The head has been read."""
        self.context.agenda.call_after(0, partial(self.head_came, job))

    def head_came(self, job: Job) -> None:
        """Go on with what has waited for the head: called by the agenda, so that what is delivered is sent."""
        self.reading = None
        self.context.work.complete(job)
        if not self.gone and self.busy is None:
            self.taken_back()
            self.context.publish_dead_letters()

    def ready_after_get(self, no_ack: bool) -> int:
        """Count the ready messages after a `get`, without those that have expired."""
        if self.has_ttl:
            self.refresh_expiry()
        return self.ready

    def track_get(self, entry: Entry, holder: Holder) -> None:
        """Note that `holder` holds an entry that `get` returned."""

    def message_to_get(self, entry: Entry) -> Message:
        """`message_to_deliver`, for callers outside the hot path."""
        return self.message_to_deliver(entry)

    # --- back

    def settle(self, entry: Entry) -> None:
        """Acknowledge an entry."""
        self.unacked -= 1
        self.unacked_bytes -= entry.message.size
        self.acked += 1
        if self.context.history is not None:
            self.context.history.acked(self, entry.position)
        self.forget(entry)

    def requeue(self, entries: list[Entry], why: cython.int) -> None:
        """Requeue unacknowledged entries, each to its original position, and deliver again. `why`: see message.py.

        Many are requeued by a job, and any after the job that the queue is busy with.
        """
        if self.busy is None and len(entries) <= _PORTION:
            self.take_back(entries, why)
            self.taken_back()
        elif not self.gone:
            self.context.occupy(self, self.requeue_steps(entries, why), "requeue")

    def requeue_steps(self, entries: list[Entry], why: int) -> Steps:
        """Requeue entries in portions. The list is used up."""
        for portion in portions(entries, PORTION):
            self.take_back(portion, why)
            yield self.context.publish_dead_letters()
        self.taken_back()
        self.context.publish_dead_letters()

    def take_back(self, entries: list[Entry], why: cython.int) -> None:
        """Put unacknowledged entries back into the backlog."""
        entry: Entry
        failed: cython.int = why in (REJECTED, CHANNEL_CLOSED)  # counts for dead letters
        if self.gone:
            return
        if self.crashed:
            self.lose(entries)
            return
        for entry in entries:
            self.unacked -= 1
            self.unacked_bytes -= entry.message.size
            self.ready_bytes += entry.message.size
            entry.redelivered = True
            entry.consumer = None
            entry.failed += failed
            if entry.expires_at:
                self.has_ttl = True
            if entry.stored and self.queue_journal is not None:
                self.queue_journal.returned(entry)
        if self.context.history is not None:
            self.context.history.requeued(self, entries, why)
        self.backlog.requeue(entries)
        self.ready += len(entries)

    def taken_back(self) -> None:
        """Enforce TTL and limits after entries were put back, and deliver."""
        if self.gone:
            return
        if self.has_ttl:
            self.drop_expired()
        if self.limits.drops:
            self.drop_overflow()
        self.run()

    def reject(self, entry: Entry, why: cython.int) -> None:
        """Dead-letter or drop an entry after basic.reject or basic.nack without requeue."""
        self.unacked -= 1
        self.unacked_bytes -= entry.message.size
        self.dead_letter(entry, "rejected", why)

    def forget(self, entry: Entry) -> None:
        """Remove an entry from the store."""
        if entry.stored and not self.gone and self.queue_journal is not None:
            self.queue_journal.settle(entry)

    # --- dead letters

    def dead_letter(self, entry: Entry, reason: str, why: cython.int) -> None:
        """Collect an entry as a dead letter; the store forgets it when its copies are published. `why`: how its
        consumer rejected it, or 0. If its content cannot be read back, the queue crashes."""
        if self.context.history is not None:
            self.context.history.died(self, entry, reason)
        if self.dead_letter_exchange is None or self.gone:
            self.forget(entry)
        elif bring_back(entry):
            self.context.dead_letters.append((self, entry.message, reason, entry, why))

    def dead_letter_refused(self, message: Message, reason: str) -> None:
        """Collect a refused publish as a dead letter (reject-publish-dlx)."""
        if self.dead_letter_exchange is not None and not self.gone:
            self.context.dead_letters.append((self, message, reason, None, 0))

    def drop_overflow(self) -> None:
        """Drop from the head until the limits hold (overflow drop-head). A busy queue does so when it is free."""
        if self.busy is None and not self.drop_excess(_PORTION):
            self.context.occupy(self, self.overflow_steps(), "max-length")

    def overflows(self) -> bool:
        """Return whether the backlog is beyond the length limits."""
        return self.limits.overflows(self.ready, self.ready_bytes)

    def drop_excess(self, most: cython.Py_ssize_t) -> bool:
        """Drop from the head, at most so many messages; True if the limits hold then."""
        entry: Entry | None
        while self.ready and self.overflows():
            if most == 0 or not self.head_here():
                return False
            most -= 1
            entry = self.pop()
            if entry is None:
                break
            self.dead_letter(entry, "maxlen", 0)
        return True

    def overflow_steps(self) -> Steps:
        """Drop from the head until the limits hold, whatever the overflow is from now on."""
        while not self.gone and not self.drop_excess(_PORTION):
            yield self.context.publish_dead_letters() or self.reading
        self.context.publish_dead_letters()

    def drop_expired(self) -> None:
        """Drop expired messages at the head; those behind a head that has not expired stay (docs: ttl). A busy queue
        does so when it is free."""
        self.overtaken = False
        if self.busy is None and not self.drop_due(self.context.clock.now, _PORTION):
            self.context.occupy(self, self.expiry_steps(self.context.clock.now), "expiry")

    def drop_due(self, now: cython.longlong, most: cython.Py_ssize_t) -> bool:
        """Drop messages at the head that are due at `now`, at most so many; False if there are more."""
        entry: Entry | None
        while self.ready:
            if not self.head_here():
                return False
            entry = self.backlog.first()
            if entry is None or entry.expires_at == 0 or entry.expires_at > now:
                break
            if most == 0:
                return False
            most -= 1
            entry = self.pop()
            if entry is not None:
                self.dead_letter(entry, "expired", 0)
        return True

    def expiry_steps(self, now: int) -> Steps:
        """Drop what is due at `now`."""
        while not self.gone and not self.drop_due(now, _PORTION):
            yield self.context.publish_dead_letters() or self.reading
        self.context.publish_dead_letters()

    def refresh_expiry(self) -> None:
        """Drop expired messages at the head, and schedule the expiry of the new head."""
        entry: Entry | None
        self.drop_expired()
        if self.ready == 0:
            self.has_ttl = False
            return
        if self.busy is not None:
            return
        entry = self.backlog.first()
        if entry is not None and entry.expires_at:
            self.expire_at(entry.expires_at)

    def expire_at(self, at: cython.longlong) -> None:
        """Schedule the expiry of the head at `at`, unless it is scheduled earlier."""
        if self.expiry is not None:
            if not self.expiry.cancelled and self.expiry.at <= at:
                return
            self.context.agenda.cancel(self.expiry)
        self.expiry = self.context.agenda.call_at(at, self.expire_head)

    def expire_head(self) -> None:
        """Drop expired messages: called by the agenda when the head is due."""
        self.expiry = None
        if self.gone:
            return
        try:
            self.refresh_expiry()
        except Exception:
            self.expire_at(self.context.clock.now + _RETRY_INTERVAL_MS)
            raise
        if self.context.dead_letters:
            self.context.publish_dead_letters()

    # --- checks of client operations

    def admit(self, exclusive: bool, no_ack: bool, prefetch: int, global_prefetch: int) -> None:
        """Raise 403 if the queue cannot have this consumer (rabbit_amqqueue: exclusive_consume_unavailable)."""
        members = self.consumers.members
        oldest = next(iter(members), None)  # an exclusive one is alone
        if (oldest is not None and oldest.exclusive) or (
            exclusive and (members or self.consumers.single_active)
        ):
            raise errors.exclusive_use(self.name, self.vhost)

    def accept(self, consumer: Consumer) -> None:
        """Raise an error for consumer arguments that this queue type cannot serve."""

    def admit_get(self) -> None:
        """Raise 540 if this queue type has no basic.get."""

    def admit_delete(self, if_unused: bool, if_empty: bool) -> None:
        """Raise 406 if a condition of queue.delete does not hold."""
        if if_empty and self.ready:
            raise errors.queue_not_empty(self.name, self.vhost)
        if if_unused and self.consumers.members:
            raise errors.queue_in_use(self.name, self.vhost)

    def declared_counts(self) -> tuple[int, int]:
        """Return the counts of declare-ok: ready messages, consumers."""
        return self.ready, len(self.consumers.members)

    def deleted_count(self) -> int:
        """Return the count of delete-ok: ready messages."""
        return self.declared_counts()[0]

    @property
    def has_exclusive_consumers(self) -> bool:
        """Whether basic.consume can be exclusive; other queue types ignore it."""
        return True

    # --- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """Add a consumer; the next `run` delivers to it."""
        self.had_consumer = True
        self.consumers.add(consumer)

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove a consumer, then delete an auto-delete queue or deliver to the others."""
        self.detach(consumer)
        self.detached()

    def detach(self, consumer: Consumer) -> None:
        """Remove a consumer; `detached` is called after all consumers that are removed together."""
        self.consumers.remove(consumer)
        if self.consumers.dropped:
            dropped: list[Consumer] = self.consumers.dropped
            self.consumers.dropped = []
            self.context.work.begin(free(dropped), "consumer end")

    def detached(self) -> None:
        """Delete an auto-delete queue after its last consumer was removed, otherwise deliver to the others."""
        if self.gone:
            return
        if not self.consumers.members and self.had_consumer:
            self.queue_expiry.touch()
            if self.auto_delete:
                self.context.remove(self, "auto_delete")
                return
        self.run()

    @property
    def serves_together(self) -> bool:
        """Whether consumers that regain credit together are all back in the rotation before one is served."""
        return True

    def unblock(self, consumer: Consumer) -> None:
        """Put a blocked consumer back into the rotation without serving it."""
        self.consumers.wake(consumer)

    def wake(self, consumer: Consumer) -> None:
        """Serve a consumer that may have credit again."""
        self.consumers.wake(consumer)
        self.run()

    # --- limits, deletion, crash

    def configure(
        self, limits: Limits, dead_letter_exchange: str | None, dead_letter_routing_key: str | None
    ) -> None:
        """Set the effective limits and the dead letter target, at declaration and when a policy changes."""
        if self.crashed:
            return
        before: Limits = self.limits
        self.limits = limits
        self.dead_letter_exchange = dead_letter_exchange
        self.dead_letter_routing_key = dead_letter_routing_key
        drops = limits.drops or (limits.bounded and self.drops_before_rejecting(before))
        if drops and (self.busy is not None or not self.drop_excess(_PORTION)):
            self.context.occupy(self, self.overflow_steps(), "max-length")
        if self.has_ttl:
            self.refresh_expiry()
        self.queue_expiry.configured()

    def drops_before_rejecting(self, before: Limits) -> bool:
        """Return whether messages are dropped before new limits reject publishes: if `before` did not reject them
        (rabbit_amqqueue_process:process_args_policy)."""
        return not before.reject

    def purge(self) -> tuple[int, Job]:
        """Drop all ready messages; returns how many, and the job that settles them with the store and frees them."""
        count = self.ready
        if self.context.history is not None:
            self.context.history.purged(self)
        return count, self.discard(self.take_backlog(), self.queue_journal, "purge")

    def discard(self, backlog: Backlog, journal: QueueJournal | None, place: str) -> Job:
        """Free a backlog that was detached, and settle it if `journal` is given."""
        steps = self.discard_steps(backlog, journal)
        return self.context.work.begin(steps, place, queue=self.name, vhost=self.vhost)

    def discard_steps(self, backlog: Backlog, journal: QueueJournal | None) -> Steps:
        """Free a backlog in portions. If it cannot be read back to be settled, the queue crashes."""
        more = True
        while more:
            read = backlog.bring_to_settle() if journal is not None and not self.gone else None
            if read is not None and not read.done:
                yield self.context.work.reading(read, "paged messages")
                continue
            try:
                more = backlog.release_some(None if self.gone else journal)
            except OSError as error:
                self.crash(str(error))
                journal = None
            yield None

    def close(self, kept: bool = False) -> list[Consumer]:
        """End a queue that is deleted: nothing is delivered or settled any more. Returns the consumers it had. `kept`:
        it is not deleted, and its store keeps the messages."""
        consumers: list[Consumer] = self.consumers.remove_all()
        self.context.work.begin(self.consumers.free_steps(), "deletion")
        self.queue_expiry.stop()
        self.queue_expiry = NO_EXPIRY
        if self.expiry is not None:
            self.context.agenda.cancel(self.expiry)
        if self.queue_journal is not None and not kept:
            self.queue_journal.purge()
        self.gone = True
        if self.context.history is not None and not kept:
            self.context.history.deleted(self)
        self.discard(self.take_backlog(), None, "deletion")
        return consumers

    def crash(self, reason: str) -> None:
        """Stop serving a queue whose backlog cannot be read back. In RabbitMQ the queue's process would crash, and fail
        to restart for the same reason: publishes are refused, consumers cancelled (`VhostContext.crashed`, after the
        current operation), and other operations get 404. The store keeps its messages for the next start."""
        if self.gone or self.crashed:
            return
        self.crashed = f"{self.ready} messages that wait cannot be read back: {reason}"
        self.backlog.release()
        self.ready = 0
        self.ready_bytes = 0
        self.has_ttl = False
        self.limits = Limits(-1, self.limits.expires, 0, -1, "reject-publish")
        self.context.agenda.call_after(0, self.report_crash)

    def report_crash(self) -> None:
        """Report the crash to the engine: called by the agenda."""
        if not self.gone:
            self.context.crashed(self)

    def lose(self, entries: list[Entry]) -> None:
        """Drop requeued entries of a crashed queue."""
        entry: Entry
        for entry in entries:
            self.unacked -= 1
            self.unacked_bytes -= entry.message.size

    def occupied(self) -> None:
        """Deliver nothing from now on, because a job is at work on the queue."""
        self.consumers.hold()

    def freed(self) -> None:
        """Do what was due while the queue was busy, and deliver again."""
        self.consumers.resume()
        self.taken_back()
        self.context.publish_dead_letters()

    def check_free(self) -> None:
        """Raise `Suspended` while a long operation is at work on the queue."""
        if self.busy is not None:
            raise Suspended(self.busy)

    def check_crashed(self) -> None:
        """Raise 404 if the queue has crashed."""
        if self.crashed:
            raise errors.queue_crashed(self.name, self.vhost)

    @property
    def exclusive(self) -> bool:
        """Whether the queue belongs to one connection."""
        return self.owner is not None
