"""`/api/vhost-limits` and `/api/user-limits`: limits on connections, channels and queues."""

from __future__ import annotations

from leveret.engine import operations
from leveret.engine.access import limits_of
from leveret.engine.users import LimitError
from leveret.management.call import (
    Call,
    Handler,
    Resource,
    Routes,
    Shows,
    bad_request,
    missing,
    not_authorised,
    not_found,
)
from leveret.management.pagination import Columns, rows_in_slices
from leveret.work import in_order


async def vhost_limits(call: Call) -> object:
    """GET: the limits of all virtual hosts that the user may see."""
    chosen = call.chosen_vhost(monitored=True)
    if chosen is not None:
        visible = {chosen.name}
    elif call.monitors:
        visible = set(call.broker.vhost_names())
    else:
        visible = set(call.visible_names())
    access, slices = call.broker.access, call.site.slices
    names = [one async for one in slices.walk(access.vhosts_with_limits) if one in visible]
    ordered = await slices.run(in_order(names, str))
    columns = Columns(call.query if call.api.limits_by_column else {})
    return await rows_in_slices(
        slices, (columns.pick(entry) for name in ordered for entry in access.export_vhost_limits(name))
    )


def limits_of_vhost(call: Call) -> object:
    """GET: the limits of one virtual host, as a list of one entry or none.

    An entry without limits is in the list of all only.
    """
    if call.path["vhost"] not in call.broker.vhosts:
        raise missing()
    if not call.monitors:
        call.vhost()
    found = call.broker.access.export_vhost_limits(call.path["vhost"])
    return [entry for entry in found if entry["value"]]


def put_vhost_limit(call: Call) -> None:
    """PUT {value}: set a limit; a negative value means no limit."""
    vhost = _administered_vhost(call)
    value = _value(call)
    try:
        operations.set_vhost_limits(call.broker, call.caller, vhost, {call.path["limit"]: value})
    except LimitError as error:
        raise bad_request(f"Validation failed\n\n{error}\n") from None


def _value(call: Call) -> object:
    """The value in the body. Raises `Refusal`."""
    (value,) = call.needed(call.fields(), ("value",))
    return value


def delete_vhost_limit(call: Call) -> None:
    """DELETE: clear a limit, if there is one."""
    vhost = _administered_vhost(call)
    operations.clear_vhost_limit(call.broker, call.caller, vhost, call.path["limit"])


def _administered_vhost(call: Call) -> str:
    if call.path["vhost"] not in call.broker.vhosts:
        raise not_found("vhost_not_found")
    return call.path["vhost"]


async def user_limits(call: Call) -> object:
    """GET: the limits of all users that have any."""
    if call.api.user_limits_guarded:
        call.need_administrator()
    slices, columns = call.site.slices, Columns(call.query)
    found = [one async for one in slices.walk(call.broker.access.users.each()) if one.limits]
    ordered = await slices.run(in_order(found, lambda one: one.name))
    return await rows_in_slices(slices, (columns.pick(limits_of(one)) for one in ordered))


def limits_of_user(call: Call) -> object:
    """GET: the limits of one user, as a list of one entry or none; users may see their own."""
    name = call.path["user"]
    if call.api.user_limits_guarded and not call.monitors and call.user.name != name:
        raise not_authorised("User not authorised to access object")
    if name not in call.broker.access.users:
        raise missing()
    return call.broker.access.export_user_limits(name)


def put_user_limit(call: Call) -> None:
    """PUT {value}: set a limit; a negative value means no limit."""
    name, value = call.path["user"], _value(call)
    if name not in call.broker.access.users:
        raise bad_request(["no_such_user", name])
    try:
        operations.set_user_limits(call.broker, call.caller, name, {call.path["limit"]: value})
    except LimitError as error:
        raise bad_request(str(error)) from None


def delete_user_limit(call: Call) -> None:
    """DELETE: clear a limit, if there is one."""
    if call.path["user"] not in call.broker.access.users:
        raise not_found("vhost_not_found")  # RabbitMQ's word for users too
    operations.clear_user_limit(call.broker, call.caller, call.path["user"], call.path["limit"])


def _listing(handler: Handler) -> Resource:
    return Resource({"GET": handler}, head=False, shows=Shows.ONLY_JSON)


def _setting(methods: dict[str, Handler]) -> Resource:
    return Resource(methods, shows=Shows.NOTHING, accepts=("application/json",), may=Call.need_administrator)


ROUTES: Routes = {
    "vhost-limits": _listing(vhost_limits),
    "vhost-limits/{vhost}": _listing(limits_of_vhost),
    "vhost-limits/{vhost}/{limit}": _setting({"PUT": put_vhost_limit, "DELETE": delete_vhost_limit}),
    "user-limits": _listing(user_limits),
    "user-limits/{user}": _listing(limits_of_user),
    "user-limits/{user}/{limit}": _setting({"PUT": put_user_limit, "DELETE": delete_user_limit}),
}
