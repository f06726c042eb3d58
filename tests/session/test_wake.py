"""A client of kombu that holds deliveries and is silent is woken by a heartbeat (docs/known-client-bugs.md)."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from leveret.session import heartbeats, states
from leveret.wire.frames import HEARTBEAT_FRAME
from leveret.wire.tables import Field


class Client:
    """What heartbeats see of a connection: its timers, and what is sent."""

    def __init__(self, product: bytes, heartbeat: int = 60) -> None:
        self.client_properties = {"product": Field("S", product)}
        self.heartbeat = heartbeat
        self.state = states.RUNNING
        self.received = 0
        self.sent = 0
        self.frames: list[bytes] = []
        self.unacked = SimpleNamespace(count=0)
        self.channels = {1: SimpleNamespace(unacked=self.unacked)}
        self.timers: dict[str, tuple[int, Callable[[], None]]] = {}

    def arm(self, name: str, delay: int, call: Callable[[], None]) -> None:
        self.timers[name] = (delay, call)

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def look(self) -> int:
        """Let the timer run; returns the time until its next run, ms."""
        _, call = self.timers["wake"]
        call()
        return self.timers["wake"][0]


@pytest.fixture
def client() -> Any:
    made = Client(b"py-amqp")
    heartbeats.start(made)  # type: ignore[arg-type]
    return made


def test_a_silent_client_with_deliveries_is_woken_ever_more_rarely(client: Client) -> None:
    assert client.look() == heartbeats.IDLE_CHECK_MS
    client.unacked.count = 4
    client.received += 10
    assert [client.look() for _ in range(5)] == [100, 200, 400, 800, 1600]
    assert client.frames == [HEARTBEAT_FRAME] * 4
    assert max(client.look() for _ in range(20)) == 30_000


def test_a_client_that_acknowledges_is_not_woken(client: Client) -> None:
    client.unacked.count = 4
    for _ in range(5):
        client.received += 21
        assert client.look() == 100
    assert client.frames == []


def test_a_client_without_deliveries_is_not_woken(client: Client) -> None:
    assert [client.look() for _ in range(3)] == [500, 500, 500]
    assert client.frames == []


def test_nobody_is_woken_who_closes(client: Client) -> None:
    client.unacked.count = 4
    client.state = states.CLOSING
    client.look()
    assert client.frames == []


@pytest.mark.parametrize(("product", "heartbeat"), [(b"pika", 60), (b"py-amqp", 0)])
def test_other_clients_and_those_without_heartbeats_are_left_alone(product: bytes, heartbeat: int) -> None:
    client = Client(product, heartbeat)
    heartbeats.start(client)  # type: ignore[arg-type]
    assert "wake" not in client.timers
