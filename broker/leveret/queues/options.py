"""Arguments of queues and consumers as typed options: parsed by the engine, read by the queues."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class QueueOptions(Struct, frozen=True):
    """The arguments of a queue, typed; None for those that are not set. Times in ms, sizes in octets."""

    queue_type: str = "classic"
    message_ttl: int | None = None
    expires: int | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: str | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: str | None = None
    max_priority: int | None = None
    single_active_consumer: bool = False
    delivery_limit: int | None = None
    consumer_timeout: int | None = None
    max_age: int | None = None
    max_segment_size_bytes: int | None = None
    filter_size_bytes: int | None = None
    delayed_retry_type: str | None = None
    delayed_retry_min: int | None = None
    delayed_retry_max: int | None = None


class Moment(NamedTuple):
    """A time from which a stream is read: ms since the epoch, or before now if `ago`."""

    milliseconds: int
    ago: bool


class ConsumerOptions(Struct, frozen=True):
    """The arguments of basic.consume, typed. `stream_offset`: where to begin in a stream: an offset, "first", "last",
    "next", or a time; `object`, because some versions accept any value."""

    priority: int = 0
    stream_offset: object = None
    stream_filter: tuple[bytes, ...] = ()
    match_unfiltered: bool = False
    consumer_timeout: int | None = None
