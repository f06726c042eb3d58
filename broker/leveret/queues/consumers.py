"""Who gets the next message: consumers, their credit, and the line they stand in.

A queue's consumers stand in one line, higher `x-priority` first, those of equal priority taking turns. One that has no
credit is found out only when it is asked, and is then parked outside the line until something wakes it; so a thousand
consumers with nothing to take cost nothing. RabbitMQ does the same (rabbit_queue_consumers: active, blocked).
With single active consumer only the active one stands in the line (docs: consumers#single-active-consumer).
"""

from __future__ import annotations

from typing import Any, Protocol

import cython

from leveret.queues.options import ConsumerOptions
from leveret.wire.tables import Table

if cython.compiled:
    from cython.cimports.leveret.queues.message import Entry, Message, Source
else:
    from leveret.queues.message import Entry, Message, Source


class Consumer:
    """One subscription of a channel to a queue. The session extends it with how to deliver.

    `limit`: prefetch count, 0 for none; `held`: deliveries not yet settled. `blocked_order`: out of the line until
    woken; how many were before it.
    `gone`: cancelled; its deliveries stay valid. `options`: the parsed arguments of basic.consume. `cursor`: where it
    reads, if in a stream. `timeout`: how long it may take to settle a delivery, ms; -1 for any time.
    """

    def __init__(
        self, tag: str, source: Source, no_ack: bool, exclusive: bool, priority: int, limit: int
    ) -> None:
        self.tag: str = tag
        self.source: Source = source
        self.no_ack: bool = no_ack
        self.exclusive: bool = exclusive
        self.priority: int = priority
        self.limit: int = 0 if no_ack else limit
        self.held: int = 0
        self.blocked_order: int = 0
        self.gone: bool = False
        self.options: ConsumerOptions = ConsumerOptions()
        self.arguments: Table = {}
        self.cursor: Any = None
        self.timeout: int = -1

    def ready(self) -> bool:
        """Whether it may be given a message now."""
        return self.limit == 0 or self.held < self.limit

    def take(self, message: Message, entry: Entry | None, redelivered: bool) -> None:
        """Deliver `message`; `entry` is what must be settled later, None when nothing must (no_ack)."""
        raise NotImplementedError

    def read(
        self,
        p: cython.p_const_uchar,
        at: cython.Py_ssize_t,
        properties: cython.Py_ssize_t,
        body: cython.Py_ssize_t,
        suffix: bytes,
        entry: Entry,
    ) -> None:
        """Deliver what a stream has at `at`: so many octets of property flags and list, then a body. `suffix`: exchange
        and routing key as they end basic.deliver."""
        raise NotImplementedError

    def failed(self, error: Exception) -> None:
        """Delivering to it has raised an exception: that is its own end."""
        raise error

    def cancelled(self) -> None:
        """The queue is gone, or will serve this consumer no longer."""
        raise NotImplementedError

    def outstanding(self) -> list[Entry]:
        """The deliveries of its queue that it holds."""
        raise NotImplementedError

    def replace(self, entry: Entry, late: Entry) -> None:
        """A delivery it holds timed out; `late` takes its place."""
        raise NotImplementedError

    def timed_out(self) -> None:
        """Deliveries were replaced: tell the client."""
        raise NotImplementedError


class Holder(Protocol):
    """Who took a message with basic.get."""

    def forget(self, entry: Entry) -> None:
        """The delivery is taken away from it."""

    def timed_out(self) -> None:
        """A delivery was taken away because it was not settled in time."""

    def failed(self, error: Exception) -> None:
        """Telling it so has raised an exception."""


class QueueConsumers:
    """The consumers of one queue. `members`: all, in order of arrival; `rotation`: those that may be asked, in turn."""

    def __init__(self, single_active: bool = False) -> None:
        self.rotation: list[Consumer] = []
        self.members: list[Consumer] = []
        self.single_active: bool = single_active
        self.active: Consumer | None = None
        self.equal_priorities: bool = True
        self.blocked_count: int = 0

    def next(self) -> Consumer | None:
        """The consumer whose turn it is and that can take a message, moved to the end of its turn; None if there is
        none."""
        consumer: Consumer
        while self.rotation:
            consumer = self.rotation[0]
            if consumer.ready():
                if len(self.rotation) > 1:
                    self.rotation.pop(0)
                    self.enqueue(consumer)
                return consumer
            self.blocked_count += 1
            consumer.blocked_order = self.blocked_count
            self.rotation.pop(0)
        return None

    def enqueue(self, consumer: Consumer) -> None:
        """Put it into the line behind everyone of its priority or higher."""
        i: cython.Py_ssize_t
        other: Consumer
        if not self.equal_priorities:
            for i in range(len(self.rotation)):
                other = self.rotation[i]
                if other.priority < consumer.priority:
                    self.rotation.insert(i, consumer)
                    return
        self.rotation.append(consumer)

    def add(self, consumer: Consumer) -> None:
        """A new consumer."""
        first: Consumer
        self.members.append(consumer)
        first = self.members[0]
        if consumer.priority != first.priority:
            self.equal_priorities = False
        if self.single_active:
            if self.active is None:
                self.active = consumer
                self.rotation.append(consumer)
        else:
            self.enqueue(consumer)

    def remove(self, consumer: Consumer) -> bool:
        """A consumer goes; says whether another one became the single active consumer."""
        if consumer not in self.members:
            return False
        self.members.remove(consumer)
        if consumer in self.rotation:
            self.rotation.remove(consumer)
        consumer.gone = True
        if self.active is not consumer:
            return False
        self.active = None
        if not self.members:
            return False
        self.activate(max(self.members, key=_priority))
        return True

    def activate(self, consumer: Consumer) -> None:
        """Make it the single active consumer."""
        self.active = consumer
        self.rotation.clear()
        consumer.blocked_order = 0
        self.rotation.append(consumer)

    def block(self, consumer: Consumer) -> None:
        """It is given nothing until it is woken."""
        self.blocked_count += 1
        consumer.blocked_order = self.blocked_count
        if consumer in self.rotation:
            self.rotation.remove(consumer)

    def wake(self, consumer: Consumer) -> None:
        """It may have credit again: back into the line, at the end of its turn."""
        if not consumer.blocked_order:
            return
        consumer.blocked_order = 0
        if consumer.gone or (self.single_active and self.active is not consumer):
            return
        self.enqueue(consumer)


def _priority(consumer: Consumer) -> int:
    return consumer.priority
