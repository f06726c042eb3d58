"""Checks counters against what they count, if LEVERET_CHECK=1 is set, as it is in the tests.

Queues count ready and unacknowledged messages, channels and consumers count their deliveries, `Unacked` and `Confirms`
store what is outstanding in compact form. A `Checker` counts all of it again from the underlying structures, between
two operations: after each chunk that a connection has read, and after timers have run. It costs nothing on the hot
path. Virtual hosts with many entries are checked only now and then: see `LONG_VHOST_ENTRIES` and `LONG_VHOST_CHECKS`.

While a job is under way (`work.py`), deliveries that it settles are on no channel any more and still unacknowledged in
their queue, and a busy queue does not deliver.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from leveret.queues.backlog.paged_contents import paged_content
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.session.settling import queue_of

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.consumers import Consumer
    from leveret.queues.message import Entry, Message
    from leveret.queues.queue import Queue
    from leveret.session.channel import Channel
    from leveret.session.confirms import Confirms
    from leveret.session.connection import Connection

#: Entries in all queues and channels of a virtual host beyond which it is long.
LONG_VHOST_ENTRIES = 500

#: A long virtual host is counted in one of this many checks.
LONG_VHOST_CHECKS = 64


class Violation(Struct, frozen=True):
    """A counter that is wrong. `which`: the invariant; `where`: the queue or channel."""

    which: str
    where: str
    expected: object
    found: object

    def __str__(self) -> str:
        return f"{self.which}: {self.where}: expected {self.expected}, found {self.found}"


class InvariantError(AssertionError):
    """Counters do not agree with what they count. `violations`: which."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(map(str, violations)))
        self.violations = violations


def asked_for() -> bool:
    """Return whether LEVERET_CHECK=1 is in the environment."""
    return os.environ.get("LEVERET_CHECK") == "1"


def checker(broker: Broker) -> Checker | None:
    """Return a checker of the broker if the environment asks for one."""
    return Checker(broker) if asked_for() else None


class Checker:
    """Checks one broker. Raises InvariantError where a counter is wrong."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.calls = 0

    def connection(self, connection: Connection) -> None:
        """Check the virtual host of a connection."""
        if connection.vhost is not None:
            self._check([connection.vhost])

    def all(self) -> None:
        """Check every virtual host, after a timer."""
        self._check(self.broker.vhosts.values())

    def _check(self, vhosts: Iterable[VirtualHost]) -> None:
        self.calls += 1
        now = self.calls % LONG_VHOST_CHECKS == 0
        found = [one for vhost in vhosts if now or not is_long(vhost) for one in violations(vhost)]
        if found:
            raise InvariantError(found)


def is_long(vhost: VirtualHost) -> bool:
    """Return whether counting everything takes long."""
    size = sum(1 + queue.ready for queue in vhost.queues.values())
    size += sum(1 + channel.unacked.count for channel in channels(vhost))
    return size > LONG_VHOST_ENTRIES


def violations(vhost: VirtualHost) -> Iterator[Violation]:
    """Return every counter of a virtual host that is wrong."""
    if vhost.context.dead_letters:
        yield Violation("dead letters", f"vhost '{vhost.name}'", 0, len(vhost.context.dead_letters))
    held: dict[int, list[Entry]] = {}
    for channel in channels(vhost):
        entries = outstanding(channel)
        for entry in entries:
            held.setdefault(id(entry.source), []).append(entry)
        yield from _channel(channel, entries)
    settled = not vhost.context.work.jobs
    for queue in vhost.queues.values():
        yield from _queue(queue, held.get(id(queue), []), settled)


def channels(vhost: VirtualHost) -> Iterator[Channel]:
    """Return the open channels of a virtual host."""
    for connection in vhost.connections:
        opened = cast("Mapping[int, Channel]", connection.channels)
        yield from (channel for channel in opened.values() if not channel.gone)


def outstanding(channel: Channel) -> list[Entry]:
    """Return the deliveries of a channel that are not settled, or only in an open transaction."""
    entries: list[Entry] = channel.unacked.outstanding()
    return entries if channel.transaction is None else entries + channel.transaction.entries()


# --- channels


def _channel(channel: Channel, entries: list[Entry]) -> Iterator[Violation]:
    where = f"channel {channel.number} of '{channel.connection.name}'"
    taken = [entry.consumer for entry in entries if entry.consumer is not None]
    settling = channel.connection.suspended is not None
    if not settling:
        yield from _differs("channel held", where, len(taken) + channel.fetched, channel.held)
    yield from _differs("channel fetched", where, 0, channel.fetched if not channel.global_prefetch else 0)
    consumers: set[Consumer] = {*channel.consumers.values(), *taken}
    for consumer in consumers:
        here = f"consumer '{consumer.tag}' on {where}"
        count = sum(1 for other in taken if other is consumer)
        if not settling:
            yield from _differs("consumer held", here, count, consumer.held)
        if consumer.limit and consumer.held > consumer.limit:
            yield Violation("consumer prefetch", here, f"at most {consumer.limit}", consumer.held)
    for tag, consumer in channel.consumers.items():
        queue = queue_of(consumer)
        if consumer.tag != tag or (not queue.gone and consumer not in queue.consumers.members):
            yield Violation("channel consumers", where, "a consumer of its queue", f"'{tag}'")
    yield from _unacked(channel, where)
    if channel.confirms is not None and not channel.closing:
        yield from _confirms(channel.confirms, where)


def _unacked(channel: Channel, where: str) -> Iterator[Violation]:
    entries = channel.unacked.outstanding()
    tags = [entry.tag for entry in entries]
    yield from _differs("unacked count", where, len(entries), channel.unacked.count)
    if any(one >= other for one, other in pairwise(tags)) or (tags and tags[-1] > channel.tag):
        yield Violation("unacked order", where, f"ascending to {channel.tag}", tags)
    lost = [entry.tag for entry in entries if channel.unacked.find(entry.tag) is not entry]
    yield from _differs("unacked index", where, [], lost)


def _confirms(confirms: Confirms, where: str) -> Iterator[Violation]:
    runs, late = confirms.unsettled(), confirms.settled_late()
    if not confirms.sent <= confirms.done <= confirms.last:
        found = (confirms.sent, confirms.done, confirms.last)
        yield Violation("confirms order", where, "sent <= done <= last", found)
    numbers = [number for first, last, _ in runs for number in range(first, last + 1)]
    expected = list(range(confirms.done + 1, confirms.last + 1))
    yield from _differs("confirms unsettled", where, expected, sorted(numbers + late))
    tickets = [ticket for _, _, ticket in runs]
    yield from _differs("confirms tickets", where, sorted(tickets), tickets)


# --- queues


def _queue(queue: Queue, held: list[Entry], settled: bool) -> Iterator[Violation]:
    where = f"{queue.kind} queue '{queue.name}' in vhost '{queue.vhost}'"
    yield from _queue_consumers(queue, where)
    if isinstance(queue, StreamQueue):
        log = queue.log
        yield from _differs("stream ready", where, log.end - log.first(), queue.ready)
        yield from _differs("stream ready bytes", where, log.size, queue.ready_bytes)
        yield from _differs("unacked", where, 0, queue.unacked)
        return
    entries, packed = queue.backlog.entries()
    yield from _differs("backlog length", where, len(entries) + packed, queue.backlog.length)
    yield from _differs("ready", where, len(entries) + packed, queue.ready)
    if not packed:
        yield from _differs("ready bytes", where, _octets(entries), queue.ready_bytes)
    if settled:
        yield from _differs("unacked", where, len(held), queue.unacked)
        yield from _differs("unacked bytes", where, _octets(held), queue.unacked_bytes)
    elif len(held) > queue.unacked or _octets(held) > queue.unacked_bytes:
        yield Violation("unacked", where, f"at least {len(held)}", queue.unacked)
    withheld = _withheld(queue)
    yield from _contents(queue, where, [*entries, *held, *withheld])
    if queue.busy is None:
        yield from _differs("withheld", where, len(withheld), queue.withheld)
        yield from _differs("withheld bytes", where, _octets(withheld), queue.withheld_bytes)
    if isinstance(queue, QuorumQueue) and settled:
        yield from _fetched(queue, where, held)


def _contents(queue: Queue, where: str, entries: list[Entry]) -> Iterator[Violation]:
    """Check that each content is in memory or paged out, and that the pager counts the latter."""
    paged = [one for entry in entries if (one := paged_content(entry.message)) is not None]
    broken = [
        entry.position for entry in entries if _content_size(entry.message) != _frames_size(entry.message)
    ]
    yield from _differs("contents", where, [], broken)
    bodies = sum(one.body for one in paged)
    if bodies > queue.context.pager.bodies:
        yield Violation("paged bodies", where, f"at least {bodies}", queue.context.pager.bodies)


def _content_size(message: Message) -> int:
    paged = paged_content(message)
    return len(message.content) if paged is None else paged.size


def _frames_size(message: Message) -> int:
    """Return the octets of the header frame and, unless the body is empty, of one body frame."""
    return message.head + (message.size + 8 if message.size else 0)


def _withheld(queue: Queue) -> list[Entry]:
    """Return the entries of a quorum queue that are neither ready nor unacknowledged."""
    if not isinstance(queue, QuorumQueue):
        return []
    entries: list[Entry] = [*queue.delays.delayed(), *queue.collected.values()]
    return entries if queue.dead_letter_worker is None else entries + queue.dead_letter_worker.kept()


def _fetched(queue: QuorumQueue, where: str, held: list[Entry]) -> Iterator[Violation]:
    """Check the deliveries of basic.get."""
    expected = sorted(entry.position for entry in held if entry.consumer is None)
    yield from _differs("fetched", where, expected, sorted(queue.fetched))


def _queue_consumers(queue: Queue, where: str) -> Iterator[Violation]:
    consumers = queue.consumers
    rotation = [consumer for consumer in consumers.in_rotation() if not consumer.gone]
    tags = [consumer.tag for consumer in rotation]
    if len(set(rotation)) < len(rotation) or not set(rotation) <= set(consumers.members):
        yield Violation("consumers in rotation", where, "each member at most once", tags)
    if consumers.single_active and any(one is not consumers.active for one in rotation):
        yield Violation("single active consumer", where, "alone in rotation", tags)
    # Streams do not use the rotation.
    if queue.kind == "stream":
        return
    blocked_order = [one.tag for one in rotation if one.blocked_order]
    yield from _differs("blocked consumers", where, [], blocked_order)
    waits = queue.busy is not None or queue.delivering or queue.reading is not None
    if queue.ready and rotation and not waits:
        yield Violation("messages waiting", where, "no consumer in rotation", tags)


def _octets(entries: list[Entry]) -> int:
    return sum(entry.message.size for entry in entries)


def _differs(which: str, where: str, expected: object, found: object) -> Iterator[Violation]:
    if expected != found:
        yield Violation(which, where, expected, found)
