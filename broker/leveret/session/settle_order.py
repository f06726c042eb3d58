"""Which consumers of a channel are served first when several of them have credit again.

RabbitMQ's channel tells queues of settled deliveries consumer by consumer, by queue and tag (rabbit_channel:
foreach_per_queue/3): each is served before the next is heard of. Under a limit for the whole channel it is the limiter
that tells a queue, once for all its consumers; they then take turns as they were passed over (rabbit_limiter,
rabbit_queue_consumers:unblock/2).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Source
    from leveret.session.channel import Channel


def wake(passed: list[Consumer], together: bool) -> None:
    """Ask consumers again that were passed over: one after another, or together where one limit holds for all."""
    if together:
        _wake_together(passed)
        return
    passed.sort(key=_queue_and_tag)
    for consumer in passed:
        if consumer.blocked_order and consumer.ready():
            consumer.source.wake(consumer)


def _wake_together(passed: list[Consumer]) -> None:
    """All of a queue's consumers are back in line before any of them is served."""
    queues: list[Any] = []
    for consumer in sorted(passed, key=_blocked_order):
        queue: Any = consumer.source
        if not queue.serves_together:
            queue.wake(consumer)
        elif consumer.ready():
            queue.unblock(consumer)
            if queue not in queues:
                queues.append(queue)
    for queue in queues:
        queue.run()


def by_consumer(entries: list[Entry]) -> list[Entry]:
    """Deliveries in the order in which their queues hear of them; what basic.get took comes before consumers'."""
    return sorted(entries, key=_queue_and_consumer_tag) if len(entries) > 1 else entries


def requeue(channel: Channel, entries: list[Entry], why: int) -> None:
    """Requeue deliveries: each consumer's together and in order, then its queue serves, then those of the next.

    A queue hears of a consumer's credit with that consumer's deliveries only, and puts the consumer back into its
    rotation before it serves (rabbit_amqqueue_process:subtract_acks/5).
    """
    groups = groupby(by_consumer(entries), _source_and_consumer)
    for consumer, group in [(key[1], list(found)) for key, found in groups]:
        if consumer is None:
            group[0].source.requeue(group, why)
            continue
        consumer.held -= len(group)
        channel.held -= len(group)
        woken = consumer.blocked_order and not channel.global_prefetch and consumer.ready()
        if woken:
            consumer.source.unblock(consumer)
        group[0].source.requeue(group, why)
        if woken and consumer.blocked_order:
            consumer.source.wake(consumer)


def limit_channel(channel: Channel, count: int) -> None:
    """A limit for the whole channel, 0 for none. What basic.get has taken when a limit begins counts for as long as
    there is one, settled or not: RabbitMQ begins with all that is outstanding, and is told of consumers' alone."""
    if count == 0:
        channel.held -= channel.fetched
        channel.fetched = 0
    elif channel.global_prefetch == 0:
        channel.fetched = sum(entry.consumer is None for entry in channel.unacked.outstanding())
        channel.held += channel.fetched
    channel.global_prefetch = count
    channel.wake_all()


def _queue_and_tag(consumer: Consumer) -> tuple[str, str]:
    queue: Any = consumer.source
    return queue.name, consumer.tag


def _queue_and_consumer_tag(entry: Entry) -> tuple[str, str]:
    queue: Any = entry.source
    return queue.name, entry.consumer.tag if entry.consumer is not None else ""


def _source_and_consumer(entry: Entry) -> tuple[Source, Consumer | None]:
    return entry.source, entry.consumer


def _blocked_order(consumer: Consumer) -> int:
    return consumer.blocked_order
