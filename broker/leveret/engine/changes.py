"""The changes that observers are notified of, one record for each kind.

Code that makes a change passes such a record to the observers (`observers.py`). Each has the `actor`, because
RabbitMQ's event exchange and its records of users name the acting user. Virtual hosts are given by name; queues,
exchanges, bindings and sessions are given themselves.

The hot path makes no such records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leveret.engine.actor import Actor
    from leveret.engine.clients import ClientChannel, ClientConnection, ClientConsumer
    from leveret.engine.findings import Finding
    from leveret.engine.policies import Policy
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `actor`: who made it."""

    actor: Actor


# --- connections and channels


@dataclass(frozen=True, slots=True)
class ConnectionChange(Change):
    """A change of a connection."""

    connection: ClientConnection


@dataclass(frozen=True, slots=True)
class LoginSucceeded(ConnectionChange):
    """The client's credentials were accepted."""


@dataclass(frozen=True, slots=True)
class LoginFailed(ConnectionChange):
    """The client's credentials were refused. `reason`: as RabbitMQ logs it."""

    reason: str


@dataclass(frozen=True, slots=True)
class TuningRefused(ConnectionChange):
    """connection.tune-ok was refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionOpened(ConnectionChange):
    """connection.open succeeded."""


@dataclass(frozen=True, slots=True)
class ConnectionRefused(ConnectionChange):
    """The server sent connection.close."""

    error: Exception


@dataclass(frozen=True, slots=True)
class ConnectionClosed(ConnectionChange):
    """The socket was closed, before or after connection.open."""


@dataclass(frozen=True, slots=True)
class ConnectionBlocked(ConnectionChange):
    """A publisher is not read because of a resource alarm."""


@dataclass(frozen=True, slots=True)
class ConnectionUnblocked(ConnectionChange):
    """A blocked publisher is read again."""


@dataclass(frozen=True, slots=True)
class HeartbeatMissed(ConnectionChange):
    """Nothing was received for two heartbeat intervals."""


@dataclass(frozen=True, slots=True)
class ConnectionCrowdedOut(ConnectionChange):
    """It was closed before it had logged in, because descriptors are short."""


@dataclass(frozen=True, slots=True)
class RepliesDropped(ConnectionChange):
    """Direct replies to this connection are dropped from now on while it does not read."""


@dataclass(frozen=True, slots=True)
class ChannelOpened(Change):
    """channel.open succeeded."""

    channel: ClientChannel


@dataclass(frozen=True, slots=True)
class ChannelRefused(Change):
    """The server sent channel.close."""

    channel: ClientChannel
    error: Exception


@dataclass(frozen=True, slots=True)
class ChannelClosed(Change):
    """A channel ended: closed by either side, or with its connection. `consumers`: how many it had then."""

    channel: ClientChannel
    consumers: int


@dataclass(frozen=True, slots=True)
class ConsumerChange(Change):
    """A change of a consumer."""

    consumer: ClientConsumer


@dataclass(frozen=True, slots=True)
class ConsumerCreated(ConsumerChange):
    """basic.consume succeeded."""


@dataclass(frozen=True, slots=True)
class ConsumerDeleted(ConsumerChange):
    """A consumer was removed from its queue: by basic.cancel, or because the queue was deleted."""


@dataclass(frozen=True, slots=True)
class ConsumerCancelled(ConsumerChange):
    """A channel has removed a consumer whose queue was deleted."""


# --- topology


@dataclass(frozen=True, slots=True)
class ExchangeChange(Change):
    """A change of an exchange."""

    vhost: str
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class ExchangeCreated(ExchangeChange):
    """An exchange was declared."""


@dataclass(frozen=True, slots=True)
class ExchangeUnregistered(ExchangeChange):
    """The exchange is being deleted: nobody finds it any more. Its bindings go next, then it is deleted."""


@dataclass(frozen=True, slots=True)
class ExchangeDeleted(ExchangeChange):
    """An exchange was deleted; its bindings were deleted before."""


@dataclass(frozen=True, slots=True)
class QueueChange(Change):
    """A change of a queue."""

    vhost: str
    queue: Queue


@dataclass(frozen=True, slots=True)
class QueueCreated(QueueChange):
    """A queue was declared."""


@dataclass(frozen=True, slots=True)
class QueueUnregistered(QueueChange):
    """The queue is being deleted: nobody finds it any more. Its bindings go next, then it is deleted."""


@dataclass(frozen=True, slots=True)
class QueueDeleted(QueueChange):
    """A queue was deleted; its consumers and bindings were deleted before."""


@dataclass(frozen=True, slots=True)
class QueueCrashed(QueueChange):
    """Messages of a queue could not be read; it stays unusable until a restart."""


@dataclass(frozen=True, slots=True)
class StreamUnreadable(QueueChange):
    """Records of a stream could not be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class BindingChange(Change):
    """A change of a binding. `source`: the exchange that it binds."""

    vhost: str
    source: Exchange
    binding: Binding


@dataclass(frozen=True, slots=True)
class BindingCreated(BindingChange):
    """A binding was created."""


@dataclass(frozen=True, slots=True)
class BindingRepeated(BindingChange):
    """An existing binding was declared again."""


@dataclass(frozen=True, slots=True)
class BindingDeleted(BindingChange):
    """A binding was deleted, by itself or with one of its two ends."""


# --- virtual hosts, users and their permissions


@dataclass(frozen=True, slots=True)
class VhostChange(Change):
    """A change of a virtual host, with all its properties."""

    name: str
    description: str
    tags: tuple[str, ...]
    default_queue_type: str | None
    tracing: bool
    protected: bool


@dataclass(frozen=True, slots=True)
class VhostCreated(VhostChange):
    """A virtual host was added."""


@dataclass(frozen=True, slots=True)
class VhostUpdated(VhostChange):
    """The properties of a virtual host were set."""


@dataclass(frozen=True, slots=True)
class VhostTracingSet(Change):
    """The firehose of a virtual host was switched on or off. RabbitMQ has no event for it."""

    name: str
    tracing: bool


@dataclass(frozen=True, slots=True)
class VhostProtectionSet(Change):
    """A virtual host was protected from deletion, or no longer. RabbitMQ has no event for it."""

    name: str
    protected: bool


@dataclass(frozen=True, slots=True)
class VhostExchangesDeleted(Change):
    """Some exchanges of a virtual host that is being deleted went with it; their bindings are not reported."""

    name: str
    exchanges: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VhostDeleted(Change):
    """A virtual host was deleted, after its queues and exchanges."""

    name: str


@dataclass(frozen=True, slots=True)
class VhostLimitsSet(Change):
    """Limits of a virtual host were set, or some of them cleared. `limits`: all current limits."""

    vhost: str
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VhostLimitsCleared(Change):
    """A virtual host with limits was deleted."""

    vhost: str


@dataclass(frozen=True, slots=True)
class UserCreated(Change):
    """A user was added."""

    name: str


@dataclass(frozen=True, slots=True)
class UserReplaced(Change):
    """An existing user was replaced; password, tags or limits may differ. RabbitMQ has no event for it."""

    name: str


@dataclass(frozen=True, slots=True)
class UserPasswordChanged(Change):
    """The password of a user was changed."""

    name: str


@dataclass(frozen=True, slots=True)
class UserTagsSet(Change):
    """The tags of a user were set."""

    name: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UserDeleted(Change):
    """A user was deleted with all permissions."""

    name: str


@dataclass(frozen=True, slots=True)
class UserLimitsSet(Change):
    """Limits of a user were set. `limits`: the given ones."""

    name: str
    limits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class UserLimitsCleared(Change):
    """A limit of a user was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class PermissionsSet(Change):
    """A user's permissions in a virtual host were set: three regular expressions."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class PermissionsCleared(Change):
    """The permissions of a user in a virtual host were cleared."""

    user: str
    vhost: str


@dataclass(frozen=True, slots=True)
class TopicPermissionsSet(Change):
    """A user's permissions for routing keys of a topic exchange were set: two regular expressions."""

    user: str
    vhost: str
    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicPermissionsCleared(Change):
    """The topic permissions of a user in a virtual host were cleared."""

    user: str
    vhost: str


# --- policies and parameters


@dataclass(frozen=True, slots=True)
class PolicySet(Change):
    """A policy was set. `operator`: it is an operator policy."""

    policy: Policy
    operator: bool


@dataclass(frozen=True, slots=True)
class PolicyCleared(Change):
    """A policy was cleared. `operator`: it is an operator policy."""

    vhost: str
    name: str
    operator: bool


@dataclass(frozen=True, slots=True)
class GlobalParameterSet(Change):
    """A global parameter was set. `value`: any JSON."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class GlobalParameterCleared(Change):
    """A global parameter was cleared."""

    name: str


@dataclass(frozen=True, slots=True)
class ExchangeDeletionStarted(Change):
    """Deleting an exchange was requested and permitted. RabbitMQ sets a runtime parameter meanwhile, as a lock."""

    vhost: str
    name: str


@dataclass(frozen=True, slots=True)
class ExchangeDeletionEnded(Change):
    """The exchange was deleted, or deleting it was refused."""

    vhost: str
    name: str


# --- the node


@dataclass(frozen=True, slots=True)
class AlarmSet(Change):
    """A resource alarm was set. `source`: memory or disk."""

    source: str


@dataclass(frozen=True, slots=True)
class AlarmCleared(Change):
    """A resource alarm was cleared. `source`: memory or disk."""

    source: str


@dataclass(frozen=True, slots=True)
class LintFound(Change):
    """Lint found something for the first time."""

    finding: Finding
