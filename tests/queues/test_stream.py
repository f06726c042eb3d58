"""Streams in virtual time: offsets, credit, filters, retention, what is refused, and what becomes of properties."""

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
from tests.queues.streams import (
    ack,
    broken,
    consume,
    consuming,
    look,
    older,
    qos,
    qos_ok,
    read,
    ready,
    refused,
    stored,
    stream,
)

# --- reading


def test_reading_removes_nothing(play: Playbook) -> None:
    assert (
        stored(play, b"0", b"1")
        >> consume()
        << [consuming(), *read(b"0", 0), *read(b"1", 1)]
        >> ack(2, multiple=True)
        >> look()
        << ready(2)
        >> consume(tag="u")
        << [consuming("u"), *read(b"0", 0, 3, "u"), *read(b"1", 1, 4, "u")]
    )


def test_an_acknowledgement_gives_credit(play: Playbook) -> None:
    assert (
        play
        >> [*stream(), *publish(b"0", "s"), *publish(b"1", "s"), *publish(b"2", "s"), qos(1)]
        << [ready(), qos_ok()]
        >> consume()
        << [consuming(), *read(b"0", 0)]
        >> ack(1)
        << read(b"1", 1)
        >> [*publish(b"3", "s"), ack(2)]
        << read(b"2", 2)
        >> ack(3)
        << read(b"3", 3)
        >> ack(4)
        >> publish(b"4", "s")
        << read(b"4", 4)
    )


@pytest.mark.parametrize("method", [Basic.Nack, Basic.Reject])
@pytest.mark.parametrize("requeue", [False, True])
def test_refusing_gives_credit(play: Playbook, method: Any, requeue: bool) -> None:
    assert (
        stored(play, b"0", b"1")
        >> qos(1)
        << qos_ok()
        >> consume()
        << [consuming(), *read(b"0", 0)]
        >> say(method, delivery_tag=1, requeue=requeue)
        << read(b"1", 1)
    )


def test_refusing_was_not_possible() -> None:
    text = "basic.nack and basic.reject not supported by stream queues queue 's' in vhost '/'"
    assert (
        older("3.10")
        >> [*stream(), qos(1), *publish(b"0", "s")]
        << [ready(), qos_ok()]
        >> consume()
        << [
            consuming(),
            say(Basic.Deliver, consumer_tag="t", delivery_tag=1, routing_key="s", exchange=""),
            content(b"0", headers={"x-stream-offset": Field("l", 0)}),
        ]
        >> say(Basic.Nack, delivery_tag=1)
        << refused(540, text, Basic.Nack)
    )


def test_recover_gives_credit_and_nothing_back(play: Playbook) -> None:
    assert (
        stored(play, b"0", b"1", b"2")
        >> qos(2)
        << qos_ok()
        >> consume()
        << [consuming(), *read(b"0", 0), *read(b"1", 1)]
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *read(b"2", 2)]
    )


def test_every_consumer_reads_at_its_own_pace(play: Playbook) -> None:
    assert (
        stored(play >> say(Channel.Open, channel=2) << say(Channel.OpenOk, channel=2), b"0", b"1")
        >> qos(1, 2)
        << qos_ok(2)
        >> consume(channel=2)
        << [consuming(channel=2), *read(b"0", 0, channel=2)]
        >> consume(1)
        << [consuming(), *read(b"1", 1, 1)]
        >> publish(b"2", "s")
        << read(b"2", 2, 2)
        >> ack(1, channel=2)
        << read(b"1", 1, channel=2)
        >> ack(2, channel=2)
        << read(b"2", 2, channel=2)
        >> publish(b"3", "s")
        << read(b"3", 3, 3)
    )


def test_a_cancelled_consumer_reads_no_more(play: Playbook) -> None:
    assert (
        stored(play, b"0")
        >> consume()
        << [consuming(), *read(b"0", 0)]
        >> say(Basic.Cancel, consumer_tag="t")
        << say(Basic.CancelOk, consumer_tag="t")
        >> publish(b"1", "s")
        >> ack(1)
        << []
    )


def test_deleting_tells_consumers(play: Playbook) -> None:
    assert (
        stored(play, b"0")
        >> [Connect("b"), say(Queue.Delete, queue="s", if_unused=True, if_empty=True, by="b")]
        << say(Queue.DeleteOk, message_count=0, by="b")
        >> [*stream(), consume()]
        << [ready(), consuming()]
        >> say(Queue.Delete, queue="s", by="b")
        << [say(Queue.DeleteOk, message_count=0, by="b"), say(Basic.Cancel, consumer_tag="t", nowait=True)]
    )


def test_a_connection_that_goes_leaves_the_rest_alone(play: Playbook) -> None:
    assert (
        stored(play, b"0")
        >> [Connect("b"), say(Basic.Qos, prefetch_count=5, by="b")]
        << say(Basic.QosOk, by="b")
        >> consume()
        << [consuming(), *read(b"0", 0)]
        >> HangUp("a")
        >> [say(Basic.Consume, queue="s", consumer_tag="t", by="b"), *publish(b"1", "s", by="b")]
        << [
            say(Basic.ConsumeOk, consumer_tag="t", by="b"),
            say(Basic.Deliver, consumer_tag="t", delivery_tag=1, routing_key="s", exchange="", by="b"),
            content(b"1", delivery_mode=1, headers={"x-stream-offset": Field("l", 1)}, by="b"),
        ]
    )


def test_large_bodies_come_in_several_frames(play: Playbook) -> None:
    body = bytes(range(256)) * 1200
    assert stored(play, body, b"") >> consume() << [consuming(), *read(body, 0), *read(b"", 1)]


def test_original_exchange_and_key(play: Playbook) -> None:
    def named(number: int, exchange: str, key: str) -> list[Line]:
        return [
            say(Basic.Deliver, consumer_tag="t", delivery_tag=number + 1, exchange=exchange, routing_key=key),
            content(b"x", delivery_mode=1, headers={"x-stream-offset": Field("l", number)}),
        ]

    assert (
        stored(play)
        >> say(Queue.Bind, queue="s", exchange="amq.topic", routing_key="#")
        << say(Queue.BindOk)
        >> [line for key in ("a", "a", "b") for line in publish(b"x", key, exchange="amq.topic")]
        >> publish(b"x", "s")
        >> consume(1)
        << [
            consuming(),
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
def test_offsets(play: Playbook, offset: Any, first: int) -> None:
    bodies = (b"0", b"1", b"2", b"3")
    there = [line for i in range(first, 4) for line in read(bodies[i], i, i - first + 1)]
    play = stored(play, *bodies) >> consume(offset) << [consuming(), *there] >> publish(b"4", "s")
    assert play << ([] if offset == 9 else read(b"4", 4, 5 - first))


def test_the_last_chunk_is_what_came_together(play: Playbook) -> None:
    assert (
        stored(play, b"0")
        >> [*publish(b"1", "s"), *publish(b"2", "s")]
        >> consume("last")
        << [consuming(), *read(b"1", 1, 1), *read(b"2", 2, 2)]
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
def test_times(play: Playbook, offset: Any, first: int) -> None:
    """The first message is 15 s old, the second 5 s; published at 1600000000 and ten seconds later."""
    bodies = (b"0", b"1")
    there = [line for i in range(first, 2) for line in read(bodies[i], i, i - first + 1)]
    assert (
        play
        >> [*stream(), qos(10)]
        << [ready(), qos_ok()]
        >> publish(b"0", "s")
        >> Advance(10_000)
        >> publish(b"1", "s")
        >> Advance(5_000)
        >> consume(offset)
        << [consuming(), *there]
    )


def bad(shown: str) -> str:
    return f"invalid arg 'x-stream-offset' for queue 's' in vhost '/': {{invalid_stream_offset_arg,{shown}}}"


@pytest.mark.parametrize(
    ("offset", "shown"),
    [("foo", '{longstr,<<"foo">>}'), ("7", '{longstr,<<"7">>}'), ("", "{longstr,<<>>}")],
)
def test_words_that_are_no_offsets(play: Playbook, offset: Any, shown: str) -> None:
    """Looked at before the prefetch count."""
    assert play >> [*stream(), consume(offset)] << [ready(), *refused(406, bad(shown), Basic.Consume)]


@pytest.mark.parametrize("offset", [True, 1.5, None, [1]])
def test_types_that_are_no_offsets(play: Playbook, offset: Any) -> None:
    given = say(Basic.Consume, queue="s", consumer_tag="t", arguments={"x-stream-offset": offset})
    assert stored(play) >> given << broken()


@pytest.mark.parametrize("offset", ["foo", "", "-1h"])
def test_words_that_once_were_errors_of_the_broker(offset: str) -> None:
    play = stored(older("4.0")) >> consume(offset)
    assert play << broken()


# --- filters


def filtered(body: bytes, value: str | None) -> list[Line]:
    return publish(body, "s", headers={} if value is None else {"x-stream-filter-value": value})


FILTERED = (
    [*filtered(b"0", "apple")],
    [*filtered(b"1", "pear"), *filtered(b"2", None)],
    [*filtered(b"3", None)],
)


def test_a_filter_lets_chunks_through(play: Playbook) -> None:
    play = stored(play)
    for lines in FILTERED:
        play = play >> lines
    value = {"x-stream-filter-value": Field("S", b"pear")}
    assert (
        play
        >> consume(filter="pear")
        << [consuming(), *read(b"1", 1, 1, **value), *read(b"2", 2, 2)]
        >> filtered(b"4", "apple")
        >> [*filtered(b"5", "apple"), *filtered(b"6", "pear")]
        << read(b"6", 6, 3, **value)
    )


def test_several_values_and_messages_without_one(play: Playbook) -> None:
    play = stored(play)
    for lines in FILTERED:
        play = play >> lines
    value = {"x-stream-filter-value": Field("S", b"apple")}
    given = consume(filter=["apple", "plum"], match_unfiltered=True)
    chunk = [*read(b"1", 1, 2, **{"x-stream-filter-value": Field("S", b"pear")}), *read(b"2", 2, 3)]
    assert play >> given << [consuming(), *read(b"0", 0, 1, **value), *chunk, *read(b"3", 3, 4)]


def test_what_a_filter_passes_over_is_sliced() -> None:
    play = stored(Playbook())
    many = [
        line
        for _ in range(MAX_SKIPPED + 5)
        for line in publish(b"", "s", headers={"x-stream-filter-value": "a"})
    ]
    assert (
        play
        >> many
        >> filtered(b"x", "b")
        >> consume(filter="b")
        << consuming()
        >> Advance(1)
        << read(b"x", MAX_SKIPPED + 5, 1, **{"x-stream-filter-value": Field("S", b"b")})
    )


# --- what is refused


def test_prefetch_is_needed(play: Playbook) -> None:
    text = "consumer prefetch count is not set for stream queue 's' in vhost '/'"
    assert play >> [*stream(), consume()] << [ready(), *refused(406, text, Basic.Consume)]


def test_prefetch_in_older_words() -> None:
    text = "consumer prefetch count is not set for 'queue 's' in vhost '/''"
    assert older("3.13") >> [*stream(), consume()] << [ready(), *refused(406, text, Basic.Consume)]


@pytest.mark.parametrize(("name", "words"), [("4.3", "stream"), ("3.13", "stream queues")])
def test_automatic_acknowledgement(name: str, words: str) -> None:
    text = f"automatic acknowledgement not supported by {words} queue 's' in vhost '/'"
    given = say(Basic.Consume, queue="s", no_ack=True)
    assert stored(older(name)) >> given << refused(540, text, Basic.Consume)


def test_no_limit_for_the_channel() -> None:
    assert (
        older("4.0")
        >> [*stream(), say(Basic.Qos, prefetch_count=5, global_=True), consume()]
        << [
            ready(),
            qos_ok(),
            *refused(540, "queue 's' in vhost '/' does not support global qos", Basic.Consume),
        ]
    )


@pytest.mark.parametrize(
    ("method", "name"),
    [(say(Basic.Get, queue="s"), "basic.get"), (say(Queue.Purge, queue="s"), "queue.purge")],
)
def test_methods_that_streams_do_not_have(play: Playbook, method: Say, name: str) -> None:
    text = f"{name} not supported by stream queues queue 's' in vhost '/'"
    assert stored(play, b"0") >> method << refused(540, text, method.command)


@pytest.mark.parametrize("value", [1, "high"])
def test_priority_of_a_consumer(play: Playbook, value: object) -> None:
    given = say(Basic.Consume, queue="s", arguments={"x-priority": value})
    text = "invalid arg 'x-priority' for queue 's' in vhost '/' of queue type rabbit_stream_queue"
    assert stored(play) >> given << refused(406, text, Basic.Consume)


@pytest.mark.parametrize("argument", ["message_ttl", "expires", "max_length", "single_active_consumer"])
def test_arguments_of_other_queues(play: Playbook, argument: str) -> None:
    name = f"x-{argument.replace('_', '-')}"
    text = f"invalid arg '{name}' for queue 's' in vhost '/' of queue type rabbit_stream_queue"
    assert play >> stream(**{argument: 1}) << refused(406, text, Queue.Declare)


# --- the firehose


def test_the_firehose_hears_what_is_read(play: Playbook) -> None:
    def trace(on: bool) -> Do:
        def switch(stage: Stage) -> None:
            stage.broker.vhosts["/"].tracing = on

        return Do("tracing", switch)

    given: list[Message] = []

    def received(stage: Stage) -> None:
        given[:] = [stage.broker.vhosts["/"].queues["t"].get(True).message]  # type: ignore[union-attr]

    assert (
        stored(play, b"0")
        >> [
            say(Queue.Declare, queue="t"),
            say(Queue.Bind, queue="t", exchange="amq.rabbitmq.trace", routing_key="#"),
        ]
        << [ready(name="t"), say(Queue.BindOk)]
        >> [trace(True), consume()]
        << [consuming(), *read(b"0", 0)]
        >> Do("hear", received)
    )
    assert (given[0].routing_key, given[0].body) == (b"deliver.s", b"0")


# --- publishing


def test_confirms_and_mandatory(play: Playbook) -> None:
    assert (
        stored(play)
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
    there = read(b"0", 0, **headers)
    there[1].properties["expiration"] = "10"  # type: ignore[attr-defined]  # taken off for routing only
    assert (
        stored(play)
        >> [say(Queue.Declare, queue="q", arguments=dead), *publish(b"0", "q", expiration="10")]
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
        >> Advance(10)
        >> consume()
        << [consuming(), *there]
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


def test_a_dead_letter_that_cannot_be_written_is_lost(play: Playbook) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "s", "x-message-ttl": 10}
    odd = {"x-stream-filter-value": 5}
    assert (
        stored(play)
        >> [say(Queue.Declare, queue="q", arguments=dead), *publish(b"0", "q", headers=odd)]
        << say(Queue.DeclareOk, queue="q", message_count=0, consumer_count=0)
        >> Advance(10)
        >> look()
        << ready()
    )


def test_what_cannot_be_written(play: Playbook) -> None:
    headers = {"a": Field("D", (2, 314))}
    assert stored(play) >> publish(b"0", "s", headers=headers) << broken()
