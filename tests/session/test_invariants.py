"""The checker of counters reports each broken invariant with its place, the expected value and the found one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.engine.tallies import PublishTally
from leveret.queues.backlog.paged_contents import page_out
from leveret.queues.backlog.paging import Pager
from leveret.session import invariants
from leveret.session.connection import Connection
from leveret.session.invariants import Checker, InvariantError
from leveret.testing.playbook import Connect, Do, Playbook, Stage, publish, say


class Parts:
    """The objects whose counters are broken: a classic queue `q` with two messages ready, two delivered to `c` and one
    got with basic.get; a quorum queue `k` with one delivered; a stream `s` with one message; a channel in confirm
    mode."""

    def __init__(self, stage: Stage) -> None:
        self.connection: Connection = stage.clients["a"].connection
        self.vhost: Any = stage.broker.vhosts["/"]
        self.q, self.k, self.s = (self.vhost.queues[name] for name in "qks")
        self.channel: Any = self.connection.channels[1]
        self.other: Any = self.connection.channels[2]
        self.consumer: Any = self.channel.consumers["c"]
        self.entries: list[Any] = self.channel.unacked.outstanding()


@pytest.fixture
def stage() -> Stage:
    stage = Stage(Playbook().settings, lambda data: (data,))
    stage.connect(Connect("a", channels=(1, 2)))
    stage.play(
        [
            say(Queue.Declare, queue="q"),
            say(Queue.Declare, queue="k", durable=True, arguments={"x-queue-type": "quorum"}),
            say(Queue.Declare, queue="s", durable=True, arguments={"x-queue-type": "stream"}),
            say(Confirm.Select, channel=2),
            *(line for body in (b"1", b"22", b"3", b"4", b"5") for line in publish(body, "q")),
            *publish(b"1", "k"),
            *publish(b"1", "s"),
            *publish(b"1", "nowhere", channel=2),
            say(Basic.Get, queue="q"),
            say(Basic.Get, queue="k"),
            say(Basic.Qos, prefetch_count=2),
            say(Basic.Consume, queue="q", consumer_tag="c"),
        ]
    )
    return stage


def grow(holder: str, counter: str) -> Callable[[Parts], None]:
    """Increase a counter by one."""

    def break_it(parts: Parts) -> None:
        broken = getattr(parts, holder)
        setattr(broken, counter, getattr(broken, counter) + 1)

    return break_it


def lose_delivery(parts: Parts) -> None:
    parts.entries[-1].tag = 1


def forget_consumer(parts: Parts) -> None:
    parts.q.consumers.members.clear()


def count_get_too_often(parts: Parts) -> None:
    parts.channel.fetched += 1
    parts.channel.held += 1


def exceed_prefetch(parts: Parts) -> None:
    parts.consumer.limit = 1


def put_into_rotation_twice(parts: Parts) -> None:
    parts.k.consumers.enqueue(parts.consumer)


def put_into_rotation_without_serving(parts: Parts) -> None:
    parts.consumer.blocked_order = 0
    parts.q.consumers.enqueue(parts.consumer)


def put_into_rotation_though_blocked(parts: Parts) -> None:
    parts.q.consumers.enqueue(parts.consumer)


def put_beside_active_consumer(parts: Parts) -> None:
    parts.q.consumers.single_active = True
    parts.q.consumers.enqueue(parts.consumer)


def confirm_unpublished(parts: Parts) -> None:
    parts.other.confirms.sent = 9


def reverse_tickets(parts: Parts) -> None:
    confirms = parts.other.confirms
    for ticket in (9, 5):
        confirms.wait(confirms.publish(), ticket, False, PublishTally(None))


def leave_dead_letter(parts: Parts) -> None:
    parts.vhost.context.dead_letters.append((parts.q, parts.entries[0].message, "rejected", None, 0))


class OtherPager(Pager):
    """A pager that is not that of the queue."""

    def write(self, data: bytes) -> int:
        return 1


def lose_content(parts: Parts) -> None:
    message = parts.entries[-1].message
    message.content = message.content[:-1]


def forget_paged_body(parts: Parts) -> None:
    assert page_out([parts.entries[-1]], OtherPager())


Q, K, S = (
    f"{kind} queue '{name}' in vhost '/'"
    for kind, name in (("classic", "q"), ("quorum", "k"), ("stream", "s"))
)
A1, A2 = (f"channel {number} of '" for number in (1, 2))
C = f"consumer 'c' on {A1}"


@pytest.mark.parametrize(
    ("break_it", "which", "where", "expected", "found"),
    [
        (grow("q", "ready"), "ready", Q, 2, 3),
        (grow("q", "ready_bytes"), "ready bytes", Q, 2, 3),
        (grow("q", "unacked"), "unacked", Q, 3, 4),
        (grow("q", "unacked_bytes"), "unacked bytes", Q, 4, 5),
        (grow("k", "withheld"), "withheld", K, 0, 1),
        (grow("k", "withheld_bytes"), "withheld bytes", K, 0, 1),
        (grow("s", "ready"), "stream ready", S, 1, 2),
        (grow("s", "unacked"), "unacked", S, 0, 1),
        (lambda parts: setattr(parts.q.backlog, "length", 1), "backlog length", Q, 2, 1),
        (lambda parts: parts.k.fetched.clear(), "fetched", K, [1], []),
        (grow("channel", "held"), "channel held", A1, 2, 3),
        (count_get_too_often, "channel fetched", A1, 0, 1),
        (grow("consumer", "held"), "consumer held", C, 2, 3),
        (exceed_prefetch, "consumer prefetch", C, "at most 1", 2),
        (forget_consumer, "channel consumers", A1, "a consumer of its queue", "'c'"),
        (lambda parts: setattr(parts.channel.unacked, "count", 0), "unacked count", A1, 4, 0),
        (lose_delivery, "unacked order", A1, "ascending to 4", [1, 2, 3, 1]),
        (lose_delivery, "unacked index", A1, [], [1]),
        (confirm_unpublished, "confirms order", A2, "sent <= done <= last", (9, 1, 1)),
        (lambda parts: parts.other.confirms.publish(), "confirms unsettled", A2, [2], []),
        (reverse_tickets, "confirms tickets", A2, [5, 9], [9, 5]),
        (put_into_rotation_twice, "consumers in rotation", K, "each member at most once", ["c"]),
        (put_beside_active_consumer, "single active consumer", Q, "alone in rotation", ["c"]),
        (put_into_rotation_though_blocked, "blocked consumers", Q, [], ["c"]),
        (put_into_rotation_without_serving, "messages waiting", Q, "no consumer in rotation", ["c"]),
        (leave_dead_letter, "dead letters", "vhost '/'", 0, 1),
        (lose_content, "contents", Q, [], [3]),
        (forget_paged_body, "paged bodies", Q, "at least 1", 0),
    ],
)
def test_a_broken_invariant_is_reported(
    stage: Stage, break_it: Callable[[Parts], None], which: str, where: str, expected: object, found: object
) -> None:
    checker, parts = Checker(stage.broker), Parts(stage)
    checker.connection(parts.connection)
    break_it(parts)
    with pytest.raises(InvariantError) as caught:
        checker.connection(parts.connection)
    given = [one for one in caught.value.violations if one.which == which]
    assert [(one.where.startswith(where), one.expected, one.found) for one in given] == [
        (True, expected, found)
    ]
    assert f"{which}: {given[0].where}: expected {expected}, found {found}" in str(caught.value)


def test_all_invariants_can_be_checked_at_once(stage: Stage) -> None:
    Parts(stage).q.ready += 1
    with pytest.raises(InvariantError, match="ready: classic queue 'q'"):
        Checker(stage.broker).all()


def test_long_structures_are_checked_only_sometimes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariants, "LONG_VHOST_ENTRIES", 3)
    checker, parts = Checker(stage.broker), Parts(stage)
    parts.q.ready += 1
    for _ in range(invariants.LONG_VHOST_CHECKS - 1):
        checker.connection(parts.connection)
    with pytest.raises(InvariantError):
        checker.connection(parts.connection)


def test_plays_check_invariants_with_leveret_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_it(stage: Stage) -> None:
        stage.broker.vhosts["/"].queues["q"].ready += 1

    wrong = [Do("a counter is broken", break_it), say(Queue.Declare, queue="other")]
    play = Playbook() >> say(Queue.Declare, queue="q") << say(Queue.DeclareOk, queue="q") >> wrong
    monkeypatch.setenv("LEVERET_CHECK", "1")
    with pytest.raises(InvariantError):
        bool(play)
    monkeypatch.delenv("LEVERET_CHECK")
    assert play << say(Queue.DeclareOk, queue="other")
