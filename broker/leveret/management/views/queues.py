"""Queues."""

from __future__ import annotations

from typing import cast

from leveret.engine.clients import ClientConsumer
from leveret.engine.policies import policy_of
from leveret.engine.stats import depths, queue_counts
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.connections import reference
from leveret.management.views.consumers import consumer
from leveret.management.views.figures import detailed, message_figures
from leveret.management.views.process import garbage_collection
from leveret.profiles import ApiProfile
from leveret.queues.consumers import Consumer
from leveret.queues.message import Entry
from leveret.queues.queue import Queue
from leveret.queues.quorum.backlog import QuorumBacklog
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.wire.properties import decode_properties
from leveret.wire.tables import plain

#: RabbitMQ's version of the files of classic queues (storage_version).
STORAGE_VERSION = 2


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


def replicas(queue: Queue, node: str) -> Json:
    """Show where a queue with replicas is: on this node alone; and the delivery limit of a quorum queue."""
    if queue.kind == "classic":
        return {}
    shown: Json = {"leader": node, "members": [node], "online": [node]}
    return shown | {"delivery_limit": _delivery_limit(queue)} if isinstance(queue, QuorumQueue) else shown


def totals(queue: Queue, node: str, api: ApiProfile) -> Json:
    """Show what `enable_queue_totals` shows instead of statistics: depths, and less than usual of all else.

    RabbitMQ has no totals of streams there, nor do quorum queues and streams know whether they are exclusive.
    """
    shown = declared(queue, node, api)
    policy = policy_of(queue).policy
    named: Json = {"policy": policy.name} if policy is not None else {}
    if isinstance(queue, StreamQueue):
        del shown["node"]
        return shown | named | {"exclusive": None, "online": [node], "totals": None, "type_specific": None}
    shown |= depths((queue,))
    if isinstance(queue, QuorumQueue):
        return shown | policies(queue) | replicas(queue, node) | {"exclusive": None}
    return shown | named | {"online": None}


def figures(rates: Rates, queue: Queue, node: str) -> Json:
    """Show the depth of a queue, its counts and rates, and what its type has."""
    counted = depths((queue,)) | {"reductions": queue.operations()}
    shown = detailed(counted, rates.rates_of(queue, counted))
    shown["consumers"] = len(queue.consumers.members)
    if isinstance(queue, StreamQueue):
        shown |= _stream_figures(queue, node)
    else:
        shown |= _backlog_figures(queue)
        shown |= _quorum_figures(queue, node) if isinstance(queue, QuorumQueue) else _classic_figures(queue)
    return shown | message_figures(rates, queue, queue_counts(queue))


def _backlog_figures(queue: Queue) -> Json:
    """Show the octets of a queue, and how busy its consumers are.

    `consumer_capacity` is RabbitMQ's share of time in which a consumer could have taken a message at once; here it is
    whether one can take one now. `memory`: octets of the messages that are held.
    """
    total = queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes
    return {
        "consumer_capacity": capacity(queue),
        "consumer_utilisation": capacity(queue),
        "memory": total,
        "message_bytes": total,
        "message_bytes_ready": queue.ready_bytes,
        "message_bytes_unacknowledged": queue.unacked_bytes,
    }


def _classic_figures(queue: Queue) -> Json:
    """Show what only a classic queue has. All messages count as in memory."""
    return {
        "message_bytes_ram": queue.ready_bytes + queue.unacked_bytes,
        "messages_ram": queue.ready + queue.unacked,
        "messages_ready_ram": queue.ready,
        "messages_unacknowledged_ram": queue.unacked,
        "storage_version": STORAGE_VERSION,
    }


def _stream_figures(queue: StreamQueue, node: str) -> Json:
    """Show the segments and readers of a stream. `memory`: octets of the log."""
    shown: Json = {
        **replicas(queue, node),
        "memory": queue.log.size,
        "readers": {node: len(queue.consumers.members)},
        "segments": queue.log.segment_count(),
    }
    first = queue.log.first_time()
    return shown if first < 0 else shown | {"first_timestamp": first}


def capacity(queue: Queue) -> float:
    """1.0 if a consumer can take a message now, else 0.0."""
    return float(any(not each.limit or each.held < each.limit for each in queue.consumers.members))


def _quorum_figures(queue: QuorumQueue, node: str) -> Json:
    """Show the replicas of a quorum queue, its withheld messages, and its settings of returns. All its messages are on
    the disk; which of them are in memory, too, is not counted."""
    delays, backlog = queue.delays, cast(QuorumBacklog, queue.backlog)
    delayed_bytes = sum(entry.message.size for _, _, entry in delays.heap)
    now = depths((queue,))["messages"]
    shown: Json = {
        **replicas(queue, node),
        "message_bytes_dlx": queue.withheld_bytes - delayed_bytes,
        "message_bytes_persistent": queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes,
        "message_bytes_ram": 0,
        "messages_dlx": queue.withheld - len(delays.heap),
        "messages_persistent": now,
        "messages_ram": 0,
        "messages_ready_returned": backlog.returned_count(),
        "open_files": {node: 0},
    }
    if queue.profile.quorum_priorities > 2:
        counts = backlog.by_priority()
        shown |= {
            "messages_active_priorities": len(counts),
            "messages_by_priority": {str(priority): count for priority, count in counts.items()},
        }
    if queue.profile.delayed_retry:
        shown |= {"messages_delayed": len(delays.heap), "delayed_retry": delays.text}
        if delays.heap:
            times = [at for at, _, _ in delays.heap]
            shown |= {"next_delayed_at": min(times), "last_delayed_at": max(times)}
    return shown


def _delivery_limit(queue: QuorumQueue) -> int | str:
    return queue.delivery_limit if queue.limited else "unlimited"


def head(queue: Queue) -> Json:
    """Show who consumes a queue alone, and the timestamp of its next message."""
    if isinstance(queue, StreamQueue):
        return {}
    consumers = queue.consumers
    active = consumers.active
    if isinstance(queue, QuorumQueue):
        active = active or next(iter(consumers.members), None)
        return {
            "garbage_collection": garbage_collection(),
            "single_active_consumer_tag": active.tag if active is not None else None,
        }
    exclusive = next((each.tag for each in consumers.members if each.exclusive), None)
    return {
        "exclusive_consumer_tag": exclusive,
        "garbage_collection": garbage_collection(),
        "head_message_timestamp": _head_timestamp(queue),
        "single_active_consumer_tag": active.tag if active is not None else None,
    }


def idleness(rates: Rates, queue: Queue) -> Json:
    """Show since when a queue has been idle; RabbitMQ shows that of classic queues only."""
    if queue.kind != "classic":
        return {}
    return rates.idleness(queue, queue_counts(queue) | depths((queue,)))


def known(shown: Json) -> Json:
    """Show the fields of `head` in a list: without the ones that have no value, nor the collector."""
    return {
        name: value for name, value in shown.items() if value is not None and name != "garbage_collection"
    }


def details(queue: Queue, node: str, consumer_timeout: int) -> Json:
    """Show what only a single queue shows: its consumers, and its owner. `consumer_timeout`: the node's, ms."""
    shown: Json = {
        "consumer_details": [consumer(each, node, consumer_timeout) for each in queue.consumers.members],
        "deliveries": [],
        "incoming": [],
    }
    if queue.owner is not None:
        shown["owner_pid_details"] = reference(queue.owner)
    return shown


def _head_timestamp(queue: Queue) -> int | None:
    """The timestamp property of the oldest message, in seconds. Deliveries of consumers count, those of basic.get do
    not here, unlike in RabbitMQ (rabbit_variable_queue:head_message_timestamp)."""
    entries = [_oldest(each) for each in queue.consumers.members if each.held]
    if queue.ready:
        entries.append(queue.backlog.first())
    oldest = min(
        (entry for entry in entries if entry is not None), key=lambda entry: entry.position, default=None
    )
    return None if oldest is None else decode_properties(oldest.message.header).timestamp


def _oldest(consumer: Consumer) -> Entry | None:
    """The oldest delivery of a consumer that is not settled."""
    first = cast(ClientConsumer, consumer).channel.unacked.oldest()
    if first is not None and first.consumer is consumer:
        return first
    return next(iter(consumer.outstanding()), None)
