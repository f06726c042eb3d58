"""Lists and totals whose parts come from several nodes."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.management.call import Pieces, Refusal
from leveret.management.merging import others_of, part_query, summed, with_totals
from leveret.management.pagination import BY_NAME, NO_OTHERS, Others, Page, listed_in_slices
from leveret.management.slices import Slices

Rows = list[dict[str, Any]]

#: Objects on three nodes; their names are unique.
rows = st.dictionaries(
    st.sampled_from([f"{letter}{number}" for letter in "abX" for number in range(9)]),
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.none() | st.text(max_size=2)),
).map(
    lambda found: [
        (node, {"name": name, "vhost": f"v{node}", "size": size, "inner": {"x": text, "y": size}})
        for name, (node, size, text) in found.items()
    ]
)

queries = st.fixed_dictionaries(
    {},
    optional={
        "sort": st.sampled_from(["name", "size", "inner.x", "inner", "none", "vhost"]),
        "sort_reverse": st.sampled_from(["true", "false"]),
        "columns": st.sampled_from(["name", "size,inner.x", "inner", "none", "", "vhost,inner.y"]),
        "page": st.sampled_from(["1", "2", "3", "9"]),
        "page_size": st.sampled_from(["1", "3", "10", "500"]),
        "name": st.sampled_from(["a", "x", "1", "^[ab][0-4]"]),
        "use_regex": st.sampled_from(["true", "false"]),
    },
)


async def listed(found: Rows, query: dict[str, str], others: Others = NO_OTHERS, **options: Any) -> Any:
    """A list as JSON, or the refusal."""
    try:
        shown = await listed_in_slices(
            Slices(),
            found,
            query,
            lambda row: row,
            lambda row: {"name": row["name"]},
            others=others,
            **options,
        )
    except Refusal as refusal:
        return refusal.reason
    return msgspec.json.decode(
        b"".join(shown.json) if isinstance(shown, Pieces) else msgspec.json.encode(shown)
    )


@given(rows, queries, st.booleans(), st.booleans())
@settings(deadline=None)
def test_parts_of_nodes_make_the_list_that_one_node_would_show(
    found: list[tuple[int, dict[str, Any]]], query: dict[str, str], paged: bool, columns_first: bool
) -> None:
    options = {"paged": paged, "columns_first": columns_first}

    async def merged() -> Any:
        parts: list[Rows] = [[row for node, row in found if node == number] for number in range(3)]
        page = Page.of(query) if paged else None
        asked = part_query(query, page, BY_NAME)
        documents = [await listed(part, asked, most=None, **options) for part in parts[1:]]
        return await listed(parts[0], query, others_of(documents, page), **options)

    assert asyncio.run(merged()) == asyncio.run(listed([row for _, row in found], query, **options))


def test_a_page_needs_no_more_of_a_node_than_all_up_to_its_end() -> None:
    query = {"page": "3", "page_size": "20", "sort": "messages", "columns": "name,state", "lengths_age": "60"}
    assert part_query(query, Page.of(query), BY_NAME) == {
        "page": "1",
        "page_size": "60",
        "sort": "messages",
        "columns": "name,state,messages,vhost",
        "lengths_age": "60",
    }


def test_counts_are_added_up_and_samples_by_their_times() -> None:
    def counted(count: int, *samples: tuple[int, int]) -> Any:
        shown = [{"timestamp": time, "sample": sample} for time, sample in samples]
        return {"publish": count, "publish_details": {"rate": 0.5, "samples": shown}}

    assert summed([counted(5, (30, 5), (20, 2)), counted(7, (25, 6), (15, 3)), {}]) == {
        "publish": 12,
        "publish_details": {
            "rate": 1.0,
            "samples": [{"timestamp": 30, "sample": 11}, {"timestamp": 20, "sample": 5}],
        },
    }
    assert summed([{}, counted(7, (25, 6))]) == counted(7, (25, 6))


def test_an_overview_has_the_totals_and_listeners_of_all_nodes() -> None:
    own = {"node": "a", "object_totals": {"queues": 1}, "message_stats": {}, "listeners": [{"node": "a"}]}
    other = {
        "node": "b",
        "object_totals": {"queues": 2},
        "message_stats": {"ack": 1},
        "listeners": [{"node": "b"}],
    }
    assert with_totals(own, []) is own
    assert with_totals(own, [other]) == {
        "node": "a",
        "object_totals": {"queues": 3},
        "message_stats": {"ack": 1},
        "listeners": [{"node": "a"}, {"node": "b"}],
    }
