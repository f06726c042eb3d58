"""A disk that is full or fails while the broker runs: nothing confirmed is lost, and service resumes."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.store.errors import StoreError
from leveret.store.files import Files
from tests.stores.faults import Broken, Forgetful
from tests.stores.houses import DiskHouse, message


class Told:
    """Who waits for a ticket, and whether it was told."""

    def __init__(self, house: DiskHouse, ticket: int) -> None:
        self.told = False
        house.store.journal.when_settled(ticket, self)

    def __call__(self) -> None:
        self.told = True


def holding(place: Path, files: Files, *bodies: bytes, segment: int = 1 << 20) -> DiskHouse:
    """A house whose queue `q` holds messages, all of them on the disk."""
    house = DiskHouse(place, files, segment)
    house.declare("q")
    house.push("q", *map(message, bodies))
    house.commit()
    return house


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_nothing_is_confirmed_while_the_disk_refuses(tmp_path: Path, number: int) -> None:
    files = Broken()
    house = DiskHouse(tmp_path, files)
    changes: list[bool] = []
    house.store.on_failing = lambda: changes.append(house.store.failing is not None)
    house.declare("q")
    house.push("q", message(b"safe"))
    house.commit()
    files.broken = number
    waiting = Told(house, house.push("q", message(b"late")))
    house.hands.run(20)
    later = Told(house, house.push("q", message(b"later")))
    house.hands.run(20)
    assert (waiting.told, later.told, changes) == (False, False, [True])
    files.broken = 0
    house.commit()
    assert (waiting.told, later.told, changes) == (True, True, [True, False])
    house.crash()
    assert house.bodies("q") == [b"safe", b"late", b"later"]
    house.leave()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_killed_while_the_disk_refuses(tmp_path: Path, number: int) -> None:
    files = Broken()
    house = holding(tmp_path, files, b"safe")
    files.broken = number
    house.push("q", message(b"never confirmed"))
    house.hands.run(20)
    files.broken = 0
    house.crash()
    assert house.bodies("q")[0] == b"safe"
    house.push("q", message(b"next"))
    house.commit()
    house.crash()
    assert house.bodies("q")[-1] == b"next"
    house.leave()


def test_a_failed_sync_is_repaired_in_a_new_file(tmp_path: Path) -> None:
    """After a failed fsync the system may have dropped what it could not write: trying again proves nothing."""
    files = Broken()
    house = holding(tmp_path, files, b"safe")
    before = house.logs()[0].stat().st_ino
    house.hands.slow = True
    waiting = Told(house, house.push("q", message(b"late")))
    house.hands.run()
    files.broken = errno.EIO  # written, but not synced
    house.hands.answer()
    assert house.store.failing is not None
    files.broken = 0
    house.hands.slow = False
    house.commit()
    assert waiting.told
    assert house.logs()[0].stat().st_ino != before
    house.crash()
    assert house.bodies("q") == [b"safe", b"late"]
    house.leave()


def test_nothing_is_tried_again_before_the_disk_has_answered(tmp_path: Path) -> None:
    """A second sync of a file would hide that the first one failed."""
    files = Broken()
    house = holding(tmp_path, files, b"safe")
    before = house.logs()[0].stat().st_ino
    house.hands.slow = True
    waiting = Told(house, house.push("q", message(b"late")))
    house.hands.run()
    files.broken = errno.ENOSPC
    house.take("q", 1)  # its mark cannot be written
    assert house.store.failing is not None
    files.broken = 0
    house.hands.run(20)
    files.broken = errno.EIO
    house.hands.answer()
    files.broken = 0
    house.hands.answer()
    assert not waiting.told
    house.hands.slow = False
    house.commit()
    assert waiting.told
    assert house.logs()[0].stat().st_ino != before
    house.leave()


def test_two_refusals_are_one(tmp_path: Path) -> None:
    """The disk refuses a write while it is busy, and then the sync: it is tried again once, not twice."""
    files = Broken()
    house = holding(tmp_path, files, b"safe")
    house.hands.slow = True
    waiting = Told(house, house.push("q", message(b"late")))
    house.hands.run()
    files.broken = errno.EIO
    house.take("q", 1)
    house.hands.answer()
    files.broken = 0
    house.hands.run(20)
    assert len(house.hands.asked) == 1
    house.hands.answer()
    assert waiting.told
    house.leave()


def test_acknowledgements_survive_a_refusal(tmp_path: Path) -> None:
    files = Broken()
    house = holding(tmp_path, files, b"a", b"b")
    files.broken = errno.ENOSPC
    house.ack(*house.take("q", 1))
    house.hands.run(20)
    files.broken = 0
    house.commit()
    house.crash()
    assert house.bodies("q") == [b"b"]
    house.leave()


def test_acknowledgements_do_not_wait_for_the_next_publish(tmp_path: Path) -> None:
    """Their time comes while the disk is busy: they are committed when it has answered."""
    house = holding(tmp_path, Broken(), b"a", b"b")
    (entry,) = house.take("q", 1)
    house.hands.slow = True
    house.push("q", message(b"c"))
    house.hands.run()
    house.ack(entry)
    house.hands.run()
    house.hands.answer()
    house.hands.slow = False
    house.hands.run()
    house.crash()
    assert house.bodies("q") == [b"b", b"c"]
    house.leave()


def test_a_roll_that_fails(tmp_path: Path) -> None:
    files = Broken()
    house = holding(tmp_path, files, b"a" * 300, segment=200)
    files.broken = errno.ENOSPC
    waiting = Told(house, house.push("q", message(b"b")))
    house.hands.run(20)
    assert not waiting.told
    files.broken = 0
    house.commit()
    assert waiting.told
    assert len(house.logs()) == 2
    house.crash()
    assert house.bodies("q") == [b"a" * 300, b"b"]
    house.leave()


def test_a_roll_whose_sync_fails(tmp_path: Path) -> None:
    """What was written since the last commit, marks of deliveries, is written anew before the next segment begins."""
    files = Forgetful()
    house = holding(tmp_path, files, b"a" * 300, segment=200)
    house.take("q", 1)
    files.broken = True
    waiting = Told(house, house.push("q", message(b"b")))
    house.commit()
    assert waiting.told
    assert len(house.logs()) == 2
    house.crash()
    assert house.look("q") == [(b"a" * 300, True), (b"b", False)]
    house.leave()


def test_stopped_after_a_failed_sync(tmp_path: Path) -> None:
    files = Forgetful()
    house = holding(tmp_path, files, b"a" * 150, segment=350)
    files.broken = True
    house.push("q", message(b"b" * 100))
    house.hands.run(2)
    house.push("q", message(b"c"))
    assert house.store.failing is not None
    house.store.close()
    house.enter()
    assert house.bodies("q") == [b"a" * 150, b"b" * 100, b"c"]
    house.leave()


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


def test_a_full_file_system(small_disk: Path) -> None:
    house = DiskHouse(small_disk)
    house.declare("q")
    told: list[Told] = []
    while house.store.failing is None:
        told.append(Told(house, house.push("q", message(b"%06d" % len(told) + b"x" * 10_000))))
        house.hands.run(10)
    confirmed = sum(one.told for one in told)
    assert 40 < confirmed < len(told)
    entries = house.take("q", 60)
    house.ack(*entries[:50])
    house.hands.run(20)
    house.leave()
    for path in small_disk.glob("messages/*.new"):
        path.unlink()
    house.enter()
    left = [int(body[:6]) for body in house.bodies("q")]
    assert left[-1] >= confirmed - 1
    assert left == list(range(left[0], left[-1] + 1))
    assert left[0] <= 50
    house.leave()


def test_declarations_wait_for_a_full_file_system(small_disk: Path) -> None:
    house = DiskHouse(small_disk)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(bytes(4096))
    for number in range(50):
        house.declare(f"q{number}", message_ttl=number)
    assert not house.store.before_sending()
    assert house.store.failing is not None
    ballast.unlink()
    house.hands.run()
    assert house.store.before_sending()
    house.crash()
    assert len(house.vhost.queues) == 50
    house.leave()


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/leveret")  # nobody may write there
    else:
        place = tmp_path / "closed"
        place.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot be used"):
        DiskHouse(place)
