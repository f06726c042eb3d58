"""Acknowledgement timeouts: since 4.3 quorum queues requeue the delivery, before that the channel is closed."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.testing.playbook import (
    Advance,
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
from tests.queues.plays import (
    CONSUMER_TIMEOUT_MS,
    consume,
    consume_ok,
    declare,
    declare_ok,
    declare_passive,
    declare_quorum,
    playbook,
    qos,
    qos_ok,
    set_policy,
)

REDELIVERED = {"redelivered": True, "headers": {"x-acquired-count": Field("l", 1)}}


def server_cancel(tag: str = "c", channel: int = 1) -> Say:
    """basic.cancel from the server."""
    return say(Basic.Cancel, consumer_tag=tag, nowait=True, channel=channel)


def channel_closed(channel: int = 1, timeout: int = -1) -> Say:
    """channel.close for a timeout, in ms."""
    text = (
        f"PRECONDITION_FAILED - delivery acknowledgement on channel {channel} timed out. Timeout value used: {timeout} "
        "ms. This timeout value can be configured, see consumers doc guide to learn more"
    )
    return refusal(406, text, channel=channel)


def redelivery(body: bytes, tag: int, consumer: str = "c", channel: int = 1) -> list[Line]:
    """basic.deliver of a message that was acquired once before."""
    return [*delivery(body, tag, consumer=consumer, channel=channel, **REDELIVERED)]


def one_unacked(play: Playbook, *, queue: Say | None = None, consumer: Say | None = None) -> Playbook:
    """The play with a quorum queue: message `1` is unacknowledged at its consumer, message `2` is ready."""
    return (
        play
        >> [
            queue or declare_quorum(),
            *publish(b"1", "q"),
            *publish(b"2", "q"),
            *qos(1, 1, 2),
            consumer or consume(),
        ]
        << [declare_ok(), *qos_ok(1, 2), consume_ok(), *delivery(b"1", 1)]
    )


# --- since 4.3: quorum queues


def test_after_the_timeout_the_consumer_is_cancelled_and_its_message_requeued() -> None:
    assert (
        one_unacked(playbook())
        >> [Advance(CONSUMER_TIMEOUT_MS - 1), declare_passive()]
        << declare_ok(1, 1)
        >> Advance(1)
        << server_cancel()
        >> declare_passive()
        << declare_ok(2, 1)
    )


def test_an_overdue_ack_restores_the_consumer() -> None:
    assert (
        one_unacked(playbook())
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> say(Basic.Ack, delivery_tag=1)
        << redelivery(b"1", 2)
        >> say(Basic.Ack, delivery_tag=2)
        << delivery(b"2", 3)
        >> [say(Basic.Ack, delivery_tag=3), declare_passive()]
        << declare_ok(0, 1)
        >> say(Basic.Ack, delivery_tag=1)
        << refusal(406, "PRECONDITION_FAILED - unknown delivery tag 1", Basic.Ack)
    )


@pytest.mark.parametrize("late", [Basic.Ack, Basic.Nack, Channel.Close])
def test_settling_several_overdue_deliveries_restores_the_consumer(late: type[Any]) -> None:
    given = {} if late is Channel.Close else {"delivery_tag": 2, "multiple": True}
    play = playbook() >> [declare_quorum(), *publish(b"1", "q"), *publish(b"2", "q"), consume()]
    assert (
        play
        << [declare_ok(), consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> say(late, **given)
        << (say(Channel.CloseOk) if late is Channel.Close else [*redelivery(b"1", 3), *redelivery(b"2", 4)])
    )


@pytest.mark.parametrize("requeue", [False, True])
@pytest.mark.parametrize("method", [Basic.Nack, Basic.Reject])
def test_rejecting_an_overdue_delivery_only_restores_the_consumer(method: type[Any], requeue: bool) -> None:
    assert (
        one_unacked(playbook())
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> say(method, delivery_tag=1, requeue=requeue)
        << redelivery(b"1", 2)
    )


def test_recovering_an_overdue_delivery_restores_the_consumer() -> None:
    assert (
        one_unacked(playbook())
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> say(Basic.Recover, requeue=True)
        << [say(Basic.RecoverOk), *redelivery(b"1", 2)]
    )


def test_the_message_goes_to_another_consumer() -> None:
    assert (
        one_unacked(playbook())
        >> consume("d", 2)
        << [consume_ok("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(CONSUMER_TIMEOUT_MS)
        << [server_cancel(), *redelivery(b"1", 2, "d", 2)]
        >> say(Channel.Close, reply_code=200)
        << say(Channel.CloseOk)
        >> declare_passive(channel=2)
        << declare_ok(0, 1, channel=2)
    )


def test_each_delivery_has_its_own_timeout() -> None:
    play = playbook() >> [declare_quorum(), *publish(b"1", "q"), consume()]
    assert (
        play
        << [declare_ok(), consume_ok(), *delivery(b"1", 1)]
        >> [Advance(1_000_000), *publish(b"2", "q")]
        << delivery(b"2", 2)
        >> Advance(800_000)
        << server_cancel()
        >> declare_passive()
        << declare_ok(1, 1)
        >> Advance(999_999)
        << []
        >> Advance(1_000)
        << server_cancel()
        >> declare_passive()
        << declare_ok(2, 1)
        >> say(Basic.Ack, delivery_tag=2, multiple=True)
        << [*redelivery(b"1", 3), *redelivery(b"2", 4)]
    )


@pytest.mark.parametrize(
    ("given", "consumer"),
    [
        (declare_quorum(consumer_timeout=5000), consume()),
        (declare_quorum(), consume(consumer_timeout=5000)),
        (declare_quorum(consumer_timeout=1000), consume(consumer_timeout=5000)),
    ],
)
def test_the_timeout_is_the_consumers_or_the_queues_or_the_setting(given: Say, consumer: Say) -> None:
    """The argument of the consumer, else that of the queue, else the setting."""
    assert (
        one_unacked(playbook(), queue=given, consumer=consumer)
        >> Advance(4999)
        << []
        >> Advance(1)
        << server_cancel()
    )


def test_a_policy_may_set_a_smaller_timeout() -> None:
    """The smaller of policy and argument counts, as it was when the consumer started."""
    assert (
        one_unacked(playbook(), queue=declare_quorum(consumer_timeout=5000))
        >> [set_policy(consumer_timeout=2000), consume("d", 2)]
        << [consume_ok("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> Advance(2000)
        << server_cancel("d", 2)
        >> Advance(3000)
        << server_cancel()
    )


def test_a_setting_of_0_means_no_timeout() -> None:
    assert (
        one_unacked(playbook(consumer_timeout=0))
        >> [Advance(10 * CONSUMER_TIMEOUT_MS), declare_passive()]
        << declare_ok(1, 1)
    )


def test_the_channel_of_a_client_without_the_capability_is_closed() -> None:
    assert (
        one_unacked(playbook(capabilities=()))
        >> consume("d", 2)
        << [consume_ok("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(CONSUMER_TIMEOUT_MS)
        << [*redelivery(b"1", 2, "d", 2), channel_closed()]
    )


def test_an_overdue_delivery_of_a_cancelled_consumer_closes_the_channel() -> None:
    assert (
        one_unacked(playbook())
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> Advance(CONSUMER_TIMEOUT_MS)
        << channel_closed()
        >> declare_passive(channel=2)
        << declare_ok(2, 0, channel=2)
    )


def test_an_overdue_delivery_of_basic_get_closes_the_channel() -> None:
    assert (
        playbook()
        >> [declare_quorum(), *publish(b"1", "q"), say(Basic.Get, queue="q")]
        << [
            declare_ok(),
            say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=0, redelivered=False),
            content(b"1"),
        ]
        >> Advance(CONSUMER_TIMEOUT_MS)
        << channel_closed()
        >> [declare_passive(channel=2), say(Basic.Get, queue="q", channel=2)]
        << [
            declare_ok(1, 0, channel=2),
            say(Basic.GetOk, delivery_tag=1, routing_key="q", message_count=0, redelivered=True, channel=2),
            content(b"1", channel=2, headers={"x-acquired-count": Field("l", 1)}),
        ]
    )


def test_a_timed_out_consumer_can_be_cancelled() -> None:
    assert (
        one_unacked(playbook())
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> [
            say(Basic.Cancel, consumer_tag="c"),
            declare_passive(),
            say(Basic.Ack, delivery_tag=1),
            declare_passive(),
        ]
        << [say(Basic.CancelOk, consumer_tag="c"), declare_ok(2, 0), declare_ok(2, 0)]
    )


def test_a_restored_consumer_is_in_the_rotation_again() -> None:
    assert (
        one_unacked(playbook())
        >> consume("d", 2)
        << [consume_ok("d", 2), *delivery(b"2", 1, consumer="d", channel=2)]
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << []
        >> Advance(CONSUMER_TIMEOUT_MS)
        << [server_cancel(), *redelivery(b"1", 2, "d", 2)]
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Ack, delivery_tag=2, channel=2)]
        << []
        >> [*publish(b"3", "q"), *publish(b"4", "q")]
        << [*delivery(b"3", 3, consumer="d", channel=2), *delivery(b"4", 2)]
    )


def test_another_consumer_becomes_active_when_the_active_one_times_out() -> None:
    assert (
        one_unacked(playbook(), queue=declare_quorum(single_active_consumer=True))
        >> consume("d", 2)
        << consume_ok("d", 2)
        >> Advance(CONSUMER_TIMEOUT_MS)
        << [server_cancel(), *redelivery(b"1", 1, "d", 2)]
        >> [say(Basic.Ack, delivery_tag=1), declare_passive()]
        << declare_ok(1, 1)
        >> say(Basic.Ack, delivery_tag=1, channel=2)
        << delivery(b"2", 2, consumer="d", channel=2)
    )


def test_the_only_consumer_becomes_active_again() -> None:
    assert (
        one_unacked(playbook(), queue=declare_quorum(single_active_consumer=True))
        >> Advance(CONSUMER_TIMEOUT_MS)
        << server_cancel()
        >> declare_passive(channel=2)
        << declare_ok(2, 0, channel=2)
        >> say(Basic.Ack, delivery_tag=1)
        << redelivery(b"1", 2)
    )


def test_automatic_acknowledgement_never_times_out() -> None:
    consumer = say(Basic.Consume, queue="q", consumer_tag="c", no_ack=True)
    assert (
        playbook()
        >> [declare_quorum(), *publish(b"1", "q"), consumer]
        << [declare_ok(), consume_ok(), *delivery(b"1", 1)]
        >> [Advance(2 * CONSUMER_TIMEOUT_MS), declare_passive()]
        << declare_ok(0, 1)
    )


def test_classic_queues_have_no_timeout() -> None:
    assert (
        one_unacked(playbook(consumer_timeout=1000), queue=declare(kind="classic"))
        >> [Advance(10 * CONSUMER_TIMEOUT_MS), declare_passive()]
        << declare_ok(1, 1)
    )


# --- up to 4.2: channels


@pytest.mark.parametrize("kind", ["classic", "quorum"])
@pytest.mark.parametrize("version", ["4.2", "4.0", "3.13"])
def test_before_4_3_the_channel_is_closed_within_a_minute(version: str, kind: str) -> None:
    assert (
        one_unacked(playbook(version, consumer_timeout=90_000), queue=declare(kind=kind))
        >> [Advance(119_999), declare_passive()]
        << declare_ok(1, 1)
        >> Advance(1)
        << channel_closed(1, 90_000)
        >> declare_passive(channel=2)
        << declare_ok(2, 0, channel=2)
    )


@pytest.mark.parametrize(
    ("version", "given", "timeout"),
    [
        ("4.0", declare(kind="classic", consumer_timeout=1000), 1000),
        ("4.0", declare_quorum(consumer_timeout=1000), 1000),
        ("4.0", declare_quorum(consumer_timeout=-1), -1),
        ("3.10", declare_quorum(consumer_timeout=1000), 60_000),
    ],
)
def test_the_queue_argument_counts_since_3_12(version: str, given: Say, timeout: int) -> None:
    """3.10 does not know the argument, and no version before 4.3 validates it."""
    play = one_unacked(playbook(version, consumer_timeout=60_000), queue=given)
    assert (
        play
        >> Advance(60_000)
        << ([channel_closed(1, timeout)] if timeout < 60_000 else [])
        >> Advance(60_000)
        << ([channel_closed(1, timeout)] if timeout == 60_000 else [])
    )


def test_an_argument_that_is_not_a_number_means_no_timeout() -> None:
    play = one_unacked(playbook("4.0", consumer_timeout=60_000), queue=declare_quorum(consumer_timeout="x"))
    assert play >> [Advance(10 * CONSUMER_TIMEOUT_MS), declare_passive()] << declare_ok(1, 1)


def test_the_oldest_delivery_decides() -> None:
    play = playbook("4.0", consumer_timeout=90_000) >> [
        declare_quorum(),
        *publish(b"1", "q"),
        *publish(b"2", "q"),
        consume(),
    ]
    assert (
        play
        << [declare_ok(), consume_ok(), *delivery(b"1", 1), *delivery(b"2", 2)]
        >> say(Basic.Ack, delivery_tag=1)
        << []
        >> [Advance(100_000), *publish(b"3", "q")]
        << delivery(b"3", 3)
        >> say(Basic.Ack, delivery_tag=2)
        << []
        >> [Advance(80_000), declare_passive()]
        << declare_ok(0, 1)
        >> Advance(60_000)
        << channel_closed(1, 90_000)
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
def test_the_argument_is_validated_in_4_3(kind: str, value: object, reason: str) -> None:
    text = f"PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/'{reason}"
    assert playbook() >> declare(kind=kind, consumer_timeout=value) << refusal(406, text, Queue.Declare)
    assert (
        playbook()
        >> [declare(kind=kind), consume(consumer_timeout=value)]
        << [declare_ok(), refusal(406, text, Basic.Consume)]
    )
