"""Paged backlogs: memory is bounded, the order is kept, and space is freed."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from leveret.clock import Agenda, Clock
from leveret.queues.backlog.paging import Pager
from leveret.queues.context import VhostContext
from leveret.queues.queue import Queue
from leveret.store import paging_file
from leveret.store.paging_file import (
    MIN_FILE_BYTES,
    READ_AHEAD_BYTES,
    READ_TOGETHER,
    BlockLocation,
    FilePager,
    PagingFile,
)
from leveret.work import Suspended
from tests.stores.harness import message

LIMIT = 400_000


def queue_on(pager: Pager, **arguments: Any) -> Queue:
    clock = Clock(1000)
    nothing: Callable[..., None] = lambda *_: None  # noqa: E731
    return Queue("q", "/", VhostContext(clock, Agenda(clock), nothing, nothing, None, pager), **arguments)


def taken(queue: Queue, count: int, thread: Thread | None = None) -> list[bytes]:
    """Get messages; `thread` reads what is waited for."""
    bodies: list[bytes] = []
    while len(bodies) < count:
        try:
            entry = queue.get(True)
        except Suspended:
            assert thread is not None and thread.reads
            thread.read_all()
            queue.context.agenda.run()
            continue
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

    monkeypatch.setattr(PagingFile, "write", refuse)
    queue = queue_on(pager)
    for number in range(5000):
        queue.push(message(b"%d" % number))
    assert pager.refused
    monkeypatch.undo()
    for number in range(5000, 10_000):
        queue.push(message(b"%d" % number))
    assert not pager.refused
    pager.page_postponed()
    assert not pager.postponed and pager.used < 2 * LIMIT
    assert [int(body) for body in taken(queue, 10_000)] == list(range(10_000))


def refuse(file: PagingFile, data: bytes, offset: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


class Thread:
    """The thread of a pager, which writes when it is asked to. `soon`: calls that begin its steps; `calls`: others."""

    def __init__(self) -> None:
        self.steps: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []
        self.soon: list[Callable[[], None]] = []
        self.reads: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []
        self.calls: list[Callable[[], None]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        (self.soon if seconds == paging_file.GATHER_S else self.calls).append(call)

    def offload(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        self.steps.append((step, done))

    def read(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        self.reads.append((step, done))

    def read_all(self) -> None:
        """Read everything that is asked for."""
        while self.reads:
            self.run_step(self.reads)

    def run(self) -> None:
        """Write everything that waits, and what follows from it."""
        while self.gather():
            self.run_step(self.steps)

    def run_step(self, steps: list[tuple[Callable[[], None], Callable[[OSError | None], None]]]) -> None:
        """Do the first step, and what follows from it."""
        wait, done = steps.pop(0)
        try:
            wait()
        except OSError as error:
            done(error)
        else:
            done(None)

    def gather(self) -> bool:
        """Begin the steps for what was gathered. Whether there is one."""
        while self.soon:
            self.soon.pop(0)()
        return bool(self.steps)


@pytest.fixture
def thread() -> Thread:
    return Thread()


@pytest.fixture
def pager(thread: Thread) -> Iterator[FilePager]:
    pager = FilePager(LIMIT)
    pager.begin(thread)
    yield pager
    thread.run()


def test_blocks_are_read_from_memory_until_the_thread_has_written_them(
    pager: FilePager, thread: Thread
) -> None:
    queue = queue_on(pager)
    for number in range(5000):
        queue.push(message(b"%d" % number))
    assert pager.unwritten == pager.paged > 0
    assert [int(body) for body in taken(queue, 2500, thread)] == list(range(2500))
    assert thread.gather()
    thread.steps[0][0]()  # written, but the loop does not know of it yet
    thread.run()
    assert pager.unwritten == 0
    assert [int(body) for body in taken(queue, 2500, thread)] == list(range(2500, 5000))
    assert (pager.used, pager.paged) == (0, 0)


def test_a_hanging_disk_leaves_blocks_in_memory_until_it_answers(
    pager: FilePager, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging_file, "MAX_UNWRITTEN_BYTES", LIMIT)
    queue = queue_on(pager)
    for number in range(20_000):
        queue.push(message(b"%d" % number))
    assert pager.unwritten <= LIMIT
    assert pager.used > 2 * LIMIT and pager.postponed
    assert [int(body) for body in taken(queue, 2000, thread)] == list(range(2000))
    thread.run()
    assert pager.used < LIMIT and not pager.postponed and not pager.unwritten
    assert [int(body) for body in taken(queue, 20_000, thread)] == list(range(2000, 20_000))
    assert (pager.used, pager.paged) == (0, 0)


def test_postponed_blocks_of_a_purged_queue_are_forgotten(
    pager: FilePager, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging_file, "MAX_UNWRITTEN_BYTES", LIMIT)
    queue = queue_on(pager)
    for number in range(20_000):
        queue.push(message(b"%d" % number))
    queue.purge()
    thread.run()
    assert (pager.used, pager.paged, pager.unwritten, len(pager.postponed)) == (0, 0, 0, 0)


def test_a_failed_write_is_repeated(
    pager: FilePager, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging_file, "MAX_UNWRITTEN_BYTES", LIMIT)
    queue = queue_on(pager)
    monkeypatch.setattr(PagingFile, "write", refuse)
    for number in range(10_000):
        queue.push(message(b"%d" % number))
    thread.run()
    assert pager.refused and thread.calls
    assert [int(body) for body in taken(queue, 3000, thread)] == list(range(3000))
    monkeypatch.undo()
    for call in thread.calls:
        call()
    thread.run()
    assert not pager.refused and not pager.unwritten and not pager.postponed
    assert [int(body) for body in taken(queue, 10_000, thread)] == list(range(3000, 10_000))
    assert (pager.used, pager.paged) == (0, 0)


def test_a_file_is_closed_after_its_last_block_is_written(pager: FilePager, thread: Thread) -> None:
    """By the thread: that frees its space on the disk."""
    place = pager.write(bytes(1000))
    assert place is not None and thread.gather()
    pager.free(place)
    assert place.file.opened is None and pager.unwritten == 0
    ((write, done),) = thread.steps
    write()
    file = place.file.opened
    thread.steps.clear()
    done(None)
    assert file is not None and not file.closed
    thread.run()
    assert file.closed


def test_blocks_that_are_freed_before_their_step_are_not_written(pager: FilePager, thread: Thread) -> None:
    place = pager.write(bytes(1000))
    assert place is not None
    pager.free(place)
    assert not thread.gather() and place.file.opened is None


@pytest.mark.parametrize("most", [7, 1000, 1 << 20])
def test_blocks_are_gathered_and_written_together(
    pager: FilePager, thread: Thread, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """A write may write less than all of it."""
    pieces: list[int] = []
    write_at = paging_file._write_at

    def short(file: int, blocks: Sequence[memoryview], offset: int) -> int:
        pieces.append(len(blocks))
        return write_at(file, [memoryview(b"".join(blocks))[:most]], offset)

    monkeypatch.setattr(paging_file, "_write_at", short)
    data = [b"%d" % number * 300 for number in range(10)]
    places = [place for each in data if (place := pager.write(each))]
    pager.free(places[3])
    assert thread.gather() and len(thread.steps) == 1
    late = pager.write(b"late")
    thread.run()
    assert late is not None and pager.unwritten == 0
    assert [pager.peek(place) for place in places[:3] + places[4:]] == data[:3] + data[4:]
    assert pager.peek(late) == b"late"
    if most > 10_000:
        assert pieces == [3, 6, 1], "the gap is a block that was freed"
    for place in (*places[:3], *places[4:], late):
        pager.free(place)


def test_many_blocks_do_not_wait_to_be_gathered(
    pager: FilePager, thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging_file, "GATHERED_BYTES", 3000)
    places = []
    for _ in range(3):
        assert not thread.steps
        places.append(pager.write(bytes(1000)))
    assert len(thread.steps) == 1
    places.append(pager.write(bytes(1000)))
    assert len(thread.steps) == 1, "one step at a time"
    thread.run()
    assert pager.unwritten == 0
    for place in places:
        assert place is not None
        pager.free(place)


def test_parts_that_are_read_one_after_another_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a few blocks at the same time; others are read part by part. What is freed is forgotten."""
    pager = FilePager(0)
    reads: list[int] = []
    read = FilePager._read

    def counted(pager: FilePager, where: BlockLocation, offset: int, size: int) -> bytes:
        reads.append(size)
        return read(pager, where, offset, size)

    monkeypatch.setattr(FilePager, "_read", counted)
    data = b"".join(number.to_bytes(4, "big") * 256 for number in range(512))
    places = [place for _ in range(READ_TOGETHER + 1) if (place := pager.write(data))]
    for at in range(0, len(data), 1024):
        for place in places[:2]:
            assert pager.part(place, at, 1024) == data[at : at + 1024]
    assert reads == 2 * len(data) // READ_AHEAD_BYTES * [READ_AHEAD_BYTES]
    reads.clear()
    assert pager.part(places[2], 5000, 100) == data[5000:5100]
    assert pager.peek(places[2]) == data
    assert reads == [100, len(data)], "neither begins where another one has ended"
    for place in places:
        pager.part(place, 0, 1024)
    assert len(pager._ahead) == READ_TOGETHER
    for place in places:
        pager.free(place)
    assert not pager._ahead


def test_without_a_limit_nothing_is_paged() -> None:
    queue = queue_on(Pager())
    for number in range(10_000):
        queue.push(message(b"%d" % number))
    assert [int(body) for body in taken(queue, 10_000, thread)] == list(range(10_000))
