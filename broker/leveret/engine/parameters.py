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
    from leveret.engine.policies import Policies

#: The components.
POLICY, OPERATOR_POLICY, VHOST_LIMITS = "policy", "operator_policy", "vhost-limits"

#: The name of the parameter that holds the limits of a virtual host.
LIMITS = "limits"

#: Global parameters of the broker itself (rabbit_nodes).
CLUSTER_NAME, CLUSTER_TAGS, CLUSTER_ID = "cluster_name", "cluster_tags", "internal_cluster_id"


class ParameterError(ValueError):
    """A parameter that RabbitMQ refuses; the text is RabbitMQ's."""


class Parameter(NamedTuple):
    """One parameter. `value`: any JSON."""

    vhost: str
    component: str
    name: str
    value: object

    def to_json(self) -> dict[str, object]:
        """As definitions and the HTTP API show it."""
        return self._asdict()


def parameters(
    policies: Policies, access: Access, component: str | None = None, vhost: str | None = None
) -> list[Parameter]:
    """All parameters by virtual host and name, of one component or virtual host on request.

    Policies are left out unless they are asked for.
    """
    found = [
        one
        for one in _all(policies, access)
        if component in (None, one.component)
        and vhost in (None, one.vhost)
        and (component == POLICY or one.component != POLICY)
    ]
    return sorted(found, key=lambda one: (one.vhost, one.name, one.component))


def _all(policies: Policies, access: Access) -> Iterator[Parameter]:
    for operator, component in ((False, POLICY), (True, OPERATOR_POLICY)):
        for policy in policies.list(operator=operator):
            value = {name: field for name, field in policy.to_json().items() if name not in ("vhost", "name")}
            yield Parameter(policy.vhost, component, policy.name, value)
    for entry in access.export_vhost_limits():
        yield Parameter(entry["vhost"], VHOST_LIMITS, LIMITS, entry["value"] or [])


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
