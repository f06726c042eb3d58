"""The stores of a broker whose virtual hosts have one each, beside its directory.

Each store has its own journal, its own threads and its own barrier before the clients. What one of them waits for, the
clients of the others do not wait for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from leveret.server.background import Background
from leveret.server.durability import connect
from leveret.server.vhost_barriers import VhostBarriers

if TYPE_CHECKING:
    from leveret.engine.broker import Broker
    from leveret.engine.vhost import VirtualHost
    from leveret.server.durability import DataPlace
    from leveret.server.send_barrier import SendBarrier
    from leveret.server.sockets import Edge
    from leveret.store.catalogue.recorder import Recorder
    from leveret.store.disk import DiskStore

log = logging.getLogger("leveret")


class OpenStore:
    """The store at a place, and its threads. Raises `StoreError`."""

    def __init__(self, place: DataPlace) -> None:
        self.place = place
        self.background = Background()
        self.store: DiskStore = place.open(self.background)

    async def close(self, *, write: bool = True) -> None:
        """Close the store. `write`: first write what is not written yet."""
        if not await asyncio.to_thread(self.background.stop):
            log.error("%s does not answer: unconfirmed messages are lost", self.store.directory)
        elif write:
            await self.place.close(self.store)
        else:
            self.store.release()


class VhostStores:
    """The stores of the virtual hosts that are here. `recorder`: of the broker; it writes the rest of its changes into
    the directory. `directory`: the barrier of the directory, which all clients pass."""

    def __init__(self, broker: Broker, edge: Edge, recorder: Recorder, directory: SendBarrier) -> None:
        self.broker = broker
        self.edge = edge
        self.recorder = recorder
        self.barriers = VhostBarriers(directory)
        self.stores: dict[str, OpenStore] = {}
        edge.send_barrier = self.barriers

    def adopt(self, name: str, place: DataPlace) -> VirtualHost:
        """Restore a virtual host from its own store, and serve it. Raises `StoreError`; it stays elsewhere then."""
        broker, edge = self.broker, self.edge
        opened = OpenStore(place)
        store = opened.store
        opened.background.start(edge.loop, broker.faults)
        try:
            vhost = broker.adopt(name, store.journal, lambda vhost: store.restore_vhost(self.recorder, vhost))
        except BaseException:
            opened.background.leave()
            raise
        self.barriers.add(connect(store, place.restored(store), broker, edge))
        self.stores[name] = opened
        return vhost

    async def release(self, name: str, reason: str, *, commit: bool = True) -> None:
        """Have a virtual host leave this node, and close its store.

        `commit`: everything that it has said is written first. False: its store takes nothing any more; what its
        clients were about to hear is not sent, because it may not be true.
        """
        opened = self.stores[name]
        journal = opened.store.journal
        if not commit:
            self._silence(name)
        job = self.broker.release(name, reason, commit=commit)
        self.edge.touch()
        await self.edge.ended(job)
        self.barriers.remove(journal)
        del self.stores[name]
        await opened.close(write=commit)

    def give_up(self, name: str) -> None:
        """Do not wait any more until a virtual host that leaves has written everything: that cannot be done here."""
        if name in self.broker.vhosts:
            self._silence(name)
            self.broker.release(name, "", commit=False)
            self.edge.touch()

    def failing(self, name: str) -> OSError | None:
        """Return the error while a virtual host that is here cannot be written, else None."""
        opened = self.stores.get(name)
        return opened.store.failing if opened is not None else None

    def has(self, name: str) -> bool:
        """Whether a virtual host is here, and was not deleted."""
        return name in self.stores and name in self.broker.vhosts

    async def not_deleting(self, name: str) -> None:
        """Return when a virtual host is not being deleted any more."""
        while (vhost := self.broker.vhosts.get(name)) is not None and vhost.deletion is not None:
            await self.edge.ended(vhost.deletion)

    async def forget(self, name: str) -> None:
        """Close the store of a virtual host that was deleted, and write nothing more. If it was deleted by another
        node, which took itself for its owner, its clients are closed."""
        if self.has(name):
            await self.release(name, f"vhost '{name}' is deleted", commit=False)
            self.broker.elsewhere.pop(name, None)
            return
        opened = self.stores.pop(name)
        self.barriers.remove(opened.store.journal)
        await opened.close(write=False)

    def _silence(self, name: str) -> None:
        """Throw away all output of a virtual host: whole frames, of which none was sent in part."""
        vhost = self.broker.vhosts[name]
        for socket in self.edge.sockets.values():
            if socket.connection.vhost is vhost:
                socket.connection.outbox.take()
        assert vhost.journal is not None
        self.barriers.remove(vhost.journal)

    async def stop(self) -> None:
        """Write everything, unless writing fails, and close all stores."""
        for opened in self.stores.values():
            await opened.close()
