"""The queue types: creates a queue from its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue

if TYPE_CHECKING:
    from leveret.profiles import Profile
    from leveret.queues.context import VhostContext
    from leveret.queues.options import QueueOptions


def make_queue(
    vhost: str, name: str, options: QueueOptions, context: VhostContext, profile: Profile
) -> Queue:
    """Return a new queue of the type in its options."""
    if options.queue_type == "quorum":
        return QuorumQueue(name, vhost, context, options, profile)
    if options.queue_type == "stream":
        return StreamQueue(name, vhost, context, profile)
    max_priority = -1 if options.max_priority is None else options.max_priority
    if max_priority == 0:
        max_priority = 1 if profile.zero_max_priority_is_one else -1
    return Queue(name, vhost, context, max_priority, bool(options.single_active_consumer))
