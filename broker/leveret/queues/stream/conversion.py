"""Converts the properties of a message as publishing to a stream and reading from it do.

RabbitMQ stores messages in a stream as AMQP 1.0 and converts them to AMQP 0-9-1 for every consumer, which changes them
(mc_amqp, mc_amqpl; before 3.13 rabbit_msg_record): a delivery mode is added, cluster_id is removed, tables and arrays
are removed unless the header's name begins with `x-`, and some values cannot be stored at all. Here a message is
converted once, when it is published: what is stored is what consumers get, including the offset.

Nearly all messages need no decoding: `put_plain` inserts the offset into the properties as received.
"""

from __future__ import annotations

import cython

from leveret import errors
from leveret.profiles import Profile
from leveret.queues.message import Death
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table

if cython.compiled:
    from cython.cimports.leveret.queues.message import Message
    from cython.cimports.leveret.wire.frames import Outbox, u32
else:
    from leveret.queues.message import Message
    from leveret.wire.frames import Outbox, u32

#: `x-stream-offset` and the type of its value, as in a field table.
_OFFSET = cython.declare(bytes, b"\x0fx-stream-offsetl")

#: Headers that RabbitMQ replaces or uses itself, so that consumers do not get them.
_TAKEN = frozenset(("x-stream-offset", "x-death", "x-exchange", "x-routing-key"))

_U64 = 1 << 64

#: Expirations have fewer digits than this.
_EXPIRATION_DIGITS = 20


def put_plain(out: Outbox, message: Message, offset: cython.ulonglong, containers: cython.bint) -> bool:
    """Append length, flags and property list, with the offset among the headers. Returns False, and appends nothing, if
    the properties must be decoded. `containers`: as in 3.13 and later."""
    content: bytes = message.content
    p: cython.p_const_uchar = content
    end: cython.Py_ssize_t = message.head - 1
    flags: cython.uint = p[19] << 8 | p[20]
    mode: cython.int = 1 if containers else -1
    front: cython.Py_ssize_t = 21  # behind content type and encoding
    start: cython.Py_ssize_t
    split: cython.Py_ssize_t
    stop: cython.Py_ssize_t
    rest: cython.Py_ssize_t
    if flags & 0x0007 or message.expiration > 0xFFFFFFFF:
        return False
    if flags & 0x8000:
        front += 1 + p[front]
    if flags & 0x4000:
        front += 1 + p[front]
    start = split = stop = front
    if flags & 0x2000:
        start = front + 4
        stop = start + u32(p, front)
        split = _place(p, start, stop) if containers else -1
        if split < 0:
            return False
    rest = stop
    if flags & 0x1000:
        mode = p[rest] if p[rest] == 2 or not containers else 1
        rest += 1
    if flags & 0x0240 and not _harmless(p, rest, flags):
        return False
    flags |= 0x2000
    if mode >= 0:
        flags |= 0x1000
        out.put_u32(32 + (front - 21) + (stop - start) + (end - rest))
    else:
        out.put_u32(31 + (front - 21) + (stop - start) + (end - rest))
    out.put_u8(flags >> 8)
    out.put_u8(flags & 0xFF)
    out.put_slice(content, 21, front - 21)
    out.put_u32(stop - start + 25)
    out.put_slice(content, start, split - start)
    out.put(_OFFSET)
    out.put_u64(offset)
    out.put_slice(content, split, stop - split)
    if mode >= 0:
        out.put_u8(mode)
    out.put_slice(content, rest, end - rest)
    return True


def _place(p: cython.p_const_uchar, i: cython.Py_ssize_t, end: cython.Py_ssize_t) -> int:
    """Return where the offset is to be inserted among sorted headers; -1 if one of them is changed by the
    conversion."""
    size: cython.Py_ssize_t
    kind: cython.int
    split: cython.Py_ssize_t = -1
    at: cython.Py_ssize_t
    while i < end:
        size = p[i]
        at = i + 1
        if size >= 2 and p[at] == 0x43 and p[at + 1] == 0x43:  # CC
            return -1
        if size > 2 and p[at] == 0x78 and p[at + 1] == 0x2D:  # x-
            # x-basic-type, x-cc, x-death, x-exchange, x-routing-key, x-stream-filter-value
            if p[at + 2] in (0x62, 0x63, 0x64, 0x65, 0x72, 0x73):
                return -1
            if split < 0 and p[at + 2] > 0x73:
                split = i
        elif split < 0 and size and (p[at] > 0x78 or (p[at] == 0x78 and size > 1 and p[at + 1] > 0x2D)):
            split = i
        kind = p[at + size]
        i = at + size + 1
        if kind == 0x53:  # S
            i += 4 + u32(p, i)
        elif kind == 0x49 or kind == 0x69 or kind == 0x66:  # I i f
            i += 4
        elif kind == 0x74 or kind == 0x62 or kind == 0x42:  # t b B
            i += 1
        elif kind == 0x6C or kind == 0x64:  # l d
            i += 8
        elif kind == 0x73 or kind == 0x75:  # s u
            i += 2
        elif kind != 0x56:  # V
            return -1
    return end if split < 0 else split


def _harmless(p: cython.p_const_uchar, i: cython.Py_ssize_t, flags: cython.uint) -> bool:
    """Return whether reply_to and timestamp are not changed by the conversion. `i`: where the property list continues
    with the priority."""
    bit: cython.uint = 0x0400
    k: cython.Py_ssize_t
    if flags & 0x0800:
        i += 1
    while bit >= 0x0080:
        if flags & bit:
            if bit == 0x0200:
                for k in range(p[i]):
                    if p[i + 1 + k] > 0x7F:
                        return False
            i += 1 + p[i]
        bit >>= 1
    return not flags & 0x0040 or (p[i] == 0 and p[i + 1] < 0x20)


def converted_message(message: Message, offset: int, profile: Profile) -> tuple[bytes, bytes | None]:
    """Return flags and property list with the offset among the headers, and the filter value. Raises 541 for values
    that RabbitMQ's stream crashes on."""
    properties = decode_properties(message.header)
    given: Table = properties.headers or {}
    deaths = message.extra.deaths if message.extra is not None else []
    properties.headers = _headers(given, properties, profile)
    # This x-death is the broker's own.
    if deaths and "x-death" in given and profile.message_containers:
        properties.headers["x-death"] = _value(given["x-death"], True)
    properties.headers["x-stream-offset"] = Field("l", offset)
    properties.headers = dict(sorted(properties.headers.items(), key=_octets))
    properties.cluster_id = None
    if properties.timestamp is not None:
        properties.timestamp = _time(properties.timestamp)
    if profile.message_containers:
        properties.delivery_mode = 2 if properties.delivery_mode == 2 else 1
        _restore_expiration(properties, message.expiration, deaths)
    if profile.stream_reply_to_checked and properties.reply_to is not None:
        _utf8(properties.reply_to.encode("utf-8", "surrogateescape"))
    value = given.get("x-stream-filter-value") if profile.stream_filters else None
    if value is not None and value.kind != "S":
        raise errors.internal_error() from ValueError("x-stream-filter-value is no string")
    return encode_properties(properties, 0)[12:], None if value is None else _utf8(value.value)


def _restore_expiration(properties: Properties, expiration: int, deaths: list[Death]) -> None:
    """Set the expiration, which is stored in 32 bits. That of a dead letter was removed only for routing."""
    for death in deaths:
        if death.expiration is not None:
            expiration = _expiration(death.expiration, expiration)
    if expiration >= 0:
        properties.expiration = str(expiration & 0xFFFFFFFF)


def _expiration(given: bytes, otherwise: int) -> int:
    """Return the expiration in an x-death header, which a client may have written; `otherwise` if it is no number."""
    return int(given) if len(given) < _EXPIRATION_DIGITS and given.isdigit() else otherwise


def _headers(given: Table, properties: Properties, profile: Profile) -> Table:
    """Return the headers that consumers get."""
    found: Table = {}
    for name, field in given.items():
        if not profile.message_containers:
            if name not in ("x-stream-offset",) and field.kind not in "FA":
                found[name] = _value(field, False)
        elif name == "CC" or (name == "x-cc" and "CC" not in given):
            found["CC"] = _value(field, True)
        elif not name.startswith("x-"):
            if field.kind not in "FA":
                found[name] = _value(field, True)
        elif name.startswith("x-basic-"):
            if name == "x-basic-type" and properties.type is None:
                if field.kind != "S":
                    raise errors.internal_error() from ValueError("x-basic-type is no string")
                properties.type = field.value.decode("utf-8", "surrogateescape")[:255]
        elif name not in _TAKEN and name != "x-cc":
            found[name] = _value(field, True)
    return found


def _value(field: Field, containers: bool) -> Field:
    """Return a value as consumers get it. Raises 541 for a decimal, which cannot be stored."""
    kind, value = field
    if kind == "D":
        raise errors.internal_error() from ValueError("a stream cannot keep a decimal")
    if kind == "T":
        return Field("T", _time(value))
    if kind == "F":
        return Field("F", {name: _value(one, containers) for name, one in value.items()})
    if kind == "A":
        return Field("A", [_value(one, containers) for one in value])
    if kind == "x" and containers:
        return Field("S", value)
    return field


def _time(seconds: int) -> int:
    """Return a timestamp after the conversion to signed 64-bit milliseconds and back."""
    milliseconds = seconds * 1000 % _U64
    if milliseconds >= _U64 // 2:
        return -((_U64 - milliseconds) // 1000) % _U64
    return milliseconds // 1000


def _utf8(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise errors.internal_error() from error
    return text


def _octets(item: tuple[str, Field]) -> bytes:
    return item[0].encode("utf-8", "surrogateescape")
