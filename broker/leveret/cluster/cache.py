"""What a node keeps of the log of the broker: while another node owns it (`Sink`), the files of the directory, staged;
while it is the owner, the directory itself (`OwnCopy`).

`cache.json` says what there is, and how far in the log that is. It is written now and then. What it says is compared
with the files when the node starts again: the first octets of each must be those of which the log is known to have
them. So it does not matter that the files of an owner also have changes that may never be in the log. An owner's files
that are deleted or get other names stay under the names of their subjects until `cache.json` does not need them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

import msgspec

from leveret.cluster.follower import Found
from leveret.cluster.log import OwnedLog
from leveret.cluster.ports import Time
from leveret.cluster.replay import Replay, ReplayedBlock, ReplayedDrop
from leveret.store.directory_builder import DirectoryBuilder, Mismatch, StagedFile
from leveret.store.errors import StoreError
from leveret.store.messages.ahead import LogAhead
from leveret.store.replicated import Change

log = logging.getLogger("leveret")

#: Version of `cache.json`.
FORMAT = 1

#: Seconds between two times that it is written.
SAVE_INTERVAL_S = 2.0

#: Runs a function that may wait for the disk.
Run: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]


class CacheState(msgspec.Struct, kw_only=True):
    """What `cache.json` says. `identity`: of the log; the others: see `Replay`; `files`: what there is; `dropping`:
    other subjects of which there may be records."""

    format: int
    identity: str
    epoch: int
    tail: int
    last: int
    checksum: int
    ended: bool
    leftovers: list[str]
    files: list[StagedFile]
    dropping: list[str] = []

    def write(self, path: Path) -> None:
        """Raises OSError."""
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(self))
        new.replace(path)


class Cache:
    """What is kept in `base`. `builder`: makes the directory. `size`: octets of the log that were taken. `ahead`: what
    was read of the message log, with messages of up to `kept_bytes`."""

    def __init__(self, base: Path, time: Time, run: Run = asyncio.to_thread, kept_bytes: int = 0) -> None:
        self.path = base / "cache.json"
        self.staged = base / "cluster-staged"
        self.directory = base / "cluster"
        self.time = time
        self.run = run
        self.size = 0
        self.builder = DirectoryBuilder(self.directory, self.staged)
        self.kept_bytes = kept_bytes
        self.ahead = LogAhead(kept_bytes)
        self._unread = False
        self._identity = ""
        self._saved_at = float("-inf")
        self._kept: Replay | None = None

    async def begin(self, identity: str) -> Replay | None:
        """See `Sink.begin`."""
        self._identity, self._kept = identity, None
        await self.run(self._load)
        self._unread = True
        return self._kept

    async def rest(self) -> None:
        """See `Sink.rest`."""
        if self._unread:
            await self.run(self._read_ahead)

    async def reset(self, identity: str) -> None:
        """See `Sink.reset`."""
        self._identity = identity
        await self.run(self.clear)

    async def take(self, found: Found, replay: Replay) -> None:
        """See `Sink.take`."""

        def apply() -> None:
            try:
                for one in found:
                    self.apply(one)
            except StoreError:
                self.path.unlink(missing_ok=True)  # everything is read again
                raise
            if self.time.now() - self._saved_at > SAVE_INTERVAL_S:
                self.save(replay)
            self._read_ahead()

        await self.run(apply)

    def _read_ahead(self) -> None:
        """Read some of the segments of the message log."""
        builder, self._unread = self.builder, False
        for subject in builder.rewritten:
            self.ahead.spoil(subject)
        builder.rewritten.clear()
        for path, subject in builder.subjects.items():
            if path.suffix == ".log" and path.parent.name == "messages":
                self._unread = self.ahead.read(subject, *builder.staged_file(subject)) or self._unread
                if self._unread:
                    return  # one part at a time: a takeover waits for it

    def apply(self, found: ReplayedDrop | ReplayedBlock) -> None:
        """Apply what counts of the log. Raises `StoreError`, OSError."""
        if isinstance(found, ReplayedDrop):
            self.builder.drop(found.subject)
            self.ahead.drop(found.subject)
        else:
            self.builder.apply(Change(found.subject, found.payload))
            self.size += len(found.payload)

    def forget_ahead(self) -> None:
        """Forget what was read of the message log: it is used once."""
        self.ahead = LogAhead(0)

    def clear(self) -> None:
        """Forget everything."""
        self.builder.close()
        self.path.unlink(missing_ok=True)
        for directory in (self.staged, self.directory):
            shutil.rmtree(directory, ignore_errors=True)
        self.builder = DirectoryBuilder(self.directory, self.staged)
        self.ahead = LogAhead(self.kept_bytes)

    def save(self, replay: Replay) -> None:
        """Write what is staged. Does nothing in the middle of a block. Raises OSError."""
        if not replay.is_between_blocks:
            return
        self._saved_at = self.time.now()
        CacheState(
            format=FORMAT,
            identity=self._identity,
            epoch=replay.epoch,
            tail=replay.tail,
            last=replay.last,
            checksum=replay.checksum,
            ended=replay.ended,
            leftovers=list(replay.leftovers),
            files=self.builder.contents(),
        ).write(self.path)

    def _load(self) -> None:
        try:
            state = msgspec.json.decode(self.path.read_bytes(), type=CacheState)
        except (OSError, msgspec.MsgspecError):
            return
        if state.format != FORMAT or state.identity != self._identity:
            return
        try:
            self.builder.load(state.files)
        except (Mismatch, StoreError, OSError) as error:
            log.warning("cluster: what is kept of the log cannot be used: %s", error)
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        subjects = [*(file.subject for file in state.files), *state.dropping]
        replay = Replay(state.epoch, state.tail, state.last, subjects)
        replay.checksum, replay.ended = state.checksum, state.ended
        replay.leftovers = dict.fromkeys(state.leftovers)
        self._kept = replay
        log.info("cluster: what is kept of the log is used, up to record %d", replay.last)

    def finish(self) -> DirectoryBuilder:
        """Make the directory, which changes from now on. Raises `StoreError`, OSError."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True)
        for subject in self.builder.rewritten:
            self.ahead.spoil(subject)
        self.builder.finish(keep=True)
        return self.builder

    def own(self, identity: str, owned: OwnedLog) -> OwnCopy:
        """Return what keeps the directory that was made, as far as the log with this identity has it."""
        return OwnCopy(self.path, self.builder, identity, owned.epoch, Position.of(owned, owned.leftovers))


class Position(NamedTuple):
    """How far a log is, as its owner knows (`Replay`). `dropping`: subjects that are about to be dropped."""

    tail: int
    last: int
    checksum: int
    leftovers: tuple[str, ...]
    dropping: tuple[str, ...]

    @classmethod
    def of(cls, owned: OwnedLog, dropping: Iterable[str] = ()) -> Self:
        """Return how far it is now. `dropping`: subjects that are dropped, from the log or from the storage."""
        dropping = tuple(dropping)
        leftovers = tuple(filter(owned.is_dropped, dropping))
        return cls(owned.tail, owned.last, owned.checksum, leftovers, dropping)


class OwnCopy:
    """What the directory of the owner, made by `builder`, has of the log. `path`: of `cache.json`; `identity`: of the
    log; `epoch`: of this owner; `position`: how far the log is. In any thread.

    Whatever goes wrong ends only this: then the node reads the whole log when it starts again.
    """

    def __init__(
        self, path: Path, builder: DirectoryBuilder, identity: str, epoch: int, position: Position
    ) -> None:
        self.path = path
        self.builder = builder
        self.staged = builder.staged
        self.identity = identity
        self.epoch = epoch
        self.position = position
        self._saved: Position | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._saving = threading.Lock()
        self.staged.mkdir(parents=True, exist_ok=True)

    def appended(self, changes: Sequence[Change], position: Position) -> None:
        """The log has these changes, and is so far."""
        with self._lock:
            if self._ended:
                return
            try:
                for change in changes:
                    self.builder.apply(change)
            except (StoreError, OSError) as error:
                self._end(error)
            self.position = position

    def dropped(self, subjects: Iterable[str]) -> None:
        """These subjects are not needed any more."""
        with self._lock:
            for subject in subjects:
                self.builder.drop(subject)

    def save(self) -> None:
        """Write how far the directory is kept, unless that is written; delete what was kept for what was written
        before."""
        with self._saving:
            try:
                self._save()
            except OSError as error:
                self._end(error)

    def _save(self) -> None:
        retained = [file.name for file in self.staged.iterdir()]
        with self._lock:
            position = self.position
            if self._ended or position == self._saved:
                return
            files = self.builder.contents()
        CacheState(
            format=FORMAT,
            identity=self.identity,
            epoch=self.epoch,
            tail=position.tail,
            last=position.last,
            checksum=position.checksum,
            ended=False,
            leftovers=list(position.leftovers),
            files=files,
            dropping=list(position.dropping),
        ).write(self.path)
        self._saved = position
        if self._ended:  # meanwhile
            self.path.unlink(missing_ok=True)
        for name in set(retained) - {file.subject for file in files}:
            (self.staged / name).unlink(missing_ok=True)

    def discard(self) -> None:
        """Keep nothing."""
        self._ended = True
        self.path.unlink(missing_ok=True)

    def _end(self, error: Exception) -> None:
        log.warning("cluster: what this node has of the log is not kept: %s", error)
        with contextlib.suppress(OSError):
            self.discard()
