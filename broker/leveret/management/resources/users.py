"""`/api/users`, for administrators."""

from __future__ import annotations

from leveret import errors
from leveret.engine.changes import UserCreated, UserDeleted, UserPasswordChanged, UserTagsSet
from leveret.engine.users import LimitError, User, UserError, user_from_json
from leveret.management.call import Call, Reply, Routes, bad_request, missing
from leveret.management.pagination import listed, picked


def users(call: Call) -> object:
    """GET: all users."""
    call.need_administrator()
    return listed(call.broker.access.export_users(), call.query)


def without_permissions(call: Call) -> object:
    """GET: users without permissions in any virtual host."""
    call.need_administrator()
    access = call.broker.access
    shown = [user.to_json() for user in access.users if not access.export_permissions(user=user.name)]
    return listed(shown, call.query)


def _find(call: Call) -> User:
    call.need_administrator()
    found = call.broker.access.users.get(call.path["user"])
    if found is None:
        raise missing()
    return found


def user(call: Call) -> object:
    """GET: one user."""
    return picked(_find(call).to_json(), call.query)


def put(call: Call) -> Reply:
    """PUT {tags, password | password_hash, hashing_algorithm, limits}: create a user, or replace all of that except
    limits that are not given.
    """
    call.need_administrator()
    name, fields, broker = call.path["user"], call.fields(), call.broker
    old = broker.access.users.get(name)
    if old is not None and "limits" not in fields:
        fields["limits"] = old.limits
    try:
        given = broker.access.users.put(user_from_json(name, fields))
    except UserError as error:
        raise bad_request(error.reason) from None
    except LimitError as error:
        raise bad_request(str(error)) from None
    broker.access_changed()
    new_password = bool(fields.get("password") or fields.get("password_hash"))
    if old is None:
        call.notify(UserCreated(call.actor, name))
    elif new_password:
        call.notify(UserPasswordChanged(call.actor, name))
    # RabbitMQ has no event for new tags without a new password.
    if given.tags if old is None else new_password:
        call.notify(UserTagsSet(call.actor, name, tuple(given.tags)))
    return Reply(204 if old is not None else 201)


def delete(call: Call) -> None:
    """DELETE: delete a user and its permissions, and close its connections."""
    _delete(call, _find(call).name)


def _delete(call: Call, name: str) -> None:
    broker = call.broker
    broker.access.forget_user(name)
    broker.access_changed()
    call.notify(UserDeleted(call.actor, name))
    for connection in list(broker.connections):
        if connection.user is not None and connection.user.name == name:
            connection.shut(errors.connection_forced(f"user '{name}' is deleted"))


def bulk_delete(call: Call) -> None:
    """POST {users}: delete those of them that exist."""
    call.need_administrator()
    (names,) = call.needed(call.fields(), ("users",))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request("users should be a list of names")
    for name in names:
        if name in call.broker.access.users:
            _delete(call, name)


def permissions(call: Call) -> object:
    """GET permissions: the user's, in all virtual hosts."""
    found = call.broker.access.export_permissions(user=_find(call).name)
    return listed(found, call.query, paged=False)


def topic_permissions(call: Call) -> object:
    """GET topic-permissions: the user's, in all virtual hosts."""
    found = call.broker.access.export_topic_permissions(user=_find(call).name)
    return listed(found, call.query, paged=False)


ROUTES: Routes = {
    "users": {"GET": users},
    "users/without-permissions": {"GET": without_permissions},
    "users/bulk-delete": {"POST": bulk_delete},
    "users/{user}": {"GET": user, "PUT": put, "DELETE": delete},
    "users/{user}/permissions": {"GET": permissions},
    "users/{user}/topic-permissions": {"GET": topic_permissions},
}
