"""The limit of the configuration on consumers of one channel (docs: consumers, limits)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leveret import errors

if TYPE_CHECKING:
    from leveret.session.channel import Channel


def check_consumer_limit(channel: Channel) -> None:
    """Raise 530 if the channel has as many consumers as it may have."""
    limit = channel.connection.broker.settings.amqp.consumer_max_per_channel
    if 0 <= limit <= len(channel.consumers):
        raise errors.consumer_limit(limit)
