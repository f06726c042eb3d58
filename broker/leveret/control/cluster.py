"""Which node of a cluster has which virtual host, and moving one (`leveret cluster`)."""

from __future__ import annotations

from leveret.control.call import Call, Handler, no_such_vhost
from leveret.management.owners import MoveRefused, NodeState, Owners, VhostState
from leveret.rendering.answers import DATA, TEMPORARY, UNAVAILABLE, Shown, failed

_NOT_A_CLUSTER = "node {} is not part of a cluster: [cluster] nats is not set"


def _owners(call: Call) -> Owners:
    """The nodes of the cluster. Raises `Failure`."""
    if call.host.owners is None:
        raise failed(UNAVAILABLE, _NOT_A_CLUSTER.format(call.node))
    return call.host.owners


def status(call: Call) -> object:
    """Show all nodes and virtual hosts."""
    placement = _owners(call).placement()
    if call.json:
        return Shown(
            {
                "cluster_name": call.broker.cluster_name,
                "node": call.node,
                "nodes": [
                    {"name": one.name, "state": one.state, "vhosts": one.vhosts} for one in placement.nodes
                ],
                "vhosts": [
                    {"name": one.name, "node": one.node, "state": one.state, "reason": one.reason}
                    for one in placement.vhosts
                ],
            }
        )
    lines = [f"Cluster {call.broker.cluster_name}, as node {call.node} knows it", "", "Nodes", ""]
    lines += _aligned([_node_cells(one) for one in placement.nodes])
    lines += ["", "Virtual hosts", ""]
    lines += _aligned([_vhost_cells(one) for one in placement.vhosts])
    return Shown("\n".join(lines))


def _node_cells(node: NodeState) -> list[str]:
    count = len(node.vhosts)
    return [node.name, node.state, f"{count} virtual host{'' if count == 1 else 's'}"]


def _vhost_cells(vhost: VhostState) -> list[str]:
    return [vhost.name, vhost.node or "-", f"{vhost.state}: {vhost.reason}" if vhost.reason else vhost.state]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Lines with their cells below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


async def move(call: Call) -> object:
    """Move a virtual host to a node."""
    vhost, target = call.arguments
    owners = _owners(call)
    if not call.broker.has_vhost(vhost):
        raise no_such_vhost(vhost)
    try:
        before = await owners.move(vhost, target)
    except MoveRefused as error:
        raise failed(DATA if error.unknown else UNAVAILABLE, str(error)) from None
    except OSError as error:
        raise failed(
            UNAVAILABLE, f"the node that has virtual host '{vhost}' does not answer: {error}"
        ) from None
    except TimeoutError:
        text = f"virtual host '{vhost}' is not on node {target} yet; leveret cluster status shows where it is"
        raise failed(TEMPORARY, text) from None
    if call.json:
        return Shown({"result": "ok", "vhost": vhost, "from": before, "node": target})
    if before == target:
        return Shown(f"Virtual host '{vhost}' is on node {target} already")
    return Shown(f"Virtual host '{vhost}' was moved from node {before} to node {target}")


COMMANDS: dict[str, Handler] = {"cluster status": status, "cluster move": move}
