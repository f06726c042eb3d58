"""Messages that x-delayed-message exchanges delay (docs: rabbitmq_delayed_message_exchange).

A delayed message counts as unroutable at first: it is returned if it was mandatory. When it is due, its header
`x-delay` is negated and it is routed by the exchange's inner type. Delayed messages of a durable exchange are reported
to its journal, persistent or not, because the plugin keeps all of them on disk. That a message leaves this journal and
enters durable queues is reported in the same batch, so a store always has it in exactly one of the two.
"""

from __future__ import annotations

import heapq
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from leveret.engine.publisher import WIDE
from leveret.queues.backlog.ready import Fifo
from leveret.queues.message import Entry, Extra, Message, Source, frame_content, header_work
from leveret.queues.queue import Queue
from leveret.routing.plugins import Delayed
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field
from leveret.work import free

if TYPE_CHECKING:
    from leveret.clock import ScheduledCall
    from leveret.engine.publisher import Publisher
    from leveret.queues.backlog.paging import BacklogBlock
    from leveret.queues.context import VhostContext
    from leveret.queues.journal import QueueJournal
    from leveret.routing.exchanges import Exchange
    from leveret.work import Steps

#: The source of entries that are in no queue.
_NOWHERE = Source()

#: The type of exchanges that delay messages.
KIND = "x-delayed-message"


#: Names this work in the log if a message is lost.
_PLACE = "delayed message"


#: Messages that are freed together.
_FREED_TOGETHER = 1000

#: Messages that are published before the job asks whether its slice is over.
PORTION = 16


class DelayedMessage(NamedTuple):
    """One delayed message, as an entry that expires when it is due, and its queue journal, if any."""

    exchange: str
    entry: Entry
    queue_journal: QueueJournal | None

    @property
    def message(self) -> Message:
        """The message."""
        return self.entry.message

    @property
    def due_at(self) -> int:
        """When it is due, ms since the epoch."""
        return self.entry.expires_at


class DelayedMessages:
    """The delayed messages of one virtual host, by number in order of arrival. `last`: the highest number;
    `nowhere`: the source of their entries.

    They belong to the name of an exchange: one that is deleted and declared again gets the messages of the former one.
    """

    def __init__(
        self, context: VhostContext, vhost: str, exchanges: dict[str, Exchange], publisher: Publisher
    ) -> None:
        self.context = context
        self.vhost = vhost
        self.exchanges = exchanges
        self.publisher = publisher
        self.nowhere = _NOWHERE
        self.waiting: dict[int, DelayedMessage] = {}
        self._counts: Counter[str] = Counter()
        self._due: list[tuple[int, int]] = []
        self._call: ScheduledCall | None = None
        self._publishing = False
        self._wide: Steps | None = None
        self.last = 0
        self._newest: tuple[Message, int] | None = None

    def count(self, exchange: str) -> int:
        """Return the number of delayed messages of an exchange."""
        return self._counts[exchange]

    def of(self, exchange: str) -> list[DelayedMessage]:
        """Return the delayed messages of an exchange, ordered by when they are due."""
        found = [one for one in self.waiting.values() if one.exchange == exchange]
        return sorted(found, key=lambda one: one.due_at)

    def hold(self, exchange: Exchange, message: Message, delay: int) -> None:
        """Delay a message for `delay` ms. Additional keys (CC, BCC) stay with it."""
        assert isinstance(exchange, Delayed)
        self.last += 1
        entry = Entry(message, self.last, self.context.clock.now + delay, _NOWHERE)
        if exchange.queue_journal is not None:
            self._newest = (message, exchange.queue_journal.append(entry))
        self._wait(exchange, entry)

    def ticket_of(self, message: Message) -> int:
        """Return the journal ticket to wait for before a message just published is confirmed; 0 for none."""
        newest, self._newest = self._newest, None
        return newest[1] if newest is not None and newest[0] is message else 0

    def _wait(self, exchange: Delayed, entry: Entry) -> None:
        number = entry.position
        self.waiting[number] = DelayedMessage(exchange.name, entry, exchange.queue_journal)
        self._counts[exchange.name] += 1
        heapq.heappush(self._due, (entry.expires_at, number))
        self._schedule()

    def _schedule(self) -> None:
        """Have the agenda call when the next message is due, unless a job is publishing those that are."""
        if not self._due or self._publishing:
            return
        at = self._due[0][0]
        if self._call is not None:
            if self._call.at <= at:
                return
            self.context.agenda.cancel(self._call)
        self._call = self.context.agenda.call_at(at, self._release_due)

    def _release_due(self) -> None:
        """Publish the messages that are due; many of them in slices, so that other timers run in between."""
        self._call = None
        self._publishing = True
        self.context.work.begin(self._steps(), _PLACE, vhost=self.vhost)

    def _steps(self) -> Steps:
        published = 0
        try:
            while self._due and self._due[0][0] <= self.context.clock.now:
                published += self._release(heapq.heappop(self._due)[1])
                if self._wide is not None:
                    steps, self._wide = self._wide, None
                    yield from steps
                    self.context.publish_dead_letters()
                if published >= PORTION:
                    published = 0
                    yield None
        finally:
            self._publishing = False
            self._schedule()

    def _release(self, number: int) -> int:
        """Publish a message; returns how much work that was."""
        held = self.waiting.pop(number, None)
        if held is None:
            return 1
        self._counts[held.exchange] -= 1
        if not self._counts[held.exchange]:
            del self._counts[held.exchange]
        exchange = self.exchanges.get(held.exchange)
        if exchange is None or exchange.type != KIND:
            return 1
        try:
            message = _spent(held.message)
            queues = self.publisher.route(exchange, message)
            if self.context.history is not None:
                self.context.history.relayed(self.vhost, message, queues, held.message)
            if len(queues) > WIDE:
                self._wide = self.publisher.deliver_steps(message, queues, _PLACE, partial(_settle, held))
                return PORTION
            self.publisher.deliver(message, queues, _PLACE)
        except Exception as error:
            self.publisher.report_lost(_PLACE, error, held.message)
        finally:
            if self._wide is None:
                _settle(held)
        self.context.publish_dead_letters()
        return header_work(held.message)

    def clear(self) -> None:
        """Drop all messages, because the virtual host is gone."""
        if self._call is not None:
            self.context.agenda.cancel(self._call)
            self._call = None
        waiting, self.waiting = self.waiting, {}
        due, self._due = self._due, []
        self._counts.clear()
        self.context.work.begin(_freed(waiting, due), _PLACE, vhost=self.vhost)

    def restored(self, exchange: Delayed, entries: list[Entry], last: int) -> None:
        """Delay again what a durable exchange had delayed when the broker ended. `last`: the highest number ever used
        there. Messages that have become due are published when the agenda runs."""
        self.last = max(self.last, last)
        for entry in entries:
            self._wait(exchange, entry)


class DelayedRestore(Source):
    """Takes the delayed messages of an exchange from the store at start, as a queue takes its messages."""

    def __init__(self, delayed: DelayedMessages, exchange: Delayed) -> None:
        self.name = exchange.name
        self.vhost = delayed.vhost
        self.context = delayed.context
        self.backlog = Fifo(delayed.context.pager)
        self.position = 0
        self.exchange = exchange
        self.delayed = delayed

    def restore(self, block: BacklogBlock, level: int) -> None:
        """Add entries that the store has read back behind the others."""
        self.backlog.accept(block, level)
        self.position = max(self.position, block.last)

    def crash(self, reason: str) -> None:
        """Raise OSError, because a block that was just read cannot be read again."""
        raise OSError(reason)

    def restored(self) -> None:
        """Delay the messages again, after the last `restore`."""
        entries = []
        while (entry := self.backlog.pop()) is not None:
            entries.append(entry)
        self.delayed.restored(self.exchange, entries, self.position)


#: What a store fills with messages at start.
RestoreTarget: TypeAlias = Queue | DelayedRestore


def _freed(waiting: dict[int, DelayedMessage], due: list[tuple[int, int]]) -> Steps:
    """Free what was delayed in portions: there may be a million messages."""
    yield from free(due)
    while waiting:
        for _ in range(min(_FREED_TOGETHER, len(waiting))):
            waiting.popitem()
        yield None


def _settle(held: DelayedMessage) -> None:
    """Settle a message with the store, also one that cannot be published: it must not be restored with every start."""
    if held.entry.stored and held.queue_journal is not None:
        held.queue_journal.settle(held.entry)


def _spent(message: Message) -> Message:
    """Return the message as it is published: x-delay is negated."""
    properties = decode_properties(message.header)
    headers = dict(properties.headers or {})
    field = headers["x-delay"]
    value = field.value if isinstance(field.value, int | float) else int(field.value)
    headers["x-delay"] = Field(field.kind if field.kind in "bsIlfd" else "l", -value)
    properties.headers = headers
    spent = Message(message.exchange, message.routing_key)
    spent.content, spent.head = frame_content(encode_properties(properties, message.size), message.body)
    spent.size, spent.persistent = message.size, message.persistent
    spent.priority, spent.expiration = message.priority, message.expiration
    if message.extra is not None:
        spent.extra = Extra()
        spent.extra.more = message.extra.more
    return spent
