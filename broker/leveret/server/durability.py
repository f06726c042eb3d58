"""The store of a node: opens it, connects it with the event loop and the edge, and closes it."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.config import Settings
from leveret.engine.broker import Broker
from leveret.faults import Faults
from leveret.server.alarms import total_memory
from leveret.server.send_barrier import SendBarrier
from leveret.server.sockets import Edge
from leveret.store.files import Files, Operations
from leveret.store.paging_file import FilePager

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

log = logging.getLogger("leveret")

Work = tuple[Callable[[], None], Callable[[OSError | None], None]]

#: The place under which faults of the store are counted.
_PLACE = "store"

#: Seconds that stopping waits for the disk. Containers are given 10 s to stop.
STOP_TIMEOUT_S = 6.0

#: Descriptors reserved for the store, because clients may use all others: for a file of the log and one of a stream,
#: their directories, and a file that is read.
RESERVED_DESCRIPTORS = 16


class Background:
    """The event loop, and one thread that waits for the disk."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.faults: Faults
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="leveret-sync", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop, faults: Faults) -> None:
        """Use this event loop."""
        self.loop = loop
        self.faults = faults
        self._thread.start()

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""
        self.loop.call_soon(self.faults.guard, _PLACE, call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""
        self.loop.call_later(seconds, self.faults.guard, _PLACE, call)

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `wait` in the thread, then `done` in the loop."""
        self._work.put((wait, done))

    def _tried(self, wait: Callable[[], None]) -> Exception | None:
        """Run `wait`; returns the exception that it raised."""
        try:
            wait()
        except Exception as error:
            return error
        return None

    def _finish(self, done: Callable[[OSError | None], None], error: Exception | None) -> None:
        """Pass the result of a sync to the store, in the loop. Any exception counts as a disk error."""
        if error is not None and not isinstance(error, OSError):
            self.faults.report(_PLACE, error)
            error = OSError(f"internal error: {error!r}")
        self.faults.guard(_PLACE, done, error)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            wait, done = work
            self.loop.call_soon_threadsafe(self._finish, done, self._tried(wait))

    def stop(self) -> bool:
        """End the thread; False if it still waits for the disk."""
        self._work.put(None)
        self._thread.join(STOP_TIMEOUT_S)
        return not self._thread.is_alive()


class Durability:
    """The store of a node, or None without a data directory, and its pager. Raises `StoreError`."""

    def __init__(self, settings: Settings) -> None:
        disk = settings.store.engine == "disk"
        directory = Path(settings.store.data_dir)
        self.background: Background | None = None
        self.store: DiskStore | None = None
        if disk:
            # SQLite, which is not needed without a data directory.
            from leveret.store.disk import DiskStore

            self.background = Background()
            self.store = DiskStore(directory, self.background, Files(RESERVED_DESCRIPTORS))
        self.pager = FilePager(settings.memory.paging_limit(total_memory()), str(directory) if disk else None)

    def file_operations(self) -> Operations:
        """What the store has done with its files."""
        return self.store.files.done if self.store is not None else Operations()

    def start(self, broker: Broker, edge: Edge) -> bool:
        """Restore the broker and put the send barrier before its clients; False if there was nothing to restore."""
        store = self.store
        if store is None or self.background is None:
            log.info("Data directory: none (all data is lost when the broker stops)")
            return False
        self.background.start(edge.loop, broker.faults)
        store.restore(broker)
        queues = [each for vhost in broker.vhosts.values() for each in vhost.queues.values()]
        messages = sum(each.ready for each in queues)
        log.info("Data directory: %s (queues: %d, messages: %d)", store.directory, len(queues), messages)

        def settled() -> None:
            edge.tick()
            edge.touch()

        def failing() -> None:
            # `ResourceMonitor` clears the alarm: the disk may still be almost full when writing succeeds again.
            if store.failing is not None:
                broker.set_alarm("disk")
            edge.touch()

        store.journal.unwritten_limit = broker.settings.store.unwritten_limit
        store.journal.caught_up = broker.caught_up
        store.on_settled = settled
        store.on_writable = edge.send_soon
        store.on_failing = failing
        edge.send_barrier = SendBarrier(
            store, store.journal, edge.loop.call_later, edge.send_soon, broker.faults
        )
        return bool(broker.vhosts or broker.access.users)

    async def stop(self) -> None:
        """Write everything to the disk, unless writing fails."""
        if self.store is None or self.background is None:
            return
        if await asyncio.to_thread(self.background.stop):
            self.store.close()
        else:  # nothing can be written, and closing a file may wait for ever, too
            log.error("the data directory does not answer: unconfirmed messages are lost")
