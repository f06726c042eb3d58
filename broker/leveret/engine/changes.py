"""The changes that observers are notified of, one record for each kind.

Code that makes a change passes such a record to the observers (`observers.py`). Each has the `actor`, because
RabbitMQ's event exchange and its records of users name the acting user. Virtual hosts are given by name; queues,
exchanges, bindings and sessions are given themselves.

The hot path makes no such records. They are structs, not dataclasses, because those compile their methods at import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from leveret.engine.actor import Actor
    from leveret.engine.clients import ClientChannel, ClientConnection, ClientConsumer
    from leveret.engine.findings import Finding
    from leveret.engine.policies import Policy
    from leveret.queues.queue import Queue
    from leveret.routing.bindings import Binding
    from leveret.routing.exchanges import Exchange


class Change(Struct, frozen=True):
    """One change. `actor`: who made it."""

    actor: Actor


# --- connections and channels


class ConnectionChange(Change, frozen=True):
    """A change of a connection."""

    connection: ClientConnection


class ConnectionAccepted(ConnectionChange, frozen=True):
    """The client has sent a protocol header, or what it took for one. Nothing is noted of sockets that send nothing."""


class ProtocolRefused(ConnectionChange, frozen=True):
    """The first octets of the client are no header of a protocol that is served here."""

    header: bytes


class LoginSucceeded(ConnectionChange, frozen=True):
    """The client's credentials were accepted."""


class LoginFailed(ConnectionChange, frozen=True):
    """The client's credentials were refused. `reason`: as RabbitMQ logs it."""

    reason: str


class CredentialsExpired(ConnectionChange, frozen=True):
    """The credentials of the user have expired; the connection is closed."""


class SecretRenewed(ConnectionChange, frozen=True):
    """connection.update-secret was accepted. `reason`: what the client says why it was sent."""

    reason: str


class SecretRefused(ConnectionChange, frozen=True):
    """connection.update-secret was refused. `reason`: as RabbitMQ logs it; `failed`: the secret cannot be read."""

    reason: str
    failed: bool


class TuningRefused(ConnectionChange, frozen=True):
    """connection.tune-ok was refused."""

    reason: str


class ConnectionOpened(ConnectionChange, frozen=True):
    """connection.open succeeded."""


class ConnectionRefused(ConnectionChange, frozen=True):
    """The server sent connection.close. `method`: class and method id of the cause, and `channel` its channel, or 0."""

    error: Exception
    method: int = 0
    channel: int = 0


class ConnectionLost(ConnectionChange, frozen=True):
    """The client closed the socket without connection.close."""


class ConnectionClosed(ConnectionChange, frozen=True):
    """The socket was closed, before or after connection.open."""


class ConnectionPassedOn(ConnectionChange, frozen=True):
    """Another node serves the client from now on, in this virtual host. The socket stays open."""

    vhost: str


class ConnectionBlocked(ConnectionChange, frozen=True):
    """A publisher is not read because of a resource alarm."""


class ConnectionUnblocked(ConnectionChange, frozen=True):
    """A blocked publisher is read again."""


class HeartbeatMissed(ConnectionChange, frozen=True):
    """Nothing was received for two heartbeat intervals."""


class ConnectionCrowdedOut(ConnectionChange, frozen=True):
    """It was closed before it had logged in, because descriptors are short."""


class RepliesDropped(ConnectionChange, frozen=True):
    """Direct replies to this connection are dropped from now on while it does not read."""


class ChannelOpened(Change, frozen=True):
    """channel.open succeeded."""

    channel: ClientChannel


class ChannelRefused(Change, frozen=True):
    """The server sent channel.close. `method`: class and method id of the cause, or 0."""

    channel: ClientChannel
    error: Exception
    method: int = 0


class ChannelClosed(Change, frozen=True):
    """A channel ended: closed by either side, or with its connection. `consumers`: how many it had then."""

    channel: ClientChannel
    consumers: int


class ConsumerChange(Change, frozen=True):
    """A change of a consumer."""

    consumer: ClientConsumer


class ConsumerCreated(ConsumerChange, frozen=True):
    """basic.consume succeeded."""


class ConsumerDeleted(ConsumerChange, frozen=True):
    """A consumer was removed from its queue: by basic.cancel, or because the queue was deleted."""


class ConsumerCancelled(ConsumerChange, frozen=True):
    """A channel has removed a consumer whose queue was deleted."""


# --- topology


class ExchangeChange(Change, frozen=True):
    """A change of an exchange."""

    vhost: str
    exchange: Exchange


class ExchangeCreated(ExchangeChange, frozen=True):
    """An exchange was declared."""


class ExchangeUnregistered(ExchangeChange, frozen=True):
    """The exchange is being deleted: nobody finds it any more. Its bindings go next, then it is deleted."""


class ExchangeDeleted(ExchangeChange, frozen=True):
    """An exchange was deleted; its bindings were deleted before."""


class QueueChange(Change, frozen=True):
    """A change of a queue."""

    vhost: str
    queue: Queue


class QueueCreated(QueueChange, frozen=True):
    """A queue was declared."""


class QueueUnregistered(QueueChange, frozen=True):
    """The queue is being deleted: nobody finds it any more. Its bindings go next, then it is deleted."""


class QueueDeleted(QueueChange, frozen=True):
    """A queue was deleted; its consumers and bindings were deleted before."""


class QueueCrashed(QueueChange, frozen=True):
    """Messages of a queue could not be read; it stays unusable until a restart."""


class StreamUnreadable(QueueChange, frozen=True):
    """Records of a stream could not be read."""

    reason: str


class BindingChange(Change, frozen=True):
    """A change of a binding. `source`: the exchange that it binds."""

    vhost: str
    source: Exchange
    binding: Binding


class BindingCreated(BindingChange, frozen=True):
    """A binding was created."""


class BindingRepeated(BindingChange, frozen=True):
    """An existing binding was declared again."""


class BindingDeleted(BindingChange, frozen=True):
    """A binding was deleted, by itself or with one of its two ends."""


# --- virtual hosts, users and their permissions


class VhostChange(Change, frozen=True):
    """A change of a virtual host, with all its properties."""

    name: str
    description: str
    tags: tuple[str, ...]
    default_queue_type: str | None
    tracing: bool
    protected: bool


class VhostCreated(VhostChange, frozen=True):
    """A virtual host was added."""


class VhostUpdated(VhostChange, frozen=True):
    """The properties of a virtual host were set."""


class VhostTracingSet(Change, frozen=True):
    """The firehose of a virtual host was switched on or off. RabbitMQ has no event for it."""

    name: str
    tracing: bool


class VhostProtectionSet(Change, frozen=True):
    """A virtual host was protected from deletion, or no longer. RabbitMQ has no event for it."""

    name: str
    protected: bool


class VhostDeletionStarted(Change, frozen=True):
    """Deleting a virtual host was requested and permitted. RabbitMQ has no event for it."""

    name: str


class VhostExchangesDeleted(Change, frozen=True):
    """Some exchanges of a virtual host that is being deleted went with it; their bindings are not reported."""

    name: str
    exchanges: tuple[str, ...]


class VhostDeleted(Change, frozen=True):
    """A virtual host was deleted, after its queues and exchanges."""

    name: str


class VhostReleased(Change, frozen=True):
    """A virtual host has left this node, with all that is in it. RabbitMQ has no event for it, nor for the next."""

    name: str
    queues: tuple[Queue, ...]


class VhostAdopted(Change, frozen=True):
    """A virtual host has come to this node, with all that is in it."""

    name: str


class VhostLimitsSet(Change, frozen=True):
    """Limits of a virtual host were set, or some of them cleared. `limits`: all current limits."""

    vhost: str
    limits: Mapping[str, int]


class VhostLimitsCleared(Change, frozen=True):
    """A virtual host with limits was deleted."""

    vhost: str


class UserCreated(Change, frozen=True):
    """A user was added."""

    name: str


class UserReplaced(Change, frozen=True):
    """An existing user was replaced; password, tags or limits may differ. RabbitMQ has no event for it."""

    name: str


class UserPasswordChanged(Change, frozen=True):
    """The password of a user was changed."""

    name: str


class UserPasswordCleared(Change, frozen=True):
    """A user's password was removed."""

    name: str


class UserTagsSet(Change, frozen=True):
    """The tags of a user were set."""

    name: str
    tags: tuple[str, ...]


class UserDeleted(Change, frozen=True):
    """A user was deleted with all permissions."""

    name: str


class UserLimitsSet(Change, frozen=True):
    """Limits of a user were set. `limits`: the given ones."""

    name: str
    limits: Mapping[str, int]


class UserLimitsCleared(Change, frozen=True):
    """A limit of a user was cleared."""

    name: str


class PermissionsSet(Change, frozen=True):
    """A user's permissions in a virtual host were set: three regular expressions."""

    user: str
    vhost: str
    configure: str
    write: str
    read: str


class PermissionsCleared(Change, frozen=True):
    """The permissions of a user in a virtual host were cleared."""

    user: str
    vhost: str


class TopicPermissionsSet(Change, frozen=True):
    """A user's permissions for routing keys of a topic exchange were set: two regular expressions."""

    user: str
    vhost: str
    exchange: str
    write: str
    read: str


class TopicPermissionsCleared(Change, frozen=True):
    """The topic permissions of a user in a virtual host were cleared: those of one exchange, or all."""

    user: str
    vhost: str
    exchange: str | None = None


# --- policies and parameters


class PolicySet(Change, frozen=True):
    """A policy was set. `operator`: it is an operator policy."""

    policy: Policy
    operator: bool


class PolicyCleared(Change, frozen=True):
    """A policy was cleared. `operator`: it is an operator policy."""

    vhost: str
    name: str
    operator: bool


class GlobalParameterSet(Change, frozen=True):
    """A global parameter was set. `value`: any JSON."""

    name: str
    value: object


class GlobalParameterCleared(Change, frozen=True):
    """A global parameter was cleared."""

    name: str


class ExchangeDeletionStarted(Change, frozen=True):
    """Deleting an exchange was requested and permitted. RabbitMQ sets a runtime parameter meanwhile, as a lock."""

    vhost: str
    name: str


class ExchangeDeletionEnded(Change, frozen=True):
    """The exchange was deleted, or deleting it was refused."""

    vhost: str
    name: str


# --- the node


class AlarmSet(Change, frozen=True):
    """A resource alarm was set. `source`: memory or disk."""

    source: str


class AlarmCleared(Change, frozen=True):
    """A resource alarm was cleared. `source`: memory or disk."""

    source: str


class LintFound(Change, frozen=True):
    """Lint found something for the first time."""

    finding: Finding
