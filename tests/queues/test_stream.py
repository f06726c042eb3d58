"""Streams in virtual time: offsets, credit, filters, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.queues.message import Message
from leveret.queues.stream.queue import MAX_SKIPPED
from leveret.testing.playbook import (
    Advance,
    Connect,
    Do,
    HangUp,
    Line,
    Playbook,
    Say,
    Stage,
    content,
    publish,
    say,
)
from leveret.wire.tables import Field, Table
from tests.queues.plays import playbook, qos, qos_ok
from tests.queues.streams import (
    ack,
    consume,
    consume_ok,
    declare,
    declare_ok,
    declare_passive,
    delivery,
    filled,
    internal_error,
    refused,
    stream_queue,
)

# --- reading


def test_reading_does_not_remove_messages(play: Playbook) -> None:
    assert (
        filled(play, b"0", b"1")
        >> consume()
        << [consume_ok(), *delivery(b"0", 0), *delivery(b"1", 1)]
        >> ack(2, multiple=True)
        >> declare_passive()
        << declare_ok(2)
        >> consume(tag="u")
        << [consume_ok("u"), *delivery(b"0", 0, 3, "u"), *delivery(b"1", 1, 4, "u")]
    )


def test_an_acknowledgement_gives_credit(play: Playbook) -> None:
    assert (
        play
        >> [declare(), *publish(b"0", "s"), *publish(b"1", "s"), *publish(b"2", "s"), *qos(1)]
        << [declare_ok(), *qos_ok()]
        >> consume()
        << [consume_ok(), *delivery(b"0", 0)]
        >> ack(1)
        << delivery(b"1", 1)
        >> [*publish(b"3", "s"), ack(2)]
        << delivery(b"2", 2)
        >> ack(3)
        << delivery(b"3", 3)
        >> ack(4)
        >> publish(b"4", "s")
        << delivery(b"4", 4)
    )


@pytest.mark.parametrize("method", [Basic.Nack, Basic.Reject])
@pytest.mark.parametrize("requeue", [False, True])
def test_nack_and_reject_give_credit(play: Playbook, method: Any, requeue: bool) -> None:
    assert (
        filled(play, b"0", b"1")
        >> qos(1)
        << qos_ok()
        >> consume()
        << [consume_ok(), *delivery(b"0", 0)]
        >> say(method, delivery_tag=1, requeue=requeue)
        << delivery(b"1", 1)
    )


def test_in_3_10_nack_and_reject_are_refused() -> None:
    text = "basic.nack and basic.reject not supported by stream queues queue 's' in vhost '/'"
    assert (
        playbook("3.10")
        >> [declare(), *qos(1), *publish(b"0", "s")]
        << [declare_ok(), *qos_ok()]
        >> consume()
        << [
            consume_ok(),
            say(Basic.Deliver, consumer_tag="t", delivery_tag=1, routing_key="s", exchange=""),
            content(b"0", headers={"x-stream-offset": Field("l", 0)}),
        ]
        >> say(Basic.Nack, delivery_tag=1)
        << refused(540, text, Basic.Nack)
    )


def test_recover_gives_credit_and_redelivers_nothing(play: Playbook) -> None:
    assert (
        filled(play, b"0", b"1", b"2")
        >> qos(2)
        << qos_ok()
        >> consume()
        << [consume_ok(), *delivery(b"0", 0), *delivery(b"1", 1)]
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *delivery(b"2", 2)]
    )


def test_each_consumer_reads_by_its_own_credit(play: Playbook) -> None:
    assert (
        filled(play >> say(Channel.Open, channel=2) << say(Channel.OpenOk, channel=2), b"0", b"1")
        >> qos(1, 2)
        << qos_ok(2)
        >> consume(channel=2)
        << [consume_ok(channel=2), *delivery(b"0", 0, channel=2)]
        >> consume(1)
        << [consume_ok(), *delivery(b"1", 1, 1)]
        >> publish(b"2", "s")
        << delivery(b"2", 2, 2)
        >> ack(1, channel=2)
        << delivery(b"1", 1, channel=2)
        >> ack(2, channel=2)
        << delivery(b"2", 2, channel=2)
        >> publish(b"3", "s")
        << delivery(b"3", 3, 3)
    )


def test_a_cancelled_consumer_reads_no_more(play: Playbook) -> None:
    assert (
        filled(play, b"0")
        >> consume()
        << [consume_ok(), *delivery(b"0", 0)]
        >> say(Basic.Cancel, consumer_tag="t")
        << say(Basic.CancelOk, consumer_tag="t")
        >> publish(b"1", "s")
        >> ack(1)
        << []
    )


def test_deleting_a_stream_cancels_its_consumers(play: Playbook) -> None:
    assert (
        filled(play, b"0")
        >> [Connect("b"), say(Queue.Delete, queue="s", if_unused=True, if_empty=True, by="b")]
        << say(Queue.DeleteOk, message_count=0, by="b")
        >> [declare(), consume()]
        << [declare_ok(), consume_ok()]
        >> say(Queue.Delete, queue="s", by="b")
        << [say(Queue.DeleteOk, message_count=0, by="b"), say(Basic.Cancel, consumer_tag="t", nowait=True)]
    )


def test_a_lost_connection_does_not_affect_other_readers(play: Playbook) -> None:
    assert (
        filled(play, b"0")
        >> [Connect("b"), say(Basic.Qos, prefetch_count=5, by="b")]
        << say(Basic.QosOk, by="b")
        >> consume()
        << [consume_ok(), *delivery(b"0", 0)]
        >> HangUp("a")
        >> [say(Basic.Consume, queue="s", consumer_tag="t", by="b"), *publish(b"1", "s", by="b")]
        << [
            say(Basic.ConsumeOk, consumer_tag="t", by="b"),
            say(Basic.Deliver, consumer_tag="t", delivery_tag=1, routing_key="s", exchange="", by="b"),
            content(b"1", delivery_mode=1, headers={"x-stream-offset": Field("l", 1)}, by="b"),
        ]
    )


def test_large_bodies_are_delivered_in_several_frames(play: Playbook) -> None:
    body = bytes(range(256)) * 1200
    assert filled(play, body, b"") >> consume() << [consume_ok(), *delivery(body, 0), *delivery(b"", 1)]


def test_deliveries_keep_exchange_and_routing_key(play: Playbook) -> None:
    def named(number: int, exchange: str, key: str) -> list[Line]:
        return [
            say(Basic.Deliver, consumer_tag="t", delivery_tag=number + 1, exchange=exchange, routing_key=key),
            content(b"x", delivery_mode=1, headers={"x-stream-offset": Field("l", number)}),
        ]

    assert (
        filled(play)
        >> say(Queue.Bind, queue="s", exchange="amq.topic", routing_key="#")
        << say(Queue.BindOk)
        >> [line for key in ("a", "a", "b") for line in publish(b"x", key, exchange="amq.topic")]
        >> publish(b"x", "s")
        >> consume(1)
        << [
            consume_ok(),
            *_tagged(named(1, "amq.topic", "a"), 1),
            *_tagged(named(2, "amq.topic", "b"), 2),
            *_tagged(named(3, "", "s"), 3),
        ]
    )


def _tagged(lines: list[Line], tag: int) -> list[Line]:
    line = lines[0]
    assert isinstance(line, Say)
    return [say(Basic.Deliver, **{**line.arguments, "delivery_tag": tag}), *lines[1:]]


# --- where to begin


@pytest.mark.parametrize(
    ("offset", "first"),
    [("first", 0), (0, 0), (-3, 0), (2, 2), (Field("s", 1), 1), ("last", 3), ("next", 4), (None, 4), (9, 4)],
)
def test_reading_begins_at_the_given_offset(play: Playbook, offset: Any, first: int) -> None:
    bodies = (b"0", b"1", b"2", b"3")
    there = [line for i in range(first, 4) for line in delivery(bodies[i], i, i - first + 1)]
    play = filled(play, *bodies) >> consume(offset) << [consume_ok(), *there] >> publish(b"4", "s")
    assert play << ([] if offset == 9 else delivery(b"4", 4, 5 - first))


def test_the_last_chunk_has_the_messages_that_came_together(play: Playbook) -> None:
    assert (
        filled(play, b"0")
        >> [*publish(b"1", "s"), *publish(b"2", "s")]
        >> consume("last")
        << [consume_ok(), *delivery(b"1", 1, 1), *delivery(b"2", 2, 2)]
    )


@pytest.mark.parametrize(
    ("offset", "first"),
    [
        ("1h", 0),
        ("15s", 0),
        ("10s", 1),
        ("5s", 1),
        ("4s", 2),
        ("1s", 2),
        (Field("T", 0), 0),
        (Field("T", 1_600_000_001), 1),
        (Field("T", 1_600_000_100), 2),
    ],
)
def test_reading_begins_at_the_given_time(play: Playbook, offset: Any, first: int) -> None:
    """The first message is 15 s old, the second 5 s; published at 1600000000 and ten seconds later."""
    bodies = (b"0", b"1")
    there = [line for i in range(first, 2) for line in delivery(bodies[i], i, i - first + 1)]
    assert (
        play
        >> [declare(), *qos(10)]
        << [declare_ok(), *qos_ok()]
        >> publish(b"0", "s")
        >> Advance(10_000)
        >> publish(b"1", "s")
        >> Advance(5_000)
        >> consume(offset)
        << [consume_ok(), *there]
    )


def bad(shown: str) -> str:
    return f"invalid arg 'x-stream-offset' for queue 's' in vhost '/': {{invalid_stream_offset_arg,{shown}}}"


@pytest.mark.parametrize(
    ("offset", "shown"),
    [("foo", '{longstr,<<"foo">>}'), ("7", '{longstr,<<"7">>}'), ("", "{longstr,<<>>}")],
)
def test_invalid_offset_strings_are_refused(play: Playbook, offset: Any, shown: str) -> None:
    """They are checked before the prefetch count."""
    assert play >> [declare(), consume(offset)] << [declare_ok(), *refused(406, bad(shown), Basic.Consume)]


@pytest.mark.parametrize("offset", [True, 1.5, None, [1]])
def test_invalid_offset_types_close_the_connection(play: Playbook, offset: Any) -> None:
    given = say(Basic.Consume, queue="s", consumer_tag="t", arguments={"x-stream-offset": offset})
    assert filled(play) >> given << internal_error()


@pytest.mark.parametrize("offset", ["foo", "", "-1h"])
def test_before_4_2_invalid_offset_strings_close_the_connection(offset: str) -> None:
    play = filled(playbook("4.0")) >> consume(offset)
    assert play << internal_error()


# --- filters


def publish_filtered(body: bytes, value: str | None) -> list[Line]:
    return publish(body, "s", headers={} if value is None else {"x-stream-filter-value": value})


FILTERED = (
    [*publish_filtered(b"0", "apple")],
    [*publish_filtered(b"1", "pear"), *publish_filtered(b"2", None)],
    [*publish_filtered(b"3", None)],
)


def test_a_filter_delivers_whole_chunks(play: Playbook) -> None:
    play = filled(play)
    for lines in FILTERED:
        play = play >> lines
    value = {"x-stream-filter-value": Field("S", b"pear")}
    assert (
        play
        >> consume(filter="pear")
        << [consume_ok(), *delivery(b"1", 1, 1, **value), *delivery(b"2", 2, 2)]
        >> publish_filtered(b"4", "apple")
        >> [*publish_filtered(b"5", "apple"), *publish_filtered(b"6", "pear")]
        << delivery(b"6", 6, 3, **value)
    )


def test_a_filter_has_several_values_and_may_match_unfiltered(play: Playbook) -> None:
    play = filled(play)
    for lines in FILTERED:
        play = play >> lines
    value = {"x-stream-filter-value": Field("S", b"apple")}
    given = consume(filter=["apple", "plum"], match_unfiltered=True)
    chunk = [*delivery(b"1", 1, 2, **{"x-stream-filter-value": Field("S", b"pear")}), *delivery(b"2", 2, 3)]
    assert play >> given << [consume_ok(), *delivery(b"0", 0, 1, **value), *chunk, *delivery(b"3", 3, 4)]


def test_skipping_filtered_messages_is_done_in_steps() -> None:
    play = filled(Playbook())
    many = [
        line
        for _ in range(MAX_SKIPPED + 5)
        for line in publish(b"", "s", headers={"x-stream-filter-value": "a"})
    ]
    assert (
        play
        >> many
        >> publish_filtered(b"x", "b")
        >> consume(filter="b")
        << consume_ok()
        >> Advance(1)
        << delivery(b"x", MAX_SKIPPED + 5, 1, **{"x-stream-filter-value": Field("S", b"b")})
    )


@pytest.mark.parametrize("body", [bytes(1000), b""], ids=["long", "empty"])
def test_what_filters_skip_for_many_consumers_counts_together(body: bytes) -> None:
    """Each of five hundred consumers could skip twenty thousand records in one turn, however short these are."""
    play = filled(Playbook())
    many = [line for _ in range(5000) for line in publish(body, "s", headers={"x-stream-filter-value": "a"})]
    served: list[int] = []

    def look(stage: Stage) -> None:
        queue = stream_queue(stage)
        before = queue.given
        queue.run()
        served.append(queue.given - before)
        served.append(len(queue.waiting))

    play = play >> many
    for number in range(8):
        play = play >> consume(tag=f"t{number}", filter="b") << consume_ok(f"t{number}")
    play = play >> Do("have all of them wait", wait_all) >> Do("serve some of them", look)
    assert play
    assert served[0] < 3 * 5000 * 1100 and served[1] > 4, "two megabytes, and one consumer more"


def wait_all(stage: Stage) -> None:
    """All consumers are to be served from the first record on, with what is skipped counted."""
    queue = stream_queue(stage)
    cursors = [consumer.cursor for consumer in queue.consumers.members]
    queue.followers.clear()
    queue.waiting[:] = cursors
    for cursor in cursors:
        cursor.page, cursor.offset = None, 0


# --- what is refused


def test_consuming_without_a_prefetch_count_is_refused(play: Playbook) -> None:
    text = "consumer prefetch count is not set for stream queue 's' in vhost '/'"
    assert play >> [declare(), consume()] << [declare_ok(), *refused(406, text, Basic.Consume)]


def test_before_4_0_the_text_for_a_missing_prefetch_count_differs() -> None:
    text = "consumer prefetch count is not set for 'queue 's' in vhost '/''"
    assert playbook("3.13") >> [declare(), consume()] << [declare_ok(), *refused(406, text, Basic.Consume)]


@pytest.mark.parametrize(("name", "words"), [("4.3", "stream"), ("3.13", "stream queues")])
def test_automatic_acknowledgement_is_refused(name: str, words: str) -> None:
    text = f"automatic acknowledgement not supported by {words} queue 's' in vhost '/'"
    given = say(Basic.Consume, queue="s", no_ack=True)
    assert filled(playbook(name)) >> given << refused(540, text, Basic.Consume)


def test_global_qos_is_refused() -> None:
    assert (
        playbook("4.0")
        >> [declare(), say(Basic.Qos, prefetch_count=5, global_=True), consume()]
        << [
            declare_ok(),
            *qos_ok(),
            *refused(540, "queue 's' in vhost '/' does not support global qos", Basic.Consume),
        ]
    )


@pytest.mark.parametrize(
    ("method", "name"),
    [(say(Basic.Get, queue="s"), "basic.get"), (say(Queue.Purge, queue="s"), "queue.purge")],
)
def test_get_and_purge_are_refused(play: Playbook, method: Say, name: str) -> None:
    text = f"{name} not supported by stream queues queue 's' in vhost '/'"
    assert filled(play, b"0") >> method << refused(540, text, method.command)


@pytest.mark.parametrize("value", [1, "high"])
def test_a_consumer_priority_is_refused(play: Playbook, value: object) -> None:
    given = say(Basic.Consume, queue="s", arguments={"x-priority": value})
    text = "invalid arg 'x-priority' for queue 's' in vhost '/' of queue type rabbit_stream_queue"
    assert filled(play) >> given << refused(406, text, Basic.Consume)


@pytest.mark.parametrize("argument", ["message_ttl", "expires", "max_length", "single_active_consumer"])
def test_arguments_of_other_queue_types_are_refused(play: Playbook, argument: str) -> None:
    name = f"x-{argument.replace('_', '-')}"
    text = f"invalid arg '{name}' for queue 's' in vhost '/' of queue type rabbit_stream_queue"
    assert play >> declare(**{argument: 1}) << refused(406, text, Queue.Declare)


# --- the firehose


def test_the_firehose_traces_deliveries_of_a_stream(play: Playbook) -> None:
    def trace(stage: Stage) -> None:
        stage.broker.vhosts["/"].tracing = True

    given: list[Message] = []

    def received(stage: Stage) -> None:
        given[:] = [stage.broker.vhosts["/"].queues["t"].get(True).message]  # type: ignore[union-attr]

    assert (
        filled(play, b"0")
        >> [
            say(Queue.Declare, queue="t"),
            say(Queue.Bind, queue="t", exchange="amq.rabbitmq.trace", routing_key="#"),
        ]
        << [say(Queue.DeclareOk, queue="t", message_count=0, consumer_count=0), say(Queue.BindOk)]
        >> [Do("tracing", trace), consume()]
        << [consume_ok(), *delivery(b"0", 0)]
        >> Do("the trace is read", received)
    )
    assert (given[0].routing_key, given[0].body) == (b"deliver.s", b"0")


# --- publishing


def test_a_mandatory_publish_is_confirmed(play: Playbook) -> None:
    assert (
        filled(play)
        >> say(Confirm.Select)
        << say(Confirm.SelectOk)
        >> publish(b"0", "s", mandatory=True)
        << say(Basic.Ack, delivery_tag=1)
    )


def test_a_stream_takes_dead_letters(play: Playbook) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s", "x-message-ttl": 10}
    death = {"x-first-death-exchange": "", "x-first-death-queue": "q", "x-first-death-reason": "expired"}
    last = {name.replace("first", "last"): value for name, value in death.items()}
    headers: Table = {name: Field("S", value.encode()) for name, value in {**death, **last}.items()}
    headers["x-death"] = Field("A", [Field("F", _death())])
    there = delivery(b"0", 0, **headers)
    there[1].properties["expiration"] = "10"  # type: ignore[attr-defined]  # taken off for routing only
    assert (
        filled(play)
        >> [say(Queue.Declare, queue="q", arguments=dead), *publish(b"0", "q", expiration="10")]
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
        >> Advance(10)
        >> consume()
        << [consume_ok(), *there]
    )


def _death() -> Table:
    return {
        "original-expiration": Field("S", b"10"),
        "count": Field("l", 1),
        "reason": Field("S", b"expired"),
        "queue": Field("S", b"q"),
        "time": Field("T", 1_600_000_000),
        "exchange": Field("S", b""),
        "routing-keys": Field("A", [Field("S", b"q")]),
    }


def test_a_dead_letter_that_a_stream_cannot_encode_is_dropped(play: Playbook) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s", "x-message-ttl": 10}
    odd = {"x-stream-filter-value": 5}
    assert (
        filled(play)
        >> [say(Queue.Declare, queue="q", arguments=dead), *publish(b"0", "q", headers=odd)]
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
        >> Advance(10)
        >> declare_passive()
        << declare_ok()
    )


def test_a_message_that_a_stream_cannot_encode_closes_the_connection(play: Playbook) -> None:
    headers = {"a": Field("D", (2, 314))}
    assert filled(play) >> publish(b"0", "s", headers=headers) << internal_error()
