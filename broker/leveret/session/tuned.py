"""What a client and the broker have agreed on before connection.open: another node can go on from there.

The client has logged in at the node that it is connected to. The node that serves its virtual host gets this, then the
octets of the client from connection.open on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from leveret.engine.authentication import Login, Refused
from leveret.engine.changes import ConnectionAccepted
from leveret.engine.clients import NO_FRAME_MAX
from leveret.engine.users import User
from leveret.session import handshake, states
from leveret.session.peer import Peer
from leveret.wire.tables import decode_table, encode_table
from leveret.work import Suspended

if TYPE_CHECKING:
    from leveret.session.connection import Connection
    from leveret.work import Job, Steps


class Tuned(Struct, frozen=True):
    """One client. `user`: was authenticated by the other node. `delegated`: what the user may do is not in the
    directory, so that the backends of this node are asked, too; with `password`, None if a certificate has proved the
    name. `client_properties`: an AMQP table. `channel_max`, `frame_max`, `heartbeat`: as the client has chosen."""

    peer: Peer
    user: str
    delegated: bool
    password: str | None
    mechanism: str
    client_properties: bytes
    channel_max: int
    frame_max: int
    heartbeat: int

    @classmethod
    def of(cls, connection: Connection) -> Tuned:
        """Return what a connection that waits for connection.open has agreed on."""
        attempt = connection.attempt
        return cls(
            connection.peer,
            attempt.name if attempt is not None else connection.login or "",
            attempt is not None,
            attempt.password if attempt is not None else None,
            connection.mechanism,
            encode_table(connection.client_properties),
            connection.channel_max,
            connection.frame_max if connection.frame_max != NO_FRAME_MAX else 0,
            connection.heartbeat,
        )

    def encode(self) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(self)


def decode_tuned(data: bytes) -> Tuned:
    """Decode what `Tuned.encode` returned. Raises `ValueError`."""
    try:
        return msgspec.json.decode(data, type=Tuned)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def go_on(connection: Connection, tuned: Tuned) -> Job:
    """Have a new connection, with the peer that `tuned` names, wait for connection.open. Returns the job after which it
    does; octets that are passed before are not handled."""
    connection.broker.observers.notify(ConnectionAccepted(connection.actor, connection))
    connection.state = states.TUNING
    connection.mechanism = tuned.mechanism
    handshake.note_properties(connection, decode_table(tuned.client_properties)[0])
    return connection.begin(_steps(connection, tuned), "login")


def _steps(connection: Connection, tuned: Tuned) -> Steps:
    access, peer = connection.broker.access, connection.peer
    connection.login = tuned.user
    outcome: User | Refused | None = None
    if not tuned.delegated:
        outcome = access.users.get(tuned.user) or Refused(f"user '{tuned.user}' is gone")
    login = Login(tuned.user, tuned.password, peer.peer_host, peer.loopback)
    while outcome is None:
        try:
            outcome = access.log_in(login)
        except Suspended as waiting:
            yield waiting.job
    if isinstance(outcome, User) and outcome.authority is not None:
        connection.attempt = login
    if handshake.note_login(connection, outcome):
        handshake.tune(connection, tuned.channel_max, tuned.frame_max, tuned.heartbeat)
        connection.state = states.OPENING
