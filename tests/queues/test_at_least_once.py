"""Dead lettering at least once: a dead letter is withheld until all its target queues have it."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.testing.playbook import ANY, Advance, Do, Line, Playbook, Say, content, publish, say
from tests.queues.plays import (
    GET_EMPTY,
    declare,
    declare_ok,
    declare_passive,
    declare_quorum,
    get,
    playbook,
    publish_all,
    set_policy,
)

#: RabbitMQ's interval between attempts to publish a dead letter.
RETRY_INTERVAL_MS = 180_000


def declare_dead_lettering(overflow: str = "reject-publish", **arguments: Any) -> Say:
    """queue.declare of `q`, which dead-letters at least once to the queue `dead`."""
    given = {
        "dead_letter_exchange": "",
        "dead_letter_routing_key": "dead",
        "dead_letter_strategy": "at-least-once",
        "overflow": overflow,
    }
    return declare_quorum(**given | arguments)


def publish_expiring(*bodies: bytes) -> list[Line]:
    """Publish to `q` messages that expire after 100 ms."""
    return publish_all(*bodies, expiration="100")


def got_dead_letter(body: bytes, tag: int, left: int = 0, key: str = "dead") -> list[Line]:
    """basic.get-ok of a dead letter, with any death history."""
    line = say(Basic.GetOk, delivery_tag=tag, routing_key=key, message_count=left, redelivered=ANY)
    return [line, content(body, headers=ANY)]


def withheld(play: Playbook) -> tuple[int, int]:
    """Pending dead letters of `q`, and their bytes."""
    queue = play.stage.broker.vhosts["/"].queues["q"]
    return queue.withheld, queue.withheld_bytes


def test_a_dead_letter_with_a_route_is_published_at_once() -> None:
    play = (
        playbook()
        >> [declare("dead"), declare_dead_lettering(), *publish_expiring(b"1")]
        << [declare_ok(name="dead"), declare_ok()]
        >> [Advance(100), declare_passive(), get("dead")]
        << [declare_ok(), *got_dead_letter(b"1", 1)]
    )
    assert play
    assert withheld(play) == (0, 0)


@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_a_dead_letter_without_a_route_is_retried(version: str) -> None:
    play = (
        playbook(version)
        >> [declare_dead_lettering(), *publish_expiring(b"1", b"22")]
        << declare_ok()
        >> [Advance(100), declare_passive()]
        << declare_ok()
        >> [Advance(1000), declare("dead")]
        << declare_ok(name="dead")
        >> [Advance(RETRY_INTERVAL_MS - 1001), get("dead")]
        << GET_EMPTY
        >> [Advance(1), get("dead"), get("dead")]
        << [*got_dead_letter(b"1", 1, 1), *got_dead_letter(b"22", 2)]
    )
    assert play
    assert withheld(play) == (0, 0)


def test_pending_dead_letters_are_withheld() -> None:
    play = (
        playbook()
        >> [declare_dead_lettering(), *publish_expiring(b"1", b"22")]
        << declare_ok()
        >> [Advance(100), declare_passive(), get("q")]
        << [
            declare_ok(),
            GET_EMPTY,
        ]
    )
    assert play
    assert withheld(play) == (2, 3)


def test_a_queue_that_refused_gets_the_dead_letter_later() -> None:
    play = (
        playbook()
        >> [
            declare("dead", max_length=1, overflow="reject-publish"),
            *publish(b"full", "dead"),
            declare_dead_lettering(),
            *publish_expiring(b"1"),
        ]
        << [declare_ok(name="dead"), declare_ok()]
        >> Advance(100)
        << []
        >> [say(Basic.Get, queue="dead", no_ack=True), get("dead")]
        << [
            say(Basic.GetOk, delivery_tag=1, routing_key="dead", message_count=0),
            content(b"full"),
            GET_EMPTY,
        ]
        >> [Advance(RETRY_INTERVAL_MS), get("dead")]
        << got_dead_letter(b"1", 2)
    )
    assert play
    assert withheld(play) == (0, 0)


def test_a_dead_letter_is_published_once_to_each_queue() -> None:
    play = (
        playbook()
        >> [
            declare("one"),
            declare("two", max_length=0, overflow="reject-publish"),
            say(Queue.Bind, queue="one", exchange="amq.fanout", routing_key=""),
            say(Queue.Bind, queue="two", exchange="amq.fanout", routing_key=""),
            declare_dead_lettering(dead_letter_exchange="amq.fanout"),
            *publish_expiring(b"1"),
        ]
        << [
            declare_ok(name="one"),
            declare_ok(name="two"),
            say(Queue.BindOk),
            say(Queue.BindOk),
            declare_ok(),
        ]
        >> [Advance(100 + RETRY_INTERVAL_MS), declare_passive("one")]
        << declare_ok(1, name="one")
    )
    assert play
    assert withheld(play) == (1, 1)
    play = play >> say(Queue.Delete, queue="two") << say(Queue.DeleteOk, message_count=0)
    assert play >> Advance(RETRY_INTERVAL_MS)
    assert withheld(play) == (0, 0)


def test_rejected_messages_and_messages_over_the_limit_are_dead_lettered() -> None:
    assert (
        playbook()
        >> [
            declare("dead"),
            declare_dead_lettering(delivery_limit=0),
            *publish(b"1", "q"),
            *publish(b"2", "q"),
        ]
        << [declare_ok(name="dead"), declare_ok()]
        >> [say(Basic.Get, queue="q"), say(Basic.Get, queue="q")]
        << [
            say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=1),
            content(b"1"),
            say(Basic.GetOk, delivery_tag=2, routing_key="q", message_count=0),
            content(b"2"),
        ]
        >> [
            say(Basic.Reject, delivery_tag=1, requeue=False),
            say(Basic.Reject, delivery_tag=2, requeue=True),
            get("dead"),
            get("dead"),
        ]
        << [*got_dead_letter(b"1", 3, 1), *got_dead_letter(b"2", 4)]
    )


def test_pending_dead_letters_count_towards_the_length_limit() -> None:
    assert (
        playbook()
        >> [declare_dead_lettering(max_length=2), say(Confirm.Select), *publish_expiring(b"1", b"2", b"3")]
        << [declare_ok(), say(Confirm.SelectOk), say(Basic.Ack, delivery_tag=3, multiple=True)]
        >> [Advance(100), *publish(b"4", "q")]
        << say(Basic.Nack, delivery_tag=4, multiple=True)
        >> [say(Queue.Purge, queue="q"), *publish(b"5", "q")]
        << [say(Queue.PurgeOk, message_count=3), say(Basic.Ack, delivery_tag=5)]
    )


@pytest.mark.parametrize(("version", "purged", "left"), [("4.3", 2, 0), ("4.2", 1, 1)])
def test_purge_removes_pending_dead_letters_since_4_3(version: str, purged: int, left: int) -> None:
    play = (
        playbook(version)
        >> [declare_dead_lettering(), *publish_expiring(b"1"), *publish(b"2", "q")]
        << declare_ok()
        >> [Advance(100), say(Queue.Purge, queue="q")]
        << say(Queue.PurgeOk, message_count=purged)
    )
    assert play
    assert withheld(play) == (left, left)


def test_delete_ok_does_not_count_pending_dead_letters() -> None:
    assert (
        playbook()
        >> [declare_dead_lettering(), *publish_expiring(b"1"), *publish(b"2", "q")]
        << declare_ok()
        >> Advance(100)
        << []
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk, message_count=1)
        >> Advance(RETRY_INTERVAL_MS)
        << []
    )


def test_32_dead_letters_are_published_at_a_time() -> None:
    """Those without a route keep others waiting; as in RabbitMQ only so many are tried."""
    play = (
        playbook()
        >> declare_dead_lettering()
        << declare_ok()
        >> publish_expiring(*[b"%d" % number for number in range(40)])
        << []
    )
    play = play >> [Advance(100), declare("dead")] << declare_ok(name="dead")
    assert play >> [Advance(RETRY_INTERVAL_MS), declare_passive("dead")] << declare_ok(40, name="dead")


def at_least_once_policy(**definition: Any) -> Do:
    """Set a policy for dead lettering at least once."""
    return set_policy(
        dead_letter_exchange="", dead_letter_strategy="at-least-once", overflow="reject-publish", **definition
    )


def test_a_new_policy_retries_pending_dead_letters_at_once() -> None:
    assert (
        playbook()
        >> [
            declare("dead"),
            declare_quorum(),
            at_least_once_policy(dead_letter_routing_key="nowhere"),
            *publish_expiring(b"1"),
        ]
        << [declare_ok(name="dead"), declare_ok()]
        >> [Advance(100), get("dead")]
        << GET_EMPTY
        >> [at_least_once_policy(dead_letter_routing_key="dead"), get("dead")]
        << got_dead_letter(b"1", 1)
    )


def test_a_policy_that_ends_at_least_once_drops_pending_dead_letters() -> None:
    play = (
        playbook()
        >> [
            declare_quorum(),
            at_least_once_policy(dead_letter_routing_key="nowhere"),
            *publish_expiring(b"1"),
        ]
        << declare_ok()
        >> [Advance(100), set_policy(dead_letter_exchange=""), declare("nowhere")]
        << declare_ok(name="nowhere")
        >> [Advance(RETRY_INTERVAL_MS), declare_passive("nowhere")]
        << declare_ok(name="nowhere")
    )
    assert play
    assert withheld(play) == (0, 0)


def test_with_drop_head_dead_lettering_is_at_most_once() -> None:
    play = (
        playbook()
        >> [declare_dead_lettering("drop-head"), *publish_expiring(b"1")]
        << declare_ok()
        >> [Advance(100), declare("dead")]
        << declare_ok(name="dead")
        >> [Advance(RETRY_INTERVAL_MS), get("dead")]
        << GET_EMPTY
    )
    assert play
    assert withheld(play) == (0, 0)


def test_dead_letters_wait_for_a_missing_exchange() -> None:
    exchange = Do(
        "exchange x",
        lambda stage: stage.broker.vhosts["/"].declare_exchange(
            "x", "fanout", durable=True, auto_delete=False, internal=False, arguments={}, user="guest"
        ),
    )
    assert (
        playbook()
        >> [declare("dead"), declare_dead_lettering(dead_letter_exchange="x"), *publish_expiring(b"1")]
        << [declare_ok(name="dead"), declare_ok()]
        >> [Advance(100), exchange, say(Queue.Bind, queue="dead", exchange="x", routing_key="")]
        << say(Queue.BindOk)
        >> [Advance(RETRY_INTERVAL_MS), get("dead")]
        << [
            say(Basic.GetOk, delivery_tag=1, exchange="x", routing_key="dead", message_count=0),
            content(b"1", headers=ANY),
        ]
    )
