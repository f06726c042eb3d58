"""The short form of `make crash`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.ordeal import Ordeal


@pytest.fixture
def ordeal(tmp_path: Path) -> Iterator[Ordeal]:
    made = Ordeal(tmp_path, seed=1)
    yield made
    made.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("number", "times"), [(signal.SIGKILL, 10), (signal.SIGTERM, 3)])
def test_every_message_is_accounted_for(ordeal: Ordeal, number: signal.Signals, times: int) -> None:
    ordeal.run([number] * times)
    assert ordeal.problems() == []
    assert sum(len(numbers) for numbers in ordeal.record.confirmed.values()) > 1000
