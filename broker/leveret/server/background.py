"""The event loop and the threads that wait for the disk, as the store uses them.

Four threads, because a hanging disk holds up whatever comes after it: `leveret-sync` writes and syncs commits,
`leveret-marks` writes the marks of deliveries, which do not wait for a sync, `leveret-reads` reads what consumers need,
and `leveret-paging` does what nobody waits for. Each starts when there is something to do. A fifth one writes and
closes the files at the end: the disk may begin to hang then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable

from leveret.faults import Faults

log = logging.getLogger("leveret")

#: What is called in the loop when a step has ended, with the error it raised.
Done = Callable[[OSError | None], None]

#: The place under which faults of the store are counted.
_PLACE = "store"

#: Seconds that stopping waits for the disk. Containers are given 10 s to stop.
STOP_TIMEOUT_S = 6.0

#: Seconds that the event loop waits for a short write in a thread: coming back later takes longer than nearly every
#: such write, which only puts octets into the system's cache.
WAIT_S = 0.005


class DiskThread:
    """A thread that runs steps one after another. It starts with the first one."""

    def __init__(self, name: str) -> None:
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = self._ended = False

    def put(self, step: Callable[[], None]) -> None:
        """Run `step` after those that came before it."""
        self._steps.put(step)
        if not self._started:
            self._started = True
            self._thread.start()

    def _run(self) -> None:
        while (step := self._steps.get()) is not None and not self._ended:
            step()
            del step  # what it has read or written is not kept until the next one

    def end_now(self) -> None:
        """End the thread without waiting for it. What waits for it is not done."""
        self._ended = True
        self._steps.put(None)

    def stop(self, deadline: float) -> bool:
        """End the thread; False if it still waits for the disk at `deadline`, of the monotonic clock."""
        self._steps.put(None)
        if self._started:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()


class ShortStep:
    """A step that the event loop waits for, for a moment. Whichever comes first claims the result: the end of the step,
    or the end of the loop's patience; then `late` is called in the thread when the step ends."""

    def __init__(self, step: Callable[[], Exception | None], late: Callable[[ShortStep], None]) -> None:
        self.error: Exception | None = None
        self._step = step
        self._late = late
        self._claim = threading.Lock()
        self._over = threading.Lock()
        self._over.acquire()

    def run(self) -> None:
        """Run the step, in the thread."""
        self.error = self._step()
        if self._claim.acquire(blocking=False):
            self._over.release()
        else:
            self._late(self)

    def wait(self) -> bool:
        """Wait for the step, in the loop; False if it takes too long."""
        return self._over.acquire(timeout=WAIT_S) or not self._claim.acquire(blocking=False)


class Background:
    """The event loop and the threads of a store."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.faults: Faults
        self._syncing = DiskThread("leveret-sync")
        self._marking = DiskThread("leveret-marks")
        self._reading = DiskThread("leveret-reads")
        self._paging = DiskThread("leveret-paging")
        self._deadline = 0.0  # of the end, by the monotonic clock

    def start(self, loop: asyncio.AbstractEventLoop, faults: Faults) -> None:
        """Use this event loop."""
        self.loop = loop
        self.faults = faults

    def now(self) -> float:
        """Seconds since any moment, to see how long something takes."""
        return time.perf_counter()

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""
        self.loop.call_soon(self.faults.guard, _PLACE, call)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""
        self.loop.call_later(seconds, self.faults.guard, _PLACE, call)

    def sync(self, write: Callable[[], None], wait: Callable[[], None], done: Done) -> None:
        """Run `write`, then `wait` in the thread of commits, then `done` in the loop."""

        def step() -> None:
            error = tried(write) or tried(wait)
            self._report(done, error)

        self._syncing.put(step)

    def offload(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in the thread that nobody waits for, then `done` in the loop."""
        self._paging.put(lambda: self._report(done, tried(step)))

    def read(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in the thread that reads, then `done` in the loop."""
        self._reading.put(lambda: self._report(done, tried(step)))

    def briefly(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in the thread of marks and wait for it: `done` has been called when this returns, or is called in
        the loop later if the step takes long."""
        short = ShortStep(lambda: tried(step), lambda late: self._report(done, late.error))
        self._marking.put(short.run)
        if short.wait():
            self._finish(done, short.error)

    def wait(self, lock: threading.Lock) -> bool:
        """Wait for a lock that a thread holds for a moment; False if that takes too long."""
        return lock.acquire(timeout=WAIT_S)

    def _report(self, done: Done, error: Exception | None) -> None:
        """Have the loop call `done`; in any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._finish, done, error)

    def _finish(self, done: Done, error: Exception | None) -> None:
        """Pass the result of a step to the store, in the loop. Any exception counts as a disk error."""
        if error is not None and not isinstance(error, OSError):
            self.faults.report(_PLACE, error)
            error = OSError(f"internal error: {error!r}")
        self.faults.guard(_PLACE, done, error)

    def leave(self) -> None:
        """End the threads that the node's end does not wait for. What waits for them is not done."""
        self._reading.end_now()
        self._paging.end_now()

    def stop(self) -> bool:
        """End the other threads; False if one still waits for the disk."""
        self._deadline = time.monotonic() + STOP_TIMEOUT_S
        ended = [thread.stop(self._deadline) for thread in (self._syncing, self._marking)]
        return all(ended)

    def last(self, step: Callable[[], None]) -> bool:
        """After `stop`, run a step in a thread of its own and wait for it; False if the disk does not answer in what is
        left of the time. An exception is reported."""
        closing = DiskThread("leveret-close")
        closing.put(lambda: self._guarded(step))
        return closing.stop(self._deadline)

    def _guarded(self, step: Callable[[], None]) -> None:
        self.faults.guard(_PLACE, step)


def tried(step: Callable[[], None]) -> Exception | None:
    """Run a step; returns the exception that it raised."""
    try:
        step()
    except Exception as error:
        return error
    return None
