"""Keeps the lease while the event loop is busy: to restore a large broker takes longer than a lease.

The keeper has a thread, an event loop and a connection of its own. It writes the key of the node again, unchanged: that
is a change for the others, and the node itself is still found there when it looks (`Member`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

from leveret.cluster.lease import Lease
from leveret.cluster.member import Member
from leveret.cluster.ports import ReplicatedStorage, StorageError, Table, Time, Unavailable
from leveret.cluster.view import decode_node

log = logging.getLogger("leveret")

#: Name of the table of nodes.
NODES = "nodes"


class LeaseKeeper:
    """Renews the lease of `member` from `start` to `stop`. `connect`: makes a connection to the storage."""

    def __init__(self, member: Member, connect: Callable[[], Awaitable[ReplicatedStorage]]) -> None:
        self.name = member.name
        self.incarnation = member.incarnation
        self.lease: Lease = member.lease
        self.time: Time = member.time
        self.connect = connect
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leveret-lease", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, soon. The thread is not waited for: it may wait for the storage."""
        self._ended.set()

    def _run(self) -> None:
        try:
            asyncio.run(self._keep())
        except (StorageError, Unavailable) as error:
            log.warning("cluster: the lease is not renewed while the broker is restored: %s", error)

    async def _keep(self) -> None:
        storage = await self.connect()
        try:
            nodes = await storage.open_table(NODES)
            while not self._ended.is_set():
                if not await self._renew(nodes):
                    return
                await self._pause()
        finally:
            await storage.close()

    async def _renew(self, nodes: Table) -> bool:
        """Renew once; returns False if the lease is lost."""
        sent_at = self.time.now()
        try:
            entry = await nodes.get(self.name)
            record = None if entry is None else decode_node(entry)
            if entry is None or entry.value is None or record is None:
                return False
            if record.dead or record.incarnation != self.incarnation:
                return False
            if await nodes.update(self.name, entry.value, entry.revision) is not None:
                self.lease.renewed(sent_at)
        except Unavailable as error:
            log.debug("cluster: no renewal: %s", error)
        return True

    async def _pause(self) -> None:
        """Wait until the next renewal, or the end."""
        for _ in range(10):
            if not self._ended.is_set():
                await self.time.sleep(self.lease.renewal_interval_s / 10)
