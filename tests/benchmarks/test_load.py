"""The load generator against the floor: real sockets, a few thousand messages, exact counts."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.link import publish_bytes
from benchmarks.load import LoadError, Publisher, Result, Traffic, delivery_shape, measure
from benchmarks.peers import Peer, floor
from benchmarks.run import goals_table, medians_table, ratios, summary
from benchmarks.works import GOALS, WORKS, Work, set_up
from tests.hang import HANG_SECONDS


@pytest.fixture(scope="module")
def least() -> Iterator[Peer]:
    with floor() as peer:
        yield peer


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may stop the load for longer than a benchmark allows."""
    monkeypatch.setattr("benchmarks.load.STALLED_SECONDS", HANG_SECONDS)
    monkeypatch.setattr("benchmarks.link.CLOSE_TIMEOUT", HANG_SECONDS)


@pytest.mark.parametrize("name", list(WORKS))
def test_every_work_runs_and_counts_exactly(least: Peer, name: str) -> None:
    result = measure(least.url, WORKS[name], seconds=0.05, warm_up=0.02, pid=least.pid, least=1000)
    assert result.messages >= 1000
    assert result.work == name
    assert result.cpu_us is not None


@pytest.mark.parametrize("work", [Work("q", queues=7), Work("c", queues=6, connections=3, window=64)])
def test_messages_spread_over_queues_and_connections(least: Peer, work: Work) -> None:
    setup = set_up(least.url, work)
    assert len(setup.consumers) == work.connections
    assert len(setup.block) % setup.publish_size == 0
    setup.close()


def test_lost_messages_are_an_error(least: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = set_up(least.url, replace(WORKS["auto-ack"], window=100))
    try:
        traffic = Traffic(setup)
        traffic.delivered -= 1
        monkeypatch.setattr("benchmarks.load.STALLED_SECONDS", 0.0)
        with pytest.raises(LoadError, match="lost messages"):
            traffic.run(0.0, 0.0, None)
    finally:
        setup.close()


def test_the_size_of_a_delivery_is_known_once_it_is_complete() -> None:
    content = publish_bytes("", "q", b"x" * 16)[8 + 4 + 2 + 1 + 1 + 1 + 1 :]
    deliver = b"\0\x3c\0\x3c" + b"\x03tag" + struct.pack(">QB", 1, 0) + b"\0" + b"\x01q"
    whole = struct.pack(">BHI", 1, 1, len(deliver)) + deliver + b"\xce" + content
    for end in range(len(whole)):
        assert delivery_shape(whole[:end])[0] == 0
    size, tag_at = delivery_shape(whole + whole)
    assert size == len(whole)
    assert int.from_bytes(whole[tag_at : tag_at + 8], "big") == 1


def confirm(tag: int, *, multiple: bool = False, method: int = 80) -> bytes:
    return struct.pack(">BHIHHQBB", 1, 1, 13, 60, method, tag, multiple, 0xCE)


@pytest.mark.parametrize(
    ("pieces", "confirmed"),
    [
        ([confirm(1), confirm(2)], 2),
        ([confirm(2), confirm(3), confirm(1)], 3),
        ([confirm(2), confirm(5, multiple=True), confirm(6)], 6),
        ([confirm(1)[:9], confirm(1)[9:] + confirm(4, multiple=True)], 4),
        ([confirm(3)], 0),
    ],
)
def test_confirms_are_counted_in_any_order(pieces: list[bytes], confirmed: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        publisher = Publisher(ours, memoryview(b"xx"), 2)
        for piece in pieces:
            theirs.sendall(piece)
            publisher.read()
        assert publisher.confirmed == confirmed
        theirs.sendall(confirm(9, method=120))
        with pytest.raises(LoadError, match=r"expected basic\.ack"):
            publisher.read()


def test_tables_show_medians_and_ratios_beside_goals() -> None:
    rounds = {
        ("auto-ack", "Leveret"): [Result("auto-ack", 2_000_000, 1.0, 1.0)] * 3,
        ("auto-ack", "RabbitMQ"): [Result("auto-ack", n * 1000, 1.0, n * 0.02) for n in (90, 100, 200)],
        ("auto-ack", "floor"): [Result("auto-ack", 4_000_000, 1.0, 1.0)],
    }
    assert ratios(rounds, "auto-ack") == pytest.approx((40.0, 20.0))
    assert summary(rounds["auto-ack", "RabbitMQ"]).rate == 100_000
    lines, met = goals_table(rounds, list(GOALS))
    assert met
    assert lines[-1] == "| transient, auto-ack, 16 B | 40.0 | 30 | 20.0 | 16 | 2.0 |"
    assert "| transient, auto-ack, 16 B | floor | 4,000,000 | 0.250 | 0% |" in medians_table(rounds)


def test_repeated_messages_are_an_error(least: Peer) -> None:
    """The floor copies every message to every consumer, which only a fanout exchange may do."""
    setup = set_up(least.url, Work("doubled", queues=2))
    try:
        with pytest.raises(LoadError, match="more"):
            Traffic(setup).run(0.0, 0.0, None, least=1000)
    finally:
        setup.close()
