"""The log of a virtual host that is deleted is deleted, whoever ends meanwhile; and no other log is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import copy
from itertools import pairwise
from pathlib import Path

import pytest

from leveret.cluster import deleted_logs, units
from leveret.cluster.deleted_logs import DeletedLogs
from leveret.cluster.directory import Directory
from leveret.cluster.owners import claim
from leveret.cluster.ports import StorageError, Unavailable
from leveret.engine.catalogue import Kind
from leveret.engine.vhost import VhostProperties
from leveret.store.catalogue.documents import vhost_document
from leveret.testing.replica import MemoryConnection, MemoryLog, MemoryReplica, Process
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[LocalNodes]:
    """Three nodes with a virtual host "v"."""
    made = LocalNodes(tmp_path)
    await made.start_with(3, "v")
    yield made
    await made.stop()


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes do not look by themselves."""
    monkeypatch.setattr(deleted_logs, "LOOK_INTERVAL_S", 1e6)


def owners(nodes: LocalNodes) -> dict[str, bytes | None]:
    """The keys of owners."""
    return {key: entry.value for key, entry in nodes.storage.tables["owners"].entries.items()}


def note(node: LocalNode, identifier: str) -> asyncio.Future[None]:
    """Have a node note that a log is to be deleted, as it does before it deletes the virtual host."""
    return asyncio.ensure_future(node.directory._note_deleted(identifier))


async def test_another_node_deletes_the_log_if_the_owner_ends_before_it_has(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = nodes.owner("v")
    identifier = owner.directory.vhosts()["v"]
    deleting = asyncio.Event()

    async def hangs(name: str) -> None:
        deleting.set()
        await asyncio.Future()

    monkeypatch.setattr(owner.memory, "delete_log", hangs)
    deleted = asyncio.ensure_future(nodes.others("v")[0].api("DELETE", "vhosts/v"))
    await deleting.wait()
    assert (await deleted)[0] == 204
    others = [node for node in nodes.nodes if node is not owner]
    for _ in range(3):
        for node in others:
            await DeletedLogs(node.directory, node.member, node.storage).look()
    assert identifier in nodes.storage.logs  # its owner lives
    owner.peers.close()  # as when its process has ended
    await settled(lambda: identifier not in nodes.storage.logs)
    await settled(lambda: owners(nodes)[identifier] is None)
    await settled(lambda: not any(node.directory.deleted() for node in others))
    await settled(lambda: owner.given_up)
    assert set(nodes.storage.logs) == set(others[0].directory.vhosts().values())


async def test_a_log_that_nobody_has_noted_as_deleted_is_left_alone(nodes: LocalNodes) -> None:
    """A directory that was lost, or restored from a backup, must not delete data."""
    nodes.storage.logs["0123456789abcdef"] = MemoryLog()
    for node in nodes.nodes:
        await DeletedLogs(node.directory, node.member, node.storage).look()
    assert "0123456789abcdef" in nodes.storage.logs


async def test_the_log_of_a_virtual_host_that_is_there_is_left_alone(nodes: LocalNodes) -> None:
    """The node that was about to delete it has ended between the note and the deletion."""
    identifier = nodes.nodes[0].directory.vhosts()["v"]
    await note(nodes.nodes[0], identifier)
    await settled(lambda: all(identifier in node.directory._deleted_logs.values() for node in nodes.nodes))
    for node in nodes.nodes:
        await DeletedLogs(node.directory, node.member, node.storage).look()
        assert node.directory.deleted() == []
    assert identifier in nodes.storage.logs
    assert (await nodes.nodes[0].api("PUT", "queues/v/q", {"durable": True}))[0] == 201
    assert (await nodes.nodes[0].api("DELETE", "vhosts/v"))[0] == 204
    await settled(lambda: identifier not in nodes.storage.logs)
    await settled(lambda: not any(node.directory._deleted_logs for node in nodes.nodes))


async def test_one_that_comes_back_before_its_log_is_deleted_keeps_it(
    by_hand: None, nodes: LocalNodes
) -> None:
    """This node does not know of it yet when it claims it: it looks again then."""
    node, identifier = nodes.nodes[0], "0123456789abcdef"
    storage = nodes.storage
    storage.logs[identifier] = MemoryLog()
    await note(node, identifier)
    await settled(lambda: node.directory.deleted() == [identifier])
    late = Process()
    table = await MemoryConnection(storage, late).open_table("directory")

    async def nobody(revision: int) -> None:
        """There is nobody else."""

    other = Directory(table, late, nobody)
    await other.read()
    writing = asyncio.ensure_future(other.run())
    other.ids["w"] = identifier
    sweeper = DeletedLogs(node.directory, node.member, node.storage)
    claimed = sweeper._claim

    async def comes_back_meanwhile(name: str) -> int | None:
        epoch = await claimed(name)
        if epoch is None:
            return None
        other.put(Kind.VHOST, ("w",), vhost_document(VhostProperties()))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.journal.when_settled(other.journal.ticket, lambda: done.set_result(None))
        await done
        return epoch

    sweeper._claim = comes_back_meanwhile  # type: ignore[method-assign]
    while not other.journal.settled:
        await sweeper.look()
        await asyncio.sleep(0)
    assert identifier in storage.logs
    await nodes.served("w")
    writing.cancel()


async def test_one_that_comes_back_while_the_storage_does_not_answer_is_served(
    by_hand: None, nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This node has claimed it: it must not stay its owner, because nobody else can serve it then."""
    node, identifier = nodes.nodes[0], "0123456789abcdef"
    nodes.storage.logs[identifier] = MemoryLog()
    await note(node, identifier)
    await settled(lambda: node.directory.deleted() == [identifier])
    sweeper = DeletedLogs(node.directory, node.member, node.storage)

    async def fails(name: str) -> bool:
        raise Unavailable("not now")

    with monkeypatch.context() as patched:
        patched.setattr(node.directory, "is_deleted", fails)
        while identifier not in sweeper._claimed:
            await sweeper.look()
            await asyncio.sleep(0)
    nodes.nodes[1].directory.ids["w"] = identifier
    created = asyncio.ensure_future(nodes.nodes[1].api("PUT", "vhosts/w"))
    await settled(lambda: node.directory.vhosts().get("w") == identifier)
    assert node.directory.deleted() == []
    await sweeper.look()
    await nodes.served("w")
    assert (await created)[0] == 201 and identifier in nodes.storage.logs


async def test_a_storage_that_does_not_answer_is_asked_again(by_hand: None, nodes: LocalNodes) -> None:
    node, identifier = nodes.nodes[0], "0123456789abcdef"
    nodes.storage.logs[identifier] = MemoryLog()
    sweeper = DeletedLogs(node.directory, node.member, node.storage)
    failures = 0
    delete = node.memory.delete_log

    async def fails_once(name: str) -> None:
        nonlocal failures
        failures += 1
        if failures == 1:
            raise Unavailable("not now")
        await delete(name)

    node.memory.delete_log = fails_once  # type: ignore[method-assign]
    await note(node, identifier)
    await settled(lambda: identifier in node.directory.deleted())
    while failures < 2:
        await sweeper.look()
        await asyncio.sleep(0)
    await settled(lambda: identifier not in nodes.storage.logs)
    await settled(lambda: not node.directory.deleted())


async def test_a_log_that_cannot_be_deleted_is_tried_again_less_and_less_often(
    by_hand: None, nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    node, identifier = nodes.nodes[0], "0123456789abcdef"
    nodes.storage.logs[identifier] = MemoryLog()
    await note(node, identifier)
    await settled(lambda: identifier in node.directory.deleted())
    member, now = copy(node.member), 0.0
    member.time = Process()
    monkeypatch.setattr(member.time, "now", lambda: now)
    sweeper = DeletedLogs(node.directory, member, node.storage)
    tried: list[float] = []
    delete, refused = node.memory.delete_log, True

    async def may_refuse(name: str) -> None:
        tried.append(now)
        if refused:
            raise StorageError("Permissions Violation")
        await delete(name)

    monkeypatch.setattr(node.memory, "delete_log", may_refuse)
    epoch = await claim(node.member, identifier)
    assert epoch is not None
    sweeper._claimed[identifier] = epoch
    while now < 18_000:
        await sweeper.look()
        now += 30.0
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    (line,) = [one for one in caplog.messages if "cannot be deleted" in one]
    assert "tried again" in line and "Permissions Violation" in line
    refused = False
    now += 3600.0
    await sweeper.look()
    assert identifier not in nodes.storage.logs
    await settled(lambda: owners(nodes)[identifier] is None)
    await settled(lambda: not node.directory.deleted())
    await sweeper.look()
    assert not sweeper._refused


async def test_a_log_that_its_owner_may_not_delete_is_left_to_those_who_try_again(
    by_hand: None, nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = nodes.owner("v")
    identifier = owner.directory.vhosts()["v"]

    async def refuses(name: str) -> None:
        raise StorageError("Permissions Violation")

    with monkeypatch.context() as patched:
        patched.setattr(owner.memory, "delete_log", refuses)
        assert (await owner.api("DELETE", "vhosts/v"))[0] == 204
        await settled(lambda: not owner.units._deleting)
    assert identifier in nodes.storage.logs
    sweeper = DeletedLogs(owner.directory, owner.member, owner.storage)
    await settled(lambda: not owner.member.view.owner_of(identifier).node)
    while identifier in nodes.storage.logs:
        await sweeper.look()
        await asyncio.sleep(0)
    await settled(lambda: not any(node.directory.deleted() for node in nodes.nodes))


async def test_a_node_stops_although_a_log_cannot_be_deleted(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node deletes it."""
    owner, asked = nodes.owner("v"), asyncio.Event()
    identifier = owner.directory.vhosts()["v"]

    async def fails(name: str) -> None:
        asked.set()
        raise Unavailable("not now")

    monkeypatch.setattr(owner.memory, "delete_log", fails)
    monkeypatch.setattr(units, "DELETE_TIMEOUT_S", 0.0)
    assert (await nodes.others("v")[0].api("DELETE", "vhosts/v"))[0] == 204
    await asked.wait()
    await owner.stop()
    await settled(lambda: identifier not in nodes.storage.logs)


async def test_a_log_is_deleted_whose_virtual_host_was_deleted_while_a_node_took_it_over(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, (target, third) = nodes.owner("v"), nodes.others("v")
    identifier = owner.directory.vhosts()["v"]
    claimed = asyncio.Event()

    async def hangs(name: str) -> MemoryReplica:
        claimed.set()
        return await asyncio.Future()

    monkeypatch.setattr(target.memory, "create_log", hangs)
    await owner.units.move("v", target.name)
    await claimed.wait()
    assert third.node is not None
    third.node.broker.forget_vhost("v")
    await settled(lambda: identifier not in nodes.storage.logs)
    await settled(lambda: owners(nodes)[identifier] is None)
