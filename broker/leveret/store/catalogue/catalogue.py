"""What is durable, from the broker to the metadata and back.

The `Catalogue` listens: every durable exchange, queue and binding that comes or goes is noted at once. Users,
permissions, limits and policies are few and have a revision: when it has moved, they are written as a whole,
as the documents that definitions consist of. `restore` declares everything again, through the same calls a
client's declarations take.
"""

from __future__ import annotations

import json
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
from leveret.engine.policies import Policy, PolicyError
from leveret.engine.vhost import PREDECLARED
from leveret.errors import AmqpError
from leveret.routing.plugins import Delayed
from leveret.store import errors
from leveret.store.catalogue.metadata import Metadata, name_of, text
from leveret.store.errors import StoreError
from leveret.wire.tables import Table, decode_table, encode_table

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.store.messages.log import DiskQueueJournal

_DELETE_BINDING = (
    "DELETE FROM binding WHERE vhost = ? AND source = ? AND kind = ? AND destination = ? "
    "AND routing_key = ? AND arguments = ?"
)

_PREDECLARED = frozenset(name for name, _, _ in PREDECLARED)


class Catalogue(Observer):
    """Notes what is durable. `queue_journal`: gives a queue's number its ledger; `attach`: gives a new stream its
    files."""

    essential = True  # what is not noted will not be safe

    def __init__(
        self,
        broker: Broker,
        metadata: Metadata,
        queue_journal: Callable[[int], DiskQueueJournal],
        attach: Callable[[Any, int], Any],
    ) -> None:
        self.broker = broker
        self.metadata = metadata
        self.queue_journal = queue_journal
        self.attach = attach
        self.next_number: int = metadata.setting("next_queue", 1)
        self._numbers: dict[tuple[str, str], int] = {}
        self._delayed: dict[tuple[str, str], Delayed] = {}
        self._vhosts: dict[str, tuple[Any, ...]] = {}
        self._documents: dict[str, str] = {}
        self._revision: tuple[int, int, str] = (-1, -1, "")

    # --- topology

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        self._vhosts[change.name] = ()

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        self._vhosts.pop(change.name, None)
        self.metadata.note("DELETE FROM vhost WHERE name = ?", text(change.name))
        for key in [key for key in self._delayed if key[0] == change.name]:
            self._delayed.pop(key).queue_journal.purge()
        for table in ("exchange", "queue", "binding", "delayed"):
            self.metadata.note(f"DELETE FROM {table} WHERE vhost = ?", text(change.name))

    @on(ExchangeCreated)
    def _exchange_created(self, change: ExchangeCreated) -> None:
        exchange = change.exchange
        if exchange.durable and exchange.name not in _PREDECLARED:
            self.metadata.note(
                "INSERT OR REPLACE INTO exchange VALUES (?, ?, ?, ?, ?, ?, ?)",
                text(change.vhost),
                text(exchange.name),
                exchange.type,
                exchange.auto_delete,
                exchange.internal,
                encode_table(exchange.arguments),
                text(exchange.user),
            )
            if isinstance(exchange, Delayed):
                number = self._number()
                self.metadata.note(
                    "INSERT OR REPLACE INTO delayed VALUES (?, ?, ?)",
                    number,
                    text(change.vhost),
                    text(exchange.name),
                )
                self._attach_delayed(change.vhost, exchange, number)

    def _attach_delayed(self, vhost: str, exchange: Delayed, number: int) -> None:
        self._delayed[vhost, exchange.name] = exchange
        exchange.queue_journal = self.queue_journal(number)

    def _number(self) -> int:
        number = self.next_number
        self.next_number += 1
        self.metadata.set("next_queue", self.next_number)
        return number

    @on(ExchangeDeleted)
    def _exchange_deleted(self, change: ExchangeDeleted) -> None:
        exchange = change.exchange
        if exchange.durable:
            self.metadata.note(
                "DELETE FROM exchange WHERE vhost = ? AND name = ?", text(change.vhost), text(exchange.name)
            )
        delayed = self._delayed.pop((change.vhost, exchange.name), None)
        if delayed is not None:
            delayed.queue_journal.purge()
            self.metadata.note(
                "DELETE FROM delayed WHERE vhost = ? AND exchange = ?",
                text(change.vhost),
                text(exchange.name),
            )

    @on(QueueCreated)
    def _queue_created(self, change: QueueCreated) -> None:
        queue = change.queue
        if not queue.durable:
            return
        number = self._number()
        self.metadata.note(
            "INSERT OR REPLACE INTO queue VALUES (?, ?, ?, ?, ?, ?)",
            number,
            text(change.vhost),
            text(queue.name),
            queue.auto_delete,
            encode_table(queue.arguments),
            queue.kind,
        )
        self._attach(queue, number)
        if queue.kind == "stream":
            self.attach(queue, number)

    def _attach(self, queue: Queue, number: int) -> None:
        self._numbers[queue.vhost, queue.name] = number
        if queue.kind != "stream":
            queue.queue_journal = self.queue_journal(number)

    @on(QueueDeleted)
    def _queue_deleted(self, change: QueueDeleted) -> None:
        queue = change.queue
        number = self._numbers.pop((queue.vhost, queue.name), None)
        if number is not None:
            self.metadata.note("DELETE FROM queue WHERE number = ?", number)

    @on(BindingCreated)
    def _binding_created(self, change: BindingCreated) -> None:
        binding = change.binding
        if change.source.durable and binding.destination.durable:
            self.metadata.note(
                "INSERT OR REPLACE INTO binding VALUES (?, ?, ?, ?, ?, ?)", *_key(change.vhost, binding)
            )

    @on(BindingDeleted)
    def _binding_deleted(self, change: BindingDeleted) -> None:
        binding = change.binding
        if binding.destination.durable:
            self.metadata.note(_DELETE_BINDING, *_key(change.vhost, binding))

    # --- what has a revision

    def note_changes(self) -> None:
        """Note what has changed without saying so."""
        revision = self._now()
        if revision != self._revision:
            self._revision = revision
            for kind, document in self._exported().items():
                if self._documents.get(kind) != document:
                    self._documents[kind] = document
                    self.metadata.note("INSERT OR REPLACE INTO document VALUES (?, ?)", kind, document)
        for name, known in self._vhosts.items():
            vhost = self.broker.vhosts.get(name)
            if vhost is None:  # its deletion was cut short: `_vhost_deleted` is still to come, or never will
                continue
            now = (vhost.description, vhost.tags, vhost.default_queue_type, vhost.tracing)
            if now != known:
                self._vhosts[name] = now
                self.metadata.note("INSERT OR REPLACE INTO vhost VALUES (?, ?)", text(name), json.dumps(now))

    def _now(self) -> tuple[int, int, str]:
        return self.broker.access.revision, self.broker.policies.revision, self.broker.cluster_name

    def _exported(self) -> dict[str, str]:
        access, policies = self.broker.access, self.broker.policies
        return {
            kind: json.dumps(value)
            for kind, value in {
                "users": [user.to_json() for user in access.users],
                "permissions": access.export_permissions(),
                "topic_permissions": access.export_topic_permissions(),
                "vhost_limits": access.export_vhost_limits(),
                "policies": [policy.to_json() for policy in policies.list()],
                "operator_policies": [policy.to_json() for policy in policies.list(operator=True)],
                "global_parameters": self._global_parameters(),
            }.items()
        }

    def _global_parameters(self) -> list[dict[str, str]]:
        """The cluster's name, where it was given one while it ran."""
        name, server = self.broker.cluster_name, self.broker.settings.server
        return (
            []
            if name in (server.cluster_name, server.node_name)
            else [{"name": "cluster_name", "value": name}]
        )

    # --- back

    def restore(self) -> dict[int, Queue]:
        """Everything durable as it was; the queues, and what delayed messages pass through, still empty, by number.
        Raises `StoreError`."""
        broker = self.broker
        for name, document in self.metadata.rows("SELECT name, document FROM vhost"):
            self._restore_vhost(name_of(name), document)
        documents: dict[str, str] = dict(self.metadata.rows("SELECT kind, document FROM document"))
        saved = {kind: json.loads(document) for kind, document in documents.items()}
        for operator, kind in ((False, "policies"), (True, "operator_policies")):
            for fields in saved.get(kind, []):
                try:
                    broker.policies.set(_policy(fields), operator)
                except PolicyError as error:
                    raise errors.refused(
                        self.metadata.path, f"policy {fields['name']!r}", str(error).strip()
                    ) from error
        try:
            self._restore_exchanges()
            queues = {**self._restore_queues(), **self._restore_delayed()}
            self._restore_bindings()
        except AmqpError as error:
            raise StoreError(f"{self.metadata.path}: cannot be restored: {error.text}") from error
        self._restore_access(saved)
        self._documents = documents
        self._revision = self._now()
        return queues

    def _restore_vhost(self, name: str, document: str) -> None:
        description, tags, default_queue_type, tracing = json.loads(document)
        vhost = self.broker.add_vhost(name, description, tuple(tags))
        vhost.default_queue_type = default_queue_type
        vhost.tracing = tracing
        self._vhosts[name] = (description, vhost.tags, default_queue_type, tracing)

    def _restore_exchanges(self) -> None:
        for vhost, name, kind, auto_delete, internal, arguments, user in self.metadata.rows(
            "SELECT * FROM exchange"
        ):
            self.broker.vhosts[name_of(vhost)].declare_exchange(
                name_of(name),
                kind,
                durable=True,
                auto_delete=bool(auto_delete),
                internal=bool(internal),
                arguments=_table(arguments),
                user=name_of(user),
            )

    def _restore_queues(self) -> dict[int, Queue]:
        queues = {}
        for number, vhost_name, name, auto_delete, arguments, kind in self.metadata.rows(
            "SELECT * FROM queue ORDER BY number"
        ):
            vhost = self.broker.vhosts[name_of(vhost_name)]
            default, vhost.default_queue_type = (
                vhost.default_queue_type,
                kind,
            )  # whatever is the default by now
            queue = vhost.declare_queue(
                name_of(name),
                durable=True,
                auto_delete=bool(auto_delete),
                owner=None,
                arguments=_table(arguments),
                user="",
            )
            vhost.default_queue_type = default
            self._attach(queue, number)
            queues[number] = queue
        return queues

    def _restore_delayed(self) -> dict[int, Queue]:
        rooms: dict[int, Queue] = {}
        for number, vhost_name, name in self.metadata.rows("SELECT * FROM delayed"):
            vhost = self.broker.vhosts[name_of(vhost_name)]
            exchange = vhost.exchanges.get(name_of(name))
            if not isinstance(exchange, Delayed):
                error = ValueError(f"delayed messages of exchange '{name_of(name)}', which is gone")
                self.broker.faults.report("restore", error, vhost=vhost.name)
                self.metadata.note("DELETE FROM delayed WHERE number = ?", number)
                continue
            self._attach_delayed(vhost.name, exchange, number)
            rooms[number] = DelayedRestore(vhost, exchange)
        return rooms

    def _restore_bindings(self) -> None:
        for vhost_name, source, kind, name, key, arguments in self.metadata.rows("SELECT * FROM binding"):
            vhost = self.broker.vhosts[name_of(vhost_name)]
            ends: dict[str, Any] = vhost.queues if kind == "queue" else vhost.exchanges
            exchange, end = vhost.exchanges.get(name_of(source)), ends.get(name_of(name))
            if exchange is None or end is None:
                self._drop_binding(vhost, source, kind, name, key, arguments)
            else:
                vhost.bind(exchange, end, key.decode("utf-8", "surrogateescape"), _table(arguments))

    def _drop_binding(self, vhost: VirtualHost, *found: Any) -> None:
        """A binding that has lost one of its ends binds nothing."""
        source, kind, name, *_ = found
        error = ValueError(
            f"a binding from exchange '{name_of(source)}' to {kind} '{name_of(name)}', one of which is gone"
        )
        self.broker.faults.report("restore", error, vhost=vhost.name)
        self.metadata.note(_DELETE_BINDING, text(vhost.name), *found)

    def _restore_access(self, saved: dict[str, Any]) -> None:
        access = self.broker.access
        for fields in saved.get("global_parameters", []):
            if fields["name"] == "cluster_name" and not self.broker.settings.server.cluster_name:
                self.broker.cluster_name = fields["value"]
        for fields in saved.get("users", []):
            access.import_user(fields)
        for fields in saved.get("permissions", []):
            access.import_permission(fields)
        for fields in saved.get("topic_permissions", []):
            access.import_topic_permission(fields)
        for fields in saved.get("vhost_limits", []):
            access.set_vhost_limits(fields["vhost"], fields["value"])


def _key(vhost: str, binding: Binding) -> tuple[Any, ...]:
    return (
        text(vhost),
        text(binding.source),
        binding.destination_type,
        text(binding.destination.name),
        binding.routing_key,
        encode_table(binding.arguments),
    )


def _table(data: bytes) -> Table:
    return decode_table(data)[0]


def _policy(fields: dict[str, Any]) -> Policy:
    return Policy(
        fields["vhost"],
        fields["name"],
        fields["pattern"],
        fields["definition"],
        fields["priority"],
        fields["apply-to"],
    )
