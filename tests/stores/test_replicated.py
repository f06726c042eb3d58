"""A data directory that is made from a log: what the log keeps, and what the next owner finds."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from leveret.store.directory_builder import DirectoryBuilder
from leveret.store.errors import StoreError
from leveret.store.replicated import Change, ReplicatedFiles
from tests.stores.harness import MemoryLog, ReplicatedHarness, message


def build(log: MemoryLog, directory: Path) -> DirectoryBuilder:
    """A directory made from a log."""
    directory.mkdir()
    builder = DirectoryBuilder(directory)
    for change in log.changes:
        builder.apply(change)
    builder.finish()
    return builder


def test_after_an_owner_that_did_not_leave_in_peace_all_messages_are_redelivered(tmp_path: Path) -> None:
    harness = ReplicatedHarness(tmp_path)
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.interrupted = True
    harness.crash()
    assert harness.look("q") == [(b"a", True), (b"b", True)]


def test_after_another_owner_that_leaves_in_peace_they_still_are(tmp_path: Path) -> None:
    """Not only those that this one has delivered: the one before it may have delivered any."""
    harness = ReplicatedHarness(tmp_path)
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.interrupted = True
    harness.crash()
    harness.interrupted = False
    harness.push("q", message(b"c"))
    harness.restart()
    assert harness.look("q") == [(b"a", True), (b"b", True), (b"c", False)]


def test_what_was_not_synced_is_not_there(tmp_path: Path) -> None:
    harness = ReplicatedHarness(tmp_path)
    harness.declare("q")
    harness.push("q", message(b"a"))
    harness.commit()
    harness.log.offline = True
    harness.push("q", message(b"b"))
    harness.commit()
    assert harness.store.journal.settled < harness.store.journal.ticket
    harness.log.offline = False
    harness.running = False
    harness.store.release()
    harness.open()
    assert harness.bodies("q") == [b"a"]


def test_what_could_not_be_appended_is_appended_later(tmp_path: Path) -> None:
    harness = ReplicatedHarness(tmp_path)
    harness.declare("q")
    harness.commit()
    harness.log.offline = True
    harness.push("q", message(b"a"))
    harness.commit()
    harness.log.offline = False
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == [b"a"]


def test_the_log_keeps_only_what_is_needed(tmp_path: Path) -> None:
    harness = ReplicatedHarness(tmp_path, segment=4000)
    harness.declare("q")
    harness.commit()
    for number in range(60):
        harness.push("q", *(message(b"x" * 200) for _ in range(10)))
        harness.commit()
        harness.ack(*harness.take("q", 10))
        harness.commit()
        if number % 20 == 19:
            harness.restart()
    kept = {change.subject for change in harness.log.changes}
    assert len(kept) <= 12
    assert sum(len(change.data) for change in harness.log.changes) < 60_000


def test_a_snapshot_of_the_catalogue_replaces_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leveret.store.replicated.SNAPSHOT_BYTES", 4000)
    harness = ReplicatedHarness(tmp_path)
    for _ in range(100):
        harness.vhost.delete_queue(harness.declare("q"))
        harness.declare("r")
        harness.commit()
    assert sum(len(change.data) for change in harness.log.changes) < 30_000
    harness.crash()
    assert list(harness.vhost.queues) == ["r"]


def test_a_replaced_file_is_dropped_and_its_successor_has_its_name(tmp_path: Path) -> None:
    log = MemoryLog()
    own = tmp_path / "own"
    own.mkdir()
    files = ReplicatedFiles(own, log, 1, {})
    for content in (b"one", b"two"):
        file = files.create(own / "a.new")
        files.write(file, content, 0)
        files.sync(file)
        files.replace(own / "a.new", own / "a")
        files.close(file)
    assert {change.subject for change in log.changes} == {"1-2"}
    builder = build(log, tmp_path / "other")
    assert (builder.directory / "a").read_bytes() == b"two"
    assert builder.subjects == {builder.directory / "a": "1-2"}


def test_changes_of_a_deleted_file_are_not_appended(tmp_path: Path) -> None:
    log = MemoryLog()
    files = ReplicatedFiles(tmp_path, log, 1, {})
    kept, deleted = files.create(tmp_path / "kept"), files.create(tmp_path / "deleted")
    files.write(deleted, b"x", 0)
    files.close(deleted)
    files.remove(tmp_path / "deleted")
    files.write(kept, b"y", 0)
    files.truncate(kept, 0)
    files.sync(kept)
    files.close(kept)
    assert {change.subject for change in log.changes} == {"1-1"}


def test_a_long_write_is_divided(tmp_path: Path) -> None:
    log = MemoryLog()
    own = tmp_path / "own"
    own.mkdir()
    files = ReplicatedFiles(own, log, 1, {})
    file = files.create(own / "a")
    data = bytes(range(256)) * 4000
    files.write(file, data, 0)
    files.sync(file)
    files.close(file)
    assert max(len(change.data) for change in log.changes) < 300 * 1024
    builder = build(log, tmp_path / "other")
    assert (builder.directory / "a").read_bytes() == data


@pytest.mark.parametrize(
    "change",
    [
        Change("1-1", b"\x02" + bytes(12)),  # a write to a file that was never created
        Change("1-1", b"\x01" + bytes(8) + b"\0\0\0\x04../a"),
        Change("1-1", b"\x01" + bytes(8) + b"\0\0\0\x05/etc/"),
        Change("1-1", b"\x01" + bytes(8) + b"\0\0\0\xff"),
        Change("1-1", b"\x01"),
        Change("1-1", b"\x09" + bytes(12)),  # of a later version
    ],
)
def test_records_that_cannot_be_applied_are_refused(tmp_path: Path, change: Change) -> None:
    with pytest.raises(StoreError, match="subject 1-1"):
        DirectoryBuilder(tmp_path).apply(change)


def test_a_failed_append_is_an_error_of_the_disk(tmp_path: Path) -> None:
    log = MemoryLog()
    files = ReplicatedFiles(tmp_path, log, 1, {})
    file = files.create(tmp_path / "a")
    log.offline = True
    with pytest.raises(OSError) as raised:
        files.sync(file)
    assert raised.value.errno == errno.EIO
    log.offline = False
    files.sync(file)
    files.close(file)
    assert log.changes
