"""The disk store: catalogue, message log and streams as one, committed in groups.

Changes of the catalogue and messages enter the open batch of the journal (`messages/log.py`). A commit encodes the
batch, writes the catalogue in one transaction, then the batch as one block, and syncs the log; the next batch fills
meanwhile and is committed when the sync is over. Then the batch is settled: confirms, tx.commit-ok, the answers to
declarations and HTTP requests leave. Acknowledgements wait for nobody: alone, they are committed after a delay.

The event loop never waits for a sync, since a disk can take any time for one. Everything that syncs runs in the store's
thread, one step at a time: transactions of the catalogue and new files (`_prepare`), then the sync of the log.

Before deliveries are sent, `write_delivered_marks` notes them in the log, written but not synced: if the process is
killed, the messages come back as redelivered. While the disk hangs (`stalled`) they are sent without.

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
from leveret.store.streams.streams import Streams, StreamWrite
from leveret.wire.frames import Outbox

log = logging.getLogger("leveret")

#: Maximum delay before acknowledgements alone are committed, seconds.
ACK_COMMIT_DELAY_S = 0.05

#: After a block of at least this size, the next commit is delayed: under load, fewer and larger commits cost less, and
#: messages that are acknowledged meanwhile are never written. A single publisher is not delayed.
LARGE_COMMIT_BYTES = 16 * 1024
COMMIT_INTERVAL_S = 0.001

#: Seconds after which a step of the thread counts as hanging: what is written meanwhile waits in memory.
STALL_S = 1.0

#: A batch with more octets is written in the thread: other work goes on meanwhile.
LARGE_WRITE_BYTES = 256 * 1024

#: Entries and octets of a batch that are encoded in one turn of the event loop.
SLICE_ENTRIES = 4096
SLICE_BYTES = 2 * 1024 * 1024

#: Seconds between two attempts to write while writing fails.
RETRY_INTERVAL_S = 0.25


class Background(Protocol):
    """What the store needs from the event loop."""

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `wait` in another thread, then `done` in the loop with the error it raised."""


class Commit:
    """A batch on its way to the disk. `batch`: its number, 0 if only the catalogue changes; `encoded`: all of it is in
    blocks; `payloads`: those that are not in the log yet; `packed`: messages in it; `marks`: it has delivered marks;
    `rolls`: a new segment begins with it; `deletions`: files to delete once the catalogue is written."""

    def __init__(self) -> None:
        self.batch = 0
        self.encoded = False
        self.payloads: list[bytes] = []
        self.packed = 0
        self.marks = False
        self.rolls = False
        self.deletions: list[Path] = []
        self.size = 0


class DiskStore:
    """One data directory. Raises `StoreError` if it cannot be used.

    `journal`: the port for the broker. `failing`: the error while writing fails, else None; `on_failing`: called when
    it changes. `on_settled`: called after calls that waited for a ticket ran. `stalled`: the disk hangs; `on_writable`:
    called when marks that could not be written before can be, or need not be.
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
        self.on_writable: Callable[[], None] = _nothing
        self.stalled = False
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
        self._commit: Commit | None = None  # the one that is not on the disk yet
        self._syncing = False  # a step runs in the thread
        self._preparing = False  # the step writes files: nobody else may
        self._step = 0  # number of the step
        self._watched = 0  # the step that is watched for a stall
        self._pacing = False
        self._refused = False  # deliveries have to wait

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
        """Write what is not written yet, and release the directory. The thread must have ended."""
        try:
            if self._commit is not None:
                self._write_at_end(self._commit)
            self._write_at_end(self._begin())
            if self.segments.current is not None:
                self.segments.flush()
            self.streams.sync()
            self.segments.sync_newest()
            self.journal.settle_up_to(self.journal.open - 1)
        except OSError as error:
            log.error("unconfirmed messages are lost: %s", error)
        self.release()

    def _write_at_end(self, commit: Commit) -> None:
        while not commit.encoded:
            self._encode_slice(commit)
        commit.deletions += self._take_catalogue()
        write = self.streams.begin_write(again=True)
        self._write_files(commit, write)
        self.streams.end_write(write)
        self._append(commit)

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
        """Write the open batch, unless the last one is being synced, it is held, or writing fails."""
        if self._syncing or self._pacing or self.journal.holds or self.failing is not None:
            return
        if not self.journal.awake and not self.compactor.carried and not self.catalogue.pending:
            return
        self._commit = commit = self._begin()
        self._go_on(commit)

    def _begin(self) -> Commit:
        """Begin to encode the open batch."""
        journal, segments, commit = self.journal, self.segments, Commit()
        commit.encoded = not journal.awake and not self.compactor.carried
        kept = not journal.empty or self.compactor.carried or self.streams.unsynced
        commit.rolls = not commit.encoded and kept and segments.full and not self.compactor.busy
        if commit.rolls or segments.current is None:
            journal.segment = segments.next_number
        else:
            journal.segment = segments.current.number
        return commit

    def _go_on(self, commit: Commit) -> None:
        """Encode a slice of the batch; after the last one, write it."""
        self._encode_slice(commit)
        self._syncing = self._preparing = not commit.encoded
        if not commit.encoded:
            self.background.soon(lambda: self._go_on(commit))
            return
        commit.deletions = self._take_catalogue()
        if self.catalogue.taken or commit.rolls or commit.deletions or self.streams.begins_files:
            self._prepare(commit)
        elif commit.batch:
            self._write(commit)

    def _encode_slice(self, commit: Commit) -> None:
        """Encode some entries of the open batch, and close the batch after the last one."""
        journal, out, entries, size = self.journal, self._out, 0, 0
        while not commit.encoded and entries < SLICE_ENTRIES and size < SLICE_BYTES:
            commit.marks = commit.marks or bool(journal.delivered_marks) or journal.streams_delivered
            commit.batch = journal.pack(out)
            commit.encoded = commit.batch > 0
            if commit.encoded:
                self.compactor.put(out)
            entries += journal.packed
            size += out.size
            if out.size:
                commit.payloads.append(out.take() if commit.encoded else log_blocks.CONTINUED + out.take())
        commit.packed += entries
        commit.size += size

    def _take_catalogue(self) -> list[Path]:
        """Take the changes of the catalogue; returns what is to be deleted when they are written."""
        deletions = self.streams.forget_purged()
        self.catalogue.take()
        return deletions

    def _prepare(self, commit: Commit) -> None:
        """Write the catalogue and begin files, in the thread; then write the batch."""
        write = self.streams.begin_write()

        def done(error: OSError | None) -> None:
            self.streams.end_write(write)
            self.streams.close_later()
            if error is not None:
                self._fail(error)
            else:
                self._write(commit)
            self._writable()

        self._run(lambda: self._write_files(commit, write), done, writes=True)

    def _write_files(self, commit: Commit, write: StreamWrite) -> None:
        """Write what takes syncs: the catalogue first, then files that messages of the batch go to. In any thread.
        Raises OSError; can be called again."""
        self.catalogue.write()
        write.run()
        if self.segments.doubtful:
            self.segments.rescue()
        if commit.rolls:
            segment = self.segments.roll(self.catalogue.epoch)
            commit.rolls = False
            self.catalogue.save_settings({"segment": segment.number})
            self.compactor.wanted = True
        deletions, commit.deletions = commit.deletions, []
        self.streams.delete(deletions)

    def _write(self, commit: Commit) -> None:
        """Write the batch into its files, which exist, and have them synced."""
        if commit.size > LARGE_WRITE_BYTES and commit.payloads:
            self._account(commit)
            self._run(lambda: self._append(commit), lambda error: self._appended(commit, error), writes=True)
            return
        try:
            self._append(commit)
        except OSError as error:
            self._fail(error)
        else:
            self._appended(commit, None)

    def _appended(self, commit: Commit, error: OSError | None) -> None:
        """The blocks are in the log: write the streams, and have everything synced."""
        try:
            if error is not None:
                raise error
            self.streams.write()
        except OSError as failure:
            self._fail(failure)
            return
        finally:
            self._writable()
        if self.segments.synced < self.segments.sequence or self.streams.unsynced:
            self._sync(commit)
        else:
            self._settled(commit)

    def _append(self, commit: Commit) -> None:
        """Append the blocks of a batch to the log; in any thread, if it is accounted for. Raises OSError; can be called
        again."""
        if commit.packed or self.journal.needs or self.journal.marks:
            self._account(commit)
        while commit.payloads:
            self.segments.append(commit.payloads.pop(0))

    def _account(self, commit: Commit) -> None:
        """Count what a batch puts into the current segment."""
        current = self.segments.current
        if current is not None:
            current.live += commit.packed
            current.total += commit.packed
        commit.packed = 0
        self.segments.owe(self.journal.needs, self.journal.marks)

    def _run(self, step: Callable[[], None], done: Callable[[OSError | None], None], *, writes: bool) -> None:
        """Run a step in the thread, then `done` in the loop. `writes`: nobody else may write meanwhile."""

        def finished(error: OSError | None) -> None:
            self._syncing = self._preparing = self.stalled = False
            done(error)

        self._syncing = self.streams.busy = True
        self._preparing = writes
        self._step += 1
        self.background.sync(step, finished)
        if writes:
            self._watch()

    def _watch(self) -> None:
        """Have `_overdue` called if the running step takes long."""
        if self._watched != self._step:
            self._watched = step = self._step
            self.background.later(STALL_S, lambda: self._overdue(step))

    def _sync(self, commit: Commit) -> None:
        sequence = self.segments.sequence
        streams = self.streams.begin_sync()

        def wait() -> None:
            streams()
            self.segments.sync()

        def done(error: OSError | None) -> None:
            self.streams.end_sync(error is None)
            if error is not None:
                self._fail(error)
                return
            self.segments.mark_synced(sequence)
            if commit.size >= LARGE_COMMIT_BYTES:
                self._pacing = True
                self.background.later(COMMIT_INTERVAL_S, self._paced)
            self._settled(commit)

        self._run(wait, done, writes=False)

    def _paced(self) -> None:
        self._pacing = False
        self.commit()

    def _settled(self, commit: Commit) -> None:
        """A batch is on the disk: settle it, and commit the next one if somebody waits for it."""
        self._commit = None
        try:
            if commit.batch:
                self.journal.settle_up_to(commit.batch)
                self.on_settled()
                self.compactor.advance(self)
        finally:  # otherwise the next batch would never be committed
            ack_delay_over = self.journal.awake and not self._due_later
            if self.journal.urgent or ack_delay_over:
                self.commit()

    def _left(self, number: int, count: int) -> None:
        segment = self.segments.table.get(number)
        if segment is not None:
            segment.live -= count
            if segment is not self.segments.current:
                self.compactor.left(segment)

    # --- before anything is sent

    @property
    def has_unwritten_marks(self) -> bool:
        """Whether there are deliveries whose marks are not in a file."""
        if self._preparing and self._commit is not None and self._commit.marks:
            return True
        return bool(self.journal.delivered_marks) or self.journal.streams_delivered

    def write_delivered_marks(self) -> bool:
        """Write, without syncing, which messages are about to be delivered.

        True if the deliveries may be sent. False if they have to wait until `on_writable`: the thread writes files. If
        writing fails, or the disk hangs, they are sent without a mark.
        """
        if self.failing is not None or self.stalled:
            return True
        if self._syncing:
            self._watch()
        if self.segments.current is None or self.streams.begins_files:
            self.journal.call(True)  # a commit begins the files, and writes the marks
            self._refused = True
        if self._preparing or self._refused:
            self._refused = True
            return False
        try:
            if self.journal.delivered_marks:
                self._write_queue_marks()
            if self.journal.streams_delivered:
                self.streams.write()
        except OSError as error:
            self._fail(error)
        return True

    def _overdue(self, step: int) -> None:
        """A step takes long: deliveries do not wait for it."""
        if self._syncing and step == self._step:
            self.stalled = True
            self._writable()

    def _writable(self) -> None:
        """Have deliveries tried again that had to wait."""
        if self._refused:
            self._refused = False
            self.on_writable()

    def _write_queue_marks(self) -> None:
        segments, out = self.segments, Outbox()
        assert segments.current is not None
        self.journal.segment = segments.current.number
        self.journal.put_delivered_marks(out)
        segments.owe(self.journal.needs, self.journal.marks)
        if out.size:
            segments.append(out.take())

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
        """Try again: first what failed, then the commit. The result of a running sync comes first: a failed sync is
        reported once, and the next one would succeed."""
        if self._syncing:
            self.background.later(RETRY_INTERVAL_S, self._retry)
            return
        commit = self._commit or Commit()
        write = self.streams.begin_write(again=True)

        def done(error: OSError | None) -> None:
            self.streams.end_write(write)
            self.streams.close_later()
            if error is None:
                error = self._flushed()
            if error is not None:
                self.failing = error
                self.background.later(RETRY_INTERVAL_S, self._retry)
                return
            self.failing = None
            log.info("the data directory can be written again")
            self.on_failing()
            if commit.batch:
                self._write(commit)
            else:
                self.commit()

        self._run(lambda: self._write_files(commit, write), done, writes=True)

    def _flushed(self) -> OSError | None:
        """Write the blocks of the log that are not written yet; returns the error if that fails."""
        try:
            if self.segments.current is not None:
                self.segments.flush()
        except OSError as error:
            return error
        return None


def _described(directory: Path) -> Path:
    """Return the file of the catalogue. It must not be created beside existing messages. Raises `StoreError`."""
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
