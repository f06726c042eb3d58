"""Links and file names in the documentation lead to files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FEATURES = ROOT / "docs" / "features"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "conformance/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

#: The column of retired words names files that are gone.
GLOSSARY = ROOT / "docs" / "glossary.md"

FOLDERS = ("broker", "tests", "conformance", "benchmarks", "docs", "examples", "container", ".ci")
FILES = {
    str(path.relative_to(ROOT))
    for path in (*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*")))
}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_existing_files(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != GLOSSARY], ids=lambda page: page.stem)
def test_named_source_files_exist(page: Path) -> None:
    """A name may leave out the folders that are clear from the text."""
    found = re.findall(r"`([\w./-]+\.(?:py|pxd))`", page.read_text("utf-8"))
    assert [name for name in found if not any(f"/{path}".endswith(f"/{name}") for path in FILES)] == []


def test_the_index_names_every_page() -> None:
    index = FEATURES / "README.md"
    pages = {page.name for page in FEATURES.glob("*.md")} - {index.name}
    assert pages - set(links(index)) == set()
