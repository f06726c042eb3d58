"""Operations on messages: publish one, get some (docs: management#http-api; rabbit_mgmt_wm_exchange_publish,
rabbit_mgmt_wm_queue_get).

RabbitMQ opens a connection of the user for each of them (rabbit_mgmt_util:with_channel). Here `DirectClient` stands for
that connection and its channel.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from leveret import errors
from leveret.engine import publishing
from leveret.engine.operations.caller import Caller
from leveret.engine.operations.queues import find_queue, read_queue
from leveret.engine.permissions import permissions_of
from leveret.engine.publisher import WIDE
from leveret.engine.tallies import PublishTally
from leveret.queues.backlog.paged_contents import paged_content, whole
from leveret.queues.message import CHANNEL_CLOSED, NACKED, REJECTED, Entry, Message, frame_content
from leveret.queues.queue import PORTION
from leveret.queues.stream.queue import StreamQueue
from leveret.queues.stream.records import StreamRecord, records
from leveret.wire.content import Header
from leveret.wire.properties import Properties, encode_properties
from leveret.work import Job, Suspended

if TYPE_CHECKING:
    from collections.abc import Generator

    from leveret.engine.actor import Actor
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientPeer
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.errors import AmqpError
    from leveret.queues.message import Destination
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.work import Steps


#: Octets of properties and bodies that are shown at once of messages that stay in a queue or a stream; one message in
#: any case.
PEEKED_BYTES = 8 * 1024 * 1024


class DirectClient:
    """A user in a virtual host without a socket, for one operation: connection and channel 1 in one.

    Raises 530 if the user may not open the virtual host, or a limit on connections is reached.
    """

    number = 1
    tag = 0
    prefetch = 0
    gone = False
    confirms = None
    cancels_consumers = True
    access_revision = 0
    exclusive_queues: dict[str, Queue] | None = None

    def __init__(self, broker: Broker, vhost: VirtualHost, user: User, actor: Actor) -> None:
        self.broker = broker
        self.vhost = vhost
        self.user: User | None = user
        self.actor = actor
        self.name = actor.origin
        self.permissions = permissions_of(broker.access, broker.profile, user, vhost.name, broker.clock)
        access = broker.access
        access.check_vhost_connections(vhost.name, user.name, len(vhost.connections))
        mine = sum(one.vhost is not None and one.actor.user == user.name for one in broker.connections)
        access.check_user_connections(user.name, mine)
        access.check_vhost(user, vhost.name)

    @property
    def connection(self) -> DirectClient:
        """Its connection."""
        return self

    @property
    def peer(self) -> ClientPeer:
        """There is no socket."""
        raise NotImplementedError

    def suspend(self, job: Job) -> None:
        """It sends nothing more."""

    def shut(self, error: AmqpError) -> None:
        """There is nothing to close."""

    def fail(self, place: str, error: Exception) -> None:
        """Report an exception."""
        self.broker.faults.report(place, error, vhost=self.vhost.name)


class Outcome(Enum):
    """What became of a message that was published."""

    ROUTED = "routed"
    RETURNED = "returned"
    REFUSED = "refused"


class Content(NamedTuple):
    """A message that was encoded. `frames`: its header frame and a body frame; `head`: octets of the former; `size`:
    octets of the body."""

    frames: bytes
    head: int
    size: int


def content_steps(broker: Broker, properties: Properties, body: bytes) -> Generator[None, None, Content]:
    """Encode a message, in steps: headers over HTTP can have megabytes. Raises AmqpError if the body is too large,
    ValueError for a short string above 255 octets."""
    if len(body) > broker.max_message_size:
        raise errors.message_too_large(len(body), broker.max_message_size)
    if properties.headers is not None and broker.profile.headers_sorted:
        properties.headers = publishing.in_order(properties.headers)
        yield
    header = encode_properties(properties, len(body))
    yield
    return Content(*frame_content(header, body), len(body))


class Publishing:
    """A publish by a job, because the message may go to very many queues. `outcome`: None until the job has ended."""

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self.job = Job.ended()


def publish(
    client: DirectClient, exchange: str, routing_key: str, properties: Properties, body: bytes
) -> Outcome:
    """Publish a mandatory message at once. Raises AmqpError, ValueError (a short string above 255 octets),
    `Suspended`."""
    made = Publishing()

    def steps() -> Steps:
        content = yield from content_steps(client.broker, properties, body)
        yield from _publish_steps(client, exchange, routing_key, content, made)

    for _ in steps():
        pass
    assert made.outcome is not None
    return made.outcome


def begin_publish(client: DirectClient, exchange: str, routing_key: str, content: Content) -> Publishing:
    """Begin to publish a mandatory message. Raises AmqpError, ValueError (a routing key above 255 octets),
    `Suspended`."""
    made = Publishing()
    steps = _publish_steps(client, exchange, routing_key, content, made)
    made.job = client.broker.work.begin(steps, "publish", vhost=client.vhost.name)
    return made


def _publish_steps(
    client: DirectClient,
    exchange: str,
    routing_key: str,
    content: Content,
    made: Publishing,
) -> Steps:
    target = publishing.writable_exchange(client.vhost, client.permissions, _octets(exchange))
    message = Message(_octets(exchange), _octets(routing_key), content.frames, content.head, content.size)
    header = Header()
    if not header.scan(content.frames, 7, content.head - 1):
        raise header.refusal()
    message.persistent = header.delivery_mode == 2
    message.priority = header.priority
    more = publishing.examine(client, None, message, header)
    if target.type == "topic":
        copies = more if more and client.broker.profile.copies_topic_checked else []
        publishing.check_topic(client.permissions, target.name, [message.routing_key, *copies])
    queues: list[Destination] = client.vhost.router.route(target, message.routing_key, more, None, message)
    if queues and len(message.routing_key) > 255:
        raise ValueError("a routing key above 255 octets cannot be delivered")
    job = publishing.busy(queues)
    if job is not None:
        raise Suspended(job)
    if client.vhost.context.interceptor is not None:
        client.vhost.context.interceptor.published(message)
    if client.vhost.context.firehose is not None:
        client.vhost.context.firehose.published(client, message, queues)
    if client.vhost.context.history is not None:
        client.vhost.context.history.published(client, message, queues, True, 0)
    client.broker.counters.message_sizes.observe(message.size, 1)
    client.broker.counters.direct_publishes += 1
    accepted = True
    message.shares = len(queues)
    for at in range(0, len(queues), WIDE):
        for queue in queues[at : at + WIDE]:
            if not queue.gone:
                accepted = queue.push(message) >= 0 and accepted
        client.vhost.publish_dead_letters()
        if at + WIDE < len(queues):
            yield None
    outcome = Outcome.RETURNED if not queues else Outcome.ROUTED if accepted else Outcome.REFUSED
    yield from _count_publish(target, queues, outcome)
    made.outcome = outcome


def _count_publish(exchange: Exchange, queues: list[Destination], outcome: Outcome) -> Steps:
    """Count a publish as one of a channel that confirms."""
    if exchange.tally is None:
        exchange.tally = PublishTally(exchange)
    tally = PublishTally(exchange, exchange.tally)
    if queues:
        tally.sent(queues)
    else:
        tally.unroutable(True)
    tally.promise()
    if outcome is Outcome.REFUSED:
        tally.refuse()
    while tally.spread(WIDE):
        yield None
    tally.fold()


class AckMode(Enum):
    """What is done with messages after they were got."""

    ACK_REQUEUE_TRUE = "ack_requeue_true"
    ACK_REQUEUE_FALSE = "ack_requeue_false"
    REJECT_REQUEUE_TRUE = "reject_requeue_true"
    REJECT_REQUEUE_FALSE = "reject_requeue_false"


class Got(NamedTuple):
    """A message that basic.get returned. `left`: how many were ready then."""

    message: Message
    redelivered: bool
    left: int


class Peeked(NamedTuple):
    """A message that was looked at. `message`: as a consumer would get it."""

    entry: Entry
    message: Message


class Getting:
    """Messages that are got from a queue, and then settled, by a job. `found`: those that were got; `error`: why the
    job has ended early: then the messages are in the queue again."""

    def __init__(self, client: DirectClient, queue: Queue, count: int, mode: AckMode) -> None:
        self.client = client
        self.queue = queue
        self.count = count
        self.mode = mode
        self.found: list[Got] = []
        self.error: Exception | None = None
        self._held: list[Entry] = []
        work = client.vhost.context.work
        self.job: Job = work.begin(self._steps(), "get", queue=queue.name, vhost=queue.vhost)

    def messages(self) -> list[Got]:
        """Return the messages, after the job. Raises what has ended it."""
        if self.error is not None:
            raise self.error
        return self.found

    def _steps(self) -> Steps:
        try:
            yield from self._get_steps()
            if self.queue.crashed:
                raise errors.internal_error()
            yield from self._settle_steps()
        except Exception as error:
            self.error = error
            self.queue.requeue(self._held, CHANNEL_CLOSED)
        yield self.client.vhost.publish_dead_letters()

    def _get_steps(self) -> Steps:
        """Get one message after another, as RabbitMQ's calls of basic.get do."""
        while len(self.found) != self.count:
            try:
                if not self._get():
                    return
            except Suspended as waiting:
                yield waiting.job
            if len(self.found) % PORTION == 0:
                yield None

    def _get(self) -> bool:
        """Get a message; False if there is none. Raises `Suspended`."""
        queue, context = self.queue, self.client.vhost.context
        no_ack = self.mode is AckMode.ACK_REQUEUE_FALSE
        total = context.delivery_total(queue.kind).ended
        entry = queue.get(no_ack)
        if entry is None:
            total.got_empty += 1
            return False
        total.got += not no_ack
        total.got_no_ack += no_ack
        total.redelivered += entry.redelivered
        message = queue.message_to_get(entry)
        if context.interceptor is not None:
            message = context.interceptor.delivered(message)
        self.found.append(Got(message, entry.redelivered, queue.ready_after_get(no_ack)))
        if not no_ack:
            self._held.append(entry)
        if context.history is not None:
            context.history.got(queue, entry, self.client, no_ack)
        if context.firehose is not None:
            context.firehose.delivered(self.client, message, queue, entry.redelivered)
        return True

    def _settle_steps(self) -> Steps:
        """Settle one after another, as RabbitMQ's calls of basic.nack and basic.reject do."""
        self._held.reverse()
        while self._held:
            entry = self._held.pop()
            if self.mode is AckMode.ACK_REQUEUE_TRUE:
                self.queue.requeue([entry], NACKED)
            elif self.mode is AckMode.REJECT_REQUEUE_TRUE:
                self.queue.requeue([entry], REJECTED)
            else:
                self.queue.reject(entry, REJECTED)
            if len(self._held) % PORTION == 0:
                yield None


def get_messages(client: DirectClient, name: str, count: int, mode: AckMode) -> Getting:
    """Begin to get up to `count` messages of a queue, all if it is negative, and then to settle them as `mode` says.

    Raises AmqpError, `Suspended`.
    """
    queue = read_queue(client.vhost, Caller(client.actor), name)
    queue.admit_get()
    return Getting(client, queue, count, mode)


def peek_messages(client: DirectClient, name: str, count: int) -> list[Peeked]:
    """Return the next `count` messages of a queue, which stay where they are: nothing is counted or redelivered. If
    they are large, `PEEKED_BYTES` of them, or one.

    RabbitMQ cannot do that. Raises AmqpError as basic.get does, `Suspended`.
    """
    queue = read_queue(client.vhost, Caller(client.actor), name)
    queue.admit_get()
    try:
        return [Peeked(entry, queue.message_to_get(_whole(entry))) for entry in _next_entries(queue, count)]
    except OSError:
        raise errors.internal_error() from None


def _next_entries(queue: Queue, count: int) -> list[Entry]:
    """The next entries of a queue, at most so many, and `PEEKED_BYTES`. Few are looked at first: each may be as large
    as all others."""
    number = min(1, count)
    while True:
        entries = queue.backlog.peek(number)
        within = _within(entries)
        if within < len(entries) or len(entries) < number or number == count:
            return entries[:within]
        number = min(4 * number, count)


def _within(entries: list[Entry]) -> int:
    """How many entries have no more than `PEEKED_BYTES` together; one in any case."""
    left = PEEKED_BYTES
    for number, entry in enumerate(entries):
        left -= entry.message.size + entry.message.head
        if left < 0:
            return max(1, number)
    return len(entries)


def _whole(entry: Entry) -> Entry:
    """The entry, or a copy with its content if that is paged out. Raises OSError."""
    if paged_content(entry.message) is None:
        return entry
    copy = Entry(whole(entry.message), entry.position, entry.expires_at, entry.source)
    copy.acquired, copy.failed, copy.redelivered = entry.acquired, entry.failed, entry.redelivered
    return copy


def peek_unacked(entry: Entry) -> Message:
    """Return the message of a delivery, also if its content is paged out. Raises AmqpError."""
    try:
        return whole(entry.message)
    except OSError:
        raise errors.internal_error() from None


def peek_records(client: DirectClient, name: str, offset: int | None, count: int) -> list[StreamRecord]:
    """Return `count` messages of a stream from an offset on, or the last ones. Raises AmqpError, `Suspended`."""
    queue = read_queue(client.vhost, Caller(client.actor), name)
    assert isinstance(queue, StreamQueue)
    try:
        first = max(0, queue.log.end - count) if offset is None else offset
        return records(queue.log, first, count, PEEKED_BYTES)
    except OSError:
        raise errors.internal_error() from None


class Moved(NamedTuple):
    """How many messages were moved, how many are left, and whether the destination refused one."""

    moved: int
    left: int
    refused: bool


def move_messages(client: DirectClient, name: str, destination: str, count: int) -> Moved:
    """Move up to `count` messages from the head of a queue to the end of another one, as a shovel on confirm does.

    They are published to the default exchange as they are; a copy is settled after the destination has it. Raises
    AmqpError, `Suspended`.
    """
    caller = Caller(client.actor)
    queue = read_queue(client.vhost, caller, name)
    queue.admit_get()
    default = publishing.writable_exchange(client.vhost, client.permissions, b"")
    target = find_queue(client.vhost, destination)
    caller.check_owner(target)
    target.check_crashed()
    moved, refused = 0, False
    while moved < count and not refused:
        job = publishing.busy([queue, target])
        if job is not None and not moved:
            raise Suspended(job)
        entry = queue.get(no_ack=False) if job is None else None
        if entry is None:
            break
        try:
            refused = target.push(_readdressed(entry.message, destination)) < 0
        except BaseException:
            queue.requeue([entry], CHANNEL_CLOSED)
            raise
        if refused:
            queue.requeue([entry], NACKED)
        else:
            queue.settle(entry)
            moved += 1
    _count_moved(default, target, moved)
    client.vhost.publish_dead_letters()
    return Moved(moved, queue.ready, refused)


def _readdressed(message: Message, destination: str) -> Message:
    """A copy of a message, with its properties and body, as it is published to a queue by name."""
    copy = Message(b"", _octets(destination), message.content, message.head, message.size)
    copy.persistent, copy.priority, copy.expiration = message.persistent, message.priority, message.expiration
    copy.shares = 1
    return copy


def _count_moved(default: Exchange, target: Queue, moved: int) -> None:
    for _ in range(moved):
        _count_publish(default, [target], Outcome.ROUTED)


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
