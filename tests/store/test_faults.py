"""A disk that is full or fails while the broker runs: nothing confirmed is lost, and the broker goes on when it works
again."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leveret.store import files as files_module
from leveret.store.errors import StoreError
from leveret.store.files import Files
from tests.stores.faults import FailingFiles, LossyFiles
from tests.stores.harness import DiskHarness, message


class Waiter:
    """Waits for a ticket. `notified`: it was settled."""

    def __init__(self, harness: DiskHarness, ticket: int) -> None:
        self.notified = False
        harness.store.journal.when_settled(ticket, self)

    def __call__(self) -> None:
        self.notified = True


def holding(place: Path, files: Files, *bodies: bytes, segment: int = 1 << 20) -> DiskHarness:
    """A harness with committed messages in queue `q`."""
    harness = DiskHarness(place, files, segment)
    harness.declare("q")
    harness.push("q", *map(message, bodies))
    harness.commit()
    return harness


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_nothing_is_confirmed_while_the_disk_fails(tmp_path: Path, number: int) -> None:
    files = FailingFiles()
    harness = DiskHarness(tmp_path, files)
    changes: list[bool] = []
    harness.store.on_failing = lambda: changes.append(harness.store.failing is not None)
    harness.declare("q")
    harness.push("q", message(b"safe"))
    harness.commit()
    files.broken = number
    waiting = Waiter(harness, harness.push("q", message(b"late")))
    harness.loop.run(20)
    later = Waiter(harness, harness.push("q", message(b"later")))
    harness.loop.run(20)
    assert (waiting.notified, later.notified, changes) == (False, False, [True])
    files.broken = 0
    harness.commit()
    assert (waiting.notified, later.notified, changes) == (True, True, [True, False])
    harness.crash()
    assert harness.bodies("q") == [b"safe", b"late", b"later"]
    harness.kill()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_kill_while_the_disk_fails_loses_nothing_confirmed(tmp_path: Path, number: int) -> None:
    files = FailingFiles()
    harness = holding(tmp_path, files, b"safe")
    files.broken = number
    harness.push("q", message(b"never confirmed"))
    harness.loop.run(20)
    files.broken = 0
    harness.crash()
    assert harness.bodies("q")[0] == b"safe"
    harness.push("q", message(b"next"))
    harness.commit()
    harness.crash()
    assert harness.bodies("q")[-1] == b"next"
    harness.kill()


def test_a_failed_sync_is_repaired_in_a_new_file(tmp_path: Path) -> None:
    """After a failed fsync the system may have dropped what it could not write: another fsync proves nothing."""
    files = FailingFiles()
    harness = holding(tmp_path, files, b"safe")
    before = harness.logs()[0].stat().st_ino
    harness.loop.slow = True
    waiting = Waiter(harness, harness.push("q", message(b"late")))
    harness.loop.run()
    files.broken = errno.EIO  # written, but not synced
    harness.loop.answer()
    assert harness.store.failing is not None
    files.broken = 0
    harness.loop.slow = False
    harness.commit()
    assert waiting.notified
    assert harness.logs()[0].stat().st_ino != before
    harness.crash()
    assert harness.bodies("q") == [b"safe", b"late"]
    harness.kill()


def test_a_write_is_not_retried_before_a_running_sync_ends(tmp_path: Path) -> None:
    """A second sync of a file would hide that the first one failed."""
    files = FailingFiles()
    harness = holding(tmp_path, files, b"safe")
    before = harness.logs()[0].stat().st_ino
    harness.loop.slow = True
    waiting = Waiter(harness, harness.push("q", message(b"late")))
    harness.loop.run()
    files.broken = errno.ENOSPC
    harness.take("q", 1)  # its mark cannot be written
    assert harness.store.failing is not None
    files.broken = 0
    harness.loop.run(20)
    files.broken = errno.EIO
    harness.loop.answer()
    files.broken = 0
    harness.loop.answer()
    assert not waiting.notified
    harness.loop.slow = False
    harness.commit()
    assert waiting.notified
    assert harness.logs()[0].stat().st_ino != before
    harness.kill()


def test_a_failed_write_and_a_failed_sync_are_retried_once(tmp_path: Path) -> None:
    """A write fails while a sync runs, and then the sync fails."""
    files = FailingFiles()
    harness = holding(tmp_path, files, b"safe")
    harness.loop.slow = True
    waiting = Waiter(harness, harness.push("q", message(b"late")))
    harness.loop.run()
    files.broken = errno.EIO
    harness.take("q", 1)
    harness.loop.answer()
    files.broken = 0
    harness.loop.run(20)
    assert len(harness.loop.asked) == 1
    harness.loop.answer()
    assert waiting.notified
    harness.kill()


def test_acknowledgements_are_kept_while_the_disk_fails(tmp_path: Path) -> None:
    files = FailingFiles()
    harness = holding(tmp_path, files, b"a", b"b")
    files.broken = errno.ENOSPC
    harness.ack(*harness.take("q", 1))
    harness.loop.run(20)
    files.broken = 0
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == [b"b"]
    harness.kill()


def test_acknowledgements_are_committed_without_another_publish(tmp_path: Path) -> None:
    """They are due while a sync runs, and are committed after it."""
    harness = holding(tmp_path, FailingFiles(), b"a", b"b")
    (entry,) = harness.take("q", 1)
    harness.loop.slow = True
    harness.push("q", message(b"c"))
    harness.loop.run()
    harness.ack(entry)
    harness.loop.run()
    harness.loop.answer()
    harness.loop.slow = False
    harness.loop.run()
    harness.crash()
    assert harness.bodies("q") == [b"b", b"c"]
    harness.kill()


def test_a_new_segment_that_cannot_be_created_is_retried(tmp_path: Path) -> None:
    files = FailingFiles()
    harness = holding(tmp_path, files, b"a" * 300, segment=200)
    files.broken = errno.ENOSPC
    waiting = Waiter(harness, harness.push("q", message(b"b")))
    harness.loop.run(20)
    assert not waiting.notified
    files.broken = 0
    harness.commit()
    assert waiting.notified
    assert len(harness.logs()) == 2
    harness.crash()
    assert harness.bodies("q") == [b"a" * 300, b"b"]
    harness.kill()


def test_a_failed_sync_before_a_new_segment_is_repaired(tmp_path: Path) -> None:
    """Delivered marks that were written since the last commit are written again before the next segment begins."""
    files = LossyFiles()
    harness = holding(tmp_path, files, b"a" * 300, segment=200)
    harness.take("q", 1)
    files.broken = True
    waiting = Waiter(harness, harness.push("q", message(b"b")))
    harness.commit()
    assert waiting.notified
    assert len(harness.logs()) == 2
    harness.crash()
    assert harness.look("q") == [(b"a" * 300, True), (b"b", False)]
    harness.kill()


def test_a_stop_after_a_failed_sync_loses_nothing(tmp_path: Path) -> None:
    files = LossyFiles()
    harness = holding(tmp_path, files, b"a" * 150, segment=350)
    files.broken = True
    harness.push("q", message(b"b" * 100))
    harness.loop.run(2)
    harness.push("q", message(b"c"))
    assert harness.store.failing is not None
    harness.store.close()
    harness.open()
    assert harness.bodies("q") == [b"a" * 150, b"b" * 100, b"c"]
    harness.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; needs root."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_on_a_full_file_system_confirms_wait(small_disk: Path) -> None:
    harness = DiskHarness(small_disk)
    harness.declare("q")
    notified: list[Waiter] = []
    while harness.store.failing is None:
        notified.append(Waiter(harness, harness.push("q", message(b"%06d" % len(notified) + b"x" * 10_000))))
        harness.loop.run(10)
    confirmed = sum(one.notified for one in notified)
    assert 40 < confirmed < len(notified)
    entries = harness.take("q", 60)
    harness.ack(*entries[:50])
    harness.loop.run(20)
    harness.kill()
    for path in small_disk.glob("messages/*.new"):
        path.unlink()
    harness.open()
    left = [int(body[:6]) for body in harness.bodies("q")]
    assert left[-1] >= confirmed - 1
    assert left == list(range(left[0], left[-1] + 1))
    assert left[0] <= 50
    harness.kill()


def test_on_a_full_file_system_declarations_wait(small_disk: Path) -> None:
    harness = DiskHarness(small_disk)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    for number in range(50):
        harness.declare(f"q{number}", message_ttl=number)
    waiting = Waiter(harness, harness.store.journal.changed)
    harness.loop.run(20)
    assert harness.store.failing is not None
    assert not waiting.notified
    ballast.unlink()
    harness.loop.run()
    assert waiting.notified
    harness.crash()
    assert len(harness.vhost.queues) == 50
    harness.kill()


@pytest.mark.parametrize("call", ["pwrite", "read", "fdatasync", "fsync", "ftruncate"])
def test_errors_name_the_file_and_the_octet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The system names no file of a descriptor; the log has to."""
    files = Files()
    path = tmp_path / "a"
    file = files.create(path)
    files.write(file, b"1234", 0)
    system = {"pwrite": "_write_at", "fdatasync": "_sync"}
    steps: dict[str, Callable[[], object]] = {
        "pwrite": lambda: files.write(file, b"5", 4),
        "read": lambda: files.read(path, 3),
        "fdatasync": lambda: files.sync(file),
        "fsync": lambda: files.sync_directory(tmp_path),
        "ftruncate": lambda: files.truncate(file, 2),
    }
    octet = {"pwrite": " at octet 4", "read": " at octet 3", "ftruncate": " at octet 2"}.get(call, "")

    def fail(*arguments: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
        if call in system:
            patch.setattr(files_module, system[call], fail)
        else:
            patch.setattr(os, call, fail)
        steps[call]()
    files.close(file)
    name = str(tmp_path if call == "fsync" else path)
    assert str(caught.value) == f"[Errno 5] Input/output error{octet}: {name!r}"


def test_a_directory_that_cannot_be_read_is_not_taken_for_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files can still be created there, and their names would be lost with the power."""

    def refuse(path: object, *arguments: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        Files().sync_directory(tmp_path)


def test_a_directory_without_write_permission_is_reported(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/leveret")  # nobody may write there
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot be used"):
        DiskHarness(place)
