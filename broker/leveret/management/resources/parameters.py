"""`/api/parameters` and `/api/global-parameters`, for policymakers (rabbit_mgmt_wm_parameters)."""

from __future__ import annotations

import html
from collections.abc import Callable

from leveret.engine import operations
from leveret.engine.parameters import Parameter, ParameterError
from leveret.engine.parameters import parameters as all_parameters
from leveret.management.call import Call, Reply, Resource, Routes, bad_request, missing
from leveret.management.json import Json
from leveret.management.pagination import listed, picked

#: Characters of the name of a global parameter: it is an Erlang atom.
MAX_NAME = 255


def parameters(call: Call) -> object:
    """GET: those of all virtual hosts that the user may see, or of one component."""
    # RabbitMQ looks at X-VHost only for one component
    visible = set(call.listed_names() if "component" in call.path else call.visible_names())
    found = _all(call)
    shown = [one.to_json() for one in found if one.vhost in visible]
    return listed(shown, call.query, paged=False)


def parameters_in_vhost(call: Call) -> object:
    """GET: those of one component in one virtual host."""
    found = _all(call, call.vhost().name)
    return listed([one.to_json() for one in found], call.query, paged=False)


def _all(call: Call, vhost: str | None = None) -> list[Parameter]:
    return all_parameters(call.broker.policies, call.broker.access, call.path.get("component"), vhost)


def _find(call: Call) -> Json | None:
    vhost = call.broker.vhosts.get(call.path["vhost"])
    if vhost is None:
        return None
    return next((one.to_json() for one in _all(call, vhost.name) if one.name == call.path["name"]), None)


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


def global_parameters(call: Call) -> object:
    """GET: all global parameters."""
    found = sorted(call.broker.global_parameters.items())
    return listed([{"name": name, "value": value} for name, value in found], call.query, paged=False)


def global_parameter(call: Call) -> object:
    """GET: one."""
    name = call.path["name"]
    if name not in call.broker.global_parameters:
        raise missing()
    return picked({"value": call.broker.global_parameters[name], "name": name}, call.query)


def put_global(call: Call) -> Reply:
    """PUT {value}: set it."""
    (value,) = call.needed(call.fields(), ("value",))
    name = call.path["name"]
    if len(name) > MAX_NAME:
        raise bad_request(f"the name has more than {MAX_NAME} characters")
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
