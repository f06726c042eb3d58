"""The ports of a cluster: what it needs of the system that replicates its data.

Three ports, and no consensus protocol of our own:

- `Replica`: the log of one virtual host, to which a record is appended only at the expected place.
- `Table`: a few keys with compare-and-set, and a watch: leases, owners, the directory.
- `ReplicatedStorage`: where both are found.

And `Time`, so that a test moves it. `cluster/nats.py` implements them on NATS JetStream, `testing/replica.py` in memory
with faults. The same contract tests run on both (`tests/cluster/test_ports.py`).

Everything is asynchronous and belongs to one event loop. Sequences and revisions are positive integers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

#: Octets that a record may have: NATS refuses messages of more than 1 MiB, headers included.
MAX_RECORD_BYTES = 1024 * 1024 - 16 * 1024


class StorageError(Exception):
    """The replicated storage refuses for good, or holds something that is not ours: retrying does not help. The text
    names what, and what to do."""


class Gone(StorageError):  # noqa: N818  a state, not a mistake
    """A log or a table is not there any more, or was made again: what was known of it means nothing."""


class Unavailable(Exception):  # noqa: N818  a state, not a mistake
    """There was no answer in time. What was asked for may have been done, may be done yet, or may never be done."""


# --- outcomes of an append


@dataclass(frozen=True, slots=True)
class Accepted:
    """The record is stored at `sequence`, and safe as far as the storage promises (a majority has it)."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Refused:
    """This attempt has stored nothing, and never will: the last sequence is not the expected one. An earlier attempt
    with the same record may have stored it."""


@dataclass(frozen=True, slots=True)
class Full:
    """This attempt has stored nothing, and never will: there is no room."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or one that proves nothing. The record may be stored, may be stored later, or never."""

    reason: str


Outcome: TypeAlias = Accepted | Refused | Full | Unknown


@dataclass(frozen=True, slots=True)
class Stored:
    """A record in the log. `subject` is relative to the log."""

    sequence: int
    subject: str
    record: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """Octets that are used of the storage, and how many there may be (0: no limit)."""

    used: int
    limit: int


class Replica(Protocol):
    """The log of one virtual host: records with ascending sequences, each under a subject.

    Records are safe once they are accepted, and do not change. They leave only by `drop`. Sequences are never used
    again, but there may be gaps.
    """

    def append(self, subject: str, record: bytes, expected: int) -> Awaitable[Outcome]:
        """Append a record if the last sequence of the log is `expected`. Records are sent in the order of the calls,
        whether or not the earlier ones were answered: several may be on their way. An `Accepted` outcome has the
        sequence `expected` + 1. Raises `StorageError` where retrying does not help (the log was deleted, no
        permission)."""

    def fence(self, subject: str, record: bytes) -> Awaitable[Outcome]:
        """Append a record at whatever place is the last: `Refused` is no outcome. From then on, every append that
        expects an earlier sequence is refused, also one that is on its way. Raises `StorageError`."""

    def read(self, first: int, last: int) -> AsyncIterator[Stored]:
        """Yield all records from `first` to `last` in order. The record at `last` must exist. What was dropped
        meanwhile may be missing; nothing else is. Raises `Unavailable` if that cannot be done to the end."""

    async def newer(self, first: int) -> list[Stored]:
        """Return records from `first` on, in order, and not all of them if there are many; none if the server that
        answers has none yet. What was dropped meanwhile may be missing; nothing else is. One call at a time. Raises
        `Unavailable`."""

    async def identity(self) -> str:
        """Return what tells this log from one of the same name that was created before it, or is after it. Raises
        `Unavailable`, `Gone`, `StorageError`."""

    async def at_or_after(self, sequence: int) -> Stored | None:
        """Return the first record at this sequence or after it; None if there is none. What was accepted is found;
        what a refusal was based on is found after a moment at the latest. Raises `Unavailable`, `StorageError`."""

    async def drop(self, subject: str) -> None:
        """Remove all records of a subject. Can be called again. Raises `Unavailable`, `StorageError`."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A key with its value. `revision` grows with every change of any key of the table. A deleted key has a revision,
    too: `value` is None."""

    key: str
    value: bytes | None
    revision: int


class Table(Protocol):
    """Keys with values of less than 64 KiB. A key is any text of 1 to 255 octets of UTF-8."""

    async def create(self, key: str, value: bytes) -> int | None:
        """Set a key that does not exist or was deleted. Returns the new revision; None if the key exists. Raises
        `Unavailable`: then the change may have been made, or may be made yet."""

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Set a key if its revision is `revision`. Returns the new revision; None if the key has another one. Raises
        `Unavailable`: then the change may have been made, or may be made yet; once another update of the same revision
        was accepted or refused, it never will."""

    async def delete(self, key: str, revision: int) -> int | None:
        """Delete a key if its revision is `revision`. Returns the new revision; None if the key has another one.
        Raises `Unavailable`, as `update` does."""

    async def get(self, key: str) -> TableEntry | None:
        """Return a key; None if it was never set. It is as new as the refusal of an `update`. Raises `Unavailable`."""

    def watch(self) -> AsyncIterator[TableEntry | None]:
        """Yield the entry of every key (of deleted ones, too), then None, then every change in the order of revisions.
        The server that answers may be a little behind: newer entries follow as changes. Changes of one key that follow
        closely may be yielded as one. It survives the loss of servers: it pauses, and goes on without a gap. Raises
        `StorageError`; `Gone` if the table was deleted."""


class ReplicatedStorage(Protocol):
    """Logs and tables of one cluster."""

    async def create_log(self, name: str) -> Replica:
        """Create a log, unless it exists. Raises `Unavailable`, `StorageError` (something else has its name)."""

    async def open_log(self, name: str) -> Replica:
        """Open a log. Raises `Unavailable`, `StorageError` (there is none, or it is not ours)."""

    async def delete_log(self, name: str) -> None:
        """Delete a log with all its records. Can be called again. Raises `Unavailable`, `StorageError` (something else
        has its name)."""

    async def logs(self) -> list[str]:
        """Return the names of all logs. Raises `Unavailable`, `StorageError`."""

    async def open_table(self, name: str) -> Table:
        """Open a table, which is created if there is none. Raises `Unavailable`, `StorageError`."""

    async def usage(self) -> Usage:
        """Return how full the storage is. Raises `Unavailable`."""

    async def close(self) -> None:
        """Close the connection. What is on its way ends as unknown."""


class Time(Protocol):
    """Monotonic time, seconds."""

    def now(self) -> float:
        """Return the time."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
