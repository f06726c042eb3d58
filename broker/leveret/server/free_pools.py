"""Give free memory inside the arenas of Python's allocator back to the operating system.

Python has small objects in pools of 16 KiB, 64 of them in an arena of 1 MiB, and gives back arenas that are wholly
free. One small object that was made while a large load was taken apart keeps an arena resident: after a million
messages, ten to thirty of them. So the pages of free pools are given back, but for the first one of each pool: three
quarters of it. The allocator then uses the pool again as if it was new.

Where arenas are, is noted from `watch` on, with a public function of CPython. How pools look inside is not public: a
pool is filled and freed first, and if anything differs from what is expected, nothing is ever done (`arenas.pxd`).
Linux and compiled only. For a process with one interpreter: `leveret serve`.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.server.arenas import (
        leveret_next,
        leveret_pools_known,
        leveret_release,
        leveret_watch,
    )

#: Pools that are given back in one turn of the loop, 8 MB: 1 ms, or 4 where the machine gives memory back slowly.
POOLS_IN_A_TURN = 512

#: What was found out of the layout of pools: nothing yet, that it is as expected, that it is not.
UNKNOWN, EXPECTED, OTHER = -1, 1, 0


class FreePools:
    """Free pools of this process. `watched`: arenas are noted."""

    def __init__(self) -> None:
        self.watched = False
        self._known = UNKNOWN

    def watch(self) -> None:
        """Note arenas that are made from now on."""
        if cython.compiled and not self.watched:
            self.watched = leveret_watch()

    def release(self) -> bool:
        """Give back what is free in the next arenas; True if there are more of them, for another turn."""
        if cython.compiled and self.watched:
            if self._known == UNKNOWN:
                self._known = leveret_pools_known()
            if self._known == EXPECTED:
                leveret_release(POOLS_IN_A_TURN)
                return leveret_next != 0
        return False


#: The process has one allocator.
free_pools = FreePools()
