"""A node whose disk is full: other nodes serve its virtual hosts, and it takes none over until there is room."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiormq
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from pamqp.commands import Basic

from leveret.cluster import local_disk, node
from leveret.cluster.local_disk import LocalDisk, full_error
from leveret.store.directory_builder import DirectoryBuilder
from leveret.store.errors import StoreError, unreadable
from leveret.store.files import Files
from leveret.testing.replica import Process
from leveret.testing.virtual_loop import run_virtual
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


async def connected(owner: LocalNode) -> tuple[AbstractConnection, AbstractChannel]:
    """Open a connection and a channel, and declare a queue "q"."""
    connection = await aiormq.connect(f"amqp://guest:guest@127.0.0.1:{owner.port}/a")
    channel = await connection.channel()
    await channel.queue_declare("q", durable=True)
    return connection, channel


async def publish(channel: AbstractChannel, body: bytes) -> object:
    """Publish a persistent message; returns when it is confirmed."""
    return await channel.basic_publish(body, routing_key="q", properties=Basic.Properties(delivery_mode=2))


class Disks:
    """The disks of all nodes. `full`: directories of nodes below which nothing can be written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full: set[Path] = set()
        self._paths: dict[tuple[int, int], Path] = {}
        create, open_file, write = Files.create, Files.open, Files.write
        monkeypatch.setattr(Files, "create", lambda files, path: self._opened(create, files, path))
        monkeypatch.setattr(Files, "open", lambda files, path: self._opened(open_file, files, path))

        def checked(files: Files, file: int, data: bytes, offset: int) -> None:
            self.check(self._paths[id(files), file])
            write(files, file, data, offset)

        monkeypatch.setattr(Files, "write", checked)
        finish = DirectoryBuilder.finish

        def finished(builder: DirectoryBuilder, keep: bool = False) -> None:
            self.check(builder.directory)
            finish(builder, keep=keep)

        monkeypatch.setattr(DirectoryBuilder, "finish", finished)
        probe = LocalDisk._probe

        def probed(disk: LocalDisk) -> None:
            self.check(disk.directory)
            probe(disk)

        monkeypatch.setattr(LocalDisk, "_probe", probed)

    def _opened(self, call, files: Files, path: Path) -> int:  # type: ignore[no-untyped-def]
        self.check(path)
        file: int = call(files, path)
        self._paths[id(files), file] = path
        return file

    def check(self, path: Path) -> None:
        """Raises OSError if a disk is full."""
        if any(path.is_relative_to(one) for one in self.full):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    """No node looks at its disk by itself."""
    monkeypatch.setattr(node, "STORES_INTERVAL_S", 1e6)
    monkeypatch.setattr(local_disk, "FIRST_PAUSE_S", 1e6)
    return Disks(monkeypatch)


@pytest.fixture
async def nodes(tmp_path: Path, disks: Disks) -> AsyncIterator[LocalNodes]:
    """Two nodes that serve "/" and "a"."""
    made = LocalNodes(tmp_path)
    await made.start(2)
    await made.nodes[0].api("PUT", "vhosts/a")
    await made.nodes[0].api("PUT", "permissions/a/guest", EVERYTHING)
    await made.served("/", "a")
    yield made
    disks.full.clear()
    await made.stop()


async def shown_full(watching: LocalNode, name: str) -> None:
    """Wait until a node knows that another one's disk is full."""
    await settled(lambda: watching.member.view.nodes[name].record.full)


async def test_a_virtual_host_that_cannot_be_restored_on_a_full_disk_goes_to_another_node(
    nodes: LocalNodes, disks: Disks, caplog: pytest.LogCaptureFixture
) -> None:
    owner, target = nodes.owner("a"), nodes.others("a")[0]
    assert (await owner.api("PUT", "queues/a/q", {"durable": True}))[0] == 201
    disks.full.add(target.path)
    await owner.units.move("a", target.name)
    await settled(lambda: target.disk.error is not None)
    await settled(lambda: "a" in owner.vhosts)
    assert target.member.takes_nothing and not target.units.units["a"].damage
    assert any(
        "virtual host 'a' cannot be served by this node, and is left to others" in one
        for one in caplog.messages
    )
    assert any("the disk of this node is full" in one for one in caplog.messages)
    assert (await target.api("GET", "queues/a/q"))[0] == 200
    await shown_full(owner, target.name)
    assert not owner._can_be_replaced()
    assert (await owner.api("GET", "health/checks/node-is-quorum-critical"))[0] == 503
    await owner.api("PUT", "vhosts/new")
    await nodes.served("new")
    assert "new" in owner.vhosts

    await target.disk.look()
    assert target.disk.error is not None  # it is full yet
    disks.full.clear()
    with caplog.at_level(logging.INFO, "leveret"):
        await target.disk.look()
    assert target.disk.error is None and not target.member.takes_nothing
    assert any("has room again" in one for one in caplog.messages)
    await owner.units.move("a", target.name)
    await settled(lambda: "a" in target.vhosts)
    assert (await owner.api("GET", "queues/a/q"))[0] == 200


async def test_a_virtual_host_that_cannot_be_written_goes_to_another_node_and_nothing_confirmed_is_lost(
    nodes: LocalNodes, disks: Disks
) -> None:
    owner, other = nodes.owner("a"), nodes.others("a")[0]
    connection, channel = await connected(owner)
    for number in range(3):
        await publish(channel, b"%d" % number)
    disks.full.add(owner.path)
    waiting = asyncio.ensure_future(publish(channel, b"4"))
    stores = owner.units.shared.stores
    await settled(lambda: stores.failing("a") is not None)
    failing = await owner.look_at_stores(set())
    assert failing == {"a"} and "a" in owner.vhosts  # perhaps it was a moment
    await owner.look_at_stores(failing)
    await settled(lambda: "a" in other.vhosts)
    with pytest.raises(aiormq.exceptions.AMQPError, match="the disk of this one is full"):
        await waiting
    assert owner.member.takes_nothing and not owner.given_up
    assert "disk" in (await _alarms(owner))
    connection = await aiormq.connect(f"amqp://guest:guest@127.0.0.1:{owner.port}/a")
    channel = await connection.channel()
    got = [await channel.basic_get("q", no_ack=True) for _ in range(3)]
    assert [(one.body, one.redelivered) for one in got] == [(b"%d" % number, True) for number in range(3)]
    await connection.close()


async def _alarms(node: LocalNode) -> set[str]:
    assert node.node is not None
    node.node.monitor.check()
    return node.node.broker.alarms


async def test_one_that_is_moved_while_the_disk_is_full_leaves_without_writing(
    nodes: LocalNodes, disks: Disks
) -> None:
    owner, other = nodes.owner("a"), nodes.others("a")[0]
    _connection, channel = await connected(owner)
    await publish(channel, b"1")
    disks.full.add(owner.path)
    waiting = asyncio.ensure_future(publish(channel, b"2"))
    stores = owner.units.shared.stores
    await settled(lambda: stores.failing("a") is not None)
    moving = asyncio.ensure_future(owner.units.move("a", other.name))
    with pytest.raises(aiormq.exceptions.AMQPError):
        await waiting
    assert not moving.done() and await owner.look_at_stores({"a"}) == {"a"}
    await moving
    await settled(lambda: "a" in other.vhosts)
    _, found = await other.api("GET", "queues/a/q")
    assert found["messages_ready"] == 1


async def test_a_virtual_host_stays_where_no_other_node_has_room(nodes: LocalNodes, disks: Disks) -> None:
    owner, other = nodes.owner("a"), nodes.others("a")[0]
    connection, channel = await connected(owner)
    disks.full.add(other.path)
    other.disk.failed(OSError(errno.ENOSPC, "No space left on device"))
    await shown_full(owner, other.name)
    disks.full.add(owner.path)
    waiting = asyncio.ensure_future(publish(channel, b"1"))
    stores = owner.units.shared.stores
    await settled(lambda: stores.failing("a") is not None)
    await owner.look_at_stores({"a"})
    assert "a" in owner.vhosts and owner.member.takes_nothing
    disks.full.clear()
    assert isinstance(await waiting, Basic.Ack)  # it goes on as soon as there is room
    await connection.close()
    assert await owner.look_at_stores({"a"}) == set()


def test_only_errors_of_a_disk_that_is_full_count() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert full_error(full) is full
    try:
        raise unreadable(Path("x"), full) from full
    except StoreError as error:
        assert full_error(error) is full
    assert full_error(OSError(errno.EROFS, "read-only")) is not None
    for other in (None, StoreError("damaged"), OSError(errno.EIO, "the log was closed"), KeyError("x")):
        assert full_error(other) is None


def test_a_disk_that_is_full_again_soon_is_looked_at_less_often(tmp_path: Path) -> None:
    async def at_once(step: Callable[[], None]) -> None:
        step()

    async def play() -> list[float]:
        time = Process()
        disk = LocalDisk(tmp_path, 0, time, lambda: None, at_once)
        pauses = []

        async def failed() -> None:
            disk.failed(OSError(errno.ENOSPC, "full"))
            pauses.append(disk._pause_s)
            await time.sleep(disk._pause_s)
            await disk.look()
            assert disk.error is None

        for _ in range(8):
            await failed()
        await time.sleep(10_000)
        await failed()
        assert not (tmp_path / "room").exists()
        disk.limit = 1 << 62
        disk.failed(OSError(errno.ENOSPC, "full"))
        await disk.look()
        assert disk.error is not None
        return pauses

    assert run_virtual(play()) == [5, 10, 20, 40, 80, 160, 300, 300, 5]
