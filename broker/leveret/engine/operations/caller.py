"""The caller of an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from leveret import errors
from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.permissions import Permissions, Unrestricted, permissions_of

if TYPE_CHECKING:
    from leveret.engine.clients import ClientConnectionBase
    from leveret.engine.users import User
    from leveret.engine.vhost import VirtualHost
    from leveret.queues.queue import Queue
    from leveret.work import Owner


class Caller(Struct, frozen=True):
    """The caller of an operation.

    `actor`: in change records; the permissions of its user are checked. `connection`: the AMQP connection, which owns
    the exclusive queues that it declares; None over HTTP, where exclusive queues cannot be used. `checked`: False for
    the broker itself and for definitions: permissions, reserved names and owners are not checked. `request`: the HTTP
    request, None over AMQP. `may`: the permissions of the connection in its virtual host; None: they are looked up.
    `user`: who has logged in, if an authority decides about that user.
    """

    actor: Actor
    connection: ClientConnectionBase | None = None
    checked: bool = True
    request: Owner | None = None
    may: Permissions | None = None
    user: User | None = None

    @property
    def owner(self) -> Owner | None:
        """Who waits for a job of the operation."""
        return self.request if self.connection is None else self.connection

    def permissions(self, vhost: VirtualHost) -> Permissions:
        """Return the permissions of the caller in a virtual host."""
        if self.may is not None and self.may.vhost == vhost.name:
            return self.may
        access, profile = vhost.engine.access, vhost.profile
        if not self.checked:
            return Unrestricted(access, profile, self.actor.user, vhost.name)
        if self.user is not None:
            return permissions_of(access, profile, self.user, vhost.name, vhost.engine.clock)
        return Permissions(access, profile, self.actor.user, vhost.name)

    def check_owner(self, queue: Queue) -> None:
        """Raise 405 if the queue is exclusive to another connection."""
        if self.checked and queue.owner is not None and queue.owner is not self.connection:
            raise errors.queue_locked(queue.name, queue.vhost)


#: The broker itself.
INTERNAL_CALLER = Caller(INTERNAL, checked=False)

_LINE_ENDS = str.maketrans("", "", "\r\n")


def stripped(name: str) -> str:
    """Return a name without line ends (rabbit_channel:strip_cr_lf)."""
    return name.translate(_LINE_ENDS) if "\r" in name or "\n" in name else name
