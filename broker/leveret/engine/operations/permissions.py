"""Operations on permissions and topic permissions (docs: access-control; rabbit_auth_backend_internal).

The callers check that the virtual host exists, because RabbitMQ's errors for that differ.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from leveret.engine.changes import (
    PermissionsCleared,
    PermissionsSet,
    TopicPermissionsCleared,
    TopicPermissionsSet,
)
from leveret.engine.patterns import PatternError, check_pattern
from leveret.engine.users import NoSuchUserError

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller

log = logging.getLogger("leveret")


class NoSuchExchangeError(LookupError):
    """No exchange of that name in the virtual host. `name`: the one asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no such exchange: {name}")
        self.name = name


def set_permissions(
    broker: Broker, caller: Caller, user: str, vhost: str, configure: str, write: str, read: str
) -> bool:
    """Add or replace a user's permissions: three regular expressions. Returns whether there were none.

    Raises `NoSuchUserError`, `PatternError`.
    """
    try:
        if user in broker.access.users:
            for pattern in (configure, write, read):
                check_pattern(pattern, broker.profile.pattern_bytes)
        new = broker.access.set_permissions(user, vhost, configure, write, read)
    except NoSuchUserError:
        log.warning("Failed to set permissions for user '%s': the user does not exist", user)
        raise
    except PatternError as error:
        where = f"for user '{user}' in virtual host '{vhost}'"
        log.warning("Failed to set permissions %s: regular expression '%s' is invalid", where, error.pattern)
        raise
    broker.access_changed()
    broker.observers.notify(PermissionsSet(caller.actor, user, vhost, configure, write, read))
    return new


def clear_permissions(broker: Broker, caller: Caller, user: str, vhost: str) -> bool:
    """Clear a user's permissions; returns whether there were any. Raises `NoSuchUserError`."""
    if not broker.access.clear_permissions(user, vhost):
        return False
    broker.access_changed()
    broker.observers.notify(PermissionsCleared(caller.actor, user, vhost))
    return True


def set_topic_permissions(
    broker: Broker, caller: Caller, user: str, vhost: str, exchange: str, write: str, read: str
) -> bool:
    """Add or replace a user's permissions for routing keys of a topic exchange: two regular expressions.

    Returns whether the user had none in the virtual host. Raises `NoSuchUserError`, `PatternError`, and, where topic
    permissions belong to an exchange, `NoSuchExchangeError`.
    """
    for pattern in (write, read):
        check_pattern(pattern, broker.profile.pattern_bytes)
    if broker.profile.topic_permissions_bound and exchange not in broker.vhosts[vhost].exchanges:
        raise NoSuchExchangeError(exchange)
    new = broker.access.set_topic_permissions(user, vhost, exchange, write, read)
    broker.access_changed()
    broker.observers.notify(TopicPermissionsSet(caller.actor, user, vhost, exchange, write, read))
    return new


def clear_topic_permissions(
    broker: Broker, caller: Caller, user: str, vhost: str, exchange: str | None = None
) -> bool:
    """Clear a user's topic permissions in a virtual host, or those for one exchange; returns whether there were any.

    Raises `NoSuchUserError`.
    """
    if not broker.access.has_topic_permissions(user, vhost):
        return False
    steps = broker.access.clear_topic_permissions_steps(user, vhost, exchange)
    broker.work.begin(steps, "permissions", caller.owner, vhost=vhost)
    broker.access_changed()
    broker.observers.notify(TopicPermissionsCleared(caller.actor, user, vhost, exchange))
    return True
