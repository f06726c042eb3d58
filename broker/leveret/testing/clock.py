"""The broker's clock, as a test moves it: TTL, x-expires, delays and timeouts pass in no time.

Heartbeats, handshakes and sockets keep real time (`leveret.clock`: link time), so that moving the clock never drops a
client. docs/testing/clock.md has the details.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeVar

from leveret.testing.due import DueEvent, moment, what_is_due
from leveret.testing.durations import LATEST_MS, Duration, Moment, delay_s, epoch_ms, milliseconds
from leveret.testing.errors import ClockError, hides_frames
from leveret.testing.node import refuse_in_loop, result_of
from leveret.testing.time_travel import Moves, TimeTravel, Waiting

if TYPE_CHECKING:
    from leveret.testing.node import EmbeddedNode

__all__ = ["AsyncClock", "Clock", "DueEvent", "Moves"]

T = TypeVar("T")

__tracebackhide__ = hides_frames

#: How far `run_until_idle` goes.
LONGEST_RUN = timedelta(days=365)


class BaseClock:
    """What `Clock` and `AsyncClock` have in common: what does not wait for clients."""

    def __init__(self, node: EmbeddedNode) -> None:
        self._node = node

    @property
    def _travel(self) -> TimeTravel:
        return self._node.travel

    @property
    def now(self) -> datetime:
        """The broker's time, in UTC."""
        return moment(self._node.message_clock.read())

    def time(self) -> float:
        """Return the broker's time, seconds since the epoch."""
        return self._node.message_clock.read() / 1000

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._node.message_clock.frozen

    @property
    def heartbeats(self) -> Literal["real", "virtual"]:
        """Whether moved time counts as silence of the connections ("virtual"); if not, heartbeats keep real time."""
        return "virtual" if self._travel.virtual_heartbeats else "real"

    @heartbeats.setter
    def heartbeats(self, kind: Literal["real", "virtual"]) -> None:
        if kind not in ("real", "virtual"):
            raise ValueError(f"heartbeats are 'real' or 'virtual', not {kind!r}")
        self._travel.virtual_heartbeats = kind == "virtual"

    @property
    def hold_eta(self) -> bool:
        """Whether tasks of Celery with an ETA wait in the broker, by its clock, and not in the worker (`eta.py`)."""
        return self._node.hold_eta

    @hold_eta.setter
    def hold_eta(self, on: bool) -> None:
        self._node.hold_eta = bool(on)
        if self._node.running:
            self._node.call(self._node.plug_eta)

    def freeze(self, at: Moment | None = None) -> None:
        """Stop the clock, now or at a later moment; what is due until then is done, and no client is waited for. Raises
        `ClockError` if the moment is earlier."""
        target = None if at is None else epoch_ms(at)
        self._node.call(lambda: self._freeze(target))

    def _freeze(self, target: int | None) -> None:
        clock = self._node.message_clock
        if target is not None and target < clock.read():
            raise ClockError(
                f"time never goes back: it is {self.now.isoformat()}, and freeze(at="
                f"{moment(target).isoformat()}) was called"
            )
        clock.freeze()
        self._travel.run_due()
        self._travel.rearm()
        if target is not None:
            self._travel.jump(target)

    def resume(self, *, rate: float = 1.0) -> None:
        """Run on from here, `rate` times as fast as real time."""
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"rate is a number, how many times as fast as real time, not {rate!r}")
        if not 0 < rate < math.inf:
            raise ValueError(f"rate must be more than 0 and finite, not {rate!r}: freeze() stops the clock")
        self._node.call(lambda: self._run(rate))

    def _run(self, rate: float) -> None:
        self._node.message_clock.run(rate)
        self._travel.rearm()

    def back_to_real(self) -> None:
        """Show real time again, which may be earlier. Raises `ClockError` if there are messages: they would expire
        later than they were published."""
        self._node.call(self._back_to_real)

    def _back_to_real(self) -> None:
        for vhost in self._node.engine.vhosts.values():
            for queue in vhost.queues.values():
                if queue.ready or queue.unacked:
                    raise ClockError(
                        f"the clock cannot go back to real time: queue '{queue.name}' of virtual host"
                        f" '{vhost.name}' has {queue.ready + queue.unacked} messages; reset the broker first"
                    )
            if vhost.delayed.waiting:
                raise ClockError("the clock cannot go back to real time: there are delayed messages")
        self._node.message_clock.follow_real_time()
        self._travel.rearm()

    def next(self) -> DueEvent | None:
        """Return what is due next, or None."""
        due = self.due()
        return due[0] if due else None

    def due(self) -> list[DueEvent]:
        """Return what is due, in order: of each queue its head. Checks that will find nothing are left out."""
        return self._node.call(lambda: what_is_due(self._node.engine.message_time))

    def hold(self) -> AbstractContextManager[None]:
        """Keep everybody from moving the clock meanwhile; in any thread."""
        return self._travel.hold()

    @contextmanager
    def skipping(self, *, quiet: Duration = 0.02) -> Iterator[None]:
        """Meanwhile, move the clock to what is due next whenever everything has been idle for `quiet` real seconds."""
        waiting = Waiting(quiet_s=delay_s(quiet, "quiet"))
        rate = self._node.call(lambda: self._begin_skipping(waiting))
        try:
            yield
        finally:
            self._node.call(lambda: self._end_skipping(rate))

    def _begin_skipping(self, waiting: Waiting) -> float:
        clock = self._node.message_clock
        rate = clock.rate
        clock.freeze()
        self._travel.begin_skipping(waiting)
        return rate

    def _end_skipping(self, rate: float) -> None:
        self._travel.end_skipping()
        if rate:
            self._run(rate)

    # --- moves, as coroutines in the broker's thread

    def _advance(self, by: Duration, patience: Duration, quiet: Duration) -> _Move:
        milliseconds_ = milliseconds(by)
        if milliseconds_ < 0:
            raise ClockError(
                f"time never goes back: it is {self.now.isoformat()}, and advance({by!r}) was called"
            )
        if self._node.message_clock.read() + milliseconds_ > LATEST_MS:
            raise ClockError(f"the clock ends with the year 9999: advance({by!r})")
        waiting = Waiting(delay_s(patience, "patience"), delay_s(quiet, "quiet"))
        return lambda: self._travel.move(milliseconds_, None, waiting)

    def _move_to(self, to: Moment, patience: Duration, quiet: Duration) -> _Move:
        target = epoch_ms(to)
        waiting = Waiting(delay_s(patience, "patience"), delay_s(quiet, "quiet"))
        return lambda: self._travel.move(None, target, waiting)

    def _run_until_idle(self, limit: Duration, patience: Duration, quiet: Duration) -> _Move:
        waiting = Waiting(delay_s(patience, "patience"), delay_s(quiet, "quiet"))
        limit_ms = milliseconds(limit)
        return lambda: self._travel.run_until_idle(limit_ms, waiting)


_Move = Callable[[], Coroutine[object, object, Moves]]


class Clock(BaseClock):
    """The clock of messages and queues of one broker; methods that wait for clients block.

    `patience`: real seconds after which a delivery that is not settled is not waited for any longer. `quiet`: real
    seconds without an octet after which the clients are taken to have done everything.
    """

    def advance(self, by: Duration, *, patience: Duration = 5.0, quiet: Duration = 0.0) -> Moves:
        """Move the clock, stopping at each moment at which something is due until its effects have come back. Raises
        `ClockError` for a negative duration, `NotIdle` if the clock is held."""
        return self._block("clock.advance", self._advance(by, patience, quiet))

    shift = advance

    def move_to(self, moment: Moment, *, patience: Duration = 5.0, quiet: Duration = 0.0) -> Moves:
        """Move the clock to a moment, like `advance`. Raises `ClockError` if it is earlier."""
        return self._block("clock.move_to", self._move_to(moment, patience, quiet))

    def run_until_idle(
        self, *, limit: Duration = LONGEST_RUN, patience: Duration = 5.0, quiet: Duration = 0.02
    ) -> Moves:
        """Move the clock until nothing is due any more. Raises `NotIdle` after `limit` of the broker's time."""
        return self._block("clock.run_until_idle", self._run_until_idle(limit, patience, quiet))

    def _block(self, method: str, move: _Move) -> Moves:
        refuse_in_loop(method)
        return result_of(self._node.run(move))


class AsyncClock(BaseClock):
    """The clock of messages and queues of one broker; methods that wait for clients are coroutines (see `Clock`)."""

    def advance(self, by: Duration, *, patience: Duration = 5.0, quiet: Duration = 0.0) -> Awaitable[Moves]:
        """See `Clock.advance`."""
        return self._wait(self._advance(by, patience, quiet))

    shift = advance

    def move_to(self, moment: Moment, *, patience: Duration = 5.0, quiet: Duration = 0.0) -> Awaitable[Moves]:
        """See `Clock.move_to`."""
        return self._wait(self._move_to(moment, patience, quiet))

    def run_until_idle(
        self, *, limit: Duration = LONGEST_RUN, patience: Duration = 5.0, quiet: Duration = 0.02
    ) -> Awaitable[Moves]:
        """See `Clock.run_until_idle`."""
        return self._wait(self._run_until_idle(limit, patience, quiet))

    def _wait(self, move: _Move) -> Awaitable[Moves]:
        return asyncio.wrap_future(self._node.run(move))
