"""Leases, views and takeovers, one at a time; `test_protocol.py` mixes them with faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import product

import pytest
from msgspec.structs import replace

from leveret.cluster.lease import Lease, dead_at
from leveret.cluster.log import Deposed
from leveret.cluster.member import Lost, Member
from leveret.cluster.owners import Takeover, next_takeover
from leveret.cluster.ports import Gone, Replica, StorageError, TableEntry
from leveret.cluster.replay import ReplayedBlock
from leveret.cluster.view import RANK_DELAY_S, NodeRecord, OwnerRecord, View, claim_at, encode, rank
from leveret.testing.replica import MemoryConnection, MemoryKeys, MemoryStorage, Process
from leveret.testing.virtual_loop import run_virtual

LEASE_S = 15.0


def virtually(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def run() -> None:
        run_virtual(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    return run


class Machine:
    """A node with its process, on storage that it shares with others."""

    def __init__(self, storage: MemoryStorage, name: str) -> None:
        self.process = Process()
        self.connection = MemoryConnection(storage, self.process)
        self.name = name
        self.member: Member

    async def join(self) -> Member:
        nodes, owners = await self.connection.open_table("nodes"), await self.connection.open_table("owners")
        self.member = Member(self.name, f"{self.name}:25672", nodes, owners, self.process, LEASE_S)
        await self.member.join()
        return self.member

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Member]:
        """Join, renew and watch meanwhile."""
        member = await self.join()
        task = asyncio.ensure_future(member.run())
        await self.process.sleep(0.1)
        try:
            yield member
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def take_over(self) -> tuple[Takeover, list[bytes]]:
        takeover = await next_takeover(self.member, "v", self.open_log)
        found = [one.payload async for one in takeover.blocks() if isinstance(one, ReplayedBlock)]
        await takeover.announce_ready()
        return takeover, found

    async def open_log(self, vhost: str) -> Replica:
        return await self.connection.create_log(vhost)


# --- leases


def test_a_lease_is_silent_before_it_is_over_and_over_before_others_may_take_it() -> None:
    lease = Lease(10.0)
    assert lease.is_silent(0.0)
    assert lease.is_over(0.0)
    lease.renewed(100.0)
    assert not lease.is_silent(107.9)
    assert lease.is_silent(108.0)
    assert not lease.is_over(109.9)
    assert lease.is_over(110.0)
    assert dead_at(100.0, 10.0) == pytest.approx(111.0)
    assert (lease.silent_at(), lease.over_at()) == (108.0, 110.0)


def test_contact_never_goes_back() -> None:
    lease = Lease(10.0)
    lease.renewed(100.0)
    lease.renewed(90.0)
    assert lease.contact == 100.0
    lease.lose()
    assert lease.is_over(100.0)


# --- views


def view_of(**nodes: NodeRecord) -> View:
    view = View(10.0)
    view.read_at = 0.0
    for number, (name, record) in enumerate(nodes.items(), 1):
        view.see_node(TableEntry(name, encode(record), number), 100.0)
    return view


def own(view: View, node: str, incarnation: str, ready: bool = True, at: float = 100.0) -> None:
    record = OwnerRecord(node=node, incarnation=incarnation, ready=ready)
    view.see_owner(TableEntry("v", encode(record), 1), at)


A, B = NodeRecord(incarnation="a1", address="a:1"), NodeRecord(incarnation="b1", address="b:1")


def wait_for(view: View, name: str = "b", incarnation: str = "b1", now: float = 101.0) -> float | None:
    """When a node may claim, without the wait for its rank."""
    at = claim_at(view, "v", name, incarnation, now)
    return None if at is None else at - rank(view, "v", name, now) * RANK_DELAY_S


def test_a_living_owner_is_claimed_when_its_lease_has_ended() -> None:
    view = view_of(a=A, b=B)
    own(view, "a", "a1")
    assert wait_for(view) == pytest.approx(111.0)
    assert wait_for(view, "a", "a1") is None


def test_a_renewal_moves_the_claim() -> None:
    view = view_of(a=A, b=B)
    own(view, "a", "a1")
    view.see_node(TableEntry("a", encode(A), 7), 105.0)
    assert wait_for(view) == pytest.approx(116.0)


def test_an_owner_is_claimed_at_once_if_it_is_dead_gone_or_another_incarnation() -> None:
    for record in (
        NodeRecord(incarnation="a1", address="a:1", dead=True),
        NodeRecord(incarnation="a2", address=""),
    ):
        view = view_of(a=record, b=B)
        own(view, "a", "a1")
        assert wait_for(view) == 100.0
    view = view_of(a=A, b=B)
    own(view, "a", "a1")
    view.see_gone("a", "a1", 103.0)
    assert wait_for(view) == 103.0


def test_what_nobody_owns_is_claimed_at_once() -> None:
    view = view_of(a=A, b=B)
    assert wait_for(view) == 0.0
    own(view, "", "", ready=False)
    assert wait_for(view) == 100.0


def test_what_is_handed_over_to_a_node_is_left_to_it_as_long_as_it_lives() -> None:
    view = view_of(a=A, b=B)
    own(view, "b", "", ready=False, at=102.0)
    assert claim_at(view, "v", "b", "b1", 102.5) == 102.5
    assert wait_for(view, "a", "a1") == pytest.approx(111.0)
    view.see_node(TableEntry("b", None, 9), 103.0)
    assert wait_for(view, "a", "a1") == 102.0


@pytest.mark.parametrize("state", ["drained", "full"])
def test_what_is_handed_over_to_a_node_that_takes_nothing_is_not_left_to_it(state: str) -> None:
    """It was drained in the same moment, and lives on."""
    view = view_of(a=A, b=replace(B, **{state: True}))
    own(view, "b", "", ready=False, at=102.0)
    assert wait_for(view, "a", "a1") == 102.0


def test_nothing_is_claimed_before_both_tables_were_read() -> None:
    view = view_of(a=A, b=B)
    view.read_at = None
    assert claim_at(view, "v", "a", "a1", 500.0) is None


def test_living_nodes_have_different_ranks_and_fewer_owned_come_first() -> None:
    view = view_of(a=A, b=B, c=NodeRecord(incarnation="c1", address=""))
    view.see_owner(TableEntry("w", encode(OwnerRecord(node="c", incarnation="c1", ready=True)), 8), 100.0)
    ranks = {name: rank(view, "v", name, 101.0) for name in "abc"}
    assert sorted(ranks.values()) == [0, 1, 2]
    assert ranks["c"] == 2
    assert rank(view, "v", "c", 200.0) == 0  # the others have not renewed their leases


def test_only_a_ready_owner_has_an_address() -> None:
    view = view_of(a=A, b=B)
    assert view.address_of_owner("v") is None
    own(view, "a", "a1", ready=False)
    assert view.address_of_owner("v") is None
    view = view_of(a=A, b=B)
    own(view, "a", "a1")
    assert view.address_of_owner("v") == "a:1"
    view.see_node(TableEntry("a", encode(NodeRecord(incarnation="a2", address="a:2")), 8), 101.0)
    assert view.address_of_owner("v") is None


def test_a_document_that_is_not_ours_is_refused() -> None:
    with pytest.raises(StorageError, match="key 'a' holds no NodeRecord of Leveret"):
        View(10.0).see_node(TableEntry("a", b'{"incarnation": 7}', 1), 0.0)


# --- members


@virtually
async def test_a_member_renews_its_lease() -> None:
    machine = Machine(MemoryStorage(), "a")
    async with machine.running() as member:
        await machine.process.sleep(100)
        assert not member.lease.is_silent(machine.process.now())
        assert member.view.living(machine.process.now()) == ["a"]


@virtually
async def test_others_know_at_once_that_a_node_takes_nothing_and_that_it_takes_something_again() -> None:
    """Whoever revives a node and then rebalances the cluster means this node, too."""
    storage = MemoryStorage()
    one, two = Machine(storage, "a"), Machine(storage, "b")
    async with one.running(), two.running() as b:
        for state, value in product(("drained", "stopped", "full"), (True, False)):
            setattr(one.member, state, value)
            await two.process.sleep(0.1)
            assert b.view.nodes["a"].record.takes_over is not value


@virtually
async def test_without_servers_the_lease_ends_and_comes_back() -> None:
    storage = MemoryStorage()
    machine = Machine(storage, "a")
    async with machine.running() as member:
        storage.has_leader = False
        await machine.process.sleep(20)
        assert member.lease.is_over(machine.process.now())
        storage.has_leader = True
        await machine.process.sleep(5)
        assert not member.lease.is_silent(machine.process.now())


@virtually
async def test_a_second_node_of_a_name_is_refused() -> None:
    storage = MemoryStorage()
    async with Machine(storage, "a").running():
        with pytest.raises(StorageError, match="a node named 'a' is running already, at a:25672"):
            await Machine(storage, "a").join()


@virtually
async def test_a_node_that_ended_without_leaving_joins_again_after_some_renewals() -> None:
    storage = MemoryStorage()
    await Machine(storage, "a").join()
    machine = Machine(storage, "a")
    before = machine.process.now()
    await machine.join()
    assert 3 < machine.process.now() - before < LEASE_S


@virtually
async def test_a_node_that_left_joins_again_at_once() -> None:
    storage = MemoryStorage()
    await (await Machine(storage, "a").join()).leave()
    machine = Machine(storage, "a")
    before = machine.process.now()
    await machine.join()
    assert machine.process.now() - before < 0.1


@virtually
async def test_a_node_that_was_found_dead_is_lost() -> None:
    storage = MemoryStorage()
    one, two = Machine(storage, "a"), Machine(storage, "b")
    a = await one.join()
    async with two.running() as b:
        assert await b.mark_dead("a", a.incarnation)
        with pytest.raises(Lost):
            await a.run()
        assert a.lease.is_over(one.process.now())


@virtually
async def test_a_node_that_renews_cannot_be_marked_as_dead() -> None:
    storage = MemoryStorage()
    one, two = Machine(storage, "a"), Machine(storage, "b")
    async with two.running() as b:
        a = await one.join()
        await two.process.sleep(0.1)
        two.process.cut_off()
        other = asyncio.ensure_future(b.mark_dead("a", a.incarnation))
        task = asyncio.ensure_future(a.run())
        await one.process.sleep(4)
        two.process.heal()
        b_says = await asyncio.gather(other, return_exceptions=True)
        assert b_says[0] is not True
        task.cancel()


@virtually
async def test_a_table_that_was_deleted_ends_what_this_node_is() -> None:
    storage = MemoryStorage()
    machine = Machine(storage, "a")
    member = await machine.join()

    async def gone() -> AsyncIterator[TableEntry | None]:
        yield None
        raise Gone("stream KV_lv-leveret-owners of NATS was deleted")

    member.owners.watch = gone  # type: ignore[method-assign]
    with pytest.raises(Lost, match="KV_lv-leveret-owners of NATS was deleted"):
        await member.run()


# --- takeovers


@virtually
async def test_a_node_takes_over_what_nobody_owns_and_then_what_was_handed_over() -> None:
    storage = MemoryStorage()
    one, two = Machine(storage, "a"), Machine(storage, "b")
    async with one.running(), two.running() as b:
        first, found = await one.take_over()
        assert (found, first.clean) == ([], True)
        assert first.log is not None
        await first.log.append("file.1", b"x")
        await first.hand_over()
        second, found = await two.take_over()
        assert (found, second.clean) == ([b"x"], True)
        assert second.epoch > first.epoch
        assert b.view.address_of_owner("v") is None or b.view.address_of_owner("v") == "b:25672"


@virtually
async def test_a_silent_owner_is_taken_over_after_its_lease_and_everything_counts_as_delivered() -> None:
    storage = MemoryStorage()
    one, two = Machine(storage, "a"), Machine(storage, "b")
    async with one.running(), two.running():
        first, _ = await one.take_over()
        assert first.log is not None
        await first.log.append("file.1", b"x")
        one.process.freeze()
        before = two.process.now()
        second, found = await two.take_over()
        assert (found, second.clean) == ([b"x"], False)
        assert LEASE_S < two.process.now() - before < 2 * LEASE_S


@pytest.mark.parametrize("handovers", [0, 3])
def test_no_epoch_has_two_owners_when_the_table_of_owners_was_lost(handovers: int) -> None:
    async def run() -> None:
        storage = MemoryStorage()
        one, two = Machine(storage, "a"), Machine(storage, "b")
        async with one.running():
            first, _ = await one.take_over()
            for _ in range(handovers):
                await first.hand_over()
                first, _ = await one.take_over()
            assert first.log is not None
            await first.log.append("file.1", b"x")
            storage.tables["owners"] = MemoryKeys()
            async with two.running():
                second, found = await two.take_over()
                assert found == [b"x"]
                assert second.epoch > first.epoch
                assert second.log is not None
                with pytest.raises(Deposed):
                    await first.log.append("file.1", b"y")
                await second.log.append("file.1", b"z")
                await second.hand_over()
                _, found = await two.take_over()
                assert found == [b"x", b"z"]

    run_virtual(run())


@virtually
async def test_a_handover_to_a_node_is_taken_by_that_node() -> None:
    storage = MemoryStorage()
    machines = [Machine(storage, name) for name in "abc"]
    async with machines[0].running(), machines[1].running(), machines[2].running():
        first, _ = await machines[0].take_over()
        others = [asyncio.ensure_future(machine.take_over()) for machine in machines[1:]]
        await first.hand_over("c")
        done, pending = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
        assert done == {others[1]}
        for task in pending:
            task.cancel()
