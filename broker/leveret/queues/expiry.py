"""x-expires: a queue that is not used for some time is deleted (docs: ttl#queue-ttl).

The agenda calls `check` when the time may have passed. Use of the queue only updates `used_at`, so that a busy queue
does not reschedule the call.
"""

from __future__ import annotations

from typing import Protocol

from leveret.clock import NEVER, ScheduledCall
from leveret.queues.consumers import QueueConsumers
from leveret.queues.context import VhostContext
from leveret.queues.limits import Limits

#: Time between two checks of a quorum queue, ms (rabbit_quorum_queue: TICK_INTERVAL).
QUORUM_TICK_MS = 5000


class ExpiringQueue(Protocol):
    """A queue as its expiry sees it."""

    context: VhostContext
    limits: Limits
    consumers: QueueConsumers
    gone: bool


class UsedQueue(ExpiringQueue, Protocol):
    """A quorum queue as its expiry sees it."""

    def used(self) -> bool:
        """Whether the queue has consumers or unacknowledged deliveries."""


class QueueExpiry:
    """Expiry of a classic queue. `used_at`: when it was last used, ms; `due`: the next check, or None."""

    __slots__ = ("due", "queue", "used_at")

    def __init__(self, queue: ExpiringQueue) -> None:
        self.queue = queue
        self.used_at: int = queue.context.clock.now
        self.due: ScheduledCall | None = None

    def touch(self) -> None:
        """Note that the queue was used by basic.get, or had consumers until now."""
        self.used_at = self.queue.context.clock.now
        self.watch()

    def declared(self) -> None:
        """Note a repeated or passive declaration."""
        self.touch()

    def configured(self) -> None:
        """Apply a changed x-expires; a policy change counts as use."""
        self.stop()
        self.touch()

    def watch(self) -> None:
        """Schedule the next check if the queue expires."""
        if self.due is None and self.queue.limits.expires >= 0:
            self.due = self.queue.context.agenda.call_after(self.pause(), self.check)

    def pause(self) -> int:
        """Milliseconds until the next check."""
        left: int = self.used_at + self.queue.limits.expires - self.queue.context.clock.now
        return left

    def check(self) -> None:
        """Delete the queue if the time has passed. A queue with consumers is not checked again: removing the last one
        is use."""
        self.due = None
        queue = self.queue
        if queue.gone or queue.limits.expires < 0 or queue.consumers.members:
            return
        if self.pause() > 0:
            self.watch()
        else:
            self.remove()

    def remove(self) -> None:
        """Delete the queue; after a fault it is tried again."""
        queue = self.queue
        try:
            queue.context.remove(queue, "expired")
        except Exception:
            if not queue.gone:
                self.due = queue.context.agenda.call_after(QUORUM_TICK_MS, self.check)
            raise

    def stop(self) -> None:
        """Cancel the next check."""
        if self.due is not None:
            self.queue.context.agenda.cancel(self.due)
            self.due = None


class QuorumQueueExpiry(QueueExpiry):
    """Expiry of a quorum queue: checked periodically (a `Poll`); declarations and policy changes are no use."""

    __slots__ = ("created_at", "interval_ms", "used")

    def __init__(self, queue: UsedQueue) -> None:
        super().__init__(queue)
        self.used = queue.used
        self.created_at = self.used_at
        self.interval_ms = QUORUM_TICK_MS

    def declared(self) -> None:
        """Do nothing: a declaration is no use."""

    def configured(self) -> None:
        """Apply a changed x-expires; a policy change is no use."""
        self.stop()
        self.watch()

    def watch(self) -> None:
        """Schedule the next check if the queue expires."""
        if self.due is None and self.queue.limits.expires >= 0:
            context = self.queue.context
            self.due = context.agenda.poll_at(context.clock.now + self.pause(), self.check, self)

    def effective_at(self) -> int:
        """Return the earliest time at which a check deletes the queue, if nobody uses it before; or `NEVER`."""
        expires: int = self.queue.limits.expires
        return NEVER if expires < 0 or self.used() else self.used_at + expires + 1

    def passed_over(self, at: int) -> None:
        """Note the use that the checks up to `at` would have found."""
        if self.used():
            self.used_at = at

    def pause(self) -> int:
        """Milliseconds until the next tick, counted from the declaration."""
        passed: int = self.queue.context.clock.now - self.created_at
        return QUORUM_TICK_MS - passed % QUORUM_TICK_MS

    def check(self) -> None:
        """Delete the queue if it has no consumers and the time has passed."""
        self.due = None
        queue = self.queue
        if queue.gone or queue.limits.expires < 0:
            return
        now: int = queue.context.clock.now
        if self.used():
            self.used_at = now
        elif now > self.used_at + queue.limits.expires:
            self.remove()
            return
        self.watch()


class NoExpiry:
    """The expiry of a deleted queue: nothing. It does not refer to the queue, so that the queue is freed at once when
    nobody else does, and not by a garbage collection of thousands."""

    __slots__ = ()

    def touch(self) -> None:
        """Do nothing."""

    def declared(self) -> None:
        """Do nothing."""

    def configured(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""


#: There is one, since it has no state.
NO_EXPIRY = NoExpiry()
