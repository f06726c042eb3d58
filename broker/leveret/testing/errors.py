"""The exceptions of the test toolkit. Each text says what was wanted, what there is, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType

    from leveret.testing.reasons import Reason


class Caught(Protocol):
    """An exception as pytest passes it to `__tracebackhide__`."""

    @property
    def tb(self) -> TracebackType:
        """Where it was raised."""

    def errisinstance(self, kinds: tuple[type[BaseException], ...]) -> bool:
        """Return whether it is of one of these classes."""


def hides_frames(caught: Caught) -> bool:
    """Return whether pytest is to leave out the frames of the toolkit: what is wrong is in the test then, also if the
    toolkit refuses an argument. Modules have this as `__tracebackhide__`."""
    if caught.errisinstance((ToolkitError, AssertionError)):
        return True
    return caught.errisinstance((TypeError, ValueError)) and _raised_by_toolkit(caught.tb)


def _raised_by_toolkit(where: TracebackType) -> bool:
    while where.tb_next is not None:
        where = where.tb_next
    return where.tb_frame.f_globals.get("__tracebackhide__") is hides_frames


class ToolkitError(Exception):
    """The base class of all exceptions of the toolkit."""


class Stopped(ToolkitError, RuntimeError):
    """The broker is not running: it was stopped, or never started."""


class BlockingCall(ToolkitError, RuntimeError):
    """A method that waits was called in a thread whose event loop runs; it would stop the clients it waits for."""


class ClockError(ToolkitError, ValueError):
    """The clock cannot be moved like that: time never goes back."""


class Unsupported(ToolkitError):
    """The call needs Leveret, and the broker is a real RabbitMQ."""


class Unroutable(ToolkitError):
    """A mandatory message that was published from inside reached no queue."""


class WaitTimeout(ToolkitError, AssertionError, TimeoutError):
    """What was waited for did not come in time."""


class NotIdle(WaitTimeout):
    """The broker was not idle in time. `reasons`: everything that is left."""

    def __init__(self, text: str, reasons: Sequence[Reason] = ()) -> None:
        super().__init__(text)
        self.reasons: list[Reason] = list(reasons)


class Unclean(ToolkitError, AssertionError):
    """A rule of strict mode was broken. One paragraph for each violation."""


class ReplayMismatch(ToolkitError, AssertionError):
    """The broker answered differently than the recording."""
