"""Streams on disk: offsets, chunks and times come back; files end where a kill has left them; retention deletes."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

import pytest

from leveret.queues.segments import CHUNK, FILTER, NAMES, PAGE, PROOF, PROOF_SIZE
from leveret.queues.stream import StreamQueue
from leveret.store import streams
from leveret.store.errors import StoreError
from leveret.store.streams import CHUNK_MARK, MARK
from tests.stores.faults import Broken, Fickle, Forgetful, Piecemeal
from tests.stores.houses import DiskHouse, message


class Stored(NamedTuple):
    """One record: its offset, its body, and whether it begins a chunk."""

    offset: int
    body: bytes
    chunk: bool


def records(house: DiskHouse) -> list[Stored]:
    """Everything in stream `s`, as a reader finds it."""
    found = []
    log = stream(house).log
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


def bodies(house: DiskHouse) -> list[bytes]:
    return [record.body for record in records(house)]


def stream(house: DiskHouse) -> StreamQueue:
    queue = house.queue("s")
    assert isinstance(queue, StreamQueue)
    return queue


def publish(house: DiskHouse, *contents: bytes) -> int:
    """Each in a turn of its own; the last ticket."""
    ticket = 0
    for body in contents:
        house.clock.turn += 1
        ticket = house.push("s", message(body, persistent=False))
    return ticket


def files(house: DiskHouse) -> list[Path]:
    return sorted((house.directory / "streams").glob("*/*.stream"))


@pytest.fixture(params=["files", "piecemeal", "fickle"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> DiskHouse:
    kinds = {"files": None, "piecemeal": Piecemeal(), "fickle": Fickle()}
    made = DiskHouse(tmp_path, kinds[request.param])
    made.declare("s", queue_type="stream")
    return made


@pytest.mark.parametrize("way", ["crash", "restart"])
def test_everything_confirmed_comes_back(house: DiskHouse, way: str) -> None:
    told: list[str] = []
    first = publish(house, b"0", b"1")
    house.store.journal.when_settled(first, lambda: told.append("first"))
    house.commit()
    assert told == ["first"]
    house.clock.turn += 1
    house.push("s", message(b"2"), message(b"3"))
    house.commit()
    getattr(house, way)()
    kept = [(0, b"0", True), (1, b"1", True), (2, b"2", True), (3, b"3", False)]
    assert records(house) == [Stored(*one) for one in kept]
    log = stream(house).log
    assert (log.first(), log.end, log.last, stream(house).ready) == (0, 4, 2, 4)
    publish(house, b"4")
    house.commit()
    getattr(house, way)()
    assert [(one.offset, one.body) for one in records(house)][-1] == (4, b"4")
    house.leave()


def test_times_come_back(house: DiskHouse) -> None:
    began = house.clock.now
    for body in (b"0", b"1", b"2"):
        publish(house, body)
        house.clock.advance(10_000)
    house.commit()
    house.crash()
    assert [stream(house).log.offset_at(began + at) for at in (0, 1, 10_000, 20_000, 20_001)] == [
        0,
        1,
        1,
        2,
        3,
    ]
    house.leave()


def test_what_was_not_committed_is_gone(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    publish(house, b"0")
    house.commit()
    publish(house, b"lost")
    house.crash()
    assert bodies(house) == [b"0"]
    publish(house, b"1")
    house.commit()
    house.crash()
    assert bodies(house) == [b"0", b"1"]
    house.leave()


def test_what_was_delivered_is_written_first(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    house.commit()
    publish(house, b"0")
    assert not house.store.unsaid
    chronicle = stream(house).log.chronicle
    assert chronicle is not None
    chronicle.heard()
    assert house.store.unsaid
    assert house.store.before_sending()
    assert not house.store.unsaid
    house.crash()
    assert bodies(house) == [b"0"]
    house.leave()


def test_long_streams_leave_memory(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    told = [b"%d" % i + b"." * (PAGE // 3) for i in range(20)]
    for body in told:
        publish(house, body)
        house.commit()
    assert sum(page.data is not None for page in stream(house).log.pages) == 1
    assert bodies(house) == told
    house.crash()
    assert bodies(house) == told
    assert len(files(house)) == 1
    house.leave()


def test_names_begin_anew_after_a_restart(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    for _ in range(3):
        publish(house, b"x")
        house.commit()
        house.crash()
    pages = stream(house).log.pages
    data = stream(house).log.read(pages[-1])
    assert len(pages) == 1
    assert [data[found - 9] & NAMES for found in _marks(data)] == [NAMES] * 3
    house.leave()


def _marks(data: bytes) -> list[int]:
    found = []
    at = data.find(CHUNK_MARK)
    while at >= 0:
        found.append(at)
        at = data.find(CHUNK_MARK, at + 1)
    return found


# --- retention


def test_dropped_segments_are_deleted(house: DiskHouse) -> None:
    house.declare("t", queue_type="stream")
    house.vhost.delete_queue(house.queue("s"))
    house.declare("s", queue_type="stream", max_length_bytes=1000, stream_max_segment_size_bytes=400)
    for i in range(30):
        publish(house, b"%02d" % i + b"." * 98)
        house.commit()
    kept = [body[:2] for body in bodies(house)]
    assert kept[-1] == b"29"
    assert len(kept) < 12
    assert len(files(house)) == len(stream(house).log.segments)
    house.crash()
    assert [body[:2] for body in bodies(house)] == kept
    assert stream(house).log.end == 30
    house.leave()


def test_the_last_file_stays_until_there_is_a_newer_one(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream", max_length_bytes=0, stream_max_segment_size_bytes=1)
    publish(house, b"0")
    house.commit()
    publish(house, b"1")
    assert bodies(house) == [b"1"]
    house.crash()
    assert bodies(house) == [b"0"]
    publish(house, b"1")
    house.commit()
    house.crash()
    assert records(house) == [Stored(1, b"1", True)]
    house.leave()


# --- deletion


def test_a_deleted_stream_takes_its_files_along(house: DiskHouse) -> None:
    publish(house, b"0")
    house.commit()
    house.vhost.delete_queue(house.queue("s"))
    house.commit()
    assert files(house) == []
    house.declare("s", queue_type="stream")
    publish(house, b"1")
    house.commit()
    house.crash()
    assert records(house) == [Stored(0, b"1", True)]
    house.leave()


def test_deleted_with_records_on_their_way(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.hands.slow = True
    house.declare("s", queue_type="stream")
    publish(house, b"0")
    house.commit()
    publish(house, b"1")
    house.vhost.delete_queue(house.queue("s"))
    house.hands.slow = False
    house.hands.answer()
    house.commit()
    assert files(house) == []
    house.crash()
    house.leave()


# --- what a crash leaves behind


def test_cut_at_every_octet(tmp_path: Path) -> None:
    """A file that was being written ends before the chunk that is not whole."""
    house = DiskHouse(tmp_path / "a")
    house.declare("s", queue_type="stream")
    publish(house, b"0", b"1")
    house.commit()
    house.leave()
    (path,) = files(house)
    whole = path.read_bytes()
    second = _marks(whole)[1] - 13
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        house.enter()
        expected = [b"0"] if size >= second else []
        assert bodies(house) == expected, size
        assert path.read_bytes() == (whole[:second] if expected else MARK)
        house.leave()
        path.write_bytes(whole)


def test_a_bad_chunk_that_had_been_safe(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    for body in (b"0", b"1", b"2"):
        publish(house, body)
        house.commit()
    house.leave()
    (path,) = files(house)
    whole = path.read_bytes()
    first, second = [place - 13 for place in _marks(whole)][:2]
    for at in range(first, second):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
        with pytest.raises(StoreError, match="damaged"):
            house.enter()
    path.write_bytes(whole)
    house.enter()
    assert bodies(house) == [b"0", b"1", b"2"]
    house.leave()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_file(tmp_path: Path, number: int) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream", stream_max_segment_size_bytes=1)
    for body in (b"0", b"1", b"2"):
        publish(house, body)
        house.commit()
    house.leave()
    files(house)[number].unlink()
    if number == 0:  # as if retention had taken it
        house.enter()
        assert bodies(house) == [b"1", b"2"]
        house.leave()
        return
    with pytest.raises(StoreError, match="missing"):
        house.enter()


def test_an_older_file_cut_short(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream", stream_max_segment_size_bytes=1)
    publish(house, b"0", b"1")
    house.commit()
    house.leave()
    path = files(house)[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match="damaged"):
        house.enter()


@pytest.mark.parametrize(("name", "content"), [("notes.txt", b""), (f"{0:020d}.stream", b"something else")])
def test_foreign_files(tmp_path: Path, name: str, content: bytes) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    publish(house, b"0")
    house.commit()
    house.leave()
    (files(house)[0].parent / name).write_bytes(content)
    with pytest.raises(StoreError):
        house.enter()


def test_a_newer_format(tmp_path: Path) -> None:
    house = DiskHouse(tmp_path)
    house.declare("s", queue_type="stream")
    publish(house, b"0")
    house.commit()
    house.leave()
    (path,) = files(house)
    path.write_bytes(MARK[:7] + b"\x02" + path.read_bytes()[8:])
    with pytest.raises(StoreError, match="format 2"):
        house.enter()


# --- a disk that refuses


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_nothing_is_confirmed_while_the_disk_refuses(tmp_path: Path, number: int) -> None:
    broken = Broken()
    house = DiskHouse(tmp_path, broken)
    house.declare("s", queue_type="stream", stream_max_segment_size_bytes=300)
    publish(house, b"safe")
    house.commit()
    broken.broken = number
    told: list[bytes] = []
    for body in (b"late", b"later", b"." * 300, b"last"):
        house.store.journal.when_settled(publish(house, body), lambda body=body: told.append(body))
        house.hands.run(20)
    assert told == []
    broken.broken = 0
    house.commit()
    assert told == [b"late", b"later", b"." * 300, b"last"]
    house.crash()
    assert bodies(house) == [b"safe", b"late", b"later", b"." * 300, b"last"]
    house.leave()


def test_a_sync_that_fails_is_made_good(tmp_path: Path) -> None:
    broken = Broken()
    house = DiskHouse(tmp_path, broken)
    house.declare("s", queue_type="stream")
    publish(house, b"safe")
    house.commit()
    safe = files(house)[0].stat().st_size
    house.hands.slow = True
    told: list[str] = []
    house.store.journal.when_settled(
        publish(house, b"late", b"." * PAGE, b"later"), lambda: told.append("late")
    )
    house.hands.run(5)
    broken.broken = errno.EIO
    house.hands.answer()
    house.hands.slow = False
    house.hands.run(5)
    (path,) = files(house)
    path.write_bytes(path.read_bytes()[:safe])  # what the system has forgotten
    assert told == []
    broken.broken = 0
    house.commit()
    assert told == ["late"]
    house.crash()
    assert bodies(house) == [b"safe", b"late", b"." * PAGE, b"later"]
    house.leave()


def test_a_sync_that_fails_between_two_files(tmp_path: Path) -> None:
    """A file is synced before the next begins; what the system has dropped then is written once more."""
    forgetful = Forgetful()
    house = DiskHouse(tmp_path, forgetful)
    house.declare("s", queue_type="stream", stream_max_segment_size_bytes=300)
    publish(house, b"safe")
    house.commit()
    publish(house, b"." * 300, b"next")
    forgetful.broken = True
    house.commit()
    assert len(files(house)) == 2
    house.crash()
    assert bodies(house) == [b"safe", b"." * 300, b"next"]
    house.leave()


def test_more_streams_than_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "OPEN", 3)
    house = DiskHouse(tmp_path)
    names = [f"s{number}" for number in range(10)]
    for name in names:
        house.declare(name, queue_type="stream", stream_max_segment_size_bytes=300)
    for number in range(4):
        for name in names:
            house.push(name, message(b"%d" % number * 100))
            house.commit()
            assert house.store.streams.open <= 4
    house.crash()
    assert [house.queue(name).ready for name in names] == [4] * 10
    assert house.store.streams.open == 0
    house.leave()
