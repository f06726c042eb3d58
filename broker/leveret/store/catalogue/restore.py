"""Restores a broker, or one of its virtual hosts, from a catalogue, with the functions that declare and set objects at
run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine.catalogue import Catalogue, Document, Key, Kind, Record
from leveret.engine.delayed import DelayedRestore
from leveret.engine.parameters import CLUSTER_ID, CLUSTER_NAME, CLUSTER_TAGS
from leveret.engine.policies import PolicyError
from leveret.errors import AmqpError
from leveret.progress import Report, unwatched
from leveret.routing.plugins import Delayed
from leveret.store.catalogue.documents import decoded_table, policy_of, vhost_properties
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.topology import QUEUE_NUMBERS, Topology

if TYPE_CHECKING:
    from leveret.engine.delayed import RestoreTarget

#: The order of kinds.
_ORDER = {kind: number for number, kind in enumerate(Kind)}


class RestoreError(Exception):
    """A record that the broker refuses. `what`: the object, if it can be named; `reason`: why."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class DirectoryRestore:
    """Restores what `catalogue` has, which are users and the like: each virtual host has a store of its own, and is
    elsewhere until it is adopted."""

    def __init__(self, recorder: Recorder, catalogue: Catalogue) -> None:
        self.recorder = recorder
        self.broker = recorder.broker
        self.catalogue = catalogue
        self._kinds: dict[Kind, Callable[[Key, Document], None]] = {
            Kind.VHOST: self._vhost,
            Kind.POLICY: lambda key, document: self._policy(document, False),
            Kind.OPERATOR_POLICY: lambda key, document: self._policy(document, True),
            Kind.GLOBAL_PARAMETER: self._global_parameter,
            Kind.USER: lambda key, document: self._user(document),
            Kind.PERMISSION: self._permission,
            Kind.TOPIC_PERMISSION: self._topic_permission,
            Kind.VHOST_LIMITS: lambda key, document: self.broker.access.set_vhost_limits(key[0], document),
        }

    def run(self, report: Report = unwatched) -> None:
        """Restore everything. Raises `RestoreError`."""
        records = sorted(self.catalogue.load(), key=_order)
        for done, record in enumerate(records):
            report("Restoring definitions", done, len(records))
            try:
                self._kinds[record.kind](record.key, record.document)
            except AmqpError as error:
                raise RestoreError(f"{record.kind} {record.key[-1]!r}", error.text) from error
        report("Restoring definitions", len(records), len(records))

    def _vhost(self, key: Key, document: Document) -> None:
        self.broker.elsewhere[key[0]] = vhost_properties(document)

    def _policy(self, document: Document, operator: bool) -> None:
        policy = policy_of(document)
        try:
            self.broker.policies.set(policy, operator)
        except PolicyError as error:
            raise RestoreError(f"policy {policy.name!r}", str(error).strip()) from error

    def _global_parameter(self, key: Key, document: Document) -> None:
        """Restore a global parameter. Name and tags of the cluster in the settings count instead of the stored ones."""
        server = self.broker.settings.server
        configured = {CLUSTER_NAME: server.cluster_name, CLUSTER_TAGS: server.cluster_tags}
        if not configured.get(key[0]):
            self.broker.set_global_parameter(key[0], document["value"])
        self.recorder.identified |= key == (CLUSTER_ID,)

    def _user(self, document: Document) -> None:
        self.broker.access.import_user(document)

    def _permission(self, key: Key, document: Document) -> None:
        self.broker.access.import_permission({"user": key[0], "vhost": key[1], **document})

    def _topic_permission(self, key: Key, document: Document) -> None:
        user, vhost, exchange = key
        if user not in self.broker.access.users:
            return  # deleted while all of these were being cleared
        self.broker.access.set_topic_permissions(user, vhost, exchange, document["write"], document["read"])


class Restore(DirectoryRestore):
    """Restores what `topology` has, with the directory if that is in the same catalogue."""

    def __init__(self, recorder: Recorder, topology: Topology) -> None:
        super().__init__(recorder, topology.catalogue)
        self.topology = topology
        self._found: dict[int, RestoreTarget] = {}
        self._kinds |= {
            Kind.COUNTER: self._counter,
            Kind.EXCHANGE: self._exchange,
            Kind.QUEUE: self._queue,
            Kind.BINDING: self._binding,
        }

    @property
    def queues(self) -> dict[int, RestoreTarget]:
        """What gets the messages in the log, by number."""
        return dict(sorted(self._found.items()))

    def _counter(self, key: Key, document: Document) -> None:
        if key == QUEUE_NUMBERS:
            self.topology.next_number = document["next"]

    def _vhost(self, key: Key, document: Document) -> None:
        self.broker.add_vhost(key[0]).restore(vhost_properties(document))

    def _exchange(self, key: Key, document: Document) -> None:
        vhost = self.broker.vhosts[key[0]]
        exchange = vhost.declare_exchange(
            key[1],
            document["type"],
            durable=True,
            auto_delete=document["auto_delete"],
            internal=document["internal"],
            arguments=decoded_table(document["arguments"]),
            user=document["user"],
        )
        if isinstance(exchange, Delayed):
            number = document["number"]
            self.topology.attach_delayed(vhost.name, exchange, number)
            self._found[number] = DelayedRestore(vhost.delayed, exchange)

    def _queue(self, key: Key, document: Document) -> None:
        queue = self.broker.vhosts[key[0]].declare_queue(
            key[1],
            durable=True,
            auto_delete=document["auto_delete"],
            owner=None,
            arguments=decoded_table(document["arguments"]),
            user=document.get("user", ""),  # absent in older catalogues
            default_type=document["type"],
            restored=True,
        )
        self.topology.store.attach_queue(queue, document["number"])
        self._found[document["number"]] = queue

    def _binding(self, key: Key, document: Document) -> None:
        vhost_name, source, kind, name, routing_key, arguments = key
        vhost = self.broker.vhosts[vhost_name]
        exchange = vhost.exchanges.get(source)
        end = vhost.queues.get(name) if kind == "queue" else vhost.exchanges.get(name)
        if exchange is None or end is None:
            self._drop_binding(key)
            return
        vhost.bind(exchange, end, routing_key, decoded_table(arguments))
        self.topology.note_binding(key)

    def _drop_binding(self, key: Key) -> None:
        """Delete a binding without one of its ends."""
        vhost, source, kind, name, *_ = key
        error = ValueError(f"a binding from exchange '{source}' to {kind} '{name}', one of which is gone")
        self.broker.faults.report("restore", error, vhost=vhost)
        self.catalogue.delete(Kind.BINDING, key)


def _order(record: Record) -> tuple[int, int, Key]:
    """By kind, queues by number, and by key."""
    number = record.document["number"] if record.kind is Kind.QUEUE else 0
    return _ORDER[record.kind], number, record.key
