"""Exchange types that choose among their bindings: consistent hash, modulus hash, random, local random; and those that
keep messages: recent history, delayed (docs: plugins of those names).
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import deque
from hashlib import blake2b
from typing import Any

from leveret import errors
from leveret.routing.bindings import Binding
from leveret.routing.exchanges import Exchange
from leveret.wire.properties import decode_properties
from leveret.wire.tables import Table, plain_value

#: Points on the ring for each unit of weight. More points spread messages more evenly; a bind costs as many steps.
POINTS = 64

_HASHABLE = ("correlation_id", "message_id", "timestamp")


def hashed(value: bytes) -> int:
    """A number that depends on nothing but the octets."""
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "big")


class ConsistentHash(Exchange):
    """x-consistent-hash: each message to one destination, the same for the same key while bindings stay.

    The binding key is the weight. What is hashed is the routing key, a header or a property (docs:
    rabbitmq_consistent_hash_exchange). Only the first binding of a destination counts.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.memoable = False
        self.largest_weight: int | None = None
        self.ring: list[tuple[int, str, Any]] = []
        header, prop = self.arguments.get("hash-header"), self.arguments.get("hash-property")
        if header is not None and prop is not None:
            raise errors.hash_sources_exclusive()
        self.header = (
            header.value.decode("utf-8", "replace") if header is not None and header.kind == "S" else None
        )
        self.property = (
            prop.value.decode("utf-8", "replace") if prop is not None and prop.kind == "S" else None
        )
        if self.property is not None and self.property not in _HASHABLE:
            raise errors.unsupported_hash_property(self.property)

    def check_binding(self, destination: Any, key: bytes, arguments: Table) -> None:
        """The key must be a weight."""
        try:
            weight = int(key)
        except ValueError:
            raise errors.weight_not_integer(key) from None
        if weight <= 0:
            raise errors.weight_not_positive()
        if self.largest_weight is not None and weight > self.largest_weight:
            raise errors.weight_too_large(self.largest_weight)

    def bound(self, binding: Binding) -> None:
        """Put the destination's points onto the ring."""
        if len([one for one in self.bindings.values() if one.destination is binding.destination]) == 1:
            self._place(binding)

    def _place(self, binding: Binding) -> None:
        name = f"{binding.destination_type}/{binding.destination_name}"
        points = min(int(binding.routing_key), 1000) * POINTS
        self.ring += [(hashed(f"{name}/{i}".encode()), name, binding.destination) for i in range(points)]
        self.ring.sort(key=_point)

    def unbound(self, binding: Binding) -> None:
        """Take its points away; another binding of the same destination takes over."""
        self.ring = [point for point in self.ring if point[2] is not binding.destination]
        for other in self.bindings.values():
            if other.destination is binding.destination:
                self._place(other)
                return

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """The one destination for what is hashed."""
        if not self.ring:
            return []
        at = bisect(self.ring, hashed(self._source(key, headers, message)), key=_point)
        return [self.ring[at % len(self.ring)][2]]

    def _source(self, key: bytes, headers: Any, message: Any) -> bytes:
        if self.header is not None:
            field = (headers or {}).get(self.header)
            return b"" if field is None else str(plain_value(field)).encode()
        if self.property is not None and message is not None:
            return str(getattr(decode_properties(message.header), self.property)).encode()
        return key


def _point(point: tuple[int, str, Any]) -> int:
    return point[0]


class ModulusHash(Exchange):
    """x-modulus-hash: hash of the routing key modulo the number of bindings (docs: sharding)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.memoable = False

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """One destination."""
        destinations = sorted(
            (one.destination for one in self.bindings.values()), key=lambda one: str(one.name)
        )
        return [destinations[hashed(key) % len(destinations)]] if destinations else []


class Random(Exchange):
    """x-random: any one binding (docs: rabbitmq_random_exchange)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.memoable = False

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """One destination, by chance."""
        if not self.bindings:
            return []
        return [random.choice(list(self.bindings.values())).destination]


class LocalRandom(Random):
    """x-local-random: any one classic queue of this node (docs: local-random-exchange)."""

    def check_binding(self, destination: Any, key: bytes, arguments: Table) -> None:
        """Classic queues only, and no key."""
        if key:
            raise errors.local_random_key(key)
        kind = getattr(destination, "kind", "classic")
        if kind != "classic":
            raise errors.local_random_queue_type(kind)


class RecentHistory(Exchange):
    """x-recent-history: a fanout that gives its last messages to whatever is newly bound."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.memoable = False
        field = self.arguments.get("x-recent-history-length")
        length = 20
        if field is not None:
            if not isinstance(field.value, int) or isinstance(field.value, bool) or field.value <= 0:
                raise errors.recent_history_length(field.value)
            length = field.value
        self.recent: deque[Any] = deque(maxlen=length)

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """Every destination; the message is remembered unless it asks not to be."""
        unwanted = (headers or {}).get("x-recent-history-no-store")
        if message is not None and not (unwanted is not None and unwanted.value is True):
            self.recent.append(message)
        return [binding.destination for binding in self.bindings.values()]
