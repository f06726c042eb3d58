"""Messages that x-delayed-message exchanges hold up, and when they go on (docs: rabbitmq_delayed_message_exchange).

While a message waits it counts as unroutable: it is returned where it was mandatory. When it is due its `x-delay`
header turns negative and it is routed as the exchange's inner type says. What a durable exchange holds up is told to
its ledger, persistent or not, as the plugin keeps all of it on disk; that it leaves the ledger and enters durable
queues is told in one go, so that a store has it in exactly one of the two.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from leveret.queues.message import Entry, Extra, Message, Source, frame_content
from leveret.queues.queue import Queue
from leveret.routing.plugins import Delayed
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field

if TYPE_CHECKING:
    from leveret.engine.publisher import Publisher
    from leveret.queues.context import VhostContext
    from leveret.queues.journal import QueueJournal
    from leveret.routing.exchanges import Exchange

#: An entry that waits is in no queue.
_NOWHERE = Source()

#: The type of exchanges that hold messages up.
KIND = "x-delayed-message"


#: What a message is dropped by that cannot be published when it is due.
_PLACE = "delayed message"


class DelayedMessage(NamedTuple):
    """One message, as an entry that expires when it is due (ms since the epoch), and the account it is in, if any."""

    exchange: str
    entry: Entry
    queue_journal: QueueJournal | None

    @property
    def message(self) -> Message:
        """What waits."""
        return self.entry.message

    @property
    def due_at(self) -> int:
        """The moment it is due, ms since the epoch."""
        return self.entry.expires_at


class DelayedMessages:
    """What waits in one virtual host, by number in order of arrival.

    It waits for the exchange of that name: one that is deleted and declared again gets what its predecessor held.
    """

    def __init__(
        self, context: VhostContext, vhost: str, exchanges: dict[str, Exchange], publisher: Publisher
    ) -> None:
        self.context = context
        self.vhost = vhost
        self.exchanges = exchanges
        self.publisher = publisher
        self.waiting: dict[int, DelayedMessage] = {}
        self._counts: Counter[str] = Counter()
        self._last = 0
        self._newest: tuple[Message, int] | None = None

    def count(self, exchange: str) -> int:
        """How many messages wait for an exchange."""
        return self._counts[exchange]

    def of(self, exchange: str) -> list[DelayedMessage]:
        """The messages that wait for an exchange, the next to go first."""
        found = [one for one in self.waiting.values() if one.exchange == exchange]
        return sorted(found, key=lambda one: one.due_at)

    def hold(self, exchange: Exchange, message: Message, delay: int) -> None:
        """Keep a message for `delay` ms. Additional keys (CC, BCC) stay with it."""
        assert isinstance(exchange, Delayed)
        self._last += 1
        entry = Entry(message, self._last, self.context.clock.now + delay, _NOWHERE)
        if exchange.queue_journal is not None:
            self._newest = (message, exchange.queue_journal.append(entry))
        self._wait(exchange, entry)

    def ticket_of(self, message: Message) -> int:
        """The journal ticket to wait for before a message just published is confirmed; 0 for none."""
        newest, self._newest = self._newest, None
        return newest[1] if newest is not None and newest[0] is message else 0

    def _wait(self, exchange: Delayed, entry: Entry) -> None:
        number = entry.position
        self.waiting[number] = DelayedMessage(exchange.name, entry, exchange.queue_journal)
        self._counts[exchange.name] += 1
        self.context.agenda.call_at(entry.expires_at, lambda: self._release(number))

    def _release(self, number: int) -> None:
        held = self.waiting.pop(number, None)
        if held is None:
            return
        self._counts[held.exchange] -= 1
        if not self._counts[held.exchange]:
            del self._counts[held.exchange]
        exchange = self.exchanges.get(held.exchange)
        if exchange is None or exchange.type != KIND:
            return
        try:
            message = _spent(held.message)
            self.publisher.publish(exchange, message, _PLACE)
        except Exception as error:
            self.publisher.report_lost(_PLACE, error, held.message)
        finally:  # one that cannot be published must not come back with every restart
            if held.entry.stored and held.queue_journal is not None:
                held.queue_journal.settle(held.entry)
        self.context.publish_dead_letters()

    def clear(self) -> None:
        """Drop all messages, because the virtual host is deleted."""
        self.waiting.clear()
        self._counts.clear()

    def restored(self, exchange: Delayed, entries: list[Entry], last: int) -> None:
        """What a durable exchange held up when the broker ended; `last`: the highest number ever used there. What has
        become due meanwhile goes on as soon as the agenda runs."""
        self._last = max(self._last, last)
        for entry in entries:
            self._wait(exchange, entry)


class DelayedRestore(Queue):
    """Where a store puts what an exchange held up: it goes on to wait from there."""

    def __init__(self, delayed: DelayedMessages, exchange: Delayed) -> None:
        super().__init__(exchange.name, delayed.vhost, delayed.context)
        self.exchange = exchange
        self.delayed = delayed

    def crash(self, reason: str) -> None:
        """What was read a moment ago cannot be read again."""
        raise OSError(reason)

    def restored(self) -> None:
        """Everything is back."""
        entries = []
        while (entry := self.backlog.pop()) is not None:
            entries.append(entry)
        self.delayed.restored(self.exchange, entries, self.position)


def _spent(message: Message) -> Message:
    """The message with its delay behind it: x-delay negated."""
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
