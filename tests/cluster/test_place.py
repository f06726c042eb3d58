"""What an owner says while its lease is old: nothing. And how the thread of a store waits for the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from leveret.clock import VirtualClock
from leveret.cluster.lease import Lease
from leveret.cluster.log import LogClosed, OwnedLog, fence
from leveret.cluster.place import LeasedMarks, LogBridge
from leveret.cluster.replay import Replay
from leveret.faults import Faults
from leveret.queues.journal import Journal
from leveret.server.send_barrier import SendBarrier
from leveret.session.output import Output
from leveret.store.replicated import Change
from leveret.testing.replica import MemoryConnection, MemoryStorage, Process
from tests.hang import settled


class Marks:
    """A store without deliveries to note."""

    always_asked = False
    has_unwritten_marks = False
    noted = 0

    def write_delivered_marks(self) -> bool:
        return True


def barrier(lease: Lease, now: list[float]) -> SendBarrier:
    def later(seconds: float, call: Callable[[], None]) -> None:
        """Nothing is tried again."""

    marks = LeasedMarks(Marks(), lease, lambda: now[0])
    return SendBarrier(marks, Journal(), later, lambda: None, Faults(VirtualClock()))


def test_all_output_is_held_while_the_lease_is_old_and_sent_after_a_renewal() -> None:
    now, lease = [100.0], Lease(10)
    lease.renewed(100.0)
    held = barrier(lease, now)
    first, second = Output([]), Output([])
    assert held.admit([first]) == [first]
    now[0] = 107.9
    assert held.admit([first]) == [first]
    now[0] = 108.0
    assert held.shut()
    assert held.admit([first]) == []
    assert held.admit([second]) == []
    lease.renewed(107.0)
    assert held.admit([]) == [first, second]
    assert not held.shut()


class Bridged:
    """A log with its bridge."""

    def __init__(self, owned: OwnedLog, storage: MemoryStorage, process: Process) -> None:
        self.owned = owned
        self.storage = storage
        self.process = process
        self.bridge = LogBridge(owned, process)

    def read(self) -> list[tuple[str, bytes]]:
        """What counts in the log."""
        replay = Replay()
        found = [(one.subject, replay.add(one)) for one in self.storage.logs["v"].records]
        return [(subject, block.payload) for subject, block in found if block is not None]  # type: ignore[union-attr]


async def bridged() -> Bridged:
    storage, process = MemoryStorage(), Process()
    replica = await MemoryConnection(storage, process).create_log("v")
    last = await fence(replica, 1, process)
    return Bridged(OwnedLog(replica, 1, tail=last, last=last, time=process, window=4), storage, process)


async def test_a_thread_goes_on_when_the_log_has_all_its_changes_in_order() -> None:
    log = await bridged()
    changes = [Change(f"file{number // 3}", b"%d" % number) for number in range(9)]
    await asyncio.to_thread(log.bridge.append, changes)
    assert log.owned.tail == log.bridge.position().tail
    assert log.read() == [(change.subject, change.data) for change in changes]
    assert not log.bridge.can_wait()


async def test_a_thread_waits_as_long_as_the_log_has_no_answer() -> None:
    log = await bridged()
    log.process.cut_off()
    appending = asyncio.ensure_future(asyncio.to_thread(log.bridge.append, [Change("file", b"x")]))
    await settled(lambda: bool(log.owned._sent))
    assert not appending.done()
    log.process.heal()
    await appending
    assert log.read() == [("file", b"x")]


async def test_a_thread_hears_that_the_log_was_closed_before_and_meanwhile() -> None:
    log = await bridged()
    log.process.cut_off()
    appending = asyncio.ensure_future(asyncio.to_thread(log.bridge.append, [Change("file", b"x")] * 2))
    await settled(lambda: bool(log.owned._sent))
    log.owned.close(LogClosed("the lease was lost"))
    with pytest.raises(OSError, match="the lease was lost"):
        await appending
    with pytest.raises(OSError, match="the lease was lost"):
        await asyncio.to_thread(log.bridge.append, [Change("file", b"y")])


async def test_only_the_thread_hears_that_a_log_takes_nothing_more() -> None:
    log = await bridged()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    await log.owned.end()
    with pytest.raises(OSError, match="has been ended"):
        await asyncio.to_thread(log.bridge.append, [Change("file", b"z")])
    assert not reported
