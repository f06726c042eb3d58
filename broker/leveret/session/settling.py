"""Requeueing deliveries, and the order in which the consumers of a channel are served afterwards.

RabbitMQ's channel reports settled deliveries consumer by consumer, ordered by queue and consumer tag (rabbit_channel:
foreach_per_queue/3); each consumer is served before the next one is reported. With a limit for the whole channel, the
limiter notifies a queue once for all its consumers, which are then served in the order in which they were blocked
(rabbit_limiter, rabbit_queue_consumers:unblock/2).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from leveret.queues.message import CHANNEL_CLOSED
from leveret.queues.queue import PORTION
from leveret.work import portions

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Source
    from leveret.queues.queue import Queue
    from leveret.work import Job, Steps

#: `Faults.guard`.
Guard = Callable[..., bool]

#: A generator that yields after each portion, and returns the deliveries of each queue and consumer.
Groups: TypeAlias = "Generator[None, None, list[list[Entry]]]"


class Limited(Protocol):
    """The prefetch limit of a channel as a whole, and its deliveries that count towards it."""

    held: int
    global_prefetch: int


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
    if together:
        _wake_together(blocked)
        return
    blocked.sort(key=_queue_and_tag)
    for consumer in blocked:
        if consumer.blocked_order and consumer.ready():
            consumer.source.wake(consumer)


def _wake_together(blocked: list[Consumer]) -> None:
    """Put all consumers of a queue back into its rotation before any of them is served."""
    queues: list[Queue] = []
    for consumer in sorted(blocked, key=_blocked_order):
        queue = queue_of(consumer)
        if not queue.serves_together:
            queue.wake(consumer)
        elif consumer.ready():
            queue.unblock(consumer)
            if queue not in queues:
                queues.append(queue)
    for queue in queues:
        queue.run()


def by_consumer(entries: list[Entry]) -> Groups:
    """Return deliveries by queue and consumer, in the order of their names; those taken with basic.get come before
    those of consumers. The list is used up, in portions."""
    groups: dict[tuple[Source, Consumer | None], list[Entry]] = {}
    for portion in portions(entries, PORTION):
        for entry in portion:
            groups.setdefault((entry.source, entry.consumer), []).append(entry)
        if entries:
            yield None
    return sorted(groups.values(), key=_queue_and_consumer_tag) if len(groups) > 1 else list(groups.values())


def settle_steps(channel: SettlingChannel, entries: list[Entry], reason: int, requeues: bool) -> Steps:
    """Settle deliveries of a channel, then serve its consumers.

    `reason`: see `queues/message.py`; 0 for an acknowledgement. Dead letters are published before consumers get more:
    they may go to the same queues.
    """
    if not reason:
        for portion in portions(entries, PORTION):
            channel.acknowledge(portion)
            yield None
    elif requeues:
        yield from requeue_steps(channel, entries, reason)
    else:
        for group in (yield from by_consumer(entries)):
            for portion in portions(group, PORTION):
                channel.reject(portion, reason)
                yield channel.publish_dead_letters()
    yield channel.publish_dead_letters()
    channel.wake_all()


def requeue_steps(channel: Limited, entries: list[Entry], reason: int) -> Steps:
    """Requeue deliveries of a channel: each consumer's together and in order, then its queue serves, then those of the
    next.

    `reason`: see `queues/message.py`. A queue gets a consumer's credit only with that consumer's deliveries, and puts
    the consumer back into its rotation before it serves (rabbit_amqqueue_process:subtract_acks/5). With a limit for the
    whole channel, no consumer is served yet.
    """
    for group in (yield from by_consumer(entries)):
        source, consumer = group[0].source, group[0].consumer
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


def end_steps(consumers: list[Consumer], entries: list[Entry], guard: Guard) -> Steps:
    """Detach the consumers of a channel that ends and requeue its deliveries.

    All consumers are detached first, so that nothing is delivered to one that is detached next. A fault in one queue
    does not prevent this in the others.
    """
    queues: dict[Queue, None] = {}
    for consumer in consumers:
        queue = queue_of(consumer)
        guard("consumer end", queue.detach, consumer)
        queues[queue] = None
    sources: dict[Source, list[Entry]] = {}
    for portion in portions(entries, PORTION):
        for entry in portion:
            sources.setdefault(entry.source, []).append(entry)
        if entries:
            yield None
    for source, group in sources.items():
        guard("requeue", source.requeue, group, CHANNEL_CLOSED)
        yield None
    for queue in queues:
        guard("consumer end", queue.detached)
    for source in sources:
        yield _busy(source)


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
