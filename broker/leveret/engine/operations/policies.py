"""Operations on policies and operator policies (docs: parameters#policies; rabbit_policy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.changes import PolicyCleared, PolicySet
from leveret.engine.node_limits import ParameterLimitError
from leveret.engine.parameters import OPERATOR_POLICY, POLICY
from leveret.engine.policy_values import PolicyError

if TYPE_CHECKING:
    from leveret.engine.operations.caller import Caller
    from leveret.engine.policies import Policy
    from leveret.engine.vhost import VirtualHost


def set_policy(
    vhost: VirtualHost,
    caller: Caller,
    policy: Policy,
    *,
    operator: bool = False,
    apply: bool = True,
) -> bool:
    """Add or replace a policy; returns whether it is new. Raises `PolicyError`.

    `apply`: False if more policies follow and `VirtualHost.apply_policies` is called after the last one.
    """
    _check_limit(vhost, operator)
    new = vhost.engine.policies.set(policy, operator, caller.actor)
    if apply:
        vhost.apply_policies(caller.owner)
    vhost.engine.observers.notify(PolicySet(caller.actor, policy, operator))
    return new


def _check_limit(vhost: VirtualHost, operator: bool) -> None:
    """Raise `PolicyError` if there may be no more policies. RabbitMQ checks this before the policy."""
    policies = vhost.engine.policies
    component = OPERATOR_POLICY if operator else POLICY
    count = len(policies.operator_policies if operator else policies.policies)
    try:
        vhost.engine.node_limits.check_parameter(component, count)
    except ParameterLimitError as error:
        raise PolicyError(f"{error}\n") from None


def clear_policy(vhost: VirtualHost, caller: Caller, name: str, *, operator: bool = False) -> bool:
    """Remove a policy and apply what remains; returns whether there was one."""
    if not vhost.engine.policies.clear(vhost.name, name, operator):
        return False
    vhost.apply_policies(caller.owner)
    vhost.engine.observers.notify(PolicyCleared(caller.actor, vhost.name, name, operator))
    return True
