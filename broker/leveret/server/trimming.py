"""Give memory that a load has left free back to the operating system.

After a load, the C library keeps what was freed below something that is still in use: a broker that had a gigabyte of
messages for a minute would have that size for ever. `malloc_trim` gives back whole free pages. It takes time (50 ms for
a gigabyte) while nobody else can allocate, also if it runs in another thread: the loop then waits for the allocator,
and for a thread that is scheduled rarely. So it is called only if much of the resident memory is not explained by what
queues hold, and the more rarely the longer it takes. There is seldom more than 200 MB to give back: most contents leave
memory long before. Small objects have arenas of their own, which Python gives back itself once nothing lies in them:
free messages and entries, which Cython keeps for the next ones, are gathered in a few arenas before, and free pools of
the arenas that stay are given back one by one (`free_pools.py`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

from leveret.queues.message import compact_free_lists
from leveret.server.collecting import collector
from leveret.server.free_pools import free_pools

log = logging.getLogger("leveret")

#: Unexplained octets, more or less than after the last call, that are worth another one.
LEAST_BYTES = 2 * 1024 * 1024

#: Objects of Python that were freed, and are worth another one: some 2 MB. Memory that they were in is still resident.
LEAST_OBJECTS = 20_000

#: There are no more steps.
_NOTHING = object()

#: The least time between two calls, seconds; and as a multiple of the CPU time that the last call took. The multiple
#: holds for counting objects, too: a quarter of a millisecond for a million.
INTERVAL_S = 2.0
INTERVAL_RATIO = 200

#: Seconds after a call until another one, if nothing has changed: what was in use then may be free now, and that is not
#: seen from outside. Each time so many times longer, so often.
AGAIN_S = 6.0
AGAIN_RATIO = 4
AGAIN_TIMES = 4


class Allocator:
    """The C library's malloc_trim, if it has one (glibc). It is looked up in a thread: importing ctypes for that takes
    10 ms, and a quarter of a megabyte, so that it is not done at start. While that fails, because no descriptor is
    left, it is tried again. `attempts`: how often it has failed."""

    def __init__(self) -> None:
        self._trim: Callable[[int], int] | None = None
        self._thread: threading.Thread | None = None
        self._found = False
        self.attempts = 0
        self._steps: Iterator[None] = iter(())

    def ready(self) -> bool:
        """Whether `trim` can be called. The first call begins to make it so."""
        if self._thread is None or not (self._found or self._thread.is_alive()):
            self._thread = threading.Thread(target=self._look_up, name="leveret-malloc", daemon=True)
            self._thread.start()
        return self._found

    def _look_up(self) -> None:
        try:
            import ctypes

            self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        except (OSError, ImportError) as error:
            self.attempts += 1
            if self.attempts == 1:
                log.warning("free memory is not given back yet: %s", error)
            return
        self._found = True

    def trim(self, pad: int) -> int:
        """Give free memory back; returns 0 without malloc_trim, or if that finds nothing. What lies in Python's arenas
        is left for `go_on`."""
        collector.collect_cheaply()  # what connections have left
        self._steps = _pool_steps()
        return self._trim(pad) if self._trim is not None else 0

    def go_on(self) -> bool:
        """Give back some of what `trim` has left for another turn; False if there was nothing."""
        return next(self._steps, _NOTHING) is not _NOTHING


def _pool_steps() -> Iterator[None]:
    """Give back free pools, after making them so. Yields after each turn."""
    yield from compact_free_lists()
    more = True
    while more:
        more = free_pools.release()
        yield


def _always() -> bool:
    return True


class Trimmer:
    """Decides when to trim. `unexplained`: resident octets after the last call that queues do not account for. `ready`:
    returns whether `trim` can be called. `used`: returns the CPU time of this thread, seconds: on a busy machine a call
    takes many times that, and memory would not be given back for minutes. `objects`: returns how many objects of Python
    there are; connections, queues and bindings are nothing else."""

    def __init__(
        self,
        trim: Callable[[int], int],
        timer: Callable[[], float] = time.perf_counter,
        ready: Callable[[], bool] = _always,
        used: Callable[[], float] = time.thread_time,
        objects: Callable[[], int] = sys.getallocatedblocks,
    ) -> None:
        self.trim = trim
        self.timer = timer
        self.ready = ready
        self.used = used
        self.objects = objects
        self.unexplained = 0
        self._last = 0
        self._not_before = 0.0
        self._most = 0
        self._count_after = 0.0
        self._again_at = float("inf")
        self._again = 0  # calls since something has changed

    def check(self, resident: int, explained: int) -> bool:
        """Trim if that is worth it; True if it was done. `resident`: octets in memory; `explained`: what queues hold.

        Memory that has grown since the last check is left alone: the load goes on. If much less is unexplained than
        after the last call, that was in the middle of a load, and now there is more to give back. So there is if
        objects were freed since, which leave what they were in resident. What else is free does not show, so the call
        is repeated a few times, ever more rarely.
        """
        growing, self._last = resident > self._last, resident
        if growing or self.timer() < self._not_before:
            return False
        changed = abs(resident - explained - self.unexplained) >= LEAST_BYTES or self._freed()
        if not (changed or self.timer() >= self._again_at) or not self.ready():
            return False
        before = self.used()
        self.trim(0)
        now = self.timer()
        self._not_before = now + max(INTERVAL_S, INTERVAL_RATIO * (self.used() - before))
        self._most = self.objects()
        self._again = 0 if changed else self._again + 1
        self._again_at = (
            now + AGAIN_S * AGAIN_RATIO**self._again if self._again < AGAIN_TIMES else float("inf")
        )
        return True

    def _freed(self) -> bool:
        """Whether many objects fewer are there than at some time since the last call."""
        if self.timer() < self._count_after:
            return False
        before = self.used()
        count = self.objects()
        self._count_after = self.timer() + INTERVAL_RATIO * (self.used() - before)
        self._most = max(self._most, count)
        return self._most - count >= LEAST_OBJECTS

    def trimmed(self, resident: int, explained: int) -> None:
        """Note what is left after a call."""
        self.unexplained = max(0, resident - explained)
        self._last = resident

    def went_on(self, resident: int, explained: int) -> None:
        """Note what is left after a later turn, which gives back arenas only: what the load has freed elsewhere since
        the call is worth another one."""
        before = self.unexplained
        self.trimmed(resident, explained)
        self.unexplained = min(self.unexplained, before)
