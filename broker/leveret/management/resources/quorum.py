"""`queues/quorum`: members of quorum queues. There is one node, so each queue has one member, its leader."""

from __future__ import annotations

from leveret.management.call import Call, Refusal, Reply, Resource, Routes, Shows, bad_request, missing, shown
from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue

_DISABLED = "Broker settings disallow quorum queue replica operations."


def _may(call: Call) -> None:
    """Raises `Refusal` unless the user may change members, and the configuration permits it."""
    if call.broker.settings.management.quorum_queue_replica_operations_disabled:
        raise Refusal(405, "method_not_allowed", _DISABLED)
    call.need_administrator()


def _find(call: Call) -> Queue:
    vhost = call.broker.vhosts.get(call.path["vhost"])
    queue = None if vhost is None else vhost.queues.get(call.path["name"])
    if queue is None:
        raise missing()
    return queue


def _not_quorum(queue: Queue) -> str | None:
    """RabbitMQ's reason for a queue of another type."""
    if isinstance(queue, QuorumQueue):
        return None
    return "classic_queue_not_supported" if queue.kind == "classic" else "not_quorum_queue"


def status(call: Call) -> object:
    """GET: the member; 503 for queues of other types. Of Raft's log there is nothing to show."""
    queue = _find(call)
    reason = _not_quorum(queue)
    if reason is not None:
        return shown({"status": "failed", "reason": reason}, 503)
    member = {"Node Name": call.site.node_name, "Raft State": "leader", "Membership": "voter"}
    return [member]


def _need_member(call: Call) -> None:
    """Check that the body names this node. Raises `Refusal`."""
    (node,) = call.needed(call.fields(), ("node",))
    if node != call.site.node_name:
        raise bad_request("Node is not a cluster member")


def _unavailable(reason: str) -> Refusal:
    return Refusal(503, "service_unavailable", reason)


def add(call: Call) -> None:
    """POST {node}: add a member; this node is one already."""
    _need_member(call)
    reason = _not_quorum(_find(call))
    if reason is not None:
        raise _unavailable(reason)


def delete(call: Call) -> None:
    """DELETE {node}: remove a member; the last one stays."""
    queue = _find(call)
    _need_member(call)
    raise _unavailable(_not_quorum(queue) or "last_node")


def _need_node(call: Call) -> None:
    if call.path["node"] != call.site.node_name:
        raise missing()


def grow(call: Call) -> None:
    """POST {vhost_pattern, queue_pattern, strategy}: add this node to all queues; it is a member of all of them."""
    _need_node(call)
    call.needed(call.fields(), ("vhost_pattern", "queue_pattern", "strategy"))


def shrink(call: Call) -> Reply:
    """DELETE: remove this node from all queues; it stays, as the last member of each."""
    _need_node(call)
    return Reply(202)


_ONE = "queues/quorum/{vhost}/{name}"
_ALL = "queues/quorum/replicas/on/{node}"

ROUTES: Routes = {
    f"{_ONE}/status": Resource({"GET": status}, head=False, may=Call.need_vhost),
    f"{_ONE}/replicas/add": Resource({"POST": add}, shows=Shows.NOTHING, may=_may),
    f"{_ONE}/replicas/delete": Resource({"DELETE": delete}, shows=Shows.NOTHING, may=_may),
    f"{_ALL}/grow": Resource({"POST": grow}, shows=Shows.NOTHING, may=_may, of_node=True),
    f"{_ALL}/shrink": Resource({"DELETE": shrink}, shows=Shows.NOTHING, may=_may, of_node=True),
}
