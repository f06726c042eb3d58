"""Writes the changes of a broker to its catalogue.

The `Recorder` observes the topology: every durable exchange, queue and binding that is created or deleted. The
registries of users, permissions, limits, policies, virtual hosts and global parameters call `changed`; the recorder
then writes their current state, or deletes the record. Each durable queue and delayed-message exchange gets a number,
under which the store keeps its messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from leveret.engine.access import KINDS
from leveret.engine.catalogue import Catalogue, Document, Key, Kind
from leveret.engine.changes import (
    BindingCreated,
    BindingDeleted,
    ExchangeCreated,
    ExchangeUnregistered,
    QueueCreated,
    QueueUnregistered,
    VhostCreated,
    VhostDeleted,
    VhostExchangesDeleted,
)
from leveret.engine.observers import Observer, on
from leveret.engine.parameters import CLUSTER_ID
from leveret.engine.vhost import PREDECLARED
from leveret.routing.plugins import Delayed
from leveret.store.catalogue.documents import (
    binding_key,
    exchange_document,
    queue_document,
    vhost_document,
)

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.queues.queue import Queue

#: Key of the counter of queue numbers.
QUEUE_NUMBERS = ("queue",)

_PREDECLARED = frozenset(name for name, _, _ in PREDECLARED)


class MessageStore(Protocol):
    """Where the messages of durable queues are kept, by the number of the queue."""

    def attach_queue(self, queue: Queue, number: int) -> None:
        """Give a queue its journal."""

    def attach_delayed(self, exchange: Delayed, number: int) -> None:
        """Give an x-delayed-message exchange its journal."""


class Recorder(Observer):
    """The observer. `next_number`: of the next queue; numbers are never used again. `identified`: the catalogue has the
    identifier of the cluster."""

    essential = True  # a change that cannot be recorded must not be answered

    def __init__(self, broker: Broker, catalogue: Catalogue, store: MessageStore) -> None:
        self.broker = broker
        self.catalogue = catalogue
        self.store = store
        self.next_number = 1
        self.identified = False
        self._delayed: dict[Key, Delayed] = {}
        self._exchange_bindings: dict[tuple[str, str], set[Key]] = {}
        self._documents: dict[Kind, Callable[[Key], Document | None]] = {
            Kind.VHOST: self._vhost,
            Kind.GLOBAL_PARAMETER: self._global_parameter,
            Kind.USER: self._user,
            Kind.PERMISSION: self._permission,
            Kind.TOPIC_PERMISSION: self._topic_permission,
            Kind.VHOST_LIMITS: self._vhost_limits,
            Kind.POLICY: lambda key: self._policy(key, False),
            Kind.OPERATOR_POLICY: lambda key: self._policy(key, True),
        }

    def begin(self) -> None:
        """Record everything that changes from now on."""
        self.broker.observers.add(self)
        self.broker.context.changed = self.broker.access.changed = self.broker.policies.changed = self.changed
        if not self.identified:
            self.changed(Kind.GLOBAL_PARAMETER, (CLUSTER_ID,))

    # --- topology

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self.changed(Kind.VHOST, (change.name,))

    @on(VhostExchangesDeleted)
    def _vhost_exchanges_deleted(self, change: VhostExchangesDeleted) -> None:
        for name in change.exchanges:
            if name not in _PREDECLARED:
                self._delete_exchange((change.name, name))
            for key in self._exchange_bindings.pop((change.name, name), ()):
                self.catalogue.delete(Kind.BINDING, key)

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self.catalogue.delete(Kind.VHOST, (change.name,))

    @on(ExchangeCreated)
    def _exchange_created(self, change: ExchangeCreated) -> None:
        exchange = change.exchange
        if not exchange.durable or exchange.name in _PREDECLARED:
            return
        document = exchange_document(exchange)
        if isinstance(exchange, Delayed):
            document["number"] = number = self._new_number()
            self.attach_delayed(change.vhost, exchange, number)
        self.catalogue.put(Kind.EXCHANGE, (change.vhost, exchange.name), document)

    @on(ExchangeUnregistered)
    def _exchange_unregistered(self, change: ExchangeUnregistered) -> None:
        """Delete it before its bindings: a binding without one of its ends is not restored."""
        if change.exchange.durable and change.exchange.name not in _PREDECLARED:
            self._delete_exchange((change.vhost, change.exchange.name))

    def _delete_exchange(self, key: Key) -> None:
        self.catalogue.delete(Kind.EXCHANGE, key)
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.queue_journal.purge()

    def attach_delayed(self, vhost: str, exchange: Delayed, number: int) -> None:
        """Have the store keep the messages of an x-delayed-message exchange."""
        self._delayed[vhost, exchange.name] = exchange
        self.store.attach_delayed(exchange, number)

    @on(QueueCreated)
    def _queue_created(self, change: QueueCreated) -> None:
        queue = change.queue
        if queue.durable:
            number = self._new_number()
            self.catalogue.put(Kind.QUEUE, (change.vhost, queue.name), queue_document(queue, number))
            self.store.attach_queue(queue, number)

    @on(QueueUnregistered)
    def _queue_unregistered(self, change: QueueUnregistered) -> None:
        """Delete it before its bindings."""
        if change.queue.durable:
            self.catalogue.delete(Kind.QUEUE, (change.vhost, change.queue.name))

    @on(BindingCreated)
    def _binding_created(self, change: BindingCreated) -> None:
        binding = change.binding
        if change.source.durable and binding.destination.durable:
            key = binding_key(change.vhost, binding)
            self.catalogue.put(Kind.BINDING, key, {})
            self.note_binding(key)

    def note_binding(self, key: Key) -> None:
        """Remember a binding between exchanges: it is not reported when its virtual host is deleted."""
        if key[2] == "exchange":
            self._exchange_bindings.setdefault((key[0], key[1]), set()).add(key)

    @on(BindingDeleted)
    def _binding_deleted(self, change: BindingDeleted) -> None:
        if change.binding.destination.durable:
            key = binding_key(change.vhost, change.binding)
            self.catalogue.delete(Kind.BINDING, key)
            self._exchange_bindings.get((key[0], key[1]), set()).discard(key)

    def _new_number(self) -> int:
        number = self.next_number
        self.next_number += 1
        self.catalogue.put(Kind.COUNTER, QUEUE_NUMBERS, {"next": self.next_number})
        return number

    # --- what registries have

    def changed(self, kind: Kind, key: Key) -> None:
        """Write the current state of a registry's object, or delete its record."""
        document = self._documents[kind](key)
        if document is None:
            self.catalogue.delete(kind, key)
        else:
            self.catalogue.put(kind, key, document)

    def _vhost(self, key: Key) -> Document | None:
        vhost = self.broker.vhosts.get(key[0])
        return None if vhost is None else vhost_document(vhost)

    def _global_parameter(self, key: Key) -> Document | None:
        """Return the value of a global parameter."""
        found = self.broker.global_parameters
        return {"value": found[key[0]]} if key[0] in found else None

    def _user(self, key: Key) -> Document | None:
        user = self.broker.access.users.get(key[0])
        return None if user is None else user.to_json()

    def _permission(self, key: Key) -> Document | None:
        permission = self.broker.access.permission(*key)
        return None if permission is None else {kind: getattr(permission, kind) for kind in KINDS}

    def _topic_permission(self, key: Key) -> Document | None:
        permission = self.broker.access.topic_permission(*key)
        return None if permission is None else {"write": permission.write, "read": permission.read}

    def _vhost_limits(self, key: Key) -> Document | None:
        """Return the limits of a virtual host; an entry without limits is one, too."""
        found = self.broker.access.export_vhost_limits(key[0])
        return found[0]["value"] if found else None

    def _policy(self, key: Key, operator: bool) -> Document | None:
        vhost, name = key
        policy = self.broker.policies.get(vhost, name, operator)
        return None if policy is None else policy.to_json()
