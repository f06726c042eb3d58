"""Engine objects as the API shows them: pieces that more than one resource uses."""

from __future__ import annotations

from typing import Any

from leveret.engine.stats import DELIVER_GET, Counts, Stats, depths, message_stats, queue_counts
from leveret.management.call import Call
from leveret.wire.tables import plain


def detailed(counts: Counts, rates: dict[str, float]) -> dict[str, Any]:
    """Counts with their `*_details`, which hold the change per second."""
    shown: dict[str, Any] = dict(counts)
    for name in counts:
        if name == "deliver_get":
            rate = sum(rates.get(part, 0.0) for part in DELIVER_GET)
        else:
            rate = rates.get(name, 0.0)
        shown[f"{name}_details"] = {"rate": rate}
    return shown


def message_figures(stats: Stats, subject: Any, counts: Counts) -> dict[str, Any]:
    """message_stats of a channel, a virtual host or the broker: nothing where nothing was counted."""
    shown = message_stats(counts)
    return {"message_stats": detailed(shown, stats.rates_of(subject, counts))} if shown else {}


def connection_name(connection: Any) -> dict[str, Any]:
    """What other objects say of a connection."""
    return {
        "name": connection.name,
        "peer_host": connection.peer.peer_host,
        "peer_port": connection.peer.peer_port,
    }


def queue_basics(call: Call, queue: Any) -> dict[str, Any]:
    """A queue as it was declared."""
    shown = {
        "arguments": plain(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
        "name": queue.name,
        "node": call.http.node_name,
        "state": "crashed" if queue.crashed else "running",
        "type": queue.kind,
        "vhost": queue.vhost,
    }
    if call.since(4, 2):  # queues that the server made for itself; there are none here
        shown |= {"internal": False, "internal_owner": False}
    return shown


def queue_figures(stats: Stats, queue: Any) -> dict[str, Any]:
    """What is in a queue, what went through it, and who takes it.

    `consumer_capacity` is RabbitMQ's share of time in which a consumer could have taken a message at once;
    here it is whether one could now. All messages are in memory.
    """
    now = depths((queue,))
    counts = queue_counts(queue)
    rates = stats.rates_of(queue, counts | now)
    members = queue.consumers.members
    capacity = float(any(not each.limit or each.held < each.limit for each in members))
    total = queue.ready_bytes + queue.unacked_bytes + queue.withheld_bytes
    shown = detailed(now, rates) | {
        "consumer_capacity": capacity,
        "consumer_utilisation": capacity,
        "consumers": len(members),
        "message_bytes": total,
        "message_bytes_ram": total,
        "message_bytes_ready": queue.ready_bytes,
        "message_bytes_unacknowledged": queue.unacked_bytes,
        "messages_ram": now["messages"],
        "messages_ready_ram": now["messages_ready"],
        "messages_unacknowledged_ram": now["messages_unacknowledged"],
    }
    if queue.kind == "quorum":
        shown |= _quorum_figures(queue)
    counted = message_stats(counts)
    if counted:
        shown["message_stats"] = detailed(counted, rates)
    return shown


def _quorum_figures(queue: Any) -> dict[str, Any]:
    """What is in a quorum queue and neither ready nor handed out, and what it does with returns."""
    delays = queue.delays
    delayed_bytes = sum(entry.message.size for _, _, entry in delays.heap)
    shown: dict[str, Any] = {
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


def consumer_details(call: Call, consumer: Any) -> dict[str, Any]:
    """A consumer, as its queue, its channel and the list of consumers show it."""
    channel = consumer.channel
    consumers = consumer.source.consumers
    active = not consumers.single_active or consumers.active is consumer
    status = "up" if not consumers.single_active else ("single_active" if active else "waiting")
    return {
        "arguments": plain(consumer.arguments),
        "ack_required": not consumer.no_ack,
        "active": active,
        "activity_status": status,
        "channel_details": {
            "connection_name": channel.connection.name,
            "name": f"{channel.connection.name} ({channel.number})",
            "node": call.http.node_name,
            "number": channel.number,
            "peer_host": channel.connection.peer.peer_host,
            "peer_port": channel.connection.peer.peer_port,
            "user": channel.connection.user.name,
        },
        "consumer_tag": consumer.tag,
        "consumer_timeout": call.broker.settings.amqp.consumer_timeout,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.limit,
        "queue": {"name": consumer.source.name, "vhost": consumer.source.vhost},
    }
