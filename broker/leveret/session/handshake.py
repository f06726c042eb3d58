"""From the protocol header to connection.open-ok, and the connection class while running (0-9-1 1.4, 2.2.4).

What RabbitMQ answers with silence (an unknown mechanism, a malformed response, bad tuning, a method out of turn) is
`connection.drop()`: nothing is said, and the socket goes after three seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pamqp import commands

from leveret import errors
from leveret.engine.access import Refused
from leveret.engine.actor import Actor
from leveret.engine.changes import LoginFailed, LoginSucceeded, TuningRefused
from leveret.session import basic, lifetime, sasl, states
from leveret.wire.methods import method_frame, name_of
from leveret.wire.tables import Field, Table, plain

if TYPE_CHECKING:
    from leveret.session.connection import Connection

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
    """`AMQP 0 0 9 1` starts the handshake; anything else is answered with a header of ours and the end."""
    profile = connection.broker.profile
    if header in (b"AMQP\x00\x00\x09\x01", b"AMQP\x01\x01\x00\x09") or (
        profile.accepts_0_8 and header in (b"AMQP\x01\x01\x08\x00", b"AMQP\x01\x01\x09\x01")
    ):
        connection.state = states.STARTING
        connection.send(start_frame(connection, old=header[4:6] == b"\x01\x01" and header[6] >= 8))
        return
    connection.outbox.put(_counter_offer(header, profile.accepts_0_8))
    connection.state = states.CLOSED
    connection.ended = "close"
    connection.schedule_flush()


def _counter_offer(header: bytes, only_0_9_1: bool) -> bytes:
    """The header that RabbitMQ suggests (rabbit_reader:refuse_connection)."""
    if only_0_9_1 or (header[:6] == b"AMQP\x00\x00" and header[6] >= 9):
        return b"AMQP\x00\x00\x09\x01"
    return b"AMQP\x03\x01\x00\x00"


def server_properties(connection: Connection, old: bool = False) -> Table:
    """What connection.start tells of the server, as RabbitMQ's."""
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
    """connection.start."""
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
    """The SASL mechanisms offered here; ANONYMOUS needs a user to log in as."""
    broker = connection.broker
    return sasl.mechanisms(broker.profile, anonymous=broker.access.anonymous is not None)


def on_method(connection: Connection, method: Any) -> None:
    """A connection method before the connection runs."""
    name = name_of(method)
    if name not in states.TRANSITIONS.get(connection.state, {}):
        raise errors.unexpected_method(states.NAMES[connection.state])
    _BEFORE_RUNNING[name](connection, method)


def while_running(connection: Connection, method: Any) -> None:
    """A method on channel 0 of a running connection."""
    name = name_of(method)
    if name == "connection.close":
        lifetime.client_close(connection)
    elif name == "connection.update-secret":
        update_secret(connection)
    else:
        raise errors.unexpected_method(states.NAMES[connection.state])


def update_secret(connection: Connection) -> None:
    """connection.update-secret: with the secrets there are here nothing is new, but what the user may do is looked at
    again, in some versions for what was begun before as well."""
    broker = connection.broker
    connection.access_revision += 1
    if broker.profile.vhost_access_rechecked:
        broker.access.check_vhost(connection.user.name, connection.vhost.name)
    if broker.profile.consumers_rechecked:
        basic.recheck_consumers(connection)
        connection.vhost.publish_dead_letters()
    connection.send(method_frame(0, commands.Connection.UpdateSecretOk))


def start_ok(connection: Connection, method: Any) -> None:
    """connection.start-ok: mechanism and response."""
    table: Table = method.client_properties or {}
    connection.client_properties = table
    given = plain(table).get("capabilities")
    if isinstance(given, dict):
        connection.capabilities = frozenset(name for name, value in given.items() if value is True)
    connection.mechanism = method.mechanism
    if method.mechanism not in _mechanisms(connection):
        connection.broker.observers.notify(
            LoginFailed(connection.actor, connection, f"unsupported mechanism '{method.mechanism}'")
        )
        connection.drop()
        return
    _log_in(connection, method.response)


def secure_ok(connection: Connection, method: Any) -> None:
    """connection.secure-ok: none of the mechanisms here asks for a second round."""
    _log_in(connection, method.response)


def _log_in(connection: Connection, response: Any) -> None:
    raw = response if isinstance(response, bytes) else str(response).encode()
    access = connection.broker.access
    try:
        credentials = sasl.parse(connection.mechanism, raw)
    except sasl.MalformedResponse as error:
        connection.broker.observers.notify(LoginFailed(connection.actor, connection, str(error)))
        connection.drop()
        return
    connection.login = credentials.user
    loopback = connection.peer.loopback
    if credentials.anonymous:
        outcome = access.anonymously(loopback=loopback)
    else:
        outcome = access.authenticate(credentials.user, credentials.password, loopback=loopback)
    if isinstance(outcome, Refused):
        connection.broker.observers.notify(LoginFailed(connection.actor, connection, outcome.log))
        if "authentication_failure_close" in connection.capabilities:
            connection.state = states.OPENING  # so that the refusal is spoken aloud
            raise errors.login_refused(connection.mechanism)
        connection.drop()
        return
    connection.user = outcome
    connection.login = outcome.name
    connection.actor = Actor(outcome.name, connection.name)
    connection.broker.observers.notify(LoginSucceeded(connection.actor, connection))
    connection.state = states.TUNING
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


def tune_ok(connection: Connection, method: Any) -> None:
    """connection.tune-ok: what the client chose, within what was offered."""
    broker = connection.broker
    for name, value, offered, least in (
        ("channel_max", method.channel_max, broker.settings.amqp.channel_max, 1),
        ("frame_max", method.frame_max, broker.settings.amqp.frame_max, broker.profile.frame_min),
    ):
        if value == 0 and offered != 0:
            fault = f"0 (no limit) is higher than the maximum allowed value ({offered})"
        elif offered != 0 and value > offered:
            fault = f"{value} is higher than the maximum allowed value ({offered})"
        elif 0 < value < least:
            fault = f"{value} is lower than the minimum allowed value ({least})"
        else:
            continue
        reason = f"negotiated {name} = {fault}"
        broker.observers.notify(TuningRefused(connection.actor, connection, reason))
        connection.drop()
        return
    connection.channel_max = method.channel_max
    connection.frame_max = method.frame_max or 1 << 31
    connection.limit = connection.frame_max - 8
    connection.heartbeat = method.heartbeat
    connection.state = states.OPENING
    lifetime.start_heartbeat(connection)


def open_vhost(connection: Connection, method: Any) -> None:
    """connection.open: the virtual host, if it is there, the user may, and no limit is in the way."""
    broker = connection.broker
    name = method.virtual_host
    vhost = broker.vhosts.get(name)
    if vhost is None:
        raise errors.vhost_not_found(name)
    broker.check_connection_limits(connection, vhost)
    broker.access.check_vhost(connection.user.name, name)
    connection.vhost = vhost
    connection.state = states.RUNNING
    lifetime.opened(connection)
    connection.send(method_frame(0, commands.Connection.OpenOk))


_BEFORE_RUNNING: dict[str, Callable[[Any, Any], None]] = {
    "connection.start-ok": start_ok,
    "connection.secure-ok": secure_ok,
    "connection.tune-ok": tune_ok,
    "connection.open": open_vhost,
}
