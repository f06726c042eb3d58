"""The walk from an exchange to queues: exchange-to-exchange bindings, alternate exchanges, additional keys.

Each exchange is visited once for a message, so that circles of bindings end; each queue gets one copy however many
ways lead to it. What depends on the routing key alone is remembered for each exchange and key until anything is bound,
unbound, declared or deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

if cython.compiled:
    from cython.cimports.leveret.routing.exchanges import Exchange
else:
    from leveret.routing.exchanges import Exchange

#: Keys remembered for each exchange before it starts afresh.
MEMO_LIMIT = 16384


class Router:
    """Routing in one virtual host. `exchanges`, `queues`: its registries, queues by name in octets. `fallback`: asked
    for what the default exchange does not know (direct reply-to). `revision`: grows with every change; whoever keeps
    a route keeps the revision with it. `reads_headers`: some exchange looks at headers, so routes need them.
    """

    def __init__(
        self, exchanges: dict[str, Exchange], queues: dict[bytes, Any], fallback: Callable[[bytes], Any]
    ) -> None:
        self.revision: int = 0
        self.reads_headers: bool = False
        self.exchanges: dict[str, Exchange] = exchanges
        self.queues: dict[bytes, Any] = queues
        self.fallback: Callable[[bytes], Any] = fallback

    def changed(self) -> None:
        """Something was bound, unbound, declared or deleted: nothing remembered counts any more."""
        self.revision += 1

    def look_at_types(self) -> None:
        """Exchanges came or went: does any of them look at headers?"""
        self.reads_headers = any([not exchange.memoable for exchange in self.exchanges.values()])
        self.changed()

    def route(
        self, exchange: Exchange, key: bytes, more: list[bytes] | None, headers: Any, message: Any
    ) -> list[Any]:
        """The queues for a message, each once, in order of binding.

        `more`: additional routing keys (CC, BCC). `headers`: the message's header table, needed if `reads_headers`.
        The list may be shared: it is not to be changed.
        """
        found: list[Any] | None
        if more is None and not self.reads_headers:
            if exchange.name == "":
                return self.look(exchange, key)
            if exchange.memo_at != self.revision or len(exchange.memo) >= MEMO_LIMIT:
                exchange.memo = {}
                exchange.memo_at = self.revision
            found = exchange.memo.get(key)
            if found is None:
                found = self.walk(exchange, [key], None, None)
                exchange.memo[key] = found
            return found
        return self.walk(exchange, [key, *(more or ())], headers, message)

    def look(self, exchange: Exchange, key: bytes) -> list[Any]:
        """The default exchange: queues by their names, without a memo of its own."""
        queue: Any = self.queues.get(key)
        if queue is None:
            queue = self.fallback(key)
            if queue is None:
                return self.walk(exchange, [key], None, None) if exchange.alternate is not None else []
        return [queue]

    def walk(self, exchange: Exchange, keys: list[bytes], headers: Any, message: Any) -> list[Any]:
        """Visit `exchange` and whatever it leads to."""
        queues: dict[Any, None] = {}
        seen: set[str] = {exchange.name}
        waiting: list[Exchange] = [exchange]
        for source in waiting:
            found = self.destinations(source, keys, headers, message)
            if not found and source.alternate is not None:
                alternate = self.exchanges.get(source.alternate)
                found = [alternate] if alternate is not None else []
            for destination in found:
                if not isinstance(destination, Exchange):
                    queues[destination] = None
                elif destination.name not in seen:
                    seen.add(destination.name)
                    waiting.append(destination)
        return list(queues)

    def destinations(self, source: Exchange, keys: list[bytes], headers: Any, message: Any) -> list[Any]:
        """What one exchange leads to for any of the keys, each once."""
        if source.name == "":
            named = [self.queues.get(key) or self.fallback(key) for key in keys]
            return [queue for queue in dict.fromkeys(named) if queue is not None]
        if not source.memoable or len(keys) == 1:
            return list(dict.fromkeys(source.matches(keys[0], headers, message)))
        return list(dict.fromkeys(one for key in keys for one in source.matches(key, headers, message)))
