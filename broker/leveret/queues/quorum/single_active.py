"""Choice of the single active consumer of a quorum queue (rabbit_fifo:activate_next_consumer).

Since 4.0 a waiting consumer of higher priority replaces the active one, but not before that one has settled its
deliveries; until then the queue is quiescing and delivers nothing. Consumers with overdue deliveries cannot be chosen:
they are withdrawn.
"""

from __future__ import annotations

from leveret.queues.consumers import Consumer
from leveret.queues.waiting import Waiting

#: The credit of a consumer without prefetch count, where consumers are compared by credit.
_UNLIMITED = 2000


def waiting(by_priority: bool) -> Waiting[Consumer]:
    """Return what has those wait that are not active. `by_priority`: the one of the highest priority is next, then of
    the most credit, then the oldest (4.0 and later); otherwise the oldest."""
    return Waiting(_by_priority if by_priority else _equal)


def _by_priority(consumer: Consumer) -> tuple[int, int]:
    return consumer.priority, consumer.limit or _UNLIMITED


def _equal(consumer: Consumer) -> tuple[int, int]:
    return 0, 0
