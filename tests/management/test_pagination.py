"""Sorting, columns and pages of lists."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from leveret.engine.patterns import compile_pattern
from leveret.errors import AmqpError
from leveret.management.call import Pieces, Refusal
from leveret.management.pagination import PIECE_BYTES, listed, listed_in_slices, picked
from leveret.management.slices import Slices

from .conftest import Api

ITEMS: list[dict[str, Any]] = [
    {"name": "b", "size": 2, "inner": {"x": 1, "y": 2}},
    {"name": "a", "size": 10},
    {"name": "Abc", "inner": {"x": 0}},
]


def names(shown: Any) -> str:
    return ",".join(item["name"] for item in shown)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "Abc,a,b"),
        ({"sort_reverse": "true"}, "b,a,Abc"),
        ({"sort": "name"}, "Abc,a,b"),
        ({"sort": "name", "sort_reverse": "true"}, "b,a,Abc"),
        ({"sort": "size"}, "Abc,b,a"),
        ({"sort": "inner.x"}, "a,Abc,b"),
        ({"sort": "nope"}, "Abc,a,b"),
        ({"sort": "nope", "sort_reverse": "true"}, "b,a,Abc"),
    ],
)
def test_lists_are_sorted(query: dict[str, str], expected: str) -> None:
    assert names(listed(ITEMS, query)) == expected


def test_columns_select_fields_of_nested_objects() -> None:
    assert picked(ITEMS[0], {"columns": "name,inner.x,nope"}) == {"name": "b", "inner": {"x": 1}}
    assert picked({"list": [{"a": 1, "b": 2}]}, {"columns": "list.a"}) == {"list": [{"a": 1}]}


def test_columns_do_not_select_inside_maps_of_rabbitmq() -> None:
    row = {"name": "q", "arguments": {"x-max-length": 1, "x-queue-type": "quorum"}}
    assert picked(row, {"columns": "arguments.x-queue-type"}) == {"arguments": row["arguments"]}


def test_an_object_without_any_of_the_columns_is_an_empty_list() -> None:
    assert picked(ITEMS, {"columns": "nope"}) == [[], [], []]
    assert picked(ITEMS[:1], {"columns": "inner.nope"}) == [{"inner": []}]


def test_a_page_has_its_items_and_counts() -> None:
    assert listed(ITEMS, {"page": "2", "page_size": "2", "columns": "name"}) == {
        "filtered_count": 3,
        "item_count": 1,
        "items": [{"name": "b"}],
        "page": 2,
        "page_count": 2,
        "page_size": 2,
        "total_count": 3,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"name": "A"}, "Abc,a"),
        ({"name": "^a", "use_regex": "true"}, "Abc,a"),
        ({"name": "^a$", "use_regex": "true"}, "a"),
        ({"name": "^a$", "use_regex": "maybe"}, ""),
        ({"name": "[", "use_regex": "true"}, ""),
    ],
)
def test_names_are_filtered_without_regard_to_case(query: dict[str, str], expected: str) -> None:
    assert names(listed(ITEMS, {"page": "1", **query})["items"]) == expected


def test_an_empty_list_has_a_first_page() -> None:
    assert listed([], {"page": "1"})["page_count"] == 0


def test_the_page_after_the_last_full_one_is_empty() -> None:
    shown: Any = listed(ITEMS, {"page": "2", "page_size": "3"})
    assert (shown["items"], shown["page_count"]) == ([], 1)


@pytest.mark.parametrize(
    ("query", "error", "reason"),
    [
        (
            {"page": "9", "page_size": "2"},
            "page_out_of_range",
            "Page out of range, page: 9 page size: 2, len: 3",
        ),
        (
            {"page": "0", "page_size": "2"},
            "invalid_pagination_parameters",
            "Invalid pagination parameters: page number 0, page size 2",
        ),
        (
            {"page": "-1"},
            "invalid_pagination_parameters",
            "Invalid pagination parameters: page number -1, page size undefined",
        ),
        (
            {"page": "1", "page_size": "501"},
            "invalid_pagination_parameters",
            "Invalid pagination parameters: page number 1, page size 501",
        ),
        ({"page": "x"}, "bad_request", "Pagination parameters are invalid"),
    ],
)
def test_invalid_pages_are_refused(query: dict[str, str], error: str, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        listed(ITEMS, query)
    assert (caught.value.status, caught.value.error, caught.value.reason) == (400, error, reason)


@pytest.mark.parametrize("path", ["permissions", "vhosts/%2F/permissions", "policies", "policies/%2F"])
async def test_users_permissions_and_policies_are_sorted_but_not_paginated(api: Api, path: str) -> None:
    await api.user("zoe", "")
    for name, priority in (("a", 1), ("b", 0)):
        body = {"pattern": "^x", "definition": {"max-length": 1}, "priority": priority}
        assert (await api("PUT", f"policies/%2F/{name}", body))[0] == 201
    field = "user" if "permissions" in path else "priority"
    there = await api.get(f"{path}?sort={field}")
    back = await api.get(f"{path}?sort={field}&sort_reverse=true&page=1&page_size=1")
    assert len(there) == 2 and back == there[::-1]


async def test_only_the_objects_of_a_page_are_built_in_full() -> None:
    shown: list[str] = []

    def view(name: str) -> dict[str, Any]:
        shown.append(name)
        return {"name": name, "size": -int(name)}

    def brief(name: str) -> dict[str, Any]:
        return {"name": name, "vhost": "/"}

    async def page(query: dict[str, str]) -> str:
        listed: Any = await listed_in_slices(Slices(), items, query, view, brief)
        return names(listed["items"])

    items = [str(number) for number in range(10)]
    query = {"page": "2", "page_size": "3", "sort": "name", "sort_reverse": "true"}
    assert await page(query) == "6,5,4"
    assert shown == ["6", "5", "4"]
    shown.clear()
    query["sort"] = "size"  # that is not known before
    assert await page(query) == "3,4,5"
    assert shown[: len(items)] == items


@pytest.mark.parametrize("count", [0, 1, 3000])
async def test_a_long_list_is_sent_in_pieces(count: int) -> None:
    rows = [{"name": f"{number:05}", "filling": "x" * 50} for number in range(count)]
    answer = await listed_in_slices(Slices(), rows[::-1], {"columns": "name,filling"}, lambda row: row)
    assert isinstance(answer, Pieces)
    assert msgspec.json.decode(b"".join(answer.json)) == rows
    assert all(len(piece) < 2 * PIECE_BYTES for piece in answer.json)
    assert len(answer.json) > (2 if count > 2000 else 0)


#: Names of 28 letters take `^(a+)+$` 2^28 steps.
EVIL, NAME = "^(a+)+$", "a" * 28 + "!"


async def test_an_expensive_filter_matches_nothing(api: Api) -> None:
    await api("PUT", f"queues/%2F/{NAME}", {})
    found = await api.get(f"queues?page=1&use_regex=true&name={quote(EVIL)}")
    assert (found["filtered_count"], found["total_count"]) == (0, 1)
    assert compile_pattern(EVIL, caseless=True).exhausted


async def test_an_expensive_policy_pattern_does_not_match(api: Api) -> None:
    for name in (NAME, "aaa"):
        await api("PUT", f"queues/%2F/{name}", {})
    assert (await api("PUT", "policies/%2F/evil", {"pattern": EVIL, "definition": {"max-length": 5}}))[
        0
    ] == 201
    assert compile_pattern(EVIL).exhausted
    assert [(await api.get(f"queues/%2F/{name}")).get("policy") for name in (NAME, "aaa")] == [None, "evil"]


async def test_expensive_permission_patterns_refuse(api: Api) -> None:
    evil = "^(?:a+)+$"
    await api.user("zoe", "management")
    body = {"configure": evil, "write": evil, "read": evil}
    assert (await api("PUT", "permissions/%2F/zoe", body))[0] in (201, 204)
    grants = api.node.broker.access.grants("zoe", "/")
    assert not grants.allows("configure", NAME)
    assert grants.allows("configure", "aaa")
    assert compile_pattern(evil).exhausted


async def test_expensive_topic_permission_patterns_refuse(api: Api) -> None:
    evil = "^(a+b?)+$"
    await api.user("zoe", "")
    access = api.node.broker.access
    access.set_topic_permissions("zoe", "/", "amq.topic", evil, evil)
    access.check_topic("zoe", "/", "write", "amq.topic", "aba", True)
    with pytest.raises(AmqpError):
        access.check_topic("zoe", "/", "write", "amq.topic", NAME, True)
    assert compile_pattern(evil).exhausted
