"""Streams on disk: offsets, chunks and timestamps are restored, incomplete ends dropped, old files deleted."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from leveret.queues.stream.log import CHUNK, FILTER, NAMES, PAGE_BYTES, PROOF, PROOF_SIZE
from leveret.queues.stream.queue import StreamQueue
from leveret.store.errors import StoreError
from leveret.store.files import Files
from leveret.store.streams.chunks import CHUNK_MARK
from leveret.store.streams.streams import MARK
from leveret.work import Suspended
from tests.stores.faults import FailingFiles, FaultyFiles, LossyFiles, PartialWrites
from tests.stores.harness import DiskHarness, ReplicatedHarness, message


class Stored(NamedTuple):
    """One record: its offset, its body, and whether it begins a chunk."""

    offset: int
    body: bytes
    chunk: bool


def records(harness: DiskHarness) -> list[Stored]:
    """Return all records of stream `s`, as a reader finds them."""
    found = []
    log = stream(harness).log
    for page in log.pages:
        data, at, offset = log.read(page), 0, page.first
        assert len(data) == page.size
        while at < page.size:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            flags = data[at + 4]
            place = at + 5 + (8 if flags & CHUNK else 0) + (PROOF_SIZE if flags & PROOF else 0)
            if flags & FILTER:
                place += 4 + int.from_bytes(data[place : place + 4], "big")
            if flags & NAMES:
                place += 1 + data[place]
                place += 1 + data[place]
            place += 4 + int.from_bytes(data[place : place + 4], "big")
            found.append(Stored(offset, bytes(data[place:end]), bool(flags & CHUNK)))
            at, offset = end, offset + 1
        assert offset == page.first + page.count
    return found


def bodies(harness: DiskHarness) -> list[bytes]:
    return [record.body for record in records(harness)]


def stream(harness: DiskHarness) -> StreamQueue:
    queue = harness.queue("s")
    assert isinstance(queue, StreamQueue)
    return queue


def publish(harness: DiskHarness, *contents: bytes) -> int:
    """Publish each message in its own tick; returns the last ticket."""
    ticket = 0
    for body in contents:
        harness.clock.tick_count += 1
        ticket = harness.push("s", message(body, persistent=False))
    return ticket


def files(harness: DiskHarness) -> list[Path]:
    return sorted((harness.directory / "streams").glob("*/*.stream"))


@pytest.fixture(params=["sound disk", "partial writes", "faulty disk", "replicated"])
def each_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DiskHarness]:
    """A broker with the stream `s` on each kind of disk."""
    kinds = {"sound disk": None, "partial writes": PartialWrites(), "faulty disk": FaultyFiles()}
    if request.param == "replicated":
        made: DiskHarness = ReplicatedHarness(tmp_path)
    else:
        made = DiskHarness(tmp_path, kinds[request.param])
    made.declare("s", queue_type="stream")
    yield made
    made.kill()


@pytest.mark.parametrize("way", ["crash", "restart"])
def test_confirmed_messages_are_restored(each_disk: DiskHarness, way: str) -> None:
    given: list[str] = []
    first = publish(each_disk, b"0", b"1")
    each_disk.store.journal.when_settled(first, lambda: given.append("first"))
    each_disk.commit()
    assert given == ["first"]
    each_disk.clock.tick_count += 1
    each_disk.push("s", message(b"2"), message(b"3"))
    each_disk.commit()
    getattr(each_disk, way)()
    kept = [(0, b"0", True), (1, b"1", True), (2, b"2", True), (3, b"3", False)]
    assert records(each_disk) == [Stored(*one) for one in kept]
    log = stream(each_disk).log
    assert (log.first(), log.end, log.last, stream(each_disk).ready) == (0, 4, 2, 4)
    publish(each_disk, b"4")
    each_disk.commit()
    getattr(each_disk, way)()
    assert [(one.offset, one.body) for one in records(each_disk)][-1] == (4, b"4")


def test_timestamps_are_restored(each_disk: DiskHarness) -> None:
    began = each_disk.clock.now
    for body in (b"0", b"1", b"2"):
        publish(each_disk, body)
        each_disk.clock.advance(10_000)
    each_disk.commit()
    each_disk.crash()
    found = [offset_at(each_disk, began + at) for at in (0, 1, 10_000, 20_000, 20_001)]
    assert found == [0, 1, 1, 2, 3]


def offset_at(harness: DiskHarness, time: int) -> int:
    """The offset of a time, as soon as its page has been read."""
    try:
        return stream(harness).offset_at(time)
    except Suspended:
        harness.loop.run()
        return stream(harness).offset_at(time)


def test_uncommitted_messages_are_lost(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream")
    publish(harness, b"0")
    harness.commit()
    publish(harness, b"lost")
    harness.crash()
    assert bodies(harness) == [b"0"]
    publish(harness, b"1")
    harness.commit()
    harness.crash()
    assert bodies(harness) == [b"0", b"1"]


def test_messages_are_written_before_they_are_delivered(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream")
    harness.commit()
    publish(harness, b"0")
    assert not harness.store.has_unwritten_marks
    stream_journal = stream(harness).log.stream_journal
    assert stream_journal is not None
    stream_journal.mark_delivered()
    assert harness.store.has_unwritten_marks
    harness.flush()
    assert not harness.store.has_unwritten_marks
    harness.crash()
    assert bodies(harness) == [b"0"]


def test_pages_of_a_long_stream_are_only_on_disk(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream")
    given = [b"%d" % i + b"." * (PAGE_BYTES // 3) for i in range(20)]
    for body in given:
        publish(harness, body)
        harness.commit()
    assert sum(page.data is not None for page in stream(harness).log.pages) == 1
    assert bodies(harness) == given
    harness.crash()
    assert bodies(harness) == given
    assert len(files(harness)) == 1


def test_after_a_restart_names_are_written_again(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream")
    for _ in range(3):
        publish(harness, b"x")
        harness.commit()
        harness.crash()
    pages = stream(harness).log.pages
    data = stream(harness).log.read(pages[-1])
    assert len(pages) == 1
    assert [data[found - 9] & NAMES for found in _marks(data)] == [NAMES] * 3


def _marks(data: bytes) -> list[int]:
    found = []
    at = data.find(CHUNK_MARK)
    while at >= 0:
        found.append(at)
        at = data.find(CHUNK_MARK, at + 1)
    return found


# --- retention


def test_dropped_segments_are_deleted(each_disk: DiskHarness) -> None:
    each_disk.declare("t", queue_type="stream")
    each_disk.vhost.delete_queue(each_disk.queue("s"))
    each_disk.declare("s", queue_type="stream", max_length_bytes=1000, stream_max_segment_size_bytes=400)
    for i in range(30):
        publish(each_disk, b"%02d" % i + b"." * 98)
        each_disk.commit()
    kept = [body[:2] for body in bodies(each_disk)]
    assert kept[-1] == b"29"
    assert len(kept) < 12
    assert len(files(each_disk)) == len(stream(each_disk).log.segments)
    each_disk.crash()
    assert [body[:2] for body in bodies(each_disk)] == kept
    assert stream(each_disk).log.end == 30


def test_the_last_file_is_kept_until_a_newer_one_is_committed(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream", max_length_bytes=0, stream_max_segment_size_bytes=1)
    publish(harness, b"0")
    harness.commit()
    publish(harness, b"1")
    assert bodies(harness) == [b"1"]
    harness.crash()
    assert bodies(harness) == [b"0"]
    publish(harness, b"1")
    harness.commit()
    harness.crash()
    assert records(harness) == [Stored(1, b"1", True)]


# --- deletion


def test_the_files_of_a_deleted_stream_are_deleted(each_disk: DiskHarness) -> None:
    publish(each_disk, b"0")
    each_disk.commit()
    each_disk.vhost.delete_queue(each_disk.queue("s"))
    each_disk.commit()
    assert files(each_disk) == []
    each_disk.declare("s", queue_type="stream")
    publish(each_disk, b"1")
    each_disk.commit()
    each_disk.crash()
    assert records(each_disk) == [Stored(0, b"1", True)]


def test_a_stream_can_be_deleted_while_records_are_written(harness: DiskHarness) -> None:
    harness.loop.slow = True
    harness.declare("s", queue_type="stream")
    publish(harness, b"0")
    harness.commit()
    publish(harness, b"1")
    harness.vhost.delete_queue(harness.queue("s"))
    harness.loop.slow = False
    harness.loop.answer()
    harness.commit()
    assert files(harness) == []
    harness.crash()


# --- what a crash leaves behind


def test_an_incomplete_last_chunk_is_dropped(tmp_path: Path) -> None:
    """A file that was being written ends before the incomplete chunk."""
    harness = DiskHarness(tmp_path / "a")
    harness.declare("s", queue_type="stream")
    publish(harness, b"0", b"1")
    harness.commit()
    harness.kill()
    (path,) = files(harness)
    whole = path.read_bytes()
    second = _marks(whole)[1] - 13
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        harness.open()
        expected = [b"0"] if size >= second else []
        assert bodies(harness) == expected, size
        assert path.read_bytes() == (whole[:second] if expected else MARK)
        harness.kill()
        path.write_bytes(whole)


def test_a_damaged_chunk_before_the_last_is_reported(harness: DiskHarness) -> None:
    harness.declare("s", queue_type="stream")
    for body in (b"0", b"1", b"2"):
        publish(harness, body)
        harness.commit()
    harness.kill()
    (path,) = files(harness)
    whole = path.read_bytes()
    first, second = [place - 13 for place in _marks(whole)][:2]
    for at in range(first, second):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
        with pytest.raises(StoreError, match="damaged"):
            harness.open()
    path.write_bytes(whole)
    harness.open()
    assert bodies(harness) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_file_is_reported(tmp_path: Path, number: int) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream", stream_max_segment_size_bytes=1)
    for body in (b"0", b"1", b"2"):
        publish(harness, body)
        harness.commit()
    harness.kill()
    files(harness)[number].unlink()
    with pytest.raises(StoreError, match="missing"):
        harness.open()


def test_an_older_file_that_is_too_short_is_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream", stream_max_segment_size_bytes=1)
    publish(harness, b"0", b"1")
    harness.commit()
    harness.kill()
    path = files(harness)[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="damaged"):
        harness.open()


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b""), (f"{0:020d}.stream", b"something else")])
def test_unknown_files_are_reported(tmp_path: Path, name: str, content: bytes) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream")
    publish(harness, b"0")
    harness.commit()
    harness.kill()
    (files(harness)[0].parent / name).write_bytes(content)
    with pytest.raises(StoreError):
        harness.open()


def test_a_newer_format_is_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream")
    publish(harness, b"0")
    harness.commit()
    harness.kill()
    (path,) = files(harness)
    path.write_bytes(MARK[:7] + b"\x02" + path.read_bytes()[8:])
    with pytest.raises(StoreError, match="format 2"):
        harness.open()


# --- a disk that refuses


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_nothing_is_confirmed_while_the_disk_fails(tmp_path: Path, number: int) -> None:
    broken = FailingFiles()
    harness = DiskHarness(tmp_path, broken)
    harness.declare("s", queue_type="stream", stream_max_segment_size_bytes=300)
    publish(harness, b"safe")
    harness.commit()
    broken.broken = number
    given: list[bytes] = []
    for body in (b"late", b"later", b"." * 300, b"last"):
        harness.store.journal.when_settled(publish(harness, body), lambda body=body: given.append(body))
        harness.loop.run(20)
    assert given == []
    broken.broken = 0
    harness.commit()
    assert given == [b"late", b"later", b"." * 300, b"last"]
    harness.crash()
    assert bodies(harness) == [b"safe", b"late", b"later", b"." * 300, b"last"]
    harness.kill()


def test_a_failed_sync_is_repaired(tmp_path: Path) -> None:
    broken = FailingFiles()
    harness = DiskHarness(tmp_path, broken)
    harness.declare("s", queue_type="stream")
    publish(harness, b"safe")
    harness.commit()
    safe = files(harness)[0].stat().st_size
    harness.loop.slow = True
    given: list[str] = []
    harness.store.journal.when_settled(
        publish(harness, b"late", b"." * PAGE_BYTES, b"later"), lambda: given.append("late")
    )
    harness.loop.run(5)
    broken.broken = errno.EIO
    harness.loop.answer()
    harness.loop.slow = False
    harness.loop.run(5)
    (path,) = files(harness)
    path.write_bytes(path.read_bytes()[:safe])  # what the system has forgotten
    assert given == []
    broken.broken = 0
    harness.commit()
    assert given == ["late"]
    harness.crash()
    assert bodies(harness) == [b"safe", b"late", b"." * PAGE_BYTES, b"later"]
    harness.kill()


def test_a_failed_sync_before_a_new_file_is_repaired(tmp_path: Path) -> None:
    """A file is synced before the next one begins; what the system has dropped is written again."""
    lossy = LossyFiles()
    harness = DiskHarness(tmp_path, lossy)
    harness.declare("s", queue_type="stream", stream_max_segment_size_bytes=300)
    publish(harness, b"safe")
    harness.commit()
    publish(harness, b"." * 300, b"next")
    lossy.broken = True
    harness.commit()
    assert len(files(harness)) == 2
    harness.crash()
    assert bodies(harness) == [b"safe", b"." * 300, b"next"]
    harness.kill()


def test_there_may_be_more_streams_than_open_files(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.files.stream_files = 3
    names = [f"s{number}" for number in range(10)]
    for name in names:
        harness.declare(name, queue_type="stream", stream_max_segment_size_bytes=300)
    for number in range(4):
        for name in names:
            harness.push(name, message(b"%d" % number * 100))
            harness.commit()
            assert len(harness.store.streams.opened) <= 3
    harness.crash()
    assert [harness.queue(name).ready for name in names] == [4] * 10
    assert not harness.store.streams.opened
    harness.kill()


def two_streams(place: Path, disk: Files) -> DiskHarness:
    """A harness with the streams `s` and `t`, which were written, for a delivery, and are not synced; `t` last."""
    harness = DiskHarness(place, disk)
    for name in ("s", "t"):
        harness.declare(name, queue_type="stream")
        harness.push(name, message(b"safe"))
    harness.commit()
    for name in ("s", "t"):
        harness.push(name, message(b"unsynced"))
        queue = harness.queue(name)
        assert isinstance(queue, StreamQueue) and queue.log.stream_journal is not None
        queue.log.stream_journal.mark_delivered()
        harness.flush()
    return harness


def test_what_is_lost_when_a_file_is_closed_for_another_one_is_written_again(tmp_path: Path) -> None:
    """The kernel reports a failed sync once."""
    lossy = LossyFiles()
    harness = two_streams(tmp_path, lossy)
    first, _ = harness.store.streams.opened
    assert first.synced < first.written
    lossy.broken = True
    assert not lossy.make_room() and first.handle >= 0
    harness.commit()
    harness.crash()
    assert bodies(harness) == [b"safe", b"unsynced"]
    assert harness.queue("t").ready == 2
    harness.kill()


def test_no_file_is_closed_while_a_thread_uses_it(tmp_path: Path) -> None:
    """Another thread may close it to make room. The event loop does not wait for that, and closes it later."""
    harness = two_streams(tmp_path, Files())
    streams = harness.store.streams
    held, over = threading.Event(), threading.Event()

    def use() -> None:
        with streams.lock:
            held.set()
            over.wait()

    thread = threading.Thread(target=use)
    thread.start()
    held.wait()
    opened = list(streams.opened)
    for name in ("s", "t"):
        harness.vhost.delete_queue(harness.queue(name))
    left = [file.handle for file in opened]
    over.set()
    thread.join()
    assert min(left) >= 0
    harness.commit()
    assert all(file.handle < 0 for file in opened) and not streams.opened
    harness.kill()


class StreamsFail(Files):
    """Files of streams cannot be synced while `broken`."""

    broken = False

    def sync(self, file: int) -> None:
        if self.broken and "streams" in str(self._paths[file]):
            raise OSError(errno.EIO, "broken")
        super().sync(file)


def test_while_streams_cannot_be_synced_writing_fails_without_a_break(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It does not look as if it worked between two attempts."""
    disk = StreamsFail()
    harness = DiskHarness(tmp_path, disk)
    harness.declare("s", queue_type="stream")
    harness.declare("q")
    disk.broken = True
    publish(harness, b"1")
    harness.push("q", message(b"2"))
    harness.loop.run(100)
    assert caplog.text.count("cannot write") == 1 and harness.store.failing is not None
    disk.broken = False
    harness.commit()
    assert caplog.text.count("cannot write") == 1 and harness.store.failing is None
    harness.crash()
    assert bodies(harness) == [b"1"] and harness.bodies("q") == [b"2"]
    harness.kill()


class LoopGuard(Files):
    """Files that are begun and synced in the store's thread only."""

    harness: DiskHarness | None = None

    def sync(self, file: int) -> None:
        assert self.harness is None or self.harness.loop.inside
        super().sync(file)

    def sync_directory(self, path: Path) -> None:
        assert self.harness is None or self.harness.loop.inside
        super().sync_directory(path)


def published_before_the_answer(harness: DiskHarness) -> list[str]:
    """Publish a record to stream s before a step of the thread has ended, and commit it. Returns what was settled."""
    settled: list[str] = []
    ticket = publish(harness, b"0")
    harness.store.journal.when_settled(ticket, lambda: settled.append("settled"))
    harness.loop.slow = False
    harness.loop.answer()
    harness.commit()
    return settled


def test_a_stream_that_begins_while_a_commit_is_prepared_is_begun_in_the_thread(tmp_path: Path) -> None:
    guard = LoopGuard()
    harness = DiskHarness(tmp_path, guard)
    harness.declare("s", queue_type="stream")
    harness.commit()
    guard.harness = harness
    harness.loop.slow = True
    harness.declare("q")
    harness.push("q", message(b"a"))
    harness.loop.run()  # a step of the thread is asked for: the catalogue is written
    settled = published_before_the_answer(harness)
    assert settled == ["settled"]
    guard.harness = None
    harness.crash()
    assert bodies(harness) == [b"0"]
    harness.kill()


def test_the_first_publish_after_a_start_may_come_while_the_catalogue_is_written(tmp_path: Path) -> None:
    """Records of streams do not need the message log, which has no file yet."""
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream")
    harness.commit()
    harness.restart()
    harness.loop.slow = True
    harness.declare("q")
    harness.loop.run()  # a step of the thread is asked for: the catalogue is written
    settled = published_before_the_answer(harness)
    assert settled == ["settled"] and harness.store.failing is None
    harness.crash()
    assert bodies(harness) == [b"0"]
    harness.push("q", message(b"a"))
    publish(harness, b"1")
    harness.commit()
    harness.crash()
    assert (bodies(harness), harness.bodies("q")) == ([b"0", b"1"], [b"a"])
    harness.kill()
