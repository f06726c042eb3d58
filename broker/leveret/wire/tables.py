"""Field tables with types: bytes to `Table` and back, and RabbitMQ's interpretation of values.

A field is its type letter and its value, so that a table is sent as it was received, and error texts can name the type.
Letters have RabbitMQ's meaning, not that of the specification (rabbit_binary_parser): `b` int8, `B` uint8, `s` int16,
`u` uint16, `I` int32, `i` uint32, `l` and `L` int64.

Values: `S` and `x` bytes; `t` bool; `T` seconds since the epoch, unsigned; `D` (scale, unsigned mantissa); `F` a Table;
`A` a list of Field; `V` None; the rest int or float. Names are str; octets that are not UTF-8 are surrogate escapes. Of
several fields with the same name the first one counts, as in rabbit_misc:table_lookup/2.

The hot path never decodes tables. This module is compiled because a hostile one has thousands of fields.
"""

from __future__ import annotations

import math
import struct
from binascii import b2a_base64
from collections.abc import Mapping
from itertools import takewhile
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

import cython

from leveret.wire import erlang as terms

if cython.compiled:
    from cython.cimports.leveret.wire.frames import u16, u32, u64
else:
    from leveret.wire.frames import u16, u32, u64

#: Maximum depth of nested tables and arrays. RabbitMQ has no such limit; with this one, no walk over a table reaches
#: Python's recursion limit.
MAX_DEPTH = 128


#: Maximum number of fields in one table, with those of nested tables and arrays. RabbitMQ has no such limit; with this
#: one, no walk over a table takes longer than a few milliseconds. Only tables of 41 kB of integers, or of smaller
#: values, exceed it.
MAX_FIELDS = 8192

#: Octets of a name in a table: it is a short string.
MAX_NAME_BYTES = 255


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
_VOID, _TRUE, _FALSE = Field("V", None), Field("t", True), Field("t", False)

#: Type letters by their octet; `L` is read like `l`, and never written (rabbitmq-server issue 1093).
_LETTERS = {ord(kind): kind for kind in _FIXED} | {ord("L"): "l"}
_OCTETS = {kind: kind.encode() for kind in _NAMES}
_ATOMS = {kind: terms.Atom(name) for kind, name in _NAMES.items()}
_INTEGERS = {kind: (fixed.size * 8) for kind, fixed in _FIXED.items() if kind not in "fd"}


def type_name(kind: str) -> str:
    """Return RabbitMQ's name of a type letter in error texts: `I` -> `signedint`."""
    return _NAMES[kind]


# --- decoding


def decode_table(data: bytes, offset: int = 0) -> tuple[Table, int]:
    """Decode the table whose 4-octet length is at `offset`. Returns it and the offset behind it. Raises
    MalformedTable."""
    reader = Reader(data, offset)
    end = reader.extent(len(data))
    return reader.fields(end, 1), end


def decode_fields(data: bytes, start: int, end: int) -> Table:
    """Decode the fields between `start` and `end`: a table without its length. Raises MalformedTable."""
    return Reader(data, start).fields(min(end, len(data)), 1)


class Reader:
    """Decodes fields. `at`: the offset of what is decoded next. `left`: how many more fields there may be.

    Its methods raise MalformedTable for what is not within `end`.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at
        self.left = MAX_FIELDS

    def extent(self, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Pass the length of a long string, table or array. Returns where its contents end."""
        if self.at + 4 > end:
            raise MalformedTable("length cut short")
        p: cython.p_const_uchar = self.data
        size: cython.Py_ssize_t = u32(p, self.at)
        self.at += 4
        if self.at + size > end:
            raise MalformedTable("longer than what holds it")
        return self.at + size

    def fields(self, end: cython.Py_ssize_t, depth: cython.int) -> Table:
        """Decode the fields of a table."""
        if depth > MAX_DEPTH:
            raise MalformedTable("nested too deep")
        table: Table = {}
        start: cython.Py_ssize_t
        while self.at < end:
            start = self.at + 1
            self.at = start + self.data[self.at]
            if self.at >= end:
                raise MalformedTable("name cut short")
            name = self.data[start : self.at].decode("utf-8", "surrogateescape")
            field = self.field(end, depth)
            if name not in table:
                table[name] = field
        return table

    def array(self, end: cython.Py_ssize_t, depth: cython.int) -> list[Field]:
        """Decode the values of an array."""
        if depth > MAX_DEPTH:
            raise MalformedTable("nested too deep")
        found: list[Field] = []
        while self.at < end:
            found.append(self.field(end, depth))
        return found

    def field(self, end: cython.Py_ssize_t, depth: cython.int) -> Field:
        """Decode the field whose type letter is next (it is before `end`)."""
        stop: cython.Py_ssize_t
        code: cython.int = self.data[self.at]
        self.at += 1
        self.left -= 1
        if self.left < 0:
            raise MalformedTable("too many fields")
        if code == 0x53 or code == 0x78 or code == 0x46 or code == 0x41:  # S x F A
            stop = self.extent(end)
            if code == 0x46:
                return _field("F", self.fields(stop, depth + 1))
            if code == 0x41:
                return _field("A", self.array(stop, depth + 1))
            octets = self.data[self.at : stop]
            self.at = stop
            return _field("S" if code == 0x53 else "x", octets)
        if code == 0x56:
            return _VOID
        stop = self.at
        if code == 0x74:
            self.pass_octets(1, end)
            return _TRUE if self.data[stop] else _FALSE
        if code == 0x44:
            self.pass_octets(5, end)
            return _field("D", _DECIMAL.unpack_from(self.data, stop))
        kind = _LETTERS.get(code)
        if kind is None:
            raise MalformedTable("unknown type")
        if cython.compiled and code != 0x66 and code != 0x64:
            return _field(kind, self.integer(code, end))
        fixed = _FIXED[kind]
        self.pass_octets(fixed.size, end)
        value = fixed.unpack_from(self.data, stop)[0]
        # RabbitMQ's parser does not match these.
        if (code == 0x66 or code == 0x64) and not math.isfinite(value):
            raise MalformedTable("not a number")
        return _field(kind, value)

    def integer(self, code: cython.int, end: cython.Py_ssize_t) -> int:
        """Read an integer with this type letter; compiled only, where this takes a tenth of the time of `struct`."""
        at: cython.Py_ssize_t = self.at
        p: cython.p_const_uchar = self.data
        value: cython.longlong
        if code == 0x62 or code == 0x42:  # b B
            self.pass_octets(1, end)
            value = p[at]
            return value - 0x100 if code == 0x62 and value >= 0x80 else value
        if code == 0x73 or code == 0x75:  # s u
            self.pass_octets(2, end)
            value = u16(p, at)
            return value - 0x10000 if code == 0x73 and value >= 0x8000 else value
        if code == 0x49 or code == 0x69:  # I i
            self.pass_octets(4, end)
            value = u32(p, at)
            return value - 0x100000000 if code == 0x49 and value >= 0x80000000 else value
        self.pass_octets(8, end)
        if code == 0x54:  # T
            return u64(p, at)
        value = u64(p, at)
        return value

    def pass_octets(self, size: cython.Py_ssize_t, end: cython.Py_ssize_t) -> None:
        """Pass octets that must be before `end`."""
        self.at += size
        if self.at > end:
            raise MalformedTable("value cut short")


_new = cython.declare(object, tuple.__new__)


def _field(kind: str, value: FieldValue) -> Field:
    """Return a field, in half the time of `Field(kind, value)`: a table can have thousands."""
    made: Field = _new(Field, (kind, value))
    return made


# --- encoding


def encode_table(table: Mapping[str, Field]) -> bytes:
    """Encode a table with its 4-octet length. Raises ValueError for a name of more than 255 octets or an unknown
    type."""
    out = bytearray(4)
    _write_fields(out, table)
    _U32.pack_into(out, 0, len(out) - 4)
    return bytes(out)


def _write_fields(out: bytearray, table: Mapping[str, Field]) -> None:
    name: str
    raw: bytes
    for name, field in table.items():
        raw = name.encode("utf-8", "surrogateescape")
        if len(raw) > 255:
            raise ValueError("field name above 255 octets")
        out.append(len(raw))
        out += raw
        _write_field(out, field)


def _write_field(out: bytearray, field: Field) -> None:
    kind, value = field
    octet = _OCTETS.get(kind)
    if octet is None:
        raise ValueError(f"no field type {kind!r}")
    out += octet
    if kind == "F" or kind == "A":
        at = len(out)
        out += b"\0\0\0\0"
        if kind == "F":
            _write_fields(out, value)
        else:
            for item in value:
                _write_field(out, item)
        _U32.pack_into(out, at, len(out) - at - 4)
    elif kind == "S" or kind == "x":
        out += _U32.pack(len(value))
        out += value
    elif kind == "f" or kind == "d":
        out += _FIXED[kind].pack(value)
    elif kind == "t":
        out.append(1 if value else 0)
    elif kind == "D":
        out += _DECIMAL.pack(*value)
    elif kind != "V":
        try:
            out += _FIXED[kind].pack(value)
        except struct.error:
            # As Erlang does (<<V:64>>), write the lowest octets of a number that does not fit.
            bits = _INTEGERS[kind]
            out += (value & ((1 << bits) - 1)).to_bytes(bits // 8, "big")


# --- as the management API shows and takes them


def plain(table: Mapping[str, Field]) -> dict[str, object]:
    """Convert a table to JSON (rabbit_misc:amqp_table/1): without types, base64 for octets that are not UTF-8."""
    shown: dict[str, object] = {}
    name: str
    for name, field in table.items():
        if not name.isascii():
            name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        shown[name] = plain_value(field)
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
    if kind == "S" or kind == "x":
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
        coded = b2a_base64(raw, newline=False).decode("ascii")
        if len(coded) < 76:
            return "Not UTF-8, base64 is: " + coded
        lines = [coded[at : at + 76] for at in range(0, len(coded), 76)]
        # A full last line is followed by a line end in RabbitMQ, too.
        return "Not UTF-8, base64 is: " + "\n".join(lines) + ("\n" if len(coded) % 76 == 0 else "")


def from_plain(values: Mapping[str, object]) -> Table:
    """Convert JSON to a table (rabbit_misc:to_amqp_table/1): integers are long, floats double, strings longstr.

    Raises ValueError for null ("null_not_allowed"), for values that JSON does not have, for names that are no short
    strings, and for more than there may be.
    """
    return _PlainReader().table(values, 1)


def _check_name(name: str) -> None:
    """Raise ValueError for a name that is no short string."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ValueError("name too long")


def from_plain_value(value: object) -> Field:
    """Convert a JSON value to a field. Raises the errors of `from_plain`."""
    return _PlainReader().field(value, 1)


class _PlainReader:
    """Converts JSON. `left`: how many more fields there may be."""

    def __init__(self) -> None:
        self.left = MAX_FIELDS

    def table(self, values: Mapping[str, object], depth: cython.int) -> Table:
        """Convert an object."""
        table: Table = {}
        for name, value in values.items():
            if not name.isascii() or len(name) > MAX_NAME_BYTES:
                _check_name(name)
            table[name] = self.field(value, depth)
        return table

    def field(self, value: object, depth: cython.int) -> Field:
        """Convert a value."""
        self.left -= 1
        if self.left < 0:
            raise ValueError("too many fields")
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        if isinstance(value, str):
            return _field("S", value.encode("utf-8", "surrogatepass"))
        if isinstance(value, bool):
            return _TRUE if value else _FALSE
        if isinstance(value, int):
            return _field("l", value)
        if isinstance(value, float) and math.isfinite(value):
            return _field("d", value)
        if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101  the class is found much faster
            return _field("F", self.table(value, depth + 1))
        if isinstance(value, list):
            items = []
            for item in value:
                items.append(self.field(item, depth + 1))
            return _field("A", items)
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
    """Format the value as in error texts: `1000`, `abc`, `true`, `[{<<"a">>,signedint,1}]`.

    These are cut at 255 octets, so no more than 256 fields of it are formatted.
    """
    return terms.text(_term(_first(field, [256])))


def _first(field: Field, left: list[int]) -> Field:
    """Return a field with the first `left[0]` fields within it."""
    kind, value = field
    left[0] -= 1
    if kind == "A":
        return Field(kind, [_first(item, left) for item in takewhile(lambda _: left[0] > 0, value)])
    if kind == "F":
        some = takewhile(lambda _: left[0] > 0, value.items())
        return Field(kind, {name: _first(item, left) for name, item in some})
    return field


def term(field: Field) -> tuple[terms.Atom, terms.Term]:
    """Return the field as an Erlang pair for `erlang.pretty`: `{longstr,<<"foo">>}`."""
    return _ATOMS[field.kind], _term(field)


def _term(field: Field) -> terms.Term:
    if field.kind == "A":
        return [term(item) for item in field.value]
    if field.kind == "F":
        return [
            (name.encode("utf-8", "surrogateescape"), _ATOMS[item.kind], _term(item))
            for name, item in field.value.items()
        ]
    return field.value
