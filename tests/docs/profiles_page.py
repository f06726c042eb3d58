"""The table in docs/features/profiles.md, made from `leveret.profiles`.

`PYTHONPATH=broker python -m tests.docs.profiles_page` writes it again.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leveret.profiles import PROFILES, ApiProfile, Profile

PAGE = Path(__file__).parents[2] / "docs" / "features" / "profiles.md"
START, END = "<!-- the table: python -m tests.docs.profiles_page -->\n", "<!-- end of the table -->\n"
_FIELD = re.compile(r"    (\w+): ")


def table() -> str:
    """Return Markdown: for each section of `Profile` the meaning of its fields, and their values in each version."""
    lines: list[str] = []
    for section, name, meaning in _fields():
        if section:
            head = [section, *PROFILES]
            lines += ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        cells = [meaning, *(_shown(_value(one, name)) for one in PROFILES.values())]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines[1:]) + "\n"


def _fields() -> Iterator[tuple[str, str, str]]:
    """(section it begins, name, meaning) of every field, from the source; fields of `ApiProfile` as `api.name`."""
    section, meaning = "The version", ""
    for line in inspect.getsource(Profile).splitlines():
        if line.startswith("    # "):
            section = line[6:]
        elif line.startswith("    #: "):
            meaning = f"{meaning} {line[7:]}".strip()
        elif (found := _FIELD.match(line)) is not None:
            if found[1] == "api":
                yield from _api_fields(section)
                section = ""
            elif found[1] != "name":
                yield section, found[1], meaning or found[1]
                section = ""
            meaning = ""


def _api_fields(section: str) -> Iterator[tuple[str, str, str]]:
    meaning = ""
    for line in inspect.getsource(ApiProfile).splitlines():
        if line.startswith("    #: "):
            meaning = f"{meaning} {line[7:]}".strip()
        elif (found := _FIELD.match(line)) is not None:
            yield section, f"api.{found[1]}", meaning or found[1]
            section = meaning = ""


def _value(profile: Profile, name: str) -> Any:
    return operator.attrgetter(name)(profile)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(permitted)}" for name, permitted in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def page(text: str) -> str:
    """Return the page with its table made again."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
