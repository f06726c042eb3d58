"""Limits of a queue: TTL, length, overflow, expiry of the queue (docs: ttl, maxlength).

These are the effective values, after policies. A policy change replaces them.
"""

from __future__ import annotations

import cython

if cython.compiled:
    from cython.cimports.leveret.queues.message import Message
else:
    from leveret.queues.message import Message


# JSON has numbers of any size.
_MOST = 1 << 62


class Limits:
    """The limits of one queue; -1 where there is none.

    `message_ttl`, `expires`: ms. `max_length`: ready messages; `max_bytes`: their bodies' octets. `reject`: overflow is
    reject-publish; `reject_dead_letters`: reject-publish-dlx. `bounded`: either length limit is set; `drops`: what
    exceeds it is dropped.
    """

    def __init__(
        self,
        message_ttl: int = -1,
        expires: int = -1,
        max_length: int = -1,
        max_bytes: int = -1,
        overflow: str = "drop-head",
    ) -> None:
        self.message_ttl: int = message_ttl
        self.expires: int = expires
        self.max_length: int = min(max_length, _MOST)
        self.max_bytes: int = min(max_bytes, _MOST)
        self.reject: bool = overflow in ("reject-publish", "reject-publish-dlx")
        self.reject_dead_letters: bool = overflow == "reject-publish-dlx"
        self.bounded: bool = max_length >= 0 or max_bytes >= 0
        self.drops: bool = self.bounded and not self.reject

    def drop_head(self) -> None:
        """Change the overflow to drop-head."""
        self.reject = False
        self.reject_dead_letters = False
        self.drops = self.bounded

    def expiry(self, message: Message, now: cython.longlong) -> int:
        """Return when a message that enters at `now` expires, by the smaller of its own TTL and the queue's; 0 for
        never."""
        ttl: cython.longlong = message.expiration
        if self.message_ttl >= 0 and (ttl < 0 or self.message_ttl < ttl):
            ttl = self.message_ttl
        return now + ttl if ttl >= 0 else 0

    def would_overflow(self, ready: cython.longlong, ready_bytes: cython.longlong, message: Message) -> bool:
        """Return whether one more message would exceed a limit: the condition of reject-publish."""
        return (self.max_length >= 0 and ready + 1 > self.max_length) or (
            self.max_bytes >= 0 and ready_bytes + message.size > self.max_bytes
        )

    def overflows(self, ready: cython.longlong, ready_bytes: cython.longlong) -> bool:
        """Return whether a limit is exceeded: the condition of drop-head."""
        return (self.max_length >= 0 and ready > self.max_length) or (
            self.max_bytes >= 0 and ready_bytes > self.max_bytes
        )
