"""When memory that is free is given back to the operating system."""

from __future__ import annotations

import ctypes
import errno
from pathlib import Path

import pytest

from leveret.server import trimming
from leveret.server.trimming import (
    AGAIN_RATIO,
    AGAIN_S,
    AGAIN_TIMES,
    INTERVAL_RATIO,
    INTERVAL_S,
    LEAST_BYTES,
    LEAST_OBJECTS,
    Allocator,
    Trimmer,
)
from tests.faults.world import World
from tests.hang import settled

MB = 1024 * 1024


class Heap:
    """A process: octets in use, and octets that were freed and are kept. `takes`: CPU seconds that a call takes, and
    `waits`: seconds that it does not run. `counting_takes`: CPU seconds that it takes to count objects."""

    def __init__(self) -> None:
        self.now = 0.0
        self.used = 50 * MB
        self.queues = 0
        self.free = 0
        self.calls = 0
        self.takes = 0.0
        self.waits = 0.0
        self.cpu = 0.0
        self.objects = 100_000
        self.counts = 0
        self.counting_takes = 0.0
        self.trimmer = Trimmer(self.trim, lambda: self.now, used=lambda: self.cpu, objects=self.count)

    def count(self) -> int:
        self.counts += 1
        self.cpu += self.counting_takes
        return self.objects

    def trim(self, pad: int) -> int:
        self.calls += 1
        self.free = 0
        self.cpu += self.takes
        self.now += self.takes + self.waits
        return 1

    def check(self, times: int = 1) -> int:
        """Check twice a second; how many calls there were."""
        before = self.calls
        for _ in range(times):
            self.now += 0.5
            if self.trimmer.check(self.used + self.queues + self.free, self.queues):
                self.trimmer.trimmed(self.used + self.queues + self.free, self.queues)
        return self.calls - before

    def rest(self) -> None:
        """Nothing happens until no call is repeated any more."""
        self.check(int(2 * AGAIN_S * AGAIN_RATIO**AGAIN_TIMES))


def test_memory_in_use_is_not_trimmed() -> None:
    heap = Heap()
    assert heap.check(10) == 1, "what the start has left"
    heap.rest()
    heap.queues = 1000 * MB
    assert heap.check(10) == 0


def test_memory_that_a_load_has_left_is_trimmed_once() -> None:
    heap = Heap()
    heap.check(10)
    heap.queues = 1000 * MB
    heap.check(10)
    heap.queues, heap.free = 0, 1000 * MB
    assert heap.check(10) == 1
    assert heap.free == 0
    heap.rest()
    heap.free = LEAST_BYTES - 1
    assert heap.check(10) == 0


def test_memory_is_trimmed_again_when_a_load_has_gone_on_after_the_last_call() -> None:
    heap = Heap()
    heap.check(10)
    heap.used, heap.free = 500 * MB, 100 * MB  # `used`: what no queue accounts for
    assert heap.check(10) == 1
    heap.used, heap.free = 50 * MB, 20 * MB
    assert heap.check(10) >= 1
    assert heap.free == 0
    heap.rest()
    assert heap.check(10) == 0


@pytest.mark.parametrize("again", [False, True])
def test_memory_of_objects_is_trimmed_when_they_are_freed(
    again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many connections that leave: what they have used stays resident. `again`: within memory that is resident."""
    monkeypatch.setattr(trimming, "AGAIN_TIMES", 0)
    heap = Heap()
    heap.objects += 10 * LEAST_OBJECTS
    heap.used += 50 * MB
    assert heap.check(10) == 1, "in the middle of the load"
    if again:
        heap.objects += 10 * LEAST_OBJECTS
        assert heap.check(10) == 0
    heap.used, heap.free = heap.used - 50 * MB, 50 * MB
    heap.objects -= LEAST_OBJECTS - 1 if not again else 10 * LEAST_OBJECTS
    assert heap.check(10) == again
    heap.objects -= 5 * LEAST_OBJECTS
    assert heap.check(10) == 1
    assert heap.check(20) == 0


def test_objects_are_counted_rarely_if_there_are_very_many() -> None:
    heap = Heap()
    heap.check(10)
    heap.counting_takes, before = 0.01, heap.counts
    heap.check(40)
    assert heap.counts - before <= 20 / (INTERVAL_RATIO * heap.counting_takes) + 2


def test_memory_is_not_trimmed_while_it_grows() -> None:
    heap = Heap()
    heap.check(10)
    for _ in range(10):
        heap.free += 20 * MB
        assert heap.check() == 0
    assert heap.check() == 1


def test_memory_that_cannot_be_trimmed_is_tried_again_ever_more_rarely() -> None:
    heap = Heap()
    heap.check(10)
    heap.used += 100 * MB
    seconds = [number / 2 for number in range(1, 4000) if heap.check()]
    assert seconds == [1.0, 7.0, 31.0, 127.0, 511.0]


def test_what_was_in_use_when_the_rest_was_trimmed_is_trimmed_later() -> None:
    """Nobody sees from outside that it is free: as much is resident as before."""
    heap = Heap()
    heap.check(10)
    heap.used += 15 * MB
    assert heap.check(10) == 1
    heap.used, heap.free = heap.used - 15 * MB, 15 * MB
    assert heap.check(int(2 * AGAIN_S)) == 1 and heap.free == 0


def test_long_calls_are_rare() -> None:
    heap = Heap()
    heap.check(10)
    heap.takes = 0.1
    heap.free = 100 * MB
    assert heap.check(2) == 1
    heap.free = 100 * MB
    assert heap.check(int(INTERVAL_RATIO * 0.1 * 2) - 2) == 0
    assert heap.check(4) == 1
    assert INTERVAL_S < INTERVAL_RATIO * 0.1


def test_a_call_that_has_waited_for_the_processor_was_not_long() -> None:
    heap = Heap()
    heap.waits = 10.0
    heap.check(10)
    heap.free = 100 * MB
    assert heap.check(int(INTERVAL_S * 2) + 2) == 1


def test_nothing_is_trimmed_before_that_can_be_done() -> None:
    heap = Heap()
    ready: list[bool] = []
    heap.trimmer.ready = lambda: bool(ready)
    assert heap.check(3) == 0
    ready.append(True)
    assert heap.check(3) == 1


async def test_the_function_is_looked_up_in_a_thread() -> None:
    allocator = Allocator()
    assert allocator.trim(0) == 0, "not yet"
    await settled(allocator.ready)
    assert allocator.trim(0) in (0, 1)


async def test_the_function_is_looked_up_again_if_no_descriptor_was_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(name: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    allocator = Allocator()
    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", refuse)
        await settled(lambda: not allocator.ready() and allocator.attempts > 1)
    await settled(allocator.ready)
    assert [record.getMessage() for record in caplog.records] == [
        "free memory is not given back yet: [Errno 24] Too many open files"
    ]


async def test_what_is_left_of_free_pools_is_given_back_in_later_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pools:
        """Arenas for three turns."""

        turns = 0

        def release(self) -> bool:
            self.turns += 1
            return self.turns % 3 != 0

    pools = Pools()
    monkeypatch.setattr(trimming, "free_pools", pools)
    allocator = Allocator()
    await settled(allocator.ready)
    assert not allocator.go_on(), "nothing was trimmed yet"
    allocator.trim(0)
    turns = []
    while allocator.go_on():
        turns.append(pools.turns)
    assert turns == [0, 0, 1, 2, 3], "first free objects are gathered, in turns of their own"


def test_memory_is_given_back_a_little_at_a_time_and_often(tmp_path: Path) -> None:
    class Freed(Allocator):
        """Has something to give back three times."""

        turns = 0

        def go_on(self) -> bool:
            self.turns += 1
            return self.turns <= 3

    world = World(tmp_path)
    world.watch.allocator = freed = Freed()
    world.watch.start()
    world.loop.run(50)
    assert freed.turns == 1
    world.loop.run(300)
    assert freed.turns == 4
    world.loop.run(400)
    assert freed.turns == 4, "nothing is left: as often as at other times"
    world.watch.stop()


def test_what_the_end_of_a_load_frees_while_arenas_are_given_back_is_trimmed() -> None:
    """These turns come after the call: what they leave is not what cannot be given back."""
    heap = Heap()
    heap.check(10)
    heap.queues, heap.free = 100 * MB, 20 * MB
    assert heap.check(10) == 1
    heap.queues, heap.free = 0, 100 * MB
    heap.trimmer.went_on(heap.used + heap.free, heap.queues)
    assert heap.check(10) == 1 and heap.free == 0


def test_arenas_that_were_given_back_are_no_reason_for_another_call() -> None:
    heap = Heap()
    heap.used += 20 * MB
    assert heap.check(10) == 1
    heap.rest()
    heap.used -= 20 * MB
    heap.trimmer.went_on(heap.used, heap.queues)
    assert heap.check(10) == 0
