"""Figures of RabbitMQ that describe Erlang processes, as far as this process has such figures.

RabbitMQ runs each connection, channel and queue in a process of its own, with a heap, a collector and a count of
reductions. Here one process runs them all: `reductions` are the operations that an object has done, `minor_gcs` the
collections of the process's youngest generation. What describes an Erlang heap is left out.
"""

from __future__ import annotations

import gc

from leveret.engine.clients import ClientChannel, ClientConnection
from leveret.management.json import Json
from leveret.queues.queue import Queue


def collections() -> int:
    """How often the garbage collector ran."""
    return sum(generation["collections"] for generation in gc.get_stats())


def garbage_collection() -> Json:
    """Show the collector."""
    return {"minor_gcs": gc.get_stats()[0]["collections"]}


def connection_operations(connection: ClientConnection) -> int:
    """How many frames a connection has received."""
    return connection.frames_received


def channel_operations(channel: ClientChannel) -> int:
    """How many messages a channel has published, delivered, fetched and settled."""
    return (
        channel.published
        + channel.delivered
        + channel.delivered_no_ack
        + channel.got
        + channel.got_no_ack
        + channel.got_empty
        + channel.acked
    )


def queue_operations(queue: Queue) -> int:
    """How many messages a queue has taken, delivered and settled."""
    return (
        queue.published
        + queue.delivered
        + queue.delivered_no_ack
        + queue.got
        + queue.got_no_ack
        + queue.got_empty
        + queue.acked
    )
