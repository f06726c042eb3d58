"""The tour of the code lists files that exist, in an order in which each uses only earlier ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "broker" / "leveret"
TOUR = (ROOT / "docs" / "architecture.md").read_text()


def section(title: str) -> str:
    return re.split(rf"(?m)^## {title}.*$", TOUR, maxsplit=1)[1].partition("\n## ")[0]


def listed() -> list[Path]:
    """The files and folders of the reading order. A folder's name stands before its files."""
    found: list[Path] = []
    base = folder = SOURCE
    for line in section("Reading order").splitlines():
        if re.match(r"\d+\. ", line):
            base = folder = SOURCE
        elif line.startswith("   - "):
            folder = base
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", line):
            places = [place / name for place in (folder, base, SOURCE) if (place / name).exists()]
            assert places, f"{name} does not exist: {line.strip()}"
            if name.endswith("/"):
                folder = places[0]
                base = folder if base == SOURCE else base
            found.append(places[0])
    return found


def imports(path: Path) -> set[Path]:
    """The modules that a file imports, for types as well, without packages."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            module = node.module.removeprefix("cython.cimports.")
            names |= {module, *(f"{module}.{each.name}" for each in node.names)}
    paths = {
        SOURCE.parent / (name.replace(".", "/") + ".py") for name in names if name.startswith("leveret.")
    }
    return {each for each in paths if each.is_file()}


def test_each_file_uses_only_earlier_ones() -> None:
    order = listed()
    known = set(order)
    seen: set[Path] = set()
    for path in order:
        if path.is_file():
            later = (imports(path) & known) - seen - {path}
            assert not later, f"{path} uses files that are listed after it: {later}"
        seen.add(path)


def test_the_ways_pass_existing_files() -> None:
    ways = TOUR.partition("## The way of")[2].partition("## Errors")[0]
    for name in re.findall(r"`(\w+(?:/\w+)+\.py|\w+(?:/\w+)*/)`", ways):
        assert (SOURCE / name).exists(), name
