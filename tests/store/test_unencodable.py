"""A message that cannot be encoded is reported and not stored; the rest of its batch is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leveret.queues.message import Extra, Message
from leveret.store.messages import blocks, records
from tests.stores.harness import DiskHarness, message


def broken(body: bytes) -> Message:
    """A message whose extra fields cannot be encoded."""
    made = message(body)
    made.extra = Extra()
    unencodable: Any = object()
    made.extra.more = [unencodable]
    return made


def test_the_rest_of_the_batch_is_stored(harness: DiskHarness) -> None:
    written: list[str] = []
    harness.broker.faults.write = lambda fault: written.append(str(fault))
    harness.declare("q")
    settled: list[int] = []
    ticket = harness.push("q", message(b"a"), broken(b"b"), message(b"c"))
    harness.store.journal.when_settled(ticket, lambda: settled.append(ticket))
    harness.commit()
    assert settled == [ticket]
    (line,) = written
    assert line.startswith("internal error in encoding a message, which is not stored (queue: q, vhost: /")
    assert harness.bodies("q") == [b"a", b"b", b"c"]
    harness.ack(*harness.take("q", 1))
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == [b"c"]


def test_an_unencodable_message_in_several_queues_is_reported_once_each(harness: DiskHarness) -> None:
    for name in ("p", "q"):
        harness.declare(name)
    harness.fanout(["p", "q"], broken(b"a"))
    harness.fanout(["p", "q"], message(b"b"))
    harness.commit()
    assert harness.broker.faults.errors["encoding a message, which is not stored"] == 2
    for name in ("p", "q"):
        harness.ack(*harness.take(name, 2))
    harness.commit()
    harness.crash()
    assert [harness.bodies(name) for name in ("p", "q")] == [[], []]


def test_an_unencodable_message_may_be_the_whole_batch(harness: DiskHarness) -> None:
    harness.declare("q")
    harness.push("q", broken(b"a"))
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == []


def test_the_record_kinds_are_the_same_in_python_and_cython() -> None:
    """Cython reads their numbers from the .pxd file, Python from the .py file."""
    folder = Path(blocks.__file__).parent
    sources = [(folder / name).read_text() for name in ("records.py", "records.pxd")]
    for name in ("MESSAGE", "SETTLED", "DELIVERED", "RETURNED", "DROPPED", "HEADER", "CONTINUED"):
        line = f"    {name} = {getattr(records, name)}\n"
        assert all(line in source for source in sources)
