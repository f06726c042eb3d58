"""Operations on users (docs: access-control; rabbit_auth_backend_internal)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from leveret.engine.changes import (
    UserCreated,
    UserDeleted,
    UserPasswordChanged,
    UserPasswordCleared,
    UserReplaced,
    UserTagsSet,
)
from leveret.engine.users import (
    NoSuchUserError,
    User,
    UserError,
    UserExistsError,
    checked_name,
    hash_password,
    user_from_json,
)

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller
    from leveret.work import Job, Steps

log = logging.getLogger("leveret")


def put_user(broker: Broker, caller: Caller, name: str, fields: Mapping[str, object]) -> bool:
    """Add or replace a user; limits that are not given stay. Returns whether it is new.

    `fields`: tags, password or password_hash, hashing_algorithm, limits. Raises `UserError`, `LimitError`.
    """
    old = broker.access.users.get(name)
    given = user_from_json(
        name, fields if old is None else {"limits": old.limits, **fields}, broker.access.users.algorithm
    )
    if "password" in fields and _problem(broker, name, str(fields["password"])):
        raise UserError("credential_validation_failed")
    broker.access.users.put(given)
    broker.access_changed()
    notify = broker.observers.notify
    if old is None:
        notify(UserCreated(caller.actor, name))
        if given.tags:
            notify(UserTagsSet(caller.actor, name, given.tags))
        return True
    notify(UserReplaced(caller.actor, name))
    if "password" in fields:
        notify(UserPasswordChanged(caller.actor, name))
        notify(UserTagsSet(caller.actor, name, given.tags))
    elif "password_hash" not in fields:  # RabbitMQ has no event for a new hash, and none for tags with it
        notify(UserTagsSet(caller.actor, name, given.tags))
        notify(UserPasswordCleared(caller.actor, name))
    return False


class PasswordError(ValueError):
    """A new password that does not meet the rules; the text is RabbitMQ's."""


def _problem(broker: Broker, name: str, password: str) -> str:
    """Return why a password does not meet the rules; empty if it does."""
    validator = broker.access.validator
    if validator is None:
        return ""
    problem = validator.problem(password)
    if problem:
        log.error("Credential validation for user '%s' failed!", name)
    return problem


def _check_password(broker: Broker, name: str, password: str) -> None:
    """Raise `PasswordError` unless a password meets the rules."""
    problem = _problem(broker, name, password)
    if problem:
        raise PasswordError(problem)


def add_user(
    broker: Broker, caller: Caller, name: str, password: str, *, hashed: bytes | None = None
) -> None:
    """Add a user without tags. `hashed`: the hash of the password instead of it.

    Raises `UserExistsError`, `UserError`, `PasswordError`.
    """
    users = broker.access.users
    if hashed is None:
        _check_password(broker, name, password)
        user = User(checked_name(name), hash_password(password, users.algorithm), users.algorithm)
    else:
        user = User(checked_name(name), hashed)
    if name in users:
        log.warning("Failed to add user '%s': the user already exists", name)
        raise UserExistsError(name)
    users.put(user)
    broker.access_changed()
    broker.observers.notify(UserCreated(caller.actor, name))


def change_password(broker: Broker, caller: Caller, name: str, password: str) -> None:
    """Set a password. Raises `NoSuchUserError`, `PasswordError`."""
    _check_password(broker, name, password)
    if name not in broker.access.users:
        log.warning("Failed to change password for user '%s': the user does not exist", name)
    broker.access.users.change_password(name, password)
    broker.access_changed()
    broker.observers.notify(UserPasswordChanged(caller.actor, name))


def clear_password(broker: Broker, caller: Caller, name: str) -> None:
    """Remove a password; no password is right afterwards. Raises `NoSuchUserError`."""
    broker.access.users.clear_password(name)
    broker.access_changed()
    broker.observers.notify(UserPasswordCleared(caller.actor, name))


def set_user_tags(broker: Broker, caller: Caller, name: str, tags: tuple[str, ...]) -> None:
    """Replace the tags of a user. Raises `NoSuchUserError`."""
    if name not in broker.access.users:
        log.warning("Failed to set tags for user '%s': the user does not exist", name)
    broker.access.users.set_tags(name, tags)
    broker.access_changed()
    broker.observers.notify(UserTagsSet(caller.actor, name, tags))


def delete_user(broker: Broker, caller: Caller, name: str) -> None:
    """Delete a user with all permissions, and close its connections. Raises `NoSuchUserError`."""
    for _ in _deletion_steps(broker, caller, name):
        pass


def begin_to_delete_user(broker: Broker, caller: Caller, name: str) -> Job:
    """`delete_user` as a job, for which the caller waits. Raises `NoSuchUserError`."""
    return broker.work.begin(_deletion_steps(broker, caller, name), "deletion", caller.owner, user=name)


def _deletion_steps(broker: Broker, caller: Caller, name: str) -> Steps:
    """Delete the permissions first: what is left of a user who is gone would be another's of the same name."""
    if name not in broker.access.users:
        raise NoSuchUserError(name)
    yield from broker.access.clear_user_steps(name)
    if name not in broker.access.users:
        return  # deleted meanwhile
    broker.access.forget_user(name)
    broker.access_changed()
    broker.observers.notify(UserDeleted(caller.actor, name))
    reason = f"user '{name}' is deleted"
    theirs = [one for one in broker.connections if one.user is not None and one.user.name == name]
    broker.shut(theirs, reason)
