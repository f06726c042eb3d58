"""A virtual host whose log cannot be restored stays closed: every node says so, and can delete it or have it tried
again."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pika
import pytest

from leveret.cluster.ports import StorageError, Stored
from tests.cluster.commands import Failed, command
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class Damaged:
    """Three nodes of which the first has stopped; the virtual host "v" is damaged. `holder`: keeps it closed, `other`:
    another node; `records`: of its log, as they were."""

    def __init__(self, nodes: LocalNodes) -> None:
        self.nodes = nodes
        self.identifier = ""
        self.records: list[Stored] = []

    async def begin(self) -> None:
        """Damage it."""
        node = self.nodes.nodes[0]
        await node.api("PUT", "vhosts/v")
        await node.api("PUT", "permissions/v/guest", EVERYTHING)
        await node.api("PUT", "policies/v/p", {"pattern": "q", "definition": {"max-length": 3}})
        await node.api("PUT", "queues/v/q", {"durable": True})
        self.identifier = node.directory.vhosts()["v"]
        log = self.nodes.storage.logs[self.identifier]
        self.records = list(log.records)
        for at, stored in enumerate(log.records):
            if stored.subject != "epoch":
                log.records[at] = dataclasses.replace(stored, record=stored.record[:-1] + b"\0")
        await self.nodes.owner("v").stop()
        await settled(lambda: all(one.others.damage("v") is not None for one in self.running))
        await self.nodes.served("/")

    def repair(self) -> None:
        """Restore the log as it was."""
        log = self.nodes.storage.logs[self.identifier]
        known = {one.sequence: one for one in self.records}
        log.records[:] = [known.get(one.sequence, one) for one in log.records]

    @property
    def running(self) -> list[LocalNode]:
        return [node for node in self.nodes.nodes if not node.task.done()]

    @property
    def holder(self) -> LocalNode:
        return next(node for node in self.running if node.units.units["v"].damage)

    @property
    def other(self) -> LocalNode:
        return next(node for node in self.running if not node.units.units["v"].damage)


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[Damaged]:
    nodes = LocalNodes(tmp_path)
    await nodes.start(3)
    await nodes.served("/")
    made = Damaged(nodes)
    await made.begin()
    yield made
    await nodes.stop()


async def test_every_node_says_which_one_is_damaged_and_what_to_do(
    damaged: Damaged, caplog: pytest.LogCaptureFixture
) -> None:
    holder = damaged.holder
    assert not any(node.given_up for node in damaged.running)
    for node in damaged.running:
        _, found = await node.api("GET", "vhosts")
        (shown,) = [one for one in found if one["name"] == "v"]
        assert shown["cluster_state"] == {holder.name: "stopped"}
        assert shown["damaged"]["node"] == holder.name
        assert "checksum" in shown["damaged"]["reason"]
        assert "rabbitmqctl delete_vhost 'v'" in shown["damaged"]["advice"]
        assert [one for one in found if "damaged" in one] == [shown]
        assert (await node.api("GET", "vhosts/v"))[1]["damaged"] == shown["damaged"]
        status, found = await node.api("GET", "health/checks/virtual-hosts")
        assert status == 503 and found["virtual-hosts"] == ["v"]
        assert "delete_vhost 'v'" in found["damaged"]["v"]
        status, found = await node.api("GET", "queues/v/q")
        assert status == 503 and "is damaged" in found["reason"]
        with pytest.raises(Failed) as raised:
            await command(node, "check_virtual_hosts", tool="rabbitmq-diagnostics")
        assert f"\nv\n\nvirtual host 'v' is damaged, and node {holder.name} keeps it closed: " in str(
            raised.value
        )
        with pytest.raises(Failed) as raised:
            await command(node, "list_queues", vhost="v")
        assert raised.value.code == 69 and "is damaged" in str(raised.value)
        listed = await command(node, "list_vhosts", "name", "cluster_state")
        assert f"v\t[{{{holder.name}, stopped}}]" in listed.replace("'", "")
    with caplog.at_level(logging.CRITICAL, "leveret"):
        await holder.others.reopen("v")
    (line,) = [one for one in caplog.messages if "is damaged" in one]
    assert (
        "cluster: virtual host 'v' is damaged, and stays closed: " in line and "restart_vhost -p 'v'" in line
    )


@pytest.mark.parametrize("where", ["holder", "other"])
async def test_a_client_that_opens_it_is_refused_at_once(damaged: Damaged, where: str) -> None:
    node: LocalNode = getattr(damaged, where)
    parameters = pika.ConnectionParameters("127.0.0.1", node.port, "v")
    text = r"\(541\) .*access to vhost 'v' refused for user 'guest': vhost 'v' is down"
    with pytest.raises(pika.exceptions.ProbableAccessDeniedError, match=text):
        await asyncio.to_thread(pika.BlockingConnection, parameters)
    damaged.repair()
    await damaged.holder.others.reopen("v")
    connection = await asyncio.to_thread(pika.BlockingConnection, parameters)
    await asyncio.to_thread(connection.close)


@pytest.mark.parametrize("where", ["holder", "other"])
@pytest.mark.parametrize("how", ["http", "command"])
async def test_it_can_be_deleted_at_any_node(damaged: Damaged, where: str, how: str) -> None:
    node: LocalNode = getattr(damaged, where)
    if how == "http":
        assert (await node.api("DELETE", "vhosts/v"))[0] == 204
    else:
        await command(node, "delete_vhost", "v")
    for one in damaged.running:
        assert (await one.api("GET", "vhosts/v"))[0] == 404
        assert (await one.api("GET", "health/checks/virtual-hosts"))[0] == 200
        assert one.node is not None and not one.node.broker.policies.get("v", "p", False)
        assert not one.node.broker.access.export_permissions(vhost="v")
    await settled(lambda: damaged.identifier not in damaged.nodes.storage.logs)
    assert (await node.api("PUT", "vhosts/v"))[0] == 201
    await damaged.nodes.served("v")
    assert node.directory.vhosts()["v"] != damaged.identifier


async def test_one_that_is_protected_is_not_deleted_before_it_is_protected_no_longer(
    damaged: Damaged,
) -> None:
    node = damaged.other
    await command(node, "enable_vhost_deletion_protection", "v")
    assert (await damaged.holder.api("GET", "vhosts/v/deletion/protection"))[1] == {
        "protected_from_deletion": True
    }
    assert (await damaged.holder.api("DELETE", "vhosts/v"))[0] == 412
    with pytest.raises(Failed):
        await command(node, "delete_vhost", "v")
    assert (await damaged.holder.api("DELETE", "vhosts/v/deletion/protection"))[0] == 204
    await command(node, "delete_vhost", "v")
    assert (await node.api("GET", "vhosts/v"))[0] == 404


@pytest.mark.parametrize("where", ["holder", "other"])
async def test_it_is_opened_again_once_its_log_is_restored(damaged: Damaged, where: str) -> None:
    node: LocalNode = getattr(damaged, where)
    holder = damaged.holder.name
    with pytest.raises(Failed) as raised:
        await command(node, "restart_vhost", vhost="v")
    assert f"Failed to start vhost 'v' on node '{holder}'Reason: " in str(raised.value)
    damaged.repair()
    assert f"Successfully restarted vhost 'v' on node '{holder}'" in await command(
        node, "restart_vhost", vhost="v"
    )
    assert (await node.api("GET", "queues/v/q"))[0] == 200
    assert (await node.api("GET", "health/checks/virtual-hosts"))[0] == 200
    assert f"is already running on node '{holder}'" in await command(node, "restart_vhost", vhost="v")


async def test_another_node_tries_when_the_one_that_keeps_it_closed_stops(damaged: Damaged) -> None:
    holder, other = damaged.holder, damaged.other
    damaged.repair()
    await holder.stop()
    await settled(lambda: "v" in other.vhosts)
    assert (await other.api("GET", "queues/v/q"))[0] == 200


async def test_a_request_for_one_that_is_opened_again_waits_for_it(damaged: Damaged) -> None:
    damaged.repair()
    opened = asyncio.ensure_future(damaged.holder.others.reopen("v"))
    await opened
    assert (await damaged.other.api("GET", "queues/v/q"))[0] == 200


async def test_one_that_is_drained_gives_it_to_another_node_which_finds_the_same(damaged: Damaged) -> None:
    holder, other = damaged.holder, damaged.other
    assert holder.node is not None
    holder.node.host.maintenance = True
    await settled(lambda: other.units.units["v"].damage)
    assert not holder.units.units["v"].damage
    await settled(lambda: holder.units.damage("v")[0] == other.name)
    holder.node.host.maintenance = False
    await command(holder, "delete_vhost", "v")
    await settled(lambda: damaged.identifier not in damaged.nodes.storage.logs)


async def test_one_whose_log_cannot_be_opened_is_deleted_without_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of its stream is used by something else, which stays."""
    nodes = LocalNodes(tmp_path)
    await nodes.start(2)
    await nodes.served("/")

    async def foreign(name: str) -> None:
        raise StorageError("Leveret has not made this stream")

    for node in nodes.nodes:
        monkeypatch.setattr(node.memory, "create_log", foreign)
        monkeypatch.setattr(node.memory, "delete_log", foreign)
    creating = asyncio.ensure_future(nodes.nodes[0].api("PUT", "vhosts/v"))
    await settled(lambda: all("v" in node.units.units for node in nodes.nodes))
    await settled(lambda: all(node.others.damage("v") is not None for node in nodes.nodes))
    identifier = nodes.nodes[0].directory.vhosts()["v"]
    for node in nodes.nodes:
        found = node.others.damage("v")
        assert found is not None and found.reason == "Leveret has not made this stream"
    await command(nodes.nodes[1], "delete_vhost", "v")
    await settled(lambda: not any(node.directory.vhosts().get("v") for node in nodes.nodes))
    await settled(lambda: all(node.directory.deleted() == [identifier] for node in nodes.nodes))
    status, answer = await creating
    assert status == 503 and "Leveret has not made this stream" in answer["reason"]
    await nodes.stop()
