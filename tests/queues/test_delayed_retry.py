"""Delayed retry of quorum queues: what is delayed, how long, and what is seen of it meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.config import Settings
from leveret.engine.policies import Policies, Policy, PolicyError
from leveret.profiles import PROFILES
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    Advance,
    Connect,
    Do,
    Line,
    Playbook,
    Say,
    content,
    delivery,
    publish,
    say,
)
from leveret.wire.tables import Field


def book(version: str = "4.3") -> Playbook:
    return Playbook(Settings(profile=ProfileSettings(version=version)), first=[Connect("a", channels=(1, 2))])


def queue(kind: object = "all", least: object = 700, most: object = 1500, **arguments: Any) -> Say:
    given = {"x-queue-type": "quorum", "x-delayed-retry-type": kind, "x-delayed-retry-min": least}
    if most is not None:
        given["x-delayed-retry-max"] = most
    given |= {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue="q", durable=True, arguments=given)


def ready(count: int = 0, consumers: int = 0, channel: int = 1) -> Say:
    return say(Queue.DeclareOk, queue="q", message_count=count, consumer_count=consumers, channel=channel)


def look(channel: int = 1) -> Say:
    return say(Queue.Declare, queue="q", passive=True, channel=channel)


def get(channel: int = 1) -> Say:
    return say(Basic.Get, queue="q", channel=channel)


def got(body: bytes, tag: int, left: int = 0, acquired: int = 0, failed: int = 0, **given: Any) -> list[Line]:
    headers = {"x-acquired-count": Field("l", acquired)} if acquired else {}
    if failed:
        headers["x-delivery-count"] = Field("l", failed)
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key="q",
        message_count=left,
        redelivered=bool(headers),
        channel=given.get("channel", 1),
    )
    return [line, content(body, **({"headers": headers} if headers else {}), **given)]


NACK = [say(Basic.Nack, delivery_tag=1, requeue=True)]
REJECT = [say(Basic.Reject, delivery_tag=1, requeue=True)]


@pytest.mark.parametrize(
    ("kind", "how", "delayed"),
    [
        ("all", NACK, True),
        ("all", REJECT, True),
        ("failed", NACK, False),
        ("failed", REJECT, True),
        ("returned", NACK, True),
        ("returned", REJECT, False),
        ("disabled", REJECT, False),
        ("foo", REJECT, False),
        (5, REJECT, False),
    ],
)
def test_which_returns_are_delayed(kind: object, how: list[Line], delayed: bool) -> None:
    play = (
        book()
        >> [queue(kind), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [*how, look()]
        << ready(0 if delayed else 1)
    )
    failed = int(how is REJECT)
    assert (
        play
        >> [Advance(699), look()]
        << ready(0 if delayed else 1)
        >> [Advance(1), get()]
        << got(b"0", 2, acquired=1, failed=failed)
    )


@pytest.mark.parametrize(("kind", "delayed"), [("all", True), ("failed", True), ("returned", False)])
def test_a_closed_channels_messages(kind: str, delayed: bool) -> None:
    assert (
        book()
        >> [queue(kind), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [say(Channel.Close, reply_code=200), look(2)]
        << [say(Channel.CloseOk), ready(0 if delayed else 1, channel=2)]
        >> [Advance(700), get(2)]
        << got(b"0", 1, acquired=1, failed=1, channel=2)
    )


@pytest.mark.parametrize(("kind", "delayed"), [("all", True), ("failed", False), ("returned", True)])
def test_recover_and_timeout(kind: str, delayed: bool) -> None:
    assert (
        book()
        >> [queue(kind), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [say(Basic.Recover, requeue=True), look()]
        << [say(Basic.RecoverOk), ready(0 if delayed else 1)]
        >> [Advance(700), get()]
        << got(b"0", 2, acquired=1)
    )


def test_the_delay_grows_with_failures() -> None:
    """300, 600, 900 ms and then 1 s at most; a return that is no failure waits as long as the last one."""
    play = book() >> [queue(least=300, most=1000), *publish(b"0", "q")] << ready()
    play = play >> say(Basic.Consume, queue="q", consumer_tag="c")
    play = play << [say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"0", 1)]
    failed = 0
    for tag, delay in enumerate((300, 600, 900, 1000, 1000, 1000), 1):
        how = Basic.Nack if tag == 5 else Basic.Reject
        failed += tag != 5
        headers = {"x-acquired-count": Field("l", tag), "x-delivery-count": Field("l", failed)}
        play = play >> say(how, delivery_tag=tag, requeue=True) << [] >> Advance(delay - 1) << []
        play = play >> Advance(1) << delivery(b"0", tag + 1, redelivered=True, headers=headers)
    assert play


def test_without_a_maximum_the_delay_is_the_minimum() -> None:
    play = book() >> [queue(most=None), *publish(b"0", "q"), get()] << [ready(), *got(b"0", 1)]
    for tag in (1, 2, 3):
        play = play >> say(Basic.Reject, delivery_tag=tag, requeue=True) << [] >> [Advance(700), get()]
        play = play << got(b"0", tag + 1, acquired=tag, failed=tag)
    assert play


@pytest.mark.parametrize("least", ["x", 0, -1, True])
def test_a_minimum_that_makes_no_sense(least: object) -> None:
    assert (
        book()
        >> [queue(least=least), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [*REJECT, look()]
        << ready(1)
    )


def test_order_of_what_is_due() -> None:
    assert (
        book()
        >> [queue(), *publish(b"0", "q"), *publish(b"1", "q"), *publish(b"2", "q"), get(), get()]
        << [ready(), *got(b"0", 1, 2), *got(b"1", 2, 1)]
        >> say(Basic.Nack, delivery_tag=2, requeue=True)
        << []
        >> [Advance(10), *NACK]
        << []
        >> Advance(700)
        << []
        >> [get(), get(), get()]
        << [*got(b"1", 3, 2, 1), *got(b"0", 4, 1, 1), *got(b"2", 5)]
    )


def test_delayed_messages_count_towards_limits() -> None:
    assert (
        book()
        >> [queue(max_length=1), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [*REJECT, *publish(b"1", "q"), look()]
        << ready(0)
        >> [Advance(700), look()]
        << ready(1)
    )


def test_purge_takes_them_delete_does_not_count_them() -> None:
    assert (
        book()
        >> [queue(), *publish(b"0", "q"), *publish(b"1", "q"), get()]
        << [ready(), *got(b"0", 1, 1)]
        >> [*NACK, say(Queue.Purge, queue="q")]
        << say(Queue.PurgeOk, message_count=2)
        >> [Advance(5000), look()]
        << ready(0)
        >> [*publish(b"2", "q"), get()]
        << got(b"2", 2)
        >> [say(Basic.Nack, delivery_tag=2, requeue=True), say(Queue.Delete, queue="q")]
        << say(Queue.DeleteOk, message_count=0)
        >> Advance(5000)
        << []
    )


def test_a_message_expires_when_its_delay_is_over() -> None:
    assert (
        book()
        >> [queue(), *publish(b"0", "q", expiration="100"), get()]
        << [ready(), *got(b"0", 1, expiration="100")]
        >> [*NACK, look()]
        << ready(0)
        >> [Advance(700), look()]
        << ready(0)
    )


def test_by_policy() -> None:
    """The policy's type holds; of the delays the smaller."""

    def apply(stage: Any) -> None:
        definition = {"delayed-retry-type": "all", "delayed-retry-min": 100, "delayed-retry-max": 5000}
        stage.broker.policies.set(Policy("/", "p", "q", definition, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    assert (
        book()
        >> [queue("disabled"), Do("policy", apply), *publish(b"0", "q"), get()]
        << [ready(), *got(b"0", 1)]
        >> [*REJECT, look()]
        << ready(0)
        >> [Advance(99), look()]
        << ready(0)
        >> [Advance(1), look()]
        << ready(1)
    )


@pytest.mark.parametrize("version", ["4.2", "3.10"])
def test_not_before_4_3(version: str) -> None:
    assert (
        book(version)
        >> [queue("all", "anything"), *publish(b"0", "q"), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [ready(), say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"0", 1)]
        >> REJECT
        << delivery(b"0", 2, redelivered=True, headers={"x-delivery-count": Field("l", 1)})
    )


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({"delayed-retry-type": "all"}, "delayed-retry-min is required when delayed-retry-type is all"),
        (
            {"delayed-retry-type": "x"},
            '<<"x">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled',
        ),
        (
            {"delayed-retry-min": 0},
            "0 is not a valid delayed retry minimum delay. Must be a positive integer",
        ),
        (
            {"delayed-retry-max": "x"},
            '<<"x">> is not a valid delayed retry maximum delay. Must be a positive integer',
        ),
        (
            {"delayed-retry-min": 9, "delayed-retry-max": 8},
            "delayed-retry-max (8) must not be smaller than delayed-retry-min (9)",
        ),
        ({"consumer-timeout": -1}, "-1 is not a valid consumer timeout"),
    ],
)
def test_policies_that_will_not_do(definition: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError) as error:
        Policies(PROFILES["4.3"]).set(Policy("/", "p", "q", definition))
    assert str(error.value).strip() == text


def test_policy_keys_are_unknown_before_4_3() -> None:
    with pytest.raises(PolicyError, match="are not recognised policy settings"):
        Policies(PROFILES["4.2"]).set(Policy("/", "p", "q", {"delayed-retry-min": 5}))
