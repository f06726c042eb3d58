"""The port to which the lives of messages are reported, for the test toolkit.

`VhostContext.history` is None unless somebody listens, as `firehose` is. A call must not raise an exception, must not
change anything of the broker, and returns at once. A message in a queue is known by the queue and its position there,
because long backlogs do not keep the objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from leveret.queues.message import Destination, Entry, Message


#: A `Queue`, and a `Consumer`. `Any`, because their modules report here.
AnyQueue: TypeAlias = Any
AnyConsumer: TypeAlias = Any


class Publishing(Protocol):
    """The channel of a client that publishes or fetches. `tag`: its last delivery tag."""

    @property
    def number(self) -> int:
        """Its number."""

    @property
    def tag(self) -> int:
        """The last delivery tag."""


class HistoryPort(Protocol):
    """Hears of each step of a message's life, after it was taken."""

    def published(
        self, channel: Publishing, message: Message, targets: list[Destination], mandatory: bool, number: int
    ) -> None:
        """A client's message was routed, and is about to be pushed into `targets`. `number`: of its confirm, 0 for
        none."""

    def confirmed(self, channel: Publishing, number: int, refused: bool) -> None:
        """A publish will be confirmed with basic.ack, or with basic.nack because a queue has `refused` it."""

    def relayed(
        self, vhost: str, message: Message, targets: list[Destination], origin: Message | None
    ) -> None:
        """The broker itself publishes a message. `origin`: the one that it was made of."""

    def dead_lettered(
        self,
        queue: AnyQueue,
        message: Message,
        entry: Entry | None,
        reason: str,
        dead: Message | None,
        targets: list[Destination],
    ) -> None:
        """A dead letter is about to be pushed into `targets` as the message `dead`; None without an exchange. `entry`:
        None for a publish that was refused."""

    def queued(self, queue: AnyQueue, message: Message, position: int) -> None:
        """A message has a position in a queue; it is delivered at once, or waits."""

    def refused(self, queue: AnyQueue, message: Message) -> None:
        """A queue did not take a message."""

    def delivered(self, queue: AnyQueue, position: int, consumer: AnyConsumer, no_ack: bool) -> None:
        """A message was sent to a consumer."""

    def got(self, queue: AnyQueue, entry: Entry, channel: Publishing, no_ack: bool) -> None:
        """A message was fetched with basic.get."""

    def acked(self, queue: AnyQueue, position: int) -> None:
        """A delivery was acknowledged."""

    def requeued(self, queue: AnyQueue, entries: list[Entry], why: int) -> None:
        """Deliveries were put back; `why`: see message.py."""

    def died(self, queue: AnyQueue, entry: Entry, reason: str) -> None:
        """A message left its queue: expired, rejected, maxlen, delivery_limit."""

    def purged(self, queue: AnyQueue) -> None:
        """All ready messages of a queue were dropped."""

    def deleted(self, queue: AnyQueue) -> None:
        """A queue was deleted with its messages."""
