"""A store that keeps everything in memory: the reference model of the contract tests.

`MemoryContents` outlives the broker. It has the records of the catalogue, and the encoded messages of each queue by its
number. Everything is safe as soon as it is reported. The disk store must restore the same. A broker that runs without a
data directory has no store at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from leveret.engine.catalogue import Document, Key, Kind, Record
from leveret.queues.backlog.paging import BacklogBlock
from leveret.queues.encoding import EntryReader, encoded_entry
from leveret.queues.journal import Journal, QueueJournal
from leveret.queues.message import Entry
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import Restore
from leveret.store.catalogue.topology import Topology

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.delayed import RestoreTarget
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.routing.plugins import Delayed

#: `Entry.stored` of every entry: there is only one place.
_STORED = 1


class MemoryContents:
    """What is kept when a broker ends. `messages`: queue number -> position -> encoded entry; `last`: queue number ->
    highest position that was used."""

    def __init__(self) -> None:
        self.records: dict[tuple[Kind, Key], Document] = {}
        self.messages: dict[int, dict[int, bytes]] = {}
        self.last: dict[int, int] = {}


class MemoryJournal(Journal):
    """Settles every ticket at once."""

    def next_ticket(self) -> int:
        """Return a new ticket, which is settled already."""
        self.ticket += 1
        self.settled = self.ticket
        return self.ticket

    def record_changed(self) -> int:
        """A record of the catalogue changed; returns the ticket."""
        self.changes += 1
        self.changed = self.next_ticket()
        return self.changed

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` at once."""
        self.run(call)


class MemoryCatalogue:
    """The records in `contents`."""

    def __init__(self, contents: MemoryContents, journal: MemoryJournal) -> None:
        self.contents = contents
        self.journal = journal

    def put(self, kind: Kind, key: Key, document: Document) -> int:
        """Add or replace a record; returns the ticket."""
        self.contents.records[kind, key] = document
        return self.journal.record_changed()

    def delete(self, kind: Kind, key: Key) -> int:
        """Delete a record, if there is one; returns the ticket."""
        self.contents.records.pop((kind, key), None)
        return self.journal.record_changed()

    def load(self) -> Iterable[Record]:
        """All records."""
        return [Record(kind, key, document) for (kind, key), document in self.contents.records.items()]


class MemoryQueueJournal(QueueJournal):
    """The messages of one queue."""

    def __init__(self, journal: MemoryJournal, contents: MemoryContents, number: int) -> None:
        self.journal = journal
        self.contents = contents
        self.number = number
        contents.messages.setdefault(number, {})
        contents.last.setdefault(number, 0)

    def _put(self, entry: Entry, redelivered: bool) -> int:
        self.contents.messages[self.number][entry.position] = encoded_entry(entry, redelivered)
        self.contents.last[self.number] = max(self.contents.last[self.number], entry.position)
        return self.journal.next_ticket()

    def append(self, entry: Entry) -> int:
        """Keep an entry; returns the ticket."""
        entry.stored = _STORED
        return self._put(entry, entry.redelivered)

    def settle(self, entry: Entry) -> None:
        """Forget an entry."""
        entry.stored = 0
        self.contents.messages[self.number].pop(entry.position, None)

    def settle_run(self, stored: int, first: int, last: int) -> None:
        """Forget consecutive ones."""
        for position in range(first, last + 1):
            self.contents.messages[self.number].pop(position, None)

    def delivered(self, entry: Entry) -> None:
        """Mark an entry as redelivered."""
        self._put(entry, True)

    def returned(self, entry: Entry) -> None:
        """Keep the new counts of an entry."""
        self._put(entry, True)

    def purge(self) -> None:
        """Forget all messages of the queue."""
        self.contents.messages[self.number].clear()


class MemoryStore:
    """Keeps a broker in `contents`."""

    def __init__(self, contents: MemoryContents) -> None:
        self.contents = contents
        self.journal = MemoryJournal()
        self.catalogue = MemoryCatalogue(contents, self.journal)

    def restore(self, broker: Broker) -> None:
        """Restore an empty broker, and keep its changes from then on."""
        topology = Topology(self.catalogue, self)
        recorder = Recorder(broker, self.catalogue, topology)
        self._read(recorder, topology)
        recorder.begin()
        broker.restored()

    def restore_vhost(self, recorder: Recorder, vhost: VirtualHost) -> None:
        """Restore an empty virtual host, whose only store this is, and keep its changes from then on. `recorder`: that
        of the broker, which keeps the rest."""
        topology = Topology(self.catalogue, self)
        self._read(recorder, topology)
        recorder.keep(vhost.name, topology)

    def _read(self, recorder: Recorder, topology: Topology) -> None:
        restore = Restore(recorder, topology)
        restore.run()
        for number, queue in restore.queues.items():
            if number in self.contents.messages:
                self._fill(queue, number)

    def attach_queue(self, queue: Queue, number: int) -> None:
        """Give a durable queue its journal. The records of streams are not kept."""
        if queue.kind != "stream":
            queue.queue_journal = MemoryQueueJournal(self.journal, self.contents, number)

    def attach_delayed(self, exchange: Delayed, number: int) -> None:
        """Give an x-delayed-message exchange its journal."""
        exchange.queue_journal = MemoryQueueJournal(self.journal, self.contents, number)

    def _fill(self, queue: RestoreTarget, number: int) -> None:
        for position, encoded in sorted(self.contents.messages[number].items()):
            block = BacklogBlock(queue, _STORED.to_bytes(4, "big") + encoded, 1)
            entry = EntryReader(encoded, 0, len(encoded)).entry(queue)
            message = entry.message
            block.bodies, block.last, block.has_ttl = message.size, position, entry.expires_at > 0
            queue.restore(block, queue.backlog.level_of(message.priority))
        queue.position = max(queue.position, self.contents.last[number])
        queue.restored()
