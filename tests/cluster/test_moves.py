"""Virtual hosts move between nodes, are deleted and created again, while clients use them: every message is accounted
for."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aio_pika
import aiormq
import pytest

from leveret.cluster.keeper import LeaseKeeper
from leveret.cluster.owners import Takeover
from leveret.engine.catalogue import Kind
from leveret.engine.definitions import DefinitionsError, VhostMovedError, import_steps
from leveret.engine.definitions.importing import _Import
from leveret.engine.operations import INTERNAL_CALLER
from leveret.store.directory_builder import DirectoryBuilder
from tests.cluster.local import LocalNode, LocalNodes
from tests.hang import settled

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}
NAMES = ["a", "b"]

#: Moves of a run, and messages that must be confirmed between two of them.
MOVES = 8
BETWEEN = 5


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[LocalNodes]:
    """Three nodes that serve the virtual hosts `NAMES`."""
    made = LocalNodes(tmp_path)
    await made.start(3)
    for name in NAMES:
        await made.nodes[0].api("PUT", f"vhosts/{name}")
        await made.nodes[0].api("PUT", f"permissions/{name}/guest", EVERYTHING)
    await made.served("/", *NAMES)
    yield made
    await made.stop()


async def move(nodes: LocalNodes, vhost: str, target: LocalNode) -> None:
    """Move a virtual host, and wait until its new owner serves it."""
    await nodes.owner(vhost).units.move(vhost, target.name)
    await settled(lambda: vhost in target.vhosts)


class Account:
    """Clients of one virtual host. `confirmed`: what the publishers know to be safe; `arrived`: what consumers have
    got, with redelivered marks."""

    def __init__(self, nodes: LocalNodes, vhost: str, seed: int) -> None:
        self.nodes = nodes
        self.vhost = vhost
        self.dice = random.Random(f"{vhost} {seed}")
        self.confirmed: set[str] = set()
        self.arrived: list[tuple[str, bool]] = []
        self.stopping = False

    async def progress(self) -> None:
        """Wait until some more messages are confirmed."""
        wanted = len(self.confirmed) + BETWEEN
        await settled(lambda: len(self.confirmed) >= wanted)

    async def publish(self, name: str) -> None:
        """Publish with confirms at any node, each number once, until stopped."""
        number = 0
        while not self.stopping:
            try:
                async with await self._connected() as connection:
                    channel = await connection.channel()
                    while not self.stopping:
                        number += 1
                        body = f"{name} {number}"
                        message = aio_pika.Message(body.encode(), delivery_mode=2)
                        await channel.default_exchange.publish(message, "q")
                        self.confirmed.add(body)
            except (aiormq.exceptions.AMQPError, aio_pika.exceptions.AMQPException, OSError, RuntimeError):
                continue

    async def consume(self, until: asyncio.Event) -> None:
        """Take messages at any node, and acknowledge some of them a little later, until an event."""
        while not until.is_set():
            try:
                async with await self._connected() as connection:
                    channel = await connection.channel()
                    await channel.set_qos(prefetch_count=4)
                    queue = await channel.get_queue("q")
                    ended = asyncio.Event()
                    connection.close_callbacks.add(lambda *_, ended=ended: ended.set())

                    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
                        self.arrived.append((message.body.decode(), bool(message.redelivered)))
                        await message.ack()

                    await queue.consume(take)
                    waiting = [asyncio.ensure_future(event.wait()) for event in (ended, until)]
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for one in waiting:
                        one.cancel()
            except (aiormq.exceptions.AMQPError, aio_pika.exceptions.AMQPException, OSError, RuntimeError):
                continue

    async def _connected(self) -> aio_pika.abc.AbstractConnection:
        node = self.dice.choice(self.nodes.nodes)
        return await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{node.port}/{self.vhost}")

    def problems(self) -> list[str]:
        """Return what is wrong: lost, or twice without a mark."""
        count: Counter[str] = Counter()
        found = []
        for body, redelivered in self.arrived:
            if count[body] and not redelivered:
                found.append(f"{body} came twice without a mark")
            count[body] += 1
        return found + [f"{body} was confirmed, and is lost" for body in self.confirmed if not count[body]]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiormq, when it is closed
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_while_virtual_hosts_move_under_load(nodes: LocalNodes, seed: int) -> None:
    dice = random.Random(seed)
    accounts = [Account(nodes, name, seed) for name in NAMES]
    done = asyncio.Event()
    for name in NAMES:
        await nodes.nodes[0].api("PUT", f"queues/{name}/q", {"durable": True})
    publishers = [asyncio.ensure_future(each.publish(name)) for each in accounts for name in ("x", "y")]
    consumers = [asyncio.ensure_future(each.consume(done)) for each in accounts]
    for _ in range(MOVES):
        account = dice.choice(accounts)
        await account.progress()
        if dice.random() < 0.3:
            assert (await dice.choice(nodes.nodes).api("POST", "rebalance/queues"))[0] == 204
        else:
            await move(nodes, account.vhost, dice.choice(nodes.others(account.vhost)))
    for account in accounts:
        account.stopping = True
    await asyncio.gather(*publishers)
    await settled(lambda: all(each.confirmed <= {body for body, _ in each.arrived} for each in accounts))
    done.set()
    await asyncio.gather(*consumers)
    assert [problem for each in accounts for problem in each.problems()] == []
    assert not any(node.given_up for node in nodes.nodes)


async def test_a_virtual_host_that_is_deleted_and_created_at_once_is_a_new_one(nodes: LocalNodes) -> None:
    owner = nodes.owner("a")
    assert owner.node is not None
    await owner.api("PUT", "queues/a/q", {"durable": True})
    before = owner.directory.vhosts()["a"]
    answers = await asyncio.gather(owner.api("DELETE", "vhosts/a"), owner.api("PUT", "vhosts/a"))
    assert answers[0][0] == 204 and answers[1][0] in (201, 204)
    await owner.api("PUT", "vhosts/a")
    await owner.api("PUT", "permissions/a/guest", EVERYTHING)
    await settled(lambda: all(node.directory.vhosts()["a"] != before for node in nodes.nodes))
    await nodes.served("a")
    for node in nodes.nodes:
        assert (await node.api("GET", "queues/a"))[1] == []
    await settled(lambda: before not in nodes.storage.logs)


async def test_definitions_are_imported_while_virtual_hosts_move(nodes: LocalNodes) -> None:
    """Through the owner, through the node that becomes it, and through any other one."""
    queue = {"durable": True, "auto_delete": False, "arguments": {}}
    document = {
        "vhosts": [{"name": name} for name in NAMES],
        "permissions": [{"user": "guest", "vhost": name, **EVERYTHING} for name in NAMES],
        "policies": [
            {"vhost": name, "name": "p", "pattern": "none", "definition": {"max-length": 3}} for name in NAMES
        ],
        "queues": [{"name": f"q{number}", "vhost": name, **queue} for name in NAMES for number in range(100)],
    }

    async def moves() -> None:
        for name in NAMES:
            await move(nodes, name, nodes.others(name)[0])

    for _ in range(3):
        for node in nodes.nodes:
            answer, _ = await asyncio.gather(node.api("POST", "definitions", document), moves())
            assert answer == (204, None)
            for name in NAMES:
                assert len((await node.api("GET", f"queues/{name}"))[1]) == 100
                for number in range(0, 100, 9):
                    await node.api("DELETE", f"queues/{name}/q{number}")


async def test_requests_are_answered_while_virtual_hosts_move(nodes: LocalNodes) -> None:
    """Whatever node is asked: none says that the virtual host is not there."""

    async def asks(node: LocalNode, number: int) -> list[int]:
        calls = [
            node.api("PUT", f"queues/a/q{number}", {"durable": True}),
            node.api("PUT", "permissions/a/guest", EVERYTHING),
            node.api("PUT", "vhosts/a", {"description": "moves"}),
            node.api("GET", "queues/a"),
        ]
        return [status for status, _ in await asyncio.gather(*calls)]

    for number in range(10):
        moving = asyncio.ensure_future(move(nodes, "a", nodes.others("a")[0]))
        answers = await asyncio.gather(*(asks(node, number) for node in nodes.nodes))
        await moving
        assert {status for found in answers for status in found} <= {200, 201, 204}


async def test_what_an_import_takes_back_is_no_virtual_host_that_has_come_meanwhile(
    nodes: LocalNodes,
) -> None:
    owner, other = nodes.owner("a"), nodes.others("a")[0]
    assert other.node is not None
    steps = import_steps(other.node.broker, {"vhosts": [{"name": "a"}]}, INTERNAL_CALLER, None)
    with pytest.raises(VhostMovedError, match="virtual host 'a' is moved to another node"):
        list(steps)
    importing = _Import(other.node.broker, INTERNAL_CALLER, None, [])
    with pytest.raises(VhostMovedError):
        importing._virtual_host({"name": "a"})
    await move(nodes, "a", other)
    list(importing.taken_back())
    assert "a" in other.vhosts and owner.directory.vhosts()["a"]


async def test_a_refused_import_takes_back_the_virtual_hosts_that_it_has_announced(nodes: LocalNodes) -> None:
    node = nodes.nodes[0]
    assert node.node is not None
    broker = node.node.broker
    document = {"vhosts": [{"name": "c"}, {"name": "d", "tracing": 1}]}
    status, _ = await node.api("POST", "definitions", document)
    assert status == 400
    assert not broker.has_vhost("c")
    steps = import_steps(broker, document, INTERNAL_CALLER, None)
    next(steps)
    node.node.edge.tick()
    node.node.edge.touch()
    await nodes.served("c")  # by some node, before the rest of the document is refused
    with pytest.raises(DefinitionsError):
        list(steps)
    node.node.edge.touch()
    await settled(lambda: not any(each.node.broker.has_vhost("c") for each in nodes.nodes if each.node))
    assert (await nodes.others("a")[0].api("PUT", "vhosts/c"))[0] == 201
    await nodes.served("c")


@pytest.mark.parametrize(("queues", "kept"), [(10, False), (4000, True)])
async def test_the_lease_is_kept_while_many_queues_are_restored(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch, queues: int, kept: bool
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(LeaseKeeper, "start", lambda keeper: begun.append(keeper.name))
    owner, target = nodes.owner("a"), nodes.others("a")[0]
    declared = [{"name": f"q{number}", "vhost": "a", "durable": True} for number in range(queues)]
    assert (await owner.api("POST", "definitions", {"queues": declared}))[0] == 204
    await move(nodes, "a", target)
    assert begun == [target.name] * kept


async def test_a_node_that_stops_while_a_virtual_host_moves_gives_it_away(nodes: LocalNodes) -> None:
    owner = nodes.owner("a")
    target = nodes.others("a")[0]
    moving = asyncio.ensure_future(owner.units.move("a", target.name))
    await asyncio.sleep(0)
    assert owner.units.units["a"].leaving
    await owner.stop()
    await moving
    assert not owner.given_up
    await nodes.served("a")
    unit = nodes.owner("a").units.units["a"]
    assert unit.takeover is not None and unit.takeover.clean


async def test_a_virtual_host_moves_once_the_storage_answers_again(nodes: LocalNodes) -> None:
    owner = nodes.owner("a")
    target = nodes.others("a")[0]
    unit = owner.units.units["a"]
    moving = asyncio.ensure_future(owner.units.move("a", target.name))
    await settled(lambda: "a" not in owner.units.shared.stores.stores)
    owner.process.cut_off()
    await asyncio.sleep(0)
    assert not unit.serving
    owner.process.heal()
    await moving
    await settled(lambda: "a" in target.vhosts)


async def test_a_virtual_host_that_is_moved_before_it_is_announced_is_served(nodes: LocalNodes) -> None:
    owner, target = nodes.owner("a"), nodes.others("a")[0]
    for _ in range(2):
        moved = asyncio.ensure_future(owner.units.move("a", target.name))
        await settled(lambda: "a" in target.vhosts)
        await target.units.move("a", owner.name)  # at once
        await moved
        await settled(lambda: "a" in owner.vhosts)
    await nodes.served("a")
    assert (await target.api("PUT", "queues/a/q", {"durable": True}))[0] == 201


async def test_a_fault_while_one_is_restored_does_not_end_the_node(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, target = nodes.owner("a"), nodes.others("a")[0]

    def fails(*arguments: object) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr(target.units.shared.stores, "adopt", fails)
    await owner.units.move("a", target.name)
    await settled(lambda: target.units.units["a"].damage or target.task.done())
    assert not target.task.done() and not target.given_up


async def test_what_belongs_to_a_deleted_virtual_host_is_deleted_on_all_nodes(nodes: LocalNodes) -> None:
    node = nodes.nodes[0]
    await node.api("PUT", "policies/a/p", {"pattern": "q", "definition": {"max-length": 3}})
    await node.api("PUT", "vhost-limits/a/max-queues", {"value": 3})
    assert (await node.api("DELETE", "vhosts/a"))[0] == 204
    assert (await node.api("PUT", "vhosts/a"))[0] == 201
    for each in nodes.nodes:
        assert (await each.api("GET", "policies/a"))[1] == []
        assert (await each.api("GET", "vhosts/a/permissions"))[1] in (
            [],
            [{"user": "guest", "vhost": "a", **EVERYTHING}],
        )
        assert each.node is not None
        assert not each.node.broker.access.vhost_limits("a")


async def test_a_virtual_host_that_another_node_deletes_is_closed_where_it_is(nodes: LocalNodes) -> None:
    owner, other = nodes.owner("a"), nodes.others("a")[0]
    connection = await aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{owner.port}/a")
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    other.directory.delete(Kind.VHOST, ("a",))  # as one does that was the owner, hangs, and wakes
    await closed.wait()
    assert owner.node is not None
    broker = owner.node.broker
    await settled(lambda: "a" not in owner.units.shared.stores.stores and not broker.has_vhost("a"))
    assert not owner.given_up
    await owner.api("PUT", "vhosts/a")
    await nodes.served("a")


async def test_a_drained_node_gives_away_what_it_was_about_to_take(
    nodes: LocalNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, target = nodes.owner("a"), nodes.others("a")[0]
    unit = target.units.units["a"]
    fetch = unit._fetch

    async def drained_meanwhile(takeover: Takeover) -> tuple[DirectoryBuilder, bool]:
        target.member.drained = True
        return await fetch(takeover)

    monkeypatch.setattr(unit, "_fetch", drained_meanwhile)
    await owner.units.move("a", target.name)
    await settled(lambda: target.member.drained)
    await nodes.served("a")
    assert "a" not in target.vhosts
