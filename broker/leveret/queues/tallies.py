"""Counts of messages: those that a channel gets from one queue, and the sizes of those that are published.

A message is counted once, by its channel. Totals are added up when somebody asks: they consist of the counts of
channels that are open, and of the sum of those that have ended. So they are exact, and cost nothing per message.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Source
else:
    from leveret.queues.message import Source


class DeliveryTally:
    """Counts of one channel and one queue (`source`), or direct reply-to address. They only grow.

    `total`: that of the virtual host, while this is a part of it. `delivered`, `delivered_no_ack`: by basic.consume,
    to be acknowledged or not; `got`, `got_no_ack`: the same by basic.get, which finds nothing `got_empty` times.
    """

    def __init__(self, source: Source | None, total: DeliveryTotal | None = None) -> None:
        self.source: Source | None = source
        self.total: DeliveryTotal | None = total
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


class DeliveryTotal:
    """Counts of all channels of a virtual host, and all its queues of one type. `ended`: of channels and queues that
    are gone. `parts`: the others."""

    def __init__(self) -> None:
        self.ended: DeliveryTally = DeliveryTally(None)
        self.parts: set[DeliveryTally] = set()

    def begin(self, source: Source) -> DeliveryTally:
        """Return the counts of one channel and one queue, which are a part of this total from now on."""
        part = DeliveryTally(source, self)
        self.parts.add(part)
        return part

    def end(self, part: DeliveryTally) -> None:
        """Keep the sum of a part alone. What it counts later is not in the total."""
        if part in self.parts:
            self.parts.remove(part)
            self.ended.add(part)
            part.total = None

    def sum(self) -> DeliveryTally:
        """Add up all counts."""
        part: DeliveryTally
        found: DeliveryTally = self.kept()
        for part in self.parts:
            found.add(part)
        return found

    def kept(self) -> DeliveryTally:
        """Return a copy of the counts of channels and queues that are gone."""
        found: DeliveryTally = DeliveryTally(None)
        found.add(self.ended)
        return found


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

    def observe(self, size: cython.Py_ssize_t, count: cython.longlong) -> None:
        """Count messages of one size."""
        self.octets += size * count
        if size <= 100:
            self.to_100 += count
        elif size <= 1_000:
            self.to_1k += count
        elif size <= 10_000:
            self.to_10k += count
        elif size <= 100_000:
            self.to_100k += count
        elif size <= 1_000_000:
            self.to_1m += count
        elif size <= 10_000_000:
            self.to_10m += count
        elif size <= 50_000_000:
            self.to_50m += count
        elif size <= 100_000_000:
            self.to_100m += count
        else:
            self.larger += count

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
