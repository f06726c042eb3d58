"""What `make conformance` prints, and which programs it installs."""

from __future__ import annotations

import os
import shutil

import pytest

from conformance.packages import PackageError, need
from conformance.verdict import HEAD, Verdict


def test_the_counts_of_a_row_add_up() -> None:
    row = Verdict("scenarios, profile 4.0", "4.0.5", 1272, 4, 1).row
    assert row == "| scenarios, profile 4.0 | 4.0.5 | 1272 | 1267 | 4 | 1 |\n"
    assert row.count("|") == HEAD.splitlines()[0].count("|")


def test_an_installed_program_is_not_installed_again() -> None:
    assert need("sh") == shutil.which("sh")


def test_a_program_that_cannot_be_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PackageError, match=r"no-such-program is missing \(apt-get install its-package\)"):
        need("no-such-program", "its-package")
