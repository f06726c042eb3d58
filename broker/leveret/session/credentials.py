"""Credentials that expire: the connection is closed then, unless they are renewed (rabbit_reader)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from leveret import errors
from leveret.engine.authentication import Refused
from leveret.engine.changes import CredentialsExpired, SecretRefused
from leveret.engine.permissions import permissions_of

if TYPE_CHECKING:
    from leveret.session.connection import Connection

_TIMER = "credentials"


def watch(connection: Connection) -> None:
    """Close the connection when the credentials of its user expire."""
    user = connection.user
    expires_at = user.authority.expires_at if user is not None and user.authority is not None else None
    if expires_at is None:
        connection.disarm(_TIMER)
        return
    left = max(0, expires_at * 1000 - connection.broker.clock.now)
    connection.arm(_TIMER, left, lambda: _expired(connection))


def _expired(connection: Connection) -> None:
    connection.broker.observers.notify(CredentialsExpired(connection.actor, connection))
    connection.shut(errors.connection_forced("credential expired"))


def renew(connection: Connection, secret: str) -> None:
    """Replace the credentials of the user (rabbit_access_control:update_state). Those that do not expire stay.

    Raises 530, and `Suspended` if the answer is not there yet.
    """
    user, vhost = connection.user, connection.vhost
    if user is None or vhost is None or user.authority is None:
        return
    renewed = user.authority.renew(secret)
    if renewed is None:
        return
    if isinstance(renewed, Refused):
        refused = SecretRefused(connection.actor, connection, renewed.log, renewed.unanswered)
        connection.broker.observers.notify(refused)
        raise errors.secret_refused(renewed.unanswered)
    connection.user = user = replace(user, tags=renewed.tags, authority=renewed.authority)
    connection.caller = None
    for channel in connection.channels.values():
        broker = connection.broker
        channel.permissions = permissions_of(broker.access, broker.profile, user, vhost.name, broker.clock)
    watch(connection)
