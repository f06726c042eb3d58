"""Classic queues in virtual time: TTL, expiry, length limits, priorities, one active consumer."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.testing.playbook import (
    ANY,
    Advance,
    Playbook,
    Say,
    Stage,
    delivery,
    publish,
    refusal,
    say,
)
from tests.queues.classics import (
    EMPTY,
    get,
    got,
    look,
    many,
    policy,
    queue,
    ready,
)

# --- TTL


def test_message_ttl_of_the_queue(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=1000), *many(b"1", b"2")]
        << ready()
        >> Advance(999)
        >> [*many(b"3"), look()]
        << ready(count=3)
        >> Advance(1)
        >> look()
        << ready(count=1)
        >> Advance(999)
        >> look()
        << ready()
    )


def test_a_messages_own_ttl(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=1000), *many(b"1", expiration="10"), *many(b"2", expiration="5000")]
        << ready()
        >> Advance(10)
        >> look()
        << ready(count=1)
        >> Advance(990)
        >> look()
        << ready()
    )


def test_only_the_head_expires(play: Playbook) -> None:
    """A message that has outlived its TTL behind one that has not stays and counts."""
    assert (
        play
        >> [queue(), *many(b"long", expiration="1000"), *many(b"short", expiration="10")]
        << ready()
        >> Advance(500)
        >> look()
        << ready(count=2)
        >> [get(), get()]
        << [*got(b"long", 1, 0, expiration="1000"), EMPTY]
    )


def test_ttl_0_delivers_at_once_or_never(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=0), *many(b"1"), look()]
        << [ready(), ready()]
        >> say(Basic.Consume, queue="q", consumer_tag="c")
        << say(Basic.ConsumeOk, consumer_tag="c")
        >> many(b"2", expiration="0")
        << delivery(b"2", 1, expiration="0")
        >> [say(Basic.Nack, delivery_tag=1), look()]
        << ready(consumers=1)
    )


def test_what_is_handed_out_does_not_expire(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=100), *many(b"1"), get(no_ack=False)]
        << [ready(), *got(b"1", 1)]
        >> Advance(10_000)
        >> [say(Basic.Ack, delivery_tag=1), look()]
        << ready()
        >> [*many(b"2"), get(no_ack=False)]
        << got(b"2", 2)
        >> Advance(100)
        >> [say(Basic.Nack, delivery_tag=2), look()]
        << ready()
    )


def test_a_requeued_message_keeps_its_deadline(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=100), *many(b"1"), get(no_ack=False)]
        << [ready(), *got(b"1", 1)]
        >> Advance(60)
        >> [say(Basic.Nack, delivery_tag=1), look()]
        << ready(count=1)
        >> Advance(39)
        >> look()
        << ready(count=1)
        >> Advance(1)
        >> look()
        << ready()
    )


# --- x-expires


def gone(name: str = "q") -> Say:
    return refusal(404, f"NOT_FOUND - no queue '{name}' in vhost '/'", Queue.Declare)


def test_an_unused_queue_expires(play: Playbook) -> None:
    assert (
        play
        >> [queue(expires=1000), *many(b"1")]
        << ready()
        >> Advance(999)
        >> get()
        << got(b"1", 1)
        >> Advance(999)
        >> queue(expires=1000)
        << ready()
        >> Advance(999)
        >> look()
        << ready()
        >> Advance(1000)
        >> look()
        << gone()
    )


def test_a_consumed_queue_does_not_expire(play: Playbook) -> None:
    assert (
        play
        >> [queue(expires=1000), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [ready(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> Advance(100_000)
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> Advance(999)
        >> Advance(1)
        >> look()
        << gone()
    )


def test_a_policy_makes_the_time_shorter(play: Playbook) -> None:
    assert (
        play
        >> queue()
        << ready()
        >> [policy(expires=3_600_000), Advance(500), policy(expires=1000), Advance(999)]
        >> look()
        << ready()
        >> [policy(expires=500), Advance(500)]
        >> look()
        << gone()
    )


def test_publishing_is_no_use(play: Playbook) -> None:
    assert (
        play
        >> queue(expires=1000)
        << ready()
        >> [Advance(600), *many(b"1")]
        >> Advance(400)
        >> look()
        << gone()
    )


def test_an_expired_queue_dead_letters_nothing(play: Playbook) -> None:
    dying = queue(expires=1000, dead_letter_exchange="", dead_letter_routing_key="dlq")
    assert (
        play
        >> [queue("dlq"), dying, *many(b"1")]
        << [ready("dlq"), ready()]
        >> Advance(1000)
        >> look("dlq")
        << ready("dlq")
    )


# --- length limits


def test_the_head_makes_room(play: Playbook) -> None:
    assert (
        play
        >> [queue(max_length=2), *many(b"1", b"2", b"3", b"4"), look(), get(), get()]
        << [ready(), ready(count=2), *got(b"3", 1, 1), *got(b"4", 2)]
    )


def test_what_overflow_uncovers_may_have_expired(play: Playbook) -> None:
    assert (
        play
        >> [queue(max_length=3), *many(b"1"), *many(b"2", expiration="100"), *many(b"3", expiration="200")]
        << ready()
        >> Advance(100)
        >> [*many(b"4"), look()]
        << ready(count=2)
        >> Advance(100)
        >> look()
        << ready(count=1)
    )


def test_octets_are_those_of_bodies(play: Playbook) -> None:
    assert (
        play
        >> [queue(max_length_bytes=10), *many(b"12345", b"67890"), look()]
        << [ready(), ready(count=2)]
        >> [*many(b"x", headers={"long": "y" * 100}), look()]
        << ready(count=2)
        >> [*many(bytes(11)), look()]
        << ready()
    )


def test_what_is_handed_out_does_not_count(play: Playbook) -> None:
    assert (
        play
        >> [queue(max_length=1), *many(b"1"), get(no_ack=False), *many(b"2"), look()]
        << [ready(), *got(b"1", 1), ready(count=1)]
        >> [say(Basic.Nack, delivery_tag=1), look(), get()]
        << [ready(count=1), *got(b"2", 2)]
    )


def test_nothing_waits_in_a_queue_of_length_0(play: Playbook) -> None:
    assert (
        play
        >> [queue(max_length=0), *many(b"1"), look(), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [ready(), ready(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> many(b"2")
        << delivery(b"2", 1)
    )


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_refusing_publishes(play: Playbook, overflow: str) -> None:
    limited = queue(max_length=1, overflow=overflow, dead_letter_exchange="", dead_letter_routing_key="dlq")
    dead = 1 if overflow == "reject-publish-dlx" else 0
    nack = say(Basic.Nack, delivery_tag=2, multiple=ANY, requeue=True)
    assert (
        play
        >> [queue("dlq"), limited, say(Confirm.Select), *many(b"1", b"2")]
        << [ready("dlq"), ready(), say(Confirm.SelectOk), say(Basic.Ack, delivery_tag=1), nack]
        >> [look(), look("dlq")]
        << [ready(count=1), ready("dlq", dead)]
    )


# --- priorities


def test_priorities(play: Playbook) -> None:
    lines = [line for p in (0, 5, 2, 9, 2) for line in publish(str(p).encode(), "q", priority=p)]
    order = [(b"5", 5), (b"9", 9), (b"2", 2), (b"2", 2), (b"0", 0)]
    assert (
        play
        >> [queue(max_priority=5), *lines, *many(b"none")]
        << ready()
        >> [get()] * 6
        << [
            line
            for i, (body, priority) in enumerate(order)
            for line in got(body, i + 1, 5 - i, priority=priority)
        ]
        << got(b"none", 6)
    )


@pytest.mark.parametrize("behind", [(), ((b"first", 5),)])
def test_what_expires_and_overtakes_is_looked_at_later(
    play: Playbook, behind: tuple[tuple[bytes, int], ...]
) -> None:
    """RabbitMQ delivers it expired if nothing else happens in between."""
    dying = publish(b"dies", "q", priority=2, expiration="0")
    more = [line for body, priority in behind for line in publish(body, "q", priority=priority)]
    given = behind or ((b"dies", 2),)
    stated = {} if behind else {"expiration": "0"}
    assert (
        play
        >> [queue(max_priority=5), *many(b"lives"), *dying, *more]
        << ready()
        >> Advance(10)
        >> look()
        << ready(count=2 + len(behind))
        >> get()
        << got(given[0][0], 1, 1, priority=given[0][1], **stated)
        >> get()
        << got(b"lives", 2)
    )


def test_a_requeued_one_goes_back_to_its_level(play: Playbook) -> None:
    lines = [line for p in (1, 2, 2) for line in publish(str(p).encode(), "q", priority=p)]
    assert (
        play
        >> [queue(max_priority=5), *lines, get(no_ack=False), say(Basic.Nack, delivery_tag=1), get(), get()]
        << [ready(), *got(b"2", 1, 2, priority=2)]
        << got(b"2", 2, 2, priority=2, redelivered=True)
        << got(b"2", 3, 1, priority=2)
    )


# --- single active consumer


def test_one_active_consumer(play: Playbook) -> None:
    first, second = (say(Basic.Consume, queue="q", consumer_tag=tag) for tag in "12")
    assert (
        play
        >> [queue(single_active_consumer=True), first, second, *many(b"1", b"2")]
        << [ready(), say(Basic.ConsumeOk, consumer_tag="1"), say(Basic.ConsumeOk, consumer_tag="2")]
        << [*delivery(b"1", 1, consumer="1"), *delivery(b"2", 2, consumer="1")]
        >> [say(Basic.Cancel, consumer_tag="1"), *many(b"3")]
        << [say(Basic.CancelOk, consumer_tag="1"), *delivery(b"3", 3, consumer="2")]
        >> say(Basic.Nack, delivery_tag=1)
        << delivery(b"1", 4, consumer="2", redelivered=True)
    )


def test_no_exclusive_consumer_beside_it(play: Playbook) -> None:
    line = say(Basic.Consume, queue="q", exclusive=True)
    assert (
        play
        >> [queue(single_active_consumer=True), line]
        << [ready(), refusal(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", Basic.Consume)]
    )


# --- counters


def test_counters_add_up(play: Playbook) -> None:
    assert (
        play
        >> [queue(), *many(b"1", b"2", b"3", b"4"), get(no_ack=False), get(), get(no_ack=False)]
        << [ready(), *got(b"1", 1, 3), *got(b"2", 2, 2), *got(b"3", 3, 1)]
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Nack, delivery_tag=3), look()]
        << ready(count=2)
    )
    stage: Stage = play.stage
    made = stage.broker.vhosts["/"].queues["q"]
    assert (made.ready, made.ready_bytes, made.unacked, made.unacked_bytes) == (2, 2, 0, 0)
    assert (made.published, made.got, made.got_no_ack, made.acked, made.redelivered) == (4, 2, 1, 1, 0)


def test_lengths_hold_before_overflow_does(play: Playbook) -> None:
    """What dropped from the head until now does so once more when a policy brings both."""
    both = {"max-length": 1, "overflow": "reject-publish"}
    assert (
        play
        >> [queue(), *many(b"1", b"2", b"3")]
        << ready()
        >> policy(**both)
        >> [*many(b"4"), look()]
        << ready(count=1)
        >> get()
        << got(b"3", 1)
    )
