"""An asyncio event loop in virtual time: what waits for a time does not wait for it in a test.

Whenever nothing is ready, the loop's time moves to what is due next. A test of timeouts of minutes takes milliseconds,
and runs the same way every time.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

#: Time at which a virtual loop begins, seconds. Not 0: code must not take a small time for none.
BEGIN_S = 1000.0


class _VirtualSelector(selectors.DefaultSelector):
    """A selector that does not wait, but moves its time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. If that is nothing, move the time by `timeout` seconds. Raises `RuntimeError` if
        nothing is ready and nothing is due."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits, and nothing is due: this would hang")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time` only moves when nothing is ready."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._virtual.now

    def advance(self, seconds: float) -> None:
        """Run everything that is due within so many seconds of virtual time."""
        self.call_later(seconds, self.stop)
        self.run_forever()


def run_virtual(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine in a virtual loop of its own, and cancel what it leaves running."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
