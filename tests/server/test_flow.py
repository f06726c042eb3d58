"""Flow: connections whose messages the disk cannot take wait, and no others."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pamqp.commands import Basic, Confirm, Queue

from leveret.testing.lines import Say
from leveret.wire.methods import method_frame
from tests.faults.test_isolation import message, table
from tests.faults.world import Transport, World


class SlowDisk:
    """Has the store's thread wait until `answer`."""

    def __init__(self, world: World) -> None:
        self.background: Any = world.store.background
        self.world = world
        self.asked: list[tuple[Any, Any, Any]] = []
        self.sync = self.background.sync
        self.background.sync = lambda *step: self.asked.append(step)

    def answer(self) -> None:
        """The disk is back."""
        self.background.sync = self.sync
        for step in self.asked:
            self.sync(*step)
        self.world.loop.run(100)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, check=True)
    world.store.journal.unwritten_limit = 100_000
    return world


def declare(world: World, client: Transport, kind: str = "classic") -> None:
    client.feed(
        method_frame(1, Queue.Declare, queue="durable", durable=True, arguments=table(queue_type=kind))
        + method_frame(1, Queue.Declare, queue="transient")
        + method_frame(1, Confirm.Select)
    )
    world.loop.run(100)
    client.receive()


def shown(world: World, path: str) -> Any:
    """What the HTTP API shows."""
    response = world.get(f"/api/{path}")
    return msgspec.json.decode(b"".join(response.pieces) if hasattr(response, "pieces") else response.body)


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_publishers_wait_while_the_disk_hangs(world: World, kind: str) -> None:
    publisher, other = world.connect("publisher"), world.connect("other")
    declare(world, publisher, kind)
    disk = SlowDisk(world)
    for _ in range(100):
        publisher.feed(message("", "durable", b"x" * 10_000))
    world.loop.run(100)
    connection, journal = publisher.protocol.connection, world.store.journal
    assert publisher.paused and connection.state_name == "flow" and not publisher.receive()
    assert 100_000 < journal.unwritten_bytes < 100_000 + 12 * 10_400, "what one message more needs"
    other.feed(message("", "transient", b"x") * 3 + method_frame(1, Basic.Get, queue="transient"))
    world.loop.run(100)
    assert len(other.receive()) == 2 and other.protocol.connection.state_name == "running"
    other.feed(message("", "durable", b"x") + method_frame(1, Basic.Get, queue="transient"))
    world.loop.run(100)
    assert not other.receive() and other.protocol.connection.state_name == "flow"
    disk.answer()
    world.loop.run(100)
    assert not publisher.paused and not other.paused and journal.unwritten_bytes == 0 and not journal.full
    confirmed = [line.arguments["delivery_tag"] for line in publisher.receive() if isinstance(line, Say)]
    assert confirmed[-1] == 100
    assert len(other.receive()) == 2


def test_flow_is_shown_for_some_seconds(world: World) -> None:
    publisher = world.connect("publisher")
    declare(world, publisher)
    disk = SlowDisk(world)
    publisher.feed(message("", "durable", b"x" * 100_000))
    world.loop.run(100)
    disk.answer()
    connection = publisher.protocol.connection
    assert not connection.in_flow and connection.state_name == "flow"
    world.loop.run(5000)
    world.clock.tick()
    assert connection.state_name == "running"


def test_channels_and_queues_in_flow_are_shown_over_http(world: World) -> None:
    publisher, other = world.connect("publisher"), world.connect("other")
    declare(world, publisher)
    disk = SlowDisk(world)
    publisher.feed(message("", "durable", b"x" * 100_000))
    other.feed(message("", "transient", b"x"))
    world.loop.run(100)
    assert {one["name"]: one["state"] for one in shown(world, "queues")} == {
        "durable": "flow",
        "transient": "running",
    }
    assert shown(world, "queues/%2F/durable")["state"] == "flow"
    assert sorted(one["state"] for one in shown(world, "channels")) == [
        "flow",
        "running",
        "running",
        "running",
    ]
    disk.answer()
    world.loop.run(5000)
    world.clock.tick()
    assert shown(world, "queues/%2F/durable")["state"] == "running"


def test_a_publisher_can_be_lost_in_flow(world: World) -> None:
    publisher = world.connect("publisher")
    declare(world, publisher)
    disk = SlowDisk(world)
    publisher.feed(message("", "durable", b"x" * 100_000))
    world.loop.run(100)
    publisher.close()
    world.loop.run(100)
    disk.answer()
    assert not world.written and not world.broker.held_back


def test_heartbeats_are_sent_in_flow(world: World) -> None:
    """What a client sends is not read, so it cannot be missed; what the broker sends goes on."""
    publisher = world.connect("publisher", heartbeat=1)
    declare(world, publisher)
    SlowDisk(world)
    publisher.feed(message("", "durable", b"x" * 100_000))
    world.loop.run(5000)
    assert not publisher.lost and len(publisher.receive()) >= 8


def test_connections_that_go_on_together_are_handled_one_by_one(world: World) -> None:
    """After an alarm, what each of them had sent before it was not read is handled in a turn of its own."""
    clients = [world.connect(f"publisher{number}") for number in range(5)]
    declare(world, clients[0])
    world.broker.set_alarm("memory")
    world.loop.run(100)
    for client in clients:
        client.feed(message("", "transient", b"x") * 100)
    world.loop.run(100)
    queue = world.broker.vhosts["/"].queues["transient"]
    assert queue.ready < 100 and all(client.protocol.rest for client in clients)
    world.broker.clear_alarm("memory")
    world.edge.touch()
    handled = []
    while world.loop.calls and world.loop.calls[0][0] <= world.loop.now:
        before = queue.ready
        _, _, handle = heapq.heappop(world.loop.calls)
        if not handle.over:
            handle.call(*handle.arguments)
        handled.append(queue.ready - before)
    assert queue.ready == 500 and max(handled) <= 100
