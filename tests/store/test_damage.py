"""Damaged files: which are reported, what is the end of the log, and that nothing is overwritten."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leveret.store.catalogue import schema
from leveret.store.errors import StoreError
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages import records
from tests.stores.harness import DiskHarness, message

SEGMENT = 700


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "messages").iterdir()}


@contextmanager
def refused(directory: Path, *words: str) -> Iterator[None]:
    """The broker does not start, gives this reason, and has changed nothing."""
    yield
    before = contents(directory)
    with pytest.raises(StoreError) as caught:
        DiskHarness(directory)
    for word in (*words, "Nothing was changed"):
        assert word in str(caught.value)
    assert contents(directory) == before
    with pytest.raises(StoreError) as again:
        DiskHarness(directory)
    assert str(again.value) == str(caught.value)  # the first try has released its lock


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Three segments; the newest has at least two blocks of messages, numbered, in queue q."""
    harness = DiskHarness(tmp_path, segment=SEGMENT)
    harness.declare("q")
    number = 0
    while len(harness.logs()) < 3 or harness.logs()[-1].stat().st_size < SEGMENT - 200:
        harness.push("q", message(b"%d" % number), message(b"%d" % (number + 1)))
        harness.commit()
        number += 2
    harness.kill()
    return tmp_path


def good_blocks(path: Path) -> list[log_blocks.LogBlock]:
    return list(log_blocks.walk(path.read_bytes(), len(log_blocks.MARK)))


def survivors(directory: Path) -> list[bytes]:
    harness = DiskHarness(directory)
    bodies = harness.bodies("q")
    harness.kill()
    return bodies


def test_an_incomplete_last_block_is_the_end_of_the_log(full: Path, tmp_path: Path) -> None:
    newest = sorted((full / "messages").glob("*.log"))[-1]
    data = newest.read_bytes()
    everything = survivors(full)
    last = good_blocks(newest)[-1]
    for end in range(last.at, len(data)):
        newest.write_bytes(data[:end])
        assert survivors(full) == everything[:-2]
    newest.write_bytes(data)
    assert survivors(full) == everything


def test_a_damaged_last_block_is_the_end_of_the_log(full: Path) -> None:
    newest = sorted((full / "messages").glob("*.log"))[-1]
    data = newest.read_bytes()
    everything = survivors(full)
    last = good_blocks(newest)[-1]
    for at in range(last.at, last.end):
        newest.write_bytes(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
        assert survivors(full) == everything[:-2]


def test_damage_in_any_other_block_is_reported(full: Path) -> None:
    for path in sorted((full / "messages").glob("*.log")):
        data = path.read_bytes()
        newest = path == sorted((full / "messages").glob("*.log"))[-1]
        end = good_blocks(path)[-1].at if newest else len(data)
        for at in range(0, end, 7):
            path.write_bytes(data[:at] + bytes((data[at] ^ 1 << at % 8,)) + data[at + 1 :])
            with pytest.raises(StoreError, match=path.name):
                DiskHarness(full)
        path.write_bytes(data)
    assert survivors(full)


@pytest.mark.parametrize("sequence", [5, (1 << 24) - 2])
def test_damage_of_any_length_is_not_taken_for_the_end_of_the_log(sequence: int) -> None:
    """Many small blocks may be damaged together, and what fills them may be zeros or numbers."""
    for damage in (bytes(200_000), b"\0\0\0\0\0\0\0\5" * 20_000):
        begin = log_blocks.MARK + damage
        later = log_blocks.block(log_blocks.CONTINUED, sequence + 4000, sequence + 3999)
        assert log_blocks.vouched(begin + later, len(log_blocks.MARK), sequence)
        assert not log_blocks.vouched(begin, len(log_blocks.MARK), sequence)
        unsynced = log_blocks.block(log_blocks.CONTINUED, sequence + 1, sequence - 1)
        assert not log_blocks.vouched(begin + unsynced, len(log_blocks.MARK), sequence)
        assert not log_blocks.vouched(begin + later[:-1], len(log_blocks.MARK), sequence)


def test_a_block_that_is_missing_or_there_twice_is_reported(full: Path) -> None:
    newest = sorted((full / "messages").glob("*.log"))[-1]
    data = newest.read_bytes()
    _, first, second, *_ = good_blocks(newest)
    for changed in (data[: first.at] + data[first.end :], data[: second.at] + data[first.at :]):
        with refused(full, newest.name, "damaged at octet", "belongs"):
            newest.write_bytes(changed)
    newest.write_bytes(data)
    assert survivors(full)


@pytest.mark.parametrize("kind", [records.SETTLED, records.DELIVERED])
@pytest.mark.parametrize(("first", "last"), [(1, (1 << 64) - 1), (1, 1 << 40), (5, 4)])
def test_a_good_block_with_impossible_positions_is_reported(
    full: Path, kind: int, first: int, last: int
) -> None:
    """Reading each of them would never end."""
    newest = sorted((full / "messages").glob("*.log"))[-1]
    block = good_blocks(newest)[-1]
    record = struct.pack(">BIIQQ", kind, 1, 1, first, last)
    with refused(full, newest.name, f"positions from {first} to {last}"):
        data = newest.read_bytes() + log_blocks.block(record, block.sequence + 1, block.synced)
        newest.write_bytes(data)


def test_a_damaged_file_is_not_changed(full: Path) -> None:
    oldest = sorted((full / "messages").glob("*.log"))[0]
    with refused(full, str(oldest), "damaged at octet", "Restore the file from a backup"):
        data = bytearray(oldest.read_bytes())
        data[len(data) // 2] ^= 4
        oldest.write_bytes(data)


def test_an_older_segment_that_is_too_short_is_reported(full: Path) -> None:
    oldest = sorted((full / "messages").glob("*.log"))[0]
    with refused(full, str(oldest), "damaged"):
        oldest.write_bytes(oldest.read_bytes()[: good_blocks(oldest)[-1].at])


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_segment_is_reported(full: Path, which: int) -> None:
    path = sorted((full / "messages").glob("*.log"))[which]
    with refused(full, str(path), "is missing"):
        path.unlink()


def test_an_unknown_file_among_the_segments_is_reported(full: Path) -> None:
    with refused(full, "notes.txt", "Move the file away"):
        (full / "messages" / "notes.txt").write_text("mine")


def test_a_segment_with_unknown_content_is_reported(full: Path) -> None:
    newest = sorted((full / "messages").glob("*.log"))[-1]
    with refused(full, newest.name, "is not a segment of a Leveret message log"):
        newest.write_bytes(b"PK\3\4" + bytes(500))


def test_a_segment_of_a_later_version_is_reported(full: Path) -> None:
    newest = sorted((full / "messages").glob("*.log"))[-1]
    header = log_blocks.header(int(newest.stem), {})
    later = header[:1] + (log_blocks.VERSION + 1).to_bytes(4, "big") + header[5:]
    with refused(full, newest.name, f"has format {log_blocks.VERSION + 1}"):
        newest.write_bytes(log_blocks.MARK + log_blocks.block(later, 99, 98))


def test_an_unfinished_new_segment_is_deleted(full: Path) -> None:
    everything = survivors(full)
    left = full / "messages" / "00000099.new"
    left.write_bytes(log_blocks.MARK)
    assert survivors(full) == everything
    assert not left.exists()


def test_metadata_that_is_not_a_database_is_reported(full: Path) -> None:
    with refused(full, "metadata.sqlite", "file is not a database"):
        (full / "metadata.sqlite").write_bytes(b"hello, world" * 100)


def test_metadata_of_another_program_is_reported(full: Path) -> None:
    (full / "metadata.sqlite").unlink()
    with (
        refused(full, "metadata.sqlite", "another program"),
        sqlite3.connect(full / "metadata.sqlite") as other,
    ):
        other.execute("CREATE TABLE cookies (name)")


@pytest.mark.parametrize("empty", [False, True])
def test_messages_without_metadata_are_reported(full: Path, empty: bool) -> None:
    path = full / "metadata.sqlite"
    with refused(full, str(path), "is missing"):
        path.unlink()
        if empty:
            path.touch()


def test_a_stream_without_metadata_is_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("s", queue_type="stream")
    harness.push("s", message(b"1"))
    harness.commit()
    harness.kill()
    for left in [*tmp_path.glob("metadata.*"), *tmp_path.glob("messages/*")]:
        left.unlink()
    (path,) = tmp_path.glob("streams/*/*.stream")
    with pytest.raises(StoreError, match="is missing"):
        DiskHarness(tmp_path)
    assert path.exists()


def test_files_of_a_deleted_stream_are_kept_while_the_log_is_damaged(full: Path) -> None:
    left = full / "streams" / "00000000"  # a number that was given
    left.mkdir(parents=True)
    oldest = sorted((full / "messages").glob("*.log"))[0]
    data = oldest.read_bytes()
    with refused(full, str(oldest)):
        oldest.write_bytes(data[:-1])
    assert left.exists()
    oldest.write_bytes(data)
    assert survivors(full)
    assert not left.exists()


def test_damaged_metadata_is_reported(full: Path) -> None:
    path = full / "metadata.sqlite"
    with refused(full, "metadata.sqlite"):
        data = bytearray(path.read_bytes())
        data[4096:8192] = b"\xff" * 4096
        path.write_bytes(data)


def test_metadata_of_a_later_version_is_reported(full: Path) -> None:
    with refused(full, "metadata.sqlite", f"has format {schema.VERSION + 1}"):
        with sqlite3.connect(full / "metadata.sqlite") as later:
            later.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        later.close()


def test_metadata_without_messages_is_reported(full: Path) -> None:
    with pytest.raises(StoreError, match="is missing"):
        shutil.rmtree(full / "messages")
        DiskHarness(full)


def test_a_second_broker_is_refused(full: Path) -> None:
    first = DiskHarness(full)
    with pytest.raises(StoreError, match=r"lock is locked: another broker \(process \d+\)"):
        DiskHarness(full)
    first.kill()
    DiskHarness(full).kill()
