"""The limit of open files at start, and reading memory when no descriptor is left."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from leveret.server import descriptors as module
from leveret.server.alarms import resident
from leveret.server.descriptors import OPEN_FILES, descriptors

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
    monkeypatch.setattr(module, "soft_limit", lambda: limit)
    assert module.stream_files(128) == files


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="Linux only")
def test_open_descriptors_are_counted_by_the_system_where_it_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = descriptors().value
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    try:
        assert descriptors().value == before + 50
    finally:
        for file in held:
            os.close(file)
    monkeypatch.setattr(module, "OPEN_FILES", tmp_path / "missing")
    assert descriptors().value == 0
    if OPEN_FILES.stat().st_size:
        monkeypatch.setattr(module, "OPEN_FILES", OPEN_FILES)
        monkeypatch.setattr(os, "listdir", None)  # it takes long
        assert descriptors().value == before
