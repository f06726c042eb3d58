"""The x-death header of RabbitMQ 3.12 and older (rabbit_dead_letter:update_x_death_header)."""

from __future__ import annotations

import pytest

from leveret.queues.deadletter.history import history, record
from leveret.queues.message import Death
from leveret.wire.tables import Field, Table, from_plain, plain

DEATH = Death("q", "expired", 1, 7, b"x", (b"k",), None)
FIRST = ["count", "reason", "queue", "time", "exchange", "routing-keys"]


def entries(headers: Table | None) -> list[Table]:
    assert headers is not None
    return [one.value for one in headers["x-death"].value]


def test_the_first_death_is_recorded() -> None:
    headers = record(from_plain({"z": 1, "x-first-death-queue": "mine"}), DEATH)
    assert headers is not None
    assert list(headers) == sorted(headers) and "z" in headers
    assert plain(headers)["x-first-death-queue"] == "q"
    assert list(entries(headers)[0]) == FIRST
    assert history(headers) == [DEATH]


def test_a_repeated_death_is_counted_and_comes_first() -> None:
    headers = record(from_plain({}), DEATH)
    assert headers is not None
    headers = record(headers, Death("r", "rejected", 1, 8, b"", (b"q",), b"5"))
    assert [list(one) for one in entries(headers)] == [sorted([*FIRST, "original-expiration"]), FIRST]
    headers = record(headers or {}, DEATH)
    assert [(one["queue"].value, one["count"].value) for one in entries(headers)] == [(b"q", 2), (b"r", 1)]


def test_the_order_of_the_other_deaths_is_reversed() -> None:
    given = [{"queue": name, "reason": "expired", "count": 1} for name in ("a", "b", "c")]
    headers = record(from_plain({"x-death": given}), DEATH)
    assert [one["queue"].value for one in entries(headers)] == [b"q", b"c", b"b", b"a"]


def test_entries_of_the_same_queue_and_reason_are_merged() -> None:
    given = [{"queue": "q", "reason": "expired", "n": 1}, {"queue": "q", "reason": "expired", "n": 2}]
    headers = record(from_plain({"x-death": given}), DEATH)
    assert [plain(one) for one in entries(headers)] == [
        {"count": 3, "n": 1, "queue": "q", "reason": "expired"}
    ]


def test_a_header_that_is_not_an_array_is_replaced() -> None:
    headers = record(from_plain({"x-death": "rejected"}), DEATH)
    assert list(entries(headers)[0]) == FIRST
    assert headers is not None and "x-first-death-queue" not in headers


@pytest.mark.parametrize(
    "count", [Field("S", b"7"), Field("D", (1, 15)), Field("d", 1.5), Field("t", True), Field("V", None)]
)
def test_a_count_that_is_not_a_number_is_an_error(count: Field) -> None:
    """RabbitMQ 3.10 drops the message, too."""
    mine = {"queue": Field("S", b"q"), "reason": Field("S", b"expired"), "count": count}
    assert record({"x-death": Field("A", [Field("F", mine)])}, DEATH) is None


def test_values_of_another_type_are_ignored() -> None:
    odd = {
        "queue": Field("I", 1),
        "reason": Field("S", b"\xff"),
        "count": Field("S", b"1"),
        "time": Field("d", 1.0),
        "exchange": Field("F", {}),
        "routing-keys": Field("A", [Field("I", 1), Field("S", b"k")]),
        "original-expiration": Field("l", 5),
    }
    found = history({"x-death": Field("A", [Field("F", odd), Field("I", 1)])})
    assert found == [Death("", "\udcff", 0, 0, b"", (b"k",), None)]
    large = {"count": Field("T", (1 << 64) - 1), "routing-keys": Field("S", b"k")}
    assert history({"x-death": Field("A", [Field("F", large)])}) == [Death("", "", -1, 0, b"", (), None)]


def test_an_array_of_other_values_than_tables_is_an_error() -> None:
    assert record({"x-death": Field("A", [Field("S", b"rejected")])}, DEATH) is None
    assert history({"x-death": Field("S", b"rejected")}) == []
