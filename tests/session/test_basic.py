"""basic.qos, consume, cancel, get, ack, nack, reject, recover on classic queues."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.config import Settings
from leveret.settings import DeprecatedFeatures
from leveret.testing.playbook import (
    Connect,
    Kept,
    Line,
    Playbook,
    Say,
    content,
    delivery,
    publish,
    refusal,
    say,
)

DECLARE = say(Queue.Declare, queue="q")


def declared(ready: int = 0, consumers: int = 0, **where: Any) -> Say:
    return say(Queue.DeclareOk, queue="q", message_count=ready, consumer_count=consumers, **where)


def filled(play: Playbook, count: int = 3) -> Playbook:
    """`q` holds bodies 1, 2, 3."""
    bodies = [line for i in range(1, count + 1) for line in publish(b"%d" % i, "q")]
    return play >> [DECLARE, *bodies, DECLARE] << [declared(), declared(count)]


def consume(tag: str = "c", **arguments: Any) -> Say:
    return say(Basic.Consume, queue="q", consumer_tag=tag, **arguments)


def consume_ok(tag: str = "c", **where: Any) -> Say:
    return say(Basic.ConsumeOk, consumer_tag=tag, **where)


def get(**arguments: Any) -> Say:
    return say(Basic.Get, queue="q", **arguments)


def got(body: bytes, tag: int, left: int = 0, redelivered: bool = False, **where: Any) -> list[Line]:
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key="q",
        message_count=left,
        redelivered=redelivered,
        **where,
    )
    return [line, content(body, **where)]


def ack(tag: int, multiple: bool = False, **where: Any) -> Say:
    return say(Basic.Ack, delivery_tag=tag, multiple=multiple, **where)


def nack(tag: int, multiple: bool = False, requeue: bool = True) -> Say:
    return say(Basic.Nack, delivery_tag=tag, multiple=multiple, requeue=requeue)


def unknown(tag: int, offender: Any) -> Say:
    return refusal(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}", offender)


# --- consume


def test_consume_ok_precedes_the_first_delivery(play: Playbook) -> None:
    assert filled(play, 2) >> consume() << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]


def test_a_tag_is_made_up(play: Playbook) -> None:
    tag = Kept("tag", r"amq\.ctag-[A-Za-z0-9_-]{22}")
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q")]
        << [declared(), say(Basic.ConsumeOk, consumer_tag=tag)]
        >> publish(b"x", "q")
        << say(Basic.Deliver, consumer_tag=tag, delivery_tag=1, exchange="", routing_key="q")
        << content(b"x")
        >> say(Basic.Cancel, consumer_tag=tag)
        << say(Basic.CancelOk, consumer_tag=tag)
    )


def test_nowait_says_nothing_but_errors(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> consume(nowait=True)
        << delivery(b"1", 1)
        >> say(Basic.Cancel, consumer_tag="c", nowait=True)
        >> say(Basic.Consume, queue="nope", nowait=True)
        << refusal(404, "NOT_FOUND - no queue 'nope' in vhost '/'", Basic.Consume)
    )


def test_a_tag_in_use(play: Playbook) -> None:
    text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'"
    assert (
        play
        >> [DECLARE, consume()]
        << [declared(), consume_ok()]
        >> consume()
        << refusal(530, text, Basic.Consume, channel=0)
    )


def test_tags_are_the_channels_own(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        play
        >> [DECLARE, consume(), consume(channel=2)]
        << [declared(), consume_ok(), consume_ok(channel=2)]
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> [consume(), *publish(b"x", "q")]
        << [consume_ok(), *delivery(b"x", 1, channel=2)]
    )


def test_the_last_declared_queue(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> say(Basic.Consume, consumer_tag="c")
        << [consume_ok(), *delivery(b"1", 1)]
        >> [say(Basic.Cancel, consumer_tag="c"), nack(1), say(Basic.Get)]
        << [say(Basic.CancelOk, consumer_tag="c"), *got(b"1", 2, redelivered=True)]
    )


@pytest.mark.parametrize("line", [say(Basic.Get), say(Basic.Consume), say(Queue.Purge), say(Queue.Delete)])
def test_no_declared_queue(play: Playbook, line: Say) -> None:
    assert play >> line << refusal(404, "NOT_FOUND - no previously declared queue", line.command)


def test_exclusive_consumers(play: Playbook) -> None:
    text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    reopen = [say(Channel.CloseOk), say(Channel.Open)]
    assert (
        play
        >> Connect("b")
        >> [DECLARE, consume("c", exclusive=True)]
        << [declared(), consume_ok()]
        >> consume("d", by="b")
        << refusal(403, text, Basic.Consume, by="b")
        >> [*publish(b"1", "q"), get()]
        << [*delivery(b"1", 1), say(Basic.GetEmpty)]
        >> [say(Basic.Cancel, consumer_tag="c"), consume("e")]
        << [say(Basic.CancelOk, consumer_tag="c"), consume_ok("e")]
        >> consume("f", exclusive=True)
        << refusal(403, text, Basic.Consume)
        >> reopen
        << say(Channel.OpenOk)
        >> consume("g", exclusive=True)
        << [consume_ok("g"), *delivery(b"1", 1, consumer="g", redelivered=True)]
    )


def test_round_robin(play: Playbook) -> None:
    sixth = [line for i in range(6) for line in publish(b"%d" % i, "q")]
    tags = "abcabc"
    assert (
        play
        >> [DECLARE, *(consume(tag, no_ack=True) for tag in "abc")]
        << [declared(), *(consume_ok(tag) for tag in "abc")]
        >> sixth
        << [line for i in range(6) for line in delivery(b"%d" % i, i + 1, consumer=tags[i])]
    )


def test_higher_priority_first(play: Playbook) -> None:
    """The lower one gets what the higher one has no credit for."""
    five = [line for i in range(5) for line in publish(b"%d" % i, "q")]
    assert (
        play
        >> [DECLARE, consume("low", arguments={"x-priority": -1}), say(Basic.Qos, prefetch_count=2)]
        << [declared(), consume_ok("low"), say(Basic.QosOk)]
        >> [consume("high", arguments={"x-priority": 10}), consume("high2", arguments={"x-priority": 10})]
        << [consume_ok("high"), consume_ok("high2")]
        >> five
        << delivery(b"0", 1, consumer="high")
        << delivery(b"1", 2, consumer="high2")
        << delivery(b"2", 3, consumer="high")
        << delivery(b"3", 4, consumer="high2")
        << delivery(b"4", 5, consumer="low")
        >> [ack(3), *publish(b"5", "q"), *publish(b"6", "q")]
        << [*delivery(b"5", 6, consumer="high"), *delivery(b"6", 7, consumer="low")]
    )


@pytest.mark.parametrize(("value", "kind"), [("5", "longstr"), (True, "bool")])
def test_priorities_are_integers(play: Playbook, value: Any, kind: str) -> None:
    text = f"invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got {kind}\""
    assert (
        play
        >> [DECLARE, consume(arguments={"x-priority": value})]
        << [declared(), refusal(406, f"PRECONDITION_FAILED - {text}", Basic.Consume)]
    )


def test_unknown_arguments_mean_nothing(play: Playbook) -> None:
    assert play >> [DECLARE, consume(arguments={"x-foo": 1}, no_local=True)] << [declared(), consume_ok()]


def test_cancel(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> [consume(), say(Basic.Cancel, consumer_tag="c")]
        << [consume_ok(), *delivery(b"1", 1), say(Basic.CancelOk, consumer_tag="c")]
        >> say(Basic.Cancel, consumer_tag="unknown")
        << say(Basic.CancelOk, consumer_tag="unknown")
        >> [*publish(b"2", "q"), ack(1), DECLARE]
        << declared(1)
    )


def test_cancel_ok_nobody_asked_for(play: Playbook) -> None:
    """RabbitMQ cancels a consumer that it knows, and its channel dies of one that it does not."""
    assert (
        play
        >> [DECLARE, consume()]
        << [declared(), consume_ok()]
        >> say(Basic.CancelOk, consumer_tag="c")
        >> [*publish(b"1", "q"), DECLARE]
        << declared(1, 0)
        >> say(Basic.CancelOk, consumer_tag="c")
        << refusal(541, "INTERNAL_ERROR", channel=0)
    )


def test_consumers_are_cancelled_when_their_queue_is_deleted(play: Playbook) -> None:
    cancelled = say(Basic.Cancel, consumer_tag="c", nowait=True)
    assert (
        play
        >> Connect("b")
        >> Connect("deaf", capabilities=())
        >> [DECLARE, consume(), consume(by="b"), consume(by="deaf"), *publish(b"1", "q")]
        << [declared(), consume_ok(), *delivery(b"1", 1), consume_ok(by="b"), consume_ok(by="deaf")]
        >> say(Queue.Delete, queue="q")
        << [say(Queue.DeleteOk), cancelled, say(Basic.Cancel, consumer_tag="c", nowait=True, by="b")]
        >> [ack(1), DECLARE, consume()]
        << [declared(), consume_ok()]
    )


# --- settling


def test_unsettled_deliveries_of_a_cancelled_consumer_stay(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [consume(), say(Basic.Cancel, consumer_tag="c"), DECLARE]
        << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
        << [say(Basic.CancelOk, consumer_tag="c"), declared()]
        >> [nack(2), DECLARE]
        << declared(1)
        >> [ack(1), DECLARE]
        << declared(1)
    )


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (ack(1), 1),
        (ack(0), 0),
        (ack(7, True), 7),
        (nack(5), 5),
        (nack(5, True), 5),
        (say(Basic.Reject, delivery_tag=3), 3),
        (say(Basic.Reject, delivery_tag=0), 0),
    ],
)
def test_tags_that_are_not_outstanding(play: Playbook, line: Say, tag: int) -> None:
    assert play >> line << unknown(tag, line.command)


def test_twice_the_same_tag(play: Playbook) -> None:
    assert filled(play, 1) >> [get(), ack(1), ack(1)] << [*got(b"1", 1), unknown(1, Basic.Ack)]


def test_a_tag_of_another_channel(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        filled(play, 1)
        >> [get(), ack(1, channel=2)]
        << [
            *got(b"1", 1),
            refusal(406, "PRECONDITION_FAILED - unknown delivery tag 1", Basic.Ack, channel=2),
        ]
    )


def test_what_needs_no_ack_has_a_tag_all_the_same(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [get(no_ack=True), get(), ack(2), ack(1)]
        << [*got(b"1", 1, 1), *got(b"2", 2), unknown(1, Basic.Ack)]
    )


def test_multiple(play: Playbook) -> None:
    gets = [get() for _ in range(5)]
    assert (
        filled(play, 5)
        >> gets
        << [line for i in range(1, 6) for line in got(b"%d" % i, i, 5 - i)]
        >> [ack(2), ack(4, True), nack(5, True), DECLARE]
        << declared(1)
        >> ack(4, True)
        << unknown(4, Basic.Ack)
    )


def test_multiple_zero_means_everything(play: Playbook) -> None:
    assert (
        filled(play, 3)
        >> ack(0, True)
        >> [get(), get()]
        << [*got(b"1", 1, 2), *got(b"2", 2, 1)]
        >> [nack(0, True), DECLARE, nack(0, True)]
        << declared(3)
    )


def test_requeueing_restores_the_place(play: Playbook) -> None:
    assert (
        filled(play, 4)
        >> [get(), get(), get()]
        << [*got(b"1", 1, 3), *got(b"2", 2, 2), *got(b"3", 3, 1)]
        >> [nack(3), say(Basic.Reject, delivery_tag=1, requeue=True)]
        >> [get(), get(), get()]
        << got(b"1", 4, 2, redelivered=True)
        << got(b"3", 5, 1, redelivered=True)
        << got(b"4", 6)
    )


@pytest.mark.parametrize("line", [nack(1, requeue=False), say(Basic.Reject, delivery_tag=1, requeue=False)])
def test_refusing_drops(play: Playbook, line: Say) -> None:
    assert filled(play, 1) >> [get(), line, DECLARE] << [*got(b"1", 1), declared()]


def test_requeued_to_the_same_consumer(play: Playbook) -> None:
    """Its credit is back before the message is: it still stands first in the line."""
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Qos, prefetch_count=1), consume()]
        << [declared(), say(Basic.QosOk), consume_ok()]
        >> [*publish(b"1", "q")]
        << delivery(b"1", 1)
        >> consume("d", by="b")
        << consume_ok("d", by="b")
        >> nack(1)
        << delivery(b"1", 2, redelivered=True)
    )


# --- get


def test_get(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [get(no_ack=True), get(), get(), DECLARE]
        << [*got(b"1", 1, 1), *got(b"2", 2), say(Basic.GetEmpty, cluster_id=""), declared()]
        >> say(Basic.Get, queue="nope")
        << refusal(404, "NOT_FOUND - no queue 'nope' in vhost '/'", Basic.Get)
    )


# --- recover


def test_recover(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [consume(), get()]
        << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2), say(Basic.GetEmpty)]
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *delivery(b"1", 3, redelivered=True), *delivery(b"2", 4, redelivered=True)]
        >> say(Basic.RecoverAsync, requeue=True)
        << [*delivery(b"1", 5, redelivered=True), *delivery(b"2", 6, redelivered=True)]
        >> ack(1)
        << unknown(1, Basic.Ack)
    )


@pytest.mark.parametrize("command", [Basic.Recover, Basic.RecoverAsync])
def test_recover_without_requeue(play: Playbook, command: Any) -> None:
    line = say(command, requeue=False)
    assert play >> line << refusal(540, "NOT_IMPLEMENTED - requeue=false", command, channel=0)


# --- qos


def test_prefetch_of_consumers_started_afterwards(play: Playbook) -> None:
    assert (
        filled(play, 4)
        >> [say(Basic.Qos, prefetch_count=1), consume("one"), say(Basic.Qos, prefetch_count=2)]
        << [say(Basic.QosOk), consume_ok("one"), *delivery(b"1", 1, consumer="one"), say(Basic.QosOk)]
        >> consume("two")
        << [
            consume_ok("two"),
            *delivery(b"2", 2, consumer="two"),
            *delivery(b"3", 3, consumer="two"),
        ]
        >> ack(1)
        << delivery(b"4", 4, consumer="one")
    )


def test_no_ack_knows_no_prefetch(play: Playbook) -> None:
    assert (
        filled(play, 3)
        >> [say(Basic.Qos, prefetch_count=1), consume(no_ack=True)]
        << [say(Basic.QosOk), consume_ok(), *(line for i in (1, 2, 3) for line in delivery(b"%d" % i, i))]
    )


def test_prefetch_0_is_no_limit(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [say(Basic.Qos, prefetch_count=1), say(Basic.Qos, prefetch_count=0), consume()]
        << [say(Basic.QosOk), say(Basic.QosOk), consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
    )


def test_prefetch_size(play: Playbook) -> None:
    line = say(Basic.Qos, prefetch_size=10)
    assert play >> line << refusal(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)", Basic.Qos, channel=0)


def test_global_prefetch_counts_as_one_for_consumers(play: Playbook) -> None:
    """As RabbitMQ 4.3 has it, where global qos is not permitted."""
    assert (
        filled(play, 3)
        >> [say(Basic.Qos, prefetch_count=1, global_=True), consume("a"), consume("b")]
        << [say(Basic.QosOk), consume_ok("a"), *delivery(b"1", 1, consumer="a")]
        << [consume_ok("b"), *delivery(b"2", 2, consumer="b")]
    )


def test_global_prefetch_where_it_is_permitted(chunking: str) -> None:
    settings = Settings(deprecated_features=DeprecatedFeatures(permit={"global_qos": True}))
    play = Playbook(settings, chunking)
    assert (
        filled(play, 5)
        >> [say(Basic.Qos, prefetch_count=1), say(Basic.Qos, prefetch_count=2, global_=True), consume("a")]
        << [say(Basic.QosOk), say(Basic.QosOk), consume_ok("a"), *delivery(b"1", 1, consumer="a")]
        >> [consume("b"), consume("c"), consume("n", no_ack=True)]
        << [consume_ok("b"), *delivery(b"2", 2, consumer="b"), consume_ok("c"), consume_ok("n")]
        >> say(Basic.Qos, prefetch_count=3, global_=True)
        << [say(Basic.QosOk), *delivery(b"3", 3, consumer="c")]
        >> ack(1)
        << delivery(b"4", 4, consumer="a")
        >> ack(2)
        << delivery(b"5", 5, consumer="b")
    )


def test_a_limit_for_each_lifts_that_of_the_channel(chunking: str) -> None:
    settings = Settings(deprecated_features=DeprecatedFeatures(permit={"global_qos": True}))
    assert (
        filled(Playbook(settings, chunking), 3)
        >> [say(Basic.Qos, prefetch_count=1, global_=True), consume("a")]
        << [say(Basic.QosOk), consume_ok("a"), *delivery(b"1", 1, consumer="a")]
        >> say(Basic.Qos, prefetch_count=1)
        << [say(Basic.QosOk), *delivery(b"2", 2, consumer="a"), *delivery(b"3", 3, consumer="a")]
    )


def test_credit_comes_back_with_any_settlement(play: Playbook) -> None:
    assert (
        filled(play, 5)
        >> [say(Basic.Qos, prefetch_count=2), consume()]
        << [say(Basic.QosOk), consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
        >> ack(2, True)
        << [*delivery(b"3", 3), *delivery(b"4", 4)]
        >> nack(3, requeue=False)
        << delivery(b"5", 5)
        >> nack(4, requeue=True)
        << delivery(b"4", 6, redelivered=True)
    )
