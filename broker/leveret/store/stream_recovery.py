"""Reading streams back at start: where their chunks lie, not what is in them.

Every chunk of the newest file is checked; it ends at its first bad chunk, unless a later one vouches for it. Of older
files, which were on the disk as a whole before the next began, only the lengths are looked at.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from google_crc32c import value as crc32c

from leveret.queues.stream_log import NAMES, PAGE_BYTES, PROOF_SIZE, Page, StreamLog, StreamSegment
from leveret.store import errors
from leveret.store.streams import CHUNK_MARK, MARK, PROOF, PROOF_AT, StreamFile, StreamFiles, Streams

if TYPE_CHECKING:
    from leveret.queues.queue import Queue

#: Octets of a chunk before what its first record says.
_LEAST = PROOF_AT + PROOF_SIZE


class Chunk(NamedTuple):
    """One chunk: octets, records, time in ms, octets that were safe when it was complete, and whether it begins with
    names."""

    size: int
    records: int
    time: int
    since: int
    names: bool


def read_streams(streams: Streams, queues: dict[int, Queue]) -> None:
    """Fill the streams among `queues` with what the directory holds. Raises `StoreError`."""
    from leveret.queues.stream import StreamQueue

    for number, queue in queues.items():
        if isinstance(queue, StreamQueue):
            _read_stream(streams.attach(queue, number), queue)


def forget_deleted(streams: Streams) -> None:
    """Streams that were deleted, and then the broker was killed, leave the disk, once all else is known to be good."""
    if streams.directory.is_dir():
        known = {f"{number:08d}" for number in streams.streams}
        for path in streams.directory.iterdir():
            if path.name.isdigit() and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def _read_stream(files: StreamFiles, queue: Queue) -> None:
    stored = files.log
    paths = sorted(files.directory.iterdir()) if files.directory.is_dir() else []
    for path in paths:
        if path.suffix != ".stream" or not path.stem.isdigit():
            raise errors.foreign(path, "does not belong to a stream of Leveret")
    newest = files.owner.metadata.setting(f"stream {files.number}", -1)
    if newest >= 0 and (not paths or int(paths[-1].stem) < newest):
        raise errors.missing(files.directory / f"{newest:020d}.stream")
    for path in paths:
        if stored.segments and int(path.stem) != stored.end:
            raise errors.missing(files.directory / f"{stored.end:020d}.stream")
        try:
            files.files.append(_read_file(files, path, path is paths[-1]))
        except OSError as error:
            raise errors.unreadable(path, error) from error
    queue.restored()


def _read_file(files: StreamFiles, path: Path, newest: bool) -> StreamFile:
    """The pages of one file become the stream's. Raises `StoreError`, OSError."""
    file = StreamFile(path, int(path.stem))
    with path.open("rb") as opened:
        size = path.stat().st_size
        data: mmap.mmap | bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        with contextlib.closing(data) if isinstance(data, mmap.mmap) else contextlib.nullcontext():
            end = _read_chunks(files.log, file, data, newest)
            if end < size and (not newest or _vouched(data, end)):
                raise errors.damaged(path, end, "a chunk does not match its checksum")
    if newest:
        _end_file(files, file, end, size)
    file.written = file.synced = end
    return file


def _end_file(files: StreamFiles, file: StreamFile, end: int, size: int) -> None:
    """What a killed broker has left is on the disk, and nothing behind it. Raises OSError."""
    disk = files.owner.disk
    handle = disk.open(file.path)
    try:
        if size > end:
            disk.truncate(handle, end)
        if end == 0:
            disk.write(handle, MARK, 0)
        disk.sync(handle)
    finally:
        disk.close(handle)


def _read_chunks(stored: StreamLog, file: StreamFile, data: mmap.mmap | bytes, newest: bool) -> int:
    """Make pages of the good chunks; returns where they end."""
    segment = stored.segment = StreamSegment(file.first)
    stored.segments.append(segment)
    stored.end = file.first
    if data[: len(MARK)] != MARK:
        if data[:7] != MARK[:7] and len(data) >= len(MARK):
            raise errors.foreign(file.path, "is no stream of Leveret")
        if len(data) >= len(MARK):
            raise errors.newer(file.path, data[7], MARK[7])
        return 0
    at = len(MARK)
    page: Page | None = None
    while (chunk := chunk_at(data, at, newest)) is not None:
        if page is None or (page.size >= PAGE_BYTES and chunk.names):
            page = Page(stored.end, chunk.time, file.first, at - len(MARK))
            page.data = None
            if stored.pages:
                stored.pages[-1].next = page
            stored.pages.append(page)
        page.size += chunk.size
        page.count += chunk.records
        page.latest = segment.latest = chunk.time
        segment.size += chunk.size
        stored.size += chunk.size
        stored.last = stored.end
        stored.end += chunk.records
        at += chunk.size
    return at


def chunk_at(data: mmap.mmap | bytes, at: int, check: bool) -> Chunk | None:
    """The chunk at an offset, if there is a good one; `check`: with its checksum."""
    start = at + PROOF_AT
    if start + PROOF.size > len(data):
        return None
    mark, since, size, count, crc = PROOF.unpack_from(data, start)
    if mark != CHUNK_MARK or size < _LEAST or count == 0 or at + size > len(data):
        return None
    if check:
        end = start + PROOF.size
        if crc32c(data[at : end - 4] + bytes(4) + data[end : at + size]) != crc:
            return None
    time = int.from_bytes(data[at + 5 : at + 13], "big")
    return Chunk(size, count, time, since, bool(data[at + 4] & NAMES))


def _vouched(data: mmap.mmap | bytes, at: int) -> bool:
    """Whether a later chunk says that the bad one at `at` had been safe."""
    for found in re.finditer(re.escape(CHUNK_MARK), data):
        start = found.start() - PROOF_AT
        if start > at:
            chunk = chunk_at(data, start, True)
            if chunk is not None and chunk.since > at:
                return True
    return False
