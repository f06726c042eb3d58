"""The history a dead message carries, and when it would go round for ever."""

from __future__ import annotations

import pytest

from leveret.queues.deadletter import cycles, record
from leveret.queues.deadletter import death as died
from leveret.queues.extras import Death
from leveret.queues.message import Message
from leveret.wire.properties import Properties


def death(queue: str, reason: str = "expired", count: int = 1) -> Death:
    return Death(queue, reason, count, 1, b"", (b"k",), None)


def test_the_newest_stands_first() -> None:
    message = Message(b"x", b"k")
    history = record([], died(message, "a", "expired", 10, [b"k"], Properties(expiration="7")))
    assert history == [Death("a", "expired", 1, 10, b"x", (b"k",), b"7")]
    history = record(history, died(message, "b", "rejected", 20, [b"k", b"cc"], Properties()))
    assert [(one.queue, one.keys, one.expiration) for one in history] == [
        ("b", (b"k", b"cc"), None),
        ("a", (b"k",), b"7"),
    ]


def test_a_repeat_counts_and_moves_to_the_front() -> None:
    """Time, keys and expiration stay those of the first death."""
    message = Message(b"x", b"k")
    history = [death("b"), death("a", count=4), death("a", "rejected")]
    again = record(history, died(message, "a", "expired", 99, [b"k", b"other"], Properties(expiration="5")))
    assert again == [death("a", count=5), death("b"), death("a", "rejected")]


@pytest.mark.parametrize(
    ("history", "target", "reason", "expected"),
    [
        ([death("a")], "a", "expired", True),
        ([death("a")], "b", "expired", False),
        ([death("b"), death("a")], "a", "maxlen", True),
        ([death("b", "rejected"), death("a")], "a", "expired", False),
        ([death("b"), death("a", "rejected"), death("a")], "a", "expired", False),
        ([death("a")], "a", "rejected", False),
        ([], "a", "expired", False),
    ],
)
def test_cycles(history: list[Death], target: str, reason: str, expected: bool) -> None:
    assert cycles(history, target, reason) == expected
