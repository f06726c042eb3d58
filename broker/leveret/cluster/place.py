"""The data of a virtual host on the node that owns it: files on this machine, each change of which is in its log.

`DiskStore` writes and syncs in its own thread, the log belongs to the event loop: `LogBridge` connects them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from leveret.cluster.cache import OwnCopy, Position
from leveret.cluster.lease import Lease
from leveret.cluster.log import LogClosed, OwnedLog
from leveret.cluster.ports import StorageError, Time, Unavailable
from leveret.server import descriptors
from leveret.server.background import Background
from leveret.server.send_barrier import DeliveredMarks
from leveret.store.disk import DiskStore
from leveret.store.messages.ahead import SegmentAhead
from leveret.store.replicated import Change, ReplicatedCatalogue, ReplicatedFiles

log = logging.getLogger("leveret")

#: Descriptors reserved for the store of a virtual host: a file of the log and one of a stream, their directories, and a
#: file that is read.
VHOST_DESCRIPTORS = 5

#: Seconds between two attempts to delete what is not needed any more.
DROP_RETRY_S = 1.0


class _Appending:
    """Changes on their way into the log. A thread waits for them with `result`; `begin` and `done` run in the loop.
    There is no task, and no future of `concurrent.futures`: each takes turns of the loop, for which a confirm waits."""

    def __init__(self, changes: Sequence[Change], bridge: LogBridge) -> None:
        self._changes = changes
        self._bridge = bridge
        self._position: Position | None = None
        self._error: BaseException | None = None
        self._over = threading.Lock()
        self._over.acquire()

    def begin(self) -> None:
        """Append them, in the loop."""
        try:
            appended = [self._bridge.owned.append(change.subject, change.data) for change in self._changes]
        except Exception as error:  # for the thread that waits
            self._error = error
            self._over.release()
            return
        # Records are resolved in order, and if one fails, all after it do: the last one tells of all.
        appended[-1].add_done_callback(self.done)

    def done(self, last: asyncio.Future[int]) -> None:
        """Let the thread go on."""
        if last.cancelled():
            self._error = LogClosed("the append was cancelled")
        else:
            self._error = last.exception()
        if self._error is None:
            self._position = self._bridge.position()
        self._over.release()

    def result(self) -> Position:
        """Wait, and return how far the log is: only what is dropped may have been appended besides. Raises what has
        kept the changes from being accepted."""
        self._over.acquire()
        if self._error is not None:
            raise self._error
        assert self._position is not None
        return self._position


class LogBridge:
    """The replicated log, for the store's thread (`ReplicationLog`). `copy`: notes what was appended, None if that is
    not needed."""

    def __init__(self, owned: OwnedLog, time: Time, copy: OwnCopy | None = None) -> None:
        self.owned = owned
        self.time = time
        self.copy = copy
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._dropping: deque[str] = deque()
        self._dropper: asyncio.Task[None] | None = None

    def can_wait(self) -> bool:
        """Return whether this is not the loop's thread, which the log needs."""
        return threading.get_ident() != self._loop_thread

    def append(self, changes: Sequence[Change]) -> None:
        """Append changes in order; returns when a majority has them. Not in the loop's thread. Raises OSError."""
        appending = _Appending(changes, self)
        self._loop.call_soon_threadsafe(appending.begin)
        try:
            position = appending.result()
        except (LogClosed, StorageError) as error:
            raise OSError(errno.EIO, str(error)) from error
        if self.copy is not None:
            self.copy.appended(changes, position)

    def position(self) -> Position:
        """Return how far the log is."""
        return Position.of(self.owned, self._dropping)

    def drop(self, subjects: Sequence[str]) -> None:
        """Delete subjects, later and in this order."""
        if self.copy is not None:
            self.copy.dropped(subjects)
        self._loop.call_soon_threadsafe(self._drop_soon, list(subjects))

    def _drop_soon(self, subjects: list[str]) -> None:
        self._dropping += subjects
        if self._dropper is None or self._dropper.done():
            self._dropper = asyncio.ensure_future(self._drop_all())

    async def _drop_all(self) -> None:
        while self._dropping and self.owned.closed is None:
            try:
                await self.owned.drop(self._dropping[0])
            except Unavailable:
                await self.time.sleep(DROP_RETRY_S)
                continue
            except StorageError as error:
                log.error("cluster: what is not needed any more cannot be deleted: %s", error)
                return
            except LogClosed:
                return  # the next owner deletes it
            self._dropping.popleft()


class LeasedMarks:
    """Notes deliveries, and holds all output while the lease is too old to say anything (`DeliveredMarks`)."""

    always_asked = True

    def __init__(self, marks: DeliveredMarks, lease: Lease, now: Callable[[], float]) -> None:
        self.marks = marks
        self.lease = lease
        self.now = now
        self._refusals = 0

    @property
    def has_unwritten_marks(self) -> bool:
        """Whether output has to be looked at before it is sent."""
        return self.lease.is_silent(self.now()) or self.marks.has_unwritten_marks

    @property
    def noted(self) -> int:
        """How many deliveries were reported. Output that the lease holds counts as one, so that all of it is held."""
        return self.marks.noted + self._refusals

    def write_delivered_marks(self) -> bool:
        """Note deliveries. False if output has to wait, for the store or for the lease."""
        if self.lease.is_silent(self.now()):
            self._refusals += 1
            return False
        return self.marks.write_delivered_marks()


class ReplicatedPlace:
    """Where the owner of a virtual host keeps its data (`DataPlace`). `subjects`, `catalogues`: of what is in
    `directory` (`DirectoryBuilder`). `clean`: the owner before has left in peace. `ahead`: what was read of the message
    log. `written`: all of it is in the log, and nothing follows."""

    def __init__(
        self,
        directory: Path,
        bridge: LogBridge,
        lease: Lease,
        subjects: Mapping[Path, str],
        catalogues: Sequence[str],
        *,
        clean: bool,
        ahead: Mapping[Path, SegmentAhead],
    ) -> None:
        self.directory = directory
        self.bridge = bridge
        self.lease = lease
        self.catalogues = catalogues
        self.clean = clean
        self.ahead = ahead
        self.written = False
        self.files = ReplicatedFiles(directory, bridge, bridge.owned.epoch, subjects, VHOST_DESCRIPTORS)
        self.files.stream_files = descriptors.stream_files(self.files.stream_files)
        self.files.retained = bridge.copy.staged if bridge.copy is not None else None

    def open(self, background: Background) -> DiskStore:
        """Open the store. Raises `StoreError`."""
        files = self.files
        store = DiskStore(
            self.directory,
            background,
            files,
            make_catalogue=lambda path, ticket: ReplicatedCatalogue(path, ticket, files, self.catalogues),
        )
        store.interrupted = not self.clean
        store.ahead, self.ahead = self.ahead, {}
        return store

    def restored(self, store: DiskStore) -> DeliveredMarks:
        """The virtual host is restored: drop what it has deleted."""
        store.ahead = {}
        self.files.drop_missing()
        return LeasedMarks(store, self.lease, self.bridge.time.now)

    async def close(self, store: DiskStore) -> None:
        """Write what is not written yet, and close the store."""
        store.leave_loop()
        self.written = await asyncio.to_thread(store.write_all)
        store.end(self.written)
