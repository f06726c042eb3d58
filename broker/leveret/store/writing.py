"""The right to write to the files of a store: one thread has it at a time, and the event loop never uses it itself.

Whoever writes a commit has it from the beginning of the encoding until the octets are in the files; the sync that
follows does not need it. Marks of deliveries are written in between.

The event loop waits for a short write, for a few milliseconds at most (`Background.wait`, `briefly`). If a write has
taken longer than `slow_write_s`, the disk is `slow`, and for a while the loop does not even wait for that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from leveret.store.files import Files

#: What is called in the loop when a step has ended, with the error it raised.
Done = Callable[[OSError | None], None]

#: A batch with more octets is no short write.
LARGE_WRITE_BYTES = 256 * 1024

#: Seconds after which a short write was slow; then nobody waits for writes for so many seconds.
SLOW_WRITE_S = 0.02
SLOW_DISK_S = 10.0


class Background(Protocol):
    """What the store needs from the event loop and from its threads."""

    def now(self) -> float:
        """Seconds since any moment, to see how long something takes."""

    def soon(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, after what is running now."""

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Run `call` in the loop after a while."""

    def sync(self, write: Callable[[], None], wait: Callable[[], None], done: Done) -> None:
        """Run `write`, then `wait` in the thread of commits, then `done` in the loop with the error that they
        raised."""

    def offload(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in a thread that nobody waits for, then `done` in the loop with the error it raised."""

    def read(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in the thread that reads, then `done` in the loop with the error it raised."""

    def briefly(self, step: Callable[[], None], done: Done) -> None:
        """Run `step` in the thread of marks, then `done` in the loop: before this returns, if it takes no longer than a
        few milliseconds."""

    def wait(self, lock: threading.Lock) -> bool:
        """Acquire a lock that a thread holds; False if that takes longer than a few milliseconds."""


class Writing:
    """The right to write. `slow`: a short write has taken longer than `slow_write_s`. `marking`: delivered marks are
    being written, and the loop has stopped waiting for them."""

    def __init__(self, background: Background, files: Files) -> None:
        self.background = background
        self.files = files
        self.slow = False
        self.slow_write_s = SLOW_WRITE_S
        self.marking = False
        self._lock = threading.Lock()
        self._short = False

    @property
    def busy(self) -> bool:
        """Whether somebody writes, or is about to."""
        return self._lock.locked()

    def begin(self) -> bool:
        """Take the right to write, for as long as it takes; False if somebody has it."""
        if not self._lock.acquire(blocking=False):
            return False
        self._short = False
        return True

    def shorten(self) -> None:
        """Whoever has the right gives it back soon."""
        self._short = True

    def end(self) -> None:
        """Give the right back; in any thread."""
        self._lock.release()

    def wait(self) -> bool:
        """Take the right to write, after waiting for a short write; False if somebody keeps it."""
        return self.begin() or (self._short and not self.slow and self.background.wait(self._lock))

    def mark(self, step: Callable[[], None], done: Done) -> None:
        """Write delivered marks, with the right to write. `done` gives it back; it has been called when this returns,
        unless `marking` is set."""
        self.marking = True
        before = self.files.done.write_s

        def ended(error: OSError | None) -> None:
            self.marking = False
            self.judge(before)
            done(error)

        self._short = False
        self.background.briefly(step, ended)

    def judge(self, before: float) -> None:
        """Note whether a short write was slow. `before`: seconds that all writes had taken until then."""
        if self.files.done.write_s - before > self.slow_write_s and not self.slow:
            self.slow = True
            self._look_again()

    def _look_again(self) -> None:
        """The disk is slow for a while, and longer if writes still take long then."""
        writes, write_s = self.files.done.writes, self.files.done.write_s

        def look() -> None:
            count, seconds = self.files.done.writes - writes, self.files.done.write_s - write_s
            self.slow = seconds > count * self.slow_write_s
            if self.slow:
                self._look_again()

        self.background.later(SLOW_DISK_S, look)
