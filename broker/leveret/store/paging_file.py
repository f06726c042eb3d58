"""Moves blocks of long backlogs, and contents of unacknowledged messages, out of memory, to temporary files without a
name, which end with the process.

Files are filled one after another. A file is closed when all its blocks were read; queues are first in, first out, so
this is soon after its first block was read. Reading ahead is left to the kernel.

A disk can take any time for a write. In a running node a thread of its own writes (`begin`), and a block is read from
memory until it is written. If too much waits for the thread, no more is accepted: blocks stay in memory, and are paged
out when it has caught up. Blocks are gathered for a moment and written together, in one system call if they are in
one piece: each return from a call takes the interpreter away from the event loop, which then waits for a thread that a
busy system may run only milliseconds later.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from leveret.queues.backlog.paging import Pager
from leveret.queues.disk_read import DiskRead
from leveret.store.checksum import crc32c

log = logging.getLogger("leveret")

#: The minimum size of a file, and about the maximum number of files: longer backlogs get larger files.
MIN_FILE_BYTES = 16 * 1024 * 1024
MAX_FILES = 64

#: Octets that are read at once from a block whose parts are read one after another, and how many blocks are read in
#: this way at the same time: consumers that get returned messages again.
READ_AHEAD_BYTES = 64 * 1024
READ_TOGETHER = 8

#: Octets that may wait for the thread.
MAX_UNWRITTEN_BYTES = 32 * 1024 * 1024

#: Seconds for which blocks are gathered, and octets after which they are written in any case.
GATHER_S = 0.02
GATHERED_BYTES = 4 * 1024 * 1024

#: Seconds between two attempts to write while writing fails.
RETRY_INTERVAL_S = 1.0


#: Blocks that are written with one system call, fewer than any system allows.
MAX_TOGETHER = 256


def _join_and_write(file: int, blocks: Sequence[memoryview], offset: int) -> int:
    return os.pwrite(file, b"".join(blocks), offset)


#: Writes several blocks: with one system call where there is one for it.
_write_at = getattr(os, "pwritev", _join_and_write)


class Thread(Protocol):
    """What the pager needs from the event loop."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""

    def offload(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `step` in a thread, one after another, then `done` in the loop with the error it raised."""

    def read(self, step: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `step` in the thread that reads, then `done` in the loop with the error it raised."""


class BlockLocation(NamedTuple):
    """The place of a block, and its CRC-32C."""

    file: PagingFile
    offset: int
    size: int
    crc: int


class PagingFile:
    """One temporary file, which is created with its first block. `size`: octets that have a place in it; `waiting`:
    octets not read yet; `writing`: blocks that are not written yet; `reading`: how often it is being read."""

    def __init__(self, directory: str | None) -> None:
        self.directory = directory
        self.opened: BinaryIO | None = None
        self.size = 0
        self.waiting = 0
        self.writing = 0
        self.reading = 0

    @property
    def file(self) -> BinaryIO:
        """The file. Raises OSError if it cannot be created."""
        if self.opened is None:
            import tempfile  # seldom

            self.opened = tempfile.TemporaryFile(dir=self.directory, buffering=0)  # noqa: SIM115  `_close_unused`
        return self.opened

    def write(self, blocks: Sequence[bytes], offset: int) -> None:
        """Write blocks one behind the other. Raises OSError."""
        handle = self.file.fileno()
        for first in range(0, len(blocks), MAX_TOGETHER):
            left = [memoryview(block) for block in blocks[first : first + MAX_TOGETHER]]
            while left:
                written = _write_at(handle, left, offset)
                offset += written
                while left and written >= len(left[0]):
                    written -= len(left.pop(0))
                if left:
                    left[0] = left[0][written:]

    @property
    def unused(self) -> BinaryIO | None:
        """The file if nobody needs it any more, to be closed."""
        return self.opened if self.waiting == 0 and self.writing == 0 and self.reading == 0 else None


class FilePager(Pager):
    """Pages to files in `directory` (None: the system temporary directory). `refused`: the last write failed;
    `unwritten`: octets that wait for the thread."""

    def __init__(self, limit: int, directory: str | None = None) -> None:
        super().__init__(limit)
        self.directory = directory
        self.current: PagingFile | None = None
        self.refused = False
        self.unwritten = 0
        self._thread: Thread | None = None
        self._unwritten: dict[BlockLocation, bytes] = {}
        self._next: list[BlockLocation] = []  # of these, what the thread does not have yet
        self._gathering = False  # a step begins soon
        self._writing = False  # a step runs in the thread
        self._ahead: dict[BlockLocation, tuple[int, bytes]] = {}  # an offset, and what was read from there on
        self._unreadable: dict[BlockLocation, OSError] = {}

    def begin(self, thread: Thread) -> None:
        """Write in a thread from now on."""
        self._thread = thread

    def write(self, data: bytes) -> BlockLocation | None:
        """Give a block a place in the current file, and write it there. None if that fails, or too much waits to be
        written: the block stays in memory."""
        if self._thread is None:
            return self._write_now(data)
        if self.unwritten and self.unwritten + len(data) > MAX_UNWRITTEN_BYTES:
            return None
        location = self._place(data)
        self._unwritten[location] = data
        self.unwritten += len(data)
        self._write_later(self._thread, [location])
        return location

    def _place(self, data: bytes) -> BlockLocation:
        into = self.current
        if into is None or into.size >= max(MIN_FILE_BYTES, self.paged // MAX_FILES):
            into = self.current = PagingFile(self.directory)
        location = BlockLocation(into, into.size, len(data), crc32c(data))
        into.size += len(data)
        into.waiting += len(data)
        self.paged += len(data)
        return location

    def _write_now(self, data: bytes) -> BlockLocation | None:
        location = self._place(data)
        try:
            location.file.write([data], location.offset)
        except OSError as error:
            self._failed(error)
            self.free(location)
            return None
        self.refused = False
        return location

    def _write_later(self, thread: Thread, blocks: Iterable[BlockLocation]) -> None:
        """Write blocks with the next step of the thread. Until then they are read from memory."""
        self._next += blocks
        self._begin_later(thread)

    def _begin_later(self, thread: Thread) -> None:
        """Begin a step when blocks have been gathered for a moment, or are many; one at a time."""
        if self._writing or not self._next:
            return
        if self.unwritten >= GATHERED_BYTES:
            self._begin_step(thread)
        elif not self._gathering:
            self._gathering = True
            thread.later(GATHER_S, lambda: self._gathered(thread))

    def _gathered(self, thread: Thread) -> None:
        self._gathering = False
        if not self._writing:
            self._begin_step(thread)

    def _begin_step(self, thread: Thread) -> None:
        """Have the thread write all blocks that wait, but not those that were freed meanwhile."""
        blocks = [(where, data) for where in self._next if (data := self._unwritten.get(where)) is not None]
        self._next.clear()
        if not blocks:
            self.page_postponed()
            return
        self._writing = True
        for where, _ in blocks:
            where.file.writing += 1

        def step() -> None:
            for file, offset, parts in _pieces(blocks):
                file.write(parts, offset)

        thread.offload(step, lambda error: self._written(thread, [where for where, _ in blocks], error))

    def _written(self, thread: Thread, blocks: list[BlockLocation], error: OSError | None) -> None:
        """The thread has written blocks, or failed: then they are written again after a while."""
        self._writing = False
        for where in blocks:
            where.file.writing -= 1
        failed = [where for where in blocks if where in self._unwritten] if error is not None else []
        if error is not None and failed:
            self._failed(error)
            thread.later(RETRY_INTERVAL_S, lambda: self._write_later(thread, failed))
        else:
            self.refused = self.refused and error is not None
            for where in blocks:
                self._forget(where)
        for file in {where.file for where in blocks}:
            self._close_unused(file)
        self._begin_later(thread)
        if not failed:
            self.page_postponed()

    def _forget(self, location: BlockLocation) -> None:
        """Forget the copy of a block in memory, if there is one."""
        if self._unwritten.pop(location, None) is not None:
            self.unwritten -= location.size

    def _failed(self, error: OSError) -> None:
        if not self.refused:
            log.warning("cannot page long queues to disk, they stay in memory: %s", error)
        self.refused = True

    def read(self, where: BlockLocation) -> bytes:
        """Read a block and free its place. Raises OSError."""
        data = self.peek(where)
        self.free(where)
        return data

    def peek(self, where: BlockLocation) -> bytes:
        """Read a block. Raises OSError."""
        return _sound(self.part(where, 0, where.size), where)

    def begin_read(self, where: BlockLocation) -> DiskRead:
        """Begin to read a block, in the thread that reads unless it waits to be written."""
        if self._thread is None or where in self._unwritten:
            return DiskRead.now(lambda: self.peek(where))
        return self._read_in(self._thread, where, lambda: self._checked(where))

    def _read_in(self, thread: Thread, where: BlockLocation, read: Callable[[], bytes]) -> DiskRead:
        file, found, begun = where.file, b"", DiskRead()

        def step() -> None:
            nonlocal found
            found = read()

        def done(error: OSError | None) -> None:
            file.reading -= 1
            self._close_unused(file)
            begun.end(found, error)

        file.reading += 1
        thread.read(step, done)
        return begun

    def has_part(self, where: BlockLocation, offset: int, size: int) -> bool:
        """Return whether a part of a block is in memory, or is known to be unreadable; without a thread, true."""
        if self._thread is None or where in self._unwritten or where in self._unreadable:
            return True
        at, ahead = self._ahead.get(where, (0, b""))
        return at <= offset and offset + size <= at + len(ahead)

    def begin_part(self, where: BlockLocation, offset: int, size: int) -> DiskRead:
        """Begin to read a part of a block, and what follows."""
        if self._thread is None or where in self._unwritten:
            return DiskRead.now(lambda: b"")
        length = min(max(size, READ_AHEAD_BYTES), where.size - offset)
        begun = self._read_in(self._thread, where, lambda: self._read(where, offset, length))

        def done() -> None:
            if where.file.waiting == 0:
                return
            if begun.error is not None:
                self._unreadable[where] = begun.error
            else:
                self._keep_ahead(where, offset, begun.data)

        begun.when_done(done)
        return begun

    def _checked(self, where: BlockLocation) -> bytes:
        """Read a written block from its file; in any thread. Raises OSError."""
        return _sound(self._read(where, 0, where.size), where)

    def part(self, where: BlockLocation, offset: int, size: int) -> bytes:
        """Read a part of a block, unchecked. Raises OSError."""
        unwritten = self._unwritten.get(where)
        if unwritten is not None:
            return unwritten[offset : offset + size]
        if where in self._unreadable:
            raise self._unreadable[where]
        at, ahead = self._ahead.get(where, (0, b""))
        if at <= offset and offset + size <= at + len(ahead):
            return ahead[offset - at : offset - at + size]
        if offset != at + len(ahead) or size >= min(where.size, READ_AHEAD_BYTES):
            return self._read(where, offset, size)
        ahead = self._read(where, offset, min(READ_AHEAD_BYTES, where.size - offset))
        self._keep_ahead(where, offset, ahead)
        return ahead[:size]

    def _keep_ahead(self, where: BlockLocation, offset: int, ahead: bytes) -> None:
        """Keep what was read of a block from an offset on."""
        self._ahead.pop(where, None)
        if len(self._ahead) >= READ_TOGETHER:
            del self._ahead[next(iter(self._ahead))]
        self._ahead[where] = (offset, ahead)

    def _read(self, where: BlockLocation, offset: int, size: int) -> bytes:
        """Read a part of a block from its file. Raises OSError."""
        handle = where.file.file.fileno()
        data = os.pread(handle, size, where.offset + offset)
        while len(data) < size:
            more = os.pread(handle, size - len(data), where.offset + offset + len(data))
            if not more:
                raise OSError("a temporary file has lost what was written to it")
            data += more
        return data

    def free(self, where: BlockLocation) -> None:
        """Free the place of a block; the last one closes the file."""
        file = where.file
        self._forget(where)
        self._ahead.pop(where, None)
        self._unreadable.pop(where, None)
        file.waiting -= where.size
        self.paged -= where.size
        if file.waiting == 0:
            if file is self.current:
                self.current = None
            self._close_unused(file)

    def _close_unused(self, file: PagingFile) -> None:
        """Close a file if nobody needs it any more: in the thread, because that frees its space on the disk."""
        unused = file.unused
        if unused is None:
            return
        if self._thread is None:
            unused.close()
        else:
            self._thread.offload(unused.close, _closed)


def _pieces(
    blocks: Iterable[tuple[BlockLocation, bytes]],
) -> Iterator[tuple[PagingFile, int, list[bytes]]]:
    """Return each piece of a file that blocks fill without a gap: its file, its offset, its blocks."""
    file: PagingFile | None = None
    offset, end, parts = 0, 0, list[bytes]()
    for where, data in blocks:
        if where.file is not file or where.offset != end:
            if file is not None:
                yield file, offset, parts
            file, offset, parts = where.file, where.offset, []
        parts.append(data)
        end = where.offset + where.size
    if file is not None:
        yield file, offset, parts


def _sound(data: bytes, where: BlockLocation) -> bytes:
    """Return the data of a block. Raises OSError if it is not what was written."""
    if crc32c(data) != where.crc:
        raise OSError(
            f"a temporary file is damaged at octet {where.offset}: what is read is not what was written"
        )
    return data


def _closed(error: OSError | None) -> None:
    """A file is closed, or cannot be: there is nothing to do."""
