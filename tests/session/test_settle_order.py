"""Which consumers of a channel are served first when several of them have credit again."""

from __future__ import annotations

from pamqp.commands import Basic

from leveret.config import Settings
from leveret.settings import DeprecatedFeatures
from leveret.testing.playbook import Playbook, delivery, say
from tests.session.test_basic import ack, consume, consume_ok, filled, got

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


def test_what_was_got_counts_for_a_global_prefetch_until_it_is_lifted(chunking: str) -> None:
    play = Playbook(PERMITTED, chunking)
    assert (
        filled(play, 4)
        >> say(Basic.Get, queue="q")
        << got(b"1", 1, left=3)
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


def test_what_is_requeued_together_goes_back_to_its_consumers(play: Playbook) -> None:
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
