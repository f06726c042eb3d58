"""Bindings: which are equal, and their names in the management API."""

from __future__ import annotations

import pytest

from leveret.wire.tables import Field, Table

from .fakes import Queue, bind, exchange, table, unbind

QUEUE = Queue("q")


def test_the_order_of_arguments_does_not_matter() -> None:
    x = exchange("direct")
    one = x.binding(QUEUE, b"k", table(a=1, b="c"))
    other = x.binding(QUEUE, b"k", table(b="c", a=1))
    assert one.identity == other.identity


@pytest.mark.parametrize(
    "arguments", [{}, table(a=2), table(a="1"), table(b=1), {"a": Field("l", 1)}, table(a=1, b=1)]
)
def test_the_types_of_arguments_matter(arguments: Table) -> None:
    x = exchange("direct")
    assert x.binding(QUEUE, b"k", table(a=1)).identity != x.binding(QUEUE, b"k", arguments).identity


def test_a_queue_and_an_exchange_of_the_same_name_have_different_bindings() -> None:
    x = exchange("direct")
    queue, other = x.binding(Queue("same"), b"", {}), x.binding(exchange("direct", "same"), b"", {})
    assert (queue.destination_type, other.destination_type) == ("queue", "exchange")
    assert queue.identity != other.identity


#: As RabbitMQ 4.3.6 names them.
NAMED: list[tuple[str, Table, str]] = [
    ("", {}, "~"),
    ("", table(a=1), "~rnJaMg"),
    ("a b/c~é*#._-+", {}, "a+b%2Fc%7E%C3%A9%2A%23._-%2B"),
    (
        "k~",
        {
            "b": Field("S", b"x"),
            "a": Field("l", 2**40),
            "t": Field("A", [Field("I", 1), Field("S", b"q")]),
            "d": Field("F", {"y": Field("t", True), "n": Field("V", None)}),
        },
        "k%7E~-4iDvQ",
    ),
]


@pytest.mark.parametrize(("key", "arguments", "name"), NAMED)
def test_the_properties_key_is_that_of_rabbitmq(key: str, arguments: Table, name: str) -> None:
    assert exchange("direct").binding(QUEUE, key.encode(), arguments).properties_key == name


def test_the_bindings_to_a_destination_are_found() -> None:
    x, other = exchange("topic"), Queue("other")
    bind(x, QUEUE, "a")
    bind(x, other, "a")
    bind(x, QUEUE, "b")
    assert [binding.routing_key for binding in x.bindings_to(QUEUE)] == [b"a", b"b"]
    unbind(x, QUEUE, "a")
    assert [binding.routing_key for binding in x.bindings_to(QUEUE)] == [b"b"]
    unbind(x, QUEUE, "b")
    assert x.bindings_to(QUEUE) == []
