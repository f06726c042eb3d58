"""The disk store: catalogue, message log and streams as one, committed in groups.

Changes of the catalogue and messages enter the open batch of the journal (`messages/log.py`). A commit writes the
catalogue in one transaction, then the batch as one block, and syncs the log in another thread; meanwhile the next batch
is filled, and it is committed after the sync. Then the batch is settled: confirms, tx.commit-ok, and the answers to
declarations and HTTP requests are sent. Nothing waits for acknowledgements: without other changes, they are committed
after a delay.

Before deliveries are sent, `write_delivered_marks` notes them in the log, written but not synced: after the process was
killed, the messages are redelivered.

When writing fails, `failing` has the error. Nothing is settled then, and the commit is repeated until it succeeds.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from leveret.engine.broker import Broker
from leveret.engine.delayed import RestoreTarget
from leveret.queues.queue import Queue
from leveret.queues.stream.queue import StreamQueue
from leveret.routing.plugins import Delayed
from leveret.store import errors
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import Restore, RestoreError
from leveret.store.catalogue.sqlite import SqliteCatalogue
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

#: Maximum delay before acknowledgements alone are committed, seconds.
ACK_COMMIT_DELAY_S = 0.05

#: After a block of at least this size, the next commit is delayed: under load, fewer and larger commits cost less, and
#: messages that are acknowledged meanwhile are never written. A single publisher is not delayed.
LARGE_COMMIT_BYTES = 16 * 1024
COMMIT_INTERVAL_S = 0.001

#: A block smaller than this is a small one.
SMALL_COMMIT_BYTES = 4 * 1024

#: Seconds between two attempts to write while writing fails.
RETRY_INTERVAL_S = 0.25


class Background(Protocol):
    """What the store needs from the event loop."""

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None], small: bool) -> None:
        """Run `wait` in another thread, then `done` in the loop with the error it raised. `small`: it will not take
        long."""


class DiskStore:
    """One data directory. Raises `StoreError` if it cannot be used.

    `journal`: the port for the broker. `failing`: the error while writing fails, else None; `on_failing`: called when
    it changes. `on_settled`: called after a ticket was settled and the calls waiting for it have run.
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
            self.journal = MessageLog(self._wake, self._left)
            self.catalogue = SqliteCatalogue(_described(directory), self.journal.record_changed, self.files)
        except BaseException:
            self.lock.release()
            raise
        self.segments = LogSegments(directory / "messages", self.files, segment)
        self.compactor = Compactor(self.segments, self.journal)
        self.streams = Streams(directory / "streams", self.files, self.journal, self.catalogue)
        self._due = False
        self._due_later = False
        self._out = Outbox()  # emptied by every commit; its memory is used again
        self._packed = 0  # number of the batch that is being written, 0 for none
        self._size = 0  # octets of its block
        self._syncing = False
        self._pacing = False

    # --- start and stop

    def restore(self, broker: Broker) -> None:
        """Restore an empty broker from this directory, and keep its changes from now on. Raises `StoreError`."""
        recorder = Recorder(broker, self.catalogue, self)
        try:
            with _named(self.catalogue.path):
                queues = self._restore_catalogue(recorder)
            with _named(self.streams.directory):
                read_streams(self.streams, queues)
            with _named(self.segments.directory):
                self.compactor.duplicates = read_log(self, queues)
            with _named(self.streams.directory):
                finish_reading(self.streams)
        except BaseException:
            self.release()
            raise
        recorder.begin()
        broker.restored()

    def _restore_catalogue(self, recorder: Recorder) -> dict[int, RestoreTarget]:
        try:
            return Restore(recorder).run()
        except RestoreError as error:
            raise errors.refused(self.catalogue.path, error.what, error.reason) from error

    def attach_queue(self, queue: Queue, number: int) -> None:
        """Give a durable queue its journal."""
        if isinstance(queue, StreamQueue):
            self.streams.attach(queue, number)
        else:
            queue.queue_journal = self.journal.queue_journal(number)

    def attach_delayed(self, exchange: Delayed, number: int) -> None:
        """Give an x-delayed-message exchange its journal."""
        exchange.queue_journal = self.journal.queue_journal(number)

    def close(self) -> None:
        """Write what is not written yet, and release the directory. No sync may be running."""
        try:
            self.catalogue.save()
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
        """Release the directory without writing."""
        self.streams.close()
        self.segments.close()
        self.catalogue.close()
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
        """Write the open batch, unless the last one is being synced or writing fails."""
        if self._syncing or self._pacing or self.failing is not None:
            return
        try:
            self.catalogue.save()
            self.streams.delete_purged()
            batch = self._pack()
        except OSError as error:
            self._fail(error)
            return
        if batch:
            self._sync(batch)

    def _pack(self) -> int:
        """Write the batch. Returns its number, or 0 if there is nothing to sync. Raises OSError."""
        journal, segments = self.journal, self.segments
        if not journal.awake and not self.compactor.carried:
            return 0
        if journal.empty and not self.compactor.carried and not self.streams.unsynced:
            self._settled(journal.pack(self._out))  # changes of the catalogue alone, which are on the disk
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
        segment = self.segments.roll(self.catalogue.epoch)
        self.catalogue.set("segment", segment.number)
        self.catalogue.save()
        self.compactor.wanted = True

    def _account(self) -> None:
        """Count what the last block has added to the current segment."""
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
            finally:
                # Otherwise the next batch would never be committed.
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
    def has_unwritten_marks(self) -> bool:
        """Whether `write_delivered_marks` has anything to write."""
        return bool(self.journal.delivered_marks) or self.journal.streams_delivered

    def write_delivered_marks(self) -> None:
        """Write, without syncing, which messages are about to be delivered, unless writing fails."""
        if self.journal.delivered_marks and self.failing is None and not self.journal.partial:
            self._write_queue_marks()
        if self.journal.streams_delivered and self.failing is None:
            self._write_streams()

    def _write_queue_marks(self) -> None:
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

    # --- when writing fails

    def _fail(self, error: OSError) -> None:
        if self.failing is None:
            log.error(
                "cannot write to the data directory: %s; publishers are blocked until writing succeeds", error
            )
            self.background.later(RETRY_INTERVAL_S, self._retry)
        self.failing = error
        self.on_failing()

    def _retry(self) -> None:
        """Try again: first the sync or write that failed, then the commit."""
        if self._syncing:
            # Its result is reported first: a failed sync is reported only once, and the next one would succeed.
            self.background.later(RETRY_INTERVAL_S, self._retry)
            return
        try:
            self.streams.rewrite()
            if self.segments.doubtful:
                self.segments.rescue()
            elif self.segments.current is not None:
                self.segments.flush()
            self.catalogue.save()
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
    """The file of the catalogue. It must not be created anew beside existing messages. Raises `StoreError`."""
    path = directory / "metadata.sqlite"
    try:
        lost = not path.exists() or path.stat().st_size == 0
        if lost and any(found for way in ("messages/*.log", "streams/*/*") for found in directory.glob(way)):
            raise errors.missing(path)
    except OSError as error:
        raise errors.unreadable(path, error) from error
    return path


def _locked(directory: Path) -> Lock:
    """Lock a data directory, which is created if there is none. Raises `StoreError`."""
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
    """Name these files in whatever is raised while they are read, which stops the start."""
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
    """No callback is set."""
