"""A disk that hangs without an error: the event loop never waits for it, and deliveries go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.disk import SLICE_ENTRIES
from leveret.store.files import Files
from tests.stores.harness import DiskHarness, FakeLoop, message


class ThreadFiles(Files):
    """Refuses to sync in the event loop. `loop`: the one of the harness, once it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: FakeLoop | None = None
        self.synced = 0

    def _check(self) -> None:
        self.synced += 1
        assert self.loop is None or self.loop.inside, "a sync in the event loop"

    def sync(self, file: int) -> None:
        self._check()
        super().sync(file)

    def sync_directory(self, path: Path) -> None:
        self._check()
        super().sync_directory(path)


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DiskHarness]:
    """A broker whose files and catalogue are synced in the store's thread only."""
    files = ThreadFiles()
    harness = DiskHarness(tmp_path, files, 4096)
    files.loop = harness.loop
    write = SqliteCatalogue.write

    def checked(catalogue: SqliteCatalogue) -> None:
        assert harness.loop.inside or not catalogue.taken, "a transaction in the event loop"
        write(catalogue)

    monkeypatch.setattr(SqliteCatalogue, "write", checked)
    yield harness
    harness.kill()


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_syncs_run_in_the_thread(harness: DiskHarness, kind: str) -> None:
    """Declarations, small and large commits, new segments, streams, deletions."""
    for number in range(3):
        harness.declare(f"q{number}", queue_type=kind)
        harness.push(f"q{number}", message(b"small"), *(message(b"x" * 1000) for _ in range(20)))
        harness.commit()
    if kind != "stream":
        harness.ack(*harness.take("q0", 21))
    harness.vhost.delete_queue(harness.queue("q1"))
    harness.commit()
    assert not harness.store.catalogue.pending
    assert isinstance(harness.files, ThreadFiles)
    assert harness.files.synced > 3


def test_retention_runs_in_the_thread(harness: DiskHarness) -> None:
    """The catalogue learns of the oldest file before the dropped ones are deleted."""
    harness.declare("s", queue_type="stream", max_length_bytes=8000, stream_max_segment_size_bytes=4000)
    for _ in range(30):
        harness.push("s", message(b"x" * 1000))
        harness.clock.advance(1)
        harness.commit()
    assert len(list((harness.directory / "streams").glob("*/*"))) < 6


def test_nothing_is_written_while_a_sync_hangs(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.loop.slow = True
    harness.push("q", message(b"c"))
    harness.loop.run()
    harness.queue("q").get(False)
    assert harness.store.write_delivered_marks(), "the file can be written while it is synced"
    assert not harness.store.has_unwritten_marks
    harness.loop.run()
    assert harness.store.stalled
    harness.queue("q").get(False)
    assert harness.store.write_delivered_marks(), "sent without its mark"
    assert harness.store.has_unwritten_marks
    harness.loop.answer()
    harness.loop.slow = False
    assert not harness.store.stalled
    harness.commit()
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None  # a start may wait
    harness.crash()
    assert harness.look("q") == [(b"a", True), (b"b", True), (b"c", False)]


def test_deliveries_wait_for_new_files_until_they_hang(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"))
    harness.commit()
    harness.loop.slow = True
    woken: list[bool] = []
    harness.store.on_writable = lambda: woken.append(harness.store.stalled)
    harness.declare("other")
    harness.loop.calls, calls = [], harness.loop.calls
    for call in calls:
        call()
    harness.queue("q").get(False)
    assert not harness.store.write_delivered_marks(), "the catalogue is being written"
    harness.loop.run()
    assert woken == [True]
    assert harness.store.write_delivered_marks()
    harness.loop.slow = False
    harness.loop.answer()
    harness.loop.run()
    assert woken == [True]


def test_a_long_batch_is_encoded_in_slices(harness: DiskHarness) -> None:
    """After the disk has hung for a while; what is published meanwhile belongs to the same batch."""
    harness.declare("q")
    harness.commit()
    harness.loop.slow = True
    ticket = harness.push("q", message(b"0"))
    harness.loop.run()
    for _ in range(6 * SLICE_ENTRIES):
        harness.queue("q").push(message(b"x"))
    harness.loop.slow = False
    harness.loop.answer()
    turns = 0
    while harness.store.journal.settled < ticket + 1:
        harness.loop.run(1)
        turns += 1
        if turns == 1:
            assert not harness.store.write_delivered_marks(), "nothing else may be written in between"
            last = harness.push("q", message(b"last"))
            assert last == ticket + 1
    assert turns > 4
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.queue("q").ready == 6 * SLICE_ENTRIES + 2
