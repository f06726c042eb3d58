"""The port of a store: what durable queues and the catalogue report to it.

A report returns a ticket, a number that never decreases. The store sets `Journal.settled` to the last ticket up to
which everything is safe, and runs the calls that wait for it. Publisher confirms, tx.commit-ok, and the answers to
declarations and HTTP requests wait for their tickets; acknowledgements do not. Messages and catalogue records share one
order of tickets.

Without a store, queues have no journal and nothing waits. `Entry.stored` is 0 for an entry that is not stored,
`PENDING` for one that is not written yet (it must stay the same object), else a number of the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.message import Entry

from leveret.queues.disk_read import DiskRead
from leveret.work import Job, Steps

#: A `Page` of `queues/stream/log.py`. `Any`, because that module imports this one.
Page: TypeAlias = Any

#: `Entry.stored` of an entry that the store has not written yet.
PENDING = 0xFFFFFFFF
_PENDING = PENDING  # for the compiler, which gets its type from the `.pxd`

#: Calls that waited for a ticket and run together.
WOKEN_TOGETHER = 64


class Journal:
    """The store as a whole.

    `ticket`: the highest one given; `settled`: the highest one that is safe. `changes`: number of catalogue changes
    that were reported; `changed`: the ticket of the last one. `delivering`: deliveries may have to be noted before
    output is sent: set by the store, cleared by who sends when they are noted. `full`: more waits to be written than
    may, and publishers wait; `caught_up`: called when that is over. `due`: calls whose ticket is settled and that have
    not run yet; `begin`: begins the job that runs them if they are many (`waking`), None: all run at once. `failed`:
    called with the exception that a waiting call has raised, and the call; None: `run` raises it. `unencodable`:
    called with the exception and the entry of a message that the store cannot encode, and therefore does not keep;
    None: the exception is raised. `partial`: the first part of a batch is encoded: what is reported now may be safe
    before what is reported later; `whole`: calls that wait for its last part.
    """

    def __init__(self) -> None:
        self.ticket: int = 0
        self.settled: int = 0
        self.changes: int = 0
        self.changed: int = 0
        self.delivering: bool = False
        self.full: bool = False
        self.caught_up: Callable[[], None] = _nobody
        self.due: deque[Callable[[], None]] = deque()
        self.begin: Callable[[Steps], Job] | None = None
        self.waking: bool = False
        self.partial: bool = False
        self.whole: list[Callable[[], None]] = []
        self.unencodable: Callable[[Exception, Entry], None] | None = None
        self.failed: Callable[[Exception, Callable[[], None]], None] | None = None

    def run(self, call: Callable[[], None]) -> None:
        """Run a call whose ticket is settled. An exception is passed to `failed`, so that the other calls run."""
        try:
            call()
        except Exception as error:
            if self.failed is None:
                raise
            self.failed(error, call)

    def run_due(self) -> None:
        """Run the calls whose ticket is settled: many as a job, because tens of thousands can wait for one commit."""
        if self.waking:
            return
        if len(self.due) <= WOKEN_TOGETHER or self.begin is None:
            self.run_all_due()
            return
        self.waking = True
        self.begin(self._wake_steps())

    def run_all_due(self) -> None:
        """Run all of them at once."""
        while self.due:
            self.run(self.due.popleft())

    def _wake_steps(self) -> Steps:
        try:
            while self.due:
                for _ in range(min(len(self.due), WOKEN_TOGETHER)):
                    self.run(self.due.popleft())
                yield None
        finally:
            self.waking = False

    def hold(self) -> None:
        """Begin no commit until `let_go` was called as often. Unless the journal is `partial`, what is reported
        meanwhile is one unit."""

    def closed(self) -> None:
        """Run the calls that wait until no batch is `partial`."""
        waiting, self.whole = self.whole, []
        for call in waiting:
            self.run(call)

    def let_go(self) -> None:
        """Commit again."""

    def record_changed(self) -> int:
        """A record of the catalogue changed; returns the ticket."""
        raise NotImplementedError

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` once everything up to `ticket` is safe; at once if it is."""
        raise NotImplementedError


def _nobody() -> None:
    """Nobody waits."""


class QueueJournal:
    """The account of one durable queue."""

    def append(self, entry: Entry) -> int:
        """Note that a persistent message entered the queue. Returns the ticket."""
        raise NotImplementedError

    def settle(self, entry: Entry) -> None:
        """Note that a message left the queue for good."""
        raise NotImplementedError

    def settle_run(self, stored: cython.uint, first: cython.ulonglong, last: cython.ulonglong) -> None:
        """Consecutive messages, all of them written and with the same `Entry.stored`, left the queue for good."""
        raise NotImplementedError

    def delivered(self, entry: Entry) -> None:
        """Note that a message was delivered: after a crash it is redelivered."""
        raise NotImplementedError

    def returned(self, entry: Entry) -> None:
        """Note that a message was requeued: its counts and its redelivered flag have changed."""
        raise NotImplementedError

    def purge(self) -> None:
        """Note that the queue was deleted with all its messages."""
        raise NotImplementedError


class StreamJournal:
    """The account of one stream. `unwritten`: records were appended since the store last wrote it."""

    def __init__(self) -> None:
        self.unwritten: bool = False

    def grown(self, size: cython.Py_ssize_t) -> int:
        """Note that records of `size` octets were appended. Returns the ticket."""
        raise NotImplementedError

    def mark_delivered(self) -> None:
        """Note that unwritten records were delivered: the store writes them before the delivery is sent."""
        raise NotImplementedError

    def begun(self, page: Page) -> None:
        """Note that a new page was begun."""
        raise NotImplementedError

    def finish(self, page: Page, at: int, count: int) -> None:
        """Write the proof of a complete chunk into it: `count` records from offset `at` of a page."""
        raise NotImplementedError

    def read(self, page: Page) -> bytes:
        """Read a page that is not in memory. Raises OSError."""
        raise NotImplementedError

    def begin_read(self, page: Page) -> DiskRead:
        """Begin to read a page that is not in memory."""
        return DiskRead.now(lambda: self.read(page))

    def dropped(self, first: int) -> None:
        """Note that retention dropped the segments before offset `first`."""
        raise NotImplementedError

    def purge(self) -> None:
        """Note that the stream was deleted with all its records."""
        raise NotImplementedError
