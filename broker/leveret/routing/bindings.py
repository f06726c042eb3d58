"""A binding from an exchange to a queue or another exchange, with a routing key and arguments."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Container, Generator
from typing import Any, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import quote_plus

from leveret.routing.hashing import phash2
from leveret.shrinking import shrink
from leveret.wire.tables import Table, encode_table, term
from leveret.work import in_order

#: A queue, an exchange, or another destination of messages. `Any`, because routing is on the same layer as the queues:
#: it uses only the `name`; the engine knows the class.
Destination: TypeAlias = Any

#: A message, of which routing reads only the `header`. `Any` for the same reason.
Message: TypeAlias = Any

#: What makes two bindings the same: source, destination type and name, routing key, arguments.
Identity = tuple[str, str, str, bytes, bytes]


class Binding:
    """One binding. `destination`: the queue or exchange itself; `destination_type`: "queue" or "exchange".

    `identity`: bindings with the same identity are the same binding. The order of arguments does not matter, their
    types do, as in rabbit_binding:sort_args/1. `digest`: see `properties_key`; empty until it was asked for.
    """

    __slots__ = (
        "arguments",
        "destination",
        "destination_name",
        "destination_type",
        "digest",
        "identity",
        "routing_key",
        "source",
    )

    def __init__(
        self,
        source: str,
        destination: Destination,
        destination_type: str,
        routing_key: bytes,
        arguments: Table,
    ) -> None:
        self.source = source
        self.destination = destination
        self.destination_type = destination_type
        self.destination_name: str = destination.name
        self.routing_key = routing_key
        self.arguments = arguments
        self.digest = ""
        canonical = encode_table(sorted_table(arguments)) if arguments else b""
        self.identity: Identity = (source, destination_type, self.destination_name, routing_key, canonical)

    @property
    def properties_key(self) -> str:
        """Its name in the HTTP API among the bindings of the same source and destination."""
        if self.arguments and not self.digest:
            self.digest = digest_of(self.arguments)
        return _with_digest(self.routing_key, self.digest)


def properties_key(routing_key: bytes, arguments: Table) -> str:
    """Return the key of a binding in the HTTP API, unique among those of its source and destination
    (rabbit_mgmt_format:pack_binding_props): the quoted routing key, `~` for an empty one, and a hash of the arguments
    if there are any."""
    return _with_digest(routing_key, digest_of(arguments) if arguments else "")


def _with_digest(routing_key: bytes, digest: str) -> str:
    key = quote_plus(routing_key).replace("~", "%7E")
    return f"{key}~{digest}" if digest else key or "~"


def digest_of(arguments: Table) -> str:
    """Return the hash of arguments in a key. It takes a microsecond for each of them."""
    pairs = [(_octets(name), *term(field)) for name, field in sorted_table(arguments).items()]
    digest = urlsafe_b64encode(phash2(pairs, 1 << 32).to_bytes(4, "big"))
    return digest.decode("ascii").rstrip("=")


def sorted_table(table: Table) -> Table:
    """Return the table sorted by the octets of its names (rabbit_misc:sort_field_table). Nested tables keep their
    order."""
    return {name: table[name] for name in sorted(table, key=_octets)}


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class Source(Protocol):
    """What is used of an exchange: the module of exchanges uses this one. `serial`: in the order of declarations."""

    serial: int

    @property
    def targets(self) -> Container[Destination]:
        """Where its bindings lead."""


E = TypeVar("E", bound=Source)


class Sources(Generic[E]):
    """Which exchanges lead to a destination, of all destinations in a virtual host."""

    def __init__(self) -> None:
        self._sources: dict[Destination, dict[E, None]] = {}

    def any(self, destination: Destination) -> bool:
        """Whether there are bindings to a destination."""
        return destination in self._sources

    def of(self, destination: Destination) -> list[E]:
        """The exchanges with bindings to a destination, in the order in which they were declared."""
        return sorted(self._sources.get(destination, ()), key=_declared)

    def in_order(self, destination: Destination) -> Generator[None, None, list[E]]:
        """`of`, as a generator that yields after each portion: there can be a hundred thousand exchanges."""
        return in_order(list(self._sources.get(destination, ())), _declared)

    def note(self, source: E, destination: Destination) -> None:
        """A binding of the exchange to the destination was added or removed."""
        if destination in source.targets:
            self._sources.setdefault(destination, {})[source] = None
            return
        sources = self._sources.get(destination, {})
        sources.pop(source, None)
        shrink(sources)
        if not sources:
            self._sources.pop(destination, None)
            shrink(self._sources)


def _declared(exchange: Source) -> int:
    return exchange.serial
