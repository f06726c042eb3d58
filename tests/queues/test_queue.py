"""Classic queues in virtual time: TTL, expiry, length limits, dead lettering, priorities, one active consumer."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.testing.playbook import (
    ANY,
    Advance,
    Connect,
    Line,
    Playbook,
    Say,
    Stage,
    content,
    delivery,
    publish,
    refusal,
    say,
)


def queue(name: str = "q", **arguments: Any) -> Say:
    told = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue=name, arguments=told)


def ready(name: str = "q", count: int = 0, consumers: int = 0) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=consumers)


def look(name: str = "q") -> Say:
    return say(Queue.Declare, queue=name, passive=True)


def get(name: str = "q", no_ack: bool = True) -> Say:
    return say(Basic.Get, queue=name, no_ack=no_ack)


def got(
    body: bytes, tag: int, left: int = 0, key: str = "q", redelivered: bool = False, **more: Any
) -> list[Line]:
    line = say(Basic.GetOk, delivery_tag=tag, routing_key=key, message_count=left, redelivered=redelivered)
    return [line, content(body, **more)]


def many(*bodies: bytes, key: str = "q", **properties: Any) -> list[Line]:
    return [line for body in bodies for line in publish(body, key, **properties)]


EMPTY = say(Basic.GetEmpty)


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


# --- dead letters


def death(queue_name: str, reason: str, **more: Any) -> dict[str, Any]:
    """The headers that a message which died once carries."""
    from leveret.wire.tables import Field

    entry: dict[str, Any] = {}
    if "expiration" in more:
        entry["original-expiration"] = more["expiration"]
    entry |= {
        "count": Field("l", more.get("count", 1)),
        "reason": reason,
        "queue": queue_name,
        "time": Field("T", more["time"]),
        "exchange": "",
        "routing-keys": [more.get("key", queue_name)],
    }
    return {
        "x-death": [entry],
        "x-first-death-exchange": "",
        "x-first-death-queue": queue_name,
        "x-first-death-reason": reason,
        "x-last-death-exchange": "",
        "x-last-death-queue": queue_name,
        "x-last-death-reason": reason,
    }


DYING: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "dlq"}
NOW = 1_600_000_000


def test_rejected(play: Playbook) -> None:
    headers = death("q", "rejected", time=NOW)
    assert (
        play
        >> [queue("dlq"), queue(**DYING), *many(b"1"), get(no_ack=False)]
        << [ready("dlq"), ready(), *got(b"1", 1)]
        >> [say(Basic.Nack, delivery_tag=1, requeue=False), get("dlq")]
        << got(b"1", 2, key="dlq", headers=headers)
    )


def test_expired(play: Playbook) -> None:
    headers = death("q", "expired", time=NOW + 2, expiration="2000")
    assert (
        play
        >> [queue("dlq"), queue(**DYING), *many(b"1", expiration="2000")]
        << [ready("dlq"), ready()]
        >> Advance(1999)
        >> look("dlq")
        << ready("dlq")
        >> Advance(1)
        >> get("dlq")
        << got(b"1", 1, key="dlq", headers=headers)
    )


def test_too_many(play: Playbook) -> None:
    headers = death("q", "maxlen", time=NOW)
    assert (
        play
        >> [queue("dlq"), queue(max_length=1, **DYING), *many(b"1", b"2"), get("dlq")]
        << [ready("dlq"), ready(), *got(b"1", 1, key="dlq", headers=headers)]
    )


def test_the_key_stays_where_none_is_given(play: Playbook) -> None:
    line = say(Queue.Bind, queue="dlq", exchange="amq.fanout")
    headers = death("q", "rejected", time=NOW)
    back = say(Basic.GetOk, delivery_tag=2, exchange="amq.fanout", routing_key="q", redelivered=True)
    assert (
        play
        >> [queue("dlq"), queue(dead_letter_exchange="amq.fanout"), line, *many(b"1"), get(no_ack=False)]
        << [ready("dlq"), ready(), say(Queue.BindOk), *got(b"1", 1)]
        >> [say(Basic.Reject, delivery_tag=1, requeue=False), get("dlq")]
        << [back, content(b"1", headers=headers)]
    )


def test_a_dead_letter_exchange_that_is_not_there(play: Playbook) -> None:
    assert (
        play
        >> [queue(dead_letter_exchange="nope"), *many(b"1"), get(no_ack=False)]
        << [ready(), *got(b"1", 1)]
        >> [say(Basic.Nack, delivery_tag=1, requeue=False), look()]
        << ready()
    )


def test_retry_with_a_delay(play: Playbook) -> None:
    """work -> (rejected) -> wait -> (expired) -> work: the pattern half the world uses."""
    work = queue("work", dead_letter_exchange="", dead_letter_routing_key="wait")
    wait = queue("wait", message_ttl=5000, dead_letter_exchange="", dead_letter_routing_key="work")
    consume = say(Basic.Consume, queue="work", consumer_tag="c")
    play = (
        play
        >> [work, wait, consume, *many(b"job", key="work")]
        << [ready("work"), ready("wait"), say(Basic.ConsumeOk, consumer_tag="c")]
        << delivery(b"job", 1, "work")
    )
    for tag in (2, 3, 4):
        line = say(
            Basic.Deliver,
            consumer_tag="c",
            delivery_tag=tag,
            exchange="",
            routing_key="work",
            redelivered=False,
        )
        play = (
            play
            >> say(Basic.Nack, delivery_tag=tag - 1, requeue=False)
            >> Advance(4999)
            >> Advance(1)
            << [line, content(b"job", headers=ANY)]
        )
    assert play
    stage = play.stage
    channel = stage.clients["a"].connection.channels[1]
    history = channel.unacked.find(4).message.extra.deaths
    assert [(one.queue, one.reason, one.count) for one in history] == [
        ("wait", "expired", 3),
        ("work", "rejected", 3),
    ]


def test_going_round_without_rejection_ends(play: Playbook) -> None:
    assert (
        play
        >> [queue(message_ttl=10, dead_letter_exchange="", dead_letter_routing_key="q"), *many(b"1")]
        << ready()
        >> Advance(10)
        >> look()
        << ready()
    )


def test_a_long_chain_is_no_recursion(play: Playbook) -> None:
    """Two hundred queues, each full, each dead-lettering to the next."""
    if play.crumbs != "whole":
        pytest.skip("the pieces make no difference here")
    names = [f"q{i}" for i in range(200)]
    lines = [
        queue(name, max_length=0, dead_letter_exchange="", dead_letter_routing_key=names[i + 1])
        if i + 1 < len(names)
        else queue(name)
        for i, name in enumerate(names)
    ]
    assert (
        play
        >> lines
        << [ready(name) for name in names]
        >> [*many(b"x", key="q0"), look("q199")]
        << ready("q199", 1)
    )


def test_dead_letters_of_a_lost_connection(play: Playbook) -> None:
    """Requeued past their TTL, they die at once."""
    assert (
        play
        >> Connect("b")
        >> [queue("dlq"), queue(message_ttl=100, **DYING), *many(b"1")]
        << [ready("dlq"), ready()]
        >> say(Basic.Get, queue="q", by="b")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q", by="b"), content(b"1", by="b")]
        >> Advance(200)
        >> say(Channel.Close, by="b")
        << say(Channel.CloseOk, by="b")
        >> [look(), look("dlq")]
        << [ready(), ready("dlq", 1)]
    )


def test_deaths_that_follow_from_an_acknowledgement(play: Playbook) -> None:
    """What has expired behind a living head dies when the head is handed out, and is published at once."""
    assert (
        play
        >> [queue("dlq"), queue(**DYING), say(Basic.Qos, prefetch_count=1)]
        << [ready("dlq"), ready(), say(Basic.QosOk)]
        >> [say(Basic.Consume, queue="q", consumer_tag="c"), *many(b"1", b"2"), *many(b"3", expiration="100")]
        << [say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"1", 1)]
        >> Advance(1000)
        >> Connect("b")
        >> say(Basic.Consume, queue="dlq", consumer_tag="d", by="b", no_ack=True)
        << say(Basic.ConsumeOk, consumer_tag="d", by="b")
        >> say(Basic.Ack, delivery_tag=1)
        << delivery(b"2", 2)
        << say(Basic.Deliver, consumer_tag="d", delivery_tag=1, exchange="", routing_key="dlq", by="b")
        << content(b"3", by="b", headers=ANY)
    )


def test_deaths_that_follow_from_a_requeue(play: Playbook) -> None:
    assert (
        play
        >> [queue("dlq"), queue(max_length=1, **DYING), *many(b"1"), get(no_ack=False), *many(b"2")]
        << [ready("dlq"), ready(), *got(b"1", 1)]
        >> Connect("b")
        >> say(Basic.Consume, queue="dlq", consumer_tag="d", by="b", no_ack=True)
        << say(Basic.ConsumeOk, consumer_tag="d", by="b")
        >> say(Basic.Nack, delivery_tag=1)
        << say(Basic.Deliver, consumer_tag="d", delivery_tag=1, exchange="", routing_key="dlq", by="b")
        << content(b"1", by="b", headers=ANY)
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
