"""Delete the logs of virtual hosts that are deleted, if their owner has ended before it has done that.

The directory says which ones these are: whoever deletes a virtual host from it notes its identifier there first
(`Directory.deleted`). A log without such a note is never touched: a directory that was lost must not delete data.

Before a log is deleted, this node becomes the owner of its virtual host, so that nobody can begin to use it; and then
looks whether the directory, as it is from then on, has no virtual host with that identifier.

What NATS refuses to delete is tried again, less and less often: a permission may be missing for now only, and a stream
that somebody else has made under that name may be removed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from leveret.cluster.owners import claim, disclaim
from leveret.cluster.ports import StorageError, Unavailable
from leveret.cluster.view import claim_at

if TYPE_CHECKING:
    from leveret.cluster.directory import Directory
    from leveret.cluster.member import Member
    from leveret.cluster.ports import ReplicatedStorage

log = logging.getLogger("leveret")

#: Seconds between two looks for logs to delete.
LOOK_INTERVAL_S = 2.0

#: Seconds until a log that could not be deleted is tried again, at first and at most: they are doubled each time.
FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0


class Refusal(NamedTuple):
    """A log that could not be deleted. `again_at`: when it is tried again; `pause_s`: seconds from the try to then."""

    again_at: float
    pause_s: float


class DeletedLogs:
    """Deletes what is left of virtual hosts that are not in the directory any more."""

    def __init__(self, directory: Directory, member: Member, storage: ReplicatedStorage) -> None:
        self.directory = directory
        self.member = member
        self.storage = storage
        self._claimed: dict[str, int] = {}
        self._refused: dict[str, Refusal] = {}

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self.member.time.sleep(LOOK_INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Delete the logs that can be deleted now."""
        deleted = self.directory.deleted()
        for identifier in set(self._claimed).difference(deleted):  # its virtual host has come back meanwhile
            await disclaim(self.member, identifier, self._claimed.pop(identifier))
        for identifier in set(self._refused).difference(deleted):
            del self._refused[identifier]
        for identifier in deleted:
            refusal = self._refused.get(identifier)
            if refusal is not None and self.member.time.now() < refusal.again_at:
                continue
            try:
                await self._delete(identifier)
            except Unavailable as error:
                log.debug("cluster: log %s cannot be deleted yet: %s", identifier, error)
            except StorageError as error:
                self._refuse(identifier, error)

    def _refuse(self, identifier: str, error: StorageError) -> None:
        """Note that a log could not be deleted; the log of the node says so once."""
        before = self._refused.get(identifier)
        pause_s = FIRST_PAUSE_S if before is None else min(2 * before.pause_s, LONGEST_PAUSE_S)
        self._refused[identifier] = Refusal(self.member.time.now() + pause_s, pause_s)
        log.log(
            logging.ERROR if before is None else logging.DEBUG,
            "cluster: log %s of a deleted virtual host cannot be deleted, and is tried again in %.0f s, then less "
            "often: %s",
            identifier,
            pause_s,
            error,
        )

    async def _delete(self, identifier: str) -> None:
        """Delete a log, unless another node has to do that. Raises `Unavailable`, `StorageError`."""
        epoch = self._claimed.get(identifier) or await self._claim(identifier)
        if not epoch:
            return
        self._claimed[identifier] = epoch
        if not await self.directory.is_deleted(identifier):
            del self._claimed[identifier]
            await disclaim(self.member, identifier, epoch)
            return
        await self.storage.delete_log(identifier)
        await self.member.owners.delete(identifier, epoch)
        self.directory.forget_deleted(identifier)
        del self._claimed[identifier]
        log.info(
            "cluster: the log %s of a virtual host was deleted, whose owner had not done that", identifier
        )

    async def _claim(self, identifier: str) -> int | None:
        """Become its owner, if it has none that lives. Returns the epoch."""
        member, now = self.member, self.member.time.now()
        at = claim_at(member.view, identifier, member.name, member.incarnation, now)
        if member.takes_nothing or at is None or at > now:
            return None
        return await claim(member, identifier)
