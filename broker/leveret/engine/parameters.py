"""Runtime parameters: what virtual hosts and the broker are configured with while they run (docs: parameters).

RabbitMQ's plugins add components of parameters; without them there are two, operator policies and limits of virtual
hosts, which have registries of their own. Policies are a component, too, but are set in another way only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from leveret.engine.names import RandomOctets, generated_name

if TYPE_CHECKING:
    from leveret.engine.access import Access
    from leveret.engine.policies import Policies, Policy

#: The components.
POLICY, OPERATOR_POLICY, VHOST_LIMITS = "policy", "operator_policy", "vhost-limits"

#: The name of the parameter that holds the limits of a virtual host.
LIMITS = "limits"

#: Global parameters of the broker itself (rabbit_nodes).
CLUSTER_NAME, CLUSTER_TAGS, CLUSTER_ID = "cluster_name", "cluster_tags", "internal_cluster_id"


class ParameterError(ValueError):
    """A parameter that RabbitMQ refuses; the text is RabbitMQ's."""


class Parameter(NamedTuple):
    """One parameter. `source`: the policy, or the limits of the virtual host."""

    vhost: str
    component: str
    name: str
    source: Policy | Mapping[str, int]

    @property
    def value(self) -> object:
        """Its value: any JSON."""
        if isinstance(self.source, Mapping):
            return dict(self.source) or []
        return {name: field for name, field in self.source.to_json().items() if name not in ("vhost", "name")}

    def to_json(self) -> dict[str, object]:
        """As definitions and the HTTP API show it."""
        return {"vhost": self.vhost, "component": self.component, "name": self.name, "value": self.value}


def parameters(
    policies: Policies, access: Access, component: str | None = None, vhost: str | None = None
) -> Iterator[Parameter]:
    """Yield the parameters that there are now, of one component or virtual host on request, in any order.

    Policies are left out unless they are asked for.
    """
    wanted = (OPERATOR_POLICY, VHOST_LIMITS) if component is None else (component,)
    if POLICY in wanted:
        yield from (_of_policy(one, POLICY) for one in policies.each(vhost))
    if OPERATOR_POLICY in wanted:
        yield from (_of_policy(one, OPERATOR_POLICY) for one in policies.each(vhost, operator=True))
    if VHOST_LIMITS in wanted:
        yield from _limits(access, access.vhosts_with_limits if vhost is None else [vhost])


def parameter(policies: Policies, access: Access, component: str, vhost: str, name: str) -> Parameter | None:
    """Return one parameter, None if there is none."""
    if component in (POLICY, OPERATOR_POLICY):
        policy = policies.get(vhost, name, component == OPERATOR_POLICY)
        return None if policy is None else _of_policy(policy, component)
    found = _limits(access, [vhost]) if (component, name) == (VHOST_LIMITS, LIMITS) else iter(())
    return next(found, None)


def place(one: Parameter) -> tuple[str, str, str]:
    """The place of a parameter in a list."""
    return one.vhost, one.name, one.component


def _of_policy(policy: Policy, component: str) -> Parameter:
    return Parameter(policy.vhost, component, policy.name, policy)


def _limits(access: Access, vhosts: list[str]) -> Iterator[Parameter]:
    for vhost in vhosts:
        for entry in access.export_vhost_limits(vhost):
            yield Parameter(vhost, VHOST_LIMITS, LIMITS, entry["value"])


class GlobalParameters(dict[str, object]):
    """Global parameters by name; the values are any JSON. As in RabbitMQ an empty object becomes an empty list."""

    def __setitem__(self, name: str, value: object) -> None:
        super().__setitem__(name, [] if value == {} else value)


def initial(
    cluster_name: str, random_octets: RandomOctets, *, tags: Mapping[str, str] | None
) -> GlobalParameters:
    """What a new broker has. `cluster_name`: the configured one, if any. `tags`: of the cluster, None if the version
    has none."""
    made = GlobalParameters()
    made[CLUSTER_ID] = generated_name("rabbitmq-cluster-id", random_octets)
    if tags is not None:
        made[CLUSTER_TAGS] = dict(tags)
    if cluster_name:
        made[CLUSTER_NAME] = cluster_name
    return made
