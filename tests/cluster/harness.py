"""Nodes of a cluster in virtual time: they own one virtual host, append what is published, and confirm it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from copy import deepcopy

from leveret.cluster.follower import Follower, Found
from leveret.cluster.log import LogClosed, OwnedLog
from leveret.cluster.member import Lost, Member
from leveret.cluster.owners import Takeover, next_takeover
from leveret.cluster.ports import Replica, Unavailable
from leveret.cluster.records import EPOCH, decode
from leveret.cluster.replay import Replay, ReplayedBlock, ReplayedDrop
from leveret.cluster.view import NodeRecord
from leveret.testing.replica import MemoryConnection, MemoryStorage, Process
from leveret.testing.virtual_loop import VirtualLoop

VHOST = "v"

LEASE_S = 15.0


class World:
    """The servers, the nodes, and what clients were promised. `confirmed`: what publishers know to be safe."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.storage = MemoryStorage()
        self.nodes: list[Node] = []
        self.confirmed: list[int] = []
        self.published = 0
        self.problems: list[str] = []
        self.clocks_hold = True

    def check_accepted(self, epoch: int, sequence: int) -> None:
        """Invariant 1: the newest EPOCH before an accepted record is that of its owner."""
        before = (decode(one) for one in self.storage.logs[VHOST].ever if one.sequence < sequence)
        newest = max((record.epoch for record in before if record.kind == EPOCH), default=0)
        if newest != epoch:
            self.problems.append(f"record {sequence} of epoch {epoch} was accepted behind epoch {newest}")

    def check_taken(self, node: Node) -> None:
        """Invariant 3: a new owner knows everything that was confirmed."""
        known = node.known
        missing = [number for number in self.confirmed if number not in known]
        if missing:
            self.problems.append(f"{node.name} serves without {missing}, which were confirmed")

    def check_confirmed(self, epoch: int, number: int) -> None:
        """Nothing is confirmed that a later owner, who has read to its own EPOCH, does not know."""
        for other in self.nodes:
            later = other.ready and other.takeover is not None and other.takeover.epoch > epoch
            if later and number not in other.known:
                self.problems.append(f"{number} was confirmed, and {other.name} serves without it")

    def check_speakers(self) -> None:
        """Invariant 4: at most one node may send octets for a virtual host, while clocks run at about the same rate."""
        speakers = [node.name for node in self.nodes if node.may_send]
        if len(speakers) > 1 and self.clocks_hold:
            self.problems.append(f"{' and '.join(speakers)} serve the same virtual host")

    def check_log(self) -> None:
        """What was confirmed is in the log, as every reader understands it."""
        stored = [] if VHOST not in self.storage.logs else self.storage.logs[VHOST].records
        replay, files = Replay(), Files()
        for one in stored:
            files.apply(replay.add(one))
        if lost := set(self.confirmed) - files.known:
            self.problems.append(f"confirmed and not in the log: {sorted(lost)}")


class Files:
    """What the subjects of the log hold: numbers that were published. `twice`: blocks that came again."""

    def __init__(self) -> None:
        self.subjects: dict[str, set[int]] = {}
        self.twice = False

    @property
    def known(self) -> set[int]:
        return set().union(*self.subjects.values())

    def apply(self, found: ReplayedBlock | ReplayedDrop | None) -> None:
        if isinstance(found, ReplayedDrop):
            self.subjects.pop(found.subject, None)
        elif found is not None:
            numbers = {int(number) for number in found.payload.split(b",")}
            subject = self.subjects.setdefault(found.subject, set())
            self.twice = self.twice or bool(subject & numbers)
            subject |= numbers


class MemoryCache:
    """What a node keeps of the log (`Sink`), also when it is started again: the copy that it made last. `saves`: says
    whether to make one now."""

    def __init__(self, saves: Callable[[], bool]) -> None:
        self.saves = saves
        self.files = Files()
        self.identity = ""
        self.kept: tuple[str, Files, Replay] | None = None

    async def begin(self, identity: str) -> Replay | None:
        if self.kept is None or self.kept[0] != identity:
            return None
        self.identity, self.files, replay = deepcopy(self.kept)
        return replay

    async def reset(self, identity: str) -> None:
        self.identity, self.files, self.kept = identity, Files(), None

    async def rest(self) -> None:
        pass

    async def take(self, found: Found, replay: Replay) -> None:
        for one in found:
            self.files.apply(one)
        if replay.is_between_blocks and self.saves():
            self.kept = deepcopy((self.identity, self.files, replay))


def always() -> bool:
    """Make a copy each time."""
    return True


class Node:
    """A node that joins, takes over when it can, and serves until it is deposed; then it begins again."""

    def __init__(
        self, world: World, name: str, process: Process, window: int = 1, cache: MemoryCache | None = None
    ) -> None:
        self.world = world
        self.cache = cache or MemoryCache(always)
        self.follower: Follower | None = None
        self.name = name
        self.process = process
        self.window = window
        self.member: Member | None = None
        self.takeover: Takeover | None = None
        self.files = Files()
        self.subject = ""
        self.compactions = 0
        self.compacting = False
        self.held: list[int] = []
        self.ready = False
        self.ending = False
        self.task = world.loop.create_task(self.run())

    @property
    def known(self) -> set[int]:
        return self.files.known

    @property
    def may_send(self) -> bool:
        """Whether it may send octets to clients now."""
        if self.member is None or not self.ready or self.process.frozen or self.process.killed:
            return False
        return not self.member.lease.is_silent(self.process.now())

    async def run(self) -> None:
        while True:
            with contextlib.suppress(Lost, LogClosed, Unavailable):
                await self.live()
            self.ready = False
            self.held.clear()
            await self.process.sleep(0.5)

    async def live(self) -> None:
        """One incarnation."""
        connection = MemoryConnection(self.world.storage, self.process)
        nodes, owners = await connection.open_table("nodes"), await connection.open_table("owners")
        member = self.member = Member(self.name, self.name, nodes, owners, self.process, LEASE_S)
        await member.join(self.is_gone)
        parts = (member.run(), self.watch_lease(member), self.serve(member, connection))
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            if self.takeover is not None and self.takeover.log is not None:
                self.takeover.log.close(LogClosed("the lease is over"))
            self.takeover = None
            if self.follower is not None:
                await self.follower.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def is_gone(self, record: NodeRecord) -> bool:
        """Whether a process with the address of this one has ended: this one is there now."""
        return record.address == self.name

    async def watch_lease(self, member: Member) -> None:
        """End the incarnation when its lease is over."""
        while not member.lease.is_over(self.process.now()):
            await self.process.sleep(max(member.lease.over_at() - self.process.now(), 0.1))
            self.flush()

    async def serve(self, member: Member, connection: MemoryConnection) -> None:
        """Take over and serve, until deposed."""

        async def open_log(vhost: str) -> Replica:
            return await connection.create_log(vhost)

        self.follower = follower = Follower(lambda: connection.open_log(VHOST), self.cache, self.process)
        follower.start()
        takeover = self.takeover = await next_takeover(member, VHOST, open_log, self.window)
        replay = await takeover.resumed(await follower.stop())
        self.files = Files() if replay is None else self.cache.files
        self.cache.kept = None  # what this node writes from now on may never be in the log
        async for found in takeover.blocks(replay):
            self.files.apply(found)
        if self.files.twice:
            self.world.problems.append(f"{self.name} has read a block twice")
        assert takeover.log is not None
        await takeover.announce_ready()
        self.subject, self.compactions = f"{takeover.epoch}-0", 0
        self.compacting = False
        self.world.check_taken(self)
        self.ready, self.ending = True, False
        self.world.check_speakers()
        closed = asyncio.Event()
        takeover.log.on_closed = closed.set
        await closed.wait()
        self.ready = False

    def publish(self) -> None:
        """A client publishes."""
        if not self.ready or self.ending or self.process.frozen or self.process.killed:
            return
        assert self.takeover is not None and self.takeover.log is not None
        self.world.published += 1
        number, log = self.world.published, self.takeover.log
        self.files.subjects.setdefault(self.subject, set()).add(number)
        log.append(self.subject, b"%d" % number).add_done_callback(
            lambda done: self.accepted(log, number, done)
        )

    def accepted(self, log: OwnedLog, number: int, done: asyncio.Future[int]) -> None:
        """An append has ended: confirm the publish, unless the node must be silent."""
        if done.exception() is None:
            self.world.check_accepted(log.epoch, done.result())
            self.held.append(number)
            self.flush()

    def flush(self) -> None:
        """Send confirms, if the node may send."""
        if self.may_send and self.takeover is not None:
            for number in self.held:
                self.world.confirmed.append(number)
                self.world.check_confirmed(self.takeover.epoch, number)
            self.held.clear()

    async def compact(self) -> None:
        """Drop subjects that hold nothing that others do not hold, the newest first; or copy all to one subject, and
        drop those that are copied."""
        if not self.ready or self.ending or self.compacting or self.takeover is None:
            return
        self.compacting = True
        with contextlib.suppress(LogClosed, Unavailable):
            assert self.takeover.log is not None
            await self._compact(self.takeover.log, self.files.subjects, self.subject)
        self.compacting = False

    async def _compact(self, log: OwnedLog, subjects: dict[str, set[int]], current: str) -> None:
        for subject in sorted(subjects, reverse=True):
            others = set().union(*(numbers for name, numbers in subjects.items() if name != subject))
            if subject != current and subjects[subject] <= others:
                del subjects[subject]
                await log.drop(subject)
        self.compactions += 1
        older = [name for name in subjects if name != current]
        if numbers := set().union(*(subjects[name] for name in older)):
            new = f"{log.epoch}-{self.compactions}"
            await log.append(new, b",".join(b"%d" % number for number in sorted(numbers)))
            subjects[new] = numbers
            for name in older:
                del subjects[name]  # nothing relies on it from now on, whatever comes of the request
                await log.drop(name)

    async def hand_over(self) -> None:
        """Leave in peace."""
        if self.ready and not self.ending and self.takeover is not None:
            self.ending = True
            with contextlib.suppress(LogClosed, Unavailable):
                await self.takeover.hand_over()
