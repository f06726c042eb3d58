"""Exchanges: what they are bound to, and which of it a key or a message's headers lead to.

A destination is an opaque object; one that is an `Exchange` is walked on by the router. `Direct`, `Fanout` and `Topic`
depend on the key alone, so the router may remember what they said (`memoable`); `headers.py` and `hashing.py` hold
the types that look at the message.
"""

from __future__ import annotations

from typing import Any

import cython

from leveret.routing.bindings import Binding

if cython.compiled:
    from cython.cimports.leveret.routing.topic import Trie
else:
    from leveret.routing.topic import Trie


class Exchange:
    """An exchange of any type. `bindings`: from it, by identity. `alternate`: effective alternate exchange, or None.

    `memo`: what the router found for a key at its revision `memo_at`, see `Router.route`. Counters only ever grow.
    """

    def __init__(
        self,
        name: str,
        type: str,
        durable: bool = True,
        auto_delete: bool = False,
        internal: bool = False,
        arguments: Any = None,
        user: str = "",
    ) -> None:
        self.name: str = name
        self.type: str = type
        self.durable: bool = durable
        self.auto_delete: bool = auto_delete
        self.internal: bool = internal
        self.memoable: bool = True
        self.alternate: str | None = None
        self.policy: Any = None
        self.arguments: Any = arguments or {}
        self.user: str = user
        self.bindings: dict[Any, Binding] = {}
        self.memo: dict[bytes, list[Any]] = {}
        self.memo_at: int = -1
        self.published_in: int = 0
        self.published_out: int = 0

    def binding(self, destination: Any, key: bytes, arguments: Any) -> Binding:
        """What a binding from here to there would be; what its key or arguments break is an error."""
        self.check_binding(destination, key, arguments)
        kind = "exchange" if isinstance(destination, Exchange) else "queue"
        return Binding(self.name, destination, kind, key, arguments)

    def check_binding(self, destination: Any, key: bytes, arguments: Any) -> None:
        """Refuse a binding this type cannot have."""

    def add(self, binding: Binding) -> bool:
        """Bind; False if that very binding was there."""
        if binding.identity in self.bindings:
            return False
        self.bindings[binding.identity] = binding
        self.bound(binding)
        return True

    def remove(self, binding: Binding) -> Binding | None:
        """Unbind; returns the binding that was there, or None."""
        found = self.bindings.pop(binding.identity, None)
        if found is not None:
            self.unbound(found)
        return found

    def bindings_to(self, destination: Any) -> list[Binding]:
        """The bindings that lead to a destination."""
        return [binding for binding in self.bindings.values() if binding.destination is destination]

    def bound(self, binding: Binding) -> None:
        """A binding was added: keep what `matches` needs."""

    def unbound(self, binding: Binding) -> None:
        """A binding was removed."""

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """The destinations for a key and, where the type looks at them, headers and message."""
        raise NotImplementedError


class Direct(Exchange):
    """Routes to bindings whose key is the routing key (0-9-1 3.1.3.1). The default exchange is one, too, whose
    implicit bindings the router knows."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.keys: dict[bytes, list[Any]] = {}

    def bound(self, binding: Binding) -> None:
        """Remember the destination under its key."""
        self.keys.setdefault(binding.routing_key, []).append(binding.destination)

    def unbound(self, binding: Binding) -> None:
        """Forget it."""
        there = self.keys[binding.routing_key]
        there.remove(binding.destination)
        if not there:
            del self.keys[binding.routing_key]

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """Destinations bound with exactly this key."""
        return self.keys.get(key, [])


class Fanout(Exchange):
    """Routes to all bindings (0-9-1 3.1.3.2)."""

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """Every destination."""
        return [binding.destination for binding in self.bindings.values()]


class Topic(Exchange):
    """Routes to bindings whose pattern matches the routing key (0-9-1 3.1.3.3)."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.trie: Trie = Trie()

    def bound(self, binding: Binding) -> None:
        """Put the pattern into the trie."""
        self.trie.add(binding.routing_key, binding.destination)

    def unbound(self, binding: Binding) -> None:
        """Take it out."""
        self.trie.remove(binding.routing_key, binding.destination)

    def matches(self, key: bytes, headers: Any, message: Any) -> list[Any]:
        """Destinations of matching patterns."""
        found: list[Any] = self.trie.match(key)
        return found
