"""Modules that are imported beside the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from leveret.management import lazy
from tests.hang import settled

NAME = "imported_slowly"


async def test_who_asks_while_a_module_is_imported_gets_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{NAME}.py").write_text("import sys\nsys.go_on.wait()\nanswer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "go_on", threading.Event(), raising=False)
    before = sys.getswitchinterval()
    first = asyncio.ensure_future(lazy.imported(NAME))
    await settled(lambda: NAME in sys.modules)
    second = asyncio.ensure_future(lazy.imported(NAME))
    await asyncio.sleep(0)
    sys.go_on.set()  # type: ignore[attr-defined]
    try:
        assert [module.answer for module in await asyncio.gather(first, second)] == [42, 42]
        assert sys.getswitchinterval() == before
    finally:
        del sys.modules[NAME]
