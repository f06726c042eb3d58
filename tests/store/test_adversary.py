"""A changed data directory: whatever was done to a file, the broker starts with everything, or logs what it drops, or
names a file and does not start. The changes are made from a seed."""

from __future__ import annotations

import errno
import logging
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leveret.store.errors import StoreError
from leveret.store.files import Files
from tests.stores.harness import DiskHarness, message

SEGMENT = 900
NAMES = ("classic", "quorum", "priorities")


def populate(directory: Path) -> None:
    """Make a directory with several segments, streams of several files, and marks of all kinds."""
    harness = DiskHarness(directory, segment=SEGMENT)
    harness.declare("classic")
    harness.declare("quorum", queue_type="quorum")
    harness.declare("priorities", max_priority=3)
    for name in ("s1", "s2"):
        harness.declare(name, queue_type="stream", stream_max_segment_size_bytes=600)
    for number in range(12):
        for name in (*NAMES, "s1", "s2"):
            harness.push(name, message(b"%d" % number + bytes(30), priority=number % 3))
        harness.commit()
        if number % 3 == 2:
            harness.ack(*harness.take("classic", 1))
            harness.requeue(*harness.take("quorum", 1))
            harness.commit()
    harness.kill()


def contents(harness: DiskHarness) -> dict[str, Any]:
    """Return everything that clients would find."""
    found: dict[str, Any] = {}
    for name, queue in sorted(harness.vhost.queues.items()):
        if queue.kind == "stream":
            log: Any = queue.log  # type: ignore[attr-defined]
            found[name] = [bytes(log.read(page)) for page in log.pages]
        else:
            found[name] = harness.bodies(name)
    return found


def flip(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def zero(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = dice.randrange(len(data) + 1)
    data[start : start + 50] = bytes(len(data[start : start + 50]))
    path.write_bytes(data)


def cut(path: Path, dice: random.Random) -> None:
    os.truncate(path, dice.randrange(path.stat().st_size + 1))


def append(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes() + dice.randbytes(dice.randrange(1, 3000)))


def append_zeros(path: Path, dice: random.Random) -> None:
    path.write_bytes(path.read_bytes() + bytes(dice.randrange(1, 70_000)))


def overwrite(path: Path, dice: random.Random) -> None:
    path.write_bytes(dice.randbytes(path.stat().st_size))


def delete(path: Path, dice: random.Random) -> None:
    path.unlink()


def folder(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path, dice: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def swap(path: Path, dice: random.Random) -> None:
    others = [each for each in sorted(path.parent.iterdir()) if each.is_file()]
    other = dice.choice(others)
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def file_for_folder(path: Path, dice: random.Random) -> None:
    """Replace its folder by a file."""
    shutil.rmtree(path.parent)
    path.parent.write_bytes(b"x")


HARMS: tuple[Callable[[Path, random.Random], None], ...] = (
    flip, zero, cut, append, append_zeros, overwrite, delete, folder, loop, swap, file_for_folder,
)  # fmt: skip


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("populated") / "data"
    populate(place)
    return place


@pytest.fixture(scope="module")
def everything(populated: Path) -> dict[str, Any]:
    copy = populated.with_name("copy")
    shutil.copytree(populated, copy)
    harness = DiskHarness(copy, segment=SEGMENT)
    found = contents(harness)
    harness.kill()
    return found


def opened(directory: Path, files: Files | None = None) -> dict[str, Any] | str:
    """Return what is found in a directory, or why the broker does not start."""
    try:
        harness = DiskHarness(directory, files, segment=SEGMENT)
    except StoreError as error:
        return str(error)
    try:
        return contents(harness)
    except OSError as error:  # as for a consumer of a stream
        return str(error)
    finally:
        harness.kill()


@pytest.mark.parametrize("damage", HARMS, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("seed", range(12))
def test_a_changed_file_is_read_or_reported(
    populated: Path,
    everything: dict[str, Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path, random.Random], None],
    seed: int,
) -> None:
    place = tmp_path / "data"
    shutil.copytree(populated, place)
    dice = random.Random(f"{damage.__name__} {seed}")
    files = sorted(path for path in place.rglob("*") if path.is_file())
    victim = dice.choice(files)
    damage(victim, dice)
    with caplog.at_level(logging.WARNING, "leveret"):
        found = opened(place)
    if isinstance(found, str):
        assert str(tmp_path) in found
    elif found != everything and not unprotected(victim, damage):
        assert str(tmp_path) in caplog.text, f"{damage.__name__} of {victim}: loss without a word"


def unprotected(victim: Path, damage: Callable[[Path, random.Random], None]) -> bool:
    """Octets in the middle of the metadata have no checksum, and files of streams do not name their stream."""
    return victim.name == "metadata.sqlite" or (damage is swap and victim.suffix == ".stream")


class Refusing(Files):
    """Calls fail with a given probability while it is `armed`. Reads may be short."""

    def __init__(self, seed: int, odds: float) -> None:
        super().__init__()
        self.dice = random.Random(seed)
        self.odds = odds
        self.armed = False

    def _roll(self) -> None:
        if self.armed and self.dice.random() < self.odds:
            number = self.dice.choice([errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.EROFS])
            raise OSError(number, os.strerror(number))

    def create(self, path: Path) -> int:
        self._roll()
        return super().create(path)

    def open(self, path: Path) -> int:
        self._roll()
        return super().open(path)

    def write(self, file: int, data: bytes, offset: int) -> None:
        if self.armed and self.dice.random() < self.odds:
            super().write(file, data[: self.dice.randrange(len(data) + 1)], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        self._roll()
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._roll()
        super().sync(file)

    def read(self, path: Path, offset: int = 0, size: int = -1) -> bytes:
        self._roll()
        data = super().read(path, offset, size)
        if self.armed and self.dice.random() < self.odds:
            return data[: self.dice.randrange(len(data) + 1)]
        return data

    def size(self, path: Path) -> int:
        self._roll()
        return super().size(path)

    def replace(self, new: Path, old: Path) -> None:
        self._roll()
        super().replace(new, old)

    def sync_directory(self, path: Path) -> None:
        self._roll()
        super().sync_directory(path)

    def remove(self, path: Path) -> None:
        self._roll()
        super().remove(path)


@pytest.mark.parametrize("seed", range(60))
def test_a_start_with_failing_calls_loses_nothing(
    populated: Path, everything: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    place = tmp_path / "data"
    shutil.copytree(populated, place)
    files = Refusing(seed, 0.03)
    files.armed = True
    with caplog.at_level(logging.WARNING, "leveret"):
        found = opened(place, files)
    assert isinstance(found, str) or found == everything or str(tmp_path) in caplog.text
    if isinstance(found, str):
        assert opened(place) == everything


@pytest.mark.parametrize("seed", range(40))
def test_failing_calls_lose_nothing_that_was_confirmed(tmp_path: Path, seed: int) -> None:
    """The broker goes on when the disk works again."""
    files = Refusing(seed, 0.2)
    harness = DiskHarness(tmp_path, files, segment=SEGMENT)
    for name in ("q", "r"):
        harness.declare(name)
    for number in range(4):
        harness.declare(f"s{number}", queue_type="stream", stream_max_segment_size_bytes=400)
    harness.commit()
    confirmed: dict[str, list[bytes]] = {name: [] for name in harness.vhost.queues}
    files.armed = True
    for number in range(40):
        for name in sorted(confirmed):
            body = b"%d" % number + bytes(20)
            ticket = harness.push(name, message(body))
            harness.store.journal.when_settled(
                ticket, lambda name=name, body=body: confirmed[name].append(body)
            )
        harness.loop.run(10)
    files.armed = False
    harness.commit()
    assert all(len(bodies) == 40 for bodies in confirmed.values())
    files.armed = False
    harness.crash()
    for name in ("q", "r"):
        assert harness.bodies(name) == confirmed[name]
    for number in range(4):
        assert harness.queue(f"s{number}").ready == 40
    harness.kill()
