"""Reclaiming the disk: what goes, what is carried along, and that nothing comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.store import blocks, rewriting
from leveret.store.errors import StoreError
from tests.stores.houses import DiskHouse, message

SEGMENT = 2000


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """No segments to spare: whatever can be rewritten is."""
    monkeypatch.setattr(rewriting, "SPARE", 0)
    monkeypatch.setattr(rewriting, "TIMES", 1.2)


@pytest.fixture
def house(tmp_path: Path) -> DiskHouse:
    made = DiskHouse(tmp_path, segment=SEGMENT)
    made.declare("old")
    made.declare("busy")
    return made


def flow(house: DiskHouse, count: int) -> None:
    """So many messages go through a queue, each in a commit of its own, its ack in the next."""
    for number in range(count):
        house.push("busy", message(b"%d" % number + b"." * 100))
        house.commit()
        house.ack(*house.take("busy", 1))
    house.commit()


def numbers(house: DiskHouse) -> list[int]:
    return [int(path.stem) for path in house.logs()]


def test_settled_segments_are_dropped(house: DiskHouse) -> None:
    flow(house, 100)
    house.commit()
    assert len(house.logs()) <= 2
    assert numbers(house)[-1] > 5
    house.crash()
    assert house.bodies("busy") == []
    house.leave()


def test_mostly_settled_segments_are_rewritten(house: DiskHouse) -> None:
    for number in range(40):
        house.push("old" if number % 10 == 0 else "busy", message(b"%d" % number + b"." * 100))
        house.commit()
    house.ack(*house.take("busy", 100))
    flow(house, 20)
    assert sum(path.stat().st_size for path in house.logs()) < 3 * SEGMENT
    assert 1 not in numbers(house)
    house.crash()
    assert [int(body.rstrip(b".")) for body in house.bodies("old")] == [0, 10, 20, 30]
    house.leave()


def test_settlements_of_messages_elsewhere_are_carried(house: DiskHouse) -> None:
    """Messages stay in the first segment; what settles one of them is in a segment that is given up."""
    house.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    house.commit()
    flow(house, 10)
    house.ack(*house.take("old", 2))
    flow(house, 60)
    assert numbers(house)[0] == 1
    assert 2 not in numbers(house)
    for _ in range(3):
        house.crash()
        assert [int(body.rstrip(b".")) for body in house.bodies("old")] == list(range(2, 20))
        flow(house, 30)
    house.leave()


def test_marks_of_messages_elsewhere_are_carried(house: DiskHouse) -> None:
    house.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    house.commit()
    flow(house, 10)
    house.take("old", 3)
    flow(house, 60)
    assert 2 not in numbers(house)
    for _ in range(3):
        house.crash()
        assert [redelivered for _, redelivered in house.look("old")] == [True] * 3 + [False] * 17
        flow(house, 30)
    house.leave()


def test_counts_of_returned_messages_are_carried(house: DiskHouse) -> None:
    house.push("old", *(message(b"%d" % number + b"." * 100) for number in range(20)))
    house.commit()
    flow(house, 10)
    (entry,) = house.take("old", 1)
    entry.acquired, entry.failed = 3, 2
    house.requeue(entry)
    flow(house, 60)
    for _ in range(3):
        house.crash()
        (entry,) = house.take("old", 1)
        assert (entry.message.body.rstrip(b"."), entry.acquired, entry.failed) == (b"0", 3, 2)
        flow(house, 30)
    house.leave()


def test_order_after_a_rewrite(house: DiskHouse) -> None:
    """What was rewritten lies behind what was published later, and still comes first."""
    for number in range(30):
        house.push("old", message(b"%03d" % number + b"." * 100))
        house.commit()
    taken = house.take("old", 15)
    house.ack(*(entry for entry in taken if int(entry.message.body[:3]) % 5))
    flow(house, 60)
    assert 1 not in numbers(house)
    house.crash()
    found = [int(body[:3]) for body in house.bodies("old")]
    assert found == [0, 5, 10, *range(15, 30)]
    house.leave()


def test_settled_while_being_rewritten(house: DiskHouse) -> None:
    for number in range(12):
        house.push("old", message(b"%d" % number + b"." * 100))
        house.commit()
    entries = house.take("old", 11)
    house.ack(*entries[:9])
    house.commit()
    house.hands.slow = True
    flow_started = house.store.rewriter.wanted
    house.push("busy", message(b"x" * SEGMENT))
    house.hands.run()
    house.ack(*entries[9:])
    house.hands.slow = False
    house.hands.answer()
    house.ack(*house.take("busy", 1))
    flow(house, 40)
    assert flow_started is not None
    house.crash()
    assert [body.rstrip(b".") for body in house.bodies("old")] == [b"11"]
    house.leave()


def test_killed_between_the_copy_and_the_deletion(house: DiskHouse, tmp_path: Path) -> None:
    """The original is put back after the rewrite, as if it had not been deleted: a message found twice is one message,
    and once settled it stays settled although two copies were there."""
    for number in range(12):
        house.push("old", message(b"%d" % number + b"." * 100))
        house.commit()
    first = house.logs()[0].read_bytes()
    house.ack(*house.take("old", 9))
    deleted: list[Path] = []
    house.files.remove = deleted.append  # type: ignore[method-assign]
    while not deleted:
        flow(house, 1)
    newest = house.logs()[-1]
    house.leave()
    # The deletion was announced in the last commits; without those the original is still in use.
    data = newest.read_bytes()
    found = list(blocks.walk(data, len(blocks.MARK)))
    announced = next(block.at for block in found if data[block.start : block.end].endswith(b"\x05\0\0\0\x01"))
    newest.write_bytes(data[:announced])
    del house.files.remove
    house.logs()[0].write_bytes(first) if house.logs()[0].stem == "00000001" else None
    house.enter()
    left = [body.rstrip(b".") for body in house.bodies("old")]
    assert left == [b"9", b"10", b"11"]
    house.ack(*house.take("old", 2))
    flow(house, 60)
    house.crash()
    assert [body.rstrip(b".") for body in house.bodies("old")] == [b"11"]
    house.leave()


def test_a_segment_that_went_bad_is_kept(house: DiskHouse) -> None:
    """Bit rot is noticed when a segment is rewritten; the broker goes on and leaves the file to whoever repairs it."""
    for number in range(12):
        house.push("old", message(b"%d" % number + b"." * 100))
        house.commit()
    path = house.logs()[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    house.ack(*house.take("old", 9))
    flow(house, 60)
    assert path.exists()
    assert len(house.bodies("old")) == 3
    house.leave()
    with pytest.raises(StoreError, match="00000001"):
        house.enter()
