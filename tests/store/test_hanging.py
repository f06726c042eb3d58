"""A disk that hangs without an error: the event loop never waits for it, and deliveries go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.disk import STALL_S
from leveret.store.files import Files
from leveret.store.writing import SLOW_DISK_S
from tests.stores.harness import DiskHarness, FakeLoop, message

#: Messages after which a block of the log ends.
BLOCK_ENTRIES = 2048


class ThreadFiles(Files):
    """Refuses to change anything in the event loop. `loop`: the one of the harness, once it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: FakeLoop | None = None
        self.synced = 0

    def _check(self) -> None:
        assert self.loop is None or self.loop.inside, "a file operation in the event loop"

    def create(self, path: Path) -> int:
        self._check()
        return super().create(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        self._check()
        super().write(file, data, offset)

    def remove(self, path: Path) -> None:
        self._check()
        super().remove(path)

    def sync(self, file: int) -> None:
        self.synced += 1
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


def test_compaction_reads_and_deletes_in_the_thread(
    harness: DiskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Files.read
    in_thread: list[bool] = []

    def checked(files: Files, path: Path, offset: int = 0, size: int = -1) -> bytes:
        in_thread.append(harness.loop.inside)
        return read(files, path, offset, size)

    monkeypatch.setattr(Files, "read", checked)
    harness.declare("q")
    kept = []
    for _ in range(60):
        harness.push("q", *(message(b"x" * 400) for _ in range(8)))
        harness.commit()
        entries = harness.take("q", 8)
        kept += entries[:1]
        harness.ack(*entries[1:])
        harness.commit()
    assert in_thread and all(in_thread)
    assert len(harness.logs()) < 30, "most are deleted"
    harness.ack(*kept)
    harness.commit()


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


def test_deliveries_come_between_two_commits(harness: DiskHarness) -> None:
    """Under load, another commit waits whenever one ends: its turn is after theirs."""
    harness.declare("q")
    harness.push("q", *[message(b"%d" % number) for number in range(8)])
    harness.commit()
    store, loop = harness.store, harness.loop
    sent: list[bool] = []
    store.on_writable = lambda: loop.soon(lambda: sent.append(store.write_delivered_marks()))
    for number in range(3):
        harness.declare(f"first{number}")
        ticket = store.journal.changed
        loop.hangs = True
        loop.run(1)
        assert loop.asked, "the catalogue is being written"
        harness.queue("q").get(False)
        assert not store.write_delivered_marks()
        harness.declare(f"second{number}")
        harness.queue("q").get(False)
        while store.journal.settled < ticket:
            loop.answer()
        loop.hangs = False
        loop.run(1)
        assert sent == [True], "the next commit has not begun"
        sent.clear()
        loop.run()
    assert not store.has_unwritten_marks


def test_a_long_batch_is_encoded_in_slices(harness: DiskHarness) -> None:
    """After the disk has hung for a while; what is published meanwhile belongs to the same batch."""
    harness.declare("q")
    harness.commit()
    harness.loop.slow = True
    ticket = harness.push("q", message(b"0"))
    harness.loop.run()
    for _ in range(6 * BLOCK_ENTRIES):
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
    assert harness.queue("q").ready == 6 * BLOCK_ENTRIES + 2


def test_a_long_batch_of_acknowledged_messages_is_gone_through_in_slices(harness: DiskHarness) -> None:
    """They are not written, but looked at."""
    count = 6 * BLOCK_ENTRIES
    harness.declare("q")
    harness.commit()
    ticket = harness.push("q", *(message(b"x") for _ in range(count)))
    for _ in range(count):
        harness.queue("q").get(True)
    assert harness.store.journal.settled == ticket - 1
    harness.store.commit()
    turns = 0
    while harness.store.journal.settled < ticket:
        harness.loop.run(1)
        turns += 1
    assert turns > 4


def test_acknowledgements_in_any_order_are_encoded_in_slices(harness: DiskHarness) -> None:
    """Each is a run of its own. None is lost, and one that comes meanwhile is in the same batch."""
    count = 6 * BLOCK_ENTRIES
    harness.declare("q")
    harness.push("q", *(message(b"x") for _ in range(count)))
    harness.commit()
    entries = harness.take("q", count)
    kept, even, odd = entries[-2:], entries[:-2:2], entries[1:-2:2]
    Random(1).shuffle(even)
    harness.ack(*even, *reversed(odd[:100]))
    harness.store.commit()
    turns = 0
    while harness.store.journal.awake:
        assert not harness.store.write_delivered_marks(), "nothing else may be written in between"
        harness.ack(*odd[100 + turns : 101 + turns])
        harness.loop.run(1)
        turns += 1
    assert turns > 0
    harness.commit()
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.queue("q").ready == len(odd) - 100 - turns + len(kept)


def test_a_commit_whose_write_hangs_holds_up_nobody(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.loop.hangs = True
    ticket = harness.push("q", message(b"c"))
    harness.loop.run(1)
    (asked,) = harness.loop.asked
    assert not asked.written and harness.store.journal.settled < ticket
    harness.queue("q").get(False)
    assert not harness.store.write_delivered_marks(), "the log is being written"
    harness.loop.run()
    assert harness.store.stalled
    assert harness.store.write_delivered_marks(), "sent without its mark"
    harness.loop.hangs = False
    harness.loop.answer()
    harness.commit()
    assert harness.store.journal.settled >= ticket and not harness.store.stalled
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.look("q") == [(b"a", True), (b"b", False), (b"c", False)]


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_marks_whose_write_hangs_hold_up_nobody(harness: DiskHarness, kind: str) -> None:
    """The loop waits for them once. Commits come after them; deliveries wait for a second at most."""
    harness.declare("q", queue_type=kind)
    harness.declare("other")
    harness.push("other", message(b"a"), message(b"b"))
    harness.push("q", message(b"x"))
    harness.commit()
    harness.loop.hangs = True
    if kind == "stream":
        harness.push("q", message(b"y"))
        harness.store.journal.streams_delivered = True
    else:
        harness.queue("other").get(False)
    assert not harness.store.write_delivered_marks()
    assert len(harness.loop.short) == 1
    assert not harness.store.write_delivered_marks(), "the loop does not wait again"
    assert len(harness.loop.short) == 1 and harness.store.has_unwritten_marks
    ticket = harness.push("other", message(b"c"))
    harness.loop.take_later(STALL_S)
    harness.loop.run()
    assert not harness.loop.asked, "a commit would be written beside the marks"
    woken: list[bool] = []
    harness.store.on_writable = lambda: woken.append(harness.store.stalled)
    harness.loop.hangs = False
    harness.loop.end_short()
    assert woken == [False]
    harness.commit()
    assert harness.store.journal.settled >= ticket and not harness.store.has_unwritten_marks
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.look("other") == [(b"a", kind != "stream"), (b"b", False), (b"c", False)]


def test_deliveries_are_sent_without_marks_that_hang(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"))
    harness.commit()
    harness.loop.hangs = True
    woken: list[bool] = []
    harness.store.on_writable = lambda: woken.append(harness.store.stalled)
    harness.queue("q").get(False)
    assert not harness.store.write_delivered_marks()
    harness.loop.run()
    assert woken == [True] and harness.store.write_delivered_marks()
    harness.queue("q").get(False)
    assert harness.store.write_delivered_marks()
    harness.loop.hangs = False
    harness.loop.end_short()
    harness.commit()
    assert not harness.store.stalled and not harness.store.has_unwritten_marks
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.look("q") == [(b"a", True), (b"b", True)]


def test_a_sync_that_ends_while_marks_hang_counts_after_them(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", message(b"a"))
    harness.commit()
    harness.loop.slow = True
    ticket = harness.push("q", message(b"b"))
    harness.loop.run()
    harness.loop.hangs = True
    harness.queue("q").get(False)
    assert not harness.store.write_delivered_marks()
    harness.loop.answer()
    assert harness.store.journal.settled < ticket
    harness.loop.slow = harness.loop.hangs = False
    harness.loop.end_short()
    assert harness.store.journal.settled >= ticket
    harness.commit()
    assert isinstance(harness.files, ThreadFiles)
    harness.files.loop = None
    harness.crash()
    assert harness.look("q") == [(b"a", True), (b"b", False)]


class SlowFiles(ThreadFiles):
    """Files that take long to write."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = 0.0

    def write(self, file: int, data: bytes, offset: int) -> None:
        super().write(file, data, offset)
        self.done.write_s += self.takes


@pytest.mark.parametrize("marks", [False, True])
def test_after_a_write_that_took_long_marks_are_written_with_commits(tmp_path: Path, marks: bool) -> None:
    """The loop waits for no write for a while. `marks`: those of deliveries took long, or a commit."""
    files = SlowFiles()
    harness = DiskHarness(tmp_path, files, 1 << 20)
    files.loop = harness.loop
    writing = harness.store.writing
    harness.declare("q")
    harness.push("q", message(b"a"), message(b"b"), message(b"c"))
    harness.commit()
    assert not writing.slow
    files.takes = 1.0
    writing.slow_write_s = 0.5
    if marks:
        harness.queue("q").get(False)
        assert harness.store.write_delivered_marks()
    else:
        harness.push("q", message(b"d"))
        harness.loop.run(2)
    assert writing.slow
    looks = harness.loop.take_later(SLOW_DISK_S)
    harness.queue("q").get(False)
    assert not harness.store.write_delivered_marks(), "its mark is written with the next commit"
    harness.loop.run()
    assert not harness.store.has_unwritten_marks
    for look in looks:
        look()
    assert writing.slow, "writes take long still"
    looks = harness.loop.take_later(SLOW_DISK_S)
    files.takes = 0.0
    for look in looks:
        look()
    assert not writing.slow
    harness.queue("q").get(False)
    assert harness.store.write_delivered_marks()
    files.loop = None
    harness.crash()
    count = 2 + marks
    assert [redelivered for _, redelivered in harness.look("q")][:count] == count * [True]
    harness.kill()
