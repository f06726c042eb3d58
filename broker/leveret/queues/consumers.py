"""The consumers of a queue, their credit, and which of them gets the next message.

Consumers are in a rotation, higher `x-priority` first, round robin among equals. A consumer that has no credit when it
is next is blocked, until something wakes it; so a thousand consumers without credit cost nothing. RabbitMQ does the
same (rabbit_queue_consumers: active, blocked). With single active consumer only the active one is in the rotation
(docs: consumers#single-active-consumer).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import cython

from leveret.queues.options import ConsumerOptions
from leveret.queues.tallies import UNCOUNTED
from leveret.queues.waiting import Waiting
from leveret.wire.tables import Table
from leveret.work import free

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, Message, Source
    from cython.cimports.leveret.queues.tallies import DeliveryTally
else:
    from leveret.queues.message import Entry, Message, Source
    from leveret.queues.tallies import DeliveryTally

if TYPE_CHECKING:
    from leveret.work import Steps


class Deliveries(Protocol):
    """The unacknowledged deliveries of a channel."""

    def in_order(self) -> Iterator[Entry]:
        """Yield them, oldest first."""


class Consumer:
    """One subscription of a channel to a queue. The session extends it with how to deliver.

    `prefetch`: prefetch count of the channel when it was started; `limit`: how many unacknowledged deliveries it may
    have, 0 for any number; `held`: how many it has. `blocked_order`: how many consumers were blocked before it, 0 if it
    is in the rotation. `stale`: its places in the rotation that do not count any more. `gone`: cancelled; its
    deliveries stay valid. `options`: the parsed arguments of basic.consume. `cursor`: where it reads a stream.
    `timeout`: acknowledgement timeout, ms; -1 for none. `tally`: counts its deliveries; its channel has one for each
    queue.
    """

    def __init__(
        self, tag: str, source: Source, no_ack: bool, exclusive: bool, priority: int, limit: int
    ) -> None:
        self.tag: str = tag
        self.source: Source = source
        self.no_ack: bool = no_ack
        self.exclusive: bool = exclusive
        self.priority: int = priority
        self.limit: int = 0 if no_ack else limit
        self.prefetch: int = limit
        self.held: int = 0
        self.blocked_order: int = 0
        self.stale: int = 0
        self.gone: bool = False
        self.options: ConsumerOptions = ConsumerOptions()
        self.arguments: Table = {}
        self.cursor: Any = None  # a `Cursor` of `stream/log.py`, which imports this module
        self.timeout: int = -1
        self.tally: DeliveryTally = UNCOUNTED

    def ready(self) -> bool:
        """Return whether it has credit for a delivery."""
        return self.limit == 0 or self.held < self.limit

    def take(self, message: Message, entry: Entry | None, redelivered: bool) -> None:
        """Deliver `message`. `entry`: to be settled later, or None without acknowledgements (no_ack)."""
        raise NotImplementedError

    def read(
        self,
        p: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        properties: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        suffix: bytes,
        entry: Entry,
    ) -> None:
        """Deliver the record of a stream at `at`: first its property flags and list, then its body; `properties` and
        `body` are their octets. `suffix`: exchange and routing key as they end basic.deliver."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """End the consumer after an exception during a delivery."""
        raise error

    def cancelled(self) -> None:
        """Notify the client that the queue has cancelled the consumer."""
        raise NotImplementedError

    def deliveries(self) -> Deliveries:
        """Return the unacknowledged deliveries of its channel, also those of other consumers and queues."""
        raise NotImplementedError

    def replace(self, entry: Entry, late: Entry) -> bool:
        """Replace a delivery that timed out by the stand-in `late`; False if it is settled already."""
        raise NotImplementedError

    def timed_out(self) -> None:
        """Notify the client that deliveries timed out."""
        raise NotImplementedError

    def tracing_changed(self) -> None:
        """Check again whether deliveries are traced."""


class Holder(Protocol):
    """The channel that got a message with basic.get."""

    def forget(self, entry: Entry) -> bool:
        """Remove a delivery that timed out; False if it is settled already."""

    def timed_out(self) -> None:
        """Notify the client that the delivery timed out."""

    def failed(self, error: Exception) -> None:
        """End the channel after an exception in `timed_out`."""


#: The longest rotation from which a consumer that is gone is removed at once.
_SHORT = cython.declare(cython.Py_ssize_t, 32)

#: Places that are looked at for each consumer that leaves.
_SWEPT = cython.declare(cython.Py_ssize_t, 4)

#: Waiting consumers of a queue that is deleted that are forgotten together.
FREED = 512


def _by_priority(consumer: Consumer) -> tuple[int, int]:
    return consumer.priority, 0


#: Those that wait at a queue without single active consumer; never changed.
_NOBODY: Waiting[Consumer] = Waiting(_by_priority)


class QueueConsumers:
    """The consumers of one queue. `members`: all, oldest first.

    `rotation`: those that are not blocked, next first, from `head` on; what lies before it has had its turn. Once
    consumers have different priorities (`by_rank`), it has those of `first_priority`, and `ranked` is a heap of the
    others, by priority and then by the `order` in which they came to stand there: passing over thousands of consumers
    must cost each no more than a step, and so must the first one with another priority. `former` is such a heap, too:
    it is moved to `ranked` some at a time, without those that are gone. With single active consumer only that one is in
    the rotation, and the others are in `waiting`. `leaving`: how many places of the rotation are of consumers that are
    gone, or `stale`, and only pass out of it. `dropped`: consumers that are gone and have passed out; the queue frees
    them. `places`: those of a queue that is deleted. `held`: `next` finds nobody, while the queue is busy.
    `first_priority`: of the first consumer.
    """

    def __init__(self, single_active: bool = False) -> None:
        self.rotation: list[Consumer | None] = []
        self.head: int = 0
        self.by_rank: bool = False
        self.ranked: list[tuple[int, int, Consumer]] = []
        self.former: list[tuple[int, int, Consumer]] = []
        self.order: int = 0
        self.held: bool = False
        self.leaving: int = 0
        self.dropped: list[Consumer] = []
        self.places: list[list[Any]] = []
        self.members: dict[Consumer, None] = {}
        self.single_active: bool = single_active
        self.active: Consumer | None = None
        self.waiting: Waiting[Consumer] = Waiting(_by_priority) if single_active else _NOBODY
        self.first_priority: int = 0
        self.blocked_count: int = 0

    def next(self) -> Consumer | None:
        """Return the next consumer with credit and move it behind its equals; None if there is none."""
        consumer: Consumer
        if self.held:
            return None
        if self.by_rank:
            return self.next_ranked()
        rotation = cython.cast(
            list, self.rotation
        )  # without its items' type, which would be checked each time
        while self.head < len(rotation):
            consumer = cython.cast(Consumer, rotation[self.head])
            if not consumer.gone and not consumer.stale and consumer.ready():
                if self.head + 1 < len(rotation):
                    self.step()
                    rotation.append(consumer)
                return consumer
            self.pass_over(consumer)
        return None

    def next_ranked(self) -> Consumer | None:
        """`next`, where consumers have different priorities."""
        consumer: Consumer | None = self.first_ranked()
        if consumer is not None:
            self.step()
            self.enqueue(consumer)
        return consumer

    def has_next(self) -> bool:
        """Return whether `next` would find a consumer. Those without credit are blocked, as by `next`."""
        consumer: Consumer
        if self.held:
            return False
        if self.by_rank:
            return self.first_ranked() is not None
        while self.head < len(self.rotation):
            consumer = cython.cast(Consumer, self.rotation[self.head])
            if not consumer.gone and not consumer.stale and consumer.ready():
                return True
            self.pass_over(consumer)
        return False

    def first_ranked(self) -> Consumer | None:
        """Return the first consumer with credit, where they have different priorities."""
        consumer: Consumer
        while self.ranked or self.former or self.head < len(self.rotation):
            if self.heap_is_next():
                consumer = self.first_heap()[0][2]
            else:
                consumer = cython.cast(Consumer, self.rotation[self.head])
            if not consumer.gone and not consumer.stale and consumer.ready():
                return consumer
            self.pass_over(consumer)
        return None

    def heap_is_next(self) -> bool:
        """Return whether the first consumer is in the heap, and not in the rotation."""
        heap = self.first_heap()
        if not heap:
            return False
        first: cython.longlong = heap[0][0]
        return self.head == len(self.rotation) or first < ~self.first_priority

    def first_heap(self) -> list[tuple[int, int, Consumer]]:
        """Return the heap whose first consumer comes before that of the other one; an empty one if both are."""
        if not self.former or (self.ranked and self.ranked[0] < self.former[0]):
            return self.ranked
        return self.former

    def pass_over(self, consumer: Consumer) -> None:
        """Take the first consumer out of the rotation: it is gone, this is no place of it any more, or it is blocked
        because it has no credit."""
        if consumer.gone:
            self.leaving -= 1
        elif consumer.stale:
            consumer.stale -= 1
            self.leaving -= 1
        else:
            self.blocked_count += 1
            consumer.blocked_order = self.blocked_count
        self.step()

    def step(self) -> None:
        """Take the first consumer out of the rotation."""
        if self.by_rank and self.heap_is_next():
            heapq.heappop(self.first_heap())
            return
        self.rotation[self.head] = None
        self.head += 1
        if self.head == len(self.rotation) or (self.head >= _SHORT and 2 * self.head > len(self.rotation)):
            del self.rotation[: self.head]
            self.head = 0

    def hold(self) -> None:
        """Let `next` find nobody, because the queue is busy."""
        self.held = True

    def resume(self) -> None:
        """Let `next` find consumers again."""
        self.held = False

    def enqueue(self, consumer: Consumer) -> None:
        """Add a consumer to the rotation, behind those of its priority or higher."""
        if not self.by_rank or consumer.priority == self.first_priority:
            self.rotation.append(consumer)
            return
        self.order += 1
        heapq.heappush(self.ranked, (~consumer.priority, self.order, consumer))

    def in_rotation(self) -> list[Consumer]:
        """Return the consumers of the rotation, next first, with those that are gone and have not passed out of it.
        Places that are stale are left out."""
        equals = _without_stale([one for one in self.rotation[self.head :] if one is not None])
        if not self.ranked and not self.former:
            return equals
        others = sorted(self.ranked + self.former)
        higher = [consumer for rank, _, consumer in others if rank < ~self.first_priority]
        lower = [consumer for _, _, consumer in others[len(higher) :]]
        return _without_stale(higher) + equals + _without_stale(lower)

    def clear_rotation(self) -> None:
        """Take all consumers out of the rotation."""
        self.rotation.clear()
        self.head = 0
        self.ranked.clear()
        self.former.clear()
        self.leaving = 0

    def add(self, consumer: Consumer) -> None:
        """Add a consumer."""
        self.members[consumer] = None
        if self.single_active:
            self.waiting.join(consumer)
            if self.active is None:
                self.activate(consumer)
            return
        if len(self.members) == 1:
            self.first_priority = consumer.priority
        elif consumer.priority != self.first_priority:
            self.by_rank = True
        self.enqueue(consumer)

    def remove(self, consumer: Consumer) -> bool:
        """Remove a consumer; returns whether another one became the single active consumer."""
        if consumer not in self.members:
            return False
        del self.members[consumer]
        consumer.gone = True
        if not consumer.blocked_order:
            self.leave(consumer)
        if not self.single_active:
            return False
        self.waiting.leave(consumer)
        if self.active is not consumer:
            return False
        self.active = None
        successor: Consumer | None = self.waiting.next()
        if successor is None:
            return False
        self.activate(successor)
        return True

    def remove_all(self) -> list[Consumer]:
        """Remove all consumers of a queue that is deleted and return them, oldest first. Their places are left for
        `free_steps`: those of a hundred thousand are not freed at once."""
        consumer: Consumer
        members: list[Consumer] = list(self.members)
        for consumer in members:
            consumer.gone = True
        self.members = {}
        self.places = [self.rotation, self.ranked, self.former, self.dropped]
        self.rotation = []
        self.ranked = []
        self.former = []
        self.dropped = []
        self.head = self.leaving = 0
        self.active = None
        return members

    def free_steps(self) -> Steps:
        """Free the places of the consumers of a queue that is deleted, in portions."""
        places: list[Any]
        for places in self.places:
            yield from free(places)
        while self.waiting.clear_some(FREED):
            yield None

    def leave(self, consumer: Consumer) -> None:
        """Take a consumer that is gone out of the rotation. In a long one it stays until its turn comes, or until half
        of them are gone: when thousands leave, each must not pass over all others."""
        count: cython.Py_ssize_t = len(self.ranked) + len(self.former) + len(self.rotation) - self.head
        if count <= _SHORT:
            self.take_out(consumer)
            return
        self.leaving += 1
        if not consumer.gone:
            consumer.stale += 1
        if self.former:
            self.sweep()
        elif self.leaving * 2 > count:
            self.drop_gone()

    def drop_gone(self) -> None:
        """Take those that are gone out of the rotation; with other priorities, begin to."""
        one: Consumer
        i: cython.Py_ssize_t
        left: list[Consumer | None] = []
        for i in range(self.head, len(self.rotation)):
            one = cython.cast(Consumer, self.rotation[i])
            if not one.gone and not one.stale:
                left.append(one)
                continue
            self.leaving -= 1
            if one.gone:
                self.dropped.append(one)
            else:
                one.stale -= 1
        self.rotation = left
        self.head = 0
        self.former, self.ranked = self.ranked, []

    def sweep(self) -> None:
        """Move some of the former heap, its last ones: what is left of it is a heap. A stale place stays one, as it is
        not known which of its consumer's places is."""
        consumer: Consumer
        for _ in range(min(_SWEPT, len(self.former))):
            item = self.former.pop()
            consumer = item[2]
            if consumer.gone:
                self.leaving -= 1
            else:
                heapq.heappush(self.ranked, item)

    def take_out(self, consumer: Consumer) -> None:
        """Take a consumer out of the rotation, if it is there."""
        if consumer in self.rotation:
            self.rotation.remove(consumer)  # a stale place, if it has one: then the other is
            return
        count: cython.Py_ssize_t = len(self.ranked) + len(self.former)
        if not count:
            return
        self.ranked = [item for item in self.ranked + self.former if item[2] is not consumer]
        self.former = []
        heapq.heapify(self.ranked)
        self.leaving -= consumer.stale
        consumer.stale = 0

    def activate(self, consumer: Consumer) -> None:
        """Make it the single active consumer."""
        self.deactivate()
        self.active = consumer
        self.waiting.take(consumer)
        consumer.blocked_order = 0
        self.rotation.append(consumer)

    def deactivate(self) -> None:
        """Have no single active consumer; the one that was it waits."""
        if self.active is not None:
            self.waiting.offer(self.active)
            self.active = None
        self.clear_rotation()

    def block(self, consumer: Consumer) -> None:
        """Take a consumer out of the rotation until it is woken. In a long one its place becomes stale: when thousands
        are blocked, each must not pass over all others."""
        stands: cython.bint = not consumer.gone and not consumer.blocked_order
        self.blocked_count += 1
        consumer.blocked_order = self.blocked_count
        if self.single_active:
            self.take_out(consumer)
        elif stands:
            self.leave(consumer)

    def wake(self, consumer: Consumer) -> None:
        """Put a blocked consumer back into the rotation, behind its equals."""
        if not consumer.blocked_order:
            return
        consumer.blocked_order = 0
        if consumer.gone or (self.single_active and self.active is not consumer):
            return
        self.enqueue(consumer)


def _without_stale(places: list[Consumer]) -> list[Consumer]:
    """Return the consumers of places that are not stale: those of one consumer stand before the place that counts."""
    met: dict[Consumer, int] = {}
    found = []
    for consumer in places:
        met[consumer] = met.get(consumer, 0) + 1
        if met[consumer] > consumer.stale:
            found.append(consumer)
    return found
