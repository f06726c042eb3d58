"""Exchanges: their bindings, and which of them match a message.

A destination is any object with a `name`; the router goes on from destinations that are exchanges. `Direct`, `Fanout`
and `Topic` depend only on the routing key (`by_key`), so the router can cache their routes. `headers.py` and
`plugins.py` have the types that use more of the message, `types.py` lists all types.

`bindings` is the registry, `targets` the same by destination. Types keep an index of their own in `bound` and
`unbound`, and read it in `matches`, the only method here that runs per message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.bindings import Binding, Destination, Identity, Message
from leveret.shrinking import shrink
from leveret.wire.properties import Properties
from leveret.wire.tables import Table

if cython.compiled:
    from cython.cimports.leveret.routing.topic import Trie, wildcards
else:
    from leveret.routing.topic import Trie, wildcards


#: Steps of a search before it is interrupted for the first time: about a millisecond.
SEARCH_STEPS = 4096


class Search(Protocol):
    """A search for destinations that takes long and can be interrupted. It appends what it finds."""

    def advance(self, steps: int) -> int:
        """Go on for at most so many steps. Returns how many fewer it were; 0 if it may not have ended."""


@dataclass(frozen=True)
class Declaration:
    """The arguments of exchange.declare. `user`: who declares it."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = field(default_factory=dict)
    user: str = ""


class Exchange:
    """An exchange of any type. `arguments`: as declared. `alternate`: name of the effective alternate exchange, or
    None.

    `serial`: exchanges of a virtual host count in the order in which they were declared.
    `by_key`: this type looks at nothing but the routing key. `memo`: key -> queues, as of the router's revision
    `memo_at`. `attentive`: `attend` wants to see every message. `implicit`: it is the default exchange. `steps`: what
    the last call of `matches` has cost, where that depends on bindings that did not match. `tally`: counts of publishes
    (`engine/tallies.py`), None before the first.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        name: str = declaration.name
        self.name: str = name
        self.wire_name: bytes = name.encode("utf-8", "surrogateescape")
        self.type: str = declaration.type
        self.durable: bool = declaration.durable
        self.auto_delete: bool = declaration.auto_delete
        self.internal: bool = declaration.internal
        self.arguments: Table = declaration.arguments
        self.user: str = declaration.user
        self.alternate: str | None = None
        self.serial: int = 0
        self.policy: object = None
        self.by_key: bool = True
        self.attentive: bool = False
        self.implicit: bool = name == ""
        self.bindings: dict[Identity, Binding] = {}
        self.targets: dict[Destination, dict[Identity, Binding]] = {}
        self.memo: dict[bytes, list[Destination]] = {}
        self.memo_at: int = -1
        self.tally: Any = None
        self.steps: int = 0

    def end(self) -> None:
        """Refer to nothing that refers to this exchange, because it is deleted."""
        self.memo = {}
        if self.tally is not None:
            self.tally.end()
            self.tally = None

    def binding(self, destination: Destination, key: bytes, arguments: Table) -> Binding:
        """Make a binding from this exchange to a destination, without adding it."""
        kind = "exchange" if isinstance(destination, Exchange) else "queue"
        return Binding(self.name, destination, kind, key, arguments)

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 for a binding that this type does not accept."""

    def add(self, binding: Binding) -> bool:
        """Add a binding. Returns False if it exists. Raises the errors of `check_binding` even then."""
        self.check_binding(binding)
        if binding.identity in self.bindings:
            return False
        self.bindings[binding.identity] = binding
        self.targets.setdefault(binding.destination, {})[binding.identity] = binding
        try:
            self.bound(binding)
        except Exception:  # a binding that is only partly added would make every publish fail
            self._unregister(binding)
            raise
        return True

    def _unregister(self, binding: Binding) -> None:
        del self.bindings[binding.identity]
        shrink(self.bindings)
        same = self.targets[binding.destination]
        del same[binding.identity]
        shrink(same)
        if not same:
            del self.targets[binding.destination]
            shrink(self.targets)

    def remove(self, binding: Binding) -> Binding | None:
        """Remove a binding. Returns the one that existed, or None."""
        found = self.bindings.get(binding.identity)
        if found is None:
            return None
        self._unregister(found)
        self.unbound(found)
        return found

    def bindings_to(self, destination: Destination) -> list[Binding]:
        """Return the bindings to a destination."""
        return list(self.targets.get(destination, {}).values())

    def bound(self, binding: Binding) -> None:
        """Update the index of `matches` after a binding was added."""

    def unbound(self, binding: Binding) -> None:
        """Update the index of `matches` after a binding was removed."""

    def replay(self) -> list[Message]:
        """Return the messages to publish to a new destination, oldest first."""
        return []

    def attend(self, message: Message | None, properties: Properties | None) -> int:
        """Examine a message before it is routed, if `attentive`. Returns the delay before routing in ms, 0 for none."""
        return 0

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Append the destinations for a message; one may come several times. Returns a search that has not ended yet.

        `key`, `more`: the routing key, and additional ones (CC, BCC). `properties`: the message's properties; may be
        None if `by_key`.
        """
        raise NotImplementedError


class Direct(Exchange):
    """Routes to bindings whose key equals the routing key (0-9-1 3.1.3.1). The default exchange is of this type, too;
    the router handles its implicit bindings."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.keys: dict[bytes, dict[Destination, int]] = {}

    def bound(self, binding: Binding) -> None:
        """Count the binding of the destination under its key."""
        there = self.keys.setdefault(binding.routing_key, {})
        there[binding.destination] = there.get(binding.destination, 0) + 1

    def unbound(self, binding: Binding) -> None:
        """Remove the destination with its last binding under that key."""
        there = self.keys[binding.routing_key]
        there[binding.destination] -= 1
        if not there[binding.destination]:
            del there[binding.destination]
            shrink(there)
            if not there:
                del self.keys[binding.routing_key]
                shrink(self.keys)

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Destinations bound with exactly one of the keys."""
        other: bytes
        there: dict[Destination, int] | None = self.keys.get(key)
        if there is not None:
            found.extend(there)
        if more is not None:
            self.steps = len(more)
            for other in dict.fromkeys(more):
                there = self.keys.get(other) if other != key else None
                if there is not None:
                    found.extend(there)
        return None


class Fanout(Exchange):
    """Routes to all bindings (0-9-1 3.1.3.2)."""

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Every destination."""
        found.extend(self.targets)
        return None


class Topic(Exchange):
    """Routes to bindings whose pattern matches the routing key (0-9-1 3.1.3.3).

    `wildcard_limit`: number of `#` words that a pattern may have, 0 for any number; two since RabbitMQ 4.3.5.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.trie: Trie = Trie()
        self.wildcard_limit: int = profile.topic_wildcards

    def check_binding(self, binding: Binding) -> None:
        """Raise 406 for a pattern with too many `#` words."""
        if self.wildcard_limit:
            count = wildcards(binding.routing_key)
            if count > self.wildcard_limit:
                raise errors.too_many_wildcards(binding.routing_key, count)

    def bound(self, binding: Binding) -> None:
        """Add the pattern to the trie."""
        self.trie.add(binding.routing_key, binding.destination)

    def unbound(self, binding: Binding) -> None:
        """Remove the pattern from the trie."""
        self.trie.remove(binding.routing_key, binding.destination)

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> Search | None:
        """Destinations of patterns that match one of the keys."""
        keys: list[bytes] = [key]
        if more is not None:
            keys = list(dict.fromkeys([key, *more]))
        search = self.trie.match(keys, found, SEARCH_STEPS)
        self.steps = SEARCH_STEPS - self.trie.left
        return search
