"""Field tables: types are kept, and RabbitMQ's type letters, equivalence and text forms."""

import math
import struct
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as pamqp_decode
from pamqp import encode as pamqp_encode

from leveret.wire import erlang
from leveret.wire.tables import (
    MAX_DEPTH,
    MAX_FIELDS,
    Field,
    MalformedTable,
    Table,
    decode_table,
    difference,
    encode_table,
    from_plain,
    plain,
    same,
    term,
    type_name,
)
from leveret.wire.tables import erlang as rendered

BITS = {"b": 7, "s": 15, "I": 31, "l": 63}
UNSIGNED = {"B": 8, "u": 16, "i": 32, "T": 64}

NAMES = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
SCALARS = st.one_of(
    *[st.integers(-(2**n), 2**n - 1).map(partial(Field, k)) for k, n in BITS.items()],
    *[st.integers(0, 2**n - 1).map(partial(Field, k)) for k, n in UNSIGNED.items()],
    st.binary(max_size=30).map(partial(Field, "S")),
    st.binary(max_size=30).map(partial(Field, "x")),
    st.booleans().map(partial(Field, "t")),
    st.just(Field("V", None)),
    st.floats(allow_nan=False, allow_infinity=False).map(partial(Field, "d")),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(partial(Field, "f")),
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1)).map(partial(Field, "D")),
)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4).map(partial(Field, "A"))
        | st.dictionaries(NAMES, inner, max_size=4).map(partial(Field, "F"))
    ),
    max_leaves=12,
)
TABLES = st.dictionaries(NAMES, FIELDS, max_size=6)


@given(TABLES, st.binary(max_size=5), st.binary(max_size=5))
def test_a_table_is_encoded_and_decoded_unchanged(table: Table, before: bytes, behind: bytes) -> None:
    raw = encode_table(table)
    decoded, end = decode_table(before + raw + behind, len(before))
    assert decoded == table
    assert list(decoded) == list(table)
    assert end == len(before) + len(raw)


@given(st.binary(max_size=200))
def test_random_bytes_only_raise_malformed_table(raw: bytes) -> None:
    for data in (raw, struct.pack(">I", len(raw)) + raw):
        try:
            table, end = decode_table(data)
        except MalformedTable:
            continue
        assert end <= len(data)
        assert decode_table(encode_table(table))[0] == table
        plain(table)
        [rendered(field) for field in table.values()]


@given(TABLES, st.data())
def test_truncated_tables_are_malformed(table: Table, data: st.DataObject) -> None:
    raw = encode_table(table)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(MalformedTable):
        decode_table(raw[:cut])


PAMQP_VALUES = st.recursive(
    st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.text(max_size=10)
    | st.binary(max_size=10).map(bytearray)
    | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), PAMQP_VALUES, max_size=5))
def test_we_and_pamqp_decode_the_tables_of_each_other(values: dict[str, object]) -> None:
    raw = pamqp_encode.field_table(values)  # type: ignore[arg-type]
    table, end = decode_table(raw)
    assert end == len(raw)
    assert encode_table(table) == raw
    assert pamqp_decode.field_table(encode_table(table)) == pamqp_decode.field_table(raw)


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        (b"b\xfd", Field("b", -3)),
        (b"B\xfd", Field("B", 253)),
        (b"s\xff\xfe", Field("s", -2)),
        (b"u\xff\xfe", Field("u", 65534)),
        (b"I\xff\xff\xff\xff", Field("I", -1)),
        (b"i\xff\xff\xff\xff", Field("i", 2**32 - 1)),
        (b"l" + b"\xff" * 8, Field("l", -1)),
        (b"L" + b"\xff" * 8, Field("l", -1)),
        (b"T" + b"\xff" * 8, Field("T", 2**64 - 1)),
        (b"D\x02\xff\xff\xff\xff", Field("D", (2, 2**32 - 1))),
        (b"t\x02", Field("t", True)),
        (b"V", Field("V", None)),
    ],
)
def test_type_letters_mean_what_they_mean_to_rabbitmq(octets: bytes, field: Field) -> None:
    raw = b"\1a" + octets
    assert decode_table(struct.pack(">I", len(raw)) + raw)[0] == {"a": field}


@pytest.mark.parametrize(
    "octets",
    [
        b"\1a",
        b"\2a",
        b"\1a\0",
        b"\1aZ",
        b"\1ad" + struct.pack(">d", math.nan),
        b"\1ad" + struct.pack(">d", math.inf),
        b"\1af" + struct.pack(">f", -math.inf),
        b"\1aF\0\0\0\2\1",
        b"\1aA\0\0\0\1I\0\0\0\1",
    ],
)
def test_tables_that_rabbitmq_cannot_parse_are_malformed(octets: bytes) -> None:
    with pytest.raises(MalformedTable):
        decode_table(struct.pack(">I", len(octets)) + octets)


@pytest.mark.parametrize(("kind", "size"), [("b", 1), ("s", 2), ("I", 4), ("l", 8)])
@pytest.mark.parametrize("octets", [b"\x7f" + bytes(7), b"\x80" + bytes(7), b"\xff" * 8])
def test_integers_have_the_sign_of_their_type(kind: str, size: int, octets: bytes) -> None:
    raw, unsigned = octets[:size], {"b": "B", "s": "u", "I": "i", "l": "T"}[kind]
    fields = b"\1a" + kind.encode() + raw + b"\1b" + unsigned.encode() + raw
    table, _ = decode_table(len(fields).to_bytes(4, "big") + fields)
    assert table["a"].value == int.from_bytes(raw, "big", signed=True)
    assert table["b"].value == int.from_bytes(raw, "big")


def test_the_first_of_equal_names_counts() -> None:
    raw = b"\1aI\0\0\0\1\1aI\0\0\0\2"
    assert decode_table(struct.pack(">I", len(raw)) + raw)[0] == {"a": Field("I", 1)}


def nested(depth: int, kind: str = "A") -> bytes:
    raw = b""
    for _ in range(depth - 1):
        name = b"" if kind == "A" else b"\1a"
        raw = name + kind.encode() + struct.pack(">I", len(raw)) + raw
    raw = raw if kind == "F" else b"\1a" + raw
    return struct.pack(">I", len(raw)) + raw


@pytest.mark.parametrize("kind", ["A", "F"])
def test_deep_nesting_ends_without_recursion_errors(kind: str) -> None:
    table, _ = decode_table(nested(MAX_DEPTH, kind))
    assert encode_table(table) == nested(MAX_DEPTH, kind)
    assert from_plain(plain(table)) == table
    assert rendered(table["a"])
    with pytest.raises(MalformedTable):
        decode_table(nested(MAX_DEPTH + 1, kind))
    with pytest.raises(MalformedTable):
        decode_table(nested(20000, kind))


def test_the_number_of_fields_is_limited() -> None:
    full = {"a": Field("A", [Field("V", None)] * (MAX_FIELDS - 1))}
    assert decode_table(encode_table(full))[0] == full
    full["a"].value.append(Field("V", None))
    with pytest.raises(MalformedTable, match="too many fields"):
        decode_table(encode_table(full))
    assert len(from_plain({"a": [1] * (MAX_FIELDS - 1)})["a"].value) == MAX_FIELDS - 1
    with pytest.raises(ValueError, match="too many fields"):
        from_plain({"a": [1] * MAX_FIELDS})


def test_names_from_json_are_short_strings() -> None:
    name = "\xe9" * 127 + "e"
    assert decode_table(encode_table(from_plain({name: 1})))[0] == {name: Field("l", 1)}
    with pytest.raises(ValueError, match="name too long"):
        from_plain({"a": {name + "e": 1}})


def test_texts_show_the_first_fields_of_a_large_table() -> None:
    numbers = Field("A", [Field("I", 7)] * 5000)
    shown = rendered(numbers)
    assert shown.startswith("[{signedint,7},{signedint,7},") and 255 < len(shown) < 5000
    table = Field("F", {f"{n:04}": Field("A", [Field("I", n)] * 5) for n in range(1000)})
    assert rendered(table).startswith('[{<<"0000">>,array,[{signedint,0},') and len(rendered(table)) < 8000


def test_numbers_that_do_not_fit_are_truncated() -> None:
    assert decode_table(encode_table({"a": Field("l", 2**63)}))[0] == {"a": Field("l", -(2**63))}


def test_names_have_255_octets_at_most() -> None:
    with pytest.raises(ValueError, match="255"):
        encode_table({"é" * 128: Field("V", None)})
    with pytest.raises(ValueError, match="type"):
        encode_table({"a": Field("?", 1)})


# --- JSON


def test_plain_values_are_those_of_the_management_api() -> None:
    table = {
        "S": Field("S", "é".encode()),
        "x": Field("x", b"bin"),
        "T": Field("T", 2**63 + 5),
        "D": Field("D", (2, 314)),
        "V": Field("V", None),
        "t": Field("t", False),
        "A": Field("A", [Field("I", 1), Field("F", {"z": Field("S", b"y")})]),
        "bad": Field("S", b"\xff"),
        "n\udcff": Field("d", 0.5),
    }
    assert plain(table) == {
        "S": "é",
        "x": "bin",
        "T": 2**63 + 5,
        "D": 2.314,
        "V": "undefined",
        "t": False,
        "A": [1, {"z": "y"}],
        "bad": "Not UTF-8, base64 is: /w==",
        "n\ufffd": 0.5,
    }


@pytest.mark.parametrize(("size", "newlines"), [(54, 0), (56, 1), (57, 1), (58, 1), (114, 2)])
def test_base64_lines_have_76_characters(size: int, newlines: int) -> None:
    text = plain({"a": Field("S", b"\xff" * size)})["a"]
    assert isinstance(text, str)
    assert text.count("\n") == newlines


def test_plain_values_become_fields_as_in_definitions() -> None:
    assert from_plain({"i": 1, "s": "é", "b": True, "f": 1.5, "d": {"l": [1, "x"]}}) == {
        "i": Field("l", 1),
        "s": Field("S", "é".encode()),
        "b": Field("t", True),
        "f": Field("d", 1.5),
        "d": Field("F", {"l": Field("A", [Field("l", 1), Field("S", b"x")])}),
    }


@pytest.mark.parametrize("value", [None, [None], {"a": None}])
def test_null_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="null_not_allowed"):
        from_plain({"a": value})


def test_values_that_json_does_not_have_are_refused() -> None:
    deep: object = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    for value in (math.nan, object(), deep):
        with pytest.raises(ValueError, match=r"unhandled|deep"):
            from_plain({"a": value})


# --- equivalence (texts and verdicts seen on RabbitMQ 4.3.6)


@pytest.mark.parametrize(
    ("received", "current", "text"),
    [
        (Field("l", 5000), Field("I", 5000), None),
        (Field("T", 5000), Field("I", 5000), None),
        (Field("x", b"a"), Field("S", b"a"), None),
        (Field("F", {}), Field("A", []), None),
        (None, None, None),
        (Field("I", 6000), Field("I", 5000), "received '6000' but current is '5000'"),
        (Field("d", 5000.0), Field("I", 5000), "received '5.0e3' but current is '5000'"),
        (Field("S", b"5000"), Field("I", 5000), "received '5000' but current is '5000'"),
        (Field("t", False), Field("t", True), "received 'false' but current is 'true'"),
        (Field("t", True), Field("I", 1), "received 'true' but current is '1'"),
        (Field("S", b"\xff\xfeq"), Field("S", b"a"), "received 'ÿþq' but current is 'a'"),
        (None, Field("I", 5), "received none but current is the value '5' of type 'signedint'"),
        (Field("s", 5), None, "received the value '5' of type 'short' but current is none"),
        (Field("S", "é".encode()), None, "received the value 'é' of type 'longstr' but current is none"),
    ],
)
def test_inequivalent_arguments_are_described(
    received: Field | None, current: Field | None, text: str | None
) -> None:
    assert difference(received, current) == text
    if received is not None and current is not None:
        assert same(received, current) is same(current, received) is (text is None)


@given(FIELDS)
def test_a_field_equals_itself(field: Field) -> None:
    assert same(field, field)
    assert type_name(field.kind)


def test_nested_tables_are_printed_as_erlang_terms() -> None:
    field = Field("F", {"a": Field("A", [Field("I", 1), Field("S", b"x")]), "b": Field("V", None)})
    assert rendered(field) == '[{<<"a">>,array,[{signedint,1},{longstr,<<"x">>}]},{<<"b">>,void,undefined}]'
    assert erlang.pretty(term(Field("S", b"foo"))) == '{longstr,<<"foo">>}'
