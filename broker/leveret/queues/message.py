"""A message, shared by every queue it is in, and its place in one of them."""

from __future__ import annotations

from typing import Any

import cython

#: Why entries come back to a queue (`Source.requeue`). Quorum queues count them differently.
NACKED = 1
REJECTED = 2
RECOVERED = 3
CHANNEL_CLOSED = 4  # the channel or connection that held them is gone
TIMED_OUT = 5


class Message:
    """A published message. Immutable once routed; every queue it went to shares it.

    `exchange`, `routing_key`: as published. `content`: the header frame and, unless the body is empty, one
    body frame, whole frames with their end octet. `head`: octets of the header frame; `size`: octets of the
    body. `expiration`: its own TTL in ms, or -1. `priority`: 0 where absent. `shares`: how many queues took
    it in at first. `extra`: what few messages have (`Extra`), or None.
    """

    def __init__(
        self,
        exchange: bytes = b"",
        routing_key: bytes = b"",
        content: bytes = b"",
        head: int = 0,
        size: int = 0,
    ) -> None:
        self.exchange: bytes = exchange
        self.routing_key: bytes = routing_key
        self.content: bytes = content
        self.head: int = head
        self.size: int = size
        self.persistent: bool = False
        self.priority: int = -1
        self.shares: int = 0
        self.expiration: int = -1
        self.extra: Any = None

    @property
    def body(self) -> bytes:
        """The body's octets."""
        return self.content[self.head + 7 : self.head + 7 + self.size] if self.size else b""

    @property
    def header(self) -> bytes:
        """The payload of the header frame: class, weight, body size, flags, properties."""
        return self.content[7 : self.head - 1]


class Extra:
    """What few messages carry beyond their bytes.

    `more`: additional routing keys (CC, BCC). `deaths`: the dead-letter history, newest first
    (`extras.Death`). `redelivered`, `acquired`, `failed`: marks a dead-lettered copy enters its next queue
    with.
    """

    __slots__ = ("acquired", "deaths", "failed", "more", "redelivered")

    def __init__(self) -> None:
        self.more: list[bytes] = []
        self.deaths: list[Any] = []
        self.redelivered = False
        self.acquired = 0
        self.failed = 0


class Entry:
    """One message in one queue, ready or handed out.

    `position`: its order in the queue, ascending from 1; kept when it comes back. `expires_at`: ms since the
    epoch, 0 for never. `tag`, `consumer`: delivery tag and consumer (None for basic.get) while a channel holds
    it. `acquired`, `failed`: how often it came back at all, and how often that counts towards a delivery
    limit. `stored`: where the store keeps it, 0 for nowhere. `delivered_at`: when it was last handed out to be
    settled, ms since the epoch.
    """

    def __init__(self, message: Message, position: int, expires_at: int, source: Source) -> None:
        self.message: Message = message
        self.position: int = position
        self.expires_at: int = expires_at
        self.tag: int = 0
        self.source: Source = source
        self.consumer: Any = None
        self.acquired: int = 0
        self.failed: int = 0
        self.redelivered: bool = False
        self.stored: int = 0
        self.delivered_at: int = 0


class Source:
    """Where an entry belongs: what a channel may ask of a queue about a delivery it holds."""

    def settle(self, entry: Entry) -> None:
        """The consumer is done with it: basic.ack."""
        raise NotImplementedError

    def requeue(self, entries: list[Entry], why: cython.int) -> None:
        """They come back to be delivered again, each to its original place: requeue."""
        raise NotImplementedError

    def reject(self, entry: Entry, why: cython.int) -> None:
        """The consumer refuses it for good, by basic.nack or basic.reject (`why`): dead-letter or drop."""
        raise NotImplementedError

    def admit_recover(self) -> None:
        """Refuse basic.recover where deliveries cannot come back."""

    def crash(self, reason: str) -> None:
        """What it holds cannot be read back."""
        raise NotImplementedError

    def detach(self, consumer: Any) -> None:
        """A consumer leaves the line."""
        raise NotImplementedError

    def detached(self) -> None:
        """Consumers have left."""
        raise NotImplementedError

    def unsubscribe(self, consumer: Any) -> None:
        """One consumer leaves, and what follows from it."""
        raise NotImplementedError

    def wake(self, consumer: Any) -> None:
        """A consumer may have credit again."""
        raise NotImplementedError


def frame_content(header: bytes, body: bytes) -> tuple[bytes, int]:
    """Whole frames around a header payload and a body: (content, octets of the header frame)."""
    head = b"\x02\x00\x00" + len(header).to_bytes(4, "big") + header + b"\xce"
    if not body:
        return head, len(head)
    return head + b"\x03\x00\x00" + len(body).to_bytes(4, "big") + body + b"\xce", len(head)
