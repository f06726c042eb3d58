"""The death history of a message, and cycles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leveret.profiles import profile
from leveret.queues.deadletter.copies import cycles, dead_lettered_copy, record
from leveret.queues.deadletter.copies import death as died
from leveret.queues.message import NACKED, REJECTED, Death, Entry, Extra, Message, Source, frame_content
from leveret.wire.properties import Properties, decode_properties, encode_properties
from leveret.wire.tables import Field, Table


def death(queue: str, reason: str = "expired", count: int = 1) -> Death:
    return Death(queue, reason, count, 1, b"", (b"k",), None)


def test_the_newest_death_comes_first() -> None:
    message = Message(b"x", b"k")
    history = record([], died(message, "a", "expired", 10, [b"k"], Properties(expiration="7")))
    assert history == [Death("a", "expired", 1, 10, b"x", (b"k",), b"7")]
    history = record(history, died(message, "b", "rejected", 20, [b"k", b"cc"], Properties()))
    assert [(one.queue, one.keys, one.expiration) for one in history] == [
        ("b", (b"k", b"cc"), None),
        ("a", (b"k",), b"7"),
    ]


def test_a_repeated_death_is_counted_and_comes_first() -> None:
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
def test_a_cycle_without_a_rejection_is_found(
    history: list[Death], target: str, reason: str, expected: bool
) -> None:
    assert cycles(history, target, reason) == expected


QUEUE: Any = SimpleNamespace(
    name="q",
    kind="classic",
    context=SimpleNamespace(clock=SimpleNamespace(now=7000)),
    dead_letter_exchange="",
    dead_letter_routing_key="d",
)


def headers_of_dead(version: str, sent: Table) -> Table:
    """The headers of a message that was rejected in q."""
    message = Message(b"", b"q")
    message.content, message.head = frame_content(encode_properties(Properties(headers=sent), 0), b"")
    dead = dead_lettered_copy(QUEUE, message, "rejected", None, NACKED, profile(version))
    assert dead is not None
    return decode_properties(dead.header).headers or {}


OTHER = Field("S", b"other")
GIVEN = Field(
    "F",
    {
        "count": Field("l", 5),
        "reason": Field("S", b"rejected"),
        "queue": Field("S", b"q"),
        "time": Field("T", 1),
        "exchange": Field("S", b""),
        "routing-keys": Field("A", [Field("S", b"q")]),
    },
)


@pytest.mark.parametrize(
    ("version", "given", "first", "count"),
    [
        ("4.3", None, b"q", 1),
        ("4.3", [GIVEN], b"q", 1),
        ("4.0", [GIVEN], b"q", 1),
        ("3.13", None, b"q", 1),
        ("3.13", [GIVEN], b"other", 6),
        ("3.13", [], b"other", 1),
    ],
)
def test_death_headers_of_clients_count_by_version(
    version: str, given: list[Field] | None, first: bytes, count: int
) -> None:
    """From 4.0 on they are ignored; 3.13 goes on with an x-death array, and then keeps x-first-death-*."""
    sent: Table = {"x-first-death-queue": OTHER} | ({} if given is None else {"x-death": Field("A", given)})
    headers = headers_of_dead(version, sent)
    assert headers["x-first-death-queue"].value == first
    assert headers["x-death"].value[0].value["count"].value == count
    assert headers["x-last-death-queue"].value == b"q"


def refused(message: Message, why: int = NACKED, failed: int = 0, version: str = "4.3") -> Message:
    """The dead-lettered copy of a message of q that failed so many times before it was rejected."""
    entry = Entry(message, 1, 0, Source())
    entry.failed = failed
    dead = dead_lettered_copy(QUEUE, message, "rejected", entry, why, profile(version))
    assert dead is not None
    return dead


def fresh(**properties: Any) -> Message:
    message = Message(b"", b"q")
    message.content, message.head = frame_content(encode_properties(Properties(**properties), 0), b"")
    return message


def test_the_first_death_is_recorded_once() -> None:
    """However the history is ordered since."""
    message = fresh(
        headers={"x-first-death-queue": Field("S", b"first"), "x-first-death-reason": Field("S", b"expired")}
    )
    message.extra = Extra()
    message.extra.deaths = [death("q", "rejected"), death("first")]
    headers = decode_properties(refused(message).header).headers or {}
    assert headers["x-first-death-queue"] == Field("S", b"first")
    assert headers["x-first-death-reason"] == Field("S", b"expired")
    assert headers["x-last-death-queue"] == Field("S", b"q")


def test_a_copy_with_another_key_has_no_cc_in_its_history() -> None:
    message = fresh(headers={"CC": Field("A", [Field("S", b"c")])})
    message.extra = Extra()
    message.extra.more = [b"c"]
    first = refused(message)
    assert first.extra.deaths[0].keys == (b"q", b"c")
    first.exchange = b"x"  # so that the second death is a different one
    first.extra.deaths = [death("other")]
    assert refused(first).extra.deaths[0].keys == (b"d",)


@pytest.mark.parametrize(
    ("why", "failed", "given"),
    [(NACKED, 0, 0), (REJECTED, 0, 1), (NACKED, 2, 2), (REJECTED, 2, 3)],
)
def test_failed_deliveries_are_carried_on(why: int, failed: int, given: int) -> None:
    extra = refused(fresh(), why, failed).extra
    assert (extra.failed, extra.acquired, bool(extra.redelivered)) == (given, given, given > 0)
    assert refused(fresh(), why, failed, "3.13").extra.failed == 0
