"""Lists and totals of all virtual hosts: each other node of the cluster is asked for its part (`Call.hop`).

A part is asked for as little as the answer needs: of a page all up to its end, in its order, and of the columns only
those that are shown or sorted by. What a node of the cluster does not answer fails the whole: a list that lacks a part
would look complete. Virtual hosts that are on no node at the moment have no part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar, cast
from urllib.parse import urlencode

from multidict import CIMultiDict

from leveret.management.call import Call, Refusal
from leveret.management.json import Json
from leveret.management.json_pieces import decoded
from leveret.management.node_client import ask, end_to_end
from leveret.management.owners import NodeDownError, NodeLostError, Owners
from leveret.management.pagination import (
    BY_NAME,
    MAX_PAGE_SIZE,
    NO_OTHERS,
    Others,
    Page,
    Steps,
    listed_in_slices,
)
from leveret.management.passing import lost, unavailable

#: Seconds without any octet after which a node is given up.
IDLE_TIMEOUT_S = 60.0

#: What a query says about the place and form of objects in a list.
_FORM = ("page", "page_size", "sort", "sort_reverse", "columns", "name", "use_regex")

#: Variables in the path of a list that is about all virtual hosts.
_OF_ALL = frozenset({"user", "component"})

T = TypeVar("T")

Query = dict[str, str]


def merges(call: Call) -> bool:
    """Return whether a call is about all virtual hosts, and other nodes have some."""
    everywhere = call.path.keys() <= _OF_ALL and not call.headers.get("X-VHost")
    return call.site.owners is not None and not call.hop and everywhere


async def documents_elsewhere(call: Call, query: Query) -> list[object]:
    """Return what each other node answers to the same GET with another query; nothing where that is not to be merged.

    Raises `Refusal`.
    """
    if not merges(call):
        return []
    owners = cast(Owners, call.site.owners)
    parts = await asyncio.gather(*(_part(call, owners, node, query) for node in owners.names()))
    for part in parts:
        if isinstance(part, Refusal):
            raise part
    return list(parts)


async def _part(call: Call, owners: Owners, node: str, query: Query) -> object:
    """Ask a node for its part; returns a `Refusal` if it has none."""
    target = f"{call.target}?{urlencode(query)}" if query else call.target
    names = ("Authorization", "Host")
    headers = CIMultiDict((name, call.headers[name]) for name in names if name in call.headers)
    headers["Accept"] = "application/json"
    try:
        answer = await ask(owners, node, "GET", target, headers)
        document = await decoded(call.site.slices, await answer.body(IDLE_TIMEOUT_S))
    except NodeDownError as error:
        return unavailable(str(error))
    except NodeLostError as error:
        return lost(error)
    if answer.status == 200:
        return document
    fields = document if isinstance(document, dict) else {}
    return Refusal(answer.status, str(fields.get("error", "")), fields.get("reason", ""))


async def repeated_elsewhere(call: Call) -> None:
    """Have each other node carry out what was carried out here. Raises `Refusal`."""
    if not merges(call):
        return
    owners = cast(Owners, call.site.owners)
    for node in owners.names():
        try:
            answer = await ask(owners, node, call.method, call.target, end_to_end(call.headers.items()))
        except NodeDownError:
            continue  # nothing is on it any more
        except NodeLostError as error:
            raise lost(error) from None
        answer.close()
        if answer.status >= 400:
            raise unavailable(f"node {node} has refused its part with status {answer.status}")


# --- lists


async def listed_everywhere(
    call: Call,
    items: Sequence[T],
    view: Callable[[T], Json],
    brief: Callable[[T], Json] | None = None,
    *,
    paged: bool = True,
    sorts: Sequence[str] = BY_NAME,
    columns_first: bool = True,
    query: Mapping[str, str] | None = None,
    part: Mapping[str, str] | None = None,
    prepare: Callable[[T], Steps | None] | None = None,
) -> object:
    """`listed_in_slices` with the objects of other nodes, if the call is about all virtual hosts. `query`: instead of
    that of the call; `part`: what is asked of other nodes besides. Raises `Refusal`."""
    query = call.query if query is None else query
    others = await _others(call, {**query, **(part or {})}, paged, sorts) if merges(call) else NO_OTHERS
    try:
        return await listed_in_slices(
            call.site.slices,
            items,
            query,
            view,
            brief,
            paged=paged,
            sorts=sorts,
            columns_first=columns_first,
            others=others,
            most=None if call.hop else MAX_PAGE_SIZE,
            prepare=prepare,
        )
    finally:
        if others is not NO_OTHERS:
            await call.site.slices.free(others.rows)


async def _others(call: Call, query: Mapping[str, str], paged: bool, sorts: Sequence[str]) -> Others:
    """The objects of other nodes that a list can need, and how many there are. Raises `Refusal`."""
    page = Page.of(query) if paged else None
    return others_of(await documents_elsewhere(call, part_query(query, page, sorts)), page)


def others_of(documents: Iterable[object], page: Page | None) -> Others:
    """Return the objects in the parts of other nodes: lists, or with a page what is on one."""
    rows: list[Json] = []
    filtered = total = 0
    for document in documents:
        if page is None:
            found = cast(list[Json], document)
            filtered, total = filtered + len(found), total + len(found)
        else:
            cut = cast(Json, document)
            found = cast(list[Json], cut["items"])
            filtered += cast(int, cut["filtered_count"])
            total += cast(int, cut["total_count"])
        rows += found
    return Others(rows, filtered, total)


async def rows_elsewhere(call: Call) -> list[Json]:
    """Return the objects in the lists of other nodes, whole. Raises `Refusal`."""
    parts = await documents_elsewhere(call, part_query(call.query, None, BY_NAME, columns=False))
    return [row for part in parts for row in cast(list[Json], part)]


def part_query(
    query: Mapping[str, str], page: Page | None, sorts: Sequence[str], *, columns: bool = True
) -> Query:
    """Return the query for the part of a node: all up to the end of the page, or everything."""
    asked = {name: text for name, text in query.items() if name not in _FORM}
    if page is not None:
        asked |= {
            name: query[name] for name in ("sort", "sort_reverse", "name", "use_regex") if name in query
        }
        asked |= {"page": "1", "page_size": str(page.number * page.size)}
    if columns and "columns" in query:
        needed = (*query["columns"].split(","), query.get("sort", ""), *sorts, *BY_NAME)
        asked["columns"] = ",".join(dict.fromkeys(filter(None, needed)))
    return asked


# --- totals

#: Totals in the overview, and what it lists of each node.
_TOTALS = ("message_stats", "churn_rates", "queue_totals", "object_totals")
_OF_NODES = ("listeners", "contexts")


def with_totals(overview: Json, others: Sequence[object]) -> Json:
    """Return the overview of this node with the totals of all nodes."""
    all_of_them = [overview, *cast(Sequence[Json], others)] if others else []
    totals = {name: summed(one.get(name) for one in all_of_them) for name in _TOTALS if name in overview}
    lists = {
        name: [each for one in all_of_them for each in cast(list[Json], one.get(name, []))]
        for name in _OF_NODES
        if name in overview
    }
    return {**overview, **totals, **lists} if others else overview


def summed(values: Iterable[object]) -> object:
    """Add up what nodes have counted: numbers, and samples by their times; of everything else the first one counts."""
    found = [value for value in values if value is not None]
    first = found[0] if found else None
    if isinstance(first, dict):
        parts = [one for one in found if isinstance(one, dict)]
        names = dict.fromkeys(name for one in parts for name in one)
        return {name: summed(one.get(name) for one in parts) for name in names}
    if isinstance(first, int | float) and not isinstance(first, bool):
        return sum(one for one in found if isinstance(one, int | float))
    if isinstance(first, list):
        return _summed_samples([one for one in found if isinstance(one, list)])
    return first


def _summed_samples(series: list[list[Json]]) -> list[Json]:
    """Add up samples, newest first. A node that has sampled at other times has then what it had last before."""
    first, *others = series
    return [
        one | {"sample": summed([one["sample"], *(_sample_at(other, one["timestamp"]) for other in others)])}
        for one in first
    ]


def _sample_at(samples: list[Json], timestamp: object) -> object:
    at = cast(int, timestamp)
    found = next((one for one in samples if cast(int, one["timestamp"]) <= at), None)
    return found["sample"] if found is not None else samples[-1]["sample"] if samples else 0
