"""The table of routes in docs/features/http-api.md is that of the server."""

from __future__ import annotations

import re
from pathlib import Path

from leveret.management.resources import ROUTES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features" / "http-api.md"

#: A path is written out in the table, or it is one of these with something added to it there.
BEGINNINGS = ("health/checks/", "bindings/{}/e/", "nodes/{}/memory/ets", "queues/quorum/")


def documented() -> dict[str, str]:
    """Path with `{}` for names -> the methods in its row."""
    found: dict[str, str] = {}
    for cells in re.findall(r"^\| (`.*) \| (.*) \|$", PAGE.read_text(), re.MULTILINE):
        paths = re.findall(r"`([a-z][^`]*)`", cells[0])
        added = re.findall(r"`(/[^`]*)`", cells[0])
        for path in [*paths, *(path + more for path in paths for more in added)]:
            found[re.sub(r"\b[A-Z][A-Z_]*\b", "{}", path)] = cells[1]
    return found


def served() -> dict[str, set[str]]:
    """Path with `{}` for names -> methods."""
    return {re.sub(r"\{\w+\}", "{}", path): set(methods) for path, methods in ROUTES.items()}


def test_every_route_is_in_the_table_with_its_methods() -> None:
    rows = documented()
    for path, methods in served().items():
        if not path.startswith(BEGINNINGS):
            assert path in rows, path
            assert set(re.findall(r"\b(?:GET|PUT|POST|DELETE)\b", rows[path])) >= methods, path


def test_every_path_of_the_table_is_served() -> None:
    routes = served()
    table = [
        path for path, methods in documented().items() if methods.startswith(("GET", "PUT", "POST", "DELETE"))
    ]
    missing = [path for path in table if path not in routes and not path.startswith(BEGINNINGS)]
    assert missing == []
