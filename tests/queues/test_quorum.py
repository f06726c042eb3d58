"""Quorum queues in virtual time: delivery limit, counts, order of returns, priorities, single active consumer."""

from __future__ import annotations

from typing import Any

import pytest
from pamqp.commands import Basic, Channel, Confirm, Queue

from leveret.config import Settings
from leveret.engine.policies import Policy
from leveret.settings import Profile as ProfileSettings
from leveret.testing.playbook import (
    ANY,
    Advance,
    Connect,
    Do,
    HangUp,
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

EMPTY = say(Basic.GetEmpty)


def book(version: str = "4.3", channels: tuple[int, ...] = (1, 2, 3)) -> Playbook:
    settings = Settings(profile=ProfileSettings(version=version))
    return Playbook(settings, first=[Connect("a", channels=channels)])


def queue(name: str = "q", **arguments: Any) -> Say:
    told = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Queue.Declare, queue=name, durable=True, arguments={"x-queue-type": "quorum", **told})


def ready(count: int = 0, consumers: int = 0, name: str = "q", channel: int = 1) -> Say:
    return say(Queue.DeclareOk, queue=name, message_count=count, consumer_count=consumers, channel=channel)


def look(name: str = "q", channel: int = 1) -> Say:
    return say(Queue.Declare, queue=name, passive=True, channel=channel)


def many(*bodies: bytes, key: str = "q", **properties: Any) -> list[Line]:
    return [line for body in bodies for line in publish(body, key, **properties)]


def get(channel: int = 1, no_ack: bool = True) -> Say:
    return say(Basic.Get, queue="q", no_ack=no_ack, channel=channel)


def counts(acquired: int = 0, failed: int | None = None, **more: Any) -> dict[str, Any]:
    headers: dict[str, Any] = dict(more)
    if acquired:
        headers["x-acquired-count"] = Field("l", acquired)
    if failed is not None:
        headers["x-delivery-count"] = Field("l", failed)
    return {"headers": headers} if headers else {}


def got(
    body: bytes, tag: int, left: int = 0, *, again: bool = False, channel: int = 1, **more: Any
) -> list[Line]:
    line = say(
        Basic.GetOk,
        delivery_tag=tag,
        routing_key="q",
        message_count=left,
        redelivered=again,
        channel=channel,
    )
    return [line, content(body, channel=channel, **more)]


def consume(tag: str = "c", channel: int = 1, **arguments: Any) -> Say:
    told = {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()}
    return say(Basic.Consume, queue="q", consumer_tag=tag, arguments=told, channel=channel)


def consuming(tag: str = "c", channel: int = 1) -> Say:
    return say(Basic.ConsumeOk, consumer_tag=tag, channel=channel)


def policy(**definition: Any) -> Do:
    told = {key.replace("_", "-"): value for key, value in definition.items()}

    def apply(stage: Any) -> None:
        stage.broker.policies.set(Policy("/", "p", "^q", told, 0, "queues"))
        stage.broker.vhosts["/"].apply_policies()

    return Do(f"policy {told}", apply)


def marks(version: str, how: dict[str, Any] | None, times: int) -> dict[str, Any]:
    """The properties of a message that came back so often that way (None: with its channel)."""
    if version == "3.10":
        return counts(0, times)
    failed = None if not times or (version == "4.3" and how == NACK) else times
    return counts(times if version == "4.3" else 0, failed)


REJECT = {"command": Basic.Reject, "requeue": True}
NACK = {"command": Basic.Nack, "requeue": True}


def returned(how: dict[str, Any], tag: int) -> Say:
    told = dict(how)
    return say(told.pop("command"), delivery_tag=tag, **told)


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
    told = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**told), *many(b"1")] << ready()
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
    told = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**told), *many(b"1")] << ready()
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
    told = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**told), *many(b"0", b"1", b"2", b"3")] << ready()
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
    told = {} if limit is None else {"delivery_limit": limit}
    play = book(version) >> [queue(**told), *many(b"0", b"1", b"2")] << ready()
    for tag in (1, 2):
        play = play >> get(no_ack=False) << got(b"%d" % (tag - 1), tag, 3 - tag, **marks(version, None, 0))
    play = play >> say(Channel.Close, reply_code=200) << say(Channel.CloseOk)
    for number in range(3):
        told = marks(version, None, number < 2)
        play = play >> get(2)
        play = play << got(b"%d" % number, 1 + number, 2 - number, again=number < 2, channel=2, **told)
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
        told = {"priority": PUBLISHED[number], **marks(version, None, 0)}
        play = play >> get() << got(b"%d" % number, tag, 12 - tag, **told)
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
        told = {"priority": priorities[number], **marks(version, None, 0)}
        play = play >> get() << got(b"%d" % number, tag, 2 - tag, **told)
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


# --- what it refuses


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"auto_delete": True}, "auto-delete"),
    ],
)
def test_properties_it_cannot_have(told: dict[str, bool], what: str) -> None:
    arguments = {"x-queue-type": "quorum"}
    assert (
        book()
        >> say(Queue.Declare, **{"queue": "q", "durable": True, "arguments": arguments, **told})
        << refusal(
            406, f"PRECONDITION_FAILED - invalid property '{what}' for queue 'q' in vhost '/'", Queue.Declare
        )
    )


@pytest.mark.parametrize("flag", ["if_unused", "if_empty"])
def test_conditional_delete(flag: str) -> None:
    text = (
        "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with "
        f"{flag.replace('_', '-')} flag set are not supported by quorum queues"
    )
    assert (
        book()
        >> [queue(), say(Queue.Delete, queue="q", **{flag: True})]
        << [ready(), refusal(540, text, Queue.Delete, channel=0)]
    )


@pytest.mark.parametrize(("version", "word"), [("4.3", '<<"quorum">>'), ("4.0", "quorum")])
def test_get_with_single_active_consumer(version: str, word: str) -> None:
    text = (
        "RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not "
        f"supported by {word} queues with single active consumer"
    )
    assert (
        book(version)
        >> [queue(single_active_consumer=True), get()]
        << [ready(), refusal(405, text, Basic.Get)]
    )


def test_global_qos_before_4_3() -> None:
    text = "NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos"
    assert (
        book("4.0")
        >> [queue(), say(Basic.Qos, prefetch_count=1, global_=True), consume()]
        << [ready(), say(Basic.QosOk), refusal(540, text, Basic.Consume, channel=0)]
    )


def test_an_exclusive_consumer_is_like_any_other() -> None:
    assert (
        book()
        >> [queue(), say(Basic.Consume, queue="q", consumer_tag="c", exclusive=True), consume("d", 2), look()]
        << [ready(), consuming(), consuming("d", 2), ready(0, 2)]
    )


# --- who counts as a consumer


def test_consumer_count() -> None:
    """A cancelled consumer counts while it holds deliveries, and so does a message taken by basic.get."""
    assert (
        book()
        >> [queue(), *many(b"0", b"1"), get(no_ack=False), look()]
        << [ready(), *got(b"0", 1, 1), ready(1, 1)]
        >> [say(Basic.Ack, delivery_tag=1), consume(channel=2)]
        << [consuming(channel=2), *delivery(b"1", 1, channel=2)]
        >> [say(Basic.Cancel, consumer_tag="c", channel=2), look()]
        << [say(Basic.CancelOk, consumer_tag="c", channel=2), ready(0, 1)]
        >> [say(Basic.Ack, delivery_tag=1, channel=2), look()]
        << ready()
    )


def test_consumers_of_a_lost_connection_do_not_count() -> None:
    assert (
        book()
        >> [queue(), *many(b"0")]
        << ready()
        >> [Connect("b"), say(Basic.Consume, queue="q", consumer_tag="c", by="b")]
        << [say(Basic.ConsumeOk, consumer_tag="c", by="b"), *delivery(b"0", 1, by="b")]
        >> [HangUp("b"), look()]
        << ready(1)
    )


# --- single active consumer


def one_each(*channels: int) -> list[Line]:
    return [say(Basic.Qos, prefetch_count=1, channel=number) for number in channels]


def one_each_ok(*channels: int) -> list[Line]:
    return [say(Basic.QosOk, channel=number) for number in channels]


def test_only_the_active_one_counts() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), consume("a"), consume("b", 2), consume("c", 3), look()]
        << [ready(), consuming("a"), consuming("b", 2), consuming("c", 3), ready(0, 1)]
    )


@pytest.mark.parametrize("version", ["4.3", "4.0"])
def test_takeover_waits_for_what_is_held(version: str) -> None:
    """One of higher priority is next as soon as the active one holds nothing; till then nobody is given anything."""
    assert (
        book(version)
        >> [queue(single_active_consumer=True), *many(b"0", b"1", b"2"), *one_each(1, 2, 3)]
        << [ready(), *one_each_ok(1, 2, 3)]
        >> [consume("low"), consume("high", 2, priority=5), look(channel=3)]
        << [
            consuming("low"),
            *delivery(b"0", 1, consumer="low"),
            consuming("high", 2),
            ready(2, 1, channel=3),
        ]
        >> say(Basic.Ack, delivery_tag=1)
        << delivery(b"1", 1, consumer="high", channel=2)
        >> [consume("higher", 3, priority=9), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [
            consuming("higher", 3),
            *delivery(b"2", 1, consumer="higher", channel=3),
            say(Basic.CancelOk, consumer_tag="high", channel=2),
        ]
        >> look()
        << ready(0, 2)
    )


def test_takeover_at_once_when_nothing_is_held() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), consume("low"), consume("high", 2, priority=5), *many(b"0")]
        << [
            ready(),
            consuming("low"),
            consuming("high", 2),
            *delivery(b"0", 1, consumer="high", channel=2),
        ]
    )


def test_the_quiescing_one_stays_if_its_successor_leaves() -> None:
    assert (
        book()
        >> [queue(single_active_consumer=True), *many(b"0", b"1"), *one_each(1), consume("low")]
        << [ready(), *one_each_ok(1), consuming("low"), *delivery(b"0", 1, consumer="low")]
        >> [consume("high", 2, priority=5), say(Basic.Cancel, consumer_tag="high", channel=2)]
        << [consuming("high", 2), say(Basic.CancelOk, consumer_tag="high", channel=2)]
        >> say(Basic.Nack, delivery_tag=1, requeue=True)
        << delivery(b"0", 2, consumer="low", redelivered=True, **counts(1))
    )


def test_no_takeover_before_4_0() -> None:
    """The waiting ones follow each other as they came, whatever their priority."""
    assert (
        book("3.10")
        >> [queue(single_active_consumer=True), *many(b"0", b"1", b"2"), *one_each(1, 2, 3), consume("a")]
        << [ready(), *one_each_ok(1, 2, 3), consuming("a"), *delivery(b"0", 1, consumer="a")]
        >> [consume("b", 2), consume("c", 3, priority=5), say(Basic.Ack, delivery_tag=1)]
        << [consuming("b", 2), consuming("c", 3), *delivery(b"1", 2, consumer="a")]
        >> say(Basic.Cancel, consumer_tag="a")
        << [*delivery(b"2", 1, consumer="b", channel=2), say(Basic.CancelOk, consumer_tag="a")]
    )


# --- what a dead letter remembers


class Counts:
    """Equal to headers with just these counts, whatever else they tell."""

    def __init__(self, properties: dict[str, Any]) -> None:
        self.counts = properties.get("headers", {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and self.counts == {
            name: field for name, field in other.items() if name.endswith("-count")
        }

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("version", "how", "first", "then"),
    [
        ("4.3", Basic.Reject, counts(1, 1), counts(1, 2)),
        ("4.3", Basic.Nack, {}, counts(1, 1)),
        ("4.0", Basic.Reject, counts(0, 1), counts(0, 1)),
        ("4.0", Basic.Nack, counts(0, 1), counts(0, 1)),
        ("3.13", Basic.Reject, {}, counts(0, 1)),
    ],
)
def test_counts_of_a_dead_letter_in_its_next_quorum_queue(
    version: str, how: type[Any], first: dict[str, Any], then: dict[str, Any]
) -> None:
    """4.3 goes on counting after basic.reject; 4.0 shows one delivery and counts from 0."""
    play = (
        book(version)
        >> [
            queue("dead"),
            queue(dead_letter_exchange="", dead_letter_routing_key="dead"),
            say(Basic.Consume, queue="dead", consumer_tag="d", channel=2),
            *many(b"1"),
            get(no_ack=False),
        ]
        << [
            ready(name="dead"),
            ready(),
            say(Basic.ConsumeOk, consumer_tag="d", channel=2),
            *got(b"1", 1),
        ]
        >> say(how, delivery_tag=1, requeue=False)
        << delivery(b"1", 1, "dead", consumer="d", redelivered=bool(first), channel=2, headers=Counts(first))
        >> say(Basic.Reject, delivery_tag=1, requeue=True, channel=2)
        << delivery(b"1", 2, "dead", consumer="d", redelivered=True, channel=2, headers=Counts(then))
    )
    assert play
