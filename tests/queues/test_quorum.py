"""Quorum queues in virtual time: delivery limit, count headers, order of returns, priorities, limits."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.testing.playbook import (
    ANY,
    Advance,
    content,
    delivery,
    refusal,
    say,
)
from tests.queues.plays import (
    GET_EMPTY,
    consume,
    consume_ok,
    count_headers,
    declare_ok,
    declare_passive,
    declare_quorum,
    get,
    get_ok,
    playbook,
    publish_all,
    set_policy,
)
from tests.queues.quorums import NACK, REJECT, headers_after, requeue

# --- counts and the delivery limit


@pytest.mark.parametrize(
    ("version", "how", "seen"),
    [
        ("4.3", REJECT, [{}, count_headers(1, 1), count_headers(2, 2)]),
        ("4.3", NACK, [{}, count_headers(1), count_headers(2)]),
        ("4.0", NACK, [{}, count_headers(0, 1), count_headers(0, 2)]),
        ("3.13", REJECT, [{}, count_headers(0, 1), count_headers(0, 2)]),
        ("3.10", NACK, [{}, count_headers(0, 1), count_headers(0, 2)]),
    ],
)
def test_count_headers_count_the_returns(
    version: str, how: dict[str, Any], seen: list[dict[str, Any]]
) -> None:
    play = (
        playbook(version) >> [declare_quorum(), *publish_all(b"1"), consume()] << [declare_ok(), consume_ok()]
    )
    for number, properties in enumerate(seen, 1):
        play = play << delivery(b"1", number, redelivered=number > 1, **properties)
        if number < len(seen):
            play = play >> requeue(how, number)
    assert play


@pytest.mark.parametrize(
    ("version", "limit", "how", "rounds"),
    [
        ("4.3", 2, REJECT, 3),
        ("4.3", 0, REJECT, 1),
        ("4.3", None, REJECT, 21),
        ("4.0", 2, NACK, 3),
        ("4.0", None, NACK, 21),
        ("3.13", 2, REJECT, 3),
        ("3.10", -1, REJECT, 1),
    ],
)
def test_a_message_is_dropped_above_the_delivery_limit(
    version: str, limit: int | None, how: dict[str, Any], rounds: int
) -> None:
    """It is delivered once more than the limit. Before 4.0 a negative limit is a limit, too."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = playbook(version) >> [declare_quorum(**given), *publish_all(b"1")] << declare_ok()
    for tag in range(1, rounds + 1):
        play = play >> get(no_ack=False)
        play = play << get_ok(b"1", tag, redelivered=tag > 1, **headers_after(version, how, tag - 1))
        play = play >> requeue(how, tag)
    assert play >> [get(), declare_passive()] << [GET_EMPTY, declare_ok()]


@pytest.mark.parametrize(
    ("version", "limit", "how"),
    [("4.3", None, NACK), ("4.3", -1, REJECT), ("4.2", -1, NACK), ("4.0", "x", NACK), ("3.10", None, REJECT)],
)
def test_without_a_delivery_limit_returns_never_end(version: str, limit: object, how: dict[str, Any]) -> None:
    """In 4.3 nack never counts; a negative limit means none from 4.0 on, and before that there is none by default."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = playbook(version) >> [declare_quorum(**given), *publish_all(b"1")] << declare_ok()
    for tag in range(1, 26 if limit != "x" else 20):
        play = play >> get(no_ack=False)
        play = play << get_ok(b"1", tag, redelivered=tag > 1, **headers_after(version, how, tag - 1))
        play = play >> requeue(how, tag)
    assert play >> declare_passive() << declare_ok(1)


def test_a_delivery_limit_by_policy_applies_at_once() -> None:
    assert (
        playbook()
        >> [
            declare_quorum(delivery_limit=10),
            *publish_all(b"1"),
            set_policy(delivery_limit=0),
            get(no_ack=False),
        ]
        << [declare_ok(), *get_ok(b"1", 1)]
        >> [requeue(REJECT, 1), declare_passive()]
        << declare_ok()
    )


def test_a_closed_channel_counts_as_a_failure_in_4_3_and_recover_does_not() -> None:
    assert (
        playbook()
        >> [declare_quorum(), *publish_all(b"1"), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"1", 1)]
        >> [say(Basic.Recover, requeue=True), get(no_ack=False)]
        << [say(Basic.RecoverOk), *get_ok(b"1", 2, redelivered=True, **count_headers(1))]
        >> [say(Channel.Close, reply_code=200), get(channel=2)]
        << [say(Channel.CloseOk), *get_ok(b"1", 1, redelivered=True, channel=2, **count_headers(2, 1))]
    )


def test_messages_above_the_delivery_limit_are_dead_lettered() -> None:
    assert (
        playbook()
        >> [
            say(Queue.Declare, queue="dead"),
            declare_quorum(delivery_limit=0, dead_letter_exchange="", dead_letter_routing_key="dead"),
            *publish_all(b"1"),
            get(no_ack=False),
        ]
        << [declare_ok(name="dead"), declare_ok(), *get_ok(b"1", 1)]
        >> [requeue(REJECT, 1), say(Basic.Get, queue="dead", no_ack=True)]
        << [
            say(Basic.GetOk, delivery_tag=2, routing_key="dead", message_count=0, redelivered=True),
            content(b"1", headers=ANY),
        ]
    )


# --- the order of what came back


@pytest.mark.parametrize(
    ("version", "limit", "order"),
    [
        ("4.3", None, "1023"),
        ("4.3", -1, "1023"),
        ("4.0", None, "1023"),
        ("4.0", -1, "3102"),
        ("3.10", None, "3102"),
        ("3.10", 5, "1023"),
    ],
)
@pytest.mark.parametrize("how", [REJECT, NACK])
def test_returned_messages_come_first_in_the_order_of_return(
    version: str, limit: int | None, order: str, how: dict[str, Any]
) -> None:
    """Before all others; before 4.3 and without a delivery limit behind all others."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = (
        playbook(version) >> [declare_quorum(**given), *publish_all(b"0", b"1", b"2", b"3")] << declare_ok()
    )
    for tag in (1, 2, 3):
        play = (
            play
            >> get(no_ack=False)
            << get_ok(b"%d" % (tag - 1), tag, 4 - tag, **headers_after(version, how, 0))
        )
    play = play >> [requeue(how, 2), requeue(how, 1), requeue(how, 3)]
    for number, body in enumerate(order):
        again = body != "3"
        play = play >> get()
        play = play << get_ok(
            body.encode(), 4 + number, 3 - number, redelivered=again, **headers_after(version, how, again)
        )
    assert play


@pytest.mark.parametrize(("version", "limit"), [("4.3", None), ("4.0", -1), ("3.10", None)])
def test_deliveries_of_a_closed_channel_come_first(version: str, limit: int | None) -> None:
    given = {} if limit is None else {"delivery_limit": limit}
    play = playbook(version) >> [declare_quorum(**given), *publish_all(b"0", b"1", b"2")] << declare_ok()
    for tag in (1, 2):
        play = (
            play
            >> get(no_ack=False)
            << get_ok(b"%d" % (tag - 1), tag, 3 - tag, **headers_after(version, None, 0))
        )
    play = play >> say(Channel.Close, reply_code=200) << say(Channel.CloseOk)
    for number in range(3):
        given = headers_after(version, None, number < 2)
        play = play >> get(channel=2)
        play = play << get_ok(
            b"%d" % number, 1 + number, 2 - number, redelivered=number < 2, channel=2, **given
        )
    assert play


# --- priorities

PUBLISHED = (1, 9, 5, 4, 8, 1, 7, 7, 6, 2, 9, 0)


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("4.3", (1, 10, 4, 6, 7, 8, 2, 3, 9, 0, 5, 11)),
        ("4.0", (1, 2, 0, 4, 6, 3, 7, 8, 5, 10, 9, 11)),
        ("3.10", tuple(range(12))),
    ],
)
def test_priorities_are_served_as_the_version_does(version: str, order: tuple[int, ...]) -> None:
    """Ignored before 4.0; up to 4.2 two levels, of which the higher gets two shares of three; from 4.3 on the highest
    of 32 first."""
    play = playbook(version) >> declare_quorum() << declare_ok()
    for number, priority in enumerate(PUBLISHED):
        play = play >> publish_all(b"%d" % number, priority=priority)
    for tag, number in enumerate(order, 1):
        given = {"priority": PUBLISHED[number], **headers_after(version, None, 0)}
        play = play >> get() << get_ok(b"%d" % number, tag, 12 - tag, **given)
    assert play


def test_no_priority_means_4_and_31_is_the_highest() -> None:
    play = (
        playbook()
        >> [
            declare_quorum(),
            *publish_all(b"none"),
            *publish_all(b"5", priority=5),
            *publish_all(b"255", priority=255),
        ]
        << declare_ok()
    )
    play = play >> publish_all(b"31", priority=31)
    for tag, (body, properties) in enumerate(
        [(b"255", {"priority": 255}), (b"31", {"priority": 31}), (b"5", {"priority": 5}), (b"none", {})], 1
    ):
        play = play >> get() << get_ok(body, tag, 4 - tag, **properties)
    assert play


def test_returned_messages_come_before_higher_priorities() -> None:
    assert (
        playbook()
        >> [declare_quorum(), *publish_all(b"low", priority=0), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"low", 1, priority=0)]
        >> [*publish_all(b"high", priority=31), requeue(NACK, 1), get()]
        << get_ok(b"low", 2, 1, redelivered=True, priority=0, **count_headers(1))
    )


@pytest.mark.parametrize(("version", "left"), [("4.3", 2), ("4.0", 4), ("3.10", 3)])
def test_expiry_is_checked_at_the_head_of_each_priority_in_4_3(version: str, left: int) -> None:
    """Before 4.3 only the next message is checked."""
    assert (
        playbook(version)
        >> [
            declare_quorum(),
            *publish_all(b"low", priority=1, expiration="300"),
            *publish_all(b"high", priority=9),
            *publish_all(b"low 2", priority=1),
            *publish_all(b"none", expiration="300"),
        ]
        << declare_ok()
        >> [Advance(299), declare_passive()]
        << declare_ok(4)
        >> [Advance(1), declare_passive()]
        << declare_ok(left)
    )


@pytest.mark.parametrize(("version", "left"), [("4.3", (2, 0)), ("4.0", (0, 2)), ("3.10", (2, 3))])
def test_drop_head_drops_by_priority(version: str, left: tuple[int, int]) -> None:
    priorities = (1, 5, 2, 9)
    play = playbook(version) >> declare_quorum(max_length=2) << declare_ok()
    for number, priority in enumerate(priorities):
        play = play >> publish_all(b"%d" % number, priority=priority)
    for tag, number in enumerate(left, 1):
        given = {"priority": priorities[number], **headers_after(version, None, 0)}
        play = play >> get() << get_ok(b"%d" % number, tag, 2 - tag, **given)
    assert play >> get() << GET_EMPTY


def test_drop_head_drops_returned_messages_first() -> None:
    assert (
        playbook()
        >> [declare_quorum(max_length=2), *publish_all(b"0", b"1"), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"0", 1, 1)]
        >> [*publish_all(b"2"), requeue(NACK, 1), get(), get()]
        << [*get_ok(b"1", 2, 1), *get_ok(b"2", 3)]
    )


# --- limits


def test_reject_publish_accepts_again_at_80_percent() -> None:
    """One message more than the limit is accepted, then none until at most 80 % of the limit are left."""
    assert (
        playbook()
        >> [declare_quorum(max_length=5, overflow="reject-publish"), say(Confirm.Select)]
        << [declare_ok(), say(Confirm.SelectOk)]
        >> publish_all(b"1", b"2", b"3", b"4", b"5", b"6")
        << say(Basic.Ack, delivery_tag=6, multiple=True)
        >> publish_all(b"7")
        << say(Basic.Nack, delivery_tag=7, multiple=True)
        >> get()
        << get_ok(b"1", 1, 5)
        >> publish_all(b"8")
        << say(Basic.Nack, delivery_tag=8, multiple=True)
        >> get()
        << get_ok(b"2", 2, 4)
        >> publish_all(b"9")
        << say(Basic.Ack, delivery_tag=9)
    )


@pytest.mark.parametrize(
    ("version", "limit", "properties", "left"),
    [
        ("4.3", 4, {}, 1),
        ("4.3", 3, {}, 0),
        ("4.3", 5, {"delivery_mode": 2, "priority": 9}, 0),
        ("4.3", 25, {"headers": {"a": "xyz", "b": 1}}, 1),
        ("4.3", 24, {"headers": {"a": "xyz", "b": 1}}, 0),
        ("4.2", 2, {"delivery_mode": 2, "priority": 9}, 1),
        ("3.10", 2, {}, 1),
    ],
)
def test_properties_count_towards_max_length_bytes_in_4_3(
    version: str, limit: int, properties: dict[str, Any], left: int
) -> None:
    """Their octets with the flags, at least 2; before 4.3 only the body."""
    assert (
        playbook(version)
        >> [declare_quorum(max_length_bytes=limit), *publish_all(b"11", **properties), declare_passive()]
        << [declare_ok(), declare_ok(left)]
    )


def test_the_bytes_of_settled_messages_are_subtracted() -> None:
    """Three messages of 3 octets each fit again after each settlement."""
    play = playbook() >> declare_quorum(max_length_bytes=9) << declare_ok()
    for turn in range(3):
        play = play >> [*publish_all(b"1", b"2", b"3"), declare_passive()] << declare_ok(3)
        play = play >> get(no_ack=False) << get_ok(b"1", 4 * turn + 1, 2)
        play = (
            play
            >> [say(Basic.Nack, delivery_tag=4 * turn + 1, requeue=True), declare_passive()]
            << declare_ok(3)
        )
        play = play >> [get(), get(), get()]
        play = play << [
            *get_ok(b"1", 4 * turn + 2, 2, redelivered=True, **count_headers(1)),
            *get_ok(b"2", 4 * turn + 3, 1),
            *get_ok(b"3", 4 * turn + 4),
        ]
    assert play


def test_a_returned_message_is_delivered_before_the_limit_applies() -> None:
    again = delivery(b"1", 2, redelivered=True, **count_headers(1, 1))
    assert (
        playbook()
        >> [declare_quorum(max_length=0), consume()]
        << [declare_ok(), consume_ok()]
        >> publish_all(b"1")
        << delivery(b"1", 1)
        >> requeue(REJECT, 1)
        << again
    )


def test_reject_publish_dlx_means_drop_head() -> None:
    assert (
        playbook()
        >> [declare_quorum(max_length=1, overflow="reject-publish-dlx"), *publish_all(b"1", b"2"), get()]
        << [declare_ok(), *get_ok(b"2", 1)]
    )


@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_x_expires_is_checked_every_five_seconds(version: str) -> None:
    """Declaring does not count as use of a quorum queue; basic.get does, and so do unacknowledged deliveries."""
    missing = refusal(404, "NOT_FOUND - no queue 'q' in vhost '/'", Queue.Declare)
    assert (
        playbook(version)
        >> declare_quorum(expires=1000)
        << declare_ok()
        >> [Advance(4999), declare_passive()]
        << declare_ok()
        >> [Advance(1), declare_passive()]
        << missing
    )
    assert (
        playbook(version)
        >> declare_quorum(expires=1000)
        << declare_ok()
        >> [Advance(4500), get()]
        << GET_EMPTY
        >> [Advance(500), declare_passive()]
        << declare_ok()
        >> [Advance(5000), declare_passive()]
        << missing
    )


def test_a_policy_change_does_not_count_as_use() -> None:
    assert (
        playbook()
        >> declare_quorum()
        << declare_ok()
        >> [Advance(4000), set_policy(expires=2000), Advance(1000), declare_passive(channel=2)]
        << refusal(404, "NOT_FOUND - no queue 'q' in vhost '/'", Queue.Declare, channel=2)
    )


@pytest.mark.parametrize(("no_ack", "left"), [(False, 1), (True, 0)])
@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_get_ok_counts_messages_that_have_expired(version: str, no_ack: bool, left: int) -> None:
    """They are removed right after; with no_ack, as in a classic queue, before they are counted."""
    assert (
        playbook(version)
        >> [declare_quorum(), *publish_all(b"lives"), *publish_all(b"short", expiration="10")]
        << declare_ok()
        >> Advance(500)
        >> get(no_ack=no_ack)
        << get_ok(b"lives", 1, left, **headers_after(version, None, 0))
        >> declare_passive()
        << declare_ok(consumers=left)
    )
