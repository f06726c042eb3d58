"""Walk long collections without holding the event loop for more than about a millisecond.

    async for queue in site.slices.walk(queues):
        rows.append(view(queue))

Between two slices the loop serves everybody else. All walks of a node share one `Slices`, which runs one slice in each
turn of the loop, however many lists are asked for at once. The first `AT_ONCE` requests take turns.

What is walked is a snapshot that the caller takes (`list(vhost.queues.values())`): objects can end between two slices,
and new ones are not seen.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from leveret.work import free

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparisonT as Sortable

#: How long a slice may take. A view of one object is never cut.
SLICE_S = 0.001

#: Walks that take turns; those that began later wait. Each has a long answer in memory that grows.
AT_ONCE = 4

#: How many objects are sorted at once: about half a millisecond.
RUN_LENGTH = 1000

T = TypeVar("T")


def _nothing() -> None:
    """Send nothing: there are no connections."""


class Slices:
    """The turns that walks take. `clock`: seconds, of any origin; `loop`: None for the running one; `send`: sends the
    output of connections."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        loop: asyncio.AbstractEventLoop | None = None,
        send: Callable[[], None] = _nothing,
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._send = send
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        #: The task of a request -> the number of the request, in the order in which they began to walk.
        self._numbers: WeakKeyDictionary[asyncio.Task[object], int] = WeakKeyDictionary()
        self._last = 0
        self._turn = 0

    async def walk(self, items: Iterable[T]) -> AsyncIterator[T]:
        """Yield each item, and let the loop run after each slice."""
        clock = self._clock
        end = clock() + SLICE_S
        for item in items:
            yield item
            if clock() >= end:
                await self.pause()
                end = clock() + SLICE_S

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Do the steps of a generator, let the loop run after each slice, and return its result."""
        found: list[T] = []

        def each() -> Iterator[None]:
            found.append((yield from steps))

        async for _ in self.walk(each()):
            pass
        return found[0]

    async def walk_changes(self, steps: Iterable[T]) -> AsyncIterator[T]:
        """Walk steps that change the broker. What other connections send does not wait until the changes are durable,
        because the output of each slice is sent by itself (`server/send_barrier.py`)."""
        clock = self._clock
        self._send()
        end = clock() + SLICE_S
        try:
            for step in steps:
                yield step
                if clock() >= end:
                    self._send()
                    await self.pause()
                    self._send()
                    end = clock() + SLICE_S
        finally:
            self._send()

    async def pause(self) -> None:
        """Wait for the next turn: let the loop, and the other walks, run."""
        loop = self._loop or asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append((self._number() if self._loop is None else 0, turn))
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await turn

    def _number(self) -> int:
        task = asyncio.current_task()
        if task is None:
            return 0
        number = self._numbers.get(task)
        if number is None:
            self._last = number = self._last + 1
            self._numbers[task] = number
        return number

    def end_request(self) -> None:
        """Note that the running task has ended a request: the walks of its next one come behind those of others."""
        if self._loop is not None:
            return  # requests are not distinguished
        task = asyncio.current_task()
        if task is not None:
            self._numbers.pop(task, None)

    def _next(self) -> None:
        """Give the turn to the walk that has waited longest, of those that take turns; the next one has it in the next
        round of the loop."""
        if len(self._waiting) >= AT_ONCE:
            numbers = {number for number, _ in self._waiting}
            newest = heapq.nsmallest(AT_ONCE, numbers | {self._turn})[
                -1
            ]  # who has had the turn may wait again soon
            while self._waiting[0][0] > newest:
                self._waiting.rotate(-1)
        self._turn, turn = self._waiting.popleft()
        if self._waiting:
            turn.get_loop().call_soon(self._next)
        if not turn.done():  # its request can be cancelled
            turn.set_result(None)

    async def free(self, items: list[T]) -> None:
        """Empty a long list that nobody else refers to: a hundred thousand objects at once would take too long."""
        async for _ in self.walk(free(items)):
            pass

    async def ordered(self, items: Sequence[Sortable], *, reverse: bool = False) -> list[Sortable]:
        """Return the items sorted, or with `reverse` in the opposite order.

        Keys are part of the items, in flat tuples: a tuple for each key would make the garbage collector run.
        """
        runs: list[list[Sortable]] = []
        for start in range(0, len(items), RUN_LENGTH):
            runs.append(sorted(items[start : start + RUN_LENGTH]))
            await self.pause()
        if len(runs) <= 1:
            found = runs[0] if runs else []
        else:
            merged = heapq.merge(*runs)
            found = [item async for item in self.walk(merged)]
        if reverse:
            found.reverse()
        return found
