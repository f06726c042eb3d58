"""The history of a broker: what was published, what became of it, what clients did; and assertions on it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from leveret.queues.backlog.paged_contents import whole
from leveret.testing import checks
from leveret.testing.due_text import due_hint
from leveret.testing.errors import ToolkitError, hides_frames
from leveret.testing.messages import Event, Messages, PublishedMessage, Wanted, event_of, messages_of
from leveret.testing.near_miss import closest
from leveret.testing.values import shown

if TYPE_CHECKING:
    from leveret.testing.recorder import RawEvent, Record, Recorder
    from leveret.testing.scope import Scope

__tracebackhide__ = hides_frames

#: What an event can be, in the order of a life; docs/testing.md has the same list.
KINDS = (
    *("published", "unroutable", "delayed", "due", "queued", "kept", "refused", "delivered", "got", "acked"),
    *("requeued", "rejected", "expired", "dropped", "delivery-limit", "dead-lettered", "purged", "deleted"),
    *("confirmed", "connection-opened", "connection-closed", "connection-error", "connection-blocked"),
    *("heartbeat-missed", "login-failed", "channel-opened", "channel-closed", "channel-error"),
    *("consumer-started", "consumer-ended", "consumer-cancelled", "queue-created", "queue-deleted"),
    *(
        "exchange-created",
        "exchange-deleted",
        "binding-created",
        "binding-deleted",
        "alarm-set",
        "alarm-cleared",
    ),
)

#: RabbitMQ's reasons of dead lettering.
DEAD_LETTER_REASONS = ("expired", "rejected", "maxlen", "delivery_limit")

#: Messages that a failed assertion shows.
MOST_SHOWN = 3


class History:
    """The history of a broker, or of one virtual host.

    It keeps the newest 100,000 messages, bodies of more than 64 KiB only while something happens to them, and 64 MB of
    bodies in all. `left_out` says how many messages were let go of.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def events(
        self, kind: str | None = None, queue: str | None = None, since: datetime | None = None
    ) -> list[Event]:
        """Return events of messages and clients in their order. `kind`, `queue`: shell globs; `since`: an aware time of
        the broker. Raises `ValueError` for a time without a zone, `ToolkitError` for a kind that there is not."""
        if since is not None and since.tzinfo is None:
            raise ValueError(f"events(since={since!r}): the time has no time zone; datetime.now(UTC) has one")
        if kind is not None and not any(fnmatchcase(one, kind) for one in KINDS):
            checks.one_of(kind, KINDS, f"events(kind={kind!r})")
        return self._scope.node.call(lambda: list(events(self._scope, kind, queue, since)))

    def clear(self) -> None:
        """Forget everything so far. Messages that are in queues now are not known any more."""
        self._scope.node.call(lambda: recorder_of(self._scope).clear(self._scope.only))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Record nothing within the `with` block."""
        self._scope.node.call(lambda: recorder_of(self._scope).end())
        try:
            yield
        finally:
            self._scope.node.call(lambda: recorder_of(self._scope).begin())

    def save(self, path: str | Path) -> None:
        """Write all messages and events as JSON lines. Raises `OSError`."""
        lines = self._scope.node.call(lambda: [*_lines(self._scope)])
        Path(path).write_text("".join(json.dumps(line, default=str) + "\n" for line in lines))

    @property
    def left_out(self) -> int:
        """How many messages were let go of."""
        return self._scope.node.call(lambda: recorder_of(self._scope).left_out)


def recorder_of(scope: Scope) -> Recorder:
    """Return the recorder. Raises `ToolkitError` without one."""
    if scope.node.recorder is None:
        raise ToolkitError("the broker has no history: it was made with Broker(history=False)")
    return scope.node.recorder


def records(scope: Scope) -> Iterator[Record]:
    """Yield the messages of clients, oldest first; only in the broker's thread."""
    for record in recorder_of(scope).records:
        if not record.relayed and scope.covers(record.vhost):
            yield record


def events(
    scope: Scope, kind: str | None = None, queue: str | None = None, since: datetime | None = None
) -> Iterator[Event]:
    """Yield events in their order; only in the broker's thread."""
    recorder = recorder_of(scope)
    found: list[tuple[RawEvent, int | None]] = [
        (event, record.id)
        for record in recorder.records
        if scope.covers(record.vhost)
        for event in record.events
    ]
    found += [(event, None) for event in recorder.events if scope.covers(event.vhost)]
    found.sort(key=lambda one: one[0].number)
    for raw, message in found:
        if kind is not None and not fnmatchcase(raw.kind, kind):
            continue
        if queue is not None and not (raw.queue is not None and fnmatchcase(raw.queue, queue)):
            continue
        event = event_of(raw, message)
        if since is None or event.at >= since:
            yield event


def event_line(event: Event) -> str:
    """Return an event with its time and message."""
    message = f"message #{event.message}: " if event.message is not None else ""
    return f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03}  {message}{event}"


def _lines(scope: Scope) -> Iterator[dict[str, object]]:
    for message in messages_of(r for r in recorder_of(scope).records if scope.covers(r.vhost)):
        line = {
            name: getattr(message, name)
            for name in ("id", "at", "vhost", "exchange", "routing_key", "connection", "user", "queues")
        }
        line["body"] = _json_body(message.body)
        line["confirmed"] = message.confirmed
        line["origin"] = message.origin.id if message.origin is not None else None
        line["properties"] = {k: v for k, v in asdict(message.properties).items() if v is not None}
        line["events"] = [_json_event(event) for event in message.events]
        yield line
    for event in recorder_of(scope).events:
        if scope.covers(event.vhost):
            yield _json_event(event_of(event))


def _json_body(body: bytes) -> object:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _json_event(event: Event) -> dict[str, object]:
    return {name: value for name, value in asdict(event).items() if value is not None}


# --- queries


def records_after(scope: Scope, number: int) -> list[Record]:
    """Return the messages of clients that are newer than that with a number; only in the broker's thread."""
    found = []
    for record in reversed(recorder_of(scope).records):
        if record.id <= number:
            break
        if not record.relayed and scope.covers(record.vhost):
            found.append(record)
    return found[::-1]


def matching(those: Iterable[Record], wanted: Wanted) -> list[PublishedMessage]:
    """Return the messages that are wanted."""
    likely = messages_of(record for record in those if wanted.likely(record))
    return [message for message in likely if not wanted.differences(message)]


def published(scope: Scope, wanted: Wanted) -> Messages:
    """Return the messages that clients have published; only in the broker's thread."""
    found = matching(records(scope), wanted)
    # What failed assertions show is what there was now, although it is looked for only then.
    return Messages(found, str(wanted), lambda: scope.node.call(lambda: nearest_text(scope, wanted)))


def where_outcome(scope: Scope, text: str, fits: Callable[[PublishedMessage], bool]) -> Messages:
    """Return the messages of clients that fit; only in the broker's thread. `text`: what is wanted, in words."""
    return Messages([each for each in messages_of(records(scope)) if fits(each)], text)


def dead_lettered(scope: Scope, queue: str | None, reason: str | None) -> Messages:
    """Return messages that were dead-lettered, copies among them."""

    def fits(message: PublishedMessage) -> bool:
        return any(
            event.kind == "dead-lettered"
            and (queue is None or fnmatchcase(event.queue or "", queue))
            and (reason is None or event.reason == reason)
            for event in message.events
        )

    text = "dead-lettered messages" + (f" of queue '{queue}'" if queue is not None else "")
    everything = (r for r in recorder_of(scope).records if scope.covers(r.vhost))
    return Messages([each for each in messages_of(everything) if fits(each)], text)


def outcomes(scope: Scope, queue: str) -> dict[str, int]:
    """Return how many of the messages that were routed to a queue, copies among them, have each outcome there; only in
    the broker's thread."""
    counts: dict[str, int] = {}
    everything = (r for r in recorder_of(scope).records if scope.covers(r.vhost) and queue in r.targets)
    for message in messages_of(everything):
        outcome = message.outcome(queue)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts


def delivered(scope: Scope, queue: str, kinds: tuple[str, ...] = ("delivered", "got")) -> Messages:
    """Return messages that a queue has delivered, copies among them."""
    everything = (r for r in recorder_of(scope).records if scope.covers(r.vhost))
    found = [
        each
        for each in messages_of(everything)
        if any(
            event.kind in kinds and event.queue is not None and fnmatchcase(event.queue, queue)
            for event in each.events
        )
    ]
    return Messages(found, f"messages that queue '{queue}' has delivered")


def unacked(scope: Scope, queue: str | None) -> Messages:
    """Return messages that a client has and has not settled, copies among them."""
    everything = (r for r in recorder_of(scope).records if scope.covers(r.vhost) and r.live)
    found = [
        each
        for each in messages_of(everything)
        if any(
            each.outcome(name) == "unacked"
            for name in each.queues
            if queue is None or fnmatchcase(name, queue)
        )
    ]
    return Messages(found, "unacknowledged messages")


# --- texts


def nearest_text(scope: Scope, wanted: Wanted) -> str:
    """Return the published messages that are most like the wanted ones, with their differences and stories; only in the
    broker's thread."""
    every = messages_of(records(scope))
    if not every:
        return "nothing was published" + _no_such(scope, wanted) + _errors(scope)
    every.sort(key=lambda message: (len(wanted.differences(message)), -message.id))
    count = f"{len(every)} other message{'s' if len(every) > 1 else ''} {'were' if len(every) > 1 else 'was'} published"
    lines = [f"{count}, the nearest:"]
    for message in every[:MOST_SHOWN]:
        lines.append("\n".join([*(f"  - {one}" for one in wanted.differences(message)), message.story()]))
    left = recorder_of(scope).left_out
    if left:
        lines.append(f"the history has let go of {left} older messages")
    return "\n\n".join(lines) + _no_such(scope, wanted) + _errors(scope)


def _no_such(scope: Scope, wanted: Wanted) -> str:
    """Return lines about an exchange or a queue that was asked for and does not exist."""
    vhost = scope.engine.vhosts.get(scope.default)
    if vhost is None:
        return ""
    lines = []
    for kind, name, names in (
        ("exchange", wanted.exchange, list(vhost.exchanges)),
        ("queue", wanted.queue, list(vhost.queues)),
    ):
        if name is not None and not any(fnmatchcase(each, name) for each in names):
            like = closest(name, [each for each in names if each])
            lines.append(f"there is no {kind} '{name}'" + (f", but '{like}'" if like is not None else ""))
    for field, pattern in (
        ("key", wanted.routing_key),
        ("exchange", wanted.exchange),
        ("queue", wanted.queue),
    ):
        lines += _glob_hint(field, pattern)
    return "".join(f"\n\n{line}" for line in lines)


def _glob_hint(field: str, pattern: str | None) -> list[str]:
    """Return what may be wrong about a shell glob."""
    if pattern is not None and field == "key" and "#" in pattern.split("."):
        star = ".".join("*" if word == "#" else word for word in pattern.split("."))
        return [
            f"the key is a shell glob, in which '#' is an ordinary character: '{star}' matches what '{pattern}' binds"
        ]
    if pattern is not None and "[" in pattern:
        return [
            f"the {field} is a shell glob, in which '[' begins a set of characters: '[[]' is the character itself"
        ]
    return []


def _errors(scope: Scope) -> str:
    found = error_texts(scope)
    return "\n\n" + "\n".join(found) if found else ""


def error_texts(scope: Scope, most: int = 3) -> list[str]:
    """Return the last errors that clients have got, as sentences; only in the broker's thread."""
    if scope.node.recorder is None:
        return []
    found = []
    for raw in scope.node.recorder.events:
        if raw.kind in _ERRORS and (raw.vhost is None or scope.covers(raw.vhost)):
            place = f"channel {raw.channel} of " if raw.channel is not None else ""
            found.append(f"{place}connection '{raw.connection}' {_ERRORS[raw.kind]}: {raw.reason}")
    return found[-most:]


_ERRORS = {
    "channel-error": "was closed",
    "connection-error": "was closed",
    "login-failed": "could not log in",
}


# --- assertions


def wanted_of(
    exchange: str | None,
    routing_key: str | None,
    queue: str | None,
    body: object,
    headers: Mapping[str, object] | None,
    connection: str | None,
    where: Callable[[PublishedMessage], object] | None,
) -> Wanted:
    """Return what is asked for."""
    for name, value in (("exchange", exchange), ("routing_key", routing_key), ("queue", queue)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} is a shell glob, a str, not {value!r}")
    return Wanted(exchange, routing_key, queue, body, headers, connection, where)


def check_published(found: Messages, wanted: Wanted, count: int | None, nearest: Callable[[], str]) -> None:
    """Raise `AssertionError` unless so many messages were found; None: at least one."""
    if (len(found) == count) if count is not None else found:
        return
    asked = str(count) if count is not None else "at least one"
    text = f"wanted {asked}, found {len(found)}: {wanted}"
    raise AssertionError("\n\n".join([text, *(each.story() for each in found[:MOST_SHOWN]), nearest()]))


def check_not_published(found: Messages, wanted: Wanted) -> None:
    """Raise `AssertionError` if there are any."""
    if found:
        text = f"wanted none, found {len(found)}: {wanted}"
        raise AssertionError("\n\n".join([text, *stories(found)]))


def check_acked(found: Messages, wanted: Wanted, nearest: Callable[[], str]) -> None:
    """Raise `AssertionError` unless there are messages, and all are acknowledged."""
    check_published(found, wanted, None, nearest)
    found.assert_all("acked")


def stories(messages: Iterable[PublishedMessage]) -> list[str]:
    """Return the stories of the first few messages."""
    return [each.story() for each in list(messages)[:MOST_SHOWN]]


def check_queue(
    scope: Scope, name: str, wanted: Mapping[str, int | None], no_such: Callable[[], str]
) -> None:
    """Raise `AssertionError` unless a queue has these counts; only in the broker's thread."""
    queue = scope.queue(name)
    if queue is None:
        raise AssertionError(no_such())
    found = {"ready": queue.ready, "unacked": queue.unacked, "consumers": len(queue.consumers.members)}
    wrong = [
        f"{found[which]} {which}, wanted {count}"
        for which, count in wanted.items()
        if count is not None and found[which] != count
    ]
    if not wrong:
        return
    text = f"queue '{name}' has {'; '.join(wrong)}"
    if scope.node.recorder is not None:
        last = [
            event
            for event in events(scope, queue=name)
            if event.kind not in ("queue-created", "binding-created")
        ]
        text += "".join(f"\n    {event_line(event)}" for event in last[-8:])
    entries = queue.backlog.every()[:MOST_SHOWN]
    if entries:
        text += "\nready: " + ", ".join(shown(whole(entry.message).body) for entry in entries)
    if any(count is not None and found[which] < count for which, count in wanted.items()):
        text += due_hint(scope)
    raise AssertionError(text)
