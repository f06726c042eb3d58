"""Sort, filter and cut lists into pages, and keep some of their columns (rabbit_mgmt_util).

`sort=f&sort_reverse=true`, `columns=name,message_stats.publish`, `page=1&page_size=100&name=text&use_regex=true`. A dot
in a sort field or column goes into nested objects. Unknown fields and columns are ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from leveret.engine.patterns import Budget, PatternError, compile_pattern
from leveret.management.call import Refusal, bad_request
from leveret.management.json import Json

#: Objects on a page unless page_size is given, and at most.
PAGE_SIZE = 100
MAX_PAGE_SIZE = 500

T = TypeVar("T")

Query = Mapping[str, str]


def listed(rows: Sequence[Json], query: Query, *, paged: bool = True) -> object:
    """Show a list as the query asks for it. Not `paged`: RabbitMQ never cuts this list into pages.

    Raises `Refusal`.
    """
    if not paged:
        query = {name: text for name, text in query.items() if name != "page"}
    return listed_by(rows, query, _itself)


def listed_by(
    items: Sequence[T], query: Query, view: Callable[[T], Json], brief: Callable[[T], Json] | None = None
) -> object:
    """Show a list of objects as the query asks for it. Raises `Refusal`.

    `view`: shows an object. `brief`: shows its name and other cheap fields. A page that is sorted by one of those, or
    not sorted, is cut before its objects are shown in full, because a list can have 100,000 queues.
    """
    if brief is not None and "page" in query:
        quick = [(item, brief(item)) for item in items]
        if _sorted_by_brief(quick, query):
            return _page(quick, query, view)
    rows = [view(item) for item in items]
    pairs = [(row, row) for row in rows]
    if "page" in query:
        return _page(pairs, query, _itself)
    return picked([row for row, _ in _sorted(pairs, query)], query)


def picked(value: object, query: Query) -> object:
    """Keep only the columns that are asked for, of an object or of each object in a list."""
    columns = query.get("columns")
    if not columns:
        return value
    return _pick(value, [column.split(".") for column in columns.split(",")])


def _pick(value: object, columns: list[list[str]]) -> object:
    if isinstance(value, list):
        return [_pick(item, columns) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        rests = [column[1:] for column in columns if column[0] == name]
        if rests:
            kept[name] = inner if [] in rests else _pick(inner, rests)
    return kept


def _itself(row: Json) -> Json:
    return row


def _sorted_by_brief(rows: Sequence[tuple[T, Json]], query: Query) -> bool:
    field = query.get("sort")
    return not field or any(field.partition(".")[0] in row for _, row in rows)


def _sorted(rows: list[tuple[T, Json]], query: Query) -> list[tuple[T, Json]]:
    field = query.get("sort")
    reverse = query.get("sort_reverse") == "true"
    if field:
        path = field.split(".")
        return sorted(rows, key=lambda row: _rank(_inner(row[1], path)), reverse=reverse)
    return rows[::-1] if reverse else rows


def _inner(value: object, path: list[str]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _rank(value: object) -> tuple[int, float, str]:
    """Order values of all types as Erlang does: numbers, then atoms, then strings; what is missing comes first."""
    if value is None:
        return 0, 0, ""
    if isinstance(value, bool):
        return 2, value, ""
    if isinstance(value, int | float):
        return 1, value, ""
    return 3, 0, str(value)


def _page(rows: list[tuple[T, Json]], query: Query, view: Callable[[T], Json]) -> Json:
    number, size = _number(query, "page", 1), _number(query, "page_size", PAGE_SIZE)
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        raise Refusal(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {number}, page size {size}",
        )
    found = _sorted(_named(rows, query), query)
    count = -(-len(found) // size)
    if number > max(count, 1):
        raise Refusal(
            400,
            "page_out_of_range",
            f"Page out of range, page: {number} page size: {size}, len: {len(found)}",
        )
    shown = [view(item) for item, _ in found[(number - 1) * size : number * size]]
    return {
        "filtered_count": len(found),
        "item_count": len(shown),
        "items": picked(shown, query),
        "page": number,
        "page_count": count,
        "page_size": size,
        "total_count": len(rows),
    }


def _number(query: Query, name: str, default: int) -> int:
    try:
        return int(query.get(name) or default)
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None


def _named(rows: list[tuple[T, Json]], query: Query) -> list[tuple[T, Json]]:
    """Keep those whose name contains the text, or matches the regular expression, whatever the case of letters."""
    text = query.get("name")
    if not text:
        return rows
    if query.get("use_regex") != "true":
        text = text.lower()
        return [row for row in rows if text in str(row[1].get("name", "")).lower()]
    try:
        pattern = compile_pattern(text, caseless=True)
    except PatternError:
        return []
    budget = Budget()
    return [row for row in rows if pattern.search(_name(row[1]), budget)]


def _name(item: Json) -> bytes:
    return str(item.get("name", "")).encode("utf-8", "surrogateescape")
