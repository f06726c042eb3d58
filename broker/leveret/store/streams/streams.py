"""Streams on disk: `streams/<queue>/<first offset>.stream`, one file for each segment: a mark, then its pages.

Each commit writes the new part of the newest pages before the message log, and syncs it with the log. Synced pages
leave memory and are read from their files. Files are never rewritten; retention deletes whole files, once something
newer is synced. A file is synced before the next one begins, so only the newest can end inside a chunk.
`recovery.py` reads the files at start.

Beginning a file takes syncs. A write that begins one runs in the store's thread: `StreamWrite` has a copy of what it
writes, and the streams go on meanwhile.

There may be more streams than descriptors. At most `Files.stream_files` files are open; a file is synced before it is
closed, because the kernel reports a write error only to descriptors that were open then. When no descriptor is left,
any thread closes one of these files, also the thread that reads, while another one writes: `Streams.lock` is for that.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leveret.queues.disk_read import DiskRead
from leveret.queues.stream.log import Page, StreamLog
from leveret.store.catalogue.sqlite import Setting, SqliteCatalogue
from leveret.store.checksum import crc32c
from leveret.store.files import Files
from leveret.store.messages.log import LATER, DiskStreamJournal, MessageLog
from leveret.store.streams.chunks import CHUNK_MARK, PROOF, PROOF_AT, first_damage

if TYPE_CHECKING:
    from leveret.queues.stream.queue import StreamQueue

log = logging.getLogger("leveret")

#: The first octets of a file; the last one is the version of the format.
MARK = b"LEVSTRM\x01"


class StreamFile:
    """One file: `first` offset, octets `written` and `synced`; `handle` is -1 if it is not open."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        self.first = first
        self.handle = -1
        self.written = 0
        self.synced = 0


class PagePart(NamedTuple):
    """Octets of a page, from `start` on, that are to be written."""

    files: StreamFiles
    page: Page
    start: int
    data: bytes


class StreamFiles:
    """The files of one stream, oldest first. `pending`: unwritten pages; `done` octets of the first one are written.
    `kept`: written pages that are not synced; `dropping`: files that are deleted after the next sync; `doubtful`: a
    sync of the newest file failed, so the success of the next one would prove nothing."""

    def __init__(self, owner: Streams, number: int, stored: StreamLog) -> None:
        self.owner = owner
        self.number = number
        self.log = stored
        self.directory = owner.directory / f"{number:08d}"
        self.files: list[StreamFile] = []
        self.pending: deque[Page] = deque()
        self.done = 0
        self.kept: list[Page] = []
        self.dropping: list[StreamFile] = []
        self.doubtful = False
        self.gone = False

    # --- called by the stream

    def begun(self, page: Page) -> None:
        """Add a page to those that are to be written."""
        self.pending.append(page)

    def finish(self, page: Page, at: int, count: int) -> None:
        """Write the proof of a complete chunk into it."""
        newest = self.files[-1] if self.files else None
        since = newest.synced if newest is not None and newest.first == page.segment else 0
        start = at + PROOF_AT
        data = page.data
        data[start : start + PROOF.size] = PROOF.pack(CHUNK_MARK, since, page.size - at, count, 0)
        end = start + PROOF.size
        data[end - 4 : end] = crc32c(bytes(data[at:])).to_bytes(4, "big")

    def dropped(self, first: int) -> None:
        """Delete the files of segments before this offset."""
        count = 0
        while count < len(self.files) and self.files[count].first < first:
            count += 1
        self.dropping += self.files[:count]
        del self.files[:count]
        if self.files and not self.pending:
            self.delete_left()

    def purge(self) -> None:
        """Delete all files once the catalogue does not have the stream any more."""
        self.gone = True
        self.pending.clear()
        self.kept.clear()
        for file in [*self.files, *self.dropping]:
            self.owner.close(file, later=self.owner.users > 0)
        self.owner.purged.append(self)

    # --- writing

    @property
    def begins_file(self) -> bool:
        """Whether what is not written yet needs a new file."""
        newest = self.files[-1].first if self.files else -1
        return any(page.segment != newest and not page.gone for page in self.pending)

    def take(self) -> list[PagePart]:
        """Return a copy of what is not written yet; it stays pending until `note_written`."""
        if self.gone:
            return []
        self.log.end_chunk()
        self.owner.wrote[self.number] = self
        done, parts = self.done, []
        for page in self.pending:
            if not page.gone and done < page.size:
                parts.append(PagePart(self, page, done, _from(page.data, done)))
            done = 0
        return parts

    def put(self, part: PagePart) -> None:
        """Write a part into the file of its segment; in any thread. Raises OSError; can be called again."""
        page = part.page
        if self.gone or page.gone:
            return
        try:
            with self.owner.lock:
                file = self.file_for(page)
                at = len(MARK) + page.at + part.start
                self.owner.disk.write(file.handle, part.data, at)
        except OSError:
            if not self.gone:  # the loop has closed the file
                raise
            return
        file.written = at + len(part.data)

    def note_written(self, part: PagePart) -> None:
        """A part is in its file: pages before it are complete."""
        if self.gone:
            return
        while self.pending and self.pending[0] is not part.page:
            self._complete()
        self.done = part.start + len(part.data)
        while self.pending and self.pending[0] is not self.log.page and self.done >= self.pending[0].size:
            self._complete()

    def _complete(self) -> None:
        self.kept.append(self.pending.popleft())
        self.done = 0

    def file_for(self, page: Page) -> StreamFile:
        """Return the open file of a page's segment. Raises OSError."""
        disk = self.owner.disk
        newest = self.files[-1] if self.files else None
        if newest is not None and newest.first == page.segment:
            self.owner.use(self, newest, disk.open)
            return newest
        if newest is not None and newest.handle >= 0:
            if newest.synced < newest.written:
                self.sync(newest)
            self.owner.close(newest)
        return self.begin_file(page.segment)

    def sync(self, file: StreamFile) -> None:
        """Sync a file before the next one begins, or before it is closed. Raises OSError; `repair` must follow."""
        if self.doubtful:
            raise _unsure(file)
        try:
            self.owner.disk.sync(file.handle)
        except OSError:
            self.doubtful = True
            raise
        file.synced = file.written

    def repair(self) -> None:
        """After a failed sync, have everything written again that is not synced."""
        if self.doubtful:
            self.write_again()

    def begin_file(self, first: int) -> StreamFile:
        """Begin a new file and make its name durable. Raises OSError."""
        disk = self.owner.disk
        if not self.directory.is_dir():
            self.directory.mkdir(parents=True)
            disk.sync_directory(self.directory.parent)
        file = StreamFile(self.directory / f"{first:020d}.stream", first)
        self.owner.use(self, file, disk.create)
        try:
            disk.write(file.handle, MARK, 0)
            disk.sync_directory(self.directory)
            settings: dict[str, Setting | None] = {f"stream {self.number}": first}
            if not self.files:
                settings[f"stream {self.number} first"] = first
            self.owner.catalogue.save_settings(settings)
        except OSError:
            self.owner.close(file)
            raise
        file.written = len(MARK)
        self.files.append(file)
        return file

    def unsynced(self) -> StreamFile | None:
        """Return the newest file if it is not synced; None if all are."""
        file = self.files[-1] if self.files else None
        return file if file is not None and file.handle >= 0 and file.synced < file.written else None

    def forget_synced(self) -> None:
        """Free the memory of synced pages."""
        newest = self.files[-1]
        still = []
        for page in self.kept:
            if page.segment == newest.first and newest.synced < len(MARK) + page.at + page.size:
                still.append(page)
            else:
                page.proof = crc32c(page.data)
                page.data = None
        self.kept = still

    def settled(self) -> None:
        """Continue after a sync."""
        if self.files and not self.gone:
            self.forget_synced()
            newest = self.files[-1]
            if newest.synced > len(MARK):
                self.delete_left()

    def write_again(self) -> None:
        """Write what is not synced again, at the same place, after a failed sync."""
        self.doubtful = False
        self.pending.extendleft(reversed(self.kept))
        self.kept = []
        self.done = 0
        if self.files:
            self.files[-1].written = self.files[-1].synced

    def delete_left(self) -> None:
        """Delete the files that retention dropped, after the catalogue has the new oldest file. Files that cannot be
        deleted are deleted at the next start."""
        if not self.dropping:
            return
        dropping, self.dropping = self.dropping, []
        for file in dropping:
            self.owner.close(file)
        self.owner.catalogue.set(f"stream {self.number} first", self.files[0].first)
        self.owner.dropped += [file.path for file in dropping]
        self.owner.journal.call(LATER)

    # --- reading

    def begin_read(self, page: Page) -> DiskRead:
        """Begin to read a page and to check it, in a thread."""
        found, read = b"", DiskRead()

        def step() -> None:
            nonlocal found
            found = self.read(page)

        self.owner.begin_read(step, lambda error: read.end(found, error))
        return read

    def read(self, page: Page) -> bytes:
        """Read a synced page and check it; in any thread. Raises OSError."""
        path = self.directory / f"{page.segment:020d}.stream"
        start = len(MARK) + page.at
        data = self.owner.disk.read(path, start, page.size)
        if len(data) != page.size:
            raise OSError(f"{path} is shorter than it was: it ends at octet {start + len(data)}")
        proof = crc32c(data)
        if proof != page.proof:
            at = first_damage(data)
            if page.proof >= 0 or at >= 0:
                raise OSError(
                    f"{path} is damaged at octet {start + max(at, 0)}: a chunk does not match its checksum"
                )
            page.proof = proof
        return data


def _unsure(file: StreamFile) -> OSError:
    """Return the error of a file that is not synced: an earlier sync has failed."""
    return OSError(errno.EIO, "an earlier sync has failed", str(file.path))


def _from(data: bytes | bytearray, start: int) -> bytes:
    """Return what begins at an octet of a page; a complete page is not copied if all of it is wanted."""
    if start == 0 and isinstance(data, bytes):
        return data
    with memoryview(data) as view:
        return bytes(view[start:])


class StreamWrite:
    """What streams had unwritten when it was made. `done`: how many parts are written."""

    def __init__(self, journals: list[DiskStreamJournal], parts: list[PagePart]) -> None:
        self.journals = journals
        self.parts = parts
        self.done = 0

    def run(self) -> None:
        """Write everything; in any thread. Raises OSError."""
        while self.done < len(self.parts):
            part = self.parts[self.done]
            part.files.put(part)
            self.done += 1


class Streams:
    """All streams of a data directory. `purged`: streams whose files are deleted once the catalogue does not have them;
    `dropped`: files that are deleted once the catalogue has the new oldest ones; `wrote`: streams that wrote since the
    last sync began; `begin_read`: runs a step in the thread that reads, then a call in the loop with the error that it
    raised; `users`: threads that write and sync files; `opened`: open files with their streams, the last used one at
    the end; `lock`: held by a thread while it opens, writes or closes one."""

    def __init__(
        self,
        directory: Path,
        disk: Files,
        journal: MessageLog,
        catalogue: SqliteCatalogue,
        begin_read: Callable[[Callable[[], None], Callable[[OSError | None], None]], None],
    ) -> None:
        self.directory = directory
        self.disk = disk
        self.journal = journal
        self.catalogue = catalogue
        self.streams: dict[int, StreamFiles] = {}
        self.purged: list[StreamFiles] = []
        self.dropped: list[Path] = []
        self.wrote: dict[int, StreamFiles] = {}
        self.begin_read = begin_read
        self.users = 0
        self.opened: dict[StreamFile, StreamFiles] = {}
        disk.make_room = self._close_oldest
        self.lock = threading.RLock()
        self._closing: list[StreamFile] = []
        self._syncing: list[StreamFiles] = []
        self._targets: list[tuple[StreamFile, int, int]] = []

    def attach(self, queue: StreamQueue, number: int) -> StreamFiles:
        """Give a new stream its files."""
        files = self.streams[number] = StreamFiles(self, number, queue.log)
        queue.log.stream_journal = DiskStreamJournal(self.journal, files)
        return files

    @property
    def begins_files(self) -> bool:
        """Whether the next write begins a file, which takes syncs."""
        return any(files.begins_file for files in self._files_of(self.journal.grown))

    def _files_of(self, journals: list[DiskStreamJournal]) -> list[StreamFiles]:
        numbers = [stream_journal.files.number for stream_journal in journals]
        return [self.streams[number] for number in numbers if number in self.streams]

    def write(self) -> None:
        """Write the new records of all streams. Raises OSError; can be called again."""
        write = self.begin_write()
        try:
            write.run()
        finally:
            self.end_write(write)

    def begin_write(self, *, again: bool = False) -> StreamWrite:
        """Copy what is not written; `end_write` must follow. `again`: also what a failed sync may have lost."""
        journals, self.journal.grown = self.journal.grown, []
        parts: list[PagePart] = []
        for stream_journal in journals:
            stream_journal.unwritten = False
        writers = {files.number: files for files in self._files_of(journals)}
        if again:
            writers.update(self.wrote)
        for files in writers.values():
            files.repair()
            parts += files.take()
        self.journal.streams_delivered = False
        return StreamWrite(journals, parts)

    def end_write(self, write: StreamWrite) -> None:
        """Note what was written; the rest is written next time."""
        for part in write.parts[: write.done]:
            part.files.note_written(part)
        if write.done == len(write.parts):
            return
        for files in self._files_of(write.journals):
            files.repair()
        for stream_journal in write.journals:
            if not stream_journal.unwritten:
                stream_journal.unwritten = True
                self.journal.grown.append(stream_journal)

    def use(self, files: StreamFiles, file: StreamFile, opening: Callable[[Path], int]) -> None:
        """Open a file; if too many are open, close the least recently used one. Raises OSError."""
        if file.handle < 0:
            while len(self.opened) >= self.disk.stream_files and self._close_oldest():
                pass
            file.handle = opening(file.path)
        self.opened.pop(file, None)
        self.opened[file] = files

    def _close_oldest(self) -> bool:
        """Close the least recently used file that is not being synced; False if there is none. The last used one stays
        open. In any thread. One whose sync fails stays open, too: the next commit finds that out."""
        with self.lock:
            waited_for = {file for file, _, _ in self._targets}
            for file, files in list(self.opened.items())[:-1]:
                if file not in waited_for and _synced(files, file):
                    self._close(file)
                    return True
        return False

    @property
    def unsynced(self) -> bool:
        """Whether something is written and not synced."""
        return bool(self.wrote)

    def begin_sync(self) -> Callable[[], None]:
        """Begin a sync, in any thread: returns the call that waits for it; `end_sync` must follow."""
        targets: list[tuple[StreamFile, int, int]] = []
        doubtful: list[StreamFile] = []
        with self.lock:
            self._syncing = list(self.wrote.values())
            for files in self._syncing:
                file = files.unsynced()
                if file is None:
                    continue
                if files.doubtful:
                    doubtful.append(file)
                targets.append((file, file.handle, file.written))
            self.wrote = {}
            self._targets = targets

        def wait() -> None:
            for file in doubtful:
                raise _unsure(file)
            for _, handle, _ in targets:
                self.disk.sync(handle)

        return wait

    def end_sync(self, good: bool) -> None:
        """End a sync, which succeeded or failed (`good`)."""
        targets, self._targets = self._targets, []
        synced, self._syncing = self._syncing, []
        if not good:
            for files in synced:
                self.wrote[files.number] = files
                files.write_again()
            return
        for file, _, written in targets:
            file.synced = max(file.synced, written)
        for files in synced:
            files.settled()

    def enter(self) -> None:
        """A thread begins to use files: what is closed meanwhile stays open until `leave`."""
        self.users += 1

    def leave(self) -> None:
        """A thread uses no file any more: close those that were to be closed meanwhile."""
        self.users -= 1
        if self.users == 0 and self._closing:
            closing, self._closing = self._closing, []
            self._close_unless_used(closing)

    def sync(self) -> None:
        """Sync in this thread. Raises OSError."""
        self.begin_sync()()
        self.end_sync(True)

    def forget_purged(self) -> list[Path]:
        """Remove purged streams from the catalogue; returns the files and directories to delete after its next
        transaction."""
        left, self.dropped = self.dropped, []
        for files in self.purged:
            self.streams.pop(files.number, None)
            self.wrote.pop(files.number, None)
            for name in (f"stream {files.number}", f"stream {files.number} first"):
                self.catalogue.set(name, None)
            left.append(files.directory)
        self.purged = []
        return left

    def delete(self, paths: list[Path]) -> None:
        """Delete files and directories; in any thread. What cannot be deleted is deleted at the next start."""
        for path in paths:
            if path.is_dir():
                self.disk.remove_tree(path)
                continue
            try:
                self.disk.remove(path)
            except OSError as error:
                log.warning("cannot delete %s: %s", path, error)

    def close(self, file: StreamFile | None = None, *, later: bool = False) -> None:
        """Close a file, or all files. `later`: the store's thread may use it, close it when that is over."""
        if file is None:
            self._close_unless_used([file for files in self.streams.values() for file in files.files])
        elif later or any(file is target for target, _, _ in self._targets):
            self._closing.append(file)
        else:
            self._close_unless_used([file])

    def _close_unless_used(self, files: list[StreamFile]) -> None:
        """Close files, or close them later if another thread uses one: the event loop does not wait for it."""
        if not self.lock.acquire(blocking=False):
            self._closing += files
            return
        try:
            for file in files:
                self._close(file)
        finally:
            self.lock.release()

    def _close(self, file: StreamFile) -> None:
        """Close a file, with the lock."""
        if file.handle >= 0:
            handle, file.handle = file.handle, -1
            self.opened.pop(file, None)
            self.disk.close(handle)


def _synced(files: StreamFiles, file: StreamFile) -> bool:
    """Sync a file unless all of it is; False if that fails."""
    try:
        if file.synced < file.written:
            files.sync(file)
    except OSError:
        return False
    return True
