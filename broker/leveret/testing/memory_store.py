"""The store that keeps everything in memory: the reference model of the contract test.

It does what the port promises in the plainest way: what is told is kept at once, as objects, in a `MemoryContents` that
outlives the broker; the disk store must come back with the same. A served broker without a data directory has
no store at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leveret.engine.changes import (
    BindingCreated,
    BindingDeleted,
    ExchangeCreated,
    ExchangeDeleted,
    QueueCreated,
    QueueDeleted,
    VhostCreated,
    VhostDeleted,
)
from leveret.engine.delayed import DelayedRestore
from leveret.engine.observers import Observer, on
from leveret.queues.backlog.paging import BacklogBlock
from leveret.queues.encoding import EntryReader, encoded_entry
from leveret.queues.journal import Journal, QueueJournal
from leveret.queues.message import Entry
from leveret.routing.plugins import Delayed

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue

#: `Entry.stored` of everything: there is only one place.
_HERE = 1

Name = tuple[str, str]


class MemoryContents:
    """What outlives a broker. `messages`: queue -> position -> the packed entry; `last`: queue -> highest
    position."""

    def __init__(self) -> None:
        self.vhosts: dict[str, None] = {}
        self.exchanges: dict[Name, dict[str, Any]] = {}
        self.queues: dict[Name, dict[str, Any]] = {}
        self.bindings: dict[tuple[Any, ...], tuple[str, str, str, str, str, Any]] = {}
        self.messages: dict[Name, dict[int, bytes]] = {}
        self.last: dict[Name, int] = {}


class MemoryJournal(Journal):
    """Everything is settled when it is told."""

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """At once."""
        self.run(call)


class MemoryQueueJournal(QueueJournal):
    """The messages of one queue."""

    def __init__(self, journal: MemoryJournal, kept: MemoryContents, name: Name) -> None:
        self.journal = journal
        self.kept = kept
        self.name = name

    def _keep(self, entry: Entry, redelivered: bool) -> int:
        self.kept.messages[self.name][entry.position] = encoded_entry(entry, redelivered)
        self.kept.last[self.name] = max(self.kept.last[self.name], entry.position)
        self.journal.ticket += 1
        self.journal.settled = self.journal.ticket
        return self.journal.ticket

    def append(self, entry: Entry) -> int:
        """Keep it."""
        entry.stored = _HERE
        return self._keep(entry, entry.redelivered)

    def settle(self, entry: Entry) -> None:
        """Forget it."""
        entry.stored = 0
        self.kept.messages[self.name].pop(entry.position, None)

    def delivered(self, entry: Entry) -> None:
        """Mark it."""
        self._keep(entry, True)

    def returned(self, entry: Entry) -> None:
        """Keep it as it is now."""
        self._keep(entry, True)

    def purge(self) -> None:
        """The queue is gone, by `queue.deleted` at the latest."""
        self.kept.messages[self.name].clear()


class MemoryStore(Observer):
    """Keeps a broker's durable things in `kept`."""

    def __init__(self, kept: MemoryContents) -> None:
        self.kept = kept
        self.journal = MemoryJournal()

    def restore(self, broker: Broker) -> None:
        """Give a broker that has nothing yet what is kept, and listen to it from now on."""
        kept = self.kept
        delayed: list[tuple[VirtualHost, Delayed]] = []
        for name in kept.vhosts:
            broker.add_vhost(name)
        for (vhost, name), fields in kept.exchanges.items():
            exchange = broker.vhosts[vhost].declare_exchange(name, durable=True, **fields)
            if isinstance(exchange, Delayed):
                self._attach_delayed(vhost, exchange)
                delayed.append((broker.vhosts[vhost], exchange))
        for (vhost, name), fields in kept.queues.items():
            queue = broker.vhosts[vhost].declare_queue(name, durable=True, owner=None, user="", **fields)
            self._attach(queue)
            self._fill(queue, (vhost, name))
        for vhost, source, kind, name, key, arguments in list(kept.bindings.values()):
            there = broker.vhosts[vhost]
            ends: dict[str, Any] = there.queues if kind == "queue" else there.exchanges
            there.bind(there.exchanges[source], ends[name], key, arguments)
        for there, exchange in delayed:
            self._fill(DelayedRestore(there, exchange), _waiting(there.name, exchange.name))
        broker.observers.add(self)
        broker.restored()

    def _attach_delayed(self, vhost: str, exchange: Delayed) -> None:
        name = _waiting(vhost, exchange.name)
        self.kept.messages.setdefault(name, {})
        self.kept.last.setdefault(name, 0)
        exchange.queue_journal = MemoryQueueJournal(self.journal, self.kept, name)

    def _attach(self, queue: Queue) -> None:
        name = (queue.vhost, queue.name)
        self.kept.messages.setdefault(name, {})
        self.kept.last.setdefault(name, 0)
        queue.queue_journal = MemoryQueueJournal(self.journal, self.kept, name)

    def _fill(self, queue: Queue, name: Name) -> None:
        for position, packed in sorted(self.kept.messages[name].items()):
            block = BacklogBlock(queue, _HERE.to_bytes(4, "big") + packed, 1)
            reader = EntryReader(packed, 0, len(packed))
            entry, message = reader.entry(), reader.message()
            block.bodies, block.last, block.has_ttl = message.size, position, entry.expires_at > 0
            queue.restore(block, queue.backlog.level_of(message.priority))
        queue.position = max(queue.position, self.kept.last[name])
        queue.restored()

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self.kept.vhosts[change.name] = None

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        del self.kept.vhosts[change.name]

    @on(ExchangeCreated)
    def _exchange_created(self, change: ExchangeCreated) -> None:
        exchange = change.exchange
        if exchange.durable:
            self.kept.exchanges[change.vhost, exchange.name] = {
                "kind": exchange.type,
                "auto_delete": exchange.auto_delete,
                "internal": exchange.internal,
                "arguments": exchange.arguments,
                "user": exchange.user,
            }
            if isinstance(exchange, Delayed):
                self._attach_delayed(change.vhost, exchange)

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        exchange = change.exchange
        self.kept.exchanges.pop((change.vhost, exchange.name), None)
        self.kept.messages.pop(_waiting(change.vhost, exchange.name), None)
        self.kept.last.pop(_waiting(change.vhost, exchange.name), None)

    @on(QueueCreated)
    def _queue_created(self, change: QueueCreated) -> None:
        queue = change.queue
        if queue.durable:
            self.kept.queues[change.vhost, queue.name] = {
                "auto_delete": queue.auto_delete,
                "arguments": queue.arguments,
            }
            self._attach(queue)

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        queue = change.queue
        self.kept.queues.pop((change.vhost, queue.name), None)
        self.kept.messages.pop((change.vhost, queue.name), None)
        self.kept.last.pop((change.vhost, queue.name), None)

    @on(BindingCreated)
    def _binding_created(self, change: BindingCreated) -> None:
        binding = change.binding
        if change.source.durable and binding.destination.durable:
            self.kept.bindings[change.vhost, binding.source, *binding.identity] = (
                change.vhost,
                binding.source,
                binding.destination_type,
                binding.destination.name,
                binding.routing_key.decode("utf-8", "surrogateescape"),
                binding.arguments,
            )

    @on(BindingDeleted)
    def _binding_deleted(self, change: BindingDeleted) -> None:
        binding = change.binding
        self.kept.bindings.pop((change.vhost, binding.source, *binding.identity), None)


def _waiting(vhost: str, exchange: str) -> Name:
    """Under which name the messages are kept that an exchange holds up: none that a queue may have."""
    return vhost, f"\0{exchange}"
