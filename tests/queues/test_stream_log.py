"""What a stream keeps: retention by whole segments, and pages that are paged out."""

from __future__ import annotations

from itertools import count, pairwise
from typing import Any

import msgspec
from pamqp.commands import Queue

from leveret.clock import Agenda, Clock
from leveret.config import Settings
from leveret.profiles import profile
from leveret.queues.backlog.paging import Pager
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.message import Message, frame_content
from leveret.queues.stream.log import DROPPED_TOGETHER, HELD_BYTES, PAGE_BYTES, Cursor
from leveret.queues.stream.queue import StreamQueue
from leveret.testing.playbook import (
    Advance,
    Connect,
    Do,
    Playbook,
    Stage,
    publish,
    say,
)
from leveret.wire.properties import Properties, encode_properties
from tests.queues.plays import qos, qos_ok, set_policy
from tests.queues.streams import (
    ack,
    consume,
    consume_ok,
    declare,
    declare_ok,
    declare_passive,
    delivery,
    filled,
    stream_queue,
)

# --- retention


def test_segments_above_max_length_bytes_are_dropped_with_a_new_segment(play: Playbook) -> None:
    play = play >> declare(max_length_bytes=1000, stream_max_segment_size_bytes=400) << declare_ok()
    for _ in range(20):
        play = play >> publish(b"." * 100, "s")
    seen: list[int] = []
    play = play >> Do("look inside", lambda stage: seen.append(stream_queue(stage).ready))
    assert play >> [*qos(1), consume()] << [*qos_ok(), consume_ok(), *delivery(b"." * 100, 12, 1)]
    assert set(seen) == {8}


def test_segments_older_than_max_age_are_dropped_with_a_new_segment(play: Playbook) -> None:
    assert (
        play
        >> [declare(max_age="10s", stream_max_segment_size_bytes=100), *publish(b"." * 100, "s")]
        << declare_ok()
        >> Advance(11_000)
        >> declare_passive()
        << declare_ok(1)
        >> publish(b"." * 100, "s")
        >> declare_passive()
        << declare_ok(1)
    )


def test_a_later_policy_limits_the_log(play: Playbook) -> None:
    play = play >> declare(stream_max_segment_size_bytes=100) << declare_ok()
    for _ in range(10):
        play = play >> publish(b"." * 100, "s")
    assert (
        play
        >> declare_passive()
        << declare_ok(10)
        >> set_policy(max_length_bytes=500)
        >> declare_passive()
        << declare_ok(3)
    )


def test_very_many_segments_are_dropped_in_portions() -> None:
    stage = Stage(Settings(), lambda data: (data,))
    stage.connect(Connect("a"))
    stage.play([declare(stream_max_segment_size_bytes=1)])
    for _ in range(4 * DROPPED_TOGETHER):
        stage.play(publish(b".", "s"))
    queue = stream_queue(stage)
    assert queue.ready == len(queue.log.segments) == 4 * DROPPED_TOGETHER
    stage.broker.work.timer = count(1).__next__
    queue.effective = msgspec.structs.replace(queue.options, max_length_bytes=1)
    queue.configure(queue.limits, None, None)
    left = [queue.ready]
    while stage.broker.work.jobs:
        stage.broker.work.run()
        left.append(queue.ready)
    assert left[-1] == len(queue.log.segments) == 1
    assert all(before - after <= DROPPED_TOGETHER for before, after in pairwise(left))
    assert len(left) > 3


def test_a_reader_whose_segment_was_dropped_goes_on_behind_it(play: Playbook) -> None:
    """It still reads the rest of its page."""
    play = (
        play
        >> [declare(max_length_bytes=100, stream_max_segment_size_bytes=100), *qos(1)]
        << [declare_ok(), *qos_ok()]
    )
    play = play >> publish(b"." * 100, "s") >> consume() << [consume_ok(), *delivery(b"." * 100, 0)]
    for _ in range(5):
        play = play >> publish(b"." * 100, "s")
    assert play >> ack(1) << delivery(b"." * 100, 1) >> ack(2) << delivery(b"." * 100, 5, 3)


def test_a_reader_goes_from_page_to_page() -> None:
    body = b"." * (PAGE_BYTES // 3)
    play = filled(Playbook(), *[body] * 10)
    assert (
        play
        >> consume(4)
        << [consume_ok(), *[line for i in range(4, 10) for line in delivery(body, i, i - 3)]]
        >> publish(body, "s")
        << delivery(body, 10, 7)
    )


# --- growing while it is read


def test_a_stream_may_get_the_traces_of_its_own_deliveries(play: Playbook) -> None:
    """Deliveries of traces are not traced, so this ends."""

    def trace(stage: Stage) -> None:
        stage.broker.vhosts["/"].tracing = True

    seen: list[int] = []
    given = say(Queue.Bind, queue="s", exchange="amq.rabbitmq.trace", routing_key="deliver.#")
    bound = (
        filled(play, *[b"%d" % i for i in range(50)]) >> given << say(Queue.BindOk) >> Do("tracing", trace)
    )
    first = [line for i in range(10) for line in delivery(b"%d" % i, i)]
    bound = bound >> consume() << [consume_ok(), *first]
    assert bound >> Do("count", lambda stage: seen.append(stream_queue(stage).ready))
    assert set(seen) == {60}


# --- memory


class MemoryPager(Pager):
    """A pager that writes to memory that it does not count."""

    def __init__(self) -> None:
        super().__init__(2 * PAGE_BYTES)
        self.kept: dict[int, bytes] = {}
        self.written = 0

    def write(self, data: bytes) -> int:
        self.written += 1
        self.kept[self.written] = data
        return self.written

    def peek(self, where: Any) -> bytes:
        return self.kept[where]

    def free(self, where: Any) -> None:
        del self.kept[where]


def paged_stream(pager: Pager) -> StreamQueue:
    """A stream of twenty pages with one record each."""
    context = VhostContext(Clock(), Agenda(Clock()), lambda queue, reason: None, lambda: None, None, pager)
    stream = StreamQueue("s", "/", context, profile("4.3"))
    content_, head = frame_content(encode_properties(Properties(), PAGE_BYTES), b"." * PAGE_BYTES)
    for turn in range(20):
        context.clock.tick_count = turn
        stream.push(Message(b"", b"s", content_, head, PAGE_BYTES))
    return stream


def test_pages_that_consumers_hold_are_counted() -> None:
    pager = MemoryPager()
    stream = paged_stream(pager)
    cursors = [Cursor(Consumer("c", stream, False, False, 0, 1), offset) for offset in (5, 7)]
    for number, cursor in enumerate(cursors, 1):
        page = cursor.here(stream.log)
        assert page is not None and page.data is None and cursor.coming_page is page.next
        assert pager.held == 2 * page.size * number
    for cursor in cursors:
        cursor.let_go(stream.log)
    assert not pager.held
    page = cursors[0].here(stream.log)
    assert page is not None and page.first == cursors[0].offset == 5, "it goes on where it was"
    assert pager.held == 2 * page.size


def test_nothing_is_read_ahead_while_consumers_hold_much() -> None:
    pager = MemoryPager()
    stream = paged_stream(pager)
    pager.held = HELD_BYTES // 2
    cursor = Cursor(Consumer("c", stream, False, False, 0, 1), 5)
    page = cursor.here(stream.log)
    assert page is not None and cursor.coming_page is None and cursor.held == page.size


def test_a_long_stream_is_paged_out() -> None:
    pager = MemoryPager()
    context = VhostContext(Clock(), Agenda(Clock()), lambda queue, reason: None, lambda: None, None, pager)
    stream = StreamQueue("s", "/", context, profile("4.3"))
    stream.log.segment_size = 3 * PAGE_BYTES
    stream.log.most = 10 * PAGE_BYTES
    content_, head = frame_content(encode_properties(Properties(), PAGE_BYTES), b"." * PAGE_BYTES)
    for turn in range(20):
        context.clock.tick_count = turn
        stream.push(Message(b"", b"s", content_, head, PAGE_BYTES))
    assert pager.used < 2 * PAGE_BYTES
    assert 5 < len(pager.kept) < 15
    assert stream.log.first() > 5
    assert all(len(stream.log.read(page)) == page.size for page in stream.log.pages)
    stream.close()
    assert (pager.used, pager.kept) == (0, {})
