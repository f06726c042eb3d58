"""Free disk space, looked up beside the event loop: a disk that hangs must not hold it."""

from __future__ import annotations

from collections.abc import Callable


class DiskSpace:
    """The octets free where data is kept. `free`: as of the last look that has ended, -1 if that is unknown.

    `look_up`: returns them, raises OSError; called in a thread. `offload`: runs a step in a thread, then a call in the
    event loop with the error that the step raised; without it, everything is done at once.
    """

    def __init__(
        self,
        look_up: Callable[[], int],
        offload: Callable[[Callable[[], None], Callable[[OSError | None], None]], None] | None = None,
    ) -> None:
        self.free = -1
        self._look_up = look_up
        self._offload = offload
        self._looking = False
        self._known = False

    def look(self, seen: Callable[[], None] | None = None) -> None:
        """Look, then call `seen`; not if the last look has not ended. The first look is waited for: it is the node's
        start."""
        if self._looking:
            return
        found = -1

        def step() -> None:
            nonlocal found
            found = self._look_up()

        def done(error: OSError | None) -> None:
            self._looking = False
            self.free = found if error is None else -1
            if seen is not None:
                seen()

        if self._offload is not None and self._known:
            self._looking = True
            self._offload(step, done)
            return
        self._known = True
        try:
            step()
        except OSError as error:
            done(error)
        else:
            done(None)
