"""Message time moves from due moment to due moment; clients' reactions come back before the next one."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import aio_pika
import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.testing import BlockingCall, Broker, ClockError, NotIdle, real_time, time_travel
from tests.hang import HANG_SECONDS
from tests.toolkit.clients import ack, connect, consumer

DAY = timedelta(days=1)
NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def frozen() -> Any:
    with Broker(clock="frozen") as broker:
        yield broker


def retry_queues(channel: BlockingChannel, delay_ms: int) -> None:
    """Declare `work`, and `retry`, whose messages go back to it after a delay."""
    channel.queue_declare("work", durable=True)
    channel.queue_declare(
        "retry",
        durable=True,
        arguments={
            "x-message-ttl": delay_ms,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "work",
        },
    )


class Retrying:
    """A consumer that fails `times` times, and has each message wait in `retry` then."""

    def __init__(self, broker: Broker, times: int) -> None:
        self.broker, self.times = broker, times
        self.seen: list[datetime] = []

    def __call__(self, channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
        self.seen.append(self.broker.clock.now)
        if len(self.seen) <= self.times:
            channel.basic_publish("", "retry", body)
        channel.basic_ack(method.delivery_tag)


# --- reading and setting it


def test_a_real_clock_shows_real_time() -> None:
    with Broker() as broker:
        assert not broker.clock.frozen
        assert abs(broker.clock.time() - datetime.now(UTC).timestamp()) < 5


def test_a_frozen_clock_stands_still_and_is_moved_exactly(frozen: Broker) -> None:
    before = frozen.clock.now
    assert frozen.clock.frozen and frozen.clock.now == before
    moves = frozen.clock.advance(1.5)
    assert moves.now == frozen.clock.now == before + timedelta(seconds=1.5)
    assert (moves.steps, moves.settled, moves.kept) == (0, 0, [])
    frozen.clock.shift(DAY)
    assert frozen.clock.now == before + DAY + timedelta(seconds=1.5)


@pytest.mark.parametrize("moment", [NOON, NOON.timestamp(), "2030-01-31T13:00:00+01:00"])
def test_move_to_takes_moments_of_all_kinds(frozen: Broker, moment: datetime | float | str) -> None:
    assert frozen.clock.move_to(moment).now == NOON


def test_freeze_at_a_later_moment_does_what_is_due_before(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 1000})
        channel.basic_publish("", "q", b"")
        frozen.clock.freeze(at=NOON)
        assert channel.queue_declare("q", passive=True).method.message_count == 0
    assert frozen.clock.now == NOON


def test_time_never_goes_back(frozen: Broker) -> None:
    clock = frozen.clock
    clock.move_to(NOON)
    for move in (
        lambda: clock.advance(-1),
        lambda: clock.move_to(NOON - DAY),
        lambda: clock.freeze(at=NOON - DAY),
    ):
        with pytest.raises(ClockError, match="time never goes back"):
            move()
    assert clock.now == NOON


@pytest.mark.parametrize(
    ("moment", "error", "text"),
    [
        (datetime(2030, 1, 31), ValueError, "has no time zone, .* which one is meant"),
        ("2030-01-31T13:00:00", ValueError, "has no offset"),
        ("tomorrow", ValueError, "'tomorrow' is no moment in ISO 8601"),
        (float("nan"), ValueError, "must be finite"),
        (None, TypeError, "a moment is an aware datetime"),
    ],
)
def test_a_wrong_moment_is_refused(frozen: Broker, moment: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        frozen.clock.move_to(moment)


@pytest.mark.parametrize(
    ("duration", "error"), [("1", TypeError), (True, TypeError), (float("inf"), ValueError)]
)
def test_a_wrong_duration_is_refused(frozen: Broker, duration: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="a duration"):
        frozen.clock.advance(duration)


def test_a_running_clock_is_shifted_and_runs_on() -> None:
    with Broker() as broker:
        before = broker.clock.now
        broker.clock.advance(DAY)
        assert not broker.clock.frozen
        assert DAY <= broker.clock.now - before < DAY + timedelta(minutes=1)


def test_a_clock_that_runs_faster_lets_messages_expire() -> None:
    with Broker(clock="frozen") as broker, connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 3_600_000})
        channel.basic_publish("", "q", b"")
        broker.clock.resume(rate=1_000_000)
        queue = broker._node.engine.vhosts["/"].queues["q"]
        broker.wait_until(lambda: not queue.ready)
        with pytest.raises(ValueError, match="rate must be more than 0"):
            broker.clock.resume(rate=0)


def test_the_clock_goes_back_to_real_time_only_without_messages(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"")
        frozen.clock.advance(DAY)
        with pytest.raises(ClockError, match="queue 'q' of virtual host '/' has 1 messages"):
            frozen.clock.back_to_real()
        channel.queue_purge("q")
        frozen.clock.back_to_real()
    assert not frozen.clock.frozen
    assert frozen.clock.now < datetime.now(UTC) + timedelta(minutes=1)


# --- moving it


def test_seven_daily_retries_come_at_exact_times(frozen: Broker) -> None:
    handle = Retrying(frozen, 7)
    with connect(frozen) as connection:
        channel = connection.channel()
        retry_queues(channel, 86_400_000)
        with consumer(frozen, "work", handle):
            began = frozen.clock.now
            channel.basic_publish("", "work", b"job")
            moves = frozen.clock.advance(7 * DAY)
    assert handle.seen == [began + n * DAY for n in range(8)]
    assert (moves.steps, moves.now, moves.kept) == (7, began + 7 * DAY, [])


def test_run_until_idle_ends_when_nothing_is_due(frozen: Broker) -> None:
    handle = Retrying(frozen, 3)
    with connect(frozen) as connection:
        channel = connection.channel()
        retry_queues(channel, 86_400_000)
        with consumer(frozen, "work", handle):
            began = frozen.clock.now
            channel.basic_publish("", "work", b"job")
            assert frozen.clock.run_until_idle(quiet=0).now == began + 3 * DAY
    assert len(handle.seen) == 4


def test_run_until_idle_says_what_is_still_due_at_its_limit(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        retry_queues(channel, 86_400_000)
        with consumer(frozen, "work", Retrying(frozen, 1000)):
            channel.basic_publish("", "work", b"job")
            with pytest.raises(NotIdle, match=r"still due:\n  .*: head of queue 'retry' expires"):
                frozen.clock.run_until_idle(limit=3 * DAY, quiet=0)


def test_a_moved_clock_drops_no_client_with_heartbeats(frozen: Broker) -> None:
    with connect(frozen, "?heartbeat=1") as connection:
        channel = connection.channel()
        frozen.clock.advance(365 * DAY)
        channel.queue_declare("q", durable=True)


def test_virtual_heartbeats_count_moved_time_as_silence(frozen: Broker) -> None:
    frozen.clock.heartbeats = "virtual"
    connection = connect(frozen, "?heartbeat=60")
    frozen.clock.advance(300)
    with pytest.raises(pika.exceptions.AMQPError):
        connection.channel()
    with pytest.raises(ValueError, match="'real' or 'virtual'"):
        frozen.clock.heartbeats = "off"  # type: ignore[assignment]


async def test_coroutines_of_the_same_loop_are_waited_for() -> None:
    async with Broker(clock="frozen") as broker, await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        dead = await channel.declare_queue("dead", durable=True)
        await channel.declare_queue(
            "q",
            durable=True,
            arguments={
                "x-message-ttl": 60_000,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "dead",
            },
        )
        seen = []

        async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await asyncio.sleep(0)
            await message.ack()
            seen.append(message.body)

        await dead.consume(handle)
        await channel.default_exchange.publish(aio_pika.Message(b"late"), "q")
        moves = await broker.clock.advance(60)
        assert (seen, moves.steps, moves.kept) == ([b"late"], 1, [])


async def test_a_blocking_move_in_a_running_loop_is_refused() -> None:
    with Broker() as broker, pytest.raises(BlockingCall, match=r"await broker\.aio\.clock\.advance"):
        broker.clock.advance(1)


# --- what is kept


def test_a_delivery_to_a_client_in_the_callers_thread_is_kept_unread(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_consume("q", ack)
        channel.basic_publish("", "q", b'{"id": 7}')
        [kept] = frozen.clock.advance(1).kept
        assert (kept.kind, kept.queue, kept.tag) == ("unacked", "q", 1)
        assert "(body b'{\"id\": 7}') is unacknowledged" in str(kept)
        assert "whose client does not read: does it run in the thread that waits?" in str(kept)
        assert frozen.clock.advance(1).kept == []


def test_a_delivery_that_is_never_settled_is_kept_after_the_patience(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        with consumer(frozen, "q", lambda *_: None):
            channel.basic_publish("", "q", b"")
            [kept] = frozen.clock.advance(1, patience=0.01).kept
            assert "for more than 0.01 s" in str(kept)


def test_a_delivery_of_basic_get_is_kept_at_once(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"")
        channel.basic_get("q")
        [kept] = frozen.clock.advance(1).kept
        assert "held by basic.get on channel 1" in str(kept)


# --- what is due


def test_what_is_due_is_listed_in_order_without_housekeeping(frozen: Broker) -> None:
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("ttl", durable=True, arguments={"x-message-ttl": 60_000})
        channel.queue_declare("gone", durable=True, arguments={"x-expires": 30_000})
        channel.queue_declare(
            "quorum", durable=True, arguments={"x-queue-type": "quorum", "x-expires": 90_000}
        )
        channel.exchange_declare(
            "later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"}
        )
        assert frozen.clock.next().queue == "gone"  # type: ignore[union-attr]
        channel.basic_publish("", "ttl", b"")
        channel.basic_publish("later", "", b"", pika.BasicProperties(headers={"x-delay": 45_000}))
        began = frozen.clock.now
        due = frozen.clock.due()
    assert [(one.at - began, one.what) for one in due] == [
        (timedelta(seconds=30), "unused queue 'gone' expires"),
        (timedelta(seconds=45), "a message that exchange 'later' delays is published"),
        (timedelta(seconds=60), "head of queue 'ttl' expires"),
        (timedelta(seconds=95), "unused queue 'quorum' expires"),
    ]


@pytest.mark.parametrize("profile", ["3.13", "4.2", "4.3"])
def test_an_idle_week_costs_few_steps(profile: str) -> None:
    with Broker(profile=profile, clock="frozen") as broker, connect(broker) as connection:
        channels = [connection.channel() for _ in range(100)]
        for number in range(10):
            channels[0].queue_declare(
                f"q{number}", durable=True, arguments={"x-queue-type": "quorum", "x-expires": 14 * 86_400_000}
            )
        assert broker.clock.advance(7 * DAY).steps == 0
        assert broker.clock.advance(8 * DAY).steps == 1
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'q0'"):
            channels[0].queue_declare("q0", passive=True)


@pytest.mark.parametrize(("profile", "closed"), [("4.2", True), ("4.3", False)])
def test_a_channel_whose_delivery_is_too_old_is_closed_up_to_4_2(profile: str, closed: bool) -> None:
    with Broker(profile=profile, clock="frozen") as broker, connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"")
        channel.basic_get("q")
        began = broker.clock.now
        broker.clock.advance(1770)
        assert channel.queue_declare("q", passive=True)
        due = [one.at - began for one in broker.clock.due()]
        assert due == ([timedelta(seconds=1860)] if closed else [])
        assert broker.clock.advance(90).steps == int(closed)
        if closed:
            with pytest.raises(
                pika.exceptions.ChannelClosedByBroker, match="delivery acknowledgement on channel 1"
            ):
                channel.queue_declare("q", passive=True)


# --- hold, skip


def test_a_busy_machine_has_clients_longer_to_read(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    assert real_time.runnable_per_processor() > 0
    moves, waiting = time_travel.Moves(broker.clock.now), time_travel.Waiting()
    settling = broker._node.call(lambda: time_travel.Settling(broker._node.travel, moves, waiting))
    monkeypatch.setattr(time_travel, "runnable_per_processor", lambda: 0.5)
    assert settling._unread_patience() == time_travel.UNREAD_PATIENCE_S
    monkeypatch.setattr(time_travel, "runnable_per_processor", lambda: 4.0)
    settling.late_s = 0.25
    assert settling._unread_patience() == pytest.approx(4 * time_travel.UNREAD_PATIENCE_S + 1.25)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what a client has not read")
def test_a_client_that_answers_meanwhile_is_none_of_the_thread_that_waits(frozen: Broker) -> None:
    """However long it then waits for a processor."""
    tags: list[int] = []
    with connect(frozen) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True)
        channel.basic_qos(prefetch_count=1)
        for _ in range(2):
            channel.basic_publish("", "q", b"")
        channel.basic_consume("q", lambda _channel, method, *_: tags.append(method.delivery_tag))
        while not tags:
            connection.process_data_events(HANG_SECONDS)
        moves, waiting = time_travel.Moves(frozen.clock.now), time_travel.Waiting()
        travel = frozen._node.travel
        settling = frozen._node.call(lambda: time_travel.Settling(travel, moves, waiting))
        channel.basic_ack(tags[0])  # the next one comes, and is not read
        frozen._node.call(settling._keep_unread)
        assert moves.kept == []
        travel.elsewhere.clear()
        settling = frozen._node.call(lambda: time_travel.Settling(travel, moves, waiting))
        frozen._node.call(settling._keep_unread)
        assert [reason.tag for reason in moves.kept] == [2]
        channel.basic_cancel(channel.consumer_tags[0])


def test_a_held_clock_is_not_moved(frozen: Broker) -> None:
    held, moved = threading.Event(), threading.Event()
    with frozen.clock.hold():
        with pytest.raises(NotIdle, match="the clock is held once") as caught:
            frozen.clock.advance(1, patience=0.01)
        assert [reason.kind for reason in caught.value.reasons] == ["held-clock"]

        def advance() -> None:
            held.set()
            frozen.clock.advance(1)
            moved.set()

        mover = threading.Thread(target=advance)
        mover.start()
        held.wait()
        assert not moved.is_set()
    mover.join()
    assert moved.is_set()


def test_skipping_jumps_to_what_is_due_while_the_test_waits_by_itself() -> None:
    done = threading.Event()
    with Broker() as broker, connect(broker) as connection:
        handle = Retrying(broker, 5)

        def last(channel: BlockingChannel, method: Any, properties: Any, body: bytes) -> None:
            handle(channel, method, properties, body)
            if len(handle.seen) == 6:
                done.set()

        channel = connection.channel()
        retry_queues(channel, 86_400_000)
        with consumer(broker, "work", last), broker.clock.skipping(quiet=0.001):
            channel.basic_publish("", "work", b"job")
            assert done.wait(HANG_SECONDS)
        assert not broker.clock.frozen
    assert [later - sooner for sooner, later in pairwise(handle.seen)] == [DAY] * 5


def test_a_clock_in_mode_skip_jumps_only_while_the_test_waits() -> None:
    with Broker(clock="skip") as broker, connect(broker) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-message-ttl": 86_400_000})
        channel.basic_publish("", "q", b"")
        queue = broker._node.engine.vhosts["/"].queues["q"]
        before = broker.clock.now
        assert broker.clock.frozen and broker._node.call(lambda: queue.ready) == 1
        broker.wait_until(lambda: not queue.ready)
        assert broker.clock.now == before + DAY


def test_the_clock_ends_with_the_last_year_of_a_datetime() -> None:
    with Broker() as broker:
        with pytest.raises(ValueError, match="after the year 9999: a moment is seconds"):
            broker.clock.move_to(1e15)
        with pytest.raises(ClockError, match="the clock ends with the year 9999"):
            broker.clock.advance(1e18)
        broker.clock.move_to(datetime(9999, 12, 31, tzinfo=UTC))
        assert broker.clock.now.year == 9999
