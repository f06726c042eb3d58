"""A short soak: nothing grows that must not, and a leak is detected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.measure import WINDOWS, Sample, Trend, table, trends
from tests.soak.soak_run import SoakRun

#: Rounds: enough for a warm-up and all windows.
ROUNDS = 24


def soaked(place: Path, module: str) -> tuple[list[Trend], list[str]]:
    run = SoakRun(place, module)
    try:
        found = trends(run.run(lambda count: count < ROUNDS))
    finally:
        status = run.close()
    assert status == 0
    return found, run.faults()


def test_a_broker_does_not_grow(tmp_path: Path) -> None:
    (memory, descriptors), faults = soaked(tmp_path, "leveret")
    # After so few rounds the allocator still grows: only the long form can measure one percent.
    # A sample may find one client's socket not closed yet: one descriptor of forty is no growth.
    assert memory.growth < 0.05 and descriptors.growth < 0.05, table([memory, descriptors])
    assert faults == []


def test_a_leak_is_detected(tmp_path: Path) -> None:
    (memory, descriptors), _ = soaked(tmp_path, "tests.soak.leaky")
    assert memory.growth > 0.05 and descriptors.growth > 0.05, table([memory, descriptors])


def test_growth_is_measured_by_medians_after_the_warm_up() -> None:
    warming = [Sample(size, 5) for size in range(1, 28)]
    steady = [Sample(1000 if number % 3 else 5000, 10) for number in range(18)]
    memory, descriptors = trends(warming + steady)
    assert (len(memory.windows), memory.growth, descriptors.growth) == (WINDOWS, 0, 0)
    growing = [Sample(1000 + 10 * number, 10) for number in range(18)]
    memory, _ = trends(warming + growing)
    assert memory.growth == pytest.approx(0.12, abs=0.01)
    assert "+11." in table([memory]) or "+12." in table([memory])
