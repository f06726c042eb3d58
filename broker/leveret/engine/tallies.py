"""What a channel counts of its publishes, by exchange and by queue.

While a publisher repeats exchange and routing key, it gets the same list of queues. Then a publish costs one increment
here, however many queues it goes to: `RouteTally` counts how often a list was used, and `PublishTally.spread` turns
that into counts of the exchange and of queues when somebody asks, or when many lists have come together. It does so in
portions: lists can be long, and there are two counts for each queue in them, the channel's and the total.
"""

from __future__ import annotations

from collections.abc import Iterator

import cython

from leveret.work import portions

if cython.compiled:
    from cython.cimports.leveret.queues.message import Destination
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.queues.message import Destination
    from leveret.routing.exchanges import Exchange

#: Lists of queues that are counted each for itself before their counts are added to those of the queues.
_ROUTES = cython.declare(cython.Py_ssize_t, 64)

#: Queues in these lists together: the garbage collector visits them all.
_ROUTED_QUEUES = cython.declare(cython.Py_ssize_t, 8192)

#: Queues of one channel that are counted before others are, in a step that adds up what many channels have counted.
_SPREAD = cython.declare(cython.Py_ssize_t, 256)

#: Queues that are counted before those that were deleted are looked for and forgotten.
_KEPT = cython.declare(cython.Py_ssize_t, 64)


#: The changed parts of what is no total; never changed.
_NO_PARTS: set[PublishTally] = set()


class RouteTally:
    """How often messages went to a list of queues. `at`: so many of them, from the first one on, have been counted."""

    def __init__(self, targets: list[Destination]) -> None:
        self.targets: list[Destination] = targets
        self.count: int = 0
        self.at: int = 0


class PublishTally:
    """Counts of one channel and one exchange. They only grow.

    `total`: the same of all channels; a total is its own. Of its parts, those of channels, `open` is how many are of
    open channels, and `changed` are those that have counted something that is not in the total yet.
    `promised`: publishes that are to be confirmed; `refused`: those of them that a queue has refused. `returned`,
    `dropped`: those that no queue got. As of the last `fold`, `published` are all of them (in a transaction, when it is
    committed), `routed` is how many queues they went to, and `queues` how many went to each; a total has what its parts
    had promised then. `routes`: lists that are counted each for itself, by their `id`; `spreading`: the one that is
    being added to `queues`, in portions.
    """

    def __init__(self, exchange: Exchange | None, total: PublishTally | None = None) -> None:
        self.exchange: Exchange | None = exchange
        self.total: PublishTally = total if total is not None else self
        self.open: int = 0
        self.changed: set[PublishTally] = set() if total is None else _NO_PARTS
        self.published: int = 0
        self.promised: int = 0
        self.folded: int = 0
        self.refused: int = 0
        self.returned: int = 0
        self.dropped: int = 0
        self.routed: int = 0
        self.queues: dict[Destination, int] = {}
        self.routes: dict[int, RouteTally] = {}
        self.spreading: RouteTally | None = None
        self.routed_queues: int = 0
        self.last: RouteTally | None = None
        self.limit: int = _KEPT

    def sent(self, targets: list[Destination]) -> None:
        """Count a publish that goes to these queues. (Channels do the same for a list that they repeat.)"""
        route: RouteTally | None = self.last
        if route is None or route.targets is not targets:
            route = self.route(targets)
        route.count += 1

    def unroutable(self, returned: cython.bint) -> None:
        """Count a publish that no queue gets: it was returned or dropped."""
        self.published += 1
        if returned:
            self.returned += 1
        else:
            self.dropped += 1
        if self.total is not self:
            self.total.unroutable(returned)

    def promise(self) -> None:
        """Count a publish that is to be confirmed."""
        self.promised += 1
        if self.last is None:
            self.note()

    def note(self) -> None:
        """Note in the total that something is to be added to it. `last` is None until then."""
        if self.total is not self:
            self.total.changed.add(self)

    def give_back(self) -> None:
        """Count a publish that was returned although it reached its address: a reply."""
        self.returned += 1
        self.total.returned += 1

    def refuse(self) -> None:
        """Count a promised publish that a queue has refused: it is answered by basic.nack."""
        self.refused += 1
        self.total.refused += 1

    def route(self, targets: list[Destination]) -> RouteTally:
        """Return the count of a list of queues."""
        found: RouteTally | None = self.routes.get(id(targets))
        if found is None:
            if self.full_for(targets):
                self.spread(2 * len(targets) + _SPREAD)
            self.routed_queues += len(targets)
            found = RouteTally(targets)
            self.routes[id(targets)] = found
        if self.last is None:
            self.note()
        self.last = found
        return found

    def full_for(self, targets: list[Destination]) -> bool:
        """Return whether other lists are to be added to the counts of their queues before this one is counted."""
        if id(targets) in self.routes or not self.unspread():
            return False
        crowded: cython.bint = self.routed_queues + len(targets) > _ROUTED_QUEUES
        return crowded or len(self.routes) >= _ROUTES

    def unspread(self) -> bool:
        """Return whether there are lists that are not in the counts of their queues yet."""
        return self.spreading is not None or len(self.routes) > 0

    def publishes(self) -> int:
        """Return how many were published until now, without looking at single queues."""
        route: RouteTally
        if self.changed:
            self.fold()
        count: cython.Py_ssize_t = self.published
        for route in self.routes.values():
            count += route.count
        return count

    def destinations(self) -> set[Destination]:
        """Return the queues that messages went to, also some that are gone."""
        route: RouteTally
        found: set[Destination] = set(self.queues)
        for route in self.routes.values():
            found.update(route.targets)
        if self.spreading is not None:
            found.update(self.spreading.targets)
        return found

    def begin(self) -> PublishTally:
        """Return the counts of one channel, which are a part of this total from now on."""
        self.open += 1
        return PublishTally(self.exchange, self)

    def leave(self) -> None:
        """Add what was counted to the total, for the last time: the channel is gone."""
        self.fold()
        self.total.open -= 1

    def join(self, ended: PublishTally) -> None:
        """Add the counts of a channel and an exchange that is gone."""
        ended.leave()
        self.published += ended.published
        self.promised += ended.promised
        self.refused += ended.refused
        self.returned += ended.returned
        self.dropped += ended.dropped

    def end(self) -> None:
        """Refer to nothing, because the exchange is deleted. Channels may still count here, in vain."""
        self.changed = set()
        self.exchange = None
        self.queues = {}
        self.routes = {}
        self.spreading = None
        self.last = None
        self.total = UNCOUNTED

    def fold(self) -> None:
        """Add the counts of lists to those of their queues, and to the total; those of all parts, if this is one."""
        while self.changed:
            self.fold_parts(len(self.changed))
        if self.total is not self:
            self.total.changed.discard(self)
            if self.promised != self.folded:
                self.total.promised += self.promised - self.folded
                self.folded = self.promised
        while self.unspread():
            self.spread(_ROUTED_QUEUES)
        self.last = None

    def fold_parts(self, most: cython.Py_ssize_t) -> bool:
        """Add what at most so many parts have counted since the last time, a portion of each if that is much. Returns
        whether something is left."""
        part: PublishTally
        while self.changed and most > 0:
            part = self.changed.pop()
            if part.spread(_SPREAD):
                self.changed.add(part)
            else:
                part.fold()
            most -= 1
        return bool(self.changed)

    def spread(self, most: cython.Py_ssize_t) -> bool:
        """Add the counts of the oldest lists to those of their queues, and to the total: of at most so many queues, or
        one list that is empty. Returns whether lists are left."""
        while most > 0 and self.unspread():
            most -= self.spread_list(most)
        return self.unspread()

    def spread_list(self, most: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Add the count of the oldest list to those of at most so many of its queues. Returns a number for what that
        costs."""
        route: RouteTally
        if self.spreading is None:
            route = self.routes.pop(next(iter(self.routes)))
            if self.last is route:
                self.last = None
            self.spreading = route
            self.add_publishes(route)
            if self.total is not self:
                self.total.add_publishes(route)
        route = self.spreading
        queues = route.targets[route.at : route.at + most]
        self.add(queues, route.count)
        if self.total is not self:
            self.total.add(queues, route.count)
        route.at += len(queues)
        if route.at >= len(route.targets):
            self.spreading = None
            self.routed_queues -= len(route.targets)
        return len(queues) + 1

    def add_publishes(self, route: RouteTally) -> None:
        """Add how often a list was used."""
        self.published += route.count
        self.routed += route.count * len(route.targets)

    def add(self, queues: list[Destination], count: cython.longlong) -> None:
        """Add to the counts of queues. Those that are deleted are forgotten in time."""
        queue: Destination
        for queue in queues:
            if not queue.gone:
                self.queues[queue] = self.queues.get(queue, 0) + count
        if len(self.queues) > self.limit:
            self.queues = {queue: count for queue, count in self.queues.items() if not queue.gone}
            self.limit = max(_KEPT, 2 * len(self.queues))

    def forget_steps(self) -> Iterator[None]:
        """Forget the counts of queues that are deleted, in portions."""
        counted: cython.Py_ssize_t = len(self.queues)
        for some in portions(list(self.queues)):
            for queue in some:
                if queue.gone:
                    self.queues.pop(queue, None)
            yield None
        if 2 * len(self.queues) < counted:
            self.queues = dict(self.queues)  # a dict that has lost its items is as large as before


#: The counts of a channel that has not published yet.
UNCOUNTED = PublishTally(None)
