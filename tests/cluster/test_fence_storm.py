"""Two owners append to one log while its leader is killed or stopped: nothing is accepted behind a newer fence.

JetStream checks the expected sequence where the stream is led. This test is why Leveret may rely on that; it runs
against every version of NATS that is used.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from pathlib import Path

import pytest

from leveret.cluster.log import Deposed, OwnedLog, fence
from leveret.cluster.nats import NatsReplica, NatsSettings, NatsStorage, connect
from leveret.cluster.ports import Replica, Unavailable
from leveret.cluster.records import EPOCH, decode
from leveret.cluster.replay import Replay, ReplayedBlock
from leveret.cluster.times import SystemTime
from tests.cluster.nats_servers import NatsCluster, NatsServer

#: Rounds, and takeovers in each: the leader is hurt in every second one.
ROUNDS = int(os.environ.get("LEVERET_STORMS", "1"))
TAKEOVERS = 3

#: Appends that are on their way together.
WINDOW = 4

#: Appends of a writer that are accepted before the next one takes over.
ENOUGH = 50

TIME = SystemTime()


class Writer:
    """An owner that appends as fast as it can. `accepted`: sequence, epoch and payload of what was accepted."""

    def __init__(self, log: OwnedLog) -> None:
        self.log = log
        self.accepted: list[tuple[int, bytes]] = []
        self.busy = asyncio.Event()

    async def run(self) -> None:
        """Append until deposed."""
        number = 0
        waiting: set[asyncio.Task[None]] = set()
        try:
            while self.log.closed is None:
                number += 1
                task = asyncio.ensure_future(self._append(b"%d/%d" % (self.log.epoch, number)))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
                if len(waiting) >= 2 * WINDOW:
                    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _append(self, payload: bytes) -> None:
        try:
            sequence = await self.log.append("file.1", payload)
        except Deposed:
            return
        self.accepted.append((sequence, payload))
        if len(self.accepted) >= ENOUGH:
            self.busy.set()


async def take_log(replica: Replica, epoch: int) -> tuple[OwnedLog, Replay]:
    """Fence a log, and read it."""
    fenced_at = await fence(replica, epoch, TIME)
    replay = Replay()
    while replay.last < fenced_at:
        try:
            async for stored in replica.read(replay.last + 1, fenced_at):
                replay.add(stored)
        except Unavailable:
            await TIME.sleep(0.2)
    return OwnedLog(replica, epoch, tail=replay.tail, last=replay.last, time=TIME, window=WINDOW), replay


async def hurt(cluster: NatsCluster, stream: str, chance: random.Random) -> NatsServer | None:
    """Kill or stop the server that leads the log."""
    leader = await asyncio.to_thread(cluster.leader_of, stream)
    if leader is not None:
        if chance.random() < 0.5:
            leader.kill()
        else:
            leader.stop()
    return leader


async def mend(cluster: NatsCluster, leader: NatsServer | None) -> None:
    """Start it again."""
    if leader is not None and leader.process is None:
        leader.start()
    elif leader is not None:
        leader.resume()
    await asyncio.to_thread(cluster.wait)


# nats-py forgets the sockets of servers that it leaves.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_nothing_is_accepted_behind_a_newer_fence(nats_server: str, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    cluster = NatsCluster(tmp_path)
    try:
        await asyncio.to_thread(cluster.start)
        settings = NatsSettings(cluster.urls, cluster=f"t{secrets.token_hex(3)}", monitor=cluster.monitors)
        connections = [await connect(settings) for _ in range(2)]
        writers = await storm(cluster, connections, chance)
        await check(connections[0], writers)
        for connection in connections:
            await connection.close()
    finally:
        cluster.close()


async def storm(cluster: NatsCluster, connections: list[NatsStorage], chance: random.Random) -> list[Writer]:
    """Let owners take the log over from each other, and hurt its leader in every second turn."""
    replicas = [await connection.create_log("v") for connection in connections]
    stream = replicas[0].stream
    writers: list[Writer] = []
    tasks: list[asyncio.Task[None]] = []
    for turn in range(TAKEOVERS):
        leader = await hurt(cluster, stream, chance) if turn % 2 else None
        log, _ = await take_log(replicas[turn % 2], turn + 1)
        writers.append(Writer(log))
        tasks.append(asyncio.ensure_future(writers[-1].run()))
        await writers[-1].busy.wait()
        if leader is not None:
            await mend(cluster, leader)
    log, _ = await take_log(replicas[0], TAKEOVERS + 1)
    await asyncio.gather(*tasks)
    return writers


async def check(connection: NatsStorage, writers: list[Writer]) -> None:
    """Everything accepted stands behind its own EPOCH, is in the log once, and counts for a reader."""
    replica: NatsReplica = await connection.open_log("v")
    log, _ = await take_log(replica, TAKEOVERS + 2)
    epochs: dict[int, int] = {}
    replay = Replay()
    found: dict[bytes, int] = {}
    async for stored in replica.read(1, log.last):
        record = decode(stored)
        if record.kind == EPOCH:
            epochs.setdefault(record.epoch, stored.sequence)
        block = replay.add(stored)
        if isinstance(block, ReplayedBlock):
            assert block.payload not in found
            found[block.payload] = stored.sequence
    for writer in writers:
        assert writer.accepted
        for sequence, payload in writer.accepted:
            assert found[payload] == sequence
            before = [epoch for epoch, at in epochs.items() if at < sequence]
            assert max(before) == writer.log.epoch
