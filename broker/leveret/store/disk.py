"""The disk store: metadata and message log as one, committed in groups.

What queues tell fills a batch (`message_log.py`). A commit writes the batch as one block and has another thread wait
for the disk; meanwhile the next batch fills, and is committed when the disk is done. Then what waited for the
first is told: confirms, tx.commit-ok. Acknowledgements wait for nobody, so alone they are committed at
leisure.

Before anything is sent, `before_sending` makes sure of two things: what was declared is on the disk, and
messages that are about to be delivered are marked so in the log, written though not synced: should the
process be killed, they come back as redelivered.

When the disk refuses, `failing` says why; nothing is confirmed, the commit is tried again until it succeeds.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from leveret.engine.broker import Broker
from leveret.store import errors
from leveret.store.catalogue.catalogue import Catalogue
from leveret.store.catalogue.metadata import Metadata
from leveret.store.errors import StoreError
from leveret.store.files import Files
from leveret.store.lock import Lock
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.compaction import Compactor
from leveret.store.messages.log import MessageLog
from leveret.store.messages.scan import read_log
from leveret.store.messages.segments import LogSegments
from leveret.store.streams.recovery import finish_reading, read_streams
from leveret.store.streams.streams import Streams
from leveret.wire.frames import Outbox

log = logging.getLogger("leveret")

#: Seconds that acknowledgements may wait for company.
ACK_COMMIT_DELAY_S = 0.05

#: After a block of at least so many octets, the next commit waits so many seconds: under load, fewer and larger
#: commits cost less, and what is acknowledged meanwhile is never written. A lonely publisher does not wait.
LARGE_COMMIT_BYTES = 16 * 1024
COMMIT_INTERVAL_S = 0.001

#: A block below so many octets is a small one.
SMALL_COMMIT_BYTES = 4 * 1024

#: Seconds between two tries while the disk refuses.
RETRY_INTERVAL_S = 0.25


class Background(Protocol):
    """What the store needs of whoever owns the loop."""

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None], small: bool) -> None:
        """Run `wait` in another thread, then `done` in the loop with what it raised. `small`: there is little to wait
        for."""


class DiskStore:
    """One data directory. Raises `StoreError` where it cannot be used.

    `journal`: the port for the broker. `failing`: why the disk refuses, or None. `on_failing`: called when
    that changes. `on_settled`: called when waiting publishers and transactions have been told.
    """

    def __init__(
        self, directory: Path, background: Background, files: Files | None = None, segment: int = 0
    ) -> None:
        self.directory = directory
        self.background = background
        self.files = files or Files()
        self.failing: OSError | None = None
        self.on_failing: Callable[[], None] = _nothing
        self.on_settled: Callable[[], None] = _nothing
        self.lock = _locked(directory)
        try:
            self.metadata = Metadata(_described(directory), self.files)
        except BaseException:
            self.lock.release()
            raise
        self.segments = LogSegments(directory / "messages", self.files, segment)
        self.journal = MessageLog(self._wake, self._left)
        self.compactor = Compactor(self.segments, self.journal)
        self.streams = Streams(directory / "streams", self.files, self.journal, self.metadata)
        self.catalogue: Catalogue
        self._due = False
        self._due_later = False
        self._out = Outbox()  # emptied by every commit, kept for its room
        self._packed = 0  # the batch that is written or waits to be, 0 for none
        self._size = 0  # octets of its block
        self._syncing = False
        self._pacing = False

    # --- start and stop

    def restore(self, broker: Broker) -> None:
        """Give a broker that has nothing yet what is kept here, and listen to it from now on. Raises
        `StoreError`."""
        try:
            with _named(self.metadata.path):
                self.catalogue = Catalogue(
                    broker, self.metadata, self.journal.queue_journal, self.streams.attach
                )
                queues = self.catalogue.restore()
            with _named(self.streams.directory):
                read_streams(self.streams, queues)
            with _named(self.segments.directory):
                read_log(self, queues)
            with _named(self.streams.directory):
                finish_reading(self.streams)
        except BaseException:
            self.release()
            raise
        broker.observers.add(self.catalogue)
        broker.save = self.saved
        broker.restored()

    def close(self) -> None:
        """Write what is not written yet, and let go of the directory. `Background.sync` must be over."""
        try:
            self.save()
            batch = self._pack() or self._packed
            if batch:
                self.segments.flush()
                self.streams.sync()
                self.segments.sync_newest()
                self.journal.settle_up_to(batch)
        except OSError as error:
            log.error("unconfirmed messages are lost: %s", error)
        self.release()

    def release(self) -> None:
        """Let go of the directory as it is; what is not written stays unwritten."""
        self.streams.close()
        self.segments.close()
        self.metadata.close()
        self.files.release()
        self.lock.release()

    # --- commits

    def _wake(self, urgent: bool) -> None:
        if urgent:
            if not self._due:
                self._due = True
                self.background.soon(self._commit_soon)
        elif not self._due_later:
            self._due_later = True
            self.background.later(ACK_COMMIT_DELAY_S, self._commit_later)

    def _commit_soon(self) -> None:
        self._due = False
        self.commit()

    def _commit_later(self) -> None:
        self._due_later = False
        self.commit()

    def commit(self) -> None:
        """Write the batch that is filling, unless the disk is busy with the last one or refuses."""
        if self._syncing or self._pacing or self.failing is not None:
            return
        try:
            self.save()
            self.streams.delete_purged()
            batch = self._pack()
        except OSError as error:
            self._fail(error)
            return
        if batch:
            self._sync(batch)

    def save(self) -> None:
        """Make what was declared safe. Raises OSError."""
        self.catalogue.note_changes()
        self.metadata.save()

    def saved(self) -> bool:
        """Make what was declared safe if the disk takes it; says whether it is."""
        self.catalogue.note_changes()
        if self.metadata.pending:
            self.save_if_possible()
        return not self.metadata.pending

    def save_if_possible(self) -> None:
        """The same for changes nobody announces, now and then."""
        if self.failing is None:
            try:
                self.save()
            except OSError as error:
                self._fail(error)

    def _pack(self) -> int:
        """Write the batch; its number, or 0 if there was nothing to write. Raises OSError."""
        journal, segments = self.journal, self.segments
        if not journal.awake and not self.compactor.carried:
            return 0
        if segments.full and not self.compactor.busy and not journal.partial:
            self._roll()
        self.streams.write()
        out = self._out
        journal.segment = segments.current.number if segments.current else 0
        while not (batch := journal.pack(out)):
            self._account()
            segments.append(log_blocks.CONTINUED + out.take())
        self._packed = batch
        self.compactor.put(out)
        self._account()
        self._size = out.size
        if out.size:
            segments.append(out.take())
        elif segments.synced == segments.sequence and not self.streams.unsynced:
            self._settled(batch)
            return 0
        return batch

    def _roll(self) -> None:
        segment = self.segments.roll(self.metadata.epoch)
        self.metadata.set("segment", segment.number)
        self.metadata.save()
        self.compactor.wanted = True

    def _account(self) -> None:
        """Let the segment know what the block just packed has put into it."""
        current = self.segments.current
        if current is not None:
            current.live += self.journal.packed
            current.total += self.journal.packed
        self.segments.owe(self.journal.needs, self.journal.marks)

    def _sync(self, batch: int) -> None:
        sequence = self.segments.sequence
        self._syncing = True
        streams = self.streams.begin_sync()

        def wait() -> None:
            streams()
            self.segments.sync()

        def done(error: OSError | None) -> None:
            self._syncing = False
            self.streams.end_sync(error is None)
            if error is not None:
                self._fail(error)
                return
            self.segments.mark_synced(sequence)
            if self._size >= LARGE_COMMIT_BYTES:
                self._pacing = True
                self.background.later(COMMIT_INTERVAL_S, self._paced)
            try:
                self._settled(batch)
            finally:  # whatever happens: the next batch would wait for ever
                ack_delay_over = self.journal.awake and not self._due_later
                if self.journal.urgent or ack_delay_over:
                    self.commit()

        self.background.sync(wait, done, self._size < SMALL_COMMIT_BYTES)

    def _paced(self) -> None:
        self._pacing = False
        self.commit()

    def _settled(self, batch: int) -> None:
        self._packed = 0
        self.journal.settle_up_to(batch)
        self.on_settled()
        self.compactor.advance(self)

    def _left(self, number: int, count: int) -> None:
        segment = self.segments.table.get(number)
        if segment is not None:
            segment.live -= count
            if segment is not self.segments.current:
                self.compactor.left(segment)

    # --- before anything is sent

    @property
    def has_unwritten(self) -> bool:
        """Whether `before_sending` has anything to do."""
        return self.metadata.pending or bool(self.journal.delivered_marks) or self.journal.streams_delivered

    def before_sending(self) -> bool:
        """Make declarations safe and deliveries known; False while declarations are not safe."""
        if self.journal.delivered_marks and self.failing is None and not self.journal.partial:
            self._write_delivered_marks()
        if self.journal.streams_delivered and self.failing is None:
            self._write_streams()
        if not self.metadata.pending:
            return True
        if self.failing is None:
            try:
                self.save()
            except OSError as error:
                self._fail(error)
        return not self.metadata.pending

    def _write_delivered_marks(self) -> None:
        out = Outbox()
        self.journal.segment = self.segments.current.number if self.segments.current else 0
        try:
            if self.segments.current is None:
                self._roll()
            self.journal.put_delivered_marks(out)
            self.segments.owe(self.journal.needs, self.journal.marks)
            if out.size:
                self.segments.append(out.take())
        except OSError as error:
            self._fail(error)

    def _write_streams(self) -> None:
        try:
            self.streams.write()
        except OSError as error:
            self._fail(error)

    # --- when the disk refuses

    def _fail(self, error: OSError) -> None:
        if self.failing is None:
            log.error(
                "cannot write to the data directory: %s; publishers are blocked until writing succeeds", error
            )
            self.background.later(RETRY_INTERVAL_S, self._retry)
        self.failing = error
        self.on_failing()

    def _retry(self) -> None:
        """Try what failed again: first the file, then what was waiting for it."""
        if self._syncing:
            # Its answer comes first: a failed sync is told once, and the next one would succeed.
            self.background.later(RETRY_INTERVAL_S, self._retry)
            return
        try:
            self.streams.rewrite()
            if self.segments.doubtful:
                self.segments.rescue()
            elif self.segments.current is not None:
                self.segments.flush()
            self.metadata.save()
        except OSError as error:
            self.failing = error
            self.background.later(RETRY_INTERVAL_S, self._retry)
            return
        self.failing = None
        log.info("the data directory can be written again")
        self.on_failing()
        if self._packed:
            self._sync(self._packed)
        else:
            self.commit()


def _described(directory: Path) -> Path:
    """The file that says what all others are about: a new one would make rubbish of them. Raises `StoreError`."""
    path = directory / "metadata.sqlite"
    try:
        lost = not path.exists() or path.stat().st_size == 0
        if lost and any(found for way in ("messages/*.log", "streams/*/*") for found in directory.glob(way)):
            raise errors.missing(path)
    except OSError as error:
        raise errors.unreadable(path, error) from error
    return path


def _locked(directory: Path) -> Lock:
    """The lock of a data directory, which is made if there is none. Raises `StoreError`."""
    errors.check_folder(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.unreadable(directory, error) from error
    try:
        return Lock(directory)
    except OSError as error:
        raise errors.unreadable(directory / "lock", error) from error


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading these files keeps the broker from starting, and they are named."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        what = error if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise errors.StoreError(
            f"{path} holds what cannot be read: {what}. Nothing was changed. Restore the data directory from a backup, "
            "or move it away to start with an empty one."
        ) from error


def _nothing() -> None:
    """Nobody listens."""
