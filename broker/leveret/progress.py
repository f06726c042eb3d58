"""How far a long operation is: reported to whoever watches it, and drawn as a bar in a terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

#: Seconds before a bar appears, and between two drawings: short operations show nothing.
APPEARS_AFTER_S = 0.5
REDRAWN_AFTER_S = 0.1

#: Characters of the bar itself.
_BAR_WIDTH = 24

#: The width of a terminal that does not tell it.
_COLUMNS = 80

_ERASE_LINE = "\r\x1b[K"


class Report(Protocol):
    """Takes how much of an operation is done. `what`: its name; `done` of `total` units."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report it."""
        ...


def unwatched(what: str, done: int, total: int) -> None:
    """Report to nobody."""


class ProgressBar:
    """A bar on one line. `write`: writes to the terminal; `columns`: returns its width; `clock`: seconds of any origin.

    The cursor stays at the beginning of the line, so that a log line is written over the bar and not behind it.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        columns: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._columns = columns
        self._clock = clock
        self._what = ""
        self._began = 0.0
        self._drawn_at = 0.0
        self._drawn = False

    def report(self, what: str, done: int, total: int) -> None:
        """Draw how far the operation is, unless it has just begun or was just drawn; erase the bar at its end."""
        if done >= total:
            self.close()
            return
        now = self._clock()
        if what != self._what:
            self._what, self._began, self._drawn_at = what, now, now
        if now - self._began < APPEARS_AFTER_S or now - self._drawn_at < REDRAWN_AFTER_S:
            return
        self._drawn_at, self._drawn = now, True
        text = self._text(done, total, now - self._began)[: max(self._columns() - 1, 0)]
        self._write(f"{_ERASE_LINE}{text}\r")

    def _text(self, done: int, total: int, took_s: float) -> str:
        share = done / total
        full = int(share * _BAR_WIDTH)
        bar = "#" * full + "." * (_BAR_WIDTH - full)
        rest = f"  {_duration(took_s / share - took_s)} left" if share else ""
        return f"{self._what} [{bar}] {int(share * 100):3d} %{rest}"

    def close(self) -> None:
        """Erase the bar."""
        if self._drawn:
            self._write(_ERASE_LINE)
            self._drawn = False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except OSError:
        return _COLUMNS


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 90 else f"{round(whole / 60)} min"


@contextmanager
def shown(stream: TextIO | None = None) -> Iterator[Report]:
    """Draw what is reported as a bar on a stream (standard error), if it is a terminal; otherwise nothing."""
    target = sys.stderr if stream is None else stream
    if not target.isatty():
        yield unwatched
        return

    def write(text: str) -> None:
        target.write(text)
        target.flush()

    bar = ProgressBar(write, lambda: _columns(target))
    try:
        yield bar.report
    finally:
        bar.close()
