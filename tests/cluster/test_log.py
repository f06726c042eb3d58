"""An owner appends to its log: lost and late answers, fences, stale records, and what readers make of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leveret.cluster import records
from leveret.cluster.log import Deposed, LogClosed, OwnedLog, fence
from leveret.cluster.ports import Accepted, StorageError, Stored
from leveret.cluster.records import BATCH, EPOCH, EPOCH_SUBJECT, MAX_PAYLOAD_BYTES, PART, decode, encode
from leveret.cluster.replay import Replay, ReplayedBlock, ReplayedDrop
from leveret.testing.replica import Fate, MemoryConnection, MemoryReplica, MemoryStorage, Process
from leveret.testing.virtual_loop import run_virtual


class Stage:
    """Storage with one log, and processes that use it. `fates`: what happens to the next requests of the first one."""

    def __init__(self) -> None:
        self.storage = MemoryStorage()
        self.fates: list[Fate] = []
        self.process = Process(fates=lambda: self.fates.pop(0) if self.fates else Fate())

    async def replica(self, process: Process | None = None) -> MemoryReplica:
        return await MemoryConnection(self.storage, process or self.process).create_log("v")

    async def owner(self, epoch: int = 1, window: int = 1) -> OwnedLog:
        """Take the log over with an epoch, from nobody."""
        replica = await self.replica()
        last = await fence(replica, epoch, self.process)
        return OwnedLog(replica, epoch, tail=last, last=last, time=self.process, window=window)

    def blocks(self) -> list[bytes]:
        """What a reader finds in the log."""
        replay = Replay()
        found = (replay.add(stored) for stored in self.storage.logs["v"].records)
        return [block.payload for block in found if isinstance(block, ReplayedBlock)]

    @property
    def stored(self) -> int:
        return len(self.storage.logs["v"].records)


def virtually(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def run() -> None:
        run_virtual(test())  # type: ignore[arg-type]

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@virtually
async def test_appends_are_accepted_one_after_another() -> None:
    stage = Stage()
    log = await stage.owner()
    futures = [log.append("file.1", b"%d" % number) for number in range(5)]
    assert await asyncio.gather(*futures) == [2, 3, 4, 5, 6]
    assert stage.blocks() == [b"0", b"1", b"2", b"3", b"4"]


@virtually
async def test_a_lost_answer_is_found_out() -> None:
    stage = Stage()
    log = await stage.owner()
    stage.fates = [Fate(reply_s=None)]
    assert await log.append("file.1", b"a") == 2
    assert await log.append("file.1", b"b") == 3
    assert stage.stored == 3


@virtually
async def test_a_lost_request_is_sent_again() -> None:
    stage = Stage()
    log = await stage.owner()
    stage.fates = [Fate(request_s=None)]
    assert await log.append("file.1", b"a") == 2
    assert log.obstacle == ""


@virtually
async def test_a_late_duplicate_is_refused() -> None:
    stage = Stage()
    log = await stage.owner()
    stage.fates = [Fate(again_s=30.0)]
    await log.append("file.1", b"a")
    await stage.process.sleep(40)
    await log.append("file.1", b"b")
    assert stage.blocks() == [b"a", b"b"]
    assert stage.stored == 3


@virtually
async def test_all_of_a_window_is_sent_again_after_a_loss() -> None:
    stage = Stage()
    log = await stage.owner(window=4)
    stage.fates = [Fate(), Fate(request_s=None), Fate(reply_s=None)]
    futures = [log.append("file.1", b"%d" % number) for number in range(8)]
    await asyncio.gather(*futures)
    assert stage.blocks() == [b"%d" % number for number in range(8)]


@virtually
async def test_an_obstacle_is_reported_while_there_is_no_leader() -> None:
    stage = Stage()
    log = await stage.owner()
    reported: list[str] = []
    log.on_obstacle = lambda: reported.append(log.obstacle)
    stage.storage.has_leader = False
    future = log.append("file.1", b"a")
    await stage.process.sleep(10)
    assert not future.done()
    stage.storage.has_leader = True
    await future
    assert reported == ["no answer from the storage", ""]


@virtually
async def test_a_full_storage_is_an_obstacle_until_there_is_room() -> None:
    stage = Stage()
    log = await stage.owner()
    stage.storage.limit = stage.storage.used + 10
    future = log.append("file.1", b"a" * 100)
    await stage.process.sleep(5)
    assert log.obstacle == "the storage is full"
    stage.storage.limit += 1000
    await future
    assert stage.blocks() == [b"a" * 100]


@virtually
async def test_a_newer_epoch_deposes_the_owner() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("file.1", b"a")
    await fence(await stage.replica(Process()), 2, stage.process)
    with pytest.raises(Deposed):
        await log.append("file.1", b"b")
    assert isinstance(log.closed, Deposed)
    with pytest.raises(Deposed):
        await log.append("file.1", b"c")
    assert stage.blocks() == [b"a"]


@virtually
async def test_an_older_epoch_is_stepped_over() -> None:
    """Somebody claimed the virtual host, was slow, and lost it before it could fence the log."""
    stage = Stage()
    log = await stage.owner(5)
    await log.append("file.1", b"a")
    await fence(await stage.replica(Process()), 4, stage.process)
    await log.append("file.1", b"b")
    assert stage.blocks() == [b"a", b"b"]
    assert stage.stored == 4


@virtually
async def test_what_is_accepted_behind_a_newer_epoch_is_not_reported_as_safe() -> None:
    """The second of two appends on their way expects a sequence. The EPOCH of another node can have it."""
    stage = Stage()
    log = await stage.owner(1, window=2)
    stage.fates = [Fate(request_s=None), Fate(request_s=0.1)]
    first, second = log.append("file.1", b"a"), log.append("file.1", b"b")
    assert await fence(await stage.replica(Process()), 2, stage.process) == 2
    for future in (first, second):
        with pytest.raises(Deposed):
            await future
    assert stage.stored == 3  # the second one was accepted by the storage
    assert stage.blocks() == []


@virtually
async def test_the_next_owner_steps_over_what_came_behind_its_epoch() -> None:
    stage = Stage()
    old = await stage.owner(1, window=2)
    stage.fates = [Fate(request_s=None), Fate(request_s=0.1)]
    futures = [old.append("file.1", b"a"), old.append("file.1", b"b")]
    other = Process()
    replica = await stage.replica(other)
    last = await fence(replica, 2, other)
    await other.sleep(1)
    new = OwnedLog(replica, 2, tail=last, last=last, time=other)
    await new.append("file.2", b"new")
    assert stage.blocks() == [b"new"]
    await asyncio.gather(*futures, return_exceptions=True)


@virtually
async def test_records_out_of_order_behind_a_stale_epoch_are_appended_again() -> None:
    stage = Stage()
    log = await stage.owner(5, window=3)
    stage.fates = [Fate(request_s=None), Fate(request_s=0.1), Fate(request_s=0.1)]
    futures = [log.append("file.1", b"%d" % number) for number in range(3)]
    await fence(await stage.replica(Process()), 4, stage.process)
    await asyncio.gather(*futures)
    assert stage.blocks() == [b"0", b"1", b"2"]
    assert stage.stored > 5


@virtually
async def test_what_was_out_of_order_stays_so_when_the_stale_record_before_it_is_dropped() -> None:
    """Two appends of the new owner are on their way when a late record of the old one comes between them."""
    stage = Stage()
    old = Process()
    replica = await stage.replica(old)
    await fence(replica, 1, old)
    log = await stage.owner(2, window=3)
    late = encode(BATCH, 1, 1, 1, b"late")
    assert await replica.append("old", late, 2) == Accepted(3)
    futures = [log.append("new", b"%d" % number) for number in range(4)]
    await asyncio.gather(*futures)
    assert stage.blocks() == [b"0", b"1", b"2", b"3"]
    await log.drop("old")
    assert stage.blocks() == [b"0", b"1", b"2", b"3"]


@virtually
async def test_a_large_block_travels_in_parts() -> None:
    stage = Stage()
    log = await stage.owner(window=4)
    large = bytes(range(256)) * (MAX_PAYLOAD_BYTES * 2 // 256 + 1)
    await log.append("file.1", b"before")
    await log.append("file.1", large)
    assert stage.blocks() == [b"before", large]
    assert stage.stored == 1 + 1 + 3


@virtually
async def test_parts_without_their_end_are_passed_over() -> None:
    stage = Stage()
    replica = await stage.replica()
    await fence(replica, 1, stage.process)
    await replica.append("file.1", encode(PART, 1, 1, 1, b"half"), 1)
    await fence(replica, 2, stage.process)
    await replica.append("file.1", encode(BATCH, 2, 1, 3, b"whole"), 3)
    assert stage.blocks() == [b"whole"]


@virtually
async def test_an_end_makes_the_next_takeover_clean() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("file.1", b"a")
    await log.end()
    with pytest.raises(LogClosed):
        log.append("file.1", b"b")
    await fence(log.replica, 2, stage.process)
    replay = Replay()
    for stored in stage.storage.logs["v"].records:
        replay.add(stored)
    assert (replay.clean, replay.epoch) == (True, 2)


@virtually
async def test_without_an_end_the_next_takeover_is_not_clean() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("file.1", b"a")
    await fence(log.replica, 2, stage.process)
    replay = Replay()
    for stored in stage.storage.logs["v"].records:
        replay.add(stored)
    assert not replay.clean


@virtually
async def test_a_closed_log_fails_what_waits() -> None:
    stage = Stage()
    log = await stage.owner()
    stage.storage.has_leader = False
    waiting = [log.append("file.1", b"a"), log.append("file.1", b"b")]
    await stage.process.sleep(5)
    log.close(LogClosed("the lease is over"))
    for future in waiting:
        with pytest.raises(LogClosed, match="the lease is over"):
            await future
    stage.storage.has_leader = True
    await stage.process.sleep(5)
    assert stage.blocks() == []


@virtually
async def test_a_fence_is_repeated_until_it_is_accepted() -> None:
    stage = Stage()
    replica = await stage.replica()
    stage.fates = [Fate(request_s=None), Fate(reply_s=None)]
    last = await fence(replica, 1, stage.process)
    assert last == 2  # the one before was accepted, too
    log = OwnedLog(replica, 1, tail=1, last=2, time=stage.process)
    await log.append("file.1", b"a")
    assert stage.blocks() == [b"a"]


@virtually
async def test_what_follows_a_dropped_record_counts() -> None:
    stage = Stage()
    log = await stage.owner(1)
    for subject in ("file.1", "file.1", "file.2", "file.1", "file.2"):
        await log.append(subject, subject.encode())
    await log.replica.drop("file.1")
    assert stage.blocks() == [b"file.2", b"file.2"]


def replayed(stage: Stage) -> tuple[dict[str, bytes], Replay]:
    """What a new owner makes of the log: subject -> its blocks."""
    replay = Replay()
    files: dict[str, bytes] = {}
    for stored in stage.storage.logs["v"].records:
        found = replay.add(stored)
        if isinstance(found, ReplayedDrop):
            files.pop(found.subject, None)
        elif found is not None:
            files[found.subject] = files.get(found.subject, b"") + found.payload
    return files, replay


@virtually
async def test_a_dropped_subject_is_dropped_for_every_later_owner_even_before_its_records_are() -> None:
    """A deposed owner may remove records from the storage long after that: nobody may rely on them any more."""
    stage = Stage()
    log = await stage.owner(1)
    await log.append("1-1", b"old")
    await log.append("1-2", b"copy")
    stage.fates = [Fate(), Fate(request_s=60.0)]  # the record arrives, the removal is late
    dropping = asyncio.ensure_future(log.drop("1-1"))
    await stage.process.sleep(1)
    files, replay = replayed(stage)
    assert files == {"1-2": b"copy"}
    assert list(replay.leftovers) == ["1-1"]
    await asyncio.gather(dropping, return_exceptions=True)
    await stage.process.sleep(60)
    files, replay = replayed(stage)
    assert (files, replay.leftovers) == ({"1-2": b"copy"}, {})


@virtually
async def test_a_deposed_owner_drops_nothing() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("1-1", b"old")
    await log.append("1-2", b"copy")
    await fence(await stage.replica(Process()), 2, stage.process)
    with pytest.raises(Deposed):
        await log.drop("1-1")
    assert replayed(stage)[0] == {"1-1": b"old", "1-2": b"copy"}


@virtually
async def test_leftovers_are_removed_without_another_record() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("1-1", b"old")
    await log.append(EPOCH_SUBJECT, b"")
    log = OwnedLog(log.replica, 1, tail=3, last=3, time=stage.process, leftovers=["1-1"])
    await log.drop("1-1")
    assert [stored.subject for stored in stage.storage.logs["v"].records] == [EPOCH_SUBJECT, EPOCH_SUBJECT]


@virtually
async def test_a_replay_goes_on_where_an_earlier_one_ended() -> None:
    stage = Stage()
    log = await stage.owner(1)
    await log.append("file.1", b"a")
    first = Replay()
    for stored in stage.storage.logs["v"].records:
        first.add(stored)
    await log.append("file.1", b"b")
    second = Replay(first.epoch, first.tail, first.last)
    later = [second.add(stored) for stored in stage.storage.logs["v"].records if stored.sequence > first.last]
    assert [block.payload for block in later if isinstance(block, ReplayedBlock)] == [b"b"]


@virtually
async def test_storage_that_accepts_elsewhere_is_not_trusted() -> None:
    stage = Stage()
    log = await stage.owner()

    class Liar(MemoryReplica):
        def append(self, subject: str, record: bytes, expected: int) -> Awaitable[Accepted]:
            async def answer() -> Accepted:
                return Accepted(expected + 2)

            return answer()

    log.replica = Liar(stage.storage, stage.process, "v")
    with pytest.raises(StorageError, match="was expected at 2"):
        await log.append("file.1", b"a")


# --- records


def test_a_record_is_decoded_as_it_was_encoded() -> None:
    record = decode(Stored(7, "file.1", encode(BATCH, 3, 9, 6, b"payload")))
    assert (record.kind, record.epoch, record.number, record.follows, record.payload) == (
        BATCH,
        3,
        9,
        6,
        b"payload",
    )


@pytest.mark.parametrize("octet", range(records.HEAD_BYTES + 3))
def test_a_changed_octet_is_noticed(octet: int) -> None:
    data = bytearray(encode(EPOCH, 3, 0, 0, b"abc"))
    data[octet] ^= 1
    with pytest.raises(StorageError, match=r"record 7 \(epoch\) of the replicated log"):
        decode(Stored(7, EPOCH_SUBJECT, bytes(data)))


def test_a_later_format_is_refused() -> None:
    data = bytearray(encode(EPOCH, 3, 0, 0))
    data[4] = 2
    with pytest.raises(StorageError, match="has format 2, but this version of Leveret reads formats up to 1"):
        decode(Stored(7, EPOCH_SUBJECT, bytes(data)))


def test_what_leveret_has_not_written_is_refused() -> None:
    with pytest.raises(StorageError, match="was not written by Leveret"):
        decode(Stored(7, "file.1", b"hello"))
