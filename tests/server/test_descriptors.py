"""The limit of open files at start, and reading memory when no descriptor is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from leveret.server import descriptors
from leveret.server.alarms import resident

RAISE = """
import logging, resource
logging.basicConfig(level="INFO", format="%(message)s")
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from leveret.server.descriptors import raise_limit
raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "said"),
    [(64, 96, "Open files: limit raised from 64 to 96"), (80, 80, "Open files: limit 80")],
)
def test_the_soft_limit_is_raised_to_the_hard_limit(soft: int, hard: int, said: str) -> None:
    code = RAISE.format(soft=soft, hard=hard)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ran.stdout.strip(), ran.stderr.strip()) == (str(hard), said)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")
def test_memory_can_be_read_without_free_descriptors() -> None:
    assert resident() > 0
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        with pytest.raises(OSError):
            os.open(os.devnull, os.O_RDONLY)
        assert resident() > 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(("limit", "files"), [(100, 12), (1, 1), (1 << 20, 128), (None, 128)])
def test_files_of_streams_leave_descriptors_for_clients(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, files: int
) -> None:
    monkeypatch.setattr(descriptors, "soft_limit", lambda: limit)
    assert descriptors.stream_files(128) == files
