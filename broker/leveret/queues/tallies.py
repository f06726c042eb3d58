"""Counts of messages: those that a channel gets from one queue, and the sizes of those that are published.

What a channel counts is counted in a total at once. So totals are exact, and do not depend on what still exists.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Source
else:
    from leveret.queues.message import Source


class DeliveryTally:
    """Counts of one channel and one queue (`source`), or direct reply-to address. They only grow.

    `total`: the same of all channels of the virtual host and all its queues of that type; a total is its own.
    `delivered`, `delivered_no_ack`: by basic.consume, to be acknowledged or not; `got`, `got_no_ack`: the same by
    basic.get, which finds nothing `got_empty` times.
    """

    def __init__(self, source: Source | None, total: DeliveryTally | None = None) -> None:
        self.source: Source | None = source
        self.total: DeliveryTally = total if total is not None else self
        self.delivered: int = 0
        self.delivered_no_ack: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self.acked: int = 0
        self.redelivered: int = 0

    def add(self, other: DeliveryTally) -> None:
        """Add the counts of another one."""
        self.delivered += other.delivered
        self.delivered_no_ack += other.delivered_no_ack
        self.got += other.got
        self.got_no_ack += other.got_no_ack
        self.got_empty += other.got_empty
        self.acked += other.acked
        self.redelivered += other.redelivered


class MessageSizes:
    """A histogram of the sizes of published messages, in octets of their bodies; the limits are RabbitMQ's
    (rabbit_msg_size_metrics)."""

    def __init__(self) -> None:
        self.octets: int = 0
        self.to_100: int = 0
        self.to_1k: int = 0
        self.to_10k: int = 0
        self.to_100k: int = 0
        self.to_1m: int = 0
        self.to_10m: int = 0
        self.to_50m: int = 0
        self.to_100m: int = 0
        self.larger: int = 0

    def observe(self, size: cython.Py_ssize_t) -> None:
        """Count a message."""
        self.octets += size
        if size <= 100:
            self.to_100 += 1
        elif size <= 1_000:
            self.to_1k += 1
        elif size <= 10_000:
            self.to_10k += 1
        elif size <= 100_000:
            self.to_100k += 1
        elif size <= 1_000_000:
            self.to_1m += 1
        elif size <= 10_000_000:
            self.to_10m += 1
        elif size <= 50_000_000:
            self.to_50m += 1
        elif size <= 100_000_000:
            self.to_100m += 1
        else:
            self.larger += 1

    def buckets(self) -> list[tuple[int | None, int]]:
        """Return (largest size, messages) of each part of the histogram; None for no limit."""
        return [
            (100, self.to_100),
            (1_000, self.to_1k),
            (10_000, self.to_10k),
            (100_000, self.to_100k),
            (1_000_000, self.to_1m),
            (10_000_000, self.to_10m),
            (50_000_000, self.to_50m),
            (100_000_000, self.to_100m),
            (None, self.larger),
        ]


#: Where deliveries are counted that nobody asks for.
UNCOUNTED = DeliveryTally(None)
