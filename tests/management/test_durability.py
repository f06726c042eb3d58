"""The response to a change is sent when the change is on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from leveret.config import Settings
from leveret.server.node import Node
from leveret.settings import Server, Store
from tests.management.conftest import Api

CHANGES = {
    "vhosts/one": {"description": "first"},
    "users/bob": {"password": "pw", "tags": "monitoring"},
    "permissions/%2F/guest": {"configure": "", "write": "w", "read": ".*"},
    "topic-permissions/%2F/guest": {"exchange": "amq.topic", "write": "w", "read": "r"},
    "vhost-limits/%2F/max-queues": {"value": 7},
    "user-limits/guest/max-channels": {"value": 9},
    "policies/%2F/ttl": {"pattern": ".*", "definition": {"message-ttl": 5}},
    "operator-policies/%2F/short": {"pattern": ".*", "definition": {"max-length": 5}},
}


@pytest.fixture
async def durable(tmp_path: Path) -> AsyncIterator[Api]:
    """The API of a node with a data directory."""
    server = Server(host=("127.0.0.1",), port=0, http_port=0, prometheus_port=0, node="rabbit@test")
    node = Node(Settings(server=server, store=Store(engine="disk", data_dir=str(tmp_path))))
    await node.start()
    async with ClientSession() as session:
        yield Api(node, session)
    await node.stop()


@pytest.mark.parametrize("path", CHANGES)
async def test_a_change_is_committed_before_its_answer(durable: Api, path: str) -> None:
    store = durable.node.durability.store
    assert store is not None
    statements: list[str] = []
    store.catalogue._database.set_trace_callback(statements.append)
    status, _ = await durable("PUT", path, CHANGES[path])
    assert status in (201, 204)
    assert statements[-1] == "COMMIT"
    assert not store.catalogue.pending


async def test_the_answer_waits_while_the_disk_fails(durable: Api, tmp_path: Path) -> None:
    store = durable.node.durability.store
    assert store is not None
    failed, before = asyncio.Event(), store.on_failing
    store.on_failing = lambda: [before(), failed.set()]  # type: ignore[assignment,return-value,func-returns-value]
    execute = store.catalogue._database.execute
    pages = execute("PRAGMA page_count").fetchone()[0]
    execute(f"PRAGMA max_page_count = {pages}")
    body = {"pattern": ".*", "definition": {"dead-letter-routing-key": "x" * 100_000}}
    answer = asyncio.create_task(durable("PUT", "policies/%2F/long", body))
    await failed.wait()
    assert durable.node.broker.alarms == {"disk"}
    assert not answer.done()
    execute("PRAGMA max_page_count = 100000")
    status, _ = await answer
    assert status == 201
    assert not store.catalogue.pending
