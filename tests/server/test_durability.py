"""A node with a data directory: what it starts with, and a directory that goes."""

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
    """Stops the node that runs, and starts one on what it left."""
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


async def test_the_default_user_stays_deleted(start: Start) -> None:
    """Defaults are for a broker that has nothing yet (rabbit_table:needs_default_data), not for one without virtual
    hosts."""
    broker = (await start()).broker
    broker.access.import_user({"name": "admin", "password": "secret", "tags": "administrator"})
    broker.access.users.delete("guest")
    broker.delete_vhost("/")
    broker = (await start()).broker
    assert [user.name for user in broker.access.users] == ["admin"]
    assert list(broker.vhosts) == []


async def test_a_data_directory_that_is_deleted(start: Start, tmp_path: Path) -> None:
    """Publishers are blocked, and the memory is looked at nonetheless."""
    node = await start()
    shutil.rmtree(tmp_path / "data")
    node.monitor.memory_limit = 0
    node.monitor.check()
    assert node.broker.alarms == {"memory", "disk"}
