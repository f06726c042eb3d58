"""A stream: a log that consumers read without removing anything (docs: streams).

A publish is appended to `StreamLog` in the form in which it will be delivered, with the next offset. Every consumer has
a cursor and reads at its own pace; acknowledgements only give it credit. A consumer that has read everything is one of
the `followers`, which get a new message at once; one without credit, or with a full connection, is blocked until
`wake`. A consumer reads on until its connection is full or its filter has skipped `MAX_SKIPPED` records; then others
are served.

Records are kept until retention drops their segment. There is no TTL, no dead lettering, no purge and no basic.get.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.queues.message import NACKED, REJECTED
from leveret.queues.options import Moment, QueueOptions
from leveret.queues.stream.conversion import converted_message
from leveret.queues.stream.log import HELD_BYTES, PROOF_SIZE, SEGMENT_BYTES
from leveret.work import Job, Steps, Suspended, free

if TYPE_CHECKING:
    from leveret.queues.disk_read import DiskRead

if cython.compiled:
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.context import VhostContext
    from cython.cimports.leveret.queues.limits import Limits
    from cython.cimports.leveret.queues.message import Entry, Message, new_entry
    from cython.cimports.leveret.queues.queue import Queue
    from cython.cimports.leveret.queues.stream.conversion import put_plain
    from cython.cimports.leveret.queues.stream.log import Cursor, Page, StreamLog
    from cython.cimports.leveret.wire.frames import Outbox, u32
else:
    from leveret.queues.consumers import Consumer
    from leveret.queues.context import VhostContext
    from leveret.queues.limits import Limits
    from leveret.queues.message import Entry, Message, new_entry
    from leveret.queues.queue import Queue
    from leveret.queues.stream.conversion import put_plain
    from leveret.queues.stream.log import Cursor, Page, StreamLog
    from leveret.wire.frames import Outbox, u32

#: Pages of the log that are freed together: well under a millisecond.
PAGES_FREED_TOGETHER = 32

#: Consumers that are served in one turn, and octets that they get; the others are served in the next one.
SERVED_TOGETHER = 512
_SERVED_TOGETHER = cython.declare(cython.Py_ssize_t, SERVED_TOGETHER)
_OCTETS_TOGETHER = cython.declare(cython.longlong, 2 * 1024 * 1024)

#: What a record counts among these octets besides its own: a client decides how small records are, and to deliver or
#: to pass over one takes time, too.
_RECORD_OCTETS = cython.declare(cython.longlong, 256)

_HELD_BYTES = cython.declare(cython.longlong, HELD_BYTES)

#: Cursors among which those of consumers that are gone are looked for.
_FEW = cython.declare(cython.Py_ssize_t, 32)

#: Records that a filter skips before other consumers are served.
MAX_SKIPPED = 20_000
_MAX_SKIPPED = cython.declare(cython.Py_ssize_t, MAX_SKIPPED)

#: Pages that are read at the same time to find the offset of a time.
MAX_LOCATED = 8

#: Space for a proof, which the store writes when the chunk is complete.
_NO_PROOF = cython.declare(bytes, bytes(PROOF_SIZE))

#: The message of all entries: the real ones are in the log.
_READ = Message()


class StreamQueue(Queue):
    """A stream. `log`: its records; `followers`: cursors of consumers that have read all of them and have credit;
    `behind`: those of them that are being served with new records, from `next_behind` on: all up to
    `followed`; `serving`: the one whose turn it is.
    `waiting`: cursors that the next `run` serves; `leaving`: how many of all these are of consumers that are gone;
    `given`: octets that consumers got or passed over; `broken`: cursors of consumers that are ended because a page
    could not be read. `located`: pages that are read to find the offset of a time, by their first offsets. `ready`
    counts the stored records; no entry is ever unacknowledged."""

    def __init__(self, name: str, vhost: str, context: VhostContext, profile: Profile) -> None:
        super().__init__(name, vhost, context)
        self.kind = "stream"
        self.profile: Profile = profile
        self.containers: bool = profile.message_containers
        self.log: StreamLog = StreamLog(context.pager)
        self.log.discard = self.free_pages
        self.lead: Outbox = Outbox()
        self.rest: Outbox = Outbox()
        self.followers: list[Cursor] = []
        self.behind: list[Cursor] = []
        self.next_behind: int = 0
        self.followed: int = 0
        self.serving: Cursor | None = None
        self.leaving: int = 0
        self.given: int = 0
        self.waiting: list[Cursor] = []
        self.broken: list[Cursor] = []
        self.located: dict[int, DiskRead] = {}
        self.called: bool = False
        self.pushing: bool = False
        self.exchange: bytes | None = None
        self.routing_key: bytes | None = None

    # --- in

    def push(self, message: Message) -> int:
        """Append a routed message, and deliver it to the followers."""
        ticket: cython.Py_ssize_t = 0
        self.published += 1
        self.store(message)
        self.position = self.log.end
        self.ready = self.log.end - self.log.first()
        self.ready_bytes = self.log.size
        if self.log.stream_journal is not None:
            ticket = self.log.stream_journal.grown(message.head + message.size)
        if self.context.history is not None:
            self.context.history.queued(self, message, self.position - 1)
        if self.followers or self.behind:
            self.follow()
        return ticket

    def follow(self) -> None:
        """Deliver new records to the followers. If they are very many, the others are served in later turns."""
        if self.pushing:  # the firehose publishes deliveries of this stream to this stream
            self.call()
            return
        self.pushing = True
        try:
            if not self.follow_some(_SERVED_TOGETHER, self.given + _OCTETS_TOGETHER):
                self.call()
        except Exception as error:  # a fault of one consumer must not affect the publisher or other consumers
            if self.serving is None:
                raise
            self.serving.consumer.failed(error)
            self.call()
        finally:
            self.pushing = False
            self.serving = None

    def follow_some(self, most: cython.Py_ssize_t, limit: cython.longlong) -> bool:
        """Serve at most so many followers, until the octets that were `given` are `limit`. True if all were served."""
        cursor: Cursor
        passed: list[Cursor]
        while True:
            if self.next_behind >= len(self.behind):
                passed = self.behind
                passed.clear()
                self.next_behind = 0
                if self.followed == self.log.end or not self.followers:
                    return True
                self.followed = self.log.end
                self.behind = self.followers
                self.followers = passed
            if most == 0 or self.given > limit:
                return False
            most -= 1
            cursor = self.behind[self.next_behind]
            self.next_behind += 1
            self.serving = cursor
            if cursor.consumer.gone:
                self.leaving -= 1
            elif self.serve(cursor):
                self.followers.append(cursor)

    def store(self, message: Message) -> None:
        """Append a message to the log. Raises AmqpError if its properties cannot be stored."""
        log: StreamLog = self.log
        lead: Outbox = self.lead
        rest: Outbox = self.rest
        properties: bytes
        value: bytes | None = None
        flags: cython.uint
        size: cython.Py_ssize_t
        if rest.size or lead.size:  # left by a message whose storing has failed
            rest.take()
            lead.take()
        if not put_plain(rest, message, log.end, self.containers):
            properties, value = converted_message(message, log.end, self.profile)
            rest.put_u32(len(properties))
            rest.put(properties)
        if message.size:
            rest.put_slice(message.content, message.head + 7, message.size)
        flags = log.open(self.context.clock.now, self.context.clock.tick_count)
        size = 1 + rest.size
        if flags & 1:
            size += 8
        if flags & 8:
            size += 24
        if value is not None:
            flags |= 2
            size += 4 + len(value)
        if flags & 4 or message.routing_key != self.routing_key or message.exchange != self.exchange:
            flags |= 4
            self.exchange = message.exchange
            self.routing_key = message.routing_key
            size += 2 + len(message.exchange) + len(message.routing_key)
        lead.put_u32(size)
        lead.put_u8(flags)
        if flags & 1:
            lead.put_u64(self.context.clock.now)
        if flags & 8:
            lead.put(_NO_PROOF)
        if value is not None:
            lead.put_u32(len(value))
            lead.put(value)
        if flags & 4:
            lead.put_u8(len(message.exchange))
            lead.put(message.exchange)
            lead.put_u8(len(message.routing_key))
            lead.put(message.routing_key)
        log.append(lead.take(), rest.take())

    # --- out

    def run(self) -> None:
        """Serve the waiting consumers. If they are very many, the others are served in later turns."""
        waiting: list[Cursor] = self.waiting
        limit: cython.longlong = self.given + _OCTETS_TOGETHER
        served: cython.Py_ssize_t = 0
        cursor: Cursor
        if not waiting:
            return
        self.waiting = []
        while served < len(waiting) and served < _SERVED_TOGETHER and self.given <= limit:
            cursor = waiting[served]
            served += 1
            if cursor.consumer.gone:
                self.leaving -= 1
                continue
            try:
                self.resume(cursor)
            except Exception as error:
                cursor.consumer.failed(error)
        if served < len(waiting):
            del waiting[:served]
            waiting.extend(self.waiting)
            self.waiting = waiting
            self.call()

    def resume(self, cursor: Cursor) -> None:
        """Serve a consumer that is not a follower."""
        consumer: Consumer = cursor.consumer
        if consumer.gone:
            return
        consumer.blocked_order = 0
        if self.serve(cursor):
            self.followers.append(cursor)

    def serve(self, cursor: Cursor) -> bool:
        """Deliver records while the consumer has credit; True if it has read everything."""
        log: StreamLog = self.log
        consumer: Consumer = cursor.consumer
        page: Page | None
        p: cython.p_const_uchar
        skipped: cython.Py_ssize_t = 0
        at: cython.Py_ssize_t
        at = -1 if cursor.page is None else 0
        page = cursor.here(log) if cursor.offset < log.end else None
        if page is None:
            return self.at_end(cursor)
        if at < 0:
            self.given += cursor.at  # it was looked for from the beginning of its page
        p = cursor.data
        if log.stream_journal is not None and log.stream_journal.unwritten:
            log.stream_journal.mark_delivered()
        while cursor.offset < log.end:
            if cursor.at >= page.size:
                page = cursor.next_page(log, page)
                if page is None:
                    return self.at_end(cursor)
                p = cursor.data
            if not consumer.ready():
                consumer.blocked_order = 1
                if cursor.held and log.pager.held > _HELD_BYTES:
                    cursor.let_go(log)
                return False
            cursor.inspect(p, page.size)
            at = cursor.at
            cursor.at += 4 + u32(p, at)
            cursor.offset += 1
            if cursor.wanted:
                self.give(cursor, consumer, p, at)
                p = cursor.data  # the firehose may have appended to the page
            else:
                skipped += 1
                self.given += cursor.at - at + _RECORD_OCTETS
                if skipped > _MAX_SKIPPED:
                    self.later(cursor)
                    return False
        return True

    def at_end(self, cursor: Cursor) -> bool:
        """Handle the end of the pages: True if the consumer has read everything, False if the next page is not there
        yet, or could not be read."""
        if cursor.awaited and cursor.coming is not None:
            cursor.coming.when_done(partial(self.page_came, cursor))
            return False
        if not cursor.broken:
            return True
        if not self.broken:
            self.context.agenda.call_after(0, self.end_broken)
        self.broken.append(cursor)
        return False

    def page_came(self, cursor: Cursor) -> None:
        """Serve a consumer that has waited for a page."""
        if not self.gone and not cursor.consumer.gone:
            self.later(cursor)

    def end_broken(self) -> None:
        """End the consumers that cannot read on: called by the agenda."""
        broken, self.broken = self.broken, []
        for cursor in broken:
            self.context.unreadable(self, cursor.consumer, cursor.broken)

    def give(
        self, cursor: Cursor, consumer: Consumer, p: cython.p_const_uchar, at: cython.Py_ssize_t
    ) -> None:
        """Deliver the record at `at`, which the cursor has just read."""
        flags: cython.uint = p[at + 4]
        end: cython.Py_ssize_t = cursor.at
        properties: cython.Py_ssize_t
        entry: Entry = new_entry(_READ, cursor.offset - 1, 0, self)
        entry.delivered_at = self.context.clock.now
        at += 5
        if flags & 1:
            at += 8
        if flags & 8:
            at += 24
        if flags & 2:
            at += 4 + u32(p, at)
        if flags & 4:
            at += 1 + p[at]
            at += 1 + p[at]
        properties = u32(p, at)
        at += 4
        self.delivered += 1
        self.given += end - at + _RECORD_OCTETS
        consumer.read(p, at, properties, end - at - properties, cursor.suffix, entry)
        if self.context.history is not None:
            self.context.history.delivered(self, cursor.offset - 1, consumer, False)

    def later(self, cursor: Cursor) -> None:
        """Serve a consumer again after the others."""
        self.waiting.append(cursor)
        self.call()

    def call(self) -> None:
        """Schedule `go_on`, unless it is scheduled."""
        if not self.called:
            self.called = True
            self.context.agenda.call_after(0, self.go_on)

    def go_on(self) -> None:
        """Serve waiting consumers and followers: called by the agenda."""
        self.called = False
        if not self.gone:
            self.run()
            self.follow()

    # --- settling: any way of it only gives credit

    def settle(self, entry: Entry) -> None:
        """Count an acknowledgement."""
        self.acked += 1
        if self.context.history is not None:
            self.context.history.acked(self, entry.position)

    def requeue(self, entries: list[Entry], why: cython.int) -> None:
        """Count an acknowledgement, or raise an error: nothing is requeued."""
        self.refused(why)

    def reject(self, entry: Entry, why: cython.int) -> None:
        """Count an acknowledgement, or raise an error."""
        self.refused(why)

    def refused(self, why: int) -> None:
        """Raise 540 for basic.nack and basic.reject in versions that do not accept them."""
        if self.profile.stream_nack_acks or self.gone:
            return
        if why in (NACKED, REJECTED):
            raise errors.stream_nack_not_supported(self.name, self.vhost)

    def admit_recover(self) -> None:
        """Raise 541 in the same versions, as RabbitMQ's channel crashes."""
        if not self.profile.stream_nack_acks and not self.gone:
            raise errors.internal_error()

    # --- checks of client operations

    def admit(self, exclusive: bool, no_ack: bool, prefetch: int, global_prefetch: int) -> None:
        """Raise an error for a consumer without acknowledgements or prefetch count, or with a global one; exclusive is
        ignored."""
        if global_prefetch:
            raise errors.global_qos_not_supported(self.name, self.vhost)
        old = self.profile.stream_errors_old
        if not prefetch:
            raise errors.stream_needs_prefetch(self.name, self.vhost, old)
        if no_ack:
            raise errors.stream_needs_acknowledgements(self.name, self.vhost, old)

    def accept(self, consumer: Consumer) -> None:
        """Make the cursor of a consumer (docs: streams#consuming)."""
        options = consumer.options
        log: StreamLog = self.log
        where: object = options.stream_offset
        if where is None or where == "next":
            where = log.end
        elif where == "first":
            where = 0
        elif where == "last":
            where = log.last
        elif not isinstance(where, int):
            # Versions that do not check the type accept any value.
            if not isinstance(where, Moment):
                raise errors.internal_error()
            now = self.context.clock.now
            where = self.offset_at(now - where.milliseconds if where.ago else where.milliseconds)
        cursor: Cursor = Cursor(consumer, max(0, where))
        if options.stream_filter:
            cursor.filters = frozenset(options.stream_filter)
            cursor.unfiltered = options.match_unfiltered
        consumer.cursor = cursor

    def offset_at(self, time: int) -> int:
        """Return the offset of the first chunk that is not older than `time` (ms), or the next offset if there is none.
        Raises `Suspended` while the page is being read."""
        log: StreamLog = self.log
        page: Page | None = log.page_at(time)
        if page is None:
            return log.end
        if page.data is not None:
            return log.offset_at(time, page, page.data)
        read = self.located.get(page.first)
        if read is None:
            if len(self.located) >= MAX_LOCATED:  # who asked for the oldest one has gone, or asks again
                del self.located[next(iter(self.located))]
            read = self.located[page.first] = log.begin_read(page)
        if not read.done:
            job = Job.elsewhere("stream offset")
            read.when_done(partial(self.context.work.complete, job))
            raise Suspended(job)
        del self.located[page.first]
        try:
            return log.offset_at(time, page, read.result())
        except OSError as error:
            self.context.unreadable(self, None, str(error))
            raise errors.internal_error() from error

    def admit_get(self) -> None:
        """Raise 540: streams have no basic.get."""
        raise errors.stream_does_not(self.name, self.vhost, "basic.get")

    def purge(self) -> tuple[int, Job]:
        """Raise 540: streams cannot be purged."""
        raise errors.stream_does_not(self.name, self.vhost, "queue.purge")

    def admit_delete(self, if_unused: bool, if_empty: bool) -> None:
        """Accept: both conditions are ignored."""

    def declared_counts(self) -> tuple[int, int]:
        """Return the stored records, and 0, because consumers are not counted."""
        return self.ready, 0

    def deleted_count(self) -> int:
        """Return 0: delete-ok does not count the records."""
        return 0

    @property
    def has_exclusive_consumers(self) -> bool:
        """Return False: exclusive is ignored."""
        return False

    # --- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """Add a consumer; the next `run` serves it."""
        super().subscribe(consumer)
        self.waiting.append(consumer.cursor)

    def detach(self, consumer: Consumer) -> None:
        """Remove a consumer."""
        super().detach(consumer)
        if consumer.cursor is not None:
            consumer.cursor.let_go(self.log)
            consumer.cursor = None
            self.leaving += 1
            count: cython.Py_ssize_t = len(self.followers) + len(self.waiting) + len(self.behind)
            if self.leaving > _FEW and 2 * self.leaving > count:
                self.drop_gone()

    def drop_gone(self) -> None:
        """Forget the cursors of consumers that are gone. When thousands leave, each must not pass over all others."""
        self.leaving = 0
        self.followers = [one for one in self.followers if not one.consumer.gone]
        self.waiting = [one for one in self.waiting if not one.consumer.gone]
        self.behind = [one for one in self.behind[self.next_behind :] if not one.consumer.gone]
        self.next_behind = 0

    @property
    def serves_together(self) -> bool:
        """Return False: each consumer is served as soon as it has credit."""
        return False

    def unblock(self, consumer: Consumer) -> None:
        """Do nothing: `wake` follows."""

    def wake(self, consumer: Consumer) -> None:
        """Serve a consumer that may have credit again."""
        if consumer.blocked_order and consumer.cursor is not None:
            self.resume(consumer.cursor)

    # --- limits, deletion, crash

    def configure(
        self, limits: Limits, dead_letter_exchange: str | None, dead_letter_routing_key: str | None
    ) -> None:
        """Set the limits of retention."""
        options: QueueOptions = self.effective or self.options
        log: StreamLog = self.log
        log.most = -1 if options.max_length_bytes is None else options.max_length_bytes
        log.age = -1 if options.max_age is None else options.max_age
        log.segment_size = options.max_segment_size_bytes or SEGMENT_BYTES
        if log.retain(self.context.clock.now):
            self.context.work.begin(self.retain_steps(), "retention", queue=self.name, vhost=self.vhost)
        self.restored()

    def retain_steps(self) -> Steps:
        """Drop what is too much or too old, some segments at a time: a client decides how many there are."""
        more = True
        while more and not self.gone:
            more = self.log.retain(self.context.clock.now)
            self.restored()
            yield None

    def restored(self) -> None:
        """Count the records that the store has read back. Retention is applied with the next segment."""
        self.position = self.log.end
        self.ready = self.log.end - self.log.first()
        self.ready_bytes = self.log.size

    def free_pages(self, pages: list[Page]) -> None:
        """Free pages that the log does not need any more, a few at a time."""
        self.context.work.begin(free(pages, PAGES_FREED_TOGETHER), "retention")

    def close(self, kept: bool = False) -> list[Consumer]:
        """End a stream that is deleted. `kept`: it is not, its store keeps the records."""
        consumers = super().close(kept)
        self.log.release(kept)
        self.log.discard = list.clear  # the log does not refer to the stream any more
        self.followers = []
        self.waiting = []
        self.behind = []
        self.next_behind = 0
        for consumer in consumers:
            if consumer.cursor is not None:
                consumer.cursor.let_go(self.log)
                consumer.cursor = None
        return consumers
