"""The whole broker, synchronous and in memory: virtual hosts, users, policies, alarms, connections.

It has no sockets and reads no clock. The server (or a test) moves the clocks, runs the agendas, creates connections and
sends their output; `dirty` lists the connections that have some.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

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
    ConnectionPassedOn,
    VhostAdopted,
    VhostCreated,
    VhostDeleted,
    VhostExchangesDeleted,
    VhostReleased,
)
from leveret.engine.clients import ClientConnection, ClientConnectionBase, closing
from leveret.engine.context import EngineContext
from leveret.engine.names import RandomOctets
from leveret.engine.other_nodes import OtherNodes, UserTotals
from leveret.engine.release import PLACE, Release, ending
from leveret.engine.vhost import VhostProperties, VirtualHost
from leveret.faults import context_of, serve
from leveret.queues.backlog.paging import Pager
from leveret.queues.journal import Journal
from leveret.queues.message import Destination, Entry
from leveret.work import in_order, one_by_one, portions

if TYPE_CHECKING:
    from leveret.engine.interceptor import Interceptor
    from leveret.work import Job, Owner, Steps

#: Returns the journal of a virtual host by its name.
JournalOf: TypeAlias = Callable[[str], Journal]

#: Exchanges of a virtual host whose deletion is noted before the job asks whether its slice is over.
PORTION = 64

#: Connections that the store held back and that go on together.
GO_AHEAD_TOGETHER = 64

#: Alarms by source, in the order RabbitMQ names them in connection.blocked.
ALARM_TEXTS = {"memory": "low on memory", "disk": "low on disk"}

#: Octets of output that a client may leave unread while an alarm is on.
UNREAD_IN_ALARM_BYTES = 1 << 20


class Broker:
    """One broker.

    `clock`, `message_time`: clock and agenda of message time. `link_time`: the agenda of link time (see `clock.py`);
    `link_clock`: its clock, if it is another one. `journal`: the store's port for what belongs to no virtual host
    (users, permissions, limits, policies, the list of virtual hosts), None without a store. `journal_of`: returns that
    of a virtual host that is created; by default it is the same one. `pager`: keeps long backlogs outside memory.
    `faults`: counts unexpected exceptions and messages that could not be delivered. `work`: operations that run in
    slices. `elsewhere`: virtual hosts that are not on this node; `other_nodes`: serve them. `global_parameters`:
    changed by `set_global_parameter`. `alarms`: sources of the alarms that are on; `held_back`: connections that wait
    for the store. `unfinished_limit`: octets of half-received bodies that a connection may have. `uncommitted`: octets
    that the open transactions of a connection hold, if they do. `reply_addresses`: direct reply-to addresses by name.
    `random_octets`: what generated names are made from. Counters only grow.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        pager: Pager | None = None,
        link_clock: Clock | None = None,
        random_octets: RandomOctets = os.urandom,
        journal_of: JournalOf | None = None,
    ) -> None:
        self.context = context = EngineContext(
            settings or Settings(), clock or Clock(), pager, link_clock, random_octets
        )
        self.random_octets = random_octets
        self.settings = context.settings
        self.profile = context.profile
        self.max_message_size = self.settings.amqp.max_message_size or self.profile.max_message_size
        self.clock = context.clock
        self.started_at = context.started_at
        self.message_time = context.message_time
        self.link_time = context.link_time
        self.message_time.failed = self.link_time.failed = self._timer_failed
        self.journal = journal
        self._journal_of = journal_of
        self._connect(journal)
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
        self.elsewhere: dict[str, VhostProperties] = {}
        self.other_nodes: OtherNodes | None = None
        self._releases: dict[str, Release] = {}
        context.node_limits.vhosts = self.vhosts
        context.node_limits.elsewhere = self.elsewhere
        self.connections: set[ClientConnection] = set()
        self._by_user: dict[str, set[ClientConnection]] = {}
        self.dirty: list[Any] = []  # `session.output.Output`, of a higher layer
        self.alarms: set[str] = set()
        self._alarm_job: Job | None = None
        self.held_back: list[ClientConnection] = []
        self.unfinished_limit = max(self.settings.memory.unfinished_limit, self.max_message_size)
        self.uncommitted: dict[ClientConnectionBase, int] = {}
        self.global_parameters = parameters.initial(
            self.settings.server.cluster_name,
            random_octets,
            tags=self.settings.server.cluster_tags if self.profile.api.cluster_tags_shown else None,
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

    def intercept(self, interceptor: Interceptor | None) -> None:
        """Let an interceptor change where publishes of clients go, in all virtual hosts; None for none."""
        self.context.interceptor = interceptor
        for vhost in self.vhosts.values():
            vhost.context.interceptor = interceptor
            vhost.router.changed()  # channels route again what they remember

    # --- virtual hosts

    def vhost_names(self) -> list[str]:
        """Return the names of all virtual hosts, on this node and elsewhere."""
        return [*self.vhosts, *self.elsewhere]

    def has_vhost(self, name: str) -> bool:
        """Return whether there is a virtual host, on this node or elsewhere."""
        return name in self.vhosts or name in self.elsewhere

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
            if name in self.elsewhere:
                raise ValueError(f"virtual host '{name}' is on another node")
            journal = self.journal if self._journal_of is None else self._journal_of(name)
            if journal is not self.journal:
                self._connect(journal)
            vhost = self.vhosts[name] = VirtualHost(self.context, name, description, tags, actor, journal)
            vhost.default_queue_type = default_queue_type
            self.observers.notify(VhostCreated(actor, *vhost.properties()))
        return vhost

    def announce_vhost(self, name: str, properties: VhostProperties, actor: Actor = INTERNAL) -> None:
        """Create a virtual host that one of the nodes of the cluster is to serve: it is elsewhere until it comes."""
        if name in self.vhosts or name in self.elsewhere:
            raise ValueError(f"there is a virtual host '{name}'")
        self.elsewhere[name] = properties
        self.observers.notify(VhostCreated(actor, name, *properties.shown()))

    def delete_vhost(
        self, name: str, actor: Actor = INTERNAL, owner: Owner | None = None, first: Iterable[None] = ()
    ) -> bool:
        """Delete a virtual host with everything in it; its connections are closed. False if there is none.

        A job deletes its queues one after another, as RabbitMQ does. `owner` waits for it; whoever else opens or
        deletes it meanwhile waits, too (`Suspended`). `first`: what the job begins with.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            return False
        vhost.check_kept()
        job = self.work.begin(chain(first, self._vhost_deletion(vhost, actor)), "deletion", owner, vhost=name)
        if not job.done:
            vhost.deletion = job
        return True

    def _vhost_deletion(self, vhost: VirtualHost, actor: Actor) -> Steps:
        name = vhost.name
        yield from _queue_deletions(vhost, actor)
        yield from closing(vhost.connections, f"vhost '{name}' is deleted")
        yield from _queue_deletions(vhost, actor)  # of those that were declared meanwhile
        exchanges = yield from in_order(list(vhost.exchanges), str)
        for at in range(0, len(exchanges), PORTION):
            names = tuple(exchanges[at : at + PORTION])
            self.observers.notify(VhostExchangesDeleted(actor, name, names))
            yield None
        yield from self.access.forget_vhost_steps(name)
        yield from self.policies.forget_vhost_steps(name)
        del self.vhosts[name]
        try:
            self._forget_settings(name, actor)
        finally:
            vhost.close()
        yield from vhost.end_exchanges()

    def forget_vhost(self, name: str, actor: Actor = INTERNAL) -> None:
        """Delete a virtual host that is elsewhere, and that no node serves."""
        del self.elsewhere[name]
        self._forget_settings(name, actor)

    def _forget_settings(self, vhost: str, actor: Actor) -> None:
        """Forget what is set for a virtual host, and report its deletion."""
        try:
            self.access.forget_vhost(vhost)
            self.policies.forget_vhost(vhost)
            self.access_changed()
        finally:
            self.observers.notify(VhostDeleted(actor, vhost))

    def release(self, name: str, reason: str, *, commit: bool = True) -> Job:
        """Have a virtual host leave this node, as a job: its connections are closed (320), and its store keeps all that
        is in it. Whoever opens it meanwhile waits (`Suspended`).

        `commit`: wait until everything is safe. False gives that up, also for a release that is waiting.
        """
        release = self._releases.get(name)
        if release is None:
            vhost = self.vhosts[name]
            vhost.check_kept()
            release = self._releases[name] = Release(self.work, vhost, reason)
            if not commit:
                release.give_up()
            release.job = self.work.begin(self._release_steps(release), PLACE, vhost=name)
            vhost.deletion = None if release.job.done else release.job
        elif not commit:
            release.give_up()
        return release.job

    def _release_steps(self, release: Release) -> Steps:
        vhost = release.vhost
        try:
            yield from release.steps()
            del self.vhosts[vhost.name]
            self.elsewhere[vhost.name] = VhostProperties.of(vhost)
            self.observers.notify(VhostReleased(INTERNAL, vhost.name, tuple(vhost.queues.values())))
            yield from ending(vhost)
        finally:
            self._releases.pop(vhost.name, None)

    def adopt(
        self, name: str, journal: Journal | None, restore: Callable[[VirtualHost], None]
    ) -> VirtualHost:
        """Have a virtual host come to this node from elsewhere; no observer hears of anything in it as new.

        `journal`: its own. `restore`: declares and fills what is in it, and records its changes from then on; what it
        raises leaves the virtual host elsewhere.
        """
        properties = self.elsewhere[name]
        self._connect(journal)
        with self.observers.silenced():
            vhost = self.vhosts[name] = VirtualHost(self.context, name, journal=journal)
            try:
                vhost.restore(properties)
                restore(vhost)
            except BaseException:
                del self.vhosts[name]
                deque(ending(vhost), 0)
                raise
        del self.elsewhere[name]
        self.observers.notify(VhostAdopted(INTERNAL, name))
        vhost.publish_dead_letters()
        return vhost

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

    def count_uncommitted(self, connection: ClientConnectionBase, octets: int) -> None:
        """Note that the open transactions of a connection hold so many octets more."""
        total = self.uncommitted.pop(connection, 0) + octets
        if total:
            self.uncommitted[connection] = total

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

    def passed_on(self, connection: ClientConnection, vhost: str) -> None:
        """Remove a connection that another node serves from now on, before it has opened the virtual host."""
        self.connections.discard(connection)
        self.connections_closed += 1
        self.observers.notify(ConnectionPassedOn(connection.actor, connection, vhost))

    def check_connection_limits(self, connection: ClientConnection, vhost: VirtualHost) -> None:
        """Raise 530 if a limit on connections is reached: of the node, the virtual host or the user. Raises `Suspended`
        until other nodes have said how many the user has there."""
        self.check_node_limit()
        user = connection.actor.user
        self.access.check_vhost_connections(vhost.name, user, len(vhost.connections))
        if not self.access.limits_connections(user):
            return
        self.access.check_user_connections(user, self.totals_of(user).connections)
        if self.other_nodes is not None:
            elsewhere = self.other_nodes.totals(connection, user)
            self.access.check_user_connections(user, self.totals_of(user).connections + elsewhere.connections)

    def totals_of(self, user: str) -> UserTotals:
        """Return what this node has of a user."""
        theirs = self._by_user.get(user, ())
        return UserTotals(len(theirs), sum(len(one.channels) for one in theirs))

    def check_node_limit(self) -> None:
        """Raise 530 if the limit on connections of the node is reached. Those that others serve count, too."""
        limit = self.settings.server.max_connections
        if limit < 0:
            return
        passed_on = self.other_nodes.passed_on if self.other_nodes is not None else 0
        if limit < len(self.connections) + passed_on:
            raise errors.node_connection_limit(limit)

    def check_channel_limits(self, connection: ClientConnection) -> None:
        """Raise 530 if the user's limit on channels is reached, or that of the node. Raises `Suspended` as
        `check_connection_limits` does."""
        user = connection.actor.user
        if self.access.limits_channels(user):
            brackets = self.profile.channel_limit_in_parentheses
            self.access.check_user_channels(user, self.totals_of(user).channels, brackets)
            if self.other_nodes is not None:
                elsewhere = self.other_nodes.totals(connection, user)
                count = self.totals_of(user).channels + elsewhere.channels
                self.access.check_user_channels(user, count, brackets)
        limit = self.settings.amqp.channel_max_per_node
        if limit >= 0 and sum(len(other.channels) for other in self.connections) >= limit:
            raise errors.node_channel_limit(self.settings.server.node_name, limit)

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

    def caught_up(self, journal: Journal) -> None:
        """A store has room again: connections that it held back go on, as a job."""
        self.work.begin(self._go_ahead_steps(journal), "flow")

    def _go_ahead_steps(self, journal: Journal) -> Steps:
        # Those of other stores stay where their own job finds them: it may begin before this one ends. Nobody waits for
        # the store of a virtual host that has left.
        ours: list[ClientConnection] = []
        others: list[ClientConnection] = []
        for connection in self.held_back:
            vhost = connection.vhost
            if vhost is not None and vhost.journal is journal:
                ours.append(connection)
            elif vhost is not None and self.vhosts.get(vhost.name) is vhost:
                others.append(connection)
        self.held_back = others
        for portion in portions(ours, GO_AHEAD_TOGETHER):
            for connection in portion:
                serve(connection, "flow", connection.go_ahead)
            yield None

    def alarm_text(self) -> str:
        """Return the reason in connection.blocked."""
        return " & ".join(text for source, text in ALARM_TEXTS.items() if source in self.alarms)

    # --- durability

    def _connect(self, journal: Journal | None) -> None:
        """Have a journal report to this broker."""
        if journal is not None:
            journal.failed = self._commit_failed
            journal.unencodable = self._not_encoded
            journal.caught_up = lambda: self.caught_up(journal)
            journal.begin = lambda steps: self.work.begin(steps, "commit")

    def when_committed(self, call: Callable[[], None], vhost: str | None = None) -> None:
        """Run `call` when everything reported so far is safe: at once if it is. `vhost`: what was reported for other
        virtual hosts is not waited for."""
        concerned = self.vhosts.values() if vhost is None else filter(None, [self.vhosts.get(vhost)])
        journals = dict.fromkeys([self.journal, *(each.journal for each in concerned)])
        waiting = [each for each in journals if each is not None and each.settled < each.ticket]
        if len(waiting) > 1:
            call = _Countdown(len(waiting), call).count
        for journal in waiting:
            journal.when_settled(journal.ticket, call)
        if not waiting:
            call()

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
        return self.work.begin(closing(connections, reason), "close")


class _Countdown:
    """Runs `call` when it was counted down `left` times."""

    def __init__(self, left: int, call: Callable[[], None]) -> None:
        self.left = left
        self.call = call

    def count(self) -> None:
        self.left -= 1
        if not self.left:
            self.call()


def _queue_deletions(vhost: VirtualHost, actor: Actor) -> Steps:
    for queue in one_by_one(list(vhost.queues.values())):
        yield vhost.delete_queue(queue, actor)
