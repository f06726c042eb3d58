"""Finds the queues of a message: follows exchange-to-exchange bindings, alternate exchanges and additional keys.

Each exchange is visited once for a message, so that circles of bindings end; each queue gets one copy however many
ways lead to it. Where no exchange on the way looks at more than the routing key, the outcome is remembered for
exchange and key: then a message costs one look into a dict. `revision` grows with every change; what an exchange
remembers is valid only at the revision at which it was remembered, so that a change costs nothing by itself.

A walk that takes long can be interrupted: its caller lets others run and then goes on with it. Bindings may come and go
meanwhile, as they may while RabbitMQ's channel process routes.
Source: rabbit_exchange:route/3, route1/4, process_alternate/2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import cython

from leveret.routing.bindings import Destination, Message
from leveret.wire.properties import Properties, decode_properties
from leveret.wire.tables import Table

if cython.compiled:
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.routing.exchanges import Exchange

if TYPE_CHECKING:
    from leveret.routing.exchanges import Search

#: Keys remembered for each exchange before it starts afresh.
MEMO_LIMIT = 16384

#: Places in memory, of 8 octets, that what is remembered takes: of one exchange before it starts afresh, and of all
#: exchanges of a virtual host before the one that began first is forgotten.
MEMO_PLACES = 1 << 20
ALL_MEMO_PLACES = 8 << 20
_MEMO_PLACES = cython.declare(cython.Py_ssize_t, MEMO_PLACES)

#: Such places for each key, besides one for each queue.
_KEY_PLACES = cython.declare(cython.Py_ssize_t, 32)

#: Steps of a walk before it is interrupted: exchanges, and destinations found. About a millisecond.
WALK_STEPS = 8192


class Router:
    """Routing in one virtual host. `exchanges`, `queues`: its registries, queues by name in octets.

    `leaving`: what is being deleted: it still has bindings, and nothing is routed there.
    `fallback`: asked for what the default exchange does not know (direct reply-to), None for nobody. `revision`: who
    keeps a route keeps the revision with it; it may also be raised from outside. `memoable`: the last route depends on
    exchange and key alone, until `revision` changes; `steps`: what it has cost, 0 if it was remembered. `unfinished`:
    the walk that `begin` has interrupted. `remembered`: places in memory that the routes of each exchange take, and
    `places`: those of all. `postpone`: takes exchange, message and delay in ms of what an
    x-delayed-message exchange holds up; None: such exchanges route at once.
    """

    def __init__(
        self,
        exchanges: dict[str, Exchange],
        queues: dict[bytes, Destination],
        fallback: Callable[[bytes], Destination | None] | None = None,
    ) -> None:
        self.revision: int = 0
        self.exchanges: dict[str, Exchange] = exchanges
        self.queues: dict[bytes, Destination] = queues
        self.fallback: Callable[[bytes], Destination | None] | None = fallback
        self.postpone: Callable[[Exchange, Message, int], None] | None = None
        self.leaving: dict[Destination, None] = {}
        self.memoable: bool = True
        self.steps: int = 0
        self.unfinished: Walk | None = None
        self.remembered: dict[Exchange, int] = {}
        self.places: int = 0

    def changed(self) -> None:
        """Invalidate cached routes after a binding, declaration, deletion, or change of an alternate exchange."""
        self.revision += 1

    def route(
        self,
        exchange: Exchange,
        key: bytes,
        more: list[bytes] | None,
        headers: Table | None,
        message: Message | None,
    ) -> list[Destination]:
        """Return the queues of a message, each once, in the order in which they are found. The list may be shared: do
        not change it.

        `more`: additional routing keys (CC, BCC), or None. Exchanges that look at properties read them from `message`
        (its `header`: the payload of a header frame); where that is None, `headers` are all there is.
        """
        found: list[Destination] | None = self.begin(exchange, key, more, headers, message)
        walk: Walk | None = self.unfinished
        if found is not None or walk is None:
            return found or []
        self.unfinished = None
        while walk.advance(WALK_STEPS) == 0:
            pass
        return walk.result()

    def begin(
        self,
        exchange: Exchange,
        key: bytes,
        more: list[bytes] | None,
        headers: Table | None,
        message: Message | None,
    ) -> list[Destination] | None:
        """`route`, unless it takes long: then None, and `unfinished` is to be taken and advanced."""
        found: list[Destination] | None
        walk: Walk
        if exchange.memo_at != self.revision:
            if exchange.memo:
                self.forget(exchange)
            exchange.memo_at = self.revision
        self.steps = 0 if more is None else len(more)
        if exchange.implicit:
            self.memoable = True
            return self.look(key, more)
        if more is None:
            found = exchange.memo.get(key)
            if found is not None:
                self.memoable = True
                return found
        walk = Walk(self, exchange, key, more, headers, message)
        self.steps = WALK_STEPS - walk.advance(WALK_STEPS)
        if self.steps >= WALK_STEPS:
            self.memoable = False
            self.unfinished = walk
            return None
        self.memoable = walk.memoable
        return walk.result()

    def forget(self, exchange: Exchange) -> None:
        """Forget the routes of an exchange."""
        self.places -= self.remembered.pop(exchange, 0)
        exchange.memo.clear()

    def remember(self, exchange: Exchange, key: bytes, found: list[Destination]) -> None:
        """Remember a route, unless it is very long. Other ones are forgotten if they take too much memory."""
        size: cython.Py_ssize_t = _KEY_PLACES + len(found)
        known: cython.Py_ssize_t = self.remembered.get(exchange, 0)
        if size > _MEMO_PLACES:
            return
        if len(exchange.memo) >= MEMO_LIMIT or known + size > _MEMO_PLACES:
            self.forget(exchange)
            known = 0
        exchange.memo[key] = found
        self.remembered[exchange] = known + size
        self.places += size
        if self.places > ALL_MEMO_PLACES:
            self.forget(next(iter(self.remembered)))

    def look(self, key: bytes, more: list[bytes] | None) -> list[Destination]:
        """Route by the default exchange: queues by their names. It has no alternate exchange
        (rabbit_exchange:route/3)."""
        other: bytes
        queue: Destination | None = self.named(key)
        found: list[Destination] = [] if queue is None else [queue]
        if more is not None:
            for other in more:
                queue = self.named(other)
                if queue is not None:
                    found.append(queue)
            found = list(dict.fromkeys(found))
        return found

    def named(self, key: bytes) -> Destination | None:
        """Return the queue or reply address of that name, or None."""
        queue: Destination | None = self.queues.get(key)
        if queue is None and self.fallback is not None:
            queue = self.fallback(key)
        return queue


class Walk:
    """One walk. `waiting`: exchanges in the order in which they are visited, up to `visited`; `seen`: the same, to be
    looked up. `found`: destinations that the current one matches, noted up to `taken`; `search`: what still searches
    for them. `memoable`: no exchange so far looks at more than the key. `decoded`: headers that were decoded for it."""

    def __init__(
        self,
        router: Router,
        exchange: Exchange,
        key: bytes,
        more: list[bytes] | None,
        headers: Table | None,
        message: Message | None,
    ) -> None:
        self.router: Router = router
        self.exchange: Exchange = exchange
        self.key: bytes = key
        self.more: list[bytes] | None = more
        self.headers: Table | None = headers
        self.message: Message | None = message
        self.properties: Properties | None = None
        self.revision: int = router.revision
        self.memoable: bool = more is None
        self.queues: dict[Destination, None] = {}
        self.seen: dict[Destination, None] = {exchange: None}
        self.waiting: list[Exchange] = [exchange]
        self.visited: int = 0
        self.source: Exchange = exchange
        self.search: Search | None = None
        self.found: list[Destination] = []
        self.taken: int = 0
        self.decoded: int = 0

    def advance(self, steps: cython.Py_ssize_t) -> int:
        """Go on for at most so many steps. Returns how many fewer it were; 0 if it may not have ended."""
        while steps > 0:
            if self.search is not None:
                steps = self.search.advance(steps)
                if steps > 0:
                    self.search = None
                    self.end_matching()
            elif self.taken < len(self.found):
                steps = self.take(steps)
            elif self.visited < len(self.waiting):
                self.decoded = 0
                self.visit(self.waiting[self.visited])
                steps -= 1 + self.source.steps + self.decoded
            else:
                return steps
        return 0

    def visit(self, source: Exchange) -> None:
        """Collect what the next exchange matches."""
        self.visited += 1
        self.source = source
        self.found = []
        self.taken = 0
        source.steps = 0
        if not source.by_key:
            self.memoable = False
            if self.properties is None:
                self.properties = _properties(self.headers, self.message)
                self.decoded = len(self.properties.headers or ())
        if not source.attentive or not self.held_up(source):
            self.search = source.matches(self.key, self.more, self.properties, self.found)
        if self.search is None:
            self.end_matching()

    def end_matching(self) -> None:
        """Leave out what is being deleted, and go on with the alternate exchange where nothing matches."""
        name: str | None = self.source.alternate
        if self.router.leaving and self.found:
            self.found = [one for one in self.found if one not in self.router.leaving]
        if not self.found and name is not None and name in self.router.exchanges:
            self.found.append(self.router.exchanges[name])

    def take(self, steps: cython.Py_ssize_t) -> int:
        """Note at most so many of the destinations that were found. Returns how many fewer it were."""
        destination: Destination
        while steps > 0 and self.taken < len(self.found):
            destination = self.found[self.taken]
            self.taken += 1
            steps -= 1
            if not isinstance(destination, Exchange):
                self.queues[destination] = None
            elif destination not in self.seen:
                self.seen[destination] = None
                self.waiting.append(destination)
        return steps

    def held_up(self, source: Exchange) -> bool:
        """Show a message to an exchange that looks at each; True if it is not to be routed yet."""
        delay: cython.longlong = source.attend(self.message, self.properties)
        if delay == 0 or self.router.postpone is None or self.message is None:
            return False
        self.router.postpone(source, self.message, delay)
        return True

    def result(self) -> list[Destination]:
        """The queues that were found, when the walk has ended. They are remembered where that is possible."""
        found: list[Destination] = list(self.queues)
        if self.memoable and self.revision == self.router.revision == self.exchange.memo_at:
            self.router.remember(self.exchange, self.key, found)
        return found


def _properties(headers: Table | None, message: Message | None) -> Properties:
    return Properties(headers=headers) if message is None else decode_properties(message.header)
