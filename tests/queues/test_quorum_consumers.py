"""Quorum queues in virtual time: what they refuse, which consumers are counted, the single active consumer."""

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
    delivery,
    refusal,
    say,
)
from leveret.wire.tables import Field
from tests.queues.plays import (
    consume,
    consume_ok,
    count_headers,
    declare_ok,
    declare_passive,
    declare_quorum,
    get,
    get_ok,
    playbook,
    publish_all,
    qos,
    qos_ok,
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
def test_unsupported_properties_are_refused(given: dict[str, bool], what: str) -> None:
    arguments = {"x-queue-type": "quorum"}
    assert (
        playbook()
        >> say(Queue.Declare, **{"queue": "q", "durable": True, "arguments": arguments, **given})
        << refusal(
            406, f"PRECONDITION_FAILED - invalid property '{what}' for queue 'q' in vhost '/'", Queue.Declare
        )
    )


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_conditional_delete_is_refused(flag: str) -> None:
    text = (
        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with "
        f"{flag.replace('_', '-')} flag set are not supported by quorum queues"
    )
    assert (
        playbook()
        >> [declare_quorum(), say(Queue.Delete, queue="q", **{flag: True})]
        << [declare_ok(), refusal(540, text, Queue.Delete, channel=0)]
    )


@pytest.mark.parametrize(("version", "word"), [("4.3", '<<"quorum">>'), ("4.0", "quorum")])
def test_basic_get_is_refused_with_single_active_consumer(version: str, word: str) -> None:
    text = (
        "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not "
        f"supported by {word} queues with single active consumer"
    )
    assert (
        playbook(version)
        >> [declare_quorum(single_active_consumer=True), get()]
        << [declare_ok(), refusal(405, text, Basic.Get)]
    )


def test_before_4_3_global_qos_is_refused() -> None:
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    assert (
        playbook("4.0")
        >> [declare_quorum(), say(Basic.Qos, prefetch_count=1, global_=True), consume()]
        << [declare_ok(), say(Basic.QosOk), refusal(540, text, Basic.Consume, channel=0)]
    )


def test_an_exclusive_consumer_does_not_exclude_others() -> None:
    assert (
        playbook()
        >> [
            declare_quorum(),
            say(Basic.Consume, queue="q", consumer_tag="c", exclusive=True),
            consume("d", 2),
            declare_passive(),
        ]
        << [declare_ok(), consume_ok(), consume_ok("d", 2), declare_ok(0, 2)]
    )


# --- who counts as a consumer


def test_consumers_with_unacked_deliveries_are_counted() -> None:
    """A cancelled consumer counts while it has deliveries, and so does a delivery of basic.get."""
    assert (
        playbook()
        >> [declare_quorum(), *publish_all(b"0", b"1"), get(no_ack=False), declare_passive()]
        << [declare_ok(), *get_ok(b"0", 1, 1), declare_ok(1, 1)]
        >> [say(Basic.Ack, delivery_tag=1), consume(channel=2)]
        << [consume_ok(channel=2), *delivery(b"1", 1, channel=2)]
        >> [say(Basic.Cancel, consumer_tag="c", channel=2), declare_passive()]
        << [say(Basic.CancelOk, consumer_tag="c", channel=2), declare_ok(0, 1)]
        >> [say(Basic.Ack, delivery_tag=1, channel=2), declare_passive()]
        << declare_ok()
    )


def test_consumers_of_a_lost_connection_do_not_count() -> None:
    assert (
        playbook()
        >> [declare_quorum(), *publish_all(b"0")]
        << declare_ok()
        >> [Connect("b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [say(Basic.ConsumeOk, consumer_tag="c", by="b"), *delivery(b"0", 1, by="b")]
        >> [HangUp("b"), declare_passive()]
        << declare_ok(1)
    )


# --- single active consumer


def test_only_the_single_active_consumer_is_counted() -> None:
    assert (
        playbook()
        >> [
            declare_quorum(single_active_consumer=True),
            consume("a"),
            consume("b", 2),
            consume("c", 3),
            declare_passive(),
        ]
        << [declare_ok(), consume_ok("a"), consume_ok("b", 2), consume_ok("c", 3), declare_ok(0, 1)]
    )


@pytest.mark.parametrize("version", ["4.3", "4.0"])
def test_a_higher_priority_becomes_active_when_the_active_one_has_no_deliveries(version: str) -> None:
    """Until then nothing is delivered."""
    assert (
        playbook(version)
        >> [declare_quorum(single_active_consumer=True), *publish_all(b"0", b"1", b"2"), *qos(1, 1, 2, 3)]
        << [declare_ok(), *qos_ok(1, 2, 3)]
        >> [consume("low"), consume("high", 2, priority=5), declare_passive(channel=3)]
        << [
            consume_ok("low"),
            *delivery(b"0", 1, consumer="low"),
            consume_ok("high", 2),
            declare_ok(2, 1, channel=3),
        ]
        >> say(Basic.Ack, delivery_tag=1)
        << delivery(b"1", 1, consumer="high", channel=2)
        >> [consume("higher", 3, priority=9), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [
            consume_ok("higher", 3),
            *delivery(b"2", 1, consumer="higher", channel=3),
            say(Basic.CancelOk, consumer_tag="high", channel=2),
        ]
        >> declare_passive()
        << declare_ok(0, 2)
    )


def test_a_higher_priority_becomes_active_at_once_without_deliveries() -> None:
    assert (
        playbook()
        >> [
            declare_quorum(single_active_consumer=True),
            consume("low"),
            consume("high", 2, priority=5),
            *publish_all(b"0"),
        ]
        << [
            declare_ok(),
            consume_ok("low"),
            consume_ok("high", 2),
            *delivery(b"0", 1, consumer="high", channel=2),
        ]
    )


def test_a_quiescing_consumer_stays_active_if_its_successor_is_cancelled() -> None:
    assert (
        playbook()
        >> [declare_quorum(single_active_consumer=True), *publish_all(b"0", b"1"), *qos(1, 1), consume("low")]
        << [declare_ok(), *qos_ok(1), consume_ok("low"), *delivery(b"0", 1, consumer="low")]
        >> [consume("high", 2, priority=5), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [consume_ok("high", 2), say(Basic.CancelOk, consumer_tag="high", channel=2)]
        >> say(Basic.Nack, delivery_tag=1, requeue=True)
        << delivery(b"0", 2, consumer="low", redelivered=True, **count_headers(1))
    )


def test_before_4_0_priority_does_not_change_the_active_consumer() -> None:
    """The waiting consumers become active in the order in which they came."""
    assert (
        playbook("3.10")
        >> [
            declare_quorum(single_active_consumer=True),
            *publish_all(b"0", b"1", b"2"),
            *qos(1, 1, 2, 3),
            consume("a"),
        ]
        << [declare_ok(), *qos_ok(1, 2, 3), consume_ok("a"), *delivery(b"0", 1, consumer="a")]
        >> [consume("b", 2), consume("c", 3, priority=5), say(Basic.Ack, delivery_tag=1)]
        << [consume_ok("b", 2), consume_ok("c", 3), *delivery(b"1", 2, consumer="a")]
        >> say(Basic.Cancel, consumer_tag="a")
        << [*delivery(b"2", 1, consumer="b", channel=2), say(Basic.CancelOk, consumer_tag="a")]
    )


# --- what a dead letter remembers


class Counts:
    """Equal to headers with these counts, whatever else these contain."""

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
        ("4.3", Basic.Reject, count_headers(1, 1), count_headers(1, 2)),
        ("4.3", Basic.Nack, {}, count_headers(1, 1)),
        ("4.0", Basic.Reject, count_headers(0, 1), count_headers(0, 1)),
        ("4.0", Basic.Nack, count_headers(0, 1), count_headers(0, 1)),
        ("3.13", Basic.Reject, {}, count_headers(0, 1)),
    ],
)
def test_counts_of_a_dead_letter_go_on_in_the_next_quorum_queue(
    version: str, how: type[Any], first: dict[str, Any], then: dict[str, Any]
) -> None:
    """In 4.3 after basic.reject; 4.0 shows one delivery and counts from 0."""
    play = (
        playbook(version)
        >> [
            declare_quorum("dead"),
            declare_quorum(dead_letter_exchange="", dead_letter_routing_key="dead"),
            say(Basic.Consume, queue="dead", consumer_tag="d", channel=2),
            *publish_all(b"1"),
            get(no_ack=False),
        ]
        << [
            declare_ok(name="dead"),
            declare_ok(),
            say(Basic.ConsumeOk, consumer_tag="d", channel=2),
            *get_ok(b"1", 1),
        ]
        >> say(how, delivery_tag=1, requeue=False)
        << delivery(b"1", 1, "dead", consumer="d", redelivered=bool(first), channel=2, headers=Counts(first))
        >> say(Basic.Reject, delivery_tag=1, requeue=True, channel=2)
        << delivery(b"1", 2, "dead", consumer="d", redelivered=True, channel=2, headers=Counts(then))
    )
    assert play


def test_a_cancelled_consumer_is_released_with_its_last_delivery() -> None:
    """Otherwise it would keep its channel and connection in memory."""
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
