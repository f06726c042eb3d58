"""A broker whose virtual hosts have stores of their own, in directories, with clients on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pamqp.commands import Basic, Confirm, Connection, Queue

from leveret.cluster.durability import NoMarks
from leveret.config import Settings
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.catalogue import Kind
from leveret.engine.operations.caller import INTERNAL_CALLER
from leveret.engine.vhost import VhostProperties
from leveret.server import listeners
from leveret.server.durability import LocalDisk
from leveret.server.send_barrier import SendBarrier
from leveret.server.sockets import Edge
from leveret.server.vhost_stores import VhostStores
from leveret.server.wall_clock import WallClock
from leveret.store.errors import StoreError
from leveret.testing.memory_store import MemoryCatalogue, MemoryContents, MemoryJournal
from leveret.testing.playbook import Say, publish, say
from tests.edges.test_sockets import SocketClient
from tests.hang import settled
from tests.stores.harness import restore_directory

NAMES = ("a", "b")
DECLARE = say(Queue.Declare, queue="q", durable=True)


class HangingDisk:
    """The disk of a store, which does nothing until it answers. `asked`: what waits for it."""

    def __init__(self, background: Any) -> None:
        self.background = background
        self.sync = background.sync
        self.asked: list[Any] = []
        background.sync = lambda *step: self.asked.append(step)

    def answer(self) -> None:
        """The disk is back."""
        self.background.sync = self.sync
        for step in self.asked:
            self.sync(*step)


class Machine:
    """A broker on stores below a path, with a listener. `contents`: of its directory."""

    def __init__(self, path: Path, contents: MemoryContents) -> None:
        self.path = path
        clock, directory = WallClock(), MemoryCatalogue(contents, MemoryJournal())
        self.broker = broker = Broker(Settings(), clock, directory.journal)
        self.edge = edge = Edge(broker, clock, asyncio.get_running_loop())
        recorder = restore_directory(broker, directory)
        barrier = SendBarrier(
            NoMarks(), directory.journal, edge.loop.call_later, edge.send_soon, broker.faults
        )
        self.stores = VhostStores(broker, edge, recorder, barrier)
        self.port = 0
        self.clients: list[SocketClient] = []

    def create(self) -> None:
        """Add two virtual hosts and a user to the directory."""
        for name in NAMES:
            self.broker.elsewhere[name] = VhostProperties()
            self.stores.recorder.changed(Kind.VHOST, (name,))
        operations.put_user(self.broker, INTERNAL_CALLER, "guest", {"password": "guest", "tags": []})
        for name in NAMES:
            operations.set_permissions(self.broker, INTERNAL_CALLER, "guest", name, ".*", ".*", ".*")

    def adopt(self, name: str) -> None:
        """Have a virtual host here."""
        self.stores.adopt(name, LocalDisk(self.path / name))

    async def listen(self) -> None:
        """Accept clients."""
        self.listener = await listeners.listen(self.edge, "127.0.0.1", 0)
        self.port = self.listener.sockets[0].getsockname()[1]

    async def client(self, vhost: str) -> SocketClient:
        """A client of a virtual host, with a channel that confirms."""
        client = SocketClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        await client.open(vhost=vhost)
        await client.send(say(Confirm.Select))
        await client.receive()
        return client

    def hang(self, name: str) -> HangingDisk:
        """Have the disk of a virtual host hang."""
        return HangingDisk(self.stores.stores[name].background)

    async def end(self) -> None:
        """Stop."""
        self.listener.close()
        for client in self.clients:
            await client.close()
        await settled(lambda: not self.edge.sockets)
        await self.stores.stop()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine that serves both virtual hosts."""
    machine = Machine(tmp_path, MemoryContents())
    machine.create()
    for name in NAMES:
        machine.adopt(name)
    await machine.listen()
    yield machine
    await machine.end()


def kinds(lines: list[Any]) -> list[Any]:
    return [line.command for line in lines if isinstance(line, Say)]


async def test_a_disk_that_hangs_holds_the_clients_of_its_virtual_host_alone(machine: Machine) -> None:
    in_a, in_b = await machine.client("a"), await machine.client("b")
    disk = machine.hang("a")
    await in_a.send(DECLARE, *publish(b"x", "q"))
    await settled(lambda: "q" in machine.broker.vhosts["a"].queues and disk.asked)
    await in_b.send(DECLARE, *publish(b"x", "q", delivery_mode=2))
    assert kinds(await in_b.receive(2)) == [Queue.DeclareOk, Basic.Ack]
    journal = machine.broker.vhosts["a"].journal
    assert journal is not None and len(machine.stores.barriers.of[journal].held) == 1
    disk.answer()
    assert kinds(await in_a.receive(2)) == [Queue.DeclareOk, Basic.Ack]


async def test_a_virtual_host_leaves_with_its_messages_and_comes_back(machine: Machine) -> None:
    in_a, in_b = await machine.client("a"), await machine.client("b")
    await in_a.send(DECLARE, *publish(b"x", "q", delivery_mode=2))
    assert kinds(await in_a.receive(2)) == [Queue.DeclareOk, Basic.Ack]
    await machine.stores.release("a", "it moves")
    (close,) = await in_a.receive()
    assert isinstance(close, Say) and close.arguments["reply_text"] == "CONNECTION_FORCED - it moves"
    await in_a.send(say(Connection.CloseOk))
    await in_b.send(DECLARE)
    assert kinds(await in_b.receive()) == [Queue.DeclareOk]
    machine.adopt("a")
    again = await machine.client("a")
    await again.send(say(Queue.Declare, queue="q", durable=True, passive=True))
    (found,) = await again.receive()
    assert isinstance(found, Say) and found.arguments["message_count"] == 1


async def test_what_is_not_safe_is_not_said_when_the_store_takes_nothing_any_more(machine: Machine) -> None:
    """The client gets connection.close, and not the declare-ok before it."""
    in_a = await machine.client("a")
    machine.hang("a")
    await in_a.send(DECLARE)
    await settled(lambda: "q" in machine.broker.vhosts["a"].queues)
    await machine.stores.release("a", "deposed", commit=False)
    assert kinds(await in_a.receive()) == [Connection.Close]
    await in_a.send(say(Connection.CloseOk))
    machine.adopt("a")
    assert not machine.broker.vhosts["a"].queues


async def test_a_restart_finds_the_directory_and_each_virtual_host(tmp_path: Path) -> None:
    contents = MemoryContents()
    machine = Machine(tmp_path, contents)
    machine.create()
    machine.adopt("a")
    await machine.listen()
    client = await machine.client("a")
    await client.send(DECLARE)
    await client.receive()
    await machine.end()
    again = Machine(tmp_path, contents)
    assert set(again.broker.elsewhere) == set(NAMES) and not again.broker.vhosts
    again.adopt("a")
    assert list(again.broker.vhosts["a"].queues) == ["q"]
    await again.stores.stop()


async def test_a_store_that_cannot_be_read_leaves_its_virtual_host_elsewhere(machine: Machine) -> None:
    await machine.stores.release("a", "it moves")
    (machine.path / "a" / "metadata.sqlite").write_bytes(b"damaged" * 1000)
    with pytest.raises(StoreError):
        machine.adopt("a")
    assert set(machine.broker.vhosts) == {"b"} and set(machine.broker.elsewhere) == {"a"}
