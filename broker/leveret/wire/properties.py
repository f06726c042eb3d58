"""All fourteen properties of a content header, typed; `content.py` reads headers in the hot path.

The payload of a header frame is class id (2 octets), weight (2), body size (8), property flags (2) and the properties
whose flags are set, in the order of flags (AMQP 0-9-1, 4.2.6.1). RabbitMQ ignores the two lowest flags, even the one
for another word of flags (rabbit_framing_amqp_0_9_1:decode_properties/2).

Short strings are not checked to be UTF-8, as in RabbitMQ; other octets become surrogate escapes.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Any, TypeAlias

import msgspec

from leveret import errors
from leveret.wire.tables import MalformedTable, Table, decode_table, encode_table

#: The value of a property: a table, an int or a str. `Any`: `_KINDS` has the type of each.
PropertyValue: TypeAlias = Any

_HEAD = Struct(">HHQH")
_BASIC = 60
_U64 = Struct(">Q")


class Properties(msgspec.Struct, kw_only=True):
    """The properties of one message; None for absent ones. `timestamp`: seconds since the epoch."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    timestamp: int | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


_KINDS = {"headers": "table", "delivery_mode": "octet", "priority": "octet", "timestamp": "timestamp"}

#: (name, flag, kind) in the order of flags.
_LAYOUT = tuple(
    (name, 0x8000 >> position, _KINDS.get(name, "shortstr"))
    for position, name in enumerate(Properties.__struct_fields__)
)


@lru_cache(maxsize=256)
def _present(flags: int) -> tuple[tuple[str, str], ...]:
    """Return name and kind of the properties whose flags are set: messages have the same ones again and again."""
    return tuple((name, kind) for name, flag, kind in _LAYOUT if flags & flag)


def decode_properties(payload: bytes) -> Properties:
    """Decode the properties in the payload of a header frame. Raises 541 if they are malformed."""
    if len(payload) < _HEAD.size:
        raise errors.malformed_properties()
    flags: int = _HEAD.unpack_from(payload)[3]
    properties = Properties()
    at = _HEAD.size
    for name, kind in _present(flags):
        value, at = _decode(kind, payload, at)
        setattr(properties, name, value)
    if at != len(payload):
        raise errors.malformed_properties()
    return properties


def _decode(kind: str, data: bytes, at: int) -> tuple[PropertyValue, int]:
    """Decode the property at `at`. Returns its value and the offset behind it."""
    end = len(data)
    if kind == "table":
        try:
            return decode_table(data, at)
        except MalformedTable:
            raise errors.malformed_properties() from None
    stop = at + (8 if kind == "timestamp" else 1)
    if stop <= end and kind == "shortstr":
        stop += data[at]
    if stop > end:
        raise errors.malformed_properties()
    if kind == "octet":
        return data[at], stop
    if kind == "timestamp":
        return _U64.unpack_from(data, at)[0], stop
    return data[at + 1 : stop].decode("utf-8", "surrogateescape"), stop


def encode_properties(properties: Properties, size: int) -> bytes:
    """Encode the payload of a header frame for a body of `size` octets. Raises ValueError for a short string of more
    than 255 octets."""
    flags = 0
    parts = [b""]
    for name, flag, kind in _LAYOUT:
        value = getattr(properties, name)
        if value is not None:
            flags |= flag
            parts.append(_encode(kind, value))
    parts[0] = _HEAD.pack(_BASIC, 0, size, flags)
    return b"".join(parts)


def _encode(kind: str, value: PropertyValue) -> bytes:
    if kind == "table":
        return encode_table(value)
    if kind == "octet":
        return bytes((value & 0xFF,))  # as Erlang writes <<V:8>>
    if kind == "timestamp":
        return _U64.pack(value & 0xFFFFFFFFFFFFFFFF)
    raw: bytes = value.encode("utf-8", "surrogateescape")
    if len(raw) > 255:
        raise ValueError("short string above 255 octets")
    return bytes((len(raw),)) + raw
