"""What a channel counts of its publishes, by exchange and by queue.

While a publisher repeats exchange and routing key, it gets the same list of queues. Then a publish costs one increment
here, however many queues it goes to: `RouteTally` counts how often a list was used, and `PublishTally.fold` turns that
into counts of queues when somebody asks, or when many lists have come together.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Destination
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.queues.message import Destination
    from leveret.routing.exchanges import Exchange

#: Lists of queues that are counted each for itself before their counts are added to those of the queues.
_ROUTES = cython.declare(cython.Py_ssize_t, 64)

#: Queues that are counted before those that were deleted are looked for and forgotten.
_KEPT = cython.declare(cython.Py_ssize_t, 64)


class RouteTally:
    """How often messages went to a list of queues."""

    def __init__(self, targets: list[Destination]) -> None:
        self.targets: list[Destination] = targets
        self.count: int = 0


class PublishTally:
    """Counts of one channel and one exchange. They only grow.

    `total`: the same of all channels; a total is its own.
    `published`: in a transaction, when it is committed. `promised`: those that are to be confirmed; `refused`: those of
    them that a queue has refused. `returned`, `dropped`: those that no queue got. As of the last `fold`, `routed` is
    how many queues all of them went to, and `queues` how many went to each.
    """

    def __init__(self, exchange: Exchange | None, total: PublishTally | None = None) -> None:
        self.exchange: Exchange | None = exchange
        self.total: PublishTally = total if total is not None else self
        self.published: int = 0
        self.promised: int = 0
        self.refused: int = 0
        self.returned: int = 0
        self.dropped: int = 0
        self.routed: int = 0
        self.queues: dict[Destination, int] = {}
        self.routes: dict[int, RouteTally] = {}
        self.last: RouteTally | None = None
        self.limit: int = _KEPT

    def sent(self, targets: list[Destination]) -> None:
        """Count a publish that goes to these queues."""
        route: RouteTally | None = self.last
        self.published += 1
        self.total.published += 1
        if route is None or route.targets is not targets:
            route = self.route(targets)
        route.count += 1

    def promise(self, refused: cython.bint) -> None:
        """Count a publish that is to be confirmed; or answered by basic.nack, if a queue has `refused` it."""
        self.promised += 1
        self.total.promised += 1
        if refused:
            self.refused += 1
            self.total.refused += 1

    def route(self, targets: list[Destination]) -> RouteTally:
        """Return the count of a list of queues."""
        found: RouteTally | None = self.routes.get(id(targets))
        if found is None:
            if len(self.routes) >= _ROUTES:
                self.fold()
            found = RouteTally(targets)
            self.routes[id(targets)] = found
        self.last = found
        return found

    def fold(self) -> None:
        """Add the counts of lists to those of their queues."""
        route: RouteTally
        for route in self.routes.values():
            self.add(route)
            if self.total is not self:
                self.total.add(route)
        self.routes.clear()
        self.last = None

    def add(self, route: RouteTally) -> None:
        """Add the count of a list to those of its queues. Deleted queues are forgotten in time."""
        queue: Destination
        self.routed += route.count * len(route.targets)
        for queue in route.targets:
            self.queues[queue] = self.queues.get(queue, 0) + route.count
        if len(self.queues) > self.limit:
            self.queues = {queue: count for queue, count in self.queues.items() if not queue.gone}
            self.limit = max(_KEPT, 2 * len(self.queues))


#: The counts of a channel that has not published yet.
UNCOUNTED = PublishTally(None)
