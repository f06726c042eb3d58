"""The one time limit of everything that waits in tests: no outcome depends on it, it only ends a test that hangs."""

import asyncio
from collections.abc import Callable

#: Seconds; far more than the slowest machine needs for anything that a test waits for.
HANG_SECONDS = 300.0


async def settled(condition: Callable[[], object]) -> None:
    """Let the event loop run until a condition holds that has no event of its own."""
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
