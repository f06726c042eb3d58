"""The headers exchange, as in RabbitMQ 4.3.6."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.errors import AmqpError
from leveret.wire.tables import Field

from .fakes import Queue, bind, exchange, reached, table

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
    # a timestamp counts in milliseconds in a message, in seconds in a binding
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
