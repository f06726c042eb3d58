"""The headers exchange, as in RabbitMQ 4.3.6."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import AmqpError
from leveret.profiles import PROFILES
from leveret.routing.exchanges import Declaration
from leveret.routing.headers import Wanted
from leveret.routing.types import make_exchange
from leveret.wire.properties import Properties
from leveret.wire.tables import Field

from .fakes import Queue, bind, exchange, field, reached, table

QUEUE = Queue("q")


def fits(arguments: dict[str, Any], headers: dict[str, Any] | None) -> bool:
    x = exchange("headers")
    x.add(x.binding(QUEUE, b"ignored", {name: table(v=value)["v"] for name, value in arguments.items()}))
    sent = None if headers is None else {name: table(v=value)["v"] for name, value in headers.items()}
    return bool(reached(x, "k", headers=sent))


CASES: list[tuple[dict[str, Any], dict[str, Any] | None, bool]] = [
    ({}, None, True),
    ({}, {"a": 1}, True),
    ({"x-match": "all"}, {}, True),
    ({"x-match": "any"}, {}, False),
    ({"x-match": "any"}, {"a": 1}, False),
    ({"a": 1, "b": "c"}, {"a": 1, "b": "c", "d": 2}, True),
    ({"a": 1, "b": "c"}, {"a": 1}, False),
    ({"a": 1, "b": "c"}, None, False),
    ({"x-match": "any", "a": 1, "b": "c"}, {"b": "c"}, True),
    ({"x-match": "any", "a": 1, "b": "c"}, {"b": "d"}, False),
    # names that begin with x-
    ({"x-foo": 1}, {}, True),
    ({"x-match": "any", "x-foo": 1}, {"x-foo": 1}, False),
    ({"x-match": "any-with-x", "x-foo": 1}, {"x-foo": 1}, True),
    ({"x-match": "all-with-x", "x-foo": 1}, {}, False),
    ({"x-match": "all-with-x", "x-foo": 1}, {"x-foo": 1}, True),
    # values
    ({"a": None}, {"a": 5}, True),
    ({"a": None}, {"a": None}, True),
    ({"a": None}, {}, False),
    ({"a": 1}, {"a": "1"}, False),
    ({"a": 1}, {"a": Field("l", 1)}, True),
    ({"a": 1}, {"a": True}, False),
    ({"a": 1}, {"a": 1.0}, False),
    ({"a": 1.5}, {"a": Field("f", 1.5)}, True),
    ({"a": "s"}, {"a": Field("x", b"s")}, True),
    ({"a": Field("A", [Field("I", 1)])}, {"a": Field("A", [Field("I", 1)])}, True),
    ({"a": Field("A", [Field("I", 1)])}, {"a": Field("A", [Field("l", 1)])}, False),
    ({"a": Field("F", {"b": Field("I", 1)})}, {"a": Field("F", {"b": Field("I", 1)})}, True),
    ({"a": Field("A", [])}, {"a": Field("F", {})}, True),
    # a timestamp is in milliseconds in a message, in seconds in a binding
    ({"a": Field("T", 5)}, {"a": Field("T", 5)}, False),
    ({"a": Field("l", 5000)}, {"a": Field("T", 5)}, True),
]


@pytest.mark.parametrize(("arguments", "headers", "fit"), CASES)
def test_headers_match_the_arguments_of_a_binding(
    arguments: dict[str, Any], headers: dict[str, Any] | None, fit: bool
) -> None:
    assert fits(arguments, headers) == fit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("foo", 'Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        (1, "Invalid x-match field type signedint (value 1); expected longstr"),
        (True, "Invalid x-match field type bool (value true); expected longstr"),
    ],
)
def test_an_invalid_x_match_is_refused(value: Any, text: str) -> None:
    x = exchange("headers")
    with pytest.raises(AmqpError) as raised:
        bind(x, QUEUE, "", x_match=value)
    assert raised.value.text == f"PRECONDITION_FAILED - {text}"
    assert x.bindings == {}


# --- the index

NAMES = ["a", "b", "x-c"]
VALUES = [1, 2, True, 1.0, "1", None, Field("T", 1), Field("l", 1000), Field("D", (0, 1))]
COMPOSITES = [
    Field("A", []),
    Field("F", {}),
    Field("A", [Field("I", 1)]),
    Field("F", {"n": Field("S", b"v")}),
]
values = st.sampled_from([*VALUES, *COMPOSITES])
tables = st.dictionaries(st.sampled_from(NAMES), values)
modes = st.sampled_from([None, "all", "any", "all-with-x", "any-with-x"])


@pytest.mark.parametrize("profile", ["4.3", "3.10"])
@given(
    bound=st.lists(st.tuples(modes, tables), max_size=8),
    gone=st.sets(st.integers(0, 7)),
    headers=tables,
)
def test_the_index_finds_what_a_comparison_with_each_binding_finds(
    profile: str, bound: list[tuple[str | None, dict[str, Any]]], gone: set[int], headers: Any
) -> None:
    x = make_exchange(Declaration("x", "headers"), PROFILES[profile], os.urandom)
    bindings = []
    for number, (mode, wanted) in enumerate(bound):
        arguments = {name: field(value) for name, value in wanted.items()}
        if mode is not None:
            arguments["x-match"] = field(mode)
        bindings.append(x.binding(Queue(str(number)), b"", arguments))
        x.add(bindings[-1])
    for number in gone:
        if number < len(bindings):
            x.remove(bindings[number])
    sent = {name: field(value) for name, value in headers.items()}
    found: list[Queue] = []
    x.matches(b"", None, Properties(headers=sent), found)
    wanted_names = [
        str(number)
        for number, binding in enumerate(bindings)
        if number not in gone and Wanted(binding, exact=profile == "4.3").holds(sent)
    ]
    assert [queue.name for queue in found] == wanted_names


def test_a_message_is_compared_with_the_bindings_that_ask_for_its_headers() -> None:
    x = exchange("headers")
    for number in range(1000):
        bind(x, Queue(str(number)), a="same", b=number)
    assert [queue.name for queue in reached(x, headers=table(a="same", b=7))] == ["7"]
    assert x.steps <= 10
    assert reached(x, headers=table(a="same", b=-1)) == []


def test_a_long_search_can_be_interrupted() -> None:
    x = exchange("headers")
    names = [str(number) for number in range(5000)]
    for name in names:
        bind(x, Queue(name), a="same")
    found: list[Queue] = []
    search = x.matches(b"", None, Properties(headers=table(a="same")), found)
    assert search is not None and not found
    while search.advance(100) == 0:
        pass
    assert [queue.name for queue in found] == names
