"""The walk from an exchange to queues: exchange-to-exchange bindings, alternate exchanges, additional keys.

Each exchange is visited once for a message, so that circles of bindings end; each queue gets one copy however many
ways lead to it. Where no exchange on the way looks at more than the routing key, the outcome is remembered for
exchange and key: then a message costs one look into a dict. `revision` grows with every change; what an exchange
remembers is valid only at the revision at which it was remembered, so that a change costs nothing by itself.
Source: rabbit_exchange:route/3, route1/4, process_alternate/2.
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

#: Keys remembered for each exchange before it starts afresh.
MEMO_LIMIT = 16384


class Router:
    """Routing in one virtual host. `exchanges`, `queues`: its registries, queues by name in octets.

    `fallback`: asked for what the default exchange does not know (direct reply-to), None for nobody. `revision`: who
    keeps a route keeps the revision with it; it may also be raised from outside. `postpone`: takes exchange, message
    and delay in ms of what an x-delayed-message exchange holds up; None: such exchanges route at once.
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
        """Something was bound, unbound, declared or deleted, or has another alternate exchange."""
        self.revision += 1

    def route(
        self,
        exchange: Exchange,
        key: bytes,
        more: list[bytes] | None,
        headers: Table | None,
        message: Message | None,
    ) -> list[Destination]:
        """The queues for a message, each once, in the order they are found. The list may be shared: leave it as it is.

        `more`: additional routing keys (CC, BCC), or None. Exchanges that look at properties read them from `message`
        (its `header`: the payload of a header frame); where that is None, `headers` are all there is.
        `exchange.memoable` then says whether the same key leads to the same queues until `revision` changes.
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
        """Find out whether everything reached from an exchange depends on the key alone, and forget what it knew."""
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
        """The exchanges that one may lead to."""
        others: list[Destination] = list(source.exits)
        if source.alternate is not None and source.alternate in self.exchanges:
            others.append(self.exchanges[source.alternate])
        return others

    def look(self, key: bytes, more: list[bytes] | None) -> list[Destination]:
        """The default exchange: queues by their names. It has no alternate exchange (rabbit_exchange:route/3)."""
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
        """The queue or reply address of that name, or None."""
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
        """Visit `exchange` and whatever it leads to."""
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
        """Show a message to an exchange that looks at each; True if it is not to be routed yet."""
        delay: cython.longlong = source.attend(message, properties)
        if delay == 0 or self.postpone is None or message is None:
            return False
        self.postpone(source, message, delay)
        return True


def _properties(headers: Table | None, message: Message | None) -> Properties:
    return Properties(headers=headers) if message is None else decode_properties(message.header)
