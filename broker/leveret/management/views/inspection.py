"""Messages that were looked at where they are."""

from __future__ import annotations

from leveret.engine.clients import ClientChannel
from leveret.management.json import Json
from leveret.management.views.details import channel_details
from leveret.queues.message import Entry, Message
from leveret.queues.stream.records import StreamRecord
from leveret.wire.erlang import chars


def ready(entry: Entry, message: Message) -> Json:
    """Show a ready message without its properties and payload. `message`: as a consumer would get it."""
    return {
        "position": entry.position,
        "redelivered": entry.redelivered,
        "expires_at": entry.expires_at or None,
        **_published(message),
    }


def record(one: StreamRecord) -> Json:
    """Show a message of a stream without its properties and payload. `position`: its offset."""
    return {
        "position": one.offset,
        "timestamp": one.time,
        "redelivered": False,
        "payload_bytes": len(one.body),
        "exchange": chars(one.exchange),
        "routing_key": chars(one.routing_key),
    }


def held(entry: Entry, message: Message) -> Json:
    """Show an unacknowledged message without its properties and payload. `consumer_tag`: null for basic.get."""
    return {
        "position": entry.position,
        "delivery_tag": entry.tag,
        "consumer_tag": entry.consumer.tag if entry.consumer is not None else None,
        "redelivered": entry.redelivered,
        "delivered_at": entry.delivered_at or None,
        **_published(message),
    }


def holder(channel: ClientChannel, node: str, total: int) -> Json:
    """Show a channel that holds so many messages of a queue."""
    return {"channel_details": channel_details(channel, node), "messages_unacknowledged": total}


def _published(message: Message) -> Json:
    return {
        "payload_bytes": message.size,
        "exchange": chars(message.exchange),
        "routing_key": chars(message.routing_key),
    }
