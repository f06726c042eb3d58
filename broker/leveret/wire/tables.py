"""Field tables with types: bytes to `Table` and back, and RabbitMQ's interpretation of values.

A field is its type letter and its value, so that a table is sent as it was received, and error texts can name the type.
Letters have RabbitMQ's meaning, not that of the specification (rabbit_binary_parser): `b` int8, `B` uint8, `s` int16,
`u` uint16, `I` int32, `i` uint32, `l` and `L` int64.

Values: `S` and `x` bytes; `t` bool; `T` seconds since the epoch, unsigned; `D` (scale, unsigned mantissa); `F` a Table;
`A` a list of Field; `V` None; the rest int or float. Names are str; octets that are not UTF-8 are surrogate escapes. Of
several fields with the same name the first one counts, as in rabbit_misc:table_lookup/2.

The hot path never decodes tables.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

from leveret.wire import erlang as terms

#: Maximum depth of nested tables and arrays. RabbitMQ has no such limit; with this one, no walk over a table reaches
#: Python's recursion limit.
MAX_DEPTH = 128


#: The value of a field: int, float, bool, bytes, Decimal, None, or nested fields. `Any`: the type letter determines
#: which.
FieldValue: TypeAlias = Any


class Field(NamedTuple):
    """One value with its type letter, such as `Field("I", 1000)` or `Field("S", b"lazy")`."""

    kind: str
    value: FieldValue


Table: TypeAlias = dict[str, Field]


class MalformedTable(ValueError):  # noqa: N818  named by what the client sent
    """Bytes that RabbitMQ's table parser does not accept."""


_NAMES = {
    "S": "longstr",
    "I": "signedint",
    "D": "decimal",
    "T": "timestamp",
    "F": "table",
    "A": "array",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "i": "unsignedint",
    "l": "long",
    "d": "double",
    "f": "float",
    "t": "bool",
    "x": "binary",
    "V": "void",
}

#: rabbit_misc:type_class/1: types whose values are compared without the type. Decimal counts as an integer there.
_CLASSES = dict.fromkeys("bsIlDBui", "int") | dict.fromkeys("fd", "float")

_U32 = Struct(">I")
_FIXED = {
    "b": Struct(">b"),
    "B": Struct(">B"),
    "s": Struct(">h"),
    "u": Struct(">H"),
    "I": Struct(">i"),
    "i": Struct(">I"),
    "l": Struct(">q"),
    "T": Struct(">Q"),
    "f": Struct(">f"),
    "d": Struct(">d"),
}
_DECIMAL = Struct(">BI")
_INTEGERS = {kind: (fixed.size * 8) for kind, fixed in _FIXED.items() if kind not in "fd"}


def type_name(kind: str) -> str:
    """Return RabbitMQ's name of a type letter in error texts: `I` -> `signedint`."""
    return _NAMES[kind]


# --- decoding


def decode_table(data: bytes, offset: int = 0) -> tuple[Table, int]:
    """Decode the table whose 4-octet length is at `offset`. Returns it and the offset behind it. Raises
    MalformedTable."""
    start, end = _extent(data, offset, len(data))
    return decode_fields(data, start, end), end


def decode_fields(data: bytes, start: int, end: int) -> Table:
    """Decode the fields between `start` and `end`: a table without its length. Raises MalformedTable."""
    return _fields(data, start, min(end, len(data)), 1)


def _extent(data: bytes, offset: int, end: int) -> tuple[int, int]:
    """Return where the contents of a long string, table or array at `offset` begin and end."""
    start = offset + 4
    if start > end:
        raise MalformedTable("length cut short")
    stop: int = start + _U32.unpack_from(data, offset)[0]
    if stop > end:
        raise MalformedTable("longer than what holds it")
    return start, stop


def _fields(data: bytes, at: int, end: int, depth: int) -> Table:
    if depth > MAX_DEPTH:
        raise MalformedTable("nested too deep")
    table: Table = {}
    while at < end:
        start = at + 1
        at = start + data[at]
        if at >= end:
            raise MalformedTable("name cut short")
        name = data[start:at].decode("utf-8", "surrogateescape")
        field, at = _field(data, at, end, depth)
        table.setdefault(name, field)
    return table


def _array(data: bytes, at: int, end: int, depth: int) -> list[Field]:
    if depth > MAX_DEPTH:
        raise MalformedTable("nested too deep")
    fields = []
    while at < end:
        field, at = _field(data, at, end, depth)
        fields.append(field)
    return fields


def _field(data: bytes, at: int, end: int, depth: int) -> tuple[Field, int]:
    """Decode the field whose type letter is at `at` (which is before `end`). Returns it and the offset behind it."""
    kind = chr(data[at])
    at += 1
    if kind in "SxFA":
        start, stop = _extent(data, at, end)
        if kind == "F":
            return Field(kind, _fields(data, start, stop, depth + 1)), stop
        if kind == "A":
            return Field(kind, _array(data, start, stop, depth + 1)), stop
        return Field(kind, data[start:stop]), stop
    if kind == "V":
        return Field(kind, None), at
    if kind == "t":
        return Field(kind, data[_within(at, 1, end) - 1] != 0), at + 1
    if kind == "D":
        return Field(kind, _DECIMAL.unpack_from(data, _within(at, 5, end) - 5)), at + 5
    if kind == "L":  # read like `l`, and never written (rabbitmq-server issue 1093)
        kind = "l"
    fixed = _FIXED.get(kind)
    if fixed is None:
        raise MalformedTable("unknown type")
    stop = _within(at, fixed.size, end)
    value = fixed.unpack_from(data, at)[0]
    if kind in "fd" and not math.isfinite(value):  # RabbitMQ's parser does not match these
        raise MalformedTable("not a number")
    return Field(kind, value), stop


def _within(at: int, size: int, end: int) -> int:
    """Return where `size` octets from `at` end."""
    if at + size > end:
        raise MalformedTable("value cut short")
    return at + size


# --- encoding


def encode_table(table: Mapping[str, Field]) -> bytes:
    """Encode a table with its 4-octet length. Raises ValueError for a name of more than 255 octets or an unknown
    type."""
    out = bytearray(4)
    _write_fields(out, table)
    _U32.pack_into(out, 0, len(out) - 4)
    return bytes(out)


def _write_fields(out: bytearray, table: Mapping[str, Field]) -> None:
    for name, field in table.items():
        raw = name.encode("utf-8", "surrogateescape")
        if len(raw) > 255:
            raise ValueError("field name above 255 octets")
        out.append(len(raw))
        out += raw
        _write_field(out, field)


def _write_field(out: bytearray, field: Field) -> None:
    kind, value = field
    out += kind.encode("ascii")
    if kind in "FA":
        at = len(out)
        out += b"\0\0\0\0"
        if kind == "F":
            _write_fields(out, value)
        else:
            for item in value:
                _write_field(out, item)
        _U32.pack_into(out, at, len(out) - at - 4)
    elif kind in "Sx":
        out += _U32.pack(len(value))
        out += value
    elif kind in "fd":
        out += _FIXED[kind].pack(value)
    elif kind == "t":
        out.append(1 if value else 0)
    elif kind == "D":
        out += _DECIMAL.pack(*value)
    elif kind in _INTEGERS:
        # As Erlang does (<<V:64>>), write the lowest octets of a number that does not fit.
        bits = _INTEGERS[kind]
        out += (value & ((1 << bits) - 1)).to_bytes(bits // 8, "big")
    elif kind != "V":
        raise ValueError(f"no field type {kind!r}")


# --- as the management API shows and takes them


def plain(table: Mapping[str, Field]) -> dict[str, object]:
    """Convert a table to JSON (rabbit_misc:amqp_table/1): without types, base64 for octets that are not UTF-8."""
    shown: dict[str, object] = {}
    for name, field in table.items():
        shown[name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")] = plain_value(field)
    return shown


def plain_value(field: Field) -> object:
    """Convert a value to JSON (rabbit_misc:amqp_value/2): decimals as floats, timestamps as seconds."""
    kind, value = field
    if kind == "F":
        return plain(value)
    if kind == "A":
        items = []
        for item in value:
            items.append(plain_value(item))
        return items
    if kind in "Sx":
        return utf8_safe(value)
    if kind == "D":
        scale, mantissa = value
        return float(f"{scale}.{mantissa}")  # as RabbitMQ, with the scale as integer part
    if kind == "V":
        return "undefined"
    return value


def utf8_safe(raw: bytes) -> str:
    """Convert bytes to JSON: text, or base64 if they are not UTF-8 (rabbit_misc:utf8_safe/1)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        coded = base64.b64encode(raw).decode("ascii")
        lines = [coded[at : at + 76] for at in range(0, len(coded), 76)]
        # A full last line is followed by a line end in RabbitMQ, too.
        return "Not UTF-8, base64 is: " + "\n".join(lines) + ("\n" if len(coded) % 76 == 0 else "")


def from_plain(values: Mapping[str, object]) -> Table:
    """Convert JSON to a table (rabbit_misc:to_amqp_table/1): integers are long, floats double, strings longstr.

    Raises ValueError for null ("null_not_allowed") and for values that JSON does not have.
    """
    return _table_from_plain(values, 1)


def from_plain_value(value: object) -> Field:
    """Convert a JSON value to a field. Raises the errors of `from_plain`."""
    return _field_from_plain(value, 1)


def _table_from_plain(values: Mapping[str, object], depth: int) -> Table:
    table: Table = {}
    for name, value in values.items():
        table[name] = _field_from_plain(value, depth)
    return table


def _field_from_plain(value: object, depth: int) -> Field:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, str):
        return Field("S", value.encode("utf-8", "surrogatepass"))
    if isinstance(value, int):
        return Field("l", value)
    if isinstance(value, float) and math.isfinite(value):
        return Field("d", value)
    if isinstance(value, Mapping):
        return Field("F", _table_from_plain(value, depth + 1))
    if isinstance(value, list):
        items = []
        for item in value:
            items.append(_field_from_plain(item, depth + 1))
        return Field("A", items)
    raise ValueError("null_not_allowed" if value is None else "unhandled_type")


# --- comparing


def same(a: Field, b: Field) -> bool:
    """Return whether two argument values are equivalent in RabbitMQ (rabbit_misc:assert_args_equivalence1/4).

    Equal integers of different width are equivalent, likewise float and double; an integer and a float never are. Types
    do not count if the Erlang terms are equal: a timestamp 5 is equivalent to an int 5.
    """
    if _CLASSES.get(a.kind, a.kind) == _CLASSES.get(b.kind, b.kind):
        return _identical(a.value, b.value)
    return _identical(a.value, b.value) or _both_empty(a, b)


def _identical(a: FieldValue, b: FieldValue) -> bool:
    return type(a) is type(b) and a == b


def _both_empty(a: Field, b: Field) -> bool:
    """Return whether both are empty lists in Erlang: empty tables or arrays."""
    return a.kind in "AF" and b.kind in "AF" and not a.value and not b.value


def difference(received: Field | None, current: Field | None) -> str | None:
    """Return the end of an `inequivalent arg` text, or None if the values are equivalent.

    If both are present: `received 'b' but current is 'a'`. If one is missing: `received the value 'b' of type 'longstr'
    but current is none` (rabbit_misc:assert_args_equivalence1/4).
    """
    if received is None or current is None:
        if received is current:
            return None
        return f"received {_typed(received)} but current is {_typed(current)}"
    if same(received, current):
        return None
    return f"received '{erlang(received)}' but current is '{erlang(current)}'"


def _typed(field: Field | None) -> str:
    return "none" if field is None else f"the value '{erlang(field)}' of type '{type_name(field.kind)}'"


def erlang(field: Field) -> str:
    """Format the value as in error texts: `1000`, `abc`, `true`, `[{<<"a">>,signedint,1}]`."""
    return terms.text(_term(field))


def term(field: Field) -> tuple[terms.Atom, terms.Term]:
    """Return the field as an Erlang pair for `erlang.pretty`: `{longstr,<<"foo">>}`."""
    return terms.Atom(type_name(field.kind)), _term(field)


def _term(field: Field) -> terms.Term:
    if field.kind == "A":
        return [term(item) for item in field.value]
    if field.kind == "F":
        return [
            (name.encode("utf-8", "surrogateescape"), terms.Atom(type_name(item.kind)), _term(item))
            for name, item in field.value.items()
        ]
    return field.value
