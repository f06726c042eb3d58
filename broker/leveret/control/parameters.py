"""Policies, runtime parameters, global parameters."""

from __future__ import annotations

import logging

from leveret.control.call import Call, Handler, document, rows_in_order, shown
from leveret.engine import operations
from leveret.engine.parameters import Parameter, ParameterError, parameters
from leveret.engine.parameters import place as parameter_place
from leveret.engine.policies import Policy, PolicyError
from leveret.engine.policy_values import TARGETS
from leveret.rendering.answers import SOFTWARE, UNAVAILABLE, Done, Failure, Shown, failed, failed_with
from leveret.rendering.terms import Atom, Row, row

log = logging.getLogger("leveret")


def set_policy(call: Call) -> object:
    """Add or replace a policy."""
    return _set_policy(call, operator=False)


def set_operator_policy(call: Call) -> object:
    """Add or replace an operator policy."""
    return _set_policy(call, operator=True)


def _set_policy(call: Call, *, operator: bool) -> object:
    name, pattern, text = call.arguments
    definition = document(text)
    vhost = call.vhost()
    if not isinstance(definition, dict):
        raise failed(UNAVAILABLE, f"the definition of a policy should be a JSON object, not {text}")
    priority = call.options.get("priority", 0)
    assert isinstance(priority, int)
    policy = Policy(vhost.name, name, pattern, definition, priority, str(call.options.get("apply_to", "all")))
    try:
        operations.set_policy(vhost, call.caller, policy, operator=operator)
    except PolicyError as error:
        raise failed(UNAVAILABLE, f"Validation failed\n\n{error}") from None
    log.info(
        "Successfully set policy '%s' matching %s names in virtual host '%s' using pattern '%s'",
        name,
        policy.apply_to,
        vhost.name,
        pattern,
    )
    return Done()


def clear_policy(call: Call) -> object:
    """Remove a policy."""
    return _clear_policy(call, operator=False)


def clear_operator_policy(call: Call) -> object:
    """Remove an operator policy."""
    return _clear_policy(call, operator=True)


def _clear_policy(call: Call, *, operator: bool) -> object:
    vhost = call.broker.vhosts.get(call.vhost_name)
    if vhost is None or not operations.clear_policy(vhost, call.caller, call.arguments[0], operator=operator):
        raise _absent()
    return Done()


def _absent() -> Failure:
    return failed(UNAVAILABLE, "Parameter does not exist")


async def list_policies(call: Call) -> object:
    """List the policies of a virtual host."""
    return await _listed(call, operator=False)


async def list_operator_policies(call: Call) -> object:
    """List its operator policies."""
    return await _listed(call, operator=True)


async def _listed(call: Call, *, operator: bool) -> object:
    def place(policy: Policy) -> tuple[float, str]:
        return policy.priority, policy.name

    def view(policy: Policy) -> Row:
        return row(
            vhost=policy.vhost, name=policy.name, pattern=policy.pattern, apply__to=policy.apply_to,
            definition=shown(policy.definition), priority=policy.priority,
        )  # fmt: skip

    return await rows_in_order(call, call.broker.policies.each(call.vhost().name, operator), place, view)


def list_policies_that_match(call: Call) -> object:
    """List the policies that match an object, the one that applies first."""
    (name,) = call.arguments
    asked = str(call.options.get("object_type", "queue"))
    if asked not in ("queue", "exchange"):
        raise failed(SOFTWARE, f"the type of the object should be queue or exchange, not {asked}")
    vhost = call.broker.vhosts.get(call.vhost_name)
    kind = "exchange"
    found: object = vhost.exchanges.get(name) if vhost is not None else None
    if asked == "queue":
        queue = call.find_queue(name)
        found, kind = queue, queue.kind if queue is not None else ""
    if found is None:
        if call.json:
            text = "object (queue, exchange) not found"
            return Shown({"result": "error", "message": text, "policies": []})
        raise failed_with(Atom("not_found"))
    target = "exchange" if kind == "exchange" else "queue"
    from leveret.engine.patterns import compile_pattern

    matching = [
        policy
        for policy in call.broker.policies.list(call.vhost_name)
        if {kind, target} & set(TARGETS[policy.apply_to])
        and compile_pattern(policy.pattern).search(name.encode("utf-8", "surrogateescape"))
    ]
    matching.sort(key=lambda policy: -policy.priority)
    rows = [
        row(
            vhost=policy.vhost, name=policy.name, pattern=policy.pattern, apply__to=policy.apply_to,
            definition=[*policy.definition.items()], priority=policy.priority,
        )
        for policy in matching
    ]  # fmt: skip
    return Shown({"result": "ok", "policies": rows} if call.json else rows)


def set_parameter(call: Call) -> object:
    """Set a runtime parameter."""
    component, name, text = call.arguments
    value = document(text)
    vhost = call.vhost()
    try:
        operations.set_parameter(call.broker, call.caller, vhost, component, name, value)
    except ParameterError as error:
        raise failed(UNAVAILABLE, str(error)) from None
    return Done()


def clear_parameter(call: Call) -> object:
    """Clear a runtime parameter."""
    component, name = call.arguments
    vhost = call.broker.vhosts.get(call.vhost_name)
    try:
        if vhost is None or not operations.clear_parameter(call.broker, call.caller, vhost, component, name):
            raise _absent()
    except ParameterError as error:
        raise failed(UNAVAILABLE, str(error)) from None
    return Done()


async def list_parameters(call: Call) -> object:
    """List the runtime parameters of a virtual host."""

    def view(one: Parameter) -> Row:
        return row(component=one.component, name=one.name, value=shown(one.value))

    each = parameters(call.broker.policies, call.broker.access, vhost=call.vhost().name)
    return await rows_in_order(call, each, parameter_place, view)


def set_global_parameter(call: Call) -> object:
    """Set a global parameter."""
    name, text = call.arguments
    operations.set_global_parameter(call.broker, call.caller, name, document(text))
    return Done()


def clear_global_parameter(call: Call) -> object:
    """Clear a global parameter."""
    if not operations.clear_global_parameter(call.broker, call.caller, call.arguments[0]):
        raise _absent()
    return Done()


async def list_global_parameters(call: Call) -> object:
    """List all global parameters."""

    def view(pair: tuple[str, object]) -> Row:
        return row(name=pair[0], value=shown(pair[1]))

    return await rows_in_order(call, list(call.broker.global_parameters.items()), lambda pair: pair[0], view)


def set_cluster_name(call: Call) -> object:
    """Name the cluster."""
    operations.set_cluster_name(call.broker, call.caller, call.arguments[0])
    return Done()


def mirroring(call: Call) -> object:
    """Ask about mirrored queues, which RabbitMQ has not had since 4.0: its tools fail over that."""
    functions = {
        "remove_classic_queue_mirroring_from_policies": "remove_classic_queue_mirroring_from_policies_for_cli",
        "list_operator_policies_with_classic_queue_mirroring": (
            "list_operator_policies_with_classic_queue_mirroring_for_cli"
        ),
    }
    name = functions.get(call.key, "list_policies_with_classic_queue_mirroring_for_cli")
    raise failed_with((Atom("undef"), [(Atom("rabbit_mirror_queue_misc"), Atom(name), [], [])]))


COMMANDS: dict[str, Handler] = {
    "set_policy": set_policy,
    "set_operator_policy": set_operator_policy,
    "clear_policy": clear_policy,
    "clear_operator_policy": clear_operator_policy,
    "list_policies": list_policies,
    "list_operator_policies": list_operator_policies,
    "list_policies_that_match": list_policies_that_match,
    "set_parameter": set_parameter,
    "clear_parameter": clear_parameter,
    "list_parameters": list_parameters,
    "set_global_parameter": set_global_parameter,
    "clear_global_parameter": clear_global_parameter,
    "list_global_parameters": list_global_parameters,
    "set_cluster_name": set_cluster_name,
    "remove_classic_queue_mirroring_from_policies": mirroring,
    "check_if_cluster_has_classic_queue_mirroring_policy": mirroring,
    "list_policies_with_classic_queue_mirroring": mirroring,
    "list_operator_policies_with_classic_queue_mirroring": mirroring,
}
