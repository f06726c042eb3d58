"""The edge runs two agendas, each by its own clock."""

from __future__ import annotations

from pathlib import Path

from leveret.server.sockets import Edge
from leveret.testing.playbook import Beat
from tests.faults.world import Loop, LoopClock, World

TEN_DAYS_MS = 10 * 24 * 3_600_000


class ClockAhead(LoopClock):
    """A clock that is ten days ahead."""

    def __init__(self, loop: Loop) -> None:
        super().__init__(loop)
        self.now += TEN_DAYS_MS

    def read(self) -> int:
        return super().read() + TEN_DAYS_MS

    def tick(self) -> None:
        super().tick()
        self.now += TEN_DAYS_MS


def test_message_time_may_have_its_own_clock(tmp_path: Path) -> None:
    world = World(tmp_path)
    messages = ClockAhead(world.loop)
    world.broker.message_time.clock = messages
    world.edge = Edge(world.broker, world.clock, world.loop, messages)
    client = world.connect("a", heartbeat=60)
    ran: list[int] = []
    world.broker.message_time.call_after(50, lambda: ran.append(messages.now))
    started = messages.now
    world.loop.run(49)
    assert ran == []
    world.loop.run(1)
    assert ran == [started + 50]
    assert client.receive() == []
    world.loop.run(30_000)
    assert client.receive() == [Beat("a")]
