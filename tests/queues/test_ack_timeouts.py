"""Deliveries that nobody settles: quorum queues take them back since 4.3, channels are closed before."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.config import Settings
from leveret.engine.policies import Policy
from leveret.settings import Amqp as AmqpSettings
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
    refusal,
    say,
)
from leveret.wire.tables import Field

HALF_AN_HOUR = 1_800_000
AGAIN = {"redelivered": True, "headers": {"x-acquired-count": Field("l", 1)}}


def book(version: str = "4.3", timeout: int = HALF_AN_HOUR, **given: Any) -> Playbook:
    settings = Settings(profile=ProfileSettings(version=version), amqp=AmqpSettings(consumer_timeout=timeout))
    return Playbook(settings, first=[Connect("a", channels=(1, 2), **given)])


def queue(kind: str = "quorum", **arguments: Any) -> Say:
    given = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue="q", durable=True, arguments={"x-queue-type": kind, **given})


def ready(count: int = 0, consumers: int = 0, channel: int = 1) -> Say:
    return say(Queue.DeclareOk, queue="q", message_count=count, consumer_count=consumers, channel=channel)


def look(channel: int = 1) -> Say:
    return say(Queue.Declare, queue="q", passive=True, channel=channel)


def consume(tag: str = "c", channel: int = 1, **arguments: Any) -> Say:
    return say(Basic.Consume, queue="q", consumer_tag=tag, arguments=arguments, channel=channel)


def consuming(tag: str = "c", channel: int = 1) -> Say:
    return say(Basic.ConsumeOk, consumer_tag=tag, channel=channel)


def one_each(*channels: int) -> list[Line]:
    return [say(Basic.Qos, prefetch_count=1, channel=number) for number in channels]


def one_each_ok(*channels: int) -> list[Line]:
    return [say(Basic.QosOk, channel=number) for number in channels]


def cancelled(tag: str = "c", channel: int = 1) -> Say:
    return say(Basic.Cancel, consumer_tag=tag, nowait=True, channel=channel)


def closed(channel: int = 1, timeout: int = -1) -> Say:
    text = (
        f"PRECONDITION_FAILED - delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} "
        "ms. This timeout value can be configured, see consumers doc guide to learn more"
    )
    return refusal(406, text, channel=channel)


def again(body: bytes, tag: int, consumer: str = "c", channel: int = 1) -> list[Line]:
    return [*delivery(body, tag, consumer=consumer, channel=channel, **AGAIN)]


def held(play: Playbook, *, given: Say | None = None, consumer: Say | None = None) -> Playbook:
    """A quorum queue whose consumer, limited to one, holds `1` while `2` waits."""
    return (
        play
        >> [
            given or queue(),
            *publish(b"1", "q"),
            *publish(b"2", "q"),
            *one_each(1, 2),
            consumer or consume(),
        ]
        << [ready(), *one_each_ok(1, 2), consuming(), *delivery(b"1", 1)]
    )


# --- since 4.3: quorum queues


def test_the_consumer_is_cancelled_and_its_message_ready_again() -> None:
    assert (
        held(book())
        >> [Advance(HALF_AN_HOUR - 1), look()]
        << ready(1, 1)
        >> Advance(1)
        << cancelled()
        >> look()
        << ready(2, 1)
    )


def test_an_ack_that_comes_too_late_revives_the_consumer() -> None:
    assert (
        held(book())
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> say(Basic.Ack, delivery_tag=1)
        << again(b"1", 2)
        >> say(Basic.Ack, delivery_tag=2)
        << delivery(b"2", 3)
        >> [say(Basic.Ack, delivery_tag=3), look()]
        << ready(0, 1)
        >> say(Basic.Ack, delivery_tag=1)
        << refusal(406, "PRECONDITION_FAILED - unknown delivery tag 1", Basic.Ack)
    )


@pytest.mark.parametrize("late", [Basic.Ack, Basic.Nack, Channel.Close])
def test_several_deliveries_that_are_settled_too_late(late: type[Any]) -> None:
    given = {} if late is Channel.Close else {"delivery_tag": 2, "multiple": True}
    play = book() >> [queue(), *publish(b"1", "q"), *publish(b"2", "q"), consume()]
    assert (
        play
        << [ready(), consuming(), *delivery(b"1", 1), *delivery(b"2", 2)]
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> say(late, **given)
        << (say(Channel.CloseOk) if late is Channel.Close else [*again(b"1", 3), *again(b"2", 4)])
    )


@pytest.mark.parametrize("requeue", [False, True])
@pytest.mark.parametrize("method", [Basic.Nack, Basic.Reject])
def test_a_late_refusal_has_no_effect_either(method: type[Any], requeue: bool) -> None:
    assert (
        held(book())
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> say(method, delivery_tag=1, requeue=requeue)
        << again(b"1", 2)
    )


def test_a_late_recover_revives_as_well() -> None:
    assert (
        held(book())
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *again(b"1", 2)]
    )


def test_another_consumer_takes_over() -> None:
    assert (
        held(book())
        >> consume("d", 2)
        << [consuming("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(HALF_AN_HOUR)
        << [cancelled(), *again(b"1", 2, "d", 2)]
        >> say(Channel.Close, reply_code=200)
        << say(Channel.CloseOk)
        >> look(2)
        << ready(0, 1, channel=2)
    )


def test_each_delivery_has_its_own_time() -> None:
    play = book() >> [queue(), *publish(b"1", "q"), consume()]
    assert (
        play
        << [ready(), consuming(), *delivery(b"1", 1)]
        >> [Advance(1_000_000), *publish(b"2", "q")]
        << delivery(b"2", 2)
        >> Advance(800_000)
        << cancelled()
        >> look()
        << ready(1, 1)
        >> Advance(999_999)
        << []
        >> Advance(1_000)
        << cancelled()
        >> look()
        << ready(2, 1)
        >> say(Basic.Ack, delivery_tag=2, multiple=True)
        << [*again(b"1", 3), *again(b"2", 4)]
    )


@pytest.mark.parametrize(
    ("given", "consumer"),
    [
        (queue(consumer_timeout=5000), consume()),
        (queue(), consume(**{"x-consumer-timeout": 5000})),
        (queue(consumer_timeout=1000), consume(**{"x-consumer-timeout": 5000})),
    ],
)
def test_where_the_timeout_comes_from(given: Say, consumer: Say) -> None:
    """The consumer's argument, else the queue's, else everyone's."""
    assert held(book(), given=given, consumer=consumer) >> Advance(4999) << [] >> Advance(1) << cancelled()


def test_a_policys_timeout() -> None:
    """The smaller of policy and argument; consumers keep what held when they came."""

    def apply(stage: Any) -> None:
        stage.broker.policies.set(Policy("/", "p", "q", {"consumer-timeout": 2000}, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    assert (
        held(book(), given=queue(consumer_timeout=5000))
        >> [Do("policy", apply), consume("d", 2)]
        << [consuming("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> Advance(2000)
        << cancelled("d", 2)
        >> Advance(3000)
        << cancelled()
    )


def test_0_in_the_settings_is_no_timeout() -> None:
    assert held(book(timeout=0)) >> [Advance(10 * HALF_AN_HOUR), look()] << ready(1, 1)


def test_a_client_without_the_capability_loses_its_channel() -> None:
    assert (
        held(book(capabilities=()))
        >> consume("d", 2)
        << [consuming("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(HALF_AN_HOUR)
        << [*again(b"1", 2, "d", 2), closed()]
    )


def test_a_cancelled_consumers_delivery_closes_the_channel() -> None:
    assert (
        held(book())
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> Advance(HALF_AN_HOUR)
        << closed()
        >> look(2)
        << ready(2, 0, channel=2)
    )


def test_basic_get_closes_the_channel() -> None:
    assert (
        book()
        >> [queue(), *publish(b"1", "q"), say(Basic.Get, queue="q")]
        << [
            ready(),
            say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=0, redelivered=False),
            content(b"1"),
        ]
        >> Advance(HALF_AN_HOUR)
        << closed()
        >> [look(2), say(Basic.Get, queue="q", channel=2)]
        << [
            ready(1, 0, channel=2),
            say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=0, redelivered=True, channel=2),
            content(b"1", channel=2, headers={"x-acquired-count": Field("l", 1)}),
        ]
    )


def test_cancelling_a_timed_out_consumer() -> None:
    assert (
        held(book())
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> [say(Basic.Cancel, consumer_tag="c"), look(), say(Basic.Ack, delivery_tag=1), look()]
        << [say(Basic.CancelOk, consumer_tag="c"), ready(2, 0), ready(2, 0)]
    )


def test_a_revived_consumer_takes_turns_again() -> None:
    assert (
        held(book())
        >> consume("d", 2)
        << [consuming("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(HALF_AN_HOUR)
        << [cancelled(), *again(b"1", 2, "d", 2)]
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Ack, delivery_tag=2, channel=2)]
        << []
        >> [*publish(b"3", "q"), *publish(b"4", "q")]
        << [*delivery(b"3", 3, consumer="d", channel=2), *delivery(b"4", 2)]
    )


def test_the_single_active_consumer_makes_way() -> None:
    assert (
        held(book(), given=queue(single_active_consumer=True))
        >> consume("d", 2)
        << consuming("d", 2)
        >> Advance(HALF_AN_HOUR)
        << [cancelled(), *again(b"1", 1, "d", 2)]
        >> [say(Basic.Ack, delivery_tag=1), look()]
        << ready(1, 1)
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << delivery(b"2", 2, consumer="d", channel=2)
    )


def test_the_only_single_active_consumer_comes_back() -> None:
    assert (
        held(book(), given=queue(single_active_consumer=True))
        >> Advance(HALF_AN_HOUR)
        << cancelled()
        >> look(2)
        << ready(2, 0, channel=2)
        >> say(Basic.Ack, delivery_tag=1)
        << again(b"1", 2)
    )


def test_automatic_acknowledgement_never_times_out() -> None:
    consumer = say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
    assert (
        book()
        >> [queue(), *publish(b"1", "q"), consumer]
        << [ready(), consuming(), *delivery(b"1", 1)]
        >> [Advance(2 * HALF_AN_HOUR), look()]
        << ready(0, 1)
    )


def test_classic_queues_have_no_timeout() -> None:
    assert (
        held(book(timeout=1000), given=queue("classic"))
        >> [Advance(10 * HALF_AN_HOUR), look()]
        << ready(1, 1)
    )


# --- up to 4.2: channels


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("version", ["4.2", "4.0", "3.13"])
def test_a_channel_is_closed_within_a_minute(version: str, kind: str) -> None:
    assert (
        held(book(version, timeout=90_000), given=queue(kind))
        >> [Advance(119_999), look()]
        << ready(1, 1)
        >> Advance(1)
        << closed(1, 90_000)
        >> look(2)
        << ready(2, 0, channel=2)
    )


@pytest.mark.parametrize(
    ("version", "given", "timeout"),
    [
        ("4.0", queue("classic", consumer_timeout=1000), 1000),
        ("4.0", queue(consumer_timeout=1000), 1000),
        ("4.0", queue(consumer_timeout=-1), -1),
        ("3.10", queue("quorum", consumer_timeout=1000), 60_000),
    ],
)
def test_a_queues_timeout_since_3_12(version: str, given: Say, timeout: int) -> None:
    """3.10 does not know the argument; nobody checks what it says."""
    play = held(book(version, timeout=60_000), given=given)
    assert (
        play
        >> Advance(60_000)
        << ([closed(1, timeout)] if timeout < 60_000 else [])
        >> Advance(60_000)
        << ([closed(1, timeout)] if timeout == 60_000 else [])
    )


def test_what_is_no_number_is_no_timeout() -> None:
    play = held(book("4.0", timeout=60_000), given=queue(consumer_timeout="x"))
    assert play >> [Advance(10 * HALF_AN_HOUR), look()] << ready(1, 1)


def test_the_oldest_delivery_counts() -> None:
    play = book("4.0", timeout=90_000) >> [queue(), *publish(b"1", "q"), *publish(b"2", "q"), consume()]
    assert (
        play
        << [ready(), consuming(), *delivery(b"1", 1), *delivery(b"2", 2)]
        >> say(Basic.Ack, delivery_tag=1)
        << []
        >> [Advance(100_000), *publish(b"3", "q")]
        << delivery(b"3", 3)
        >> say(Basic.Ack, delivery_tag=2)
        << []
        >> [Advance(80_000), look()]
        << ready(0, 1)
        >> Advance(60_000)
        << closed(1, 90_000)
    )


# --- what it may be


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("quorum", "x", ': "expected integer, got longstr"'),
        ("quorum", -1, ": {value_negative,-1}"),
        ("classic", 5, " of queue type rabbit_classic_queue"),
    ],
)
def test_the_argument_is_checked_in_4_3(kind: str, value: object, reason: str) -> None:
    text = f"PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/'{reason}"
    assert book() >> queue(kind, consumer_timeout=value) << refusal(406, text, Queue.Declare)
    assert (
        book()
        >> [queue(kind), consume(**{"x-consumer-timeout": value})]
        << [ready(), refusal(406, text, Basic.Consume)]
    )
