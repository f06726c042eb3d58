"""Which publishes, methods, deliveries and connections a fault is for, and which time it happens."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, TypedDict

from msgspec import Struct, field

from leveret.errors import AmqpError
from leveret.testing.values import glob_hint
from leveret.wire.properties import Properties, decode_properties

if TYPE_CHECKING:
    from pamqp.base import Frame

    from leveret.session.connection import Connection

When = Literal["before", "after"]

#: What a rule may say as a shell glob.
GLOBS = ("connection", "user", "vhost", "queue", "exchange", "routing_key")


class Occasion(Struct):
    """Something that a fault may be for: a method, a publish, a delivery, or a new connection.

    `method`: its AMQP name, or "connect". `queues`: where a publish is routed, or the queue concerned. `arguments`: the
    method as pamqp decodes it.
    """

    method: str
    connection: str = ""
    names: Sequence[str] = ()
    user: str = ""
    vhost: str = ""
    channel: int = 0
    exchange: str | None = None
    routing_key: str | None = None
    queues: Sequence[str] = ()
    header: bytes = b""
    body: bytes = b""
    arguments: Frame | None = None

    @property
    def queue(self) -> str | None:
        """The queue concerned, the first one of several."""
        return self.queues[0] if self.queues else None

    @property
    def properties(self) -> Properties:
        """The properties of the message; none if there are none, or they cannot be decoded."""
        try:
            return decode_properties(self.header) if self.header else Properties()
        except AmqpError:
            return Properties()

    def __str__(self) -> str:
        """Return it in words: `to exchange 'orders' with key 'eu.new', for queue 'jobs', of connection 'worker'`."""
        parts = []
        if self.exchange is not None:
            parts.append(f"to exchange '{self.exchange}'" if self.exchange else "to the default exchange")
        if self.routing_key is not None:
            parts.append(f"with key '{self.routing_key}'")
        if self.queues:
            parts.append(f"for queue {', '.join(map(repr, self.queues))}")
        name = self.names[2] if len(self.names) > 2 else self.connection  # the one that the client has given
        return " ".join([*parts, f"of connection '{name}', user '{self.user}', vhost '{self.vhost}'"])


class ChaosArguments(TypedDict, total=False):
    """What chaos is for: arguments by name, as of `Rule`."""

    connection: str | None
    user: str | None
    vhost: str | None
    queue: str | None
    exchange: str | None
    routing_key: str | None
    where: Callable[[Occasion], object] | None
    nth: int


class RuleArguments(ChaosArguments, total=False):
    """What a fault is for: arguments by name, as of `Rule`."""

    times: int | None
    chance: float


class Rule(Struct):
    """What a fault is for; globs, None for any. `nth`: the first time that counts, of all that match; `times`: how
    often, None for always; `chance`: of each time. `seen`: how many matched; `other`: the last one that did not;
    `of_view`: the virtual host is that of the view of the broker, which texts leave out."""

    connection: str | None = None
    user: str | None = None
    vhost: str | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    where: Callable[[Occasion], object] | None = None
    nth: int = 1
    times: int | None = 1
    chance: float = 1.0
    random: random.Random = field(default_factory=random.Random)
    seen: int = 0
    hits: int = 0
    other: Occasion | None = None
    of_view: bool = False

    def __post_init__(self) -> None:
        """Check types and numbers. Raises `TypeError`, `ValueError`."""
        for name in GLOBS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} is a shell glob, a str, not {value!r}")
        for name, number in (("nth", self.nth), ("times", 1 if self.times is None else self.times)):
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} is a number, not {number!r}")
        if self.where is not None and not callable(self.where):
            raise TypeError(f"where is a function of an Occasion, not {self.where!r}")
        if isinstance(self.chance, bool) or not isinstance(self.chance, int | float):
            raise TypeError(f"chance is a number between 0 and 1, not {self.chance!r}")
        if self.nth < 1:
            raise ValueError(f"nth counts from 1, and is {self.nth!r}")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times is at least 1, or None for always, and is {self.times!r}")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"chance is between 0 and 1, and is {self.chance!r}")

    @property
    def spent(self) -> bool:
        """Whether it has happened as often as it shall."""
        return self.times is not None and self.hits >= self.times

    def matches(self, occasion: Occasion) -> bool:
        """Return whether it is for this occasion, whatever the time."""
        return (
            _any(occasion.names, self.connection)
            and _any((occasion.user,), self.user)
            and _any((occasion.vhost,), self.vhost)
            and _any(occasion.queues, self.queue)
            and _any(_some(occasion.exchange), self.exchange)
            and _any(_some(occasion.routing_key), self.routing_key)
            and (self.where is None or bool(self.where(occasion)))
        )

    def hint(self) -> str:
        """Return what to write instead of a pattern that is no shell glob and would have matched."""
        if self.other is None:
            return ""
        given = (
            (self.queue, self.other.queues),
            (self.exchange, _some(self.other.exchange)),
            (self.routing_key, _some(self.other.routing_key)),
        )
        return "".join(glob_hint(pattern, *values) for pattern, values in given if pattern is not None)

    def counted(self, occasion: Occasion) -> bool:
        """Count an occasion, if it is for it. Returns whether it is due now."""
        if self.spent:
            return False
        if not self.matches(occasion):
            self.other = occasion
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.chance >= 1 or self.random.random() < self.chance)

    def happens(self, occasion: Occasion) -> bool:
        """Count an occasion. Returns whether it happens now, and counts that, too."""
        due = self.counted(occasion)
        self.hits += due
        return due

    def described(self) -> str:
        """Return what it is for, in words."""
        names = [name for name in GLOBS if not (name == "vhost" and self.of_view)]
        given = [(name, getattr(self, name)) for name in names]
        return ", ".join(f"{name}={value!r}" for name, value in given if value is not None)


def _some(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _any(values: Sequence[str], pattern: str | None) -> bool:
    return pattern is None or pattern in values or any(fnmatchcase(value, pattern) for value in values)


def names_of(connection: Connection) -> list[str]:
    """Return the names by which a fault may mean a connection: its own, its peer, and what the client calls it."""
    names = [connection.name, f"{connection.peer.peer_host}:{connection.peer.peer_port}"]
    given = connection.client_properties.get("connection_name")
    if given is not None and isinstance(given.value, bytes):
        names.append(given.value.decode("utf-8", "replace"))
    return names


def occasion_of(connection: Connection, method: str, **more: object) -> Occasion:
    """Return an occasion of a connection."""
    return Occasion(
        method,
        connection.name,
        names_of(connection),
        connection.actor.user if connection.user is not None else connection.login or "",
        connection.vhost.name if connection.vhost is not None else "",
        **more,  # type: ignore[arg-type]
    )
