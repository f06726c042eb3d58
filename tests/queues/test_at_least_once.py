"""Dead lettering at least once: the dead stay in their queue until all they are routed to have them."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.config import Settings
from leveret.engine.policies import Policy
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import ANY, Advance, Connect, Do, Line, Playbook, Say, content, publish, say

EMPTY = say(Basic.GetEmpty)
THREE_MINUTES = 180_000


def book(version: str = "4.3") -> Playbook:
    return Playbook(Settings(profile=ProfileSettings(version=version)), first=[Connect("a", channels=(1, 2))])


def queue(overflow: str = "reject-publish", **arguments: Any) -> Say:
    given = {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": overflow,
        **{f"x-{key.replace('_', '-')}": value for key, value in arguments.items()},
    }
    return say(Queue.Declare, queue="q", durable=True, arguments=given)


def declare(name: str = "dead", **arguments: Any) -> Say:
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue=name, arguments=given)


def ready(count: int = 0, name: str = "q", consumers: int = 0) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=consumers)


def look(name: str = "q") -> Say:
    return say(Queue.Declare, queue=name, passive=True)


def get(name: str = "dead") -> Say:
    return say(Basic.Get, queue=name, no_ack=True)


def got(body: bytes, tag: int, left: int = 0, key: str = "dead") -> list[Line]:
    line = say(Basic.GetOk, delivery_tag=tag, routing_key=key, message_count=left, redelivered=ANY)
    return [line, content(body, headers=ANY)]


def dying(*bodies: bytes) -> list[Line]:
    return [line for body in bodies for line in publish(body, "q", expiration="100")]


def kept(stage_of: Playbook) -> tuple[int, int]:
    one = stage_of.stage.broker.vhosts["/"].queues["q"]
    return one.withheld, one.withheld_bytes


def test_what_has_a_route_goes_at_once() -> None:
    play = (
        book()
        >> [declare(), queue(), *dying(b"1")]
        << [ready(name="dead"), ready()]
        >> [Advance(100), look(), get()]
        << [ready(), *got(b"1", 1)]
    )
    assert play
    assert kept(play) == (0, 0)


@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_what_has_none_stays_and_is_tried_again(version: str) -> None:
    play = (
        book(version)
        >> [queue(), *dying(b"1", b"22")]
        << ready()
        >> [Advance(100), look()]
        << ready()
        >> [Advance(1000), declare()]
        << ready(name="dead")
        >> [Advance(THREE_MINUTES - 1001), get()]
        << EMPTY
        >> [Advance(1), get(), get()]
        << [*got(b"1", 1, 1), *got(b"22", 2)]
    )
    assert play
    assert kept(play) == (0, 0)


def test_they_are_there_but_not_ready() -> None:
    play = (
        book()
        >> [queue(), *dying(b"1", b"22")]
        << ready()
        >> [Advance(100), look(), get("q")]
        << [
            ready(),
            EMPTY,
        ]
    )
    assert play
    assert kept(play) == (2, 3)


def test_a_queue_that_refuses_gets_it_later() -> None:
    play = (
        book()
        >> [
            declare(max_length=1, overflow="reject-publish"),
            *publish(b"full", "dead"),
            queue(),
            *dying(b"1"),
        ]
        << [ready(name="dead"), ready()]
        >> Advance(100)
        << []
        >> [say(Basic.Get, queue="dead", no_ack=True), get()]
        << [
            say(Basic.GetOk, delivery_tag=1, routing_key="dead", message_count=0),
            content(b"full"),
            EMPTY,
        ]
        >> [Advance(THREE_MINUTES), get()]
        << got(b"1", 2)
    )
    assert play
    assert kept(play) == (0, 0)


def test_queues_that_have_it_do_not_get_it_again() -> None:
    play = (
        book()
        >> [
            declare("one"),
            declare("two", max_length=0, overflow="reject-publish"),
            say(Queue.Bind, queue="one", exchange="amq.fanout", routing_key=""),
            say(Queue.Bind, queue="two", exchange="amq.fanout", routing_key=""),
            queue(dead_letter_exchange="amq.fanout"),
            *dying(b"1"),
        ]
        << [
            ready(name="one"),
            ready(name="two"),
            say(Queue.BindOk),
            say(Queue.BindOk),
            ready(),
        ]
        >> [Advance(100 + THREE_MINUTES), look("one")]
        << ready(1, name="one")
    )
    assert play
    assert kept(play) == (1, 1)
    play = play >> say(Queue.Delete, queue="two") << say(Queue.DeleteOk, message_count=0)
    assert play >> Advance(THREE_MINUTES)
    assert kept(play) == (0, 0)


def test_a_rejected_message_and_the_delivery_limit() -> None:
    assert (
        book()
        >> [declare(), queue(delivery_limit=0), *publish(b"1", "q"), *publish(b"2", "q")]
        << [ready(name="dead"), ready()]
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
            get(),
            get(),
        ]
        << [*got(b"1", 3, 1), *got(b"2", 4)]
    )


def test_they_count_towards_the_limit() -> None:
    assert (
        book()
        >> [queue(max_length=2), say(Confirm.Select), *dying(b"1", b"2", b"3")]
        << [ready(), say(Confirm.SelectOk), say(Basic.Ack, delivery_tag=3, multiple=True)]
        >> [Advance(100), *publish(b"4", "q")]
        << say(Basic.Nack, delivery_tag=4, multiple=True)
        >> [say(Queue.Purge, queue="q"), *publish(b"5", "q")]
        << [say(Queue.PurgeOk, message_count=3), say(Basic.Ack, delivery_tag=5)]
    )


@pytest.mark.parametrize(("version", "purged", "left"), [("4.3", 2, 0), ("4.2", 1, 1)])
def test_purge_takes_them_since_4_3(version: str, purged: int, left: int) -> None:
    play = (
        book(version)
        >> [queue(), *dying(b"1"), *publish(b"2", "q")]
        << ready()
        >> [Advance(100), say(Queue.Purge, queue="q")]
        << say(Queue.PurgeOk, message_count=purged)
    )
    assert play
    assert kept(play) == (left, left)


def test_delete_does_not_count_them() -> None:
    assert (
        book()
        >> [queue(), *dying(b"1"), *publish(b"2", "q")]
        << ready()
        >> Advance(100)
        << []
        >> say(Queue.Delete, queue="q")
        << say(Queue.DeleteOk, message_count=1)
        >> Advance(THREE_MINUTES)
        << []
    )


def test_32_at_a_time() -> None:
    """Those without a route keep others waiting; as in RabbitMQ only so many are tried."""
    play = book() >> queue() << ready() >> dying(*[b"%d" % number for number in range(40)]) << []
    play = play >> [Advance(100), declare()] << ready(name="dead")
    assert play >> [Advance(THREE_MINUTES), look("dead")] << ready(40, name="dead")


def set_policy(**definition: Any) -> Do:
    given = {key.replace("_", "-"): value for key, value in definition.items()}

    def apply(stage: Any) -> None:
        stage.broker.policies.set(Policy("/", "p", "^q", given, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    return Do(f"policy {given}", apply)


def by_policy(**definition: Any) -> Do:
    return set_policy(
        dead_letter_exchange="", dead_letter_strategy="at-least-once", overflow="reject-publish", **definition
    )


def plain() -> Say:
    return say(Queue.Declare, queue="q", durable=True, arguments={"x-queue-type": "quorum"})


def test_a_new_policy_is_tried_at_once() -> None:
    assert (
        book()
        >> [declare(), plain(), by_policy(dead_letter_routing_key="nowhere"), *dying(b"1")]
        << [ready(name="dead"), ready()]
        >> [Advance(100), get()]
        << EMPTY
        >> [by_policy(dead_letter_routing_key="dead"), get()]
        << got(b"1", 1)
    )


def test_a_policy_that_ends_it_lets_go_of_them() -> None:
    play = (
        book()
        >> [plain(), by_policy(dead_letter_routing_key="nowhere"), *dying(b"1")]
        << ready()
        >> [Advance(100), set_policy(dead_letter_exchange=""), declare("nowhere")]
        << ready(name="nowhere")
        >> [Advance(THREE_MINUTES), look("nowhere")]
        << ready(name="nowhere")
    )
    assert play
    assert kept(play) == (0, 0)


def test_with_drop_head_it_is_at_most_once() -> None:
    play = (
        book()
        >> [queue("drop-head"), *dying(b"1")]
        << ready()
        >> [Advance(100), declare()]
        << ready(name="dead")
        >> [Advance(THREE_MINUTES), get()]
        << EMPTY
    )
    assert play
    assert kept(play) == (0, 0)


def test_a_missing_exchange_may_come() -> None:
    exchange = Do(
        "exchange x",
        lambda stage: stage.broker.vhosts["/"].declare_exchange(
            "x", "fanout", durable=True, auto_delete=False, internal=False, arguments={}, user="guest"
        ),
    )
    assert (
        book()
        >> [declare(), queue(dead_letter_exchange="x"), *dying(b"1")]
        << [ready(name="dead"), ready()]
        >> [Advance(100), exchange, say(Queue.Bind, queue="dead", exchange="x", routing_key="")]
        << say(Queue.BindOk)
        >> [Advance(THREE_MINUTES), get()]
        << [
            say(Basic.GetOk, delivery_tag=1, exchange="x", routing_key="dead", message_count=0),
            content(b"1", headers=ANY),
        ]
    )
