"""`leveret cluster`: where virtual hosts are, and moving one of them."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import pytest
from msgspec.structs import replace

from leveret.cli.main import main
from leveret.engine.catalogue import Kind
from leveret.management.owners import MoveRefused
from leveret.server.node import Node
from leveret.settings import Cluster, Store
from tests.cluster.commands import Failed, command, command_on
from tests.cluster.local import SETTINGS, LocalNode, LocalNodes
from tests.hang import settled

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[LocalNodes]:
    """Three nodes with a virtual host "v"."""
    made = LocalNodes(tmp_path)
    await made.start_with(3, "v")
    for node in made.nodes:
        for vhost in ("/", "v"):
            await settled(lambda node=node, vhost=vhost: node.units.owner(vhost))
    yield made
    await made.stop()


async def move(node: LocalNode, vhost: str, target: str) -> str:
    return await command(node, "cluster move", vhost, target)


async def refused(node: LocalNode, vhost: str, target: str) -> tuple[int, str]:
    """Why a virtual host is not moved."""
    with pytest.raises(Failed) as raised:
        await move(node, vhost, target)
    return raised.value.code, str(raised.value).removeprefix("Error:\n")


async def test_a_virtual_host_is_moved_from_any_node_to_any_node(nodes: LocalNodes) -> None:
    for asked in nodes.nodes:
        for target in nodes.nodes:
            before = nodes.owner("v")
            connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{before.port}/v")
            closed = asyncio.Event()
            connection.close_callbacks.add(lambda *_, closed=closed: closed.set())
            text = (await move(asked, "v", target.name)).strip()
            assert nodes.owner("v") is target
            if before is target:
                assert text == f"Virtual host 'v' is on node {target.name} already"
                await connection.close()
            else:
                assert text == f"Virtual host 'v' was moved from node {before.name} to node {target.name}"
                await closed.wait()


async def test_status_shows_nodes_and_virtual_hosts(nodes: LocalNodes) -> None:
    owners = {vhost: nodes.owner(vhost).name for vhost in ("/", "v")}
    free = next(node for node in nodes.nodes if not node.vhosts)
    free.member.drained = True
    for asked in nodes.nodes:
        await settled(lambda asked=asked: asked is free or asked.member.view.nodes[free.name].record.drained)
        found = json.loads(await command(asked, "cluster status", formatter="json"))
        assert found["node"] == asked.name and found["cluster_name"] == "leveret"
        assert {one["name"]: one["state"] for one in found["nodes"]} == {
            node.name: "under maintenance" if node is free else "running" for node in nodes.nodes
        }
        assert {one["name"]: one["node"] for one in found["vhosts"]} == owners
        assert {name: one["name"] for one in found["nodes"] for name in one["vhosts"]} == owners
        text = await command(asked, "cluster status")
        assert f"Cluster leveret, as node {asked.name} knows it" in text
        assert f"{free.name}  under maintenance  0 virtual hosts" in text
        assert f"\nv  {owners['v']}  running" in text


async def test_what_cannot_be_done_is_refused(nodes: LocalNodes) -> None:
    owner, target = nodes.owner("v"), nodes.others("v")[0]
    names = ", ".join(sorted(node.name for node in nodes.nodes))
    assert await refused(owner, "none", target.name) == (65, "Virtual host 'none' does not exist")
    assert await refused(owner, "v", "node9@localhost") == (
        65,
        f"there is no node node9@localhost in the cluster; its nodes: {names}",
    )
    target.member.drained = True
    await settled(lambda: owner.member.view.nodes[target.name].record.drained)
    for asked in (owner, target):
        code, text = await refused(asked, "v", target.name)
        assert code == 69 and f"node {target.name} is under maintenance" in text and "revive" in text
    target.member.drained = False
    target.disk.failed(OSError(errno.ENOSPC, "full"))
    await settled(lambda: owner.member.view.nodes[target.name].record.full)
    assert "disk full" in await command(owner, "cluster status")
    code, text = await refused(owner, "v", target.name)
    assert code == 69 and f"the disk of node {target.name} is full" in text
    await target.stop()
    await settled(lambda: not owner.member.view.is_alive(target.name, owner.time.now()))
    assert await refused(owner, "v", target.name) == (69, f"node {target.name} is not running")
    assert nodes.owner("v") is owner


async def test_one_that_the_target_cannot_serve_comes_back(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, target = nodes.owner("v"), nodes.others("v")[0]
    for node in nodes.nodes:
        if node not in (owner, target):
            node.member.drained = True

    async def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(target.units.units["v"], "_fetch", full)
    code, text = await refused(owner, "v", target.name)
    assert code == 69
    assert text == f"virtual host 'v' has gone to node {owner.name}: node {target.name} could not serve it"


async def test_one_that_is_deleted_meanwhile(nodes: LocalNodes) -> None:
    owner, target = nodes.owner("v"), nodes.others("v")[0]
    results = await asyncio.gather(
        move(target, "v", target.name), owner.api("DELETE", "vhosts/v"), return_exceptions=True
    )
    assert isinstance(results[0], str | Failed)
    await settled(lambda: "v" not in target.directory.vhosts())


async def nobody_has(nodes: LocalNodes, vhost: str) -> None:
    """Have all nodes be under maintenance, and the owner hand a virtual host over."""
    owner = nodes.owner(vhost)
    for node in nodes.nodes:
        node.member.drained = True
    await owner.units.move(vhost, "")
    await settled(lambda: not any(node.units.owner(vhost) for node in nodes.nodes))


async def test_one_that_is_deleted_while_no_node_serves_it_is_gone_at_once(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = nodes.others("v")[0]
    await nobody_has(nodes, "v")
    monkeypatch.setattr(asked.others, "_check_target", lambda target: None)
    moving = asyncio.ensure_future(asked.others.move("v", asked.name))
    waiting = asyncio.ensure_future(asked.others.served("v"))
    await asyncio.sleep(0)
    asked.directory.delete(Kind.VHOST, ("v",))
    await waiting
    with pytest.raises(MoveRefused, match="virtual host 'v' was deleted meanwhile") as raised:
        await moving
    assert raised.value.unknown


async def test_one_that_turns_out_to_be_damaged_while_a_move_waits_is_tried_on_the_target(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nodes.owner("v").api("PUT", "queues/v/q", {"durable": True})
    asked, target = nodes.others("v")
    await nobody_has(nodes, "v")
    log = nodes.storage.logs[asked.directory.vhosts()["v"]]
    for at, stored in enumerate(log.records):
        if stored.subject != "epoch":
            log.records[at] = dataclasses.replace(stored, record=stored.record[:-1] + b"\0")
    monkeypatch.setattr(asked.others, "_check_target", lambda name: None)
    moving = asyncio.ensure_future(asked.others.move("v", target.name))
    await asyncio.sleep(0)
    target.member.drained = False
    target.member.wake()
    with pytest.raises(MoveRefused, match=f"is damaged, and node {target.name} keeps it closed"):
        await moving


async def test_the_command_line(
    nodes: LocalNodes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, target = nodes.owner("v"), nodes.others("v")[0]
    monkeypatch.setenv("LEVERET_SERVER_CONTROL_SOCKET", str(nodes.directory / f"{owner.name}.sock"))

    async def run(*words: str) -> tuple[int, str, str]:
        def called() -> int:
            try:
                return main(["cluster", *words])
            except SystemExit as end:
                return int(end.code or 0)

        code = await asyncio.to_thread(called)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    moved = f"Virtual host 'v' was moved from node {owner.name} to node {target.name}\n"
    assert await run("move", "v", target.name) == (0, moved, "")
    code, out, _ = await run("status", "--json")
    assert code == 0 and [one["node"] for one in json.loads(out)["vhosts"] if one["name"] == "v"] == [
        target.name
    ]
    assert await run("move", "none", target.name) == (65, "", "Virtual host 'none' does not exist\n")
    code, _, err = await run("move", "v")
    assert code == 64 and "the following arguments are required: NODE" in err
    code, _, err = await run("spread")
    assert code == 64 and "invalid choice: 'spread'" in err
    code, out, _ = await run("--help")
    assert code == 0 and "status | move" in out
    monkeypatch.setenv("LEVERET_SERVER_CONTROL_SOCKET", str(nodes.directory / "none.sock"))
    code, _, err = await run("status", "--node", "none@localhost")
    assert code == 69 and "none@localhost" in err


async def test_a_node_alone_is_no_cluster(tmp_path: Path) -> None:
    settings = replace(SETTINGS, cluster=Cluster(), store=Store(data_dir=str(tmp_path)))
    alone = Node(replace(settings, server=replace(settings.server, control_socket=str(tmp_path / "socket"))))
    await alone.start()
    try:
        for words in (("cluster status",), ("cluster move", "/", "node1@localhost")):
            with pytest.raises(Failed) as raised:
                await command_on(alone, *words)
            assert raised.value.code == 69
            assert "is not part of a cluster: [cluster] nats is not set" in str(raised.value)
    finally:
        await alone.stop()
