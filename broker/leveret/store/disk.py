"""The disk store: catalogue, message log and streams as one, committed in groups.

Changes of the catalogue and messages enter the open batch of the journal (`messages/log.py`). A commit encodes the
batch, writes the catalogue in one transaction, then the batch as one block, and syncs the log; the next batch fills
meanwhile and is committed when the sync is over. Then the batch is settled: confirms, tx.commit-ok, the answers to
declarations and HTTP requests leave. Messages for which nobody waits, and acknowledgements, are committed later.

The event loop never writes: a disk can take any time even for a write to the system's cache. Everything that writes or
syncs runs in the store's thread, one step at a time: transactions of the catalogue and new files (`_prepare`), then the
blocks of the batch and the sync (`_write`).

Before deliveries are sent, `write_delivered_marks` notes them in the log, written but not synced: if the process is
killed, the messages come back as redelivered. A thread of its own writes them, beside a sync; the loop waits for it,
for a few milliseconds at most (`writing.py`). While the disk hangs (`stalled`) deliveries are sent without marks.

When writing fails, `failing` has the error. Nothing is settled then, and the commit is repeated until it succeeds.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from leveret.engine.broker import Broker
from leveret.engine.delayed import RestoreTarget
from leveret.engine.vhost import VirtualHost
from leveret.progress import Report, unwatched
from leveret.queues.queue import Queue
from leveret.queues.stream.queue import StreamQueue
from leveret.routing.plugins import Delayed
from leveret.store import errors
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import Restore, RestoreError
from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.catalogue.topology import Topology
from leveret.store.errors import StoreError
from leveret.store.files import Files
from leveret.store.lock import Lock
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.ahead import SegmentAhead
from leveret.store.messages.compaction import Compactor
from leveret.store.messages.log import NOW, SOON, MessageLog
from leveret.store.messages.scan import read_log
from leveret.store.messages.segments import LogSegments
from leveret.store.streams.recovery import finish_reading, read_streams
from leveret.store.streams.streams import Streams, StreamWrite
from leveret.store.writing import LARGE_WRITE_BYTES, Background, Done, Writing
from leveret.wire.frames import Outbox

log = logging.getLogger("leveret")

#: Maximum delay before acknowledgements alone are committed, seconds.
ACK_COMMIT_DELAY_S = 0.05

#: Maximum delay before messages are committed whose publishers wait for nothing, seconds. What is acknowledged before
#: is never written: that is most of what Celery publishes.
MESSAGE_COMMIT_DELAY_S = 0.01

#: After a block of at least this size, the next commit is delayed: under load, fewer and larger commits cost less, and
#: messages that are acknowledged meanwhile are never written. A single publisher is not delayed.
LARGE_COMMIT_BYTES = 16 * 1024
COMMIT_INTERVAL_S = 0.001

#: Seconds after which a step of the thread counts as hanging: what is written meanwhile waits in memory.
STALL_S = 1.0

#: Seconds after which no other block of a batch is encoded in this turn of the event loop.
SLICE_S = 0.002

#: Seconds between two attempts to write while writing fails.
RETRY_INTERVAL_S = 0.25


#: Opens the catalogue: its path, and what gives a change its ticket. Raises `StoreError`.
MakeCatalogue: TypeAlias = Callable[[Path, Callable[[], int]], SqliteCatalogue]


class Commit:
    """A batch on its way to the disk. `batch`: its number, 0 if only the catalogue changes; `encoded`: all of it is in
    blocks; `payloads`: those that are not in the log yet; `packed`: messages in it; `marks`: it has delivered marks;
    `rolls`: a new segment begins with it; `segment`: the one it goes to, and `left`: messages in it that were settled
    before that begins. `deletions`: files to delete once the catalogue is written. `stream_write`:
    what streams write with it; `sync`: what syncs the streams, and `sequence`: its last block, once it is written.
    `writes`: the thread has the right to write."""

    def __init__(self) -> None:
        self.batch = 0
        self.encoded = False
        self.payloads: list[bytes] = []
        self.packed = 0
        self.marks = False
        self.rolls = False
        self.segment = 0
        self.left = 0
        self.deletions: list[Path] = []
        self.size = 0
        self.stream_write: StreamWrite | None = None
        self.sync: Callable[[], None] | None = None
        self.sequence = 0
        self.writes = False


class DiskStore:
    """One data directory. Raises `StoreError` if it cannot be used.

    `journal`: the port for the broker. `failing`: the error while writing fails, else None; `on_failing`: called when
    it changes. `on_settled`: called after calls that waited for a ticket ran. `stalled`: the disk hangs; `on_writable`:
    called when marks that could not be written before can be, or need not be. `make_catalogue`: opens the catalogue.
    `ahead`: what was read of segments before, by their paths (`ahead.py`); it is used with `interrupted` only.
    `interrupted`: marks of deliveries may be missing in the directory, so that all messages in it are restored as
    redelivered.
    """

    def __init__(
        self,
        directory: Path,
        background: Background,
        files: Files | None = None,
        segment: int = 0,
        make_catalogue: MakeCatalogue | None = None,
    ) -> None:
        self.directory = directory
        self.background = background
        self.files = files or Files()
        self.interrupted = False
        self.ahead: Mapping[Path, SegmentAhead] = {}
        self.failing: OSError | None = None
        self.on_failing: Callable[[], None] = _nothing
        self.on_settled: Callable[[], None] = _nothing
        self.on_writable: Callable[[], None] = _nothing
        self.stalled = False
        self.lock = _locked(directory)
        try:
            self.journal = MessageLog(self._wake, self._left)
            make = make_catalogue or self._make_catalogue
            self.catalogue = make(_described(directory), self.journal.record_changed)
        except BaseException:
            self.lock.release()
            raise
        self.segments = LogSegments(directory / "messages", self.files, segment)
        self.compactor = Compactor(self.segments, self.journal)
        self.streams = Streams(
            directory / "streams", self.files, self.journal, self.catalogue, background.read
        )
        self.writing = Writing(background, self.files)
        self._due = False
        self._due_soon = False
        self._due_later = False
        self._out = Outbox()  # emptied by every commit; its memory is used again
        self._commit: Commit | None = None  # the one that is not on the disk yet
        self._syncing = False  # a step runs in the thread
        self._step = 0  # number of the step
        self._watched = 0  # the step that is watched for a stall
        self._pacing = False
        self._ending = False  # the loop begins and encodes no commit any more
        self._refused = False  # deliveries have to wait
        self._owing = False  # they have, and have had no turn since
        self._yielding = False  # they have one now
        self._late = False  # marks take longer to write than the loop waits for them
        self._marks = 0  # how often they did
        self._after_marks: Callable[[], None] | None = None  # the end of a step that waits for marks

    def _make_catalogue(self, path: Path, ticket: Callable[[], int]) -> SqliteCatalogue:
        return SqliteCatalogue(path, ticket, self.files)

    # --- start and stop

    def restore(self, broker: Broker, report: Report = unwatched) -> None:
        """Restore an empty broker from this directory, and keep its changes from now on. Raises `StoreError`.

        `report`: gets the progress.
        """
        topology = Topology(self.catalogue, self)
        recorder = Recorder(broker, self.catalogue, topology)
        self._read(Restore(recorder, topology), report)
        recorder.begin()
        broker.restored()

    def restore_vhost(self, recorder: Recorder, vhost: VirtualHost, report: Report = unwatched) -> None:
        """Restore an empty virtual host, whose only store this is, and keep its changes from now on. Raises
        `StoreError`.

        `recorder`: that of the broker, which keeps the rest. `report`: gets the progress.
        """
        topology = Topology(self.catalogue, self)
        self._read(Restore(recorder, topology), report)
        recorder.keep(vhost.name, topology)

    def _read(self, restore: Restore, report: Report) -> None:
        """Restore all that is in the directory. Raises `StoreError`; the directory is released then."""
        try:
            with _named(self.catalogue.path):
                queues = self._restore_catalogue(restore, report)
            next_number = restore.topology.next_number
            with _named(self.streams.directory):
                read_streams(self.streams, queues, next_number)
            with _named(self.segments.directory):
                self.compactor.duplicates = read_log(self, queues, next_number, report)
            if self.interrupted:
                self._mark_all(queues)
            with _named(self.streams.directory):
                finish_reading(self.streams)
        except BaseException:
            self.release()
            raise

    def _restore_catalogue(self, restore: Restore, report: Report) -> dict[int, RestoreTarget]:
        try:
            restore.run(report)
        except RestoreError as error:
            raise errors.refused(self.catalogue.path, error.what, error.reason) from error
        return restore.queues

    def _mark_all(self, queues: Mapping[int, RestoreTarget]) -> None:
        """Note all messages as delivered, as they were restored: the next owner may find an end in peace."""
        for number, target in queues.items():
            if isinstance(target, Queue) and not isinstance(target, StreamQueue):
                self.journal.queue_journal(number).mark_all(target.position)

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
        """Write what is not written yet, and release the directory. The threads must have ended."""
        self.leave_loop()
        self.end(self.write_all())

    def leave_loop(self) -> None:
        """Begin and encode no commit in the event loop any more: another thread calls `write_all`."""
        self._ending = True

    def write_all(self) -> bool:
        """Write what is not written yet, in any thread, when nothing else uses the store. Returns whether that could be
        done; the error is logged."""
        try:
            if self._commit is not None:
                self._write_at_end(self._commit)
            self._write_at_end(self._begin())
            if self.segments.current is not None:
                self.segments.flush()
            self.streams.sync()
            self.segments.sync_newest()
        except OSError as error:
            log.error("unconfirmed messages are lost: %s", error)
            return False
        return True

    def end(self, written: bool) -> None:
        """Settle what waits if all of it is `written`, and release the directory."""
        self.settle(written)
        self.release()

    def settle(self, written: bool) -> None:
        """Settle what waits if all of it is `written`."""
        if written:
            self.journal.settle_up_to(self.journal.open - 1)
            self.journal.run_all_due()

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
        self.leave_loop()
        self.streams.close()
        self.segments.close()
        self.catalogue.close()
        self.files.release()
        self.lock.release()

    # --- commits

    def _wake(self, when: int) -> None:
        if when == NOW:
            if not self._due:
                self._due = True
                self.background.soon(self._commit_now)
        elif when == SOON:
            if not self._due_soon:
                self._due_soon = True
                self.background.later(MESSAGE_COMMIT_DELAY_S, self._commit_soon)
        elif not self._due_later:
            self._due_later = True
            self.background.later(ACK_COMMIT_DELAY_S, self._commit_later)

    def _commit_now(self) -> None:
        self._due = False
        self.commit()

    def _commit_soon(self) -> None:
        self._due_soon = False
        if self.journal.prompt or self.journal.urgent:
            self.commit()

    def _commit_later(self) -> None:
        self._due_later = False
        self.commit()

    def commit(self) -> None:
        """Write the open batch, unless the last one is being synced, it is held, writing fails, or marks are being
        written. Deliveries that have waited for the last one have their marks written first, in a turn of their own."""
        if self._syncing or self._pacing or self.journal.holds or self.failing is not None or self._ending:
            return
        idle = not self.journal.awake and not self.compactor.carried and not self.catalogue.pending
        if idle and self._commit is None:
            return
        if self.writing.busy:
            return
        if self._owing and self.has_unwritten_marks:  # under load, the next commit would always come first
            if not self._yielding:
                self._yielding = True
                self._writable()
                self.background.soon(self._yielded)
            return
        if self.writing.begin():
            if self._commit is None:  # else a fault has stopped the encoding of that one
                self._commit = self._begin()
            self._go_on(self._commit)

    def _yielded(self) -> None:
        """Deliveries that have waited have had their turn."""
        self._yielding = self._owing = False
        self.commit()

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
        commit.segment = journal.segment
        return commit

    def _go_on(self, commit: Commit) -> None:
        """Encode a slice of the batch; after the last one, write it. The commit has the right to write. After a fault
        the rest is encoded later: what is encoded is not lost."""
        if self._ending:
            return
        try:
            self._encode_slice(commit)
            self._syncing = not commit.encoded
            if self._syncing:
                self.background.soon(lambda: self._go_on(commit))
                return
            self.journal.closed()
            commit.deletions += self._take_catalogue()
        except BaseException:
            self._syncing = False
            self.writing.end()
            self.background.later(RETRY_INTERVAL_S, self.commit)
            raise
        if self.catalogue.taken or commit.deletions or commit.rolls or self.streams.begins_files:
            self._prepare(commit)
        else:
            self._write(commit)

    def _encode_slice(self, commit: Commit) -> None:
        """Encode some blocks of the open batch, and close the batch after the last one."""
        journal, out = self.journal, self._out
        end = self.background.now() + SLICE_S
        while not commit.encoded:
            commit.marks = commit.marks or bool(journal.delivered_marks) or journal.streams_delivered
            try:
                commit.batch = journal.pack(out)
            finally:
                commit.packed += journal.packed
            if commit.batch:
                self.compactor.put(out)
            commit.encoded = commit.batch > 0
            commit.size += out.size
            if out.size:
                commit.payloads.append(out.take() if commit.encoded else log_blocks.CONTINUED + out.take())
            if self.background.now() >= end:
                break

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
            if error is not None:
                self.writing.end()
                self._fail(error)
            else:
                self._write(commit)

        self._run(lambda: self._write_files(commit, write), _nothing, done)
        self._watch()

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
        """Write the batch into its files, which exist, and sync them, in the thread."""
        self._account(commit)
        before, segments = self.files.done.write_s, self.segments
        commit.sync = commit.stream_write = None
        if self.journal.grown or self.journal.streams_delivered:
            commit.stream_write = self.streams.begin_write()
        unsynced = segments.synced < segments.sequence or self.streams.unsynced
        if not (commit.payloads or unsynced or segments.unwritten):
            self.writing.end()
            self._settled(commit)
            return
        short, commit.writes = commit.size <= LARGE_WRITE_BYTES, True
        if short:
            self.writing.shorten()

        def done(error: OSError | None) -> None:
            self._written(commit)
            self._note_stream_write()
            if short:
                self.writing.judge(before)
            if commit.sync is not None:
                self.streams.end_sync(error is None)
            if error is not None:
                self._fail(error)
            else:
                self._synced(commit)

        self._run(lambda: self._write_blocks(commit), lambda: self._sync(commit), done)
        if not short:
            self._watch()

    def _write_blocks(self, commit: Commit) -> None:
        """Write the batch, in the thread, and give back the right to write. Raises OSError."""
        try:
            self.segments.flush()
            self._append(commit)
            if commit.stream_write is not None:
                commit.stream_write.run()
            commit.sequence = self.segments.sequence
            if self.streams.unsynced:
                commit.sync = self.streams.begin_sync()
        finally:
            self._written(commit)

    def _written(self, commit: Commit) -> None:
        """Give back the right to write, unless that is done."""
        if commit.writes:
            commit.writes = False
            self.writing.end()

    def _sync(self, commit: Commit) -> None:
        """Sync what was written, in the thread. Raises OSError."""
        if commit.sync is not None:
            commit.sync()
        self.segments.sync()

    def _synced(self, commit: Commit) -> None:
        """A batch is on the disk."""
        self.segments.mark_synced(commit.sequence)
        if commit.size >= LARGE_COMMIT_BYTES:
            self._pacing = True
            self.background.later(COMMIT_INTERVAL_S, self._paced)
        self._settled(commit)

    def _note_stream_write(self) -> None:
        """Note what streams have written with the last commit, before they write again."""
        commit = self._commit
        if commit is not None and commit.stream_write is not None:
            write, commit.stream_write = commit.stream_write, None
            self.streams.end_write(write)

    def _append(self, commit: Commit) -> None:
        """Append the blocks of a batch to the log; in any thread, if it is accounted for. Raises OSError; can be called
        again."""
        if commit.packed or self.journal.needs or self.journal.marks:
            self._account(commit)
        payloads, commit.payloads = commit.payloads, []
        if payloads:
            self.segments.append(*payloads)

    def _account(self, commit: Commit) -> None:
        """Count what a batch puts into the current segment."""
        current = self.segments.current
        if current is not None:
            current.live += commit.packed - commit.left
            current.total += commit.packed
        commit.packed = commit.left = 0
        self.segments.owe(self.journal.needs, self.journal.marks)

    def _run(self, write: Callable[[], None], wait: Callable[[], None], done: Done) -> None:
        """Run a step in the thread, then `done` in the loop: after marks that are being written."""

        def finish(error: OSError | None) -> None:
            self._after_marks = None
            self._syncing = self.stalled = False
            self.streams.leave()
            try:
                done(error)
            finally:
                self._writable()

        def finished(error: OSError | None) -> None:
            if self.writing.marking:
                self._after_marks = lambda: finish(error)
            else:
                finish(error)

        self._syncing = True
        self.streams.enter()
        self._step += 1
        self.background.sync(write, wait, finished)

    def _watch(self) -> None:
        """Have `_overdue` called if the running step takes long."""
        if self._watched != self._step:
            self._watched = step = self._step
            self.background.later(STALL_S, lambda: self._overdue(step))

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
            self._commit_next()

    def _commit_next(self) -> None:
        """Commit the next batch if somebody waits for it, or its delay is over."""
        journal = self.journal
        delayed = self._due_soon if journal.prompt else self._due_later
        if journal.urgent or (journal.awake and not delayed):
            self.commit()

    def _left(self, number: int, count: int) -> None:
        segment = self.segments.table.get(number)
        if segment is None:
            if self._commit is not None and number == self._commit.segment:
                self._commit.left += count
        else:
            segment.live -= count
            if segment is not self.segments.current:
                self.compactor.left(segment)

    # --- before anything is sent

    always_asked = False

    @property
    def noted(self) -> int:
        """How often deliveries were noted."""
        return self.journal.noted

    @property
    def has_unwritten_marks(self) -> bool:
        """Whether there are deliveries whose marks are not in a file."""
        if self.writing.busy and (self.writing.marking or (self._commit is not None and self._commit.marks)):
            return True
        return bool(self.journal.delivered_marks) or self.journal.streams_delivered

    def write_delivered_marks(self) -> bool:
        """Write, without syncing, which messages are about to be delivered.

        True if the deliveries may be sent. False if they have to wait until `on_writable`: files are being written, or
        there are more marks than are encoded in one turn. If writing fails, or the disk hangs, they are sent without a
        mark.
        """
        if self.failing is not None or self.stalled:
            return True
        if self._syncing:
            self._watch()
        if self.segments.current is None or self.streams.begins_files or self.writing.slow:
            self.journal.call(NOW)  # a commit begins the files, and writes the marks
            self._refused = True
        if self._refused or not self.writing.wait():
            self._refused = self._owing = True
            return False
        self._write_marks()
        more = bool(self.journal.delivered_marks)
        if more:
            self.background.soon(self._writable)
        self._refused = self._owing = self.writing.marking or more
        return not self._refused

    def _write_marks(self) -> None:
        """Write delivered marks, and streams up to what is delivered, with the right to write."""
        self._note_stream_write()
        payload = self._packed_marks()
        streams = self.journal.streams_delivered
        write = self.streams.begin_write() if streams else StreamWrite([], [])

        def step() -> None:
            if payload:
                self.segments.append(payload)
            write.run()

        def done(error: OSError | None) -> None:
            self.streams.end_write(write)
            self.streams.leave()
            self.writing.end()
            if error is not None:
                self._fail(error)
            if self._late:
                self._marked_late()

        self.streams.enter()
        if payload or write.parts:
            self.writing.mark(step, done)
        else:
            done(None)
        if self.writing.marking:
            self._late = True
            self._marks += 1
            number = self._marks
            self.background.later(STALL_S, lambda: self._overdue_marks(number))

    def _overdue_marks(self, number: int) -> None:
        """Marks take long to write: deliveries do not wait for them."""
        if self._late and number == self._marks:
            self.stalled = True
            self._writable()

    def _marked_late(self) -> None:
        """Go on with what has waited for marks."""
        self._late = self.stalled = False
        if self._after_marks is not None:
            self._after_marks()
        self._writable()
        self.commit()

    def _packed_marks(self) -> bytes:
        """Return marks as the payload of a block, empty if there are none."""
        segments, out = self.segments, Outbox()
        assert segments.current is not None
        if self.journal.delivered_marks:
            self.journal.segment = segments.current.number
            self.journal.put_marks_alone(out)
            segments.owe(self.journal.needs, self.journal.marks)
        return out.take()

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
        if self._syncing or not self.writing.begin():
            self.background.later(RETRY_INTERVAL_S, self._retry)
            return
        commit = self._commit or Commit()
        self._note_stream_write()
        write = self.streams.begin_write(again=True)

        def step() -> None:
            self._write_files(commit, write)
            if self.segments.current is not None:
                self.segments.flush()
            self.streams.begin_sync()()  # a sync that fails again must not look like success before it

        def done(error: OSError | None) -> None:
            self.streams.end_write(write)
            self.streams.end_sync(error is None)
            if error is not None:
                self.writing.end()
                self.failing = error
                self.background.later(RETRY_INTERVAL_S, self._retry)
                return
            self.failing = None
            log.info("the data directory can be written again")
            self.on_failing()
            if commit.batch:
                self._write(commit)
            else:
                self._commit = None
                self.writing.end()
                self.commit()

        self._run(step, _nothing, done)
        self._watch()


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
