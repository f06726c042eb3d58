"""What keeps the data of a node of a cluster: the directory, and a store for each virtual host that is here
(`server/durability.py: Durable`)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from leveret.cluster.directory_changes import DirectoryChanges
from leveret.cluster.place import LeasedMarks
from leveret.progress import Report, unwatched
from leveret.server.alarms import total_memory
from leveret.server.background import Background
from leveret.server.send_barrier import SendBarrier
from leveret.server.vhost_stores import VhostStores
from leveret.store.catalogue.recorder import Recorder
from leveret.store.catalogue.restore import DirectoryRestore
from leveret.store.files import Operations
from leveret.store.paging_file import FilePager

if TYPE_CHECKING:
    from leveret.cluster.directory import Directory
    from leveret.cluster.lease import Lease
    from leveret.cluster.local_disk import LocalDisk
    from leveret.engine.broker import Broker
    from leveret.server.sockets import Edge
    from leveret.settings import Settings

log = logging.getLogger("leveret")


class NoMarks:
    """Deliveries are noted by the stores of virtual hosts (`DeliveredMarks`)."""

    always_asked = False
    has_unwritten_marks = False
    noted = 0

    def write_delivered_marks(self) -> bool:
        """There is nothing to note."""
        return True


class ClusterDurability:
    """`directory`: was read. `meet`: called with the edge, before anything is restored. `seeded`: there is a broker in
    the directory; without, this node makes the first one. `disk`: where the data is. `stores`: of the virtual hosts
    that are here, from `start` on."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        lease: Lease,
        now: Callable[[], float],
        meet: Callable[[Edge], None],
        *,
        seeded: bool,
    ) -> None:
        self.settings = settings
        self.directory = directory
        self.lease = lease
        self.now = now
        self.meet = meet
        self.seeded = seeded
        self.background = Background()
        limit = settings.memory.paging_limit(total_memory())
        self.disk: LocalDisk | None = None
        self.pager = FilePager(limit, settings.store.data_dir)
        self.journal = directory.journal
        self.stores: VhostStores

    @property
    def kept(self) -> ClusterDurability:
        """Where data is kept."""
        return self

    @property
    def failing(self) -> OSError | None:
        """The error while a virtual host cannot be written, or could not be."""
        if self.disk is not None and self.disk.error is not None:
            return self.disk.error
        found = (opened.store.failing for opened in self.stores.stores.values())
        return next((error for error in found if error is not None), None)

    def file_operations(self) -> Operations:
        """Return what the stores have done with their files."""
        return Operations.total(opened.store.files.done for opened in self.stores.stores.values())

    def start(self, broker: Broker, edge: Edge, report: Report = unwatched) -> bool:
        """Restore what is in the directory, and follow it; all virtual hosts are elsewhere. Returns whether there was
        anything."""
        self.meet(edge)
        self.background.start(edge.loop, broker.faults)
        self.pager.begin(self.background)
        recorder = Recorder(broker, self.directory, None)
        DirectoryRestore(recorder, self.directory).run(report)
        recorder.begin()
        barrier = SendBarrier(
            LeasedMarks(NoMarks(), self.lease, self.now),
            self.journal,
            edge.loop.call_later,
            edge.send_soon,
            broker.faults,
        )
        self.stores = VhostStores(broker, edge, recorder, barrier)
        self.directory.on_change = DirectoryChanges(broker, edge.touch).apply
        log.info(
            "Data directory: %s (virtual hosts: %d)", self.settings.store.data_dir, len(broker.elsewhere)
        )
        return self.seeded

    async def stop(self) -> None:
        """Close the stores of virtual hosts that could not be handed over."""
        self.background.leave()
        await self.stores.stop()
