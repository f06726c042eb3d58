"""The quorum queue: what of it a client can observe on one node (docs: quorum-queues; rabbit_fifo).

A message that comes back too often is dropped or dead-lettered (`delivery_limit`); how often is told in headers. What
comes back is served before what is ready, in the order it came back. Everything is kept durably, whatever the message's
delivery mode. What counts, and how many priorities there are, depends on the version (`Profile`).
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cython

from leveret import errors
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field, Table

if cython.compiled:
    from cython.cimports.leveret.queues.backlog import Backlog, Fifo, Levels
    from cython.cimports.leveret.queues.blocks import Block
    from cython.cimports.leveret.queues.consumers import Consumer
    from cython.cimports.leveret.queues.message import Entry, Message
    from cython.cimports.leveret.queues.queue import Queue
    from cython.cimports.leveret.queues.surroundings import Surroundings
else:
    from leveret.queues.backlog import Backlog, Fifo, Levels
    from leveret.queues.blocks import Block
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Message
    from leveret.queues.queue import Queue
    from leveret.queues.surroundings import Surroundings

from leveret.queues.message import ABANDONED, REJECTED, frame_content
from leveret.queues.queue import REFUSED

#: The level of messages that name no priority, where there are 32.
DEFAULT_PRIORITY = 4


class Returned(Backlog):
    """`fresh`: what never was handed out. What came back is served before it, in the order it came back, or, with
    `to_front` unset, goes behind all of it."""

    def __init__(self, fresh: Backlog, to_front: bool) -> None:
        super().__init__()
        self.fresh: Backlog = fresh
        self.back: deque[Entry] = deque()
        self.to_front: bool = to_front

    def push(self, entry: Entry) -> None:
        """Behind all others of its priority."""
        self.fresh.push(entry)
        self.length += 1

    def put_back(self, entries: list[Entry]) -> None:
        """What came back."""
        entry: Entry
        self.length += len(entries)
        if self.to_front:
            self.back.extend(entries)
            return
        for entry in entries:
            self.fresh.push(entry)

    def first(self) -> Entry | None:
        """The next to serve."""
        return self.back[0] if self.back else self.fresh.first()

    def pop(self) -> Entry | None:
        """Take the next to serve."""
        if self.length == 0:
            return None
        self.length -= 1
        return self.back.popleft() if self.back else self.fresh.pop()

    def accept(self, block: Block, level: cython.Py_ssize_t) -> None:
        """A block that the store has read back."""
        self.length += block.count
        self.fresh.accept(block, level)

    def level_of(self, priority: cython.int) -> int:
        """As what never was handed out."""
        return self.fresh.level_of(priority)

    def release(self) -> None:
        """Forget everything."""
        self.back.clear()
        self.fresh.release()
        self.length = 0


class QuorumQueue(Queue):
    """A quorum queue. `delivery_limit`: returns that count before a message is given up, -1 for any number.

    `leaving`: cancelled consumers that still hold deliveries; they count as consumers until those are settled.
    """

    def __init__(self, name: str, vhost: str, around: Surroundings, options: Any, profile: Any) -> None:
        super().__init__(name, vhost, around, -1, bool(options.single_active_consumer))
        self.kind = "quorum"
        self.profile: Any = profile
        limit = options.delivery_limit
        self.delivery_limit: int = limit if isinstance(limit, int) and limit >= 0 else -1
        self.leaving: list[Consumer] = []
        fresh: Backlog = Fifo(around.pager)
        if profile.quorum_priorities > 2:
            fresh = Levels(around.pager, profile.quorum_priorities - 1, DEFAULT_PRIORITY)
        self.backlog = Returned(fresh, profile.returned_first or self.delivery_limit >= 0)

    # --- in

    def push(self, message: Message) -> int:
        """A routed message enters. reject-publish refuses it when the limit is exceeded already, not when it would be:
        so a quorum queue may hold one more (docs: quorum-queues#limitations)."""
        consumer: Consumer | None
        entry: Entry
        ticket: int = 0
        self.published += 1
        if self.limits.bounded and self.limits.reject and self.limits.overflows(self.ready, self.ready_bytes):
            return REFUSED
        self.position += 1
        entry = Entry(message, self.position, self.limits.expiry(message, self.around.clock.now), self)
        if message.extra is not None:
            entry.redelivered = message.extra.redelivered
            entry.acquired = message.extra.acquired
            entry.failed = message.extra.failed
        if self.ledger is not None:
            ticket = self.ledger.append(entry)
        consumer = self.lineup.next() if self.ready == 0 else None
        if consumer is not None:
            self.hand(consumer, entry)
        else:
            self.add(entry)
        return ticket

    # --- out

    def shown(self, entry: Entry) -> Message:
        """The message with the counts of its returns in its headers."""
        counts: Table = {}
        if self.profile.acquired_count and entry.acquired:
            counts["x-acquired-count"] = Field("l", entry.acquired)
        if entry.failed or self.profile.delivery_count_from_zero:
            counts["x-delivery-count"] = Field("l", entry.failed)
        return _with_headers(entry.message, counts) if counts else entry.message

    # --- back

    def put_back(self, entries: list[Entry], why: cython.int) -> None:
        """Requeue handed out entries; those that came back too often die."""
        entry: Entry
        kept: list[Entry] = []
        counts: bool = self.profile.nack_counts or why in (REJECTED, ABANDONED)
        if self.gone:
            return
        for entry in entries:
            self.unacked -= 1
            self.unacked_bytes -= entry.message.size
            entry.redelivered = True
            entry.taker = None
            if counts:
                entry.failed += 1
            if self.delivery_limit >= 0 and entry.failed > self.delivery_limit:
                self.bury(entry, "delivery_limit", 0)
                continue
            entry.acquired += 1
            if entry.expires_at:
                self.mortal = True
            if entry.stored and self.ledger is not None:
                self.ledger.returned(entry)
            self.ready += 1
            self.ready_bytes += entry.message.size
            kept.append(entry)
        self.backlog.put_back(kept)
        if self.mortal:
            self.drop_expired()
        if self.limits.bounded:
            self.drop_overflow()
        self.run()

    # --- what a client may ask of it

    def admit(self, exclusive: bool, no_ack: bool, prefetch: int, global_prefetch: int) -> None:
        """Exclusiveness is ignored; a limit for the whole channel is not possible."""
        if global_prefetch:
            raise errors.global_qos_not_supported(self.name, self.vhost)

    def admit_get(self) -> None:
        """Not with single active consumer."""
        if self.lineup.single:
            raise errors.get_with_single_active_consumer(self.name, self.vhost, self.profile.quorum_word)

    def admit_delete(self, if_unused: bool, if_empty: bool) -> None:
        """Neither condition is supported."""
        if if_unused:
            raise errors.conditional_delete_not_supported(self.name, self.vhost, "if-unused")
        if if_empty:
            raise errors.conditional_delete_not_supported(self.name, self.vhost, "if-empty")

    def declared_counts(self) -> tuple[int, int]:
        """Ready, and consumers: a cancelled one counts until its deliveries are settled."""
        self.leaving = [consumer for consumer in self.leaving if consumer.held]
        return self.ready, len(self.lineup.members) + len(self.leaving)

    def declared_again(self) -> None:
        """Declaring does not renew x-expires."""

    # --- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """A consumer joins; in some versions one of higher priority takes over from the single active one."""
        active: Consumer | None
        super().subscribe(consumer)
        active = self.lineup.active
        if (
            self.lineup.single
            and self.profile.active_consumer_displaced
            and active is not None
            and consumer.priority > active.priority
        ):
            self.lineup.promote(consumer)

    def detach(self, consumer: Consumer) -> None:
        """A consumer leaves the line; it is remembered while it holds deliveries."""
        super().detach(consumer)
        if consumer.held:
            self.leaving.append(consumer)


def _with_headers(message: Message, more: Table) -> Message:
    """A copy of a message with more headers, as one consumer sees it."""
    properties = decode_properties(message.header)
    headers = {**(properties.headers or {}), **more}
    properties.headers = dict(sorted(headers.items(), key=_octets))
    copy = Message(message.exchange, message.routing_key)
    copy.content, copy.head = frame_content(encode_properties(properties, message.size), message.body)
    copy.size = message.size
    return copy


def _octets(item: tuple[str, Field]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")
