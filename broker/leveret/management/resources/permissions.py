"""`/api/permissions` and `/api/topic-permissions`, for administrators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from leveret.engine import operations
from leveret.engine.access import KINDS, AnyGranted, Granted, TopicGranted
from leveret.engine.patterns import PatternError, PatternTooLongError
from leveret.management.call import (
    Call,
    Handler,
    Refusal,
    Reply,
    Resource,
    Routes,
    Shows,
    bad_request,
    missing,
)
from leveret.management.json import Json
from leveret.management.pagination import listed_in_slices, picked

#: Characters of a pattern that is too long, as it is shown: RabbitMQ shows all of them.
_MOST_SHOWN = 4096

#: Fields by which permissions are sorted.
_ORDER = ("vhost", "name", "user", "exchange")


def permissions(call: Call) -> Awaitable[object]:
    """GET: the permissions of all users."""
    call.need_administrator()
    return listed_permissions(call, call.broker.access.each_permission())


def topic_permissions(call: Call) -> Awaitable[object]:
    """GET: the topic permissions of all users."""
    call.need_administrator()
    return listed_permissions(call, call.broker.access.each_topic_permission())


async def listed_permissions(
    call: Call, each: Iterable[AnyGranted], query: Mapping[str, str] | None = None
) -> object:
    """Show permissions by virtual host and user, as the query asks for them. Raises `Refusal`."""
    slices = call.site.slices
    found = [one async for one in slices.walk(each)]
    return await listed_in_slices(
        slices, found, call.query if query is None else query, _json, paged=False, sorts=_ORDER
    )


def _json(one: Granted | TopicGranted) -> Json:
    return one.to_json()


def _ends(call: Call) -> tuple[str, str]:
    """The virtual host and the user in the path. Raises `Refusal`."""
    call.need_administrator()
    vhost, user = call.path["vhost"], call.path["user"]
    if vhost not in call.broker.vhosts or user not in call.broker.access.users:
        raise missing()
    return vhost, user


def _target(call: Call) -> tuple[str, str]:
    """The same for a call that sets permissions, with its status. Raises `Refusal`."""
    try:
        return _ends(call)
    except Refusal as refusal:
        raise bad_request("vhost_or_user_not_found") if refusal.status == 404 else refusal from None


def permission(call: Call) -> object:
    """GET: the permissions of one user in one virtual host."""
    vhost, user = _ends(call)
    found = call.broker.access.export_permissions(vhost, user)
    if not found:
        raise missing()
    return picked(found[0], call.query)


def put(call: Call) -> Reply:
    """PUT {configure, write, read}: set three regular expressions."""
    vhost, user = _target(call)
    configure, write, read = _texts(call.needed(call.fields(), KINDS))

    def change() -> bool:
        return operations.set_permissions(call.broker, call.caller, user, vhost, configure, write, read)

    new = _set(call, change, _code_points)
    return Reply(201 if new else 204)


def delete(call: Call) -> None:
    """DELETE: clear them; the user can no longer open the virtual host."""
    vhost, user = _ends(call)
    if not operations.clear_permissions(call.broker, call.caller, user, vhost):
        raise missing()


async def topic_permission(call: Call) -> object:
    """GET: the topic permissions of one user in one virtual host, for all exchanges, also if one is in the path."""
    vhost, user = _ends(call)
    access = call.broker.access
    if not access.has_topic_permissions(user, vhost):
        raise missing()
    columns = {name: value for name, value in call.query.items() if name == "columns"}
    return await listed_permissions(call, access.each_topic_permission(vhost, user), columns)


def put_topic(call: Call) -> Reply:
    """PUT {exchange, write, read}: set two regular expressions for routing keys of a topic exchange."""
    vhost, user = _target(call)
    exchange, write, read = _texts(call.needed(call.fields(), ("exchange", "write", "read")))

    def change() -> bool:
        return operations.set_topic_permissions(call.broker, call.caller, user, vhost, exchange, write, read)

    try:
        new = _set(call, change, str)
    except operations.NoSuchExchangeError as error:
        raise bad_request(["no_such_exchange", error.name]) from None
    return Reply(201 if new else 204)


def delete_topic(call: Call) -> None:
    """DELETE: clear them for all exchanges, or for the one in the path."""
    vhost, user = _ends(call)
    exchange = call.path.get("exchange")
    if not operations.clear_topic_permissions(call.broker, call.caller, user, vhost, exchange):
        raise missing()


def _texts(values: list[object]) -> list[str]:
    texts = []
    for value in values:
        if not isinstance(value, str):
            raise bad_request(["not_a_string", value])
        texts.append(value)
    return texts


def _set(call: Call, change: Callable[[], bool], shown: Callable[[str], object]) -> bool:
    """Make the change; an invalid pattern is refused with Erlang's term as JSON. Raises `Refusal`."""
    try:
        return change()
    except PatternTooLongError as error:
        reason = ["invalid_regexp", shown(error.pattern[:_MOST_SHOWN]), error.reason]
        raise bad_request(reason) from None
    except PatternError as error:
        words, position = error.text_of(call.broker.profile.pcre2)
        reason = ["invalid_regexp", shown(error.pattern), [_code_points(words), position]]
        raise bad_request(reason) from None


def _code_points(text: str) -> list[int]:
    return [ord(char) for char in text]


def _topic_resource() -> Resource:
    methods: dict[str, Handler] = {"GET": topic_permission, "PUT": put_topic, "DELETE": delete_topic}
    return Resource(methods, shows=Shows.ONLY_JSON)


def own(call: Call) -> object:
    """GET ?name=q: what the user may do with objects of this name, without a name with any; true or false for each
    permission. RabbitMQ shows permissions to administrators only; the page offers what the user may do."""
    vhost, name = call.vhost().name, call.query.get("name")
    grants = call.broker.access.grants(call.user.name, vhost)
    found = call.broker.access.permission(call.user.name, vhost)
    if name is None:
        return {kind: found is not None and getattr(found, kind) not in ("", "^$") for kind in KINDS}
    return {kind: grants.allows(kind, name or "amq.default") for kind in KINDS}


ROUTES: Routes = {
    "leveret/permissions/{vhost}": {"GET": own},
    "permissions": {"GET": permissions},
    "permissions/{vhost}/{user}": {"GET": permission, "PUT": put, "DELETE": delete},
    "topic-permissions": Resource({"GET": topic_permissions}, shows=Shows.ONLY_JSON),
    "topic-permissions/{vhost}/{user}": _topic_resource(),
    "topic-permissions/{vhost}/{user}/{exchange}": _topic_resource(),
}
