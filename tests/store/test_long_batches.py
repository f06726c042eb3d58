"""What happens while a long batch is encoded, in several turns of the event loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from leveret.wire.frames import Outbox
from tests.stores.harness import DiskHarness, message

#: Messages after which a block of the log ends, and the messages that each of two queues gets in the batch.
BLOCK_ENTRIES = 2048
COUNT = 3 * BLOCK_ENTRIES

#: Octets of a segment: the message before the batch fills it, so that the batch begins the next one.
SEGMENT = 4096


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[DiskHarness]:
    harness = DiskHarness(tmp_path, segment=SEGMENT)
    yield harness
    harness.kill()


def half_encode(harness: DiskHarness) -> int:
    """Have the first blocks of a batch encoded, which begins a segment; returns its ticket."""
    for name in ("p", "q"):
        harness.declare(name)
    harness.commit()
    harness.loop.slow = True
    harness.push("p", message(b"x" * SEGMENT))
    harness.loop.run()
    harness.push("p", *(message(b"p") for _ in range(COUNT)))
    ticket = harness.push("q", *(message(b"q") for _ in range(COUNT)))
    harness.loop.slow = False
    harness.loop.answer()
    harness.loop.run(3)
    assert harness.store.journal.partial
    return ticket


def deliver_in_two_orders(harness: DiskHarness) -> None:
    """Deliver messages of two priorities, which alternate: each mark is a run of its own."""
    harness.declare("q", max_priority=1)
    harness.push("q", *(message(b"x", priority=number % 2) for number in range(2 * COUNT)))
    harness.commit()
    for _ in range(2 * COUNT):
        entry = harness.queue("q").get(False)
        assert entry is not None


def test_many_marks_before_deliveries_are_encoded_in_turns(harness: DiskHarness) -> None:
    deliver_in_two_orders(harness)
    turns = 1
    while not harness.store.write_delivered_marks():
        harness.loop.run(1)
        turns += 1
    assert turns > 2
    harness.crash()
    assert harness.look("q") == [(b"x", True)] * (2 * COUNT)


def test_many_marks_of_a_commit_are_encoded_in_turns(harness: DiskHarness) -> None:
    """They are so many if the disk has hung."""
    deliver_in_two_orders(harness)
    ticket = harness.push("q", message(b"last", priority=0))
    harness.store.commit()
    turns = 0
    while harness.store.journal.settled < ticket:
        harness.loop.run(1)
        turns += 1
    assert turns > 2 and not harness.store.has_unwritten_marks
    harness.crash()
    assert harness.look("q") == [(b"x", True)] * (2 * COUNT) + [(b"last", False)]


def live(harness: DiskHarness) -> dict[int, int]:
    """The live messages of each segment, as the queues count them."""
    counts: Counter[int] = Counter()
    for queue_journal in harness.store.journal.queues.values():
        counts.update(queue_journal.counts)
    return dict(counts)


def acknowledge(harness: DiskHarness) -> None:
    for _ in range(100):
        harness.queue("p").get(True)


def purge(harness: DiskHarness) -> None:
    harness.queue("p").purge()


def delete(harness: DiskHarness) -> None:
    harness.vhost.delete_queue(harness.queue("p"))


@pytest.mark.parametrize("settle", [acknowledge, purge, delete])
def test_what_is_settled_before_its_segment_begins_is_not_live_there(
    harness: DiskHarness, settle: Callable[[DiskHarness], None]
) -> None:
    half_encode(harness)
    assert harness.store.journal.segment not in harness.store.segments.table
    settle(harness)
    harness.commit()
    assert live(harness) == {
        segment.number: segment.live for segment in harness.store.segments.table.values() if segment.live
    }
    harness.crash()
    assert harness.bodies("q") == [b"q"] * COUNT


def test_the_first_blocks_are_kept_if_the_last_one_fails(
    harness: DiskHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing wakes the store after the fault: it tries again by itself."""
    ticket = half_encode(harness)
    put = harness.store.compactor.put

    def fail(out: Outbox) -> None:
        monkeypatch.setattr(harness.store.compactor, "put", put)
        raise MemoryError

    monkeypatch.setattr(harness.store.compactor, "put", fail)
    with pytest.raises(MemoryError):
        harness.loop.run()
    assert harness.store.journal.settled < ticket
    harness.loop.run()
    assert harness.store.journal.settled >= ticket
    harness.crash()
    assert harness.bodies("p") == [b"x" * SEGMENT] + [b"p"] * COUNT
    assert harness.bodies("q") == [b"q"] * COUNT


def test_the_loop_encodes_nothing_while_the_store_ends(harness: DiskHarness) -> None:
    """At the end, another thread does."""
    ticket = half_encode(harness)
    store = harness.store
    store.leave_loop()
    harness.loop.run()
    store.commit()
    assert store.journal.partial and store.journal.settled < ticket
    store.close()
    harness.open()
    assert harness.bodies("q") == [b"q"] * COUNT
