"""The durable topology in a catalogue: exchanges, queues and bindings, of all virtual hosts or of one.

Each durable queue and delayed-message exchange gets a number, under which the store keeps its messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from leveret.engine.catalogue import Catalogue, Key, Kind
from leveret.engine.vhost import PREDECLARED
from leveret.routing.plugins import Delayed
from leveret.store.catalogue.documents import binding_key, exchange_document, queue_document

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange

#: Key of the counter of queue numbers.
QUEUE_NUMBERS = ("queue",)

_PREDECLARED = frozenset(name for name, _, _ in PREDECLARED)


class MessageStore(Protocol):
    """Where the messages of durable queues are kept, by the number of the queue."""

    def attach_queue(self, queue: Queue, number: int) -> None:
        """Give a queue its journal."""

    def attach_delayed(self, exchange: Delayed, number: int) -> None:
        """Give an x-delayed-message exchange its journal."""


class Topology:
    """What `catalogue` has of the topology, with the messages in `store`. `next_number`: of the next queue; numbers are
    never used again."""

    def __init__(self, catalogue: Catalogue, store: MessageStore) -> None:
        self.catalogue = catalogue
        self.store = store
        self.next_number = 1
        self._delayed: dict[Key, Delayed] = {}
        self._exchange_bindings: dict[tuple[str, str], set[Key]] = {}

    def add_exchange(self, vhost: str, exchange: Exchange) -> None:
        """Record an exchange, if it is durable and not predeclared."""
        if not exchange.durable or exchange.name in _PREDECLARED:
            return
        document = exchange_document(exchange)
        if isinstance(exchange, Delayed):
            document["number"] = number = self._new_number()
            self.attach_delayed(vhost, exchange, number)
        self.catalogue.put(Kind.EXCHANGE, (vhost, exchange.name), document)

    def delete_exchange(self, vhost: str, name: str) -> None:
        """Delete the record of a durable exchange, and what it has delayed; nothing for one that is predeclared."""
        if name in _PREDECLARED:
            return
        self.catalogue.delete(Kind.EXCHANGE, (vhost, name))
        delayed = self._delayed.pop((vhost, name), None)
        if delayed is not None:
            delayed.queue_journal.purge()

    def delete_exchange_bindings(self, vhost: str, source: str) -> None:
        """Delete the records of bindings from an exchange to others."""
        for key in self._exchange_bindings.pop((vhost, source), ()):
            self.catalogue.delete(Kind.BINDING, key)

    def attach_delayed(self, vhost: str, exchange: Delayed, number: int) -> None:
        """Have the store keep the messages of an x-delayed-message exchange."""
        self._delayed[vhost, exchange.name] = exchange
        self.store.attach_delayed(exchange, number)

    def add_queue(self, vhost: str, queue: Queue) -> None:
        """Record a queue, if it is durable, and have the store keep its messages."""
        if queue.durable:
            number = self._new_number()
            self.catalogue.put(Kind.QUEUE, (vhost, queue.name), queue_document(queue, number))
            self.store.attach_queue(queue, number)

    def delete_queue(self, vhost: str, queue: Queue) -> None:
        """Delete the record of a queue, if it is durable."""
        if queue.durable:
            self.catalogue.delete(Kind.QUEUE, (vhost, queue.name))

    def add_binding(self, vhost: str, source: Exchange, binding: Binding) -> None:
        """Record a binding, if both of its ends are durable."""
        if source.durable and binding.destination.durable:
            key = binding_key(vhost, binding)
            self.catalogue.put(Kind.BINDING, key, {})
            self.note_binding(key)

    def note_binding(self, key: Key) -> None:
        """Remember a binding between exchanges: it is not reported when its virtual host is deleted."""
        if key[2] == "exchange":
            self._exchange_bindings.setdefault((key[0], key[1]), set()).add(key)

    def delete_binding(self, vhost: str, binding: Binding) -> None:
        """Delete the record of a binding, if its destination is durable."""
        if binding.destination.durable:
            key = binding_key(vhost, binding)
            self.catalogue.delete(Kind.BINDING, key)
            self._exchange_bindings.get((key[0], key[1]), set()).discard(key)

    def _new_number(self) -> int:
        number = self.next_number
        self.next_number += 1
        self.catalogue.put(Kind.COUNTER, QUEUE_NUMBERS, {"next": self.next_number})
        return number
