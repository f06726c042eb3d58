"""The event loop's timer for an agenda of scheduled calls."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from leveret.clock import NEVER, Agenda, EdgeClock

#: A timer is armed for at most this long, then again: event loops limit the delay.
LONGEST_DELAY_S = 86400.0

#: Time that the timers of one agenda may take in one turn, seconds.
TIMERS_S = 0.003


class AgendaTimer:
    """The event loop's timer for the earliest call on one agenda. `clock`: the agenda's; `ran`: called after a run."""

    def __init__(
        self,
        agenda: Agenda,
        clock: EdgeClock,
        loop: asyncio.AbstractEventLoop,
        ran: Callable[[], None],
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.agenda = agenda
        self.clock = clock
        self.loop = loop
        self.ran = ran
        self.timer = timer
        self._handle: asyncio.TimerHandle | None = None
        agenda.earlier = self.arm

    def arm(self) -> None:
        """Arm the timer for the earliest call; not if that needs a clock that stands still to move."""
        delay = self.clock.delay_s(self.agenda.next_at())
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if delay < math.inf:
            self._handle = self.loop.call_later(min(delay, LONGEST_DELAY_S), self._run)

    def _run(self) -> None:
        self._handle = None
        self.clock.tick()
        end = self.timer() + TIMERS_S
        try:
            self.agenda.run(lambda: self.timer() >= end)
        finally:
            # Other calls need the timer: it is armed again after any exception.
            if self.agenda.next_at() < NEVER:
                self.arm()
            self.ran()
