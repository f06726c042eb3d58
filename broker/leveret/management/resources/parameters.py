"""`/api/parameters` and `/api/global-parameters`, for policymakers (rabbit_mgmt_wm_parameters)."""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable, Iterator

from leveret.engine import operations
from leveret.engine.parameters import Parameter, ParameterError
from leveret.engine.parameters import parameter as one_parameter
from leveret.engine.parameters import parameters as all_parameters
from leveret.json_portions import compact
from leveret.management.call import Call, Reply, Resource, Routes, bad_request, missing
from leveret.management.json import UNDECODED, Json
from leveret.management.pagination import BY_NAME, listed_in_slices, picked

#: Fields by which parameters are sorted.
_ORDER = (*BY_NAME, "component")

#: Characters of the name of a global parameter: it is an Erlang atom.
MAX_NAME = 255


def parameters(call: Call) -> Awaitable[object]:
    """GET: those of all virtual hosts that the user may see, or of one component."""
    # RabbitMQ looks at X-VHost only for one component
    visible = set(call.listed_names() if "component" in call.path else call.visible_names())
    return _listed(call, (one for one in _all(call) if one.vhost in visible))


def parameters_in_vhost(call: Call) -> Awaitable[object]:
    """GET: those of one component in one virtual host."""
    return _listed(call, _all(call, call.vhost().name))


def _all(call: Call, vhost: str | None = None) -> Iterator[Parameter]:
    return all_parameters(call.broker.policies, call.broker.access, call.path.get("component"), vhost)


async def _listed(call: Call, each: Iterator[Parameter]) -> object:
    slices = call.site.slices
    found = [one async for one in slices.walk(each)]
    return await listed_in_slices(slices, found, call.query, Parameter.to_json, paged=False, sorts=_ORDER)


def _find(call: Call) -> Json | None:
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        return None
    component, name = call.path["component"], call.path["name"]
    found = one_parameter(call.broker.policies, call.broker.access, component, vhost.name, name)
    return None if found is None else found.to_json()


def parameter(call: Call) -> object:
    """GET: one parameter."""
    found = _find(call)
    if found is None:
        raise missing()
    return picked(found, call.query)


def put(call: Call) -> Reply:
    """PUT {value}: set it."""
    vhost, old = call.target_vhost(), _find(call)
    (value,) = call.needed(call.fields(), ("value",))
    component, name = call.path["component"], call.path["name"]
    _do(call, lambda: operations.set_parameter(call.broker, call.caller, vhost, component, name, value))
    return Reply(201 if old is None else 204)


def delete(call: Call) -> None:
    """DELETE: clear it."""
    if _find(call) is None:
        raise missing()
    vhost, component, name = call.vhost(), call.path["component"], call.path["name"]
    _do(call, lambda: operations.clear_parameter(call.broker, call.caller, vhost, component, name))


def _do(call: Call, change: Callable[[], object]) -> None:
    try:
        change()
    except ParameterError as error:
        text = str(error)
        raise bad_request(
            html.escape(text, quote=False) if call.api.parameter_errors_escaped else text
        ) from None


def global_parameters(call: Call) -> Awaitable[object]:
    """GET: all global parameters."""
    found = list(call.broker.global_parameters.items())
    return listed_in_slices(call.site.slices, found, call.query, _global, paged=False)


def _global(found: tuple[str, object]) -> Json:
    name, value = found
    return {"name": name, "value": value}


def global_parameter(call: Call) -> object:
    """GET: one."""
    name = call.path["name"]
    if name not in call.broker.global_parameters:
        raise missing()
    return picked({"value": call.broker.global_parameters[name], "name": name}, call.query)


async def put_global(call: Call) -> Reply:
    """PUT {value}: set it."""
    (value,) = call.needed(call.fields(), ("value",))
    name = call.path["name"]
    if len(name) > MAX_NAME:
        raise bad_request(f"the name has more than {MAX_NAME} characters")
    if call.decoded is not UNDECODED:  # a long body
        value = await call.site.slices.run(compact(value))
    new = operations.set_global_parameter(call.broker, call.caller, name, value)
    return Reply(201 if new else 204)


def delete_global(call: Call) -> None:
    """DELETE: clear it."""
    if not operations.clear_global_parameter(call.broker, call.caller, call.path["name"]):
        raise missing()


ROUTES: Routes = {
    "parameters": Resource({"GET": parameters}, may=Call.need_policymaker),
    "parameters/{component}": Resource({"GET": parameters}, may=Call.need_policymaker),
    "parameters/{component}/{vhost}": Resource({"GET": parameters_in_vhost}, may=Call.need_policymaker),
    "parameters/{component}/{vhost}/{name}": Resource(
        {"GET": parameter, "PUT": put, "DELETE": delete}, may=Call.need_policymaker
    ),
    "global-parameters": Resource({"GET": global_parameters}, may=Call.need_policymaker),
    "global-parameters/{name}": Resource(
        {"GET": global_parameter, "PUT": put_global, "DELETE": delete_global},
        may=Call.need_policymaker,
    ),
}
