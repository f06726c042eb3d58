"""A node with a data directory: its start, and a directory that is deleted."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Server, Store

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
    assert node.broker.alarms == {"memory", "disk"}
