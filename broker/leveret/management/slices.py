"""Walk long collections without holding the event loop for more than about a millisecond.

    async for queue in site.slices.walk(queues):
        rows.append(view(queue))

Between two slices the loop serves everybody else. All walks of a node share one `Slices`, which runs one slice in each
turn of the loop, however many lists are asked for at once.

What is walked is a snapshot that the caller takes (`list(vhost.queues.values())`): objects can end between two slices,
and new ones are not seen.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import SupportsRichComparisonT as Sortable

#: How long a slice may take. A view of one object is never cut.
SLICE_S = 0.001

#: How many objects are sorted at once: about half a millisecond.
RUN_LENGTH = 1000

T = TypeVar("T")


class Slices:
    """The turns that walks take. `clock`: seconds, of any origin; `loop`: None for the running one."""

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def walk(self, items: Iterable[T]) -> AsyncIterator[T]:
        """Yield each item, and let the loop run after each slice."""
        clock = self._clock
        end = clock() + SLICE_S
        for item in items:
            yield item
            if clock() >= end:
                await self.pause()
                end = clock() + SLICE_S

    async def pause(self) -> None:
        """Wait for the next turn: let the loop, and the other walks, run."""
        loop = self._loop or asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await turn

    def _next(self) -> None:
        """Give the turn to the walk that has waited longest; the next one has it in the next round of the loop."""
        turn = self._waiting.popleft()
        if self._waiting:
            turn.get_loop().call_soon(self._next)
        if not turn.done():  # its request can be cancelled
            turn.set_result(None)

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
