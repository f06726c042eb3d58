"""Acknowledgement timeouts of a channel (docs: consumers#acknowledgement-timeout).

Up to 4.2 each channel checks its oldest delivery once a minute (rabbit_channel:evaluate_consumer_timeout), and is
closed if that delivery is too old. Since 4.3 the timeout belongs to the quorum queue, which requeues the delivery
(`queues/quorum/ack_timeouts.py`); only channels are closed that fetched it with basic.get, or whose client does not
support basic.cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors
from leveret.clock import NEVER
from leveret.faults import serve
from leveret.session import states

if TYPE_CHECKING:
    from leveret.queues.message import Entry
    from leveret.session.channel import Channel

#: How often a channel checks its deliveries (rabbit: channel_tick_interval), ms.
CHANNEL_TICK_MS = 60_000


def watch(channel: Channel) -> None:
    """Have a new channel check its deliveries every minute, in versions that do so."""
    if not channel.connection.broker.profile.timeout_cancels_consumer:
        ChannelTick(channel).watch()


class ChannelTick:
    """The periodical check of one channel (a `Poll`)."""

    __slots__ = ("channel", "interval_ms")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.interval_ms = CHANNEL_TICK_MS

    def watch(self) -> None:
        """Schedule the next check."""
        agenda = self.channel.connection.broker.message_time
        agenda.poll_at(agenda.clock.now + CHANNEL_TICK_MS, self._run, self)

    def effective_at(self) -> int:
        """Return the earliest time at which the oldest delivery is too old, or `NEVER`."""
        if self.channel.gone:
            return NEVER
        entry = self.channel.unacked.oldest()
        timeout = _timeout(self.channel, entry) if entry is not None and entry.delivered_at else None
        return NEVER if entry is None or timeout is None else entry.delivered_at + max(timeout, 0) + 1

    def passed_over(self, at: int) -> None:
        """Do nothing: the deliveries know since when they are unsettled."""

    def _run(self) -> None:
        serve(self.channel.connection, "channel timer", self._check)

    def _check(self) -> None:
        channel = self.channel
        if channel.gone:
            return
        entry = channel.unacked.oldest()
        if entry is not None and entry.delivered_at:
            timeout = _timeout(channel, entry)
            if timeout is not None and max(timeout, 0) < channel.context.clock.now - entry.delivered_at:
                close(channel, timeout)
                return
        self.watch()


def _timeout(channel: Channel, entry: Entry) -> int | None:
    """Return the timeout of the queue if the version has that, else that of all channels, ms; None for none."""
    effective = getattr(entry.source, "effective", None)
    given: int | None = effective.consumer_timeout if effective is not None else None
    if given is None and channel.context.consumer_timeout >= 0:
        given = channel.context.consumer_timeout
    return given


def close(channel: Channel, timeout: int) -> None:
    """Close a channel with 406 because a delivery was not settled within `timeout` ms (in the text -1 since 4.3)."""
    if channel.connection.state == states.RUNNING and not channel.closing:
        channel.close(errors.delivery_timed_out(channel.number, timeout))


class GetHolder:
    """A channel as the holder of deliveries taken with basic.get (`queues/queue.py`: Holder)."""

    __slots__ = ("channel",)

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def forget(self, entry: Entry) -> bool:
        """Remove a delivery that goes back to its queue; False if it is settled already."""
        if self.channel.unacked.find(entry.tag) is not entry:
            return False
        self.channel.unacked.take(entry.tag)
        return True

    def timed_out(self) -> None:
        """Close the channel, because a delivery was not settled in time."""
        close(self.channel, -1)

    def failed(self, error: Exception) -> None:
        """End the connection after an exception in `timed_out`."""
        self.channel.connection.fail("delivery", error)
