"""The lease is renewed while the event loop is busy."""

from __future__ import annotations

import asyncio
import threading

from leveret.cluster.keeper import LeaseKeeper
from leveret.cluster.member import Member
from leveret.cluster.ports import TableEntry
from leveret.cluster.view import NodeRecord, encode
from tests.hang import HANG_SECONDS


class Time:
    """Time that goes on when it is looked at."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        self.seconds += 1.0
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Nodes:
    """A table with one key. `renewed`: set after three changes."""

    def __init__(self, record: NodeRecord) -> None:
        self.value = encode(record)
        self.revision = 5
        self.renewed = threading.Event()

    async def get(self, key: str) -> TableEntry:
        return TableEntry(key, self.value, self.revision)

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        assert (value, revision) == (self.value, self.revision)
        self.revision += 1
        if self.revision == 8:
            self.renewed.set()
        return self.revision


class Storage:
    """A connection. `closed`: set when it is closed."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.closed = threading.Event()

    async def open_table(self, name: str) -> Nodes:
        assert name == "nodes"
        return self.nodes

    async def close(self) -> None:
        self.closed.set()


def member() -> Member:
    return Member("a", "127.0.0.1:1", None, None, Time(), 10.0)  # type: ignore[arg-type]


def keep(node: Member, record: NodeRecord) -> Storage:
    """Start a keeper; returns its connection."""
    storage = Storage(Nodes(record))

    async def connect() -> Storage:
        return storage

    keeper = LeaseKeeper(node, connect)  # type: ignore[arg-type]
    keeper.start()
    if record.incarnation == node.incarnation and not record.dead:
        assert storage.nodes.renewed.wait(HANG_SECONDS)  # nothing runs in this thread
        keeper.stop()
    assert storage.closed.wait(HANG_SECONDS)
    return storage


def test_the_key_is_written_again_until_the_end() -> None:
    node = member()
    keep(node, NodeRecord(incarnation=node.incarnation, address="127.0.0.1:1", beat=4))
    assert node.lease.contact is not None


def test_a_lost_lease_is_not_renewed() -> None:
    node = member()
    for record in (
        NodeRecord(incarnation="another", address="127.0.0.1:1"),
        NodeRecord(incarnation=node.incarnation, address="127.0.0.1:1", dead=True),
    ):
        assert keep(node, record).nodes.revision == 5
    assert node.lease.contact is None
