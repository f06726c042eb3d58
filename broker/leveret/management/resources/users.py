"""`/api/users`, for administrators."""

from __future__ import annotations

from collections.abc import Awaitable

from leveret.engine import operations
from leveret.engine.tags import TagError, words
from leveret.engine.users import LimitError, User, UserError
from leveret.management.call import Call, Reply, Resource, Routes, Shows, bad_request, missing
from leveret.management.pagination import listed_in_slices, picked
from leveret.management.resources.permissions import listed_permissions

#: rabbit_auth_backend_internal: max_user_tags.
MAX_TAGS = 32


def users(call: Call) -> Awaitable[object]:
    """GET: all users."""
    call.need_administrator()
    return _listed(call, call.broker.access.users.each())


async def without_permissions(call: Call) -> object:
    """GET: users without permissions in any virtual host."""
    call.need_administrator()
    access = call.broker.access
    others = access.users_with_permissions()
    found = [one async for one in call.site.slices.walk(access.users.each()) if one.name not in others]
    return await _listed(call, found)


def _listed(call: Call, found: list[User]) -> Awaitable[object]:
    paged = call.api.users_paged
    return listed_in_slices(call.site.slices, found, call.query, User.to_json, paged=paged)


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
    _check_protected(call)
    fields = call.fields()
    if call.api.users_guarded:
        _check_tags(fields.get("tags"))
    try:
        new = operations.put_user(call.broker, call.caller, call.path["user"], fields)
    except UserError as error:
        raise bad_request(error.reason) from None
    except LimitError as error:
        raise bad_request(str(error)) from None
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE: delete a user and its permissions, and close its connections."""
    name = _find(call).name
    _check_protected(call)
    operations.begin_to_delete_user(call.broker, call.caller, name)


def _protected(call: Call, name: str) -> bool:
    user = call.broker.access.users.get(name)
    return call.api.users_guarded and user is not None and "protected" in user.tags


def _check_protected(call: Call) -> None:
    if _protected(call, call.path["user"]):
        raise bad_request("Protected users cannot be modified via the HTTP API")


def _check_tags(tags: object) -> None:
    """Refuse too many tags, counted as they are written. Raises `Refusal`."""
    try:
        given = [word for word in words(tags) if word] if isinstance(tags, str) else tags
    except TagError as error:
        raise bad_request(str(error)) from None
    if isinstance(given, list) and len(given) > MAX_TAGS:
        raise bad_request(f"A user can have at most {MAX_TAGS} tags (received {len(given)})")


async def bulk_delete(call: Call) -> None:
    """POST {users}: delete those of them that exist and are not protected."""
    call.need_administrator()
    (names,) = call.needed(call.fields(), ("users",))
    if not isinstance(names, list):
        raise bad_request("users should be a list of names")
    unknown: list[str] = []
    async for name in call.site.slices.walk(names):
        if not isinstance(name, str):
            raise bad_request("users should be a list of names")
        if not unknown and name not in call.broker.access.users:
            unknown.append(name)
    if unknown and not call.api.unknown_users_deleted:
        raise bad_request(["no_such_user", unknown[0]])
    async for name in call.site.slices.walk_changes(names):
        if name in call.broker.access.users and not _protected(call, name):
            await call.site.ended(operations.begin_to_delete_user(call.broker, call.caller, name))


def permissions(call: Call) -> Awaitable[object]:
    """GET permissions: the user's, in all virtual hosts."""
    return listed_permissions(call, call.broker.access.each_permission(user=_find(call).name))


def topic_permissions(call: Call) -> Awaitable[object]:
    """GET topic-permissions: the user's, in all virtual hosts."""
    return listed_permissions(call, call.broker.access.each_topic_permission(user=_find(call).name))


ROUTES: Routes = {
    "users": {"GET": users},
    "users/without-permissions": {"GET": without_permissions},
    "users/bulk-delete": {"POST": bulk_delete},
    "users/{user}": {"GET": user, "PUT": put, "DELETE": delete},
    "users/{user}/permissions": {"GET": permissions},
    "users/{user}/topic-permissions": Resource({"GET": topic_permissions}, shows=Shows.ONLY_JSON),
}
