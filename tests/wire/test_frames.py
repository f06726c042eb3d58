"""The outbox writes the same octets as pamqp."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body, commands, frame, header, heartbeat

from leveret.queues.message import frame_content
from leveret.wire.frames import HEARTBEAT_FRAME, Outbox
from leveret.wire.properties import Properties, encode_properties

CHANNELS = st.integers(1, 65535)
TAGS = st.integers(0, 2**63 - 1)  # as far as pamqp goes
#: pamqp checks names; what it accepts is enough to compare bytes.
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.:", max_size=40)
KEYS = st.text(max_size=60)


def short(text: str) -> bytes:
    raw = text.encode()
    return bytes((len(raw),)) + raw


def content_of(payload: bytes, **properties: object) -> tuple[bytes, int]:
    """A content as messages keep it."""
    return frame_content(encode_properties(Properties(**properties), len(payload)), payload)  # type: ignore[arg-type]


# --- out


@given(CHANNELS, NAMES, TAGS, st.booleans(), NAMES, KEYS)
def test_basic_deliver_equals_that_of_pamqp(
    channel: int, consumer: str, tag: int, redelivered: bool, exchange: str, key: str
) -> None:
    outbox = Outbox()
    prefix = (60 << 16 | 60).to_bytes(4, "big") + short(consumer)
    outbox.deliver(channel, prefix, tag, redelivered, short(exchange) + short(key))
    method = commands.Basic.Deliver(consumer, tag, redelivered, exchange, key)
    assert outbox.take() == frame.marshal(method, channel)


@given(CHANNELS, TAGS, st.booleans(), NAMES, KEYS, st.integers(0, 2**32 - 1))
def test_basic_get_ok_equals_that_of_pamqp(
    channel: int, tag: int, redelivered: bool, exchange: str, key: str, count: int
) -> None:
    outbox = Outbox()
    suffix = short(exchange) + short(key) + count.to_bytes(4, "big")
    outbox.deliver(channel, (60 << 16 | 71).to_bytes(4, "big"), tag, redelivered, suffix)
    method = commands.Basic.GetOk(tag, redelivered, exchange, key, count)
    assert outbox.take() == frame.marshal(method, channel)


@given(CHANNELS, TAGS, st.booleans())
def test_confirms_equal_those_of_pamqp(channel: int, tag: int, multiple: bool) -> None:
    outbox = Outbox()
    outbox.confirm(channel, 80, tag, int(multiple))
    assert outbox.take() == frame.marshal(commands.Basic.Ack(tag, multiple), channel)
    outbox.confirm(channel, 120, tag, int(multiple) | 2)
    assert outbox.take() == frame.marshal(commands.Basic.Nack(tag, multiple, True), channel)


@given(CHANNELS, st.binary(max_size=300), st.integers(20, 120))
def test_a_content_is_split_by_frame_max(channel: int, payload: bytes, frame_max: int) -> None:
    """It is sent as it was received if it fits; otherwise it is split by `frame_max` without the frame's own octets."""
    outbox = Outbox()
    content, head = content_of(payload, correlation_id="c", delivery_mode=2)
    outbox.put_content(channel, content, head, len(payload), frame_max)
    properties = commands.Basic.Properties(correlation_id="c", delivery_mode=2)
    expected = frame.marshal(header.ContentHeader(0, len(payload), properties), channel)
    most = frame_max - 8
    for at in range(0, len(payload), most):
        expected += frame.marshal(body.ContentBody(payload[at : at + most]), channel)
    assert outbox.take() == expected


def test_an_empty_body_has_only_a_header_frame() -> None:
    outbox = Outbox()
    content, head = content_of(b"")
    outbox.put_content(3, content, head, 0, 4096)
    assert outbox.take() == frame.marshal(header.ContentHeader(0, 0, commands.Basic.Properties()), 3)


def test_the_heartbeat_frame_equals_that_of_pamqp() -> None:
    assert frame.marshal(heartbeat.Heartbeat(), 0) == HEARTBEAT_FRAME


# --- the block


@given(st.lists(st.binary(max_size=9000), max_size=12))
def test_the_outbox_keeps_the_order(pieces: list[bytes]) -> None:
    outbox = Outbox()
    for piece in pieces:
        outbox.put(piece)
        assert outbox.size <= sum(map(len, pieces))
    assert outbox.size == sum(map(len, pieces))
    assert outbox.take() == b"".join(pieces)
    assert outbox.size == 0
    assert outbox.take() == b""


def test_the_outbox_can_be_used_again_after_a_large_output() -> None:
    outbox = Outbox()
    for size in (1 << 20, 10, 0, 5000, 1 << 16, 1):
        outbox.put(b"x" * size)
        outbox.confirm(1, 80, size, 0)
        assert outbox.take() == b"x" * size + frame.marshal(commands.Basic.Ack(size), 1)


def test_taken_output_does_not_change() -> None:
    outbox = Outbox()
    outbox.put(b"first")
    taken = outbox.take()
    outbox.put(b"second")
    assert taken == b"first"


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8191, 8192, 8193])
def test_the_outbox_grows_at_its_limit(size: int) -> None:
    for append in (
        lambda box: box.confirm(1, 80, 1, 0),
        lambda box: box.deliver(1, b"prefix", 1, True, b"suffix"),
        lambda box: box.put_content(1, *content_of(b"body")[:1], content_of(b"body")[1], 4, 4096),
    ):
        outbox, fresh = Outbox(), Outbox()
        outbox.put(b"y" * size)
        append(outbox)
        append(fresh)
        assert outbox.take() == b"y" * size + fresh.take()
