"""When the garbage collector runs: never for long while clients are served."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

from pamqp.commands import Queue

from leveret.server.collecting import FEW_BLOCKS, SELDOM, Collector
from leveret.wire.methods import method_frame
from tests.faults.world import World


class Heap:
    """What a collector sees. `seen`: the generations that it has collected."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.blocks = 1_000_000
        self.collector = Collector(self.collect, lambda: self.blocks)

    def collect(self, generation: int) -> int:
        self.seen.append(generation)
        return 0


def test_every_third_young_collection_has_the_second_generation() -> None:
    heap = Heap()
    for _ in range(6):
        heap.collector.collect_young()
    assert heap.seen == [0, 0, 1, 0, 0, 1]


def test_the_old_generation_is_collected_when_it_is_small() -> None:
    heap = Heap()
    heap.collector.collect_cheaply()
    heap.collector.note_frozen()
    heap.blocks += FEW_BLOCKS - 1
    heap.collector.collect_cheaply()
    heap.blocks += 1
    heap.collector.collect_cheaply()
    assert heap.seen == [1, 2, 1]


def test_full_memory_is_a_reason_to_collect_everything_but_seldom() -> None:
    heap = Heap()
    heap.collector.relieve()
    heap.collector.relieve()
    assert heap.seen == [2]
    for _ in range(SELDOM):
        heap.collector.collect_young()
    heap.collector.relieve()
    heap.collector.relieve()
    assert heap.seen.count(2) == 2


def collections(world: World, frames: list[bytes], timer: Callable[[], float]) -> int:
    """Have a client send frames, and count the collections meanwhile."""
    client, noted = world.connect("client"), list[int]()
    world.loop.run(1000)
    world.edge.timer = world.broker.work.timer = timer
    world.edge.collect = lambda: noted.append(1)
    client.feed(b"".join(frames))
    world.loop.run(1000)
    assert not world.written, "no faults"
    return len(noted)


def test_a_connection_that_uses_several_turns_has_garbage_collected(tmp_path: Path) -> None:
    """Also if it frees as much as it makes, which starts no collection, and gets no answers."""
    pairs = [
        method_frame(1, Queue.Declare, queue="q", nowait=True)
        + method_frame(1, Queue.Delete, queue="q", nowait=True)
        for _ in range(100)
    ]
    assert collections(World(tmp_path), pairs, count(1).__next__) > 10, (
        "time passes whenever somebody looks at it"
    )


def test_a_single_message_has_nothing_collected(tmp_path: Path) -> None:
    declare = method_frame(1, Queue.Declare, queue="q")
    assert collections(World(tmp_path), [declare], lambda: 1000.0) == 0
