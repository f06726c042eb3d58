"""Users, permissions and limits of users."""

from __future__ import annotations

import logging
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from leveret.control.call import (
    Call,
    Handler,
    document,
    no_such_user,
    no_such_vhost,
    rows_in_order,
    shown,
)
from leveret.engine import operations
from leveret.engine.access import AnyGranted, place
from leveret.engine.authentication import Login, Refused
from leveret.engine.patterns import PatternError, PatternTooLongError
from leveret.engine.users import LimitError, NoSuchUserError, User, UserError, UserExistsError
from leveret.rendering.answers import (
    DATA,
    NO_USER,
    SOFTWARE,
    UNAVAILABLE,
    Done,
    Failure,
    Shown,
    failed,
    failed_json,
    failed_with,
)
from leveret.rendering.terms import Atom, Quoted, Row, row

log = logging.getLogger("leveret")

_ADDED = (
    "Done. Don't forget to grant the user permissions to some virtual hosts! See 'rabbitmqctl help set_permissions' to "
    "learn more."
)


def add_user(call: Call) -> object:
    """Add a user with a password, or with one that is hashed already."""
    name, secret = call.arguments
    hashed = b64decode(secret) if call.options.get("pre_hashed_password") else None
    try:
        operations.add_user(call.broker, call.caller, name, secret, hashed=hashed)
    except UserExistsError:
        if call.json:
            fields = {"result": "error", "node": call.node, "message": f"User {name} already exists"}
            raise failed_json(fields) from None
        raise failed(SOFTWARE, f'User "{name}" already exists') from None
    except UserError as error:
        raise failed(UNAVAILABLE, str(error.reason)) from None
    except operations.PasswordError as error:
        raise failed(UNAVAILABLE, str(error)) from None
    if call.json:
        return Shown({"status": "ok", "node": call.node, "message": _ADDED})
    return Done() if call.quiet else Shown(_ADDED)


def authenticate_user(call: Call) -> object:
    """Log in as a user."""
    name, password = call.arguments
    if call.login is None:
        call.login = Login(name, password)
    outcome = call.broker.access.log_in(call.login)
    if not isinstance(outcome, Refused):
        log.info("User '%s' authenticated successfully", name)
        return Shown("Success")
    log.warning("User '%s' failed to authenticate: %s", name, outcome.log)
    raise failed(DATA, f'Error: failed to authenticate user "{name}"\n{outcome.log}')


def change_password(call: Call) -> object:
    """Set a password."""
    name, password = call.arguments
    try:
        with _known(call, name):
            operations.change_password(call.broker, call.caller, name, password)
    except operations.PasswordError as error:
        raise failed(UNAVAILABLE, str(error)) from None
    return Done()


def set_user_tags(call: Call) -> object:
    """Replace the tags of a user."""
    name, *tags = call.arguments
    with _known(call, name):
        operations.set_user_tags(call.broker, call.caller, name, tuple(tags))
    return Done()


@contextmanager
def _known(call: Call, name: str) -> Iterator[None]:
    """Say that there is no such user, in the words of most commands. Raises `Failure`."""
    try:
        yield
    except NoSuchUserError:
        if call.json:
            fields = {"result": "error", "node": call.node, "message": f"User {name} does not exists"}
            raise failed_json(fields) from None
        raise failed(NO_USER, f'User "{name}" does not exist') from None


def clear_password(call: Call) -> object:
    """Remove a password."""
    (name,) = call.arguments
    try:
        operations.clear_password(call.broker, call.caller, name)
    except NoSuchUserError:
        raise no_such_user(name) from None
    return Done()


def delete_user(call: Call) -> object:
    """Delete a user; it is no error if there is none."""
    (name,) = call.arguments
    if name in call.broker.access.users:
        operations.begin_to_delete_user(call.broker, call.caller, name)
    return Done()


async def list_users(call: Call) -> object:
    """List all users with their tags."""

    def shown_user(user: User) -> Row:
        return row(user=user.name, tags=list(map(Atom, user.tags)))

    return await rows_in_order(call, call.broker.access.users.each(), lambda user: user.name, shown_user)


# --- permissions


def set_permissions(call: Call) -> object:
    """Set the permissions of a user in a virtual host."""
    name, *patterns = call.arguments
    _set_permissions(call, name, call.vhost_name, patterns)
    return Done()


def _set_permissions(call: Call, name: str, vhost: str, patterns: list[str]) -> None:
    _check(call, name, vhost)
    try:
        operations.set_permissions(call.broker, call.caller, name, vhost, *patterns)
    except PatternError as error:
        raise _invalid(error, patterns, Quoted) from None


def _check(call: Call, name: str, vhost: str) -> None:
    """Check that the user and the virtual host exist. Raises `Failure`."""
    if name not in call.broker.access.users:
        raise _missing(call, NO_USER, f"User {name} does not exist")
    if not call.broker.has_vhost(vhost):
        raise _missing(call, UNAVAILABLE, f"Virtual host {vhost} does not exist")


def _missing(call: Call, code: int, text: str) -> Failure:
    if call.json:
        return failed_json({"result": "error", "node": call.node, "message": text})
    return failed(code, text)


def _invalid(error: PatternError, patterns: list[str], kind: type[str]) -> Failure:
    """A regular expression is not one, or too long."""
    if isinstance(error, PatternTooLongError):
        return failed_with((Atom("invalid_regexp"), kind(error.pattern), Atom(error.reason)))
    pattern = next((one for one in patterns if _is_invalid(one)), "")
    return failed_with((Atom("invalid_regexp"), kind(pattern), (Quoted(error.reason), error.position)))


def _is_invalid(pattern: str) -> bool:
    from leveret.engine.patterns import compile_pattern

    try:
        compile_pattern(pattern)
    except PatternError:
        return True
    return False


async def set_permissions_globally(call: Call) -> object:
    """Set the permissions of a user in every virtual host."""
    name, *patterns = call.arguments
    async for vhost in call.host.slices.walk_changes(list(call.broker.vhost_names())):
        _set_permissions(call, name, vhost, patterns)
    return Done()


def clear_permissions(call: Call) -> object:
    """Clear the permissions of a user; it is no error if there are none."""
    (name,) = call.arguments
    if name in call.broker.access.users:
        operations.clear_permissions(call.broker, call.caller, name, call.vhost_name)
    return Done()


async def list_permissions(call: Call) -> object:
    """List the permissions in a virtual host."""
    each = call.broker.access.each_permission(vhost=call.vhost().name)
    return await _listed(call, each, "user", "configure", "write", "read")


async def list_user_permissions(call: Call) -> object:
    """List the permissions of a user."""
    each = call.broker.access.each_permission(user=_user(call, call.arguments[0]))
    return await _listed(call, each, "vhost", "configure", "write", "read")


async def _listed(call: Call, each: Iterable[AnyGranted], *names: str) -> object:
    """List permissions with these columns."""

    def picked(one: AnyGranted) -> Row:
        fields = one.to_json()
        return [(Atom(name), fields[name]) for name in names]

    return await rows_in_order(call, each, place, picked)


def _user(call: Call, name: str) -> str:
    """The name of a user that exists. Raises `Failure`."""
    if name not in call.broker.access.users:
        raise no_such_user(name)
    return name


def set_topic_permissions(call: Call) -> object:
    """Set the permissions of a user for routing keys of a topic exchange."""
    name, exchange, *patterns = call.arguments
    vhost = call.vhost_name
    _check(call, name, vhost)
    if exchange not in call.broker.vhosts[vhost].exchanges:
        raise _missing(call, UNAVAILABLE, f"Exchange {exchange} does not exist")
    try:
        operations.set_topic_permissions(call.broker, call.caller, name, vhost, exchange, *patterns)
    except PatternError as error:
        raise _invalid(error, patterns, str) from None
    return Done()


def clear_topic_permissions(call: Call) -> object:
    """Clear them, of one exchange or of all."""
    name, *exchanges = call.arguments
    exchange = exchanges[0] if exchanges else None
    if name in call.broker.access.users:
        operations.clear_topic_permissions(call.broker, call.caller, name, call.vhost_name, exchange)
    return Done()


async def list_topic_permissions(call: Call) -> object:
    """List the topic permissions in a virtual host."""
    each = call.broker.access.each_topic_permission(vhost=call.vhost().name)
    return await _listed(call, each, "user", "exchange", "write", "read")


async def list_user_topic_permissions(call: Call) -> object:
    """List the topic permissions of a user."""
    each = call.broker.access.each_topic_permission(user=_user(call, call.arguments[0]))
    return await _listed(call, each, "vhost", "exchange", "write", "read")


# --- limits


def set_user_limits(call: Call) -> object:
    """Set limits of a user; others stay."""
    name, text = call.arguments
    limits = document(text)
    _user(call, name)
    if not isinstance(limits, dict):
        raise failed(UNAVAILABLE, f"limits should be a JSON object, not {text}")
    try:
        operations.set_user_limits(call.broker, call.caller, name, limits)
    except LimitError as error:
        raise failed(UNAVAILABLE, str(error)) from None
    return Done()


def clear_user_limits(call: Call) -> object:
    """Clear one limit of a user, or all."""
    name, limit = call.arguments
    _user(call, name)
    operations.clear_user_limit(call.broker, call.caller, name, None if limit == "all" else limit)
    return Done()


async def list_user_limits(call: Call) -> object:
    """List the limits of one user or of all."""
    access = call.broker.access
    if call.options.get("global"):

        def limits(user: User) -> Row:
            return row(user=user.name, limits=shown(dict(user.limits)))

        each = (user for user in access.users.each() if user.limits)
        return await rows_in_order(call, each, lambda user: user.name, limits)
    user = access.users[_user(call, str(call.options.get("user", "guest")))]
    return Shown(shown(dict(user.limits)))


def set_vhost_limits(call: Call) -> object:
    """Set the limits of a virtual host; others are cleared."""
    limits = document(call.arguments[0])
    vhost = call.vhost()
    if not isinstance(limits, dict):
        raise failed(UNAVAILABLE, f"limits should be a JSON object, not {call.arguments[0]}")
    try:
        operations.set_vhost_limits(call.broker, call.caller, vhost.name, limits, merge=False)
    except LimitError as error:
        raise failed(UNAVAILABLE, f"Validation failed\n\n{error}\n") from None
    return Done()


def clear_vhost_limits(call: Call) -> object:
    """Clear the limits of a virtual host."""
    if not operations.clear_vhost_limits(call.broker, call.caller, call.vhost_name):
        raise failed(UNAVAILABLE, "Parameter does not exist")
    return Done()


async def list_vhost_limits(call: Call) -> object:
    """List the limits of one virtual host or of all."""
    access = call.broker.access
    if call.options.get("global"):

        def limited(vhost: str) -> Row:
            return row(vhost=vhost, limits=shown(dict(access.vhost_limits(vhost))))

        return await rows_in_order(call, access.vhosts_with_limits, str, limited)
    if call.vhost_name not in call.broker.vhosts:
        raise no_such_vhost(call.vhost_name)
    limits = access.vhost_limits(call.vhost_name)
    return Done(shown(dict(limits)) if limits else "")


COMMANDS: dict[str, Handler] = {
    "add_user": add_user,
    "authenticate_user": authenticate_user,
    "change_password": change_password,
    "clear_password": clear_password,
    "delete_user": delete_user,
    "list_users": list_users,
    "set_user_tags": set_user_tags,
    "set_permissions": set_permissions,
    "set_permissions_globally": set_permissions_globally,
    "clear_permissions": clear_permissions,
    "list_permissions": list_permissions,
    "list_user_permissions": list_user_permissions,
    "set_topic_permissions": set_topic_permissions,
    "clear_topic_permissions": clear_topic_permissions,
    "list_topic_permissions": list_topic_permissions,
    "list_user_topic_permissions": list_user_topic_permissions,
    "set_user_limits": set_user_limits,
    "clear_user_limits": clear_user_limits,
    "list_user_limits": list_user_limits,
    "set_vhost_limits": set_vhost_limits,
    "clear_vhost_limits": clear_vhost_limits,
    "list_vhost_limits": list_vhost_limits,
}
