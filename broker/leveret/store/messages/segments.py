"""The files of the message log: `messages/00000001.log` and so on.

Blocks are appended to the newest segment; when it is long enough, the next one begins. A new segment is written and
synced with its header under another name, so every `.log` file has a good header. Older segments are never written
again: they are deleted when everything in them is settled, or compacted (`compaction.py`).

Blocks stay in memory until they are synced. A failed write is tried again. A failed sync is repaired in a new copy of
the file (`rescue`): after a failed fdatasync, Linux marks the pages as clean, and a second call would succeed without
writing them.
"""

from __future__ import annotations

import errno
from pathlib import Path

from leveret.store.files import Files
from leveret.store.messages import blocks as log_blocks
from leveret.store.messages.log import widen

#: Octets after which the next segment begins.
SEGMENT_BYTES = 64 * 1024 * 1024

#: Blocks are joined up to this size, and written with one system call: copying them takes less time than a thread that
#: comes back from a call takes from the event loop. A larger one is written by itself, after its head.
WRITTEN_TOGETHER_BYTES = 1024 * 1024


class LogSegment:
    """One file. `live` of its `total` messages are not settled; `needs`: other segments of which it settles messages;
    `marks`: queue -> range of positions that it marks, in any segment. `dropping`: about to be deleted; `pinned`: must
    not be deleted."""

    def __init__(self, number: int, path: Path, length: int) -> None:
        self.number = number
        self.path = path
        self.length = length
        self.live = 0
        self.total = 0
        self.needs: set[int] = set()
        self.marks: dict[int, tuple[int, int]] = {}
        self.dropping = False
        self.pinned = False

    @property
    def share(self) -> float:
        """The fraction of its messages that is live."""
        return self.live / self.total if self.total and self.live > 0 else 0.0


class LogSegments:
    """All segments by number. `current`: the one that is written, None before the first block of this run.

    `sequence`: number of the last block; `synced`: highest number on the disk. `doubtful`: a sync of the current
    segment failed, so the success of the next one would prove nothing.
    """

    def __init__(self, directory: Path, files: Files, size: int = 0) -> None:
        self.directory = directory
        self.files = files
        self.size = size or SEGMENT_BYTES
        self.table: dict[int, LogSegment] = {}
        self.current: LogSegment | None = None
        self.sequence = 0
        self.synced = 0
        self.doubtful = False
        self._last = 0
        self._file = -1
        self._unsynced: list[tuple[bytes, bytes]] = []
        self._written = 0

    def owe(self, needs: set[int], marks: dict[int, tuple[int, int]]) -> None:
        """Add what the last block needs and marks to the current segment."""
        current = self.current
        if current is None:
            return
        current.needs |= needs - {current.number}
        for queue, (first, last) in marks.items():
            widen(current.marks, queue, first, last)
        needs.clear()
        marks.clear()

    def path(self, number: int) -> Path:
        """Return the path of a segment."""
        return self.directory / f"{number:08d}.log"

    def add(self, segment: LogSegment) -> None:
        """Add a segment that was found at start."""
        self.table[segment.number] = segment
        self._last = max(self._last, segment.number)

    def skip_to(self, number: int) -> None:
        """Number the next segment higher than this one."""
        self._last = max(self._last, number)

    @property
    def next_number(self) -> int:
        """The number that the next segment will have."""
        return self._last + 1

    @property
    def full(self) -> bool:
        """Whether the next block begins a new segment."""
        return self.current is None or self.current.length >= self.size

    def roll(self, epoch: int = 0) -> LogSegment:
        """Begin a new segment, after syncing everything before it. `epoch`: how often the catalogue was written. Raises
        OSError; nothing has changed then."""
        files = self.files
        number = self._last + 1
        self.sync_newest()
        older = {one.number: one.length for one in self.table.values() if not one.dropping}
        data = log_blocks.MARK + log_blocks.block(
            log_blocks.header(number, older, epoch), self.sequence + 1, self.sequence
        )
        path = self.path(number)
        new = path.with_suffix(".new")
        file = files.create(new)
        try:
            files.write(file, data, 0)
            files.sync(file)
            files.replace(new, path)
        except OSError:
            files.close(file)
            raise
        if self._file >= 0:
            files.close(self._file)
        self._file = file
        self.sequence += 1
        self.synced = self.sequence
        self._unsynced.clear()
        self._written = 0
        self.current = LogSegment(number, path, len(data))
        self.add(self.current)
        return self.current

    def sync_newest(self) -> None:
        """Sync what was read at start or written since. Raises OSError."""
        if self.doubtful:
            self.rescue()
        elif self._file >= 0:
            self.sync()
        elif self.table:
            file = self.files.open(self.table[max(self.table)].path)
            try:
                self.files.sync(file)
            finally:
                self.files.close(file)

    def append(self, *payloads: bytes) -> None:
        """Write blocks. Raises OSError; `flush` then writes them later."""
        for payload in payloads:
            self.sequence += 1
            self._unsynced.append((log_blocks.head(payload, self.sequence, self.synced), payload))
        self.flush()

    @property
    def unwritten(self) -> bool:
        """Whether there are blocks that are not written yet, since that failed."""
        return self._written < len(self._unsynced)

    def flush(self) -> None:
        """Write the blocks that are not written yet; in any thread. Raises OSError."""
        while self.current is not None and self.unwritten:
            parts: list[bytes] = []
            size = count = 0
            for head, payload in self._unsynced[self._written :]:
                size += len(head) + len(payload)
                if count and size > WRITTEN_TOGETHER_BYTES:
                    size -= len(head) + len(payload)
                    break
                parts += head, payload
                count += 1
            if size > WRITTEN_TOGETHER_BYTES:
                self.files.write(self._file, parts[0], self.current.length)
                self.files.write(self._file, parts[1], self.current.length + len(parts[0]))
            else:
                self.files.write(self._file, b"".join(parts), self.current.length)
            self.current.length += size
            self._written += count

    def sync(self) -> None:
        """Sync the file, if one was begun; called in another thread. Raises OSError; `rescue` must follow."""
        if self._file < 0:  # only streams have written since the start
            return
        try:
            self.files.sync(self._file)
        except OSError:
            self.doubtful = True
            raise

    def mark_synced(self, sequence: int) -> None:
        """Forget the blocks up to this one: they are on the disk."""
        count = sequence - self.synced
        self.synced = sequence
        del self._unsynced[:count]
        self._written -= count

    def rescue(self) -> None:
        """Write the segment again after a failed sync, from the synced part of the file and the blocks in memory.

        Raises OSError; nothing has changed then.
        """
        current = self.current
        assert current is not None
        files = self.files
        kept = b"".join(head + payload for head, payload in self._unsynced)
        written = sum(len(head) + len(payload) for head, payload in self._unsynced[: self._written])
        safe = files.read(current.path, 0, current.length - written)
        if len(safe) != current.length - written:
            raise OSError(errno.EIO, f"it ends at octet {len(safe)}, before what was safe", str(current.path))
        data = safe + kept
        new = current.path.with_suffix(".new")
        file = files.create(new)
        try:
            files.write(file, data, 0)
            files.sync(file)
            files.replace(new, current.path)
        except OSError:
            files.close(file)
            raise
        files.close(self._file)
        self._file = file
        current.length = len(data)
        self._unsynced.clear()
        self._written = 0
        self.synced = self.sequence
        self.doubtful = False

    def forget(self, segment: LogSegment) -> None:
        """Forget a segment, whose file is deleted."""
        del self.table[segment.number]

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            self.files.close(self._file)
            self._file = -1
