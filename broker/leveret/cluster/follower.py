"""Follow a log that another node appends to: a node that does so has less to read when it takes over.

What is read goes to a *sink*, which keeps the directory up to date (`cache.py`). A takeover goes on where the follower
has stopped, if it is still the same log: the follower decides nothing, and nothing relies on how far it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from leveret.cluster.ports import Gone, Replica, StorageError, Stored, Time, Unavailable
from leveret.cluster.replay import Replay, ReplayedBlock, ReplayedDrop, is_continued
from leveret.cluster.tasks import end
from leveret.store.errors import StoreError

log = logging.getLogger("leveret")

#: What counts of a log, in order.
Found: TypeAlias = Sequence[ReplayedBlock | ReplayedDrop]

#: Seconds between two questions for what is newer: after an answer with some records, and after the first with none;
#: doubled after each other one with none, up to the last. Hundreds of virtual hosts that are idle cost little then.
BUSY_INTERVAL_S = 0.05
IDLE_INTERVAL_S = 0.1
LONGEST_IDLE_INTERVAL_S = 1.6

#: Records after which the next question follows at once.
MANY_RECORDS = 64

#: Seconds between two looks whether the log is still the same one, and until one that is not there is looked for again.
IDENTITY_INTERVAL_S = 5.0
OPEN_INTERVAL_S = 1.0

#: Seconds between two attempts while the storage does not answer.
RETRY_INTERVAL_S = 0.5

#: Seconds until a log that could not be followed is read again from its beginning; doubled each time.
FIRST_DELAY_S = 2.0
LONGEST_DELAY_S = 300.0


class Sink(Protocol):
    """What is made of a log."""

    async def begin(self, identity: str) -> Replay | None:
        """Return how far the log with this identity is known already; None if nothing is known of it."""

    async def reset(self, identity: str) -> None:
        """Forget everything: the log with this identity is read from its beginning."""

    async def take(self, found: Found, replay: Replay) -> None:
        """Take what was read. `replay`: how far that is. Raises `StoreError`, OSError."""

    async def rest(self) -> None:
        """Do what was left to do, now that nothing is newer. Raises `StoreError`, OSError."""


class Followed(NamedTuple):
    """How far a log was followed. `identity`: which one it was."""

    identity: str
    replay: Replay


class Follower:
    """Follows the log that `open_log` opens. `what`: names it in the log of the node. `replay`: how far it is, None
    before it has begun. `caught_up`: it had everything when it asked last."""

    def __init__(
        self, open_log: Callable[[], Awaitable[Replica]], sink: Sink, time: Time, what: str = "the log"
    ) -> None:
        self.what = what
        self.open_log = open_log
        self.sink = sink
        self.time = time
        self.identity = ""
        self.replay: Replay | None = None
        self.caught_up = False
        self._delay_s = FIRST_DELAY_S
        self._doing: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> Followed | None:
        """Stop. Returns how far the log was followed; None if it is not known."""
        if self._task is not None:
            await end([self._task])
        if self._doing is not None:
            await asyncio.gather(self._doing, return_exceptions=True)
        return None if self.replay is None else Followed(self.identity, self.replay)

    async def _run(self) -> None:
        while True:
            try:
                replica = await self._opened()
                await self._begin_if_new(replica)
                await self._follow(replica)
            except Unavailable as error:
                log.debug("cluster: %s cannot be followed at the moment: %s", self.what, error)
                await self.time.sleep(RETRY_INTERVAL_S)
            except Gone as error:  # its virtual host was deleted, most often
                log.debug("cluster: %s cannot be followed any more: %s", self.what, error)
                await self.time.sleep(OPEN_INTERVAL_S)
            except (StorageError, StoreError, OSError) as error:
                self.replay = None
                log.warning(
                    "cluster: %s cannot be followed, and is read again in %.0f s: %s",
                    self.what,
                    self._delay_s,
                    error,
                )
                if isinstance(error, OSError):
                    await self._make_room()
                await self.time.sleep(self._delay_s)
                self._delay_s = min(self._delay_s * 2, LONGEST_DELAY_S)

    async def _make_room(self) -> None:
        """Delete what is kept: it cannot be gone on with, and the disk may be full."""
        with contextlib.suppress(StoreError, OSError):
            await self._do(self.sink.reset(self.identity))

    async def _opened(self) -> Replica:
        """Return the log as soon as it is there. Raises `Unavailable`."""
        while True:
            with contextlib.suppress(
                StorageError
            ):  # there is none; what else is wrong with it, the next owner says
                return await self.open_log()
            await self.time.sleep(OPEN_INTERVAL_S)

    async def _begin_if_new(self, replica: Replica) -> None:
        """Begin, unless the log is the one that was followed so far."""
        identity = await replica.identity()
        if self.replay is not None and identity == self.identity and await is_continued(replica, self.replay):
            return
        if self.replay is not None:
            log.warning("cluster: %s was made again; it is read from its beginning", self.what)
            self.replay = None
            await self._do(self._reset(identity))
            return
        self.replay = None
        await self._do(self._begin(identity))
        if self.replay is not None and not await is_continued(replica, self.replay):
            log.warning(
                "cluster: what is kept here is not in %s any more, which is read from its beginning",
                self.what,
            )
            await self._do(self._reset(identity))

    async def _begin(self, identity: str) -> None:
        replay = await self.sink.begin(identity)
        if replay is None:
            await self._reset(identity)
        else:
            self.identity, self.replay = identity, replay

    async def _reset(self, identity: str) -> None:
        self.replay = None
        await self.sink.reset(identity)
        self.identity, self.replay = identity, Replay()

    async def _follow(self, replica: Replica) -> None:
        """Follow a log until it is another one. Raises `Unavailable`, `StorageError`, `StoreError`, OSError."""
        looked_at, idle_s = self.time.now(), IDLE_INTERVAL_S
        while True:
            replay = self.replay
            assert replay is not None
            records = await replica.newer(replay.last + 1)
            if records:
                await self._do(self._take(records, replay))
            else:
                await self._do(self._rest())
            if not records and not self.caught_up:
                self.caught_up = True
                self._delay_s = FIRST_DELAY_S
                log.info("cluster: this node has followed %s up to record %d", self.what, replay.last)
            if len(records) < MANY_RECORDS:
                await self.time.sleep(BUSY_INTERVAL_S if records else idle_s)
                idle_s = IDLE_INTERVAL_S if records else min(2 * idle_s, LONGEST_IDLE_INTERVAL_S)
            if self.time.now() - looked_at > IDENTITY_INTERVAL_S:
                looked_at = self.time.now()
                if await replica.identity() != self.identity:
                    return

    async def _take(self, records: list[Stored], replay: Replay) -> None:
        self.caught_up = self.caught_up and len(records) < MANY_RECORDS
        try:
            found = [block for stored in records if (block := replay.add(stored)) is not None]
            await self.sink.take(found, replay)
        except BaseException:
            self.replay = None  # what was read and not taken is lost
            raise

    async def _rest(self) -> None:
        try:
            await self.sink.rest()
        except BaseException:
            self.replay = None
            raise

    async def _do(self, step: Coroutine[object, object, None]) -> None:
        """Do something to its end, also if the follower is stopped meanwhile."""
        self._doing = asyncio.ensure_future(step)
        await asyncio.shield(self._doing)
