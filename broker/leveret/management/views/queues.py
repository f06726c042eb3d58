"""Queues."""

from __future__ import annotations

from itertools import islice
from typing import cast

from leveret.engine.clients import ClientChannel, ClientConsumer
from leveret.engine.policies import policy_of
from leveret.engine.stats import depths, queue_counts
from leveret.management.json import Json
from leveret.management.rates import Rates
from leveret.management.views.connections import reference
from leveret.management.views.consumers import consumer
from leveret.management.views.figures import detailed, message_figures
from leveret.management.views.process import garbage_collection
from leveret.profiles import ApiProfile
from leveret.queues.backlog.paged_contents import absent_content, whole
from leveret.queues.message import Entry
from leveret.queues.queue import Queue
from leveret.queues.quorum.backlog import QuorumBacklog
from leveret.queues.quorum.queue import QuorumQueue
from leveret.queues.stream.queue import StreamQueue
from leveret.wire.properties import decode_properties
from leveret.wire.tables import plain

#: Consumers, and deliveries of a channel, among which the oldest delivery of a queue is looked for.
EXAMINED = 128

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


def named_policy(queue: Queue) -> Json:
    """Show the policy that matches a queue, if there is one."""
    policy = policy_of(queue).policy
    return {"policy": policy.name} if policy is not None else {}


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
    named = named_policy(queue)
    if isinstance(queue, StreamQueue):
        del shown["node"]
        return shown | named | {"exclusive": None, "online": [node], "totals": None, "type_specific": None}
    shown |= depths((queue,))
    if isinstance(queue, QuorumQueue):
        found = policies(queue) if api.policies_without_stats else named
        return shown | found | replicas(queue, node) | {"exclusive": None}
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
    delayed_bytes = delays.octets
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
    if queue.profile.quorum_priorities == 2:
        high = backlog.by_priority().get(1, 0)
        shown |= {"messages_ready_high": high, "messages_ready_normal": queue.ready - high}
    if queue.profile.quorum_priorities > 2:
        counts = backlog.by_priority()
        shown |= {
            "messages_active_priorities": len(counts),
            "messages_by_priority": {str(priority): count for priority, count in counts.items()},
        }
    if queue.profile.delayed_retry:
        shown |= {"messages_delayed": len(delays.heap), "delayed_retry": delays.text}
        if delays.heap:
            shown |= {"next_delayed_at": delays.heap[0][0], "last_delayed_at": delays.last_at}
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
    first = next(iter(consumers.members), None)
    exclusive = first.tag if first is not None and first.exclusive else None  # it is the only one
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


def details(queue: Queue, node: str, consumer_timeout: int, api: ApiProfile) -> Json:
    """Show what only a single queue shows: its consumers, which may be very many, as an iterator, and its owner.
    `consumer_timeout`: the node's, ms."""
    members = list(queue.consumers.members)
    shown: Json = {
        "consumer_details": iter(consumer(each, node, consumer_timeout, api) for each in members),
        "deliveries": [],
        "incoming": [],
    }
    if queue.owner is not None:
        shown["owner_pid_details"] = reference(queue.owner)
    return shown


def _head_timestamp(queue: Queue) -> int | None:
    """The timestamp property of the oldest message, in seconds. None if it is outside memory, as in RabbitMQ.
    Deliveries of consumers count, those of basic.get do not here, unlike in RabbitMQ
    (rabbit_variable_queue:head_message_timestamp)."""
    entries = [entry for channel in _holders(queue) if (entry := _oldest(queue, channel)) is not None]
    if queue.ready and queue.backlog.here(False):
        first = queue.backlog.first()
        entries += [first] if first is not None else []
    oldest = min(entries, key=lambda entry: entry.position, default=None)
    if oldest is None or absent_content(oldest) is not None:
        return None
    try:
        return decode_properties(whole(oldest.message).header).timestamp
    except OSError:  # it is paged out and cannot be read back
        return None


def _holders(queue: Queue) -> set[ClientChannel]:
    """Channels whose consumers hold deliveries of a queue: of the oldest of them that do."""
    found: set[ClientChannel] = set()
    for each in islice(queue.consumers.members, EXAMINED):
        if each.held:
            found.add(cast(ClientConsumer, each).channel)
    return found


def _oldest(queue: Queue, channel: ClientChannel) -> Entry | None:
    """The oldest delivery of a queue to a consumer of a channel, if it is among the oldest of the channel."""
    first = channel.unacked.oldest()
    if first is not None and first.consumer is not None and first.source is queue:
        return first
    for entry in channel.unacked.following(0, EXAMINED):
        if entry.consumer is not None and entry.source is queue:
            return entry
    return None
