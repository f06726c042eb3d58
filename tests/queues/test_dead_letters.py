"""Classic queues in virtual time: which messages are dead-lettered, to which queue, and with which headers."""

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
from tests.queues.plays import declare, declare_ok, declare_passive, get, get_ok, publish_all


def death(queue_name: str, reason: str, **more: Any) -> dict[str, Any]:
    """The headers of a message that was dead-lettered once."""
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


TO_DLQ: dict[str, Any] = {"dead_letter_exchange": "", "dead_letter_routing_key": "dlq"}
NOW = 1_600_000_000


def test_a_rejected_message_is_dead_lettered(play: Playbook) -> None:
    headers = death("q", "rejected", time=NOW)
    assert (
        play
        >> [declare("dlq"), declare(**TO_DLQ), *publish_all(b"1"), get(no_ack=False)]
        << [declare_ok(name="dlq"), declare_ok(), *get_ok(b"1", 1)]
        >> [say(Basic.Nack, delivery_tag=1, requeue=False), get("dlq")]
        << get_ok(b"1", 2, key="dlq", headers=headers)
    )


def test_an_expired_message_is_dead_lettered(play: Playbook) -> None:
    headers = death("q", "expired", time=NOW + 2, expiration="2000")
    assert (
        play
        >> [declare("dlq"), declare(**TO_DLQ), *publish_all(b"1", expiration="2000")]
        << [declare_ok(name="dlq"), declare_ok()]
        >> Advance(1999)
        >> declare_passive("dlq")
        << declare_ok(name="dlq")
        >> Advance(1)
        >> get("dlq")
        << get_ok(b"1", 1, key="dlq", headers=headers)
    )


def test_a_message_dropped_for_length_is_dead_lettered(play: Playbook) -> None:
    headers = death("q", "maxlen", time=NOW)
    assert (
        play
        >> [declare("dlq"), declare(max_length=1, **TO_DLQ), *publish_all(b"1", b"2"), get("dlq")]
        << [declare_ok(name="dlq"), declare_ok(), *get_ok(b"1", 1, key="dlq", headers=headers)]
    )


def test_without_a_dead_letter_routing_key_the_routing_key_is_kept(play: Playbook) -> None:
    line = say(Queue.Bind, queue="dlq", exchange="amq.fanout")
    headers = death("q", "rejected", time=NOW)
    back = say(Basic.GetOk, delivery_tag=2, exchange="amq.fanout", routing_key="q", redelivered=True)
    assert (
        play
        >> [
            declare("dlq"),
            declare(dead_letter_exchange="amq.fanout"),
            line,
            *publish_all(b"1"),
            get(no_ack=False),
        ]
        << [declare_ok(name="dlq"), declare_ok(), say(Queue.BindOk), *get_ok(b"1", 1)]
        >> [say(Basic.Reject, delivery_tag=1, requeue=False), get("dlq")]
        << [back, content(b"1", headers=headers)]
    )


def test_without_its_dead_letter_exchange_a_message_is_dropped(play: Playbook) -> None:
    assert (
        play
        >> [declare(dead_letter_exchange="nope"), *publish_all(b"1"), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"1", 1)]
        >> [say(Basic.Nack, delivery_tag=1, requeue=False), declare_passive()]
        << declare_ok()
    )


def test_a_retry_queue_with_ttl_gives_the_message_back(play: Playbook) -> None:
    """work -> (rejected) -> wait -> (expired) -> work: a common pattern for retries."""
    work = declare("work", dead_letter_exchange="", dead_letter_routing_key="wait")
    wait = declare("wait", message_ttl=5000, dead_letter_exchange="", dead_letter_routing_key="work")
    consume = say(Basic.Consume, queue="work", consumer_tag="c")
    play = (
        play
        >> [work, wait, consume, *publish_all(b"job", key="work")]
        << [declare_ok(name="work"), declare_ok(name="wait"), say(Basic.ConsumeOk, consumer_tag="c")]
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


def test_a_cycle_without_a_rejection_ends(play: Playbook) -> None:
    assert (
        play
        >> [declare(message_ttl=10, dead_letter_exchange="", dead_letter_routing_key="q"), *publish_all(b"1")]
        << declare_ok()
        >> Advance(10)
        >> declare_passive()
        << declare_ok()
    )


def test_a_long_chain_of_dead_letters_does_not_recurse(play: Playbook) -> None:
    """Two hundred queues, each of length 0 and dead-lettering to the next."""
    if play.chunking != "whole":
        pytest.skip("the pieces make no difference here")
    names = [f"q{i}" for i in range(200)]
    lines = [
        declare(name, max_length=0, dead_letter_exchange="", dead_letter_routing_key=names[i + 1])
        if i + 1 < len(names)
        else declare(name)
        for i, name in enumerate(names)
    ]
    assert (
        play
        >> lines
        << [declare_ok(name=name) for name in names]
        >> [*publish_all(b"x", key="q0"), declare_passive("q199")]
        << declare_ok(name="q199", ready=1)
    )


def test_expired_deliveries_of_a_lost_connection_are_dead_lettered(play: Playbook) -> None:
    """They are requeued after their expiry."""
    assert (
        play
        >> Connect("b")
        >> [declare("dlq"), declare(message_ttl=100, **TO_DLQ), *publish_all(b"1")]
        << [declare_ok(name="dlq"), declare_ok()]
        >> say(Basic.Get, queue="q", by="b")
        << [say(Basic.GetOk, delivery_tag=1, routing_key="q", by="b"), content(b"1", by="b")]
        >> Advance(200)
        >> say(Channel.Close, by="b")
        << say(Channel.CloseOk, by="b")
        >> [declare_passive(), declare_passive("dlq")]
        << [declare_ok(), declare_ok(name="dlq", ready=1)]
    )


def test_an_acknowledgement_may_cause_dead_letters(play: Playbook) -> None:
    """A message behind the head has expired; it is dead-lettered when the head is delivered."""
    assert (
        play
        >> [declare("dlq"), declare(**TO_DLQ), say(Basic.Qos, prefetch_count=1)]
        << [declare_ok(name="dlq"), declare_ok(), say(Basic.QosOk)]
        >> [
            say(Basic.Consume, queue="q", consumer_tag="c"),
            *publish_all(b"1", b"2"),
            *publish_all(b"3", expiration="100"),
        ]
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


def test_a_requeue_may_cause_dead_letters(play: Playbook) -> None:
    assert (
        play
        >> [
            declare("dlq"),
            declare(max_length=1, **TO_DLQ),
            *publish_all(b"1"),
            get(no_ack=False),
            *publish_all(b"2"),
        ]
        << [declare_ok(name="dlq"), declare_ok(), *get_ok(b"1", 1)]
        >> Connect("b")
        >> say(Basic.Consume, queue="dlq", consumer_tag="d", by="b", no_ack=True)
        << say(Basic.ConsumeOk, consumer_tag="d", by="b")
        >> say(Basic.Nack, delivery_tag=1)
        << say(Basic.Deliver, consumer_tag="d", delivery_tag=1, exchange="", routing_key="dlq", by="b")
        << content(b"1", by="b", headers=ANY)
    )
