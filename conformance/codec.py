"""AMQP 0-9-1 encoding, independent of the broker's own code, so that the two do not have the same mistakes.

The layouts of the methods are read from pamqp's tables. Encoding and decoding are done here, because conformance needs
what pamqp refuses or loses: names and strings of any bytes, arguments that do not fit, and the type letter of every
field. A decoded table is a tuple of `Field(name, kind, value)` in the order of the octets; a decoded array is a tuple
of `Typed(kind, value)`. Plain Python values are encoded with their usual types (bool t, int I or l, float d, str S,
bytes x, None V, dict F, list A); `Typed("s", 5)` gives another one. A table may also be a list of (name, value) pairs,
for an order or for duplicates.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pamqp import commands

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = 0xCE

_PACK = {
    "t": ">B", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">Q",
    "f": ">f", "d": ">d", "T": ">Q",
}  # fmt: skip


class Typed(NamedTuple):
    """A field value with its type letter."""

    kind: str
    value: Any


class Field(NamedTuple):
    """One field of a decoded table."""

    name: str
    kind: str
    value: Any


class Layout(NamedTuple):
    """The layout of a method: `arguments` are (name, AMQP type) pairs, `replies` method names."""

    name: str
    ids: tuple[int, int]
    arguments: tuple[tuple[str, str], ...]
    replies: tuple[str, ...]


def _dashed(pamqp_name: str) -> str:
    class_name, method_name = pamqp_name.split(".")
    return class_name.lower() + "." + re.sub(r"(?<!^)(?=[A-Z])", "-", method_name).lower()


def _layouts() -> dict[str, Layout]:
    found = {}
    mapping: dict[int, Any] = {**commands.INDEX_MAPPING}
    for index, command in mapping.items():
        name = _dashed(command.name)
        arguments = tuple((a, command.amqp_type(a)) for a in command.attributes())
        replies = tuple(_dashed(reply) for reply in command.valid_responses) if command.synchronous else ()
        found[name] = Layout(name, (index >> 16, index & 0xFFFF), arguments, replies)
    bits = [(name, "bit") for name in ("exclusive", "passive", "active", "write", "read")]
    found["access.request"] = Layout(
        "access.request", (30, 10), (("realm", "shortstr"), *bits), ("access.request-ok",)
    )
    found["access.request-ok"] = Layout("access.request-ok", (30, 11), (("ticket", "short"),), ())
    return found


LAYOUTS = _layouts()
BY_IDS = {layout.ids: layout for layout in LAYOUTS.values()}
WITH_CONTENT = {"basic.publish", "basic.return", "basic.deliver", "basic.get-ok"}

#: Basic properties from the highest flag bit down: name and AMQP type.
PROPERTIES = (
    ("content_type", "shortstr"),
    ("content_encoding", "shortstr"),
    ("headers", "table"),
    ("delivery_mode", "octet"),
    ("priority", "octet"),
    ("correlation_id", "shortstr"),
    ("reply_to", "shortstr"),
    ("expiration", "shortstr"),
    ("message_id", "shortstr"),
    ("timestamp", "longlong"),
    ("type", "shortstr"),
    ("user_id", "shortstr"),
    ("app_id", "shortstr"),
    ("cluster_id", "shortstr"),
)

_INTEGER = {"octet": ">B", "short": ">H", "long": ">I", "longlong": ">Q", "timestamp": ">Q"}


# --- encoding


def frame(kind: int, channel: int, payload: bytes, end: int = END) -> bytes:
    """Encode a complete frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes((end,))


def method_payload(name: str, arguments: Mapping[str, Any]) -> bytes:
    """Encode the payload of a method frame; arguments that are not given are zero, false or empty."""
    layout = LAYOUTS[name]
    unknown = arguments.keys() - {argument for argument, _ in layout.arguments}
    if unknown:
        raise TypeError(f"{name} has no {sorted(unknown)}")
    out = [struct.pack(">HH", *layout.ids)]
    bits: list[bool] = []
    for argument, kind in layout.arguments:
        if kind == "bit":
            bits.append(bool(arguments.get(argument)))
            continue
        out.append(_octets(bits))
        bits = []
        out.append(encode(kind, arguments.get(argument)))
    return b"".join((*out, _octets(bits)))


def _octets(bits: list[bool]) -> bytes:
    octets = [bits[at : at + 8] for at in range(0, len(bits), 8)]
    return bytes(sum(bit << position for position, bit in enumerate(octet)) for octet in octets)


def encode(kind: str, value: Any) -> bytes:
    """Encode a method argument or property of AMQP type `kind`; None is its empty value."""
    if kind == "table":
        return table(value or {})
    if kind in _INTEGER:
        return struct.pack(_INTEGER[kind], value or 0)
    raw = b"" if value is None else _raw(value)
    return (bytes((len(raw),)) if kind == "shortstr" else struct.pack(">I", len(raw))) + raw


def _raw(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def table(value: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> bytes:
    """Encode a field table with its length."""
    pairs = value.items() if isinstance(value, Mapping) else value
    inside = b"".join(encode("shortstr", name) + field(content) for name, content in pairs)
    return struct.pack(">I", len(inside)) + inside


def field(value: Any) -> bytes:
    """Encode a field value with its type letter."""
    kind, value = value if isinstance(value, Typed) else (_kind(value), value)
    return kind.encode() + _field_content(kind, value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "t"
    if isinstance(value, int):
        return "I" if -(2**31) <= value < 2**31 else "l"
    kinds = {float: "d", str: "S", bytes: "x", type(None): "V", dict: "F", list: "A"}
    return kinds[type(value)]


def _field_content(kind: str, value: Any) -> bytes:
    if kind in _PACK:
        return struct.pack(_PACK[kind], value)
    if kind == "D":
        return struct.pack(">Bi", *value)
    if kind == "F":
        return table(value)
    if kind == "A":
        inside = b"".join(field(element) for element in value)
        return struct.pack(">I", len(inside)) + inside
    return b"" if kind == "V" else encode("longstr", value)


def header_payload(size: int, properties: Mapping[str, Any], class_id: int = 60) -> bytes:
    """Encode the payload of a content header frame."""
    flags = 0
    out = []
    for position, (name, kind) in enumerate(PROPERTIES):
        if name in properties:
            flags |= 1 << 15 - position
            out.append(encode(kind, properties[name]))
    if properties.keys() - {name for name, _ in PROPERTIES}:
        raise TypeError(f"no such properties: {sorted(properties)}")
    return struct.pack(">HHQH", class_id, 0, size, flags) + b"".join(out)


# --- decoding


class Reader:
    """Decodes AMQP values from the beginning of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def unpack(self, form: str) -> Any:
        """One value of a struct format."""
        (value,) = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def octets(self, count: int) -> bytes:
        """Read the next `count` bytes."""
        if self.at + count > len(self.data):
            raise ValueError("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def argument(self, kind: str) -> Any:
        """Read a value of AMQP type `kind`; strings are bytes."""
        if kind == "table":
            return self.fields(self.unpack(">I"))
        if kind in _INTEGER:
            return self.unpack(_INTEGER[kind])
        return self.octets(self.unpack(">B" if kind == "shortstr" else ">I"))

    def fields(self, length: int) -> tuple[Field, ...]:
        """Read the fields of a table of `length` bytes."""
        end = self.at + length
        found = []
        while self.at < end:
            name = self.argument("shortstr").decode("utf-8", "backslashreplace")
            found.append(Field(name, *self.typed()))
        return tuple(found)

    def typed(self) -> Typed:
        """Read a field value with its type letter."""
        kind = self.octets(1).decode("latin-1")
        if kind in _PACK:
            value = self.unpack(_PACK[kind])
            return Typed(kind, bool(value) if kind == "t" else value)
        if kind == "D":
            return Typed(kind, (self.unpack(">B"), self.unpack(">i")))
        if kind == "F":
            return Typed(kind, self.fields(self.unpack(">I")))
        if kind == "A":
            end = self.unpack(">I") + self.at
            elements = []
            while self.at < end:
                elements.append(self.typed())
            return Typed(kind, tuple(elements))
        if kind == "V":
            return Typed(kind, None)
        if kind in "Sx":
            return Typed(kind, self.argument("longstr"))
        raise ValueError(f"no field kind {kind!r}")


def decode_method(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the method in the payload of a frame."""
    reader = Reader(payload)
    layout = BY_IDS[reader.unpack(">H"), reader.unpack(">H")]
    found: dict[str, Any] = {}
    bits = octet = 0
    for name, kind in layout.arguments:
        if kind == "bit":
            octet = octet if bits % 8 else reader.unpack(">B")
            found[name] = bool(octet >> bits % 8 & 1)
            bits += 1
            continue
        bits = 0
        found[name] = reader.argument(kind)
    if reader.at != len(payload):
        raise ValueError(f"{len(payload) - reader.at} bytes too many in {layout.name}")
    return layout.name, found


def decode_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """Body size and properties of the content header in the payload of a frame."""
    reader = Reader(payload)
    reader.octets(4)
    size, flags = reader.unpack(">Q"), reader.unpack(">H")
    found = {
        name: reader.argument(kind)
        for position, (name, kind) in enumerate(PROPERTIES)
        if flags >> 15 - position & 1
    }
    return size, found
