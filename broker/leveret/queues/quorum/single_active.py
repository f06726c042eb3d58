"""Choice of the single active consumer of a quorum queue (rabbit_fifo:activate_next_consumer).

Since 4.0 a waiting consumer of higher priority replaces the active one, but not before that one has settled its
deliveries; until then the queue is quiescing and delivers nothing. Consumers with overdue deliveries cannot be chosen.
"""

from __future__ import annotations

from collections.abc import Container

from leveret.queues.consumers import Consumer, QueueConsumers

#: The credit of a consumer without prefetch count, where consumers are compared by credit.
_UNLIMITED = 2000


def successor(consumers: QueueConsumers, overdue: Container[Consumer], by_priority: bool) -> Consumer | None:
    """Return the waiting consumer to activate next, or None. `by_priority`: of the highest priority, then of the most
    credit, then the oldest (4.0 and later); otherwise the oldest."""
    waiting = [one for one in consumers.members if one is not consumers.active and one not in overdue]
    if not by_priority:
        return waiting[0] if waiting else None
    return max(waiting, key=lambda one: (one.priority, one.limit or _UNLIMITED), default=None)
