"""Records the lives of all messages and what clients do, in the broker's thread.

Here things are kept as cheaply as possible: an event is a tuple, a message the broker's own object. `messages.py` makes
of them what tests see.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from leveret.engine import changes
from leveret.engine.observers import Observer, on
from leveret.queues.message import CHANNEL_CLOSED, NACKED, RECOVERED, REJECTED, TIMED_OUT
from leveret.queues.queue import Queue
from leveret.testing.drain import BACKGROUND
from leveret.testing.near_miss import NearMiss, nearest_miss
from leveret.testing.values import text_of
from leveret.wire.properties import decode_properties

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.queues.consumers import Consumer
    from leveret.queues.history import Publishing
    from leveret.queues.message import Destination, Entry, Message
    from leveret.session.channel import Channel
    from leveret.work import Steps

#: Why a message reached no queue, or how the reason of a delay ends, if it was returned to its publisher.
RETURNED = "returned"

#: Messages that are kept; the oldest go first.
MOST_MESSAGES = 100_000

#: Octets of bodies that are kept in all.
MOST_BYTES = 64 << 20

#: Octets of a body that are kept once nothing happens to its message any more.
MOST_BODY_BYTES = 64 << 10

#: Messages that are freed before others can run.
FREED_TOGETHER = 500

#: Events that are kept beside those of messages.
MOST_EVENTS = 100_000

#: Runs a call now, or in the next turn of the loop.
Later = Callable[[Callable[[], None]], None]


def _at_once(call: Callable[[], None]) -> None:
    call()


_WHY = {
    NACKED: "basic.nack",
    REJECTED: "basic.reject",
    RECOVERED: "basic.recover",
    CHANNEL_CLOSED: "channel or connection closed",
    TIMED_OUT: "acknowledgement timeout",
}


class RawEvent(NamedTuple):
    """One event. `at`: ms since the epoch; `number`: order of all events."""

    number: int
    kind: str
    at: int
    queue: str | None = None
    connection: str | None = None
    channel: int | None = None
    consumer: str | None = None
    tag: int | None = None
    reason: str | None = None
    vhost: str | None = None


class Record:
    """One published message. `message`: the broker's object, None when its body was let go of. `targets`: names of its
    queues. `confirmed`: ack, nack, held or lost. `origin`: what it was dead-lettered from. `relayed`: the broker has
    published it. `live`: queues in which it is."""

    __slots__ = (
        "at",
        "channel",
        "confirmed",
        "connection",
        "copies",
        "events",
        "exchange",
        "id",
        "key",
        "live",
        "mandatory",
        "message",
        "nearest",
        "origin",
        "relayed",
        "size",
        "targets",
        "user",
        "vhost",
    )

    def __init__(self, number: int, vhost: str, message: Message, at: int) -> None:
        self.id = number
        self.vhost = vhost
        self.message: Message | None = message
        self.exchange = message.exchange
        self.key = message.routing_key
        self.size = message.size
        self.at = at
        self.targets: list[str] = []
        self.connection: str | None = None
        self.user: str | None = None
        self.channel: int | None = None
        self.mandatory = False
        self.confirmed: str | None = None
        self.nearest: NearMiss | None = None
        self.origin: Record | None = None
        self.copies: list[Record] = []
        self.relayed = False
        self.live = 0
        self.events: list[RawEvent] = []


class Recorder(Observer):
    """What has happened in one broker. `records`: messages, oldest first; `events`: those that belong to no message.
    `left_out`: how many messages were let go of, `bodies_left_out`: of how many the body. `acks`: acknowledged
    deliveries by virtual host and queue, automatic ones included."""

    def __init__(self, engine: Broker) -> None:
        self.engine = engine
        self.records: deque[Record] = deque()
        self.events: deque[RawEvent] = deque(maxlen=MOST_EVENTS)
        self.left_out = 0
        self.bodies_left_out = 0
        self.bytes = 0
        self.last_id = 0
        self.last_number = 0
        self.acks: Counter[tuple[str, str]] = Counter()
        self._by_message: dict[int, Record] = {}
        self._places: dict[Queue, dict[int, Record]] = {}
        self._waiting: dict[Publishing, dict[int, Record]] = {}
        self._names: dict[object, str] = {}
        self._given: dict[str, str] = {}

    # --- on and off

    def begin(self) -> None:
        """Record from now on."""
        self.engine.context.history = self
        for vhost in self.engine.vhosts.values():
            vhost.context.history = self

    def end(self) -> None:
        """Record nothing more."""
        self.engine.context.history = None
        for vhost in self.engine.vhosts.values():
            vhost.context.history = None

    def given_name(self, origin: str) -> str:
        """Return the name that a client gave its connection, by RabbitMQ's name of it; else that."""
        return self._given.get(origin, origin)

    @property
    def recording(self) -> bool:
        """Whether it records."""
        return self.engine.context.history is self

    def clear(self, vhost: str | None = None, later: Later = _at_once) -> None:
        """Forget everything, or everything of one virtual host. What is in queues now is known no more. `later`: runs
        what frees it."""
        if vhost is None:
            left: list[object] = [self._by_message, self._places]
            freeing = _freeing(self.records, self.events, left)

            def free() -> None:
                self.engine.work.begin(freeing, BACKGROUND)

            later(free)
            self.records, self.events = deque(), deque(maxlen=MOST_EVENTS)
            self._by_message, self._places = {}, {}
            self._waiting.clear()
            self.acks.clear()
            self.left_out = self.bodies_left_out = self.bytes = 0
            return
        gone = [record for record in self.records if record.vhost == vhost]
        self.records = deque(record for record in self.records if record.vhost != vhost)
        self.events = deque((one for one in self.events if one.vhost != vhost), maxlen=MOST_EVENTS)
        for record in gone:
            self._release(record)
        for place in [place for place in self.acks if place[0] == vhost]:
            del self.acks[place]
        for queue in [queue for queue in self._places if queue.vhost == vhost]:
            del self._places[queue]

    # --- messages: the port of the engine

    def published(
        self, channel: Publishing, message: Message, targets: list[Destination], mandatory: bool, number: int
    ) -> None:
        """A client's message was routed."""
        client: Channel = channel  # type: ignore[assignment]  # or a `DirectClient`, which has the same attributes
        vhost = client.vhost.name
        record = self._new(vhost, message)
        connection = client.connection
        record.connection, record.user = self._name(connection), connection.actor.user
        record.channel = client.number
        record.mandatory = mandatory
        self._note(record, "published", None, record.connection, client.number)
        if number:
            self._waiting.setdefault(channel, {})[number] = record
        self._routed(record, targets, RETURNED if mandatory else "not mandatory")

    def _routed(self, record: Record, targets: list[Destination], reason: str) -> None:
        for target in targets:
            record.targets.append(target.name)
            if not isinstance(target, Queue):  # a direct reply-to address
                self._note(record, "delivered", target.name, reason="direct reply-to")
        if targets:
            return
        held = self._held(record)
        if held is not None:  # a mandatory one is returned all the same: it has no queue yet
            self._note(record, "delayed", reason=f"{held}; {RETURNED}" if reason == RETURNED else held)
            return
        self._note(record, "unroutable", reason=reason)
        record.nearest = self._nearest(record)

    def _held(self, record: Record) -> str | None:
        """Return until when an exchange delays a message that has no queue yet, or None."""
        vhost = self.engine.vhosts.get(record.vhost)
        if vhost is None or not vhost.delayed.waiting:
            return None
        newest = vhost.delayed.waiting.get(vhost.delayed.last)
        if newest is None or newest.message is not record.message:
            return None
        return f"{newest.due_at - self.engine.clock.now} ms by exchange '{newest.exchange}'"

    def _nearest(self, record: Record) -> NearMiss | None:
        vhost = self.engine.vhosts.get(record.vhost)
        if vhost is None or record.message is None:
            return None
        headers = decode_properties(record.message.header).headers
        exchange, key = text_of(record.exchange), text_of(record.key)
        return nearest_miss(self.engine.vhosts, vhost, exchange, key, headers)

    def confirmed(self, channel: Publishing, number: int, refused: bool) -> None:
        """A publish will be confirmed."""
        record = self._waiting.get(channel, {}).pop(number, None)
        if record is not None:
            self.set_confirmed(record, "nack" if refused else "ack")

    def set_confirmed(self, record: Record, how: str) -> None:
        """Note how a publish is confirmed: ack, nack, held, lost."""
        record.confirmed = how
        self._note(record, "confirmed", None, record.connection, record.channel, reason=how)

    def relayed(
        self, vhost: str, message: Message, targets: list[Destination], origin: Message | None
    ) -> None:
        """The broker itself publishes a message: a delayed one is due, or one of its own."""
        record = self._by_message.get(id(origin)) if origin is not None else None
        if record is None:
            record = self._new(vhost, message)
            record.relayed = True
            self._note(record, "published", reason="by the broker")
        else:
            self._rename(record, message)
            self._note(record, "due")
        self._routed(record, targets, "not mandatory")

    def dead_lettered(
        self,
        queue: Queue,
        message: Message,
        entry: Entry | None,
        reason: str,
        dead: Message | None,
        targets: list[Destination],
    ) -> None:
        """A dead letter is published."""
        origin = self.record_at(queue, entry.position) if entry is not None else None
        origin = origin or self._by_message.get(id(message))
        if entry is not None:
            self._left(queue, entry.position)
        exchange = queue.dead_letter_exchange or ""
        if dead is None:
            if origin is not None:
                self._note(
                    origin,
                    "dropped",
                    queue.name,
                    reason=f"dead-letter exchange '{exchange}' does not exist",
                )
            return
        copy = self._by_message.get(id(dead))  # published again after it was refused
        if copy is None:
            copy = self._new(queue.vhost, dead)
            copy.relayed = True
            copy.origin = origin
            if origin is not None:
                origin.copies.append(copy)
                self._note(origin, "dead-lettered", queue.name, reason=reason)
            self._note(copy, "published", queue.name, reason=f"dead letter ({reason})")
        self._routed(copy, targets, f"dead letter of queue '{queue.name}'")

    def queued(self, queue: Queue, message: Message, position: int) -> None:
        """A message has a position in a queue."""
        record = self._by_message.get(id(message))
        if record is None:
            record = self._new(queue.vhost, message)
            record.relayed = True
        record.live += 1
        self._places.setdefault(queue, {})[position] = record
        self._note(record, "kept" if queue.kind == "stream" else "queued", queue.name)

    def refused(self, queue: Queue, message: Message) -> None:
        """A queue did not take a message."""
        record = self._by_message.get(id(message))
        if record is not None:
            self._note(record, "refused", queue.name, reason="max-length, overflow reject-publish")

    def delivered(self, queue: Queue, position: int, consumer: Consumer, no_ack: bool) -> None:
        """A message was sent to a consumer."""
        record = self.record_at(queue, position)
        if record is None:
            return
        channel: Channel = consumer.channel  # type: ignore[attr-defined]  # of every `Subscription`
        name = self._name(channel.connection)
        reason = "automatic acknowledgement" if no_ack else None
        self._note(record, "delivered", queue.name, name, channel.number, consumer.tag, channel.tag, reason)
        if no_ack:
            self.acks[queue.vhost, queue.name] += 1
            self._left(queue, position)

    def got(self, queue: Queue, entry: Entry, channel: Publishing, no_ack: bool) -> None:
        """A message was fetched with basic.get."""
        record = self.record_at(queue, entry.position)
        if record is None:
            return
        client: Channel = channel  # type: ignore[assignment]  # or a `DirectClient`
        name = connection_name(client.connection)
        reason = "automatic acknowledgement" if no_ack else None
        self._note(record, "got", queue.name, name, client.number, None, client.tag or None, reason)
        if no_ack:
            self.acks[queue.vhost, queue.name] += 1
            self._left(queue, entry.position)

    def acked(self, queue: Queue, position: int) -> None:
        """A delivery was acknowledged."""
        self.acks[queue.vhost, queue.name] += 1
        record = self.record_at(queue, position)
        if record is not None:
            self._note(record, "acked", queue.name)
            self._left(queue, position)

    def requeued(self, queue: Queue, entries: list[Entry], why: int) -> None:
        """Deliveries were put back."""
        for entry in entries:
            record = self.record_at(queue, entry.position)
            if record is not None:
                self._note(record, "requeued", queue.name, reason=_WHY.get(why))

    def died(self, queue: Queue, entry: Entry, reason: str) -> None:
        """A message left its queue."""
        record = self.record_at(queue, entry.position)
        if record is None:
            return
        kind = {"maxlen": "dropped", "delivery_limit": "delivery-limit"}.get(reason, reason)
        there = queue.dead_letter_exchange is not None
        self._note(record, kind, queue.name, reason=None if there else "no dead-letter exchange")
        if not there:
            self._left(queue, entry.position)

    def purged(self, queue: Queue) -> None:
        """All ready messages of a queue were dropped."""
        self._drop(queue, "purged", ready_only=True)

    def deleted(self, queue: Queue) -> None:
        """A queue was deleted with its messages."""
        self._drop(queue, "deleted", ready_only=False)
        self._places.pop(queue, None)

    def _drop(self, queue: Queue, kind: str, *, ready_only: bool) -> None:
        if queue.kind == "stream" and ready_only:
            return
        for position, record in list(self._places.get(queue, {}).items()):
            if ready_only and last_kind(record, queue.name) not in ("queued", "requeued"):
                continue
            self._note(record, kind, queue.name)
            self._left(queue, position)

    # --- records

    def _name(self, connection: object) -> str:
        name = self._names.get(connection)
        if name is None:
            name = connection_name(connection)
            if connection in self.engine.connections:  # it will be forgotten when it is closed
                self._names[connection] = name
        return name

    def _new(self, vhost: str, message: Message) -> Record:
        self.last_id += 1
        record = Record(self.last_id, vhost, message, self.engine.clock.now)
        self.records.append(record)
        self._by_message[id(message)] = record
        self.bytes += message.size
        while len(self.records) > MOST_MESSAGES:
            self.left_out += 1
            self._release(self.records.popleft())
        if self.bytes > MOST_BYTES:
            self._save_bytes()
        return record

    def _save_bytes(self) -> None:
        """Let go of the oldest bodies."""
        for record in self.records:
            if self.bytes <= MOST_BYTES // 2:
                return
            if record.message is not None:
                self.bodies_left_out += 1
                self._release(record)

    def _release(self, record: Record) -> None:
        """Let go of the message of a record."""
        if record.message is not None:
            if self._by_message.get(id(record.message)) is record:
                del self._by_message[id(record.message)]
            self.bytes -= record.message.size
            record.message = None

    def _rename(self, record: Record, message: Message) -> None:
        """The broker goes on with another object for the same message."""
        self._release(record)
        record.message = message
        self._by_message[id(message)] = record
        self.bytes += message.size

    def number_of(self, entry: Entry) -> int | None:
        """Return the number of the message of a delivery, if it is known."""
        record = self.record_at(entry.source, entry.position) if isinstance(entry.source, Queue) else None
        return record.id if record is not None else None

    def record_at(self, queue: Queue, position: int) -> Record | None:
        """Return the record of a message in a queue, if it is known."""
        there = self._places.get(queue)
        return there.get(position) if there is not None else None

    def _left(self, queue: Queue, position: int) -> None:
        """A message is in its queue no more."""
        if queue.kind == "stream" and not queue.gone:
            return
        record = self._places.get(queue, {}).pop(position, None)
        if record is None:
            return
        record.live -= 1
        if record.live <= 0 and record.size > MOST_BODY_BYTES and record.message is not None:
            self.bodies_left_out += 1
            self._release(record)

    def _note(
        self,
        record: Record,
        kind: str,
        queue: str | None = None,
        connection: str | None = None,
        channel: int | None = None,
        consumer: str | None = None,
        tag: int | None = None,
        reason: str | None = None,
    ) -> None:
        self.last_number += 1
        now = self.engine.clock.now
        # The constructor of a named tuple costs three times as much.
        fields = (
            self.last_number,
            kind,
            now,
            queue,
            connection,
            channel,
            consumer,
            tag,
            reason,
            record.vhost,
        )
        record.events.append(tuple.__new__(RawEvent, fields))

    # --- what clients do

    def _event(
        self,
        kind: str,
        vhost: str | None = None,
        queue: str | None = None,
        connection: str | None = None,
        channel: int | None = None,
        consumer: str | None = None,
        reason: str | None = None,
    ) -> None:
        if not self.recording:
            return
        self.last_number += 1
        now = self.engine.clock.now
        self.events.append(
            RawEvent(self.last_number, kind, now, queue, connection, channel, consumer, None, reason, vhost)
        )

    @on(
        changes.ConnectionOpened, changes.ConnectionClosed, changes.HeartbeatMissed, changes.ConnectionBlocked
    )
    def _connection(self, change: changes.ConnectionChange) -> None:
        kind = {
            changes.ConnectionOpened: "connection-opened",
            changes.ConnectionClosed: "connection-closed",
            changes.HeartbeatMissed: "heartbeat-missed",
            changes.ConnectionBlocked: "connection-blocked",
        }[type(change)]
        name = connection_name(change.connection)
        self._event(kind, _vhost_of(change.connection), connection=name)
        if isinstance(change, changes.ConnectionOpened):
            self._given[change.connection.name] = name
        elif isinstance(change, changes.ConnectionClosed):
            self._names.pop(change.connection, None)
            self._given.pop(change.connection.name, None)

    @on(changes.LoginFailed)
    def _login_failed(self, change: changes.LoginFailed) -> None:
        self._event("login-failed", connection=connection_name(change.connection), reason=change.reason)

    @on(changes.ConnectionRefused)
    def _connection_refused(self, change: changes.ConnectionRefused) -> None:
        name, vhost = connection_name(change.connection), _vhost_of(change.connection)
        self._event("connection-error", vhost, connection=name, reason=_error(change.error))

    @on(changes.ChannelRefused)
    def _channel_refused(self, change: changes.ChannelRefused) -> None:
        channel = change.channel
        self._event(
            "channel-error",
            channel.vhost.name,
            connection=connection_name(channel.connection),
            channel=channel.number,
            reason=_error(change.error),
        )

    @on(changes.ChannelOpened)
    def _channel_opened(self, change: changes.ChannelOpened) -> None:
        channel = change.channel
        name = connection_name(channel.connection)
        self._event("channel-opened", channel.vhost.name, connection=name, channel=channel.number)

    @on(changes.ChannelClosed)
    def _channel_closed(self, change: changes.ChannelClosed) -> None:
        channel = change.channel
        self._waiting.pop(channel, None)
        name = connection_name(channel.connection)
        self._event("channel-closed", channel.vhost.name, connection=name, channel=channel.number)

    @on(changes.ConsumerCreated, changes.ConsumerDeleted, changes.ConsumerCancelled)
    def _consumer(self, change: changes.ConsumerChange) -> None:
        kind = {
            changes.ConsumerCreated: "consumer-started",
            changes.ConsumerDeleted: "consumer-ended",
            changes.ConsumerCancelled: "consumer-cancelled",
        }[type(change)]
        channel = change.consumer.channel
        self._event(
            kind,
            channel.vhost.name,
            getattr(change.consumer.source, "name", None),
            connection_name(channel.connection),
            channel.number,
            change.consumer.tag,
        )

    @on(changes.QueueCreated, changes.QueueDeleted)
    def _queue(self, change: changes.QueueChange) -> None:
        kind = "queue-created" if isinstance(change, changes.QueueCreated) else "queue-deleted"
        origin = change.actor.origin
        self._event(kind, change.vhost, change.queue.name, self.given_name(origin) if origin else None)

    @on(changes.ExchangeCreated, changes.ExchangeDeleted)
    def _exchange(self, change: changes.ExchangeChange) -> None:
        kind = "exchange-created" if isinstance(change, changes.ExchangeCreated) else "exchange-deleted"
        if change.exchange.name.startswith("amq.") or not change.exchange.name:
            return  # every virtual host has these
        self._event(kind, change.vhost, reason=f"exchange '{change.exchange.name}'")

    @on(changes.BindingCreated, changes.BindingDeleted)
    def _binding(self, change: changes.BindingChange) -> None:
        kind = "binding-created" if isinstance(change, changes.BindingCreated) else "binding-deleted"
        binding = change.binding
        queue = binding.destination_name if binding.destination_type == "queue" else None
        reason = (
            f"exchange '{binding.source}', key '{text_of(binding.routing_key)}',"
            f" {binding.destination_type} '{binding.destination_name}'"
        )
        self._event(kind, change.vhost, queue, reason=reason)

    @on(changes.AlarmSet)
    def _alarm_set(self, change: changes.AlarmSet) -> None:
        self._event("alarm-set", reason=change.source)

    @on(changes.AlarmCleared)
    def _alarm_cleared(self, change: changes.AlarmCleared) -> None:
        self._event("alarm-cleared", reason=change.source)


def _freeing(records: deque[Record], events: deque[RawEvent], left: list[object]) -> Steps:
    """Free what was recorded in portions: a hundred thousand objects at once would hold the loop."""
    while records or events:
        for those in (records, events):
            for _ in range(min(FREED_TOGETHER, len(those))):
                those.pop()
        yield None
    left.clear()


def last_kind(record: Record, queue: str) -> str | None:
    """Return the kind of the last event of a message in a queue."""
    for event in reversed(record.events):
        if event.queue == queue:
            return event.kind
    return None


def connection_name(connection: object) -> str:
    """Return the name that a client gave its connection (`connection_name`), else that of RabbitMQ: `peer -> host`."""
    given = getattr(connection, "client_properties", {}).get("connection_name")
    if given is not None and given.kind == "S":
        return text_of(given.value)
    name: str = connection.name  # type: ignore[attr-defined]  # of connections and `DirectClient`
    return name


def _vhost_of(connection: object) -> str | None:
    vhost = getattr(connection, "vhost", None)
    return None if vhost is None else str(vhost.name)


def _error(error: Exception) -> str:
    code, text = getattr(error, "code", None), getattr(error, "text", None)
    return str(error) if code is None else f"{code} {text}"
