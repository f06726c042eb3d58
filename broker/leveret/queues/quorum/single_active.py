"""Which consumer of a quorum queue is the single active one (rabbit_fifo:activate_next_consumer).

Since 4.0 a waiting consumer of higher priority takes over, but not before the active one has settled what it holds;
till then that one is `quiescing`: it is given nothing more. Consumers whose deliveries timed out wait until they settle
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.queues.consumers import Consumer
    from leveret.queues.quorum.queue import QuorumQueue

#: The credit of a consumer without prefetch count, where consumers are compared by credit.
_UNLIMITED = 2000


def select(queue: QuorumQueue) -> None:
    """See who is to be active."""
    consumers = queue.consumers
    active, best = consumers.active, _successor(queue)
    if best is None:
        return
    if active is None:
        consumers.activate(best)
    elif queue.profile.active_consumer_displaced and best.priority > active.priority:
        if active.held:
            queue.quiescing = True
            consumers.rotation.clear()
        else:
            consumers.activate(best)


def deactivate(queue: QuorumQueue) -> None:
    """Another one is to be active."""
    queue.quiescing = False
    queue.consumers.active = None
    queue.consumers.rotation.clear()
    select(queue)


def _successor(queue: QuorumQueue) -> Consumer | None:
    """The waiting consumer whose turn it would be: of the highest priority and, so far, the most credit, the first."""
    overdue = queue.timeouts.overdue if queue.timeouts is not None else {}
    waiting = [
        one for one in queue.consumers.members if one is not queue.consumers.active and one not in overdue
    ]
    if not queue.profile.active_consumer_displaced:
        return waiting[0] if waiting else None
    return max(waiting, key=lambda one: (one.priority, one.limit or _UNLIMITED), default=None)
