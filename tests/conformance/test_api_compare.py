"""How answers of the HTTP API are masked, compared and sorted by route."""

from __future__ import annotations

import re

from conformance.api.areas import Meant, areas
from conformance.api.call import Answer, Call, by_all, get
from conformance.api.compare import ABSENT, Difference, differences
from conformance.api.masks import masked
from conformance.api.routes import OTHER, route_of, routes


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    """An answer with status 200."""
    return Answer(status, "OK", headers, body)


def places(one: object, other: object) -> list[str]:
    """Where two bodies differ."""
    return [each.at for each in differences(answer(one), answer(other))]


def test_equal_answers_do_not_differ() -> None:
    assert differences(answer({"a": [1, 2.0, None]}), answer({"a": [1, 2.0, None]})) == []


def test_status_and_headers_are_compared_and_some_headers_are_not() -> None:
    found = differences(answer(None, 200, allow="GET", date="x"), answer(None, 404, vary="y", date="z"))
    assert found == [
        Difference("status", "200", "404"),
        Difference("header allow", '"GET"', ABSENT),
        Difference("header vary", ABSENT, '"y"'),
    ]


def test_keys_types_and_values_are_compared() -> None:
    assert places({"a": 1, "b": 1, "c": True}, {"b": 1.0, "c": 1, "d": 1}) == [
        "body.a",
        "body.b",
        "body.c",
        "body.d",
    ]
    assert places({"a": {"b": "x"}}, {"a": {"b": "y"}}) == ["body.a.b"]
    assert places({}, []) == ["body"]


def test_a_difference_in_many_items_counts_once_if_it_is_the_same() -> None:
    one = [{"name": name, "x": 1} for name in "abc"]
    other = [{"name": name} for name in "abc"]
    assert places(one, other) == ["body[].x"]


def test_lists_differ_by_items_and_by_order() -> None:
    (found,) = differences(answer([{"name": "a"}, {"name": "b"}]), answer([{"name": "b"}, {"name": "a"}]))
    assert (found.at, found.rabbitmq, found.leveret) == ("body (order)", '["a", "b"]', '["b", "a"]')
    assert places([1, 2], [1]) == ["body[2]"]
    assert places([{"name": "a", "x": 1}, {"name": "b"}], [{"name": "a"}, {"name": "c"}]) == [
        "body[b]", "body[c]", "body[].x",
    ]  # fmt: skip


def test_volatile_values_keep_their_types() -> None:
    assert places({"uptime": 7, "rate": 0.5, "samples": [1]}, {"uptime": 8, "rate": 0.0, "samples": []}) == []
    assert places({"uptime": 7}, {"uptime": 7.0}) == ["body.uptime"]
    assert places({"uptime": 7}, {"uptime": None}) == ["body.uptime"]
    assert places({"consumer_capacity": 0}, {"consumer_capacity": 0.5}) == []
    assert masked({"name": "127.0.0.1:1 -> 127.0.0.1:2 (1)"}) == {"name": "{connection} (1)"}


def test_masking_twice_changes_nothing() -> None:
    once = masked({"uptime": 7, "samples": [], "erlang_version": "27", "n": "amq.gen-0123456789012345678901"})
    assert masked(once) == once


def test_calls_belong_to_routes() -> None:
    assert route_of(Call("GET", "queues/shop/q?columns=name")) == "GET queues/:vhost/:queue"
    assert route_of(Call("GET", "queues/detailed")) == "GET queues/detailed"
    assert route_of(Call("HEAD", "nodes")) == "GET nodes"
    assert route_of(Call("PUT", "bindings/v/e/x/q/y")) == OTHER
    assert route_of(Call("GET", "/api/index.html")) == "GET /api/index.html"


def test_calls_have_different_names() -> None:
    for area, calls in areas().items():
        assert calls, area
    names = [call.name for call in by_all("queues")]
    assert len(set(names)) == len(names)
    assert names[0] == "GET queues as administrator"
    assert get("x", accept="text/html")[0].name == "GET x [accept: text/html]"


def test_every_route_of_the_table_has_methods() -> None:
    assert len(routes()) > 150
    assert all(methods for methods in routes().values())


def test_an_intended_difference_covers_only_its_calls_and_places() -> None:
    entry = Meant(("GET nodes*",), re.compile(r"body\.mem_.*"), "because")
    assert entry.covers("GET nodes/x", Difference("body.mem_used", "1", ABSENT))
    assert not entry.covers("GET nodes/x", Difference("body.fd_used", "1", ABSENT))
    assert not entry.covers("GET queues", Difference("body.mem_used", "1", ABSENT))
