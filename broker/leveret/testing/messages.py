"""Published messages with their lives, as tests see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, SupportsIndex, overload

from msgspec import Struct, field

from leveret.testing import checks
from leveret.testing.errors import hides_frames
from leveret.testing.near_miss import NearMiss
from leveret.testing.recorder import RETURNED, RawEvent, Record
from leveret.testing.values import (
    Header,
    Properties,
    glob_hint,
    moment,
    properties_of,
    same_body,
    shown,
    text_of,
)
from leveret.wire.properties import decode_properties

__tracebackhide__ = hides_frames

#: What an event makes of a message in its queue.
_OUTCOMES = {
    "queued": "ready",
    "requeued": "requeued",
    "delivered": "unacked",
    "got": "unacked",
    "acked": "acked",
    "rejected": "rejected",
    "expired": "expired",
    "dropped": "dropped",
    "delivery-limit": "rejected",
    "dead-lettered": "dead-lettered",
    "purged": "purged",
    "deleted": "purged",
    "refused": "rejected",
}

#: What can become of a message, in a queue or altogether.
OUTCOMES = (
    *("ready", "unacked", "acked", "requeued", "expired", "rejected", "dropped", "dead-lettered", "purged"),
    *("delayed", "returned", "unroutable", "kept", "mixed"),
)

#: Events of a story that need no line of their own.
_SILENT = {"queued", "kept"}


class Event(Struct, frozen=True):
    """One event. `kind`: see docs/testing.md; `number`: order of all events; `tag`: delivery tag; `reason`: more about
    it; `message`: number of the message, None for events of clients and topology."""

    kind: str
    at: datetime
    queue: str | None = None
    connection: str | None = None
    channel: int | None = None
    consumer: str | None = None
    tag: int | None = None
    reason: str | None = None
    vhost: str | None = None
    number: int = 0
    message: int | None = None

    def __str__(self) -> str:
        """Return it as a phrase: `queue 'jobs': delivered to consumer 'c1' on channel 1 of 'worker', tag 3`."""
        place = f"queue '{self.queue}': " if self.queue is not None else ""
        text = f"{place}{self.kind}"
        if self.kind == "published" and self.queue is not None:
            text, place = f"published for queue '{self.queue}'", ""
        if self.consumer is not None:
            text += f" to consumer '{self.consumer}'" if self.kind == "delivered" else f" '{self.consumer}'"
        where = [f"channel {self.channel}"] if self.channel is not None else []
        where += [f"connection '{self.connection}'"] if self.connection is not None else []
        if where:
            text += (" by " if self.kind in ("published", "got") else ", ") + " of ".join(where)
        if self.tag is not None:
            text += f", tag {self.tag}"
        return f"{text} ({self.reason})" if self.reason else text


def event_of(raw: RawEvent, message: int | None = None) -> Event:
    """Return an event as tests see it. `message`: the number of its message, if it has one."""
    return Event(
        raw.kind,
        moment(raw.at),
        raw.queue,
        raw.connection,
        raw.channel,
        raw.consumer,
        raw.tag,
        raw.reason,
        raw.vhost,
        raw.number,
        message,
    )


class PublishedMessage(Struct, eq=False):
    """One published message and what became of it, as of the call that returned it.

    `body`: empty if it was let go of (`complete` is False then). `connection`: the client-provided name, else that of
    RabbitMQ; None if the broker published it. `queues`: where it was routed. `nearest`: for a message without a queue,
    what would have taken it. `confirmed`: None without confirms, or not yet. `copies`: what dead lettering made of it;
    `origin`: what it is a copy of.
    """

    id: int
    at: datetime
    vhost: str
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    connection: str | None
    user: str | None
    mandatory: bool
    queues: list[str]
    nearest: NearMiss | None
    confirmed: Literal["ack", "nack", "held", "lost"] | None
    events: list[Event]
    complete: bool = True
    copies: list[PublishedMessage] = field(default_factory=list)
    origin: PublishedMessage | None = None

    @property
    def headers(self) -> dict[str, Header]:
        """Its headers."""
        return self.properties.headers or {}

    def outcome(self, queue: str | None = None) -> str:
        """Return what became of it in a queue, or what all its queues have in common, else `mixed`: ready, unacked,
        acked, requeued (ready again), expired, rejected, dropped, dead-lettered, purged, returned, unroutable, kept (in
        a stream), delayed. Raises `ValueError` for a queue that it was not routed to."""
        if queue is None:
            return self._common()
        last = None
        no_ack = False
        for event in self.events:
            if event.queue == queue and event.kind == "kept":
                return "kept"
            if event.queue == queue and event.kind in _OUTCOMES:
                last = event.kind
                no_ack = event.reason == "automatic acknowledgement"
        if last is None:
            if queue in self.queues:
                return "acked" if any(one.queue == queue for one in self.events) else "ready"
            raise ValueError(f"{self} was not routed to queue '{queue}', but to {_queues(self.queues)}")
        if last in ("delivered", "got") and no_ack:
            return "acked"
        return _OUTCOMES[last]

    def _common(self) -> str:
        if not self.queues:
            ways = [event for event in self.events if event.kind in ("delayed", "unroutable")]
            if ways and ways[-1].kind == "delayed":
                return "delayed"
            return "returned" if ways and ways[-1].reason == RETURNED else "unroutable"
        found = {self.outcome(queue) for queue in self.queues}
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def was_returned(self) -> bool:
        """Whether it was returned to its publisher: it was mandatory, and reached no queue at once."""
        return any(
            event.kind in ("delayed", "unroutable") and (event.reason or "").endswith(RETURNED)
            for event in self.events
        )

    def json(self) -> Any:
        """Return the body decoded as JSON. Raises `ValueError`."""
        return json.loads(self.body)

    def __str__(self) -> str:
        """Return it in a line: number, exchange, key and body."""
        exchange = f"exchange '{self.exchange}'" if self.exchange else "the default exchange"
        body = shown(self.body) if self.complete else "not kept"
        return f"message #{self.id} to {exchange} with key '{self.routing_key}', body {body}"

    def story(self) -> str:
        """Return its life as text, a line for each event with the time since it was published."""
        lines = [str(self)]
        properties = str(self.properties)
        if properties:
            lines.append(f"    {properties}")
        for event in self.events:
            if event.kind in _SILENT:
                continue
            after = (event.at - self.at).total_seconds()
            lines.append(f"    +{after:.3f} s  {event}")
            if event.kind == "published":
                lines.append(f"    +{after:.3f} s  routed to {_queues(self.queues)}")
        if self.nearest is not None:
            lines.append(f"    nearest: {self.nearest}")
        if not self.complete:
            lines.append("    its body and properties were let go of: the history keeps 64 MB in all")
        lines += [f"    copy, {copy.outcome()}: {copy}" for copy in self.copies]
        return "\n".join(lines)


def _queues(names: list[str]) -> str:
    if not names:
        return "no queue"
    return ("queue " if len(names) == 1 else "queues ") + ", ".join(f"'{name}'" for name in names)


class Messages(list[PublishedMessage]):
    """Published messages, oldest first. `wanted`: what was asked for, in words; `others`: those that were published
    besides, for the texts of failed assertions."""

    def __init__(
        self,
        found: Iterable[PublishedMessage] = (),
        wanted: str = "messages",
        nearest: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(found)
        self._wanted = wanted
        self._nearest = nearest

    @overload
    def __getitem__(self, at: SupportsIndex) -> PublishedMessage: ...
    @overload
    def __getitem__(self, at: slice) -> Messages: ...
    def __getitem__(self, at: SupportsIndex | slice) -> PublishedMessage | Messages:
        """Return one message, or some of them."""
        if isinstance(at, slice):
            return Messages(super().__getitem__(at), self._wanted, self._nearest)
        return super().__getitem__(at)

    @property
    def last(self) -> PublishedMessage:
        """The newest one. Raises `AssertionError` if there is none."""
        if not self:
            raise AssertionError(self._text("at least one"))
        return self[-1]

    @property
    def bodies(self) -> list[bytes]:
        """Their bodies."""
        return [each.body for each in self]

    def one(self) -> PublishedMessage:
        """Return the only one. Raises `AssertionError` if there is none, or more."""
        self.assert_count(1)
        return self[0]

    def assert_count(self, count: int) -> None:
        """Raise `AssertionError` unless there are so many."""
        if len(self) != count:
            raise AssertionError(self._text(str(count)))

    def assert_all(self, outcome: str) -> None:
        """Raise `AssertionError` unless all have this outcome; see `PublishedMessage.outcome`. Raises `ToolkitError`
        for one that there is not."""
        checks.one_of(outcome, OUTCOMES, f"assert_all({outcome!r})")
        other = [each for each in self if each.outcome() != outcome]
        if other:
            start = f"{len(other)} of {len(self)} {self._wanted} are not {outcome}:"
            raise AssertionError("\n\n".join([start, *(_with_outcomes(each) for each in other[:5])]))

    def _text(self, wanted: str) -> str:
        text = f"wanted {wanted}, found {len(self)}: {self._wanted}"
        if self:
            return "\n\n".join([text, *(each.story() for each in self[:5])])
        return f"{text}\n\n{self._nearest()}" if self._nearest is not None else text


def _with_outcomes(message: PublishedMessage) -> str:
    states = ", ".join(f"'{queue}' {message.outcome(queue)}" for queue in message.queues)
    return f"{states or message.outcome()}: {message.story()}"


def messages_of(records: Iterable[Record]) -> list[PublishedMessage]:
    """Return records as tests see them, with the copies and origins that belong to them. Called in the broker's thread.

    A retry that goes round for months is a long chain: nothing here is recursive.
    """
    wanted = list(records)
    made: dict[int, PublishedMessage] = {}
    waiting = list(wanted)
    family: list[Record] = []
    while waiting:
        record = waiting.pop()
        if record.id in made:
            continue
        made[record.id] = _message(record)
        family.append(record)
        waiting += record.copies
        if record.origin is not None:
            waiting.append(record.origin)
    for record in family:
        message = made[record.id]
        message.copies = [made[copy.id] for copy in record.copies]
        message.origin = made[record.origin.id] if record.origin is not None else None
    return [made[record.id] for record in wanted]


def _message(record: Record) -> PublishedMessage:
    body, properties = b"", Properties()
    if record.message is not None:
        body = record.message.body
        properties = properties_of(decode_properties(record.message.header))
    return PublishedMessage(
        record.id,
        moment(record.at),
        record.vhost,
        text_of(record.exchange),
        text_of(record.key),
        body,
        properties,
        record.connection,
        record.user,
        record.mandatory,
        list(record.targets),
        record.nearest,
        record.confirmed,  # type: ignore[arg-type]  # one of these
        [event_of(raw, record.id) for raw in record.events],
        record.message is not None,
    )


class Wanted(Struct, frozen=True):
    """What published messages are asked for. Exchange, key, queue and connection are shell globs; `headers`: those that
    must be there; `body`: octets, text, or anything else as JSON."""

    exchange: str | None = None
    routing_key: str | None = None
    queue: str | None = None
    body: object = None
    headers: Mapping[str, Header] | None = None
    connection: str | None = None
    where: Callable[[PublishedMessage], object] | None = None

    def __str__(self) -> str:
        """Return it in words: `messages to exchange 'orders' with key 'eu.*'`."""
        parts = ["messages"]
        if self.exchange is not None:
            parts.append(f"to exchange '{self.exchange}'" if self.exchange else "to the default exchange")
        if self.routing_key is not None:
            parts.append(f"with key '{self.routing_key}'")
        if self.queue is not None:
            parts.append(f"in queue '{self.queue}'")
        if self.body is not None:
            parts.append(f"with body {shown(self.body) if isinstance(self.body, bytes) else repr(self.body)}")
        if self.headers is not None:
            parts.append(f"with headers {dict(self.headers)!r}")
        if self.connection is not None:
            parts.append(f"from connection '{self.connection}'")
        if self.where is not None:
            parts.append(f"where {getattr(self.where, '__qualname__', repr(self.where))}")
        return " ".join(parts)

    def likely(self, record: Record) -> bool:
        """Return whether a record may be wanted, without decoding its properties."""
        return (
            _fits(self.exchange, text_of(record.exchange))
            and _fits(self.routing_key, text_of(record.key))
            and (self.queue is None or any(fnmatchcase(name, self.queue) for name in record.targets))
            and _fits(self.connection, record.connection or "")
        )

    def differences(self, message: PublishedMessage) -> list[str]:
        """Return in what a message is not the wanted one, field by field; nothing if it is."""
        found = []
        if not _fits(self.exchange, message.exchange):
            found.append(
                f"exchange is '{message.exchange}', not '{self.exchange}'"
                + _hint(self.exchange, message.exchange)
            )
        if not _fits(self.routing_key, message.routing_key):
            found.append(
                f"routing key is '{message.routing_key}', not '{self.routing_key}'"
                + _hint(self.routing_key, message.routing_key)
            )
        if self.queue is not None and not any(fnmatchcase(name, self.queue) for name in message.queues):
            found.append(
                f"it was routed to {_queues(message.queues)}, not to '{self.queue}'"
                + _hint(self.queue, *message.queues)
            )
        if not _fits(self.connection, message.connection or ""):
            found.append(f"connection is '{message.connection}', not '{self.connection}'")
        if self.body is not None and not same_body(message.body, self.body):
            found.append(f"body is {shown(message.body)}, not {self.body!r}")
        for name, value in (self.headers or {}).items():
            if name not in message.headers:
                found.append(f"header '{name}' is missing, wanted {value!r}")
            elif message.headers[name] != value:
                found.append(f"header '{name}' is {message.headers[name]!r}, not {value!r}")
        if not found and self.where is not None and not self.where(message):
            found.append("`where` returned false")
        return found


def _hint(pattern: str | None, *values: str) -> str:
    return glob_hint(pattern, *values) if pattern is not None else ""


def _fits(pattern: str | None, value: str) -> bool:
    return pattern is None or pattern == value or fnmatchcase(value, pattern)


class QueueMessage(Struct, frozen=True):
    """One message in a queue. `state`: ready, unacked, or delayed (a quorum queue's delayed retry); `position`: in a
    stream its offset; `consumer`: tag of the consumer that has it, None for basic.get."""

    queue: str
    position: int
    state: Literal["ready", "unacked", "delayed"]
    exchange: str
    routing_key: str
    body: bytes
    properties: Properties
    redelivered: bool
    expires_at: datetime | None = None
    consumer: str | None = None

    @property
    def headers(self) -> dict[str, Header]:
        """Its headers."""
        return self.properties.headers or {}

    def json(self) -> Any:
        """Return the body decoded as JSON. Raises `ValueError`."""
        return json.loads(self.body)
