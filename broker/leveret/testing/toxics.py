"""What happens to the octets of a connection on their way: as toxiproxy's toxics, in real time.

Each socket has a `Flow` in each direction. The octets pass the toxics in the order in which they were added; each keeps
what it holds back in a `Stage`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct, field

from leveret.testing.real_time import monotonic_s

if TYPE_CHECKING:
    import asyncio

Stream = Literal["up", "down", "both"]
Direction = Literal["up", "down"]

#: Pieces in which a limited bandwidth passes octets, seconds of the bandwidth.
PIECE_S = 0.02


class Wire(Protocol):
    """A socket, as toxics see it."""

    def cut(self, *, reset: bool) -> None:
        """End the connection: with a RST, or with a FIN."""


class Toxic(Struct, eq=False):
    """One toxic. `stream`: the directions that it is for; `random`: of its jitter."""

    stream: Stream = "down"
    random: random.Random = field(default_factory=random.Random)

    def affects(self, direction: Direction) -> bool:
        """Return whether it is for a direction."""
        return self.stream in (direction, "both")

    def begin(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        """Do what is done once for each connection."""

    def delays(self, size: int, held: Stage) -> list[tuple[float, int]]:
        """Return when pieces of `size` octets pass, as (real time in seconds, octets)."""
        return [(0.0, size)]

    @property
    def swallows(self) -> bool:
        """Whether nothing passes."""
        return False

    @property
    def close_delay_s(self) -> float:
        """How long the end of a connection is put off, seconds."""
        return 0.0


class Latency(Toxic, eq=False):
    """Delays everything by `latency_s`, more or less by up to `jitter_s`."""

    latency_s: float = 0.0
    jitter_s: float = 0.0

    def delays(self, size: int, held: Stage) -> list[tuple[float, int]]:
        """Return the moment at which the octets pass."""
        jitter = self.random.uniform(-self.jitter_s, self.jitter_s)
        return [(monotonic_s() + max(0.0, self.latency_s + jitter), size)]


class Bandwidth(Toxic, eq=False):
    """Passes so many octets in a second."""

    octets_per_s: float = 0.0

    def delays(self, size: int, held: Stage) -> list[tuple[float, int]]:
        """Return the moments at which pieces of the octets have passed."""
        piece = max(1, int(self.octets_per_s * PIECE_S))
        at = max(monotonic_s(), held.last_at)
        found = []
        for start in range(0, size, piece):
            count = min(piece, size - start)
            at += count / self.octets_per_s
            found.append((at, count))
        return found


class Slicer(Toxic, eq=False):
    """Cuts into pieces of `size` octets, more or less by up to `variation`, with a pause after each."""

    size: int = 1
    variation: int = 0
    pause_s: float = 0.0

    def delays(self, size: int, held: Stage) -> list[tuple[float, int]]:
        """Return the moments at which the pieces pass."""
        at = max(monotonic_s(), held.last_at)
        found = []
        while size > 0:
            piece = self.size + (
                self.random.randint(-self.variation, self.variation) if self.variation else 0
            )
            count = min(max(1, piece), size)
            found.append((at, count))
            size -= count
            at += self.pause_s
        return found


class LimitData(Toxic, eq=False):
    """Ends the connection once so many octets have passed."""

    octets: int = 0


class SlowClose(Toxic, eq=False):
    """Puts off the end of a connection."""

    delay_s: float = 0.0

    @property
    def close_delay_s(self) -> float:
        """How long the end is put off, seconds."""
        return self.delay_s


class Blackhole(Toxic, eq=False):
    """Passes nothing, and ends the connection after `timeout_s` if that is more than 0."""

    timeout_s: float = 0.0

    @property
    def swallows(self) -> bool:
        """Nothing passes."""
        return True

    def begin(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        """Have the connection ended in time."""
        if self.timeout_s > 0:
            loop.call_later(self.timeout_s, lambda: wire.cut(reset=False))


class ResetPeer(Toxic, eq=False):
    """Passes nothing, and resets the connection after `timeout_s`."""

    timeout_s: float = 0.0

    @property
    def swallows(self) -> bool:
        """Nothing passes."""
        return True

    def begin(self, wire: Wire, loop: asyncio.AbstractEventLoop) -> None:
        """Have the connection reset in time."""
        if self.timeout_s > 0:
            loop.call_later(self.timeout_s, lambda: wire.cut(reset=True))
        else:
            wire.cut(reset=True)


class Stage:
    """What one toxic holds back of one flow. `last_at`: when the newest octets pass; `passed`: octets so far."""

    __slots__ = ("last_at", "lost", "passed", "pieces", "timer")

    def __init__(self) -> None:
        self.pieces: deque[tuple[float, bytes]] = deque()
        self.last_at = 0.0
        self.passed = 0
        self.lost = False
        self.timer: asyncio.TimerHandle | None = None


class Flow:
    """One direction of one connection. `toxics`: those of the connection, in order; `deliver`: gets what has passed."""

    def __init__(
        self,
        direction: Direction,
        wire: Wire,
        loop: asyncio.AbstractEventLoop,
        toxics: Callable[[], list[Toxic]],
        deliver: Callable[[bytes], None],
    ) -> None:
        self.direction = direction
        self.wire = wire
        self.loop = loop
        self.toxics = toxics
        self.deliver = deliver
        self.stages: dict[Toxic, Stage] = {}
        self.drained: Callable[[], None] | None = None

    @property
    def held(self) -> int:
        """Octets that are held back."""
        return sum(len(data) for stage in self.stages.values() for _, data in stage.pieces)

    def feed(self, data: bytes) -> None:
        """Pass octets on, through the toxics."""
        self._enter([one for one in self.toxics() if one.affects(self.direction)], data)

    def remove(self, toxic: Toxic) -> None:
        """A toxic was removed: what it held back passes. A connection that has lost octets is ended."""
        stage = self.stages.pop(toxic, None)
        if stage is None:
            return
        if stage.timer is not None:
            stage.timer.cancel()
        for _, data in stage.pieces:
            self._enter(self._behind(toxic), data)
        if stage.lost:
            self.wire.cut(reset=True)
        self._check_drained()

    def close(self) -> None:
        """Forget what is held back, because the connection is gone."""
        for stage in self.stages.values():
            if stage.timer is not None:
                stage.timer.cancel()
        self.stages.clear()

    def _behind(self, toxic: Toxic) -> list[Toxic]:
        toxics = [one for one in self.toxics() if one.affects(self.direction)]
        return toxics[toxics.index(toxic) + 1 :] if toxic in toxics else toxics

    def _enter(self, toxics: list[Toxic], data: bytes) -> None:
        if not toxics:
            self.deliver(data)
            return
        toxic, behind = toxics[0], toxics[1:]
        stage = self.stages.get(toxic)
        if stage is None:
            stage = self.stages[toxic] = Stage()
        if toxic.swallows:
            stage.lost = True
        elif isinstance(toxic, LimitData):
            self._limit(toxic, stage, behind, data)
        else:
            self._hold(toxic, stage, behind, data)

    def _limit(self, toxic: LimitData, stage: Stage, behind: list[Toxic], data: bytes) -> None:
        data = data[: max(0, toxic.octets - stage.passed)]
        stage.passed += len(data)
        if data:
            self._enter(behind, data)
        if stage.passed >= toxic.octets:
            self.wire.cut(reset=False)

    def _hold(self, toxic: Toxic, stage: Stage, behind: list[Toxic], data: bytes) -> None:
        start = 0
        for at, count in toxic.delays(len(data), stage):
            stage.last_at = max(at, stage.last_at)
            stage.pieces.append((stage.last_at, data[start : start + count]))
            start += count
        self._release(toxic)

    def _release(self, toxic: Toxic) -> None:
        stage = self.stages.get(toxic)
        if stage is None:
            return
        now = monotonic_s()
        while stage.pieces and stage.pieces[0][0] <= now:
            _, data = stage.pieces.popleft()
            self._enter(self._behind(toxic), data)
        if stage.timer is not None:
            stage.timer.cancel()
            stage.timer = None
        if stage.pieces:
            stage.timer = self.loop.call_later(stage.pieces[0][0] - now, self._release, toxic)
        else:
            self._check_drained()

    def _check_drained(self) -> None:
        if self.drained is not None and not self.held:
            drained, self.drained = self.drained, None
            drained()
