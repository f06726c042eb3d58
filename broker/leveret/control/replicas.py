"""Replicas of quorum queues and streams: each has one, on this node."""

from __future__ import annotations

import re
from collections.abc import Iterator

from leveret.control.call import Call, Handler
from leveret.control.passing import values_elsewhere
from leveret.queues.message import Entry
from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.rendering.answers import (
    UNAVAILABLE,
    USAGE,
    Done,
    Failure,
    Shown,
    failed,
    failed_json,
    failed_with,
)
from leveret.rendering.terms import Atom, Quoted, Row, row
from leveret.wire.properties import decode_properties

#: Octets of a message that `peek` shows.
_PEEKED_BYTES = 64

#: Versions of the state machines of RabbitMQ 4.3.6.
_QUORUM_MACHINE, _COORDINATOR_MACHINE, _STORE_MACHINE = 8, 7, 3


def _named(call: Call, kind: str = "queue") -> Queue:
    """The queue in the first argument. Raises `Failure`."""
    queue = call.find_queue(call.arguments[0])
    if queue is None:
        if kind == "stream":
            raise failed_with(Atom("not_found"))
        raise failed_with((Atom("not_found"), "queue", call.vhost_name, call.arguments[0]))
    return queue


def _module(queue: Queue) -> Atom:
    return Atom(f"rabbit_{queue.kind}_queue")


def _quorum(call: Call) -> Queue:
    """The quorum queue in the first argument. Raises `Failure`."""
    queue = _named(call)
    if queue.kind != "quorum":
        raise failed_with((Atom("unsupported"), _module(queue)))
    return queue


def _check_member(call: Call, node: str) -> None:
    """Refuse a node that is not in the cluster. Raises `Failure`."""
    if node != call.node:
        raise failed(USAGE, f"node {node} is not a member of the cluster")


def quorum_status(call: Call) -> object:
    """Show the replicas of a quorum queue."""
    queue = _quorum(call)
    written = queue.published + len(queue.consumers.members)
    return Shown([_raft(call, written, _QUORUM_MACHINE)])


def _raft(call: Call, index: int, machine: int) -> Row:
    """The only member of a Raft cluster. `index`: of the last command."""
    fields: dict[str, object] = {
        "Node Name": Atom(call.node), "Raft State": Atom("leader"), "Membership": Atom("voter"),
        "Last Log Index": index, "Last Written": index, "Last Applied": index, "Commit Index": index,
        "Snapshot Index": -1, "Term": 1, "Machine Version": machine,
    }  # fmt: skip
    return [(Quoted(name), value) for name, value in fields.items()]


def metadata_store_status(call: Call) -> object:
    """Show the only member of the metadata store."""
    objects = sum(len(vhost.queues) + len(vhost.exchanges) for vhost in call.broker.vhosts.values())
    return Shown([_raft(call, objects, _STORE_MACHINE)])


def coordinator_status(call: Call) -> object:
    """Show the only member of the stream coordinator."""
    streams = sum(
        1
        for vhost in call.broker.vhosts.values()
        for queue in vhost.queues.values()
        if queue.kind == "stream"
    )
    if not streams:
        raise failed(UNAVAILABLE, "stream coordinator not started or unavailable")
    return Shown([_raft(call, streams, _COORDINATOR_MACHINE)])


def add_member(call: Call) -> object:
    """Add a replica on this node, where there is one."""
    _check_member(call, call.arguments[1])
    _quorum(call)
    return Done()


def delete_member(call: Call) -> object:
    """Delete a replica: not the last one."""
    _quorum(call)
    if call.arguments[1] == call.node:
        raise failed(UNAVAILABLE, "last_node")
    return Done()


def _matching(call: Call, *kinds: str) -> Iterator[Queue]:
    vhosts, queues = (
        re.compile(str(call.options.get(name, ".*"))) for name in ("vhost_pattern", "queue_pattern")
    )
    for name, vhost in call.broker.vhosts.items():
        if vhosts.search(name):
            yield from (
                queue for queue in vhost.queues.values() if queue.kind in kinds and queues.search(queue.name)
            )


def grow(call: Call) -> object:
    """Add replicas on this node, where they are."""
    _check_member(call, call.arguments[0])
    return Shown([])


def grow_to_count(call: Call) -> object:
    """Add replicas on other nodes: there are none."""
    return Shown([])


def shrink(call: Call) -> object:
    """Delete the replicas of a node: not the last ones."""
    if call.arguments[0] != call.node:
        raise failed_with((Atom("node_not_running"), Atom(call.arguments[0])))
    return _shrunk(call, "quorum", "error: the last node cannot be removed")


def shrink_streams(call: Call) -> object:
    """Delete the replicas of a node: not the last ones."""
    if call.arguments[0] != call.node:
        return Shown([])
    return _shrunk(call, "stream", "error: the last replica cannot be removed")


def _shrunk(call: Call, kind: str, result: str) -> object:
    return Shown([
        row(vhost=queue.vhost, name=queue.name, size=1, result=result) for queue in _matching(call, kind)
    ])  # fmt: skip


async def rebalance(call: Call) -> object:
    """Spread the leaders over the nodes, which here are those of virtual hosts, and show how many each has."""
    (kind,) = call.arguments
    if call.host.owners is not None and not call.hop:
        await call.host.owners.rebalance()
    kinds = {"all": ("quorum", "stream")}.get(kind, (kind,))
    titles = {"quorum": "Number of quorum queues", "stream": "Number of streams"}
    counts = [(Quoted(titles[one]), len(list(_matching(call, one)))) for one in kinds if one in titles]
    found: Row = [(Quoted("Node name"), Atom(call.node)), *counts]
    own = [found] if any(count for _, count in counts) else []
    return Done([*own, *await values_elsewhere(call)])


async def force_checkpoint(call: Call) -> object:
    """Write checkpoints, of which there are none: settled messages leave the log by themselves."""
    if call.options.get("errors_only"):
        return Shown([])
    rows = [row(vhost=queue.vhost, name=queue.name, result="{ok}") for queue in _matching(call, "quorum")]
    return Shown([*rows, *await values_elsewhere(call)])


def transfer_leadership(call: Call) -> object:
    """Make another replica the leader: there is none."""
    queue = _named(call)
    if queue.kind != "quorum":
        raise failed(UNAVAILABLE, "Cannot transfer leadership of a non-quorum queue")
    raise failed(UNAVAILABLE, "The target node is already the leader of this queue")


def reclaim_memory(call: Call) -> object:
    """Free the memory of a quorum queue: it is free already."""
    queue = call.find_queue(call.arguments[0])
    if queue is None:
        raise failed(UNAVAILABLE, f"Target queue was not found in virtual host '{call.vhost_name}'")
    if queue.kind != "quorum":
        raise failed(UNAVAILABLE, f"This operation is not applicable to {_plural(queue)}")
    return Done()


def _plural(queue: Queue) -> str:
    return "streams" if queue.kind == "stream" else f"{queue.kind} queues"


def _singular(queue: Queue) -> str:
    return "stream" if queue.kind == "stream" else f"{queue.kind} queue"


def peek(call: Call) -> object:
    """Show a ready message of a quorum queue, which stays where it is."""
    queue = call.find_queue(call.arguments[0])
    if queue is None:
        raise _refused(call, f"Target queue was not found in virtual host '{call.vhost_name}'")
    if not isinstance(queue, QuorumQueue):
        raise failed(UNAVAILABLE, f"Cannot peek into a {_singular(queue)}")
    entry = _ready(queue, int(call.arguments[1]) - 1)
    if entry is None:
        raise _refused(call, "Target queue does not have a message at that position")
    fields = _peeked(entry, queue)
    if call.json:
        return Shown({"result": "ok", "message": fields})
    return Shown([row(keys=name, values=value) for name, value in fields.items()])


def _ready(queue: QuorumQueue, index: int) -> Entry | None:
    """A ready message by its place, of those that are not paged out."""
    entries, _ = queue.backlog.entries()
    entries.sort(key=lambda entry: entry.position)
    return entries[index] if index < len(entries) else None


def _refused(call: Call, text: str) -> Failure:
    if call.json:
        return failed_json({"result": "error", "message": text})
    return failed(UNAVAILABLE, text)


def _peeked(entry: Entry, queue: QuorumQueue) -> dict[str, object]:
    message = entry.message
    found: dict[str, object] = {}
    properties = decode_properties(message.header)
    for name in (
        "timestamp",
        "delivery_mode",
        "content_type",
        "correlation_id",
        "reply_to",
        "message_id",
        "type",
    ):
        value = getattr(properties, name, None)
        if value is not None:
            found[name] = value
    found["routing_keys"] = [message.routing_key.decode("utf-8", "replace")]
    found["exchange"] = message.exchange.decode("utf-8", "replace")
    found["payload (max 64 bytes)"] = message.body[:_PEEKED_BYTES].decode("utf-8", "replace")
    found["header.x-delivery-count"] = entry.failed
    return found


# --- streams


def stream_status(call: Call) -> object:
    """Show the replicas of a stream, or what it keeps of its publishers."""
    queue = _named(call, "stream")
    if not isinstance(queue, StreamQueue):
        raise failed(UNAVAILABLE, f"Cannot get stream status of a {_singular(queue)}")
    if call.options.get("tracking"):
        return Shown([])
    last = queue.log.end - 1
    return Shown([
        row(
            role=Atom("writer"), node=Atom(call.node), epoch=1, offset=last, committed_offset=last,
            committed_chunk_id=last, first_offset=queue.log.first(), readers=len(queue.consumers.members),
            segments=queue.log.segment_count(),
        )
    ])  # fmt: skip


def add_replica(call: Call) -> object:
    """Add a replica on this node, where there is one."""
    queue = _named(call, "stream")
    if queue.kind != "stream":
        raise failed(UNAVAILABLE, f"Cannot add replicas to {_plural(queue)}")
    if call.arguments[1] != call.node:
        raise failed(UNAVAILABLE, "node_not_running")
    return Done()


def delete_replica(call: Call) -> object:
    """Delete a replica: not the last one."""
    queue = _named(call, "stream")
    if queue.kind != "stream":
        raise failed(UNAVAILABLE, f"Cannot delete replicas from a {_singular(queue)}")
    raise failed(UNAVAILABLE, "Cannot delete the last member of a stream")


def restart_stream(call: Call) -> object:
    """Elect a leader: it is this node."""
    queue = _named(call, "stream")
    if queue.kind != "stream":
        raise failed_with((Atom("not_supported_for_type"), _module(queue)))
    return Done(Atom(call.node))


def transfer_stream_leadership(call: Call) -> object:
    """Make another replica the leader: there is none."""
    queue = _named(call)
    if queue.kind != "stream":
        raise failed(UNAVAILABLE, f"Cannot transfer leadership of a {_singular(queue)}")
    raise failed(UNAVAILABLE, "The target node is already the leader of this stream")


COMMANDS: dict[str, Handler] = {
    "quorum_status": quorum_status,
    "metadata_store_status": metadata_store_status,
    "coordinator_status": coordinator_status,
    "add_member": add_member,
    "delete_member": delete_member,
    "grow": grow,
    "grow_to_count": grow_to_count,
    "shrink": shrink,
    "rebalance": rebalance,
    "force_checkpoint": force_checkpoint,
    "transfer_leadership": transfer_leadership,
    "reclaim_quorum_memory": reclaim_memory,
    "peek": peek,
    "stream_status": stream_status,
    "add_replica": add_replica,
    "delete_replica": delete_replica,
    "restart_stream": restart_stream,
    "streams grow": grow,
    "streams shrink": shrink_streams,
    "streams transfer_leadership": transfer_stream_leadership,
}
