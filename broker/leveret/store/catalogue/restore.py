"""Restores a broker from its catalogue, with the functions that declare and set objects at run time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.engine.catalogue import Document, Key, Kind, Record
from leveret.engine.delayed import DelayedRestore
from leveret.engine.parameters import CLUSTER_ID, CLUSTER_NAME
from leveret.engine.policies import PolicyError
from leveret.errors import AmqpError
from leveret.routing.plugins import Delayed
from leveret.store.catalogue.documents import decoded_table, policy_of
from leveret.store.catalogue.recorder import QUEUE_NUMBERS, Recorder

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


class Restore:
    """One start of a broker. `queues`: number -> what gets the messages in the log."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.broker = recorder.broker
        self.catalogue = recorder.catalogue
        self.queues: dict[int, RestoreTarget] = {}
        self._kinds: dict[Kind, Callable[[Key, Document], None]] = {
            Kind.COUNTER: self._counter,
            Kind.VHOST: self._vhost,
            Kind.POLICY: lambda key, document: self._policy(document, False),
            Kind.OPERATOR_POLICY: lambda key, document: self._policy(document, True),
            Kind.EXCHANGE: self._exchange,
            Kind.QUEUE: self._queue,
            Kind.BINDING: self._binding,
            Kind.GLOBAL_PARAMETER: self._global_parameter,
            Kind.USER: lambda key, document: self._user(document),
            Kind.PERMISSION: self._permission,
            Kind.TOPIC_PERMISSION: self._topic_permission,
            Kind.VHOST_LIMITS: lambda key, document: self.broker.access.set_vhost_limits(key[0], document),
        }

    def run(self) -> dict[int, RestoreTarget]:
        """Restore everything; returns `queues`. Raises `RestoreError`."""
        for record in sorted(self.catalogue.load(), key=_order):
            try:
                self._kinds[record.kind](record.key, record.document)
            except AmqpError as error:
                raise RestoreError(f"{record.kind} {record.key[-1]!r}", error.text) from error
        return dict(sorted(self.queues.items()))

    def _counter(self, key: Key, document: Document) -> None:
        if key == QUEUE_NUMBERS:
            self.recorder.next_number = document["next"]

    def _vhost(self, key: Key, document: Document) -> None:
        vhost = self.broker.add_vhost(key[0], document["description"], tuple(document["tags"]))
        vhost.default_queue_type = document["default_queue_type"]
        vhost.tracing = document["tracing"]
        vhost.protected = document.get("protected")  # older files do not have it

    def _policy(self, document: Document, operator: bool) -> None:
        policy = policy_of(document)
        try:
            self.broker.policies.set(policy, operator)
        except PolicyError as error:
            raise RestoreError(f"policy {policy.name!r}", str(error).strip()) from error

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
            self.recorder.attach_delayed(vhost.name, exchange, number)
            self.queues[number] = DelayedRestore(vhost.delayed, exchange)

    def _queue(self, key: Key, document: Document) -> None:
        queue = self.broker.vhosts[key[0]].declare_queue(
            key[1],
            durable=True,
            auto_delete=document["auto_delete"],
            owner=None,
            arguments=decoded_table(document["arguments"]),
            user=document.get("user", ""),  # absent in older catalogues
            default_type=document["type"],
        )
        self.recorder.store.attach_queue(queue, document["number"])
        self.queues[document["number"]] = queue

    def _binding(self, key: Key, document: Document) -> None:
        vhost_name, source, kind, name, routing_key, arguments = key
        vhost = self.broker.vhosts[vhost_name]
        exchange = vhost.exchanges.get(source)
        end = vhost.queues.get(name) if kind == "queue" else vhost.exchanges.get(name)
        if exchange is None or end is None:
            self._drop_binding(key)
            return
        vhost.bind(exchange, end, routing_key, decoded_table(arguments))
        self.recorder.note_binding(key)

    def _drop_binding(self, key: Key) -> None:
        """Delete a binding without one of its ends."""
        vhost, source, kind, name, *_ = key
        error = ValueError(f"a binding from exchange '{source}' to {kind} '{name}', one of which is gone")
        self.broker.faults.report("restore", error, vhost=vhost)
        self.catalogue.delete(Kind.BINDING, key)

    def _global_parameter(self, key: Key, document: Document) -> None:
        """Restore a global parameter. A name of the cluster in the configuration counts instead of the stored one."""
        if key != (CLUSTER_NAME,) or not self.broker.settings.server.cluster_name:
            self.broker.set_global_parameter(key[0], document["value"])
        self.recorder.identified |= key == (CLUSTER_ID,)

    def _user(self, document: Document) -> None:
        self.broker.access.import_user(document)

    def _permission(self, key: Key, document: Document) -> None:
        self.broker.access.import_permission({"user": key[0], "vhost": key[1], **document})

    def _topic_permission(self, key: Key, document: Document) -> None:
        user, vhost, exchange = key
        self.broker.access.set_topic_permissions(user, vhost, exchange, document["write"], document["read"])


def _order(record: Record) -> tuple[int, int, Key]:
    """By kind, queues by number, and by key."""
    number = record.document["number"] if record.kind is Kind.QUEUE else 0
    return _ORDER[record.kind], number, record.key
