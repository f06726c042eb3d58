"""A data directory with an error is refused in one sentence that names the file; batches of any size, and more streams
than descriptors."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leveret.store.errors import StoreError
from leveret.store.files import Files
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages import segments
from tests.stores.harness import DiskHarness, message


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A directory with two queues, a message and a stream."""
    place = tmp_path / "data"
    harness = DiskHarness(place)
    harness.declare("q")
    harness.declare("s", queue_type="stream")
    harness.push("q", message(b"1"))
    harness.push("s", message(b"1"))
    harness.commit()
    harness.kill()
    return place


def refusal(place: Path) -> str:
    with pytest.raises(StoreError) as caught:
        DiskHarness(place)
    assert "Nothing was changed" in str(caught.value)
    return str(caught.value)


def test_metadata_without_its_write_ahead_log_is_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path / "data")
    harness.declare("q")
    harness.commit()
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "data", copy)
    harness.kill()
    (copy / "metadata.sqlite-wal").unlink()
    assert "metadata.sqlite is older than the files beside it" in refusal(copy)


def test_older_metadata_is_reported(used: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    shutil.copy(used / "metadata.sqlite", old)
    harness = DiskHarness(used)
    harness.declare("later")
    harness.commit()
    harness.kill()
    shutil.copy(old, used / "metadata.sqlite")
    text = refusal(used)
    assert "metadata.sqlite is older than the files beside it" in text
    assert "metadata.sqlite-wal" in text


def test_older_metadata_with_its_epoch_is_reported(used: Path, tmp_path: Path) -> None:
    """The epoch is in the log, too."""
    old = tmp_path / "old"
    old.mkdir()
    for name in ("metadata.sqlite", "epoch"):
        shutil.copy(used / name, old / name)
    harness = DiskHarness(used)
    for number in range(3):
        harness.declare(f"later{number}")
        harness.commit()
    harness.push("later0", message(b"x"))
    harness.commit()
    harness.kill()
    for name in ("metadata.sqlite", "epoch"):
        shutil.copy(old / name, used / name)
    assert "metadata.sqlite is older" in refusal(used)


@pytest.mark.parametrize("kind", ["classic", "stream"])
def test_a_copy_with_metadata_from_before_a_declaration_is_reported(
    used: Path, tmp_path: Path, kind: str
) -> None:
    """As a copy may be that is made while the broker runs: the metadata first, then the messages."""
    harness = DiskHarness(used)
    harness.push("q", message(b"2"))
    harness.commit()  # the segment has begun: its head tells nothing of what comes
    copy = tmp_path / "copy"
    shutil.copytree(used, copy)
    harness.declare("later", queue_type=kind)
    harness.push("later", message(b"x"))
    harness.commit()
    for name in ("messages", "streams"):
        shutil.rmtree(copy / name)
        shutil.copytree(used / name, copy / name)
    harness.kill()
    before = set(copy.rglob("*"))
    text = refusal(copy)
    assert "metadata.sqlite is older than the files beside it: they have messages of queue number 3" in text
    assert not [path for path in before if not path.exists() and "metadata" not in path.name]


def test_deliveries_of_a_queue_that_is_not_declared_yet_do_not_stop_the_start(tmp_path: Path) -> None:
    """A mark may be written before the record of its queue, which is answered after that."""
    harness = DiskHarness(tmp_path / "data")
    harness.declare("q")
    harness.push("q", message(b"1"))
    harness.commit()
    harness.declare("later")
    harness.push("later", message(b"x"))
    harness.get("later")
    assert harness.store.write_delivered_marks()
    harness.crash()
    assert harness.bodies("q") == [b"1"]
    harness.kill()


def test_a_damaged_epoch_is_logged_and_written_again(used: Path, caplog: pytest.LogCaptureFixture) -> None:
    (used / "epoch").write_text("99999999999999999999 12345678\n")
    harness = DiskHarness(used)
    assert "epoch is damaged" in caplog.text
    harness.declare("more")
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == [b"1"]
    harness.kill()


def test_a_directory_without_an_epoch_is_read(used: Path) -> None:
    """Segments of format 1 have no epoch."""
    (log,) = (used / "messages").glob("*.log")
    data = log.read_bytes()
    _, first = log_blocks.read_header(log, data)
    payload = (
        data[first.start : first.start + 1]
        + (1).to_bytes(4, "big")
        + data[first.start + 5 : first.start + 13]
    )
    old = log_blocks.block(payload, first.sequence, first.synced)
    log.write_bytes(data[:8] + old + data[first.end :])
    (used / "epoch").unlink()
    harness = DiskHarness(used)
    assert harness.bodies("q") == [b"1"]
    harness.crash()
    assert harness.bodies("q") == [b"1"]
    harness.kill()


def file_instead(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        shutil.rmtree(place / name)
        (place / name).write_bytes(b"")

    return damage


def folder_instead(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return damage


def loop_instead(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        shutil.rmtree(place / name) if (place / name).is_dir() else (place / name).unlink()
        (place / name).symlink_to(name)

    return damage


SEGMENT = "messages/00000001.log"
STREAM = "streams/00000002"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, file_instead(name)) for name in ("messages", "streams", STREAM)),
        *((name, folder_instead(name)) for name in ("metadata.sqlite", "lock", "epoch", SEGMENT)),
        *(
            (name, loop_instead(name))
            for name in ("messages", "streams", STREAM, "metadata.sqlite", SEGMENT, "lock")
        ),
    ],
)
def test_a_wrong_kind_of_file_is_reported(used: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(used)
    assert name in refusal(used)


def test_a_data_directory_that_is_a_file_is_reported(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_bytes(b"")
    assert f"{place} is a file, where a folder belongs" in refusal(place)


def test_swapped_segments_are_reported(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path, segment=200)
    harness.declare("q")
    for _ in range(3):
        harness.push("q", message(bytes(300)))
        harness.commit()
    harness.kill()
    one, two = harness.logs()[1:3]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert "under another name" in refusal(tmp_path)


def test_the_command_prints_the_reason_in_one_line(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_bytes(b"")
    command = [
        sys.executable,
        "-m",
        "leveret",
        "serve",
        "--port",
        "0",
        "--http-port",
        "-1",
        "--data-dir",
        str(place),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"leveret: {place} is a file")
    assert "Traceback" not in ran.stderr + ran.stdout


def test_an_incomplete_last_batch_is_logged(used: Path, caplog: pytest.LogCaptureFixture) -> None:
    harness = DiskHarness(used)
    harness.push("q", message(b"2"), message(b"3"))
    harness.commit()
    harness.kill()
    log = harness.logs()[-1]
    last = list(log_blocks.walk(log.read_bytes(), len(log_blocks.MARK)))[-1]
    log.write_bytes(log.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        harness.open()
    assert f"{log} ends with an incomplete or damaged block" in caplog.text
    assert f"from octet {last.at} on" in caplog.text
    assert "it held 2 messages (2 of queue 'q' in vhost '/')" in caplog.text
    harness.kill()


def test_the_report_of_damage_says_what_may_be_lost(used: Path) -> None:
    harness = DiskHarness(used)
    for number in range(5):
        harness.push("q", message(b"%d" % number))
        harness.commit()
    harness.kill()
    log = harness.logs()[-1]
    data = bytearray(log.read_bytes())
    second = list(log_blocks.walk(bytes(data), len(log_blocks.MARK)))[2]
    data[second.end - 1] ^= 1
    log.write_bytes(data)
    text = refusal(used)
    assert f"{log} is damaged at octet {second.at}" in text
    assert "it held 1 messages (1 of queue 'q' in vhost '/')" in text


# --- large batches


def large(place: Path, count: int) -> DiskHarness:
    """A harness with a committed batch of several blocks."""
    harness = DiskHarness(place)
    harness.declare("q")
    harness.push("q", message(b"before"))
    harness.commit()
    harness.store.journal.limit = 300
    harness.push("q", *(message(b"%d" % number + bytes(100)) for number in range(count)))
    harness.commit()
    return harness


def test_a_large_batch_is_written_in_several_blocks(tmp_path: Path) -> None:
    harness = large(tmp_path, 20)
    log = harness.logs()[-1]
    sizes = [block.end - block.start for block in log_blocks.walk(log.read_bytes(), len(log_blocks.MARK))]
    assert len(sizes) > 5
    assert max(sizes) < 600
    harness.crash()
    assert len(harness.bodies("q")) == 21
    harness.ack(*harness.take("q", 10))
    harness.commit()
    harness.crash()
    assert len(harness.bodies("q")) == 11
    harness.kill()


def test_the_blocks_of_a_batch_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each system call of the thread can cost the event loop milliseconds."""
    harness = large(tmp_path, 0)
    done = harness.store.files.done
    writes: list[int] = []
    for limit in (1 << 20, 1000, 0):
        monkeypatch.setattr(segments, "WRITTEN_TOGETHER_BYTES", limit)
        before = done.writes
        harness.push("q", *(message(b"%d" % number + bytes(100)) for number in range(20)))
        harness.commit()
        writes.append(done.writes - before)
    assert writes[0] == 1 < writes[1] < writes[2]
    harness.crash()
    assert len(harness.bodies("q")) == 61
    harness.kill()


def test_many_messages_end_a_block(tmp_path: Path) -> None:
    """They take time, however short they are."""
    harness = DiskHarness(tmp_path)
    harness.declare("q")
    harness.store.journal.limit = 1 << 30
    harness.push("q", *(message(b"%d" % number) for number in range(10_000)))
    harness.commit()
    (log,) = harness.logs()
    sizes = [block.end - block.start for block in log_blocks.walk(log.read_bytes(), len(log_blocks.MARK))]
    assert len(sizes) == 6, "the head of the file and five blocks"
    harness.crash()
    assert len(harness.bodies("q")) == 10_000
    harness.kill()


def test_a_large_batch_is_restored_completely_or_not_at_all(tmp_path: Path) -> None:
    harness = large(tmp_path / "data", 12)
    harness.kill()
    log = harness.logs()[-1]
    data = log.read_bytes()
    found = list(log_blocks.walk(data, len(log_blocks.MARK)))
    start = next(block.at for block in found if data[block.start] == log_blocks.CONTINUED[0])
    for end in range(start, len(data), 37):
        log.write_bytes(data[:end])
        copy = tmp_path / f"copy{end}"
        shutil.copytree(tmp_path / "data", copy)
        again = DiskHarness(copy)
        assert again.bodies("q") == [b"before"]
        again.kill()
        shutil.rmtree(copy)


# --- descriptors


@pytest.fixture
def few() -> Iterator[Callable[[int], None]]:
    """Limit the process to so many more descriptors than it has open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(more: int) -> None:
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
@pytest.mark.parametrize("reserved", [0, 4])
def test_a_commit_may_write_to_more_streams_than_there_are_descriptors(
    tmp_path: Path, few: Callable[[int], None], reserved: int
) -> None:
    harness = DiskHarness(tmp_path, Files(reserved))
    names = [f"s{number}" for number in range(60)]
    for name in names:
        harness.declare(name, queue_type="stream")
    harness.commit()
    few(12)
    taken = []
    if reserved:  # clients have all others
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
    given: list[str] = []
    for name in names:
        ticket = harness.push(name, message(b"x" * 100))
        harness.store.journal.when_settled(ticket, lambda name=name: given.append(name))
    harness.loop.run(30)
    assert sorted(given) == sorted(names), harness.store.failing
    for file in taken:
        os.close(file)
    harness.crash()
    assert all(harness.queue(name).ready == 1 for name in names)
    harness.kill()
