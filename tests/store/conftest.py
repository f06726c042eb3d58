"""The fixture of tests of the disk store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.harness import DiskHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[DiskHarness]:
    """A broker on a data directory of its own, closed at the end."""
    made = DiskHarness(tmp_path)
    yield made
    made.kill()
