"""Connections, queues and exchanges of a broker, as mappings by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from msgspec import Struct

from leveret.engine.changes import HeartbeatMissed
from leveret.errors import AmqpError
from leveret.session import states
from leveret.testing import checks
from leveret.testing.errors import ToolkitError, hides_frames
from leveret.testing.near_miss import closest
from leveret.testing.recorder import connection_name
from leveret.testing.values import Header, headers_of

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.session.connection import Connection

__tracebackhide__ = hides_frames

T = TypeVar("T", covariant=True)
V = TypeVar("V", covariant=True)


class Caller(Protocol):
    """Runs something in the broker's thread."""

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` there and return its result."""


class QueueView(Struct, frozen=True):
    """A queue, as of the moment when it was looked up. `type`: classic, quorum or stream; `consumers`: how many."""

    name: str
    vhost: str
    type: str
    ready: int
    unacked: int
    consumers: int
    durable: bool
    auto_delete: bool
    exclusive: bool
    arguments: dict[str, Header]


class ExchangeView(Struct, frozen=True):
    """An exchange, as of the moment when it was looked up. `bindings`: (key, queue or exchange)."""

    name: str
    vhost: str
    type: str
    durable: bool
    auto_delete: bool
    internal: bool
    arguments: dict[str, Header]
    bindings: list[tuple[str, str]]


class ConnectionView(Struct, frozen=True):
    """A connection, as of the moment when it was looked up. `name`: RabbitMQ's, `peer -> host`; `given`: the one that
    the client has given it, if any; `channels`: how many."""

    name: str
    given: str | None
    user: str
    vhost: str | None
    channels: int
    properties: dict[str, Header]
    _caller: Caller
    _connection: Connection

    def close(self, code: int = 320, text: str = "") -> None:
        """Have the broker close it with connection.close. Raises `ValueError` for a code that AMQP does not have."""
        error = AmqpError(checks.reply_code(code), text or "closed by the test", scope="connection")
        self._caller.call(lambda: self._connection.shut(error))

    def miss_heartbeats(self) -> None:
        """Have the broker drop it, as after two heartbeat intervals in which nothing came."""

        def miss() -> None:
            connection = self._connection
            connection.broker.observers.notify(HeartbeatMissed(connection.actor, connection))
            connection.reset()

        self._caller.call(miss)


class MissingError(ToolkitError, KeyError):
    """There is nothing with that name. The text says what there is."""

    def __str__(self) -> str:
        """Return the text without quotes."""
        return str(self.args[0])


class Named(Mapping[str, V], Generic[V]):
    """Objects by name, as of now: each access looks anew. `find`: returns all of them, in the broker's thread."""

    def __init__(self, caller: Caller, kind: str, find: Callable[[], Mapping[str, Callable[[], V]]]) -> None:
        self._caller = caller
        self._kind = kind
        self._find = find

    def __getitem__(self, name: str) -> V:
        """Return one. Raises `KeyError` with the names that there are."""

        def look() -> V:
            found = self._find()
            if name in found:
                return found[name]()
            raise MissingError(f"there is no {self._kind} '{name}'; {_there(name, list(found), self._kind)}")

        return self._caller.call(look)

    def __contains__(self, name: object) -> bool:
        """Return whether there is one."""
        return self._caller.call(lambda: name in self._find())

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._caller.call(lambda: list(self._find())))

    def __len__(self) -> int:
        """Return how many there are."""
        return self._caller.call(lambda: len(self._find()))

    def __repr__(self) -> str:
        """Return the names."""
        return f"<{self._kind}s: {', '.join(self) or 'none'}>"


def _there(name: str, names: list[str], kind: str) -> str:
    like = closest(name, names)
    if like is not None:
        return f"there is '{like}'"
    if not names:
        return f"there is no {kind} at all"
    return "there are " + ", ".join(f"'{each}'" for each in names[:10]) + (", ..." if len(names) > 10 else "")


def queue_view(queue: Queue) -> QueueView:
    """Return a queue as it is now."""
    return QueueView(
        queue.name,
        queue.vhost,
        queue.kind,
        queue.ready,
        queue.unacked,
        len(queue.consumers.members),
        queue.durable,
        queue.auto_delete,
        queue.exclusive,
        headers_of(queue.arguments),
    )


def exchange_view(vhost: str, exchange: Exchange) -> ExchangeView:
    """Return an exchange as it is now."""
    return ExchangeView(
        exchange.name,
        vhost,
        exchange.type,
        exchange.durable,
        exchange.auto_delete,
        exchange.internal,
        headers_of(exchange.arguments),
        [
            (one.routing_key.decode("utf-8", "surrogateescape"), one.destination_name)
            for one in exchange.bindings.values()
        ],
    )


def connection_view(caller: Caller, connection: Connection) -> ConnectionView:
    """Return a connection as it is now."""
    given = connection_name(connection)
    return ConnectionView(
        connection.name,
        given if given != connection.name else None,
        connection.actor.user,
        connection.vhost.name if connection.vhost is not None else None,
        len(connection.channels),
        headers_of(connection.client_properties),
        caller,
        connection,
    )


def connections_by_name(caller: Caller, all_of_them: list[object], vhost: str | None) -> Connections:
    """Return connections, by RabbitMQ's names."""
    found = [cast("Connection", each) for each in all_of_them]
    return {
        one.name: (lambda one=one: connection_view(caller, one))  # type: ignore[misc]
        for one in found
        if one.state < states.CLOSING
        and (vhost is None or (one.vhost is not None and one.vhost.name == vhost))
    }


Connections = Mapping[str, Callable[[], ConnectionView]]


class ConnectionsByName(Named[ConnectionView]):
    """Connections by RabbitMQ's name, or by the one that the client has given."""

    def __getitem__(self, name: str) -> ConnectionView:
        """Return one. Raises `KeyError`, also if several clients have given that name."""

        def look() -> ConnectionView:
            found = self._find()
            if name in found:
                return found[name]()
            views = [make() for make in found.values()]
            same = [view for view in views if view.given == name]
            if len(same) == 1:
                return same[0]
            if same:
                names = ", ".join(f"'{view.name}'" for view in same)
                raise MissingError(f"{len(same)} connections are named '{name}': {names}")
            names_there = [view.given or view.name for view in views]
            raise MissingError(f"there is no connection '{name}'; {_there(name, names_there, 'connection')}")

        return self._caller.call(look)

    def __contains__(self, name: object) -> bool:
        """Return whether there is one with that name."""
        return self._caller.call(
            lambda: name in self._find() or any(make().given == name for make in self._find().values())
        )
