"""Paged backlogs: memory is bounded, the order is kept, and space is freed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from leveret.clock import Agenda, Clock
from leveret.queues.backlog.paging import Pager
from leveret.queues.context import VhostContext
from leveret.queues.queue import Queue
from leveret.store.paging_file import MIN_FILE_BYTES, BlockLocation, FilePager
from tests.stores.harness import message

LIMIT = 400_000


def queue_on(pager: Pager, **arguments: Any) -> Queue:
    clock = Clock(1000)
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    return Queue("q", "/", VhostContext(clock, Agenda(clock), nothing, nothing, None, pager), **arguments)


def taken(queue: Queue, count: int) -> list[bytes]:
    bodies = []
    for _ in range(count):
        entry = queue.get(True)
        if entry is None:
            break
        bodies.append(entry.message.body)
    return bodies


@pytest.mark.parametrize("size", [0, 10, 1000, 300_000])
def test_memory_stays_bounded_and_order_is_kept(size: int) -> None:
    pager = FilePager(LIMIT)
    queue = queue_on(pager)
    count = 20 if size > 10_000 else 20_000
    peak = 0
    for number in range(count):
        queue.push(message(b"%08d" % number + bytes(size)))
        peak = max(peak, pager.used)
    assert peak < 2 * LIMIT + 4 * size
    assert pager.paged > 0 or count * (size + 300) < LIMIT
    assert [int(body[:8]) for body in taken(queue, count + 1)] == list(range(count))
    assert (pager.used, pager.paged) == (0, 0)


def test_paged_messages_are_read_back_unchanged() -> None:
    pager = FilePager(1)
    queue = queue_on(pager)
    sent = [
        message(
            b"%d" % number,
            priority=number % 5 - 1,
            ttl=10_000 if number % 3 else -1,
            key=f"k{number % 2}",
            n=number,
        )
        for number in range(200)
    ]
    for one in sent:
        queue.push(one)
    assert pager.paged
    for one in sent:
        entry = queue.get(True)
        assert entry is not None
        got = entry.message
        assert (got.content, got.head, got.size) == (one.content, one.head, one.size)
        assert (got.routing_key, got.priority, got.expiration, got.persistent) == (
            one.routing_key,
            one.priority,
            one.expiration,
            one.persistent,
        )
        assert entry.expires_at == (11_000 if one.expiration >= 0 else 0)


def test_many_short_queues_use_bounded_memory() -> None:
    """A thousand queues of a hundred messages."""
    pager = FilePager(LIMIT)
    clock = Clock(1000)
    context = VhostContext(clock, Agenda(clock), lambda *_: None, lambda: None, None, pager)
    queues = [Queue(f"q{number}", "/", context) for number in range(1000)]
    for number in range(100):
        for queue in queues:
            queue.push(message(b"%d" % number))
    objects = sum(1 for _ in queues) * 64 * 300
    assert pager.used < LIMIT + objects
    assert all(taken(queue, 200) == [b"%d" % number for number in range(100)] for queue in queues)
    assert (pager.used, pager.paged) == (0, 0)


def test_priority_queues_are_paged() -> None:
    queue = queue_on(FilePager(50_000), max_priority=2)
    for number in range(3000):
        queue.push(message(b"%04d" % number, priority=number % 3))
    expected = [number for level in (2, 1, 0) for number in range(3000) if number % 3 == level]
    assert [int(body) for body in taken(queue, 3000)] == expected


def test_requeued_messages_return_to_their_positions() -> None:
    queue = queue_on(FilePager(20_000))
    for number in range(500):
        queue.push(message(b"%04d" % number))
    entries = [queue.get(False) for _ in range(300)]
    queue.requeue([entry for entry in reversed(entries) if entry is not None], 1)
    assert [int(body) for body in taken(queue, 500)] == list(range(500))


def test_shared_messages_are_paged_by_every_queue() -> None:
    pager = FilePager(LIMIT)
    clock = Clock(1000)
    context = VhostContext(clock, Agenda(clock), lambda *_: None, lambda: None, None, pager)
    queues = [Queue(f"q{number}", "/", context) for number in range(5)]
    for number in range(5000):
        one = message(b"%d" % number + bytes(100))
        one.shares = 5
        for queue in queues:
            queue.push(one)
    assert pager.used < 3 * LIMIT
    for queue in queues:
        assert [int(body.rstrip(b"\0")) for body in taken(queue, 5000)] == list(range(5000))
    assert (pager.used, pager.paged) == (0, 0)


def test_purging_and_deleting_free_all_space() -> None:
    pager = FilePager(LIMIT)
    queue = queue_on(pager)
    for _ in range(2):
        for number in range(10_000):
            queue.push(message(b"%d" % number))
        assert queue.purge()[0] == 10_000
        assert (pager.used, pager.paged, queue.ready, queue.ready_bytes) == (0, 0, 0, 0)
    for number in range(10_000):
        queue.push(message(b"%d" % number))
    queue.close()
    assert (pager.used, pager.paged) == (0, 0)


def test_files_are_deleted_when_all_blocks_are_freed() -> None:
    pager = FilePager(0)
    places = [pager.write(bytes(1 << 20)) for _ in range(3 * (MIN_FILE_BYTES >> 20))]
    assert all(isinstance(place, BlockLocation) for place in places)
    files = {place.file for place in places if place is not None}
    assert len(files) == 3
    for number, place in enumerate(places):
        assert place is not None
        if number % 2:
            assert len(pager.read(place)) == 1 << 20
        else:
            pager.free(place)
    assert all(file.file.closed for file in files)


def test_messages_stay_in_memory_while_the_disk_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    pager = FilePager(LIMIT)

    def refuse(data: bytes) -> BlockLocation:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pager, "_write", refuse)
    queue = queue_on(pager)
    for number in range(5000):
        queue.push(message(b"%d" % number))
    assert pager.refused
    monkeypatch.undo()
    for number in range(5000, 10_000):
        queue.push(message(b"%d" % number))
    assert not pager.refused
    assert [int(body) for body in taken(queue, 10_000)] == list(range(10_000))


def test_without_a_limit_nothing_is_paged() -> None:
    queue = queue_on(Pager())
    for number in range(10_000):
        queue.push(message(b"%d" % number))
    assert [int(body) for body in taken(queue, 10_000)] == list(range(10_000))
