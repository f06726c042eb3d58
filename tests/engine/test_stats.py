"""Totals that outlive those who counted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue

from leveret.config import Settings
from leveret.engine.stats import DELIVERIES, PUBLISHES, Stats, add, depths, message_stats, received_counts
from leveret.testing.playbook import Connect, Line, Stage, publish, say


class Counted:
    """A broker with `Stats`, and a client with two channels."""

    def __init__(self) -> None:
        self.stage = Stage(Settings(), lambda data: (data,))
        self.broker = self.stage.broker
        self.stats = Stats(self.broker)
        self.broker.observers.add(self.stats)
        self.stage.connect(Connect("a", channels=(1, 2)))

    def play(self, *lines: Line) -> None:
        self.stage.play(lines)

    def published(self) -> dict[str, int]:
        received: dict[str, int] = {}
        for channel in self.stats.channels():
            add(received, received_counts(channel))
            for tally in channel.publish_tallies.values():
                tally.fold()
        return self.stats.publishes(received)

    def of_vhost(self, *names: str) -> tuple[int, ...]:
        totals = self.stats.vhost_totals(self.broker.vhosts["/"])
        return tuple(totals[name] for name in names)


@pytest.fixture
def counted() -> Counted:
    counted = Counted()
    counted.play(say(Queue.Declare, queue="q"))
    return counted


def test_totals_are_exact_at_the_moment_of_asking(counted: Counted) -> None:
    counted.play(*publish(b"1", "q"), *publish(b"2", "q", channel=2), *publish(b"", "nowhere"))
    counted.play(say(Basic.Get, queue="q", no_ack=True))
    assert counted.of_vhost("publish", "drop_unroutable", "get_no_ack", "confirm") == (3, 1, 1, 0)
    published = counted.published()
    assert (published["received"], published["publish"], published["routed"]) == (3, 3, 2)


def test_what_a_channel_counted_outlives_it(counted: Counted) -> None:
    counted.play(say(Confirm.Select), *publish(b"1", "q"), say(Basic.Get, queue="q"), say(Channel.Close))
    names = "publish", "confirm", "get"
    assert counted.of_vhost(*names) == (1, 1, 1)
    counted.stage.hang_up("a")
    assert counted.of_vhost(*names) == (1, 1, 1)
    assert counted.published()["received_confirm"] == 1


def test_what_a_queue_counted_outlives_it(counted: Counted) -> None:
    counted.play(*publish(b"1", "q"), say(Basic.Get, queue="q"), say(Queue.Delete, queue="q"))
    assert counted.stats.deleted_queues() == dict.fromkeys(DELIVERIES, 0) | {"publish": 1, "get": 1}
    assert counted.stats.deliveries("classic")["get"] == 1
    assert counted.stats.deliveries("quorum")["get"] == 0


def test_what_an_exchange_counted_outlives_it(counted: Counted) -> None:
    counted.play(say(Exchange.Declare, exchange="e"), *publish(b"", "k", "e"))
    vhost = counted.broker.vhosts["/"]
    exchange = vhost.exchanges["e"]
    assert counted.stats.exchange_totals(vhost)[exchange]["drop_unroutable"] == 1
    counted.play(say(Exchange.Delete, exchange="e"))
    assert exchange not in counted.stats.exchange_totals(vhost)
    assert counted.of_vhost("publish", "drop_unroutable") == (1, 1)


def test_a_deleted_virtual_host_takes_its_totals_with_it(counted: Counted) -> None:
    counted.play(*publish(b"1", "q"), say(Basic.Get, queue="q", no_ack=True))
    counted.broker.delete_vhost("/")
    counted.stage.listen()
    assert counted.stats.channel_totals() == {}
    assert (counted.published()["publish"], counted.stats.deliveries("classic")["get_no_ack"]) == (1, 1)
    counted.broker.add_vhost("/")
    assert counted.stats.channel_totals() == {"/": dict.fromkeys((*PUBLISHES, *DELIVERIES), 0)}


def test_octets_of_closed_connections_count(counted: Counted) -> None:
    before = counted.stats.octets("/")
    assert before["recv_oct"] > 100 and before["send_oct"] > 100
    counted.stage.hang_up("a")
    assert counted.stats.octets("/") == before
    closed = counted.stats.closed_connections()
    assert {name: closed[name] for name in before} == before
    assert closed["reductions"] > 2 and closed["reads"] > 2 and closed["writes"] > 2


def test_dead_letters_are_no_publishes(counted: Counted) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q", "x-max-length": 1}
    counted.play(say(Queue.Declare, queue="full", arguments=arguments))
    counted.play(*publish(b"1", "full"), *publish(b"2", "full"))
    queue = counted.broker.vhosts["/"].queues["q"]
    assert (queue.ready, queue.published, queue.relayed) == (1, 1, 1)
    assert counted.of_vhost("publish") == (2,)


def test_depths_add_up() -> None:
    queues = [
        SimpleNamespace(ready=2, unacked=1, withheld=0),
        SimpleNamespace(ready=3, unacked=0, withheld=2),
    ]
    assert depths(queues) == {"messages": 8, "messages_ready": 5, "messages_unacknowledged": 1}  # type: ignore[arg-type]


def test_message_stats_show_only_groups_that_counted() -> None:
    nothing = dict.fromkeys(DELIVERIES, 0)
    assert message_stats({"publish": 0, **nothing}) == {}
    assert message_stats({"publish": 1, "confirm": 0, **nothing}) == {"publish": 1, "confirm": 0}
    shown = message_stats({"publish": 0, **nothing, "deliver": 2, "get": 1})
    assert "publish" not in shown
    assert shown["deliver_get"] == 3
