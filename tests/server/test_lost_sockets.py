"""Sockets that are closed at once are removed in turns, so that others do not wait for all of them."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from leveret.server.sockets import LOSING_S
from tests.faults.world import World


def test_sockets_that_are_closed_at_once_are_removed_in_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = [world.connect(f"client {number}") for number in range(5)]
    seconds = count(0, LOSING_S)
    world.edge.timer = lambda: next(seconds)
    for client in clients:
        client.protocol.connection_lost(None)
    assert len(world.broker.connections) == 4, "the time of this turn is over after the first one"
    world.loop.run()
    assert not world.broker.connections
    assert not world.edge.sockets


def test_a_socket_that_is_closed_alone_is_removed_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    for number in range(3):
        world.connect(f"client {number}").protocol.connection_lost(None)
        assert not world.broker.connections
        world.loop.run()


def test_an_exception_while_one_is_removed_stops_no_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    clients = [world.connect(f"client {number}") for number in range(4)]
    seconds = count(0, LOSING_S)
    world.edge.timer = lambda: next(seconds)

    def broken(_: object) -> None:
        raise RuntimeError("broken")

    world.broker.observers.notify = broken  # type: ignore[method-assign]
    for client in clients:
        client.protocol.connection_lost(None)
    world.loop.run()
    assert not world.edge.lost
    assert not world.edge.sockets


def test_the_socket_that_was_read_last_is_not_kept(tmp_path: Path) -> None:
    """What its client has not read can be 16 MB."""
    world = World(tmp_path)
    client = world.connect("client")
    protocol = client.protocol
    assert world.edge.reading is protocol
    protocol.connection_lost(None)
    assert world.edge.reading is None
