"""Requeueing deliveries, and the order in which the consumers of a channel are served afterwards.

RabbitMQ's channel reports settled deliveries consumer by consumer, ordered by queue and consumer tag (rabbit_channel:
foreach_per_queue/3); each consumer is served before the next one is reported. With a limit for the whole channel, the
limiter notifies a queue once for all its consumers, which are then served in the order in which they were blocked
(rabbit_limiter, rabbit_queue_consumers:unblock/2).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast

from leveret.queues.backlog.paged_contents import bring_back
from leveret.queues.message import CHANNEL_CLOSED, unvisited
from leveret.queues.queue import PORTION
from leveret.work import in_order, portions

if TYPE_CHECKING:
    from leveret.queues.backlog.paged_contents import PagedContent
    from leveret.queues.consumers import Consumer
    from leveret.queues.context import VhostContext
    from leveret.queues.message import Entry, Source
    from leveret.queues.queue import Queue
    from leveret.work import Job, Steps

K = TypeVar("K")

#: `Faults.guard`.
Guard = Callable[..., bool]

#: Consumers that are served, or detached, before others can run.
_SERVED = 32

#: A generator that yields after each portion, and returns the deliveries of each queue and consumer.
Groups: TypeAlias = "Generator[None, None, list[list[Entry]]]"


class Limited(Protocol):
    """The prefetch limit of a channel as a whole, and its deliveries that count towards it."""

    held: int
    global_prefetch: int
    context: VhostContext


class SettlingChannel(Limited, Protocol):
    """A channel that settles deliveries."""

    def acknowledge(self, entries: list[Entry]) -> None:
        """Give back the credit of deliveries and acknowledge them."""

    def reject(self, entries: list[Entry], reason: int) -> None:
        """Give back the credit of deliveries and dead-letter or drop them."""

    def publish_dead_letters(self) -> Job | None:
        """Publish dead letters; returns the job that does so if they are many."""

    def wake_all(self) -> None:
        """Serve the consumers that have credit again."""


def wake(blocked: list[Consumer], together: bool) -> None:
    """Serve blocked consumers again: one after another, or `together` if one limit applies to all of them."""
    for _ in wake_steps(blocked, together):
        pass


def wake_steps(blocked: list[Consumer], together: bool) -> Steps:
    """`wake` in portions."""
    if together:
        yield from _wake_together(blocked)
        return
    for number, consumer in enumerate((yield from in_order(blocked, _queue_and_tag)), 1):
        if consumer.blocked_order and consumer.ready():
            consumer.source.wake(consumer)
        if number % _SERVED == 0:
            yield None


def _wake_together(blocked: list[Consumer]) -> Steps:
    """Put all consumers of a queue back into its rotation before any of them is served."""
    queues: dict[Queue, None] = {}
    for number, consumer in enumerate((yield from in_order(blocked, _blocked_order)), 1):
        queue = queue_of(consumer)
        if not queue.serves_together:
            queue.wake(consumer)
        elif consumer.ready():
            queue.unblock(consumer)
            queues[queue] = None
        if number % _SERVED == 0:
            yield None
    for queue in queues:
        queue.run()
        yield None


def by_consumer(entries: list[Entry]) -> Groups:
    """Return deliveries by queue and consumer, in the order of their names; those taken with basic.get come before
    those of consumers. The list is used up, in portions."""
    groups: dict[tuple[Source, Consumer | None], list[Entry]] = {}
    for portion in held_portions(entries):
        for entry in portion:
            _add(groups, (entry.source, entry.consumer), entry)
        if entries:
            yield None
    return (yield from in_order(list(groups.values()), _queue_and_consumer_tag))


def _add(groups: dict[K, list[Entry]], key: K, entry: Entry) -> None:
    """Add an entry to its group, which can become long."""
    group = groups.get(key)
    if group is None:
        group = groups[key] = unvisited([])
    group.append(entry)


def held_portions(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Use up a list of deliveries in portions. A long one has gaps (`Unacked.take_all`), which are left out."""
    for portion in portions(entries, PORTION):
        yield [entry for entry in portion if entry is not None]


def settle_steps(channel: SettlingChannel, entries: list[Entry], reason: int, requeues: bool) -> Steps:
    """Settle deliveries of a channel, then serve its consumers.

    `reason`: see `queues/message.py`; 0 for an acknowledgement. Dead letters are published before consumers get more:
    they may go to the same queues.
    """
    if not reason:
        for portion in held_portions(entries):
            channel.acknowledge(portion)
            yield None
    elif requeues:
        yield from requeue_steps(channel, entries, reason)
    else:
        for group in (yield from by_consumer(entries)):
            for portion in portions(group, PORTION):
                yield from _reject_steps(channel, portion, reason)
    yield channel.publish_dead_letters()
    channel.wake_all()


def _reject_steps(channel: SettlingChannel, entries: list[Entry], reason: int) -> Steps:
    """Dead-letter or drop deliveries. Where a content must be read first, those before it are published meanwhile."""
    begin = 0
    for number, entry in enumerate(entries):
        paged = _needed(entry)
        if paged is not None:
            channel.reject(entries[begin:number], reason)
            yield channel.publish_dead_letters()
            begin = number
            yield channel.context.work.reading(paged.begin_read(), "paged messages")
    channel.reject(entries[begin:], reason)
    yield channel.publish_dead_letters()


def _needed(entry: Entry) -> PagedContent | None:
    """Return the content of a delivery if it must be read before the delivery is rejected."""
    if len(entry.message.content):
        return None
    needs = getattr(entry.source, "needs_content", None)
    return cast("PagedContent | None", needs(entry)) if needs is not None else None


def requeue_steps(channel: Limited, entries: list[Entry], reason: int) -> Steps:
    """Requeue deliveries of a channel: each consumer's together and in order, then its queue serves, then those of the
    next.

    `reason`: see `queues/message.py`. A queue gets a consumer's credit only with that consumer's deliveries, and puts
    the consumer back into its rotation before it serves (rabbit_amqqueue_process:subtract_acks/5). With a limit for the
    whole channel, no consumer is served yet.
    """
    for group in (yield from by_consumer(entries)):
        source, consumer = group[0].source, group[0].consumer
        yield from _bring_back_steps(channel, group)
        woken = False
        if consumer is not None:
            consumer.held -= len(group)
            channel.held -= len(group)
            woken = bool(consumer.blocked_order and not channel.global_prefetch and consumer.ready())
            if woken:
                consumer.source.unblock(consumer)
        source.requeue(group, reason)
        yield _busy(source)
        if woken and consumer is not None and consumer.blocked_order:
            consumer.source.wake(consumer)


def _bring_back_steps(channel: Limited, entries: list[Entry]) -> Steps:
    """Read the contents of those deliveries that may be beyond their delivery limit."""
    for begin in range(0, len(entries), PORTION):
        for entry in entries[begin : begin + PORTION]:
            if entry.failed and (paged := _needed(entry)) is not None:
                yield channel.context.work.reading(paged.begin_read(), "paged messages")
                bring_back(entry)
        if begin + PORTION < len(entries):
            yield None


def end_steps(
    consumers: list[Consumer], held: list[list[Entry]], guard: Guard, publish: Callable[[], Job | None]
) -> Steps:
    """Detach the consumers of a channel that ends and requeue its deliveries, some lists of them.

    All consumers are detached before a queue serves others, so that nothing is delivered to one that is detached next:
    the newest first, so that a single active one is not replaced by another of the same channel. A fault in one queue
    does not prevent this in the others. The lists are used up: what they hold is freed with its portion. `publish`:
    publishes what has been dead-lettered so far; returns the job that does so if they are many.
    """
    queues: dict[Queue, None] = {}
    while consumers:
        for _ in range(min(_SERVED, len(consumers))):
            consumer = consumers.pop()
            queue = queue_of(consumer)
            guard("consumer end", queue.detach, consumer)
            queues.pop(queue, None)
            queues[queue] = None
        yield None
    sources: dict[Source, list[Entry]] = {}
    for entries in held:
        for portion in held_portions(entries):
            for entry in portion:
                _add(sources, entry.source, entry)
            if entries:
                yield None
    for source, group in sources.items():
        guard("requeue", source.requeue, group, CHANNEL_CLOSED)
        yield publish()
    while queues:
        guard("consumer end", queues.popitem()[0].detached)
        yield publish()
    while sources:
        yield _busy(sources.popitem()[0])


def _busy(source: Source) -> Job | None:
    """Return the job that a queue is busy with."""
    job: Job | None = getattr(source, "busy", None)
    return job


def queue_of(consumer: Consumer) -> Queue:
    """Return the queue of a consumer. The source of every consumer in `Channel.consumers` is one."""
    return cast("Queue", consumer.source)


def _queue_and_tag(consumer: Consumer) -> tuple[str, str]:
    return queue_of(consumer).name, consumer.tag


def _queue_and_consumer_tag(group: list[Entry]) -> tuple[str, str]:
    entry = group[0]
    return cast("Queue", entry.source).name, entry.consumer.tag if entry.consumer is not None else ""


def _blocked_order(consumer: Consumer) -> int:
    return consumer.blocked_order
