"""What RabbitMQ does to every list: sort it, keep some columns, cut it into pages (rabbit_mgmt_util).

`sort=f&sort_reverse=true`, `columns=name,message_stats.publish`,
`page=1&page_size=100&name=text&use_regex=true`. A dot in a sort field or column goes into nested objects.
Unknown fields and columns are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from leveret.engine.patterns import PatternError, compile_pattern
from leveret.management.call import Refusal, bad_request

#: Without page_size; and the most a page may have.
PAGE_SIZE = 100
MAX_PAGE_SIZE = 500

Item = dict[str, Any]


def listed(items: list[Item], query: Mapping[str, str], *, paged: bool = True) -> Any:
    """The list as the query asks for it. Raises `Refusal`."""
    if paged and "page" in query:
        return _page(items, query)
    return picked(_sorted(items, query), query)


def picked(value: Any, query: Mapping[str, str]) -> Any:
    """Only the columns asked for, of an object or of each in a list."""
    columns = query.get("columns")
    if not columns:
        return value
    return _pick(value, [column.split(".") for column in columns.split(",")])


def _pick(value: Any, columns: list[list[str]]) -> Any:
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


def _sorted(items: list[Item], query: Mapping[str, str]) -> list[Item]:
    field = query.get("sort")
    reverse = query.get("sort_reverse") == "true"
    if field:
        path = field.split(".")
        return sorted(items, key=lambda item: _rank(_inner(item, path)), reverse=reverse)
    return items[::-1] if reverse else items


def _inner(item: Any, path: list[str]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item


def _rank(value: Any) -> tuple[int, Any]:
    """Values of all types in one order, as Erlang has it: numbers before atoms before strings."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 1, value
    return 3, str(value)


def _page(items: list[Item], query: Mapping[str, str]) -> Item:
    number, size = _number(query, "page", 1), _number(query, "page_size", PAGE_SIZE)
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        raise Refusal(
            400,
            "invalid_pagination_parameters",
            f"Invalid pagination parameters: page number {number}, page size {size}",
        )
    found = _sorted(_named(items, query), query)
    count = -(-len(found) // size)
    if number > max(count, 1):
        raise Refusal(
            400,
            "page_out_of_range",
            f"Page out of range, page: {number} page size: {size}, len: {len(found)}",
        )
    shown = picked(found[(number - 1) * size : number * size], query)
    return {
        "filtered_count": len(found),
        "item_count": len(shown),
        "items": shown,
        "page": number,
        "page_count": count,
        "page_size": size,
        "total_count": len(items),
    }


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name) or default)
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None


def _named(items: list[Item], query: Mapping[str, str]) -> list[Item]:
    """Those whose name contains the text, or matches the regular expression; in either case of letters."""
    text = query.get("name")
    if not text:
        return items
    if query.get("use_regex") != "true":
        text = text.lower()
        return [item for item in items if text in str(item.get("name", "")).lower()]
    try:
        pattern = re.compile(compile_pattern(text).pattern, re.IGNORECASE)
    except (PatternError, re.error):
        return []
    return [item for item in items if pattern.search(str(item.get("name", "")).encode())]
