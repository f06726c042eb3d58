"""Compaction: which segments are dropped, which records are copied, and that no settled message is restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.store.errors import StoreError
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages import compaction
from tests.stores.harness import DiskHarness, message

SEGMENT = 2000


@pytest.fixture(autouse=True)
def compact_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compact everything that can be compacted."""
    monkeypatch.setattr(compaction, "COMPACTION_SPARE_SEGMENTS", 0)
    monkeypatch.setattr(compaction, "COMPACTION_RATIO", 1.2)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[DiskHarness]:
    """A broker with short segments and two queues: messages stay in `old` and pass through `busy`."""
    made = DiskHarness(tmp_path, segment=SEGMENT)
    made.declare("old")
    made.declare("busy")
    yield made
    made.kill()


def pass_through(harness: DiskHarness, count: int) -> None:
    """Publish so many messages, each with its own commit, and acknowledge them with the next one."""
    for number in range(count):
        harness.push("busy", message(b"%d" % number + b"." * 100))
        harness.commit()
        harness.ack(*harness.take("busy", 1))
    harness.commit()


def numbers(harness: DiskHarness) -> list[int]:
    return [int(path.stem) for path in harness.logs()]


def test_settled_segments_are_dropped(harness: DiskHarness) -> None:
    pass_through(harness, 100)
    harness.commit()
    assert len(harness.logs()) <= 2
    assert numbers(harness)[-1] > 5
    harness.crash()
    assert harness.bodies("busy") == []


def test_mostly_settled_segments_are_compacted(harness: DiskHarness) -> None:
    for number in range(40):
        harness.push("old" if number % 10 == 0 else "busy", message(b"%d" % number + b"." * 100))
        harness.commit()
    harness.ack(*harness.take("busy", 100))
    pass_through(harness, 20)
    assert sum(path.stat().st_size for path in harness.logs()) < 3 * SEGMENT
    assert 1 not in numbers(harness)
    harness.crash()
    assert [int(body.rstrip(b".")) for body in harness.bodies("old")] == [0, 10, 20, 30]


def test_settlements_of_messages_in_other_segments_are_copied(harness: DiskHarness) -> None:
    """Messages stay in the first segment; the segment with the settlement of one of them is deleted."""
    harness.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    harness.commit()
    pass_through(harness, 10)
    harness.ack(*harness.take("old", 2))
    pass_through(harness, 60)
    assert numbers(harness)[0] == 1
    assert 2 not in numbers(harness)
    for _ in range(3):
        harness.crash()
        assert [int(body.rstrip(b".")) for body in harness.bodies("old")] == list(range(2, 20))
        pass_through(harness, 30)


def test_delivered_marks_of_messages_in_other_segments_are_copied(harness: DiskHarness) -> None:
    harness.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    harness.commit()
    pass_through(harness, 10)
    harness.take("old", 3)
    pass_through(harness, 60)
    assert 2 not in numbers(harness)
    for _ in range(3):
        harness.crash()
        assert [redelivered for _, redelivered in harness.look("old")] == [True] * 3 + [False] * 17
        pass_through(harness, 30)


def test_counts_of_returned_messages_are_copied(harness: DiskHarness) -> None:
    harness.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    harness.commit()
    pass_through(harness, 10)
    (entry,) = harness.take("old", 1)
    entry.acquired, entry.failed = 3, 2
    harness.requeue(entry)
    pass_through(harness, 60)
    for _ in range(3):
        harness.crash()
        (entry,) = harness.take("old", 1)
        assert (entry.message.body.rstrip(b"."), entry.acquired, entry.failed) == (b"0", 3, 2)
        pass_through(harness, 30)


def test_compaction_keeps_the_order(harness: DiskHarness) -> None:
    """A copied message is behind later ones in the log, and still comes first."""
    for number in range(30):
        harness.push("old", message(b"%03d" % number + b"." * 100))
        harness.commit()
    taken = harness.take("old", 15)
    harness.ack(*(entry for entry in taken if int(entry.message.body[:3]) % 5))
    pass_through(harness, 60)
    assert 1 not in numbers(harness)
    harness.crash()
    found = [int(body[:3]) for body in harness.bodies("old")]
    assert found == [0, 5, 10, *range(15, 30)]


def test_messages_settled_during_compaction_stay_settled(harness: DiskHarness) -> None:
    for number in range(12):
        harness.push("old", message(b"%d" % number + b"." * 100))
        harness.commit()
    entries = harness.take("old", 11)
    harness.ack(*entries[:9])
    harness.commit()
    harness.loop.slow = True
    flow_started = harness.store.compactor.wanted
    harness.push("busy", message(b"x" * SEGMENT))
    harness.loop.run()
    harness.ack(*entries[9:])
    harness.loop.slow = False
    harness.loop.answer()
    harness.ack(*harness.take("busy", 1))
    pass_through(harness, 40)
    assert flow_started is not None
    harness.crash()
    assert [body.rstrip(b".") for body in harness.bodies("old")] == [b"11"]


def test_a_kill_between_copying_and_deleting_makes_no_duplicates(
    harness: DiskHarness, tmp_path: Path
) -> None:
    """The original segment is put back, as if it had not been deleted. A message found twice is one message, and stays
    settled although there were two copies."""
    for number in range(12):
        harness.push("old", message(b"%d" % number + b"." * 100))
        harness.commit()
    first = harness.logs()[0].read_bytes()
    harness.ack(*harness.take("old", 9))
    deleted: list[Path] = []
    harness.files.remove = deleted.append  # type: ignore[method-assign]
    while not deleted:
        pass_through(harness, 1)
    newest = harness.logs()[-1]
    harness.kill()
    # The deletion was announced in the last commits; without those the original is still in use.
    data = newest.read_bytes()
    found = list(log_blocks.walk(data, len(log_blocks.MARK)))
    announced = next(block.at for block in found if data[block.start : block.end].endswith(b"\x05\0\0\0\x01"))
    newest.write_bytes(data[:announced])
    del harness.files.remove
    harness.logs()[0].write_bytes(first) if harness.logs()[0].stem == "00000001" else None
    harness.open()
    left = [body.rstrip(b".") for body in harness.bodies("old")]
    assert left == [b"9", b"10", b"11"]
    harness.ack(*harness.take("old", 2))
    pass_through(harness, 60)
    harness.crash()
    assert [body.rstrip(b".") for body in harness.bodies("old")] == [b"11"]


def test_a_damaged_segment_is_not_deleted(harness: DiskHarness) -> None:
    """Damage is noticed when a segment is compacted; the broker goes on and keeps the file for repair."""
    for number in range(12):
        harness.push("old", message(b"%d" % number + b"." * 100))
        harness.commit()
    path = harness.logs()[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    harness.ack(*harness.take("old", 9))
    pass_through(harness, 60)
    assert path.exists()
    assert len(harness.bodies("old")) == 3
    harness.kill()
    with pytest.raises(StoreError, match="00000001"):
        harness.open()
