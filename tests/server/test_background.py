"""The threads that wait for the disk: a hanging one holds up nothing but what waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leveret.clock import Clock
from leveret.engine import startup
from leveret.engine.broker import Broker
from leveret.faults import Faults
from leveret.queues.queue import Queue
from leveret.server.background import Background
from leveret.server.durability import NO_ANSWER, LocalDisk
from leveret.store.disk import DiskStore
from leveret.store.files import Files
from tests.hang import HANG_SECONDS, settled
from tests.stores.harness import message


class HangingFiles(Files):
    """Files whose writes end only after `goes_on` is set. `begun`: one has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.begun = threading.Event()

    def write(self, file: int, data: bytes, offset: int) -> None:
        self.begun.set()
        assert self.goes_on.wait(HANG_SECONDS)
        super().write(file, data, offset)

    def hang(self) -> None:
        """Let the next write hang."""
        self.begun.clear()
        self.goes_on.clear()


@pytest.fixture
async def background() -> AsyncIterator[Background]:
    made = Background()
    made.start(asyncio.get_running_loop(), Faults(Clock()))
    yield made
    made.leave()
    assert await asyncio.to_thread(made.stop)


async def test_a_short_step_has_ended_when_the_call_returns(background: Background) -> None:
    results: list[OSError | None] = []
    background.briefly(lambda: None, results.append)
    await settled(lambda: results)
    assert results == [None]


async def test_a_step_that_hangs_ends_later(background: Background) -> None:
    goes_on = threading.Event()
    results: list[OSError | None] = []
    background.briefly(lambda: assert_(goes_on.wait(HANG_SECONDS)), results.append)
    assert results == []
    goes_on.set()
    await settled(lambda: results)
    assert results == [None]


async def test_the_error_of_a_step_reaches_the_loop(background: Background) -> None:
    error = OSError("no space")
    results: list[OSError | None] = []

    def fail() -> None:
        raise error

    background.briefly(fail, results.append)
    background.offload(fail, results.append)
    background.sync(fail, lambda: None, results.append)
    background.sync(lambda: None, fail, results.append)
    await settled(lambda: len(results) == 4)
    assert results == 4 * [error]


async def used_queue(store: DiskStore) -> Queue:
    """A durable queue whose first message is written."""
    broker = Broker(clock=Clock(), journal=store.journal)
    store.restore(broker)
    startup.seed(broker)
    queue = broker.vhosts["/"].declare_queue(
        "q", durable=True, auto_delete=False, owner=None, arguments={}, user="guest"
    )
    first = queue.push(message(b"a"))
    await settled(lambda: store.journal.settled >= first)
    return queue


async def test_the_loop_goes_on_while_the_first_write_hangs(background: Background, tmp_path: Path) -> None:
    """That of a commit, and that of delivered marks."""
    files = HangingFiles()
    store = DiskStore(tmp_path, background, files)
    queue = await used_queue(store)

    files.hang()
    second = queue.push(message(b"b"))
    await settled(files.begun.is_set)
    assert store.journal.settled < second, "the loop has run while the write hangs"
    files.goes_on.set()
    await settled(lambda: store.journal.settled >= second)

    files.hang()
    woken: list[bool] = []
    store.on_writable = lambda: woken.append(True)
    queue.get(False)
    if store.write_delivered_marks():
        pytest.fail("the write hangs")
    third = queue.push(message(b"c"))
    await settled(files.begun.is_set)
    assert store.journal.settled < third
    files.goes_on.set()
    await settled(lambda: woken and store.journal.settled >= third)
    assert not store.has_unwritten_marks
    assert await asyncio.to_thread(background.stop)
    store.close()


async def test_the_end_does_not_wait_for_a_disk_that_begins_to_hang_then(
    background: Background, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The last write is not in the loop, nor is closing the files."""
    files = HangingFiles()
    place = LocalDisk(tmp_path)
    store = place.open(background)
    store.files = store.segments.files = store.streams.disk = files
    queue = await used_queue(store)
    assert await asyncio.to_thread(background.stop)
    files.hang()
    queue.push(message(b"b"))
    background._deadline = 0.0
    await place.close(store)
    assert NO_ANSWER in caplog.text
    await settled(files.begun.is_set)
    files.goes_on.set()


def assert_(value: object) -> None:
    """An assertion as an expression."""
    assert value
