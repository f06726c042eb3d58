"""Ends tasks, though a cancellation may get lost.

`asyncio.wait_for` of Python 3.11 forgets that it was cancelled if what it waits for is done at the same moment, and
nats-py uses it. A node that gives up the broker hears of just that from its watch of the owners: it must not wait for
ever for a task that goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

#: Seconds after which a task that goes on is cancelled again.
CANCEL_INTERVAL_S = 0.2


async def end(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Cancel tasks, and return when all have ended, whatever they raise."""
    all_of_them = list(tasks)
    left, cancelled = {task for task in all_of_them if not task.done()}, False
    while left:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=CANCEL_INTERVAL_S)
        except asyncio.CancelledError:
            cancelled = True  # those that are ended here would be left alone
        left = {task for task in left if not task.done()}
    for task in all_of_them:
        if not task.cancelled():
            task.exception()  # nobody else asks
    if cancelled:
        raise asyncio.CancelledError
