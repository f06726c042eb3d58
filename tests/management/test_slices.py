"""Long collections are walked in slices, between which the event loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import count

import pytest

from leveret.management.slices import RUN_LENGTH, SLICE_S, Slices


def ticking(step_s: float, send: Callable[[], None] = lambda: None) -> Slices:
    """Slices whose clock moves by `step_s` each time it is read."""
    readings: Iterator[int] = count()
    return Slices(lambda: next(readings) * step_s, send=send)


async def turns_of_the_loop(done: asyncio.Event) -> int:
    """How often the loop ran until `done`."""
    turns = 0
    while not done.is_set():
        turns += 1
        await asyncio.sleep(0)
    return turns


async def test_a_walk_lets_the_loop_run_after_each_slice() -> None:
    slices, done = ticking(SLICE_S / 2), asyncio.Event()
    watching = asyncio.create_task(turns_of_the_loop(done))
    await asyncio.sleep(0)
    assert [item async for item in slices.walk(range(10))] == list(range(10))
    done.set()
    assert await watching >= 5


async def test_a_short_walk_needs_no_wait() -> None:
    walk = ticking(SLICE_S / 100).walk(range(10))
    assert [item async for item in walk] == list(range(10))


@pytest.mark.parametrize("fails", [False, True])
async def test_each_slice_of_changes_is_sent_by_itself(fails: bool) -> None:
    seen: list[str] = []
    slices = ticking(SLICE_S / 2, lambda: seen.append("send"))

    def steps() -> Iterator[None]:
        for step in "abc":
            seen.append(step)
            yield
        if fails:
            raise ValueError

    with pytest.raises(ValueError) if fails else nullcontext():
        async for _ in slices.walk_changes(steps()):
            pass
    assert seen == ["send", "a", "b", "send", "send", "c", "send"]


async def test_walks_are_interleaved_one_slice_for_each_tick() -> None:
    slices = ticking(SLICE_S)
    seen: list[str] = []

    async def walk(name: str) -> None:
        async for _ in slices.walk(range(3)):
            seen.append(name)

    await asyncio.gather(walk("a"), walk("b"), walk("c"))
    assert "".join(seen) == "abcabcabc"


async def test_later_walks_wait_until_earlier_ones_have_ended() -> None:
    slices = ticking(2 * SLICE_S)
    seen: list[str] = []

    async def walk(names: str) -> None:
        for name in names:
            async for _ in slices.walk(range(3)):
                seen.append(name)
            slices.end_request()

    await asyncio.gather(*(walk(names) for names in ("aA", "b", "c", "d", "e", "f")))
    order = "".join(seen)
    assert order.startswith("abcdef" + "abcd" * 2), "each has begun, then the first four take turns"
    assert order.rindex("A") > order.rindex("e"), "another request comes behind those that wait"
    assert sorted(order) == sorted("aAbcdef" * 3)


async def test_a_walk_that_is_cancelled_does_not_stop_the_others() -> None:
    slices = Slices()
    waiting = [asyncio.create_task(slices.pause()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[0], waiting[2])
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]


@pytest.mark.parametrize("length", [0, 1, RUN_LENGTH, 3 * RUN_LENGTH + 7])
async def test_sorting_in_slices(length: int) -> None:
    items = [(number * 7919 % 13, number) for number in range(length)]
    slices = Slices()
    assert await slices.ordered(items) == sorted(items)
    assert await slices.ordered(items, reverse=True) == sorted(items)[::-1]
