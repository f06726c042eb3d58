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
from leveret.engine.operations.queues import read_queue
from leveret.engine.permissions import Permissions
from leveret.engine.tallies import PublishTally
from leveret.queues.message import CHANNEL_CLOSED, NACKED, REJECTED, Message, frame_content
from leveret.wire.content import Header
from leveret.wire.properties import Properties, encode_properties
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.engine.actor import Actor
    from leveret.engine.broker import Broker
    from leveret.engine.clients import ClientPeer
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.errors import AmqpError
    from leveret.queues.message import Destination, Entry
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.work import Job


class DirectClient:
    """A user in a virtual host without a socket, for one operation: connection and channel 1 in one.

    Raises 530 if the user may not open the virtual host, or a limit on connections is reached.
    """

    number = 1
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
        self.permissions = Permissions(broker.access, broker.profile, user.name, vhost.name)
        access = broker.access
        access.check_vhost_connections(vhost.name, user.name, len(vhost.connections))
        mine = sum(one.vhost is not None and one.actor.user == user.name for one in broker.connections)
        access.check_user_connections(user.name, mine)
        access.check_vhost(user.name, vhost.name)

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


def publish(
    client: DirectClient, exchange: str, routing_key: str, properties: Properties, body: bytes
) -> Outcome:
    """Publish a mandatory message. Raises AmqpError, ValueError (a short string above 255 octets), `Suspended`."""
    limit = client.broker.max_message_size
    if len(body) > limit:
        raise errors.message_too_large(len(body), limit)
    content, head = frame_content(encode_properties(properties, len(body)), body)
    target = publishing.writable_exchange(client.vhost, client.permissions, _octets(exchange))
    message = Message(_octets(exchange), _octets(routing_key), content, head, len(body))
    header = Header()
    if not header.scan(content, 7, head - 1):
        raise errors.malformed_properties()
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
    if client.vhost.context.firehose is not None:
        client.vhost.context.firehose.published(client, message, queues)
    client.broker.counters.message_sizes.observe(message.size)
    outcome = _deliver(client, message, queues)
    _count_publish(target, queues, outcome)
    return outcome


def _deliver(client: DirectClient, message: Message, queues: list[Destination]) -> Outcome:
    if not queues:
        return Outcome.RETURNED
    message.shares = len(queues)
    accepted = True
    for queue in queues:
        accepted = queue.push(message) >= 0 and accepted
    client.vhost.publish_dead_letters()
    return Outcome.ROUTED if accepted else Outcome.REFUSED


def _count_publish(exchange: Exchange, queues: list[Destination], outcome: Outcome) -> None:
    """Count a publish as one of a channel that confirms."""
    if exchange.tally is None:
        exchange.tally = PublishTally(exchange)
    tally = PublishTally(exchange, exchange.tally)
    if queues:
        tally.sent(queues)
        tally.fold()
    else:
        exchange.tally.published += 1
        exchange.tally.returned += 1
    tally.promise(outcome is Outcome.REFUSED)


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


def get_messages(client: DirectClient, name: str, count: int, mode: AckMode) -> list[Got]:
    """Get up to `count` messages of a queue, all if it is negative, and then settle them as `mode` says.

    Raises AmqpError, `Suspended`.
    """
    queue = read_queue(client.vhost, Caller(client.actor), name)
    queue.admit_get()
    found: list[Got] = []
    held: list[Entry] = []
    no_ack = mode is AckMode.ACK_REQUEUE_FALSE
    total = client.vhost.context.delivery_total(queue.kind)
    try:
        while len(found) != count:
            entry = queue.get(no_ack)
            if entry is None:
                total.got_empty += 1
                break
            total.got += not no_ack
            total.got_no_ack += no_ack
            total.redelivered += entry.redelivered
            found.append(Got(queue.message_to_get(entry), entry.redelivered, queue.ready_after_get(no_ack)))
            if not no_ack:
                held.append(entry)
            if client.vhost.context.firehose is not None:
                client.vhost.context.firehose.delivered(client, found[-1].message, queue, entry.redelivered)
        if queue.crashed:
            raise errors.internal_error()
        _settle(queue, held, mode)
    except BaseException:
        queue.requeue(held, CHANNEL_CLOSED)
        raise
    client.vhost.publish_dead_letters()
    return found


def _settle(queue: Queue, held: list[Entry], mode: AckMode) -> None:
    """Settle one after another, as RabbitMQ's calls of basic.nack and basic.reject do."""
    while held:
        entry = held.pop(0)
        if mode is AckMode.ACK_REQUEUE_TRUE:
            queue.requeue([entry], NACKED)
        elif mode is AckMode.REJECT_REQUEUE_TRUE:
            queue.requeue([entry], REJECTED)
        else:
            queue.reject(entry, REJECTED)


def _octets(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
