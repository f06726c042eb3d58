"""Limits of a node, over all virtual hosts (docs: `vhost_max`, `cluster_queue_limit`, `cluster_exchange_limit`,
`runtime_parameters.limits`).

What is there when a limit is set stays, and is restored at the next start; only new objects are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sized
from typing import TYPE_CHECKING, Protocol

from leveret import errors

if TYPE_CHECKING:
    from leveret.settings import Limits

log = logging.getLogger("leveret")


class Counted(Protocol):
    """What is counted of a virtual host."""

    @property
    def queues(self) -> Sized:
        """Its queues."""

    @property
    def exchanges(self) -> Sized:
        """Its exchanges."""


class VhostLimitError(ValueError):
    """There are as many virtual hosts as there may be; the text is RabbitMQ's."""


class ParameterLimitError(ValueError):
    """There are as many parameters of a component as there may be; the text is RabbitMQ's."""

    def __init__(self, component: str, limit: int) -> None:
        super().__init__(f"component {component} is limited to {limit}")
        self.component = component
        self.limit = limit


class NodeLimits:
    """Checks of new objects. `vhosts`: those on this node, whose queues and exchanges are counted only for a limit that
    is set; `elsewhere`: names of those that are not."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.vhosts: Mapping[str, Counted] = {}
        self.elsewhere: Collection[str] = ()

    def check_vhost(self, name: str) -> None:
        """Raise `VhostLimitError` if there may not be one more virtual host (rabbit_vhost:is_over_vhost_limit)."""
        limit = self.limits.vhosts
        there = len(self.vhosts) + len(self.elsewhere)
        if 0 <= limit <= there and there:
            raise VhostLimitError(f"cannot create vhost '{name}': vhost limit of {limit} is reached")

    def check_queue(self, name: str) -> None:
        """Raise 406 if there may not be one more queue (rabbit_queue_type:check_cluster_queue_limit)."""
        limit = self.limits.queues
        if limit >= 0 and sum([len(vhost.queues) for vhost in self.vhosts.values()]) >= limit:
            raise errors.node_queue_limit(name, limit)

    def check_exchange(self, name: str, vhost: str) -> None:
        """Raise 406 if there may not be one more exchange (rabbit_exchange:check_exchange_limits)."""
        limit = self.limits.exchanges
        if limit >= 0 and sum([len(one.exchanges) for one in self.vhosts.values()]) >= limit:
            raise errors.node_exchange_limit(name, vhost, limit)

    def check_parameter(self, component: str, count: int) -> None:
        """Raise `ParameterLimitError` if no parameter of a component may be set, also not to replace one of the `count`
        that are there (rabbit_runtime_parameters:is_within_limit)."""
        limit = self.limits.parameters.get(component, -1)
        if 0 <= limit <= count:
            log.error("Limit reached: component %s is limited to %d", component, limit)
            raise ParameterLimitError(component, limit)
