"""Exchanges: what they are bound to, and which of it a message is for.

A destination is an opaque object with a `name`; one that is an `Exchange` is walked on by the router. `Direct`,
`Fanout` and `Topic` depend on the routing key alone (`by_key`), so that the router may remember what they said;
`headers.py` and `plugins.py` hold the types that look at more, `types.py` the list of all.

`bindings` is the registry, `targets` the same by destination, `exits` the destinations that are exchanges. Types keep
an index of their own in `bound` and `unbound`, and read it in `matches`, the only method here that runs per message.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.routing.bindings import Binding, Destination, Identity, Message
from leveret.wire.properties import Properties
from leveret.wire.tables import Table

if cython.compiled:
    from cython.cimports.leveret.routing.topic import Trie, wildcards
else:
    from leveret.routing.topic import Trie, wildcards


@dataclass(frozen=True)
class Declaration:
    """An exchange as it is declared. `user`: who declared it."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = field(default_factory=dict)
    user: str = ""


class Exchange:
    """An exchange of any type. `arguments`: as declared. `alternate`: effective alternate exchange, or None.

    `by_key`: this type looks at nothing but the routing key. `memoable`: nor does any exchange reached from here; true
    as of the router's revision `memo_at`, as is `memo` (key -> queues). `attentive`: `attend` wants to see every
    message. `implicit`: it is the default exchange. Counters only ever grow.
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
        self.policy: object = None
        self.by_key: bool = True
        self.attentive: bool = False
        self.implicit: bool = name == ""
        self.bindings: dict[Identity, Binding] = {}
        self.targets: dict[Destination, dict[Identity, Binding]] = {}
        self.exits: dict[Destination, None] = {}
        self.memoable: bool = True
        self.memo: dict[bytes, list[Destination]] = {}
        self.memo_at: int = -1
        self.published_in: int = 0
        self.published_out: int = 0

    def binding(self, destination: Destination, key: bytes, arguments: Table) -> Binding:
        """What a binding from here to there is; nothing is bound yet."""
        kind = "exchange" if isinstance(destination, Exchange) else "queue"
        return Binding(self.name, destination, kind, key, arguments)

    def check_binding(self, binding: Binding) -> None:
        """Raise AmqpError 406 for a binding that this type cannot have."""

    def add(self, binding: Binding) -> bool:
        """Bind; False if that very binding is there. Raises as `check_binding`, also for one that is there."""
        self.check_binding(binding)
        if binding.identity in self.bindings:
            return False
        self.bindings[binding.identity] = binding
        self.targets.setdefault(binding.destination, {})[binding.identity] = binding
        if isinstance(binding.destination, Exchange):
            self.exits[binding.destination] = None
        try:
            self.bound(binding)
        except Exception:  # half bound, it would fail every message
            self._unregister(binding)
            raise
        return True

    def _unregister(self, binding: Binding) -> None:
        del self.bindings[binding.identity]
        same = self.targets[binding.destination]
        del same[binding.identity]
        if not same:
            del self.targets[binding.destination]
            self.exits.pop(binding.destination, None)

    def remove(self, binding: Binding) -> Binding | None:
        """Unbind; returns the binding that was there, or None."""
        found = self.bindings.get(binding.identity)
        if found is None:
            return None
        self._unregister(found)
        self.unbound(found)
        return found

    def bindings_to(self, destination: Destination) -> list[Binding]:
        """The bindings that lead to a destination."""
        return list(self.targets.get(destination, {}).values())

    def bound(self, binding: Binding) -> None:
        """A binding was added: keep what `matches` needs."""

    def unbound(self, binding: Binding) -> None:
        """A binding was removed."""

    def replay(self) -> list[Message]:
        """Messages that whatever is newly bound gets first, oldest first."""
        return []

    def attend(self, message: Message | None, properties: Properties | None) -> int:
        """A message comes by, if `attentive`: how long it is to wait before it is routed, in ms; 0 for not at all."""
        return 0

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> None:
        """Append the destinations for a message; one may come several times.

        `key`, `more`: its routing key, and those of CC and BCC. `properties`: a `wire.properties.Properties`; may be
        None if `by_key`.
        """
        raise NotImplementedError


class Direct(Exchange):
    """Routes to bindings whose key is the routing key (0-9-1 3.1.3.1). The default exchange is one, too, whose
    implicit bindings the router knows."""

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.keys: dict[bytes, dict[Destination, int]] = {}

    def bound(self, binding: Binding) -> None:
        """Count the destination under its key."""
        there = self.keys.setdefault(binding.routing_key, {})
        there[binding.destination] = there.get(binding.destination, 0) + 1

    def unbound(self, binding: Binding) -> None:
        """Forget the destination with its last binding under that key."""
        there = self.keys[binding.routing_key]
        there[binding.destination] -= 1
        if not there[binding.destination]:
            del there[binding.destination]
            if not there:
                del self.keys[binding.routing_key]

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> None:
        """Destinations bound with exactly one of the keys."""
        other: bytes
        there: dict[Destination, int] | None = self.keys.get(key)
        if there is not None:
            found.extend(there)
        if more is not None:
            for other in more:
                there = self.keys.get(other)
                if there is not None:
                    found.extend(there)


class Fanout(Exchange):
    """Routes to all bindings (0-9-1 3.1.3.2)."""

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> None:
        """Every destination."""
        found.extend(self.targets)


class Topic(Exchange):
    """Routes to bindings whose pattern matches the routing key (0-9-1 3.1.3.3).

    `wildcard_limit`: how many `#` a pattern may have, 0 for any number; two from RabbitMQ 4.3.5 on.
    """

    def __init__(self, declaration: Declaration, profile: Profile) -> None:
        super().__init__(declaration, profile)
        self.trie: Trie = Trie()
        self.wildcard_limit: int = profile.topic_wildcards

    def check_binding(self, binding: Binding) -> None:
        """Not too many `#`."""
        if self.wildcard_limit:
            count = wildcards(binding.routing_key)
            if count > self.wildcard_limit:
                raise errors.too_many_wildcards(binding.routing_key, count)

    def bound(self, binding: Binding) -> None:
        """Put the pattern into the trie."""
        self.trie.add(binding.routing_key, binding.destination)

    def unbound(self, binding: Binding) -> None:
        """Take it out."""
        self.trie.remove(binding.routing_key, binding.destination)

    def matches(
        self, key: bytes, more: list[bytes] | None, properties: Properties | None, found: list[Destination]
    ) -> None:
        """Destinations of patterns that match one of the keys."""
        other: bytes
        self.trie.match(key, found)
        if more is not None:
            for other in more:
                self.trie.match(other, found)
