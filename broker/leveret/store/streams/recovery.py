"""Reads the files of streams at start: the heads of their chunks, not their records.

Every chunk of the newest file is checked. The file ends at its first bad chunk, unless a later chunk says that this one
had been synced. Older files were synced as a whole before the next one began: only the heads of their chunks are read
now, and their checksums when they are delivered. Nothing is changed before all files are known to be good
(`finish_reading`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.queues.stream.log import PAGE_BYTES, Page, StreamLog, StreamSegment
from leveret.store import errors
from leveret.store.streams.chunks import HEAD_SIZE, FileReader, chunk_head
from leveret.store.streams.streams import MARK, StreamFile, StreamFiles, Streams

if TYPE_CHECKING:
    from leveret.queues.queue import Queue

log = logging.getLogger("leveret")

#: Names of the folders of streams.
_FOLDER = re.compile(r"[0-9]{8,10}")


def read_streams(streams: Streams, queues: Mapping[int, object], next_number: int) -> None:
    """Fill the streams among `queues` from their files. `next_number`: the catalogue has given no number from it on.
    Raises `StoreError`."""
    from leveret.queues.stream.queue import StreamQueue

    numbers = [int(path.name) for path in errors.listing(streams.directory) if _FOLDER.fullmatch(path.name)]
    errors.check_number(streams.catalogue.path, max(numbers, default=0), next_number)
    for number, queue in queues.items():
        if isinstance(queue, StreamQueue):
            _read_stream(streams.streams[number], queue)


def finish_reading(streams: Streams) -> None:
    """Sync the newest files, cut what is behind their last good chunk, and delete the directories of deleted streams.
    Raises `StoreError`."""
    for files in streams.streams.values():
        for file in files.files[-1:]:
            try:
                _end_file(files, file)
            except OSError as error:
                raise errors.unreadable(file.path, error) from error
    if streams.directory.is_dir():
        known = {f"{number:08d}" for number in streams.streams}
        for path in streams.directory.iterdir():
            if _FOLDER.fullmatch(path.name) and path.name not in known:
                streams.disk.remove_tree(path)


def _read_stream(files: StreamFiles, queue: Queue) -> None:
    stored = files.log
    paths = errors.listing(files.directory)
    for path in paths:
        if path.suffix != ".stream" or not path.stem.isdigit():
            raise errors.foreign(path, "does not belong to a stream of Leveret")
    newest = files.owner.catalogue.number(f"stream {files.number}", -1)
    if newest >= 0 and (not paths or int(paths[-1].stem) < newest):
        raise errors.missing(files.directory / f"{newest:020d}.stream")
    oldest = files.owner.catalogue.number(f"stream {files.number} first", -1)
    if 0 <= oldest < int(paths[0].stem if paths else 0):
        raise errors.missing(files.directory / f"{oldest:020d}.stream")
    for path in paths:
        if stored.segments and int(path.stem) != stored.end:
            raise errors.missing(files.directory / f"{stored.end:020d}.stream")
        try:
            files.files.append(_read_file(files, path, path is paths[-1]))
        except OSError as error:
            raise errors.unreadable(path, error) from error
    queue.restored()


def _read_file(files: StreamFiles, path: Path, newest: bool) -> StreamFile:
    """Add the pages of one file to the stream. Raises `StoreError`, OSError."""
    file = StreamFile(path, int(path.stem))
    reader = FileReader(files.owner.disk, path)
    end = _read_chunks(files.log, file, reader, newest)
    if end < reader.size:
        if not newest or reader.vouched(end):
            raise errors.damaged(path, end, "a chunk does not match its checksum")
        _warn_of_tail(reader, end)
    elif end == 0:
        log.warning(
            "%s is empty: whatever it held is lost. It is as a power failure may leave a new file.", path
        )
    file.written = file.synced = end
    return file


def _warn_of_tail(reader: FileReader, end: int) -> None:
    """Log what is dropped behind the last good chunk."""
    chunk = chunk_head(reader.read(end, HEAD_SIZE))
    held = f", {chunk.records} records by its own word," if chunk is not None else ""
    log.warning(
        "%s ends with an incomplete or damaged chunk: %d octets from octet %d on%s are dropped. "
        "This is what is left of a write that was cut short and had not been confirmed, unless the file was damaged.",
        reader.path,
        reader.size - end,
        end,
        held,
    )


def _end_file(files: StreamFiles, file: StreamFile) -> None:
    """Sync a file up to its last good chunk and cut the rest. Raises OSError."""
    disk = files.owner.disk
    handle = disk.open(file.path)
    try:
        if disk.size(file.path) > file.written:
            disk.truncate(handle, file.written)
        if file.written == 0:
            disk.write(handle, MARK, 0)
            file.written = file.synced = len(MARK)
        disk.sync(handle)
    finally:
        disk.close(handle)


def _read_chunks(stored: StreamLog, file: StreamFile, reader: FileReader, newest: bool) -> int:
    """Make pages of the good chunks of a file; returns where they end. Raises `StoreError`, OSError."""
    segment = stored.segment = StreamSegment(file.first)
    stored.segments.append(segment)
    stored.end = file.first
    mark = reader.read(0, len(MARK))
    if mark != MARK:
        if len(mark) == len(MARK) and mark[:7] == MARK[:7]:
            raise errors.newer(file.path, mark[7], MARK[7])
        if len(mark) == len(MARK) and any(mark):
            raise errors.foreign(file.path, "is no stream of Leveret")
        return 0
    at = len(MARK)
    page: Page | None = None
    while (chunk := reader.whole(at) if newest else reader.head(at)) is not None:
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
