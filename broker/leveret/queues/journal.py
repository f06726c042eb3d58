"""Durability is a port: what a durable queue tells whoever keeps its persistent messages.

A queue tells its `QueueJournal` and goes on. Telling gives a ticket of the `Journal`, ascending; the store says
that everything up to a ticket is safe by raising `settled` and running what waits for it. Publisher confirms
and tx.commit-ok wait for it; acknowledgements do not. Without a store a queue has no ledger, and everything
is settled at once. An entry that a store keeps has a number of the store's in `Entry.stored`; 0 means that it
keeps nothing of it, `PENDING` that it has not written it yet: such an entry must stay the same object. Streams have
a `StreamJournal` instead: they only grow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry
else:
    from leveret.queues.message import Entry


#: `Entry.stored` of an entry that the store has not written yet.
PENDING = 0xFFFFFFFF
_PENDING = PENDING  # for the compiler, which gets its type from the `.pxd`


class Journal:
    """The store as a whole. `ticket`: the last one given; `settled`: the highest that is safe. `failed`: called with
    what a waiting call has raised, and the call; None to have `run` raise it."""

    def __init__(self) -> None:
        self.ticket: int = 0
        self.settled: int = 0
        self.failed: Callable[[Exception, Callable[[], None]], None] | None = None

    def run(self, call: Callable[[], None]) -> None:
        """Run a call whose ticket is settled. One that raises does not keep the others from running."""
        try:
            call()
        except Exception as error:
            if self.failed is None:
                raise
            self.failed(error, call)

    def when_settled(self, ticket: int, call: Callable[[], None]) -> None:
        """Run `call` once everything up to `ticket` is safe."""
        raise NotImplementedError


class QueueJournal:
    """The store's account of one durable queue."""

    def append(self, entry: Entry) -> int:
        """Keep a persistent message that entered the queue; returns the ticket."""
        raise NotImplementedError

    def settle(self, entry: Entry) -> None:
        """It has left the queue for good."""
        raise NotImplementedError

    def delivered(self, entry: Entry) -> None:
        """It was handed out: should the broker die now, it must come back marked as redelivered."""
        raise NotImplementedError

    def returned(self, entry: Entry) -> None:
        """It came back: its counts and its redelivered mark have changed."""
        raise NotImplementedError

    def purge(self) -> None:
        """The queue is gone with everything in it."""
        raise NotImplementedError


class StreamJournal:
    """The store's account of one stream. `unwritten`: it has grown since the store last looked."""

    def __init__(self) -> None:
        self.unwritten: bool = False

    def grown(self) -> int:
        """A record was appended; returns the ticket."""
        raise NotImplementedError

    def mark_delivered(self) -> None:
        """Records were delivered that the store has not looked at: it must write them before that is said."""
        raise NotImplementedError

    def begun(self, page: Any) -> None:
        """A new page, the first of a segment or one of several."""
        raise NotImplementedError

    def finish(self, page: Any, at: int, count: int) -> None:
        """The chunk of `count` records that begins at `at` of an open page is complete: make it proof of itself."""
        raise NotImplementedError

    def read(self, page: Any) -> bytes:
        """The octets of a page that are not in memory. Raises OSError."""
        raise NotImplementedError

    def dropped(self, first: int) -> None:
        """Segments before offset `first` are gone."""
        raise NotImplementedError

    def purge(self) -> None:
        """The stream is gone with everything in it."""
        raise NotImplementedError
