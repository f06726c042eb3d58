"""Adds headers with delivery counts to the messages of a quorum queue."""

from __future__ import annotations

from leveret.queues.message import Message, frame_content
from leveret.wire.properties import decode_properties, encode_properties
from leveret.wire.tables import Field, Table


def with_headers(message: Message, more: Table) -> Message:
    """Return a copy of a message with more headers."""
    properties = decode_properties(message.header)
    headers = {**(properties.headers or {}), **more}
    properties.headers = dict(sorted(headers.items(), key=_octets))
    copy = Message(message.exchange, message.routing_key)
    copy.content, copy.head = frame_content(encode_properties(properties, message.size), message.body)
    copy.size = message.size
    return copy


def _octets(item: tuple[str, Field]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")
