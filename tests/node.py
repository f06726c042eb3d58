"""Node.js, with the packages that a folder of tests names in its package.json."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.hang import HANG_SECONDS


def node_with(package: str, folder: Path) -> str:
    """Return the node binary once a package is installed in a folder; skips the test without Node.js."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be installing it
        if not (folder / "node_modules" / package).is_dir():
            install = (npm, "install", "--no-package-lock", "--no-audit", "--no-fund")
            done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=HANG_SECONDS)
            assert done.returncode == 0, done.stdout + done.stderr
    return node
