"""A node of a cluster: it serves clients as a single node does, and each virtual host is on one of the nodes.

It owns some of the virtual hosts: the changes of their data are appended to their replicated logs. It follows the
others, to take them over when their owner ends (`unit.py`). Users, policies and the like are in the directory, which
all nodes have (`directory.py`). A client of a virtual host that is on another node is passed on to it.

A node that may not be an owner any more, because others have found it dead or it cannot reach NATS, starts its process
again (`restart`): whatever it was about to say or write is gone with it, and it begins as a node that owns nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec

from leveret.cluster import received, tasks
from leveret.cluster.application import STOPPED, ClusterApplication
from leveret.cluster.contact import CONTACT_INTERVAL_S, RESTARTED, Contact, connected
from leveret.cluster.deleted_logs import DeletedLogs
from leveret.cluster.directory import SEEDED, Directory
from leveret.cluster.durability import ClusterDurability
from leveret.cluster.figures import figures_of
from leveret.cluster.local_disk import LocalDisk, full_error
from leveret.cluster.log import LogClosed
from leveret.cluster.member import Lost, Member
from leveret.cluster.metrics import metrics
from leveret.cluster.other_owners import OtherOwners
from leveret.cluster.owners import claim, disclaim, wait_for_claim
from leveret.cluster.peer_tls import peer_tls
from leveret.cluster.peers import (
    DIRECTORY,
    MOVE,
    NOBODY,
    Call,
    PeerListener,
    PeerRefused,
    Service,
    dial,
    is_refused,
    watch,
)
from leveret.cluster.ports import ReplicatedStorage, StorageError, Unavailable
from leveret.cluster.times import SystemTime
from leveret.cluster.unit import Shared
from leveret.cluster.units import Units
from leveret.cluster.vhost_entry import Down, Here, VhostEntry
from leveret.cluster.view import NodeRecord
from leveret.config import ConfigError, Settings
from leveret.engine import startup
from leveret.management.site import Metric, OtherNode
from leveret.management.slices import Slices
from leveret.progress import Report, unwatched
from leveret.server import descriptors
from leveret.server.alarms import total_memory
from leveret.server.application import Application
from leveret.server.durability import Durable
from leveret.server.node import Node
from leveret.server.proxy_protocol import Origin
from leveret.server.sockets import Edge
from leveret.store.lock import Lock

log = logging.getLogger("leveret")

#: Key of the node that gives the directory its first contents.
SEED = "seed"

#: How often the directory is looked at before it counts as lost.
LOOKS = 3

#: How often the lease is looked at, in one lease.
LEASE_CHECKS = 30

#: Connections that the address of a node must refuse before its process counts as gone, and seconds between them.
REFUSALS = 3
REFUSAL_INTERVAL_S = 0.05

#: Seconds between two looks at a node that neither answers nor refuses, at most.
WATCH_INTERVAL_S = 0.5

#: Seconds between two looks at the room in NATS, and the share of it at which publishers are blocked.
ROOM_INTERVAL_S = 5.0
FULL_SHARE = 0.9

#: Seconds between two looks for virtual hosts that cannot be written.
STORES_INTERVAL_S = 1.0

#: Seconds between two times that a node notes what it has of the logs that it appends to.
KEEP_INTERVAL_S = 5.0

#: Seconds that a change of the directory waits for the other nodes to have it.
EVERYWHERE_TIMEOUT_S = 1.0

#: Seconds that handing over may take when the node stops: containers are given 10 s.
LEAVE_TIMEOUT_S = 8.0

#: In the environment of a process that has started itself again under maintenance.
_DRAINED = "_LEVERET_DRAINED"

#: Seconds after which a node that is drained gives away what it has: its clients know why by then.
DRAIN_S = 0.5


class ServingNode(Node):
    """This node as its clients see it. `cluster`: the same as a member of the cluster."""

    durability: ClusterDurability

    def __init__(self, settings: Settings, cluster: ClusterNode, durability: ClusterDurability) -> None:
        self.cluster = cluster
        self._durability = durability
        super().__init__(settings)
        self.stopping = cluster.stopping

    def _make_durability(self) -> Durable:
        return self._durability

    def _make_host(self) -> Application:
        return ClusterApplication(self, self.cluster)

    def fill(self, restored: bool, report: Report = unwatched) -> None:
        """Add the default virtual host and user, if this is the first node of the cluster."""
        if restored or self.cluster.is_seeded or self.settings.server.load_definitions:
            startup.plug_in(self.broker)
        else:
            startup.seed(self.broker)

    async def _listen(self) -> None:
        await self.cluster.begin(self)
        if not self.cluster.member.drained:
            await self.cluster.listen()

    async def listen_to_clients(self) -> None:
        """Accept AMQP clients. Raises `OSError`, `TlsError`."""
        await super()._listen()

    def other_nodes(self) -> list[OtherNode]:
        """Return the nodes of the cluster besides this one."""
        member = self.cluster.member
        return member.view.others(member.name, member.time.now())

    def more_metrics(self) -> list[Metric]:
        """Return metrics of the cluster."""
        return metrics(self.cluster.member, self.cluster.units, self.cluster.entry)

    async def forget_node(self, name: str) -> None:
        """Remove a node that does not live from the cluster."""
        await self.cluster.member.forget(name)


class ClusterNode:
    """This process. `node`: what serves clients, once it is there; `units`: the virtual hosts, from `begin` on.
    `connect`: makes the contact to the replicated storage, by default to NATS."""

    def __init__(
        self, settings: Settings, connect: Callable[[], Coroutine[object, object, Contact]] | None = None
    ) -> None:
        check(settings)
        self.connect = connect or (lambda: connected(settings.cluster))
        self.settings = settings
        self.secret = settings.cluster.secret.encode()
        self.name = settings.server.node_name
        self.time = SystemTime()
        self.stopping = asyncio.Event()
        self.path = Path(settings.store.data_dir)
        self.member: Member
        self.storage: ReplicatedStorage
        self._again: Callable[[], Awaitable[ReplicatedStorage]]
        self.directory: Directory
        self.units: Units
        self.node: ServingNode | None = None
        self.entry: VhostEntry
        self.others: OtherOwners
        self.disk: LocalDisk
        self.tls = peer_tls(settings.cluster)
        self.peers = PeerListener(self.secret, self._service, self.tls)
        timeout_ms = settings.server.handshake_timeout
        self.timeout_s = timeout_ms / 1000 if timeout_ms else None
        self.listening = False
        self._begun = asyncio.Event()
        self._parts: list[asyncio.Future[None]] = []
        self._handing_over: asyncio.Future[None] | None = None

    def stop_on_signals(self) -> None:
        """Stop on SIGTERM, and on SIGINT and SIGHUP unless the process was started to ignore them."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self.stopping.set)

    # --- run and stop

    async def run(self) -> None:
        """Serve until a signal arrives.

        Raises `StorageError`, and what `Node.start` raises. It gives up if this node is deposed, or loses contact.
        """
        descriptors.raise_limit()
        self.path.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.path)
        if self.settings.cluster.sync != "always":
            log.warning(
                "cluster: it is not checked that NATS syncs every write (sync = interval): what was confirmed may be "
                "lost in a power cut"
            )
        contact = await self._unless_stopped(self.connect())
        if contact is None:
            return
        try:
            await self._run(contact)
        except (Lost, LogClosed) as reason:
            self.give_up(str(reason))
        finally:
            await contact.storage.close()
            lock.release()

    def give_up(self, reason: str) -> None:
        """Give up all that this node has: the process starts again, or ends if it was to stop, as when a node that was
        frozen has got SIGTERM, and wakes."""
        if self.stopping.is_set():
            end(reason)
        restart(reason, drained=self.member.drained)

    async def _unless_stopped(self, connecting: Coroutine[object, object, Contact]) -> Contact | None:
        """Return a contact, or None if a signal arrives before there is one."""
        stopped = asyncio.ensure_future(self.stopping.wait())
        task = asyncio.ensure_future(connecting)
        await asyncio.wait([stopped, task], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return None
        stopped.cancel()
        return task.result()

    async def _run(self, contact: Contact) -> None:
        self.storage, self._again = contact.storage, contact.again
        self.directory = Directory(contact.directory, self.time, self._everywhere)
        address = await self._start_peers()
        cluster = self.settings.cluster
        member = Member(self.name, address, contact.nodes, contact.owners, self.time, cluster.lease)
        self.member = member
        limit = self.settings.store.free_limit(total_memory())
        self.disk = LocalDisk(self.path, limit, self.time, self._disk_changed)
        member.drained = bool(os.environ.pop(_DRAINED, ""))
        await member.join(self._is_gone)
        log.info(
            "cluster: node '%s' has joined '%s'; its peer address is %s", self.name, cluster.name, address
        )
        await self.directory.read()
        try:
            await self._until_stopped(
                member.run(),
                self.directory.run(),
                self._serve(),
                self._watch_nodes(),
                self._watch_owners(),
                self._watch_lease(),
                self._watch_room(),
                DeletedLogs(self.directory, member, self.storage).run(),
                self.disk.run(),
                self._watch_stores(),
                self._note_copies(),
            )
        except StorageError:
            await self._end()
            raise
        await self._stop()

    async def _until_stopped(self, *parts: Coroutine[object, object, None]) -> None:
        """Run all parts until a signal arrives. Raises what one of them raises."""
        stopped = asyncio.ensure_future(self.stopping.wait())
        running = [asyncio.ensure_future(part) for part in parts]
        self._parts = list(
            running
        )  # they go on after the signal: the lease is renewed until all is handed over
        await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()

    async def _end(self) -> None:
        """Say nothing any more, and leave: others take over at once."""
        self.member.lease.lose()
        await tasks.end(self._parts)
        await self.member.leave()
        self.peers.close()

    async def _stop(self) -> None:
        """Hand over what is here, and leave."""
        node, self.member.stopped = self.node, True
        if node is not None and node.running:
            node.close_listeners()
            await self._leave_in_time()
            await node.stop()
        await tasks.end(self._parts)
        if self._begun.is_set():
            await self.units.stop()
        await self.member.leave()
        self.peers.close()

    async def _leave_in_time(self) -> None:
        """Hand over what is here. If that takes too long, because NATS does not answer, the process ends: the next
        owner takes all for delivered."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self.units.take_nothing()
                await asyncio.gather(self.hand_over(STOPPED), self.entry.close())
        except TimeoutError:
            self.give_up("NATS does not answer")

    async def hand_over(self, reason: str) -> None:
        """Hand over what is here. `reason`: for the clients."""
        if self._begun.is_set():
            await self.units.hand_over(reason)

    async def listen(self) -> None:
        """Accept AMQP clients. Raises `OSError`, `TlsError`."""
        assert self.node is not None
        self.listening = True
        await self.node.listen_to_clients()

    def drain(self) -> None:
        """Hand over what is here, soon, if another node can take it."""
        if self._can_be_replaced():
            asyncio.get_running_loop().call_later(DRAIN_S, self._drain)

    def _can_be_replaced(self) -> bool:
        """Whether another node could take over."""
        return any(one.takes_over for one in self.member.view.others(self.name, self.time.now()))

    def _drain(self) -> None:
        if self.member.drained:
            self._handing_over = asyncio.ensure_future(self._empty("Node was put into maintenance mode"))

    async def _empty(self, reason: str) -> None:
        """Hand over what is here, and close the clients that are passed on."""
        await asyncio.gather(self.hand_over(reason), self.entry.shut())

    # --- serve

    async def _serve(self) -> None:
        """Serve clients. Raises what ends that: also what ends a virtual host that is here."""
        seeding = await self._begin_seeding()
        durability = ClusterDurability(
            self.settings, self.directory, self.member.lease, self.time.now, self.meet, seeded=seeding is None
        )
        self.node = node = ServingNode(self._named_settings(), self, durability)
        await node.start()
        if seeding is not None:
            await disclaim(self.member, SEED, seeding)
        self.member.figures = lambda: figures_of(node)
        await self.units.failed

    async def _begin_seeding(self) -> int | None:
        """Return the epoch of this node's claim to give the directory its first contents, or None, as soon as it has
        them."""
        member, directory = self.member, self.directory
        while not self.is_seeded:
            free = asyncio.ensure_future(wait_for_claim(member, SEED))
            changed = asyncio.ensure_future(directory.changed())
            await asyncio.wait([free, changed], return_when=asyncio.FIRST_COMPLETED)
            is_free = free.done()
            await tasks.end([free, changed])
            epoch = await claim(member, SEED) if is_free else None
            if epoch is not None:
                try:
                    if not await self._look_for_seeds():
                        await self._check_logs()
                        return epoch
                except BaseException:
                    await disclaim(member, SEED, epoch)
                    raise
                await disclaim(member, SEED, epoch)
        return None

    @property
    def is_seeded(self) -> bool:
        """Whether the directory has its first contents."""
        return self.directory.is_marked(SEEDED)

    async def _look_for_seeds(self) -> bool:
        """Return the same as of now."""
        while True:
            try:
                return await self.directory.look_for_mark(SEEDED)
            except Unavailable:
                await self.time.sleep(CONTACT_INTERVAL_S)

    async def _check_logs(self) -> None:
        """Check that there are no logs that the directory does not know. Raises `StorageError`: then it was lost, and
        with a new one nobody would find what was confirmed."""
        for _ in range(LOOKS):
            known = {*self.directory.vhosts().values(), *self.directory.deleted()}
            unknown = sorted({*await self._logs()} - known)
            if not unknown:
                return
            await self.time.sleep(CONTACT_INTERVAL_S)  # the directory may be a little behind
        name = self.settings.cluster.name
        raise StorageError(
            f"NATS has the logs of {len(unknown)} virtual hosts of cluster '{name}' ({', '.join(unknown[:3])}"
            f"{', ...' if len(unknown) > 3 else ''}), but its directory is empty: bucket lv-{name}-directory was lost. "
            f"Restore its stream from a backup (nats stream restore). If nothing of them is needed, delete the streams "
            f"LV-{name}-*, or give the cluster another name ([cluster] name)."
        )

    async def _logs(self) -> list[str]:
        """Return the names of all logs, as soon as there is an answer."""
        while True:
            with contextlib.suppress(Unavailable):
                return await self.storage.logs()
            await self.time.sleep(CONTACT_INTERVAL_S)

    def meet(self, edge: Edge) -> None:
        """Pass clients on, from now on, whose virtual host another node serves."""
        self.entry = VhostEntry(edge, self, self.secret, self.tls)
        self.entry.start()

    async def address(self, vhost: str) -> str:
        """Return the address of the node that serves a virtual host (`Owners`). Raises `Here`, `Down`."""
        await self._begun.wait()
        assert self.node is not None
        while vhost in self.node.broker.elsewhere:
            if (found := self.units.address(vhost)) is not None:
                return found
            if self.is_down(vhost):
                raise Down
            await self.member.changed()
        raise Here

    def is_down(self, vhost: str) -> bool:
        """Return whether a virtual host is damaged, and stays closed (`Owners`)."""
        return self._begun.is_set() and bool(self.units.damage(vhost)[0])

    def other_addresses(self) -> list[str]:
        """Return the peer addresses of all other nodes that live (`Owners`)."""
        view, now = self.member.view, self.time.now()
        return [view.nodes[name].record.address for name in view.living(now) if name != self.name]

    async def begin(self, node: ServingNode) -> None:
        """Begin to own virtual hosts. The directory is restored, and clients do not come yet. Raises
        `DefinitionsError`."""
        settings, directory, edge = self.settings, self.directory, node.edge
        ahead_bytes = settings.memory.paging_limit(total_memory()) // 2
        shared = Shared(
            self.member,
            self.storage,
            self.time,
            self.path / "vhosts",
            lambda: ahead_bytes // max(len(directory.vhosts()), 1),
            settings.cluster.standby,
            node.durability.stores,
            self._again,
            self.member.wake,
            directory.forget_deleted,
            self.disk,
        )
        node.durability.disk = self.disk
        self.units = Units(directory, shared)

        def settled() -> None:
            edge.tick()
            edge.touch()

        directory.on_settled = settled
        directory.on_vhosts = self.units.sync
        self.others = node.owners = OtherOwners(self.units, self.secret, self.tls)
        await edge.settled(None)
        await asyncio.to_thread(self._clean_up)
        self.units.sync()
        self._begun.set()
        await self._fill(node)

    def _clean_up(self) -> None:
        """Delete what is kept here of virtual hosts that were deleted meanwhile."""
        known = set(self.directory.vhosts().values())
        folder = self.path / "vhosts"
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    async def _fill(self, node: ServingNode) -> None:
        """Import definitions, and note that the directory has its first contents. Raises `DefinitionsError`."""
        place, edge = self.settings.server.load_definitions, node.edge
        if place:
            from leveret.management.importing import Target  # seldom
            from leveret.server.load_definitions import load_everywhere

            settled = partial(edge.settled, None)
            await load_everywhere(Target(node.broker, Slices(send=edge.flush), node.owners, settled), place)
        if not self.is_seeded:
            self.directory.mark(SEEDED)
            await edge.settled(None)

    # --- other nodes

    async def _start_peers(self) -> str:
        """Listen for other nodes; returns the address that they are given."""
        cluster = self.settings.cluster
        port = await self.peers.start(cluster.peer_host, cluster.peer_port)
        host = cluster.advertise or socket.gethostname()
        return host if _has_port(host) else f"{host}:{port}"

    async def _service(self, call: Call) -> Service:
        """Return what serves a call of another node, as soon as this node does."""
        if call.service == DIRECTORY:
            await self.directory.seen(call.revision)
            return _nothing
        if call.service == MOVE:
            await self._begun.wait()
            await self.units.move(call.vhost, call.target)
            return _nothing
        async with asyncio.timeout(self.timeout_s):
            await self._begun.wait()
        assert self.node is not None
        return received.service_of(self.node, call)

    async def _everywhere(self, revision: int) -> None:
        """Return when the other nodes that live have a revision of the directory, or after some time."""
        await asyncio.gather(*(self._has(address, revision) for address in self.other_addresses()))

    async def _has(self, address: str, revision: int) -> None:
        call = Call(DIRECTORY, NOBODY, revision=revision)
        try:
            async with asyncio.timeout(EVERYWHERE_TIMEOUT_S):
                served = await dial(address, self.secret, call, self.tls)
        except (OSError, TimeoutError, PeerRefused) as error:
            log.debug("cluster: the node at %s may not have a change of the directory: %s", address, error)
        else:
            served.transport.abort()

    async def _is_gone(self, record: NodeRecord) -> bool:
        """Return whether the process of a node with the name of this one has ended: its address is ours, or refuses."""
        return record.address == self.member.address or await is_refused(record.address)

    async def _watch_nodes(self) -> None:
        """Note at once when the process of a node has ended, instead of waiting for its lease."""
        watched: dict[str, asyncio.Future[None]] = {}
        try:
            while True:
                living = {
                    seen.record.incarnation: seen
                    for seen in self.member.view.nodes.values()
                    if seen.name != self.name and not seen.record.dead
                }
                for incarnation in [one for one in watched if one not in living]:
                    watched.pop(incarnation).cancel()
                for incarnation, seen in living.items():
                    if incarnation not in watched:
                        watched[incarnation] = asyncio.ensure_future(self._watch(seen.name, seen.record))
                await self.member.changed()
        finally:
            await tasks.end(watched.values())

    async def _watch(self, name: str, record: NodeRecord) -> None:
        """Return when the process of a node has ended."""
        pause_s = REFUSAL_INTERVAL_S
        while True:
            began = self.time.now()
            await watch(record.address, self.secret, self.tls)
            if self.time.now() - began > WATCH_INTERVAL_S:
                # A process that ends resets its connections before it stops listening: ask again soon.
                pause_s = REFUSAL_INTERVAL_S
            if await _refuses(record.address):
                log.warning("cluster: the process of node '%s' has ended", name)
                self.member.see_gone(name, record.incarnation)
                return
            await self.time.sleep(pause_s)
            pause_s = min(2 * pause_s, WATCH_INTERVAL_S)

    async def _watch_owners(self) -> None:
        """Reset the clients of nodes that do not serve their virtual host any more: one that does not answer would keep
        them until they notice. Those of one that is deleted are closed by its owner (320)."""
        await self._begun.wait()
        before: dict[str, str] = {}
        while True:
            now = {name: self.units.address(name) or "" for name in self.units.units}
            for name, address in before.items():
                if address and name in now and now[name] != address:
                    self.entry.reset(name, now[name])
            before = now
            self.others.reset_dead()
            await self.member.changed()

    # --- what may end it

    async def _watch_lease(self) -> None:
        """Give up when the lease is over, and send again what was held while it was too old. Raises `Lost`."""
        lease = self.member.lease
        silent = False
        while True:
            await self.time.sleep(lease.length_s / LEASE_CHECKS)
            now = self.time.now()
            if self._begun.is_set() and self.units.taken and lease.is_over(now):
                raise Lost(f"no contact to NATS for {lease.length_s} s")
            if silent and not lease.is_silent(now) and self.node is not None:
                self.node.edge.send_soon()
            silent = lease.is_silent(now)

    async def _watch_room(self) -> None:
        """Block publishers, as a low disk does, while the storage is nearly full: acknowledgements need the rest, and
        without them nothing could be deleted."""
        while True:
            await self.time.sleep(ROOM_INTERVAL_S)
            if self.node is None or not self.node.running:
                continue
            try:
                usage = await self.storage.usage()
            except (Unavailable, StorageError):
                continue
            held, full = self.node.monitor.held, 0 < usage.limit * FULL_SHARE <= usage.used
            if full and "disk" not in held:
                log.warning(
                    "cluster: %d of %d octets of NATS are used: publishers are blocked",
                    usage.used,
                    usage.limit,
                )
                held.add("disk")
            elif not full:
                held.discard("disk")

    def _disk_changed(self) -> None:
        self.member.full = self.disk.error is not None
        self.member.wake()

    async def _watch_stores(self) -> None:
        """Give virtual hosts away that cannot be written here, because the disk is full."""
        failing: set[str] = set()
        while True:
            await self.time.sleep(STORES_INTERVAL_S)
            if self._begun.is_set():
                failing = await self.look_at_stores(failing)

    async def look_at_stores(self, before: set[str]) -> set[str]:
        """Give the virtual hosts away that could not be written at the look before, and cannot be now; returns those
        that cannot be now. They stay if no other node can take them."""
        stores, found = self.units.shared.stores, set[str]()
        for unit in [one for one in self.units.units.values() if one.serving or one.leaving]:
            error = full_error(stores.failing(unit.name))
            if error is None:
                continue
            found.add(unit.name)
            if unit.name in before:
                self.disk.failed(error)
                if unit.leaving:
                    stores.give_up(unit.name)
                elif self._can_be_replaced():
                    log.error(
                        "cluster: virtual host '%s' is given up: it cannot be written here: %s",
                        unit.name,
                        error,
                    )
                    reason = (
                        f"virtual host '{unit.name}' is moved to another node: the disk of this one is full"
                    )
                    await self.units.give_away(unit, reason)
        return found

    async def _note_copies(self) -> None:
        """Note now and then what this node has of the logs that it appends to."""
        while True:
            await self.time.sleep(KEEP_INTERVAL_S)
            if self._begun.is_set():
                await self.units.note_copies()

    def _named_settings(self) -> Settings:
        """Return the settings with the name of the cluster. Data is kept."""
        settings = self.settings
        name = settings.server.cluster_name or settings.cluster.name
        replace = msgspec.structs.replace
        server = replace(settings.server, cluster_name=name)
        return replace(settings, server=server, store=replace(settings.store, engine="disk"))


async def _nothing(transport: asyncio.Transport, origin: Origin) -> None:
    """The call is answered by being accepted."""
    transport.close()


def check(settings: Settings) -> None:
    """Check the settings of a cluster. Raises `ConfigError`."""
    cluster = settings.cluster
    if not cluster.secret:
        raise ConfigError(
            "[cluster]", "secret", "must be set where nats is: a text that all nodes of the cluster have"
        )
    if bool(cluster.certfile) != bool(cluster.cacertfile):
        raise ConfigError(
            "[cluster]", "certfile", "and cacertfile must both be set, for TLS between nodes, or neither"
        )
    if settings.testing.enabled:
        raise ConfigError(
            "[cluster]", "nats", "cannot be used with --testing, which keeps all data in memory"
        )
    if cluster.sync == "always" and len(cluster.monitor) < len(cluster.nats):
        raise ConfigError(
            "[cluster]",
            "monitor",
            "must have the monitoring address of each server in nats, so that sync_interval: always can be checked; "
            'or set sync = "interval", if what was confirmed may be lost in a power cut',
        )


async def _refuses(address: str) -> bool:
    """Return whether an address refuses several connections."""
    for number in range(REFUSALS):
        if number:
            await asyncio.sleep(REFUSAL_INTERVAL_S)
        if not await is_refused(address):
            return False
    return True


def _has_port(address: str) -> bool:
    """Return whether an address ends with a port."""
    host, colon, port = address.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))


def restart(reason: str, *, drained: bool = False) -> NoReturn:
    """Start this process again: all its connections are reset, and nothing that it has not sent leaves it. `drained`:
    it stays under maintenance."""
    log.error("cluster: this node starts again: %s", reason)
    logging.shutdown()
    os.execve(sys.executable, sys.orig_argv, {**os.environ, RESTARTED: "1", _DRAINED: "1" if drained else ""})


def end(reason: str) -> NoReturn:
    """End this process at once: nothing that it has not sent leaves it."""
    log.error("cluster: this node stops without handing anything over: %s", reason)
    logging.shutdown()
    os._exit(0)


async def serve(settings: Settings) -> None:
    """Run a node of a cluster until a signal stops it."""
    node = ClusterNode(settings)
    node.stop_on_signals()
    await node.run()
