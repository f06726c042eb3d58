"""Streams on disk: `streams/<queue>/<first offset>.stream`, one file for each segment: a mark, then its pages.

Each commit writes the new part of the newest pages before the message log, and syncs it with the log. Synced pages
leave memory and are read from their files. Files are never rewritten; retention deletes whole files, once something
newer is synced. A file is synced before the next one begins, so only the newest can end inside a chunk.
`recovery.py` reads the files at start.

There may be more streams than descriptors. At most `MAX_OPEN_FILES` files are open; a file is synced before it is
closed, because the kernel reports a write error only to descriptors that were open then.
"""

from __future__ import annotations

import logging
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from google_crc32c import value as crc32c

from leveret.queues.stream.log import Page, StreamLog
from leveret.store.catalogue.sqlite import SqliteCatalogue
from leveret.store.files import Files
from leveret.store.messages.log import DiskStreamJournal, MessageLog
from leveret.store.streams.chunks import CHUNK_MARK, PROOF, PROOF_AT, first_damage

if TYPE_CHECKING:
    from leveret.queues.stream.queue import StreamQueue

log = logging.getLogger("leveret")

#: The first octets of a file; the last one is the version of the format.
MARK = b"LEVSTRM\x01"

#: The most files that stay open, so that a busy stream does not open its file for every commit.
MAX_OPEN_FILES = 128


class StreamFile:
    """One file: `first` offset, octets `written` and `synced`; `handle` is -1 if it is not open."""

    def __init__(self, path: Path, first: int) -> None:
        self.path = path
        self.first = first
        self.handle = -1
        self.written = 0
        self.synced = 0


class StreamFiles:
    """The files of one stream, oldest first. `pending`: unwritten pages; `done` octets of the first one are written.
    `kept`: written pages that are not synced; `dropping`: files that are deleted after the next sync."""

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
        data[end - 4 : end] = int(crc32c(bytes(data[at:]))).to_bytes(4, "big")

    def dropped(self, first: int) -> None:
        """Delete the files of segments before this offset."""
        while self.files and self.files[0].first < first:
            self.dropping.append(self.files.pop(0))
        if self.files and not self.pending:
            self.delete_left()

    def purge(self) -> None:
        """Delete all files once the catalogue does not have the stream any more."""
        self.gone = True
        self.pending.clear()
        self.kept.clear()
        for file in [*self.files, *self.dropping]:
            self.owner.close(file)
        self.owner.purged.append(self)

    # --- writing

    def write(self) -> None:
        """Write what is not written yet. Raises OSError; can be called again."""
        if self.gone:
            return
        self.log.end_chunk()
        self.owner.wrote[self.number] = self
        while self.pending:
            page = self.pending[0]
            if not page.gone and self.done < page.size:
                file = self.file_for(page)
                self.owner.disk.write(
                    file.handle, bytes(page.data[self.done :]), len(MARK) + page.at + self.done
                )
                self.done = page.size
                file.written = len(MARK) + page.at + page.size
            if page is self.log.page:
                return
            self.pending.popleft()
            self.done = 0
            self.kept.append(page)

    def file_for(self, page: Page) -> StreamFile:
        """The open file of a page's segment. Raises OSError."""
        disk = self.owner.disk
        newest = self.files[-1] if self.files else None
        if newest is not None and newest.first == page.segment:
            self.owner.use(self, newest, disk.open)
            return newest
        if newest is not None and newest.handle >= 0:
            if newest.synced < newest.written:
                self.sync(newest)
            self.forget_synced()
            self.owner.close(newest)
        return self.begin_file(page.segment)

    def sync(self, file: StreamFile) -> None:
        """Sync a file before the next one begins. Raises OSError."""
        try:
            self.owner.disk.sync(file.handle)
        except OSError:
            self.write_again()
            raise
        file.synced = file.written

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
            self.owner.catalogue.set(f"stream {self.number}", first)
            if not self.files:
                self.owner.catalogue.set(f"stream {self.number} first", first)
            self.owner.catalogue.save()
        except OSError:
            self.owner.close(file)
            raise
        file.written = len(MARK)
        self.files.append(file)
        return file

    def unsynced(self) -> StreamFile | None:
        """The newest file if it is not synced; None if all are."""
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
                page.proof = int(crc32c(page.data))
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
        catalogue = self.owner.catalogue
        catalogue.set(f"stream {self.number} first", self.files[0].first)
        try:
            catalogue.save()
        except OSError:
            return  # tried again after the next sync
        for file in self.dropping:
            self.owner.close(file)
            try:
                self.owner.disk.remove(file.path)
            except OSError as error:
                log.warning("cannot delete %s: %s", file.path, error)
        self.dropping = []

    # --- reading

    def read(self, page: Page) -> bytes:
        """Read a page and check it. Raises OSError."""
        path = self.directory / f"{page.segment:020d}.stream"
        start = len(MARK) + page.at
        data = self.owner.disk.read(path, start, page.size)
        if len(data) != page.size:
            raise OSError(f"{path} is shorter than it was: it ends at octet {start + len(data)}")
        proof = int(crc32c(data))
        if proof != page.proof:
            at = first_damage(data)
            if page.proof >= 0 or at >= 0:
                raise OSError(
                    f"{path} is damaged at octet {start + max(at, 0)}: a chunk does not match its checksum"
                )
            page.proof = proof
        return data


class Streams:
    """All streams of a data directory. `purged`: streams whose files are deleted once the catalogue does not have them;
    `wrote`: streams that wrote since the last sync began; `busy`: a sync is running; `opened`: open files with their
    streams, the last used one at the end."""

    def __init__(self, directory: Path, disk: Files, journal: MessageLog, catalogue: SqliteCatalogue) -> None:
        self.directory = directory
        self.disk = disk
        self.journal = journal
        self.catalogue = catalogue
        self.streams: dict[int, StreamFiles] = {}
        self.purged: list[StreamFiles] = []
        self.wrote: dict[int, StreamFiles] = {}
        self.busy = False
        self.opened: dict[StreamFile, StreamFiles] = {}
        disk.make_room = self._close_oldest
        self._closing: list[int] = []
        self._targets: list[tuple[StreamFiles, StreamFile, int]] = []

    def attach(self, queue: StreamQueue, number: int) -> StreamFiles:
        """Give a new stream its files."""
        files = self.streams[number] = StreamFiles(self, number, queue.log)
        queue.log.stream_journal = DiskStreamJournal(self.journal, files)
        return files

    def write(self) -> None:
        """Write the new records of all streams. Raises OSError; can be called again."""
        grown: list[DiskStreamJournal] = self.journal.grown
        while grown:
            stream_journal = grown[-1]
            stream_journal.files.write()
            stream_journal.unwritten = False
            grown.pop()
        self.journal.streams_delivered = False

    def use(self, files: StreamFiles, file: StreamFile, opening: Callable[[Path], int]) -> None:
        """Open a file; if too many are open, close the least recently used one. Raises OSError."""
        if file.handle < 0:
            while len(self.opened) >= MAX_OPEN_FILES and self._close_oldest():
                pass
            file.handle = opening(file.path)
        self.opened.pop(file, None)
        self.opened[file] = files

    def _close_oldest(self) -> bool:
        """Close the least recently used file that is not being synced; False if there is none. The last used one stays
        open. Raises OSError."""
        waited_for = {file for _, file, _ in self._targets} if self.busy else set()
        for file, files in list(self.opened.items())[:-1]:
            if file not in waited_for:
                if file.synced < file.written:
                    files.sync(file)
                    files.settled()
                self.close(file)
                return True
        return False

    @property
    def unsynced(self) -> bool:
        """Whether something is written and not synced."""
        return bool(self.wrote)

    def begin_sync(self) -> Callable[[], None]:
        """Begin a sync: returns the call that waits for it, in another thread; `end_sync` must follow."""
        self.busy = True
        self._targets = []
        for files in self.wrote.values():
            file = files.unsynced()
            if file is not None:
                self._targets.append((files, file, file.written))
        self.wrote = {}
        handles = [file.handle for _, file, _ in self._targets]

        def wait() -> None:
            for handle in handles:
                self.disk.sync(handle)

        return wait

    def end_sync(self, good: bool) -> None:
        """End a sync, which succeeded or failed (`good`)."""
        self.busy = False
        for handle in self._closing:
            self.disk.close(handle)
        self._closing = []
        targets, self._targets = self._targets, []
        for files, file, written in targets:
            if good:
                file.synced = max(file.synced, written)
                files.settled()
            else:
                self.wrote[files.number] = files
                files.write_again()

    def rewrite(self) -> None:
        """Write again what a failed sync may have lost. Raises OSError."""
        for files in list(self.wrote.values()):
            files.write()

    def sync(self) -> None:
        """Sync in this thread. Raises OSError."""
        self.begin_sync()()
        self.end_sync(True)

    def delete_purged(self) -> None:
        """Delete the files of purged streams; the catalogue is on the disk."""
        for files in self.purged:
            self.streams.pop(files.number, None)
            self.wrote.pop(files.number, None)
            for name in (f"stream {files.number}", f"stream {files.number} first"):
                self.catalogue.set(name, None)
            shutil.rmtree(files.directory, ignore_errors=True)
        self.purged = []

    def close(self, file: StreamFile | None = None) -> None:
        """Close a file, after a running sync; or all files."""
        for one in [file] if file else [file for files in self.streams.values() for file in files.files]:
            if one.handle >= 0:
                if self.busy and file:
                    self._closing.append(one.handle)
                else:
                    self.disk.close(one.handle)
                one.handle = -1
                self.opened.pop(one, None)
