"""Counts by exchange and queue, as fine as RabbitMQ's, and their totals."""

from __future__ import annotations

from typing import Any

from pamqp.commands import Basic, Channel, Confirm, Exchange, Queue, Tx

from leveret.config import Settings
from leveret.engine.stats import channel_counts
from leveret.engine.tallies import PublishTally
from leveret.queues.tallies import MessageSizes
from leveret.session.late_publish import PORTION
from leveret.testing.playbook import Connect, Playbook, Stage, content, delivery, publish, say

DECLARE = [say(Queue.Declare, queue=name) for name in "qr"]
DECLARED = [say(Queue.DeclareOk, queue=name) for name in "qr"]
BIND = [say(Queue.Bind, queue=name, exchange="amq.fanout") for name in "qr"]
BOUND = [say(Queue.BindOk)] * 2


def bound(play: Playbook) -> Playbook:
    """Queues q and r, both bound to amq.fanout."""
    return play >> [*DECLARE, *BIND] << [*DECLARED, *BOUND]


def channel_of(play: Playbook) -> Any:
    return play.stage.clients["a"].connection.channels[1]


def by_queue(tally: Any) -> dict[str, int]:
    tally.fold()
    return {queue.name: count for queue, count in tally.queues.items()}


def tallies(play: Playbook) -> dict[str, Any]:
    found = channel_of(play).publish_tallies
    for tally in found.values():
        tally.fold()
    return {exchange.name: tally for exchange, tally in found.items()}


def test_publishes_are_counted_by_exchange_and_queue(play: Playbook) -> None:
    messages = [publish(b"x", "", "amq.fanout"), publish(b"x", "q"), publish(b"x", "", "amq.fanout")]
    assert bound(play) >> [line for lines in messages for line in lines]
    found = tallies(play)
    assert by_queue(found["amq.fanout"]) == {"q": 2, "r": 2}
    assert by_queue(found[""]) == {"q": 1}
    assert (found["amq.fanout"].published, found["amq.fanout"].routed) == (2, 4)
    total = found["amq.fanout"].total
    assert (total.published, by_queue(total)) == (2, {"q": 2, "r": 2})


def test_publishes_in_a_transaction_count_when_it_is_committed(play: Playbook) -> None:
    assert bound(play) >> [say(Tx.Select), *publish(b"x", "q")] << say(Tx.SelectOk)
    tally = tallies(play)[""]
    assert (tally.published, channel_of(play).received, channel_of(play).held_publishes) == (0, 1, 1)
    assert play >> say(Tx.Commit) << say(Tx.CommitOk)
    tally = tallies(play)[""]
    assert (tally.published, by_queue(tally)) == (1, {"q": 1})


def test_confirms_are_promised_by_exchange(play: Playbook) -> None:
    assert (
        bound(play)
        >> say(Confirm.Select)
        << say(Confirm.SelectOk)
        >> [*publish(b"x", "q"), *publish(b"x", "nope", "amq.direct")]
        << say(Basic.Ack, delivery_tag=2, multiple=True)
    )
    found = tallies(play)
    assert (found[""].promised, found[""].dropped) == (1, 0)
    assert (found["amq.direct"].promised, found["amq.direct"].dropped) == (1, 1)


def test_deliveries_are_counted_by_queue(play: Playbook) -> None:
    get = say(Basic.Get, queue="r", no_ack=True)
    got = say(Basic.GetOk, delivery_tag=2, exchange="amq.fanout", routing_key="", message_count=0)
    assert (
        bound(play)
        >> [say(Basic.Consume, queue="q", consumer_tag="c"), *publish(b"x", "", "amq.fanout")]
        << [say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"x", 1, "", "amq.fanout")]
        >> [say(Basic.Ack, delivery_tag=1), get, get]
        << [got, content(b"x"), say(Basic.GetEmpty)]
    )
    channel = channel_of(play)
    q, r = channel.delivery_tallies.values()
    assert (q.source.name, q.delivered, q.acked) == ("q", 1, 1)
    assert (r.source.name, r.got_no_ack, r.got_empty, r.acked) == ("r", 1, 1, 0)
    total = channel.context.delivery_totals["classic"].sum()
    assert (total.delivered, total.acked, total.got_no_ack, total.got_empty) == (1, 1, 1, 1)


def test_queues_that_are_gone_are_forgotten_in_time(play: Playbook) -> None:
    assert play >> DECLARE[0] << DECLARED[0]
    for _ in range(40):
        play = (
            play
            >> [say(Basic.Get, queue="q"), say(Queue.Delete, queue="q"), DECLARE[0]]
            << [say(Basic.GetEmpty), say(Queue.DeleteOk, message_count=0), DECLARED[0]]
        )
    assert play
    channel = channel_of(play)
    assert len(channel.delivery_tallies) <= 17
    kept = sum(tally.got_empty for tally in channel.delivery_tallies.values())
    assert kept + channel.ended_tally.got_empty == 40


def test_an_exchange_that_was_declared_again_is_another_one(play: Playbook) -> None:
    declare = say(Exchange.Declare, exchange="e", exchange_type="fanout")
    steps = [declare, *publish(b"", "", "e"), say(Exchange.Delete, exchange="e"), declare]
    answers = [say(Exchange.DeclareOk), say(Exchange.DeleteOk), say(Exchange.DeclareOk)]
    assert play >> [*steps, *publish(b"", "", "e")] << answers
    old, new = tallies(play).values(), channel_of(play).vhost.exchanges["e"].tally
    assert [tally.published for tally in channel_of(play).publish_tallies.values()] == [1, 1]
    assert (len(old), new.published) == (1, 1)


def test_exchanges_that_are_gone_are_forgotten_in_time(play: Playbook) -> None:
    declare, delete = say(Exchange.Declare, exchange="e"), say(Exchange.Delete, exchange="e")
    assert play >> say(Confirm.Select) << say(Confirm.SelectOk)
    for number in range(1, 41):
        play = (
            play
            >> [declare, *publish(b"", "", "e"), delete]
            << [say(Exchange.DeclareOk), say(Exchange.DeleteOk), say(Basic.Ack, delivery_tag=number)]
        )
    assert play
    channel = channel_of(play)
    assert len(channel.publish_tallies) <= 17
    counts = channel_counts(channel)
    assert (counts["publish"], counts["confirm"], counts["drop_unroutable"]) == (40, 40, 40)


def many_queues(count: int) -> Stage:
    """A client, and so many queues that are bound to amq.fanout."""
    stage = Stage(Settings(), lambda data: (data,))
    stage.connect(Connect("a"))
    for number in range(count):
        name = f"q{number}"
        stage.play([say(Queue.Declare, queue=name), say(Queue.Bind, queue=name, exchange="amq.fanout")])
    return stage


def test_many_routes_are_counted() -> None:
    stage = many_queues(100)
    for _ in range(2):
        for number in range(100):
            stage.play(publish(b"x", f"q{number}"))
    for number in range(0, 100, 2):
        stage.play([say(Queue.Delete, queue=f"q{number}")])
    (tally,) = stage.clients["a"].connection.channels[1].publish_tallies.values()
    kept = {name: count for name, count in by_queue(tally).items() if int(name[1:]) % 2}
    tally.fold()
    assert (tally.published, tally.routed) == (200, 200)
    assert kept == {f"q{number}": 2 for number in range(1, 100, 2)}


def test_long_lists_are_counted_in_portions() -> None:
    queues: list[Any] = list(many_queues(PORTION + 1).broker.vhosts["/"].queues.values())
    total = PublishTally(None)
    part, lists = total.begin(), [list(queues) for _ in range(20)]
    steps = 0
    for targets in lists:
        while part.full_for(targets):
            before = sum(part.queues.values())
            part.spread(PORTION)
            steps += 1
            assert sum(part.queues.values()) - before <= 2 * PORTION, "two publishes for each list"
        part.sent(targets)
        part.sent(targets)
    assert steps and (part.publishes(), part.destinations()) == (40, set(queues))
    assert total.publishes() == 40, "with what its parts have counted"
    part.leave()
    assert total.queues == part.queues == dict.fromkeys(queues, 40)
    assert (total.published, total.routed) == (40, 40 * (PORTION + 1))


def test_a_publish_that_takes_long_is_counted_once() -> None:
    stage = many_queues(PORTION + 1)
    stage.play([say(Confirm.Select), *publish(b"x", "", "amq.fanout")])
    (tally,) = stage.clients["a"].connection.channels[1].publish_tallies.values()
    tally.fold()
    assert (tally.published, tally.promised, tally.routed) == (1, 1, PORTION + 1)
    assert (tally.total.published, tally.total.promised, tally.total.routed) == (1, 1, PORTION + 1)


def test_sizes_are_counted_in_rabbitmqs_buckets() -> None:
    sizes = MessageSizes()
    given = [0, 100, 101, 1_000, 10_000, 10_001, 1_000_000, 9_999_999, 50_000_000, 99_000_000, 100_000_001]
    for size in given:
        sizes.observe(size, 1)
    assert sizes.octets == sum(given)
    assert sizes.buckets() == [
        (100, 2),
        (1_000, 2),
        (10_000, 1),
        (100_000, 1),
        (1_000_000, 1),
        (10_000_000, 1),
        (50_000_000, 1),
        (100_000_000, 1),
        (None, 1),
    ]


def test_totals_keep_what_a_closed_channel_has_counted() -> None:
    stage = many_queues(1)
    stage.play([*publish(b"x", "q0"), say(Basic.Get, queue="q0", no_ack=True)])
    channel = stage.clients["a"].connection.channels[1]
    stage.play([say(Channel.Close, reply_code=200, reply_text="", class_id=0, method_id=0)])
    total = channel.context.delivery_totals["classic"]
    exchange = channel.vhost.exchanges[""].tally
    assert (total.parts, exchange.open, exchange.changed) == (set(), 0, set())
    assert (total.sum().got_no_ack, exchange.published, exchange.routed) == (1, 1, 1)
    assert channel.connection.broker.counters.message_sizes.octets == 1


def test_an_ack_for_a_queue_that_is_gone_is_counted() -> None:
    stage = many_queues(20)
    gets = [say(Basic.Get, queue=f"q{number}") for number in range(1, 20)]
    consume = say(Basic.Consume, queue="q0", consumer_tag="c")
    stage.play([*publish(b"x", "q0"), consume, say(Queue.Delete, queue="q0"), *gets])
    stage.play([say(Basic.Ack, delivery_tag=1)])
    channel = stage.clients["a"].connection.channels[1]
    assert channel.ended_tally.acked == 1
    assert channel.context.delivery_totals["classic"].sum().acked == 1
