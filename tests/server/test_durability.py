"""A node with a data directory: its start, and a directory that is deleted."""

from __future__ import annotations

import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from leveret.config import Settings
from leveret.engine.operations import INTERNAL_CALLER, declare_queue
from leveret.queues.message import Message, frame_content
from leveret.server.disk_space import DiskSpace
from leveret.server.node import Node
from leveret.settings import Server, Store
from leveret.wire.properties import Properties, encode_properties
from tests.hang import settled

Start = Callable[[], Awaitable[Node]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Stop the running node, and start one on the same directory."""
    running: list[Node] = []
    server = Server(host=("127.0.0.1",), port=-1, http_port=-1, prometheus_port=-1)
    store = Store(engine="disk", data_dir=str(tmp_path / "data"))

    async def again() -> Node:
        if running:
            await running.pop().stop()
        node = Node(Settings(server=server, store=store))
        await node.start()
        running.append(node)
        return node

    yield again
    for node in running:
        await node.stop()


async def test_a_deleted_default_user_is_not_created_again(start: Start) -> None:
    """Only a broker without users gets the defaults (rabbit_table:needs_default_data)."""
    broker = (await start()).broker
    broker.access.import_user({"name": "admin", "password": "secret", "tags": "administrator"})
    broker.access.users.delete("guest")
    broker.delete_vhost("/")
    broker = (await start()).broker
    assert [user.name for user in broker.access.users] == ["admin"]
    assert list(broker.vhosts) == []


async def test_a_deleted_data_directory_raises_the_disk_alarm(start: Start, tmp_path: Path) -> None:
    """The memory is still checked."""
    node = await start()
    await node.edge.settled()
    shutil.rmtree(tmp_path / "data")
    node.monitor.memory_limit = 0
    node.monitor.check()
    await settled(lambda: node.broker.alarms == {"memory", "disk"})


async def test_the_loop_does_not_wait_for_a_disk_that_hangs(start: Start) -> None:
    """What was free before counts meanwhile."""
    node = await start()
    before, hangs = node.monitor.disk(), threading.Event()

    def look_up() -> int:
        hangs.wait()
        return 7

    node.monitor.space = DiskSpace(look_up, node.durability.background.offload)
    node.monitor.space.free, node.monitor.space._known = before.value, True
    for _ in range(3):
        node.monitor.check()
        assert node.monitor.disk() == before
    hangs.set()
    await settled(lambda: node.monitor.disk().value == 7)
    assert node.broker.alarms == {"disk"}


@pytest.mark.parametrize("persistent", [True, False])
async def test_stopping_does_nothing_for_each_message(start: Start, persistent: bool) -> None:
    """SIGTERM with millions of messages ends the process at once: Docker kills it after ten seconds."""
    written: list[tuple[int, int, int]] = []
    for many in (10, 20_000):
        node = await start()
        vhost = node.broker.vhosts["/"]
        queue = declare_queue(
            vhost, INTERNAL_CALLER, f"q{many}", durable=True, auto_delete=False, arguments={}
        )
        content, head = frame_content(
            encode_properties(Properties(delivery_mode=1 + persistent), 50), bytes(50)
        )
        for _ in range(many):
            message = Message(b"", queue.name.encode(), content, head, 50)
            message.persistent, message.shares = persistent, 1
            queue.push(message)
        await node.edge.settled()
        await settled(lambda node=node: not node.durability.store.journal.awake)  # type: ignore[misc]
        before = node.durability.file_operations()
        before = (before.writes, before.written_bytes, before.reads)
        jobs: list[object] = []
        node.broker.work.wake = lambda jobs=jobs: jobs.append(1)  # type: ignore[misc]
        await node.stop()
        after = node.durability.file_operations()
        written.append((after.writes - before[0], after.written_bytes - before[1], after.reads - before[2]))
        assert queue.ready == many and not jobs and not queue.busy, "nothing was taken from the queue"
        node.stop = _stopped  # type: ignore[method-assign]
    assert written[0] == written[1]
    vhost = (await start()).broker.vhosts["/"]
    assert [vhost.queues[name].ready for name in ("q10", "q20000")] == (
        [10, 20_000] if persistent else [0, 0]
    )


async def _stopped() -> None:
    """It has been stopped."""
