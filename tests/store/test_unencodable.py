"""A message that cannot be encoded is reported and not stored; the rest of its batch is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leveret.queues.message import Extra, Message
from leveret.store.messages import blocks, records
from tests.stores.harness import DiskHarness, message


def broken(body: bytes) -> Message:
    """Its extra has keys that are not octets."""
    made = message(body)
    made.extra = Extra()
    unencodable: Any = object()
    made.extra.more = [unencodable]
    return made


def test_one_message_of_a_batch(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
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
    harness.kill()


def test_in_several_queues(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
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
    harness.kill()


def test_the_only_message_of_a_batch(tmp_path: Path) -> None:
    harness = DiskHarness(tmp_path)
    harness.declare("q")
    harness.push("q", broken(b"a"))
    harness.commit()
    harness.crash()
    assert harness.bodies("q") == []
    harness.kill()


def test_layout_in_both_sources() -> None:
    """The compiler reads the numbers of the record kinds from the .pxd, Python from the .py file."""
    folder = Path(blocks.__file__).parent
    sources = [(folder / name).read_text() for name in ("records.py", "records.pxd")]
    for name in ("MESSAGE", "SETTLED", "DELIVERED", "RETURNED", "DROPPED", "HEADER", "CONTINUED"):
        line = f"    {name} = {getattr(records, name)}\n"
        assert all(line in source for source in sources)
