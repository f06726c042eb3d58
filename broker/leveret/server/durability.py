"""The store of a node: opens it, connects it with the event loop and the edge, and closes it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from leveret.config import Settings
from leveret.engine.broker import Broker
from leveret.progress import Report, unwatched
from leveret.server import descriptors
from leveret.server.alarms import Kept, total_memory
from leveret.server.background import Background
from leveret.server.send_barrier import DeliveredMarks, SendBarrier
from leveret.server.sockets import Edge
from leveret.store.files import Files, Operations
from leveret.store.paging_file import FilePager

if TYPE_CHECKING:
    from leveret.queues.journal import Journal
    from leveret.store.disk import DiskStore

log = logging.getLogger("leveret")

#: Descriptors reserved for the store, because clients may use all others: for a file of the log and one of a stream,
#: their directories, and a file that is read.
RESERVED_DESCRIPTORS = 16

#: What is logged when the node ends without the disk.
NO_ANSWER = "the data directory does not answer: unconfirmed messages are lost"


class DataPlace(Protocol):
    """Where a node keeps its data. `directory`: its files on this machine."""

    directory: Path

    def open(self, background: Background) -> DiskStore:
        """Open the store. Raises `StoreError`."""

    def restored(self, store: DiskStore) -> DeliveredMarks:
        """The broker is restored. Returns what notes deliveries before they are sent."""

    async def close(self, store: DiskStore) -> None:
        """Write what is not written yet, and close the store."""


class LocalDisk:
    """A data directory on a disk of this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._background: Background

    def open(self, background: Background) -> DiskStore:
        """Open the store. Raises `StoreError`."""
        self._background = background
        # SQLite, which is not needed without a data directory.
        from leveret.store.disk import DiskStore

        files = Files(RESERVED_DESCRIPTORS)
        files.stream_files = descriptors.stream_files(files.stream_files)
        return DiskStore(self.directory, background, files)

    def restored(self, store: DiskStore) -> DeliveredMarks:
        """The store notes deliveries."""
        return store

    async def close(self, store: DiskStore) -> None:
        """Write what is not written yet, and close the store: in a thread, for as long as stopping may wait."""
        written = False
        store.leave_loop()

        def write() -> None:
            nonlocal written
            written = store.write_all()

        if await asyncio.to_thread(self._background.last, write):
            store.settle(written)
            if await asyncio.to_thread(self._background.last, store.release):
                return
        log.error(NO_ANSWER)


def connect(store: DiskStore, marks: DeliveredMarks, broker: Broker, edge: Edge) -> SendBarrier:
    """Have a restored store wake the edge. Returns its barrier. `marks`: notes deliveries before they are sent."""

    barrier = SendBarrier(marks, store.journal, edge.loop.call_later, edge.send_soon, broker.faults)

    def settled() -> None:
        edge.tick()
        edge.touch()
        if barrier.held:  # it does not wait for the others that wait for this commit
            edge.send_soon()

    store.journal.unwritten_limit = broker.settings.store.unwritten_limit
    store.on_settled = settled
    store.on_writable = edge.send_soon
    store.on_failing = edge.touch
    return barrier


class Durable(Protocol):
    """What a node uses of its durability. `journal`: for what belongs to no virtual host; `kept`: None if nothing is
    kept."""

    background: Background
    pager: FilePager

    @property
    def journal(self) -> Journal | None: ...
    @property
    def kept(self) -> Kept | None: ...
    def file_operations(self) -> Operations:
        """Return what was done with files."""
        ...

    def start(self, broker: Broker, edge: Edge, report: Report = unwatched) -> bool:
        """Restore the broker, and put the send barrier before its clients; False if there was nothing to restore."""
        ...

    async def stop(self) -> None:
        """Write everything."""
        ...


class Durability:
    """The store of a node, or None without a data directory, and its pager. Raises `StoreError`."""

    def __init__(self, settings: Settings) -> None:
        place = LocalDisk(Path(settings.store.data_dir)) if settings.store.engine == "disk" else None
        self.place = place
        self.background = Background()
        self.store: DiskStore | None = place.open(self.background) if place is not None else None
        paging_directory = str(place.directory) if place is not None else None
        self.pager = FilePager(settings.memory.paging_limit(total_memory()), paging_directory)

    @property
    def journal(self) -> Journal | None:
        """The port of the store."""
        return self.store.journal if self.store is not None else None

    @property
    def kept(self) -> Kept | None:
        """The store."""
        return self.store

    def file_operations(self) -> Operations:
        """What the store has done with its files."""
        return self.store.files.done if self.store is not None else Operations()

    def start(self, broker: Broker, edge: Edge, report: Report = unwatched) -> bool:
        """Restore the broker and put the send barrier before its clients; False if there was nothing to restore.

        `report`: gets the progress.
        """
        self.background.start(edge.loop, broker.faults)
        store = self.store
        if store is None or self.place is None:
            self.pager.begin(self.background)
            log.info("Data directory: none (all data is lost when the broker stops)")
            return False
        store.restore(broker, report)
        marks = self.place.restored(store)
        self.pager.begin(self.background)
        queues = [each for vhost in broker.vhosts.values() for each in vhost.queues.values()]
        messages = sum(each.ready for each in queues)
        log.info("Data directory: %s (queues: %d, messages: %d)", store.directory, len(queues), messages)

        def failing() -> None:
            # `ResourceMonitor` clears the alarm: the disk may still be almost full when writing succeeds again.
            if store.failing is not None:
                broker.set_alarm("disk")
            edge.touch()

        edge.send_barrier = connect(store, marks, broker, edge)
        store.on_failing = failing
        return bool(broker.vhosts or broker.access.users)

    async def stop(self) -> None:
        """Write everything to the disk, unless writing fails."""
        self.background.leave()
        if self.store is None or self.place is None:
            return
        if await asyncio.to_thread(self.background.stop):
            await self.place.close(self.store)
        else:  # nothing can be written, and closing a file may wait for ever, too
            log.error(NO_ANSWER)
