"""Sockets that do not log in, when descriptors are short."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.server import descriptors
from tests.faults.world import Transport, World


def silent(world: World, name: str) -> Transport:
    """A client that connects and says nothing."""
    transport = Transport(world, name)
    world.loop.run()
    return transport


def test_the_oldest_that_has_not_logged_in_is_closed_for_a_new_one(tmp_path: Path) -> None:
    world = World(tmp_path, check=True)
    client = world.connect("client")
    first, second = silent(world, "first"), silent(world, "second")
    assert not first.lost, "there is room"
    world.edge.reserve_begins = -1  # every descriptor is one of the last
    third = silent(world, "third")
    assert [one.lost for one in (client, first, second, third)] == [False, True, False, False]
    other = world.connect("other")
    assert other.protocol.connection.is_open and second.lost and not third.lost
    for number in range(100):
        silent(world, str(number))
    world.loop.run(100)
    assert third.lost and not client.lost and not other.lost
    assert len(world.edge.sockets) == len(world.broker.connections) == 3


def test_everybody_may_come_while_all_are_logged_in(tmp_path: Path) -> None:
    world = World(tmp_path, check=True)
    world.edge.reserve_begins = -1
    clients = [world.connect(str(number)) for number in range(10)]
    assert not any(client.lost for client in clients)
    assert len(world.edge.newcomers) <= 10


def test_the_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "soft_limit", lambda: 1024)
    assert descriptors.reserve_begins() == 896
    monkeypatch.setattr(descriptors, "soft_limit", lambda: 64)
    assert descriptors.reserve_begins() == 48
    monkeypatch.setattr(descriptors, "soft_limit", lambda: None)
    assert descriptors.reserve_begins() > 1 << 40
