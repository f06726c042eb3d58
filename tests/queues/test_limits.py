"""TTL, length limits and overflow as numbers."""

from __future__ import annotations

import pytest

from leveret.queues.limits import Limits
from leveret.queues.message import Message


def message(expiration: int = -1, size: int = 0) -> Message:
    made = Message(size=size)
    made.expiration = expiration
    return made


@pytest.mark.parametrize(
    ("own", "queues", "expected"),
    [(-1, -1, 0), (5, -1, 1005), (-1, 7, 1007), (5, 7, 1005), (9, 7, 1007), (0, -1, 1000), (-1, 0, 1000)],
)
def test_the_smaller_ttl_counts(own: int, queues: int, expected: int) -> None:
    assert Limits(message_ttl=queues).expiry(message(own), 1000) == expected


def test_max_length_counts_messages() -> None:
    limits = Limits(max_length=2)
    assert limits.bounded and not Limits().bounded
    assert [limits.overflows(ready, 0) for ready in (1, 2, 3)] == [False, False, True]
    assert [limits.would_overflow(ready, 0, message()) for ready in (0, 1, 2)] == [False, False, True]


def test_max_length_bytes_counts_bodies() -> None:
    limits = Limits(max_bytes=10)
    assert [limits.overflows(1, size) for size in (9, 10, 11)] == [False, False, True]
    assert [limits.would_overflow(0, 5, message(size=size)) for size in (5, 6)] == [False, True]


def test_a_limit_of_zero_takes_no_message() -> None:
    assert Limits(max_length=0).would_overflow(0, 0, message())
    assert Limits(max_bytes=0).would_overflow(0, 0, message(size=1))
    assert not Limits(max_bytes=0).would_overflow(0, 0, message())


@pytest.mark.parametrize(
    ("overflow", "reject", "dead"),
    [("drop-head", False, False), ("reject-publish", True, False), ("reject-publish-dlx", True, True)],
)
def test_overflow_decides_about_refusing_and_dead_lettering(overflow: str, reject: bool, dead: bool) -> None:
    limits = Limits(overflow=overflow)
    assert (limits.reject, limits.reject_dead_letters) == (reject, dead)
