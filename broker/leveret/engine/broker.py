"""The whole broker, synchronous and in memory: virtual hosts, users, policies, alarms, connections.

It owns no socket and no time. The server (or a test) moves the clocks, runs the agendas, makes connections and sends
what they have to say; `dirty` lists the outlets with something to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from leveret import errors
from leveret.clock import Clock
from leveret.config import Settings
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.catalogue import Kind
from leveret.engine.changes import AlarmCleared, AlarmSet, ConnectionClosed, VhostCreated, VhostDeleted
from leveret.engine.clients import ClientConnection
from leveret.engine.context import EngineContext
from leveret.engine.vhost import VirtualHost
from leveret.faults import context_of, serve
from leveret.queues.backlog.paging import Pager
from leveret.queues.journal import Journal
from leveret.queues.message import Entry

#: Alarms by source, in the order RabbitMQ names them in connection.blocked.
ALARM_TEXTS = {"memory": "low on memory", "disk": "low on disk"}


class Broker:
    """One broker.

    `clock`: that of messages and of everything users see. `message_time`, `link_time`: the agendas of messages and of
    sockets (see `clock.py`); `link_clock`: the clock of the latter, if it is another one.
    `journal`: where durable queues keep persistent messages, None for nowhere. `pager`: what keeps long backlogs out of
    memory. `faults`: exceptions that nobody expected, messages that could not be delivered. `work`: operations that run
    in slices.
    `changed`: called after each change of a virtual host's properties and of a global parameter. `alarms`: sources that
    are on. `reply_addresses`: direct reply-to addresses by name. Counters only ever grow.
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
        self.dirty: list[Any] = []
        self.alarms: set[str] = set()
        self._cluster_name = self.settings.server.cluster_name or self.settings.server.node_name
        self.connections_created = 0
        self.connections_closed = 0
        self.channels_opened = 0
        self.channels_closed = 0
        self._access_revision = 0

    @property
    def cluster_name(self) -> str:
        """The name of the cluster; may be set."""
        return self._cluster_name

    @cluster_name.setter
    def cluster_name(self, name: str) -> None:
        self._cluster_name = name
        self.context.changed(Kind.GLOBAL_PARAMETER, ("cluster_name",))

    # --- virtual hosts

    def add_vhost(
        self,
        name: str,
        description: str = "",
        tags: tuple[str, ...] = (),
        actor: Actor = INTERNAL,
        default_queue_type: str | None = None,
    ) -> VirtualHost:
        """Add a virtual host with the predeclared exchanges; one that exists is returned."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = self.vhosts[name] = VirtualHost(self.context, name, description, tags, actor)
            vhost.default_queue_type = default_queue_type
            self.observers.notify(VhostCreated(actor, *vhost.properties()))
        return vhost

    def delete_vhost(self, name: str, actor: Actor = INTERNAL) -> bool:
        """Delete a virtual host with everything in it; its connections are closed. False if there is none."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            return False
        for queue in list(vhost.queues.values()):
            vhost.delete_queue(queue, actor)
        self._shut(vhost.connections, f"vhost '{name}' is deleted")
        del self.vhosts[name]
        vhost.close()
        try:
            self.access.forget_vhost(name)
            self.policies.forget_vhost(name)
            self.access_changed()
        finally:
            self.observers.notify(VhostDeleted(actor, name, tuple(sorted(vhost.exchanges))))
        return True

    # --- access

    def access_changed(self) -> None:
        """Users or permissions changed: channels drop what they remember."""
        self._access_revision += 1
        for connection in self.connections:
            connection.access_revision = self._access_revision

    @property
    def global_qos_permitted(self) -> bool:
        """Whether basic.qos with `global` limits the channel, or counts like one without."""
        return self.permits("global_qos")

    def permits(self, feature: str) -> bool:
        """Whether a deprecated feature may be used."""
        return self.context.permits(feature)

    # --- connections

    def connected(self, connection: ClientConnection) -> None:
        """A socket was accepted."""
        connection.access_revision = self._access_revision
        self.connections.add(connection)
        self.connections_created += 1

    def disconnected(self, connection: ClientConnection) -> None:
        """Its socket is gone."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.connections_closed += 1
            self.observers.notify(ConnectionClosed(connection.actor, connection))

    def check_connection_limits(self, connection: ClientConnection, vhost: VirtualHost) -> None:
        """530 where a limit on connections is reached: the node's, the virtual host's, the user's."""
        node = self.settings.server.max_connections
        if 0 <= node < len(self.connections):
            raise errors.node_connection_limit(node)
        user = connection.actor.user
        self.access.check_vhost_connections(vhost.name, user, len(vhost.connections))
        mine = sum(other.vhost is not None and other.actor.user == user for other in self.connections)
        self.access.check_user_connections(user, mine)

    def check_channel_limits(self, connection: ClientConnection) -> None:
        """530 where the user's limit on channels is reached."""
        user = connection.actor.user
        if self.access.limits_channels(user):
            mine = sum(len(other.channels) for other in self.connections if other.actor.user == user)
            self.access.check_user_channels(user, mine, self.profile.channel_limit_in_parentheses)

    def forget_reply_consumer(self, channel: Any) -> None:
        """A direct reply-to address dies with its consumer."""
        self.reply_addresses.pop(channel.reply_consumer.name, None)
        channel.reply_consumer = None
        channel.router.revision += 1

    # --- alarms (docs: alarms)

    def set_alarm(self, source: str) -> None:
        """`memory` or `disk` is short: connections that publish are blocked."""
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
        """It is no longer short; with the last alarm, blocking ends."""
        if source not in self.alarms:
            return
        self.alarms.discard(source)
        try:
            self.observers.notify(AlarmCleared(INTERNAL, source))
        finally:
            if not self.alarms:
                self._alarm_changed(False)

    def _alarm_changed(self, on: bool) -> None:
        for connection in list(self.connections):
            serve(connection, "alarm", connection.alarm_changed, on)

    def alarm_text(self) -> str:
        """What connection.blocked says."""
        return " & ".join(text for source, text in ALARM_TEXTS.items() if source in self.alarms)

    # --- durability

    def when_committed(self, call: Callable[[], None]) -> None:
        """Run `call` once everything appended so far is safe."""
        journal = self.journal
        if journal is None or journal.settled >= journal.ticket:
            call()
        else:
            journal.when_settled(journal.ticket, call)

    def restored(self) -> None:
        """A store has given back all it kept. What died meanwhile is dead-lettered now, and not before: its queues have
        told the store that it has left them, and where it goes to may have been given back last."""
        for vhost in self.vhosts.values():
            vhost.publish_dead_letters()

    # --- faults

    def _timer_failed(self, error: Exception, call: Callable[[], None]) -> None:
        """A call on the agenda has raised; connections see to their own timers."""
        self.faults.report("timer", error, **context_of(call))

    def _commit_failed(self, error: Exception, call: Callable[[], None]) -> None:
        """A channel could not take it that its publishes are safe: that ends its connection."""
        owner = getattr(call, "__self__", None)
        channel = getattr(owner, "channel", owner)
        connection = getattr(channel, "connection", None)
        if connection is not None:
            connection.fail("commit", error)
        else:
            self.faults.report("commit", error, **context_of(call))

    def _not_encoded(self, error: Exception, entry: Entry) -> None:
        """The store cannot encode a message. Its queue holds it in memory, and it is lost when the broker stops."""
        source: Any = entry.source
        message = entry.message
        exchange = message.exchange.decode("utf-8", "surrogateescape")
        key = message.routing_key.decode("utf-8", "surrogateescape")
        where = {"queue": getattr(source, "name", ""), "vhost": getattr(source, "vhost", "")}
        self.faults.report(
            "encoding a message, which is not stored", error, **where, exchange=exchange, routing_key=key
        )

    # --- the end

    def shut_connections(self, reason: str) -> None:
        """Close every connection, as at shutdown."""
        self._shut(self.connections, reason)

    def _shut(self, connections: Iterable[ClientConnection], reason: str) -> None:
        for connection in list(connections):
            serve(connection, "close", connection.shut, errors.connection_forced(reason))
