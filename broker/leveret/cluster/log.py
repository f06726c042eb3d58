"""The log of a virtual host, as its owner appends to it. Unknown outcomes are resolved here.

1. Accepted: the future of the append is done.
2. No answer (timeout, no leader): look what is in the log; append what is not there again, with the same expectation,
   until it is accepted or the log is closed.
3. Refused: look what stands behind the last record that counts. Ours: it was accepted, and the answer was lost. Stale
   (an EPOCH that is not newer, a record of an older epoch): step over it, append again. A newer EPOCH: deposed.
4. Deposed: nothing more is appended, all futures fail.

Up to `window` appends are on their way, each expecting the one before. They are resolved in order: one that was
accepted behind another node's EPOCH is never reported as accepted, and readers pass over it (`replay.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from leveret.cluster import records
from leveret.cluster.ports import (
    Accepted,
    Full,
    Outcome,
    Refused,
    Replica,
    StorageError,
    Stored,
    Time,
    Unavailable,
    Unknown,
)
from leveret.cluster.records import DROP, END, EPOCH, EPOCH_SUBJECT, PART

log = logging.getLogger("leveret")

#: Seconds between two attempts while the storage does not answer.
RETRY_INTERVAL_S = 0.25

#: Seconds after a refusal whose reason was not found: it is on its way into the log.
REFUSED_INTERVAL_S = 0.02


class LogClosed(Exception):  # noqa: N818  a state, not a mistake
    """Nothing is appended any more: the lease was lost, or the virtual host was released. It is not known whether what
    was on its way is in the log; the next owner finds out."""


class Deposed(LogClosed):
    """Another node owns the virtual host."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"another node has taken over, with epoch {epoch}")
        self.epoch = epoch


class _Pending:
    """A record that is not accepted yet. `done`: set for the last record of an append; `answer`: the outcome of the
    attempt that is on its way."""

    __slots__ = (
        "answer",
        "begun_at",
        "checksum",
        "done",
        "expected",
        "follows",
        "kind",
        "number",
        "payload",
        "subject",
    )

    def __init__(
        self, subject: str, kind: int, number: int, payload: bytes, done: asyncio.Future[int] | None
    ) -> None:
        self.subject = subject
        self.kind = kind
        self.number = number
        self.payload = payload
        self.done = done
        self.begun_at = 0.0
        self.expected = 0
        self.follows = 0
        self.checksum = 0
        self.answer: asyncio.Future[Outcome] | None = None


class OwnedLog:
    """Appends records of one epoch. `tail`: sequence of the last record that counts; `last`: that of the last record
    known, which is later if stale ones follow, and `checksum`: of that record. `number`: that of the last record
    accepted. `leftovers`: subjects that earlier owners have dropped, and of which there may still be records: `drop`
    them again.

    `appended`: records that were accepted, and `append_s`: seconds that they took, from the call on.
    `obstacle`: why nothing is accepted at the moment, "" if all is well; `on_obstacle`: called when it changes.
    `closed`: the reason once nothing is appended any more; `on_closed`: called then.
    """

    def __init__(
        self,
        replica: Replica,
        epoch: int,
        *,
        tail: int,
        last: int,
        time: Time,
        window: int = 1,
        leftovers: Iterable[str] = (),
        checksum: int = 0,
    ) -> None:
        self.replica = replica
        self.epoch = epoch
        self.tail = tail
        self.last = last
        self.checksum = checksum
        self.number = 0
        self.time = time
        self.window = window
        self.leftovers = sorted(leftovers)
        self.appended = 0
        self.append_s = 0.0
        self.obstacle = ""
        self.on_obstacle: Callable[[], None] = _nothing
        self.closed: Exception | None = None
        self.on_closed: Callable[[], None] = _nothing
        self._ending = False
        self._dropped = set(self.leftovers)
        self._next_number = 1
        self._queue: deque[_Pending] = deque()  # not sent
        self._sent: deque[_Pending] = deque()
        self._recovery: asyncio.Task[None] | None = None

    @property
    def pending(self) -> int:
        """Number of records that are not accepted yet."""
        return len(self._queue) + len(self._sent)

    def append(self, subject: str, payload: bytes) -> asyncio.Future[int]:
        """Append a block. The future has its sequence once it is safe. It fails with `LogClosed`, `Deposed`, or the
        `StorageError` that stopped the log."""
        if self._ending:
            raise LogClosed("the log has been ended")
        return self._put(subject, list(records.pieces(payload)))

    async def drop(self, subject: str) -> None:
        """Remove all records of a subject, of which nothing may follow. Can be called again. Raises `Unavailable`,
        `LogClosed`, `StorageError`.

        Removing records from the storage is not fenced: it may happen long after this owner was deposed. Therefore it
        is in the log first, and every later owner knows that the subject is not needed.
        """
        if subject not in self._dropped:
            if self._ending:
                raise LogClosed("the log has been ended")
            await self._put(EPOCH_SUBJECT, [(DROP, subject.encode())])
            self._dropped.add(subject)
        await self.replica.drop(subject)

    def is_dropped(self, subject: str) -> bool:
        """Whether the log says that a subject is not needed any more."""
        return subject in self._dropped

    def end(self) -> asyncio.Future[int]:
        """Append the record that says that this owner leaves in peace. Nothing can be appended after it. The future is
        as that of `append`."""
        self._ending = True
        return self._put(EPOCH_SUBJECT, [(END, b"")])

    def close(self, reason: Exception) -> None:
        """Append nothing more. Everything that is not accepted yet fails with `reason`."""
        if self.closed is not None:
            return
        self.closed = reason
        if self._recovery is not None:
            self._recovery.cancel()
        for pending in (*self._sent, *self._queue):
            if pending.answer is not None:
                pending.answer.cancel()
            if pending.done is not None and not pending.done.done():
                pending.done.set_exception(reason)
                pending.done.exception()  # whoever does not wait for it any more need not be warned
        self._sent.clear()
        self._queue.clear()
        self.on_closed()

    # --- sending

    def _put(self, subject: str, pieces: list[tuple[int, bytes]]) -> asyncio.Future[int]:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self.closed is not None:
            done.set_exception(self.closed)
            done.exception()
            return done
        for kind, payload in pieces:
            last = kind != PART
            pending = _Pending(subject, kind, self._next_number, payload, done if last else None)
            pending.begun_at = self.time.now()
            self._queue.append(pending)
            self._next_number += 1
        self._send()
        return done

    def _send(self) -> None:
        """Send as many records as may be on their way. One with another subject waits for all before it: it must not
        name one that is dropped without it (`replay.py`)."""
        while (
            self._queue and self._recovery is None and self.closed is None and len(self._sent) < self.window
        ):
            if self._sent and self._sent[-1].subject != self._queue[0].subject:
                return
            self._transmit(self._queue.popleft())

    def _transmit(self, pending: _Pending) -> None:
        pending.expected = self.last + len(self._sent)
        pending.follows = pending.expected if self._sent else 0
        record = records.encode(pending.kind, self.epoch, pending.number, pending.follows, pending.payload)
        pending.checksum = records.checksum_in(record)
        self._sent.append(pending)
        pending.answer = asyncio.ensure_future(self.replica.append(pending.subject, record, pending.expected))
        pending.answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[Outcome]) -> None:
        """Take the answers in the order of the records; begin to resolve the first one that is not accepted."""
        while self._sent and self._recovery is None and self.closed is None:
            pending = self._sent[0]
            if pending.answer is None or not pending.answer.done():
                return
            if not self._is_accepted(pending):
                if self.closed is None:
                    self._recovery = asyncio.ensure_future(self._recover())
                return
            self._accept(pending.expected + 1, pending.checksum)
        self._send()

    def _is_accepted(self, pending: _Pending) -> bool:
        assert pending.answer is not None
        if pending.answer.cancelled() or pending.answer.exception() is not None:
            return False
        outcome = pending.answer.result()
        if isinstance(outcome, Accepted) and outcome.sequence != pending.expected + 1:
            self.close(
                StorageError(
                    f"the storage has accepted a record at {outcome.sequence} that was expected at "
                    f"{pending.expected + 1}: it does not do what Leveret needs of it. Check its version."
                )
            )
            return False
        return isinstance(outcome, Accepted)

    def _accept(self, sequence: int, checksum: int) -> None:
        """The first record on its way is in the log."""
        pending = self._sent.popleft()
        self.tail = self.last = sequence
        self.checksum = checksum
        self.number = pending.number
        self.appended += 1
        self.append_s += self.time.now() - pending.begun_at
        if self.obstacle:
            self._set_obstacle("")
        if pending.done is not None and not pending.done.done():
            pending.done.set_result(sequence)

    def _set_obstacle(self, reason: str) -> None:
        if reason != self.obstacle:
            self.obstacle = reason
            log.log(
                logging.WARNING if reason else logging.INFO, "replicated log: %s", reason or "appending again"
            )
            self.on_obstacle()

    # --- resolving

    async def _recover(self) -> None:
        """Find out what has become of all records on their way, then send the others again."""
        try:
            await self._resolve()
        except (StorageError, Deposed) as error:
            self._recovery = None
            self.close(error)
        except Exception as error:
            self._recovery = None
            log.exception("replicated log: an append failed")
            self.close(LogClosed(f"{type(error).__name__}: {error}"))
        else:
            self._queue.extendleft(reversed(self._sent))
            self._sent.clear()
            self._recovery = None
            self._send()

    async def _resolve(self) -> None:
        outcomes = [await pending.answer for pending in self._sent if pending.answer is not None]
        obstacle = next((one.reason for one in outcomes if isinstance(one, Unknown | Full)), "")
        while True:
            if obstacle:
                self._set_obstacle(obstacle)
                await self.time.sleep(RETRY_INTERVAL_S)
            try:
                found = await self._probe()
            except Unavailable as error:
                obstacle = str(error)
                continue
            if not found and not obstacle:
                await self.time.sleep(REFUSED_INTERVAL_S)
            return

    async def _probe(self) -> bool:
        """Look at what stands behind the last record known, up to the end of the log. Returns whether there was
        something. Raises `Deposed`, `StorageError`, `Unavailable`."""
        before = self.last
        while (found := await self.replica.at_or_after(self.last + 1)) is not None:
            if self._is_ours(found):
                self._accept(found.sequence, records.checksum(found))
            else:
                self.last, self.checksum = found.sequence, records.checksum(found)
        return self.last != before

    def _is_ours(self, found: Stored) -> bool:
        """Whether this is the first record on its way, where it belongs. Raises `Deposed`, `StorageError`."""
        record = records.decode(found)
        if record.kind == EPOCH and record.epoch > self.epoch:
            raise Deposed(record.epoch)
        if not self._sent or record.epoch != self.epoch:
            return False
        return record.number == self._sent[0].number and record.follows in (0, self.tail)


async def fence(replica: Replica, epoch: int, time: Time, claim: bytes = b"") -> int:
    """Append the EPOCH of a new owner, until that is accepted. Returns its sequence: whatever of an earlier owner is
    not before it never counts. `claim`: tells it from the EPOCH of anybody else. Raises `StorageError`."""
    record = records.encode(EPOCH, epoch, 0, 0, claim)
    obstacle = ""
    while True:
        outcome = await replica.fence(EPOCH_SUBJECT, record)
        match outcome:
            case Accepted(sequence):
                return sequence
            case Unknown(reason) | Full(reason):
                if reason != obstacle:
                    obstacle = reason
                    log.warning("replicated log: no fence yet: %s", reason)
                await time.sleep(RETRY_INTERVAL_S)
            case Refused():
                raise StorageError(
                    "the storage has refused an append without expectation. Check its version."
                )


def _nothing() -> None:
    """Nobody is interested."""
