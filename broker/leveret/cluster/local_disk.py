"""Whether this node can write its data: one whose disk is full takes no virtual host over, and gives away what it
cannot write. Another node has a disk of its own, and everything that was confirmed is in the log.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from leveret.cluster.cache import Run
from leveret.cluster.ports import Time

log = logging.getLogger("leveret")

#: Errors of the operating system that mean that nothing can be written here, whatever is written.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

#: Seconds until a full disk is looked at again, at first and at most: they are doubled if it is full again soon.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 300.0

#: Octets that are written to find out whether that is possible.
PROBE_BYTES = 64 * 1024


def full_error(error: BaseException | None) -> OSError | None:
    """Return the error, or the cause of it, that says that a disk of this node is full; None for others."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, OSError) and error.errno in FULL:
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


class LocalDisk:
    """The disk of a node. `directory`: where it keeps its data. `limit`: octets that must be free. `error`: why nothing
    can be written, None if all is well; `changed`: called when that changes. `run`: runs what may wait for the disk."""

    def __init__(
        self,
        directory: Path,
        limit: int,
        time: Time,
        changed: Callable[[], None],
        run: Run = asyncio.to_thread,
    ) -> None:
        self.directory = directory
        self.limit = limit
        self.time = time
        self.changed = changed
        self._run = run
        self.error: OSError | None = None
        self._pause_s = FIRST_PAUSE_S
        self._room_at = float("-inf")
        self._failed = asyncio.Event()

    def failed(self, error: OSError) -> None:
        """Something could not be written."""
        if self.error is not None:
            return
        again = self.time.now() - self._room_at < 2 * self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if again else FIRST_PAUSE_S
        self.error = error
        log.error(
            "cluster: the disk of this node is full (%s): it takes no virtual host over until %d octets are free in %s",
            error,
            self.limit,
            self.directory,
        )
        self._failed.set()
        self.changed()

    async def run(self) -> None:
        """Look at a full disk now and then, until cancelled."""
        while True:
            await self._failed.wait()
            await self.time.sleep(self._pause_s)
            await self.look()

    async def look(self) -> None:
        """Look whether there is room again."""
        if self.error is None:
            return
        try:
            await self._run(self._probe)
        except OSError as error:
            log.debug("cluster: the disk of this node is full yet: %s", error)
            return
        self.error = None
        self._failed.clear()
        self._room_at = self.time.now()
        log.info("cluster: the disk of this node has room again: it takes virtual hosts over")
        self.changed()

    def _probe(self) -> None:
        """Raises OSError if there is no room."""
        free = shutil.disk_usage(self.directory).free
        if free < self.limit:
            raise OSError(errno.ENOSPC, f"{free} octets are free")
        path = self.directory / "room"
        try:
            with path.open("wb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
