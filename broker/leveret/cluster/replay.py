"""Read a log back: which of its records count.

Not every record counts. A deposed owner may have had several appends on their way, and one of them may be accepted
right behind the EPOCH that took the place of the one before: "the last sequence is 7" does not say whose record 7 is.
And what was appended behind an EPOCH of somebody who gave up is appended again. So:

- An EPOCH counts if it is newer than all before it.
- Any other record counts if its epoch is the newest before it, and if it follows the last record that counts: the one
  that it names, if that was on its way when this one was sent. If none was (0), it was sent behind all that its owner
  had seen, and follows that.
- All others are stale: they were never confirmed, and their owner appends them again if it still is the owner.

Subjects are dropped from a log, first by a DROP record, then from the storage (`OwnedLog.drop`). So records that
counted may be missing, but never the one that another one names: both have the same subject (`log.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leveret.cluster.ports import Replica, StorageError, Stored
from leveret.cluster.records import BATCH, DROP, END, EPOCH, EPOCH_SUBJECT, PART, Record, checksum, decode

#: Dropped subjects that are remembered, if all records are there before they are dropped: an owner drops one after
#: another, so there may be records of the last ones only.
KEPT_LEFTOVERS = 64


@dataclass(frozen=True, slots=True)
class ReplayedBlock:
    """A block of the log. `sequence`: that of its last record."""

    subject: str
    payload: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class ReplayedDrop:
    """A subject of the log is not needed any more, whether or not its records are still there."""

    subject: str


class Replay:
    """What was read so far. `last`: the sequence read last, and `checksum`: of that record; `tail`: that of the last
    record that counts; `epoch`: the newest, and `claim`: whose it is; `ended`: its owner has left in peace; `clean`:
    the owner before it had. `leftovers`: subjects that were dropped, but of which there were still records.

    To go on with a part of a log, pass what an earlier replay had in `epoch`, `tail` and `last`, and the `subjects` of
    which there were records.
    """

    def __init__(self, epoch: int = 0, tail: int = 0, last: int = 0, subjects: Iterable[str] = ()) -> None:
        self.epoch = epoch
        self.claim = b""
        self.tail = tail
        self.last = last
        self.checksum = 0
        self.ended = False
        self.clean = False
        self.leftovers: dict[str, None] = {}
        self._subjects = set(subjects)
        self._parts: list[bytes] = []

    def add(self, stored: Stored) -> ReplayedBlock | ReplayedDrop | None:
        """Add the next record. Returns the block that it completes, or what it drops. Raises `StorageError`."""
        if stored.sequence <= self.last:
            raise StorageError(f"the storage returned record {stored.sequence} after {self.last}")
        record = decode(stored)
        self.last, self.checksum = stored.sequence, checksum(stored)
        self._subjects.add(stored.subject)
        if record.kind == EPOCH:
            self._add_epoch(record, stored.sequence)
            return None
        if not self._counts(record):
            return None
        self.tail = stored.sequence
        return self._take(record, stored)

    def _add_epoch(self, record: Record, sequence: int) -> None:
        if record.epoch <= self.epoch:
            return
        # A log without any owner before has nothing that could have been delivered.
        self.clean = self.ended or self.epoch == 0
        self.ended = False
        self.epoch, self.claim, self.tail = record.epoch, record.payload, sequence
        self._parts.clear()

    def _counts(self, record: Record) -> bool:
        return record.epoch == self.epoch and not self.ended and record.follows in (0, self.tail)

    def _take(self, record: Record, stored: Stored) -> ReplayedBlock | ReplayedDrop | None:
        if record.kind == BATCH:
            payload = b"".join((*self._parts, record.payload)) if self._parts else record.payload
            self._parts.clear()
            return ReplayedBlock(stored.subject, payload, stored.sequence)
        if record.kind == PART:
            self._parts.append(record.payload)
        elif record.kind == END:
            self.ended = True
        elif record.kind == DROP:
            return self._drop(record.payload.decode())
        else:
            raise StorageError(
                f"record {stored.sequence} of the replicated log has the unknown kind {record.kind}. Run the version "
                "of Leveret that wrote it, or a later one."
            )
        return None

    def _drop(self, subject: str) -> ReplayedDrop:
        if subject in self._subjects and subject != EPOCH_SUBJECT:
            self._subjects.remove(subject)  # it does not come again
            self.leftovers[subject] = None
            while len(self.leftovers) > KEPT_LEFTOVERS:
                del self.leftovers[next(iter(self.leftovers))]
        return ReplayedDrop(subject)

    @property
    def is_between_blocks(self) -> bool:
        """Whether no block has been read in part."""
        return not self._parts


async def is_continued(replica: Replica, replay: Replay) -> bool:
    """Return whether a log still has what a replay has read of it last: a storage that was restored from a backup may
    have lost it. Raises `Unavailable`, `StorageError`."""
    if not replay.last:
        return True
    found = await replica.at_or_after(replay.last)
    if found is None:
        return False  # a subject that was dropped is followed by the record that says so
    return found.sequence > replay.last or checksum(found) == replay.checksum
