"""Samples are taken in slices of what has changed; rates and charts are made of them."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Exchange, Queue

from leveret.config import Settings
from leveret.engine import samples, stats
from leveret.engine.samples import INTERVAL_MS, History, Sampler, Window
from leveret.engine.stats import Stats, fold_steps, queue_counts
from leveret.testing.playbook import Connect, Line, Stage, publish, say


class Sampled:
    """A broker with a `Sampler` that has made its first pass, a client, and a queue."""

    def __init__(self, detailed: bool = False) -> None:
        self.stage = Stage(Settings(), lambda data: (data,))
        self.broker = self.stage.broker
        self.stats = Stats(self.broker)
        self.sampler = Sampler(self.stats, detailed)
        for observer in (self.stats, self.sampler):
            self.broker.observers.add(observer)
        self.stage.connect(Connect("a"))
        self.sampler.start()
        self.stage.play([say(Queue.Declare, queue="q")])

    def play(self, *lines: Line) -> None:
        self.stage.play(lines)

    def publish(self, count: int, key: str = "q") -> None:
        self.stage.play([line for _ in range(count) for line in publish(b"x", key)])

    @property
    def queue(self) -> Any:
        return self.broker.vhosts["/"].queues["q"]

    def rate(self, name: str = "publish") -> object:
        return self.sampler.details(self.queue, queue_counts(self.queue))[name]["rate"]


@pytest.fixture
def sampled() -> Sampled:
    return Sampled()


def test_rates_are_right_from_the_first_question(sampled: Sampled) -> None:
    sampled.stage.advance(2 * INTERVAL_MS)
    sampled.publish(100)
    sampled.stage.advance(1000)
    assert sampled.rate() == 100 / 6
    sampled.stage.advance(INTERVAL_MS)
    assert sampled.rate() == 100 / 6
    sampled.stage.advance(2 * INTERVAL_MS)
    assert sampled.rate() == 0.0


def test_a_short_look_back_does_not_exaggerate(sampled: Sampled) -> None:
    sampled.stage.advance(INTERVAL_MS)
    sampled.publish(50)
    assert sampled.rate() == 10.0


def test_what_is_there_at_the_start_is_no_rate() -> None:
    stage = Stage(Settings(), lambda data: (data,))
    stage.connect(Connect("a"))
    stage.play([say(Queue.Declare, queue="q"), *publish(b"x", "q")])
    sampler = Sampler(Stats(stage.broker))
    sampler.start()
    stage.advance(1000)
    queue = stage.broker.vhosts["/"].queues["q"]
    assert sampler.details(queue, {"messages": 1, "publish": 1}) == {
        "messages": {"rate": 0.0},
        "publish": {"rate": 0.0},
    }


def test_samples_of_a_window(sampled: Sampled) -> None:
    sampled.stage.advance(INTERVAL_MS)
    sampled.publish(10)
    sampled.stage.advance(INTERVAL_MS)
    sampled.publish(20)
    sampled.stage.advance(INTERVAL_MS)
    now = sampled.sampler.now
    shown = sampled.sampler.details(
        sampled.queue, {"publish": 30}, Window(now - 2 * INTERVAL_MS, now, INTERVAL_MS)
    )["publish"]
    assert shown["samples"] == [
        {"sample": 30, "timestamp": now},
        {"sample": 10, "timestamp": now - INTERVAL_MS},
        {"sample": 0, "timestamp": now - 2 * INTERVAL_MS},
    ]
    assert (shown["avg"], shown["avg_rate"]) == (40 / 3, 3.0)


def test_totals_are_sampled(sampled: Sampled) -> None:
    sampled.stage.advance(INTERVAL_MS)
    sampled.publish(50)
    sampled.stage.advance(INTERVAL_MS)
    vhost = sampled.broker.vhosts["/"]
    for subject in (vhost, sampled.broker):
        details = sampled.sampler.details(subject, {"publish": 50, "messages": 50, "deliver_get": 0})
        assert {name: one["rate"] for name, one in details.items()} == {
            "publish": 10.0,
            "messages": 10.0,
            "deliver_get": 0.0,
        }


def test_parts_of_a_channel_and_routes_are_sampled_in_detail() -> None:
    sampled = Sampled(detailed=True)
    sampled.stage.advance(INTERVAL_MS)
    sampled.publish(50)
    sampled.play(say(Basic.Get, queue="q", no_ack=True))
    sampled.stage.advance(INTERVAL_MS)
    (channel,) = sampled.stats.channels()
    (published,), (got,) = channel.publish_tallies.values(), channel.delivery_tallies.values()
    part = sampled.sampler.part_details
    assert part(channel, published, {"publish": 50})["publish"]["rate"] == 10.0
    assert part(channel, got, {"get_no_ack": 1, "deliver_get": 1})["deliver_get"]["rate"] == 0.2
    exchange = sampled.broker.vhosts["/"].exchanges[""]
    assert sampled.sampler.route_details(exchange, sampled.queue, {"publish": 50})["publish"]["rate"] == 10.0
    assert (
        sampled.sampler.details(exchange, {"publish_in": 50, "publish_out": 50})["publish_out"]["rate"]
        == 10.0
    )


def test_parts_and_routes_of_very_many_queues_are_sampled_in_portions() -> None:
    sampled = Sampled(detailed=True)
    for number in range(100):
        sampled.play(say(Queue.Declare, queue=f"q{number}"))
        sampled.publish(1, f"q{number}")
        sampled.play(say(Basic.Get, queue=f"q{number}", no_ack=True))
    (channel,) = sampled.stats.channels()
    exchange = sampled.broker.vhosts["/"].exchanges[""]
    assert len(list(sampled.sampler._visit_parts(channel))) == 10
    assert len(sampled.sampler._parts[channel]) == 101
    assert len(list(sampled.sampler._visit_channel(channel))) >= 10
    assert len(list(sampled.sampler._visit_exchange(exchange))) == 10
    assert len(sampled.sampler._routes) == 100


def test_a_channel_that_is_closed_while_its_parts_are_sampled_is_forgotten() -> None:
    sampled = Sampled(detailed=True)
    sampled.publish(1)
    (channel,) = sampled.stats.channels()
    visits = sampled.sampler._visit_parts(channel)
    sampled.stage.hang_up("a")
    list(visits)
    assert channel not in sampled.sampler._parts


def test_what_has_ended_is_forgotten() -> None:
    sampled = Sampled(detailed=True)
    sampled.publish(1)
    sampled.stage.advance(INTERVAL_MS)
    sampled.play(say(Queue.Delete, queue="q"))
    sampled.stage.hang_up("a")
    sampled.broker.delete_vhost("/")
    assert list(sampled.sampler._histories) == [sampled.broker]
    assert not sampled.sampler._parts and not sampled.sampler._routes


def test_what_is_idle_has_no_history(sampled: Sampled) -> None:
    sampled.stage.advance(3 * INTERVAL_MS)
    assert sampled.queue not in sampled.sampler._histories


def test_passes_are_made_in_slices(sampled: Sampled, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled.publish(1)
    visited: list[object] = []
    monkeypatch.setattr(sampled.sampler, "_visit_queue", lambda queue, total: visited.append(queue))
    monkeypatch.setattr(samples, "SLICE_LENGTH", 2)
    for number in range(9):
        sampled.play(say(Queue.Declare, queue=f"more{number}"))
    sampled.stage.advance(INTERVAL_MS)
    assert len(visited) == 2
    sampled.stage.advance(4 * samples.SLICE_PAUSE_MS)
    assert len(visited) == 10


def test_exchanges_without_counts_are_passed_over_in_portions(
    sampled: Sampled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "UNCOUNTED_TOGETHER", 10)
    before = len(list(sampled.sampler._visit_all()))
    sampled.play(
        *(say(Exchange.Declare, exchange=f"e{number}", exchange_type="fanout") for number in range(100))
    )
    assert len(list(sampled.sampler._visit_all())) >= before + 10


def test_other_things_can_be_watched(sampled: Sampled) -> None:
    sampled.sampler.watch("node", lambda: {"mem_used": sampled.sampler.now})
    sampled.stage.advance(3 * INTERVAL_MS)
    rate = sampled.sampler.details("node", {"mem_used": sampled.sampler.now})["mem_used"]["rate"]
    assert rate == 1000.0


def test_rows_are_bounded() -> None:
    history = History({"publish": 0})
    for number in range(20):
        history.add(number * INTERVAL_MS, {"publish": number}, 5)
    assert len(history.rows) == 10
    history.add(10**9, {"publish": 100}, 5)
    assert list(history.rows) == [95_000, 19, 10**9, 100]  # the older row holds until the newer one
    history.add(10**9 + 1, {"publish": 100}, 5)
    assert len(history.rows) == 4


def test_counts_of_very_many_channels_are_added_up_in_portions(
    sampled: Sampled, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled.publish(1)
    total = sampled.broker.vhosts["/"].exchanges[""].tally
    parts = [total.begin() for _ in range(10)]
    monkeypatch.setattr(stats, "FOLDED_TOGETHER", 2)
    for part in parts:
        part.sent([sampled.queue])
    folded: list[int] = []
    for _ in fold_steps(total):
        folded.append(sum(part.published for part in parts))
    assert folded == sorted(folded) and len(folded) == 5
    assert sum(part.published for part in parts) == 10 and total.published == 11
