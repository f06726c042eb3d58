"""x-expires: a queue that nobody uses is deleted after a while (docs: ttl#queue-ttl).

A call on the agenda looks whether the time has passed. Use in between only notes when it was, so that a queue that is
used all the time does not move a call about.
"""

from __future__ import annotations

from typing import Any

from leveret.clock import ScheduledCall

#: How often a quorum queue looks, ms (rabbit_quorum_queue: TICK_INTERVAL).
QUORUM_TICK_MS = 5000


class QueueExpiry:
    """The disuse of a classic queue. `used_at`: when it was last used; `due`: the next look, if there will be one."""

    __slots__ = ("due", "queue", "used_at")

    def __init__(self, queue: Any) -> None:
        self.queue = queue
        self.used_at: int = queue.context.clock.now
        self.due: ScheduledCall | None = None

    def touch(self) -> None:
        """The queue was used: by basic.get, or by consumers until now."""
        self.used_at = self.queue.context.clock.now
        self.watch()

    def declared(self) -> None:
        """It was declared, again or passively."""
        self.touch()

    def configured(self) -> None:
        """The time may be another one now; a policy counts as use."""
        self.stop()
        self.touch()

    def watch(self) -> None:
        """Have the agenda call, if the queue expires at all."""
        if self.due is None and self.queue.limits.expires >= 0:
            self.due = self.queue.context.agenda.call_after(self.pause(), self.check)

    def pause(self) -> int:
        """Milliseconds until the next look."""
        left: int = self.used_at + self.queue.limits.expires - self.queue.context.clock.now
        return left

    def check(self) -> None:
        """The agenda's call. While there are consumers nobody looks; the end of the last is use."""
        self.due = None
        queue = self.queue
        if queue.gone or queue.limits.expires < 0 or queue.consumers.members:
            return
        if self.pause() > 0:
            self.watch()
        else:
            self.remove()

    def remove(self) -> None:
        """Nobody has used it for too long. Where that fails it is tried again."""
        queue = self.queue
        try:
            queue.context.remove(queue, "expired")
        except Exception:
            if not queue.gone:
                self.due = queue.context.agenda.call_after(QUORUM_TICK_MS, self.check)
            raise

    def stop(self) -> None:
        """No more looks."""
        if self.due is not None:
            self.queue.context.agenda.cancel(self.due)
            self.due = None


class QuorumQueueExpiry(QueueExpiry):
    """The disuse of a quorum queue: it looks now and then, and does not take declarations and policies for use."""

    __slots__ = ("created_at",)

    def __init__(self, queue: Any) -> None:
        super().__init__(queue)
        self.created_at = self.used_at

    def declared(self) -> None:
        """That is no use."""

    def configured(self) -> None:
        """Nor is that."""
        self.stop()
        self.watch()

    def pause(self) -> int:
        """Looks are a tick apart, counted from the declaration."""
        passed: int = self.queue.context.clock.now - self.created_at
        return QUORUM_TICK_MS - passed % QUORUM_TICK_MS

    def check(self) -> None:
        """The agenda's call: is somebody there, or was, not too long ago?"""
        self.due = None
        queue = self.queue
        if queue.gone or queue.limits.expires < 0:
            return
        now: int = queue.context.clock.now
        if queue.used():
            self.used_at = now
        elif now > self.used_at + queue.limits.expires:
            self.remove()
            return
        self.watch()
