"""The event loop of the broker's thread: its time is real whatever a test does, and it calls back after each turn."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.testing.real_time import monotonic_s

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike


class TurnSelector(selectors.DefaultSelector):
    """Calls `turn_ended` before it waits for sockets: everything that was ready in this turn of the loop has run.

    `turn_ended` returns whether it has done something that the loop must see before it waits. `next_call`: returns the
    seconds until the loop has something to do, None if there is nothing: `turn_ended` may have scheduled a call, of
    which the loop does not know yet.
    """

    turn_ended: Callable[[], bool] | None = None
    next_call: Callable[[], float | None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for sockets."""
        if self.turn_ended is not None and self.next_call is not None:
            due = 0.0 if self.turn_ended() else self.next_call()
            if due is not None and (timeout is None or due < timeout):
                timeout = due
        return super().select(timeout)


class BrokerLoop(asyncio.SelectorEventLoop):
    """An event loop on a `TurnSelector`."""

    def __init__(self) -> None:
        self.turns = TurnSelector()
        super().__init__(self.turns)
        self.turns.next_call = self._until_next_call

    def _until_next_call(self) -> float | None:
        # asyncio has no public name for these two; they have been there since its first version.
        if self._ready:  # type: ignore[attr-defined]
            return 0.0
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return max(0.0, scheduled[0].when() - self.time()) if scheduled else None

    def time(self) -> float:
        """Return the monotonic time, seconds."""
        return monotonic_s()


def watched(loop: BrokerLoop, descriptor: FileDescriptorLike) -> bool:
    """Return whether the loop waits for input of a socket."""
    key = loop.turns.get_map().get(descriptor)
    return key is not None and bool(key.events & selectors.EVENT_READ)
