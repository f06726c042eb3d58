"""`/api/permissions` and `/api/topic-permissions`: who may do what where; for administrators only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leveret.engine.access import KINDS
from leveret.engine.patterns import PatternError
from leveret.management.call import Call, Refusal, Reply, Routes, bad_request, missing
from leveret.management.pagination import listed, picked


def permissions(call: Call) -> Any:
    """GET: all."""
    call.need_administrator()
    return listed(sorted(call.broker.access.export_permissions(), key=_place), call.query, paged=False)


def topic_permissions(call: Call) -> Any:
    """GET: all."""
    call.need_administrator()
    found = sorted(call.broker.access.export_topic_permissions(), key=_place)
    return listed(found, call.query, paged=False)


def _place(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["vhost"], entry["user"]


def _ends(call: Call) -> tuple[str, str]:
    """Virtual host and user in the path, which must be there."""
    call.need_administrator()
    vhost, user = call.path["vhost"], call.path["user"]
    if vhost not in call.broker.vhosts or user not in call.broker.access.users:
        raise missing()
    return vhost, user


def _target(call: Call) -> tuple[str, str]:
    """The same, of a call that sets something."""
    try:
        return _ends(call)
    except Refusal as refusal:
        raise bad_request("vhost_or_user_not_found") if refusal.status == 404 else refusal from None


def permission(call: Call) -> Any:
    """GET: of one user in one virtual host."""
    vhost, user = _ends(call)
    found = call.broker.access.export_permissions(vhost, user)
    if not found:
        raise missing()
    return picked(found[0], call.query)


def put(call: Call) -> Reply:
    """PUT {configure, write, read}: three regular expressions."""
    vhost, user = _target(call)
    patterns = call.needed(call.fields(), KINDS)
    texts = _texts(patterns)
    new = _set(call, lambda: call.broker.access.set_permissions(user, vhost, *texts), _code_points)
    call.broker.access_changed()
    configure, write, read = patterns
    given = {"read": read, "write": write, "configure": configure, "vhost": vhost, "user": user}
    call.notify("permission.created", **given)
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE: the user may not open the virtual host any more."""
    vhost, user = _ends(call)
    if not call.broker.access.clear_permissions(user, vhost):
        raise missing()
    call.broker.access_changed()
    call.notify("permission.deleted", vhost=vhost, user=user)


def topic_permission(call: Call) -> Any:
    """GET: of one user in one virtual host, a list by exchange."""
    vhost, user = _ends(call)
    found = call.broker.access.export_topic_permissions(vhost, user)
    if not found:
        raise missing()
    return picked(found, call.query)


def put_topic(call: Call) -> Reply:
    """PUT {exchange, write, read}: two regular expressions for the routing keys of a topic exchange."""
    vhost, user = _target(call)
    exchange, *patterns = _texts(call.needed(call.fields(), ("exchange", "write", "read")))
    if exchange not in call.broker.vhosts[vhost].exchanges:
        raise bad_request(["no_such_exchange", exchange])
    new = _set(call, lambda: call.broker.access.set_topic_permissions(user, vhost, exchange, *patterns), str)
    call.broker.access_changed()
    write, read = patterns
    given = {"read": read, "write": write, "exchange": exchange, "vhost": vhost, "user": user}
    call.notify("topic.permission.created", **given)
    return Reply(201 if new else 204)


def delete_topic(call: Call) -> None:
    """DELETE: those for all exchanges."""
    vhost, user = _ends(call)
    if not call.broker.access.has_topic_permissions(user, vhost):
        raise missing()
    call.broker.access.clear_topic_permissions(user, vhost)
    call.broker.access_changed()
    call.notify("topic.permission.deleted", vhost=vhost, user=user)


def _texts(values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise bad_request(["not_a_string", value])
    return values


def _set(call: Call, change: Callable[[], bool], shown: Callable[[str], object]) -> bool:
    """Make the change; a broken pattern is refused as Erlang's term for it comes out in JSON."""
    try:
        return change()
    except PatternError as error:
        words, position = error.said(call.broker.profile.pcre2)
        reason = ["invalid_regexp", shown(error.pattern), [_code_points(words), position]]
        raise bad_request(reason) from None


def _code_points(text: str) -> list[int]:
    return [ord(char) for char in text]


ROUTES: Routes = {
    "permissions": {"GET": permissions},
    "permissions/{vhost}/{user}": {"GET": permission, "PUT": put, "DELETE": delete},
    "topic-permissions": {"GET": topic_permissions},
    "topic-permissions/{vhost}/{user}": {"GET": topic_permission, "PUT": put_topic, "DELETE": delete_topic},
}
