"""A node follows the log of the owner: what it keeps, and that a takeover finds the same as without it."""

from __future__ import annotations

import asyncio
import errno
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.cluster.cache import SAVE_INTERVAL_S, Cache, OwnCopy, Position
from leveret.cluster.follower import Followed, Follower
from leveret.cluster.log import Deposed, OwnedLog, fence
from leveret.cluster.member import Member
from leveret.cluster.owners import Takeover
from leveret.cluster.ports import StorageError, Stored
from leveret.cluster.records import DROP, EPOCH_SUBJECT, encode
from leveret.cluster.replay import KEPT_LEFTOVERS, Replay, ReplayedBlock, ReplayedDrop
from leveret.store.catalogue.sqlite import RecordKey
from leveret.store.directory_builder import DirectoryBuilder
from leveret.store.replicated import Change, ReplicatedFiles
from leveret.testing.replica import Fate, MemoryConnection, MemoryReplica, MemoryStorage, Process
from leveret.testing.virtual_loop import run_virtual

LEASE_S = 15.0


async def inline(step: Callable[[], None]) -> None:
    """Do what a thread does elsewhere."""
    step()


class Noted:
    """What an owner is to append and to drop, in order (`ReplicationLog`)."""

    def __init__(self) -> None:
        self.todo: list[Change | str] = []

    def can_wait(self) -> bool:
        return True

    def append(self, changes: Sequence[Change]) -> None:
        self.todo += changes

    def drop(self, subjects: Sequence[str]) -> None:
        self.todo += subjects


class Owner:
    """Files of `directory`, each change of which is appended to a log. `copy`: notes what the log has."""

    def __init__(
        self,
        log: OwnedLog,
        directory: Path,
        subjects: Mapping[Path, str] | None = None,
        copy: OwnCopy | None = None,
    ) -> None:
        self.log = log
        self.directory = directory
        self.noted = Noted()
        self.files = ReplicatedFiles(directory, self.noted, log.epoch, subjects or {})
        self.copy = copy
        self.files.retained = copy.staged if copy is not None else None

    def write(self, name: str, data: bytes, offset: int = 0) -> None:
        """Write a file, which is created if it is not there."""
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        file = self.files.open(path) if path in self.files.subjects else self.files.create(path)
        self.files.write(file, data, offset)
        self.files.close(file)

    def truncate(self, name: str, size: int) -> None:
        file = self.files.open(self.directory / name)
        self.files.truncate(file, size)
        self.files.close(file)

    def replace(self, name: str, data: bytes) -> None:
        """Write a file anew under another name, and rename it."""
        self.write(f"{name}.new", data)
        self.files.replace(self.directory / f"{name}.new", self.directory / name)

    async def append(self) -> None:
        """Append what was changed, and drop what was deleted."""
        self.files.flush()
        await self.append_some(len(self.noted.todo))

    async def append_some(self, count: int) -> None:
        """Append and drop the first of what was flushed."""
        todo, self.noted.todo = self.noted.todo[:count], self.noted.todo[count:]
        for one in todo:
            if isinstance(one, Change):
                await self.log.append(one.subject, one.data)
                if self.copy is not None:
                    self.copy.appended([one], Position.of(self.log))
            else:
                if self.copy is not None:
                    self.copy.dropped([one])
                await self.log.drop(one)

    def contents(self) -> dict[str, bytes]:
        return contents(self.directory)


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a directory."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found}


class Stage:
    """A log with an owner, and a node that follows it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.storage = MemoryStorage()
        self.process = Process()
        self.fates: list[Fate] = []
        self.standby = Process(fates=lambda: self.fates.pop(0) if self.fates else Fate())
        self.cache: Cache
        self.follower: Follower
        self.epoch = 0

    async def replica(self, process: Process) -> MemoryReplica:
        return await MemoryConnection(self.storage, process).create_log("v")

    async def owner(self) -> Owner:
        self.epoch += 1
        replica = await self.replica(self.process)
        last = await fence(replica, self.epoch, self.process)
        directory = self.base / f"owner{self.epoch}-{await replica.identity()}"
        directory.mkdir()
        return Owner(OwnedLog(replica, self.epoch, tail=last, last=last, time=self.process), directory)

    def follow(self) -> None:
        """Start the node that follows; one that runs is killed."""
        if hasattr(self, "follower"):
            assert self.follower._task is not None
            self.follower._task.cancel()
            self.cache.builder.close()
        self.cache = Cache(self.base / "standby", self.standby, inline)
        self.cache.path.parent.mkdir(exist_ok=True)
        connection = MemoryConnection(self.storage, self.standby)
        self.follower = Follower(lambda: connection.open_log("v"), self.cache, self.standby)
        self.follower.start()

    async def caught_up(self) -> Replay:
        """Wait until the node has followed the log to its end."""
        while self.follower.replay is None or self.follower.replay.last < self.storage.logs["v"].last:
            await self.standby.sleep(0.1)
        return self.follower.replay

    async def takeover(self) -> Takeover:
        """Fence the log, as a node that takes over."""
        self.epoch += 1
        self.fates.clear()
        connection = MemoryConnection(self.storage, self.process)
        nodes, owners = await connection.open_table("nodes"), await connection.open_table("owners")
        member = Member("standby", "standby", nodes, owners, self.standby, LEASE_S)
        replica = await self.replica(self.standby)
        fenced_at = await fence(replica, self.epoch, self.standby)
        return Takeover(member, "v", replica, self.epoch, fenced_at, 1)

    async def own(self) -> Owner:
        """Take over, and keep what the log has of that."""
        takeover = await self.takeover()
        await self.taken(takeover)
        assert takeover.log is not None
        copy = self.cache.own(await takeover.identity(), takeover.log)
        copy.save()
        return Owner(takeover.log, self.cache.directory, self.cache.builder.subjects, copy)

    def built(self, name: str) -> DirectoryBuilder:
        """The directory, as whoever reads the whole log makes it."""
        builder, replay = DirectoryBuilder(self.base / name), Replay()
        builder.directory.mkdir()
        for stored in self.storage.logs["v"].records:
            found = replay.add(stored)
            if isinstance(found, ReplayedBlock):
                builder.apply(Change(found.subject, found.payload))
            elif found is not None:
                builder.drop(found.subject)
        builder.finish()
        return builder

    async def taken(self, takeover: Takeover) -> tuple[dict[str, bytes], bool]:
        """Go on behind what was followed. Returns the directory, and whether something had been followed."""
        replay = await takeover.resumed(await self.follower.stop())
        if replay is None:
            self.cache.clear()
        async for found in takeover.blocks(replay):
            self.cache.apply(found)
        return contents(self.cache.finish().directory), replay is not None


def test_a_takeover_reads_only_what_is_newer(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        stage.follow()
        owner.write("messages/1.log", b"one")
        owner.write("messages/2.log", b"two")
        await owner.append()
        replay = await stage.caught_up()
        owner.write("messages/2.log", b"more", 3)
        await owner.append()
        takeover = await stage.takeover()
        followed = await stage.follower.stop()
        assert followed is not None and replay.last < takeover.fenced_at
        size = stage.cache.size
        assert await stage.taken(takeover) == (owner.contents(), True)
        assert 0 < stage.cache.size - size < 40
        assert takeover.log is not None and not takeover.clean

    run_virtual(run())


def test_a_follower_that_has_read_the_fence_already_goes_on_there(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"one")
        await owner.append()
        await owner.log.end()
        stage.follow()
        takeover = await stage.takeover()
        await stage.caught_up()
        assert await stage.taken(takeover) == (owner.contents(), True)
        assert takeover.clean
        assert takeover.log is not None
        assert await takeover.log.append("next", b"x") == takeover.fenced_at + 1

    run_virtual(run())


def test_a_follower_that_has_read_a_newer_fence_says_that_another_node_was_quicker(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        await stage.owner()
        stage.follow()
        takeover = await stage.takeover()
        await stage.owner()
        await stage.caught_up()
        with pytest.raises(Deposed):
            await stage.taken(takeover)

    run_virtual(run())


def test_a_log_that_is_made_again_is_read_from_its_beginning(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"of the first log")
        await owner.append()
        stage.follow()
        await stage.caught_up()
        del stage.storage.logs["v"]
        await stage.standby.sleep(10)
        owner = await stage.owner()
        for _ in range(10):  # the new log is longer
            owner.write("b", b"of the second log")
            await owner.append()
        while stage.follower.identity != stage.storage.logs["v"].identity:
            await stage.standby.sleep(1)
        await stage.caught_up()
        takeover = await stage.takeover()
        assert await stage.taken(takeover) == (owner.contents(), True)

    run_virtual(run())


def test_a_log_that_is_made_again_just_before_a_takeover_is_noticed(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"of the first log")
        await owner.append()
        stage.follow()
        await stage.caught_up()
        await stage.follower.stop()
        del stage.storage.logs["v"]
        stage.epoch = 0
        owner = await stage.owner()
        owner.write("b", b"of the second log")
        await owner.append()
        owner.write("c", b"of the second log")
        await owner.append()
        takeover = await stage.takeover()
        assert await stage.taken(takeover) == (owner.contents(), False)

    run_virtual(run())


def test_a_log_that_has_lost_its_end_is_read_from_its_beginning(tmp_path: Path) -> None:
    """As one that was restored from a backup."""

    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"kept")
        await owner.append()
        backup = list(stage.storage.logs["v"].records)
        owner.write("a", b"lost", 4)
        await owner.append()
        stage.follow()
        replay = await stage.caught_up()
        followed = Followed(stage.follower.identity, replay)
        stage.storage.logs["v"].records[:] = backup
        stage.storage.logs["v"].last = len(backup)
        takeover = await stage.takeover()
        assert replay.last == takeover.fenced_at
        assert await takeover.resumed(followed) is None
        assert await stage.taken(takeover) == ({"a": b"kept"}, False)

    run_virtual(run())


def test_a_node_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        stage.follow()
        owner.write("a", b"one")
        owner.write("b", b"two")
        await owner.append()
        await stage.caught_up()
        await stage.standby.sleep(SAVE_INTERVAL_S)
        owner.replace("b", b"three")
        await owner.append()
        replay = await stage.caught_up()
        last = replay.last
        owner.write("a", b"more", 3)
        await owner.append()
        stage.follow()
        await stage.caught_up()
        assert stage.follower.replay is not None
        assert await stage.taken(await stage.takeover()) == (owner.contents(), True)
        assert last > 0
        assert not stage.cache.path.exists()  # what the owner has is not kept

    run_virtual(run())


@pytest.mark.parametrize("saved", [True, False])
def test_a_former_owner_goes_on_with_what_the_log_has_of_its_directory(tmp_path: Path, saved: bool) -> None:
    """`saved`: what it has appended was noted. Else it is read again, and nothing else."""

    async def run() -> None:
        stage = Stage(tmp_path)
        first = await stage.owner()
        first.write("a", b"one")
        first.write("b", b"two")
        first.write("c", bytes(5000))
        _step(stage, first, "transaction", [1])
        await first.append()
        stage.follow()
        owner = await stage.own()
        owner.write("a", b"more", 3)
        owner.replace("b", b"three")
        owner.write("d", b"four")
        _step(stage, owner, "transaction", [2])
        await owner.append()
        if saved:
            assert owner.copy is not None
            owner.copy.save()
        owner.write("a", b"never appended", 7)
        owner.files.remove(owner.directory / "c")
        owner.replace("d", b"never appended, too")
        stage.follow()
        await stage.caught_up()
        assert stage.cache.size < (10 if saved else 300)
        found, followed = await stage.taken(await stage.takeover())
        assert followed
        assert found.pop("metadata.sqlite") and found.pop("epoch")
        assert found == {"a": b"onemore", "b": b"three", "c": bytes(5000), "d": b"four"}
        assert stage.cache.builder._records == stage.built("fresh")._records

    run_virtual(run())


def test_what_an_owner_has_deleted_is_kept_only_as_long_as_it_is_needed(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        stage.follow()
        owner = await stage.own()
        assert owner.copy is not None
        for name in ("a", "b", "folder/c"):
            owner.write(name, b"content")
        await owner.append()
        owner.copy.save()
        owner.files.remove(owner.directory / "a")
        owner.files.remove_tree(owner.directory / "folder")
        assert len(list(owner.copy.staged.iterdir())) == 2
        await owner.append()
        owner.write("d", b"more")
        await owner.append()
        owner.copy.save()
        assert not list(owner.copy.staged.iterdir())

    run_virtual(run())


def test_a_copy_that_cannot_be_kept_does_not_disturb_the_owner(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        stage.follow()
        owner = await stage.own()
        assert owner.copy is not None
        owner.copy.appended([Change("1-7", b"\x02" + bytes(12))], Position.of(owner.log))
        assert not stage.cache.path.exists()
        owner.write("a", b"content")
        await owner.append()
        owner.copy.save()
        assert not stage.cache.path.exists()

    run_virtual(run())


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no state", "other state"])
def test_what_is_kept_and_damaged_is_not_used(tmp_path: Path, damage: str) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"content")
        await owner.append()
        stage.follow()
        replay = await stage.caught_up()
        stage.cache.save(replay)
        await stage.follower.stop()
        stage.cache.builder.close()
        (staged,) = stage.cache.staged.iterdir()
        if damage == "cut":
            staged.write_bytes(b"cont")
        elif damage == "changed":
            staged.write_bytes(b"contant")
        elif damage == "missing":
            staged.unlink()
        elif damage == "no state":
            stage.cache.path.unlink()
        else:
            stage.cache.path.write_bytes(b'{"format": 2}')
        stage.follow()
        assert (await stage.caught_up()).last == 2
        assert await stage.taken(await stage.takeover()) == (owner.contents(), True)

    run_virtual(run())


def test_a_damaged_record_is_not_taken(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("a", b"one")
        await owner.append()
        stage.follow()
        await stage.caught_up()
        log = stage.storage.logs["v"]
        log.store("1-9", b"LVRT" + bytes(60))
        await stage.standby.sleep(100)
        assert stage.follower.replay is None or stage.follower.replay.last <= 2
        with pytest.raises(StorageError, match="does not match its checksum"):
            await stage.taken(await stage.takeover())

    run_virtual(run())


def test_what_cannot_be_written_any_more_makes_room_until_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        owner.write("one", b"1")
        await owner.append()
        stage.follow()
        await stage.caught_up()
        assert contents(stage.cache.staged)
        full = True

        def apply(cache: Cache, found: ReplayedDrop | ReplayedBlock) -> None:
            if full:
                raise OSError(errno.ENOSPC, "no space left on device")
            before(cache, found)

        before = Cache.apply
        monkeypatch.setattr(Cache, "apply", apply)
        owner.write("two", b"2")
        await owner.append()
        while contents(stage.cache.staged):
            await stage.process.sleep(0.1)
        full = False
        await stage.caught_up()
        takeover = await stage.takeover()
        assert (await stage.taken(takeover))[0] == owner.contents()

    run_virtual(run())


def test_a_log_that_is_idle_is_seldom_asked_for_what_is_newer(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        owner = await stage.owner()
        stage.follow()
        await stage.caught_up()
        await stage.standby.sleep(10)
        asked = 0

        def fate() -> Fate:
            nonlocal asked
            asked += 1
            return Fate()

        stage.standby.fates = fate
        await stage.standby.sleep(20)
        assert asked < 20
        owner.write("a", b"one")
        await owner.append()
        await stage.caught_up()
        asked = 0
        await stage.standby.sleep(0.4)
        assert asked >= 3

    run_virtual(run())


def test_a_log_that_was_deleted_is_waited_for_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        await stage.owner()
        stage.follow()
        await stage.caught_up()
        del stage.storage.logs["v"]
        await stage.standby.sleep(10)

    run_virtual(run())
    assert not caplog.records


def test_a_follower_waits_for_a_log_that_is_not_there(tmp_path: Path) -> None:
    async def run() -> None:
        stage = Stage(tmp_path)
        stage.follow()
        await stage.standby.sleep(20)
        owner = await stage.owner()
        owner.write("a", b"one")
        await owner.append()
        await stage.caught_up()
        assert await stage.taken(await stage.takeover()) == (owner.contents(), True)

    run_virtual(run())


def test_of_dropped_subjects_the_last_ones_are_remembered() -> None:
    replay = Replay(epoch=1, tail=1, last=1)
    for number in range(100):
        at = 2 + 2 * number
        replay.add(Stored(at, f"1-{number}", encode(3, 1, at, 0, b"x")))
        replay.add(Stored(at + 1, EPOCH_SUBJECT, encode(DROP, 1, at + 1, 0, b"1-%d" % number)))
    assert list(replay.leftovers) == [f"1-{number}" for number in range(100 - KEPT_LEFTOVERS, 100)]


# --- anything, at any time

NAMES = st.sampled_from(["a", "b", "folder/c", "folder/d"])
DATA = st.binary(max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, DATA, st.integers(0, 60)),
        st.tuples(st.just("append to"), NAMES, DATA),
        st.tuples(st.just("truncate"), NAMES, st.integers(0, 60)),
        st.tuples(st.just("replace"), NAMES, DATA),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("transaction"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.06, 3.0])),
        st.tuples(st.just("start again")),
        st.tuples(st.just("half written"), st.integers(0, 5), st.binary(max_size=9)),
        st.tuples(st.just("lost"), st.integers(1, 3)),
        st.tuples(st.just("late"), st.integers(1, 3)),
        st.tuples(st.just("doubled"), st.integers(1, 3)),
        st.tuples(st.just("new owner")),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_a_takeover_finds_what_the_owner_had(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        run_virtual(_follow_through(Path(base), steps))


async def _follow_through(base: Path, steps: list[tuple[object, ...]]) -> None:
    stage = Stage(base)
    owner = await stage.owner()
    stage.follow()
    for kind, *values in steps:
        if kind == "new owner":
            before, owner = owner, await stage.owner()
            for path, subject in before.files.subjects.items():
                name = path.relative_to(before.directory)
                (owner.directory / name).parent.mkdir(exist_ok=True)
                (owner.directory / name).write_bytes(path.read_bytes())
                owner.files.subjects[owner.directory / name] = subject
        else:
            _step(stage, owner, kind, values)
            await owner.append()
            if kind == "wait":
                await stage.standby.sleep(values[0])  # type: ignore[arg-type]
            await asyncio.sleep(0.01)
    takeover = await stage.takeover()
    found, _ = await stage.taken(takeover)
    for name in ("metadata.sqlite", "epoch"):  # of the catalogue, which the owner does not have here
        found.pop(name, None)
    assert found == owner.contents()
    assert stage.cache.builder._records == _transactions(stage)


def _transactions(stage: Stage) -> dict[RecordKey, str | None]:
    """The catalogue, as whoever reads the whole log finds it."""
    return stage.built("fresh")._records


CHANGES = st.one_of(
    st.tuples(st.just("write"), NAMES, DATA, st.integers(0, 60)),
    st.tuples(st.just("append to"), NAMES, DATA),
    st.tuples(st.just("truncate"), NAMES, st.integers(0, 60)),
    st.tuples(st.just("replace"), NAMES, DATA),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("transaction"), st.integers(1, 3)),
)
OWN_STEPS = st.lists(
    st.one_of(
        CHANGES,
        st.tuples(st.just("flush")),
        st.tuples(st.just("append"), st.integers(0, 4)),
        st.tuples(st.just("append all")),
        st.tuples(st.just("save")),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CHANGES, max_size=6), OWN_STEPS, st.lists(CHANGES, max_size=6), st.booleans())
def test_whatever_happens_a_former_owner_finds_what_the_log_has(
    before: list[tuple[object, ...]],
    steps: list[tuple[object, ...]],
    after: list[tuple[object, ...]],
    again: bool,
) -> None:
    with tempfile.TemporaryDirectory() as base:
        run_virtual(_own_through(Path(base), before, steps, after, again))


async def _own_through(
    base: Path,
    before: list[tuple[object, ...]],
    steps: list[tuple[object, ...]],
    after: list[tuple[object, ...]],
    again: bool,
) -> None:
    """A node owns a virtual host, and is killed. `again`: another one does, before it follows the log."""
    stage = Stage(base)
    await _change(stage, await stage.owner(), before)
    stage.follow()
    owner = await stage.own()
    for kind, *values in steps:
        if kind == "flush":
            owner.files.flush()
        elif kind == "append":
            await owner.append_some(values[0])  # type: ignore[arg-type]
        elif kind == "append all":
            await owner.append()
        elif kind == "save":
            assert owner.copy is not None
            owner.copy.save()
        else:
            _step(stage, owner, kind, values)
    if again:
        next_one = await stage.owner()
        built = stage.built("next")
        await _change(stage, Owner(next_one.log, built.directory, built.subjects), after)
    stage.follow()
    await stage.caught_up()
    found, _ = await stage.taken(await stage.takeover())
    fresh = stage.built("fresh")
    expected = contents(fresh.directory)
    for catalogue in ("metadata.sqlite", "epoch"):
        found.pop(catalogue, None)
        expected.pop(catalogue, None)
    assert found == expected
    assert stage.cache.builder._records == fresh._records


async def _change(stage: Stage, owner: Owner, steps: list[tuple[object, ...]]) -> None:
    for kind, *values in steps:
        _step(stage, owner, kind, values)
        await owner.append()


def _step(stage: Stage, owner: Owner, kind: object, values: list[object]) -> None:
    match kind, values:
        case "write", [str(name), bytes(data), int(offset)]:
            owner.write(name, data, offset)
        case "append to", [str(name), bytes(data)]:
            path = owner.directory / name
            owner.write(name, data, path.stat().st_size if path.exists() else 0)
        case "truncate", [str(name), int(size)] if owner.directory / name in owner.files.subjects:
            owner.truncate(name, size)
        case "replace", [str(name), bytes(data)]:
            owner.replace(name, data)
        case "remove", [str(name)]:
            owner.files.remove(owner.directory / name)
        case "transaction", [int(number)]:
            document = b'{"records": [["queue", "%d", "{}"]], "settings": {}}' % number
            owner.files.note_transaction(f"{owner.log.epoch}-9999", document)
        case "start again", []:
            stage.follow()
        case "half written", [int(which), bytes(data)] if stage.cache.staged.is_dir():
            staged = sorted(stage.cache.staged.iterdir())
            if which < len(staged):  # by a node that is killed before it notes that
                with staged[which].open("ab") as file:
                    file.write(data)
                stage.follow()
        case (("lost" | "late" | "doubled"), [int(count)]):
            fate = {"lost": Fate(reply_s=None), "late": Fate(reply_s=1.5), "doubled": Fate(again_s=1.0)}
            stage.fates += [fate[str(kind)]] * count
        case _:
            pass
