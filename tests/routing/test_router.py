"""The router: exchanges behind exchanges, alternate exchanges, additional keys, and the route memo."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.routing.exchanges import Exchange
from leveret.routing.router import ALL_MEMO_PLACES, MEMO_LIMIT, MEMO_PLACES, WALK_STEPS, Router
from leveret.wire.properties import Properties
from leveret.wire.tables import Table

from .fakes import Message, Queue, bind, exchange, reached, table, unbind

Q1, Q2, Q3 = Queue("q1"), Queue("q2"), Queue("q3")


class RoutingHarness:
    """A router with exchanges by name."""

    def __init__(self, **kinds: str) -> None:
        self.exchanges: dict[str, Exchange] = {name: exchange(kind, name) for name, kind in kinds.items()}
        self.exchanges[""] = exchange("direct", "")
        self.router = Router(self.exchanges, {queue.name.encode(): queue for queue in (Q1, Q2, Q3)})

    def bind(self, source: str, destination: Queue | str, key: str = "", **arguments: Any) -> None:
        target = self.exchanges[destination] if isinstance(destination, str) else destination
        bind(self.exchanges[source], target, key, **arguments)
        self.router.changed()

    def alternate(self, source: str, name: str | None) -> None:
        self.exchanges[source].alternate = name
        self.router.changed()

    def route(
        self, source: str, key: str = "", *more: str, headers: Table | None = None, message: Any = None
    ) -> Any:
        others = [other.encode() for other in more] or None
        return self.router.route(self.exchanges[source], key.encode(), others, headers, message)


def test_each_queue_gets_a_message_once() -> None:
    routing = RoutingHarness(x="topic")
    routing.bind("x", Q1, "#")
    routing.bind("x", Q1, "a")
    routing.bind("x", Q2, "*")
    assert sorted(routing.route("x", "a", "a", "b"), key=repr) == [Q1, Q2]
    assert routing.route("x", "a.b") == [Q1]


def test_the_default_exchange_routes_by_queue_name() -> None:
    routing = RoutingHarness()
    assert routing.route("", "q1") == [Q1]
    assert routing.route("", "nope") == []
    assert routing.route("", "nope", "q2", "q1", "q2") == [Q2, Q1]
    assert routing.exchanges[""].memo == {}
    assert routing.router.memoable
    asked: list[bytes] = []
    routing.router.fallback = lambda key: asked.append(key) or (Q3 if key == b"reply" else None)
    assert routing.route("", "reply") == [Q3]
    assert routing.route("", "nope") == []
    assert routing.route("", "q1") == [Q1]
    assert asked == [b"reply", b"nope"]


def test_the_default_exchange_is_no_alternate_and_has_none() -> None:
    """RabbitMQ 4.3.6: an alternate exchange "" routes nothing, and the default exchange has no alternate exchange."""
    routing = RoutingHarness(x="direct", y="fanout")
    routing.alternate("x", "")
    assert routing.route("x", "q1") == []
    routing.bind("y", Q1)
    routing.alternate("", "y")
    assert routing.route("", "nope") == []


def test_bound_exchanges_route_on() -> None:
    routing = RoutingHarness(x="topic", y="direct", z="fanout")
    routing.bind("x", "y", "a.#")
    routing.bind("x", Q1, "a.b")
    routing.bind("y", "z", "a.b")
    routing.bind("y", Q2, "a.c")
    routing.bind("z", Q3)
    routing.bind("z", Q1)
    assert routing.route("x", "a.b") == [Q1, Q3]
    assert routing.route("x", "a.c") == [Q2]
    assert routing.route("x", "b") == []


def test_cycles_of_exchanges_end() -> None:
    routing = RoutingHarness(x="fanout", y="fanout")
    routing.bind("x", "y")
    routing.bind("y", "x")
    routing.bind("x", "x")
    routing.bind("y", Q1)
    assert routing.route("x") == routing.route("y") == [Q1]
    routing.alternate("x", "x")
    assert routing.route("x") == [Q1]


def test_the_alternate_exchange_gets_what_has_no_route() -> None:
    routing = RoutingHarness(x="direct", y="direct", z="fanout")
    routing.bind("x", Q1, "one")
    routing.bind("y", Q2, "two")
    routing.bind("z", Q3)
    routing.alternate("x", "y")
    assert [routing.route("x", key) for key in ("one", "two", "three")] == [[Q1], [Q2], []]
    routing.alternate("y", "z")
    assert [routing.route("x", key) for key in ("one", "two", "three")] == [[Q1], [Q2], [Q3]]
    routing.alternate("y", "missing")
    assert routing.route("x", "three") == []
    routing.alternate("x", None)
    assert routing.route("x", "two") == []


def test_a_matching_exchange_without_queues_counts_as_a_route() -> None:
    """A matching binding counts, even if no queue is behind it (rabbit_exchange:process_alternate)."""
    routing = RoutingHarness(x="direct", empty="fanout", other="fanout")
    routing.bind("x", "empty", "k")
    routing.bind("other", Q1)
    routing.alternate("x", "other")
    assert routing.route("x", "k") == []
    assert routing.route("x", "l") == [Q1]


def test_the_route_memo_holds_until_a_binding_changes() -> None:
    routing = RoutingHarness(x="direct", y="fanout")
    x = routing.exchanges["x"]
    routing.bind("x", Q1, "k")
    first = routing.route("x", "k")
    assert routing.route("x", "k") is first
    assert routing.route("x", "k", "other") is not first
    routing.bind("x", Q2, "k")
    assert routing.route("x", "k") == [Q1, Q2]
    unbind(x, Q1, "k")
    routing.router.changed()
    assert routing.route("x", "k") == [Q2]
    routing.bind("x", "y", "k")
    routing.bind("y", Q3)
    assert routing.route("x", "k") == [Q2, Q3]
    del routing.exchanges["y"]
    revision = routing.router.revision
    routing.router.revision += 1
    assert routing.router.revision == revision + 1
    assert list(x.memo) == [b"k"]
    routing.route("x", "j")
    assert list(x.memo) == [b"j"]


def test_the_route_memo_is_bounded() -> None:
    routing = RoutingHarness(x="fanout")
    routing.bind("x", Q1)
    for number in range(MEMO_LIMIT + 10):
        assert routing.route("x", str(number)) == [Q1]
    assert len(routing.exchanges["x"].memo) == 10


def fill_memo(routing: RoutingHarness, source: str, places: int) -> int:
    """Remember routes of an exchange until they take so many places; returns how many."""
    number = 0
    while routing.router.remembered.get(routing.exchanges[source], 0) < places:
        routing.route(source, str(number))
        number += 1
    return number


def bind_many(routing: RoutingHarness, source: str, many: int) -> None:
    for number in range(many):
        routing.bind(source, Queue(f"{source}{number}"))


def test_routes_to_many_queues_are_remembered_up_to_a_size() -> None:
    """A list of ten thousand queues for each of ten thousand keys would fill the memory."""
    routing = RoutingHarness(x="fanout")
    bind_many(routing, "x", 2000)
    many = fill_memo(routing, "x", MEMO_PLACES - 2100)
    memo = routing.exchanges["x"].memo
    assert len(memo) == many < MEMO_LIMIT
    for number in range(many, many + 3):
        routing.route("x", str(number))
    assert len(memo) < 4, "it has started afresh"
    assert routing.router.places == routing.router.remembered[routing.exchanges["x"]] < 4 * 2100


def test_routes_of_all_exchanges_together_are_bounded() -> None:
    names = [f"x{number}" for number in range(ALL_MEMO_PLACES // MEMO_PLACES + 2)]
    routing = RoutingHarness(**dict.fromkeys(names, "fanout"))
    for name in names:
        bind_many(routing, name, 2000)
    for name in names:
        fill_memo(routing, name, MEMO_PLACES - 2100)
        assert routing.router.places <= ALL_MEMO_PLACES
    assert not routing.exchanges[names[0]].memo, "the exchange that began first is forgotten"
    assert routing.exchanges[names[-1]].memo
    assert routing.router.places == sum(routing.router.remembered.values())


def test_what_a_deleted_exchange_remembered_does_not_count() -> None:
    routing = RoutingHarness(x="fanout")
    routing.bind("x", Q1)
    routing.route("x", "k")
    assert routing.router.places
    routing.router.forget(routing.exchanges["x"])
    assert not routing.router.places and not routing.router.remembered and not routing.exchanges["x"].memo


def test_an_exchange_is_memoable_if_all_exchanges_behind_it_are() -> None:
    routing = RoutingHarness(x="topic", y="fanout", h="headers")
    y = routing.exchanges["y"]
    routing.bind("x", "y", "#")
    routing.route("x", "k")
    assert routing.router.memoable
    routing.bind("y", "h")
    routing.bind("h", Q1, a=1)
    assert routing.route("x", "k", headers=table(a=1)) == [Q1]
    assert routing.route("x", "k", headers=table(a=2)) == []
    assert not routing.router.memoable
    unbind(y, routing.exchanges["h"])
    routing.alternate("y", "h")
    assert routing.route("x", "k", headers=table(a=1)) == [Q1]
    assert not routing.router.memoable
    routing.alternate("y", None)
    assert routing.route("x", "k", headers=table(a=1)) == []
    assert routing.router.memoable


def test_a_headers_exchange_reads_the_headers_of_the_message() -> None:
    routing = RoutingHarness(h="headers")
    routing.bind("h", Q1, a=1)
    assert routing.route("h", message=Message(headers=table(a=1))) == [Q1]
    assert routing.route("h", message=Message(headers=table(a=2))) == []
    assert routing.route("h", message=Message()) == []
    assert routing.route("h") == []


def test_a_recent_history_exchange_gets_every_message() -> None:
    routing = RoutingHarness(x="fanout", history="x-recent-history")
    routing.bind("x", "history")
    routing.bind("history", Q1)
    messages = [Message(), Message()]
    for message in messages:
        assert routing.route("x", "k", message=message) == [Q1]
    assert routing.exchanges["history"].replay() == messages


def test_delayed_messages_are_kept_until_they_are_due() -> None:
    routing = RoutingHarness(other="fanout")
    delayed = routing.exchanges["d"] = exchange("x-delayed-message", "d", x_delayed_type="direct")
    routing.bind("d", Q1, "k")
    later, now = Message(headers=table(x_delay=700)), Message(headers=table(x_delay=-700))
    assert routing.route("d", "k", message=later) == [Q1]
    waiting: list[Any] = []
    routing.router.postpone = lambda *call: waiting.append(call)
    assert routing.route("d", "k", message=later) == []
    assert routing.route("d", "k", message=now) == [Q1]
    assert waiting == [(delayed, later, 700)]
    routing.bind("other", Q2)
    routing.alternate("d", "other")
    assert routing.route("d", "k", message=later) == [Q2]


@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_random_routes_are_not_remembered(kind: str) -> None:
    routing = RoutingHarness(x=kind)
    routing.bind("x", Q1)
    routing.bind("x", Q2)
    assert {routing.route("x", "k")[0] for _ in range(60)} == {Q1, Q2}


names = st.sampled_from("abc")
ends = st.one_of(names, st.sampled_from([Q1, Q2, Q3]))
keys = st.sampled_from(["k", "l", "#", ""])


@given(
    kinds=st.lists(st.sampled_from(["direct", "fanout", "topic", "headers"]), min_size=3, max_size=3),
    bindings=st.lists(st.tuples(names, ends, keys), max_size=12),
    alternates=st.lists(st.tuples(names, st.sampled_from(["a", "b", "c", "missing"])), max_size=3),
    asked=st.lists(st.tuples(names, st.lists(keys, min_size=1, max_size=3)), max_size=6),
)
def test_routes_equal_those_of_a_simple_model(
    kinds: list[str],
    bindings: list[tuple[str, Any, str]],
    alternates: list[tuple[str, str]],
    asked: list[tuple[str, list[str]]],
) -> None:
    """The model remembers nothing. Routes are asked for after each binding, so that a wrong memo is found."""
    routing = RoutingHarness(**dict(zip("abc", kinds, strict=True)))
    for source, name in alternates:
        routing.alternate(source, name)
    for binding in [None, *bindings]:
        if binding is not None:
            routing.bind(*binding)
        for source, sent in asked:
            queues: set[Any] = set()
            visit(routing, routing.exchanges[source], sent, set(), queues)
            found = routing.route(source, *sent)
            assert len(found) == len(set(found))
            assert set(found) == queues


def visit(
    routing: RoutingHarness, source: Exchange, sent: list[str], seen: set[str], queues: set[Any]
) -> None:
    seen.add(source.name)
    found = reached(source, *sent) if source.by_key else reached(source, headers=Properties().headers)
    if not found and source.alternate in routing.exchanges:
        found = [routing.exchanges[source.alternate or ""]]
    for destination in found:
        if not isinstance(destination, Exchange):
            queues.add(destination)
        elif destination.name not in seen:
            visit(routing, destination, sent, seen, queues)


def test_a_long_walk_can_be_interrupted() -> None:
    routing = RoutingHarness(x="fanout", y="fanout")
    queues = [Queue(str(number)) for number in range(2 * WALK_STEPS)]
    routing.bind("x", "y")
    for queue in queues:
        bind(routing.exchanges["y"], queue)
    routing.router.changed()
    assert routing.router.begin(routing.exchanges["x"], b"k", None, None, None) is None
    walk = routing.router.unfinished
    assert walk is not None and not routing.router.memoable
    while walk.advance(1000) == 0:
        pass
    assert walk.result() == queues
    assert routing.route("x", "k") is routing.exchanges["x"].memo[b"k"], "it is remembered now"
    assert routing.router.steps == 0


def test_a_walk_during_which_something_changes_is_not_remembered() -> None:
    routing = RoutingHarness(x="fanout")
    for number in range(2 * WALK_STEPS):
        bind(routing.exchanges["x"], Queue(str(number)))
    routing.router.begin(routing.exchanges["x"], b"k", None, None, None)
    walk = routing.router.unfinished
    routing.router.changed()
    assert walk is not None
    while walk.advance(1000) == 0:
        pass
    assert len(walk.result()) == 2 * WALK_STEPS and not routing.exchanges["x"].memo


def test_nothing_is_routed_to_what_is_being_deleted() -> None:
    routing = RoutingHarness(x="direct", y="fanout", other="fanout")
    routing.bind("x", Q1, "k")
    routing.bind("x", "y", "k")
    routing.bind("y", Q2)
    routing.bind("other", Q3)
    routing.alternate("x", "other")
    assert routing.route("x", "k") == [Q1, Q2]
    routing.router.leaving[Q1] = None
    routing.router.changed()
    assert routing.route("x", "k") == [Q2]
    routing.router.leaving[routing.exchanges["y"]] = None
    routing.router.changed()
    assert routing.route("x", "k") == [Q3], "nothing matches any more: the alternate exchange gets it"


def test_steps_tell_what_a_route_has_cost() -> None:
    routing = RoutingHarness(x="topic")
    for number in range(100):
        routing.bind("x", Q1, f"#.a.{number}")
    routing.route("x", "a.a.a.7")
    assert routing.router.steps > 1
    routing.route("x", "a.a.a.7")
    assert routing.router.steps == 0
