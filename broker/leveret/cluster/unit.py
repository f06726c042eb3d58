"""One virtual host of a cluster, as this node sees it: it follows the log, takes the virtual host over when it can,
serves it, and gives it to another node in the end.

The data of a virtual host that is here is in a directory of its own, each change of which is in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leveret.cluster.cache import Cache, OwnCopy
from leveret.cluster.follower import Follower
from leveret.cluster.keeper import LeaseKeeper
from leveret.cluster.local_disk import LocalDisk, full_error
from leveret.cluster.log import LogClosed, OwnedLog
from leveret.cluster.owners import Takeover, damaged, next_takeover, replace_own
from leveret.cluster.place import LogBridge, ReplicatedPlace
from leveret.cluster.ports import Replica, ReplicatedStorage, StorageError, Time, Unavailable
from leveret.cluster.view import NOBODY, OwnerRecord
from leveret.store.errors import StoreError

if TYPE_CHECKING:
    from leveret.cluster.member import Member
    from leveret.server.vhost_stores import VhostStores
    from leveret.store.directory_builder import DirectoryBuilder

log = logging.getLogger("leveret")

#: Appends that may be on their way at once.
WINDOW = 4

#: Seconds that giving up may take: containers are given 10 s to stop.
GIVE_UP_TIMEOUT_S = 3.0

#: Octets of a virtual host that is restored so fast that the lease need not be kept meanwhile: some 1,000 queues, or
#: messages that take less.
LARGE_BYTES = 256 << 10

#: Seconds between two attempts to delete a log.
DELETE_INTERVAL_S = 1.0


class Shared(NamedTuple):
    """What the virtual hosts of a node share. `directory`: where they keep their data, each below its identifier.
    `kept_bytes`: returns how much of the messages one more of them may read ahead. `follows`: whether it follows the
    logs of others. `connect`: makes a connection to the storage. `changed`: called when one has come to this node, or
    has left. `log_deleted`: called with the identifier of one whose log was deleted. `disk`: where `directory` is."""

    member: Member
    storage: ReplicatedStorage
    time: Time
    directory: Path
    kept_bytes: Callable[[], int]
    follows: bool
    stores: VhostStores
    connect: Callable[[], Awaitable[ReplicatedStorage]]
    changed: Callable[[], None]
    log_deleted: Callable[[str], None]
    disk: LocalDisk


class Unit:
    """One virtual host. `id`: its identifier. `takeover`, `place`: while it is here; `serving`: its clients are served;
    `damage`: why they cannot be, while it stays closed here. `takeovers`: how often it came to this node."""

    def __init__(self, name: str, identifier: str, shared: Shared) -> None:
        self.name = name
        self.id = identifier
        self.shared = shared
        self.member = shared.member
        self.cache = self._new_cache()
        self.follower: Follower | None = None
        self.takeover: Takeover | None = None
        self.place: ReplicatedPlace | None = None
        self.copy: OwnCopy | None = None
        self.serving = False
        self.damage = ""
        self._opened_again: asyncio.Future[str] | None = None
        self.takeovers = 0
        self._read_before = 0
        self._leaving: asyncio.Future[None] | None = None
        self._announcing = asyncio.Lock()

    @property
    def leaving(self) -> bool:
        """Whether it is being handed over."""
        return self._leaving is not None

    @property
    def read_bytes(self) -> int:
        """Octets read from the log."""
        return self._read_before + self.cache.size

    @property
    def _log(self) -> OwnedLog | None:
        return self.takeover.log if self.takeover is not None else None

    @property
    def epoch(self) -> int:
        """Number of this node as its owner, 0 if it is not."""
        return self._log.epoch if self._log is not None else 0

    @property
    def sequence(self) -> int:
        """The last record of the log that this node has."""
        followed = self.follower.replay if self.follower is not None else None
        return self._log.last if self._log is not None else followed.last if followed is not None else 0

    @property
    def ahead(self) -> int:
        """Octets of messages that a takeover need not read."""
        return self.cache.ahead.read_bytes if self.takeover is None else 0

    @property
    def appended(self) -> int:
        """Records that this node has appended, as its owner now."""
        return self._log.appended if self._log is not None else 0

    @property
    def append_s(self) -> float:
        """Seconds that appending them took, all together."""
        return self._log.append_s if self._log is not None else 0.0

    @property
    def _directory(self) -> Path:
        return self.shared.directory / self.id

    def _new_cache(self) -> Cache:
        with contextlib.suppress(OSError):  # whatever writes into it says what is wrong
            self._directory.mkdir(parents=True, exist_ok=True)
        return Cache(self._directory, self.shared.time, kept_bytes=self.shared.kept_bytes())

    async def run(self) -> None:
        """Follow and serve it, until cancelled. Raises `LogClosed`: then this node must give up all that it has."""
        while True:
            if self.shared.follows:
                self.follower = Follower(
                    self._open, self.cache, self.shared.time, f"the log of '{self.name}'"
                )
                self.follower.start()
            await self._serve()
            self._read_before += self.cache.size
            self.cache = self._new_cache()

    async def _open(self) -> Replica:
        return await self.shared.storage.open_log(self.id)

    async def _create(self, vhost: str) -> Replica:
        return await self.shared.storage.create_log(vhost)

    async def stop(self) -> None:
        """Follow no longer; what is known of the log is noted for the next start."""
        followed = await self.follower.stop() if self.follower is not None else None
        if self.copy is not None:
            await asyncio.to_thread(self.copy.save)
        elif followed is not None and self.takeover is None:
            try:
                await asyncio.to_thread(self.cache.save, followed.replay)
            except OSError as error:
                log.warning("cluster: what is kept of the log of '%s' cannot be noted: %s", self.name, error)

    async def note_copy(self) -> None:
        """Note what the directory has of the log, while it is here."""
        if self.copy is not None:
            await asyncio.to_thread(self.copy.save)

    # --- take over and serve

    async def _serve(self) -> None:
        """Take it over when that is possible, and serve it until it was handed over. One that cannot be restored stays
        closed, and here: another node would find the same, and an unexpected exception would end one after another. If
        the disk of this node is full, another one gets it."""
        try:
            await self._take_over()
        except LogClosed:
            raise
        except Exception as error:
            if self.serving:
                raise
            full = full_error(error)
            if full is None:
                await self._stay_closed(error)
                return
            log.error(
                "cluster: virtual host '%s' cannot be served by this node, and is left to others: %s",
                self.name,
                error,
            )
            self.shared.disk.failed(full)
            if self.copy is not None:
                self.copy.discard()
            await self._leave_unserved()

    async def _stay_closed(self, error: Exception) -> None:
        """Own it without serving it, until it is to be tried again."""
        known = isinstance(error, (StoreError, StorageError, OSError))
        self.damage = str(error) if known and str(error) else repr(error)
        log.critical(
            "cluster: virtual host '%s' is damaged, and stays closed: %s\n%s",
            self.name,
            self.damage,
            what_to_do(self.name),
            exc_info=None if known else error,
        )
        if self.copy is not None:
            self.copy.discard()  # nobody knows how far the files are
        self._opened_again = asyncio.get_running_loop().create_future()
        await self._write_owner(damaged(self.member, self.damage))
        self.shared.changed()
        await self._leave_unserved(await self._opened_again)

    async def _leave_unserved(self, target: str = "") -> None:
        """Have a node take it over that this one has claimed and has not served. `target`: which one; "" for any."""
        if self.follower is not None:
            await self.follower.stop()
        await self._write_owner(OwnerRecord(node=target))
        if self.takeover is not None and self.takeover.log is not None:
            self.takeover.log.close(LogClosed("the virtual host was given up"))
        self.takeover = self.place = self.copy = self.follower = self._opened_again = None
        self.damage = ""
        self.shared.changed()

    async def _write_owner(self, record: OwnerRecord) -> None:
        """Write the key of the owner while this node is it, ready or not."""
        async with self._announcing:
            if self.takeover is not None:
                await self.takeover.replace(record)
            else:
                await replace_own(self.member, self.id, record)

    async def _take_over(self) -> None:
        takeover = await next_takeover(self.member, self.id, self._create, WINDOW)
        self.takeover = takeover
        log.info(
            "cluster: node '%s' takes virtual host '%s' over, epoch %d of log %s",
            self.member.name,
            self.name,
            takeover.epoch,
            self.id,
        )
        builder, kept = await self._fetch(takeover)
        assert takeover.log is not None
        owned = takeover.log
        if self.member.takes_nothing:  # meanwhile
            await (takeover.hand_over() if takeover.clean else takeover.release())
            self.takeover = self.follower = None
            return
        if self.follower is not None:
            self.copy = self.cache.own(await takeover.identity(), owned)
        self.place = self._make_place(takeover, builder)
        closed = asyncio.Event()
        owned.on_closed = closed.set
        self._adopt(kept)
        async with self._announcing:
            await takeover.announce_ready()
        if self.copy is not None:
            await asyncio.to_thread(self.copy.save)
        await closed.wait()
        if self._leaving is None:
            raise owned.closed or LogClosed("the log was closed")
        await asyncio.shield(self._leaving)
        self._leaving = None

    async def _fetch(self, takeover: Takeover) -> tuple[DirectoryBuilder, bool]:
        """Make the directory from the log. Returns what has made it, and whether it was there in part."""
        cache, time = self.cache, self.shared.time
        followed = await self.follower.stop() if self.follower is not None else None
        replay = await takeover.resumed(followed)
        if replay is None:
            await asyncio.to_thread(cache.clear)
        before, started = cache.size, time.now()
        async for found in takeover.blocks(replay):
            cache.apply(found)
        builder = await asyncio.to_thread(cache.finish)
        log.info(
            "cluster: %d octets of the log of '%s' were read in %.1f s; %d of messages had been read before",
            cache.size - before,
            self.name,
            time.now() - started,
            cache.ahead.read_bytes,
        )
        return builder, replay is not None

    def _make_place(self, takeover: Takeover, builder: DirectoryBuilder) -> ReplicatedPlace:
        assert takeover.log is not None
        bridge = LogBridge(takeover.log, self.shared.time, self.copy)
        bridge.drop(takeover.log.leftovers)
        place = ReplicatedPlace(
            builder.directory,
            bridge,
            self.member.lease,
            builder.subjects,
            list(builder.catalogues),
            clean=takeover.clean,
            ahead=dict(self.cache.ahead.by_path(builder.subjects)),
        )
        self.cache.forget_ahead()
        return place

    def _adopt(self, kept: bool) -> None:
        """Restore the virtual host, and serve it. `kept`: its directory was there in part. Raises `StoreError`; and
        `LogClosed` if it is to be read from its log again."""
        assert self.place is not None
        keeper = LeaseKeeper(self.member, self.shared.connect)
        if _size(self.place.directory) > LARGE_BYTES:
            keeper.start()  # to restore it holds the event loop
        try:
            self.shared.stores.adopt(self.name, self.place)
        except StoreError as error:
            if self.copy is not None:
                self.copy.discard()
            if not kept or full_error(error) is not None:
                raise
            raise LogClosed(f"what was kept of the log cannot be used, and is read again: {error}") from error
        finally:
            keeper.stop()
        self.takeovers += 1
        self.serving = True
        log.info("cluster: virtual host '%s' is served here", self.name)
        self.shared.changed()

    # --- leave

    async def hand_over(self, reason: str, target: str = "", *, commit: bool = True) -> None:
        """Close its clients, write everything, and give it to a node, or to whoever takes it; nothing if it is not
        here. One that is being handed over or deleted is waited for. One that is damaged is tried again, there.
        `reason`: for the clients. `commit`: False where nothing can be written: what the log has is what there is, and
        what clients were about to hear is not sent."""
        await self.left()
        if self._opened_again is not None:
            if not self._opened_again.done():
                self._opened_again.set_result(target)
            return
        if self.serving:
            await self.shared.stores.not_deleting(self.name)
        takeover, place = self.takeover, self.place
        if not self.serving or takeover is None or place is None or not self.shared.stores.has(self.name):
            await self.left()
            return
        self.serving = False
        done = self._leaving = asyncio.get_running_loop().create_future()
        try:
            await self.shared.stores.release(self.name, reason, commit=commit)
            await self._end(takeover, place, target)
        finally:
            self.takeover = self.place = self.copy = self.follower = None
            self.shared.changed()
            done.set_result(None)

    async def left(self) -> None:
        """Return when it has left this node, if it is being handed over."""
        if self._leaving is not None:
            await asyncio.shield(self._leaving)

    async def _end(self, takeover: Takeover, place: ReplicatedPlace, target: str) -> None:
        """Say that it is not here any more, however long that takes: until then nobody else takes it. Note what this
        node has of its log."""
        async with self._announcing:
            try:
                await (takeover.hand_over(target) if place.written else takeover.release(target))
            except (LogClosed, StorageError) as error:
                log.error("cluster: virtual host '%s' could not be handed over: %s", self.name, error)
                await takeover.release(target)
        await self.note_copy()

    async def give_up(self) -> None:
        """Own a virtual host no longer that was to be taken over, and is not served yet."""
        if self.serving or self.leaving or (self.takeover is None and not self.damage):
            return
        self.damage, self._opened_again = "", None
        try:
            async with asyncio.timeout(GIVE_UP_TIMEOUT_S):
                await self._write_owner(NOBODY)
        except (TimeoutError, StorageError) as error:
            log.error("cluster: virtual host '%s' could not be given up: %s", self.name, error)

    async def delete(self) -> None:
        """Delete what is kept of a virtual host that is deleted, and its log if this node has served it."""
        await self.left()
        if self.follower is not None:
            await self.follower.stop()
        if self.takeover is not None:
            if self.takeover.log is not None:
                self.takeover.log.close(LogClosed("the virtual host was deleted"))
            if self.serving:
                self.serving = False
                await self.shared.stores.forget(self.name)
            await self._delete_log()
        else:
            # It is damaged, or was being claimed in this moment: whoever deletes the log can claim it then.
            await self._write_owner(NOBODY)
        if self.copy is not None:
            self.copy.discard()
        await asyncio.to_thread(self.cache.clear)
        self.shared.changed()

    async def _delete_log(self) -> None:
        """Delete the log, then the key of the owner, until there is an answer. What is refused is tried again by
        whoever claims it (`deleted_logs.py`)."""
        assert self.takeover is not None
        while True:
            try:
                await self.shared.storage.delete_log(self.id)
                await self.takeover.forget()
                self.shared.log_deleted(self.id)
                return
            except Unavailable:
                await self.shared.time.sleep(DELETE_INTERVAL_S)
            except StorageError as error:
                log.error("cluster: the log of '%s' cannot be deleted yet: %s", self.name, error)
                await self.takeover.release()
                return


def what_to_do(vhost: str) -> str:
    """Return what can be done about a damaged virtual host."""
    return (
        f"Delete it with all that is in it (rabbitmqctl delete_vhost '{vhost}'); or restore its stream in NATS from a "
        f"backup, and have it opened again (rabbitmqctl restart_vhost -p '{vhost}')."
    )


def _size(directory: Path) -> int:
    """Octets in a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
