"""The encoding of the fields that only few messages have."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.queues import extra_encoding
from leveret.queues.message import Death, Extra

NAMES = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
KEYS = st.binary(max_size=20)
DEATHS = st.builds(
    Death,
    NAMES,
    st.sampled_from(["expired", "rejected", "maxlen", "delivery_limit"]),
    st.integers(1, 2**40),
    st.integers(0, 2**40),
    KEYS,
    st.lists(KEYS, max_size=3).map(tuple),
    st.none() | KEYS,
)


@given(
    st.lists(KEYS, max_size=3),
    st.lists(DEATHS, max_size=3),
    st.booleans(),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_extra_fields_are_encoded_and_decoded(
    more: list[bytes], deaths: list[Death], redelivered: bool, acquired: int, failed: int
) -> None:
    extra = Extra()
    extra.more, extra.deaths, extra.redelivered = more, deaths, redelivered
    extra.acquired, extra.failed = acquired, failed
    back = extra_encoding.decode(extra_encoding.encode(extra))
    for name in Extra.__slots__:
        assert getattr(back, name) == getattr(extra, name)


@given(st.binary(max_size=40))
def test_invalid_bytes_raise_decode_error(raw: bytes) -> None:
    try:
        extra_encoding.decode(raw)
    except msgspec.DecodeError:
        return


def test_truncated_bytes_raise_decode_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        extra_encoding.decode(extra_encoding.encode(Extra())[:-1])


def test_an_invalid_death_history_is_left_out() -> None:
    """Earlier versions stored there what a client had sent; the rest of the message is valid."""
    raw = msgspec.msgpack.encode(([b"k"], [(b"q", "expired", 1, {"a": 1}, b"", [], 5)], True, 2, 1))
    extra = extra_encoding.decode(raw)
    assert (extra.more, extra.deaths, extra.redelivered, extra.acquired, extra.failed) == (
        [b"k"],
        [],
        True,
        2,
        1,
    )


def test_a_reason_that_is_not_utf_8_is_encoded() -> None:
    extra = Extra()
    extra.deaths = [extra_encoding.Death("q", "\udcff", 1, 0, b"", (), None)]
    assert extra_encoding.decode(extra_encoding.encode(extra)).deaths[0].queue == "q"
