"""Limits of a user count what it has on all nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiormq
import pytest
from aiormq.abc import AbstractConnection

from leveret.cluster import user_totals
from leveret.cluster.user_totals import decoded, totals_of
from leveret.engine.other_nodes import UserTotals
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
VHOSTS = ("/", "v", "w")


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[LocalNodes]:
    """Three nodes with a virtual host each, and a user "u"."""
    made = LocalNodes(tmp_path)
    await made.start(3)
    node = made.nodes[0]
    await node.api("PUT", "users/u", {"password": "u", "tags": ""})
    for vhost in VHOSTS:
        await node.api("PUT", f"vhosts/{vhost.replace('/', '%2F')}")
        await node.api("PUT", f"permissions/{vhost.replace('/', '%2F')}/u", EVERYTHING)
    await made.served(*VHOSTS)
    assert [len(one.vhosts) for one in made.nodes] == [1, 1, 1]
    yield made
    await made.stop()


async def connect(node: LocalNode, vhost: str) -> AbstractConnection:
    return await aiormq.connect(f"amqp://u:u@127.0.0.1:{node.port}/{vhost.replace('/', '%2F')}")


async def test_connections_of_a_user_count_on_all_nodes(
    nodes: LocalNodes, caplog: pytest.LogCaptureFixture
) -> None:
    await nodes.nodes[0].api("PUT", "user-limits/u/max-connections", {"value": 2})
    first = await connect(nodes.nodes[0], VHOSTS[0])
    second = await connect(nodes.nodes[0], VHOSTS[1])
    for node in nodes.nodes:
        for vhost in VHOSTS:
            caplog.clear()
            with pytest.raises(aiormq.exceptions.AMQPError):
                await connect(node, vhost)
            assert "user 'u': user connection limit (2) is reached" in caplog.text
    await first.close()
    broker = nodes.owner(VHOSTS[0]).node
    assert broker is not None
    await settled(lambda: not broker.broker.totals_of("u").connections)
    third = await connect(nodes.nodes[1], VHOSTS[2])
    with pytest.raises(aiormq.exceptions.AMQPError):
        await connect(nodes.nodes[2], VHOSTS[0])
    await nodes.nodes[2].api("DELETE", "user-limits/u/max-connections")
    fourth = await connect(nodes.nodes[2], VHOSTS[0])
    for connection in (second, third, fourth):
        await connection.close()


async def test_channels_of_a_user_count_on_all_nodes(nodes: LocalNodes) -> None:
    await nodes.nodes[0].api("PUT", "user-limits/u/max-channels", {"value": 3})
    connections = [await connect(nodes.nodes[0], vhost) for vhost in VHOSTS]
    channels = [await connection.channel() for connection in connections]
    with pytest.raises(aiormq.exceptions.AMQPError) as raised:
        await connections[0].channel()
    text = "number of channels opened for user 'u' has reached the maximum allowed user limit of 3"
    assert text in str(raised.value)
    broker = nodes.owner(VHOSTS[0]).node
    assert broker is not None
    await settled(lambda: not broker.broker.totals_of("u").channels)
    await connections[1].channel()
    await channels[2].close()
    connections.append(await connect(nodes.nodes[1], VHOSTS[0]))
    await connections[-1].channel()
    for connection in connections[1:]:
        await connection.close()


async def test_a_node_that_does_not_answer_counts_nothing(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_totals, "ANSWER_TIMEOUT_S", 0.0)
    address = nodes.nodes[0].member.address
    assert await totals_of([address], "u", nodes.nodes[0].secret, None) == UserTotals(0, 0)
    monkeypatch.setattr(user_totals, "ANSWER_TIMEOUT_S", 60.0)
    assert await totals_of(["127.0.0.1:1", address], "u", b"another secret", None) == UserTotals(0, 0)
    await nodes.nodes[0].api("PUT", "user-limits/u/max-connections", {"value": 1})
    connection = await connect(nodes.nodes[0], VHOSTS[0])
    owner = nodes.owner(VHOSTS[0])
    assert await totals_of([owner.member.address], "u", owner.secret, None) == UserTotals(1, 0)
    await connection.close()


def test_an_answer_that_is_none() -> None:
    for data in (b"", b"{}", b"[1]", b'[1, "2"]'):
        with pytest.raises(ValueError):
            decoded(data)
