"""The store of a node: opened, tied to the loop, its alarm, its end."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from leveret.config import Settings
from leveret.engine.broker import Broker
from leveret.faults import Faults
from leveret.server.alarms import total_memory
from leveret.server.listeners import Edge
from leveret.server.send_barrier import SendBarrier
from leveret.store.paging_file import FilePager

if TYPE_CHECKING:
    from leveret.store.disk import DiskStore

log = logging.getLogger("leveret")

Work = tuple[Callable[[], None], Callable[[OSError | None], None]]

#: Where the store's faults are counted.
_PLACE = "store"

#: Seconds that stopping waits for a disk that does not answer.
STOP_TIMEOUT_S = 10.0

#: Descriptors that are kept for the store whatever clients take: for a file of the log and one of a stream, their
#: directories, and a file that is read.
RESERVED = 16

#: Seconds that the loop may stand still for a small commit.
INLINE_SYNC_S = 0.001


class Background:
    """A loop, and one thread that waits for the disk."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.faults: Faults
        self._took = 1.0  # seconds that the last waits took, the newest counting most
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="leveret-sync", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop, faults: Faults) -> None:
        """From now on there is a loop."""
        self.loop = loop
        self.faults = faults
        self._thread.start()

    def soon(self, call: Callable[[], None]) -> None:
        """In the loop, after what is running now."""
        self.loop.call_soon(self.faults.guard, _PLACE, call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """In the loop, after a while."""
        self.loop.call_later(seconds, self.faults.guard, _PLACE, call)

    def sync(self, wait: Callable[[], None], done: Callable[[OSError | None], None], small: bool) -> None:
        """`wait` in the thread, then `done` in the loop. A small wait on a disk that has been quick is over sooner than
        the thread wakes up."""
        if small and self._took < INLINE_SYNC_S:
            self._finish(done, self._timed(wait))
        else:
            self._work.put((wait, done))

    def _timed(self, wait: Callable[[], None]) -> Exception | None:
        began = time.perf_counter()
        try:
            wait()
        except Exception as error:
            return error
        finally:
            self._took += (time.perf_counter() - began - self._took) / 4
        return None

    def _finish(self, done: Callable[[OSError | None], None], error: Exception | None) -> None:
        """In the loop. Whatever kept the disk from being written, the store must know, and try again."""
        if error is not None and not isinstance(error, OSError):
            self.faults.report(_PLACE, error)
            error = OSError(f"internal error: {error!r}")
        self.faults.guard(_PLACE, done, error)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            wait, done = work
            self.loop.call_soon_threadsafe(self._finish, done, self._timed(wait))

    def stop(self) -> None:
        """End the thread."""
        self._work.put(None)
        self._thread.join(STOP_TIMEOUT_S)


class Durability:
    """What a node keeps, and where. `store`: None where nothing is kept. Raises `StoreError`."""

    def __init__(self, settings: Settings) -> None:
        disk = settings.store.engine == "disk"
        directory = Path(settings.store.data_dir)
        self.background: Background | None = None
        self.store: DiskStore | None = None
        if disk:
            # SQLite, which a broker in memory does without.
            from leveret.store.disk import DiskStore
            from leveret.store.files import Files

            self.background = Background()
            self.store = DiskStore(directory, self.background, Files(RESERVED))
        self.pager = FilePager(settings.memory.paging_limit(total_memory()), str(directory) if disk else None)

    def start(self, broker: Broker, edge: Edge) -> bool:
        """Restore the broker and stand between it and its clients; False if there was nothing to restore."""
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
            edge.clock.tick()
            edge.touch()

        def failing() -> None:
            if (
                store.failing is not None
            ):  # that it is over is for `Watch` to say: the disk may still be short
                broker.set_alarm("disk")
            edge.touch()

        store.on_settled = settled
        store.on_failing = failing
        edge.send_barrier = SendBarrier(store, edge.loop.call_later, edge.send_soon, broker.faults)
        return bool(broker.vhosts or broker.access.users)

    async def stop(self) -> None:
        """Everything to the disk, unless it refuses."""
        if self.store is None or self.background is None:
            return
        await asyncio.to_thread(self.background.stop)
        self.store.close()
