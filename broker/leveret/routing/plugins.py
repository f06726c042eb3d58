"""Exchange types of RabbitMQ's plugins. Some choose one of their bindings (consistent hash, modulus hash, random, local
random), others keep messages (recent history, delayed).

They are not compiled; the router caches the choice of the two hashes for each key (`Exchange.by_key`). `RecentHistory`
keeps messages itself; the router passes what `Delayed` delays to `postpone`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort_right
from collections import deque
from itertools import accumulate
from typing import Any

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.bindings import Binding, Destination, Message
from leveret.routing.exchanges import Declaration, Exchange, Search
from leveret.routing.hashing import jump, phash2
from leveret.shrinking import shrink
from leveret.wire.erlang import Term, pretty
from leveret.wire.properties import Properties
from leveret.wire.tables import Field, Table, term

#: Choices that a `ConsistentHash` caches; when there are more, the cache is cleared.
MEMO_LIMIT = 16384

#: The longest delay of `Delayed`, ms: the longest timer in Erlang.
MAX_DELAY_MS = 4294967295

_INTEGER = re.compile(rb"[+-]?[0-9]+")

#: Integers with more digits exceed every limit here. Python refuses to parse those with thousands of digits.
_LONGEST_INTEGER = 300


class ConsistentHash(Exchange):
    """x-consistent-hash: routes each message to one destination, always the same for the same key while bindings do not
    change.

    The binding key is the weight, up to `weight_limit` (0: any). What is hashed is the routing key, the header named by
    `hash-header` (with `hash_kinds` its kind and its value) or the property named by `hash-property`. Only the first
    binding of a destination counts, and removing any binding of it takes it off the ring
    (rabbit_exchange_type_consistent_hash). `stale`: `ring` and `ends` are to be made anew from `weights`.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.weight_limit = profile.largest_hash_weight
        self.hash_kinds = profile.header_kinds_hashed
        self.header, self.property = _hash_sources(self.arguments)
        self.by_key = self.header is None and self.property is None
        self.weights: dict[Destination, int] = {}
        self.stale = False
        self.ring: list[Destination] = []
        self.ends: list[int] = []
        self.chosen: dict[tuple[type, str], Destination] = {}

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 unless the binding key is a weight."""
        key = binding.routing_key
        if not _INTEGER.fullmatch(key):
            raise errors.weight_not_integer(pretty(key))
        weight = int(key)
        if weight < 1:
            raise errors.weight_not_positive()
        if 0 < self.weight_limit < weight:
            raise errors.weight_too_large(self.weight_limit)

    def bound(self, binding: Binding) -> None:
        """Append the destination's buckets, unless it has some."""
        if binding.destination in self.weights:
            return
        weight = self.weights[binding.destination] = int(binding.routing_key)
        self.chosen = {}
        if not self.stale:
            self.ring.append(binding.destination)
            self.ends.append((self.ends[-1] if self.ends else 0) + weight)

    def unbound(self, binding: Binding) -> None:
        """Take its buckets out; those behind them move up before the next message."""
        if self.weights.pop(binding.destination, None) is not None:
            shrink(self.weights)
            self.chosen = {}
            self.stale = True

    def _count(self) -> None:
        self.ends = list(accumulate(self.weights.values()))
        self.ring = list(self.weights)
        self.stale = False

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Append the destination that the hash chooses."""
        if not self.weights:
            return None
        if self.stale:
            self._count()
        value = key if self.by_key else self._value(properties)
        # 1, True and 1.0 are the same key in a dict, but three Erlang terms.
        known = (type(value), repr(value))
        if known not in self.chosen:
            if len(self.chosen) >= MEMO_LIMIT:
                self.chosen = {}
            bucket = jump(value, self.ends[-1])
            self.chosen[known] = self.ring[bisect_right(self.ends, bucket)]
        found.append(self.chosen[known])
        return None

    def _value(self, properties: Properties | None) -> Term:
        """Return the term to hash; None (`undefined`) if the message does not have that header or property."""
        if self.header is not None:
            field = _headers(properties).get(self.header)
            if field is None:
                return None
            if self.hash_kinds:
                return term(field)
            return field.value * 1000 if field.kind == "T" else term(field)[1]
        value = getattr(properties, self.property or "", None)
        return None if value is None else str(value).encode("utf-8", "surrogateescape")


def _hash_sources(arguments: Table) -> tuple[str | None, str | None]:
    """Return the arguments `hash-header` and `hash-property`. Raises an error if both are given."""
    names = []
    for argument in ("hash-header", "hash-property"):
        field = arguments.get(argument)
        if field is not None and field.kind != "S":
            raise errors.internal_error()  # RabbitMQ's channel crashes
        names.append(None if field is None else str(field.value, "utf-8", "surrogateescape"))
    header, prop = names
    if header is not None and prop is not None:
        raise errors.hash_sources_exclusive()
    if prop not in (None, "correlation_id", "message_id", "timestamp"):
        raise errors.unsupported_hash_property(prop)
    return header, prop


class ModulusHash(Exchange):
    """x-modulus-hash: routes by the hash of the routing keys modulo the number of bindings, in the order of their
    destinations (rabbit_exchange_type_modulus_hash)."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.ring: list[Binding] = []

    def bound(self, binding: Binding) -> None:
        """Keep destinations in Erlang's order: exchanges, then queues, each by name."""
        insort_right(self.ring, binding, key=_by_destination)

    def unbound(self, binding: Binding) -> None:
        """Take the binding out of the ring."""
        at = bisect_left(self.ring, _by_destination(binding), key=_by_destination)
        del self.ring[self.ring.index(binding, at)]

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """One destination."""
        if self.ring:
            self.steps = len(more or ())
            found.append(self.ring[phash2([key, *(more or ())]) % len(self.ring)].destination)
        return None


def _by_destination(binding: Binding) -> tuple[str, bytes]:
    return binding.destination_type, binding.destination_name.encode("utf-8", "surrogateescape")


class Random(Exchange):
    """x-random: any one binding. `chance`: where chance comes from; `places`: of the bindings in `ring`."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        import random  # only for this type

        self.by_key = False
        self.chance = random.Random()
        self.ring: list[Binding] = []
        self.places: dict[Binding, int] = {}

    def bound(self, binding: Binding) -> None:
        """Append the binding."""
        self.places[binding] = len(self.ring)
        self.ring.append(binding)

    def unbound(self, binding: Binding) -> None:
        """Put the last binding in its place: the order does not matter."""
        place = self.places.pop(binding)
        shrink(self.places)
        last = self.ring.pop()
        if last is not binding:
            self.ring[place] = last
            self.places[last] = place

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """One destination, by chance."""
        if self.ring:
            found.append(self.chance.choice(self.ring).destination)
        return None


class LocalRandom(Random):
    """x-local-random: routes to any one classic queue on this node, where all queues are."""

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 for a destination that is no classic queue, or a binding key."""
        if binding.routing_key:
            raise errors.local_random_key(binding.routing_key)
        if binding.destination_type == "exchange":
            raise errors.local_random_destination()
        if binding.destination.kind != "classic":
            raise errors.local_random_queue_type(binding.destination.kind)


class RecentHistory(Exchange):
    """x-recent-history: a fanout that publishes its last messages to new destinations."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.by_key = False
        self.attentive = True
        field = self.arguments.get("x-recent-history-length")
        if field is not None and (field.kind not in "bsIl" or field.value <= 0):
            raise errors.recent_history_length(pretty(term(field)[1]))
        self.recent: deque[Message] = deque(maxlen=20 if field is None else field.value)

    def replay(self) -> list[Message]:
        """Return the last messages, oldest first."""
        return list(self.recent)

    def attend(self, message: Message | None, properties: Properties | None) -> int:
        """Keep a message, unless its header x-recent-history-no-store is true."""
        if message is not None and _headers(properties).get("x-recent-history-no-store") != Field("t", True):
            self.recent.append(message)
        return 0

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Every destination."""
        found.extend(self.targets)
        return None


class Delayed(Exchange):
    """x-delayed-message: delays messages by their header x-delay, then routes as its x-delayed-type.

    `inner`: an exchange of that type, with the same arguments and bindings. The router's `postpone` keeps delayed
    messages. `queue_journal`: the store's account of them, None without a store.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.by_key = False
        self.attentive = True
        self.queue_journal: Any = None  # a QueueJournal, of the queues, which routing does not know
        self.inner: Exchange | None = None

    def check_binding(self, binding: Binding) -> None:
        """Check the binding as the inner type does."""
        self._inner.check_binding(binding)

    def bound(self, binding: Binding) -> None:
        """Add the binding to the inner exchange."""
        self._inner.add(binding)

    def unbound(self, binding: Binding) -> None:
        """Remove the binding from the inner exchange."""
        self._inner.remove(binding)

    def replay(self) -> list[Message]:
        """Return the messages that the inner exchange publishes to a new destination."""
        return self._inner.replay()

    def attend(self, message: Message | None, properties: Properties | None) -> int:
        """Return the delay of a message in ms; 0 for none."""
        delay = delay_of(_headers(properties))
        if delay is None:
            return int(self._inner.attend(message, properties)) if self._inner.attentive else 0
        return delay

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """As the inner type."""
        search: Search | None = self._inner.matches(key, more, properties, found)
        self.steps = self._inner.steps
        return search

    @property
    def _inner(self) -> Exchange:
        assert self.inner is not None, "made by make_exchange"
        return self.inner


def _headers(properties: Properties | None) -> Table:
    return (properties.headers if properties is not None else None) or {}


def delay_of(headers: Table | None) -> int | None:
    """Parse the header x-delay, in ms. Returns None if the message is to be routed at once: no such header, no number,
    or not in 1 to 4294967295 (rabbit_delayed_message_utils:get_delay)."""
    field = (headers or {}).get("x-delay")
    if field is None:
        return None
    if field.kind == "S" and not (len(field.value) < _LONGEST_INTEGER and _INTEGER.fullmatch(field.value)):
        return None
    if field.kind not in "bBsuIilfdS":
        return None
    delay = int(field.value)
    return delay if 0 < delay <= MAX_DELAY_MS else None
