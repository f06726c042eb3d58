"""Acknowledgement timeouts of a channel (docs: consumers#acknowledgement-timeout).

Up to 4.2 each channel checks its oldest delivery once a minute (rabbit_channel:evaluate_consumer_timeout), and is
closed if that delivery is too old. Since 4.3 the timeout belongs to the quorum queue, which requeues the delivery
(`queues/quorum/ack_timeouts.py`). Only channels are closed that fetched it with basic.get, or whose client does not
support basic.cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.faults import serve
from leveret.session import states

if TYPE_CHECKING:
    from leveret.queues.message import Entry
    from leveret.session.channel import Channel

#: How often a channel looks (rabbit: channel_tick_interval), ms.
CHANNEL_TICK_MS = 60_000


def watch(channel: Channel) -> None:
    """A channel was opened: it looks every minute, in versions where that is how it is done."""
    broker = channel.connection.broker
    if not broker.profile.timeout_cancels_consumer:
        broker.agenda.call_after(
            CHANNEL_TICK_MS, lambda: serve(channel.connection, "channel timer", _tick, channel)
        )


def _tick(channel: Channel) -> None:
    if channel.gone:
        return
    entry = channel.unacked.oldest()
    if entry is not None and entry.delivered_at:
        timeout = _timeout(channel, entry)
        if timeout is not None and max(timeout, 0) < channel.context.clock.now - entry.delivered_at:
            close(channel, timeout)
            return
    watch(channel)


def _timeout(channel: Channel, entry: Entry) -> int | None:
    """The queue's, where the version has that, else everyone's; None for none."""
    effective = getattr(entry.source, "effective", None)
    given: int | None = effective.consumer_timeout if effective is not None else None
    if given is None and channel.context.consumer_timeout >= 0:
        given = channel.context.consumer_timeout
    return given


def close(channel: Channel, timeout: int) -> None:
    """Close a channel for a delivery that was not settled within so many ms (-1, as RabbitMQ says since 4.3)."""
    connection = channel.connection
    if connection.state == states.RUNNING and not channel.closing:
        connection.close_channel(channel, errors.delivery_timed_out(channel.number, timeout))


class GetHolder:
    """A channel as the holder of what basic.get took."""

    __slots__ = ("channel",)

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def forget(self, entry: Entry) -> None:
        """The delivery is back in its queue."""
        self.channel.unacked.take(entry.tag)

    def timed_out(self) -> None:
        """A delivery was not settled in time."""
        close(self.channel, -1)

    def failed(self, error: Exception) -> None:
        """Telling it so has raised an exception: that ends its connection, and no other."""
        self.channel.connection.fail("delivery", error)
