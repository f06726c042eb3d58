"""Totals that include closed channels and deleted queues, and rates that are sampled only while somebody reads them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leveret.clock import Agenda, VirtualClock
from leveret.engine.actor import INTERNAL
from leveret.engine.changes import ChannelClosed, ConnectionClosed, QueueDeleted, VhostDeleted
from leveret.engine.context import Counters
from leveret.engine.stats import SAMPLE_INTERVAL_MS, SAMPLING_TIMEOUT_MS, Stats, depths, message_stats

COUNTERS = (
    "published",
    "returned",
    "dropped",
    "routed",
    "delivered",
    "delivered_no_ack",
    "got",
    "got_no_ack",
)
COUNTERS += ("got_empty", "acked", "redelivered")


class StatsHarness:
    """The part of a broker that `Stats` reads: one virtual host, one connection."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.message_time = Agenda(self.clock)
        self.clock.agenda = self.message_time
        self.vhost = Thing(name="/", queues={}, connections=set())
        self.vhosts = {"/": self.vhost}
        self.connection: Any = Thing(name="c", channels={}, vhost=self.vhost, received=0, sent=0)
        self.vhost.connections.add(self.connection)
        self.connections = {self.connection}
        for name in ("connections_created", "connections_closed", "channels_opened", "channels_closed"):
            setattr(self, name, 0)
        self.counters = Counters()

    def channel(self, **counted: int) -> Any:
        channel = Thing(vhost=self.vhost, gone=False, confirms=None, **dict.fromkeys(COUNTERS, 0) | counted)
        self.connection.channels[len(self.connection.channels) + 1] = channel
        return channel

    def queue(self, name: str, **counted: int) -> Any:
        blank: dict[str, Any] = dict.fromkeys(COUNTERS, 0)
        queue = Thing(name=name, vhost="/", kind="classic", ready=0, unacked=0, withheld=0, **blank | counted)
        self.vhost.queues[name] = queue
        return queue


class Thing(SimpleNamespace):
    """A namespace that can be a key, as the engine's objects can."""

    __hash__ = object.__hash__


@pytest.fixture
def harness() -> StatsHarness:
    return StatsHarness()


@pytest.fixture
def stats(harness: StatsHarness) -> Stats:
    return Stats(harness)  # type: ignore[arg-type]


def test_totals_are_exact_when_they_are_read(harness: StatsHarness, stats: Stats) -> None:
    channel = harness.channel(published=2)
    channel.published += 1
    assert stats.channel_totals()["/"]["publish"] == 3


def test_counts_of_a_closed_channel_stay_in_the_totals(harness: StatsHarness, stats: Stats) -> None:
    channel = harness.channel(published=2, acked=1)
    harness.channel(published=1)
    channel.gone = True
    stats.notify(ChannelClosed(INTERNAL, channel, 0))
    assert stats.channel_totals()["/"]["publish"] == 3
    assert stats.channel_totals()["/"]["ack"] == 1
    harness.connection.channels.clear()
    assert stats.channel_totals()["/"]["publish"] == 2


def test_counts_of_a_deleted_queue_stay_in_the_totals(harness: StatsHarness, stats: Stats) -> None:
    queue = harness.queue("q", published=4)
    del harness.vhost.queues["q"]
    stats.notify(QueueDeleted(INTERNAL, harness.vhost.name, queue))
    assert stats.queue_totals("classic")["publish"] == 4
    assert stats.queue_totals("quorum") == {}


def test_the_totals_of_a_deleted_virtual_host_are_deleted(harness: StatsHarness, stats: Stats) -> None:
    stats.notify(ChannelClosed(INTERNAL, harness.channel(published=2), 0))
    stats.notify(VhostDeleted(INTERNAL, harness.vhost.name))
    harness.connection.channels.clear()
    assert stats.channel_totals() == {"/": {}}


def test_octets_of_closed_connections_stay_in_the_totals(harness: StatsHarness, stats: Stats) -> None:
    harness.connection.received, harness.connection.sent = 10, 20
    assert stats.octets("/") == {"recv_oct": 10, "send_oct": 20}
    harness.vhost.connections.clear()
    stats.notify(ConnectionClosed(INTERNAL, harness.connection))
    assert stats.octets("/") == {"recv_oct": 10, "send_oct": 20}


def test_confirms_are_counted_without_nacks_and_unconfirmed_publishes(
    harness: StatsHarness, stats: Stats
) -> None:
    channel = harness.channel(published=5)
    channel.confirms = SimpleNamespace(last=6, unconfirmed=2, nacked=1)
    totals = stats.channel_totals()["/"]
    assert (totals["publish_confirm"], totals["confirm"]) == (6, 3)


def test_a_rate_is_the_difference_between_samples(harness: StatsHarness, stats: Stats) -> None:
    queue = harness.queue("q")
    assert stats.rates_of(queue, {"publish": 0}) == {"publish": 0.0}
    queue.published = 100
    harness.clock.advance(SAMPLE_INTERVAL_MS)
    assert stats.rates_of(queue, {"publish": 100}) == {"publish": 20.0}
    harness.clock.advance(2 * SAMPLE_INTERVAL_MS)
    assert stats.rates_of(queue, {"publish": 100}) == {"publish": 0.0}


def test_a_rate_over_a_short_time_is_not_too_high(harness: StatsHarness, stats: Stats) -> None:
    queue = harness.queue("q")
    stats.rates_of(queue, {"publish": 0})
    harness.clock.advance(10)
    assert stats.rates_of(queue, {"publish": 50}) == {"publish": 10.0}


def test_sampling_stops_when_nobody_reads_rates(harness: StatsHarness, stats: Stats) -> None:
    stats.rates_of(harness, {"publish": 0})
    assert harness.message_time.next_at() == harness.clock.now + SAMPLE_INTERVAL_MS
    harness.clock.advance(SAMPLING_TIMEOUT_MS + 2 * SAMPLE_INTERVAL_MS)
    assert harness.message_time.next_at() > harness.clock.now + SAMPLING_TIMEOUT_MS


def test_depths_are_summed_over_queues() -> None:
    queues = [
        SimpleNamespace(ready=2, unacked=1, withheld=0),
        SimpleNamespace(ready=3, unacked=0, withheld=2),
    ]
    assert depths(queues) == {"messages": 8, "messages_ready": 5, "messages_unacknowledged": 1}


def test_message_stats_show_only_groups_that_counted() -> None:
    nothing = dict.fromkeys(
        ("deliver", "deliver_no_ack", "get", "get_no_ack", "get_empty", "ack", "redeliver"), 0
    )
    assert message_stats({"publish": 0, **nothing}) == {}
    assert message_stats({"publish": 1, "confirm": 0, **nothing}) == {"publish": 1, "confirm": 0}
    shown = message_stats({"publish": 0, **nothing, "deliver": 2, "get": 1})
    assert "publish" not in shown
    assert shown["deliver_get"] == 3
