"""The p99 of the histogram of a ping-pong."""

from __future__ import annotations

import pytest

from benchmarks.listing import CLASS_MS, p99


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([100, 0, 0], 1),
        ([98, 0, 2], 3),
        ([99, 1, 0], 1),
        ([0, 50, 50], 3),
    ],
)
def test_99_of_100_took_less(counts: list[int], found: int) -> None:
    assert p99(counts) == pytest.approx(found * CLASS_MS)


def test_without_a_ping_there_is_no_p99() -> None:
    assert p99([0, 0]) == 0.0
