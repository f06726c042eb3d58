"""Sort, filter and cut lists into pages, and keep some of their columns (rabbit_mgmt_util).

`sort=f&sort_reverse=true`, `columns=name,message_stats.publish`, `page=1&page_size=100&name=text&use_regex=true`. A dot
in a sort field or column goes into nested objects. Unknown fields and columns are ignored.

Short lists are made at once (`listed`). Lists that can be long are walked in slices, and their objects encoded one by
one (`listed_in_slices`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar, cast

import msgspec

from leveret.engine.patterns import Budget, PatternError, compile_pattern
from leveret.management.call import Pieces, Refusal, bad_request
from leveret.management.json import Json
from leveret.management.slices import Slices
from leveret.wire.erlang import integer
from leveret.work import portions

#: Objects on a page unless page_size is given, and at most.
PAGE_SIZE = 100
MAX_PAGE_SIZE = 500

#: Octets of a regular expression for names.
MAX_REGEX_BYTES = 1024

#: Fields by which lists are sorted; also the order of those that are equal in what `sort` names.
BY_NAME = ("vhost", "name")

#: Fields that are shown as a whole, whatever follows the dot in a column: rabbit_mgmt_util does not descend into maps.
WHOLE = frozenset({"arguments", "client_properties", "object_totals"})

#: Octets of a piece of a long list.
PIECE_BYTES = 1 << 16

T = TypeVar("T")

Query = Mapping[str, str]

#: What is done in slices: yields after each portion.
Steps = Generator[None, None, None]

#: The place of an object in a list: three values for each field, flat.
Key = tuple[int | float | bytes, ...]


# --- columns


class Columns:
    """The columns that a query asks for; without any, all."""

    def __init__(self, query: Query) -> None:
        text = query.get("columns")
        self._paths = None if text is None else [_steps(path) for path in text.split(",") if _steps(path)]

    def pick(self, value: object) -> object:
        """Keep these columns of an object, or of each object in a list. An object without any is an empty list, as an
        Erlang list without pairs is."""
        return value if self._paths is None else _pick(value, self._paths)


def _steps(path: str) -> list[str]:
    """The names in a path, without empty ones (string:tokens/2)."""
    return [step for step in path.split(".") if step]


def _pick(value: object, columns: list[list[str]]) -> object:
    if isinstance(value, list):
        return [_pick(item, columns) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, inner in value.items():
        rests = [column[1:] for column in columns if column[0] == name]
        if rests:
            whole = [] in rests or name in WHOLE or inner == {}
            kept[name] = inner if whole else _pick(inner, rests)
    return kept or []


def picked(value: object, query: Query) -> object:
    """Keep only the columns that are asked for, of an object or of each object in a list."""
    return Columns(query).pick(value)


# --- order


@dataclass(frozen=True)
class Order:
    """How a list is sorted: by paths of fields. `reverse`: of the whole list, equal objects included."""

    paths: Sequence[Sequence[str]]
    reverse: bool

    @classmethod
    def of(cls, query: Query, sorts: Sequence[str]) -> Order:
        """What the query asks for; `sorts`: the fields of the list without `sort`."""
        field = query.get("sort")
        fields = (field, *sorts) if field else tuple(sorts)
        return cls([_steps(name) for name in fields if _steps(name)], query.get("sort_reverse") == "true")

    def key(self, row: object) -> Key:
        """The place of an object."""
        found: list[int | float | bytes] = []
        for path in self.paths:
            found += _rank(_inner(row, path))
        return tuple(found)

    def within(self, row: Json) -> bool:
        """Whether the object has all fields that this order needs."""
        return all(path[0] in row for path in self.paths)


def _inner(value: object, path: Sequence[str]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _rank(value: object) -> tuple[int, float, bytes]:
    """Order values of all types as Erlang does: numbers, then atoms, then strings; what is missing comes first."""
    if value is None:
        return 0, 0, b""
    if isinstance(value, bool):
        return 2, value, b""
    if isinstance(value, int | float):
        return 1, value, b""
    if isinstance(value, str):
        return 4, 0, value.encode("utf-8", "surrogateescape")
    if isinstance(value, dict):  # by size, then by names, then by values
        ordered = dict(sorted(value.items()))
        return 3, len(value), msgspec.json.encode([list(ordered), list(ordered.values())])
    return 3, len(value) if isinstance(value, list) else 0, b""


# --- pages


@dataclass(frozen=True)
class Page:
    """One page of a list. `name`: what names contain, or with `regex` match."""

    number: int
    size: int
    name: str
    regex: bool

    @classmethod
    def of(cls, query: Query, most: int | None = MAX_PAGE_SIZE) -> Page | None:
        """The page that is asked for; None for the whole list. `most`: objects on it, None for any number. Raises
        `Refusal`."""
        if "page" not in query:
            return None
        number, size = _number(query, "page", 1), _number(query, "page_size", PAGE_SIZE)
        if number < 1 or size < 1 or (most is not None and size > most):
            shown = size if "page_size" in query else "undefined"
            raise Refusal(
                400,
                "invalid_pagination_parameters",
                f"Invalid pagination parameters: page number {number}, page size {shown}",
            )
        name, regex = query.get("name", ""), query.get("use_regex") == "true"
        if regex and len(name.encode("utf-8", "surrogateescape")) > MAX_REGEX_BYTES:
            raise Refusal(400, "invalid_pagination_parameters", "name filter regex is too long")
        return cls(number, size, name, regex)

    def test(self) -> Callable[[object], bool] | None:
        """Whether a name belongs to the list; None if all do.

        Text is found in any case of letters. A regular expression that is invalid, or takes too long, matches nothing.
        """
        if not self.name:
            return None
        if not self.regex:
            text = self.name.lower()
            return lambda name: text in str(name).lower()
        try:
            pattern = compile_pattern(self.name, caseless=True)
        except PatternError:
            return lambda name: False
        budget = Budget()
        return lambda name: bool(pattern.search(str(name).encode("utf-8", "surrogateescape"), budget))

    def cut(self, found: Sequence[T], filtered: int) -> Sequence[T]:
        """The objects on the page. `filtered`: how many there are, at least those that are found. Raises `Refusal` if
        there is no such page."""
        start = (self.number - 1) * self.size
        if start > filtered:  # lists:sublist/3 takes the place behind the last one
            raise Refusal(
                400,
                "page_out_of_range",
                f"Page out of range, page: {self.number} page size: {self.size}, len: {filtered}",
            )
        return found[start : start + self.size]

    def shown(self, items: Sequence[object], filtered: int, total: int) -> Json:
        """Show the page. `filtered`: how many objects have such a name; `total`: how many there are."""
        return {
            "filtered_count": filtered,
            "item_count": len(items),
            "items": items,
            "page": self.number,
            "page_count": -(-filtered // self.size),
            "page_size": self.size,
            "total_count": total,
        }


def _number(query: Query, name: str, default: int) -> int:
    try:
        return integer(query[name]) if name in query else default
    except ValueError:
        raise bad_request("Pagination parameters are invalid") from None


# --- lists


def listed(
    rows: Iterable[Json], query: Query, *, paged: bool = True, sorts: Sequence[str] = BY_NAME
) -> object:
    """Show a short list as the query asks for it. Not `paged`: RabbitMQ never cuts this list into pages.

    Raises `Refusal`.
    """
    page, order, columns = Page.of(query), Order.of(query, sorts), Columns(query)
    if page is None or not paged:
        shown = sorted((columns.pick(row) for row in rows), key=order.key)
        return shown[::-1] if order.reverse else shown
    found = sorted(rows, key=order.key)
    if order.reverse:
        found.reverse()
    test = page.test()
    named = found if test is None else [row for row in found if test(row.get("name", ""))]
    return page.shown([columns.pick(row) for row in page.cut(named, len(named))], len(named), len(found))


class Others(NamedTuple):
    """Objects of a list that are on other nodes of a cluster, as these show them: all of them, or those that can be on
    the page. `filtered`: how many there are with such a name; `total`: how many there are."""

    rows: list[Json]
    filtered: int
    total: int


NO_OTHERS = Others([], 0, 0)


async def listed_in_slices(
    slices: Slices,
    items: Sequence[T],
    query: Query,
    view: Callable[[T], Json],
    brief: Callable[[T], Json] | None = None,
    *,
    paged: bool = True,
    sorts: Sequence[str] = BY_NAME,
    columns_first: bool = True,
    others: Others = NO_OTHERS,
    most: int | None = MAX_PAGE_SIZE,
    prepare: Callable[[T], Steps | None] | None = None,
) -> object:
    """Show a list that can be long as the query asks for it. `items`: a snapshot; `others`: what follows them. Raises
    `Refusal`.

    `view`: shows an object. `brief`: shows its name and other cheap fields. A page that is sorted by those is cut
    before its objects are shown in full, because a list can have 100,000 queues. `columns_first`: what is not among the
    columns does not count for the order; that is so where RabbitMQ does not make statistics for one page only.
    `most`: objects on a page, None for any number. `prepare`: what is to be done in slices before `view` shows an
    object, None if nothing is."""
    page, order, columns = Page.of(query, most), Order.of(query, sorts), Columns(query)
    if page is None or not paged:
        rows = _rows(slices, items, view, others.rows, prepare)
        return await _whole(slices, rows, order, columns, columns_first=columns_first)
    cheap = brief if brief is not None and items and order.within(brief(items[0])) else None
    test = page.test()
    places: list[Key] = []
    number = 0
    try:
        async for row in _rows(slices, items, cheap or view, others.rows, None if cheap else prepare):
            if test is None or test(row.get("name", "")):
                places.append((*order.key(row), number))
            number += 1
        places = await slices.ordered(places, reverse=order.reverse)
        filtered = len(places) - len(others.rows) + others.filtered
        chosen = page.cut(places, filtered)
    finally:
        await slices.free(places)
    cut: list[object] = []
    async for place in slices.walk(chosen):
        at = int(place[-1])
        if at < len(items) and prepare is not None and (steps := prepare(items[at])) is not None:
            await slices.run(steps)
        cut.append(columns.pick(view(items[at]) if at < len(items) else others.rows[at - len(items)]))
    return page.shown(cut, filtered, len(items) + others.total)


async def _rows(
    slices: Slices,
    items: Iterable[T],
    shows: Callable[[T], Json],
    others: Iterable[Json],
    prepare: Callable[[T], Steps | None] | None,
) -> AsyncIterator[Json]:
    """The objects, and those of other nodes after them."""
    async for item in slices.walk(items):
        if prepare is not None and (steps := prepare(item)) is not None:
            await slices.run(steps)
        yield shows(item)
    async for row in slices.walk(others):
        yield row


async def _whole(
    slices: Slices, found: AsyncIterator[Json], order: Order, columns: Columns, *, columns_first: bool
) -> Pieces:
    """All objects, encoded one by one; those that are equal for the order are sorted by all they show."""
    encode = msgspec.json.encode
    rows: list[Key] = []
    try:
        async for row in found:
            shown = columns.pick(row)
            rows.append((*order.key(shown if columns_first else row), encode(shown)))
        rows = await slices.ordered(rows, reverse=order.reverse)
        return await _joined(slices, rows)
    finally:
        await slices.free(rows)


async def rows_in_slices(slices: Slices, rows: Iterable[object]) -> Pieces:
    """A JSON array of objects that are made one by one."""
    encode = msgspec.json.encode
    return await _joined(slices, [(encode(row),) async for row in slices.walk(rows)])


async def _joined(slices: Slices, rows: list[Key]) -> Pieces:
    """A JSON array of encoded objects, the last values of `rows`, in pieces. Takes them out of the list: freeing a
    hundred thousand at its end would take too long."""
    pieces: list[bytes] = []
    part: list[bytes] = []
    size, before = 0, b"["
    async for row in slices.walk(row for some in portions(rows) for row in some):
        encoded = cast(bytes, row[-1])
        part.append(encoded)
        size += len(encoded)
        if size >= PIECE_BYTES:
            pieces.append(before + b",".join(part))
            part, size, before = [], 0, b","
    if part:
        pieces.append(before + b",".join(part))
        before = b""
    pieces.append(b"[]" if before == b"[" else b"]")
    return Pieces(pieces, whole=True)
