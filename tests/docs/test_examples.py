"""Every ```python block of the documentation runs, as it stands, against a served broker.

Only the ports change, and only in addresses: `localhost:5672` is where the test's broker is. A block tells by its
assertions whether it did what the page says. One that shows something else than a client of a fresh broker with
default settings is opened by ```python skip.
"""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

from leveret.settings import names

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "features").glob("*.md"))]

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"(?<=localhost:)\d+")


def _examples() -> list[object]:
    """Page, line of the block's first line, source."""
    found: list[object] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in _BLOCK.finditer(text):
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
        gc.collect()  # examples do not tidy up after themselves; nobody else is to hear of it


def test_the_page_about_configuration_names_every_setting() -> None:
    page = (ROOT / "docs" / "features" / "configuration.md").read_text("utf-8")
    assert [name for name in names() if f"`{name.partition('.')[2]}" not in page] == []


def _links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    assert [link for link in _links(page) if not (page.parent / link).exists()] == []


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "features" / "README.md"
    pages = {page.name for page in index.parent.glob("*.md")} - {index.name}
    assert pages - set(_links(index)) == set()
