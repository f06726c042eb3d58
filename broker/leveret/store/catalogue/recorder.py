"""Writes the changes of a broker to its catalogue.

The `Recorder` observes the topology: every durable exchange, queue and binding that is created or deleted
(`topology.py`). The registries of users, permissions, limits, policies, virtual hosts and global parameters call
`changed`; the recorder then writes their current state into the catalogue of the directory, or deletes the record. A
data directory has one catalogue for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

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
    VhostReleased,
)
from leveret.engine.observers import Observer, on
from leveret.engine.parameters import CLUSTER_ID
from leveret.engine.vhost import VhostProperties
from leveret.store.catalogue.documents import vhost_document

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.store.catalogue.topology import Topology


class Recorder(Observer):
    """The observer. `catalogue`: that of the directory. `topology`: where virtual hosts are recorded that have no store
    of their own (`keep`), None if all have one. `identified`: the catalogue has the identifier of the cluster."""

    essential = True  # a change that cannot be recorded must not be answered

    def __init__(self, broker: Broker, catalogue: Catalogue, topology: Topology | None) -> None:
        self.broker = broker
        self.catalogue = catalogue
        self.identified = False
        self._topology = topology
        self._own: dict[str, Topology] = {}
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

    def topology_of(self, vhost: str) -> Topology:
        """Return where a virtual host is recorded."""
        found = self._own.get(vhost) or self._topology
        assert found is not None, "`keep` comes before the first change"
        return found

    def keep(self, vhost: str, topology: Topology) -> None:
        """Record a virtual host in a store of its own from now on."""
        self._own[vhost] = topology

    def leave(self, vhost: str) -> None:
        """Forget the store of a virtual host."""
        self._own.pop(vhost, None)

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self.changed(Kind.VHOST, (change.name,))

    @on(VhostExchangesDeleted)
    def _vhost_exchanges_deleted(self, change: VhostExchangesDeleted) -> None:
        topology = self.topology_of(change.name)
        for name in change.exchanges:
            topology.delete_exchange(change.name, name)
            topology.delete_exchange_bindings(change.name, name)

    @on(VhostReleased)
    def _vhost_released(self, change: VhostReleased) -> None:
        self.leave(change.name)

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self.leave(change.name)
        self.catalogue.delete(Kind.VHOST, (change.name,))

    @on(ExchangeCreated)
    def _exchange_created(self, change: ExchangeCreated) -> None:
        self.topology_of(change.vhost).add_exchange(change.vhost, change.exchange)

    @on(ExchangeUnregistered)
    def _exchange_unregistered(self, change: ExchangeUnregistered) -> None:
        """Delete it before its bindings: a binding without one of its ends is not restored."""
        if change.exchange.durable:
            self.topology_of(change.vhost).delete_exchange(change.vhost, change.exchange.name)

    @on(QueueCreated)
    def _queue_created(self, change: QueueCreated) -> None:
        self.topology_of(change.vhost).add_queue(change.vhost, change.queue)

    @on(QueueUnregistered)
    def _queue_unregistered(self, change: QueueUnregistered) -> None:
        """Delete it before its bindings."""
        self.topology_of(change.vhost).delete_queue(change.vhost, change.queue)

    @on(BindingCreated)
    def _binding_created(self, change: BindingCreated) -> None:
        self.topology_of(change.vhost).add_binding(change.vhost, change.source, change.binding)

    @on(BindingDeleted)
    def _binding_deleted(self, change: BindingDeleted) -> None:
        self.topology_of(change.vhost).delete_binding(change.vhost, change.binding)

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
        found = VhostProperties.of(vhost) if vhost is not None else self.broker.elsewhere.get(key[0])
        return None if found is None else vhost_document(found)

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
