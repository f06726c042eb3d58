"""Tasks are ended, also those that a cancellation does not reach."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from leveret.cluster import tasks


class Deaf:
    """Loses so many cancellations, as a watch whose change comes at the same moment."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.ended = False

    async def run(self) -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.losses -= 1
                if self.losses < 0:
                    self.ended = True
                    raise


async def failing() -> None:
    raise ValueError("not our business")


async def begun(*coroutines: Coroutine[object, object, None]) -> list[asyncio.Future[None]]:
    """Tasks that have begun."""
    made: list[asyncio.Future[None]] = [asyncio.ensure_future(one) for one in coroutines]
    await asyncio.sleep(0)
    return made


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCEL_INTERVAL_S", 0.001)


async def test_a_task_that_has_lost_a_cancellation_is_cancelled_again() -> None:
    deaf = [Deaf(0), Deaf(1), Deaf(3)]
    await tasks.end(await begun(*(one.run() for one in deaf), failing()))
    assert all(one.ended for one in deaf)


async def test_whoever_is_cancelled_meanwhile_ends_them_all_the_same() -> None:
    deaf = Deaf(2)
    (ending,) = await begun(tasks.end(await begun(deaf.run())))
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert deaf.ended


async def test_nothing_is_to_be_ended() -> None:
    await tasks.end([])
