"""Operations on runtime parameters and global parameters (rabbit_runtime_parameters)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.changes import GlobalParameterCleared, GlobalParameterSet
from leveret.engine.operations.limits import clear_vhost_limits, set_vhost_limits
from leveret.engine.operations.policies import clear_policy, set_policy
from leveret.engine.parameters import (
    CLUSTER_NAME,
    LIMITS,
    OPERATOR_POLICY,
    POLICY,
    VHOST_LIMITS,
    ParameterError,
)
from leveret.engine.policies import Policy, PolicyError
from leveret.engine.users import LimitError
from leveret.wire.erlang import from_json, pretty

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller
    from leveret.engine.vhost import VirtualHost


def set_parameter(
    broker: Broker,
    caller: Caller,
    vhost: VirtualHost,
    component: str,
    name: str,
    value: object,
    *,
    apply: bool = True,
) -> None:
    """Add or replace a parameter: an operator policy, or the limits of the virtual host. Raises `ParameterError`.

    `apply`: see `set_policy`.
    """
    if component == POLICY:
        raise ParameterError("policies may not be set using this method")
    if component == OPERATOR_POLICY:
        _set_operator_policy(vhost, caller, name, value, apply=apply)
    elif component == VHOST_LIMITS:
        _set_limits(broker, caller, vhost.name, name, value)
    else:
        raise ParameterError(f"Validation failed\n\ncomponent {component} not found\n")


def _set_operator_policy(
    vhost: VirtualHost, caller: Caller, name: str, value: object, *, apply: bool
) -> None:
    if not isinstance(value, dict):
        raise _not_a_list(name, value)
    try:
        vhost.engine.policies.check({"name": name, **value}, operator=True)
        fields = (value["pattern"], value["definition"], value["priority"], value.get("apply-to", "all"))
        set_policy(vhost, caller, Policy(vhost.name, name, *fields), operator=True, apply=apply)
    except PolicyError as error:
        raise ParameterError(f"Validation failed\n\n{error}") from None


def _set_limits(broker: Broker, caller: Caller, vhost: str, name: str, value: object) -> None:
    """Replace the limits. RabbitMQ stores them under any name, and fails over all but one."""
    limits = {} if value == [] else value
    if not isinstance(limits, dict):
        raise _not_a_list(name, value)
    if name != LIMITS:
        raise ParameterError(
            f"Validation failed\n\n{name} is not the name of a parameter; it should be {LIMITS}\n"
        )
    try:
        set_vhost_limits(broker, caller, vhost, limits, merge=False)
    except LimitError as error:
        raise ParameterError(f"Validation failed\n\n{error}\n") from None


def _not_a_list(name: str, value: object) -> ParameterError:
    return ParameterError(f"Validation failed\n\n{name} not a list {pretty(from_json(value))}\n")


def clear_parameter(broker: Broker, caller: Caller, vhost: VirtualHost, component: str, name: str) -> bool:
    """Clear a parameter; returns whether there was one. Raises `ParameterError`."""
    if component == POLICY:
        raise ParameterError("policies may not be cleared using this method")
    if component == OPERATOR_POLICY:
        return clear_policy(vhost, caller, name, operator=True)
    if component == VHOST_LIMITS and name == LIMITS:
        return clear_vhost_limits(broker, caller, vhost.name)
    return False


def set_global_parameter(broker: Broker, caller: Caller, name: str, value: object) -> bool:
    """Set a global parameter to any value that JSON can express; returns whether it is new."""
    new = broker.set_global_parameter(name, value)
    broker.observers.notify(GlobalParameterSet(caller.actor, name, value))
    return new


def clear_global_parameter(broker: Broker, caller: Caller, name: str) -> bool:
    """Clear a global parameter; returns whether there was one."""
    if not broker.clear_global_parameter(name):
        return False
    broker.observers.notify(GlobalParameterCleared(caller.actor, name))
    return True


def set_cluster_name(broker: Broker, caller: Caller, name: str) -> None:
    """Set the name of the cluster (rabbit_nodes:set_cluster_name)."""
    set_global_parameter(broker, caller, CLUSTER_NAME, name)
