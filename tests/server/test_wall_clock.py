"""Time for the broker goes on evenly, whatever happens to the clock of the system."""

from __future__ import annotations

import time

import pytest

from leveret.server.wall_clock import WallClock

YEAR_S = 365 * 86_400


@pytest.mark.parametrize("jump_s", [-50 * YEAR_S, -3600, 3600, 170 * YEAR_S])
def test_a_jump_of_the_system_time_moves_nothing(jump_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.monotonic()
    clock = WallClock()
    before = clock.read()
    started = time.time() + jump_s
    monkeypatch.setattr(time, "time", lambda: started + time.monotonic() - begun)
    clock.tick()
    passed_ms = (time.monotonic() - begun) * 1000
    assert before <= clock.now <= before + passed_ms + 1
    assert clock.delay_s(before + 7_200_000) > 3600
