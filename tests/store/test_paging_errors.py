"""A paging file or a stream's file that cannot be read back crashes its queue, and no other one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leveret.clock import Agenda, Clock
from leveret.profiles import profile
from leveret.queues.consumers import Consumer
from leveret.queues.context import VhostContext
from leveret.queues.limits import Limits
from leveret.queues.message import REFUSED
from leveret.queues.queue import Queue
from leveret.queues.quorum.queue import QuorumQueue
from leveret.store.paging_file import BlockLocation, FilePager
from tests.stores.harness import DiskHarness, message

LIMIT = 100_000
COUNT = 10_000


class Crashes:
    """A queue that is paged out, and the crashes that observers are notified of."""

    def __init__(self, make: Callable[[VhostContext], Queue]) -> None:
        self.pager = FilePager(LIMIT)
        self.agenda = Agenda(Clock(1000))
        self.crashed: list[Queue] = []
        context = VhostContext(
            self.agenda.clock, self.agenda, lambda *_: None, lambda: None, None, self.pager
        )
        context.crashed = self.crashed.append
        self.queue = make(context)
        for number in range(COUNT):
            self.queue.push(message(b"%d" % number, priority=number % 7, ttl=60_000))
        assert self.pager.paged

    def taken(self) -> int:
        """Take all messages out of it; returns how many there were."""
        count = 0
        while self.queue.get(True) is not None:
            count += 1
        return count


def quorum(version: str) -> Callable[[VhostContext], Queue]:
    options: Any = SimpleNamespace(single_active_consumer=False, delivery_limit=20)
    return lambda context: QuorumQueue("q", "/", context, options, profile(version))


KINDS: dict[str, Callable[[VhostContext], Queue]] = {
    "classic": lambda context: Queue("q", "/", context),
    "priorities": lambda context: Queue("q", "/", context, max_priority=5),
    "quorum 3.13": quorum("3.13"),
    "quorum 4.0": quorum("4.0"),
    "quorum 4.3": quorum("4.3"),
}


def cut_short(pager: FilePager) -> None:
    assert pager.current is not None
    os.ftruncate(pager.current.file.fileno(), 1000)


def changed(pager: FilePager) -> None:
    assert pager.current is not None
    os.pwrite(pager.current.file.fileno(), b"\xff\xff\xff\xff\xff", 30)


def closed(pager: FilePager) -> None:
    assert pager.current is not None
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, pager.current.file.fileno())  # reading fails with EBADF
    os.close(null)


@pytest.mark.parametrize("damage", [cut_short, changed, closed])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_paging_file_crashes_its_queue(kind: str, damage: Callable[[FilePager], None]) -> None:
    at = Crashes(KINDS[kind])
    queue = at.queue
    held = queue.get(False)
    assert held is not None
    damage(at.pager)
    assert at.taken() < COUNT
    assert queue.crashed
    assert at.crashed == []
    at.agenda.run()
    assert at.crashed == [queue]
    assert (queue.ready, queue.ready_bytes, at.pager.used, at.pager.paged) == (0, 0, 0, 0)
    assert queue.push(message(b"new")) == REFUSED
    queue.requeue([held], 1)
    assert (queue.ready, queue.unacked, queue.get(True)) == (0, 0, None)
    at.agenda.clock.now += 100_000
    at.agenda.run()
    assert (queue.purge()[0], queue.ready) == (0, 0)
    queue.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["expiry", "overflow"])
def test_any_reader_of_a_damaged_paging_file_crashes_the_queue(kind: str, way: str) -> None:
    at = Crashes(KINDS[kind])
    cut_short(at.pager)
    if way == "expiry":
        at.agenda.clock.now += 100_000
        at.agenda.run()
    else:
        at.queue.limits = Limits(max_length=5)
        at.queue.push(message(b"one more"))
    assert at.queue.crashed
    at.agenda.run()
    assert at.crashed == [at.queue]
    assert (at.queue.ready, at.pager.used, at.pager.paged) == (0, 0, 0)


def test_a_queue_deleted_after_its_crash_is_not_reported() -> None:
    at = Crashes(KINDS["classic"])
    cut_short(at.pager)
    at.taken()
    at.queue.close()
    at.agenda.run()
    assert at.crashed == []


def test_persistent_messages_of_a_crashed_queue_are_restored(tmp_path: Path) -> None:
    class Paging(DiskHarness):
        def make_pager(self) -> FilePager:
            return FilePager(LIMIT)

    harness = Paging(tmp_path)
    harness.declare("q")
    harness.declare("other")
    for first in range(0, 5000, 100):
        harness.push("q", *(message(b"%d" % number) for number in range(first, first + 100)))
        harness.commit()
    harness.push("other", message(b"fine"))
    harness.commit()
    pager = harness.broker.pager
    assert isinstance(pager, FilePager)
    cut_short(pager)
    queue = harness.queue("q")
    done = harness.take("q", 1)
    harness.ack(*done)
    while queue.get(True) is not None:
        pass
    assert queue.crashed
    harness.broker.message_time.run()
    assert harness.bodies("other") == [b"fine"]
    harness.commit()
    harness.crash()
    left = [int(body) for body in harness.bodies("q")]
    assert left == list(range(left[0], 5000))
    assert left[0] > 0
    harness.kill()


def test_the_space_of_a_damaged_block_is_freed() -> None:
    pager = FilePager(0)
    place = pager.write(b"x" * 100)
    assert isinstance(place, BlockLocation)
    os.ftruncate(place.file.file.fileno(), 10)
    with pytest.raises(OSError, match="lost what was written"):
        pager.read(place)
    pager.free(place)
    assert pager.paged == 0


def test_a_stream_damaged_after_its_start_crashes_when_it_is_read(
    harness: DiskHarness, tmp_path: Path
) -> None:
    harness.declare("s", queue_type="stream", stream_max_segment_size_bytes=300)
    for number in range(6):
        harness.push("s", message(b"%d" % number * 200))
        harness.commit()
    oldest = min(tmp_path.glob("streams/*/*.stream"))
    data = bytearray(oldest.read_bytes())
    data[-3] ^= 1
    oldest.write_bytes(data)
    queue: Any = harness.queue("s")
    given: list[tuple[Any, ...]] = []
    queue.context.unreadable = lambda *subjects: given.append(subjects)
    consumer = Consumer("c", queue, False, False, 0, 10)
    consumer.options = SimpleNamespace(stream_offset="first", stream_filter=None, match_unfiltered=False)
    queue.accept(consumer)
    queue.subscribe(consumer)
    queue.run()
    assert given == []
    harness.loop.run()
    harness.broker.message_time.run()
    ((stream, ended, why),) = given
    assert (stream, ended) == (queue, consumer)
    assert f"{oldest} is damaged at octet" in why
    harness.push("s", message(b"more"))
    harness.commit()
    assert queue.ready == 7
