"""Take over a virtual host, and hand it over.

Taking over is, in this order: the old owner's node is marked as dead; the owner's key is set to this node, and the new
revision is the epoch; an EPOCH is appended to the log, without expectation; everything before it is read; the key is
set to ready. If any compare-and-set is refused, or a newer EPOCH is found, somebody else was quicker.

The EPOCH has no expectation because a busy owner that does not know yet that it is deposed would win every race. After
it, whatever that owner appends does not count (`replay.py`).

Revisions ascend, unless the table of owners is deleted, or restored from a backup. So a log may have epochs that the
table has not reached. The claim is then written again until its revision is later than they are, and the log is fenced
again: no epoch ever has two owners.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

from leveret.cluster.follower import Followed
from leveret.cluster.log import Deposed, LogClosed, OwnedLog, fence
from leveret.cluster.member import RETRY_INTERVAL_S, Member
from leveret.cluster.ports import Replica, Unavailable
from leveret.cluster.replay import Replay, ReplayedBlock, ReplayedDrop, is_continued
from leveret.cluster.view import NOBODY, OwnerRecord, claim_at, decode_owner, encode

log = logging.getLogger("leveret")

T = TypeVar("T")

#: Seconds until a log is read on that could not be read to its fence; doubled each time, up to `RETRY_INTERVAL_S`. The
#: server that answers has the fence a moment after the leader.
FIRST_READ_DELAY_S = 0.01

#: Characters of the reason why a virtual host is damaged, for other nodes.
LONGEST_REASON = 2000

#: Octets of what tells an EPOCH from another one with the same number.
CLAIM_BYTES = 8

#: The shortest time to wait for a claim.
LEAST_WAIT_S = 0.001


class OpenLog(Protocol):
    """Opens the log of a virtual host, and creates it if there is none."""

    async def __call__(self, vhost: str) -> Replica:
        """Return the log. Raises `Unavailable`, `StorageError`."""


async def wait_for_claim(member: Member, vhost: str) -> None:
    """Return when this node may claim a virtual host."""
    member.view.know(vhost, member.time.now())
    while True:
        if member.takes_nothing:
            await member.changed(RETRY_INTERVAL_S)
            continue
        now = member.time.now()
        at = claim_at(member.view, vhost, member.name, member.incarnation, now)
        if at is not None and at <= now:
            return
        # A rest that is lost when it is added to the time would be waited for without an end.
        await member.changed(None if at is None or at == float("inf") else max(at - now, LEAST_WAIT_S))


async def next_takeover(member: Member, vhost: str, open_log: OpenLog, window: int = 1) -> Takeover:
    """Wait until a virtual host can be claimed, and take it over: however often another node is quicker. Raises
    `StorageError`."""
    while True:
        await wait_for_claim(member, vhost)
        takeover = await take_over(member, vhost, open_log, window)
        if takeover is not None:
            return takeover
        await member.changed(RETRY_INTERVAL_S)


async def claim(member: Member, vhost: str) -> int | None:
    """Become the owner of a virtual host, not ready yet, whoever owns it now: `wait_for_claim` says when. Returns the
    epoch; None if another node was quicker, or the owner has renewed its lease meanwhile."""
    seen = member.view.owners.get(vhost)
    owner = NOBODY if seen is None else seen.record
    revision = 0 if seen is None else seen.revision

    async def attempt() -> int | None:
        if owner.node and owner.incarnation and not await member.mark_dead(owner.node, owner.incarnation):
            return None
        return await _set_owner(member, vhost, revision, _ours(member, ready=False))

    return await _retried(member, attempt, f"virtual host '{vhost}' cannot be claimed yet")


async def disclaim(member: Member, vhost: str, epoch: int) -> None:
    """Be the owner no longer of what was claimed, and never became ready."""

    async def attempt() -> bool:
        await _set_owner(member, vhost, epoch, NOBODY)
        return True

    await _retried(member, attempt, f"'{vhost}' cannot be given up yet")


async def take_over(member: Member, vhost: str, open_log: OpenLog, window: int = 1) -> Takeover | None:
    """Claim a virtual host and fence its log. Returns the takeover, whose blocks must be read next; None if another
    node was quicker. Raises `StorageError`."""
    epoch = await claim(member, vhost)
    if epoch is None:
        return None
    failure = f"the log of virtual host '{vhost}' cannot be opened yet"
    replica = await _retried(member, lambda: open_log(vhost), failure)
    mark = secrets.token_bytes(CLAIM_BYTES)
    fenced_at = await fence(replica, epoch, member.time, mark)
    return Takeover(member, vhost, replica, epoch, fenced_at, window, mark)


async def _retried(member: Member, attempt: Callable[[], Awaitable[T]], failure: str) -> T:
    """Repeat something until the storage answers; each reason is logged once."""
    reason = ""
    while True:
        try:
            return await attempt()
        except Unavailable as error:
            if str(error) != reason:
                reason = str(error)
                log.info("%s: %s", failure, reason)
            await member.time.sleep(RETRY_INTERVAL_S)


async def replace_own(member: Member, vhost: str, record: OwnerRecord) -> bool:
    """Write the owner's key of what this node has claimed. Returns False if it is not this node's."""

    async def attempt() -> bool:
        entry = await member.owners.get(vhost)
        if entry is None or not _is_ours(member, decode_owner(entry)):
            return False
        return await _set_owner(member, vhost, entry.revision, record) is not None

    return await _retried(member, attempt, f"the owner of '{vhost}' cannot be written yet")


def _is_ours(member: Member, found: OwnerRecord) -> bool:
    return found.node == member.name and found.incarnation == member.incarnation


class Takeover:
    """A virtual host that this node owns, from its fence on.

    `epoch`: its number; `fenced_at`: the sequence of its EPOCH. After `blocks` was read to its end: `log` is there to
    append to, and `clean` says whether the owner before has left in peace: if not, everything found counts as
    delivered before.
    """

    def __init__(
        self,
        member: Member,
        vhost: str,
        replica: Replica,
        epoch: int,
        fenced_at: int,
        window: int,
        claim: bytes = b"",
    ) -> None:
        self.member = member
        self.vhost = vhost
        self.replica = replica
        self.epoch = epoch
        self.fenced_at = fenced_at
        self.window = window
        self.clean = False
        self.log: OwnedLog | None = None
        self._revision = epoch
        self._claim = claim

    async def identity(self) -> str:
        """Return which log it is (`Replica.identity`). Raises `StorageError`."""
        failure = f"the log of virtual host '{self.vhost}' cannot be looked at yet"
        return await _retried(self.member, self.replica.identity, failure)

    async def resumed(self, followed: Followed | None) -> Replay | None:
        """Return where to go on reading a log that was followed until now; None: at its beginning, since it is another
        one. Raises `Deposed`, `StorageError`."""
        if followed is None or await self.identity() != followed.identity:
            return None
        replay, failure = followed.replay, f"the log of virtual host '{self.vhost}' cannot be looked at yet"
        if not await _retried(self.member, lambda: is_continued(self.replica, replay), failure):
            return None
        await self._be_newest(replay)
        return replay if replay.last < self.fenced_at or replay.epoch == self.epoch else None

    async def _be_newest(self, replay: Replay) -> None:
        """See that no epoch that was read is as new as this one. Raises `Deposed` if another node was quicker,
        `StorageError`."""
        if replay.epoch < self.epoch or (replay.epoch == self.epoch and replay.claim == self._claim):
            return
        while self._revision <= replay.epoch:
            if not await self.replace(_ours(self.member, ready=False)):
                raise Deposed(replay.epoch)
        log.warning(
            "the table of owners was behind the log of virtual host '%s': its epoch is %d, after %d",
            self.vhost,
            self._revision,
            replay.epoch,
        )
        self.epoch = self._revision
        self.fenced_at = await fence(self.replica, self.epoch, self.member.time, self._claim)

    async def blocks(self, replay: Replay | None = None) -> AsyncIterator[ReplayedBlock | ReplayedDrop]:
        """Yield everything that counts, and what of it is dropped, up to the EPOCH of this takeover. `replay`: where
        an earlier reading has ended, if there was one. Raises `Deposed`, `StorageError`."""
        replay = replay or Replay()
        await self._be_newest(replay)
        delay_s = FIRST_READ_DELAY_S
        while replay.last < self.fenced_at:
            try:
                async for stored in self.replica.read(replay.last + 1, self.fenced_at):
                    block = replay.add(stored)
                    await self._be_newest(replay)
                    if block is not None:
                        yield block
            except Unavailable as error:
                level = logging.DEBUG if delay_s < RETRY_INTERVAL_S else logging.WARNING
                log.log(level, "the log of virtual host '%s' cannot be read yet: %s", self.vhost, error)
                await self.member.time.sleep(delay_s)
                delay_s = min(delay_s * 2, RETRY_INTERVAL_S)
        self.clean = replay.clean
        self.log = OwnedLog(
            self.replica,
            self.epoch,
            tail=replay.tail,
            last=replay.last,
            time=self.member.time,
            window=self.window,
            leftovers=replay.leftovers,
            checksum=replay.checksum,
        )

    async def announce_ready(self) -> None:
        """Write that this node serves the virtual host. Raises `Deposed`."""
        if not await self.replace(_ours(self.member, ready=True)):
            raise Deposed(0)

    async def hand_over(self, target: str = "") -> None:
        """End the log, and give the virtual host to a node, or to whoever takes it. Everything that was to be appended
        must have been. Raises `LogClosed`, `StorageError`."""
        assert self.log is not None
        await self.log.end()
        self.log.close(LogClosed("the virtual host was handed over"))
        await self.release(target)

    async def release(self, target: str = "") -> None:
        """Say that this node does not own the virtual host any more. Without an END in the log before, the next owner
        takes everything for delivered."""
        if self.log is not None:
            self.log.close(LogClosed("the virtual host was released"))
        await self.replace(OwnerRecord(node=target))

    async def forget(self) -> None:
        """Delete the key of the owner: the virtual host is deleted. Raises `Unavailable`."""
        await self.member.owners.delete(self.vhost, self._revision)

    async def replace(self, record: OwnerRecord) -> bool:
        """Write the owner's key. Returns False if another node has changed it."""
        while True:
            try:
                revision = await _set_owner(self.member, self.vhost, self._revision, record)
            except Unavailable:
                await self.member.time.sleep(RETRY_INTERVAL_S)
                continue
            if revision is not None:
                self._revision = revision
            return revision is not None


async def _set_owner(member: Member, vhost: str, revision: int, record: OwnerRecord) -> int | None:
    """Set the owner if the key has this revision (0: there is none). Returns the new revision; None if it has another
    one. An answer that was lost is found out. Raises `Unavailable`."""
    value = encode(record)
    if revision:
        written = await member.owners.update(vhost, value, revision)
    else:
        written = await member.owners.create(vhost, value)
    if written is not None:
        return written
    entry = await member.owners.get(vhost)
    if entry is None or entry.revision <= revision or not _only_from(member, decode_owner(entry), record):
        return None
    return entry.revision


def _only_from(member: Member, found: OwnerRecord, wanted: OwnerRecord) -> bool:
    """Whether only this node can have written what was found: a document that names nobody may be anybody's."""
    return found == wanted and found.incarnation == member.incarnation


def _ours(member: Member, ready: bool) -> OwnerRecord:
    return OwnerRecord(node=member.name, incarnation=member.incarnation, ready=ready)


def damaged(member: Member, reason: str) -> OwnerRecord:
    """Return the record of an owner that cannot serve what it owns."""
    return OwnerRecord(node=member.name, incarnation=member.incarnation, damage=reason[:LONGEST_REASON])
