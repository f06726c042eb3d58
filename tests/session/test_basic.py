"""basic.qos, consume, cancel, get, ack, nack, reject and recover on classic queues."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.config import Settings
from leveret.settings import DeprecatedFeatures
from leveret.testing.playbook import (
    Connect,
    Kept,
    Playbook,
    Say,
    content,
    delivery,
    publish,
    refusal,
    say,
)
from tests.session.plays import (
    DECLARE,
    ack,
    consume,
    consume_ok,
    declare_ok,
    filled,
    get,
    get_ok,
    nack,
    unknown_tag,
)

# --- consume


def test_consume_ok_precedes_the_first_delivery(play: Playbook) -> None:
    assert filled(play, 2) >> consume() << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]


def test_the_server_generates_a_consumer_tag(play: Playbook) -> None:
    tag = Kept("tag", r"amq\.ctag-[A-Za-z0-9_-]{22}")
    assert (
        play
        >> [DECLARE, say(Basic.Consume, queue="q")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag=tag)]
        >> publish(b"x", "q")
        << say(Basic.Deliver, consumer_tag=tag, delivery_tag=1, exchange="", routing_key="q")
        << content(b"x")
        >> say(Basic.Cancel, consumer_tag=tag)
        << say(Basic.CancelOk, consumer_tag=tag)
    )


def test_with_nowait_only_errors_are_answered(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> consume(nowait=True)
        << delivery(b"1", 1)
        >> say(Basic.Cancel, consumer_tag="c", nowait=True)
        >> say(Basic.Consume, queue="nope", nowait=True)
        << refusal(404, "NOT_FOUND - no queue 'nope' in vhost '/'", Basic.Consume)
    )


def test_a_consumer_tag_in_use_is_refused(play: Playbook) -> None:
    text = "NOT_ALLOWED - attempt to reuse consumer tag 'c'"
    assert (
        play
        >> [DECLARE, consume()]
        << [declare_ok(), consume_ok()]
        >> consume()
        << refusal(530, text, Basic.Consume, channel=0)
    )


def test_channels_may_use_the_same_consumer_tag(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        play
        >> [DECLARE, consume(), consume(channel=2)]
        << [declare_ok(), consume_ok(), consume_ok(channel=2)]
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> [consume(), *publish(b"x", "q")]
        << [consume_ok(), *delivery(b"x", 1, channel=2)]
    )


def test_an_empty_queue_name_means_the_last_declared_queue(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> say(Basic.Consume, consumer_tag="c")
        << [consume_ok(), *delivery(b"1", 1)]
        >> [say(Basic.Cancel, consumer_tag="c"), nack(1), say(Basic.Get)]
        << [say(Basic.CancelOk, consumer_tag="c"), *get_ok(b"1", 2, redelivered=True)]
    )


@pytest.mark.parametrize("line", [say(Basic.Get), say(Basic.Consume), say(Queue.Purge), say(Queue.Delete)])
def test_without_a_declared_queue_an_empty_name_is_refused(play: Playbook, line: Say) -> None:
    assert play >> line << refusal(404, "NOT_FOUND - no previously declared queue", line.command)


def test_an_exclusive_consumer_excludes_others(play: Playbook) -> None:
    text = "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    reopen = [say(Channel.CloseOk), say(Channel.Open)]
    assert (
        play
        >> Connect("b")
        >> [DECLARE, consume("c", exclusive=True)]
        << [declare_ok(), consume_ok()]
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


def test_consumers_are_served_round_robin(play: Playbook) -> None:
    sixth = [line for i in range(6) for line in publish(b"%d" % i, "q")]
    tags = "abcabc"
    assert (
        play
        >> [DECLARE, *(consume(tag, no_ack=True) for tag in "abc")]
        << [declare_ok(), *(consume_ok(tag) for tag in "abc")]
        >> sixth
        << [line for i in range(6) for line in delivery(b"%d" % i, i + 1, consumer=tags[i])]
    )


def test_consumers_of_higher_priority_are_served_first(play: Playbook) -> None:
    """Consumers of lower priority get what those have no credit for."""
    five = [line for i in range(5) for line in publish(b"%d" % i, "q")]
    assert (
        play
        >> [DECLARE, consume("low", arguments={"x-priority": -1}), say(Basic.Qos, prefetch_count=2)]
        << [declare_ok(), consume_ok("low"), say(Basic.QosOk)]
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
def test_a_priority_that_is_not_an_integer_is_refused(play: Playbook, value: Any, kind: str) -> None:
    text = f"invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got {kind}\""
    assert (
        play
        >> [DECLARE, consume(arguments={"x-priority": value})]
        << [declare_ok(), refusal(406, f"PRECONDITION_FAILED - {text}", Basic.Consume)]
    )


def test_unknown_arguments_are_ignored(play: Playbook) -> None:
    assert play >> [DECLARE, consume(arguments={"x-foo": 1}, no_local=True)] << [declare_ok(), consume_ok()]


def test_a_cancelled_consumer_gets_no_more_deliveries(play: Playbook) -> None:
    assert (
        filled(play, 1)
        >> [consume(), say(Basic.Cancel, consumer_tag="c")]
        << [consume_ok(), *delivery(b"1", 1), say(Basic.CancelOk, consumer_tag="c")]
        >> say(Basic.Cancel, consumer_tag="unknown")
        << say(Basic.CancelOk, consumer_tag="unknown")
        >> [*publish(b"2", "q"), ack(1), DECLARE]
        << declare_ok(1)
    )


def test_an_unexpected_cancel_ok_cancels_the_consumer(play: Playbook) -> None:
    """RabbitMQ cancels a consumer that exists, and closes the connection for one that does not."""
    assert (
        play
        >> [DECLARE, consume()]
        << [declare_ok(), consume_ok()]
        >> say(Basic.CancelOk, consumer_tag="c")
        >> [*publish(b"1", "q"), DECLARE]
        << declare_ok(1, 0)
        >> say(Basic.CancelOk, consumer_tag="c")
        << refusal(541, "INTERNAL_ERROR", channel=0)
    )


def test_consumers_are_cancelled_when_their_queue_is_deleted(play: Playbook) -> None:
    cancelled = say(Basic.Cancel, consumer_tag="c", nowait=True)
    assert (
        play
        >> Connect("b")
        >> Connect("plain", capabilities=())
        >> [DECLARE, consume(), consume(by="b"), consume(by="plain"), *publish(b"1", "q")]
        << [declare_ok(), consume_ok(), *delivery(b"1", 1), consume_ok(by="b"), consume_ok(by="plain")]
        >> say(Queue.Delete, queue="q")
        << [say(Queue.DeleteOk), cancelled, say(Basic.Cancel, consumer_tag="c", nowait=True, by="b")]
        >> [ack(1), DECLARE, consume()]
        << [declare_ok(), consume_ok()]
    )


# --- settling


def test_deliveries_of_a_cancelled_consumer_stay_unacknowledged(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [consume(), say(Basic.Cancel, consumer_tag="c"), DECLARE]
        << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
        << [say(Basic.CancelOk, consumer_tag="c"), declare_ok()]
        >> [nack(2), DECLARE]
        << declare_ok(1)
        >> [ack(1), DECLARE]
        << declare_ok(1)
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
def test_unknown_delivery_tags_are_refused(play: Playbook, line: Say, tag: int) -> None:
    assert play >> line << unknown_tag(tag, line.command)


def test_a_delivery_tag_is_settled_once(play: Playbook) -> None:
    assert filled(play, 1) >> [get(), ack(1), ack(1)] << [*get_ok(b"1", 1), unknown_tag(1, Basic.Ack)]


def test_a_delivery_tag_of_another_channel_is_refused(chunking: str) -> None:
    play = Playbook(chunking=chunking, first=[Connect("a", channels=(1, 2))])
    assert (
        filled(play, 1)
        >> [get(), ack(1, channel=2)]
        << [
            *get_ok(b"1", 1),
            refusal(406, "PRECONDITION_FAILED - unknown delivery tag 1", Basic.Ack, channel=2),
        ]
    )


def test_deliveries_without_ack_have_a_delivery_tag(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [get(no_ack=True), get(), ack(2), ack(1)]
        << [*get_ok(b"1", 1, 1), *get_ok(b"2", 2), unknown_tag(1, Basic.Ack)]
    )


def test_multiple_settles_all_tags_up_to_the_given_one(play: Playbook) -> None:
    gets = [get() for _ in range(5)]
    assert (
        filled(play, 5)
        >> gets
        << [line for i in range(1, 6) for line in get_ok(b"%d" % i, i, 5 - i)]
        >> [ack(2), ack(4, True), nack(5, True), DECLARE]
        << declare_ok(1)
        >> ack(4, True)
        << unknown_tag(4, Basic.Ack)
    )


def test_multiple_with_tag_0_settles_everything(play: Playbook) -> None:
    assert (
        filled(play, 3)
        >> ack(0, True)
        >> [get(), get()]
        << [*get_ok(b"1", 1, 2), *get_ok(b"2", 2, 1)]
        >> [nack(0, True), DECLARE, nack(0, True)]
        << declare_ok(3)
    )


def test_requeued_messages_return_to_their_positions(play: Playbook) -> None:
    assert (
        filled(play, 4)
        >> [get(), get(), get()]
        << [*get_ok(b"1", 1, 3), *get_ok(b"2", 2, 2), *get_ok(b"3", 3, 1)]
        >> [nack(3), say(Basic.Reject, delivery_tag=1, requeue=True)]
        >> [get(), get(), get()]
        << get_ok(b"1", 4, 2, redelivered=True)
        << get_ok(b"3", 5, 1, redelivered=True)
        << get_ok(b"4", 6)
    )


@pytest.mark.parametrize("line", [nack(1, requeue=False), say(Basic.Reject, delivery_tag=1, requeue=False)])
def test_rejected_messages_are_dropped(play: Playbook, line: Say) -> None:
    assert filled(play, 1) >> [get(), line, DECLARE] << [*get_ok(b"1", 1), declare_ok()]


def test_a_requeued_message_goes_to_the_same_consumer_first(play: Playbook) -> None:
    """Its credit is given back before the message, so that it is first in the rotation."""
    assert (
        play
        >> Connect("b")
        >> [DECLARE, say(Basic.Qos, prefetch_count=1), consume()]
        << [declare_ok(), say(Basic.QosOk), consume_ok()]
        >> [*publish(b"1", "q")]
        << delivery(b"1", 1)
        >> consume("d", by="b")
        << consume_ok("d", by="b")
        >> nack(1)
        << delivery(b"1", 2, redelivered=True)
    )


# --- get


def test_get_returns_messages_or_get_empty(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [get(no_ack=True), get(), get(), DECLARE]
        << [*get_ok(b"1", 1, 1), *get_ok(b"2", 2), say(Basic.GetEmpty, cluster_id=""), declare_ok()]
        >> say(Basic.Get, queue="nope")
        << refusal(404, "NOT_FOUND - no queue 'nope' in vhost '/'", Basic.Get)
    )


# --- recover


def test_recover_redelivers_unacknowledged_messages(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [consume(), get()]
        << [consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2), say(Basic.GetEmpty)]
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *delivery(b"1", 3, redelivered=True), *delivery(b"2", 4, redelivered=True)]
        >> say(Basic.RecoverAsync, requeue=True)
        << [*delivery(b"1", 5, redelivered=True), *delivery(b"2", 6, redelivered=True)]
        >> ack(1)
        << unknown_tag(1, Basic.Ack)
    )


@pytest.mark.parametrize("command", [Basic.Recover, Basic.RecoverAsync])
def test_recover_without_requeue_is_not_implemented(play: Playbook, command: Any) -> None:
    line = say(command, requeue=False)
    assert play >> line << refusal(540, "NOT_IMPLEMENTED - requeue=false", command, channel=0)


# --- qos


def test_qos_applies_to_consumers_started_afterwards(play: Playbook) -> None:
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


def test_consumers_without_ack_have_no_prefetch_limit(play: Playbook) -> None:
    assert (
        filled(play, 3)
        >> [say(Basic.Qos, prefetch_count=1), consume(no_ack=True)]
        << [say(Basic.QosOk), consume_ok(), *(line for i in (1, 2, 3) for line in delivery(b"%d" % i, i))]
    )


def test_a_prefetch_count_of_0_means_no_limit(play: Playbook) -> None:
    assert (
        filled(play, 2)
        >> [say(Basic.Qos, prefetch_count=1), say(Basic.Qos, prefetch_count=0), consume()]
        << [say(Basic.QosOk), say(Basic.QosOk), consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
    )


def test_a_prefetch_size_is_not_implemented(play: Playbook) -> None:
    line = say(Basic.Qos, prefetch_size=10)
    assert play >> line << refusal(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)", Basic.Qos, channel=0)


def test_in_4_3_a_global_prefetch_applies_to_each_consumer(play: Playbook) -> None:
    """As in RabbitMQ 4.3, where global qos is not permitted."""
    assert (
        filled(play, 3)
        >> [say(Basic.Qos, prefetch_count=1, global_=True), consume("a"), consume("b")]
        << [say(Basic.QosOk), consume_ok("a"), *delivery(b"1", 1, consumer="a")]
        << [consume_ok("b"), *delivery(b"2", 2, consumer="b")]
    )


def test_a_permitted_global_prefetch_limits_the_channel(chunking: str) -> None:
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


def test_a_consumer_prefetch_removes_that_of_the_channel(chunking: str) -> None:
    settings = Settings(deprecated_features=DeprecatedFeatures(permit={"global_qos": True}))
    assert (
        filled(Playbook(settings, chunking), 3)
        >> [say(Basic.Qos, prefetch_count=1, global_=True), consume("a")]
        << [say(Basic.QosOk), consume_ok("a"), *delivery(b"1", 1, consumer="a")]
        >> say(Basic.Qos, prefetch_count=1)
        << [say(Basic.QosOk), *delivery(b"2", 2, consumer="a"), *delivery(b"3", 3, consumer="a")]
    )


def test_every_settlement_gives_credit_back(play: Playbook) -> None:
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
