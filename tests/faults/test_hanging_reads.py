"""A disk that hangs while it is read: who needs the data waits, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pamqp.commands import Basic, Queue

from leveret.queues.stream.log import HELD_BYTES
from leveret.store.paging_file import FilePager
from leveret.testing.playbook import Content, content_frames
from leveret.wire.methods import method_frame
from leveret.wire.tables import Field
from tests.faults.world import Transport, World

COUNT = 3000


def publish(key: str, body: bytes) -> bytes:
    frames = content_frames(Content(body, {}, 1), {"delivery_mode": 2}, 131072)
    return method_frame(1, Basic.Publish, exchange="", routing_key=key) + frames


def bodies(client: Transport) -> list[bytes]:
    return [line.body for line in client.receive() if isinstance(line, Content)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A node with little memory for queues."""
    world = World(tmp_path, pager=FilePager(100_000, str(tmp_path)))
    yield world
    for queue in world.broker.vhosts["/"].queues.values():
        queue.close()  # which closes the paging files
    world.loop.run(1000)


class PingPong:
    """A client that sends messages to itself."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = world.connect("other")
        self.client.feed(method_frame(1, Queue.Declare, queue="ping"))
        self.client.feed(method_frame(1, Basic.Consume, queue="ping", no_ack=True))
        world.loop.run(100)
        self.client.receive()

    def play(self) -> None:
        for number in range(3):
            self.client.feed(publish("ping", b"%d" % number))
            self.world.loop.run(100)
            assert bodies(self.client) == [b"%d" % number]


def fill(world: World, kind: str) -> Transport:
    arguments = {"x-queue-type": Field("S", kind.encode())}
    client = world.connect("filling")
    client.feed(method_frame(1, Queue.Declare, queue="long", durable=True, arguments=arguments))
    for number in range(COUNT):
        client.feed(publish("long", b"%d" % number * 50))
    world.loop.run(1000)
    return client


@pytest.mark.parametrize("kind", ["classic", "quorum", "stream"])
def test_another_client_goes_on_while_a_consumer_waits(world: World, kind: str) -> None:
    client = fill(world, kind)
    other = PingPong(world)
    world.background.hanging = []
    offset = {"x-stream-offset": Field("S", b"first")} if kind == "stream" else {}
    client.feed(method_frame(2, Basic.Qos, prefetch_count=COUNT))
    client.feed(method_frame(2, Basic.Consume, queue="long", arguments=offset))
    world.loop.run(100)
    received = bodies(client)
    assert len(received) < COUNT
    assert world.background.hanging
    other.play()
    assert bodies(client) == []
    world.background.come()
    world.loop.run(1000)
    received += bodies(client)
    assert received == [b"%d" % number * 50 for number in range(COUNT)]
    other.play()
    assert not world.broker.faults.errors


def test_a_get_waits_and_nothing_overtakes_it(world: World) -> None:
    client = fill(world, "classic")
    other = PingPong(world)
    world.background.hanging = []
    received: list[bytes] = []
    answered = True
    while answered:
        client.feed(method_frame(1, Basic.Get, queue="long", no_ack=True))
        world.loop.run(10)
        found = bodies(client)
        received += found
        answered = bool(found)
    client.feed(method_frame(1, Queue.Declare, queue="later"))
    world.loop.run(100)
    assert len(received) < COUNT
    assert client.receive() == []
    other.play()
    world.background.come()
    world.loop.run(100)
    got, content, declared = client.receive()
    assert [got.command, declared.command] == [Basic.GetOk, Queue.DeclareOk]
    assert content.body == b"%d" % len(received) * 50


def test_a_consumer_without_credit_gives_its_page_back_if_all_hold_much(world: World) -> None:
    client = fill(world, "stream")
    queue = world.broker.vhosts["/"].queues["long"]
    client.feed(method_frame(2, Basic.Qos, prefetch_count=1))
    offset = {"x-stream-offset": Field("S", b"first")}
    client.feed(method_frame(2, Basic.Consume, queue="long", consumer_tag="c", arguments=offset))
    world.loop.run(100)
    assert bodies(client) == [b"0" * 50]
    (consumer,) = queue.consumers.members
    assert consumer.cursor.held == world.broker.pager.held > 0
    world.broker.pager.held += HELD_BYTES
    for number in range(1, 10):
        client.feed(method_frame(2, Basic.Ack, delivery_tag=number))
        world.loop.run(100)
        assert bodies(client) == [b"%d" % number * 50], "nothing is skipped or repeated"
        assert world.broker.pager.held == HELD_BYTES and consumer.cursor.page is None
    client.feed(method_frame(2, Basic.Cancel, consumer_tag="c"))
    world.loop.run(100)
    assert world.broker.pager.held == HELD_BYTES
