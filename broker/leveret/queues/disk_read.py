"""What is being read from the disk. The event loop does not wait for it: whoever needs the data goes on when it is
there."""

from __future__ import annotations

from collections.abc import Callable


class DiskRead:
    """A read that may take a while. `done`: it has ended, with `data`, or with an `error`."""

    def __init__(self) -> None:
        self.done = False
        self.data = b""
        self.error: OSError | None = None
        self._calls: list[Callable[[], None]] = []

    @classmethod
    def now(cls, read: Callable[[], bytes]) -> DiskRead:
        """Return a read that was done at once."""
        made = cls()
        try:
            made.end(read(), None)
        except OSError as error:
            made.end(b"", error)
        return made

    def when_done(self, call: Callable[[], None]) -> None:
        """Run `call` when the read has ended; at once if it has."""
        if self.done:
            call()
        else:
            self._calls.append(call)

    def end(self, data: bytes, error: OSError | None) -> None:
        """The read has ended: run the calls that wait for it."""
        self.done, self.data, self.error = True, data, error
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def result(self) -> bytes:
        """Return the data. Raises OSError."""
        if self.error is not None:
            raise self.error
        return self.data
