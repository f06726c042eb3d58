"""Delayed retry of quorum queues: which returns are delayed, how long, and what is shown meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Queue

from leveret.engine.policies import Policies, Policy, PolicyError
from leveret.profiles import PROFILES
from leveret.testing.playbook import (
    Advance,
    Line,
    Say,
    delivery,
    publish,
    say,
)
from leveret.wire.tables import Field
from tests.queues.plays import (
    count_headers,
    declare_ok,
    declare_passive,
    declare_quorum,
    get,
    get_ok,
    playbook,
    set_policy,
)


def declare_retrying(
    kind: object = "all", minimum: object = 700, maximum: object = 1500, **arguments: Any
) -> Say:
    """queue.declare of a quorum queue with delayed retry; delays in ms, no `maximum` if it is None."""
    arguments |= {"delayed_retry_type": kind, "delayed_retry_min": minimum}
    if maximum is not None:
        arguments["delayed_retry_max"] = maximum
    return declare_quorum(**arguments)


def get_counted_ok(
    body: bytes, tag: int, left: int = 0, acquired: int = 0, failed: int = 0, **more: Any
) -> list[Line]:
    """basic.get-ok of a message that was acquired and failed so often."""
    headers = count_headers(acquired, failed or None)
    return get_ok(body, tag, left, redelivered=bool(headers), **headers, **more)


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
def test_the_retry_type_decides_which_returns_are_delayed(
    kind: object, how: list[Line], delayed: bool
) -> None:
    play = (
        playbook()
        >> [declare_retrying(kind), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [*how, declare_passive()]
        << declare_ok(0 if delayed else 1)
    )
    failed = int(how is REJECT)
    assert (
        play
        >> [Advance(699), declare_passive()]
        << declare_ok(0 if delayed else 1)
        >> [Advance(1), get(no_ack=False)]
        << get_counted_ok(b"0", 2, acquired=1, failed=failed)
    )


@pytest.mark.parametrize(("kind", "delayed"), [("all", True), ("failed", True), ("returned", False)])
def test_deliveries_of_a_closed_channel_are_delayed(kind: str, delayed: bool) -> None:
    assert (
        playbook()
        >> [declare_retrying(kind), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [say(Channel.Close, reply_code=200), declare_passive(channel=2)]
        << [say(Channel.CloseOk), declare_ok(0 if delayed else 1, channel=2)]
        >> [Advance(700), get(no_ack=False, channel=2)]
        << get_counted_ok(b"0", 1, acquired=1, failed=1, channel=2)
    )


@pytest.mark.parametrize(("kind", "delayed"), [("all", True), ("failed", False), ("returned", True)])
def test_recovered_deliveries_are_delayed(kind: str, delayed: bool) -> None:
    assert (
        playbook()
        >> [declare_retrying(kind), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [say(Basic.Recover, requeue=True), declare_passive()]
        << [say(Basic.RecoverOk), declare_ok(0 if delayed else 1)]
        >> [Advance(700), get(no_ack=False)]
        << get_counted_ok(b"0", 2, acquired=1)
    )


def test_the_delay_grows_with_failures() -> None:
    """300, 600, 900 ms, then at most 1 s; a return that is not a failure is delayed as long as the last one."""
    play = playbook() >> [declare_retrying(minimum=300, maximum=1000), *publish(b"0", "q")] << declare_ok()
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
    play = (
        playbook()
        >> [declare_retrying(maximum=None), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
    )
    for tag in (1, 2, 3):
        play = (
            play
            >> say(Basic.Reject, delivery_tag=tag, requeue=True)
            << []
            >> [Advance(700), get(no_ack=False)]
        )
        play = play << get_counted_ok(b"0", tag + 1, acquired=tag, failed=tag)
    assert play


@pytest.mark.parametrize("least", ["x", 0, -1, True])
def test_an_invalid_minimum_means_no_delay(least: object) -> None:
    assert (
        playbook()
        >> [declare_retrying(minimum=least), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [*REJECT, declare_passive()]
        << declare_ok(1)
    )


def test_due_messages_come_in_order_of_their_due_time() -> None:
    assert (
        playbook()
        >> [
            declare_retrying(),
            *publish(b"0", "q"),
            *publish(b"1", "q"),
            *publish(b"2", "q"),
            get(no_ack=False),
            get(no_ack=False),
        ]
        << [declare_ok(), *get_counted_ok(b"0", 1, 2), *get_counted_ok(b"1", 2, 1)]
        >> say(Basic.Nack, delivery_tag=2, requeue=True)
        << []
        >> [Advance(10), *NACK]
        << []
        >> Advance(700)
        << []
        >> [get(no_ack=False), get(no_ack=False), get(no_ack=False)]
        << [*get_counted_ok(b"1", 3, 2, 1), *get_counted_ok(b"0", 4, 1, 1), *get_counted_ok(b"2", 5)]
    )


def test_delayed_messages_count_towards_limits() -> None:
    assert (
        playbook()
        >> [declare_retrying(max_length=1), *publish(b"0", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [*REJECT, *publish(b"1", "q"), declare_passive()]
        << declare_ok(0)
        >> [Advance(700), declare_passive()]
        << declare_ok(1)
    )


def test_purge_removes_delayed_messages_and_delete_ok_does_not_count_them() -> None:
    assert (
        playbook()
        >> [declare_retrying(), *publish(b"0", "q"), *publish(b"1", "q"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1, 1)]
        >> [*NACK, say(Queue.Purge, queue="q")]
        << say(Queue.PurgeOk, message_count=2)
        >> [Advance(5000), declare_passive()]
        << declare_ok(0)
        >> [*publish(b"2", "q"), get(no_ack=False)]
        << get_counted_ok(b"2", 2)
        >> [say(Basic.Nack, delivery_tag=2, requeue=True), say(Queue.Delete, queue="q")]
        << say(Queue.DeleteOk, message_count=0)
        >> Advance(5000)
        << []
    )


def test_a_message_expires_when_its_delay_is_over() -> None:
    assert (
        playbook()
        >> [declare_retrying(), *publish(b"0", "q", expiration="100"), get(no_ack=False)]
        << [declare_ok(), *get_counted_ok(b"0", 1, expiration="100")]
        >> [*NACK, declare_passive()]
        << declare_ok(0)
        >> [Advance(700), declare_passive()]
        << declare_ok(0)
    )


def test_a_policy_sets_the_retry_type_and_may_shorten_the_delay() -> None:
    """The type of the policy is used, and the smaller of the delays."""
    assert (
        playbook()
        >> [
            declare_retrying("disabled"),
            set_policy(delayed_retry_type="all", delayed_retry_min=100, delayed_retry_max=5000),
            *publish(b"0", "q"),
            get(no_ack=False),
        ]
        << [declare_ok(), *get_counted_ok(b"0", 1)]
        >> [*REJECT, declare_passive()]
        << declare_ok(0)
        >> [Advance(99), declare_passive()]
        << declare_ok(0)
        >> [Advance(1), declare_passive()]
        << declare_ok(1)
    )


@pytest.mark.parametrize("version", ["4.2", "3.10"])
def test_before_4_3_there_is_no_delayed_retry(version: str) -> None:
    assert (
        playbook(version)
        >> [
            declare_retrying("all", "anything"),
            *publish(b"0", "q"),
            say(Basic.Consume, queue="q", consumer_tag="c"),
        ]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c"), *delivery(b"0", 1)]
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
def test_invalid_policies_are_refused(definition: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError) as error:
        Policies(PROFILES["4.3"]).set(Policy("/", "p", "q", definition))
    assert str(error.value).strip() == text


def test_before_4_3_the_policy_keys_are_unknown() -> None:
    with pytest.raises(PolicyError, match="are not recognised policy settings"):
        Policies(PROFILES["4.2"]).set(Policy("/", "p", "q", {"delayed-retry-min": 5}))
