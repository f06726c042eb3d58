"""Operations on global parameters. Only the name of the cluster is stored (rabbit_nodes:set_cluster_name)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret.engine.changes import ClusterNameSet

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.operations.caller import Caller


def set_cluster_name(broker: Broker, caller: Caller, name: str) -> None:
    """Set the name of the cluster."""
    broker.cluster_name = name
    broker.observers.notify(ClusterNameSet(caller.actor, name))
