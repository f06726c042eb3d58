"""Headers and properties of messages as plain Python values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from leveret.testing.errors import hides_frames
from leveret.wire.properties import Properties as WireProperties
from leveret.wire.tables import Field, Table

__tracebackhide__ = hides_frames

#: Octets of a body that texts show.
SHOWN_BODY_BYTES = 60

#: A header's value. `Any`: the sender decides.
Header = Any


class Properties(Struct, kw_only=True):
    """The properties of a message; None for absent ones. `timestamp`: seconds since the epoch."""

    content_type: str | None = None
    content_encoding: str | None = None
    headers: dict[str, Header] | None = None
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

    def __str__(self) -> str:
        """Return those that are there: `content_type='text/plain', priority=3`."""
        there = {name: getattr(self, name) for name in self.__struct_fields__}
        return ", ".join(f"{name}={value!r}" for name, value in there.items() if value is not None)


def properties_of(wire: WireProperties) -> Properties:
    """Return decoded properties with plain headers."""
    found = Properties()
    for name in WireProperties.__struct_fields__:
        value = getattr(wire, name)
        if value is not None:
            setattr(found, name, headers_of(value) if name == "headers" else value)
    return found


def headers_of(table: Table) -> dict[str, Header]:
    """Return a field table as a dict: strings are str, or bytes if they are not UTF-8; timestamps are datetimes."""
    return {name: _value(field) for name, field in table.items()}


def _value(field: Field) -> Header:
    kind, value = field
    if kind == "F":
        return headers_of(value)
    if kind == "A":
        return [_value(item) for item in value]
    if kind == "S":
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if kind == "T":
        return datetime.fromtimestamp(value, UTC) if value < 1 << 37 else value
    if kind == "D":
        scale, mantissa = value
        return Decimal(mantissa).scaleb(-scale)
    return value


def table_of(headers: Mapping[str, Header]) -> Table:
    """Return a field table, as clients encode Python values. Raises `TypeError` for a value that AMQP does not have."""
    return {name: _field(name, value) for name, value in headers.items()}


def _field(name: str, value: Header) -> Field:
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        return Field("I" if -(1 << 31) <= value < 1 << 31 else "l", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, str):
        return Field("S", value.encode("utf-8", "surrogateescape"))
    if isinstance(value, bytes):
        return Field("x", value)
    if isinstance(value, datetime):
        return Field("T", int(value.timestamp()))
    if isinstance(value, Mapping):
        return Field("F", table_of(value))
    if isinstance(value, list | tuple):
        return Field("A", [_field(name, item) for item in value])
    if value is None:
        return Field("V", None)
    raise TypeError(
        f"header {name!r} is {value!r}, and AMQP has no {type(value).__name__}: headers are str, bytes, int, float,"
        " bool, None, datetime, and lists and dicts of these"
    )


def body_of(body: bytes | str | object) -> bytes:
    """Return a body as octets: text as UTF-8, anything else as JSON."""
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    try:
        return json.dumps(body).encode()
    except TypeError as error:
        raise TypeError(
            f"a body is bytes, str, or what JSON has, not {body!r} ({error}): encode it first"
        ) from None


def same_body(body: bytes, wanted: bytes | str | object) -> bool:
    """Return whether a body is the wanted one: octets and text literally, anything else as JSON."""
    if isinstance(wanted, bytes | bytearray | memoryview | str):
        return body == body_of(wanted)
    try:
        return bool(json.loads(body) == wanted)
    except ValueError:
        return False


def glob_hint(pattern: str, *values: str) -> str:
    """Return what to write instead of a pattern of a topic exchange, or a regular expression, that matches one of the
    values; nothing for others."""
    for meant in (pattern.replace("#", "*"), pattern.removeprefix("^").removesuffix("$").replace(".*", "*")):
        if meant != pattern and any(fnmatchcase(value, meant) for value in values):
            return f" (patterns are shell globs: '{meant}' matches)"
    return ""


def shown(body: bytes) -> str:
    """Return a body for a text, cut to `SHOWN_BODY_BYTES`."""
    if len(body) <= SHOWN_BODY_BYTES:
        return repr(body)
    return f"{body[:SHOWN_BODY_BYTES]!r}... ({len(body)} octets)"


def moment(milliseconds: int) -> datetime:
    """Return a time of the broker, ms since the epoch, as an aware datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def text_of(octets: bytes) -> str:
    """Return a name as text."""
    return octets.decode("utf-8", "surrogateescape")
