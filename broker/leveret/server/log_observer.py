"""An observer that logs changes in the lines that RabbitMQ 4.3.6 writes, for readers that look for its texts.

RabbitMQ has an Erlang process for each connection, which its lines name. Here they have numbers of the same form.
A socket that sends nothing, as the probes of load balancers and orchestrators, is not logged at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from leveret.engine.changes import (
    AlarmCleared,
    AlarmSet,
    ChannelRefused,
    ConnectionAccepted,
    ConnectionClosed,
    ConnectionCrowdedOut,
    ConnectionLost,
    ConnectionOpened,
    ConnectionPassedOn,
    ConnectionRefused,
    CredentialsExpired,
    HeartbeatMissed,
    LintFound,
    LoginFailed,
    LoginSucceeded,
    PermissionsCleared,
    PermissionsSet,
    ProtocolRefused,
    QueueCrashed,
    RepliesDropped,
    SecretRefused,
    SecretRenewed,
    StreamUnreadable,
    TopicPermissionsCleared,
    TopicPermissionsSet,
    TuningRefused,
    UserCreated,
    UserDeleted,
    UserPasswordChanged,
    UserPasswordCleared,
    UserTagsSet,
    VhostCreated,
    VhostDeleted,
    VhostDeletionStarted,
    VhostProtectionSet,
    VhostTracingSet,
)
from leveret.engine.clients import ClientConnection, ClientConnectionBase
from leveret.engine.observers import Observer, on
from leveret.errors import AmqpError
from leveret.server.log import channels, connections, log
from leveret.wire.erlang import Atom, Quoted, pretty
from leveret.wire.methods import METHOD_NAMES
from leveret.wire.tables import plain

#: Names that Erlang prints without quotes.
_ATOM = re.compile(r"[a-z][a-zA-Z0-9_@]*")


#: RabbitMQ shows a term here.
_UNKNOWN_MECHANISM = """{handshake_error,starting,
                 {amqp_error,command_invalid,
                             "unknown authentication mechanism '%s'",
                             'connection.start_ok'}}"""

#: How the reasons begin for which connections are closed without anybody asking for it.
_OWN_ENDS = ("broker forced connection closure", "credential expired")


class LogObserver(Observer):
    """Writes the lines RabbitMQ would. `node`: the node's name. `now`: the time in ms since the epoch."""

    def __init__(self, node: str, now: Callable[[], int]) -> None:
        self.node = node if _ATOM.fullmatch(node) else f"'{node}'"
        self.now = now
        self._numbers: dict[ClientConnectionBase, int] = {}
        self._last_number = 0
        self._ended: set[ClientConnection] = set()
        self._deleted: set[str] = set()  # virtual hosts that are being deleted

    # --- how a line names a connection

    def _pid(self, connection: ClientConnectionBase) -> str:
        """Return the number of a connection in the form of an Erlang process."""
        return f"<0.{self._numbers.get(connection, 0)}.0>"

    def _duration(self, connection: ClientConnection) -> str:
        """Return how long a connection has lasted, as RabbitMQ writes it: `1M, 3s`, or `97ms` below a second."""
        lasted_ms = max(self.now() - connection.connected_at, 0)
        if lasted_ms < 1000:
            return f"{lasted_ms}ms"
        minutes, seconds = divmod(lasted_ms // 1000, 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        parts = [(days, "D"), (hours, "H"), (minutes, "M"), (seconds, "s")]
        while parts[0][0] == 0 and len(parts) > 1:
            del parts[0]
        return ", ".join(f"{number}{unit}" for number, unit in parts)

    def _of(self, connection: ClientConnectionBase) -> dict[str, object]:
        """Return the metadata of a record about a connection."""
        return {"pid": self._pid(connection)}

    # --- connections

    @on(ConnectionAccepted)
    def _accepted(self, change: ConnectionAccepted) -> None:
        connection = change.connection
        self._last_number += 1
        self._numbers[connection] = self._last_number
        connections.info("accepting AMQP connection %s", connection.name, extra=self._of(connection))

    @on(LoginSucceeded)
    def _login_succeeded(self, change: LoginSucceeded) -> None:
        connection = change.connection
        self._log_name(connection)
        connections.info(
            "User '%s' authenticated successfully", change.actor.user, extra=self._of(connection)
        )

    def _log_name(self, connection: ClientConnection) -> None:
        name = _given_name(connection)
        if name:
            text = "connection %s has a client-provided name: %s"
            connections.info(text, connection.name, name, extra=self._of(connection))

    @on(ConnectionOpened)
    def _connection_opened(self, change: ConnectionOpened) -> None:
        connection = change.connection
        assert connection.vhost is not None
        connections.info(
            "connection %s: user '%s' authenticated and granted access to vhost '%s'",
            _full_name(connection),
            change.actor.user,
            connection.vhost.name,
            extra=self._of(connection),
        )

    @on(ConnectionClosed)
    def _connection_closed(self, change: ConnectionClosed) -> None:
        connection = change.connection
        if connection in self._numbers and connection not in self._ended:
            inside = f"{_full_name(connection)}{_login(connection)}, duration: '{self._duration(connection)}'"
            connections.info("closing AMQP connection (%s)", inside, extra=self._of(connection))
        self._ended.discard(connection)
        self._numbers.pop(connection, None)

    @on(ConnectionPassedOn)
    def _connection_passed_on(self, change: ConnectionPassedOn) -> None:
        """The node that serves it logs that it is accepted and granted access, and its end."""
        connection = change.connection
        connections.info(
            "connection %s: user '%s' is passed on to the node that serves vhost '%s'",
            _full_name(connection),
            change.actor.user,
            change.vhost,
            extra=self._of(connection),
        )
        self._numbers.pop(connection, None)

    @on(ConnectionLost)
    def _connection_lost(self, change: ConnectionLost) -> None:
        self._log_end(change.connection, "client unexpectedly closed TCP connection", connections.warning)

    @on(HeartbeatMissed)
    def _heartbeat_missed(self, change: HeartbeatMissed) -> None:
        connection = change.connection
        reason = f"missed heartbeats from client, timeout: {connection.heartbeat}s"
        self._log_end(connection, reason, connections.error, login=False)

    def _log_end(
        self, connection: ClientConnection, reason: str, write: Callable[..., None], login: bool = True
    ) -> None:
        """Log that a connection ends in another way than by connection.close."""
        self._ended.add(connection)
        inside = _full_name(connection) + (_login(connection) if login else "")
        write(
            "closing AMQP connection %s (%s, duration: '%s'):\n%s",
            self._pid(connection),
            inside,
            self._duration(connection),
            reason,
            extra=self._of(connection),
        )

    @on(ProtocolRefused)
    def _protocol_refused(self, change: ProtocolRefused) -> None:
        connection, header = change.connection, change.header
        if header.startswith(b"AMQP"):
            if header[5:8] == b"\x01\x00\x00":
                self._ended.add(connection)
                connections.error(
                    "closing AMQP 1.0 connection (%s, duration: '%s'): RabbitMQ requires SASL security layer "
                    "(expected protocol ID 3, but client sent protocol ID %d)",
                    connection.name,
                    self._duration(connection),
                    header[4],
                    extra=self._of(connection),
                )
            else:
                version = ",".join(map(str, header[4:8]))
                self._log_end(connection, f"{{bad_version,{{{version}}}}}", connections.error)
            return
        self._ended.add(connection)
        connections.error(
            "closing AMQP connection %s (duration: '%s'):\n%s",
            connection.name,
            self._duration(connection),
            _other_protocol(header),
            extra=self._of(connection),
        )

    @on(ConnectionRefused)
    def _connection_refused(self, change: ConnectionRefused) -> None:
        connection, error = change.connection, change.error
        if not isinstance(error, AmqpError) or error.code == 403:  # a refused login has its own line
            return
        name, login = _full_name(connection), _login(connection)
        if error.name == "CONNECTION_FORCED":
            if not error.explanation.startswith(_OWN_ENDS):
                text = "Closing connection %s because %s"
                shown = pretty(Quoted(error.explanation))
                log.info(text, self._pid(connection), shown, extra=self._of(connection))
            connections.warning(
                "Closing AMQP connection %s (%s%s): %s",
                self._pid(connection),
                name,
                login,
                error.explanation,
                extra=self._of(connection),
            )
            return
        if connection.vhost is None:
            inside, reason = f"{name}, user: '{change.actor.user}', state: opening", error.explanation
        else:
            inside = f"{name}{login}, state: running"
            reason = f" operation {_operation(change.method)} caused a connection exception "
            reason += f"{error.name.lower()}: {pretty(Quoted(error.explanation))}"
        place = f", channel {change.channel}" if connection.vhost is not None else ""
        connections.error(
            "Error on AMQP connection %s (%s)%s:\n%s",
            self._pid(connection),
            inside,
            place,
            reason,
            extra=self._of(connection),
        )

    @on(ChannelRefused)
    def _channel_refused(self, change: ChannelRefused) -> None:
        channel, error = change.channel, change.error
        connection = channel.connection
        if isinstance(error, AmqpError):
            reason = f"{error.name.lower()}: {error.explanation}"
        else:
            reason = str(error)
        channels.error(
            "Channel error on connection %s (%s%s), channel %d:\noperation %s caused a channel exception %s",
            self._pid(connection),
            connection.name,
            _login(connection),
            channel.number,
            _operation(change.method),
            reason,
            extra=self._of(connection),
        )

    @on(LoginFailed)
    def _login_failed(self, change: LoginFailed) -> None:
        connection = change.connection
        self._log_name(connection)
        if change.reason.startswith("unsupported mechanism"):
            self._log_end(connection, _UNKNOWN_MECHANISM % connection.mechanism, connections.error)
            return
        connections.warning(
            "User '%s' failed to authenticate: %s",
            connection.login or "",
            change.reason,
            extra=self._of(connection),
        )
        connections.error(
            "Error on AMQP connection %s (%s, state: starting):\n%s login refused: %s",
            self._pid(connection),
            connection.name,
            connection.mechanism,
            change.reason,
            extra=self._of(connection),
        )

    @on(CredentialsExpired)
    def _credentials_expired(self, change: CredentialsExpired) -> None:
        connection = change.connection
        connections.warning(
            "closing AMQP connection %s of user '%s': credential has expired",
            connection.name,
            change.actor.user,
            extra=self._of(connection),
        )

    @on(SecretRenewed)
    def _secret_renewed(self, change: SecretRenewed) -> None:
        connections.info(
            "connection %s: user '%s' updated secret, reason: %s",
            _full_name(change.connection),
            change.actor.user,
            change.reason,
            extra=self._of(change.connection),
        )

    @on(SecretRefused)
    def _secret_refused(self, change: SecretRefused) -> None:
        text = (
            "Secret update for user '%s' failed: %s"
            if change.failed
            else "Secret update was refused for user '%s': %s"
        )
        connections.error(text, change.actor.user, change.reason, extra=self._of(change.connection))

    @on(TuningRefused)
    def _tuning_refused(self, change: TuningRefused) -> None:
        connection = change.connection
        self._ended.add(connection)
        connections.error(
            "closing AMQP connection %s (%s):\nfailed to negotiate connection parameters: %s",
            self._pid(connection),
            _full_name(connection),
            change.reason,
            extra=self._of(connection),
        )

    @on(ConnectionCrowdedOut)
    def _crowded_out(self, change: ConnectionCrowdedOut) -> None:
        connections.warning(
            "connection %s is closed for a new one: it has not logged in, and few file descriptors are left",
            change.connection.name,
        )

    @on(RepliesDropped)
    def _replies_dropped(self, change: RepliesDropped) -> None:
        connections.warning(
            "connection %s does not read: direct replies to it are dropped meanwhile", change.connection.name
        )

    # --- users, permissions and virtual hosts

    @on(UserCreated)
    def _user_created(self, change: UserCreated) -> None:
        log.info("Created user '%s'", change.name)

    @on(UserPasswordChanged)
    def _password_changed(self, change: UserPasswordChanged) -> None:
        log.info("Successfully changed password for user '%s'", change.name)

    @on(UserPasswordCleared)
    def _password_cleared(self, change: UserPasswordCleared) -> None:
        log.info("Clearing password for user '%s'", change.name)

    @on(UserTagsSet)
    def _user_tags_set(self, change: UserTagsSet) -> None:
        log.info("Successfully set user tags for user '%s' to %s", change.name, atoms(change.tags))

    @on(UserDeleted)
    def _user_deleted(self, change: UserDeleted) -> None:
        log.info("Deleted user '%s'", change.name)
        log.info("Closing all connections for user '%s' because the user is being deleted", change.name)

    @on(PermissionsSet)
    def _permissions_set(self, change: PermissionsSet) -> None:
        text = "Successfully set permissions for user '%s' in virtual host '%s' to '%s', '%s', '%s'"
        log.info(text, change.user, change.vhost, change.configure, change.write, change.read)

    @on(PermissionsCleared)
    def _permissions_cleared(self, change: PermissionsCleared) -> None:
        if change.vhost not in self._deleted:
            text = "Successfully cleared permissions for user '%s' in virtual host '%s'"
            log.info(text, change.user, change.vhost)

    @on(TopicPermissionsSet)
    def _topic_permissions_set(self, change: TopicPermissionsSet) -> None:
        place = f"on exchange '{change.exchange}' for user '{change.user}' in virtual host '{change.vhost}'"
        text = "Successfully set topic permissions %s to '%s', '%s'"
        log.info(text, place, change.write, change.read)

    @on(TopicPermissionsCleared)
    def _topic_permissions_cleared(self, change: TopicPermissionsCleared) -> None:
        place = "" if change.exchange is None else f"on exchange '{change.exchange}' "
        text = "Successfully cleared topic permissions %sfor user '%s' in virtual host '%s'"
        log.info(text, place, change.user, change.vhost)

    @on(VhostCreated)
    def _vhost_created(self, change: VhostCreated) -> None:
        text = "Adding vhost '%s' (description: '%s', tags: %s)"
        log.info(text, change.name, change.description, atoms(change.tags))

    @on(VhostTracingSet)
    def _tracing_set(self, change: VhostTracingSet) -> None:
        log.info("%s tracing for vhost '%s'", "Enabling" if change.tracing else "Disabling", change.name)

    @on(VhostProtectionSet)
    def _protection_set(self, change: VhostProtectionSet) -> None:
        verb = "Enabling" if change.protected else "Disabling"
        log.info("%s deletion protection for virtual host '%s'", verb, change.name)

    @on(VhostDeletionStarted)
    def _vhost_deletion_started(self, change: VhostDeletionStarted) -> None:
        name = change.name
        self._deleted.add(name)
        log.info("Deleting vhost '%s'", name)
        log.info("Clearing permissions in vhost '%s' because it's being deleted", name)
        log.info("Deleting queues in vhost '%s' because it's being deleted", name)

    @on(VhostDeleted)
    def _vhost_deleted(self, change: VhostDeleted) -> None:
        name = change.name
        self._deleted.discard(name)
        log.info("Deleting exchanges in vhost '%s' because it's being deleted", name)
        log.info("Clearing policies and runtime parameters in vhost '%s' because it's being deleted", name)
        log.info("Closing all connections in vhost '%s' because it's being deleted", name)

    # --- queues and resources

    @on(QueueCrashed)
    def _queue_crashed(self, change: QueueCrashed) -> None:
        queue = change.queue
        kept = (
            "they are lost"
            if queue.queue_journal is None
            else "those that are persistent are in the message log and come back when the broker is started again"
        )
        log.error(
            "queue '%s' in vhost '%s' has crashed: %s; %s. It takes and gives nothing until then, and may be deleted.",
            queue.name,
            change.vhost,
            queue.crashed,
            kept,
        )

    @on(StreamUnreadable)
    def _stream_unreadable(self, change: StreamUnreadable) -> None:
        log.error(
            "stream '%s' in vhost '%s' cannot be read: %s. The consumer that came to it is cancelled.",
            change.queue.name,
            change.vhost,
            change.reason,
        )

    @on(LintFound)
    def _lint_found(self, change: LintFound) -> None:
        log.warning("%s", change.finding)

    @on(AlarmSet)
    def _alarm_set(self, change: AlarmSet) -> None:
        log.warning(
            "%s resource limit alarm set on node %s.\n\n%s\n"
            "*** Publishers will be blocked until this alarm clears ***\n%s\n",
            change.source,
            self.node,
            "*" * 58,
            "*" * 58,
        )

    @on(AlarmCleared)
    def _alarm_cleared(self, change: AlarmCleared) -> None:
        log.warning("%s resource limit alarm cleared on node %s", change.source, self.node)
        log.warning("%s resource limit alarm cleared across the cluster", change.source)


def atoms(names: Iterable[str]) -> str:
    """Return names as Erlang prints a list of atoms: `[management,'my-tag']`."""
    return pretty([Atom(name) for name in names])


def _given_name(connection: ClientConnection) -> str:
    """Return the client property connection_name; empty if there is none."""
    name = plain(connection.client_properties).get("connection_name", "")
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)


def _full_name(connection: ClientConnection) -> str:
    """Return the name of a connection, and the one that the client gave it."""
    name = _given_name(connection)
    return f"{connection.name} - {name}" if name else connection.name


def _login(connection: ClientConnectionBase) -> str:
    """Return virtual host and user of a connection, as RabbitMQ's lines name them; empty before the login."""
    if connection.vhost is not None:
        return f", vhost: '{connection.vhost.name}', user: '{connection.actor.user}'"
    return f", vhost: 'none', user: '{connection.actor.user}'" if connection.user is not None else ""


def _operation(method: int) -> str:
    """Return the name of a method; RabbitMQ has none for errors that no method caused."""
    return METHOD_NAMES.get((method >> 16, method & 0xFFFF), "none").replace("-", "_")


def _other_protocol(header: bytes) -> str:
    """Return RabbitMQ's text for a client of another protocol."""
    if header.startswith(b"GET "):
        return "HTTP GET request detected on AMQP port. Ensure the client is connecting to the correct port."
    if header[:2] == b"\x16\x03" and header[5:6] == b"\x01":
        return (
            "TLS client detected on non-TLS AMQP port. Ensure the client is connecting to the correct port."
        )
    printable = all(32 <= octet < 127 for octet in header)
    shown = f'"{header.decode()}"' if printable else ",".join(map(str, header))
    return f"client did not start with AMQP protocol header: <<{shown}>>"
