"""Classic queues in virtual time: TTL, expiry, length limits, priorities, single active consumer."""

from __future__ import annotations

import itertools

import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.clock import Agenda, Clock
from leveret.faults import Faults
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.limits import Limits
from leveret.queues.message import Entry, Message, frame_content
from leveret.queues.queue import Queue as AnyQueue
from leveret.testing.playbook import (
    ANY,
    Advance,
    Playbook,
    Say,
    Stage,
    delivery,
    publish,
    refusal,
    say,
)
from leveret.work import Work
from tests.queues.plays import (
    GET_EMPTY,
    declare,
    declare_ok,
    declare_passive,
    get,
    get_ok,
    publish_all,
    set_policy,
)

# --- TTL


def test_the_ttl_of_the_queue_expires_messages(play: Playbook) -> None:
    assert (
        play
        >> [declare(message_ttl=1000), *publish_all(b"1", b"2")]
        << declare_ok()
        >> Advance(999)
        >> [*publish_all(b"3"), declare_passive()]
        << declare_ok(ready=3)
        >> Advance(1)
        >> declare_passive()
        << declare_ok(ready=1)
        >> Advance(999)
        >> declare_passive()
        << declare_ok()
    )


def test_the_smaller_ttl_of_queue_and_message_counts(play: Playbook) -> None:
    assert (
        play
        >> [
            declare(message_ttl=1000),
            *publish_all(b"1", expiration="10"),
            *publish_all(b"2", expiration="5000"),
        ]
        << declare_ok()
        >> Advance(10)
        >> declare_passive()
        << declare_ok(ready=1)
        >> Advance(990)
        >> declare_passive()
        << declare_ok()
    )


def test_only_the_head_expires(play: Playbook) -> None:
    """An expired message behind one that is not expired stays and is counted."""
    assert (
        play
        >> [declare(), *publish_all(b"long", expiration="1000"), *publish_all(b"short", expiration="10")]
        << declare_ok()
        >> Advance(500)
        >> declare_passive()
        << declare_ok(ready=2)
        >> [get(), get()]
        << [*get_ok(b"long", 1, 0, expiration="1000"), GET_EMPTY]
    )


def test_ttl_0_delivers_at_once_or_expires(play: Playbook) -> None:
    assert (
        play
        >> [declare(message_ttl=0), *publish_all(b"1"), declare_passive()]
        << [declare_ok(), declare_ok()]
        >> say(Basic.Consume, queue="q", consumer_tag="c")
        << say(Basic.ConsumeOk, consumer_tag="c")
        >> publish_all(b"2", expiration="0")
        << delivery(b"2", 1, expiration="0")
        >> [say(Basic.Nack, delivery_tag=1), declare_passive()]
        << declare_ok(consumers=1)
    )


def test_unacknowledged_messages_do_not_expire(play: Playbook) -> None:
    assert (
        play
        >> [declare(message_ttl=100), *publish_all(b"1"), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"1", 1)]
        >> Advance(10_000)
        >> [say(Basic.Ack, delivery_tag=1), declare_passive()]
        << declare_ok()
        >> [*publish_all(b"2"), get(no_ack=False)]
        << get_ok(b"2", 2)
        >> Advance(100)
        >> [say(Basic.Nack, delivery_tag=2), declare_passive()]
        << declare_ok()
    )


def test_a_requeued_message_keeps_its_expiry(play: Playbook) -> None:
    assert (
        play
        >> [declare(message_ttl=100), *publish_all(b"1"), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"1", 1)]
        >> Advance(60)
        >> [say(Basic.Nack, delivery_tag=1), declare_passive()]
        << declare_ok(ready=1)
        >> Advance(39)
        >> declare_passive()
        << declare_ok(ready=1)
        >> Advance(1)
        >> declare_passive()
        << declare_ok()
    )


# --- x-expires


def gone(name: str = "q") -> Say:
    return refusal(404, f"NOT_FOUND - no queue '{name}' in vhost '/'", Queue.Declare)


def test_an_unused_queue_expires(play: Playbook) -> None:
    assert (
        play
        >> [declare(expires=1000), *publish_all(b"1")]
        << declare_ok()
        >> Advance(999)
        >> get()
        << get_ok(b"1", 1)
        >> Advance(999)
        >> declare(expires=1000)
        << declare_ok()
        >> Advance(999)
        >> declare_passive()
        << declare_ok()
        >> Advance(1000)
        >> declare_passive()
        << gone()
    )


def test_a_consumed_queue_does_not_expire(play: Playbook) -> None:
    assert (
        play
        >> [declare(expires=1000), say(Basic.Consume, queue="q", consumer_tag="c")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> Advance(100_000)
        >> say(Basic.Cancel, consumer_tag="c")
        << say(Basic.CancelOk, consumer_tag="c")
        >> Advance(999)
        >> Advance(1)
        >> declare_passive()
        << gone()
    )


def test_a_policy_may_shorten_the_queue_expiry(play: Playbook) -> None:
    assert (
        play
        >> declare()
        << declare_ok()
        >> [set_policy(expires=3_600_000), Advance(500), set_policy(expires=1000), Advance(999)]
        >> declare_passive()
        << declare_ok()
        >> [set_policy(expires=500), Advance(500)]
        >> declare_passive()
        << gone()
    )


def test_publishing_does_not_count_as_use(play: Playbook) -> None:
    assert (
        play
        >> declare(expires=1000)
        << declare_ok()
        >> [Advance(600), *publish_all(b"1")]
        >> Advance(400)
        >> declare_passive()
        << gone()
    )


def test_an_expired_queue_dead_letters_nothing(play: Playbook) -> None:
    dying = declare(expires=1000, dead_letter_exchange="", dead_letter_routing_key="dlq")
    assert (
        play
        >> [declare("dlq"), dying, *publish_all(b"1")]
        << [declare_ok(name="dlq"), declare_ok()]
        >> Advance(1000)
        >> declare_passive("dlq")
        << declare_ok(name="dlq")
    )


# --- length limits


def test_the_head_is_dropped_above_the_length_limit(play: Playbook) -> None:
    assert (
        play
        >> [declare(max_length=2), *publish_all(b"1", b"2", b"3", b"4"), declare_passive(), get(), get()]
        << [declare_ok(), declare_ok(ready=2), *get_ok(b"3", 1, 1), *get_ok(b"4", 2)]
    )


def test_a_new_head_after_overflow_may_have_expired(play: Playbook) -> None:
    assert (
        play
        >> [
            declare(max_length=3),
            *publish_all(b"1"),
            *publish_all(b"2", expiration="100"),
            *publish_all(b"3", expiration="200"),
        ]
        << declare_ok()
        >> Advance(100)
        >> [*publish_all(b"4"), declare_passive()]
        << declare_ok(ready=2)
        >> Advance(100)
        >> declare_passive()
        << declare_ok(ready=1)
    )


def test_max_length_bytes_counts_only_bodies(play: Playbook) -> None:
    assert (
        play
        >> [declare(max_length_bytes=10), *publish_all(b"12345", b"67890"), declare_passive()]
        << [declare_ok(), declare_ok(ready=2)]
        >> [*publish_all(b"x", headers={"long": "y" * 100}), declare_passive()]
        << declare_ok(ready=2)
        >> [*publish_all(bytes(11)), declare_passive()]
        << declare_ok()
    )


def test_unacknowledged_messages_do_not_count_towards_the_length(play: Playbook) -> None:
    assert (
        play
        >> [
            declare(max_length=1),
            *publish_all(b"1"),
            get(no_ack=False),
            *publish_all(b"2"),
            declare_passive(),
        ]
        << [declare_ok(), *get_ok(b"1", 1), declare_ok(ready=1)]
        >> [say(Basic.Nack, delivery_tag=1), declare_passive(), get()]
        << [declare_ok(ready=1), *get_ok(b"2", 2)]
    )


def test_a_queue_of_length_0_only_delivers_at_once(play: Playbook) -> None:
    assert (
        play
        >> [
            declare(max_length=0),
            *publish_all(b"1"),
            declare_passive(),
            say(Basic.Consume, queue="q", consumer_tag="c"),
        ]
        << [declare_ok(), declare_ok(), say(Basic.ConsumeOk, consumer_tag="c")]
        >> publish_all(b"2")
        << delivery(b"2", 1)
    )


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_reject_publish_nacks_above_the_length_limit(play: Playbook, overflow: str) -> None:
    limited = declare(max_length=1, overflow=overflow, dead_letter_exchange="", dead_letter_routing_key="dlq")
    dead = 1 if overflow == "reject-publish-dlx" else 0
    nack = say(Basic.Nack, delivery_tag=2, multiple=ANY, requeue=True)
    assert (
        play
        >> [declare("dlq"), limited, say(Confirm.Select), *publish_all(b"1", b"2")]
        << [declare_ok(name="dlq"), declare_ok(), say(Confirm.SelectOk), say(Basic.Ack, delivery_tag=1), nack]
        >> [declare_passive(), declare_passive("dlq")]
        << [declare_ok(ready=1), declare_ok(name="dlq", ready=dead)]
    )


# --- priorities


def test_the_highest_priority_is_delivered_first(play: Playbook) -> None:
    lines = [line for p in (0, 5, 2, 9, 2) for line in publish(str(p).encode(), "q", priority=p)]
    order = [(b"5", 5), (b"9", 9), (b"2", 2), (b"2", 2), (b"0", 0)]
    assert (
        play
        >> [declare(max_priority=5), *lines, *publish_all(b"none")]
        << declare_ok()
        >> [get()] * 6
        << [
            line
            for i, (body, priority) in enumerate(order)
            for line in get_ok(body, i + 1, 5 - i, priority=priority)
        ]
        << get_ok(b"none", 6)
    )


@pytest.mark.parametrize("behind", [(), ((b"first", 5),)])
def test_an_overtaking_entry_expires_with_the_next_operation(
    play: Playbook, behind: tuple[tuple[bytes, int], ...]
) -> None:
    """RabbitMQ delivers it expired if nothing else happens before."""
    dying = publish(b"dies", "q", priority=2, expiration="0")
    more = [line for body, priority in behind for line in publish(body, "q", priority=priority)]
    given = behind or ((b"dies", 2),)
    stated = {} if behind else {"expiration": "0"}
    assert (
        play
        >> [declare(max_priority=5), *publish_all(b"lives"), *dying, *more]
        << declare_ok()
        >> Advance(10)
        >> declare_passive()
        << declare_ok(ready=2 + len(behind))
        >> get()
        << get_ok(given[0][0], 1, 1, priority=given[0][1], **stated)
        >> get()
        << get_ok(b"lives", 2)
    )


def test_a_requeued_message_returns_to_its_priority(play: Playbook) -> None:
    lines = [line for p in (1, 2, 2) for line in publish(str(p).encode(), "q", priority=p)]
    assert (
        play
        >> [declare(max_priority=5), *lines, get(no_ack=False), say(Basic.Nack, delivery_tag=1), get(), get()]
        << [declare_ok(), *get_ok(b"2", 1, 2, priority=2)]
        << get_ok(b"2", 2, 2, priority=2, redelivered=True)
        << get_ok(b"2", 3, 1, priority=2)
    )


# --- single active consumer


def test_only_the_single_active_consumer_gets_deliveries(play: Playbook) -> None:
    first, second = (say(Basic.Consume, queue="q", consumer_tag=tag) for tag in "12")
    assert (
        play
        >> [declare(single_active_consumer=True), first, second, *publish_all(b"1", b"2")]
        << [declare_ok(), say(Basic.ConsumeOk, consumer_tag="1"), say(Basic.ConsumeOk, consumer_tag="2")]
        << [*delivery(b"1", 1, consumer="1"), *delivery(b"2", 2, consumer="1")]
        >> [say(Basic.Cancel, consumer_tag="1"), *publish_all(b"3")]
        << [say(Basic.CancelOk, consumer_tag="1"), *delivery(b"3", 3, consumer="2")]
        >> say(Basic.Nack, delivery_tag=1)
        << delivery(b"1", 4, consumer="2", redelivered=True)
    )


def test_single_active_consumer_refuses_an_exclusive_consumer(play: Playbook) -> None:
    line = say(Basic.Consume, queue="q", exclusive=True)
    assert (
        play
        >> [declare(single_active_consumer=True), line]
        << [
            declare_ok(),
            refusal(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", Basic.Consume),
        ]
    )


# --- counters


def test_the_counters_of_a_queue_are_exact(play: Playbook) -> None:
    assert (
        play
        >> [declare(), *publish_all(b"1", b"2", b"3", b"4"), get(no_ack=False), get(), get(no_ack=False)]
        << [declare_ok(), *get_ok(b"1", 1, 3), *get_ok(b"2", 2, 2), *get_ok(b"3", 3, 1)]
        >> [say(Basic.Ack, delivery_tag=1), say(Basic.Nack, delivery_tag=3), declare_passive()]
        << declare_ok(ready=2)
    )
    stage: Stage = play.stage
    made = stage.broker.vhosts["/"].queues["q"]
    assert (made.ready, made.ready_bytes, made.unacked, made.unacked_bytes) == (2, 2, 0, 0)
    assert (made.published, made.got, made.got_no_ack, made.acked, made.redelivered) == (4, 2, 1, 1, 0)


def test_a_new_length_limit_drops_before_a_new_overflow_applies(play: Playbook) -> None:
    """A policy that sets both drops from the head once, and then refuses publishes."""
    both = {"max-length": 1, "overflow": "reject-publish"}
    assert (
        play
        >> [declare(), *publish_all(b"1", b"2", b"3")]
        << declare_ok()
        >> set_policy(**both)
        >> [*publish_all(b"4"), declare_passive()]
        << declare_ok(ready=1)
        >> get()
        << get_ok(b"3", 1)
    )


# --- many deliveries


class Idle(Consumer):
    """A consumer without a limit, which notes what it gets."""

    def __init__(self, queue: AnyQueue, got: list[int]) -> None:
        super().__init__("c", queue, True, False, 0, 0)
        self.got = got

    def ready(self) -> bool:
        return True

    def take(self, message: Message, entry: Entry | None, redelivered: bool) -> None:
        self.got.append(int(message.exchange or b"0"))


def test_very_many_deliveries_are_made_by_a_job() -> None:
    count, ready = 40_000, 200
    work = Work(Faults(Clock()))
    context = VhostContext(Clock(), Agenda(Clock()), lambda *_: None, lambda: None, work=work)
    queue = AnyQueue("q", "/", context)
    for number in range(count):
        queue.push(Message(b"%d" % number))
    got: list[int] = []
    for _ in range(3):
        queue.subscribe(Idle(queue, got))
    work.timer = itertools.count().__next__  # a second passes each time it is asked
    queue.run()
    assert 4_000 < len(got) < 6_000 and queue.delivering
    before = len(got)
    queue.run()
    assert len(got) == before, "the job does it"
    queue.push(Message(b"%d" % count))
    assert queue.get(True) is not None
    for _ in range(ready):
        work.run()
    assert not queue.delivering and not work.jobs and queue.ready == 0
    assert got == [*range(before), *range(before + 1, count + 1)]


def test_a_queue_that_is_deleted_during_many_deliveries_delivers_no_more() -> None:
    work = Work(Faults(Clock()))
    context = VhostContext(Clock(), Agenda(Clock()), lambda *_: None, lambda: None, work=work)
    queue = AnyQueue("q", "/", context)
    for _ in range(40_000):
        queue.push(Message())
    got: list[int] = []
    queue.subscribe(Idle(queue, got))
    work.timer = itertools.count().__next__
    queue.run()
    before = len(got)
    queue.close()
    work.finish()
    assert len(got) == before and not queue.delivering


def test_deliveries_with_large_headers_are_made_by_a_job() -> None:
    work = Work(Faults(Clock()))
    context = VhostContext(Clock(), Agenda(Clock()), lambda *_: None, lambda: None, work=work)
    queue = AnyQueue("q", "/", context)
    for _ in range(12):
        large = Message()
        large.content, large.head = frame_content(b"h" * 130_000, b"")
        queue.push(large)
    got: list[int] = []
    work.timer = itertools.count().__next__
    queue.subscribe(Idle(queue, got))
    queue.run()
    assert 0 < len(got) < 12 and queue.delivering
    work.finish()
    assert len(got) == 12


def test_limits_of_any_size_are_no_limits() -> None:
    limits = Limits(max_length=10**30, max_bytes=10**30)
    assert limits.bounded and not limits.would_overflow(10**9, 10**12, Message())
