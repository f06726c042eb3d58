"""The whole broker, synchronous and in memory: virtual hosts, users, policies, alarms, connections.

It has no sockets and reads no clock. The server (or a test) moves the clocks, runs the agendas, creates connections and
sends their output; `dirty` lists the connections that have some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from leveret import errors
from leveret.clock import Clock
from leveret.config import Settings
from leveret.engine import parameters
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.catalogue import Kind
from leveret.engine.changes import (
    AlarmCleared,
    AlarmSet,
    ConnectionClosed,
    VhostCreated,
    VhostDeleted,
    VhostExchangesDeleted,
)
from leveret.engine.clients import ClientConnection
from leveret.engine.context import EngineContext
from leveret.engine.vhost import VirtualHost
from leveret.faults import context_of, serve
from leveret.queues.backlog.paging import Pager
from leveret.queues.journal import Journal
from leveret.queues.message import Destination, Entry

if TYPE_CHECKING:
    from leveret.work import Job, Owner, Steps

#: Exchanges of a virtual host whose deletion is noted before the job asks whether its slice is over.
PORTION = 64

#: Alarms by source, in the order RabbitMQ names them in connection.blocked.
ALARM_TEXTS = {"memory": "low on memory", "disk": "low on disk"}

#: Octets of output that a client may leave unread while an alarm is on.
UNREAD_IN_ALARM_BYTES = 1 << 20


class Broker:
    """One broker.

    `clock`, `message_time`: clock and agenda of message time. `link_time`: the agenda of link time (see `clock.py`);
    `link_clock`: its clock, if it is another one. `journal`: the store's port for persistent messages of durable
    queues, None without a store. `pager`: keeps long backlogs outside memory. `faults`: counts unexpected exceptions
    and messages that could not be delivered. `work`: operations that run in slices. `global_parameters`: changed by
    `set_global_parameter`. `alarms`: sources of the alarms that are on; `held_back`: connections that wait for the
    store. `unfinished_limit`: octets of half-received bodies that a connection may have. `reply_addresses`: direct
    reply-to addresses by name. Counters only grow.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        pager: Pager | None = None,
        link_clock: Clock | None = None,
    ) -> None:
        self.context = context = EngineContext(
            settings or Settings(), clock or Clock(), journal, pager, link_clock
        )
        self.settings = context.settings
        self.profile = context.profile
        self.max_message_size = self.settings.amqp.max_message_size or self.profile.max_message_size
        self.clock = context.clock
        self.started_at = context.started_at
        self.message_time = context.message_time
        self.link_time = context.link_time
        self.message_time.failed = self.link_time.failed = self._timer_failed
        self.journal = journal
        if journal is not None:
            journal.failed = self._commit_failed
            journal.unencodable = self._not_encoded
        self.pager = context.pager
        self.faults = context.faults
        self.work = context.work
        self.observers = context.observers
        self.access = context.access
        self.policies = context.policies
        self.lint = context.lint
        self.reply_addresses = context.reply_addresses
        self.counters = context.counters
        self.vhosts: dict[str, VirtualHost] = {}
        self.connections: set[ClientConnection] = set()
        self._by_user: dict[str, set[ClientConnection]] = {}
        self.dirty: list[Any] = []  # `session.output.Output`, of a higher layer
        self.alarms: set[str] = set()
        self._alarm_job: Job | None = None
        self.held_back: list[ClientConnection] = []
        self.unfinished_limit = max(self.settings.memory.unfinished_limit, self.max_message_size)
        self.global_parameters = parameters.initial(
            self.settings.server.cluster_name, tags=self.profile.api.cluster_tags_shown
        )
        self.connections_created = 0
        self.connections_closed = 0
        self.channels_opened = 0
        self.channels_closed = 0
        self._access_revision = 0
        context.access_changed = self.access_changed

    @property
    def cluster_name(self) -> str:
        """The name of the cluster, by default that of the node."""
        return str(self.global_parameters.get(parameters.CLUSTER_NAME, self.settings.server.node_name))

    def set_global_parameter(self, name: str, value: object) -> bool:
        """Set a global parameter; returns whether it is new."""
        new = name not in self.global_parameters
        self.global_parameters[name] = value
        self.context.changed(Kind.GLOBAL_PARAMETER, (name,))
        return new

    def clear_global_parameter(self, name: str) -> bool:
        """Clear a global parameter; returns whether there was one."""
        if name not in self.global_parameters:
            return False
        del self.global_parameters[name]
        self.context.changed(Kind.GLOBAL_PARAMETER, (name,))
        return True

    # --- virtual hosts

    def add_vhost(
        self,
        name: str,
        description: str = "",
        tags: tuple[str, ...] = (),
        actor: Actor = INTERNAL,
        default_queue_type: str | None = None,
    ) -> VirtualHost:
        """Create a virtual host with the predeclared exchanges, or return the one that exists."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = self.vhosts[name] = VirtualHost(self.context, name, description, tags, actor)
            vhost.default_queue_type = default_queue_type
            self.observers.notify(VhostCreated(actor, *vhost.properties()))
        return vhost

    def delete_vhost(self, name: str, actor: Actor = INTERNAL, owner: Owner | None = None) -> bool:
        """Delete a virtual host with everything in it; its connections are closed. False if there is none.

        A job deletes its queues one after another, as RabbitMQ does. `owner` waits for it; whoever else opens or
        deletes it meanwhile waits, too (`Suspended`).
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            return False
        vhost.check_kept()
        job = self.work.begin(self._vhost_deletion(vhost, actor), "deletion", owner, vhost=name)
        if not job.done:
            vhost.deletion = job
        return True

    def _vhost_deletion(self, vhost: VirtualHost, actor: Actor) -> Steps:
        name = vhost.name
        yield from _queue_deletions(vhost, actor)
        yield from _closing(vhost.connections, f"vhost '{name}' is deleted")
        yield from _queue_deletions(vhost, actor)  # of those that were declared meanwhile
        exchanges = sorted(vhost.exchanges)
        for at in range(0, len(exchanges), PORTION):
            names = tuple(exchanges[at : at + PORTION])
            self.observers.notify(VhostExchangesDeleted(actor, name, names))
            yield None
        del self.vhosts[name]
        vhost.close()
        try:
            self.access.forget_vhost(name)
            self.policies.forget_vhost(name)
            self.access_changed()
        finally:
            self.observers.notify(VhostDeleted(actor, name))

    # --- access

    def access_changed(self) -> None:
        """Have all channels discard cached permissions, because users or permissions changed."""
        self._access_revision += 1
        for connection in self.connections:
            connection.access_revision = self._access_revision

    @property
    def global_qos_permitted(self) -> bool:
        """Whether basic.qos with `global` limits the channel; otherwise `global` is ignored."""
        return self.permits("global_qos")

    def permits(self, feature: str) -> bool:
        """Return whether a deprecated feature may be used."""
        return self.context.permits(feature)

    # --- connections

    def connected(self, connection: ClientConnection) -> None:
        """Register the connection of an accepted socket."""
        connection.access_revision = self._access_revision
        self.connections.add(connection)
        self.connections_created += 1

    def opened(self, connection: ClientConnection) -> None:
        """Count a connection that has opened a virtual host among those of its user."""
        self._by_user.setdefault(connection.actor.user, set()).add(connection)

    def disconnected(self, connection: ClientConnection) -> None:
        """Remove a connection whose socket is closed."""
        if connection in self.connections:
            self.connections.discard(connection)
            theirs = self._by_user.get(connection.actor.user, set())
            theirs.discard(connection)
            if not theirs:
                self._by_user.pop(connection.actor.user, None)
            self.connections_closed += 1
            self.observers.notify(ConnectionClosed(connection.actor, connection))

    def check_connection_limits(self, connection: ClientConnection, vhost: VirtualHost) -> None:
        """Raise 530 if a limit on connections is reached: of the node, the virtual host or the user."""
        node = self.settings.server.max_connections
        if 0 <= node < len(self.connections):
            raise errors.node_connection_limit(node)
        user = connection.actor.user
        self.access.check_vhost_connections(vhost.name, user, len(vhost.connections))
        self.access.check_user_connections(user, len(self._by_user.get(user, ())))

    def check_channel_limits(self, connection: ClientConnection) -> None:
        """Raise 530 if the user's limit on channels is reached."""
        user = connection.actor.user
        if self.access.limits_channels(user):
            mine = sum(len(other.channels) for other in self._by_user.get(user, ()))
            self.access.check_user_channels(user, mine, self.profile.channel_limit_in_parentheses)

    # --- alarms (docs: alarms)

    def set_alarm(self, source: str) -> None:
        """Set the alarm of `memory` or `disk`. With the first alarm, publishing connections are blocked."""
        if source in self.alarms:
            return
        first = not self.alarms
        self.alarms.add(source)
        try:
            self.observers.notify(AlarmSet(INTERNAL, source))
        finally:
            if first:
                self._alarm_changed(True)

    def clear_alarm(self, source: str) -> None:
        """Clear an alarm. With the last one, connections are unblocked."""
        if source not in self.alarms:
            return
        self.alarms.discard(source)
        try:
            self.observers.notify(AlarmCleared(INTERNAL, source))
        finally:
            if not self.alarms:
                self._alarm_changed(False)

    def _alarm_changed(self, on: bool) -> None:
        """Block or unblock connections, as a job. A later one comes behind it, so that the last one counts."""
        steps = self._alarm_steps(on)
        self._alarm_job = self.work.begin(steps, "alarm", after=self._alarm_job)

    def _alarm_steps(self, on: bool) -> Steps:
        for connection in list(self.connections):
            serve(connection, "alarm", connection.alarm_changed, on)
            yield None

    @property
    def unread_limit(self) -> int:
        """Octets of output that a client may leave unread; few while an alarm is on."""
        limit = self.settings.memory.unread_limit
        return min(limit, UNREAD_IN_ALARM_BYTES) if self.alarms else limit

    def caught_up(self) -> None:
        """The store has room again: connections that it held back go on."""
        held_back, self.held_back = self.held_back, []
        for connection in held_back:
            serve(connection, "flow", connection.go_ahead)

    def alarm_text(self) -> str:
        """Return the reason in connection.blocked."""
        return " & ".join(text for source, text in ALARM_TEXTS.items() if source in self.alarms)

    # --- durability

    def when_committed(self, call: Callable[[], None]) -> None:
        """Run `call` when everything reported to the journal so far is safe."""
        journal = self.journal
        if journal is None or journal.settled >= journal.ticket:
            call()
        else:
            journal.when_settled(journal.ticket, call)

    def restored(self) -> None:
        """Publish the dead letters that restoring has produced. This is done after everything is restored: the queues
        have removed the messages from the store, and their targets may have been restored last."""
        for vhost in self.vhosts.values():
            vhost.publish_dead_letters()

    # --- faults

    def _timer_failed(self, error: Exception, call: Callable[[], None]) -> None:
        """Report an exception in a scheduled call. Connections handle those of their own timers."""
        self.faults.report("timer", error, **context_of(call))

    def _commit_failed(self, error: Exception, call: Callable[[], None]) -> None:
        """End the connection of a channel that failed to handle a settled ticket."""
        owner = getattr(call, "__self__", None)
        channel = getattr(owner, "channel", owner)
        connection = getattr(channel, "connection", None)
        if connection is not None:
            connection.fail("commit", error)
        else:
            self.faults.report("commit", error, **context_of(call))

    def _not_encoded(self, error: Exception, entry: Entry) -> None:
        """Report a message that the store cannot encode. Its queue keeps it in memory; it is lost when the broker
        stops."""
        source = entry.source
        message = entry.message
        exchange = message.exchange.decode("utf-8", "surrogateescape")
        key = message.routing_key.decode("utf-8", "surrogateescape")
        queue, vhost = (source.name, source.vhost) if isinstance(source, Destination) else ("", "")
        self.faults.report(
            "encoding a message, which is not stored",
            error,
            queue=queue,
            vhost=vhost,
            exchange=exchange,
            routing_key=key,
        )

    # --- the end

    def shut_connections(self, reason: str) -> Job:
        """Close every connection, as at shutdown."""
        return self.shut(self.connections, reason)

    def shut(self, connections: Iterable[ClientConnection], reason: str) -> Job:
        """Close connections (320), as a job."""
        return self.work.begin(_closing(connections, reason), "close")


def _queue_deletions(vhost: VirtualHost, actor: Actor) -> Steps:
    for queue in list(vhost.queues.values()):
        yield vhost.delete_queue(queue, actor)


def _closing(connections: Iterable[ClientConnection], reason: str) -> Steps:
    for connection in list(connections):
        serve(connection, "close", connection.shut, errors.connection_forced(reason))
        yield None
