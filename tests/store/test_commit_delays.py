"""What somebody waits for is committed at once, the rest after a delay, and nothing that is acknowledged meanwhile."""

from __future__ import annotations

import pytest

from leveret.store.disk import ACK_COMMIT_DELAY_S, MESSAGE_COMMIT_DELAY_S
from tests.stores.harness import DiskHarness, message


@pytest.fixture
def queue(harness: DiskHarness) -> str:
    """A durable queue on the disk; nothing is due."""
    harness.declare("q")
    harness.commit()
    assert not harness.loop.calls
    return "q"


def due(harness: DiskHarness) -> list[float | None]:
    """After how many seconds calls are due; None: at once."""
    return [harness.loop.delays.get(call) for call in harness.loop.calls]


def written(harness: DiskHarness) -> int:
    """Octets of the log."""
    return sum(path.stat().st_size for path in harness.logs())


def test_messages_wait_for_each_other_for_a_moment(harness: DiskHarness, queue: str) -> None:
    first = harness.push(queue, message(b"1"))
    second = harness.push(queue, message(b"2"))
    assert due(harness) == [MESSAGE_COMMIT_DELAY_S]
    assert first == second > harness.store.journal.settled
    harness.commit()
    assert harness.store.journal.settled >= first
    harness.crash()
    assert harness.bodies(queue) == [b"1", b"2"]


def test_what_somebody_waits_for_is_committed_at_once(harness: DiskHarness, queue: str) -> None:
    ticket = harness.push(queue, message(b"1"))
    settled: list[str] = []
    harness.store.journal.when_settled(ticket, lambda: settled.append("now"))
    assert due(harness) == [MESSAGE_COMMIT_DELAY_S, None]
    harness.loop.take_later(MESSAGE_COMMIT_DELAY_S)
    harness.loop.run()
    assert settled == ["now"]


def test_what_is_acknowledged_meanwhile_is_never_written(harness: DiskHarness, queue: str) -> None:
    harness.push(queue, message(b"before"))
    harness.commit()
    before = written(harness)
    harness.push(queue, message(b"x" * 1000))
    entries = harness.take(queue, 2)
    harness.ack(entries[1])
    harness.commit()
    assert written(harness) - before < 100
    harness.crash()
    assert harness.bodies(queue) == [b"before"]


def test_many_octets_are_committed_at_once(harness: DiskHarness, queue: str) -> None:
    harness.push(queue, *(message(bytes(100_000)) for _ in range(3)))
    assert due(harness) == [MESSAGE_COMMIT_DELAY_S, None]


def test_acknowledgements_alone_wait_longer(harness: DiskHarness, queue: str) -> None:
    harness.push(queue, message(b"1"), message(b"2"))
    harness.commit()
    entry = harness.get(queue)
    assert entry is not None
    harness.ack(entry)
    assert due(harness) == [ACK_COMMIT_DELAY_S]
    harness.push(queue, message(b"3"))
    assert due(harness) == [ACK_COMMIT_DELAY_S, MESSAGE_COMMIT_DELAY_S]
    for call in harness.loop.take_later(MESSAGE_COMMIT_DELAY_S):
        call()
    harness.loop.take_later(ACK_COMMIT_DELAY_S)
    harness.loop.run()
    harness.crash()
    assert harness.bodies(queue) == [b"2", b"3"]


def test_a_message_that_comes_during_a_sync_is_committed_when_its_delay_is_over(
    harness: DiskHarness, queue: str
) -> None:
    harness.loop.slow = True
    harness.store.journal.when_settled(harness.push(queue, message(b"1")), lambda: None)
    harness.loop.run()
    assert len(harness.loop.asked) == 1, "a sync is under way"
    ticket = harness.push(queue, message(b"2"))
    assert due(harness) == [MESSAGE_COMMIT_DELAY_S]
    harness.loop.run()
    assert ticket > harness.store.journal.settled
    harness.loop.slow = False
    harness.loop.answer()
    harness.loop.run()
    assert harness.store.journal.settled >= ticket
