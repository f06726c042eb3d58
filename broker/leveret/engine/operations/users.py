"""Operations on users (docs: access-control; rabbit_auth_backend_internal)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leveret.engine.changes import UserCreated, UserDeleted, UserPasswordChanged, UserReplaced, UserTagsSet
from leveret.engine.users import user_from_json

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller


def put_user(broker: Broker, caller: Caller, name: str, fields: Mapping[str, object]) -> bool:
    """Add or replace a user; limits that are not given stay. Returns whether it is new.

    `fields`: tags, password or password_hash, hashing_algorithm, limits. Raises `UserError`, `LimitError`.
    """
    old = broker.access.users.get(name)
    given = user_from_json(name, fields if old is None else {"limits": old.limits, **fields})
    broker.access.users.put(given)
    broker.access_changed()
    notify = broker.observers.notify
    new_password = bool(fields.get("password") or fields.get("password_hash"))
    if old is None:
        notify(UserCreated(caller.actor, name))
    else:
        notify(UserReplaced(caller.actor, name))
        if new_password:
            notify(UserPasswordChanged(caller.actor, name))
    # RabbitMQ has no event for new tags without a new password.
    if given.tags if old is None else new_password:
        notify(UserTagsSet(caller.actor, name, given.tags))
    return old is None


def delete_user(broker: Broker, caller: Caller, name: str) -> None:
    """Delete a user with all permissions, and close its connections. Raises `NoSuchUserError`."""
    broker.access.forget_user(name)
    broker.access_changed()
    broker.observers.notify(UserDeleted(caller.actor, name))
    reason = f"user '{name}' is deleted"
    theirs = [one for one in broker.connections if one.user is not None and one.user.name == name]
    broker.shut(theirs, reason)
