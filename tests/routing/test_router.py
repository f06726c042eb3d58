"""The router: exchanges behind exchanges, alternate exchanges, additional keys, and the route memo."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.routing.exchanges import Exchange
from leveret.routing.router import MEMO_LIMIT, Router
from leveret.wire.properties import Properties
from leveret.wire.tables import Table

from .fakes import Message, Queue, bind, exchange, reached, table, unbind

Q1, Q2, Q3 = Queue("q1"), Queue("q2"), Queue("q3")


class Destination:
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
    place = Destination(x="topic")
    place.bind("x", Q1, "#")
    place.bind("x", Q1, "a")
    place.bind("x", Q2, "*")
    assert sorted(place.route("x", "a", "a", "b"), key=repr) == [Q1, Q2]
    assert place.route("x", "a.b") == [Q1]


def test_the_default_exchange_routes_by_queue_name() -> None:
    place = Destination()
    assert place.route("", "q1") == [Q1]
    assert place.route("", "nope") == []
    assert place.route("", "nope", "q2", "q1", "q2") == [Q2, Q1]
    assert place.exchanges[""].memo == {}
    assert place.router.memoable
    asked: list[bytes] = []
    place.router.fallback = lambda key: asked.append(key) or (Q3 if key == b"reply" else None)
    assert place.route("", "reply") == [Q3]
    assert place.route("", "nope") == []
    assert place.route("", "q1") == [Q1]
    assert asked == [b"reply", b"nope"]


def test_the_default_exchange_is_no_alternate_and_has_none() -> None:
    """RabbitMQ 4.3.6: an alternate exchange "" routes nothing, and the default exchange has no alternate exchange."""
    place = Destination(x="direct", y="fanout")
    place.alternate("x", "")
    assert place.route("x", "q1") == []
    place.bind("y", Q1)
    place.alternate("", "y")
    assert place.route("", "nope") == []


def test_bound_exchanges_route_on() -> None:
    place = Destination(x="topic", y="direct", z="fanout")
    place.bind("x", "y", "a.#")
    place.bind("x", Q1, "a.b")
    place.bind("y", "z", "a.b")
    place.bind("y", Q2, "a.c")
    place.bind("z", Q3)
    place.bind("z", Q1)
    assert place.route("x", "a.b") == [Q1, Q3]
    assert place.route("x", "a.c") == [Q2]
    assert place.route("x", "b") == []


def test_cycles_of_exchanges_end() -> None:
    place = Destination(x="fanout", y="fanout")
    place.bind("x", "y")
    place.bind("y", "x")
    place.bind("x", "x")
    place.bind("y", Q1)
    assert place.route("x") == place.route("y") == [Q1]
    place.alternate("x", "x")
    assert place.route("x") == [Q1]


def test_the_alternate_exchange_gets_what_has_no_route() -> None:
    place = Destination(x="direct", y="direct", z="fanout")
    place.bind("x", Q1, "one")
    place.bind("y", Q2, "two")
    place.bind("z", Q3)
    place.alternate("x", "y")
    assert [place.route("x", key) for key in ("one", "two", "three")] == [[Q1], [Q2], []]
    place.alternate("y", "z")
    assert [place.route("x", key) for key in ("one", "two", "three")] == [[Q1], [Q2], [Q3]]
    place.alternate("y", "missing")
    assert place.route("x", "three") == []
    place.alternate("x", None)
    assert place.route("x", "two") == []


def test_a_matching_exchange_without_queues_counts_as_a_route() -> None:
    """A matching binding counts, even if no queue is behind it (rabbit_exchange:process_alternate)."""
    place = Destination(x="direct", empty="fanout", other="fanout")
    place.bind("x", "empty", "k")
    place.bind("other", Q1)
    place.alternate("x", "other")
    assert place.route("x", "k") == []
    assert place.route("x", "l") == [Q1]


def test_the_route_memo_holds_until_a_binding_changes() -> None:
    place = Destination(x="direct", y="fanout")
    x = place.exchanges["x"]
    place.bind("x", Q1, "k")
    first = place.route("x", "k")
    assert place.route("x", "k") is first
    assert place.route("x", "k", "other") is not first
    place.bind("x", Q2, "k")
    assert place.route("x", "k") == [Q1, Q2]
    unbind(x, Q1, "k")
    place.router.changed()
    assert place.route("x", "k") == [Q2]
    place.bind("x", "y", "k")
    place.bind("y", Q3)
    assert place.route("x", "k") == [Q2, Q3]
    del place.exchanges["y"]
    revision = place.router.revision
    place.router.revision += 1
    assert place.router.revision == revision + 1
    assert list(x.memo) == [b"k"]
    place.route("x", "j")
    assert list(x.memo) == [b"j"]


def test_the_route_memo_is_bounded() -> None:
    place = Destination(x="fanout")
    place.bind("x", Q1)
    for number in range(MEMO_LIMIT + 10):
        assert place.route("x", str(number)) == [Q1]
    assert len(place.exchanges["x"].memo) == 10


def test_an_exchange_is_memoable_if_all_exchanges_behind_it_are() -> None:
    place = Destination(x="topic", y="fanout", h="headers")
    y = place.exchanges["y"]
    place.bind("x", "y", "#")
    place.route("x", "k")
    assert place.router.memoable
    place.bind("y", "h")
    place.bind("h", Q1, a=1)
    assert place.route("x", "k", headers=table(a=1)) == [Q1]
    assert place.route("x", "k", headers=table(a=2)) == []
    assert not place.router.memoable
    unbind(y, place.exchanges["h"])
    place.alternate("y", "h")
    assert place.route("x", "k", headers=table(a=1)) == [Q1]
    assert not place.router.memoable
    place.alternate("y", None)
    assert place.route("x", "k", headers=table(a=1)) == []
    assert place.router.memoable


def test_a_headers_exchange_reads_the_headers_of_the_message() -> None:
    place = Destination(h="headers")
    place.bind("h", Q1, a=1)
    assert place.route("h", message=Message(headers=table(a=1))) == [Q1]
    assert place.route("h", message=Message(headers=table(a=2))) == []
    assert place.route("h", message=Message()) == []
    assert place.route("h") == []


def test_a_recent_history_exchange_gets_every_message() -> None:
    place = Destination(x="fanout", history="x-recent-history")
    place.bind("x", "history")
    place.bind("history", Q1)
    messages = [Message(), Message()]
    for message in messages:
        assert place.route("x", "k", message=message) == [Q1]
    assert place.exchanges["history"].replay() == messages


def test_delayed_messages_are_kept_until_they_are_due() -> None:
    place = Destination(other="fanout")
    delayed = place.exchanges["d"] = exchange("x-delayed-message", "d", x_delayed_type="direct")
    place.bind("d", Q1, "k")
    later, now = Message(headers=table(x_delay=700)), Message(headers=table(x_delay=-700))
    assert place.route("d", "k", message=later) == [Q1]
    waiting: list[Any] = []
    place.router.postpone = lambda *call: waiting.append(call)
    assert place.route("d", "k", message=later) == []
    assert place.route("d", "k", message=now) == [Q1]
    assert waiting == [(delayed, later, 700)]
    place.bind("other", Q2)
    place.alternate("d", "other")
    assert place.route("d", "k", message=later) == [Q2]


@pytest.mark.parametrize("kind", ["x-random", "x-local-random"])
def test_random_routes_are_not_remembered(kind: str) -> None:
    place = Destination(x=kind)
    place.bind("x", Q1)
    place.bind("x", Q2)
    assert {place.route("x", "k")[0] for _ in range(60)} == {Q1, Q2}


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
    place = Destination(**dict(zip("abc", kinds, strict=True)))
    for source, name in alternates:
        place.alternate(source, name)
    for binding in [None, *bindings]:
        if binding is not None:
            place.bind(*binding)
        for source, sent in asked:
            queues: set[Any] = set()
            visit(place, place.exchanges[source], sent, set(), queues)
            found = place.route(source, *sent)
            assert len(found) == len(set(found))
            assert set(found) == queues


def visit(place: Destination, source: Exchange, sent: list[str], seen: set[str], queues: set[Any]) -> None:
    seen.add(source.name)
    found = reached(source, *sent) if source.by_key else reached(source, headers=Properties().headers)
    if not found and source.alternate in place.exchanges:
        found = [place.exchanges[source.alternate or ""]]
    for destination in found:
        if not isinstance(destination, Exchange):
            queues.add(destination)
        elif destination.name not in seen:
            visit(place, destination, sent, seen, queues)
