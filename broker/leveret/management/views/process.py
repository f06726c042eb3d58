"""Figures of RabbitMQ that describe Erlang processes, as far as this process has such figures.

RabbitMQ runs each connection, channel and queue in a process of its own, with a heap, a collector and a count of
reductions. Here one process runs them all: `reductions` are the operations that an object has done, and the collector
is that of the whole process.
"""

from __future__ import annotations

import gc

from leveret.management.json import Json


def garbage_collection() -> Json:
    """Show the collector under the names of Erlang's.

    `minor_gcs`: collections of the youngest generation. `fullsweep_after`: how many of them there are for one of all
    generations. `min_heap_size`: allocations that start one. Neither is the heap limited, nor do octets of binaries
    start a collection: Erlang has 0 for both, too.
    """
    allocations, second, third = gc.get_threshold()
    return {
        "fullsweep_after": (second + 1) * (third + 1),
        "max_heap_size": 0,
        "min_bin_vheap_size": 0,
        "min_heap_size": allocations,
        "minor_gcs": gc.get_stats()[0]["collections"],
    }
