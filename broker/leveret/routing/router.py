"""Finds the queues of a message: follows exchange-to-exchange bindings, alternate exchanges and additional keys.

Each exchange is visited once for a message, so cycles of bindings end; each queue gets one copy, however many routes
lead to it. If all exchanges on the route use only the routing key, the result is cached by exchange and key, and a
message costs one dict lookup. `revision` increases with every change; what an exchange caches is valid only for its
revision, so a change needs no invalidation. Source: rabbit_exchange:route/3, route1/4, process_alternate/2.
"""

from __future__ import annotations

from collections.abc import Callable

import cython

from leveret.routing.bindings import Destination, Message
from leveret.wire.properties import Properties, decode_properties
from leveret.wire.tables import Table

if cython.compiled:
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.routing.exchanges import Exchange

#: Keys cached for each exchange; when there are more, the cache is cleared.
MEMO_LIMIT = 16384


class Router:
    """Routing in one virtual host. `exchanges`, `queues`: its registries, queues by name in octets.

    `fallback`: called with a name that the default exchange does not know (direct reply-to), or None. `revision`: code
    that caches a route stores the revision with it; it may also be incremented from outside. `postpone`: called with
    exchange, message and delay in ms for a message that an x-delayed-message exchange delays; None: such exchanges
    route at once.
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

        `more`: additional routing keys (CC, BCC), or None. Exchanges that use properties read them from `message` (its
        `header`: the payload of a header frame), or use `headers` without a message. Afterwards `exchange.memoable` is
        whether the same key leads to the same queues until `revision` changes.
        """
        found: list[Destination] | None
        if exchange.memo_at != self.revision:
            self.settle(exchange)
        if exchange.implicit:
            return self.look(key, more)
        if more is not None or not exchange.memoable:
            return self.walk(exchange, key, more, headers, message)
        found = exchange.memo.get(key)
        if found is None:
            found = self.walk(exchange, key, None, None, None)
            if len(exchange.memo) >= MEMO_LIMIT:
                exchange.memo.clear()
            exchange.memo[key] = found
        return found

    def settle(self, exchange: Exchange) -> None:
        """Determine whether all exchanges that can be reached use only the key, and clear the cache."""
        source: Exchange
        other: Exchange
        seen: dict[Destination, None] = {exchange: None}
        waiting: list[Exchange] = [exchange]
        exchange.memoable = True
        for source in waiting:
            if not source.by_key:
                exchange.memoable = False
            for other in self.next_to(source):
                if other not in seen:
                    seen[other] = None
                    waiting.append(other)
        exchange.memo.clear()
        exchange.memo_at = self.revision

    def next_to(self, source: Exchange) -> list[Destination]:
        """Return the exchanges that messages may go to from this one."""
        others: list[Destination] = list(source.exits)
        if source.alternate is not None and source.alternate in self.exchanges:
            others.append(self.exchanges[source.alternate])
        return others

    def look(self, key: bytes, more: list[bytes] | None) -> list[Destination]:
        """Route by the default exchange: queues by their names. It has no alternate exchange
        (rabbit_exchange:route/3)."""
        other: bytes
        queue: Destination | None = self.named(key)
        found: list[Destination] = [] if queue is None else [queue]
        if more is not None:
            for other in more:
                queue = self.named(other)
                if queue is not None and queue not in found:
                    found.append(queue)
        return found

    def named(self, key: bytes) -> Destination | None:
        """Return the queue or reply address of that name, or None."""
        queue: Destination | None = self.queues.get(key)
        if queue is None and self.fallback is not None:
            queue = self.fallback(key)
        return queue

    def walk(
        self,
        exchange: Exchange,
        key: bytes,
        more: list[bytes] | None,
        headers: Table | None,
        message: Message | None,
    ) -> list[Destination]:
        """Route from `exchange` through all exchanges that it leads to."""
        source: Exchange
        found: list[Destination]
        destination: Destination
        properties: Properties | None = None
        queues: dict[Destination, None] = {}
        seen: dict[Destination, None] = {exchange: None}
        waiting: list[Exchange] = [exchange]
        for source in waiting:
            found = []
            if properties is None and not source.by_key:
                properties = _properties(headers, message)
            if not source.attentive or not self.held_up(source, message, properties):
                source.matches(key, more, properties, found)
            if not found and source.alternate is not None and source.alternate in self.exchanges:
                found.append(self.exchanges[source.alternate])
            for destination in found:
                if not isinstance(destination, Exchange):
                    queues[destination] = None
                elif destination not in seen:
                    seen[destination] = None
                    waiting.append(destination)
        return list(queues)

    def held_up(self, source: Exchange, message: Message | None, properties: Properties | None) -> bool:
        """Pass a message to an exchange that examines all messages. Returns True if the message is delayed."""
        delay: cython.longlong = source.attend(message, properties)
        if delay == 0 or self.postpone is None or message is None:
            return False
        self.postpone(source, message, delay)
        return True


def _properties(headers: Table | None, message: Message | None) -> Properties:
    return Properties(headers=headers) if message is None else decode_properties(message.header)
