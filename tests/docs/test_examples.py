"""Every ```python block of the pages about features runs against a broker.

Only the ports in addresses are changed: `localhost:5672` becomes the port of the test's broker. A block checks by
assertions what the page says. One that needs more than a fresh broker with default settings begins with ```python skip.
"""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from leveret.settings import names

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "tutorial.md",
    ROOT / "docs" / "testing.md",
    *sorted((ROOT / "docs" / "features").glob("*.md")),
]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"(?<=localhost:)\d+")


def _examples() -> list[object]:
    """Page, line of the block's first line, source."""
    found: list[object] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _BLOCK.finditer(text):
            if "\ndef test_" in match[1]:  # runs in tests/toolkit/test_examples.py
                continue
            line = text.count("\n", 0, match.start(1))
            found.append(pytest.param(page, line, match[1], id=f"{page.stem}:{line + 1}"))
    return found


@pytest.mark.parametrize(("page", "line", "source"), _examples())
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_example_runs(page: Path, line: int, source: str, ports: dict[int, int]) -> None:
    served = _PORT.sub(lambda match: str(ports.get(int(match[0]), match[0])), source)
    names = {"__name__": "__main__"}
    try:
        exec(compile("\n" * line + served, str(page), "exec"), names)
    finally:
        names.clear()
        gc.collect()  # examples leave connections open


def test_the_page_about_configuration_names_every_setting() -> None:
    page = (ROOT / "docs" / "features" / "configuration.md").read_text("utf-8")
    assert [name for name in names() if f"`{name.partition('.')[2]}" not in page] == []
