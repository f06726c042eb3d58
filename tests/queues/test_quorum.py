"""Quorum queues in virtual time: delivery limit, counts, order of returns, priorities, limits."""

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
from tests.queues.classics import policy
from tests.queues.quorums import (
    EMPTY,
    NACK,
    REJECT,
    book,
    consume,
    consuming,
    counts,
    get,
    got,
    look,
    many,
    marks,
    queue,
    ready,
    returned,
)

# --- counts and the delivery limit


@pytest.mark.parametrize(
    ("version", "how", "seen"),
    [
        ("4.3", REJECT, [{}, counts(1, 1), counts(2, 2)]),
        ("4.3", NACK, [{}, counts(1), counts(2)]),
        ("4.0", NACK, [{}, counts(0, 1), counts(0, 2)]),
        ("3.13", REJECT, [{}, counts(0, 1), counts(0, 2)]),
        ("3.10", NACK, [{}, counts(0, 1), counts(0, 2)]),
    ],
)
def test_headers_tell_how_often_it_came_back(
    version: str, how: dict[str, Any], seen: list[dict[str, Any]]
) -> None:
    play = book(version) >> [queue(), *many(b"1"), consume()] << [ready(), consuming()]
    for number, properties in enumerate(seen, 1):
        play = play << delivery(b"1", number, redelivered=number > 1, **properties)
        if number < len(seen):
            play = play >> returned(how, number)
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
def test_delivery_limit(version: str, limit: int | None, how: dict[str, Any], rounds: int) -> None:
    """Delivered so often, then dropped: the limit and once more. Before 4.0 a negative limit is a limit."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**given), *many(b"1")] << ready()
    for tag in range(1, rounds + 1):
        play = play >> get(no_ack=False)
        play = play << got(b"1", tag, again=tag > 1, **marks(version, how, tag - 1))
        play = play >> returned(how, tag)
    assert play >> [get(), look()] << [EMPTY, ready()]


@pytest.mark.parametrize(
    ("version", "limit", "how"),
    [("4.3", None, NACK), ("4.3", -1, REJECT), ("4.2", -1, NACK), ("4.0", "x", NACK), ("3.10", None, REJECT)],
)
def test_no_delivery_limit(version: str, limit: object, how: dict[str, Any]) -> None:
    """nack never counts in 4.3; a negative limit is none from 4.0 on, and none is the default before."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**given), *many(b"1")] << ready()
    for tag in range(1, 26 if limit != "x" else 20):
        play = play >> get(no_ack=False)
        play = play << got(b"1", tag, again=tag > 1, **marks(version, how, tag - 1))
        play = play >> returned(how, tag)
    assert play >> look() << ready(1)


def test_a_policys_delivery_limit_counts_at_once() -> None:
    assert (
        book()
        >> [queue(delivery_limit=10), *many(b"1"), policy(delivery_limit=0), get(no_ack=False)]
        << [ready(), *got(b"1", 1)]
        >> [returned(REJECT, 1), look()]
        << ready()
    )


def test_a_lost_channel_counts_in_4_3_and_recover_does_not() -> None:
    assert (
        book()
        >> [queue(), *many(b"1"), get(no_ack=False)]
        << [ready(), *got(b"1", 1)]
        >> [say(Basic.Recover, requeue=True), get(no_ack=False)]
        << [say(Basic.RecoverOk), *got(b"1", 2, again=True, **counts(1))]
        >> [say(Channel.Close, reply_code=200), get(2)]
        << [say(Channel.CloseOk), *got(b"1", 1, again=True, channel=2, **counts(2, 1))]
    )


def test_the_limit_dead_letters() -> None:
    assert (
        book()
        >> [
            say(Queue.Declare, queue="dead"),
            queue(delivery_limit=0, dead_letter_exchange="", dead_letter_routing_key="dead"),
            *many(b"1"),
            get(no_ack=False),
        ]
        << [ready(name="dead"), ready(), *got(b"1", 1)]
        >> [returned(REJECT, 1), say(Basic.Get, queue="dead", no_ack=True)]
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
def test_order_of_returns(version: str, limit: int | None, order: str, how: dict[str, Any]) -> None:
    """In the order they come back, before all others; without a delivery limit before 4.3 behind all others."""
    given = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**given), *many(b"0", b"1", b"2", b"3")] << ready()
    for tag in (1, 2, 3):
        play = play >> get(no_ack=False) << got(b"%d" % (tag - 1), tag, 4 - tag, **marks(version, how, 0))
    play = play >> [returned(how, 2), returned(how, 1), returned(how, 3)]
    for number, body in enumerate(order):
        again = body != "3"
        play = play >> get()
        play = play << got(body.encode(), 4 + number, 3 - number, again=again, **marks(version, how, again))
    assert play


@pytest.mark.parametrize(("version", "limit"), [("4.3", None), ("4.0", -1), ("3.10", None)])
def test_what_a_channel_held_comes_first(version: str, limit: int | None) -> None:
    given = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**given), *many(b"0", b"1", b"2")] << ready()
    for tag in (1, 2):
        play = play >> get(no_ack=False) << got(b"%d" % (tag - 1), tag, 3 - tag, **marks(version, None, 0))
    play = play >> say(Channel.Close, reply_code=200) << say(Channel.CloseOk)
    for number in range(3):
        given = marks(version, None, number < 2)
        play = play >> get(2)
        play = play << got(b"%d" % number, 1 + number, 2 - number, again=number < 2, channel=2, **given)
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
def test_priorities(version: str, order: tuple[int, ...]) -> None:
    """Ignored before 4.0; two levels that share two to one up to 4.2; the highest of 32 first from 4.3 on."""
    play = book(version) >> queue() << ready()
    for number, priority in enumerate(PUBLISHED):
        play = play >> many(b"%d" % number, priority=priority)
    for tag, number in enumerate(order, 1):
        given = {"priority": PUBLISHED[number], **marks(version, None, 0)}
        play = play >> get() << got(b"%d" % number, tag, 12 - tag, **given)
    assert play


def test_no_priority_is_4_and_31_the_highest() -> None:
    play = (
        book() >> [queue(), *many(b"none"), *many(b"5", priority=5), *many(b"255", priority=255)] << ready()
    )
    play = play >> many(b"31", priority=31)
    for tag, (body, properties) in enumerate(
        [(b"255", {"priority": 255}), (b"31", {"priority": 31}), (b"5", {"priority": 5}), (b"none", {})], 1
    ):
        play = play >> get() << got(body, tag, 4 - tag, **properties)
    assert play


def test_what_came_back_goes_before_priorities() -> None:
    assert (
        book()
        >> [queue(), *many(b"low", priority=0), get(no_ack=False)]
        << [ready(), *got(b"low", 1, priority=0)]
        >> [*many(b"high", priority=31), returned(NACK, 1), get()]
        << got(b"low", 2, 1, again=True, priority=0, **counts(1))
    )


@pytest.mark.parametrize(("version", "left"), [("4.3", 2), ("4.0", 4), ("3.10", 3)])
def test_expiry_by_priority(version: str, left: int) -> None:
    """4.3 looks at the head of each priority; before, only at the message to be served next."""
    assert (
        book(version)
        >> [
            queue(),
            *many(b"low", priority=1, expiration="300"),
            *many(b"high", priority=9),
            *many(b"low 2", priority=1),
            *many(b"none", expiration="300"),
        ]
        << ready()
        >> [Advance(299), look()]
        << ready(4)
        >> [Advance(1), look()]
        << ready(left)
    )


@pytest.mark.parametrize(("version", "left"), [("4.3", (2, 0)), ("4.0", (0, 2)), ("3.10", (2, 3))])
def test_drop_head_by_priority(version: str, left: tuple[int, int]) -> None:
    priorities = (1, 5, 2, 9)
    play = book(version) >> queue(max_length=2) << ready()
    for number, priority in enumerate(priorities):
        play = play >> many(b"%d" % number, priority=priority)
    for tag, number in enumerate(left, 1):
        given = {"priority": priorities[number], **marks(version, None, 0)}
        play = play >> get() << got(b"%d" % number, tag, 2 - tag, **given)
    assert play >> get() << EMPTY


def test_drop_head_takes_what_came_back_first() -> None:
    assert (
        book()
        >> [queue(max_length=2), *many(b"0", b"1"), get(no_ack=False)]
        << [ready(), *got(b"0", 1, 1)]
        >> [*many(b"2"), returned(NACK, 1), get(), get()]
        << [*got(b"1", 2, 1), *got(b"2", 3)]
    )


# --- limits


def test_reject_publish_opens_again_below_four_fifths() -> None:
    """It overshoots by one, then refuses until not more than 80 % of the limit is left."""
    assert (
        book()
        >> [queue(max_length=5, overflow="reject-publish"), say(Confirm.Select)]
        << [ready(), say(Confirm.SelectOk)]
        >> many(b"1", b"2", b"3", b"4", b"5", b"6")
        << say(Basic.Ack, delivery_tag=6, multiple=True)
        >> many(b"7")
        << say(Basic.Nack, delivery_tag=7, multiple=True)
        >> get()
        << got(b"1", 1, 5)
        >> many(b"8")
        << say(Basic.Nack, delivery_tag=8, multiple=True)
        >> get()
        << got(b"2", 2, 4)
        >> many(b"9")
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
    """Their octets with the flags, 2 at least; before, only the body."""
    assert (
        book(version)
        >> [queue(max_length_bytes=limit), *many(b"11", **properties), look()]
        << [ready(), ready(left)]
    )


def test_octets_are_given_back() -> None:
    """Three messages of 3 octets each fit, however often they come and go."""
    play = book() >> queue(max_length_bytes=9) << ready()
    for turn in range(3):
        play = play >> [*many(b"1", b"2", b"3"), look()] << ready(3)
        play = play >> get(no_ack=False) << got(b"1", 4 * turn + 1, 2)
        play = play >> [say(Basic.Nack, delivery_tag=4 * turn + 1, requeue=True), look()] << ready(3)
        play = play >> [get(), get(), get()]
        play = play << [
            *got(b"1", 4 * turn + 2, 2, again=True, **counts(1)),
            *got(b"2", 4 * turn + 3, 1),
            *got(b"3", 4 * turn + 4),
        ]
    assert play


def test_what_comes_back_is_handed_out_before_it_is_too_much() -> None:
    again = delivery(b"1", 2, redelivered=True, **counts(1, 1))
    assert (
        book()
        >> [queue(max_length=0), consume()]
        << [ready(), consuming()]
        >> many(b"1")
        << delivery(b"1", 1)
        >> returned(REJECT, 1)
        << again
    )


def test_reject_publish_dlx_means_drop_head() -> None:
    assert (
        book()
        >> [queue(max_length=1, overflow="reject-publish-dlx"), *many(b"1", b"2"), get()]
        << [ready(), *got(b"2", 1)]
    )


@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_x_expires_is_looked_at_every_five_seconds(version: str) -> None:
    """Declaring is no use of a quorum queue; basic.get is, and so is holding a delivery."""
    missing = refusal(404, "NOT_FOUND - no queue 'q' in vhost '/'", Queue.Declare)
    assert (
        book(version)
        >> queue(expires=1000)
        << ready()
        >> [Advance(4999), look()]
        << ready()
        >> [Advance(1), look()]
        << missing
    )
    assert (
        book(version)
        >> queue(expires=1000)
        << ready()
        >> [Advance(4500), get()]
        << EMPTY
        >> [Advance(500), look()]
        << ready()
        >> [Advance(5000), look()]
        << missing
    )


def test_a_policy_change_is_no_use() -> None:
    assert (
        book()
        >> queue()
        << ready()
        >> [Advance(4000), policy(expires=2000), Advance(1000), look(channel=2)]
        << refusal(404, "NOT_FOUND - no queue 'q' in vhost '/'", Queue.Declare, channel=2)
    )


@pytest.mark.parametrize(("no_ack", "left"), [(False, 1), (True, 0)])
@pytest.mark.parametrize("version", ["4.3", "4.0", "3.10"])
def test_get_counts_what_has_expired_behind_the_message_given(version: str, no_ack: bool, left: int) -> None:
    """It is gone right after; with no_ack, as in a classic queue, before it is counted."""
    assert (
        book(version)
        >> [queue(), *many(b"lives"), *many(b"short", expiration="10")]
        << ready()
        >> Advance(500)
        >> get(no_ack=no_ack)
        << got(b"lives", 1, left, **marks(version, None, 0))
        >> look()
        << ready(consumers=left)
    )
