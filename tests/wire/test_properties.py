"""Basic properties are encoded as by pamqp where it can, and refused as by RabbitMQ."""

import datetime
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header
from pamqp import encode as pamqp_encode

from leveret.errors import AmqpError
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, decode_table

NAMES = list(Properties.__struct_fields__)
SHORT = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
OURS = st.builds(
    Properties,
    **{name: st.none() | SHORT for name in NAMES},
).flatmap(
    lambda made: st.builds(
        lambda headers, mode, priority, timestamp: _with(made, headers, mode, priority, timestamp),
        st.none() | st.dictionaries(SHORT, st.builds(Field, st.just("I"), st.integers(0, 9)), max_size=3),
        st.none() | st.integers(0, 255),
        st.none() | st.integers(0, 255),
        st.none() | st.integers(0, 2**64 - 1),
    )
)


def _with(made: Properties, headers: Any, mode: Any, priority: Any, timestamp: Any) -> Properties:
    made.headers, made.delivery_mode, made.priority, made.timestamp = headers, mode, priority, timestamp
    return made


@given(OURS, st.integers(0, 2**64 - 1))
def test_properties_are_encoded_and_decoded_unchanged(properties: Properties, size: int) -> None:
    payload = encode_properties(properties, size)
    assert decode_properties(payload) == properties
    assert struct.unpack_from(">HHQ", payload) == (60, 0, size)


#: pamqp leaves empty strings out and takes delivery modes 1 and 2 only.
TEXT = st.none() | st.text(min_size=1, max_size=20)
PAMQP = st.fixed_dictionaries(
    {
        **{name: TEXT for name in NAMES if name not in ("type", "cluster_id")},
        "message_type": TEXT,
        "headers": st.none()
        | st.dictionaries(st.text(max_size=5), st.integers(0, 99) | st.booleans(), max_size=3),
        "delivery_mode": st.none() | st.sampled_from([1, 2]),
        "priority": st.none() | st.integers(0, 255),
        "timestamp": st.none()
        | st.integers(0, 2**32 - 1).map(lambda s: datetime.datetime.fromtimestamp(s, datetime.UTC)),
    }
)


@given(PAMQP, st.integers(0, 2**32))
def test_content_headers_equal_those_of_pamqp(values: dict[str, Any], size: int) -> None:
    theirs = header.ContentHeader(0, size, commands.Basic.Properties(**values)).marshal()
    ours = dict(values)
    ours["type"] = ours.pop("message_type")
    if ours["headers"] is not None:
        ours["headers"] = decode_table(pamqp_encode.field_table(ours["headers"]))[0]
    if ours["timestamp"] is not None:
        ours["timestamp"] = int(ours["timestamp"].timestamp())
    made = Properties(**ours)
    assert encode_properties(made, size) == theirs
    assert decode_properties(theirs) == made


HEAD = struct.pack(">HHQ", 60, 0, 0)


@given(st.binary(max_size=60), st.booleans())
def test_random_payloads_only_raise_amqp_errors(raw: bytes, headed: bool) -> None:
    try:
        made = decode_properties(HEAD + raw if headed else raw)
    except AmqpError as error:
        assert (error.code, error.text, error.anonymous) == (541, "INTERNAL_ERROR", True)
    else:
        assert decode_properties(encode_properties(made, 0)) == made


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\0",
        b"\0\0xx",
        b"\x80\0\5ab",
        b"\x80\1\0\0\1a",
        b"\x10\0",
        b"\0\x40\0",
        b"\x20\0\0\0\0\3\1a\0",
        b"\x20\0\0\0\0\x0b\1ad\x7f\xf8\0\0\0\0\0\0",
    ],
)
def test_payloads_that_rabbitmq_cannot_decode_raise_an_error(rest: bytes) -> None:
    with pytest.raises(AmqpError):
        decode_properties(HEAD + rest)


@pytest.mark.parametrize("flags", [1, 2, 3])
def test_the_two_lowest_flags_are_ignored(flags: int) -> None:
    made = decode_properties(HEAD + struct.pack(">H", 0x8000 | flags) + b"\3a/b")
    assert made == Properties(content_type="a/b")
    assert encode_properties(made, 0) == HEAD + b"\x80\0\3a/b"


def test_short_strings_may_be_any_octets() -> None:
    assert decode_properties(HEAD + b"\x80\0\2\xff\xfe").content_type == "\udcff\udcfe"


def test_an_empty_property_is_not_absent() -> None:
    payload = encode_properties(Properties(content_type="", headers={}), 0)
    assert payload == HEAD + b"\xa0\0\0\0\0\0\0"
    assert decode_properties(payload) == Properties(content_type="", headers={})


def test_numbers_are_truncated_and_long_strings_refused() -> None:
    made = decode_properties(
        encode_properties(Properties(delivery_mode=300, priority=-1, timestamp=2**65), 0)
    )
    assert (made.delivery_mode, made.priority, made.timestamp) == (44, 255, 0)
    with pytest.raises(ValueError, match="255"):
        encode_properties(Properties(app_id="x" * 256), 0)
