"""Classic queues in virtual time: what is dead-lettered, where to, and with which headers."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.testing.playbook import (
    ANY,
    Advance,
    Connect,
    Playbook,
    content,
    delivery,
    say,
)
from tests.queues.classics import (
    get,
    got,
    look,
    many,
    queue,
    ready,
)


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
    if play.chunking != "whole":
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
