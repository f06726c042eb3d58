"""Figures of RabbitMQ that describe Erlang processes, as far as this process has such figures.

RabbitMQ runs each connection, channel and queue in a process of its own, with a heap, a collector and a count of
reductions. Here one process runs them all: `reductions` are the operations that an object has done, `minor_gcs` the
collections of the process's youngest generation. What describes an Erlang heap is left out.
"""

from __future__ import annotations

import gc

from leveret.management.json import Json


def garbage_collection() -> Json:
    """Show the collector."""
    return {"minor_gcs": gc.get_stats()[0]["collections"]}
