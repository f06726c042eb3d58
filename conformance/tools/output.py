"""What a program has printed, as values: JSON and tables are read, everything else is text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from conformance.api.call import Answer

#: The address of the broker.
_ENDPOINT = re.compile(r"http://127\.0\.0\.1:\d+")

#: The line below the head of a table in Markdown.
_RULE = re.compile(r"\|[-|]+\|")

#: Columns of rabbitmqadmin 2 whose values are never the same, beside those of `conformance/api/masks.py`.
_VOLATILE = re.compile(
    r"memory|rate|uptime|pid|[Ee]rlang|connected|port|endpoint|utilisation|percent|bytes|Total|allocated"
    r"|Client connections closed|Number of attempts|Successful"
)


def answer(status: int, printed: str, complaints: str) -> Answer:
    """The exit status and output of a program, in the form in which answers are compared."""
    return Answer(status, "", {}, {"output": value(printed), "errors": complaints.splitlines()})


def value(text: str) -> object:
    """What a text says: JSON, the rows of a table, or its lines."""
    try:
        return json.loads(text)
    except ValueError:
        return list(_table(text)) or [_ENDPOINT.sub("{endpoint}", line) for line in text.splitlines()]


def _table(text: str) -> Iterator[Mapping[str, str]]:
    """The rows of a table in Markdown: column -> cell. A table with a title has its columns in the next row."""
    head: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|") or _RULE.fullmatch(line):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(head) < 2:
            head = cells
        else:
            yield _row(dict(zip(head, cells, strict=False)))


def _row(row: Mapping[str, str]) -> Mapping[str, str]:
    """A row without values that are never the same. The first column names the others, if there are two."""
    if list(row) == ["key", "value"]:
        return {row["key"]: "(some)" if _VOLATILE.search(row["key"]) and row["value"] else row["value"]}
    return {name: "(some)" if _VOLATILE.search(name) and cell else cell for name, cell in row.items()}
