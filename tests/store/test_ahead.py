"""Segments that were read while they grew: a recovery finds the same with them as without."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from leveret.queues.message import Entry
from leveret.store.disk import DiskStore
from leveret.store.messages import ahead as ahead_module
from leveret.store.messages import compaction
from leveret.store.messages.ahead import LogAhead, SegmentAhead
from leveret.store.messages.positions import Positions
from tests.stores.harness import DiskHarness, message

QUEUES = {
    "classic": {},
    "levels": {"max_priority": 4},
    "quorum": {"queue_type": "quorum"},
}

#: What the second walk of a recovery says of a queue: its entries, and its live positions by segment.
Found = tuple[list[tuple[object, ...]], dict[int, int], int]


class Recovered(DiskHarness):
    """A broker on a directory. `ahead`: what was read of it before; `interrupted`: any message may have been
    delivered."""

    def __init__(
        self, directory: Path, ahead: dict[Path, SegmentAhead], segment: int, interrupted: bool
    ) -> None:
        self.ahead = ahead
        self.interrupted = interrupted
        super().__init__(directory, segment=segment)

    def make_store(self) -> DiskStore:
        store = super().make_store()
        store.interrupted = self.interrupted
        store.ahead = self.ahead
        return store

    def found(self) -> dict[str, Found]:
        """What there is of each queue, in order."""
        return {name: self._found(name) for name in self.vhost.queues}

    def _found(self, name: str) -> Found:
        queue = self.queue(name)
        entries: list[Entry] = []
        while (entry := queue.backlog.pop()) is not None:
            entries.append(entry)
        journal = queue.queue_journal
        return [_shown(one) for one in entries], dict(journal.counts), journal.live.count  # type: ignore[union-attr]

    def segments(self) -> dict[int, tuple[object, ...]]:
        table = self.store.segments.table
        return {
            number: (one.length, one.live, one.total, one.needs, one.marks) for number, one in table.items()
        }


def _shown(entry: Entry) -> tuple[object, ...]:
    message = entry.message
    counts = entry.acquired, entry.failed
    return (
        entry.position,
        entry.stored,
        entry.redelivered,
        entry.expires_at,
        counts,
        message.body,
        message.priority,
    )


class Stage(DiskHarness):
    """A broker whose segments are read while it runs."""

    def __init__(self, directory: Path, segment: int, limit: int = 1 << 30) -> None:
        self.log_ahead = LogAhead(limit)
        super().__init__(directory, segment=segment)

    def read_ahead(self) -> None:
        """Read what was written since."""
        names = set()
        for path in self.logs():
            names.add(path.name)
            while self.log_ahead.read(path.name, path, path.stat().st_size):
                pass
        for gone in self.log_ahead.segments.keys() - names:
            self.log_ahead.drop(gone)

    def compare(self, *, interrupted: bool = True) -> LogAhead:
        """Recover a copy of the directory with and without what was read."""
        self.kill()
        recovered = []
        for name, used in (("with", True), ("without", False)):
            directory = self.directory.parent / name
            shutil.copytree(self.directory, directory)
            subjects = {directory / "messages" / path.name: path.name for path in self.logs()}
            known = dict(self.log_ahead.by_path(subjects)) if used else {}
            one = Recovered(directory, known, self.segment, interrupted)
            store = one.store
            recovered.append(
                (store.compactor.duplicates, one.segments(), store.segments.sequence, one.found())
            )
            one.kill()
        assert recovered[0] == recovered[1]
        return self.log_ahead


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    made = Stage(tmp_path / "data", segment=4000)
    for name, arguments in QUEUES.items():
        made.declare(name, **arguments)  # type: ignore[arg-type]
    made.commit()
    return made


def push(stage: Stage, name: str, count: int, **options: int) -> None:
    stage.push(name, *(message(b"%d" % number, **options) for number in range(count)))  # type: ignore[arg-type]
    stage.commit()


@pytest.mark.parametrize("interrupted", [True, False])
@pytest.mark.parametrize("name", QUEUES)
def test_messages_that_wait_are_taken_over(
    stage: Stage, name: str, interrupted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []
    restore = SegmentAhead.restore

    def noted(self: SegmentAhead, log_scan: object) -> bool:
        used.append(restore(self, log_scan))  # type: ignore[arg-type]
        return used[-1]

    monkeypatch.setattr(SegmentAhead, "restore", noted)
    for _ in range(10):
        push(stage, name, 30)
        stage.read_ahead()
    push(stage, name, 3)  # read by the recovery
    stage.compare(interrupted=interrupted)
    assert len(used) > 2 and all(used)


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_is_settled_meanwhile_is_left_out(stage: Stage, interrupted: bool) -> None:
    for _ in range(5):
        push(stage, "classic", 50)
        stage.read_ahead()
    taken = stage.take("classic", 120)
    stage.ack(*taken[:60], *taken[80:])
    stage.commit()
    stage.compare(interrupted=interrupted)


def test_only_what_was_delivered_is_marked_after_an_owner_that_has_left_in_peace(stage: Stage) -> None:
    for _ in range(5):
        push(stage, "classic", 50)
        stage.read_ahead()
    stage.requeue(*stage.take("classic", 70))
    stage.commit()
    stage.read_ahead()
    stage.kill()
    known = dict(stage.log_ahead.by_path({path: path.name for path in stage.logs()}))
    assert known
    one = Recovered(stage.directory, known, stage.segment, interrupted=False)
    entries, _, _ = one.found()["classic"]
    assert [entry[2] for entry in entries] == [True] * 70 + [False] * 180
    one.kill()


def test_messages_beyond_the_limit_are_read_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "data", segment=4000, limit=9000)
    stage.declare("classic")
    stage.commit()
    for _ in range(10):
        push(stage, "classic", 50)
        stage.read_ahead()
    log_ahead = stage.compare()
    assert log_ahead.size <= 9000
    assert not all(one.keeps for one in log_ahead.segments.values())


def test_settled_messages_make_room(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "data", segment=1 << 20, limit=300_000)
    stage.declare("classic")
    stage.commit()
    for _ in range(12):
        push(stage, "classic", 1500)
        stage.read_ahead()
        stage.ack(*stage.take("classic", 1500))
        stage.commit()
        stage.read_ahead()
    assert all(one.keeps for one in stage.compare().segments.values())


def test_a_segment_that_has_changed_is_not_used(stage: Stage) -> None:
    push(stage, "classic", 5)
    stage.read_ahead()
    (path,) = stage.logs()
    stage.log_ahead.spoil(path.name)
    push(stage, "classic", 5)
    stage.read_ahead()
    assert not dict(stage.log_ahead.by_path({path: path.name}))
    stage.compare()


def test_a_block_that_is_larger_than_what_is_read_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead_module, "CHUNK_BYTES", 100)
    stage.push("classic", message(b"x" * 3000), message(b"y"))
    stage.commit()
    stage.read_ahead()
    (path,) = stage.logs()
    assert stage.log_ahead.segments[path.name].end == path.stat().st_size
    stage.compare()


POSITIONS = st.sets(st.integers(1, 3 * 4096), max_size=40)


@given(POSITIONS, POSITIONS, st.integers(1, 9000), st.integers(0, 9000))
def test_sets_of_positions_are_combined(one: set[int], other: set[int], first: int, more: int) -> None:
    def made(numbers: set[int]) -> Positions:
        positions = Positions()
        for number in numbers:
            positions.add(number)
        return positions

    def same(positions: Positions, numbers: set[int]) -> bool:
        return positions.count == len(numbers) and all(map(positions.has, numbers))

    assert same(made(one).common(made(other)), one & other)
    united, rest = made(one), made(one)
    united.add_all(made(other))
    rest.remove_all(made(other))
    assert same(united, one | other) and same(rest, one - other)
    assert not any(map(rest.has, one & other))
    assert made(one).among(first, first + more) == len(one & set(range(first, first + more + 1)))


STEP = st.one_of(
    st.tuples(st.just("push"), st.sampled_from(sorted(QUEUES)), st.integers(1, 40), st.integers(-1, 5)),
    st.tuples(st.just("ack"), st.sampled_from(sorted(QUEUES)), st.integers(1, 60), st.booleans()),
    st.tuples(st.just("requeue"), st.sampled_from(sorted(QUEUES)), st.integers(1, 5)),
    st.tuples(st.just("read")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("delete"), st.sampled_from(sorted(QUEUES))),
    st.tuples(st.just("restart")),
)


@settings(
    max_examples=60,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
)
@given(st.lists(STEP, max_size=40), st.sampled_from([1 << 30, 4000]), st.booleans())
def test_a_recovery_finds_the_same_with_it_as_without(
    steps: list[tuple[object, ...]], limit: int, interrupted: bool
) -> None:
    with tempfile.TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "COMPACTION_SPARE_SEGMENTS", 0)
        stage = Stage(Path(base, "data"), segment=3000, limit=limit)
        do: dict[str, Callable[..., None]] = {
            "push": lambda name, count, priority: stage.push(
                name, *(message(b"%d" % number, priority=priority) for number in range(count))
            ),
            "ack": lambda name, count, every: stage.ack(*stage.take(name, count)[:: 1 if every else 3]),
            "requeue": lambda name, count: (
                stage.requeue(*taken) if (taken := stage.take(name, count)) else None
            ),
            "read": stage.read_ahead,
            "commit": stage.commit,
            "delete": lambda name: stage.vhost.delete_queue(stage.queue(name)),
            "restart": stage.restart,
        }
        for kind, *values in steps:
            for name, arguments in QUEUES.items():
                if name not in stage.vhost.queues:
                    stage.declare(name, **arguments)  # type: ignore[arg-type]
            do[str(kind)](*values)
        stage.flush()
        stage.compare(interrupted=interrupted)
