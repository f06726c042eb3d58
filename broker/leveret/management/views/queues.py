"""Queues."""

from __future__ import annotations

from leveret.engine.policies import policy_of
from leveret.engine.stats import Stats, depths, message_stats, queue_counts
from leveret.management.json import Json
from leveret.management.views.connections import reference
from leveret.management.views.consumers import consumer
from leveret.management.views.figures import detailed
from leveret.profiles import ApiProfile
from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.wire.properties import decode_properties
from leveret.wire.tables import plain


def declared(queue: Queue, node: str, api: ApiProfile) -> Json:
    """Show a queue as it was declared."""
    shown: Json = {
        "arguments": plain(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "name": queue.name,
        "node": node,
        "state": "crashed" if queue.crashed else "running",
        "type": queue.kind,
        "vhost": queue.vhost,
    }
    if api.internal_queues_shown:  # there are none here
        shown |= {"internal": False, "internal_owner": False}
    return shown


def policies(queue: Queue) -> Json:
    """Show the policies that match a queue, and their combined definition."""
    found = policy_of(queue)
    return {
        "policy": found.policy.name if found.policy is not None else None,
        "operator_policy": found.operator_policy.name if found.operator_policy is not None else None,
        "effective_policy_definition": dict(found.definition),
    }


def matching_policies(queue: Queue) -> Json:
    """Show the same without the policies that there are not, as in lists."""
    return {name: value for name, value in policies(queue).items() if value is not None}


def totals(queue: Queue) -> Json:
    """Show what `enable_queue_totals` shows instead of statistics: depths, and policies by name."""
    names = {name: value for name, value in matching_policies(queue).items() if name.endswith("policy")}
    return {**depths((queue,)), **names}


def figures(stats: Stats, queue: Queue) -> Json:
    """Show the depth of a queue, its counts and rates.

    `consumer_capacity` is RabbitMQ's share of time in which a consumer could have taken a message at once; here it is
    whether one can take one now. All messages count as in memory.
    """
    now = depths((queue,))
    counts = queue_counts(queue)
    rates = stats.rates_of(queue, counts | now)
    total = queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes
    shown = detailed(now, rates) | {
        "consumer_capacity": capacity(queue),
        "consumer_utilisation": capacity(queue),
        "consumers": len(queue.consumers.members),
        "message_bytes": total,
        "message_bytes_ram": total,
        "message_bytes_ready": queue.ready_bytes,
        "message_bytes_unacknowledged": queue.unacked_bytes,
        "messages_ram": now["messages"],
        "messages_ready_ram": now["messages_ready"],
        "messages_unacknowledged_ram": now["messages_unacknowledged"],
    }
    if isinstance(queue, QuorumQueue):
        shown |= _quorum_figures(queue)
    counted = message_stats(counts)
    if counted:
        shown["message_stats"] = detailed(counted, rates)
    return shown


def capacity(queue: Queue) -> float:
    """1.0 if a consumer can take a message now, else 0.0."""
    return float(any(not each.limit or each.held < each.limit for each in queue.consumers.members))


def _quorum_figures(queue: QuorumQueue) -> Json:
    """Show the withheld messages of a quorum queue, and its settings of returns."""
    delays = queue.delays
    delayed_bytes = sum(entry.message.size for _, _, entry in delays.heap)
    shown: Json = {
        "messages_dlx": queue.withheld - len(delays.heap),
        "message_bytes_dlx": queue.withheld_bytes - delayed_bytes,
        "delivery_limit": queue.delivery_limit if queue.limited else "unlimited",
    }
    if queue.profile.delayed_retry:
        shown |= {"messages_delayed": len(delays.heap), "delayed_retry": delays.text}
        if delays.heap:
            times = [at for at, _, _ in delays.heap]
            shown |= {"next_delayed_at": min(times), "last_delayed_at": max(times)}
    return shown


def details(queue: Queue, node: str, consumer_timeout: int) -> Json:
    """Show what only a single queue shows: its consumers, and the timestamp of its head.

    `consumer_timeout`: the node's, ms.
    """
    consumers = queue.consumers
    exclusive = next((each.tag for each in consumers.members if each.exclusive), None)
    shown: Json = {
        "consumer_details": [consumer(each, node, consumer_timeout) for each in consumers.members],
        "deliveries": [],
        "incoming": [],
        "exclusive_consumer_tag": exclusive,
        "single_active_consumer_tag": consumers.active.tag if consumers.active is not None else None,
        "head_message_timestamp": _head_timestamp(queue),
    }
    if queue.owner is not None:
        shown["owner_pid_details"] = reference(queue.owner)
    return shown


def _head_timestamp(queue: Queue) -> int | None:
    """The timestamp property of the next message, in seconds."""
    entry = queue.backlog.first() if queue.ready else None
    return None if entry is None else decode_properties(entry.message.header).timestamp
