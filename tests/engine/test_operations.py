"""Operations: what each caller may do, in which order it is checked, and which changes are notified.

The state of a row is built by the broker itself: exchange `x`, topic exchange `t`, queue `q`, queue `own`, which is
exclusive to the connection of the AMQP caller, and queue `locked`, which is exclusive to another one. User `u` has
permissions for names that do not begin with `no` or `amq.no`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest

from leveret.engine import operations, startup
from leveret.engine.actor import Actor
from leveret.engine.broker import Broker
from leveret.engine.catalogue import Key
from leveret.engine.changes import Change
from leveret.engine.clients import ClientConnection
from leveret.engine.observers import Observer
from leveret.engine.operations import INTERNAL_CALLER, Caller
from leveret.engine.policies import Policy
from leveret.engine.vhost import VirtualHost
from leveret.errors import AmqpError
from leveret.wire.tables import Field, Table


class ExclusiveOwner:
    """A connection, as far as exclusive queues go."""

    def __init__(self) -> None:
        self.exclusive_queues: dict[str, Any] | None = None
        self.closed = ""
        self.user = self
        self.name = "u"
        self.actor = Actor("u", "c")

    def shut(self, error: AmqpError) -> None:
        self.closed = error.explanation


class RecordingObserver(Observer):
    def __init__(self) -> None:
        self.received: list[Change] = []

    def notify(self, change: Change) -> None:
        self.received.append(change)


class OperationHarness:
    """A broker with the state of the module head, an AMQP caller, an HTTP caller and the broker itself."""

    def __init__(self) -> None:
        self.broker = Broker()
        startup.seed(self.broker)
        self.vhost = self.broker.vhosts["/"]
        self.connection = ExclusiveOwner()
        self.callers = {
            "amqp": Caller(Actor("u", "c"), cast(ClientConnection, self.connection)),
            "http": Caller(Actor("u", "HTTP API")),
            "internal": INTERNAL_CALLER,
        }
        pattern = r"^(?!(amq\.)?no)"
        operations.put_user(self.broker, INTERNAL_CALLER, "u", {"tags": ""})
        operations.set_permissions(self.broker, INTERNAL_CALLER, "u", "/", pattern, pattern, pattern)
        exchange(self.vhost, INTERNAL_CALLER, "x")
        exchange(self.vhost, INTERNAL_CALLER, "t", "topic")
        operations.set_topic_permissions(self.broker, INTERNAL_CALLER, "u", "/", "t", ".*", "^k")
        queue(self.vhost, INTERNAL_CALLER, "q")
        queue(self.vhost, self.callers["amqp"], "own", exclusive=True)
        other = Caller(Actor("u", "d"), cast(ClientConnection, ExclusiveOwner()))
        queue(self.vhost, other, "locked", exclusive=True)
        self.observer = RecordingObserver()
        self.broker.observers.add(self.observer)

    def result(self, operation: Callable[[VirtualHost, Caller], object], who: str) -> str:
        """The error, or the names of the changes."""
        caller = self.callers[who]
        try:
            operation(self.vhost, caller)
        except AmqpError as error:
            return f"{error.code} {error.explanation}"
        assert {change.actor for change in self.observer.received} <= {caller.actor}
        return " ".join(type(change).__name__ for change in self.observer.received)


@pytest.fixture
def harness() -> OperationHarness:
    return OperationHarness()


def exchange(vhost: VirtualHost, caller: Caller, name: str, kind: str = "direct", **arguments: str) -> object:
    return operations.declare_exchange(
        vhost, caller, name, kind, durable=True, auto_delete=False, internal=False, arguments=table(arguments)
    )


def queue(vhost: VirtualHost, caller: Caller, name: str, exclusive: bool = False, **arguments: str) -> object:
    return operations.declare_queue(
        vhost,
        caller,
        name,
        durable=True,
        auto_delete=False,
        exclusive=exclusive,
        arguments=table(arguments),
    )


def table(arguments: dict[str, str]) -> Table:
    return {name.replace("_", "-"): Field("S", value.encode()) for name, value in arguments.items()}


def refused(permission: str, what: str) -> str:
    return f"403 {permission} access to {what} in vhost '/' refused for user 'u'"


DEFAULT = "403 operation not permitted on the default exchange"
LOCKED = (
    "405 cannot obtain exclusive access to locked queue '{}' in vhost '/'. It could be originally declared on another "
    "connection or the exclusive property value does not match that of the original declaration."
)
DELETION = "ExchangeDeletionStarted ExchangeUnregistered ExchangeDeleted ExchangeDeletionEnded"
QUEUE_DELETION = "QueueUnregistered QueueDeleted"

#: Operation -> what an AMQP caller, an HTTP caller and the broker itself get. One text: the same for all three; two:
#: the second is for the broker.
ROWS: dict[str, tuple[Callable[[VirtualHost, Caller], object], tuple[str, ...]]] = {
    "declare exchange": (lambda v, c: exchange(v, c, "new"), ("ExchangeCreated",)),
    "again": (lambda v, c: exchange(v, c, "x"), ("",)),
    "default exchange": (lambda v, c: exchange(v, c, ""), (DEFAULT,)),
    "unknown type before permissions": (
        lambda v, c: exchange(v, c, "no", "bad"),
        ("406 unknown exchange type 'bad'",),
    ),
    "permission before reserved name": (
        lambda v, c: exchange(v, c, "amq.no"),
        (refused("configure", "exchange 'amq.no'"), "ExchangeCreated"),
    ),
    "reserved exchange": (
        lambda v, c: exchange(v, c, "amq.x"),
        ("403 exchange name 'amq.x' contains reserved prefix 'amq.*'", "ExchangeCreated"),
    ),
    "predeclared exchange": (lambda v, c: exchange(v, c, "amq.direct"), ("",)),
    "alternate exchange": (
        lambda v, c: exchange(v, c, "new", alternate_exchange="no"),
        (refused("write", "exchange 'no'"), "ExchangeCreated"),
    ),
    "line ends": (lambda v, c: exchange(v, c, "x\r\n"), ("", "ExchangeCreated")),
    "delete exchange": (lambda v, c: operations.delete_exchange(v, c, "x"), (DELETION,)),
    "delete a missing exchange": (
        lambda v, c: operations.delete_exchange(v, c, "y"),
        ("ExchangeDeletionStarted ExchangeDeletionEnded",),
    ),
    "reserved name before permission": (
        lambda v, c: operations.delete_exchange(v, c, "amq.no"),
        (
            "403 deletion of system exchange 'amq.no' in vhost '/' not allowed",
            "ExchangeDeletionStarted ExchangeDeletionEnded",
        ),
    ),
    "declare queue": (lambda v, c: queue(v, c, "new"), ("QueueCreated",)),
    "server-named queue": (lambda v, c: queue(v, c, ""), ("QueueCreated",)),
    "reserved queue before permission": (
        lambda v, c: queue(v, c, "amq.no"),
        ("403 queue name 'amq.no' contains reserved prefix 'amq.*'", "QueueCreated"),
    ),
    "dead letter exchange": (
        lambda v, c: queue(v, c, "new", x_dead_letter_exchange="no"),
        (refused("write", "exchange 'no'"), "QueueCreated"),
    ),
    "exclusive queue of another connection": (
        lambda v, c: queue(v, c, "locked", exclusive=True),
        (LOCKED.format("locked"),),
    ),
    "not exclusive any more": (lambda v, c: queue(v, c, "own"), (LOCKED.format("own"),)),
    "exclusive now": (
        lambda v, c: queue(v, c, "q", exclusive=True),
        (LOCKED.format("q"), "", ""),
    ),
    "own queue again": (
        lambda v, c: queue(v, c, "own", exclusive=True),
        ("", LOCKED.format("own"), LOCKED.format("own")),
    ),
    "missing queue passively": (
        lambda v, c: operations.declare_queue_passively(v, c, "new"),
        ("404 no queue 'new' in vhost '/'",),
    ),
    "locked queue passively": (
        lambda v, c: operations.declare_queue_passively(v, c, "locked"),
        (LOCKED.format("locked"), ""),
    ),
    "purge": (lambda v, c: operations.purge_queue(v, c, "q"), ("",)),
    "purge a missing queue": (
        lambda v, c: operations.purge_queue(v, c, "no"),
        (refused("read", "queue 'no'"), "404 no queue 'no' in vhost '/'"),
    ),
    "purge a locked queue": (
        lambda v, c: operations.purge_queue(v, c, "locked"),
        (LOCKED.format("locked"), ""),
    ),
    "delete queue": (lambda v, c: operations.delete_queue(v, c, "q"), (QUEUE_DELETION,)),
    "delete a missing queue": (lambda v, c: operations.delete_queue(v, c, "new"), ("",)),
    "delete an own queue": (
        lambda v, c: operations.delete_queue(v, c, "own"),
        (QUEUE_DELETION, LOCKED.format("own"), QUEUE_DELETION),
    ),
    "bind": (lambda v, c: operations.bind_queue(v, c, "x", "q", "k", {}), ("BindingCreated",)),
    "bind to the default exchange": (
        lambda v, c: operations.bind_queue(v, c, "", "q", "k", {}),
        (DEFAULT, "BindingCreated"),
    ),
    "write on the queue before read on the exchange": (
        lambda v, c: operations.bind_queue(v, c, "no", "no", "k", {}),
        (refused("write", "queue 'no'"), "404 no exchange 'no' in vhost '/'"),
    ),
    "topic permission": (
        lambda v, c: operations.bind_queue(v, c, "t", "q", "a", {}),
        ("403 read access to topic 'a' in exchange 't' in vhost '/' refused for user 'u'", "BindingCreated"),
    ),
    "exchange before queue": (
        lambda v, c: operations.bind_queue(v, c, "y", "new", "k", {}),
        ("404 no exchange 'y' in vhost '/'",),
    ),
    "bind a locked queue": (
        lambda v, c: operations.bind_queue(v, c, "x", "locked", "k", {}),
        (LOCKED.format("locked"), "BindingCreated"),
    ),
    "unbind what is missing": (lambda v, c: operations.unbind_queue(v, c, "x", "new", "", {}), ("",)),
    "bind exchanges": (
        lambda v, c: operations.bind_exchange(v, c, "x", "t", "k", {}),
        ("BindingCreated",),
    ),
    "bind a missing exchange": (
        lambda v, c: operations.bind_exchange(v, c, "x", "y", "k", {}),
        ("404 no exchange 'y' in vhost '/'",),
    ),
    "unbind exchanges": (lambda v, c: operations.unbind_exchange(v, c, "x", "t", "k", {}), ("",)),
    "set policy": (
        lambda v, c: operations.set_policy(v, c, Policy("/", "p", "^q", {"max-length": 1})),
        ("PolicySet",),
    ),
    "clear a missing policy": (lambda v, c: operations.clear_policy(v, c, "p"), ("",)),
}


@pytest.mark.parametrize("who", ["amqp", "http", "internal"])
@pytest.mark.parametrize("name", ROWS)
def test_an_operation_is_refused_or_changes_something(harness: OperationHarness, name: str, who: str) -> None:
    operation, wanted = ROWS[name]
    index = {"amqp": 0, "http": 1, "internal": 2}[who] if len(wanted) == 3 else int(who == "internal")
    assert harness.result(operation, who) == wanted[min(index, len(wanted) - 1)]


def test_users_are_created_changed_and_deleted(harness: OperationHarness) -> None:
    broker, caller = harness.broker, harness.callers["http"]
    assert operations.put_user(
        broker, caller, "n", {"password": "p", "tags": "a", "limits": {"max-channels": 3}}
    )
    assert not operations.put_user(broker, caller, "n", {"password": "r", "tags": ""})
    assert broker.access.users["n"].limits == {"max-channels": 3}
    operations.set_user_limits(broker, caller, "n", {"max-channels": 4})
    operations.clear_user_limit(broker, caller, "n", "max-channels")
    assert operations.set_permissions(broker, caller, "n", "/", "", "", "")
    assert operations.clear_permissions(broker, caller, "n", "/")
    assert not operations.clear_permissions(broker, caller, "n", "/")
    assert operations.set_topic_permissions(broker, caller, "n", "/", "t", "", "")
    assert operations.clear_topic_permissions(broker, caller, "n", "/")
    assert not operations.clear_topic_permissions(broker, caller, "n", "/")
    operations.delete_user(broker, caller, "n")
    assert [type(change).__name__ for change in harness.observer.received] == [
        *("UserCreated", "UserTagsSet", "UserReplaced", "UserPasswordChanged", "UserTagsSet"),
        *("UserLimitsSet", "UserLimitsCleared", "PermissionsSet", "PermissionsCleared"),
        *("TopicPermissionsSet", "TopicPermissionsCleared", "UserDeleted"),
    ]
    assert {change.actor for change in harness.observer.received} == {Actor("u", "HTTP API")}


def test_connections_of_a_deleted_user_are_closed(harness: OperationHarness) -> None:
    harness.broker.connections.add(cast(ClientConnection, harness.connection))
    operations.delete_user(harness.broker, harness.callers["http"], "u")
    assert harness.connection.closed == "user 'u' is deleted"


def test_topic_permissions_are_deleted_with_their_exchange(harness: OperationHarness) -> None:
    broker, caller = harness.broker, harness.callers["http"]
    with pytest.raises(operations.NoSuchExchangeError):
        operations.set_topic_permissions(broker, caller, "u", "/", "nosuch", "", "")
    assert broker.access.has_topic_permissions("u", "/")
    operations.delete_exchange(harness.vhost, INTERNAL_CALLER, "t")
    assert not broker.access.has_topic_permissions("u", "/")


def test_protected_virtual_hosts_are_not_deleted(harness: OperationHarness) -> None:
    broker, caller = harness.broker, harness.callers["http"]
    operations.put_vhost(broker, caller, "v")
    operations.protect_vhost(broker.vhosts["v"], caller, True)
    with pytest.raises(operations.ProtectedVhostError, match="Refusing to delete virtual host 'v'"):
        operations.delete_vhost(broker, caller, "v")
    operations.protect_vhost(broker.vhosts["v"], caller, False)
    assert operations.delete_vhost(broker, caller, "v")


def test_virtual_hosts_are_created_changed_and_deleted(harness: OperationHarness) -> None:
    broker, caller = harness.broker, harness.callers["http"]
    assert operations.put_vhost(broker, caller, "v", default_queue_type="quorum", tracing=True)
    assert not operations.put_vhost(broker, caller, "v", description="d", tracing=True)
    vhost = broker.vhosts["v"]
    assert (vhost.description, vhost.default_queue_type, vhost.tracing) == ("d", "quorum", True)
    assert not operations.put_vhost(broker, caller, "v", default_queue_type=operations.UNDEFINED)
    assert vhost.default_queue_type is None
    operations.set_permissions(broker, caller, "u", "v", "", "", "")
    operations.set_vhost_limits(broker, caller, "v", {"max-queues": 1})
    operations.clear_vhost_limit(broker, caller, "v", "max-queues")
    operations.set_vhost_limits(broker, caller, "v", {"max-queues": 1})
    assert operations.delete_vhost(broker, caller, "v")
    assert not operations.delete_vhost(broker, caller, "v")
    operations.set_cluster_name(broker, caller, "c")
    assert [
        type(change).__name__
        for change in harness.observer.received
        if not type(change).__name__.startswith("Exchange")
    ] == [
        *("VhostCreated", "VhostTracingSet", "VhostUpdated", "VhostUpdated", "PermissionsSet"),
        *("VhostLimitsSet", "VhostLimitsSet", "VhostLimitsSet"),
        *("VhostDeletionStarted", "VhostLimitsCleared", "PermissionsCleared"),
        *("VhostExchangesDeleted", "VhostDeleted"),
        "GlobalParameterSet",
    ]


#: How many topic permissions a user has who has many.
MANY = 1000


@pytest.mark.parametrize(
    "operation",
    [
        lambda broker: operations.clear_topic_permissions(broker, INTERNAL_CALLER, "u", "v"),
        lambda broker: operations.begin_to_delete_user(broker, INTERNAL_CALLER, "u"),
        lambda broker: operations.delete_vhost(broker, INTERNAL_CALLER, "v"),
    ],
)
def test_many_topic_permissions_of_a_user_are_deleted_in_portions(
    operation: Callable[[Broker], object],
) -> None:
    broker, recorded = Broker(), list[Key]()
    broker.add_vhost("v")
    broker.access.users.add("u", "p")
    broker.access.set_permissions("u", "v", "", "", "")
    for number in range(MANY):
        broker.access.set_topic_permissions("u", "v", f"x{number}", "", "")
    broker.access.changed = lambda kind, key: recorded.append(key)
    broker.work.timer = count().__next__
    operation(broker)
    while broker.work.runnable():
        before = len(recorded)
        broker.work.run()
        assert len(recorded) - before <= 50
    assert not broker.access.has_topic_permissions("u", "v")
    assert {key for key in recorded if len(key) == 3} == {("u", "v", f"x{number}") for number in range(MANY)}
    assert recorded[-1] in (("u",), ("u", "v", f"x{MANY - 1}"))


def test_permissions_that_are_set_while_older_ones_are_being_cleared_stay() -> None:
    broker = Broker()
    broker.add_vhost("v")
    broker.access.users.add("u", "p")
    for number in range(MANY):
        broker.access.set_topic_permissions("u", "v", f"x{number}", "", "")
    broker.work.timer = count().__next__
    operations.clear_topic_permissions(broker, INTERNAL_CALLER, "u", "v")
    broker.access.set_topic_permissions("u", "v", "x999", "new", "")
    assert broker.work.runnable()
    broker.work.finish()
    assert [one.exchange for one in broker.access.each_topic_permission()] == ["x999"]


def test_one_topic_permission_of_many_is_cleared() -> None:
    broker = Broker()
    broker.access.users.add("u", "p")
    for exchange in ("x", "y"):
        broker.access.set_topic_permissions("u", "/", exchange, "", "")
    for exchange, left in (("z", 2), ("x", 1), ("x", 1), ("y", 0)):
        broker.access.clear_topic_permissions("u", "/", exchange)
        assert len(list(broker.access.each_topic_permission())) == left
    broker.access.clear_topic_permissions("u", "/", "y")
    assert not broker.access.has_topic_permissions("u", "/")


def test_what_is_set_for_a_virtual_host_is_forgotten_in_steps() -> None:
    broker, steps = Broker(), 0
    broker.add_vhost("v")
    for number in range(100):
        broker.access.users.add(f"u{number}", "p")
        broker.access.set_permissions(f"u{number}", "v", "", "", "")
        broker.policies.set(Policy("v", f"p{number}", "", {"max-length": 1}))
    readings = iter(range(100_000))
    broker.work.timer = lambda: next(readings)
    operations.delete_vhost(broker, INTERNAL_CALLER, "v")
    while broker.work.runnable():
        broker.work.run()
        steps += 1
    assert steps > 100 + 100
    assert "v" not in broker.vhosts
    assert not broker.access.export_permissions(vhost="v")
    assert not broker.policies.list("v")
