"""connection.*: from the protocol header to connection.open-ok, while running, and the close (0-9-1 1.4, 2.2.4).

`TRANSITIONS` lists which methods are accepted in which state, their handlers, and the states that follow. Where
RabbitMQ does not answer (an unknown mechanism, a malformed response, invalid tuning), `Connection.drop` is called:
nothing is sent, and the socket is reset after three seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pamqp import commands

from leveret import errors
from leveret.engine.actor import Actor
from leveret.engine.authentication import Login, Refused
from leveret.engine.changes import (
    ConnectionAccepted,
    LoginFailed,
    LoginSucceeded,
    ProtocolRefused,
    SecretRenewed,
    TuningRefused,
)
from leveret.engine.clients import NO_FRAME_MAX
from leveret.engine.users import User
from leveret.session import basic, certificate_login, credentials, heartbeats, sasl, states
from leveret.wire.methods import method_frame, table_of
from leveret.wire.tables import Field, Table, plain
from leveret.work import Suspended

if TYPE_CHECKING:
    from pamqp.base import Frame

    from leveret.session.connection import Connection
    from leveret.work import Steps

#: Largest payload of frames that are no bodies, if no limit of frames was negotiated. RabbitMQ has none then.
WITHOUT_FRAME_MAX = 131072 - 8

CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


def on_protocol_header(connection: Connection, header: bytes) -> None:
    """Start the handshake for `AMQP 0 0 9 1`; answer any other header with one that is accepted, and close the
    socket."""
    profile = connection.broker.profile
    observers = connection.broker.observers
    observers.notify(ConnectionAccepted(connection.actor, connection))
    if header in (b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09") or (
        profile.accepts_0_8 and header in (b"AMQP\x01\x01\x08\x00", b"AMQP\x01\x01\x09\x01")
    ):
        connection.state = states.STARTING
        connection.send(start_frame(connection, old=header[4:6] == b"\x01\x01" and header[6] >= 8))
        return
    observers.notify(ProtocolRefused(connection.actor, connection, header))
    connection.outbox.put(_counter_offer(header, profile.accepts_0_8))
    connection.hang_up()


def _counter_offer(header: bytes, only_0_9_1: bool) -> bytes:
    """Return the header that RabbitMQ answers with (rabbit_reader:refuse_connection)."""
    if only_0_9_1 or (header[:6] == b"AMQP\x00\x00" and header[6] >= 9):
        return b"AMQP\x00\x00\x09\x01"
    return b"AMQP\x03\x01\x00\x00"


def server_properties(connection: Connection, old: bool = False) -> Table:
    """Return the properties of the server in connection.start, as RabbitMQ's."""
    profile = connection.broker.profile
    texts = {
        "cluster_name": connection.broker.cluster_name,
        "copyright": profile.copyright,
        "information": "Licensed under the MPL 2.0. Website: https://rabbitmq.com",
        "platform": profile.platform,
        "product": "RabbitMQ",
        "version": profile.version,
    }
    table: Table = {
        "capabilities": Field("F", {} if old else {name: Field("t", True) for name in CAPABILITIES}),
    }
    table.update((name, Field("S", text.encode())) for name, text in texts.items())
    return table


def start_frame(connection: Connection, old: bool) -> bytes:
    """Return connection.start as a frame."""
    mechanisms = " ".join(_mechanisms(connection))
    return method_frame(
        0,
        commands.Connection.Start,
        version_major=8 if old else 0,
        version_minor=0 if old else 9,
        server_properties=server_properties(connection, old),
        mechanisms=mechanisms,
        locales="en_US",
    )


def _mechanisms(connection: Connection) -> tuple[str, ...]:
    """Return the SASL mechanisms that are offered; ANONYMOUS needs a user to log in as."""
    broker = connection.broker
    return sasl.mechanisms(
        broker.profile,
        broker.settings.access.mechanisms,
        anonymous=broker.access.anonymous is not None,
        encrypted=connection.peer.encryption is not None,
    )


def on_method(connection: Connection, method: Frame) -> None:
    """Handle a method on channel 0. Raises 504 if it is not accepted in the connection's state."""
    transition = TRANSITIONS.get((connection.state, type(method)))
    if transition is None:
        raise errors.unexpected_method(states.NAMES[connection.state])
    if transition.handler(connection, method):
        connection.state = transition.next


def start_ok(connection: Connection, method: commands.Connection.StartOk) -> bool:
    """connection.start-ok: mechanism and response."""
    note_properties(connection, table_of(method.client_properties))
    connection.mechanism = method.mechanism
    if method.mechanism not in _mechanisms(connection):
        connection.broker.observers.notify(
            LoginFailed(connection.actor, connection, f"unsupported mechanism '{method.mechanism}'")
        )
        connection.drop()
        return False
    response = method.response if isinstance(method.response, bytes) else str(method.response).encode()
    if connection.mechanism == sasl.CR_DEMO:
        connection.login = response.decode("utf-8", "replace")
        connection.state = states.SECURING
        connection.send(method_frame(0, commands.Connection.Secure, challenge=sasl.CHALLENGE))
        return False
    return _log_in(connection, lambda: _first_login(connection, response))


def note_properties(connection: Connection, table: Table) -> None:
    """Note the properties of the client, and the capabilities among them."""
    connection.client_properties = table
    given = plain(table).get("capabilities")
    if isinstance(given, dict):
        connection.capabilities = frozenset(name for name, value in given.items() if value is True)


def secure_ok(connection: Connection, method: commands.Connection.SecureOk) -> bool:
    """connection.secure-ok: the second response of a mechanism with two."""
    response = method.response if isinstance(method.response, bytes) else str(method.response).encode()
    return _log_in(connection, lambda: _login(connection, connection.login or "", sasl.password_in(response)))


def _login(connection: Connection, name: str, password: str | None) -> Login:
    peer = connection.peer
    return Login(name, password, peer.peer_host, peer.loopback)


def _first_login(connection: Connection, response: bytes) -> Login | Refused:
    """Return what a response says. Raises `sasl.MalformedResponse`."""
    broker = connection.broker
    if connection.mechanism == sasl.EXTERNAL:
        name = certificate_login.name_in(connection.peer.encryption, broker.settings.access)
        return name if isinstance(name, Refused) else _login(connection, name, None)
    given = sasl.parse(connection.mechanism, response)
    access = broker.access
    if given.anonymous:  # as RabbitMQ, with the configured name and password
        return _login(connection, access.anonymous or "", access.anonymous_password)
    return _login(connection, given.user, given.password)


def _log_in(connection: Connection, begin: Callable[[], Login | Refused]) -> bool:
    """Log in, and answer with connection.tune. Raises `Suspended` if a backend needs time: then it is repeated."""
    try:
        login = connection.attempt or begin()
    except sasl.MalformedResponse as error:
        connection.broker.observers.notify(LoginFailed(connection.actor, connection, str(error)))
        connection.drop()
        return False
    outcome: User | Refused
    if isinstance(login, Login):
        connection.attempt, connection.login = login, login.name
        outcome = connection.broker.access.log_in(login)
        connection.attempt = None
    else:
        outcome = login
    if not note_login(connection, outcome):
        return False
    if isinstance(login, Login) and isinstance(outcome, User) and outcome.authority is not None:
        connection.attempt = login  # another node may have to ask again
    connection.broker.observers.notify(LoginSucceeded(connection.actor, connection))
    settings = connection.broker.settings.amqp
    connection.send(
        method_frame(
            0,
            commands.Connection.Tune,
            channel_max=settings.channel_max,
            frame_max=settings.frame_max,
            heartbeat=settings.heartbeat,
        )
    )
    return True


def note_login(connection: Connection, outcome: User | Refused) -> bool:
    """Note who has logged in; or answer a refused login, and return False."""
    if isinstance(outcome, Refused):
        connection.broker.observers.notify(LoginFailed(connection.actor, connection, outcome.log))
        if "authentication_failure_close" in connection.capabilities:
            connection.refuse_login(errors.login_refused(connection.mechanism))
        else:
            connection.drop()
        return False
    connection.user = outcome
    connection.login = outcome.name
    connection.actor = Actor(outcome.name, connection.name)
    return True


def tune_ok(connection: Connection, method: commands.Connection.TuneOk) -> bool:
    """connection.tune-ok: the client's choice, within what was offered."""
    broker = connection.broker
    offered = broker.settings.amqp
    wrong = _wrong_limit("channel_max", method.channel_max, offered.channel_max, 1) or _wrong_limit(
        "frame_max", method.frame_max, offered.frame_max, broker.profile.frame_min
    )
    if wrong:
        broker.observers.notify(TuningRefused(connection.actor, connection, wrong))
        connection.drop()
        return False
    tune(connection, method.channel_max, method.frame_max, method.heartbeat)
    return True


def tune(connection: Connection, channel_max: int, frame_max: int, heartbeat: int) -> None:
    """Set the limits that were agreed on, and begin to send heartbeats. 0: no limit, no heartbeats."""
    connection.channel_max = channel_max
    connection.frame_max = frame_max or NO_FRAME_MAX
    most = max(connection.broker.max_message_size, WITHOUT_FRAME_MAX)
    connection.body_limit = min(connection.frame_max - 8, most)
    connection.limit = connection.body_limit if frame_max else WITHOUT_FRAME_MAX
    connection.heartbeat = heartbeat
    heartbeats.start(connection)


def _wrong_limit(name: str, value: int, offered: int, least: int) -> str:
    """Return RabbitMQ's log line for a limit that is too high or too low; 0 is no limit."""
    if value == 0 and offered != 0:
        return f"negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({offered})"
    if offered != 0 and value > offered:
        return f"negotiated {name} = {value} is higher than the maximum allowed value ({offered})"
    if 0 < value < least:
        return f"negotiated {name} = {value} is lower than the minimum allowed value ({least})"
    return ""


def open_vhost(connection: Connection, method: commands.Connection.Open) -> bool:
    """connection.open: the virtual host, if it exists, the user has access, and no limit is reached. One that another
    node serves is opened there: that node gets this frame and all that follow."""
    broker, user = connection.broker, connection.user
    name = method.virtual_host
    vhost = broker.vhosts.get(name)
    if vhost is None or user is None:
        if user is not None and name in broker.elsewhere:
            broker.check_node_limit()
            broker.access.check_vhost(user, name, connection.peer.peer_host)
            if broker.other_nodes is None:
                raise errors.vhost_down(name, user.name)
            raise Suspended(broker.other_nodes.reach(connection, name))
        raise errors.vhost_not_found(name)
    vhost.check_kept()
    broker.check_connection_limits(connection, vhost)
    broker.access.check_vhost(user, name, connection.peer.peer_host)
    connection.opened(user, vhost)
    connection.send(method_frame(0, commands.Connection.OpenOk))
    credentials.watch(connection)
    return True


def update_secret(connection: Connection, method: commands.Connection.UpdateSecret) -> bool:
    """connection.update-secret: the user stays the same, but permissions are checked again, in some versions also those
    of existing consumers."""
    broker, vhost = connection.broker, connection.vhost
    credentials.renew(connection, method.new_secret or "")
    connection.access_revision += 1
    user = connection.user
    if broker.profile.vhost_access_rechecked and user is not None and vhost is not None:
        broker.access.check_vhost(user, vhost.name, connection.peer.peer_host)
    connection.begin(_renewed(connection, method.reason or ""), "connection.update-secret")
    return True


def _renewed(connection: Connection, reason: str) -> Steps:
    broker = connection.broker
    if broker.profile.consumers_rechecked:
        for channel in list(connection.channels.values()):
            yield from basic.recheck_consumers(channel)
        connection.publish_dead_letters()
    connection.send(method_frame(0, commands.Connection.UpdateSecretOk))
    broker.observers.notify(SecretRenewed(connection.actor, connection, reason))


def close(connection: Connection, method: commands.Connection.Close) -> bool:
    """connection.close from the client."""
    connection.close_by_client()
    return True


def close_ok(connection: Connection, method: commands.Connection.CloseOk) -> bool:
    """connection.close-ok."""
    connection.hang_up()
    return True


def close_again(connection: Connection, method: commands.Connection.Close) -> bool:
    """connection.close from the client that has crossed the broker's."""
    connection.send(method_frame(0, commands.Connection.CloseOk))
    return True


class Transition(NamedTuple):
    """`handler`: handles a method, and returns whether the connection enters the state `next`."""

    handler: Callable[[Connection, Any], bool]  # each has the class of its method
    next: int


#: State and method -> handler, and the state that follows.
TRANSITIONS: dict[tuple[int, type[Frame]], Transition] = {
    (states.STARTING, commands.Connection.StartOk): Transition(start_ok, states.TUNING),
    (states.SECURING, commands.Connection.SecureOk): Transition(secure_ok, states.TUNING),
    (states.TUNING, commands.Connection.TuneOk): Transition(tune_ok, states.OPENING),
    (states.OPENING, commands.Connection.Open): Transition(open_vhost, states.RUNNING),
    (states.RUNNING, commands.Connection.UpdateSecret): Transition(update_secret, states.RUNNING),
    (states.RUNNING, commands.Connection.Close): Transition(close, states.CLOSED),
    (states.CLOSING, commands.Connection.CloseOk): Transition(close_ok, states.CLOSED),
    (states.CLOSING, commands.Connection.Close): Transition(close_again, states.CLOSING),
}
