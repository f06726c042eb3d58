"""When the garbage collector runs.

The objects of the hot path form no cycles, and what is deleted is freed without the collector, so that it finds hardly
any garbage; but it holds the loop, 0.15 us for each object that it visits.

Python collects the youngest generation when 10,000 objects more were made than freed. A client that deletes old objects
while it makes new ones keeps that number small, and hundreds of thousands are young at the same time. Therefore the
young generations are also collected by time, while there is work (`Edge.collect_if_due`).

The old generation can have millions of objects: 100,000 bindings of a topic exchange to long keys do. Python never
collects it by itself here. That is done when little is left to visit: memory is given back then (`trimming.py`), and
garbage in it would be a reason for that; or when memory is full.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

#: Allocations that start a collection, collections of the first generation for one of the second, and of the second
#: for one of the old generation: more than there will be. Clients of the HTTP API expect more than a thousand
#: (`garbage_collection.fullsweep_after`).
THRESHOLDS = (10_000, 1, 1_000_000_000)

#: Memory blocks besides those of the start with which a collection of everything takes some milliseconds.
FEW_BLOCKS = 50_000

#: Collections of the young generations between two of everything, when memory is full again and again.
SELDOM = 1000


class Collector:
    """Runs the garbage collector. `collect`: collects a generation and those that are younger; `blocks`: returns the
    allocated blocks of memory, at least as many as there are objects."""

    def __init__(
        self,
        collect: Callable[[int], int] = gc.collect,
        blocks: Callable[[], int] = sys.getallocatedblocks,
    ) -> None:
        self._collect = collect
        self._blocks = blocks
        self._frozen = 0
        self._collections = 0
        self._relieved = -SELDOM

    def freeze(self) -> None:
        """Visit what there is now never again: modules and their tables are not garbage."""
        gc.freeze()
        self.note_frozen()

    def note_frozen(self) -> None:
        """Note that what there is now is not visited."""
        self._frozen = self._blocks()

    def collect_young(self) -> None:
        """Collect the youngest generation; every third time the second one with it."""
        self._collections += 1
        self._collect(0 if self._collections % 3 else 1)

    def collect_cheaply(self) -> None:
        """Collect everything if that is little, else the young generations."""
        few = self._blocks() - self._frozen < FEW_BLOCKS
        self._collect(2 if few else 1)

    def relieve(self) -> None:
        """Collect everything, however long that takes, because memory is full; not again soon."""
        if self._collections >= self._relieved + SELDOM:
            self._relieved = self._collections
            self._collect(2)


#: The collector is that of the process.
collector = Collector()
