"""Direct, fanout and topic exchanges, and their registry of bindings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import AmqpError
from leveret.routing.types import EXCHANGE_TYPES

from .fakes import Queue, bind, exchange, reached, unbind

Q1, Q2, Q3 = Queue("q1"), Queue("q2"), Queue("q3")


def test_an_equal_binding_is_added_once() -> None:
    x = exchange("direct")
    assert bind(x, Q1, "k")
    assert not bind(x, Q1, "k")
    assert bind(x, Q1, "k", some=1)
    assert len(x.bindings) == 2
    assert unbind(x, Q1, "k")
    assert not unbind(x, Q1, "k")
    assert reached(x, "k") == [Q1]
    assert unbind(x, Q1, "k", some=1)
    assert reached(x, "k") == []
    assert x.bindings == {}


def test_a_direct_exchange_routes_by_equal_key() -> None:
    x = exchange("direct")
    bind(x, Q1, "a")
    bind(x, Q2, "b")
    bind(x, Q3, "a")
    assert reached(x, "a") == [Q1, Q3]
    assert reached(x, "b") == [Q2]
    assert reached(x, "a.b") == []
    assert reached(x, "b", "a", "zz") == [Q2, Q1, Q3]


def test_a_fanout_exchange_routes_to_every_queue() -> None:
    x = exchange("fanout")
    bind(x, Q1, "a")
    bind(x, Q1, "b")
    bind(x, Q2, "")
    assert reached(x, "whatever", "more") == [Q1, Q2]
    unbind(x, Q1, "a")
    assert reached(x) == [Q1, Q2]
    unbind(x, Q1, "b")
    assert reached(x) == [Q2]


@pytest.mark.parametrize("kind", ["direct", "topic"])
def test_a_queue_is_found_once_for_thousands_of_keys_and_each_key_is_a_step(kind: str) -> None:
    """Otherwise one message finds as many times as many queues as it has keys."""
    x = exchange(kind)
    bind(x, Q1, "k")
    bind(x, Q2, "k" if kind == "direct" else "#")
    found: list[Queue] = []
    others = [f"k{number}".encode() for number in range(1000)]
    search = x.matches(b"k", [b"k", *others, b"k"], None, found)
    assert search is None and len(found) == 2 and set(found) == {Q1, Q2}
    assert x.steps >= 1000


def test_a_topic_exchange_routes_by_pattern() -> None:
    x = exchange("topic")
    bind(x, Q1, "a.*")
    bind(x, Q2, "#")
    bind(x, Q3, "b")
    assert set(reached(x, "a.b")) == {Q1, Q2}
    assert set(reached(x, "zz", "b", "a.")) == {Q1, Q2, Q3}
    unbind(x, Q2, "#")
    assert set(reached(x, "zz", "b", "a.")) == {Q1, Q3}


def test_a_topic_binding_with_too_many_wildcards_is_refused() -> None:
    x = exchange("topic")
    assert bind(x, Q1, "#.a.#")
    with pytest.raises(
        AmqpError, match=r"Topic binding key '#\.#\.#' uses 3 '#' wildcards, at most 2"
    ) as raised:
        bind(x, Q1, "#.#.#")
    assert raised.value.code == 406
    assert not unbind(x, Q1, "#.#.#")


def test_without_a_limit_any_number_of_wildcards_is_accepted() -> None:
    x = exchange("topic")
    x.wildcard_limit = 0  # type: ignore[attr-defined]
    assert bind(x, Q1, "#.#.#")


steps = st.lists(
    st.tuples(st.booleans(), st.sampled_from([Q1, Q2, Q3]), st.sampled_from(["a", "b", "c"])), max_size=40
)


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers", "x-random", "x-modulus-hash"])
@given(steps=steps)
def test_unbinding_leaves_no_route_behind(kind: str, steps: list[tuple[bool, Queue, str]]) -> None:
    """After random bindings and unbindings, the routes agree with the registry."""
    x = exchange(kind)
    there: dict[tuple[str, str], Queue] = {}
    for adds, queue, key in steps:
        if adds:
            assert bind(x, queue, key) == ((queue.name, key) not in there)
            there[queue.name, key] = queue
        else:
            assert unbind(x, queue, key) == (there.pop((queue.name, key), None) is not None)
    assert len(x.bindings) == len(there)
    for key in ("a", "b", "c"):
        found = set(reached(x, key))
        if kind in ("direct", "topic"):
            assert found == {queue for (_, bound), queue in there.items() if bound == key}
        elif kind in ("fanout", "headers"):
            assert found == set(there.values())
        else:
            assert len(found) == bool(there)
            assert found <= set(there.values())


def test_an_exchange_has_the_properties_of_its_declaration() -> None:
    x = exchange("topic", "né", some="thing")
    assert (x.name, x.wire_name, x.type) == ("né", "né".encode(), "topic")
    assert (x.durable, x.auto_delete, x.internal, x.user) == (True, False, False, "guest")
    assert x.arguments["some"].value == b"thing"
    assert (x.alternate, x.replay()) == (None, [])


def test_these_types_route_by_the_key_alone() -> None:
    alone = {kind for kind in EXCHANGE_TYPES if kind != "x-delayed-message" and exchange(kind).by_key}
    assert alone == {"direct", "fanout", "topic", "x-consistent-hash", "x-modulus-hash"}
    assert not exchange("x-delayed-message", x_delayed_type="direct").by_key
    assert not exchange("x-consistent-hash", hash_header="h").by_key
