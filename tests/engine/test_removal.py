"""Deleting what has many bindings or leads to much else: what it costs, in which order, and who waits."""

from __future__ import annotations

from collections.abc import Generator
from itertools import count, pairwise
from typing import Any

import pytest

from leveret.engine import startup
from leveret.engine.actor import INTERNAL
from leveret.engine.broker import Broker
from leveret.engine.changes import (
    BindingDeleted,
    Change,
    ConsumerDeleted,
    ExchangeDeleted,
    ExchangeUnregistered,
    QueueDeleted,
    QueueUnregistered,
)
from leveret.engine.observers import Observer
from leveret.engine.operations import INTERNAL_CALLER, declare_exchange, declare_queue
from leveret.engine.policies import Policy
from leveret.engine.removal import FOLDED_TOGETHER, NESTED_TOGETHER, PORTION, flattened
from leveret.engine.tallies import PublishTally
from leveret.queues.queue import Queue
from leveret.routing.exchanges import Exchange
from leveret.wire.tables import Field
from leveret.work import Job, Suspended
from tests.engine.test_vhost import message


class Changes(Observer):
    """All changes."""

    def __init__(self) -> None:
        self.received: list[Change] = []

    def notify(self, change: Change) -> None:
        self.received.append(change)

    def names(self) -> list[str]:
        return [type(change).__name__ for change in self.received]


class Removing:
    """A virtual host whose jobs use up their slice with each portion. `suspended`: the jobs that it waits for."""

    def __init__(self) -> None:
        self.broker = Broker()
        startup.seed(self.broker)
        self.vhost = self.broker.vhosts["/"]
        self.changes = Changes()
        self.broker.observers.add(self.changes)
        self.suspended: list[Job] = []

    def in_slices(self) -> None:
        self.broker.work.timer = count(1).__next__

    def suspend(self, job: Job) -> None:
        self.suspended.append(job)

    def queue(self, name: str = "q") -> Queue:
        return declare_queue(self.vhost, INTERNAL_CALLER, name, durable=True, auto_delete=False, arguments={})

    def exchange(self, name: str, kind: str = "direct", auto_delete: bool = False) -> Exchange:
        return declare_exchange(
            self.vhost,
            INTERNAL_CALLER,
            name,
            kind,
            durable=True,
            auto_delete=auto_delete,
            internal=False,
            arguments={},
        )

    def bind(self, source: Exchange, destination: Any, *keys: str) -> None:
        for key in keys:
            self.vhost.bind(source, destination, key, {})


@pytest.fixture
def removing() -> Removing:
    return Removing()


def test_only_exchanges_that_lead_to_a_queue_are_visited(
    removing: Removing, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = removing.queue()
    sources = [removing.exchange(f"x{number}") for number in range(50)]
    removing.bind(sources[7], queue, "k")
    removing.bind(sources[3], queue, "k", "l")
    asked: list[str] = []
    found = removing.vhost.removals.sources.in_order

    def in_order(end: Any) -> Generator[None, None, list[Any]]:
        names = yield from found(end)
        asked.extend(one.name for one in names)
        return names

    monkeypatch.setattr(removing.vhost.removals.sources, "in_order", in_order)
    removing.vhost.delete_queue(queue)
    assert asked == ["x3", "x7"], "in the order in which they were declared"
    assert not any(source.bindings for source in sources)
    assert not removing.vhost.removals.sources.any(queue)


def test_a_source_stays_listed_until_its_last_binding_goes(removing: Removing) -> None:
    queue, source = removing.queue(), removing.exchange("x")
    removing.bind(source, queue, "k", "l")
    assert len(removing.vhost.bindings_to(queue)) == 2
    removing.vhost.unbind(source, queue, "k", {})
    assert removing.vhost.removals.sources.of(queue) == [source]
    removing.vhost.unbind(source, queue, "l", {})
    assert removing.vhost.removals.sources.of(queue) == []


def test_bindings_go_in_slices_and_the_name_is_kept_meanwhile(removing: Removing) -> None:
    queue, source = removing.queue(), removing.exchange("x", "fanout")
    removing.bind(source, queue, *map(str, range(3 * PORTION)))
    removing.in_slices()
    taken = removing.vhost.take_queue(queue, owner=removing)
    assert not taken.job.done and removing.suspended == [taken.job]
    assert len(source.bindings) == 2 * PORTION and "q" not in removing.vhost.queues
    assert removing.vhost.router.route(source, b"k", None, None, None) == [], "nothing is routed there"
    with pytest.raises(Suspended) as waiting:
        removing.queue()
    assert waiting.value.job is taken.job
    removing.queue("another")
    removing.broker.work.finish()
    assert taken.job.done and not source.bindings
    assert removing.queue() is not queue


def test_a_queue_with_one_binding_of_each_of_many_exchanges_is_deleted_in_slices(removing: Removing) -> None:
    queue = removing.queue()
    sources = [removing.exchange(f"x{number}") for number in range(5 * PORTION)]
    for source in sources:
        removing.bind(source, queue, "k")
    removing.in_slices()
    taken = removing.vhost.take_queue(queue, owner=removing)
    left: list[int] = []
    while not taken.job.done:
        removing.broker.work.run()
        left.append(sum(bool(source.bindings) for source in sources))
    assert not any(source.bindings for source in sources)
    steps = [before - after for before, after in pairwise(left)]
    assert max(steps) <= PORTION and len(left) > 5, "sorting them takes some of the slices"


def test_the_record_of_a_queue_goes_before_its_bindings(removing: Removing) -> None:
    """A store that stops in between has no queue with a part of its bindings."""
    queue, source = removing.queue(), removing.exchange("x", auto_delete=True)
    removing.bind(source, queue, "k")
    removing.changes.received.clear()
    removing.vhost.delete_queue(queue)
    order = [QueueUnregistered, BindingDeleted, ExchangeUnregistered, ExchangeDeleted, QueueDeleted]
    assert [type(change) for change in removing.changes.received] == order


def test_a_long_chain_of_auto_delete_exchanges_is_no_recursion(removing: Removing) -> None:
    queue, length = removing.queue(), 3000
    end: Any = queue
    for number in range(length):
        source = removing.exchange(f"x{number}", "fanout", auto_delete=True)
        removing.bind(source, end, "")
        end = source
    before = len(removing.vhost.exchanges)
    removing.vhost.delete_queue(queue)
    assert len(removing.vhost.exchanges) == before - length
    gone = [one.exchange.name for one in removing.changes.received if isinstance(one, ExchangeDeleted)]
    assert gone == [f"x{number}" for number in reversed(range(length))], "the last one in the chain first"
    assert not removing.vhost.removals.names and not removing.vhost.router.leaving


def test_a_source_that_is_deleted_meanwhile(removing: Removing) -> None:
    queue, source = removing.queue(), removing.exchange("x", "fanout")
    removing.bind(source, queue, *map(str, range(3 * PORTION)))
    removing.in_slices()
    job = removing.vhost.delete_queue(queue)
    other = removing.vhost.delete_exchange(source)
    removing.broker.work.finish()
    assert job.done and other.done
    deleted = [
        one.binding.routing_key for one in removing.changes.received if isinstance(one, BindingDeleted)
    ]
    assert sorted(deleted) == sorted(str(number).encode() for number in range(3 * PORTION))
    assert removing.broker.faults.errors == {}


def test_a_fault_frees_the_name(removing: Removing) -> None:
    queue = removing.queue()

    class Essential(Observer):
        essential = True

        def notify(self, change: Change) -> None:
            if isinstance(change, QueueDeleted):
                raise LookupError

    removing.broker.observers.add(Essential())
    with pytest.raises(LookupError):
        removing.vhost.delete_queue(queue)
    assert not removing.vhost.removals.names and not removing.vhost.router.leaving
    removing.queue()


def test_nested_steps_yield_in_order() -> None:
    def inner(name: str) -> Any:
        seen.append(name)
        yield None

    def outer() -> Any:
        yield inner("a")
        seen.append("b")
        yield None
        yield inner("c")

    seen: list[str] = []
    assert [len(seen) for _ in flattened(outer())] == [1, 2, 3]


def test_policies_are_applied_in_slices(removing: Removing) -> None:
    queues = [removing.queue(f"q{number}") for number in range(20)]
    removing.broker.policies.set(Policy("/", "p", "^q", {"max-length": 7}))
    removing.in_slices()
    job = removing.vhost.apply_policies(removing)
    assert not job.done and removing.suspended == [job]
    removing.vhost.delete_queue(queues[19])
    removing.broker.work.finish()
    limits = [queue.limits.max_length for queue in queues]
    assert limits == [7] * 19 + [-1]
    assert queues[0].policy is queues[1].policy, "the definition is worked out once"


def test_a_virtual_host_goes_in_slices(removing: Removing) -> None:
    vhost = removing.broker.add_vhost("v")
    for number in range(10):
        vhost.declare_queue(f"q{number}", durable=True, auto_delete=False, owner=None, arguments={}, user="u")
    removing.changes.received.clear()
    removing.in_slices()
    assert removing.broker.delete_vhost("v", INTERNAL, removing)
    assert 0 < len(vhost.queues) < 10 and "v" in removing.broker.vhosts
    with pytest.raises(Suspended):
        vhost.check_kept()
    with pytest.raises(Suspended):
        removing.broker.delete_vhost("v")
    late = vhost.declare_queue("late", durable=True, auto_delete=False, owner=None, arguments={}, user="u")
    removing.broker.work.finish()
    assert "v" not in removing.broker.vhosts and late.gone
    names = removing.changes.names()
    assert names.count("QueueDeleted") == 11
    assert names[-2:] == ["VhostExchangesDeleted", "VhostDeleted"]


def test_consumers_of_a_deleted_queue_are_notified_in_slices(removing: Removing) -> None:
    class Member:
        def __init__(self, number: int) -> None:
            self.tag = f"c{number:03}"
            self.tags = cancelled

        def cancelled(self) -> None:
            self.tags.append(self.tag)

    cancelled: list[str] = []
    consumers: Any = [Member(number) for number in reversed(range(3 * PORTION))]
    removing.in_slices()
    removing.vhost.removals.remove_queue(removing.queue(), list(consumers), INTERNAL)
    removing.vhost.cancel_consumers(consumers)
    assert removing.changes.names().count(ConsumerDeleted.__name__) == PORTION
    assert cancelled == [f"c{number:03}" for number in range(PORTION)]
    removing.broker.work.finish()
    assert len(cancelled) == 3 * PORTION
    assert removing.changes.names().count(ConsumerDeleted.__name__) == 3 * PORTION


def test_a_chain_of_auto_delete_exchanges_is_deleted_in_slices(removing: Removing) -> None:
    chain = [removing.exchange(f"x{number}", auto_delete=True) for number in range(100)]
    for source, destination in pairwise(chain):
        removing.bind(source, destination, "k")
    removing.in_slices()
    exchanges = removing.vhost.exchanges
    left, ended = [len(exchanges)], [0]
    job = removing.vhost.delete_exchange(chain[-1])
    while not job.done:
        left.append(len(exchanges))
        ended.append(removing.changes.names().count(ExchangeDeleted.__name__))
        removing.broker.work.run()
    assert max(before - after for before, after in pairwise(left)) <= NESTED_TOGETHER, (
        "one after another begins"
    )
    assert max(after - before for before, after in pairwise(ended)) <= NESTED_TOGETHER, "and ends"
    assert not [name for name in exchanges if name.startswith("x")]


def test_what_very_many_channels_have_published_is_counted_in_slices(removing: Removing) -> None:
    source = removing.exchange("x")
    total = source.tally = PublishTally(source)
    for _ in range(10 * FOLDED_TOGETHER):
        total.begin().sent([])
    removing.in_slices()
    job = removing.vhost.delete_exchange(source)
    left: list[int] = []
    while not job.done:
        left.append(len(total.changed))
        removing.broker.work.run()
    assert max(before - after for before, after in pairwise(left)) <= FOLDED_TOGETHER
    assert total.published == 10 * FOLDED_TOGETHER and source.tally is None


def test_a_long_history_is_published_in_slices(removing: Removing) -> None:
    source = removing.vhost.declare_exchange(
        "h",
        "x-recent-history",
        durable=True,
        auto_delete=False,
        internal=False,
        arguments={"x-recent-history-length": Field("I", 1000)},
        user="u",
    )
    for number in range(3 * PORTION):
        removing.vhost.publisher.publish(source, message(b"%d" % number), "test")
    queue = removing.queue()
    removing.in_slices()
    removing.vhost.bind(source, queue, "", {}, INTERNAL, removing)
    assert queue.ready == PORTION and len(removing.suspended) == 1
    removing.broker.work.finish()
    bodies = [got.message.body for got in iter(lambda: queue.get(True), None)]
    assert bodies == [b"%d" % number for number in range(3 * PORTION)], "oldest first"
