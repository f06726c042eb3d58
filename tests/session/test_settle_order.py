"""Delivery order when several consumers of a channel regain credit."""

from __future__ import annotations

from pamqp.commands import Basic

from leveret.config import Settings
from leveret.settings import DeprecatedFeatures
from leveret.testing.playbook import Line, Playbook, delivery, publish, say
from tests.session.plays import ack, consume, consume_ok, filled, get_ok

PERMITTED = Settings(deprecated_features=DeprecatedFeatures(permit={"global_qos": True}))


def test_consumers_take_turns_under_a_global_prefetch(chunking: str) -> None:
    play = Playbook(PERMITTED, chunking)
    assert (
        filled(play, 5)
        >> [say(Basic.Qos, prefetch_count=1, global_=True), consume("b"), consume("a")]
        << [say(Basic.QosOk), consume_ok("b"), *delivery(b"1", 1, consumer="b"), consume_ok("a")]
        >> say(Basic.Qos, prefetch_count=4, global_=True)
        << [say(Basic.QosOk), *delivery(b"2", 2, consumer="b"), *delivery(b"3", 3, consumer="a")]
        << delivery(b"4", 4, consumer="b")
    )


def test_deliveries_of_basic_get_count_towards_a_global_prefetch(chunking: str) -> None:
    play = Playbook(PERMITTED, chunking)
    assert (
        filled(play, 4)
        >> say(Basic.Get, queue="q")
        << get_ok(b"1", 1, left=3)
        >> [say(Basic.Qos, prefetch_count=2, global_=True), consume("a")]
        << [say(Basic.QosOk), consume_ok("a"), *delivery(b"2", 2, consumer="a")]
        >> ack(1)
        >> say(Basic.Qos, global_=True)
        << [say(Basic.QosOk), *delivery(b"3", 3, consumer="a"), *delivery(b"4", 4, consumer="a")]
    )


def test_consumers_are_served_by_their_tags_when_acknowledged_together(play: Playbook) -> None:
    assert (
        filled(play, 8)
        >> [say(Basic.Qos, prefetch_count=2), consume("b"), consume("a")]
        << [
            say(Basic.QosOk),
            consume_ok("b"),
            *delivery(b"1", 1, consumer="b"),
            *delivery(b"2", 2, consumer="b"),
        ]
        << [consume_ok("a"), *delivery(b"3", 3, consumer="a"), *delivery(b"4", 4, consumer="a")]
        >> ack(4, multiple=True)
        << [*delivery(b"5", 5, consumer="a"), *delivery(b"6", 6, consumer="a")]
        << [*delivery(b"7", 7, consumer="b"), *delivery(b"8", 8, consumer="b")]
    )


def test_deliveries_that_are_requeued_together_return_to_their_consumers(play: Playbook) -> None:
    again = [
        line
        for body, tag, consumer in ((b"3", 5, "a"), (b"4", 6, "a"), (b"1", 7, "b"), (b"2", 8, "b"))
        for line in delivery(body, tag, consumer=consumer, redelivered=True)
    ]
    assert (
        filled(play, 5)
        >> [say(Basic.Qos, prefetch_count=2), consume("b"), consume("a")]
        << [
            say(Basic.QosOk),
            consume_ok("b"),
            *delivery(b"1", 1, consumer="b"),
            *delivery(b"2", 2, consumer="b"),
        ]
        << [consume_ok("a"), *delivery(b"3", 3, consumer="a"), *delivery(b"4", 4, consumer="a")]
        >> say(Basic.Nack, delivery_tag=4, multiple=True, requeue=True)
        << again
    )


def again(*messages: tuple[str, bytes], tag: int) -> list[Line]:
    return [
        line
        for offset, (consumer, body) in enumerate(messages)
        for line in delivery(body, tag + offset, consumer=consumer, redelivered=True)
    ]


def test_a_queue_knows_of_credit_only_with_the_deliveries_that_give_it(play: Playbook) -> None:
    """Consumer b is first in the rotation, but a's delivery comes back first. Recorded from RabbitMQ 4.3.6."""
    assert (
        filled(play, 0)
        >> [
            say(Basic.Qos, prefetch_count=1),
            consume("b"),
            consume("a"),
            *publish(b"1", "q"),
            *publish(b"2", "q"),
        ]
        << [say(Basic.QosOk), consume_ok("b"), consume_ok("a")]
        << [*delivery(b"1", 1, consumer="b"), *delivery(b"2", 2, consumer="a")]
        >> say(Basic.Nack, delivery_tag=0, multiple=True, requeue=True)
        << again(("a", b"2"), ("b", b"1"), tag=3)
    )


def test_a_blocked_consumer_is_in_the_rotation_before_its_deliveries_are_requeued(play: Playbook) -> None:
    """Consumer b has credit and is first; a was blocked until its deliveries came back. Recorded from 4.3.6."""
    bodies = [b"1", b"2", b"3", b"4", b"5"]
    assert (
        filled(play, 0)
        >> [say(Basic.Qos, prefetch_count=2), consume("a"), say(Basic.Qos, prefetch_count=5), consume("b")]
        << [say(Basic.QosOk), consume_ok("a"), say(Basic.QosOk), consume_ok("b")]
        >> [line for body in bodies for line in publish(body, "q")]
        << [
            line
            for tag, (consumer, body) in enumerate(zip("ababb", bodies, strict=True), 1)
            for line in delivery(body, tag, consumer=consumer)
        ]
        >> say(Basic.Nack, delivery_tag=3, multiple=True, requeue=True)
        << again(("b", b"1"), ("a", b"3"), ("b", b"2"), tag=6)
    )
