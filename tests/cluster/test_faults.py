"""A short run of faults; `make cluster-faults` is the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster import fault_run

#: Which faults, and how often each.
FAULTS = os.environ.get("LEVERET_FAULTS", "kill,term,cut,leader").split(",")
ROUNDS = int(os.environ.get("LEVERET_FAULT_ROUNDS", "1"))


# A connection that fails half-way leaves its socket to the collector.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_message_is_accounted_for(
    nats_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        results = fault_run.run(tmp_path, FAULTS, ROUNDS)
    for result in results:
        assert result.confirmed > 0
        assert not result.lost, result.lost[:20]
        assert not result.unmarked, result.unmarked[:20]
