"""Requeueing deliveries, and the order in which the consumers of a channel are served afterwards.

RabbitMQ's channel reports settled deliveries consumer by consumer, ordered by queue and consumer tag (rabbit_channel:
foreach_per_queue/3); each consumer is served before the next one is reported. With a limit for the whole channel, the
limiter notifies a queue once for all its consumers, which are then served in the order in which they were blocked
(rabbit_limiter, rabbit_queue_consumers:unblock/2).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, cast

from leveret.queues.message import CHANNEL_CLOSED

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Source
    from leveret.queues.queue import Queue

#: `Faults.guard`.
Guard = Callable[..., bool]


class Limited(Protocol):
    """The prefetch limit of a channel as a whole, and its deliveries that count towards it."""

    held: int
    global_prefetch: int


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


def by_consumer(entries: list[Entry]) -> list[Entry]:
    """Sort deliveries by queue and consumer; those taken with basic.get come before those of consumers."""
    return sorted(entries, key=_queue_and_consumer_tag) if len(entries) > 1 else entries


def requeue(channel: Limited, entries: list[Entry], reason: int) -> None:
    """Requeue deliveries of a channel, consumer by consumer, each in order; a queue is served before the next consumer.

    `reason`: see `queues/message.py`. A queue gets a consumer's credit only with that consumer's deliveries, and puts
    the consumer back into its rotation before it serves (rabbit_amqqueue_process:subtract_acks/5). With a limit for the
    whole channel, no consumer is served yet.
    """
    groups = groupby(by_consumer(entries), _source_and_consumer)
    for consumer, group in [(key[1], list(found)) for key, found in groups]:
        if consumer is None:
            group[0].source.requeue(group, reason)
            continue
        consumer.held -= len(group)
        channel.held -= len(group)
        woken = consumer.blocked_order and not channel.global_prefetch and consumer.ready()
        if woken:
            consumer.source.unblock(consumer)
        group[0].source.requeue(group, reason)
        if woken and consumer.blocked_order:
            consumer.source.wake(consumer)


def detach_all(consumers: list[Consumer], entries: list[Entry], guard: Guard) -> None:
    """Detach the consumers of a channel that ends, and requeue its deliveries.

    All consumers are detached first, so that nothing is delivered to one that is detached next. A fault in one queue
    does not prevent this in the others.
    """
    queues: list[Queue] = []
    for consumer in consumers:
        queue = queue_of(consumer)
        guard("consumer end", queue.detach, consumer)
        if queue not in queues:
            queues.append(queue)
    sources: dict[int, list[Entry]] = {}
    for entry in entries:
        sources.setdefault(id(entry.source), []).append(entry)
    for group in sources.values():
        guard("requeue", group[0].source.requeue, group, CHANNEL_CLOSED)
    for queue in queues:
        guard("consumer end", queue.detached)


def queue_of(consumer: Consumer) -> Queue:
    """Return the queue of a consumer. The source of every consumer in `Channel.consumers` is one."""
    return cast("Queue", consumer.source)


def _queue_and_tag(consumer: Consumer) -> tuple[str, str]:
    return queue_of(consumer).name, consumer.tag


def _queue_and_consumer_tag(entry: Entry) -> tuple[str, str]:
    return cast("Queue", entry.source).name, entry.consumer.tag if entry.consumer is not None else ""


def _source_and_consumer(entry: Entry) -> tuple[Source, Consumer | None]:
    return entry.source, entry.consumer


def _blocked_order(consumer: Consumer) -> int:
    return consumer.blocked_order
