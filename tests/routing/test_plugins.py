"""Exchange types of plugins."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.errors import AmqpError
from leveret.routing.plugins import delay_of
from leveret.wire.properties import Properties
from leveret.wire.tables import Field

from .fakes import Message, Queue, bind, exchange, reached, table, unbind

Q1, Q2, Q3 = Queue("q1"), Queue("q2"), Queue("q3")


def refused(kind: str, **arguments: Any) -> str:
    with pytest.raises(AmqpError) as raised:
        exchange(kind, **arguments)
    return raised.value.text


def refused_binding(kind: str, key: str, destination: Any = Q1) -> str:
    x = exchange(kind)
    with pytest.raises(AmqpError) as raised:
        bind(x, destination, key)
    assert x.bindings == {}
    return raised.value.text


# --- x-consistent-hash


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("abc", 'The binding key must be an integer: <<"abc">>'),
        ("", "The binding key must be an integer: <<>>"),
        ("1_0", 'The binding key must be an integer: <<"1_0">>'),
        ("0", "The binding key must be greater than 0"),
        ("-1", "The binding key must be greater than 0"),
        ("10001", "The binding key must not exceed 10000"),
    ],
)
def test_invalid_weights_are_refused(key: str, text: str) -> None:
    assert refused_binding("x-consistent-hash", key) == f"PRECONDITION_FAILED - {text}"


def test_invalid_hash_headers_and_properties_are_refused() -> None:
    assert refused("x-consistent-hash", hash_header="a", hash_property="message_id") == (
        "PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive"
    )
    assert (
        refused("x-consistent-hash", hash_property="foo") == "PRECONDITION_FAILED - Unsupported property: foo"
    )
    assert refused("x-consistent-hash", hash_header=1) == "INTERNAL_ERROR"


def test_a_consistent_hash_exchange_spreads_keys_evenly() -> None:
    x = exchange("x-consistent-hash")
    assert reached(x, "k") == []
    for queue in (Q1, Q2, Q3):
        bind(x, queue, "10")
    before = {f"key{i}": reached(x, f"key{i}") for i in range(300)}
    assert all(len(found) == 1 for found in before.values())
    shares = [sum(found == [queue] for found in before.values()) for queue in (Q1, Q2, Q3)]
    assert min(shares) > 60
    unbind(x, Q3, "10")
    for key, found in before.items():
        if found != [Q3]:
            assert reached(x, key) == found
    bind(x, Q3, "10")
    assert {key: reached(x, key) for key in before} == before


def test_a_second_binding_of_a_queue_has_no_weight() -> None:
    x = exchange("x-consistent-hash")
    bind(x, Q1, "1")
    bind(x, Q2, "1")
    before = [reached(x, str(i)) for i in range(50)]
    bind(x, Q2, "1000")
    assert [reached(x, str(i)) for i in range(50)] == before
    unbind(x, Q2, "1000")
    assert {queue for i in range(50) for queue in reached(x, str(i))} == {Q1}


def test_keys_are_spread_by_weight() -> None:
    x = exchange("x-consistent-hash")
    bind(x, Q1, "1")
    bind(x, Q2, "9")
    light = sum(reached(x, f"key{i}") == [Q1] for i in range(1000))
    assert 50 < light < 150


def test_a_header_can_be_hashed() -> None:
    x = exchange("x-consistent-hash", hash_header="h")
    for queue in (Q1, Q2, Q3):
        bind(x, queue, "1")
    for value in ("text", 5, True, None, 1.5, Field("A", [Field("I", 1)]), Field("T", 7)):
        found = [reached(x, key, headers=table(h=value)) for key in "abcdef"]
        assert len(found[0]) == 1
        assert found == [found[0]] * 6
    assert {reached(x, "", headers=table(h=f"{i}"))[0] for i in range(50)} == {Q1, Q2, Q3}
    assert reached(x, "a") == reached(x, "b")


@pytest.mark.parametrize("name", ["correlation_id", "message_id", "timestamp"])
def test_a_property_can_be_hashed(name: str) -> None:
    x = exchange("x-consistent-hash", hash_property=name)
    for queue in (Q1, Q2, Q3):
        bind(x, queue, "1")
    values: list[Any] = [i if name == "timestamp" else f"{i}" for i in range(50)]
    assert {reached(x, "", **{name: value})[0] for value in values} == {Q1, Q2, Q3}
    assert reached(x, "a", **{name: values[7]}) == reached(x, "b", **{name: values[7]})


# --- x-modulus-hash, x-random, x-local-random


def test_a_modulus_hash_exchange_spreads_keys() -> None:
    x = exchange("x-modulus-hash")
    assert reached(x, "k") == []
    for queue in (Q3, Q1, Q2):
        bind(x, queue, "whatever")
    assert {reached(x, f"{i}")[0] for i in range(50)} == {Q1, Q2, Q3}
    assert reached(x, "k") == reached(x, "k")


def test_a_random_exchange_routes_to_one_queue() -> None:
    x = exchange("x-random")
    assert reached(x) == []
    x.chance = random.Random(1)  # type: ignore[attr-defined]
    bind(x, Q1, "a")
    bind(x, Q2, "b")
    assert {reached(x, "zz")[0] for _ in range(50)} == {Q1, Q2}


def test_a_local_random_exchange_takes_only_plain_bindings() -> None:
    x = exchange("x-local-random")
    bind(x, Q1)
    assert reached(x) == [Q1]
    assert refused_binding("x-local-random", "k") == (
        "PRECONDITION_FAILED - Non empty binding 'k' key not permitted"
    )
    assert refused_binding("x-local-random", "", Queue("q", "quorum")) == (
        "PRECONDITION_FAILED - Queue type rabbit_quorum_queue not valid for this exchange type"
    )
    assert refused_binding("x-local-random", "", exchange("direct", "other")) == (
        "PRECONDITION_FAILED - Destination not found"
    )


# --- x-recent-history


@pytest.mark.parametrize(("value", "shown"), [(0, "0"), (-1, "-1"), ("a", '<<"a">>'), (Field("B", 5), "5")])
def test_an_invalid_history_length_is_refused(value: Any, shown: str) -> None:
    assert refused("x-recent-history", x_recent_history_length=value) == (
        f"PRECONDITION_FAILED - Invalid argument {shown}, 'x-recent-history-length' must be a positive integer"
    )


def test_a_recent_history_exchange_replays_its_last_messages() -> None:
    x = exchange("x-recent-history", x_recent_history_length=2)
    bind(x, Q1)
    messages = [Message() for _ in range(3)]
    for message in messages:
        assert x.attend(message, Properties()) == 0
    x.attend(Message(), Properties(headers=table(x_recent_history_no_store=True)))
    assert x.replay() == messages[1:]
    assert reached(x, "k") == [Q1]


def test_the_default_history_length_is_twenty() -> None:
    x = exchange("x-recent-history")
    for _ in range(30):
        x.attend(Message(), Properties(headers=table(x_recent_history_no_store=False)))
    assert len(x.replay()) == 20


# --- x-delayed-message


def test_an_invalid_delayed_type_is_refused() -> None:
    missing = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
    assert refused("x-delayed-message") == missing
    assert refused("x-delayed-message", x_delayed_type=1) == missing
    assert refused("x-delayed-message", x_delayed_type="x-delayed-message") == (
        "PRECONDITION_FAILED - Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
    )
    assert refused("x-delayed-message", x_delayed_type="foo").endswith("unknown exchange type 'foo'")


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        (None, None),
        (0, None),
        (-5, None),
        (1, 1),
        (Field("l", 4294967295), 4294967295),
        (Field("l", 4294967296), None),
        (1500.9, 1500),
        (0.5, None),
        ("250", 250),
        ("abc", None),
        ("", None),
        (True, None),
    ],
)
def test_the_delay_is_read_from_the_header(value: Any, delay: int | None) -> None:
    assert delay_of(table(x_delay=value)) == delay
    assert delay_of(None) is None


def test_a_delayed_exchange_routes_as_its_type() -> None:
    x = exchange("x-delayed-message", x_delayed_type="topic")
    bind(x, Q1, "a.*")
    assert reached(x, "a.b") == [Q1]
    assert reached(x, "b") == []
    with pytest.raises(AmqpError):
        bind(x, Q1, "#.#.#")
    assert x.attend(Message(), Properties(headers=table(x_delay=5))) == 5
    assert x.attend(Message(), Properties(headers=table(x_delay=-5))) == 0
    unbind(x, Q1, "a.*")
    assert reached(x, "a.b") == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4)), max_size=30))
def test_a_ring_that_grows_is_the_same_as_one_made_anew(steps: list[tuple[bool, int, int]]) -> None:
    queues = [Queue(str(number)) for number in range(6)]
    x, weights = exchange("x-consistent-hash"), dict[Queue, int]()
    for adds, number, weight in steps:
        queue = queues[number]
        if not adds:
            for known in range(1, 5):
                if unbind(x, queue, str(known)):
                    weights.pop(queue, None)
        elif bind(x, queue, str(weight)):
            weights.setdefault(queue, weight)
        new = exchange("x-consistent-hash")
        for other, count in weights.items():
            bind(new, other, str(count))
        keys = [str(key) for key in range(10)]
        assert [reached(x, key) for key in keys] == [reached(new, key) for key in keys]
