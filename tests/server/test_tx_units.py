"""tx.commit is one unit for the store, also if a batch is half encoded when it begins."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from pamqp.commands import Queue, Tx

from leveret.wire.methods import method_frame
from tests.faults.test_isolation import message
from tests.faults.world import Transport, World
from tests.stores.harness import message as stored

#: Messages after which a block of the log ends.
BLOCK_ENTRIES = 2048


def committed(client: Transport) -> bool:
    return any(getattr(line, "command", None) is Tx.CommitOk for line in client.receive())


def test_a_transaction_waits_for_the_end_of_a_batch_that_is_half_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch would have its first half, because it is closed between two portions of the transaction."""
    world = World(tmp_path)
    seconds = count(1.0)
    monkeypatch.setattr(world.background, "now", lambda: next(seconds))
    client = world.connect("transacts")
    declare = (method_frame(1, Queue.Declare, queue=name, durable=True) for name in ("long", "q"))
    client.feed(b"".join(declare) + method_frame(1, Tx.Select) + message("", "q"))
    world.loop.run(100)
    queues, journal = world.broker.vhosts["/"].queues, world.store.journal
    for _ in range(4 * BLOCK_ENTRIES):
        queues["long"].push(stored(b"x"))
    world.store.commit()
    assert journal.partial
    client.feed(method_frame(1, Tx.Commit))
    assert journal.partial and not queues["q"].ready
    batch = journal.open
    world.loop.run(100)
    assert queues["q"].ready == 1 and committed(client) and journal.settled > batch
