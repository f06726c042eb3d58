"""Quorum queues in virtual time: what they refuse, who counts as a consumer, the single active one."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Queue

from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.queues.consumers import Consumer
from leveret.queues.quorum.queue import QuorumQueue
from leveret.testing.playbook import (
    Connect,
    HangUp,
    Line,
    delivery,
    refusal,
    say,
)
from leveret.wire.tables import Field
from tests.queues.quorums import (
    book,
    consume,
    consuming,
    counts,
    get,
    got,
    look,
    many,
    queue,
    ready,
)

# --- what it refuses


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
    ],
)
def test_properties_it_cannot_have(given: dict[str, bool], what: str) -> None:
    arguments = {"x-queue-type": "quorum"}
    assert (
        book()
        >> say(Queue.Declare, **{"queue": "q", "durable": True, "arguments": arguments, **given})
        << refusal(
            406, f"PRECONDITION_FAILED - invalid property '{what}' for queue 'q' in vhost '/'", Queue.Declare
        )
    )


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_conditional_delete(flag: str) -> None:
    text = (
        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with "
        f"{flag.replace('_', '-')} flag set are not supported by quorum queues"
    )
    assert (
        book()
        >> [queue(), say(Queue.Delete, queue="q", **{flag: True})]
        << [ready(), refusal(540, text, Queue.Delete, channel=0)]
    )


@pytest.mark.parametrize(("version", "word"), [("4.3", '<<"quorum">>'), ("4.0", "quorum")])
def test_get_with_single_active_consumer(version: str, word: str) -> None:
    text = (
        "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not "
        f"supported by {word} queues with single active consumer"
    )
    assert (
        book(version)
        >> [queue(single_active_consumer=True), get()]
        << [ready(), refusal(405, text, Basic.Get)]
    )


def test_global_qos_before_4_3() -> None:
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    assert (
        book("4.0")
        >> [queue(), say(Basic.Qos, prefetch_count=1, global_=True), consume()]
        << [ready(), say(Basic.QosOk), refusal(540, text, Basic.Consume, channel=0)]
    )


def test_an_exclusive_consumer_is_like_any_other() -> None:
    assert (
        book()
        >> [queue(), say(Basic.Consume, queue="q", consumer_tag="c", exclusive=True), consume("d", 2), look()]
        << [ready(), consuming(), consuming("d", 2), ready(0, 2)]
    )


# --- who counts as a consumer


def test_consumer_count() -> None:
    """A cancelled consumer counts while it holds deliveries, and so does a message taken by basic.get."""
    assert (
        book()
        >> [queue(), *many(b"0", b"1"), get(no_ack=False), look()]
        << [ready(), *got(b"0", 1, 1), ready(1, 1)]
        >> [say(Basic.Ack, delivery_tag=1), consume(channel=2)]
        << [consuming(channel=2), *delivery(b"1", 1, channel=2)]
        >> [say(Basic.Cancel, consumer_tag="c", channel=2), look()]
        << [say(Basic.CancelOk, consumer_tag="c", channel=2), ready(0, 1)]
        >> [say(Basic.Ack, delivery_tag=1, channel=2), look()]
        << ready()
    )


def test_consumers_of_a_lost_connection_do_not_count() -> None:
    assert (
        book()
        >> [queue(), *many(b"0")]
        << ready()
        >> [Connect("b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [say(Basic.ConsumeOk, consumer_tag="c", by="b"), *delivery(b"0", 1, by="b")]
        >> [HangUp("b"), look()]
        << ready(1)
    )


# --- single active consumer


def one_each(*channels: int) -> list[Line]:
    return [say(Basic.Qos, prefetch_count=1, channel=number) for number in channels]


def one_each_ok(*channels: int) -> list[Line]:
    return [say(Basic.QosOk, channel=number) for number in channels]


def test_only_the_active_one_counts() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), consume("a"), consume("b", 2), consume("c", 3), look()]
        << [ready(), consuming("a"), consuming("b", 2), consuming("c", 3), ready(0, 1)]
    )


@pytest.mark.parametrize("version", ["4.3", "4.0"])
def test_takeover_waits_for_what_is_held(version: str) -> None:
    """One of higher priority is next as soon as the active one holds nothing; till then nobody is given anything."""
    assert (
        book(version)
        >> [queue(single_active_consumer=True), *many(b"0", b"1", b"2"), *one_each(1, 2, 3)]
        << [ready(), *one_each_ok(1, 2, 3)]
        >> [consume("low"), consume("high", 2, priority=5), look(channel=3)]
        << [
            consuming("low"),
            *delivery(b"0", 1, consumer="low"),
            consuming("high", 2),
            ready(2, 1, channel=3),
        ]
        >> say(Basic.Ack, delivery_tag=1)
        << delivery(b"1", 1, consumer="high", channel=2)
        >> [consume("higher", 3, priority=9), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [
            consuming("higher", 3),
            *delivery(b"2", 1, consumer="higher", channel=3),
            say(Basic.CancelOk, consumer_tag="high", channel=2),
        ]
        >> look()
        << ready(0, 2)
    )


def test_takeover_at_once_when_nothing_is_held() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), consume("low"), consume("high", 2, priority=5), *many(b"0")]
        << [
            ready(),
            consuming("low"),
            consuming("high", 2),
            *delivery(b"0", 1, consumer="high", channel=2),
        ]
    )


def test_the_quiescing_one_stays_if_its_successor_leaves() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), *many(b"0", b"1"), *one_each(1), consume("low")]
        << [ready(), *one_each_ok(1), consuming("low"), *delivery(b"0", 1, consumer="low")]
        >> [consume("high", 2, priority=5), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [consuming("high", 2), say(Basic.CancelOk, consumer_tag="high", channel=2)]
        >> say(Basic.Nack, delivery_tag=1, requeue=True)
        << delivery(b"0", 2, consumer="low", redelivered=True, **counts(1))
    )


def test_no_takeover_before_4_0() -> None:
    """The waiting ones follow each other as they came, whatever their priority."""
    assert (
        book("3.10")
        >> [queue(single_active_consumer=True), *many(b"0", b"1", b"2"), *one_each(1, 2, 3), consume("a")]
        << [ready(), *one_each_ok(1, 2, 3), consuming("a"), *delivery(b"0", 1, consumer="a")]
        >> [consume("b", 2), consume("c", 3, priority=5), say(Basic.Ack, delivery_tag=1)]
        << [consuming("b", 2), consuming("c", 3), *delivery(b"1", 2, consumer="a")]
        >> say(Basic.Cancel, consumer_tag="a")
        << [*delivery(b"2", 1, consumer="b", channel=2), say(Basic.CancelOk, consumer_tag="a")]
    )


# --- what a dead letter remembers


class Counts:
    """Equal to headers with just these counts, whatever else they tell."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.counts = properties.get("headers", {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.counts == {
            name: field for name, field in other.items() if name.endswith("-count")
        }

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("version", "how", "first", "then"),
    [
        ("4.3", Basic.Reject, counts(1, 1), counts(1, 2)),
        ("4.3", Basic.Nack, {}, counts(1, 1)),
        ("4.0", Basic.Reject, counts(0, 1), counts(0, 1)),
        ("4.0", Basic.Nack, counts(0, 1), counts(0, 1)),
        ("3.13", Basic.Reject, {}, counts(0, 1)),
    ],
)
def test_counts_of_a_dead_letter_in_its_next_quorum_queue(
    version: str, how: type[Any], first: dict[str, Any], then: dict[str, Any]
) -> None:
    """4.3 goes on counting after basic.reject; 4.0 shows one delivery and counts from 0."""
    play = (
        book(version)
        >> [
            queue("dead"),
            queue(dead_letter_exchange="", dead_letter_routing_key="dead"),
            say(Basic.Consume, queue="dead", consumer_tag="d", channel=2),
            *many(b"1"),
            get(no_ack=False),
        ]
        << [
            ready(name="dead"),
            ready(),
            say(Basic.ConsumeOk, consumer_tag="d", channel=2),
            *got(b"1", 1),
        ]
        >> say(how, delivery_tag=1, requeue=False)
        << delivery(b"1", 1, "dead", consumer="d", redelivered=bool(first), channel=2, headers=Counts(first))
        >> say(Basic.Reject, delivery_tag=1, requeue=True, channel=2)
        << delivery(b"1", 2, "dead", consumer="d", redelivered=True, channel=2, headers=Counts(then))
    )
    assert play


def test_who_is_gone_is_forgotten() -> None:
    """A consumer holds on to its channel and connection: it is not remembered until somebody declares the queue."""
    broker = Broker()
    startup.seed(broker)
    one = broker.vhosts["/"].declare_queue(
        "q",
        durable=True,
        auto_delete=False,
        owner=None,
        arguments={"x-queue-type": Field("S", b"quorum")},
        user="",
    )
    assert isinstance(one, QuorumQueue)
    for held in (1, 1, 1, 0):
        consumer = Consumer("c", one, False, False, 0, 1)
        one.subscribe(consumer)
        consumer.held = held
        one.detach(consumer)
        consumer.held = 0
    assert len(one.cancelled_with_unacked) == 1
