"""The properties of messages of a stream: the fast conversion gives what the full one gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import AmqpError
from leveret.profiles import profile
from leveret.queues.message import Message, frame_content
from leveret.queues.stream.conversion import converted_message, put_plain
from leveret.wire.content import Header
from leveret.wire.frames import Outbox
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table


def message(properties: Properties, body: bytes = b"body") -> Message:
    content_, head = frame_content(encode_properties(properties, len(body)), body)
    made = Message(b"", b"s", content_, head, len(body))
    if properties.expiration is not None:
        made.expiration = int(properties.expiration)
    return made


def plainly(properties: Properties, containers: bool = True) -> bytes | None:
    out = Outbox()
    taken = put_plain(out, message(properties), 7, containers)
    written = out.take()
    assert taken or not written
    return written if taken else None


TEXT = st.text(max_size=6)
SCALARS = st.one_of(
    st.binary(max_size=6).map(lambda value: Field("S", value)),
    st.integers(-(2**31), 2**31 - 1).map(lambda value: Field("I", value)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: Field("l", value)),
    st.integers(0, 255).map(lambda value: Field("B", value)),
    st.integers(0, 2**64 - 1).map(lambda value: Field("T", value)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: Field("d", value)),
    st.booleans().map(lambda value: Field("t", value)),
    st.just(Field("V", None)),
    st.just(Field("x", b"octets")),
)
FIELDS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda value: Field("A", value)),
        st.dictionaries(TEXT, inner, max_size=2).map(lambda value: Field("F", value)),
    ),
    max_leaves=4,
)
NAMES = st.one_of(
    TEXT, st.sampled_from(["CC", "x", "x-", "x-a", "x-t", "x-z", "x-stream-a", "x-stream-z", "y", "x-death"])
)
PROPERTIES = st.builds(
    Properties,
    content_type=st.none() | TEXT,
    content_encoding=st.none() | TEXT,
    headers=st.none()
    | st.dictionaries(NAMES, FIELDS, max_size=4).map(lambda t: dict(sorted(t.items(), key=_name))),
    delivery_mode=st.none() | st.integers(0, 3),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | TEXT,
    reply_to=st.none() | TEXT,
    expiration=st.none() | st.integers(0, 2**40).map(str),
    message_id=st.none() | TEXT,
    timestamp=st.none() | st.integers(0, 2**64 - 1),
    type=st.none() | TEXT,
    user_id=st.none() | TEXT,
    app_id=st.none() | TEXT,
    cluster_id=st.none() | TEXT,
)


def _name(item: tuple[str, Field]) -> bytes:
    return item[0].encode()


@pytest.mark.parametrize("version", ["4.3", "3.10"])
@given(properties=PROPERTIES)
def test_the_fast_and_the_full_conversion_agree(version: str, properties: Properties) -> None:
    used = profile(version)
    quick = plainly(properties, used.message_containers)
    slow, value = converted_message(message(properties), 7, used)
    assert value is None
    if quick is not None:
        assert quick == len(slow).to_bytes(4, "big") + slow
    header = Header()
    assert header.scan(bytes(12) + slow, 0, 12 + len(slow))
    assert header.sorted and not header.odd


def test_simple_properties_use_the_fast_conversion() -> None:
    headers: Table = {
        "a": Field("S", b"1"),
        "b": Field("I", 5),
        "x-trace-id": Field("S", b"5"),
        "z": Field("t", True),
    }
    assert plainly(Properties()) is not None
    assert (
        plainly(Properties(content_type="text/plain", headers=headers, delivery_mode=2, priority=5))
        is not None
    )
    assert (
        plainly(Properties(reply_to="q", timestamp=1_700_000_000, message_id="m", expiration="5")) is not None
    )


@pytest.mark.parametrize(
    "properties",
    [
        Properties(headers={"x-stream-filter-value": Field("I", 5)}),
        Properties(headers={"x-stream-filter-value": Field("S", b"\xff")}),
        Properties(headers={"x-a": Field("F", {"b": Field("D", (0, 1))})}),
        Properties(headers={"x-basic-type": Field("I", 5)}),
        Properties(reply_to="\udcff"),
    ],
)
def test_properties_that_cannot_be_converted_raise_an_error(properties: Properties) -> None:
    with pytest.raises(AmqpError) as caught:
        converted_message(message(properties), 0, profile("4.3"))
    assert caught.value.code == 541
