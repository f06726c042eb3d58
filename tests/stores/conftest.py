"""Fixtures of the tests that every store must pass: the model, the disk, and disks that misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stores.faults import FaultyFiles, PartialWrites
from tests.stores.harness import DiskHarness, MemoryHarness, ReplicatedHarness, StoreHarness

HARNESSES: dict[str, Callable[[Path], StoreHarness]] = {
    "memory": lambda path: MemoryHarness(),
    "disk": DiskHarness,
    "small segments": lambda path: DiskHarness(path, segment=600),
    "partial writes": lambda path: DiskHarness(path, PartialWrites(), segment=600),
    "faulty disk": lambda path: DiskHarness(path, FaultyFiles(), segment=600),
    "replicated": ReplicatedHarness,
    "replicated, small segments": lambda path: ReplicatedHarness(path, segment=600),
}


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreHarness]:
    """A broker on each kind of store."""
    made = HARNESSES[request.param](tmp_path)
    yield made
    made.kill()


@pytest.fixture(params=["crash", "restart"])
def reopen(request: pytest.FixtureRequest, harness: StoreHarness) -> Callable[[], None]:
    """Commit, end the broker by a crash or a stop, and start it again."""

    def end() -> None:
        harness.commit()
        getattr(harness, request.param)()

    return end
