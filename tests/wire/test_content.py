"""The scan of a content header agrees with the decoder of `wire/properties.py`, on valid and invalid octets."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leveret.errors import AmqpError
from leveret.wire.content import Header
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import MAX_DEPTH, MAX_FIELDS, Field, Table, encode_table

SHORT = st.text(max_size=12)
SCALARS = st.one_of(
    st.builds(Field, st.just("S"), st.binary(max_size=9)),
    st.builds(Field, st.just("x"), st.binary(max_size=9)),
    st.builds(Field, st.just("I"), st.integers(-(2**31), 2**31 - 1)),
    st.builds(Field, st.just("i"), st.integers(0, 2**32 - 1)),
    st.builds(Field, st.just("l"), st.integers(-(2**63), 2**63 - 1)),
    st.builds(Field, st.just("s"), st.integers(-(2**15), 2**15 - 1)),
    st.builds(Field, st.just("u"), st.integers(0, 2**16 - 1)),
    st.builds(Field, st.just("b"), st.integers(-128, 127)),
    st.builds(Field, st.just("B"), st.integers(0, 255)),
    st.builds(Field, st.just("t"), st.booleans()),
    st.builds(Field, st.just("T"), st.integers(0, 2**64 - 1)),
    st.builds(Field, st.just("d"), st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(Field, st.just("f"), st.floats(allow_nan=False, allow_infinity=False, width=32)),
    st.builds(Field, st.just("D"), st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1))),
    st.just(Field("V", None)),
)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.builds(Field, st.just("A"), st.lists(inner, max_size=3)),
        st.builds(Field, st.just("F"), st.dictionaries(SHORT, inner, max_size=3)),
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(st.sampled_from(["CC", "BCC", "x-", "a", "é", "zz"]) | SHORT, FIELDS, max_size=5)
OCTET = st.integers(0, 255)
PROPERTIES = st.builds(
    Properties,
    **{
        name: st.none()
        | {
            "headers": TABLES,
            "delivery_mode": OCTET,
            "priority": OCTET,
            "timestamp": st.integers(0, 2**64 - 1),
        }.get(name, SHORT)
        for name in Properties.__struct_fields__
    },
)


def scan(payload: bytes, before: bytes = b"") -> Header | None:
    """Scan a header with other octets around it; None if it is malformed."""
    header = Header()
    good = header.scan(before + payload + b"\xce\xff\xff", len(before), len(before) + len(payload))
    return header if good else None


def decoded(payload: bytes) -> Properties | None:
    try:
        return decode_properties(payload)
    except AmqpError:
        return None


def canonical(table: Table) -> bool:
    names = [name.encode("utf-8", "surrogateescape") for name in table]
    return names == sorted(names)


@given(PROPERTIES, st.binary(max_size=5))
def test_the_scan_finds_every_property(properties: Properties, before: bytes) -> None:
    payload = encode_properties(properties, 7)
    header = scan(payload, before)
    assert header is not None
    assert header.delivery_mode == (-1 if properties.delivery_mode is None else properties.delivery_mode)
    assert header.priority == (-1 if properties.priority is None else properties.priority)
    for name in ("expiration", "reply_to", "user_id"):
        at, size = getattr(header, name), getattr(header, f"{name}_size")
        value = getattr(properties, name)
        found = (before + payload)[at : at + size].decode() if at else None
        assert found == value
    table = properties.headers
    assert (header.headers > 0) == (table is not None)
    if table is not None:
        raw = (before + payload)[header.headers : header.headers_end]
        assert raw == encode_table(table)
        assert header.sorted == canonical(table)
        assert header.special == any(name in ("CC", "BCC") or name.startswith("x-") for name in table)
    else:
        assert header.sorted and not header.special
    assert not header.odd


@given(PROPERTIES, st.data())
def test_scan_and_decoder_agree_on_damaged_octets(properties: Properties, data: st.DataObject) -> None:
    raw = bytearray(encode_properties(properties, 7))
    for _ in range(data.draw(st.integers(1, 3))):
        kind = data.draw(st.sampled_from(["cut", "change", "insert", "drop"]))
        at = data.draw(st.integers(0, max(0, len(raw) - 1)))
        if kind == "cut":
            del raw[at:]
        elif kind == "insert":
            raw[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        elif raw and kind == "change":
            raw[at] = data.draw(OCTET)
        elif raw:
            del raw[at]
    payload = bytes(raw)
    header, properties_or_none = scan(payload), decoded(payload)
    assert (header is None) == (properties_or_none is None)
    if header is not None and properties_or_none is not None and header.sorted and not header.odd:
        assert payload[14:] == encode_properties(properties_or_none, 7)[14:]


@given(st.binary(max_size=80))
@example(b"\0\x3c\0\0" + bytes(8) + b"\x20\0\0\0\0\x05\1aI\0\0")
def test_scan_and_decoder_agree_on_any_octets(raw: bytes) -> None:
    payload = struct.pack(">HHQ", 60, 0, 1) + raw
    assert (scan(payload) is None) == (decoded(payload) is None)


def table_payload(table: bytes) -> bytes:
    return struct.pack(">HHQH", 60, 0, 0, 0x2000) + len(table).to_bytes(4, "big") + table


@pytest.mark.parametrize(
    ("table", "is_sorted", "odd"),
    [
        (b"\1aV\1bV", True, False),
        (b"\1bV\1aV", False, False),
        (b"\1aV\1aV", False, False),
        (b"\2aaV\1aV", False, False),
        (b"\1aV\2aaV", True, False),
        (b"\0V\1aV", True, False),
        (b"\1\x7fV\2\xc3\xa9V", True, False),
        (b"\1at\1", True, False),
        (b"\1at\2", True, True),
        (b"\1aL" + bytes(8), True, True),
        (b"\1aF\0\0\0\4\1bt\7", True, True),
        (b"\1aA\0\0\0\2t\7", True, True),
        (b"\1aF\0\0\0\6\1bV\1aV", True, False),
    ],
)
def test_the_scan_finds_tables_that_must_be_encoded_again(table: bytes, is_sorted: bool, odd: bool) -> None:
    header = scan(table_payload(table))
    assert header is not None and (header.sorted, header.odd) == (is_sorted, odd)


@pytest.mark.parametrize("flags", [1, 2, 3, 0x8001])
def test_flags_beyond_the_fourteen_properties_are_odd(flags: int) -> None:
    payload = struct.pack(">HHQH", 60, 0, 0, flags) + (b"\1x" if flags & 0x8000 else b"")
    header = scan(payload)
    assert header is not None and header.odd


@pytest.mark.parametrize(
    "value", [b"f\x7f\xc0\0\0", b"f\xff\x80\0\0", b"d\x7f\xf0" + bytes(6), b"d\xff\xf8" + bytes(6)]
)
def test_infinite_floats_are_refused(value: bytes) -> None:
    assert scan(table_payload(b"\1a" + value)) is None
    assert decoded(table_payload(b"\1a" + value)) is None


@pytest.mark.parametrize("kind", ["A", "F"])
def test_scan_and_decoder_agree_on_the_depth_limit(kind: str) -> None:
    def nested(levels: int) -> bytes:
        inner = b"V"
        for _ in range(levels):
            inner = (b"" if kind == "A" else b"\1n") + inner
            inner = kind.encode() + len(inner).to_bytes(4, "big") + inner
        return table_payload(b"\1a" + inner)

    for levels in (1, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 5000):
        assert (scan(nested(levels)) is None) == (decoded(nested(levels)) is None) == (levels > MAX_DEPTH - 1)


@pytest.mark.parametrize("field", [b"\1aV", b"\1aA\0\0\0\2VV"])
def test_scan_and_decoder_agree_on_the_number_of_fields(field: bytes) -> None:
    each = 1 if field.endswith(b"aV") else 3
    most = MAX_FIELDS // each
    assert scan(table_payload(field * most)) is not None and decoded(table_payload(field * most)) is not None
    more = field * (most + 1)
    assert scan(table_payload(more)) is None and decoded(table_payload(more)) is None


def test_a_header_object_can_scan_many_messages() -> None:
    header = Header()
    full: dict[str, Any] = {"expiration": "5", "reply_to": "r", "user_id": "u", "priority": 3}
    first = encode_properties(Properties(headers={"x-b": Field("V", None), "a": Field("t", 1)}, **full), 0)
    assert header.scan(first, 0, len(first)) and header.special and not header.sorted
    second = encode_properties(Properties(), 0)
    assert header.scan(second, 0, len(second))
    found = (header.headers, header.expiration, header.reply_to, header.user_id, header.priority)
    assert found == (0, 0, 0, 0, -1) and header.sorted and not header.special and not header.odd
