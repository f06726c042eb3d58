"""The directory of a cluster: what one node changes, all have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.cluster.directory import MAX_RECORD_BYTES, Directory
from leveret.cluster.directory_changes import DirectoryChanges
from leveret.cluster.ports import StorageError
from leveret.engine import operations
from leveret.engine.broker import Broker
from leveret.engine.catalogue import Kind
from leveret.engine.operations import INTERNAL_CALLER
from leveret.engine.policies import Policy
from leveret.engine.vhost import VhostProperties
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import DirectoryRestore
from leveret.testing.replica import Fate, MemoryConnection, MemoryStorage, Process
from leveret.testing.virtual_loop import run_virtual


class OtherNodes:
    """There are other nodes: a new virtual host is elsewhere."""

    def reach(self, connection: Any, vhost: str) -> Any:
        raise NotImplementedError


class Node:
    """A node: its broker, and the directory as it has it."""

    def __init__(self, cluster: Cluster, directory: Directory) -> None:
        self.cluster = cluster
        self.directory = directory
        self.broker = Broker(journal=directory.journal, random_octets=bytes)  # the same cluster for all
        self.broker.other_nodes = OtherNodes()
        recorder = Recorder(self.broker, directory, None)
        recorder.identified = True
        DirectoryRestore(recorder, directory).run()
        recorder.begin()
        directory.on_change = DirectoryChanges(self.broker, lambda: None).apply
        self.vhosts: dict[str, str] = {}
        directory.on_vhosts = lambda: self.vhosts.update(directory.vhosts())
        self.task = asyncio.ensure_future(directory.run())

    async def settled(self) -> None:
        """Wait until everything that this node has changed is safe."""
        journal = self.directory.journal
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        journal.when_settled(journal.ticket, lambda: done.set_result(None))
        await done

    def put_user(self, name: str, **fields: object) -> None:
        operations.put_user(self.broker, INTERNAL_CALLER, name, {"password_hash": "", "tags": "", **fields})

    @property
    def users(self) -> list[str]:
        return [user.name for user in self.broker.access.users]

    def state(self) -> object:
        """Everything that the broker has of the directory."""
        broker = self.broker
        return (
            broker.access.export_users(),
            broker.access.export_permissions(),
            broker.access.export_topic_permissions(),
            broker.access.export_vhost_limits(),
            [policy.to_json() for policy in broker.policies.list()],
            dict(broker.global_parameters) | {"cluster_name": ""},
            broker.elsewhere,
        )


class Cluster:
    """Nodes with one directory. `fates`: of the requests of nodes that are added."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.nodes: list[Node] = []
        self.processes: list[Process] = []

    async def add(self, fates: Callable[[], Fate] = Fate) -> Node:
        """Have one more node."""
        process = Process(fates=fates)
        table = await MemoryConnection(self.storage, process).open_table("directory")
        directory = Directory(table, process, self._everywhere)
        await directory.read()
        node = Node(self, directory)
        self.nodes.append(node)
        return node

    async def _everywhere(self, revision: int) -> None:
        await asyncio.gather(*(node.directory.seen(revision) for node in self.nodes))


@asynccontextmanager
async def cluster_of(count: int) -> AsyncIterator[tuple[Any, ...]]:
    """A cluster with so many nodes."""
    cluster = Cluster()
    nodes = [await cluster.add() for _ in range(count)]
    try:
        yield (cluster, *nodes)
    finally:
        for node in cluster.nodes:
            node.task.cancel()
        await asyncio.gather(*(node.task for node in cluster.nodes), return_exceptions=True)


def virtually(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def run() -> None:
        run_virtual(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    return run


def fill(node: Node) -> None:
    """Change something of every kind."""
    broker = node.broker
    operations.put_vhost(broker, INTERNAL_CALLER, "v", description="first", tags=("x",), tracing=True)
    node.put_user("u", tags="management", limits={"max-connections": 3})
    operations.set_permissions(broker, INTERNAL_CALLER, "u", "v", "c", "w", "r")
    broker.access.set_topic_permissions("u", "v", "amq.topic", "a", "b")
    operations.set_vhost_limits(broker, INTERNAL_CALLER, "v", {"max-queues": 7})
    broker.policies.set(Policy("v", "p", "^x", {"max-length": 2}))
    broker.policies.set(Policy("v", "o", "^x", {"max-length": 1}), operator=True)
    operations.set_global_parameter(broker, INTERNAL_CALLER, "g", {"a": [1]})


@virtually
async def test_a_change_is_done_when_all_nodes_have_it() -> None:
    async with cluster_of(3) as (_, first, second, third):
        fill(first)
        await first.settled()
        assert second.state() == first.state() == third.state()
        assert first.broker.elsewhere == {"v": VhostProperties("first", ("x",), None, True)}
        assert second.vhosts == first.vhosts and len(first.vhosts["v"]) == 16


@virtually
async def test_a_new_node_has_what_was_changed_before() -> None:
    async with cluster_of(1) as (cluster, first):
        fill(first)
        await first.settled()
        second = await cluster.add()
        assert second.state() == first.state()


@virtually
async def test_what_is_deleted_on_one_node_is_gone_on_all() -> None:
    async with cluster_of(2) as (cluster, first, second):
        fill(first)
        await first.settled()
        broker = second.broker
        broker.access.clear_topic_permissions("u", "v", "amq.topic")
        operations.clear_vhost_limits(broker, INTERNAL_CALLER, "v")
        broker.policies.clear("v", "p")
        broker.policies.clear("v", "o", operator=True)
        operations.clear_global_parameter(broker, INTERNAL_CALLER, "g")
        operations.delete_user(broker, INTERNAL_CALLER, "u")
        await second.settled()
        assert first.state() == second.state()
        assert (
            not first.users
            and not first.broker.policies.list()
            and not first.broker.access.vhosts_with_limits
        )
        assert (await cluster.add()).state() == first.state()


@virtually
async def test_a_node_does_not_apply_its_own_changes_again() -> None:
    async with cluster_of(2) as (_, first, second):
        seen: list[object] = []
        apply = first.directory.on_change
        first.directory.on_change = lambda *change: (seen.append(change), apply(*change))[0]
        fill(first)
        await first.settled()
        second.put_user("other")
        await second.settled()
        assert [key for _, key, _ in seen] == [("other",)]  # type: ignore[misc]


@virtually
async def test_of_two_changes_at_once_the_last_one_counts_everywhere() -> None:
    async with cluster_of(2) as (cluster, first, second):
        first.put_user("u", tags="first")
        second.put_user("u", tags="second")
        await first.settled()
        await second.settled()
        assert first.state() == second.state() == (await cluster.add()).state()


@virtually
async def test_a_virtual_host_that_is_created_again_gets_another_identifier() -> None:
    async with cluster_of(2) as (_, first, second):
        operations.put_vhost(first.broker, INTERNAL_CALLER, "v")
        await first.settled()
        before = dict(second.directory.vhosts())
        del second.broker.elsewhere["v"]
        second.directory.delete(Kind.VHOST, ("v",))
        await second.settled()
        assert not first.directory.vhosts() and not first.broker.elsewhere
        operations.put_vhost(first.broker, INTERNAL_CALLER, "v")
        await first.settled()
        assert second.directory.vhosts().keys() == before.keys() and second.directory.vhosts() != before


@virtually
async def test_a_virtual_host_that_is_deleted_and_created_at_once_gets_another_identifier() -> None:
    async with cluster_of(2) as (_, first, second):
        operations.put_vhost(first.broker, INTERNAL_CALLER, "v")
        await first.settled()
        before = dict(second.directory.vhosts())
        del first.broker.elsewhere["v"]
        first.directory.delete(Kind.VHOST, ("v",))
        operations.put_vhost(first.broker, INTERNAL_CALLER, "v", description="again")
        await first.settled()
        assert first.directory.vhosts() == second.directory.vhosts() != before
        assert second.broker.elsewhere["v"].description == "again"


@virtually
async def test_a_change_that_is_seen_before_the_answer_to_an_own_one_is_applied() -> None:
    async with cluster_of(2) as (_, first, second):
        first.directory.table.process.fates = lambda: Fate(0.001, 1.0)  # the answer comes late
        first.put_user("u", tags="first")
        while "u" not in second.users:
            await second.directory.changed()
        second.put_user("u", tags="second")
        await second.settled()
        await first.settled()
        assert first.state() == second.state()


@virtually
async def test_a_node_that_has_written_something_does_not_have_what_it_has_not_seen() -> None:
    async with cluster_of(2) as (_, first, second):
        second.directory.table.process.connected = asyncio.Event().wait  # it hears of no changes
        await asyncio.sleep(1)
        first.put_user("first")
        await asyncio.sleep(1)
        second.put_user("second")
        await asyncio.sleep(1)
        assert "second" in first.users and "first" not in second.users
        assert second.directory.revision < first.directory.revision - 1


@virtually
async def test_the_permission_of_a_deleted_user_keeps_no_node_from_starting() -> None:
    async with cluster_of(1) as (cluster, first):
        fill(first)
        await first.settled()
        first.directory.delete(Kind.USER, ("u",))  # as when another node sets a permission at the same moment
        await first.settled()
        assert not (await cluster.add()).broker.access.export_permissions()


@virtually
async def test_a_permission_that_is_set_while_its_user_is_deleted_does_not_come_back_with_the_next_one() -> (
    None
):
    async with cluster_of(3) as (cluster, first, second, third):
        fill(first)
        operations.put_vhost(first.broker, INTERNAL_CALLER, "w")
        await first.settled()
        operations.delete_user(first.broker, INTERNAL_CALLER, "u")
        operations.set_permissions(
            second.broker, INTERNAL_CALLER, "u", "w", "x", "x", "x"
        )  # at the same moment
        await first.settled()
        await second.settled()
        third.put_user("u")  # at once
        await third.settled()
        await asyncio.sleep(2)
        states = [node.state() for node in (first, second, third, await cluster.add())]
        assert states == [states[0]] * 4
        assert not first.broker.access.export_permissions()


@virtually
async def test_a_policy_that_is_set_while_its_virtual_host_is_deleted_does_not_come_back() -> None:
    async with cluster_of(2) as (cluster, first, second):
        fill(first)
        await first.settled()
        second.broker.policies.set(Policy("v", "late", "^x", {"max-length": 5}))
        first.broker.forget_vhost("v")
        await first.settled()
        await second.settled()
        await asyncio.sleep(2)
        operations.put_vhost(first.broker, INTERNAL_CALLER, "v")
        await first.settled()
        states = [node.state() for node in (first, second, await cluster.add())]
        assert states == [states[0]] * 3
        assert not first.broker.policies.list()


@virtually
async def test_names_may_be_long_and_need_not_be_text() -> None:
    async with cluster_of(2) as (_, first, second):
        for name in ("é" * 120, "\udcff"):
            operations.put_vhost(first.broker, INTERNAL_CALLER, name)
            first.broker.policies.set(Policy(name, "p" * 255, "", {"max-length": 1}))
        await first.settled()
        assert second.state() == first.state()


@virtually
async def test_a_record_that_is_too_large_is_refused_by_name() -> None:
    async with cluster_of(1) as (_, first):
        with pytest.raises(ValueError, match=r"global_parameter 'g' has .* share records of up to 524288"):
            first.broker.set_global_parameter("g", "x" * MAX_RECORD_BYTES)


@virtually
async def test_a_mark_is_behind_all_changes_before_it() -> None:
    async with cluster_of(2) as (_, first, second):
        fill(first)
        first.directory.mark("seeded")
        while not second.directory.is_marked("seeded"):
            await second.directory.changed()
        assert second.state() == first.state()
        assert await second.directory.look_for_mark("seeded")
        assert not await second.directory.look_for_mark("another")


@virtually
async def test_a_bucket_of_somebody_else_is_named() -> None:
    async with cluster_of(1) as (cluster, first):
        await first.directory.table.create("user x", b"not ours")
        with pytest.raises(StorageError, match="key 'user x' of the directory holds nothing of Leveret"):
            await cluster.add()


NAMES = st.sampled_from(["a", "b", "c"])
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["put", "delete", "permit", "allow", "parameter", "pause"]), NAMES
    ),
    max_size=30,
)
FATES = st.builds(
    Fate,
    st.one_of(st.none(), st.floats(0, 0.2)),
    st.one_of(st.none(), st.floats(0, 0.2)),
    st.one_of(st.none(), st.floats(0, 5)),
)


@given(CHANGES, st.lists(FATES, max_size=40))
@settings(max_examples=60, deadline=None)
def test_all_nodes_end_with_the_same_whatever_happens_to_requests(
    changes: list[tuple[int, str, str]], fates: list[Fate]
) -> None:
    run_virtual(_play(changes, fates))


async def _play(changes: list[tuple[int, str, str]], fates: list[Fate]) -> None:
    async with cluster_of(0) as (cluster,):
        left = iter(fates)
        nodes = [await cluster.add() for _ in range(3)]
        for node in nodes:
            node.directory.table.process.fates = lambda: next(left, Fate())
        operations.put_vhost(nodes[0].broker, INTERNAL_CALLER, "v")
        await nodes[0].settled()
        for number, what, name in changes:
            await _change(nodes[number], what, name)
        for node in nodes:
            await node.settled()
        await asyncio.sleep(10)  # late duplicates
        first = nodes[0].state()
        assert all(node.state() == first for node in nodes)
        assert (await cluster.add()).state() == first


async def _change(node: Node, what: str, name: str) -> None:
    if what == "put":
        node.put_user(name, tags=what)
    elif what == "delete" and name in node.broker.access.users:
        operations.delete_user(node.broker, INTERNAL_CALLER, name)
    elif what == "permit" and name in node.broker.access.users:
        node.broker.access.users.set_tags(name, ["permitted"])
    elif what == "allow" and name in node.broker.access.users:
        operations.set_permissions(node.broker, INTERNAL_CALLER, name, "v", "c", "w", "r")
    elif what == "parameter":
        node.broker.set_global_parameter(name, what)
    elif what == "pause":
        await asyncio.sleep(0.01)
